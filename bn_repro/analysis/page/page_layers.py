"""What the page shows layer by layer: drift, and whatever a probe records of a layer.

A field of activations.npz with a number a probe and layer is shown without being named
anywhere: a new probe statistic appears by itself.
"""

from collections.abc import Sequence

import numpy as np

from bn_repro.analysis.layers import drift, drift_table, layer_axes
from bn_repro.run_folder.records import Run

DRIFT = (
    "Median over the layer's units, bars from quartile to quartile. Gaps: dead (the "
    "inputs hardly differ between examples), or not recorded over the steps that all "
    "finished runs cover."
)
NAMES = {
    "location": "location drift, in spreads",
    "scale": "scale drift, ln(largest / smallest spread)",
}
NOTES = {  # what it is, where the name does not say
    "location": "Location drift: (max - min of a unit's median over the training) / "
    f"(mean of its 15-85 percentile spread). {DRIFT}",
    "scale": "Scale drift: ln(largest / smallest 15-85 percentile spread over the "
    f"training). {DRIFT}",
    "gradient_norm": "The norm of the loss's gradient with respect to the layer's "
    "weights.",
    "saturated": "The share of the nonlinearity's outputs whose slope is nearly zero.",
}

Windows = dict[int, drift.Window | None]


def of_run(run: Run, windows: Windows) -> dict | None:
    """Returns what is known of each layer of a run; None without a probe.

    "drift" has, per start and its window, location and scale drift as [L] medians and
    quartiles over the units; "fields" are [T, L].
    """
    probes = run.activations
    if not probes or not len(probes["steps"]):
        return None
    return {
        "names": probes["layers"],
        "steps": probes["steps"],
        "fields": {name: probes[name] for name in fields(probes)},
        "drift": {start: _drifts(probes, over) for start, over in windows.items()},
    }


def fields(probes: dict) -> list[str]:
    """Returns the fields with one number a probe and layer."""
    shape = (len(probes["steps"]), len(probes["layers"]))
    others = [name for name in probes if name not in probes["layers"]]
    return [name for name in others if np.shape(probes[name]) == shape]


def overview(runs: Sequence[Run]) -> dict:
    """Returns what can be chosen: layers, probed steps, starts and measures.

    "modules" names the layers for an axis that has no room for all of them, "" where a
    name is left out: at least every second and third.
    """
    probed = [run for run in runs if run.activations and len(run.activations["steps"])]
    names = layer_axes.all_layers(probed)
    steps = sorted({int(step) for run in probed for step in run.activations["steps"]})
    found = dict.fromkeys(n for run in probed for n in fields(run.activations))
    measures = [] if not probed else ["location", "scale", *found]
    return {
        "names": names,
        "modules": layer_axes.modules(names),
        "steps": steps,
        "logarithmic": len(steps) > 3 and layer_axes.is_logarithmic(steps),
        "starts": list(drift_table.FROM_STEPS),
        "measures": [_measure(key) for key in measures],
    }


def _measure(key: str) -> dict:
    name = NAMES.get(key) or layer_axes.field_name(key)
    return {"key": key, "name": name, "note": NOTES.get(key, "")}


def _drifts(probes: dict, over: drift.Window | None) -> dict:
    """Returns the drifts of all layers; NaN where none is known over these steps."""
    scores = np.full((2, len(probes["layers"]), 3), np.nan)
    if over and drift.has_percentiles(probes):
        scores = drift.layer_scores(probes, over)
    return {"location": scores[0].T, "scale": scores[1].T}
