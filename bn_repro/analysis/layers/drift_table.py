"""Drift as a table: of every layer, and of the last one for whoever compares runs."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from bn_repro.analysis import arms, convergence
from bn_repro.analysis.arms import Arm
from bn_repro.analysis.layers import drift
from bn_repro.analysis.tables import Table, layers_of, mean_text
from bn_repro.run_folder.records import Run

FROM_STEPS = (0, 5_000)  # drift is reported from both on
MOST_LAYERS = 16  # with a row each in the table of drift


def drift_table(runs: Sequence[Run]) -> Table:
    """Returns location and scale drift, from FROM_STEPS on where that was recorded.

    Over the steps that all finished runs cover. One row a layer and arm; of networks
    with more than MOST_LAYERS one row an arm, with the median over its layers.
    """
    found = arms.group(runs)
    probed = [run for arm in found for run in arm.done()]
    shared = list(filter(None, windows(probed)))
    layers = list(dict.fromkeys(name for run in probed for name in layers_of(run)))
    summed = len(layers) > MOST_LAYERS
    groups = {f"all {len(layers)}": layers} if summed else {n: [n] for n in layers}
    rows = []
    for name, members in groups.items():
        for arm in found:
            drifts = [_drifts(arm, members, over) for over in shared]
            if all(np.isnan(values).all() for values in drifts):
                continue
            cells = {
                f"{measure} drift, step {over.first:,.0f} to {over.last:,.0f}": (
                    _drift_cell(values[:, i])
                )
                for i, measure in enumerate(("Location", "Scale"))
                for over, values in zip(shared, drifts, strict=True)
            }
            rows.append({"Layer": name, "Runs": arm.label} | cells)
    of_what = "all layers' recorded units" if summed else "the layer's units"
    return Table.of(
        "Drift of the inputs to the nonlinearities",
        rows,
        "Location drift: (max - min of a unit's median over time) / (mean of its 15-85 "
        "percentile spread over time). Scale drift: ln(largest / smallest spread). "
        f"Both at {drift.POINTS} equally distant steps, between probes by "
        "interpolation, so that they do not depend on when the probes were. Median "
        f"over {of_what} [quartiles], means over the seeds that finished ± standard "
        "deviation of the median. Dead: the spread is below "
        f"{100 * drift.DEAD:g} % of the median's size, on average (location) or at "
        "some step (scale): the layer tells no examples apart."
        f"{_left_out(probed, shared)}",
    )


def _left_out(probed: Sequence[Run], shared: Sequence[drift.Window]) -> str:
    """Returns which runs' probes span none of the windows, a sentence."""
    short, every = Counter(), Counter()
    for run in probed:
        if drift.has_percentiles(run.activations) and len(run.activations["steps"]):
            first, last = run.activations["steps"][[0, -1]]
            spans = any(first <= over.first and over.last <= last for over in shared)
            every[arms.label(run)] += 1
            short[arms.label(run)] += not spans
    told = [f"{n} of {every[name]} seeds of {name}" for name, n in short.items() if n]
    if not (shared and told):
        return ""
    return f" Left out, as their probes do not span these steps: {', '.join(told)}."


def windows(runs: Sequence[Run]) -> list[drift.Window | None]:
    """Returns the steps over which these runs' drift is comparable, per FROM_STEPS."""
    every = [run.activations for run in runs]
    return [drift.window(every, start) for start in FROM_STEPS]


def last_layer(
    runs: Sequence[Run], measure: str, over: drift.Window | None
) -> dict[tuple, float]:
    """Returns `convergence.by_seed` of the median drifts of the last layer's units.

    Of one arm; "location" or "scale". Runs that recorded the last layer of most count.
    """
    probed = [run for run in runs if drift.has_percentiles(run.activations)]
    if not probed or over is None:
        return {}
    last = Counter(layers_of(run)[-1] for run in probed).most_common(1)[0][0]
    able = [run for run in probed if last in layers_of(run)]
    column = ("location", "scale").index(measure)
    medians = _drifts(Arm("", able), [last], over)[:, column, 0]
    return convergence.by_seed(able, medians)


def _drifts(arm: Arm, layers: Sequence[str], over: drift.Window) -> np.ndarray:
    """Returns [finished runs, location and scale, median and quartiles over units]."""
    rows = []
    for run in arm.done():
        measured = [
            drift.unit_drifts(run.activations, layer, over)
            for layer in layers
            if layer in layers_of(run) and drift.has_percentiles(run.activations)
        ]
        if measured:
            both = zip(*measured, strict=True)
            rows.append([drift.quartiles(np.concatenate(units)) for units in both])
    return np.asarray(rows, float).reshape(-1, 2, 3)


def _drift_cell(values: np.ndarray) -> str:
    """Returns "1.20 ± 0.10 [0.90, 1.60]" of [runs, (median, lower, upper)]."""
    median = mean_text(values[:, 0])
    if median in ("-", "dead"):
        return median
    ends = [values[np.isfinite(values[:, i]), i] for i in (1, 2)]
    lower, upper = (f"{x.mean():.2f}" if x.size else "dead" for x in ends)
    return f"{median} [{lower}, {upper}]"
