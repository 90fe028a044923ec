"""Which runs belong together: an arm is the runs that differ in their seed only."""

import dataclasses
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bn_repro.run_folder import configuration, records
from bn_repro.run_folder.records import Run

NORM_NAMES = {
    "none": "Without BN",
    "batch_norm": "With BN",
    "batch_norm after": "BN after the nonlinearity",
}


@dataclasses.dataclass(eq=False)
class Arm:
    """Runs of one configuration under several seeds."""

    label: str  # what the runs' names share, such as "bn" of "bn_seed0"
    runs: list[Run]  # at least one

    @property
    def config(self) -> dict:
        """The configuration of the first run; the others differ in the seed."""
        return self.runs[0].config

    @property
    def seeds(self) -> list[int]:
        """The runs' seeds."""
        return [run.config.get("seed", 0) for run in self.runs]

    @property
    def steps(self) -> int:
        """Steps that a finished run has done."""
        return self.config["steps"]

    @property
    def held_out(self) -> str:
        """The split but "train" that it was evaluated on."""
        return self.shown()[0].held_out

    def seed_text(self) -> str:
        """Returns "0-4" for consecutive seeds, "0, 2" for others."""
        return number_list(self.seeds)

    def done(self) -> list[Run]:
        """Returns the runs that reached their last step: those that means are of."""
        return [run for run in self.runs if run.status["status"] == "finished"]

    def shown(self) -> list[Run]:
        """Returns the finished runs; while there is none, the one that is furthest."""
        return self.done() or [max(self.runs, key=progress)]


FIGURE1 = ("mnist", "mnist_best_rates")  # experiments that Fig. 1 is drawn of


class Curve(NamedTuple):
    """One metric of an arm against steps; [T] each, over the runs that count."""

    steps: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Figure1(NamedTuple):
    """The runs of Fig. 1, None if missing.

    The arms differ in `model.norm` only, or in the learning rate as well: each at its
    own best.
    """

    plain: Arm | None
    bn: Arm | None
    left_out: list[Run]


def unique(runs: Sequence[Run]) -> tuple[list[Run], list[tuple[Run, Run]]]:
    """Returns each configuration's run once, and (run left out, run kept) of others.

    A run is known by its configuration, not by its folder: of two of one configuration,
    seed included, the finished one counts, or else the one that is further; of equals
    the first.
    """
    same = records.group(runs, ignoring=())
    kept = [max(members, key=progress) for members in same]
    pairs = zip(same, kept, strict=True)
    repeats = [(run, one) for runs_, one in pairs for run in runs_ if run is not one]
    left_out = {id(run) for run, _ in repeats}
    return [run for run in runs if id(run) not in left_out], repeats


def group(runs: Sequence[Run]) -> list[Arm]:
    """Returns the arms in the order of their first run, of `unique` runs."""
    found = records.group(unique(runs)[0], ignoring=("seed",))
    return [Arm(label(members[0]), members) for members in found]


def of_figure1(runs: Sequence[Run]) -> Figure1:
    """Returns the plain and the BN arm of the setting that has most to show.

    Settings (learning rate, steps, ...) with both arms come first, then those with more
    runs; the runs of other settings are left out. Where no setting has both, two arms
    that differ in the learning rate besides are taken, if they are the only ones.
    """
    found = group([run for run in runs if _in_figure1(run)])
    if not found:
        return Figure1(None, None, list(runs))
    counted_ = [run for arm in found for run in arm.runs]
    best = max(settings(counted_), key=_size)
    if len(best) < 2:
        by_rate = settings(counted_, "optimizer.learning_rate")
        best = max(by_rate, key=_size) if len(found) == 2 else best
    shown = {id(run) for arm in best.values() for run in arm.runs}
    left_out = [run for run in runs if id(run) not in shown]
    return Figure1(best.get("none"), best.get("batch_norm"), left_out)


def settings(runs: Sequence[Run], *ignored: str) -> list[dict[str, Arm]]:
    """Returns norm -> arm for each setting of all other keys but those ignored."""
    return [
        {arm.runs[0].norm: arm for arm in group(members)}
        for members in records.group(runs, ("seed", *configuration.NORM_KEYS, *ignored))
    ]


def norm_name(norm: str) -> str:
    """Returns `Run.norm` in words: "With BN", "With layer norm", ..."""
    if norm in NORM_NAMES:
        return NORM_NAMES[norm]
    kind, after = norm.removesuffix(" after"), norm.endswith(" after")
    return f"With {kind.replace('_', ' ')}{' after the nonlinearity' * after}"


def counted(runs: Sequence[Run]) -> list[Run]:
    """Returns the finished runs; all of them while none has finished."""
    return [run for run in runs if run.status["status"] == "finished"] or list(runs)


def curve(arm: Arm, split: str, statistics: str, field: str) -> Curve | None:
    """Returns the mean and the range over an arm's runs; None if nothing is recorded.

    Over the finished runs; while there is none, of the one that is furthest alone.
    """
    values: dict[int, list[float]] = {}
    for run in arm.shown():
        for step, value in zip(*run.series(split, statistics, field), strict=True):
            values.setdefault(int(step), []).append(value)
    if not values:
        return None
    steps = sorted(values)
    rows = [values[step] for step in steps]
    over = (np.array([f(row) for row in rows]) for f in (np.mean, np.min, np.max))
    return Curve(np.array(steps), *over)


def final_values(arm: Arm, split: str, statistics: str, field: str) -> np.ndarray:
    """Returns the last recorded value of each finished run [n]."""
    series = [run.series(split, statistics, field)[1] for run in arm.done()]
    return np.array([values[-1] for values in series if values.size])


def label(run: Run) -> str:
    """Returns a run's name without its seed: "bn_x5" of "bn_x5_seed0"."""
    return re.sub(r"[_/-]?seed_?\d+$", "", run.name) or run.name


def number_list(values: Sequence[int]) -> str:
    """Returns "0-4" for consecutive numbers, "0, 2" for others."""
    values = sorted(set(values))
    if len(values) > 2 and values == list(range(values[0], values[-1] + 1)):
        return f"{values[0]}-{values[-1]}"
    return ", ".join(map(str, values))


def learning_rate(arm: Arm) -> str:
    """Returns the learning rate of an arm as text."""
    return f"{arm.runs[0].stated['optimizer.learning_rate']:g}"


def _in_figure1(run: Run) -> bool:
    experiment = run.config.get("experiment")
    return experiment in FIGURE1 and run.norm in ("none", "batch_norm")


def _size(setting: dict[str, Arm]) -> tuple[int, int]:
    return len(setting), sum(len(arm.runs) for arm in setting.values())


def progress(run: Run) -> tuple[bool, int]:
    """Returns what orders runs by how far they are: finished, steps done."""
    return run.status["status"] == "finished", run.status.get("step", 0)
