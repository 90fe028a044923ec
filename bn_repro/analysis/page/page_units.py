"""Percentiles of single units for the page's viewer: of some runs, within its size."""

from collections.abc import Sequence

import numpy as np

from bn_repro.analysis import arms
from bn_repro.analysis.layers import drift
from bn_repro.errors import UserError
from bn_repro.run_folder.records import Run

VIEWER_RUNS = 16
VIEWER_VALUES = 2_000_000  # about 5 MB of the page


def select(runs: Sequence[Run], viewer_runs: Sequence[str]) -> list[Run]:
    """Returns the runs whose single units are kept.

    Args:
      runs: all runs.
      viewer_runs: names of runs, or one number of runs; default the first VIEWER_RUNS,
        the first seed of each arm before the others.

    Raises:
      UserError: there is no run of such a name.
    """
    by_name = {run.name: run for run in runs}
    count = _count(viewer_runs, by_name)
    if count is not None:
        return [run for run in _seed_by_seed(runs) if run.activations][:count]
    for name in viewer_runs:
        if name not in by_name:
            known = ", ".join(list(by_name)[:8]) + (", ..." if len(by_name) > 8 else "")
            raise UserError(
                f"viewer_runs: there is no run {name}; give a number or some of {known}"
            )
    return [by_name[name] for name in viewer_runs if by_name[name].activations]


def viewer(runs: Sequence[Run], shown: Sequence[Run]) -> tuple[dict, np.ndarray]:
    """Returns where whose units lie, and the units' percentiles, float32 [n].

    Of "runs" each has its steps, percentiles and layers; a layer's kept units, the
    typical one of them, and where its [T, P, units] values begin. "left_out" and
    "unprobed" name the other runs, "limit" is the number of units that a layer may keep
    within VIEWER_VALUES, None if all are kept.

    Args:
      runs: all runs.
      shown: those whose units are kept.
    """
    limit = _units_per_layer(shown)
    entries, parts, offset = [], [], 0
    for run in shown:
        layers = []
        for name in run.activations["layers"]:
            units = _units(run.activations, name, limit)
            values = run.activations[name][:, :, units].astype("<f4")
            layers.append(_layer_entry(run.activations, name, units, offset))
            parts.append(values.ravel())
            offset += values.size
        entries.append(
            {
                "run": run.name,
                "steps": run.activations["steps"],
                "percentiles": run.activations["percentiles"],
                "nonlinearity": run.stated.get("model.nonlinearity"),
                "layers": layers,
            }
        )
    names = {run.name for run in shown}
    probed = [run.name for run in runs if run.activations]
    found = {
        "runs": entries,
        "left_out": [name for name in probed if name not in names],
        "unprobed": [run.name for run in runs if not run.activations],
        "limit": limit,
    }
    return found, np.concatenate(parts) if parts else np.zeros(0, "<f4")


def _layer_entry(probes: dict, name: str, units: np.ndarray, offset: int) -> dict:
    typical = _typical(probes, name)
    return {"name": name, "units": units, "typical": typical, "offset": offset}


def _units_per_layer(shown: Sequence[Run]) -> int | None:
    """Returns how many units a layer may keep within VIEWER_VALUES; None: all."""
    shapes = [
        run.activations[n].shape for run in shown for n in run.activations["layers"]
    ]
    widest = max((units for _, _, units in shapes), default=1)

    def size(limit):
        return sum(steps * rows * min(units, limit) for steps, rows, units in shapes)

    if size(widest) <= VIEWER_VALUES:
        return None
    limits = [limit for limit in range(1, widest) if size(limit) <= VIEWER_VALUES]
    return max(limits, default=1)


def _units(probes: dict, name: str, limit: int | None) -> np.ndarray:
    """Returns the kept units of a layer: all, or evenly spaced ones and the typical."""
    count = probes[name].shape[2]
    if limit is None or count <= limit:
        return np.arange(count)
    kept = np.linspace(0, count - 1, limit).round().astype(int)
    typical = _typical(probes, name)
    kept[np.argmin(np.abs(kept - typical))] = typical
    return kept


def _typical(probes: dict, name: str) -> int:
    """Returns the typical unit; the first where no drift is known."""
    return drift.typical_unit(probes, name) if drift.has_percentiles(probes) else 0


def _seed_by_seed(runs: Sequence[Run]) -> list[Run]:
    """Returns the first run of every arm, then the second ones, and so on."""
    found = arms.group(runs)
    longest = max(len(arm.runs) for arm in found)
    return [arm.runs[i] for i in range(longest) for arm in found if i < len(arm.runs)]


def _count(viewer_runs: Sequence[str], by_name: dict[str, Run]) -> int | None:
    """Returns how many runs are asked for; None if they are named."""
    if not viewer_runs:
        return VIEWER_RUNS
    first = viewer_runs[0]
    alone = len(viewer_runs) == 1 and first not in by_name
    return int(first) if alone and first.isdecimal() else None
