"""Whether two networks differ by more than their seeds do: the one rule for a tie.

The difference of two means over seeds has a 95 % t interval from the spread over seeds
alone. Where the two networks were trained with the same seeds, on the same order of the
data, it is paired: that of the mean of the seeds' differences. Elsewhere it is Welch's
(1947), which needs no equal variances. An interval that holds zero is a tie. One seed
has no spread: then only the pictures' binomial error is known, and that is said.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri, stdtrit

from bn_repro.analysis import convergence
from bn_repro.run_folder.records import Run

LEVEL = 0.95
NOTE = (
    f"A difference has the half width of its {100 * LEVEL:g} % t interval over seeds, "
    "paired where both networks have the same seeds and order of the data, else "
    "Welch's; a tie is an interval that holds zero. One seed has the pictures' "
    "binomial interval instead, which knows nothing of other seeds."
)


class Difference(NamedTuple):
    """A difference of two means, and how sure it is.

    Attributes:
      mean: of the one less that of the other.
      error: half the width of the interval at LEVEL; NaN if nothing is known of it.
      rule: "paired", "Welch" or "binomial".
    """

    mean: float
    error: float
    rule: str

    @property
    def is_tie(self) -> bool:
        """Whether the interval holds zero, or is not known."""
        return not abs(self.mean) > self.error

    def text(self) -> str:
        """Returns "tie, +0.25 ± 0.61 points", of accuracies as fractions."""
        one = " (one seed)" if self.rule == "binomial" else ""
        points = f"{100 * self.mean:+.2f} ± {100 * self.error:.2f} points{one}"
        return f"tie, {points}" if self.is_tie else points


def between(
    one: Mapping[object, float],
    other: Mapping[object, float],
    counts: tuple[int, int] = (0, 0),
) -> Difference:
    """Returns the difference of the means of two sets of runs.

    Args:
      one: seed -> value, at least one; see `by_seed`.
      other: as well.
      counts: number of pictures that each is an accuracy on, for one seed alone.
    """
    values = [np.array(list(arm.values()), float) for arm in (one, other)]
    mean = float(values[0].mean() - values[1].mean())
    if one.keys() == other.keys() and len(one) > 1:
        pairs = np.array([one[seed] - other[seed] for seed in one])
        return Difference(mean, half_width(pairs), "paired")
    if min(map(len, values)) > 1:
        return Difference(mean, _welch(*values), "Welch")
    variances = [
        v.mean() * (1 - v.mean()) / n if n else np.nan
        for v, n in zip(values, counts, strict=True)
    ]
    error = ndtri((1 + LEVEL) / 2) * np.sqrt(sum(variances))
    return Difference(mean, float(error), "binomial")


def by_seed(runs: Sequence[Run], values: Sequence[float]) -> dict[tuple, float]:
    """Returns (seed, seed of the data's order) -> value: what a pair has in common."""
    return {_seeds(run): float(v) for run, v in zip(runs, values, strict=True)}


def higher_at(one: Sequence[Run], other: Sequence[Run]) -> tuple[int, int]:
    """Returns at how many evaluations `one` is higher, and of how many.

    Seed by seed, at all evaluations of held-out accuracy after step 0 that both runs of
    a seed have; equal is not higher.
    """
    theirs = {_seeds(run): _evaluations(run) for run in other}
    pairs = [
        (value, theirs[_seeds(run)][step])
        for run in one
        if _seeds(run) in theirs
        for step, value in _evaluations(run).items()
        if step > 0 and step in theirs[_seeds(run)]
    ]
    return sum(a > b for a, b in pairs), len(pairs)


def half_width(values: np.ndarray) -> float:
    """Returns half the width of the t interval of the mean of [n] values, n > 1."""
    error = values.std(ddof=1) / np.sqrt(values.size)
    return float(stdtrit(values.size - 1, (1 + LEVEL) / 2) * error)


def _welch(one: np.ndarray, other: np.ndarray) -> float:
    parts = np.array([v.var(ddof=1) / v.size for v in (one, other)])
    if not parts.any():
        return 0.0
    freedoms = np.array([one.size - 1, other.size - 1])
    freedom = parts.sum() ** 2 / (parts**2 / freedoms).sum()
    return float(stdtrit(freedom, (1 + LEVEL) / 2) * np.sqrt(parts.sum()))


def _evaluations(run: Run) -> dict[int, float]:
    course = convergence.course(run)
    return dict(zip(course.steps.tolist(), course.accuracy.tolist(), strict=True))


def _seeds(run: Run) -> tuple:
    seed = run.config.get("seed", 0)
    order = run.config.get("data", {}).get("seed", -1)
    return seed, seed if order == -1 else order
