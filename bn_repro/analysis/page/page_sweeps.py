"""Runs against the keys of the configuration that were swept, one key or two at once.

An arm is the runs that differ in these keys and the seed only; its points hold the
places of the runs in the page's list.
"""

import itertools
from collections.abc import Sequence

from bn_repro.analysis import arms, intervals, tables
from bn_repro.analysis.page import page_style
from bn_repro.analysis.sweep import comparison, comparison_figure
from bn_repro.run_folder.records import Run

MOST_TICKS = 12


def sweeps(
    runs: Sequence[Run], keys: Sequence[str], sweep: comparison.Sweep | None
) -> list[dict]:
    """Returns the sweeps of one key and of two, what was really swept first.

    Each has "key" and "title". Of one key there are "logarithmic" and "ticks" of its
    axis, "arms": [{"label", "dash", "points": [{"x", "runs"}]}], and "best": sentences
    on the arms' best against each other; of two keys "names", the values "x" and "y"
    as text, and "arms": [{"label", "cells": {"place in y,place in x": runs}}].
    """
    single = [found for key in keys if (found := _one(runs, key, sweep))]
    single.sort(key=lambda one: -one.pop("most"))
    if sweep:
        single.sort(key=lambda one: one["key"] != sweep.key)
    swept = [one["key"] for one in single]
    pairs = [_two(runs, pair) for pair in itertools.combinations(swept, 2)]
    return single + [pair for pair in pairs if pair]


def _one(runs, key: str, sweep: comparison.Sweep | None) -> dict | None:
    """Returns the sweep of a key, None if no arm has two values of it."""
    found = [arm for arm in _arms(runs, (key,)) if len(arm[1]) > 1]
    if not found:
        return None
    shown = [
        {
            "label": label,
            "dash": page_style.DASHES[i % len(page_style.DASHES)],
            "points": [{"x": x, "runs": points[(x,)]} for (x,) in sorted(points)],
        }
        for i, (label, points) in enumerate(found)
    ]
    values = sorted({point["x"] for arm in shown for point in arm["points"]})
    marked = values[:: -(-len(values) // MOST_TICKS)]
    return {
        "key": key,
        "title": comparison.KEY_NAMES.get(key, key),
        "most": max(len(points) for _, points in found),
        "logarithmic": comparison_figure.is_logarithmic(values),
        "ticks": {
            "tickvals": marked,
            "ticktext": list(map(tables.value_text, marked)),
        },
        "arms": shown,
        "best": _best(runs, sweep) if sweep and sweep.key == key else [],
    }


def _two(runs, keys: tuple[str, str]) -> dict | None:
    """Returns the sweep of two keys; None if no arm has two values of both."""
    found = [
        (label, points)
        for label, points in _arms(runs, keys)
        if all(len({values[i] for values in points}) > 1 for i in (0, 1))
    ]
    if not found:
        return None
    axes = [sorted({v[i] for _, points in found for v in points}) for i in (0, 1)]
    shown = [
        {
            "label": label,
            "cells": {
                f"{axes[1].index(y)},{axes[0].index(x)}": members
                for (x, y), members in points.items()
            },
        }
        for label, points in found
    ]
    names = [comparison.KEY_NAMES.get(key, key) for key in keys]
    texts = [[tables.value_text(value) for value in axis] for axis in axes]
    title = " and ".join(names)
    return {
        "key": "*".join(keys),
        "title": title,
        "names": names,
        "x": texts[0],
        "y": texts[1],
        "arms": shown,
    }


def _arms(runs: Sequence[Run], keys: Sequence[str]) -> list[tuple[str, dict]]:
    """Returns the arms' labels and their points, values -> places; with BN first."""
    places = {id(run): place for place, run in enumerate(runs)}
    found = comparison.points(runs, keys)
    firsts = [next(iter(points.values()))[0] for points in found]
    placed = [
        {values: [places[id(run)] for run in members] for values, members in p.items()}
        for p in found
    ]
    labels = [
        _of_both(label, [run for members in points.values() for run in members])
        for label, points in zip(tables.labels(firsts, keys), found, strict=True)
    ]
    shown = zip(labels, placed, firsts, strict=True)
    in_order = sorted(shown, key=lambda arm: arm[2].stated["model.norm"] == "none")
    return [(label, points) for label, points, _ in in_order]


def _of_both(label: str, runs: Sequence[Run]) -> str:
    """Returns an arm's label: where it is the name of one of two runs, of both."""
    names = list(dict.fromkeys(map(arms.label, runs)))
    return " and ".join(names) if label in names and len(names) == 2 else label


def _best(runs: Sequence[Run], sweep: comparison.Sweep) -> list[str]:
    """Returns a sentence a pair of arms: each at its best value, and the difference."""
    tuned = [(arm, arm.tuned()) for arm in reversed(sweep.arms)]
    tuned = [(arm, point) for arm, point in tuned if point]
    return [
        f"Best against best: {_at(one, sweep)} against {_at(other, sweep)}: "
        f"{_difference(comparison.difference(one[1], other[1]))}."
        for one, other in itertools.combinations(tuned, 2)
    ]


def _difference(found: intervals.Difference) -> str:
    tie = "a tie, " if found.is_tie else ""
    limits = found.interval.text(100, sign=True)
    of = " of the pictures alone, one seed" if found.rule == "binomial" else ""
    return f"{tie}{100 * found.mean:+.2f} points, 95 % interval {limits}{of}"


def _at(tuned: tuple, sweep: comparison.Sweep) -> str:
    arm, point = tuned
    mean = tables.percent(point.final)
    return f"{arm.label}, {mean} at {sweep.name} {point.value:g}"
