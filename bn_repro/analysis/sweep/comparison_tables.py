"""A sweep as tables: the largest trainable value, and best-tuned against best-tuned."""

from collections.abc import Sequence

import numpy as np

from bn_repro.analysis import arms, convergence, intervals, tables
from bn_repro.analysis.intervals import NO, OPEN, YES, Finding
from bn_repro.analysis.layers import drift, drift_table
from bn_repro.analysis.sweep import comparison
from bn_repro.analysis.sweep.comparison import Point, Sweep, SweptArm
from bn_repro.analysis.tables import Table
from bn_repro.run_folder.records import Run


def arms_table(sweep: Sweep, target: float) -> Table:
    """Returns one row an arm: what trains, and the best-tuned run of each."""
    rows = []
    late = _late_window(sweep)
    for arm in sweep.arms:
        values = [point.value for point in arm.points]
        tuned = arm.tuned()
        steps = f"Steps to {target_text(target)} there"
        row = {
            "Arm": arm.label,
            "Values tried": f"{len(values)}, {values[0]:g} to {values[-1]:g}",
            "Trainable": trainable_text(arm),
            "Largest trainable": largest_text(arm),
            "Best value": f"{tuned.value:g}" if tuned else "-",
            "Final accuracy there": tables.percent(tuned.final) if tuned else "-",
            steps: steps_text(tuned, target) if tuned else "-",
        }
        row |= _late_drift(tuned, late) if late else {}
        against = _against_first(sweep, arm)
        rows.append(row | {f"Against {sweep.arms[0].label}": against})
    title = f"Sweep of the {sweep.name}: what trains, and the best of each arm"
    return Table.of(title, rows, _note(sweep))


def values_table(sweep: Sweep, target: float) -> Table:
    """Returns one row a value: final accuracy and steps to the target in each arm."""
    by_arm = {arm.label: {p.value: p for p in arm.points} for arm in sweep.arms}
    first, *others = by_arm
    rows = []
    for value in sweep.values:
        row = {sweep.name[:1].upper() + sweep.name[1:]: f"{value:g}"}
        for label, points in by_arm.items():
            point, steps = points.get(value), f"{label}: steps to {target_text(target)}"
            row[f"{label}: final accuracy"] = final_text(point) if point else "-"
            row[steps] = steps_text(point, target) if point else "-"
        for label in others:
            pair = by_arm[first].get(value), by_arm[label].get(value)
            row[f"{label}: evaluations above {first}"] = higher_text(*pair)
        rows.append(row)
    return Table.of(
        f"Sweep of the {sweep.name}: every value",
        rows,
        "Mean ± standard deviation over the seeds that finished. Evaluations: seed by "
        "seed, at all common steps after the first, with moving averages.",
    )


def more_train(runs: Sequence[Run]) -> Finding:
    """Returns whether more of the swept values train on every seed with BN."""
    sweep = comparison.find_sweep(runs)
    if sweep is None or len(sweep.arms) != 2:
        return intervals.missing("a sweep of both networks")
    texts, counts, seeds = [], [], set()
    for arm in sweep.arms:
        good = arm.good
        seeds |= {len(point.courses) for point in arm.points}
        counts.append(len(good))
        span = f", {min(good):g} to {max(good):g}" if good else ""
        texts.append(f"{arm.label} {len(good)} of {len(arm.points)}{span}")
    answers = [point.trainable() for arm in sweep.arms for point in arm.points]
    verdict = YES if counts[1] > counts[0] else NO
    verdict = "unfinished" if None in answers else verdict
    tried = {tuple(point.value for point in arm.points) for arm in sweep.arms}
    n, decided = arms.number_list(list(seeds)), min(seeds) > 1 and len(tried) == 1
    return Finding("; ".join(texts), n, "-", verdict if decided else OPEN)


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
    good = arm.good
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
    few = f" ({reached.size} of {steps.size} seeds)"
    few = few if reached.size < steps.size else ""
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
    return drift_table.windows(every)[-1]


def _late_drift(tuned: Point | None, over: drift.Window) -> dict[str, str]:
    """Returns location and scale drift of a point's last layer, "-" if not known."""
    runs = [course.run for course in tuned.finished] if tuned else []
    found = {}
    for measure in ("location", "scale"):
        drifts = drift_table.last_layer(runs, measure, over)
        late = f"from step {drift_table.FROM_STEPS[-1]:,} on"
        name = f"Last layer's {measure} drift there, {late}"
        found[name] = tables.mean_text([*drifts.values()])
    return found


def _against_first(sweep: Sweep, arm: SweptArm) -> str:
    """Returns best-tuned against best-tuned, and the ratio of the largest values."""
    first = sweep.arms[0]
    if arm is first:
        return "-"
    words = []
    if times := _times(arm, first):
        words.append(f"largest trainable {times}")
    pair = arm.tuned(), first.tuned()
    if None not in pair:
        words.append(f"best-tuned: {comparison.difference(*pair).text()}")
    return "; ".join(words) or "-"


def _times(arm: SweptArm, first: SweptArm) -> str:
    """Returns how many times as large an arm's largest trainable value is, or "".

    An arm of which no larger value is known to fail might train at larger ones.
    """
    if not (arm.good and first.good):
        return ""
    value, other = arm.good[-1], first.good[-1]
    more, theirs = map(_may_be_more, (arm, first))
    if value == other and not (more or theirs):
        return "the same"
    if more and theirs:
        return f"at least {value:g} against at least {other:g}"
    if not other:
        return f"{value:g} against {other:g}"
    bound = "at least " if more else "at most " if theirs else ""
    return f"{bound}{value / other:,.3g} times as large"


def _may_be_more(arm: SweptArm) -> bool:
    larger = (point for point in arm.points if point.value > arm.good[-1])
    return not any(point.trainable() is False for point in larger)


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
