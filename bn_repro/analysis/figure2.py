"""Fig. 2: held-out accuracy against training steps, in the paper's layout."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bn_repro.analysis import figure1, figure3, tables
from bn_repro.analysis.convergence import (
    Course,
    Target,
    of_the_paper,
    standard_error,
)
from bn_repro.analysis.figure1 import Drawing

# Okabe and Ito's colours and a dash each, for print and colour-blind readers.
STYLES = {
    "inception": ("#000000", (0, (5, 2))),
    "bn_baseline": ("#D55E00", (0, (1, 1))),
    "bn_x5": ("#009E73", (0, (6, 1.5, 1, 1.5))),
    "bn_x30": ("#0072B2", "-"),
    "bn_x5_sigmoid": ("#CC79A7", (0, (3, 1))),
    "inception_x5": ("#999999", (0, (5, 2))),
    "inception_sigmoid": ("#E69F00", (0, (1, 1.5))),
}
OTHERS = (
    ("#0072B2", "-"),
    ("#D55E00", (0, (4, 1.5))),
    ("#CC79A7", "-"),
    ("#56B4E9", (0, (4, 1.5))),
    ("#E69F00", "-"),
    ("#7F3C8D", (0, (1, 1))),
    ("#444444", (0, (6, 1.5, 1, 1.5))),
)
BAND = 2  # standard errors


def figure2(found: Sequence[Course], target: Target, out: str | os.PathLike) -> Drawing:
    """Draws Fig. 2 as figure2.png and figure2.pdf in the folder `out`.

    Other networks than the paper's in the same layout are convergence.png and .pdf.
    """
    figure, caption = draw_figure2(found, target)
    is_papers = of_the_paper(found)
    return figure1.save(
        figure,
        Path(out) / ("figure2" if is_papers else "convergence"),
        "Figure 2" if is_papers else "Convergence",
        caption,
        "Held-out accuracy against training steps, one curve a network",
    )


def draw_figure2(found: Sequence[Course], target: Target) -> tuple[Figure, str]:
    """Returns Fig. 2 and its caption.

    Args:
      found: the courses, at least one.
      target: the accuracy whose first crossing is marked on every curve.
    """
    figure = Figure(figsize=(8.5, 4.8), dpi=150, layout="constrained")
    axes = figure.subplots()
    others = iter(OTHERS * len(found))
    for course in found:
        color, dash = STYLES.get(course.key) or next(others)
        _curve(axes, course, color, dash)
        _marker(axes, course, target, color)
    _reference_lines(axes, found, target)
    figure1.step_axis(axes, max(course.run.config["steps"] for course in found))
    axes.set_ylim(0, _top(found))
    axes.set_ylabel("fraction of validation pictures correct")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure, _caption(found, target)


def _top(found: Sequence[Course]) -> float:
    """Returns the end of the accuracy axis, above every band."""
    tops = [c.best + BAND * standard_error(c.best, c.count) for c in found]
    return min(1.0, 1.05 * max(filter(np.isfinite, tops), default=1.0) or 1.0)


def _curve(axes: Axes, course: Course, color: str, dash) -> None:
    label = course.label
    if course.diverged:
        label += f"\n({tables.status_text(course.run)})"
    elif not course.ended:
        label += (
            f"\n({course.run.status['status']}, step {course.run.status['step']:,})"
        )
    axes.plot(
        course.steps,
        course.accuracy,
        color=color,
        linestyle=dash,
        linewidth=1.8,
        label=label,
    )
    error = [BAND * standard_error(p, course.count) for p in course.accuracy]
    axes.fill_between(
        course.steps,
        course.accuracy - error,
        course.accuracy + error,
        color=color,
        alpha=0.12,
        lw=0,
    )
    if course.diverged and course.steps.size:
        end = course.steps[-1], np.nan_to_num(course.accuracy[-1])
        axes.plot(*end, "x", color=color, markersize=9, clip_on=False)


def _marker(axes: Axes, course: Course, target: Target, color: str) -> None:
    index = course.reached(target.accuracy)
    if index is None:
        return
    axes.plot(
        course.steps[index],
        course.accuracy[index],
        "D",
        color=color,
        markersize=8,
        markeredgecolor="white",
        clip_on=False,
        zorder=5,
    )


def _reference_lines(axes: Axes, found: Sequence[Course], target: Target) -> None:
    chance = 1 / found[0].classes
    axes.axhline(chance, color="#666666", linewidth=0.8, linestyle=":", label="chance")
    if not np.isfinite(target.accuracy):
        return
    axes.axhline(target.accuracy, color="#666666", linewidth=0.8)
    name = target.course.label if target.course else "the target"
    axes.plot(
        [],
        [],
        "D",
        color="#666666",
        markersize=8,
        markeredgecolor="white",
        label=f"steps to match {name}",
    )


def _caption(found: Sequence[Course], target: Target) -> str:
    counts = sorted({course.count for course in found if course.count})
    pictures = " or ".join(f"{count:,}" for count in counts) or "no"
    parts = [
        f"Accuracy @1 with moving averages, single crop, on {pictures} validation "
        f"pictures; band: ± {BAND} binomial standard errors. One seed a network."
    ]
    if np.isfinite(target.accuracy):
        parts.append(
            f"Diamond: first evaluation at {target.text()} (horizontal line) or above."
        )
        if target.course and target.course.at_chance():
            parts.append("The target is chance itself: steps to it say nothing.")
    if any(course.diverged for course in found):
        parts.append("Cross: the last evaluation before the run diverged.")
    parts.append(figure3.scale_note(found[0]))
    return " ".join(parts)
