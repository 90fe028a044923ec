"""What each kind of experiment adds to a report: figures, tables, notes.

A part looks at the runs and is empty where it has nothing to show, so that any folder
of runs gets a report.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from bn_repro.analysis import (
    arms,
    convergence,
    figure1,
    figure1_table,
    figure2,
    figure3,
    figure3_claims,
    figure4,
    tables,
    variations,
)
from bn_repro.analysis.figure1 import Drawing
from bn_repro.analysis.layers import layer_axes, layer_signals, layers_over_time
from bn_repro.analysis.sweep import comparison, comparison_figure, comparison_tables
from bn_repro.analysis.tables import Table
from bn_repro.run_folder import records
from bn_repro.run_folder.records import Run


class Part(NamedTuple):
    """What is shown of some runs.

    Attributes:
      drawings: figures, in the order shown.
      tables: in the order shown.
      notes: what is missing, unfinished or left out; a sentence each.
      side_by_side: runs whose layers are worth comparing, the most telling first.
    """

    drawings: list[Drawing]
    tables: list[Table]
    notes: list[str]
    side_by_side: list[Run]


Wanted = str | float | None  # a target: a fraction, a run whose best it is, default
EMPTY = Part([], [], [], [])


class LayerFigure(NamedTuple):
    """A figure of the layers of a few runs: file, title, how to draw it, of how many.

    Attributes:
      stem: the files' name.
      title: in the report.
      draw: function of the runs to figure and caption.
      most: runs side by side.
      least_layers: networks with fewer are told about in the tables.
      alt: what it shows, for those who cannot see it.
      fields: of `records.PROBE_FIELDS`, those that it draws; not every run has all.
    """

    stem: str
    title: str
    draw: Callable
    most: int
    least_layers: int
    alt: str
    fields: frozenset = frozenset()


LAYER_FIGURES = (
    LayerFigure(
        "layers",
        "Layers",
        layers_over_time.draw_layers,
        4,
        1,
        "Inputs to the nonlinearities of every layer over training",
    ),
    LayerFigure(
        "drift",
        "Drift",
        layers_over_time.draw_drift,
        len(layer_axes.COLORS),
        layers_over_time.MOST_BANDS + 1,
        "Drift of the inputs to the nonlinearities by layer",
    ),
    LayerFigure(
        "histograms",
        "Histograms",
        layer_signals.draw_histograms,
        2,
        1,
        "Histograms of inputs and outputs of nonlinearities by layer",
        layer_signals.HISTOGRAM_FIELDS,
    ),
    LayerFigure(
        "gradients",
        "Gradients",
        layer_signals.draw_gradient_norms,
        4,
        1,
        "Norms of the weights' gradients by layer over training",
        frozenset({"gradient_norm"}),
    ),
)


def compose(workdir: Path, runs: list[Run], out: Path, target: Wanted = None) -> Part:
    """Draws all parts into the folder `out` and returns them as one.

    Args:
      workdir: where the runs come from, named in the notes.
      runs: all of them.
      out: an existing folder.
      target: accuracy to count steps to: a fraction, or a run whose best it is.

    Raises:
      UserError: there is no such run, or the number is no fraction.
    """
    drawings, shown, notes, chosen = [], [], [], []
    parts = (figure1_part, convergence_figures, sweep, setting_variations, figure4_part)
    for part in parts:
        made = part(workdir, runs, out, target)
        drawings += made.drawings
        shown += made.tables
        notes += made.notes
        chosen = chosen or made.side_by_side
    drawings += layer_figures(chosen, out)
    return Part(drawings, shown, notes, chosen)


def figure4_part(workdir: Path, runs: list[Run], out: Path, wanted: Wanted) -> Part:
    """Returns the tables of what scripts/evaluate.py left below workdir."""
    del runs, out, wanted
    evaluated = figure4.read(workdir)
    compared = figure4.read_statistics(workdir)
    shown = [figure4.figure4_table(evaluated)] if evaluated else []
    shown += [figure4.statistics_table(compared)] if compared else []
    return Part([], shown, [], [])


def figure1_part(workdir: Path, runs: list[Run], out: Path, wanted: Wanted) -> Part:
    """Returns Fig. 1 and its table."""
    mnist = [run for run in runs if run.config.get("experiment") == "mnist"]
    selected = arms.figure1(mnist)
    shown = [arm for arm in selected[:2] if arm]
    if not shown:
        return EMPTY
    open_ones = [
        run for arm in shown for run in arm.runs if run.status["status"] != "finished"
    ]
    notes = [
        f"Missing: no run {figure1_table.ARMS[key]}; train it with "
        f"python scripts/train.py --config configs/mnist.py:{key} "
        f"--workdir {workdir}/{key}_seed0"
        for key in ("plain", "bn")
        if getattr(selected, key) is None
    ]
    notes += _listed("Not finished", open_ones, tables.status_text)
    notes += _listed("Not in Figure 1, of other settings", selected.left_out)
    drawing = figure1.figure1(selected, out)
    first = [arm.runs[0] for arm in shown]
    return Part([drawing], [figure1_table.figure1_table(selected)], notes, first)


def convergence_figures(
    workdir: Path, runs: list[Run], out: Path, wanted: Wanted
) -> Part:
    """Returns Figs. 2 and 3 of the Inception networks that are no sweep."""
    networks = [run for run in runs if run.config["model"]["name"] == "inception"]
    found, left_out = convergence.courses(networks)
    if not found or comparison.find_sweep(networks):
        return EMPTY
    target = convergence.find_target(found, wanted)
    shown = [figure3.figure3_table(found, target)]
    if convergence.of_the_paper(found):
        shown.append(figure3_claims.claims_table(found))
    open_ones = [run for run in networks if run.status["status"] not in records.ENDED]
    notes = _listed("Not finished", open_ones, tables.status_text)
    notes += _listed("Not in Figure 2, of another scale", left_out)
    drawing = figure2.figure2(found, target, out)
    return Part([drawing], shown, notes, [course.run for course in found])


def sweep(workdir: Path, runs: list[Run], out: Path, wanted: Wanted) -> Part:
    """Returns figure and tables of a sweep of one key."""
    found = comparison.find_sweep(runs)
    if found is None:
        return EMPTY
    target = comparison.find_target(found, wanted)
    shown = [
        comparison_tables.arms_table(found, target),
        comparison_tables.values_table(found, target),
    ]
    notes = _listed(f"Not in the sweep of the {found.name}", found.left_out)
    drawing = comparison_figure.sweep_figure(found, target, out)
    tuned = [arm.tuned() for arm in found.arms]
    first = [point.courses[0].run for point in tuned if point]
    return Part([drawing], shown, notes, first)


def setting_variations(
    workdir: Path, runs: list[Run], out: Path, wanted: Wanted
) -> Part:
    """Returns figure and table of BN in several settings."""
    settings = variations.find_settings(runs)
    if not settings or comparison.find_sweep(runs):
        return EMPTY
    target = comparison.TRAINABLE["mnist"]
    if wanted is not None:
        found = list(map(convergence.course, runs))
        target = convergence.find_target(found, wanted).accuracy
    figure, caption = variations.draw_variations(settings)
    alt = "Held-out accuracy against training steps, a panel a setting"
    drawing = figure1.save(figure, out / "variations", "Variations", caption, alt)
    shown = [variations.variations_table(settings, target)]
    return Part([drawing], shown, [], variations.deepest(settings))


def layer_figures(runs: Sequence[Run], out: Path) -> list[Drawing]:
    """Returns the figures of the layers of some runs, of those that were probed."""
    drawings = []
    for kind in LAYER_FIGURES:
        probed = [r for r in layer_axes.probed(runs) if kind.fields <= {*r.activations}]
        if len(layer_axes.all_layers(probed)) < kind.least_layers:
            continue
        figure, caption = kind.draw(probed[: kind.most])
        stem = out / kind.stem
        drawings.append(figure1.save(figure, stem, kind.title, caption, kind.alt))
    return drawings


def _listed(
    what: str, runs: Sequence[Run], detail: Callable | None = None
) -> list[str]:
    """Returns a note that names the runs; none if there are none."""
    if not runs:
        return []
    names = (f"{run.name} ({detail(run)})" if detail else run.name for run in runs)
    return [f"{what}: {', '.join(names)}"]
