"""Fig. 3 and the claims of Sec. 4.2.2 as tables, ours beside the paper's."""

from collections.abc import Sequence

import numpy as np

from bn_repro.analysis import tables
from bn_repro.analysis.convergence import (
    PAPER,
    Course,
    Target,
    compare,
    of_the_paper,
    standard_error,
)
from bn_repro.analysis.tables import Table


def figure3_table(found: Sequence[Course], target: Target) -> Table:
    """Returns one row a run: steps, images and time to the target, best accuracy."""
    known = of_the_paper(found)
    rows = []
    for course in found:
        flat = course.run.stated
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
        f"{'Figure 3: s' if known else 'S'}teps to the target and best accuracy",
        columns,
        rows,
        _note(target),
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
    flat = course.run.stated
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
