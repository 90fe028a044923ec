"""Fig. 3 and the claims of Sec. 4.2.2 as tables, ours beside the paper's."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from bn_repro import records
from bn_repro.analysis import tables
from bn_repro.analysis.convergence import (
    PAPER,
    Course,
    Target,
    at_least_times_faster,
    compare,
    standard_error,
)
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


def figure3_table(found: Sequence[Course], target: Target) -> Table:
    """Returns one row a run: steps, images and time to the target, best accuracy."""
    known = any(course.key in PAPER for course in found)
    rows = []
    for course in found:
        flat = records.stated(course.run.config)
        rows.append(
            [
                course.label,
                f"{flat['optimizer.learning_rate']:g}",
                *to_target(course, target),
                best_text(course),
                verdict(course, target),
                *(_paper(course.key) if known else ()),
            ]
        )
    other = target.course.label if target.course else "the target"
    columns = ["Run", "Learning rate", "Steps to target", "Images", "Wall-clock"]
    columns += ["Best accuracy", f"Against {other}"]
    columns += ["Paper: steps to 72.2 %", "Paper: best"] if known else []
    return Table(
        "Figure 3: steps to the target and best accuracy", columns, rows, _note(target)
    )


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
        f"“{NOT_SHOWN}”: the runs tie, under two standard errors apart where the claim "
        "is decided. A speed claim of N times is decided by the evaluations up to the "
        "slower run's steps divided by N. One seed a run.",
    )


def to_target(course: Course, target: Target) -> list[str]:
    """Returns steps, images and wall-clock time to the target as text."""
    index = course.reached(target.accuracy)
    if index is not None:
        return [
            f"{course.steps[index]:,}",
            _number(course.images[index]),
            duration(course.seconds[index]),
        ]
    if course.diverged:
        return [tables.status_text(course.run), "-", "-"]
    return ["not reached" if course.ended else "not yet", "-", "-"]


def best_text(course: Course) -> str:
    """Returns "12.34 ± 0.46 % at step 2,750"; the error is the binomial one."""
    if not np.isfinite(course.best):
        return "-"
    error = standard_error(course.best, course.count)
    step = course.steps[course.reached(course.best)]
    return f"{100 * course.best:.2f} ± {100 * error:.2f} % at step {step:,}"


def verdict(course: Course, target: Target) -> str:
    """Returns how a run stands: its end, chance, and against the target's run."""
    words = []
    if course.diverged or not course.ended:
        words.append(tables.status_text(course.run))
    if course.at_chance():
        words.append("chance")
    if course is target.course:
        words.append("the target")
    elif target.course:
        sign = compare(course.best, target.accuracy, course.count, target.course.count)
        points = 100 * (course.best - target.accuracy)
        text = {1: "higher by", 0: "tie, difference", -1: "lower by"}[sign]
        shown = f"{abs(points):.2f}" if sign else f"{points:+.2f}"
        words += [f"{text} {shown} points"] if np.isfinite(points) else []
    return "; ".join(words) or "-"


def scale_note(course: Course) -> str:
    """Returns the scale of the runs and what it cannot show, in sentences."""
    flat = records.stated(course.run.config)
    size, width = flat["data.image_size"], flat["model.width"]
    text = (
        f"{size} x {size} pixels, {flat['model.width']:g} of the paper's width, "
        f"{course.classes:,} classes, {flat['steps']:,} steps of "
        f"{flat['batch_size']} pictures"
    )
    if (size, width, course.classes) == (224, 1, 1000):
        return f"Scale: {text}."
    return (
        f"Scale: {text}; the paper: 224 x 224, full width, 1,000 classes, up to "
        "31.0M steps of 32. This scale cannot show accuracies of the full network, "
        "nor steps to 72.2 %."
    )


def duration(seconds: float) -> str:
    """Returns "93 s", "35 min" or "3.4 h"."""
    if not np.isfinite(seconds):
        return "-"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


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
    if activations is None or not is_relu or not len(activations["steps"]):
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


def _paper(key: str) -> tuple[str, str]:
    if key not in PAPER:
        return "-", "-"
    _, steps, best = PAPER[key]
    reached = "never" if np.isinf(steps) else f"{steps / 1e6:.1f}M"
    return reached, "not printed" if best is None else f"{100 * best:.1f} %"


def _number(value: float) -> str:
    return f"{value:,.0f}" if np.isfinite(value) else "-"


def _note(target: Target) -> str:
    if not np.isfinite(target.accuracy):
        return "No target yet: its run has no evaluation."
    open_target = target.course is not None and not target.course.ended
    return (
        f"Target: {target.text()}{' so far' if open_target else ''}. A run reaches it "
        "at its first evaluation that is no lower. ± is the binomial standard error; "
        "a tie is under two standard errors of the difference; chance is within three "
        "of 1 / classes. The best of several evaluations is a little too high, for all "
        "runs alike. Wall-clock counts evaluations and compilation."
    )
