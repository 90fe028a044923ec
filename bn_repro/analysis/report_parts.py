"""What each kind of experiment adds to a report: figures, tables, notes.

A part looks at the runs and is empty where it has nothing to show, so that any folder
of runs gets a report.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from bn_repro.analysis import (
    arms,
    figure1,
    figure1_table,
    figure2,
    figure3,
    figure3_claims,
    figure4,
    intake,
    networks,
    style,
    variations,
)
from bn_repro.analysis.layers import layer_axes, layer_signals, layers_over_time
from bn_repro.analysis.style import Drawing
from bn_repro.analysis.sweep import comparison, comparison_figure, comparison_tables
from bn_repro.analysis.tables import Table
from bn_repro.errors import UserError
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
        len(style.SERIES),
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

        def draw(kept: list[Run], part=part) -> Part:
            return part(workdir, kept, out, target)

        made, odd = without_odd(part.__name__, draw, runs)
        made = made or EMPTY
        drawings += made.drawings
        shown += made.tables
        notes += made.notes + odd
        chosen = chosen or made.side_by_side
    layers, odd = layer_figures(chosen, out)
    return Part(drawings + layers, shown, notes + odd, chosen)


def without_odd(what: str, make: Callable, runs: list[Run]) -> tuple:
    """Returns make(runs), and notes; odd runs are named and the rest is made.

    Odd is a run that fails alone. Where there is none, or the rest fails too, None is
    made. Bad input that the user gave raises UserError as ever.

    Args:
      what: is made, for the notes.
      make: function of runs.
      runs: any.
    """
    try:
        return make(runs), []
    except UserError:
        raise
    except Exception as error:
        odd = {run.name: fault for run in runs if (fault := _fault(make, [run]))}
        rest = [run for run in runs if run.name not in odd]
        if odd and rest and not (fault := _fault(make, rest)):
            names = ", ".join(f"{name} ({fault})" for name, fault in odd.items())
            return make(rest), [f"Left out of {what}: {names}"]
        return None, [f"Without {what}: it failed ({type(error).__name__}: {error})"]


def _fault(make: Callable, runs: list[Run]) -> str:
    """Returns why something cannot be made of runs; "" if it can."""
    try:
        make(runs)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


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
    mnist = [run for run in runs if run.config.get("experiment") in arms.FIGURE1]
    selected = arms.figure1(mnist)
    shown = [arm for arm in selected[:2] if arm]
    if not shown:
        return EMPTY
    notes = [
        f"Missing: no run {figure1_table.ARMS[key]}; train it with "
        f"python scripts/train.py --config configs/mnist.py:{key} "
        f"--workdir {workdir}/{key}_seed0"
        for key in ("plain", "bn")
        if getattr(selected, key) is None
    ]
    notes += intake.listed("Not in Figure 1, of other settings", selected.left_out)
    drawing = figure1.figure1(selected, out)
    typical = [figure1.typical_run(arm.shown()) for arm in shown]
    return Part([drawing], [figure1_table.figure1_table(selected)], notes, typical)


def convergence_figures(
    workdir: Path, runs: list[Run], out: Path, wanted: Wanted
) -> Part:
    """Returns Figs. 2 and 3 of the Inception networks that are no sweep."""
    inceptions = [run for run in runs if run.config["model"]["name"] == "inception"]
    found, left_out = networks.find(inceptions)
    if not found or comparison.find_sweep(inceptions):
        return EMPTY
    goal = networks.find_goal(found, wanted)
    shown = [figure3.figure3_table(found, goal), figure3.steps_table(found, goal)]
    if networks.of_the_paper(found):
        shown.append(figure3_claims.claims_table(found))
    notes = intake.listed("Not in Figure 2, of another scale", left_out)
    drawing = figure2.figure2(found, goal, out)
    first = [network.courses[0].run for network in found]
    return Part([drawing], shown, notes, first)


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
    notes = intake.listed(f"Not in the sweep of the {found.name}", found.left_out)
    drawing = comparison_figure.sweep_figure(found, target, out)
    tuned = [[c.run for c in p.courses] for p in (a.tuned() for a in found.arms) if p]
    return Part([drawing], shown, notes, list(map(figure1.typical_run, tuned)))


def setting_variations(
    workdir: Path, runs: list[Run], out: Path, wanted: Wanted
) -> Part:
    """Returns figure and table of BN in several settings."""
    settings = variations.find_settings(runs)
    if not settings or comparison.find_sweep(runs):
        return EMPTY
    target = comparison.TRAINABLE["mnist"]
    if wanted is not None:
        target = networks.find_goal(networks.together(runs), wanted).accuracy
    figure, caption = variations.draw_variations(settings)
    alt = "Held-out accuracy against training steps, a panel a setting"
    drawing = style.save(figure, out / "variations", "Variations", caption, alt)
    shown = [variations.variations_table(settings, target)]
    return Part([drawing], shown, [], variations.deepest(settings))


def layer_figures(runs: Sequence[Run], out: Path) -> tuple[list[Drawing], list[str]]:
    """Returns the figures of the layers of some runs that were probed, and notes."""
    drawings, notes = [], []
    for kind in LAYER_FIGURES:
        able = layer_axes.recorded(runs) if kind.fields else layer_axes.probed(runs)
        able = [run for run in able if kind.fields <= {*run.activations}]
        if len(layer_axes.all_layers(able)) < kind.least_layers:
            continue

        def draw(kept: list[Run], kind=kind) -> Drawing:
            figure, caption = kind.draw(kept[: kind.most])
            stem = out / kind.stem
            return style.save(figure, stem, kind.title, caption, kind.alt)

        drawn, odd = without_odd(kind.title, draw, able)
        drawings += [drawn] if drawn else []
        notes += odd
    return drawings, notes
