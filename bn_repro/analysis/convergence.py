"""How fast and how far one run comes: its held-out accuracy against its steps.

`networks` puts the seeds of a network together. The standard error of an accuracy p on
n pictures is the binomial sqrt(p (1 - p) / n).
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bn_repro.analysis import arms
from bn_repro.run_folder import records
from bn_repro.run_folder.records import Run

LAST = 5  # evaluations whose mean is the accuracy at the end
CHANCE = 3.0  # standard errors from a guess
COMMONEST = {"mnist": 0.1135}  # share of a class with more than 1 / classes: "1"


class Paper(NamedTuple):
    """A row of Fig. 3; None where the paper prints no number."""

    name: str
    steps: float | None  # to 72.2 %; inf: never
    best: float | None  # fraction of the validation pictures


PAPER = {
    "inception": Paper("Inception", 31.0e6, 0.722),
    "bn_baseline": Paper("BN-Baseline", 13.3e6, 0.727),
    "bn_x5": Paper("BN-x5", 2.1e6, 0.730),
    "bn_x30": Paper("BN-x30", 2.7e6, 0.748),
    "bn_x5_sigmoid": Paper("BN-x5-Sigmoid", np.inf, 0.698),
    "inception_x5": Paper("Inception-x5", np.inf, None),
    "inception_sigmoid": Paper("Inception-Sigmoid", np.inf, 0.001),
}


@dataclasses.dataclass(eq=False)
class Course:
    """The held-out accuracy of one run against its steps."""

    run: Run
    split: str  # held-out split, such as "val"
    statistics: str  # what BN normalised with, "ema" or "population"
    steps: np.ndarray  # [T] int64; T may be 0
    accuracy: np.ndarray  # [T] fractions, NaN where not finite
    images: np.ndarray  # [T] training examples seen
    seconds: np.ndarray  # [T] since the run's start, evaluations included
    count: int  # number of held-out pictures

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.run.config["data"]["classes"]

    @property
    def best(self) -> float:
        """The highest accuracy of all evaluations; NaN without one."""
        return float(np.fmax.reduce(self.accuracy, initial=np.nan))

    @property
    def end(self) -> float:
        """The mean accuracy of the LAST last finite evaluations; NaN without one."""
        finite = self.accuracy[np.isfinite(self.accuracy)]
        return float(finite[-LAST:].mean()) if finite.size else np.nan

    @property
    def ended(self) -> bool:
        """Whether the run has nothing more to do."""
        return self.run.status["status"] in records.ENDED

    @property
    def diverged(self) -> bool:
        """Whether the run ended in numbers that are not finite."""
        return self.run.status["status"] == "diverged"

    def steps_to(self, accuracy: float) -> float:
        """Returns the steps of the first evaluation at an accuracy; inf if never."""
        found = self.steps[self.accuracy >= accuracy]
        return float(found[0]) if found.size else np.inf

    @property
    def chance(self) -> float:
        """The accuracy of the best answer that is the same for all pictures."""
        commonest = COMMONEST.get(self.run.config["data"]["name"], 0)
        return max(1 / self.classes, commonest)

    @property
    def chance_limit(self) -> float:
        """The highest accuracy that is no more than chance."""
        return self.chance + CHANCE * standard_error(self.chance, self.count)

    def is_chance(self, accuracy: float) -> bool:
        """Returns whether an accuracy is no more than that of guessing."""
        return bool(accuracy <= self.chance_limit)


def network_key(run: Run) -> str:
    """Returns the key in RUNS that a run and its other seeds share, such as "bn_x5"."""
    return arms.label(run).rsplit("/", 1)[-1]


def course(run: Run, statistics: str = "ema") -> Course:
    """Returns the course of a run on held-out data."""
    split = run.held_out
    steps, accuracy = run.series(split, statistics, "accuracy")
    names = ("examples", "seconds")
    others = [run.series(split, statistics, name)[1] for name in names]
    images, seconds = (
        values if values.size == steps.size else np.full(steps.size, np.nan)
        for values in others
    )
    counts = run.series(split, statistics, "count")[1]
    count = int(counts[-1]) if counts.size else 0
    return Course(run, split, statistics, steps, accuracy, images, seconds, count)


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


def standard_error(accuracy: float, count: int) -> float:
    """Returns the binomial standard error of an accuracy on `count` pictures."""
    return float(np.sqrt(accuracy * (1 - accuracy) / count)) if count else np.nan


def _evaluations(run: Run) -> dict[int, float]:
    found = course(run)
    return dict(zip(found.steps.tolist(), found.accuracy.tolist(), strict=True))


def _seeds(run: Run) -> tuple:
    seed = run.config.get("seed", 0)
    order = run.config.get("data", {}).get("seed", -1)
    return seed, seed if order == -1 else order
