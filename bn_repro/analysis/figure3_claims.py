"""What Sec. 4.2.2 claims about the networks, and what our seeds say to it.

A verdict is "yes" or "no" where the 95 % interval over seeds lies on one side of what
is claimed, else "not decided"; one seed decides nothing. That a network fails is "yes"
where every seed does and "no" where none does, however wide the interval of the share.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from bn_repro.analysis import figure3, intervals, steps_to_target, tables
from bn_repro.analysis.convergence import LAST, PAPER, Course
from bn_repro.analysis.intervals import NO, OPEN, YES, Finding
from bn_repro.analysis.layers import sparsity
from bn_repro.analysis.networks import Network
from bn_repro.analysis.steps_to_target import Steps
from bn_repro.analysis.tables import Table

NOT_SPARSE, SPARSE = 0.1, 0.5  # shares of inputs at zero


class Claim(NamedTuple):
    """A claim of the paper and how our networks are asked about it."""

    text: str
    paper: str  # the paper's numbers
    networks: tuple[str, ...]  # keys of those that are needed
    check: Callable[..., Finding]  # function of them to what ours say


TARGET_NOTE = (
    "About half of the slower network's seeds end below that, their own mean, and "
    "never reach it; they count as if they had at their last step. A claim of fewer "
    "steps is refuted, too, where the faster network ends lower and each of its seeds "
    "was looked at beyond the time claimed."
)


def claims_table(found: Sequence[Network]) -> Table:
    """Returns what Sec. 4.2.2 claims beside what our networks say."""
    rows = [[c.text, c.paper, *answer(c, found)] for c in CLAIMS]
    return Table(
        "Figures 2 and 3: the paper's claims and our runs",
        ["Claim", "Paper", "Ours", "n", "95 % interval", "Verdict"],
        rows,
        "n: seeds. Times fewer steps: to the accuracy of the slower network at the end "
        f"(mean of the last {LAST} evaluations over seeds), Welch's t interval on "
        "logarithms; accuracies: Welch's t interval of the difference. "
        f"{TARGET_NOTE} “not decided”: the interval lies on both sides of the claim, "
        "seeds disagree, or there is one seed. Slower at first: at the highest of 50, "
        "75, 90 and 100 % that every "
        "seed reaches. Failing: yes if every seed fails, no if none does; the interval "
        "is that of the share of seeds. Inputs at zero: the histogram's bin around "
        "zero less the mean of its neighbours, at the last probe, median over layers; "
        f"under {100 * NOT_SPARSE:g} % is not sparse, over {100 * SPARSE:g} % is.",
    )


def answer(claim: Claim, found: Sequence[Network]) -> Finding:
    """Returns what the networks found say to a claim, or what is missing."""
    by_key = {network.key: network for network in found}
    keys = [network.key for network in found]
    if twice := [n for n in found if n.key in claim.networks and keys.count(n.key) > 1]:
        names = ", ".join(network.label for network in twice)
        return Finding(f"several of one name: {names}", "-", "-", OPEN)
    if missing := [key for key in claim.networks if key not in by_key]:
        return intervals.missing(", ".join(missing))
    chosen = [by_key[key] for key in claim.networks]
    finding = claim.check(*chosen)
    if open_ones := [network.label for network in chosen if not network.ended]:
        ours = f"{finding.ours} (so far: {', '.join(open_ones)} unfinished)"
        return finding._replace(ours=ours, verdict="unfinished")
    return finding


def _finding(
    ours: str, compared: Sequence[Network], interval: str, verdict: str
) -> Finding:
    counts = [len(network.counted) for network in compared]
    decided = verdict if min(counts) > 1 else OPEN
    return Finding(ours, intervals.count_text(counts), interval, decided)


def faster(times: float) -> Callable[[Network, Network], Finding]:
    """Returns the check that the second network needs `times` fewer steps."""

    def check(slow: Network, fast: Network) -> Finding:
        target = slow.plateau
        needed = [steps_to_target.count(n.counted, target) for n in (slow, fast)]
        if nothing := _no_target(slow):
            return _finding(nothing, (slow, fast), "-", OPEN)
        found = steps_to_target.times_fewer(*needed)
        ours = "; ".join(
            f"{network.label} {figure3.steps_text(steps, network)} steps"
            for network, steps in zip((slow, fast), needed, strict=True)
        )
        if np.isfinite(found.estimate):
            ours = f"{found.estimate:.1f} times fewer: {ours}"
        further = intervals.difference(fast.ends, slow.ends)
        if further.above(0) == NO and _too_late(*needed, times):
            shown = f"{further.text(100, sign=True)} points at the end"
            return _finding(ours, (slow, fast), shown, NO)
        return _finding(ours, (slow, fast), found.text(digits=1), found.above(times))

    return check


def _no_target(network: Network) -> str:
    """Returns why a network's plateau is nothing to reach, "" where it is."""
    if not network.sound:
        return f"{network.label}: {_end_text(network, '')}"
    return f"{network.label} stays at chance" if network.at_chance().all() else ""


def _too_late(slow: Steps, fast: Steps, times: float) -> bool:
    """Returns whether no seed of `fast` was there in time, though all were looked at.

    That refutes the claim where `fast` ends lower, even if seeds of `slow` never came.
    """
    in_time = slow.at_least.max() / times
    return bool((fast.needed > in_time).all() and (fast.seen >= in_time).all())


def _slower_at_first(slow_start: Network, other: Network, plain: Network) -> Finding:
    """Decides at all of the plateau, as the paper does, or as far as all seeds come."""
    compared = (slow_start, other)
    if nothing := _no_target(plain):
        return _finding(nothing, compared, "-", OPEN)
    texts, found = [], intervals.NONE
    for fraction in figure3.FRACTIONS:
        target = fraction * plain.plateau
        needed = [steps_to_target.count(n.counted, target) for n in compared]
        if texts and not all(steps.reached.all() for steps in needed):
            break
        found = steps_to_target.times_fewer(*needed)
        texts.append(f"{figure3.times_text(found)} to {100 * fraction:g} %")
    ours = f"times as many steps: {', '.join(texts)} of {plain.label}'s plateau"
    return _finding(ours, compared, found.text(), found.above(1))


def _further(one: Network, other: Network) -> Finding:
    found = intervals.difference(one.ends, other.ends)
    ours = "; ".join(f"{n.label} {figure3.end_text(n)}" for n in (one, other))
    points = f"{found.text(100, sign=True)} points" if np.isfinite(found.low) else "-"
    odd = [f"{n.label}: {text}" for n in (one, other) for text in _diverged(n)]
    n = intervals.count_text([len(network.sound) for network in (one, other)])
    # Those that are left say nothing of a method that loses some.
    verdict = OPEN if odd else found.above(0)
    return Finding("; ".join([ours, *odd]), n, points, verdict)


def _trains(network: Network) -> Finding:
    found = intervals.mean(network.ends)
    limit = max((course.chance_limit for course in network.sound), default=np.nan)
    shown = f"{found.text(100)} %" if np.isfinite(found.low) else "-"
    failed = _failed(network)
    verdict = NO if failed.all() else OPEN if failed.any() else found.above(limit)
    ours = _end_text(network, figure3.end_text(network))
    return _finding(ours, (network,), shown, verdict)


def _fails(network: Network) -> Finding:
    """Every seed diverges or stays at chance: yes; every one trains: no."""
    failed = _failed(network)
    found = intervals.share(int(failed.sum()), failed.size)
    verdict = YES if failed.all() else OPEN if failed.any() else NO
    if any(_unknown(course) for course in network.counted):
        verdict = OPEN
    ends = [course.end for course in network.counted if not course.diverged]
    of_all = tables.percent(np.array(ends)[np.isfinite(ends)])
    ours = f"{failed.sum()} of {failed.size} seeds fail; {_end_text(network, of_all)}"
    return _finding(ours, (network,), f"{found.text(100, 0)} % of seeds", verdict)


def _failed(network: Network) -> np.ndarray:
    """Returns [n], whether each counted seed diverged or stayed at chance."""
    return np.array([c.diverged or c.is_chance(c.end) for c in network.counted])


def _unknown(course: Course) -> bool:
    return not course.diverged and not np.isfinite(course.end)


def _diverged(network: Network) -> list[str]:
    return [tables.status_text(course.run) for course in network.diverged]


def _end_text(network: Network, ends: str) -> str:
    diverged = _diverged(network)
    chance = f"{100 * network.courses[0].chance:g} %"
    shown = [f"{ends} at the end, chance is {chance}"] if network.sound else []
    return "; ".join([*diverged, *shown]) or "no evaluation"


def _not_sparse(*compared: Network) -> Finding:
    shares = [
        np.array([sparsity.zero_share(c.run) for c in n.counted]) for n in compared
    ]
    if not all(np.isfinite(values).all() for values in shares):
        return _finding("not recorded", compared, "-", OPEN)
    found = [intervals.mean(values) for values in shares]
    ours = ", ".join(
        f"{network.label} {100 * one.estimate:.1f} %"
        for network, one in zip(compared, found, strict=True)
    )
    shown = "; ".join(f"{one.text(100, 1)} %" for one in found)
    verdict = OPEN
    if all(one.high < NOT_SPARSE for one in found):
        verdict = YES
    elif any(one.low > SPARSE for one in found):
        verdict = NO
    ours = f"inputs at zero: {ours}"
    return _finding(ours, compared, "-" if "- %" in shown else shown, verdict)


def _times(key: str) -> str:
    slow, fast = PAPER["inception"].steps, PAPER[key].steps
    return f"{slow / fast:.1f} ({fast / 1e6:.1f}M of {slow / 1e6:.1f}M steps)"


def _ends(key: str, other: str = "inception") -> str:
    one, two = (100 * PAPER[name].best for name in (key, other))
    return f"{one:.1f} % against {two:.1f} %"


CLAIMS = (
    Claim(
        "BN-Baseline matches Inception in less than half the steps",
        _times("bn_baseline"),
        ("inception", "bn_baseline"),
        faster(2),
    ),
    Claim(
        "BN-x5 matches Inception in fewer steps",
        _times("bn_x5"),
        ("inception", "bn_x5"),
        faster(1),
    ),
    Claim(
        "BN-x5 matches Inception in 14 times fewer steps",
        _times("bn_x5"),
        ("inception", "bn_x5"),
        faster(14),
    ),
    Claim(
        "BN-x30 passes Inception in 5 times fewer steps",
        f"{_times('bn_x30')}; 6M to 74.8 %",
        ("inception", "bn_x30"),
        faster(5),
    ),
    *(
        Claim(
            f"{PAPER[key].name} comes further than Inception",
            _ends(key),
            (key, "inception"),
            _further,
        )
        for key in ("bn_baseline", "bn_x5", "bn_x30")
    ),
    Claim(
        "BN-x30 is slower at first than BN-x5",
        "1.3 times as many steps to 72.2 %",
        ("bn_x30", "bn_x5", "inception"),
        _slower_at_first,
    ),
    Claim(
        "BN-x30 comes further than BN-x5",
        _ends("bn_x30", "bn_x5"),
        ("bn_x30", "bn_x5"),
        _further,
    ),
    Claim(
        "BN-x5 comes further than BN-x5-Sigmoid",
        _ends("bn_x5", "bn_x5_sigmoid"),
        ("bn_x5", "bn_x5_sigmoid"),
        _further,
    ),
    Claim(
        "Sigmoids train with BN (BN-x5-Sigmoid)", "69.8 %", ("bn_x5_sigmoid",), _trains
    ),
    Claim(
        "Sigmoids do not train without BN (Inception-Sigmoid)",
        "never above 0.1 %, chance",
        ("inception_sigmoid",),
        _fails,
    ),
    Claim(
        "Inception fails at 5 times the learning rate (Inception-x5)",
        "parameters reach machine infinity",
        ("inception_x5",),
        _fails,
    ),
    Claim(
        "Inputs to the nonlinearities are not sparse, with or without BN",
        "not sparse",
        ("inception", "bn_baseline"),
        _not_sparse,
    ),
)
