"""The networks of Sec. 4.2.2, each with all its seeds, and what they are measured by.

The accuracy at the end of a seed is the mean of its last `convergence.LAST`
evaluations; a network's is the mean over its seeds, those left out that diverged or are
shorter than others. Runs that differ in nothing but the seed, or in their length under
the same name, are seeds of one network. Accuracies are those with Algorithm 2's
statistics where all seeds of a network recorded them, else those with moving averages.
"""

import dataclasses
import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bn_repro.analysis import arms, convergence, intervals
from bn_repro.analysis.arms import Arm, Curve
from bn_repro.analysis.convergence import LAST, PAPER, Course
from bn_repro.analysis.layers import drift
from bn_repro.errors import UserError
from bn_repro.run_folder import configuration, records
from bn_repro.run_folder.records import Run

# Where the data lie: seeds of a network may differ in it.
PLACES = ("data.train", "data.val", "data.dir")


@dataclasses.dataclass(eq=False)
class Network:
    """A network and its seeds."""

    key: str  # its key in RUNS without the seed, such as "bn_x5"
    label: str  # the paper's name, or else that of its runs
    courses: list[Course]  # of its seeds, at least one

    @property
    def config(self) -> dict:
        """The configuration of the longest seed."""
        return max((c.run.config for c in self.courses), key=lambda c: c["steps"])

    @property
    def steps(self) -> int:
        """Steps that the longest seed is to do."""
        return self.config["steps"]

    @property
    def statistics(self) -> str:
        """What BN normalised with: "population", "ema", or "none" without BN."""
        with_bn = self.config["model"]["norm"] == "batch_norm"
        return self.courses[0].statistics if with_bn else "none"

    @property
    def ended(self) -> bool:
        """Whether no seed has more to do."""
        return all(course.ended for course in self.courses)

    @property
    def counted(self) -> list[Course]:
        """The seeds that ended; while none has, the one that is furthest."""
        ended = [course for course in self.courses if course.ended]
        return ended or [max(self.courses, key=lambda c: arms.progress(c.run))]

    @property
    def diverged(self) -> list[Course]:
        """The seeds that ended in numbers that are not finite."""
        return [course for course in self.courses if course.diverged]

    @property
    def sound(self) -> list[Course]:
        """The counted seeds that have an end, of these the longest: ends compare."""
        able = [c for c in self.counted if not c.diverged and np.isfinite(c.end)]
        longest = max((c.run.config["steps"] for c in able), default=0)
        return [c for c in able if c.run.config["steps"] == longest]

    @property
    def ends(self) -> np.ndarray:
        """[n], the accuracies at the end of `sound`."""
        return np.array([course.end for course in self.sound])

    @property
    def plateau(self) -> float:
        """The mean of `ends`; NaN without one."""
        return float(self.ends.mean()) if self.sound else np.nan

    @property
    def typical(self) -> Run:
        """The run of the median seed of `sound`, or of those counted if none is."""
        return drift.typical_run([c.run for c in self.sound or self.counted])

    def at_chance(self) -> np.ndarray:
        """Returns [n], whether each of `ends` is that of guessing."""
        return np.array([c.is_chance(c.end) for c in self.sound], bool)

    @property
    def arm(self) -> Arm:
        """Its runs; the curve is of those that `Arm.shown` returns."""
        return Arm(self.label, [course.run for course in self.courses])

    def curve(self) -> Curve | None:
        """Returns mean and range over finished seeds, see `arms.curve`; or None."""
        one = next((c for c in self.courses if c.steps.size), self.courses[0])
        return arms.curve(self.arm, one.split, one.statistics, "accuracy")


class Goal(NamedTuple):
    """An accuracy to reach."""

    accuracy: float  # fraction; NaN if it is not known yet
    network: Network | None  # whose accuracy at the end it is; None for a number

    @property
    def name(self) -> str:
        """What is to be matched."""
        return self.network.label if self.network else "the target"

    def text(self) -> str:
        """Returns "12.34 %", and whose accuracy at the end that is."""
        number = f"{100 * self.accuracy:.2f} %"
        if self.network is None:
            return number
        n = len(self.network.sound)
        so_far = "" if self.network.ended else " so far"
        over = f" over {n} seeds" if n > 1 else ", one seed"
        return (
            f"{number}, the plateau of {self.name}{so_far} (mean of the last {LAST} "
            f"evaluations{over})"
        )


def find(runs: Sequence[Run]) -> tuple[list[Network], list[Run]]:
    """Returns the networks that can be compared, and the runs left out.

    Those of one data set, resolution, width and batch, whichever has most runs; the
    paper's networks first, in its order.
    """
    scales: dict[str, list[Run]] = {}
    for run in runs:
        scales.setdefault(_scale(run.config), []).append(run)
    shown = max(scales.values(), key=len, default=[])
    order = list(PAPER)
    found = sorted(
        together(shown),
        key=lambda n: order.index(n.key) if n.key in order else len(order),
    )
    keys = [network.key for network in found]
    twice = [network for network in found if keys.count(network.key) > 1]
    names = [arms.label(network.courses[0].run) for network in twice]
    for network, name in zip(twice, names, strict=True):  # of two rates, say
        first = network.courses[0].run.name
        network.label = name if names.count(name) == 1 else first
    return found, [run for run in runs if run not in shown]


def together(runs: Sequence[Run]) -> list[Network]:
    """Returns the networks of all runs, in the order of their first runs."""
    return [_network(members) for members in _grouped(runs)]


def of_the_paper(found: Sequence[Network]) -> bool:
    """Returns whether some of the paper's networks are there to be compared."""
    return sum(network.key in PAPER for network in found) > 1


def find_goal(found: Sequence[Network], wanted: str | float | None = None) -> Goal:
    """Returns the accuracy to reach.

    Args:
      found: all networks.
      wanted: a fraction, a network or run whose plateau it is, or None: "inception", or
        else the best network without BN, or else the first one, of those with a seed
        that did not diverge.

    Raises:
      UserError: there is no such network, or the number is no fraction.
    """
    if isinstance(wanted, str):
        for network in found:
            names = [course.run.name for course in network.courses]
            if wanted in (network.key, network.label, *names):
                return Goal(network.plateau, network)
        names = ", ".join(network.key for network in found)
        raise UserError(f"no run {wanted!r} to take the target from; there are {names}")
    if wanted is not None:
        if not 0 < wanted <= 1:
            raise UserError(f"the target is {wanted}; it must be a fraction in (0, 1]")
        return Goal(float(wanted), None)
    lasting = [n for n in found if len(n.diverged) < len(n.courses)]
    named = [network for network in lasting if network.key == "inception"]
    plain = [n for n in lasting if n.config["model"]["norm"] == "none"]
    plain.sort(key=lambda n: np.nan_to_num(n.plateau), reverse=True)
    chosen = [*named, *plain, *lasting, *found]
    return Goal(chosen[0].plateau, chosen[0]) if chosen else Goal(np.nan, None)


def paired(one: Network, other: Network) -> tuple[int, intervals.Paired] | None:
    """Returns McNemar's test of the two networks' first common seed, and that seed.

    By the last evaluations, which both must have of the same pictures, as far as that
    is recorded; None without.
    """
    last = {course.run.config["seed"]: _last_hits(course) for course in other.counted}
    for course in one.counted:
        seed, (ours, these) = course.run.config["seed"], _last_hits(course)
        theirs, those = last.get(seed, (None, None))
        if ours is None or theirs is None or ours.size != theirs.size:
            continue
        if these == those or None in (these, those):
            return seed, intervals.mcnemar(ours, theirs)
    return None


def _last_hits(course: Course) -> tuple[np.ndarray | None, str | None]:
    """Returns which pictures are right at last, and the digest of these pictures."""
    kept = course.run.hits.get(f"{course.split}/{course.statistics}")
    pictures = course.run.manifest.get("data_sha256", {}).get(course.split)
    return None if kept is None or not len(kept) else kept[-1], pictures


def _grouped(runs: Sequence[Run]) -> list[list[Run]]:
    """Returns the runs of each network: of one configuration but for the seed.

    Where a seed comes twice the names decide, as they do about seeds of another length.
    """
    parts = []  # of one configuration, length included, and one name
    for members in records.group(runs, (*records.SEEDS, *PLACES)):
        seeds = convergence.by_seed(members, [0] * len(members))
        distinct = len(seeds) == len(members)
        for run in members:
            label = arms.label(members[0] if distinct else run)
            parts.append((label, run))
    found = []
    for label in dict.fromkeys(label for label, _ in parts):
        alike = [run for name, run in parts if name == label]
        found += records.group(alike, (*records.SEEDS, "steps", *PLACES))
    return found


def _network(runs: list[Run]) -> Network:
    runs = sorted(runs, key=lambda run: run.config["seed"])
    courses = [convergence.course(run, "population") for run in runs]
    moving = [convergence.course(run) for run in runs]
    if not all(map(_whole, courses, moving)) or not any(c.steps.size for c in courses):
        courses = moving
    key = convergence.network_key(runs[0])
    label = PAPER[key].name if key in PAPER else arms.label(runs[0])
    return Network(key, label, courses)


def _whole(exact: Course, moving: Course) -> bool:
    """Returns whether a run recorded Algorithm 2's accuracy wherever moving averages'.

    It comes after theirs, so of a run with more to do the last may yet come.
    """
    return moving.steps.size - exact.steps.size <= (not moving.ended)


def _scale(config: dict) -> str:
    keys = ("data.name", "data.classes", "data.image_size", "data.limit")
    keys += ("model.name", "model.width", "batch_size")
    flat = configuration.stated(config)
    return json.dumps([flat.get(key) for key in keys])
