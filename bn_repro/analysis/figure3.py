"""Fig. 3 as tables, ours beside the paper's: accuracies, and steps to a target."""

from collections.abc import Sequence

import numpy as np

from bn_repro.analysis import intervals, networks, steps_to_target, tables
from bn_repro.analysis.convergence import LAST, PAPER
from bn_repro.analysis.networks import Goal, Network, of_the_paper
from bn_repro.analysis.steps_to_target import Steps
from bn_repro.analysis.tables import Table
from bn_repro.run_folder import configuration

FRACTIONS = (0.5, 0.75, 0.9, 1.0)  # of the target's accuracy


def figure3_table(found: Sequence[Network], goal: Goal) -> Table:
    """Returns one row a network: seeds, rate, accuracy, and against the target's."""
    known = of_the_paper(found)
    against = (f"Against {goal.name}, points", "95 % interval")
    against += (f"Same pictures as {goal.name}",)
    rows = []
    for network in found:
        rate = configuration.stated(network.config)["optimizer.learning_rate"]
        row = {
            "Network": network.label,
            "Seeds": str(len(network.courses)),
            "Learning rate": f"{rate:g}",
            "Steps": _lengths(network),
            "Accuracy at the end": end_text(network),
            "Best": best_text(network),
            **dict(zip(against, _against(network, goal), strict=True)),
        }
        rows.append(row | ({"Paper: best": _paper_best(network.key)} if known else {}))
    title = "Figure 3: accuracy of each network" if known else "Accuracy of each run"
    return Table.of(title, rows, _accuracy_note(found, goal))


def steps_table(found: Sequence[Network], goal: Goal) -> Table:
    """Returns one row a network: steps to FRACTIONS of the target, times fewer."""
    known = of_the_paper(found)
    rows = []
    for network in found:
        row = {"Network": network.label}
        for fraction in FRACTIONS:
            accuracy, at = fraction * goal.accuracy, f"{100 * fraction:g} %"
            needed = steps_to_target.count(network.counted, accuracy)
            row[f"Steps to {at}: {100 * accuracy:.2f} %"] = steps_text(needed, network)
            times = _times_fewer(needed, goal, fraction)
            row[f"Times fewer to {at} [95 %]"] = times
        row |= _cost(network, goal.accuracy)
        rows.append(row | (_paper_steps(network.key) if known else {}))
    title = f"{'Figure 3: s' if known else 'S'}teps to the target"
    return Table.of(title, rows, _steps_note(goal))


def steps_text(steps: Steps, network: Network) -> str:
    """Returns the geometric mean and the range of the seeds' steps, or who never came.

    "5,120 (4,900-5,400)", or "2 of 3 seeds: 5,120 (...), 1 not within 80,000".
    """
    if not steps.needed.size:
        return "-"
    needed = steps.needed[steps.reached]
    text = ""
    if needed.size:
        mean = np.exp(np.log(np.maximum(needed, 1)).mean()) if needed.any() else 0
        text = f"{mean:,.0f}"
        text += f" ({needed.min():,.0f}-{needed.max():,.0f})" if needed.size > 1 else ""
    if steps.reached.all():
        return text
    missed = [c for c, r in zip(network.counted, steps.reached, strict=True) if not r]
    why = _why_not(missed)
    if not needed.size:
        return why
    n = steps.needed.size
    return f"{needed.size} of {n} seeds: {text}; {len(missed)} {why}"


def end_text(network: Network) -> str:
    """Returns the accuracy at the end, and of which seeds where lengths differ."""
    lengths = {course.run.config["steps"] for course in network.counted}
    seeds = f"{len(network.sound)} of {len(network.counted)} seeds"
    of = f" ({seeds})" if len(lengths) > 1 else ""
    return tables.percent(network.ends) + of


def best_text(network: Network) -> str:
    """Returns the highest evaluation of all seeds: "12.34 % at step 2,750"."""
    best = max(network.courses, key=lambda course: np.nan_to_num(course.best, nan=-1))
    if not np.isfinite(best.best):
        return "-"
    return f"{100 * best.best:.2f} % at step {best.steps_to(best.best):,.0f}"


def statistics_note(found: Sequence[Network]) -> str:
    """Returns which statistics BN normalised with, in a sentence; "" without BN."""
    by_kind: dict[str, list[str]] = {}
    for network in found:
        by_kind.setdefault(network.statistics, []).append(network.label)
    by_kind.pop("none", None)
    if len(by_kind) == 1:
        return f"BN uses {tables.STATISTICS[next(iter(by_kind))]}."
    parts = [f"{tables.STATISTICS[k]} in {', '.join(v)}" for k, v in by_kind.items()]
    return f"BN uses {'; '.join(parts)}." if parts else ""


def duration(seconds: float) -> str:
    """Returns "93 s", "35 min" or "3.4 h"."""
    if not np.isfinite(seconds):
        return "-"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def seeds_state(network: Network) -> list[str]:
    """Returns how seeds stand that did not finish: diverged, unfinished."""
    total = len(network.courses)
    odd = [c.run for c in network.courses if c.run.status["status"] != "finished"]
    if total == 1:
        return [tables.status_text(run) for run in odd]
    failed = len(network.diverged)
    words = [f"{failed} of {total} seeds diverged"] if failed else []
    if left := len(odd) - failed:
        words.append(f"{left} of {total} seeds unfinished")
    return words


def _lengths(network: Network) -> str:
    lengths = sorted({course.run.config["steps"] for course in network.courses})
    text = ", ".join(f"{steps:,}" for steps in reversed(lengths))
    return "; ".join([text, *seeds_state(network)])


def _against(network: Network, goal: Goal) -> list[str]:
    """Returns difference, interval and the paired comparison, against the target."""
    chance = ["chance"] if network.sound and network.at_chance().all() else []
    if network is goal.network:
        return ["; ".join([*chance, "the target"]), "-", "-"]
    if goal.network is None:
        return ["; ".join(chance) or "-", "-", "-"]
    found = intervals.difference(network.ends, goal.network.ends)
    points = [f"{100 * found.estimate:+.2f}"] if np.isfinite(found.estimate) else []
    pair = networks.paired(network, goal.network)
    same = "-"
    if pair:
        seed, (ours, theirs, p) = pair
        shown = f"p = {p:.2g}" if p > 1e-16 else "p < 1e-16"
        same = f"seed {seed}: {ours:,} to {theirs:,}, {shown}"
    return ["; ".join(chance + points) or "-", found.text(100, sign=True), same]


def _times_fewer(fast: Steps, goal: Goal, fraction: float) -> str:
    """Returns "14.1 [12.0, 16.6]", "over 9.8", or "-" if no seed gets there."""
    if goal.network is None or not fast.reached.any():
        return "-"
    slow = steps_to_target.count(goal.network.counted, fraction * goal.accuracy)
    if slow.needed.tobytes() == fast.needed.tobytes():
        return "-"
    return times_text(steps_to_target.times_fewer(slow, fast))


def times_text(found: intervals.Interval) -> str:
    """Returns "14.1 [12.0, 16.6]", or the bound that censored seeds leave."""
    if np.isinf(found.high) and found.low > 0:
        return f"over {_three(found.low)}"
    if found.low == 0 and np.isfinite(found.high):
        return f"under {_three(found.high)}"
    if not np.isfinite(found.estimate):
        return "-"
    if np.isnan(found.low):
        return _three(found.estimate)
    return "{} [{}, {}]".format(*map(_three, found))


def _three(value: float) -> str:
    """Returns three significant digits: "1.00", "12.5", "130"."""
    return f"{value:#.3g}".rstrip(".")


def _cost(network: Network, accuracy: float) -> dict[str, str]:
    """Returns images and wall-clock time to an accuracy, "-" unless all seeds come."""
    steps = steps_to_target.count(network.counted, accuracy)
    images = seconds = np.nan
    if steps.needed.size and steps.reached.all():
        pairs = list(zip(steps.needed, network.counted, strict=True))
        images, seconds = (
            np.mean([np.interp(step, c.steps, getattr(c, field)) for step, c in pairs])
            for field in ("images", "seconds")
        )
    shown = f"{images:,.0f}" if np.isfinite(images) else "-"
    return {"Images to 100 %": shown, "Wall-clock to 100 %": duration(seconds)}


def _why_not(missed: Sequence) -> str:
    """Returns why seeds did not reach the target: "not within 5,000-16,000"."""
    if all(course.diverged for course in missed):
        return tables.status_text(missed[0].run) if len(missed) == 1 else "diverged"
    seen = sorted({c.steps[-1] if c.steps.size else 0 for c in missed})
    lengths = "-".join(f"{steps:,}" for steps in dict.fromkeys((seen[0], seen[-1])))
    return f"not {'within' if all(c.ended for c in missed) else 'yet at'} {lengths}"


def _paper_best(key: str) -> str:
    best = PAPER[key].best if key in PAPER else np.nan
    if best is None:
        return "not printed"
    return f"{100 * best:.1f} %" if np.isfinite(best) else "-"


def _paper_steps(key: str) -> dict[str, str]:
    steps = PAPER[key].steps if key in PAPER else np.nan
    times = PAPER["inception"].steps / steps
    text = {np.inf: "never"}.get(steps, f"{steps / 1e6:.1f}M" if steps > 0 else "-")
    return {
        "Paper: steps to 72.2 %": text,
        "Paper: times fewer": f"{times:.1f}" if times > 1 else "-",
    }


def _accuracy_note(found: Sequence[Network], goal: Goal) -> str:
    return (
        f"Accuracy at the end: mean of the last {LAST} evaluations of each seed that "
        "did not diverge and is no shorter than others, mean ± standard deviation over "
        "seeds. Best: the highest of all evaluations, a little too high. Interval: "
        "Welch's t over seeds. Same pictures: two given networks at their last "
        "evaluation, pictures that only this one got right to those that only "
        f"{goal.name} did, McNemar's exact test. Chance is within three binomial "
        f"standard errors of 1 / classes. {statistics_note(found)}"
    )


def _steps_note(goal: Goal) -> str:
    if not np.isfinite(goal.accuracy):
        return "No target yet: its network has no evaluation."
    return (
        f"Target: {goal.text()}. Steps: each seed's evaluations are fitted by a "
        "non-decreasing curve, crossed by straight lines; geometric mean (range) over "
        "seeds. At 100 % a flat curve's own steps are understated, by 13 % in "
        "simulations; elsewhere the bias is under 3 %. Times fewer: ratio of geometric "
        "means, Welch's t interval on the logarithms; with seeds that never get there, "
        "the limit that holds if they had at their last step. Wall-clock counts "
        "evaluations and compilation."
    )
