"""What a sweep of one key shows: which values train, how fast, and how far.

The swept key is found from the configurations: a number that takes at least three
values while everything else but the seed is the same. What differs besides, such as
`model.norm`, makes the arms.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bn_repro.analysis import convergence, intervals, networks, tables
from bn_repro.analysis.convergence import Course
from bn_repro.analysis.intervals import Difference
from bn_repro.run_folder import records
from bn_repro.run_folder.records import Run

LEAST_VALUES = 3
TRAINABLE = {"mnist": 0.9}  # final accuracy on every seed, by data.name
KEY_NAMES = {
    "optimizer.learning_rate": "learning rate",
    "model.init_stddev": "standard deviation of the initial weights",
    "model.init_scale": "factor on the initial weights",
    "bn.noise": "noise after BN",
    "model.dropout": "share dropped",
}


@dataclasses.dataclass(eq=False)
class Point:
    """The runs of one arm at one value of the swept key, which differ in the seed."""

    value: float  # of the swept key
    courses: list[Course]  # at least one

    @property
    def finished(self) -> list[Course]:
        """The courses of the runs that did all their steps and were evaluated."""
        done = [c for c in self.courses if c.run.status["status"] == "finished"]
        return [c for c in done if np.isfinite(c.accuracy[-1:]).any()]

    @property
    def diverged(self) -> list[Course]:
        """The courses that ended in numbers that are not finite."""
        return [course for course in self.courses if course.diverged]

    @property
    def unfinished(self) -> list[Course]:
        """The courses of the runs that have more to do."""
        return [course for course in self.courses if not course.ended]

    @property
    def final(self) -> np.ndarray:
        """The last accuracy of each finished run, [n]."""
        return np.array([course.accuracy[-1] for course in self.finished])

    def steps_to(self, accuracy: float) -> np.ndarray:
        """Returns each finished run's steps to an accuracy [n], inf if not reached."""
        return np.array([course.steps_to(accuracy) for course in self.finished])

    def is_chance(self, accuracies: np.ndarray) -> bool:
        """Returns whether the mean of some of the runs' accuracies is chance."""
        return bool(accuracies.size) and self.courses[0].is_chance(accuracies.mean())

    def trainable(self) -> bool | None:
        """Returns whether every seed trains; None if that is not known yet.

        On MNIST: a final accuracy of at least 0.9; elsewhere: not diverged and above
        chance at the end.
        """
        one = self.courses[0]
        threshold = TRAINABLE.get(one.run.config["data"]["name"])
        good = [
            final >= threshold if threshold else not one.is_chance(final)
            for final in self.final
        ]
        if self.diverged or not all(good):
            return False
        return None if self.unfinished or not good else True


class SweptArm(NamedTuple):
    """Runs that differ in the swept key and the seed only."""

    label: str  # what distinguishes the arm, such as "With BN"
    config: dict  # of one of its runs
    points: list[Point]  # in the order of the values

    @property
    def good(self) -> list[float]:
        """The values that train."""
        return [point.value for point in self.points if point.trainable()]

    def tuned(self) -> Point | None:
        """Returns the point of the highest mean final accuracy over finished seeds.

        A point with a diverged or an unfinished seed is not taken. None if no other is.
        """
        whole = [p for p in self.points if len(p.finished) == len(p.courses)]
        return max(whole, key=lambda p: p.final.mean(), default=None)


class Sweep(NamedTuple):
    """A sweep of one key."""

    key: str  # dotted key of the configuration
    arms: list[SweptArm]  # without BN first
    left_out: list[Run]  # runs that belong to no arm

    @property
    def name(self) -> str:
        """The swept key in words."""
        return KEY_NAMES.get(self.key, self.key)

    @property
    def points(self) -> list[Point]:
        """The points of all arms, by arm, then by value."""
        return [point for arm in self.arms for point in arm.points]

    @property
    def values(self) -> list[float]:
        """The values that were tried, rising."""
        return sorted({point.value for point in self.points})

    def runs(self) -> list[Run]:
        """Returns all runs by arm, then by value; those left out come last."""
        return [c.run for p in self.points for c in p.courses] + self.left_out

    def place_of(self) -> dict[int, int]:
        """Returns the id of each run -> the place of its arm, those with BN first."""
        return {
            id(course.run): place
            for place, arm in enumerate(reversed(self.arms))
            for point in arm.points
            for course in point.courses
        }


def find_sweep(runs: Sequence[Run]) -> Sweep | None:
    """Returns the sweep of the key with the most values; None if there is none."""
    found = [(key, points(runs, [key])) for key in _number_keys(runs)]
    found = [(key, groups) for key, groups in found if _most_values(groups)]
    if not found:
        return None
    key, groups = max(found, key=lambda item: _most_values(item[1]))
    kept = [group for group in groups if len(group) > 1]
    shown = {id(run) for group in kept for runs_ in group.values() for run in runs_}
    names = tables.labels(list(map(_first, kept)), [key])
    swept = [
        SweptArm(label, _first(group).config, _points(group))
        for label, group in zip(names, kept, strict=True)
    ]
    swept.sort(key=lambda arm: arm.config["model"]["norm"] != "none")
    return Sweep(key, swept, [run for run in runs if id(run) not in shown])


def find_target(sweep: Sweep, wanted: str | float | None = None) -> float:
    """Returns the accuracy to which steps are counted.

    Args:
      sweep: the sweep.
      wanted: as in `networks.find_goal`, or None: what counts as trained (on MNIST),
        elsewhere the final accuracy of the first arm at its best value; NaN if that is
        not known yet.

    Raises:
      UserError: there is no such run, or the number is no fraction.
    """
    if wanted is not None:
        return networks.find_goal(networks.together(sweep.runs()), wanted).accuracy
    name = sweep.arms[0].config["data"]["name"]
    if name in TRAINABLE:
        return TRAINABLE[name]
    tuned = sweep.arms[0].tuned()
    return float(tuned.final.mean()) if tuned else np.nan


def difference(one: Point, other: Point) -> Difference:
    """Returns the difference of the final accuracies by the rule of `intervals`.

    Both points have a finished run.
    """
    finals = [
        convergence.by_seed([course.run for course in point.finished], point.final)
        for point in (one, other)
    ]
    return intervals.between(*finals, (one.finished[0].count, other.finished[0].count))


def _number_keys(runs: Sequence[Run]) -> list[str]:
    varying = tables.varying_keys(run.config for run in runs)
    indifferent = (*records.SEEDS, *networks.PLACES, *records.INDIFFERENT)
    keys = [key for key in varying if key not in indifferent]
    return [k for k in keys if all(is_number(run.stated.get(k)) for run in runs)]


def is_number(value) -> bool:
    """Returns whether a value can be swept."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def points(runs: Sequence[Run], keys: Sequence[str]) -> list[dict[tuple, list[Run]]]:
    """Returns for each setting of all other keys: values of `keys` -> runs.

    Runs of which one of these values is no number are left out.
    """
    groups = []
    for members in records.group(runs, (*records.SEEDS, *networks.PLACES, *keys)):
        groups.append({})
        for run in members:
            values = tuple(run.stated.get(key) for key in keys)
            if all(map(is_number, values)):
                groups[-1].setdefault(values, []).append(run)
    return [group for group in groups if group]


def _most_values(groups: list[dict[tuple, list[Run]]]) -> int:
    """Returns the number of values of the largest group, 0 if no sweep."""
    most = max(map(len, groups))
    return most if most >= LEAST_VALUES else 0


def _first(group: dict[tuple, list[Run]]) -> Run:
    return next(iter(group.values()))[0]


def _points(group: dict[tuple, list[Run]]) -> list[Point]:
    return [Point(*v, list(map(convergence.course, group[v]))) for v in sorted(group)]
