"""What Sec. 4.2.2 claims about the five networks beside what our runs show."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from bn_repro.analysis import tables
from bn_repro.analysis.convergence import (
    Course,
    Target,
    at_least_times_faster,
    compare,
)
from bn_repro.analysis.figure3 import best_text
from bn_repro.analysis.tables import Table

NOT_SHOWN = "not shown at this scale"
VERDICTS = {1: "yes", -1: "no", 0: NOT_SHOWN}


class Claim(NamedTuple):
    """A claim of the paper and how our runs are asked about it.

    Attributes:
      text: what is claimed.
      paper: the paper's numbers.
      runs: keys of the runs that are needed.
      check: function of their courses to (what ours show, verdict).
    """

    text: str
    paper: str
    runs: tuple[str, ...]
    check: Callable[..., tuple[str, str]]


def claims_table(found: Sequence[Course]) -> Table:
    """Returns what Sec. 4.2.2 claims beside what our runs show."""
    by_key = {course.key: course for course in found}
    rows = []
    for claim in CLAIMS:
        missing = [key for key in claim.runs if key not in by_key]
        chosen = [by_key[key] for key in claim.runs if key in by_key]
        open_ones = [course.label for course in chosen if not course.ended]
        if missing:
            ours, verdict = f"no run {', '.join(missing)}", "missing"
        else:
            ours, verdict = claim.check(*chosen)
        if open_ones and not missing:
            ours += f" (so far: {', '.join(open_ones)} unfinished)"
            verdict = "unfinished"
        rows.append([claim.text, claim.paper, ours, verdict])
    return Table(
        "Figures 2 and 3: the paper's claims and our runs",
        ["Claim", "Paper", "Ours", "Shown"],
        rows,
        f"“{NOT_SHOWN}”: where the claim is decided the runs tie, being under two "
        "standard errors apart, or were not evaluated. A claim of N times fewer steps "
        "is decided by the evaluations up to the slower run's steps divided by N, and "
        "the next one. One seed a run.",
    )


def _faster(times: float) -> Callable[[Course, Course], tuple[str, str]]:
    def check(slow: Course, fast: Course) -> tuple[str, str]:
        target = Target(slow.best, slow)
        own, index = slow.reached(slow.best), fast.reached(slow.best)
        if own is None or slow.at_chance():
            return f"{slow.label} stays at chance", NOT_SHOWN
        if index is None:
            ours = f"{fast.label} does not reach {slow.label}'s best"
        else:
            ratio = slow.steps[own] / max(fast.steps[index], 1)
            ours = (
                f"after {fast.steps[index]:,} of {slow.label}'s {slow.steps[own]:,} "
                f"steps: {ratio:.1f} times fewer"
            )
            ours += _spacing(fast, index, slow.steps[own])
        return ours, VERDICTS[at_least_times_faster(fast, target, times)]

    return check


def _spacing(fast: Course, index: int, steps: int) -> str:
    """Returns what the spacing of the evaluations leaves open."""
    before = fast.steps[index - 1] if index else 0
    most = f"up to {steps / before:.1f}" if before else "more"
    return f" ({most}, between two evaluations)"


def _slower_at_first(slow_start: Course, other: Course, plain: Course):
    index = other.reached(plain.best)
    if index is None:
        return f"{other.label} does not reach {plain.label}'s best", NOT_SHOWN
    step = other.steps[index]
    at = np.flatnonzero(slow_start.steps == step)
    if not at.size:
        return f"{slow_start.label} has no evaluation at step {step:,}", NOT_SHOWN
    pair = slow_start.accuracy[at[0]], other.accuracy[index]
    sign = compare(*pair, slow_start.count, other.count)
    ours = (
        f"at step {step:,}, where {other.label} reaches {plain.label}'s best: "
        f"{slow_start.label} {100 * pair[0]:.2f} %, {other.label} {100 * pair[1]:.2f} %"
    )
    return ours, VERDICTS[-sign]


def _better(one: Course, other: Course) -> tuple[str, str]:
    sign = compare(one.best, other.best, one.count, other.count)
    ours = f"{one.label} {best_text(one)}; {other.label} {best_text(other)}"
    return ours, VERDICTS[sign]


def _fails(course: Course) -> tuple[str, str]:
    if course.diverged:
        return tables.status_text(course.run), "yes"
    if course.at_chance():
        return f"stays at chance, {best_text(course)}, without diverging", "yes"
    return f"trains: {best_text(course)}", "no"


def _at_chance(course: Course) -> tuple[str, str]:
    shown = "yes" if course.at_chance() else "no"
    where = tables.status_text(course.run) if course.diverged else best_text(course)
    return f"{where}; chance is {100 / course.classes:g} %", shown


def _not_sparse(*compared: Course) -> tuple[str, str]:
    shares = [zero_share(course) for course in compared]
    if None in shares:
        return "not recorded", "-"
    ours = ", ".join(
        f"{course.label} {100 * share:.0f} %"
        for course, share in zip(compared, shares, strict=True)
    )
    return f"zero outputs of ReLU at the end, median over layers: {ours}", "-"


def zero_share(course: Course) -> float | None:
    """Returns the share of zero ReLU outputs, median over layers, at the last probe.

    None if the network has other nonlinearities or no probe was recorded.
    """
    activations = course.run.activations
    is_relu = course.run.config["model"]["nonlinearity"] == "relu"
    if not is_relu or "saturated" not in (activations or {}):
        return None
    if not len(activations["steps"]):
        return None
    return float(np.median(activations["saturated"][-1]))  # slope 0: output 0


CLAIMS = (
    Claim(
        "BN-Baseline matches Inception's best in less than half the steps",
        "13.3M of 31.0M steps",
        ("inception", "bn_baseline"),
        _faster(2),
    ),
    Claim(
        "BN-x5 needs 14 times fewer steps than Inception",
        "2.1M of 31.0M steps",
        ("inception", "bn_x5"),
        _faster(14),
    ),
    Claim(
        "BN-x30 is slower at first than BN-x5",
        "2.7M against 2.1M steps to 72.2 %",
        ("bn_x30", "bn_x5", "inception"),
        _slower_at_first,
    ),
    Claim(
        "BN-x30 comes further than BN-x5",
        "74.8 % against 73.0 %",
        ("bn_x30", "bn_x5"),
        _better,
    ),
    Claim(
        "BN-x5-Sigmoid trains, Inception with sigmoids does not",
        "69.8 % against 0.1 % (chance)",
        ("bn_x5_sigmoid", "inception_sigmoid"),
        _better,
    ),
    Claim(
        "Inception with sigmoids stays at chance",
        "never above 0.1 %",
        ("inception_sigmoid",),
        _at_chance,
    ),
    Claim(
        "Inception at 5 times the learning rate fails",
        "parameters reach machine infinity",
        ("inception_x5",),
        _fails,
    ),
    Claim(
        "Activations are not sparse, neither with nor without BN",
        "not sparse",
        ("inception", "bn_baseline"),
        _not_sparse,
    ),
)
