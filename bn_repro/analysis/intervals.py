"""What runs say about a claim: t intervals over seeds, exact tests, a verdict.

A claim about a method rests on seeds: their values, or logarithms, are compared by
Welch's t interval, which needs neither pairs nor equal spreads. Two given networks are
compared on the same pictures, by McNemar's test.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

LEVEL = 0.95
YES, NO, OPEN, MISSING = "yes", "no", "not decided", "missing"


class Interval(NamedTuple):
    """An estimate between its limits; NaN where there is none, as of one seed."""

    estimate: float
    low: float
    high: float

    def above(self, threshold: float) -> str:
        """Returns "yes" if all of it is above a threshold, "no" if all is below."""
        if self.low > threshold:
            return YES
        return NO if self.high < threshold else OPEN

    def text(self, factor: float = 1, digits: int = 2, sign: bool = False) -> str:
        """Returns "1.23 to 4.56" of the limits times a factor, "-" without them."""
        if np.isnan(self.low) or np.isnan(self.high):
            return "-"
        low, high = (
            f"{factor * value:{'+' if sign else ''}.{digits}f}"
            for value in (self.low, self.high)
        )
        if np.isinf(self.high):
            return f"above {low}"
        return f"{low} to {high}"


NONE = Interval(np.nan, np.nan, np.nan)


class Finding(NamedTuple):
    """What our runs say to a claim, as text.

    Attributes:
      ours: the numbers.
      n: seeds of each side, "3 and 5", or "-".
      interval: 95 % interval of the number that decides, or "-".
      verdict: YES, NO, OPEN, MISSING, "unfinished", or "-" where nothing is claimed.
    """

    ours: str
    n: str
    interval: str
    verdict: str


class Paired(NamedTuple):
    """Two networks on the same pictures: on how many only the one is right, and p."""

    only_first: int
    only_second: int
    p: float


def mean(values: Sequence[float]) -> Interval:
    """Returns the mean of one value a seed and its t interval.

    Args:
      values: [n]; with n = 1 there are no limits.
    """
    values = np.asarray(values, float)
    return _t_interval([values], values.mean() if values.size else np.nan)


def difference(one: Sequence[float], other: Sequence[float]) -> Interval:
    """Returns mean(one) - mean(other) and Welch's t interval.

    Args:
      one: [n], a value a seed.
      other: [m], likewise; with n or m = 1 there are no limits.
    """
    one, other = np.asarray(one, float), np.asarray(other, float)
    if not (one.size and other.size):
        return NONE
    return _t_interval([one, other], one.mean() - other.mean())


def ratio(one: Sequence[float], other: Sequence[float]) -> Interval:
    """Returns the ratio of the geometric means and Welch's t interval on the logs.

    Args:
      one: [n] positive values, one a seed.
      other: [m], likewise.
    """
    return Interval(*np.exp(difference(np.log(one), np.log(other))))


def share(count: int, total: int) -> Interval:
    """Returns count / total and the exact (Clopper-Pearson) interval."""
    tail = (1 - LEVEL) / 2
    low = special.betaincinv(count, total - count + 1, tail) if count else 0.0
    high = 1.0
    if count < total:
        high = special.betaincinv(count + 1, total - count, 1 - tail)
    return Interval(count / total, float(low), float(high))


def mcnemar(one: np.ndarray, other: np.ndarray) -> Paired:
    """Returns McNemar's exact two-sided test of two networks on the same pictures.

    Args:
      one: [N] bool, whether the network is right.
      other: [N] bool, of the other network on the same pictures in the same order.

    Raises:
      ValueError: the lengths differ.
    """
    if one.shape != other.shape:
        raise ValueError(f"{one.size} pictures cannot be paired with {other.size}")
    first, second = int(np.sum(one & ~other)), int(np.sum(other & ~one))
    p = 2 * special.bdtr(min(first, second), first + second, 0.5)
    return Paired(first, second, min(1.0, float(p)))


def _t_interval(groups: list[np.ndarray], estimate: float) -> Interval:
    """Returns estimate -+ t * error, with the degrees of freedom of Welch (1947)."""
    if min(group.size for group in groups) < 2:
        return Interval(float(estimate), np.nan, np.nan)
    parts = np.array([group.var(ddof=1) / group.size for group in groups])
    if not parts.sum() > 0:
        return Interval(float(estimate), np.nan, np.nan)  # no spread to judge by
    weights = parts**2 / [group.size - 1 for group in groups]
    freedom = parts.sum() ** 2 / weights.sum()
    reach = special.stdtrit(freedom, (1 + LEVEL) / 2) * np.sqrt(parts.sum())
    return Interval(float(estimate), float(estimate - reach), float(estimate + reach))
