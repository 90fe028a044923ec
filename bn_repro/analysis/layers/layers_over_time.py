"""How the inputs to every layer's nonlinearity move during training (Sec. 4.1).

Fig. 1b and 1c show one unit of the last hidden layer; here are all layers, of any
network, for chosen runs side by side: percentile bands of the layers' typical units,
heat maps over layers and training, and the drift scores of `drift` by layer.
"""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bn_repro.analysis import convergence, style, tables
from bn_repro.analysis.layers import drift, layer_axes
from bn_repro.errors import UserError
from bn_repro.run_folder.records import Run

MOST_BANDS = 8  # layers; more are drawn as a heat map
DRIFTS = ("Location drift", "Scale drift")


@style.styled
def draw_layers(runs: Sequence[Run]) -> tuple[Figure, str]:
    """Returns bands for networks of few layers and heat maps for others, and a caption.

    Raises:
      UserError: a run has fewer than two probes.
    """
    most = max((len(tables.layers_of(run)) for run in runs), default=0)
    return draw_bands(runs) if most <= MOST_BANDS else draw_heat_maps(runs)


@style.styled
def draw_bands(runs: Sequence[Run]) -> tuple[Figure, str]:
    """Returns percentile bands, a row a layer and a column a run, and their caption.

    Raises:
      UserError: a run has fewer than two probes.
    """
    _require_probes(runs)
    layers = layer_axes.all_layers(runs)
    size = (3.6 * len(runs) + 0.6, 1.7 * len(layers) + 0.8)
    figure = Figure(figsize=size)
    grid = figure.subplots(len(layers), len(runs), sharey=True, squeeze=False)
    for column, run in enumerate(runs):
        grid[0, column].set_title(layer_axes.title(run), fontsize=10)
        for row, layer in enumerate(layers):
            axes = grid[row, column]
            if layer in tables.layers_of(run):
                _band(axes, run, layer, layer_axes.line(run, column).color)
                layer_axes.probe_axis(axes, run.activations["steps"])
            else:
                axes.set_axis_off()
            axes.label_outer()
    for row, layer in enumerate(layers):
        grid[row, 0].set_ylabel(layer)
    caption = (
        "15th, 50th and 85th percentiles of the input to the nonlinearity of each "
        "layer's typical unit, the one with the layer's median location drift (counted "
        "among those recorded); BN normalises by mini-batch. One scale for all panels."
    )
    return figure, caption


@style.styled
def draw_heat_maps(runs: Sequence[Run]) -> tuple[Figure, str]:
    """Returns heat maps over layers and probes, a column a run, and their caption.

    Raises:
      UserError: a run has fewer than two probes.
    """
    _require_probes(runs)
    most = max(len(tables.layers_of(run)) for run in runs)
    size = (3.3 * len(runs) + 1.6, 2 * min(max(2.2, 0.07 * most), 6.0) + 0.8)
    figure = Figure(figsize=size)
    grid = figure.subplots(2, len(runs), squeeze=False)
    for row, (measure, label, colors, is_signed) in enumerate(
        (
            (location_moved, "moved, in spreads", "viridis", False),
            (scale_moved, "ln(spread / first spread)", "RdBu_r", True),
        )
    ):
        maps = [measure(run.activations) for run in runs]
        most_ = _largest(maps)
        for axes, run, values in zip(grid[row], runs, maps, strict=True):
            ends = {"vmin": -most_ if is_signed else 0, "vmax": most_}
            look = {"aspect": "auto", "interpolation": "nearest", "cmap": colors}
            image = axes.imshow(values, **look, **ends)
            _map_axes(axes, run, is_last=row == 1)
            if row == 0:
                axes.set_title(layer_axes.title(run), fontsize=10)
        ends = "both" if is_signed else "max"
        figure.colorbar(image, ax=grid[row], label=label, shrink=0.9, extend=ends)
    caption = (
        "Inputs to every nonlinearity, first layer at the top, against training "
        "(probes are equally wide). Above: how far the medians have moved since the "
        "first probe, in mean 15-85 percentile spreads; below: how the spread has "
        "changed. Median over a layer's recorded units; the colour ends at the 99th "
        "percentile of all cells."
    )
    return figure, caption


@style.styled
def draw_drift(runs: Sequence[Run], from_step: int = 0) -> tuple[Figure, str]:
    """Returns location and scale drift by layer, a curve a run, and the caption.

    Over the steps that all of them cover, from `from_step` on.

    Raises:
      UserError: a run has fewer than two probes.
    """
    _require_probes(runs)
    figure = Figure(figsize=(11, 3.6))
    panels = figure.subplots(1, 2)
    layers = layer_axes.all_layers(runs)
    over = drift.window([run.activations for run in runs], from_step)
    scored = [drift.layer_scores(run.activations, over) for run in runs]
    for i, (run, scores) in enumerate(zip(runs, scored, strict=True)):  # [2, L, 3]
        places = [layers.index(name) for name in run.activations["layers"]]
        color, dash, _ = layer_axes.line(run, i)
        for axes, rows in zip(panels, scores, strict=True):
            median, lower, upper = np.where(np.isfinite(rows), rows, np.nan).T
            line = {"color": color, "linestyle": dash, "label": layer_axes.title(run)}
            axes.plot(places, median, marker="o", markersize=3, **line)
            axes.fill_between(places, lower, upper, color=color, alpha=0.12, lw=0)
    tops = _tops(runs, scored)
    beyond = [
        layer_axes.title(run)
        for run, scores in zip(runs, scored, strict=True)
        if (_highest(scores) > tops).any()
    ]
    for axes, name, top in zip(panels, DRIFTS, tops, strict=True):
        axes.set_title(name)
        axes.set_ylim(0, top if beyond else None)
        layer_axes.layer_ticks(axes.xaxis, layers)
        style.plain(axes)
    style.legend_below(figure, panels, 4)
    caption = (
        f"Drift of the inputs to each layer's nonlinearities{_from_to(over)}: (max - "
        "min of a unit's median over time) / (its mean 15-85 percentile spread), and "
        "ln(largest / smallest spread). Median over the layer's recorded units, band "
        "between the quartiles; gaps are layers that are dead: their spread is below "
        f"{drift.DEAD:g} of their median's size."
    )
    outside = [
        layer_axes.title(run)
        for run, scores in zip(runs, scored, strict=True)
        if not np.isfinite(scores).any()
    ]
    if outside:
        caption += f" Not probed over these steps, or all dead: {', '.join(outside)}."
    if beyond:
        named = ", ".join(beyond)
        caption += f" Beyond the axes, which follow those that learned: {named}."
    return figure, caption


def _tops(runs: Sequence[Run], scored: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the end of each axis [2]: all of the runs that learned lie below."""
    courses = map(convergence.course, runs)
    shown = [
        scores
        for scores, course in zip(scored, courses, strict=True)
        if not course.diverged
        and not (np.isfinite(course.end) and course.is_chance(course.end))
    ]
    return 1.05 * np.maximum.reduce([*map(_highest, shown or scored)]) + 1e-6


def _highest(scores: np.ndarray) -> np.ndarray:
    """Returns the highest finite location and scale drift of [2, L, 3]."""
    return np.where(np.isfinite(scores), scores, 0).max((1, 2))


def location_moved(activations: dict) -> np.ndarray:
    """Returns how far the medians have moved since the first probe: [L, T].

    |m(t) - m(0)| / (mean spread over time), median over the layer's units.
    """

    def moved(median: np.ndarray, spread: np.ndarray) -> np.ndarray:
        far = np.abs(median - median[0])
        mean = drift.time_mean(spread, activations["steps"])
        return np.where(far == 0, 0.0, far / mean)

    return _by_layer(activations, moved)


def scale_moved(activations: dict) -> np.ndarray:
    """Returns ln(s(t) / s(0)) of the spreads, median over the layer's units: [L, T]."""

    def moved(_, spread: np.ndarray) -> np.ndarray:
        return np.where(spread == spread[0], 0.0, np.log(spread / spread[0]))

    return _by_layer(activations, moved)


def _by_layer(activations: dict, measure: Callable) -> np.ndarray:
    """Returns the median over units of a measure of median and spread: [L, T]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.array(
            [
                np.median(measure(*drift.median_and_spread(activations, layer)), axis=1)
                for layer in activations["layers"]
            ]
        )


def _from_to(over: drift.Window | None) -> str:
    return f" from step {over.first:,.0f} to {over.last:,.0f}" if over else ""


def _band(axes: Axes, run: Run, layer: str, color: str) -> None:
    unit = drift.typical_unit(run.activations, layer)
    location, _ = drift.unit_drifts(run.activations, layer)
    steps = run.activations["steps"]
    recorded = run.activations
    rows = [drift.percentile(recorded, layer, p)[:, unit] for p in drift.PERCENTILES]
    axes.fill_between(steps, rows[0], rows[2], color=color, alpha=0.15, lw=0)
    for row, width in zip(rows, (1.0, 1.7, 1.0), strict=True):
        axes.plot(steps, row, color=color, linewidth=width)
    axes.annotate(
        f"unit {unit}" + (", dead" if np.isinf(location[unit]) else ""),
        (0.98, 0.04),
        xycoords="axes fraction",
        ha="right",
        fontsize=7,
        bbox={"color": "white", "alpha": 0.7, "pad": 1},
    )


def _map_axes(axes: Axes, run: Run, is_last: bool) -> None:
    steps = run.activations["steps"]
    shown = np.unique(np.linspace(0, len(steps) - 1, 6).round().astype(int))
    axes.set_xticks(shown, [_short(steps[i]) for i in shown], fontsize=8)
    if is_last:
        axes.set_xlabel("training steps")
    layer_axes.layer_ticks(axes.yaxis, run.activations["layers"])


def _short(step: int) -> str:
    return f"{step / 1000:g}K" if step >= 1000 and step % 100 == 0 else f"{step:,}"


def _largest(maps: Sequence[np.ndarray]) -> float:
    """Returns the 99th percentile of the finite magnitudes of all cells, at least 0."""
    values = np.abs(np.concatenate([values.ravel() for values in maps]))
    values = values[np.isfinite(values)]
    return float(np.percentile(values, 99)) or 1.0 if values.size else 1.0


def _require_probes(runs: Sequence[Run]) -> None:
    if not runs:
        raise UserError("no run to draw the layers of")
    for run in runs:
        if run not in layer_axes.probed(runs):
            raise UserError(
                f"run {run.name} has fewer than two probes of percentiles 15, 50 and "
                "85; record them with probe.every or probe.log_spaced, and "
                "probe.percentiles"
            )
