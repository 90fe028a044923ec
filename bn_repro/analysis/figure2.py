"""Fig. 2: held-out accuracy against training steps, in the paper's layout."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bn_repro.analysis import figure3, steps_to_target, style
from bn_repro.analysis.arms import Curve
from bn_repro.analysis.networks import Goal, Network
from bn_repro.run_folder import configuration

NOTHING = Curve(*np.zeros((4, 0)))
DIAMOND = {"marker": "D", "markersize": 8, "markeredgecolor": "white"}


@style.styled
def draw_figure2(found: Sequence[Network], goal: Goal) -> tuple[Figure, str]:
    """Returns Fig. 2 and its caption.

    A diamond marks the goal on every curve that reaches it.
    """
    curves = [network.curve() for network in found]
    longest = max(network.steps for network in found)
    beginning = _beginning(found, curves, goal, longest)
    lengths = [longest, beginning] if beginning else [longest]
    width = 8.5 if len(lengths) == 1 else 12
    figure = Figure(figsize=(width, 4.8))
    panels = figure.subplots(1, len(lengths), sharey=True, squeeze=False)[0]
    for axes, steps in zip(panels, lengths, strict=True):
        _panel(axes, found, curves, goal, steps)
    top = _top(curves)
    panels[0].set_ylim(0, top)
    panels[0].set_ylabel(f"fraction of {_split(found)} pictures correct")
    panels[-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    if beginning:
        panels[0].set_title("(a) all steps")
        panels[1].set_title(f"(b) the first {beginning:,} steps")
    return figure, _caption(found, goal, top)


def _beginning(
    found: Sequence[Network],
    curves: Sequence[Curve | None],
    goal: Goal,
    longest: int,
) -> int | None:
    """Returns the steps of a panel of their own for networks that are soon there.

    Those of the shortest network that reaches the goal, if that is under a third of
    the longest; else None.
    """
    pairs = [(n.steps, curve) for n, curve in zip(found, curves, strict=True) if curve]
    reaching = [n for n, curve in pairs if np.isfinite(_reached(curve, goal))]
    shortest = min(reaching, default=longest)
    return shortest if shortest < longest / 3 else None


def _panel(
    axes: Axes,
    found: Sequence[Network],
    curves: Sequence[Curve | None],
    goal: Goal,
    steps: int,
) -> None:
    others = iter(style.OTHERS * len(found))
    for network, curve in zip(found, curves, strict=True):
        line = style.NETWORKS.get(network.key) or next(others)
        style.band(axes, curve or NOTHING, line, _label(network), 1.8)
        if curve:
            _marks(axes, network, curve, goal, line.color, steps)
    _reference_lines(axes, found, goal)
    style.step_axis(axes, steps)


def _top(curves: Sequence[Curve | None]) -> float:
    """Returns the end of the accuracy axis, above every band."""
    tops = [np.fmax.reduce(curve.high) for curve in curves if curve]
    return min(1.0, 1.05 * max(filter(np.isfinite, tops), default=1.0) or 1.0)


def _label(network: Network) -> str:
    """Returns the network's name and, in a second line, what went otherwise."""
    notes, status = figure3.seeds_state(network), network.courses[0].run.status
    if len(network.courses) == 1 and not network.ended:
        notes = [f"{status['status']}, step {status['step']:,}"]
    return network.label + (f"\n({'; '.join(notes)})" if notes else "")


def _marks(
    axes: Axes, network: Network, curve: Curve, goal: Goal, color: str, steps: int
) -> None:
    """Draws the diamond of a curve, and a cross where a seed diverged, up to `steps`.

    They lie over the axes' edges, so those beyond would be seen outside.
    """
    for course in network.diverged:
        if course.steps.size and course.steps[-1] <= steps:
            end = course.steps[-1], np.nan_to_num(course.accuracy[-1])
            axes.plot(*end, "x", color=color, markersize=9, clip_on=False)
    reached = _reached(curve, goal)
    if reached <= steps:
        look = {"color": color, "clip_on": False, "zorder": 5}
        axes.plot([reached], [goal.accuracy], **look, **DIAMOND)


def _reached(curve: Curve, goal: Goal) -> float:
    return steps_to_target.first_reached(curve.steps, curve.mean, goal.accuracy)


def _reference_lines(axes: Axes, found: Sequence[Network], goal: Goal) -> None:
    chance = found[0].courses[0].chance
    axes.axhline(chance, color=style.SOFT, linewidth=0.8, linestyle=":", label="chance")
    if not np.isfinite(goal.accuracy):
        return
    axes.axhline(goal.accuracy, color=style.SOFT, linewidth=0.8, zorder=1)
    label = {"linestyle": "none", "label": f"steps to match {goal.name}"}
    axes.plot([], [], color=style.SOFT, **DIAMOND, **label)


def _caption(found: Sequence[Network], goal: Goal, top: float) -> str:
    counts = sorted({c.count for network in found for c in network.courses if c.count})
    pictures = " or ".join(f"{count:,}" for count in counts) or "no"
    parts = [
        f"Accuracy @1, single crop, on {pictures} {_split(found)} pictures.",
        figure3.statistics_note(found),
        seeds_note(found),
    ]
    if np.isfinite(goal.accuracy):
        diamond = "Diamond: the curve, smoothed, reaches"
        line = "horizontal line" if goal.accuracy < top else "beyond the axis"
        parts.append(f"{diamond} {goal.text()}; {line}.")
        if goal.network and goal.network.at_chance().all():
            parts.append("The target is chance itself: steps to it say nothing.")
    if any(network.diverged for network in found):
        parts.append("Cross: the last evaluation before a run diverged.")
    parts.append(scale_note(found))
    return " ".join(filter(None, parts))


def _split(found: Sequence[Network]) -> str:
    """Returns what the pictures of the evaluations are called, such as "validation"."""
    splits = {c.split for network in found for c in network.courses if c.count}
    named = sorted("validation" if split == "val" else split for split in splits)
    return " and ".join(named) or "validation"


def seeds_note(found: Sequence[Network]) -> str:
    """Returns how many seeds the curves have, and what their bands are."""
    counts = {network.label: len(network.arm.shown()) for network in found}
    if set(counts.values()) == {1}:
        return "One seed a network."
    if len(set(counts.values())) == 1:
        seeds = f"over {next(iter(counts.values()))} seeds"
    else:
        each = ", ".join(f"{label} {count}" for label, count in counts.items())
        seeds = f"over the seeds ({each})"
    text = f"Line: mean {seeds}; band: from the lowest seed to the highest."
    lengths = ({r.status["step"] for r in network.arm.shown()} for network in found)
    if any(len(steps) > 1 for steps in lengths):
        text += " Where a seed ends sooner, the line goes on as the mean of the others."
    return text


def scale_note(found: Sequence[Network]) -> str:
    """Returns the scale of the runs and what it cannot show, in sentences."""
    flat = configuration.stated(found[0].config)
    size = flat["data.image_size"]
    classes, lengths = flat["data.classes"], {network.steps for network in found}
    steps = " to ".join(f"{n:,}" for n in sorted({min(lengths), max(lengths)}))
    length = f"{classes:,} classes, {steps} steps of {flat['batch_size']} pictures"
    if flat["model.name"] != "inception":
        return f"Scale: {size} x {size} pixels, {length}."
    width = flat["model.width"]
    of_width = "" if width == 1 else f"{width:g} of "
    text = f"{size} x {size} pixels, {of_width}the paper's width, {length}"
    if (size, width, classes) == (224, 1, 1000):
        return f"Scale: {text}."
    return (
        f"Scale: {text}; the paper: 224 x 224, full width, 1,000 classes, up to "
        "31.0M steps of 32. This scale cannot show accuracies of the full network, "
        "nor steps to 72.2 %."
    )
