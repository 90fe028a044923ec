"""A sweep as a figure: accuracy and steps to a target against the swept value."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bn_repro.analysis import convergence, style
from bn_repro.analysis.style import Line
from bn_repro.analysis.sweep import comparison_tables
from bn_repro.analysis.sweep.comparison import Point, Sweep, SweptArm

HIGH = 0.8  # accuracy from which the error, on a logarithmic axis, tells more
LOG_RATIO = 20  # of the largest to the smallest value, for a logarithmic axis
ERROR_TICKS = (0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)


@style.styled
def draw_sweep(sweep: Sweep, target: float) -> tuple[Figure, str]:
    """Returns the figure of a sweep and its caption.

    Final accuracy, as a logarithmic error where the best comes beyond HIGH, and steps
    to the target; what its marks mean stands below. A target of NaN leaves its panel
    empty.
    """
    figure = Figure(figsize=(9.5, 4.6))
    final, steps = figure.subplots(1, 2)
    others = iter(style.OTHERS * len(sweep.arms))
    is_error = _best(sweep) > HIGH
    for i, arm in enumerate(sweep.arms):
        line = style.NORMS.get(arm.label) or next(others)
        places = _places(sweep, i)
        _accuracy(final, arm, is_error, line, i, places)
        _steps(steps, arm, target, line, i, places)
    seeds = _most_seeds(sweep)
    spread = "one seed" if seeds == 1 else f"mean and range of {seeds} seeds"
    for axes, title in (
        (final, f"(a) Final {'error' if is_error else 'accuracy'}, {spread}"),
        (steps, f"(b) Steps to {comparison_tables.target_text(target)}, {spread}"),
    ):
        axes.set_title(title)
        _value_axis(axes, sweep)
    _accuracy_axis(final, sweep, is_error)
    _steps_axis(steps, sweep)
    style.legend_below(figure, final, 3, also=_mark_key(sweep, target), fontsize=9)
    return figure, _caption(sweep)


def _best(sweep: Sweep) -> float:
    """Returns the highest mean final accuracy, 0 while there is none."""
    return max(
        (float(p.final.mean()) for p in sweep.points if p.final.size), default=0.0
    )


def _most_seeds(sweep: Sweep) -> int:
    return max(len(point.courses) for point in sweep.points)


def _accuracy(axes, arm: SweptArm, is_error: bool, line: Line, i, places) -> None:
    color = line.color
    shown = [point for point in arm.points if point.final.size]
    values = [1 - p.final if is_error else p.final for p in shown]
    _means(axes, shown, values, line, places, arm.label)
    at_chance = [
        (places[point.value], v.mean())
        for point, v in zip(shown, values, strict=True)
        if point.is_chance(point.final)
    ]
    places_, heights = [x for x, _ in at_chance], [y for _, y in at_chance]
    look = {"color": "white", "markeredgecolor": color, "markersize": 7, "zorder": 4}
    axes.plot(places_, heights, line.marker, **look)
    diverged = [p.value for p in arm.points if p.diverged]
    height = 0.97 - 0.05 * i if is_error else 0.03 + 0.05 * i
    _edge_marks(axes, diverged, height, "x", color)


def _missed(arm: SweptArm, target: float) -> list[float]:
    """Returns the values at which some seed did not reach the target, if known."""
    if np.isnan(target):
        return []
    never = [point for point in arm.points if np.isinf(point.steps_to(target)).any()]
    return [p.value for p in arm.points if p in never or p.diverged]


def _steps(axes, arm: SweptArm, target: float, line: Line, i, places) -> None:
    every = [(point, point.steps_to(target)) for point in arm.points]
    reached = [(point, s[np.isfinite(s)]) for point, s in every if np.isfinite(s).any()]
    points, values = [p for p, _ in reached], [s for _, s in reached]
    _means(axes, points, values, line, places, arm.label)
    _edge_marks(axes, _missed(arm, target), 0.97 - 0.05 * i, "^", line.color)


def _mark_key(sweep: Sweep, target: float) -> dict[str, Line2D]:
    """Returns what the marks that are there mean: text -> mark."""
    points = sweep.points
    grey = {"color": style.SOFT, "linestyle": "None", "markersize": 7}
    key = {"chance": Line2D([], [], color=style.SOFT, linewidth=0.8, linestyle=":")}
    if any(p.is_chance(p.final) for p in points):
        key["open: no better than chance"] = Line2D(
            [], [], marker="o", markerfacecolor="white", **grey
        )
    if any(point.diverged for point in points):
        cross = Line2D([], [], marker="x", markeredgewidth=2, **grey)
        key["(a) a seed diverged"] = cross
    if any(_missed(arm, target) for arm in sweep.arms):
        key["(b) a seed did not reach it"] = Line2D([], [], marker="^", **grey)
    return key


def _edge_marks(axes: Axes, values, height: float, marker: str, color: str) -> None:
    """Draws marks at a share of the panel's height."""
    if not values:
        return
    look = {"color": color, "markersize": 7, "markeredgewidth": 2}
    look["transform"] = axes.get_xaxis_transform()
    (marks,) = axes.plot(values, np.full(len(values), height), marker, **look)
    marks.set_in_layout(False)


def _means(
    axes: Axes, points: list[Point], values, line: Line, places: dict, label: str
) -> None:
    """Draws the mean of [n] values at each point, with a bar from lowest to highest."""
    means = np.array([v.mean() for v in values])
    # A mean of equal values may round to just beyond them.
    low = np.maximum(means - np.array([v.min() for v in values]), 0)
    high = np.maximum(np.array([v.max() for v in values]) - means, 0)
    axes.errorbar(
        np.array([places[point.value] for point in points]),
        means,
        yerr=(low, high),
        color=line.color,
        linestyle=line.dash,
        marker=line.marker,
        markersize=6,
        capsize=3,
        linewidth=1.6,
        label=label,
    )


def is_logarithmic(values: list[float]) -> bool:
    """Returns whether an axis of values, rising, is logarithmic."""
    return values[0] > 0 and values[-1] / values[0] > LOG_RATIO


def _places(sweep: Sweep, i: int) -> dict[float, float]:
    """Returns where arm i stands at each value: its bars hide no other arm's."""
    values = sweep.values
    if is_logarithmic(values):
        return {value: value * (1 + 0.05 * i) for value in values}
    step = 0.01 * (values[-1] - values[0])
    return {value: value + step * i for value in values}


def _value_axis(axes: Axes, sweep: Sweep) -> None:
    if is_logarithmic(sweep.values):
        axes.set_xscale("log")
    axes.set_xlabel(sweep.name)
    style.plain(axes)


def _accuracy_axis(axes: Axes, sweep: Sweep, is_error: bool) -> None:
    chance = sweep.arms[0].points[0].courses[0].chance
    level = 1 - chance if is_error else chance
    axes.axhline(level, color=style.SOFT, linewidth=0.8, linestyle=":")
    if is_error:
        axes.set_yscale("log", nonpositive="clip")
        axes.set_ylim(0.8 * (1 - _best(sweep)), 1.5)
        ticks = [t for t in ERROR_TICKS if axes.get_ylim()[0] <= t]
        axes.set_yticks(ticks, [f"{t:g}" for t in ticks], minor=False)
        axes.set_ylabel("fraction wrong on held-out pictures")
    else:
        axes.set_ylim(-0.08 * _best(sweep), 1.08 * _best(sweep) or 1.0)
        axes.set_ylabel("fraction correct on held-out pictures")


def _steps_axis(axes: Axes, sweep: Sweep) -> None:
    axes.set_yscale("log")
    every = [c.steps for point in sweep.points for c in point.courses]
    first = min((steps[1] for steps in every if steps.size > 1), default=1)
    axes.set_ylim(0.7 * first, 1.6 * max(_lengths(sweep)))
    axes.set_ylabel("training steps")


def _caption(sweep: Sweep) -> str:
    points, seeds = sweep.points, _most_seeds(sweep)
    counts = sorted({c.count for p in points for c in p.courses if c.count}) or [0]
    spread = (
        f"Mean over up to {seeds} seeds that finished, bar from lowest to highest. "
        if seeds > 1
        else f"One seed; the binomial standard error is at most "
        f"{100 * convergence.standard_error(0.5, counts[0]):.2f} points. "
    )
    return (
        f"{spread}(a) on {' or '.join(f'{count:,}' for count in counts)} "
        f"held-out pictures with moving averages after "
        f"{' or '.join(f'{steps:,}' for steps in _lengths(sweep))} steps."
    )


def _lengths(sweep: Sweep) -> list[int]:
    """Returns how many steps the runs of the arms are to do, rising."""
    return sorted({arm.config["steps"] for arm in sweep.arms})
