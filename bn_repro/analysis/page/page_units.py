"""What the page's viewer shows of some runs, within its size: units and histograms."""

from collections.abc import Sequence

import numpy as np

from bn_repro.analysis import arms
from bn_repro.analysis.layers import drift
from bn_repro.errors import UserError
from bn_repro.run_folder.records import Run

VIEWER_RUNS = 16
VIEWER_VALUES = 2_000_000  # about 5 MB of the page
HISTOGRAM_VALUES = 4_000_000  # bytes, about 2 MB of the page
SIDES = ("input", "output")


def select(
    runs: Sequence[Run], viewer_runs: Sequence[str], first: Sequence[Run] = ()
) -> list[Run]:
    """Returns the runs whose single units are kept.

    `viewer_runs` are their names, or how many there are, by default VIEWER_RUNS: those
    in `first`, then the first seed of each arm before the others.

    Raises:
      UserError: there is no run of such a name.
    """
    by_name = {run.name: run for run in runs}
    count = _count(viewer_runs, by_name)
    if count is not None:
        others = [run for run in _seed_by_seed(runs) if run not in first]
        return [run for run in [*first, *others] if run.activations][:count]
    for name in viewer_runs:
        if name not in by_name:
            known = ", ".join(list(by_name)[:8]) + (", ..." if len(by_name) > 8 else "")
            raise UserError(
                f"viewer_runs: there is no run {name}; give a number or some of {known}"
            )
    return [by_name[name] for name in viewer_runs if by_name[name].activations]


def viewer(
    runs: Sequence[Run], shown: Sequence[Run]
) -> tuple[dict, np.ndarray, np.ndarray]:
    """Returns where whose values lie, the units' percentiles, and the histograms.

    Of "runs" each has its steps, percentiles, histograms (see `histograms`) and layers;
    a layer's kept units, the typical one of them, and where its [T, P, units] values
    begin. "left_out" and "unprobed" name the other runs, "limit" is the number of units
    that a layer may keep within VIEWER_VALUES, None if all are kept.
    """
    limit = _units_per_layer(shown)
    entries, units, counts = [], [np.zeros(0, "<f4")], [np.zeros(0, np.uint8)]
    for run, thinned in zip(shown, histograms(shown), strict=True):
        probes, offset = run.activations, sum(map(len, units))
        layers, values = _layers(probes, limit, offset)
        if thinned:
            counts.append(thinned.pop("values").ravel())
            thinned["offset"] = sum(map(len, counts[:-1]))
        units += values
        entries.append(
            {
                "run": run.name,
                "steps": probes["steps"],
                "percentiles": probes["percentiles"],
                "middle": int(np.abs(probes["percentiles"] - 50).argmin()),
                "nonlinearity": run.stated.get("model.nonlinearity"),
                "layers": layers,
                "histograms": thinned,
            }
        )
    names = {run.name for run in shown}
    probed = [run.name for run in runs if run.activations]
    found = {
        "runs": entries,
        "pair": _pair(shown),
        "left_out": [name for name in probed if name not in names],
        "unprobed": [run.name for run in runs if not run.activations],
        "limit": limit,
    }
    return found, np.concatenate(units), np.concatenate(counts)


def histograms(shown: Sequence[Run]) -> list[dict | None]:
    """Returns of each run the histograms of inputs and outputs; None if it has none.

    "values" are uint8 [T, L, 2, bins]: shares, 255 the largest of a histogram, of
    ReLU's outputs the largest but for its zeros; "ranges" [T, L, 2, 2] the ends of the
    bins, "steps" [T] of the probes kept: of all runs every n-th one, so that no more
    than HISTOGRAM_VALUES are.
    """
    recorded_ = [_recorded_histograms(run.activations) for run in shown]
    total = sum(shares.size for shares, _ in filter(None, recorded_))
    every = -(-total // HISTOGRAM_VALUES) or 1
    found = []
    for run, both in zip(shown, recorded_, strict=True):
        if both is None:
            found.append(None)
            continue
        shares, ranges = both
        kept = np.unique([*range(0, len(shares), every), len(shares) - 1])
        found.append(
            {
                "values": _scaled(shares[kept], ranges[kept]),
                "ranges": ranges[kept],
                "steps": run.activations["steps"][kept],
                "bins": shares.shape[-1],
            }
        )
    return found


def _recorded_histograms(probes: dict) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns shares [T, L, 2, bins] and ranges [T, L, 2, 2], if both are there."""
    names = [f"{side}_{what}" for what in ("histogram", "range") for side in SIDES]
    if any(name not in probes for name in names) or not len(probes["steps"]):
        return None
    values = [probes[name] for name in names]
    return np.stack(values[:2], 2), np.stack(values[2:], 2)


def _scaled(shares: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    """Returns the shares by the peak of each histogram, uint8.

    Outputs that lie in the first bin from zero on, as ReLU's zeros do, do not set the
    peak where others are there to be seen.
    """
    counted = shares.copy()
    at_zero = ranges[:, :, 1, 0] == 0
    counted[:, :, 1, 0] *= ~at_zero
    peak = counted.max(axis=-1, keepdims=True)
    peak = np.where(peak > 0, peak, np.maximum(shares.max(-1, keepdims=True), 1e-9))
    return np.round(255 * np.minimum(shares / peak, 1)).astype(np.uint8)


def _pair(shown: Sequence[Run]) -> list[str]:
    """Returns two networks to begin with: the first run, and one of another norm."""
    others = [run.name for run in shown if run.norm != shown[0].norm]
    names = [run.name for run in shown]
    return [*names[:1], *(others or names[1:] or names)[:1]]


def _layers(
    probes: dict, limit: int | None, offset: int
) -> tuple[list[dict], list[np.ndarray]]:
    """Returns the layers' entries, the first at `offset`, and their values."""
    entries, parts = [], []
    for name in probes["layers"]:
        units = _units(probes, name, limit)
        parts.append(probes[name][:, :, units].astype("<f4").ravel())
        entries.append(_layer_entry(probes, name, units, offset))
        offset += parts[-1].size
    return entries, parts


def _layer_entry(probes: dict, name: str, units: np.ndarray, offset: int) -> dict:
    typical = _typical(probes, name)
    return {"name": name, "units": units, "typical": typical, "offset": offset}


def _units_per_layer(shown: Sequence[Run]) -> int | None:
    """Returns how many units a layer may keep within VIEWER_VALUES; None: all."""
    every = [run.activations for run in shown]
    shapes = [probes[name].shape for probes in every for name in probes["layers"]]
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
