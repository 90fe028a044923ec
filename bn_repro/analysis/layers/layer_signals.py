"""What passes through the layers: histograms of activations, norms of gradients.

Saturated nonlinearities and vanishing gradients are what BN is said to prevent (Sec. 1
and 3.3); both were recorded at every probe of a run.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bn_repro.analysis import style, tables
from bn_repro.analysis.layers import drift, layer_axes
from bn_repro.run_folder.records import Run

MOST_LAYERS = 6  # with histograms, evenly spaced
COLORS = "viridis_r"
_KINDS = itertools.product(("input", "output"), ("histogram", "range"))
HISTOGRAM_FIELDS = frozenset({"saturated", *map("_".join, _KINDS)})


@style.styled
def draw_histograms(runs: Sequence[Run]) -> tuple[Figure, str]:
    """Returns histograms of the inputs and outputs of nonlinearities, and a caption.

    Two columns a run, input and output; a row each of at most MOST_LAYERS, empty where
    a run lacks the layer; of the first probe, the one in the middle of the list, and
    the last.
    """
    layers = spaced(layer_axes.all_layers(runs), MOST_LAYERS)
    size = (5.2 * len(runs) + 0.4, 1.5 * len(layers) + 0.9)
    figure = Figure(figsize=size)
    parts = figure.subfigures(1, len(runs), squeeze=False)[0]
    grids = [part.subplots(len(layers), 2, squeeze=False) for part in parts]
    for part, grid, run in zip(parts, grids, runs, strict=True):
        part.suptitle(layer_axes.title(run), x=0.02, ha="left", fontsize=10)
        for row, layer in zip(grid, layers, strict=True):
            _histograms(row, run, layer)
        for axes, name in zip(grid[-1], ("input", "output"), strict=True):
            axes.set_xlabel(f"{name} of the {style.nonlinearity(run)}")
    _share_ranges(np.array(grids))
    caption = (
        "Histograms of what goes into and comes out of the nonlinearities of a layer, "
        "over the probe set and all units, at the steps given; beside them the share "
        "of saturated values, whose slope is below "
        f"{runs[0].config.get('probe', {}).get('saturated_slope', 0.05):g} of the "
        'largest (for ReLU: zero outputs), or "dead" where most units tell no examples '
        "apart. BN normalises by mini-batch. Each histogram is scaled to its own peak; "
        "the outermost bins, which hold ReLU's zeros and all that lies beyond, are "
        "left out but for outputs that have bounds."
    )
    return figure, caption


@style.styled
def draw_gradient_norms(runs: Sequence[Run]) -> tuple[Figure, str]:
    """Returns the norms of the weights' gradients by layer, at first and in the end."""
    layers = layer_axes.all_layers(runs)
    size = (min(4.5 + 0.25 * len(layers), 10.0), 4.2)
    figure = Figure(figsize=size)
    axes = figure.subplots()
    _norms_by_layer(axes, runs, layers)
    dashes = {
        f"{name} ({_probed_at(runs, name)})": Line2D([], [], color=style.SOFT, ls=dash)
        for dash, name in ((":", "first probe"), ("-", "last probe"))
    }
    style.legend_below(figure, axes, 2, also=dashes, fontsize=8)
    caption = (
        "Norm of the gradient of each layer's weights over the probe set, BN by "
        "mini-batch, against the layer, from input to output. Falling to the left: "
        "gradients vanish on the way back. Norms of zero are left out."
    )
    return figure, caption


def spaced(items: Sequence, most: int) -> list:
    """Returns at most so many items, evenly spaced, with the first and the last."""
    places = np.linspace(0, len(items) - 1, min(most, len(items)))
    return [items[place] for place in places.round().astype(int)]


def gradient_ratio(activations: dict) -> np.ndarray:
    """Returns the gradient norm of the first layer over that of the last: [T].

    Below 1 the gradient shrinks on its way back; NaN where the last layer's is zero.
    """
    norms = activations["gradient_norm"].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = norms[:, 0] / norms[:, -1]
    return np.where(np.isfinite(ratio), ratio, np.nan)


def _histograms(row: Sequence[Axes], run: Run, layer: str) -> None:
    activations = run.activations
    if layer not in activations["layers"]:
        for axes in row:
            axes.set_axis_off()
        return
    last = len(activations["steps"]) - 1
    probes = sorted({0, last // 2, last})
    place = activations["layers"].index(layer)
    shades = colormaps[COLORS](np.linspace(0.15, 1.0, len(probes)))
    for axes, side in zip(row, ("input", "output"), strict=True):
        for probe, color in zip(probes, shades, strict=True):
            low, high = activations[f"{side}_range"][probe, place]
            shares = activations[f"{side}_histogram"][probe, place]
            edges = np.linspace(low, high, len(shares) + 1)
            if side == "input" or style.nonlinearity(run) == "ReLU":
                shares, edges = shares[1:-1], edges[1:-1]
            peak = float(shares.max(initial=0.0)) or 1.0
            axes.stairs(shares / peak, edges, color=color, linewidth=1.3)
        axes.set_yticks([])
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.set_ylim(0, 1.05)
    row[0].set_ylabel(layer, fontsize=8)
    texts = [_saturated(run, layer, place, probe) for probe in probes]
    steps = [f"{activations['steps'][p]:,}" for p in probes]
    row[1].legend(
        [f"step {step}: {text}" for step, text in zip(steps, texts, strict=True)],
        title="saturated",
        title_fontsize=7,
        fontsize=7,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
    )


def _saturated(run: Run, layer: str, place: int, probe: int) -> str:
    """Returns the share of a layer's saturated outputs, or "dead".

    Dead is a layer of which most units tell no examples apart, by the outermost
    percentiles recorded, or of which all outputs are ReLU's zeros.
    """
    inputs = run.activations[layer][probe].astype(np.float64)  # [P, units]
    low, high = inputs.min(axis=0), inputs.max(axis=0)
    dead = drift.is_dead((low + high) / 2, high - low).mean() > 0.5
    share = float(run.activations["saturated"][probe, place])
    silent = style.nonlinearity(run) == "ReLU" and share > 0.9995
    if silent or (len(inputs) > 1 and dead):
        return "dead"
    return f"{100 * share:.0f} %"


def _share_ranges(grids: np.ndarray) -> None:
    """Gives the panels of a layer one range over all runs: axes [runs, rows, 2]."""
    for panels in grids.transpose(1, 2, 0).reshape(-1, len(grids)):
        limits = np.array([axes.get_xlim() for axes in panels])
        for axes in panels:
            axes.set_xlim(limits[:, 0].min(), limits[:, 1].max())


def _norms_by_layer(axes: Axes, runs: Sequence[Run], layers: list[str]) -> None:
    for i, run in enumerate(runs):
        places = [layers.index(name) for name in tables.layers_of(run)]
        norms, color = _positive(run), layer_axes.line(run, i).color
        label = layer_axes.title(run)
        axes.plot(places, norms[0], ":", color=color, linewidth=1.4)
        axes.plot(places, norms[-1], "-", color=color, label=label, linewidth=1.6)
    axes.set_yscale("log")
    axes.set_ylabel("norm of the gradient")
    layer_axes.layer_ticks(axes.xaxis, layers)
    style.plain(axes)


def _probed_at(runs: Sequence[Run], which: str) -> str:
    """Returns the steps of the runs' first or last probes: "step 0", "steps 5, 9"."""
    place = 0 if which == "first probe" else -1
    steps = sorted({int(run.activations["steps"][place]) for run in runs})
    return f"step{'s' * (len(steps) > 1)} {', '.join(f'{step:,}' for step in steps)}"


def _positive(run: Run) -> np.ndarray:
    norms = run.activations["gradient_norm"].astype(np.float64)  # [T, L]
    return np.where(norms > 0, norms, np.nan)
