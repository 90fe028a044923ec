"""Draws and tables any of `why.QUESTIONS`, arms side by side."""

import textwrap
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bn_repro.analysis import arms, intervals, style, why, why_values
from bn_repro.analysis.arms import Arm, Curve
from bn_repro.analysis.layers import layer_axes, layer_signals
from bn_repro.analysis.sweep import comparison
from bn_repro.analysis.tables import Table
from bn_repro.run_folder.records import Run

MOST_LAYERS = 3
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.5)))


def question_table(runs: Sequence[Run]) -> Table:
    """Returns a row an arm: each value's mean over seeds and its 95 % interval."""
    question = _question(runs)
    rows = []
    for arm in _arms(runs):
        kept = arms.counted(arm.runs)
        values = [list(map(of, kept)) for of in question.values.values()]
        rows.append([arm.label, str(len(arm.done())), *map(_cell, values)])
    columns = ["Runs", "n", *question.values]
    note = (
        "n: seeds that finished. Mean over them, with the 95 % t interval; over all, "
        "diverged or under way, where n is 0."
    )
    return Table(question.text, columns, rows, note)


def _cell(values: Sequence[float]) -> str:
    found = intervals.mean([value for value in values if np.isfinite(value)])
    if np.isnan(found.estimate):
        return "-"
    if abs(found.estimate) >= 1e5:  # of runs that diverged
        return f"{found.estimate:.3g}"
    digits = why.digits_of(found.estimate)
    text = found.text(digits=digits)
    return f"{found.estimate:.{digits}f}" + (f" ({text})" if text != "-" else "")


def picture(runs: Sequence[Run]) -> tuple[Figure, str] | None:
    """Returns the figure of an experiment and its caption; None if not yet probed."""
    fields = _question(runs).fields
    if fields and not _measured(_arms(runs), fields):
        return None
    return (draw_over_steps if fields else draw_values)(runs)


@style.styled
def draw_over_steps(runs: Sequence[Run]) -> tuple[Figure, str]:
    """Returns a question's fields over steps, a row each, and the caption.

    A column a layer, of at most MOST_LAYERS; a line an arm, with a band over its seeds.
    """
    question, found = _question(runs), _arms(runs)
    layers = layer_signals.spaced(_measured(found, question.fields), MOST_LAYERS)
    runs_ = [run for arm in found for run in arms.counted(arm.runs) if run.activations]
    steps = max((run.activations["steps"] for run in runs_), key=len)
    rows = len(question.fields)
    figure = Figure(figsize=(3.4 * len(layers) + 0.6, 2.3 * rows + 1.1))
    shared = {"sharex": True, "sharey": "row", "squeeze": False}
    panels = figure.subplots(rows, len(layers), **shared)
    lines = lines_of(found)
    for row, field in zip(panels, question.fields, strict=True):
        for axes, layer in zip(row, layers, strict=True):
            for arm, line in zip(found, lines, strict=True):
                if curve := over_seeds(arm, field, layer):
                    style.band(axes, curve, line, _name(arm))
            axes.set_title(layer, fontsize=9)
            if field in question.logarithmic and _all_zero(axes):
                look = {"transform": axes.transAxes, "ha": "center"}
                axes.text(0.5, 0.5, "0 throughout", fontsize=8, **look)
            layer_axes.probe_axis(axes, steps)
        if field in question.logarithmic:
            row[0].set_yscale("log")  # of the row: one panel alone may be all 0
        name = textwrap.fill(layer_axes.field_name(field), 24)
        row[0].set_ylabel(name, fontsize=9)
    for axes in panels[:-1].ravel():
        axes.set_xlabel("")
    style.legend_below(figure, panels, 4, fontsize=8)
    figure.suptitle(question.text, fontsize=11)
    several = any(len(arms.counted(arm.runs)) > 1 for arm in found)
    lines_are = "means over seeds, bands from the lowest to the highest"
    caption = (
        "Rows: what each probe recorded of a layer; columns: layers. Lines are "
        + (lines_are if several else "of one seed each")
        + "; an arm none of whose seeds finished is drawn up to the last probe that "
        "all of them reached" * any(not arm.done() for arm in found)
    )
    return figure, f"{caption}. {question.arms}".strip()


def _measured(found: Sequence[Arm], fields: Sequence[str]) -> list[str]:
    """Returns the layers of which some arm has a number in some of the fields."""
    kept = [run for arm in found for run in arms.counted(arm.runs)]
    names = layer_axes.all_layers(kept)

    def is_measured(name: str) -> bool:
        curves = [over_seeds(arm, field, name) for arm in found for field in fields]
        return any(np.isfinite(curve.mean).any() for curve in curves if curve)

    return list(filter(is_measured, names))


def _all_zero(axes: Axes) -> bool:
    values = [np.nan_to_num(line.get_ydata()) for line in axes.lines]
    return bool(values) and not any(map(np.any, values))


@style.styled
def draw_values(runs: Sequence[Run]) -> tuple[Figure, str]:
    """Returns a question's values as points, a panel a value, and the caption."""
    question, found = _question(runs), _arms(runs)
    count = len(question.values)
    figure = Figure(figsize=(2.3 * count + 1.8, 0.27 * len(found) + 1.4))
    panels = figure.subplots(1, count, sharey=True, squeeze=False)[0]
    for axes, (name, of) in zip(panels, question.values.items(), strict=True):
        _points(axes, of, found)
        axes.set_title(textwrap.fill(name, 30), fontsize=8)
    figure.suptitle(question.text, fontsize=11)
    caption = (
        "Each point is a seed, the bar their mean; one row a configuration. "
        + question.arms
    )
    return figure, caption


def _points(axes: Axes, of: Callable, found: Sequence[Arm]) -> None:
    for place, (arm, line) in enumerate(zip(found, lines_of(found), strict=True)):
        values = [of(run) for run in arm.done()]
        color = line.color
        axes.plot(values, [place] * len(values), "o", ms=3, color=color, alpha=0.7)
        if values:
            axes.plot([np.mean(values)], [place], "|", ms=12, color=color, mew=2)
    axes.set_yticks(range(len(found)), list(map(_name, found)), fontsize=8)
    axes.set_ylim(len(found) - 0.5, -0.5)
    style.plain(axes)


def over_seeds(arm: Arm, field: str, layer: str) -> Curve | None:
    """Returns one field of a layer against steps, as far as all that count came."""
    found = _of_layer(arms.counted(arm.runs), field, layer)
    if not found:
        return None
    steps = min((steps for steps, _ in found), key=len)
    rows = [row[: len(steps)] for _, row in found]
    return Curve(steps, np.mean(rows, 0), np.min(rows, 0), np.max(rows, 0))


def _of_layer(runs: Sequence[Run], field: str, layer: str) -> list[tuple]:
    """Returns steps and field of a layer, [T] each, of each run that recorded it."""
    probed = [(run, why_values.over_steps(run, field)) for run in runs]
    return [
        (run.activations["steps"], values[:, run.activations["layers"].index(layer)])
        for run, values in probed
        if values is not None
    ]


def _arms(runs: Sequence[Run]) -> list[Arm]:
    """Returns the arms, of a sweep in the order of its values, as in a report."""
    sweep = comparison.find_sweep(runs)
    return arms.group(sweep.runs() if sweep else runs)


def _name(arm: Arm) -> str:
    done = bool(arm.done())
    return arm.label if done else f"{arm.label}: {arm.runs[0].status['status']}"


def lines_of(found: Sequence[Arm]) -> list[style.Line]:
    """Returns how each arm is drawn: of a sweep, coloured by the swept value."""
    sweep = comparison.find_sweep([run for arm in found for run in arm.runs])
    if sweep is None or sweep.left_out:
        colors = (*style.SERIES, *style.PAGE_SERIES[3:])
        places = range(len(found))
        return [style.Line(colors[i % len(colors)], DASHES[i % 2]) for i in places]
    shades = style.sequential(len(sweep.values))
    colors = dict(zip(sweep.values, shades, strict=True))
    dashes = {run: DASHES[i % len(DASHES)] for run, i in sweep.place_of().items()}
    firsts = [arm.runs[0] for arm in found]
    shown = [(colors[r.stated[sweep.key]], dashes.get(id(r), "-")) for r in firsts]
    return [style.Line(*look) for look in shown]


def _question(runs: Sequence[Run]) -> why.Question:
    return why.QUESTIONS[runs[0].config["experiment"]]
