"""Where a run goes on: what its folder holds, and whether that can be trusted.

Nothing is taken that belongs to another run, and nothing that is missing is passed over
in silence. Needs no JAX.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from bn_repro.errors import UserError
from bn_repro.run_folder import (
    checkpoint,
    configuration,
    files,
    identity,
    records,
    seen,
)
from bn_repro.run_folder.checkpoint import Checkpoint, DamagedError

ANEW = "put a copy back, or start anew with --restart"
# What may be another at the next probe: when it is, and what is NaN in one without it.
PROBED_ANYHOW = (
    "probe.every",
    "probe.steps",
    "probe.log_spaced",
    "probe.measures",
    "probe.jacobian_layers",
)


class Found(NamedTuple):
    """What a run goes on from."""

    # "finished" or "diverged" where there is nothing more to do, else ""
    ended: str = ""
    # the newest that can be taken; None to start with the first step
    checkpoint: Checkpoint | None = None
    notes: tuple[str, ...] = ()  # lines for the user
    # kinds of records to drop at the checkpoint's step, see `RunWriter.cut`
    forced: tuple[str, ...] = ()
    # dotted key -> (value there, value now) outside of the run's identity
    changed: dict = {}
    origin: dict = {}  # where the run branched from; empty if it did not


def refuse_another_run(record: Mapping, workdir) -> None:
    """Raises UserError, naming the keys, if workdir holds a run of other steps."""
    there = records.config(workdir)
    if there is None:
        return
    other = identity.differing(identity.of(there), identity.of(record))
    if other:
        new = f"{str(workdir).rstrip('/')}_2"
        raise UserError(
            f"{workdir} holds a run of another configuration ({other}); train this one "
            f"with --workdir {new} or another new folder, to go on from that run's "
            f"checkpoint with --branch_from {workdir} as well"
        )
    done = records.status(workdir)
    if done["status"] == "finished" and record["steps"] < there["steps"]:
        raise UserError(
            f"{workdir} has finished {there['steps']:,} steps, steps is "
            f"{record['steps']:,} now; a run can be extended, not shortened"
        )


def ended(record: Mapping, workdir) -> Found | None:
    """Returns that the run in a folder has ended, with all steps asked for, or None.

    None too if its weights have to be rebuilt.

    Raises:
      UserError: as `refuse_another_run`; or it has ended and what it recorded is
        missing or damaged.
    """
    folder = Path(workdir)
    if not records.config(folder) or _to_do(record, folder):
        return None
    status, weights = records.status(folder)["status"], folder / checkpoint.WEIGHTS
    lost = status == "finished" and not weights.exists()
    note = f"{weights} is missing, and no checkpoint is left to rebuild it from; {ANEW}"
    return Found(ended=status, notes=(note,) if lost else ())


def _to_do(record: Mapping, folder: Path) -> str:
    """Returns why a run is not ended; "" if it is."""
    refuse_another_run(record, folder)
    status, there = records.status(folder), records.config(folder)
    if status["status"] not in records.ENDED:
        return status["status"]
    if status["status"] == "finished" and record["steps"] > there["steps"]:
        return f"{there['steps']:,} steps were asked for, {record['steps']:,} are now"
    lost = _lost_records(folder, there, status["step"])
    if lost and status["status"] == "finished":
        raise UserError(f"{folder} is finished, but {lost}; {ANEW}")
    return _lost_weights(folder, there, status)


def _lost_records(folder: Path, there: Mapping, step: int) -> str:
    """Returns what of a finished run's records is missing, "" if nothing."""
    if step == 0:
        return ""  # imported
    rows = records.read_metrics(folder / records.METRICS)
    if not rows:
        return f"{records.METRICS} is missing"
    last = max(row["step"] for row in rows)
    if last < step:
        return f"{records.METRICS} ends at step {last:,} of {step:,}"
    for kind in seen.kinds(there):
        if step not in seen.steps_of(rows, kind):
            return f"{records.METRICS} lacks the last record of {'/'.join(kind)}"
    about = checkpoint.about(checkpoint.path_of(folder, step))
    return seen.lost(folder, there, step, about) if about else ""


def _lost_weights(folder: Path, there: Mapping, status: Mapping) -> str:
    """Returns what is wrong with the weights if they can be rebuilt, "" if nothing is.

    Raises:
      UserError: they are damaged, and there is no checkpoint to rebuild them from.
    """
    path = folder / checkpoint.WEIGHTS
    has_checkpoints = any(checkpoint.steps(folder))
    try:
        if path.exists() or path.is_symlink():
            checkpoint.load(path, there, status["step"])
            return ""
    except DamagedError as error:
        if has_checkpoints:
            return f"{error}; rebuilding it from the last checkpoint"
        raise UserError(f"{error}, and no checkpoint is left; {ANEW}") from error
    if has_checkpoints and (status["status"] == "finished" or status["step"]):
        return f"{path} is missing; rebuilding it from the last checkpoint"
    return ""


def look(record: Mapping, workdir) -> Found:
    """Returns what a run goes on from; to be called by the holder of the folder's lock.

    Raises:
      UserError: the folder holds another run, or probes of another kind, or what it
        would go on from is missing or damaged; names it.
    """
    folder = Path(workdir)
    if done := ended(record, folder):
        return done
    there = records.config(folder)
    notes = [
        f"{folder / name} is damaged; it is written anew"
        for name in records.damaged(folder)
    ]
    if there and records.status(folder)["status"] in records.ENDED:
        notes.append(_to_do(record, folder))
    found = checkpoint.latest(folder, record)
    reached = _reached(folder, there)
    if found is None:
        if reached:
            raise UserError(
                f"{folder} has reached step {reached:,}, but its checkpoints are "
                f"missing; {ANEW}"
            )
        return Found(notes=tuple(notes))
    if reached > found.step:
        notes.append(
            f"the checkpoint of step {reached:,} is missing or damaged; going on from "
            f"that of step {found.step:,}"
        )
    if found.step > record["steps"]:
        raise UserError(
            f"{folder} has done {found.step:,} steps, steps is {record['steps']:,}; a "
            f"run can be extended, not shortened"
        )
    if there is None:
        notes.append(f"{folder / records.CONFIG} is missing; it is written anew")
    if lost := seen.lost(folder, there or record, found.step, found.about):
        raise UserError(
            f"{folder} cannot go on from step {found.step:,}: {lost}; {ANEW}, or go on "
            f"without them in a new folder with --branch_from {folder}"
        )
    changed = configuration.differing_keys(there, record) if there else {}
    _refuse_other_probes(folder, changed)
    notes += [f"{key}: {a!r} until here, {b!r} now" for key, (a, b) in changed.items()]
    forced = found.about.get("forced", []) if found.step < record["steps"] else []
    told = {"notes": tuple(notes), "forced": tuple(forced), "changed": changed}
    return Found(checkpoint=found, origin=found.about.get("branched_from", {}), **told)


def _refuse_other_probes(folder: Path, changed: Mapping) -> None:
    """Raises UserError if there are probes, and the next would be of something else."""
    other = {k: v for k, v in changed.items() if k.startswith("probe.")}
    other = {k: v for k, v in other.items() if k not in PROBED_ANYHOW}
    probes = records.load_activations(folder / records.ACTIVATIONS) if other else None
    if probes and len(probes["steps"]):
        told = "; ".join(f"{k}: {a!r} there, {b!r} now" for k, (a, b) in other.items())
        raise UserError(
            f"{folder} has probes of another kind ({told}), and one file holds one "
            f"kind: give the values that are there, or go on in a new folder with "
            f"--branch_from {folder}"
        )


def _reached(folder: Path, there: Mapping | None) -> int:
    """Returns the step of the newest checkpoint that was surely written, 0 if none."""
    status = records.status(folder)
    reached = [0 if status["status"] == "diverged" else status["step"]]
    # The lines go on while a checkpoint is written; the status waits for it.
    if not there or status["status"] != "unknown":
        return reached[0]
    every = there.get("checkpoint", {}).get("every", 0)
    rows = records.read_metrics(folder / records.METRICS) if every else []
    recorded_until = max((row["step"] for row in rows), default=0)
    return max(*reached, (recorded_until - 1) // every * every if rows else 0)


def branch(record: Mapping, workdir) -> Found:
    """Returns the newest checkpoint of the run in a folder, to start another run from.

    Raises:
      UserError: it is no run, or has no checkpoint that can be taken.
    """
    there = records.read_run(workdir).config
    found = checkpoint.latest(workdir, there)
    if found is None:
        raise UserError(f"{workdir} has no checkpoint to branch from")
    if found.step >= record["steps"]:
        raise UserError(
            f"{workdir} has done {found.step:,} steps; to branch from it, steps must "
            f"be more than that"
        )
    differing = configuration.differing_keys(there, record)
    before = found.about.get("branched_from", {})
    origin = {
        "run": str(workdir),
        "step": found.step,
        "examples": examples_until(found.step, there["batch_size"], before),
        "sha256": files.digest(found.arrays),
        "changed": differing,
    }
    return Found(checkpoint=found._replace(about={}), origin=origin)


def examples_until(step: int, batch_size: int, origin: Mapping) -> int:
    """Returns how many examples the steps have seen; `origin` as in `Found`.

    Those before the branch may have been of another batch size.
    """
    branched = origin.get("step", 0)
    before = origin.get("examples", branched * batch_size)
    return before + (step - branched) * batch_size


def clear(workdir) -> None:
    """Removes what a run wrote to its folder, but for its log and evaluations."""
    folder = Path(workdir)
    names = (records.CONFIG, records.CLASSES, records.MANIFEST, records.STATUS)
    names += (records.METRICS, records.ACTIVATIONS, records.HITS, checkpoint.WEIGHTS)
    checkpoints = (checkpoint.path_of(folder, n) for n in checkpoint.steps(folder))
    for path in (*checkpoints, *(folder / name for name in names)):
        with files.naming(path, "remove"):
            path.unlink(missing_ok=True)
