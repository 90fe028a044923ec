"""A sweep as a figure: accuracy and steps to a target against the swept value."""

import os
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bn_repro.analysis import convergence, figure1
from bn_repro.analysis.figure1 import Drawing
from bn_repro.analysis.sweep.comparison import Point, Sweep, SweptArm

STYLES = {
    "Without BN": ("#D55E00", (0, (4, 1.5)), "s"),
    "With BN": ("#0072B2", "-", "o"),
}
OTHERS = (
    ("#009E73", (0, (6, 1.5, 1, 1.5)), "^"),
    ("#CC79A7", (0, (1, 1)), "v"),
    ("#E69F00", "-", "P"),
    ("#000000", (0, (5, 2)), "X"),
)
LOG_RATIO = 20  # of the largest to the smallest value, for a logarithmic axis


def sweep_figure(sweep: Sweep, target: float, out: str | os.PathLike) -> Drawing:
    """Draws the sweep as sweep.png and sweep.pdf in the folder `out`."""
    figure, caption = draw_sweep(sweep, target)
    return figure1.save(
        figure,
        Path(out) / "sweep",
        "Sweep",
        caption,
        f"Accuracy and steps to a target against the {sweep.name}",
    )


def draw_sweep(sweep: Sweep, target: float) -> tuple[Figure, str]:
    """Returns the figure of a sweep and its caption.

    Args:
      sweep: the sweep.
      target: the accuracy to which steps are counted; NaN leaves that panel empty.
    """
    figure = Figure(figsize=(12, 4.2), dpi=150, layout="constrained")
    final, best, steps = figure.subplots(1, 3)
    others = iter(OTHERS * len(sweep.arms))
    for i, arm in enumerate(sweep.arms):
        style = STYLES.get(arm.label) or next(others)
        _accuracy(final, arm, "final", style, i)
        _accuracy(best, arm, "best", style, i)
        _steps(steps, arm, target, style, i)
    for axes, title in (
        (final, "(a) Final accuracy"),
        (best, "(b) Best accuracy"),
        (steps, f"(c) Steps to {100 * target:.4g} %"),
    ):
        axes.set_title(title, loc="left", fontsize=11)
        _value_axis(axes, sweep)
    _accuracy_axes((final, best), sweep)
    _steps_axis(steps, sweep)
    handles, labels = final.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, frameon=False)
    return figure, _caption(sweep)


def _accuracy(axes: Axes, arm: SweptArm, field: str, style, i: int) -> None:
    color, dash, marker = style
    shown = [point for point in arm.points if getattr(point, field).size]
    _means(axes, shown, [getattr(p, field) for p in shown], style, i, arm.label)
    at_chance = [p for p in shown if p.is_chance(getattr(p, field))]
    axes.plot(
        [_dodge(p.value, i) for p in at_chance],
        [getattr(p, field).mean() for p in at_chance],
        marker,
        markersize=7,
        color="white",
        markeredgecolor=color,
        zorder=4,
    )
    diverged = [p.value for p in arm.points if p.diverged]
    _edge_marks(axes, diverged, 0.03 + 0.05 * i, "x", color)


def _steps(axes: Axes, arm: SweptArm, target: float, style, i: int) -> None:
    every = [(point, point.steps_to(target)) for point in arm.points]
    reached = [(point, s[np.isfinite(s)]) for point, s in every if np.isfinite(s).any()]
    _means(axes, [p for p, _ in reached], [s for _, s in reached], style, i, arm.label)
    missed = [point.value for point, s in every if np.isinf(s).any() or point.diverged]
    _edge_marks(axes, missed, 0.97 - 0.05 * i, "^", style[0])


def _edge_marks(axes: Axes, values, height: float, marker: str, color: str) -> None:
    """Draws marks at a share of the panel's height."""
    if not values:
        return
    (marks,) = axes.plot(
        values,
        np.full(len(values), height),
        marker,
        color=color,
        markersize=7,
        markeredgewidth=2,
        transform=axes.get_xaxis_transform(),
    )
    marks.set_in_layout(False)


def _means(axes: Axes, points: list[Point], values, style, i: int, label: str) -> None:
    """Draws the mean of [n] values at each point, with a bar from lowest to highest."""
    color, dash, marker = style
    means = np.array([v.mean() for v in values])
    # A mean of equal values may round to just beyond them.
    low = np.maximum(means - np.array([v.min() for v in values]), 0)
    high = np.maximum(np.array([v.max() for v in values]) - means, 0)
    axes.errorbar(
        np.array([_dodge(point.value, i) for point in points]),
        means,
        yerr=(low, high),
        color=color,
        linestyle=dash,
        marker=marker,
        markersize=6,
        capsize=3,
        linewidth=1.6,
        label=label,
    )


def _dodge(value: float, i: int) -> float:
    return value * (1 + 0.05 * i)  # so that one arm's bars do not hide another's


def _value_axis(axes: Axes, sweep: Sweep) -> None:
    values = [point.value for arm in sweep.arms for point in arm.points]
    if min(values) > 0 and max(values) / min(values) > LOG_RATIO:
        axes.set_xscale("log")
    axes.set_xlabel(sweep.name)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _accuracy_axes(panels: tuple[Axes, Axes], sweep: Sweep) -> None:
    points = [point for arm in sweep.arms for point in arm.points]
    one = points[0].courses[0]
    top = max((float(p.best.max()) for p in points if p.best.size), default=1.0)
    for axes in panels:
        axes.axhline(1 / one.classes, color="#666666", linewidth=0.8, linestyle=":")
        axes.set_ylim(-0.08 * top, 1.04 * top)
        axes.set_ylabel("fraction correct on held-out pictures")


def _steps_axis(axes: Axes, sweep: Sweep) -> None:
    axes.set_yscale("log")
    first = min(
        (
            c.steps[1]
            for arm in sweep.arms
            for p in arm.points
            for c in p.courses
            if c.steps.size > 1
        ),
        default=1,
    )
    axes.set_ylim(0.7 * first, 1.6 * sweep.arms[0].config["steps"])
    axes.set_ylabel("training steps")


def _caption(sweep: Sweep) -> str:
    points = [point for arm in sweep.arms for point in arm.points]
    seeds = max(len(point.courses) for point in points)
    one = next((c for p in points for c in p.courses if c.count), points[0].courses[0])
    spread = (
        f"Mean over up to {seeds} seeds that finished, bar from lowest to highest. "
        if seeds > 1
        else f"One seed; the binomial standard error is at most "
        f"{100 * convergence.standard_error(0.5, one.count):.2f} points. "
    )
    text = (
        f"{spread}Accuracy on {one.count:,} held-out pictures with moving averages "
        f"after {sweep.arms[0].config['steps']:,} steps. Dotted line and open mark: "
        "chance. Cross at the bottom: a seed diverged there. (c) Triangle at the top: "
        "a seed did not reach the accuracy."
    )
    unfinished = sum(len(point.unfinished) for point in points)
    return text + (f" Unfinished runs, left out: {unfinished}." if unfinished else "")
