"""What runs say about a claim: t intervals over seeds, exact tests, a verdict.

A claim about a method rests on seeds: their values, or logarithms, are compared by
Welch's t interval (1947), which needs neither pairs nor equal spreads. `between` pairs
networks that were trained with the same seeds, on the same order of the data: theirs is
the interval of the mean of the seeds' differences. An interval that holds zero is a
tie. Two given networks are compared on the same pictures, by McNemar's test.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

LEVEL = 0.95
YES, NO, OPEN, MISSING = "yes", "no", "not decided", "missing"
NOTE = (
    f"A difference has the half width of its {100 * LEVEL:g} % t interval over seeds, "
    "paired where both networks have the same seeds and order of the data, else "
    "Welch's; a tie is an interval that holds zero. One seed has the pictures' "
    "binomial interval instead, which knows nothing of other seeds."
)


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
        """Returns "1.23 to 4.56" of the limits times a factor, "-" without them.

        "over 1.23" or "under 4.56" where only one is known, see `times_fewer`.
        """
        any_ratio = (self.low, self.high) == (0, np.inf)
        if np.isnan(self.low) or np.isnan(self.high) or any_ratio:
            return "-"
        low, high = (
            f"{factor * value:{'+' if sign else ''}.{digits}f}"
            for value in (self.low, self.high)
        )
        if np.isinf(self.high):
            return f"over {low}"
        if self.low == 0 and np.isnan(self.estimate):  # a ratio's bound
            return f"under {high}"
        return f"{low} to {high}"


NONE = Interval(np.nan, np.nan, np.nan)


class Difference(NamedTuple):
    """A difference of two means, and how sure it is."""

    mean: float  # of the one less that of the other
    # half the width of the interval at LEVEL; NaN if nothing is known of it
    error: float
    rule: str  # "paired", "Welch" or "binomial"

    @property
    def is_tie(self) -> bool:
        """Whether the interval holds zero, or is not known."""
        return not abs(self.mean) > self.error

    @property
    def interval(self) -> Interval:
        """The mean between its limits."""
        return Interval(self.mean, self.mean - self.error, self.mean + self.error)

    def text(self) -> str:
        """Returns "tie, +0.25 ± 0.61 points", of accuracies as fractions."""
        one = " (one seed)" if self.rule == "binomial" else ""
        points = f"{100 * self.mean:+.2f} ± {100 * self.error:.2f} points{one}"
        return f"tie, {points}" if self.is_tie else points


class Finding(NamedTuple):
    """What our runs say to a claim, as text."""

    ours: str  # the numbers
    n: str  # seeds of each side, "3, 5", or "-"
    interval: str  # 95 % interval of the number that decides, or "-"
    # YES, NO, OPEN, MISSING, "unfinished", or "-" where nothing is claimed
    verdict: str


class Paired(NamedTuple):
    """Two networks on the same pictures: on how many only the one is right, and p."""

    only_first: int
    only_second: int
    p: float


def missing(what: str) -> Finding:
    """Returns that there is no run of what would say something."""
    return Finding(f"no run of {what}", "-", "-", MISSING)


def of_difference(
    ours: str, seeds: Sequence, found: Difference, factor: float, unit: str
) -> Finding:
    """Returns the finding that a difference is positive; `seeds` are its two sides."""
    n = count_text([len(values) for values in seeds])
    if found.rule == "binomial" or np.isnan(found.error):
        return Finding(ours, n, "-", OPEN)
    shown = found.interval
    text = f"{shown.text(factor, sign=factor == 100)} {unit}"
    return Finding(ours, n, text, shown.above(0))


def count_text(counts: Sequence[int]) -> str:
    """Returns how many seeds each side has, in their order: "5", or "3, 5"."""
    return ", ".join(map(str, counts if len(set(counts)) > 1 else counts[:1]))


def mean(values: Sequence[float]) -> Interval:
    """Returns the mean of one value a seed [n] and its t interval."""
    values = np.asarray(values, float)
    return _around(values.mean(), values) if values.size else NONE


def difference(one: Sequence[float], other: Sequence[float]) -> Interval:
    """Returns mean(one) - mean(other), of a value a seed, and Welch's t interval."""
    one, other = np.asarray(one, float), np.asarray(other, float)
    if not (one.size and other.size):
        return NONE
    return _around(one.mean() - other.mean(), one, other)


def between(
    one: Mapping[object, float],
    other: Mapping[object, float],
    counts: tuple[int, int] = (0, 0),
) -> Difference:
    """Returns the difference of the means of two sets of runs.

    Each is seed -> value, at least one, see `convergence.by_seed`; `counts` are the
    pictures that each is an accuracy on, for one seed alone.
    """
    values = [np.array(list(arm.values()), float) for arm in (one, other)]
    mean = float(values[0].mean() - values[1].mean())
    if one.keys() == other.keys() and len(one) > 1:
        pairs = np.array([one[seed] - other[seed] for seed in one])
        return Difference(mean, half_width(pairs), "paired")
    if min(map(len, values)) > 1:
        return Difference(mean, half_width(*values), "Welch")
    variances = [
        v.mean() * (1 - v.mean()) / n if n else np.nan
        for v, n in zip(values, counts, strict=True)
    ]
    error = special.ndtri((1 + LEVEL) / 2) * np.sqrt(sum(variances))
    return Difference(mean, float(error), "binomial")


def ratio(one: Sequence[float], other: Sequence[float]) -> Interval:
    """Returns the ratio of the geometric means and Welch's t interval on the logs.

    Of positive values, one a seed, [n] and [m].
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

    Of whether each is right, bool [N], in the same order.

    Raises:
      ValueError: the lengths differ.
    """
    if one.shape != other.shape:
        raise ValueError(f"{one.size} pictures cannot be paired with {other.size}")
    first, second = int(np.sum(one & ~other)), int(np.sum(other & ~one))
    p = 2 * special.bdtr(min(first, second), first + second, 0.5)
    return Paired(first, second, min(1.0, float(p)))


def half_width(*groups: np.ndarray) -> float:
    """Returns half the width of the t interval of a mean, or a difference of two.

    With Welch's degrees of freedom: NaN if a group has one value, 0 without spread.
    """
    if min(group.size for group in groups) < 2:
        return np.nan
    parts = np.array([group.var(ddof=1) / group.size for group in groups])
    if not parts.any():
        return 0.0
    weights = parts**2 / [group.size - 1 for group in groups]
    freedom = parts.sum() ** 2 / weights.sum()
    return float(special.stdtrit(freedom, (1 + LEVEL) / 2) * np.sqrt(parts.sum()))


def _around(estimate: float, *groups: np.ndarray) -> Interval:
    reach = half_width(*groups) or np.nan  # no spread to judge by
    return Interval(float(estimate), float(estimate - reach), float(estimate + reach))
