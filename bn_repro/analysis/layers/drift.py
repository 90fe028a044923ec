"""How far the inputs to a layer's nonlinearities move during training (Sec. 4.1).

The paper shows the {15, 50, 85}th percentiles of one activation (Fig. 1b, 1c); these
are numbers for the same thing, for every unit. With the unit's median m(t) and its
spread s(t), the 85th minus the 15th percentile:

    location drift = (max m - min m) / mean s      how many spreads the centre wandered
    scale drift    = ln(max s / min s)             how much the width changed

Probes may be even, or crowd at the beginning, so none of this is of the probes: m and s
are interpolated linearly in t onto POINTS equally distant steps of a window, and the
mean is that of the trapezoid rule. A probe between two of these steps, such as the many
early ones of a logarithmic schedule, has no say of its own, and moves that are shorter
than a POINTS-th of the window are not looked for. Numbers are comparable over the same
window only: `window` returns the one that several runs share.

A unit whose spread is below DEAD of its median's size tells no examples apart: it is
dead, and how many such spreads it moved means nothing. (Records are kept in float16,
which does not resolve much less.) Dead on average: infinite location drift; dead
anywhere in the window: infinite scale drift.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bn_repro.errors import UserError
from bn_repro.run_folder.records import Run

PERCENTILES = (15, 50, 85)
POINTS = 51
DEAD = 0.01
SHORT = 0.1  # of the longest of several runs


class Quartiles(NamedTuple):
    """Median and quartiles over the units of a layer; each is some unit's value."""

    median: float
    lower: float
    upper: float


class Window(NamedTuple):
    """Training steps from the first to the last that are looked at."""

    first: float
    last: float


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


def has_percentiles(activations: dict | None) -> bool:
    """Returns whether a run recorded what drift is made of, at one probe at least."""
    if activations is None or not len(activations["steps"]):
        return False
    return set(PERCENTILES) <= {float(p) for p in activations["percentiles"]}


def window(every: Sequence[dict | None], from_step: int = 0) -> Window | None:
    """Returns the steps from `from_step` on that all given activations cover.

    Passed over are those without two probes from there on, without the percentiles, and
    those that begin too late or end too early to leave the others SHORT of the longest.
    None if that leaves none.
    """
    able = [a for a in every if has_percentiles(a)]
    able = [a for a in able if np.sum(a["steps"] >= from_step) > 1]
    short = SHORT * max((a["steps"][-1] - from_step for a in able), default=0)
    able = [a for a in able if a["steps"][-1] - from_step >= short]
    able = [a for a in able if a["steps"][0] - from_step <= short]
    if not able:
        return None
    first = max(from_step, *(a["steps"][0] for a in able))
    last = min(a["steps"][-1] for a in able)
    return Window(float(first), float(last)) if last > first else None


def unit_drifts(
    activations: dict, layer: str, over: Window | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns location drift and scale drift of every unit, [units] each.

    `over` is the window, by default of every probe. Infinite for dead units; both are
    NaN where fewer than two probes, or those of a part of the window, say nothing.

    Raises:
      UserError: the run did not record the percentiles.
    """
    steps = activations["steps"]
    median, spread = median_and_spread(activations, layer)
    over = over or window([activations])
    if over is None or not steps[0] <= over.first < over.last <= steps[-1]:
        return np.full(median.shape[1], np.nan), np.full(median.shape[1], np.nan)
    points = np.linspace(*over, POINTS)
    median, spread = (
        np.stack([np.interp(points, steps, unit) for unit in x.T], axis=1)
        for x in (median, spread)
    )
    return location_drift(median, spread), scale_drift(median, spread)


def time_mean(values: np.ndarray, steps: np.ndarray | None = None) -> np.ndarray:
    """Returns the mean over time by the trapezoid rule: [T, units] -> [units].

    Of steps [T], equally distant ones by default; one value is its own mean.
    """
    if len(values) == 1:
        return values[0]
    steps = np.arange(len(values)) if steps is None else steps
    return np.trapezoid(values, steps, axis=0) / (steps[-1] - steps[0])


def location_drift(median: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Returns (max - min of the median) / (mean spread): [P, units] -> [units].

    At equally distant steps; infinite for units that are dead on average.
    """
    mean = time_mean(spread)
    dead = is_dead(time_mean(np.abs(median)), mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(dead, np.inf, np.ptp(median, axis=0) / mean)


def scale_drift(median: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Returns ln(largest / smallest spread): [P, units] -> [units].

    Infinite for units that are dead at some time.
    """
    dead = is_dead(median, spread).any(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(dead, np.inf, np.log(spread.max(axis=0) / spread.min(axis=0)))


def is_dead(median: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Returns whether units tell no examples apart, elementwise."""
    return spread <= DEAD * np.abs(median)


def median_and_spread(activations: dict, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns a layer's medians and 15-85 percentile spreads, [T, units] each.

    Raises:
      UserError: the run did not record the percentiles.
    """
    low, median, high = (percentile(activations, layer, p) for p in PERCENTILES)
    return median, high - low


def quartiles(values: np.ndarray) -> Quartiles:
    """Returns median and quartiles of [units] values, without interpolation.

    Of an even number the lower of the two middle values is the median, so that it is
    the `typical_unit`'s and infinite drifts need no arithmetic.
    """
    cuts = np.quantile(values, [0.5, 0.25, 0.75], method="inverted_cdf")
    return Quartiles(*(float(cut) for cut in cuts))


def layer_scores(activations: dict, over: Window | None = None) -> np.ndarray:
    """Returns [location and scale, L, (median, lower and upper quartile)].

    Of the window `over`, as `unit_drifts`.
    """
    per_layer = [
        list(map(quartiles, unit_drifts(activations, name, over)))
        for name in activations["layers"]
    ]
    return np.array(per_layer).transpose(1, 0, 2)


def typical_unit(activations: dict, layer: str) -> int:
    """Returns the unit whose location drift is the median of its layer.

    Of an even number of units the lower of the two middle ones; of equal drifts the
    first unit.
    """
    return _middle(unit_drifts(activations, layer)[0])


def typical_run(runs: Sequence[Run]) -> Run:
    """Returns the run with the median location drift of its last layer.

    Of an even number the lower of the two middle ones; those of which no drift is known
    are passed over. The first of all if none is known.
    """
    every = [run.activations for run in runs]
    over = window(every)
    drifts = [
        quartiles(unit_drifts(a, a["layers"][-1], over)[0]).median
        if over and has_percentiles(a)
        else np.nan
        for a in every
    ]
    known = np.flatnonzero(~np.isnan(drifts))
    return runs[known[_middle(np.array(drifts)[known])] if known.size else 0]


def _middle(values: np.ndarray) -> int:
    order = np.argsort(values, kind="stable")
    return int(order[(len(order) - 1) // 2])
