"""What the interactive page shows of a set of runs: plain values and one array.

Values are rounded to five significant digits and the page is compressed as a whole, so
that 200 runs stay below 15 MB; percentiles of single units are kept for some runs only.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bn_repro.analysis import arms, convergence, tables
from bn_repro.analysis.layers import drift
from bn_repro.analysis.page import page_units
from bn_repro.analysis.sweep import comparison
from bn_repro.run_folder import files
from bn_repro.run_folder.records import Run

CHOSEN = 8  # runs that are drawn when the page opens
HELD_OUT = ("val ema", "test ema")  # whose accuracy the tables show
FIELDS = ("accuracy", "loss", "top5")
LAYER_FIELDS = ("gradient_norm", "saturated")  # of records.PROBE_FIELDS


class PageData(NamedTuple):
    """What the page's script reads.

    Attributes:
      values: JSON-like; see `page_data`.
      units: float32 [n], the percentiles of single units of all layers, run after run.
    """

    values: dict
    units: np.ndarray


def page_data(
    runs: Sequence[Run],
    viewer_runs: Sequence[str] = (),
    target: str | float | None = None,
) -> PageData:
    """Returns everything that the page shows of the runs.

    `values` holds "runs" (those of a sweep in its order; an object each: overview,
    curves, layers, configuration, manifest), "keys" (of the configuration that differ,
    but the seed), "chosen" (indices of the runs drawn at first), "target" (an accuracy
    and whose best it is), "sweep_key" and "viewer" (see `page_units.viewer`).

    Args:
      runs: at least one.
      viewer_runs: whose single units can be looked at; see `page_units.select`.
      target: that the page begins with, as in `convergence.find_target`.

    Raises:
      UserError: `viewer_runs` or `target` names a run that is not there.
    """
    sweep = comparison.find_sweep(runs)
    runs = sweep.runs() if sweep else runs
    found = arms.group(runs)
    variants = {id(run): arm.label for arm in found for run in arm.runs}
    windows = tables.drift_windows(arms.counted(runs))
    windows = dict(zip(tables.FROM_STEPS, windows, strict=True))
    viewer, units = page_units.viewer(runs, page_units.select(runs, viewer_runs))
    values = {
        "runs": [
            {"variant": variants.get(id(run), run.name)} | _run_values(run, windows)
            for run in runs
        ],
        "keys": tables.varying_keys(run.config for run in runs),
        "chosen": _chosen(runs, found),
        "target": first_target(runs, sweep, target),
        "sweep_key": sweep.key if sweep else None,
        "viewer": viewer,
    }
    values = _rounded(values)
    for run, shown in zip(runs, values["runs"], strict=True):
        shown |= _documents(run)
    return PageData(values, units)


def first_target(
    runs: Sequence[Run],
    sweep: comparison.Sweep | None,
    wanted: str | float | None = None,
) -> dict | None:
    """Returns the accuracy that steps are counted to at first, and whose best it is.

    The tables' own: of a sweep what counts as trained, else the best of Inception or of
    the networks without BN; or the one wanted.
    """
    if sweep and wanted is None:
        accuracy, run = comparison.find_target(sweep), None
    else:
        target = convergence.find_target(list(map(convergence.course, runs)), wanted)
        accuracy, run = target.accuracy, target.course and target.course.run.name
    return {"accuracy": accuracy, "run": run} if np.isfinite(accuracy) else None


def _run_values(run: Run, windows: dict[int, drift.Window | None]) -> dict:
    flat = run.stated
    curves = _curves(run)
    course = convergence.course(run)
    return {
        "name": run.name,
        "status": run.status["status"],
        "status_text": tables.status_text(run),
        "steps": run.status.get("step", 0),
        "batch": flat.get("batch_size"),
        "rate": flat.get("optimizer.learning_rate"),
        "seed": flat.get("seed"),
        "seconds": run.metrics[-1].get("seconds") if run.metrics else None,
        "best": course.best,
        "final": course.accuracy[-1] if course.accuracy.size else None,
        "at_chance": bool(course.accuracy.size)
        and convergence.is_chance(course.accuracy[-1], course.classes, course.count),
        "held_out": next((key for key in HELD_OUT if key in curves), None),
        "curves": curves,
        "layers": _layers(run, windows),
    }


def _curves(run: Run) -> dict:
    """Returns "split statistics" -> {"steps", "seconds", and the recorded FIELDS}."""
    rows: dict[str, list[dict]] = {}
    for row in run.metrics:
        rows.setdefault(f"{row.get('split')} {row.get('statistics')}", []).append(row)
    curves = {}
    for key, group in rows.items():
        fields = [name for name in FIELDS if any(name in row for row in group)]
        columns = {name: [row.get(name) for row in group] for name in fields}
        curves[key] = {
            "steps": [row["step"] for row in group],
            "seconds": [row.get("seconds") for row in group],
            **columns,
        }
    return curves


def _layers(run: Run, windows: dict[int, drift.Window | None]) -> dict | None:
    """Returns what is known of each layer, None without a probe.

    "drift" has, per start and its window, location and scale drift as [L] medians and
    quartiles over the units; "gradient_norm" and "saturated" are [T, L].
    """
    probes = run.activations
    if not probes or not len(probes["steps"]):
        return None
    return {
        "names": probes["layers"],
        "steps": probes["steps"],
        **{name: probes[name] for name in LAYER_FIELDS if name in probes},
        "drift": {start: _drifts(probes, over) for start, over in windows.items()},
    }


def _drifts(probes: dict, over: drift.Window | None) -> dict:
    """Returns the drifts of all layers; NaN where none is known over these steps."""
    rows = np.full((len(probes["layers"]), 2, 3), np.nan)
    if over and drift.has_percentiles(probes):
        for row, name in zip(rows, probes["layers"], strict=True):
            row[:] = list(
                map(drift.quartiles, drift.unit_drifts(probes, name, over=over))
            )
    # [L, location and scale, (median, lower, upper)]
    return {"location": rows[:, 0].T, "scale": rows[:, 1].T}


def _chosen(runs: Sequence[Run], found: Sequence[arms.Arm]) -> list[int]:
    """Returns the first runs of up to CHOSEN arms, spread over all arms."""
    places = np.linspace(0, len(found) - 1, min(CHOSEN, len(found))).round().astype(int)
    first = {id(found[place].runs[0]) for place in places}
    return [index for index, run in enumerate(runs) if id(run) in first]


def _documents(run: Run) -> dict:
    """Returns what is shown as it was written, every digit of it."""
    written = {
        "config": run.stated,
        "manifest": run.manifest,
        "state": run.status,
    }
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
