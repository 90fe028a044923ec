"""What each kind of experiment adds to a report: figures, tables, notes.

A part looks at the runs and is empty where it has nothing to show, so that any folder
of runs gets a report.
"""

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
    why,
    why_figure,
)
from bn_repro.analysis.layers import drift, layer_figures, layer_signals
from bn_repro.analysis.style import Drawing
from bn_repro.analysis.sweep import comparison, comparison_figure, comparison_tables
from bn_repro.analysis.sweep.comparison import Sweep
from bn_repro.analysis.tables import Table
from bn_repro.run_folder.records import Run


class Part(NamedTuple):
    """What is shown of some runs."""

    drawings: list[Drawing]  # figures, in the order shown
    tables: list[Table]  # in the order shown
    notes: list[str]  # what is missing, unfinished or left out; a sentence each
    # runs whose layers are worth comparing, the most telling first
    side_by_side: list[Run]


class Given(NamedTuple):
    """What a part is made of."""

    workdir: Path  # where the runs come from, named in the notes
    runs: list[Run]  # all of them
    sweep: Sweep | None  # what they are a sweep of, if they are one
    out: Path  # an existing folder
    target: str | float | None  # accuracy to count steps to, see `networks.find_goal`

    def save(self, drawn: tuple, title: str, alt: str, stem: str = "") -> Drawing:
        """Writes a figure with its caption, by default called like its title."""
        stem = stem or title.lower().replace(" ", "")
        return style.save(drawn, self.out / stem, title, alt)


EMPTY = Part([], [], [], [])


def compose(given: Given) -> Part:
    """Draws all parts into the folder `given.out` and returns them as one.

    Raises:
      UserError: there is no such run as the target's, or the number is no fraction.
    """
    drawings, shown, notes, chosen = [], [], [], []
    for part in (*PARTS, any_convergence):
        if part is any_convergence and drawings:
            break

        def draw(kept: list[Run], part=part) -> Part:
            whole = kept is given.runs
            sweep = given.sweep if whole else comparison.find_sweep(kept)
            return part(given._replace(runs=kept, sweep=sweep))

        made, odd = intake.without_odd(part.__name__, draw, given.runs)
        made = made or EMPTY
        drawings += made.drawings
        shown += made.tables
        notes += made.notes + odd
        chosen = chosen or made.side_by_side
    layers, odd = layer_figures.draw(chosen, given.out)
    return Part(drawings + layers, shown, notes + odd, chosen)


def figure1_part(given: Given) -> Part:
    """Returns Fig. 1 and its table."""
    mnist = [run for run in given.runs if run.config.get("experiment") in arms.FIGURE1]
    selected = arms.of_figure1(mnist)
    shown = [arm for arm in selected[:2] if arm]
    if not shown:
        return EMPTY
    notes = [
        f"Missing: no run {figure1_table.ARMS[key]}; train it with "
        f"python scripts/train.py --config configs/mnist.py:{key} "
        f"--workdir {given.workdir}/{key}_seed0"
        for key in ("plain", "bn")
        if getattr(selected, key) is None
    ]
    notes += intake.listed("Not in Figure 1, of other settings", selected.left_out)
    alt = "Test accuracy against training steps with and without BN, and percentiles "
    alt += "of the inputs to one sigmoid"
    drawing = given.save(figure1.draw_figure1(selected), "Figure 1", alt)
    typical = [drift.typical_run(arm.shown()) for arm in shown]
    return Part([drawing], [figure1_table.figure1_table(selected)], notes, typical)


def convergence_figures(given: Given) -> Part:
    """Returns Figs. 2 and 3 of the paper's networks, or of Inceptions in no sweep."""
    inceptions = [r for r in given.runs if r.config["model"]["name"] == "inception"]
    if given.sweep and not networks.of_the_paper(networks.find(inceptions)[0]):
        return EMPTY
    return any_convergence(given._replace(runs=inceptions))


def any_convergence(given: Given) -> Part:
    """Returns accuracy against steps and steps to a target, whatever the networks."""
    found, left_out = networks.find(given.runs)
    if not found:
        return EMPTY
    goal = networks.find_goal(found, given.target)
    shown = [figure3.figure3_table(found, goal), figure3.steps_table(found, goal)]
    if networks.of_the_paper(found):
        shown.append(figure3_claims.claims_table(found))
    title = "Figure 2" if networks.of_the_paper(found) else "Convergence"
    notes = intake.listed(f"Not in {title}, of another scale", left_out)
    alt = "Held-out accuracy against training steps, one curve a network"
    drawing = given.save(figure2.draw_figure2(found, goal), title, alt)
    return Part([drawing], shown, notes, [network.typical for network in found])


def sweep(given: Given) -> Part:
    """Returns figure and tables of a sweep of one key."""
    found = given.sweep
    if found is None:
        return EMPTY
    target = comparison.find_target(found, given.target)
    shown = [
        comparison_tables.arms_table(found, target),
        comparison_tables.values_table(found, target),
    ]
    notes = intake.listed(f"Not in the sweep of the {found.name}", found.left_out)
    alt = f"Accuracy and steps to a target against the {found.name}"
    drawing = given.save(comparison_figure.draw_sweep(found, target), "Sweep", alt)
    tuned = [[c.run for c in p.courses] for p in (a.tuned() for a in found.arms) if p]
    return Part([drawing], shown, notes, list(map(drift.typical_run, tuned)))


def setting_variations(given: Given) -> Part:
    """Returns figure and table of BN in several settings."""
    settings = variations.find_settings(given.runs)
    if not settings or given.sweep:
        return EMPTY
    target = comparison.TRAINABLE.get(given.runs[0].config["data"]["name"])
    if target is None or given.target is not None:
        found = networks.together(given.runs)
        target = networks.find_goal(found, given.target).accuracy
    alt = "Held-out accuracy against training steps, a panel a setting"
    drawing = given.save(variations.draw_variations(settings), "Variations", alt)
    shown = [variations.variations_table(settings, target)]
    return Part([drawing], shown, [], variations.deepest(settings))


def questions(given: Given) -> Part:
    """Returns figure and table of an experiment on why BN works."""
    experiments = {run.config.get("experiment") for run in given.runs}
    if len(experiments) != 1 or not experiments <= why.QUESTIONS.keys():
        return EMPTY
    (name,) = experiments
    question = why.QUESTIONS[name]
    alt = f"What the runs say to: {question.text}"
    title = "Over training" if question.fields else "At the end"
    drawn = why_figure.picture(given.runs)
    drawings = [given.save(drawn, title, alt, stem=name)] if drawn else []
    notes = [] if drawn else [f"Nothing is probed yet of: {question.text}"]
    kind = layer_figures.LAYER_FIGURES["histograms"]
    found = {
        arm.label.split("/")[-1]: layer_figures.with_fields(arm.done(), kind)
        for arm in arms.group(given.runs)
    }
    for names in question.histograms:
        if all(found.get(name) for name in names):
            typical = [drift.typical_run(found[name]) for name in names]
            drawn = layer_signals.draw_histograms(typical)
            text = f"Histograms of {names[0]} and {names[1]}"
            drawings.append(given.save(drawn, text, text, f"histograms_{names[0]}"))
    return Part(drawings, [why_figure.question_table(given.runs)], notes, [])


def figure4_part(given: Given) -> Part:
    """Returns the table of what scripts/evaluate.py left below workdir."""
    evaluated = figure4.read(given.workdir)
    shown = [figure4.figure4_table(evaluated)] if evaluated else []
    return Part([], shown, [], [])


# An experiment with a figure of its own adds its part here. Runs that none of these
# draws are drawn by `any_convergence`.
PARTS = (
    questions,
    figure1_part,
    convergence_figures,
    sweep,
    setting_variations,
    figure4_part,
)
