"""Which runs of a folder a report is of, and why the others are not.

One odd run must not end a report: what cannot be read, or is not what a run records, is
named and left out, and the rest is drawn. A run is known by its configuration, so that
the same run in two folders counts once. Unfinished ones are drawn but in no mean.
"""

import os
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from bn_repro.analysis import arms, convergence, tables
from bn_repro.analysis.layers import drift
from bn_repro.errors import UserError
from bn_repro.run_folder import records
from bn_repro.run_folder.records import Run

# What every table and figure asks of a configuration, and what it has to be.
NEEDED = {
    "steps": (int, float),
    "batch_size": int,
    "model.name": str,
    "model.norm": str,
    "data.name": str,
    "data.classes": int,
    "optimizer.learning_rate": (int, float),
}  # numbers above zero


def load(workdir: str | os.PathLike) -> tuple[list[Run], list[str]]:
    """Returns the runs at or below workdir that can be shown, and notes on all others.

    Raises:
      UserError: there is none.
    """
    runs, notes = [], []
    for name, folder in records.find_run_folders(workdir).items():
        try:
            run = records.read_run(folder, name)
            check(run)
        except UserError as error:
            notes.append(f"Left out: {error}")
            continue
        except Exception as error:  # whatever a file of another kind leads to
            what = f"{type(error).__name__}: {error}"
            notes.append(f"Left out: run {name}: its records are odd ({what})")
            continue
        runs.append(run)
    if not runs:
        why = notes[0] if notes else f"there is no run in or below {workdir}"
        raise UserError(
            f"{why}; train one with scripts/train.py --workdir {workdir}/NAME"
        )
    runs, repeats = arms.unique(runs)
    notes += [
        f"Left out: {run.name}, of the same configuration as {kept.name}"
        for run, kept in repeats
    ]
    unfinished = [run for run in runs if run.status["status"] != "finished"]
    notes += listed("Not finished, in no mean", unfinished, tables.status_text)
    notes += listed("Finished without an accuracy", _blind(runs))
    notes += [note for run in runs for note in _mend_activations(run)]
    return runs, notes + listed("Of other probes than the other seeds", _unlike(runs))


def listed(
    what: str, runs: Sequence[Run], detail: Callable[[Run], str] | None = None
) -> list[str]:
    """Returns a note that names the runs; none if there are none."""
    if not runs:
        return []
    names = (f"{run.name} ({detail(run)})" if detail else run.name for run in runs)
    return [f"{what}: {', '.join(names)}"]


def check(run: Run) -> None:
    """Raises UserError if a run's configuration lacks what tables and figures ask."""
    flat = run.stated
    for key, kind in NEEDED.items():
        if key not in flat:
            raise UserError(f"run {run.name}: its config.json has no {key}")
        value = flat[key]
        if not isinstance(value, kind) or (kind is not str and not value > 0):
            raise UserError(f"run {run.name}: {key} in config.json is {value!r}")


def without_odd(what: str, make: Callable, runs: list[Run]) -> tuple:
    """Returns make(runs), and notes; odd runs are named and the rest is made.

    Odd is a run that fails alone. Where there is none, or the rest fails too, None is
    made. Bad input that the user gave raises UserError as ever.
    """
    try:
        return make(runs), []
    except UserError:
        raise
    except Exception as error:
        odd = {run.name: fault for run in runs if (fault := _fault(make, [run]))}
        rest = [run for run in runs if run.name not in odd]
        if odd and rest and not (fault := _fault(make, rest)):
            names = ", ".join(f"{name} ({fault})" for name, fault in odd.items())
            return make(rest), [f"Left out of {what}: {names}"]
        return None, [f"Without {what}: it failed ({type(error).__name__}: {error})"]


def _fault(make: Callable, runs: list[Run]) -> str:
    """Returns why something cannot be made of runs; "" if it can."""
    try:
        make(runs)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _blind(runs: Sequence[Run]) -> list[Run]:
    """Returns the finished runs without a held-out accuracy that is a number."""
    found = []
    for run in runs:
        accuracy = convergence.course(run).accuracy
        if run.status["status"] == "finished" and not np.isfinite(accuracy).any():
            found.append(run)
    return found


def _unlike(runs: Sequence[Run]) -> list[Run]:
    """Returns the finished runs that were not probed as most of their arm were."""
    found = []
    for arm in arms.group(runs):
        kinds = [_kind(run.activations) for run in arm.done()]
        usual = Counter(kinds).most_common(1)
        pairs = zip(arm.done(), kinds, strict=True)
        found += [run for run, kind in pairs if kind != usual[0][0]]
    return found


def _kind(probes: dict | None) -> tuple:
    """Returns whether there are two probes, the percentiles, and each layer's units."""
    if probes is None:
        return ()
    units = ((name, probes[name].shape[2]) for name in probes["layers"])
    return len(probes["steps"]) > 1, tuple(probes["percentiles"]), *units


def _mend_activations(run: Run) -> list[str]:
    """Drops activations that are not whole; returns a note on what is not drawn."""
    probes = run.activations
    if probes is None:
        return []
    finished = run.status["status"] == "finished"
    if fault := _hole(probes, must_be_finite=finished):
        run.activations = None
        return [f"Activations left out: those of {run.name}: {fault}"]
    if len(probes["steps"]) and not drift.has_percentiles(probes):
        shown = ", ".join(f"{p:g}" for p in probes["percentiles"])
        wanted = ", ".join(map(str, drift.PERCENTILES))
        return [
            f"Without drift: {run.name}, which recorded the percentiles {shown}, not "
            f"{wanted} (probe.percentiles)"
        ]
    return []


def _hole(probes: dict, must_be_finite: bool) -> str:
    """Returns what of activations.npz cannot be drawn; "" if all can."""
    for name in probes["layers"]:
        if not probes[name].shape[2]:
            return f"{name} has no units"
        if must_be_finite and not np.isfinite(probes[name]).all():
            return f"{name} is not finite"
    return "" if probes["layers"] else "they are of no layer"
