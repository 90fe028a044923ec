"""What the interactive page shows of a set of runs: plain values and two arrays.

What is grouped, labelled, coloured or put in order is so here; the script draws it.
Values are rounded to five significant digits and the page is compressed as a whole, so
that 200 runs stay below 15 MB; single units and histograms are kept for some runs only.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bn_repro.analysis import arms, convergence, networks, tables
from bn_repro.analysis.layers import drift_table, layer_signals
from bn_repro.analysis.page import (
    page_curves,
    page_layers,
    page_style,
    page_sweeps,
    page_units,
)
from bn_repro.analysis.sweep import comparison
from bn_repro.run_folder import files
from bn_repro.run_folder.records import Run

CHOSEN = 8  # runs that are drawn when the page opens
MOST_KEYS = 4  # of the configuration with a column each; the filter finds all


class PageData(NamedTuple):
    """What the page's script reads."""

    values: dict  # JSON-like; see `page_data`
    # float32 [n], the percentiles of single units of all layers, run after run
    units: np.ndarray
    histograms: np.ndarray  # uint8 [n], as well; see `page_units.histograms`


def page_data(
    runs: Sequence[Run],
    viewer_runs: Sequence[str] = (),
    target: str | float | None = None,
) -> PageData:
    """Returns everything that the page shows of the runs.

    `values` holds "runs" (those of a sweep in its order; an object each: overview,
    style, curves, layers, configuration, manifest), "groups" (runs that differ in the
    seed only), "columns" of the table, "keys" (of the configuration that differ, but
    the seed), "curves" and "fields" (key -> name), "chosen" (indices of the runs drawn
    at first), "target" (an accuracy), and what `page_style`,
    `page_sweeps`, `page_layers` and `page_units` say of themselves.

    Raises:
      UserError: `viewer_runs` or `target` names a run that is not there.
    """
    sweep = comparison.find_sweep(runs)
    runs = sweep.runs() if sweep else runs
    found = arms.group(runs)
    keys = tables.varying_keys(run.config for run in runs)
    styles, legend, scale = page_style.styles(runs, found, sweep)
    labels = {id(run): arm.label for arm in found for run in arm.runs}
    windows = drift_table.windows(arms.counted(runs))
    windows = dict(zip(drift_table.FROM_STEPS, windows, strict=True))
    shown = [
        {"variant": labels.get(id(run), run.name)} | style | _run_values(run, windows)
        for run, style in zip(runs, styles, strict=True)
    ]
    page_curves.add_as_listed(shown)
    tuned = _tuned(sweep) if sweep else []
    viewer, units, histograms = page_units.viewer(
        runs, page_units.select(runs, viewer_runs, tuned)
    )
    values = {
        "runs": shown,
        "groups": _groups(runs, found),
        "columns": _columns(runs, keys),
        "keys": keys,
        "held_out": page_curves.held_out_text(shown),
        "curves": page_curves.curve_names(shown),
        "fields": page_curves.field_names(shown),
        "chosen": _chosen(runs, found, sweep),
        "target": first_target(runs, sweep, target),
        "legend": legend,
        "scale": scale,
        "sweeps": page_sweeps.sweeps(runs, keys, sweep),
        "layers": page_layers.overview(runs),
        "viewer": viewer,
    }
    values = _rounded(values)
    for run, entry in zip(runs, values["runs"], strict=True):
        entry |= _documents(run)
    return PageData(values, units, histograms)


def first_target(
    runs: Sequence[Run],
    sweep: comparison.Sweep | None,
    wanted: str | float | None = None,
) -> float | None:
    """Returns the accuracy that steps are counted to at first: the tables' own."""
    if sweep:
        accuracy = comparison.find_target(sweep, wanted)
    else:
        of_any_scale = isinstance(wanted, str)  # a name, whosever it is
        found = networks.together(runs) if of_any_scale else networks.find(runs)[0]
        accuracy = networks.find_goal(found, wanted).accuracy
    return accuracy if np.isfinite(accuracy) else None


def _run_values(run: Run, windows: page_layers.Windows) -> dict:
    flat = run.stated
    curves = page_curves.of_run(run)
    held_out = page_curves.held_out(curves)
    course = convergence.course(run, held_out.split()[1]) if held_out else None
    course = course if course and course.steps.size else None
    return {
        "name": run.name,
        "status": run.status["status"],
        "status_text": tables.status_text(run),
        "outcome": _outcome(run, course),
        "steps": run.status.get("step", 0),
        "batch": flat.get("batch_size"),
        "seconds": run.metrics[-1].get("seconds") if run.metrics else None,
        "best": course and course.best,
        "final": course and course.accuracy[-1],
        "held_out": held_out,
        "curves": curves,
        "layers": page_layers.of_run(run, windows),
    }


def _outcome(run: Run, course: convergence.Course | None) -> str:
    """Returns how a run stands: its status, or whether a finished one "trained".

    Else it is at "chance", or "unmeasured" without a last accuracy.
    """
    if run.status["status"] != "finished":
        return run.status["status"]
    if course is None or not np.isfinite(course.accuracy[-1]):
        return "unmeasured"
    return "chance" if course.is_chance(course.accuracy[-1]) else "trained"


def _columns(runs: Sequence[Run], keys: Sequence[str]) -> list[dict]:
    """Returns the table's columns: "kind" says how the script writes a value."""
    rate = "optimizer.learning_rate"
    own = [key for key in keys if key != rate]
    own = [rate, *own] if len(own) <= MOST_KEYS else [rate]
    flats = [run.stated for run in runs]
    names = {key: key.split(".")[-1] for key in [*own, "seed"]}
    short = [name for name in names.values() if [*names.values()].count(name) == 1]
    settings = [
        {"label": name if name in short else key, "key": key, "kind": _kind(flats, key)}
        for key, name in names.items()
    ]
    return [
        {"label": "Run", "field": "name", "kind": "text"},
        {"label": "Variant", "field": "variant", "kind": "text"},
        {"label": "Status", "field": "status_text", "kind": "text"},
        {"label": "Final accuracy", "field": "final", "kind": "percent"},
        {"label": "Best accuracy", "field": "best", "kind": "percent"},
        {"label": "Steps to target", "field": "to_target", "kind": "count"},
        *settings,
        {"label": "Time", "field": "seconds", "kind": "duration"},
    ]


def _kind(flats: Sequence[dict], key: str) -> str:
    numbers = all(isinstance(flat.get(key), int | float) for flat in flats)
    return "number" if numbers else "text"


def _groups(runs: Sequence[Run], found: Sequence[arms.Arm]) -> list[dict]:
    places = {id(run): place for place, run in enumerate(runs)}
    return [
        {"label": arm.label, "runs": [places[id(run)] for run in arm.runs]}
        for arm in found
    ]


def _chosen(
    runs: Sequence[Run], found: Sequence[arms.Arm], sweep: comparison.Sweep | None
) -> list[int]:
    """Returns the first runs of up to CHOSEN arms, spread over all arms.

    Of a sweep the same places among the values in each of its arms.
    """
    if sweep:
        count = max(1, CHOSEN // len(sweep.arms))
        points = [
            point
            for arm in sweep.arms
            for point in layer_signals.spaced(arm.points, count)
        ]
        firsts = [point.courses[0].run for point in points]
    else:
        firsts = [arm.runs[0] for arm in layer_signals.spaced(found, CHOSEN)]
    first = {id(run) for run in firsts}
    return [index for index, run in enumerate(runs) if id(run) in first]


def _tuned(sweep: comparison.Sweep) -> list[Run]:
    """Returns a run of each arm at its best value: what is worth looking at first."""
    points = [arm.tuned() for arm in sweep.arms]
    return [point.courses[0].run for point in points if point]


def _documents(run: Run) -> dict:
    """Returns what is shown as it was written, every digit of it."""
    written = {"config": run.stated, "manifest": run.manifest, "state": run.status}
    return files.plain(written)


def _rounded(value):
    """Returns JSON values: floats of five significant digits, None if not finite."""
    if isinstance(value, dict):
        return {str(key): _rounded(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.5g}") if np.isfinite(value) else None
    return value
