"""How far the inputs to a layer's nonlinearities move during training (Sec. 4.1).

The paper shows the {15, 50, 85}th percentiles of one activation (Fig. 1b, 1c); these
are numbers for the same thing, for every unit. With the unit's median m(t) and its
spread s(t), the 85th minus the 15th percentile, over the probes t of a run:

    location drift = (max m - min m) / mean s      how many spreads the centre wandered
    scale drift    = ln(max s / min s)             how much the width changed

A spread of zero (a dead unit) makes both infinite, or 0 if nothing moved either.
"""

from typing import NamedTuple

import numpy as np

from bn_repro.errors import UserError


class Quartiles(NamedTuple):
    """Median and quartiles over the units of a layer; each is some unit's value."""

    median: float
    lower: float
    upper: float


def percentile(activations: dict, layer: str, percent: float) -> np.ndarray:
    """Returns one percentile of the inputs of a layer's units: float64 [T, units].

    Raises:
      UserError: the run did not record this percentile.
    """
    recorded = [float(value) for value in activations["percentiles"]]
    if percent not in recorded:
        raise UserError(
            f"percentile {percent:g} was not recorded (probe.percentiles: {recorded})"
        )
    return activations[layer][:, recorded.index(percent)].astype(np.float64)


def location_drift(median: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Returns (max - min of the median) / (mean spread): [T, units] -> [units]."""
    moved = np.ptp(median, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(moved == 0, 0.0, moved / spread.mean(axis=0))


def scale_drift(spread: np.ndarray) -> np.ndarray:
    """Returns ln(largest / smallest spread): [T, units] -> [units]."""
    smallest, largest = spread.min(axis=0), spread.max(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(smallest == largest, 0.0, np.log(largest / smallest))


def unit_drifts(
    activations: dict, layer: str, from_step: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Returns location drift and scale drift of every unit, [units] each.

    Args:
      activations: of a `records.Run`.
      layer: its name.
      from_step: probes before this step are left out, for example to leave out the
        first approach from the initial weights.

    Both are NaN with fewer than two probes: nothing can be said to have moved.
    """
    late = activations["steps"] >= from_step
    median = percentile(activations, layer, 50)[late]
    low = percentile(activations, layer, 15)[late]
    spread = percentile(activations, layer, 85)[late] - low
    if len(median) < 2:
        return np.full(median.shape[1], np.nan), np.full(median.shape[1], np.nan)
    return location_drift(median, spread), scale_drift(spread)


def quartiles(values: np.ndarray) -> Quartiles:
    """Returns median and quartiles of [units] values, without interpolation.

    Of an even number the lower of the two middle values is the median, so that it is
    the `typical_unit`'s and infinite drifts need no arithmetic.
    """
    cuts = np.quantile(values, [0.5, 0.25, 0.75], method="inverted_cdf")
    return Quartiles(*(float(cut) for cut in cuts))


def typical_unit(activations: dict, layer: str, from_step: int = 0) -> int:
    """Returns the unit whose location drift is the median of its layer.

    Of an even number of units the lower of the two middle ones; of equal drifts the
    first unit.
    """
    location, _ = unit_drifts(activations, layer, from_step)
    order = np.argsort(location, kind="stable")
    return int(order[(len(order) - 1) // 2])
