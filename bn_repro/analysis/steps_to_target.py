"""How many steps a network needs to an accuracy (Fig. 3), from noisy evaluations.

The rule: the evaluations of a run are replaced by their best non-decreasing fit (least
squares), and the steps to a target are where the straight lines between the fitted
points first reach it. On simulated saturating curves with the scatter of ours (see the
test) the bias is below 3 % up to 90 % of a run's own plateau, where the first
evaluation that touches the target is up to 16 % too early; running means of three or
five evaluations are late by 14 or 45 % where a curve is steep. At 100 % of its own
plateau, where every curve is flat, a run is 13 % too early (66 % by the first touch),
or never there: its steps are understated, as is what others gain over it.

A run that never reaches the target is censored at its last evaluation: it says "more
than" so many steps, and ratios with it are bounds.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize

from bn_repro.analysis import intervals
from bn_repro.analysis.intervals import Interval


class Steps(NamedTuple):
    """Steps of each seed to a target."""

    needed: np.ndarray  # [n] float64, inf where a seed never reaches it
    seen: np.ndarray  # [n] steps of its last evaluation

    @property
    def reached(self) -> np.ndarray:
        """[n] bool, whether a seed reaches the target."""
        return np.isfinite(self.needed)

    @property
    def at_least(self) -> np.ndarray:
        """[n], the steps to the target, or those that did not suffice."""
        return np.minimum(self.needed, self.seen)


def smoothed(accuracy: np.ndarray) -> np.ndarray:
    """Returns the best non-decreasing fit [T] to accuracies [T] that are finite."""
    return optimize.isotonic_regression(accuracy).x


def first_reached(steps: np.ndarray, accuracy: np.ndarray, target: float) -> float:
    """Returns the steps at which a smoothed curve reaches a target, inf if never.

    Of steps and accuracy [T]; NaN is left out.
    """
    finite = np.isfinite(accuracy)
    if not finite.any() or np.isnan(target):
        return np.inf
    steps, fitted = steps[finite], smoothed(accuracy[finite])
    i = int(np.searchsorted(fitted, target - 1e-12))
    if i in (0, fitted.size):
        return np.inf if i else float(steps[0])
    share = (target - fitted[i - 1]) / (fitted[i] - fitted[i - 1])
    return float(steps[i - 1] + min(1.0, share) * (steps[i] - steps[i - 1]))


def count(courses: Sequence, target: float) -> Steps:
    """Returns the steps of each seed's `convergence.Course` to an accuracy."""
    return Steps(
        np.array([first_reached(c.steps, c.accuracy, target) for c in courses]),
        np.array([c.steps[-1] if c.steps.size else 0 for c in courses], float),
    )


def times_fewer(slow: Steps, fast: Steps) -> Interval:
    """Returns how many times fewer steps `fast` needs, with a t interval on the logs.

    A seed of `slow` that never gets there would have needed more steps than it was
    given: the low limit, computed with those, holds, and there is no high one. Likewise
    the other way round. The estimate is NaN unless every seed gets there.
    """
    if not (slow.needed.size and fast.needed.size):
        return intervals.NONE
    if min(slow.at_least.min(), fast.at_least.min()) <= 0:
        return intervals.NONE  # there from the beginning: the target says nothing
    found = intervals.ratio(slow.at_least, fast.at_least)
    low = found.low if fast.reached.all() else 0.0
    high = found.high if slow.reached.all() else np.inf
    known = slow.reached.all() and fast.reached.all()
    return Interval(found.estimate if known else np.nan, low, high)
