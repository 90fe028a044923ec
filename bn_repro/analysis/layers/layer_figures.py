"""The figures of layers that a report draws, and of which runs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from bn_repro.analysis import intake, style
from bn_repro.analysis.layers import layer_axes, layer_signals, layers_over_time
from bn_repro.analysis.style import Drawing
from bn_repro.run_folder.records import Run


class LayerFigure(NamedTuple):
    """A figure of the layers of a few runs."""

    draw: Callable  # function of the runs to figure and caption
    most: int  # runs side by side
    alt: str  # what it shows, for those who cannot see it
    least_layers: int = 1  # networks with fewer are told about in the tables
    # of `records.PROBE_FIELDS`, those that it draws; not every run has all
    fields: frozenset = frozenset()


LAYER_FIGURES = {
    "layers": LayerFigure(
        layers_over_time.draw_layers,
        4,
        "Inputs to the nonlinearities of every layer over training",
    ),
    "drift": LayerFigure(
        layers_over_time.draw_drift,
        len(style.SERIES),
        "Drift of the inputs to the nonlinearities by layer",
        least_layers=layers_over_time.MOST_BANDS + 1,
    ),
    "histograms": LayerFigure(
        layer_signals.draw_histograms,
        2,
        "Histograms of inputs and outputs of nonlinearities by layer",
        fields=layer_signals.HISTOGRAM_FIELDS,
    ),
    "gradients": LayerFigure(
        layer_signals.draw_gradient_norms,
        4,
        "Norms of the weights' gradients by layer over training",
        fields=frozenset({"gradient_norm"}),
    ),
}


def with_fields(runs: Sequence[Run], kind: LayerFigure) -> list[Run]:
    """Returns the runs that recorded what a figure draws."""
    return [r for r in layer_axes.recorded(runs) if kind.fields <= {*r.activations}]


def draw(runs: Sequence[Run], out: Path) -> tuple[list[Drawing], list[str]]:
    """Returns the figures of the layers of some runs that were probed, and notes."""
    drawings, notes = [], []
    for stem, kind in LAYER_FIGURES.items():
        able = with_fields(runs, kind) if kind.fields else layer_axes.probed(runs)
        if len(layer_axes.all_layers(able)) < kind.least_layers:
            continue

        def one(kept: list[Run], stem=stem, kind=kind) -> Drawing:
            drawn = kind.draw(kept[: kind.most])
            return style.save(drawn, out / stem, stem.capitalize(), kind.alt)

        drawn, odd = intake.without_odd(stem.capitalize(), one, able)
        drawings += [drawn] if drawn else []
        notes += odd
    return drawings, notes
