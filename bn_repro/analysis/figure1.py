"""Figures drawn from run folders: Fig. 1 in the paper's layout."""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bn_repro.analysis import arms, style, tables
from bn_repro.analysis.arms import Arm
from bn_repro.analysis.layers import drift
from bn_repro.run_folder.records import Run

LABELS = {"bn": "With BN", "plain": "Without BN"}
PAPER_ACCURACY = (0.7, 1.0)  # the y axis of Fig. 1a
PAPER_INPUTS = (-2.0, 2.0)  # the y axes of Fig. 1b and 1c


class Typical(NamedTuple):
    """The typical unit of the last hidden layer of one run."""

    run: Run
    layer: str
    unit: int
    steps: np.ndarray  # [T]
    percentiles: np.ndarray  # [3, T]: 15th, 50th, 85th of the unit's input


@style.styled
def draw_figure1(selected: arms.Figure1) -> tuple[Figure, str]:
    """Returns Fig. 1 and its caption.

    The axes are the paper's; where our curves leave them they grow and the caption says
    so.
    """
    figure = Figure(figsize=(11, 3.5))
    accuracy, without, with_bn = figure.subplots(1, 3, width_ratios=(1.15, 1, 1))
    notes = _accuracy_panel(accuracy, selected)
    plain, bn = _typical(selected.plain), _typical(selected.bn)
    limits = _input_limits([unit for unit in (plain, bn) if unit])
    _input_panel(without, plain, f"(b) {_label('plain', selected)}", "plain", limits)
    _input_panel(with_bn, bn, f"(c) {_label('bn', selected)}", "bn", limits)
    for axes in (accuracy, without, with_bn):
        style.step_axis(axes, max(arm.steps for arm in selected[:2] if arm))
    notes += _input_notes(plain, bn, limits)
    return figure, " ".join(notes)


def _accuracy_panel(axes: Axes, selected: arms.Figure1) -> list[str]:
    best = []
    for key, arm in (("bn", selected.bn), ("plain", selected.plain)):
        curve = arms.curve(arm, "test", "ema", "accuracy") if arm else None
        if curve is None:
            continue
        label = _label(key, selected) if _rates_differ(selected) else LABELS[key]
        style.band(axes, curve, style.NORMS[LABELS[key]], label, 1.6, 0.25)
        best.append(np.fmax.reduce(curve.mean))
    low = PAPER_ACCURACY[0] if best and min(best) > PAPER_ACCURACY[0] else 0.0
    axes.set_ylim(low, PAPER_ACCURACY[1])
    axes.set_title(f"(a) Test accuracy, {_seeds_text(selected)}")
    axes.set_ylabel("fraction of test images correct")
    if best:
        axes.legend(loc="lower right")
    return _accuracy_notes(selected, low)


def _accuracy_notes(selected: arms.Figure1, low: float) -> list[str]:
    shown = [(key, getattr(selected, key)) for key in ("bn", "plain")]
    seeds = ", ".join(f"{key}: seeds {_seeds(arm)}" for key, arm in shown if arm)
    several = any(len(arm.shown()) > 1 for _, arm in shown if arm)
    band = "Mean over seeds, band from lowest to highest" if several else "One seed"
    by = tables.STATISTICS["ema"]
    notes = [f"(a) {band} ({seeds}); BN evaluated with {by}."]
    unfinished = [key for key, arm in shown if arm and not arm.done()]
    notes += [f"No run {key} has finished." for key in unfinished]
    if low != PAPER_ACCURACY[0]:
        notes.append("The paper's accuracy axis starts at 0.7, this one at 0.")
    return notes


def _typical(arm: Arm | None) -> Typical | None:
    """Returns the typical unit of the last layer in the arm's median seed."""
    run = drift.typical_run(arm.shown()) if arm else None
    if run is None or not drift.window([run.activations]):
        return None
    layer = run.activations["layers"][-1]
    unit = drift.typical_unit(run.activations, layer)
    rows = [drift.percentile(run.activations, layer, p) for p in drift.PERCENTILES]
    steps, rows = run.activations["steps"], np.stack(rows)[:, :, unit]
    return Typical(run, layer, unit, steps, rows)


def _label(key: str, selected: arms.Figure1) -> str:
    arm = getattr(selected, key)
    name = LABELS[key]
    return f"{name}, rate {arms.learning_rate(arm)}" if arm else name


def _rates_differ(selected: arms.Figure1) -> bool:
    both = [arm for arm in (selected.bn, selected.plain) if arm]
    return len({arms.learning_rate(arm) for arm in both}) > 1


def _seeds(arm: Arm) -> str:
    return arms.number_list([run.config.get("seed", 0) for run in arm.shown()])


def _seeds_text(selected: arms.Figure1) -> str:
    """Returns "n = 20 seeds", "n = 20 and 19 seeds", or "one seed"."""
    counts = [len(arm.shown()) for arm in (selected.bn, selected.plain) if arm]
    if set(counts) == {1}:
        return "one seed"
    return f"n = {' and '.join(map(str, dict.fromkeys(counts)))} seeds"


def _input_limits(units: list[Typical]) -> tuple[float, float]:
    """Returns the paper's axis, widened to whole numbers where a curve leaves it."""
    values = np.concatenate([unit.percentiles.ravel() for unit in units] or [[0.0]])
    values = values[np.isfinite(values)]
    low = np.floor(values.min(initial=PAPER_INPUTS[0]))
    high = np.ceil(values.max(initial=PAPER_INPUTS[1]))
    return min(low, PAPER_INPUTS[0]), max(high, PAPER_INPUTS[1])


def _input_panel(
    axes: Axes,
    unit: Typical | None,
    title: str,
    key: str,
    limits: tuple[float, float],
) -> None:
    axes.set_title(title)
    axes.set_ylim(*limits)
    if unit is None:
        axes.text(0.5, 0.5, "no probes", ha="center", transform=axes.transAxes)
        return
    color = style.NORMS[LABELS[key]].color
    low, _, high = unit.percentiles
    axes.fill_between(unit.steps, low, high, color=color, alpha=0.12, lw=0)
    for row, percent in zip(unit.percentiles, drift.PERCENTILES, strict=True):
        axes.plot(unit.steps, row, color=color, linewidth=1.8 if percent == 50 else 1.1)
    for percent, height in _label_heights(unit.percentiles[:, -1], limits).items():
        axes.annotate(
            f"{percent}th",
            (unit.steps[-1], height),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            annotation_clip=False,
        )
    axes.set_ylabel(f"input to the {style.nonlinearity(unit.run)}")


def _label_heights(last: np.ndarray, limits: tuple[float, float]) -> dict[int, float]:
    """Returns percentile -> height of its label, apart enough to be read."""
    low, middle, high = last
    apart = 0.055 * (limits[1] - limits[0])
    heights = min(low, middle - apart), middle, max(high, middle + apart)
    return dict(zip(drift.PERCENTILES, heights, strict=True))


def _input_notes(
    plain: Typical | None, bn: Typical | None, limits: tuple[float, float]
) -> list[str]:
    units = {name: unit for name, unit in (("b", plain), ("c", bn)) if unit}
    shown = [f"{k}: unit {u.unit} of {u.layer}, {u.run.name}" for k, u in units.items()]
    if not shown:
        return []
    notes = [
        "(b, c) 15th, 50th and 85th percentiles of the input to the typical unit of "
        "the last hidden layer, the one with the layer's median location drift, in "
        "the seed where that is the median over seeds "
        f"({'; '.join(shown)}); BN normalises by mini-batch."
    ]
    if limits != PAPER_INPUTS:
        notes.append(
            f"The paper's axis is -2 to 2; both panels here share {limits[0]:g} to "
            f"{limits[1]:g}."
        )
    return notes
