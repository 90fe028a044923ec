"""A sweep as tables: the largest trainable value, and best-tuned against best-tuned."""

import numpy as np

from bn_repro.analysis import convergence, intervals, tables
from bn_repro.analysis.layers import drift
from bn_repro.analysis.sweep import comparison
from bn_repro.analysis.sweep.comparison import Point, Sweep, SweptArm
from bn_repro.analysis.tables import Table

MEASURES = ("location", "scale")


def arms_table(sweep: Sweep, target: float) -> Table:
    """Returns one row an arm: what trains, and the best-tuned run of each."""
    rows = []
    late = _late_window(sweep)
    for arm in sweep.arms:
        values = [point.value for point in arm.points]
        good = [p.value for p in arm.points if p.trainable()]
        tuned = arm.tuned()
        rows.append(
            [
                arm.label,
                f"{len(values)}, {values[0]:g} to {values[-1]:g}",
                trainable_text(arm),
                largest_text(arm),
                f"{tuned.value:g}" if tuned else "-",
                tables.percent(tuned.final) if tuned else "-",
                steps_text(tuned, target) if tuned else "-",
                *(_late_drift(tuned, late) if late else ()),
                _against_first(sweep, arm, good),
            ]
        )
    first = sweep.arms[0].label
    columns = ["Arm", "Values tried", "Trainable", "Largest trainable", "Best value"]
    columns += ["Final accuracy there", f"Steps to {target_text(target)} there"]
    start = f"{tables.FROM_STEPS[-1]:,}"
    if late:
        drifts = [f"Last layer's {measure} drift there" for measure in MEASURES]
        columns += [f"{name}, from step {start} on" for name in drifts]
    columns += [f"Against {first}"]
    title = f"Sweep of the {sweep.name}: what trains, and the best of each arm"
    return Table(title, columns, rows, _note(sweep))


def values_table(sweep: Sweep, target: float) -> Table:
    """Returns one row a value: final accuracy and steps to the target in each arm."""
    by_arm = [{p.value: p for p in arm.points} for arm in sweep.arms]
    rows = []
    for value in sorted({value for points in by_arm for value in points}):
        points = [points.get(value) for points in by_arm]
        cells = [(final_text(p), steps_text(p, target)) if p else "--" for p in points]
        higher = [higher_text(points[0], point) for point in points[1:]]
        rows.append([f"{value:g}", *(cell for c in cells for cell in c), *higher])
    columns = [
        column
        for arm in sweep.arms
        for column in (
            f"{arm.label}: final accuracy",
            f"{arm.label}: steps to {target_text(target)}",
        )
    ]
    first = sweep.arms[0].label
    columns += [f"{arm.label}: evaluations above {first}" for arm in sweep.arms[1:]]
    note = (
        "Mean ± standard deviation over the seeds that finished. Evaluations: seed by "
    )
    note += "seed, at all common steps after the first, with moving averages."
    name = sweep.name.capitalize()
    return Table(
        f"Sweep of the {sweep.name}: every value", [name, *columns], rows, note
    )


def trainable_text(arm: SweptArm) -> str:
    """Returns "0.01 to 3", or the values one by one where others lie between."""
    known = [(point.value, point.trainable()) for point in arm.points]
    good = [value for value, answer in known if answer]
    if not good:
        return "none" if all(answer is False for _, answer in known) else "none yet"
    between = [answer for value, answer in known if good[0] <= value <= good[-1]]
    if all(between):
        ends = [f"{value:g}" for value in dict.fromkeys((good[0], good[-1]))]
        return " to ".join(ends)
    return ", ".join(f"{value:g}" for value in good)


def largest_text(arm: SweptArm) -> str:
    """Returns the largest trainable value and whether a larger one was tried."""
    good = [point.value for point in arm.points if point.trainable()]
    if not good:
        return "-"
    larger = [point for point in arm.points if point.value > good[-1]]
    if not larger:
        return f"{good[-1]:g}, the largest tried"
    is_open = any(point.trainable() is None for point in larger)
    return f"{good[-1]:g}{' so far' if is_open else ''}"


def final_text(point: Point) -> str:
    """Returns final accuracy, chance, and how many seeds diverged or are unfinished."""
    words = [tables.percent(point.final)] if point.final.size else []
    if point.is_chance(point.final):
        words.append("chance")
    total = len(point.courses)
    if point.diverged:
        first = min(c.run.status.get("first_bad_step", 0) for c in point.diverged)
        words.append(f"{len(point.diverged)} of {total} diverged, from step {first:,}")
    if point.unfinished:
        words.append(f"{len(point.unfinished)} of {total} unfinished")
    return "; ".join(words) or "-"


def steps_text(point: Point, target: float) -> str:
    """Returns the mean steps to the target of the seeds that reach it."""
    steps = point.steps_to(target)
    reached = steps[np.isfinite(steps)]
    if not steps.size:
        return "-"
    if not reached.size:
        return "not reached"
    few = (
        f" ({reached.size} of {steps.size} seeds)" if reached.size < steps.size else ""
    )
    return f"{reached.mean():,.0f}{few}"


def higher_text(first: Point | None, point: Point | None) -> str:
    """Returns "300 of 300", the evaluations at which a point is above the first arm's.

    Of the seeds that finished in both arms.
    """
    if not (first and point):
        return "-"
    runs = [[c.run for c in p.finished] for p in (point, first)]
    above, total = convergence.higher_at(*runs)
    return f"{above:,} of {total:,}" if total else "-"


def target_text(target: float) -> str:
    """Returns "90 %", or words where it is not known yet."""
    return f"{100 * target:.4g} %" if np.isfinite(target) else "the target"


def _late_window(sweep: Sweep) -> drift.Window | None:
    """Returns the late steps that the best-tuned runs of all arms cover."""
    points = filter(None, (arm.tuned() for arm in sweep.arms))
    every = [course.run for point in points for course in point.finished]
    return tables.drift_windows(every)[-1]


def _late_drift(tuned: Point | None, over: drift.Window) -> list[str]:
    """Returns location and scale drift of a point's last layer, "-" if not known."""
    runs = [course.run for course in tuned.finished] if tuned else []
    found = [tables.last_layer(runs, measure, over) for measure in MEASURES]
    return [tables.mean_text(np.array(list(drifts.values()))) for drifts in found]


def _against_first(sweep: Sweep, arm: SweptArm, good: list[float]) -> str:
    """Returns best-tuned against best-tuned, and the ratio of the largest values."""
    first = sweep.arms[0]
    if arm is first:
        return "-"
    words = []
    theirs = [point.value for point in first.points if point.trainable()]
    if good and theirs:
        ratio = good[-1] / theirs[-1]
        times = "the same" if ratio == 1 else f"{ratio:,.3g} times as large"
        words.append(f"largest trainable {times}")
    pair = arm.tuned(), first.tuned()
    if None not in pair:
        words.append(f"best-tuned: {comparison.difference(*pair).text()}")
    return "; ".join(words) or "-"


def _note(sweep: Sweep) -> str:
    config = sweep.arms[0].config
    threshold = comparison.TRAINABLE.get(config["data"]["name"])
    what = (
        f"final accuracy of at least {threshold:g} on every seed"
        if threshold
        else "on every seed neither diverged nor, at the end, at chance (within three "
        "binomial standard errors of 1 / classes)"
    )
    return (
        f"Trainable: {what}. The best value has the highest mean final accuracy; it is "
        "chosen on the pictures that it is reported on, for all arms alike. ± of an "
        f"accuracy: standard deviation over seeds. {intervals.NOTE}"
    )
