"""The training loop: run steps, do what is due, save, and say how the run ended."""

import contextlib
import functools
import os
from collections.abc import Sequence
from pathlib import Path

import jax
from ml_collections import config_dict

from bn_repro import data, experiment, interrupt, pace, parallel, start, under_way
from bn_repro.due import Event
from bn_repro.errors import UserError
from bn_repro.resolve import as_record, describe
from bn_repro.run_folder import lock, resume
from bn_repro.run_folder.writer import RunWriter
from bn_repro.under_way import Training


def run(
    config: config_dict.ConfigDict,
    workdir: str | os.PathLike,
    devices: Sequence[jax.Device] | None = None,
    restart: bool = False,
    branch_from: str | os.PathLike = "",
) -> str:
    """Trains what a configuration describes, or resumes it, and returns how it ended.

    Args:
      config: a ConfigDict as `get_config` returns it, with all overrides.
      workdir: the run folder. One that holds an unfinished run of the same
        configuration is resumed, bit for bit, as is a finished one of fewer steps; one
        that has ended is left as it is.
      devices: devices to train on; default all.
      restart: forget what the folder holds and begin with the first step.
      branch_from: folder of another run, from whose newest checkpoint this one, if it
        is new, goes on.

    Returns:
      "finished", "diverged" or "interrupted" (after a signal; saved, to be resumed).

    Raises:
      UserError: a bad value, a folder of another configuration or one that another
        process writes, damaged or missing data or records, a disk that refuses to be
        written.
    """
    workdir = Path(workdir).expanduser()
    branch_from = branch_from and Path(branch_from).expanduser()
    config, stated, mesh = start.prepare(config, devices)
    recorded = as_record(config, stated)
    with contextlib.ExitStack() as stack:
        opened = functools.partial(_open, stack, recorded, workdir)
        found = parallel.on_main(lambda: opened(restart, branch_from))
        found = found or opened(False, branch_from)
        for note in found.notes:
            parallel.say(note)
        if found.ended:
            parallel.say(f"{workdir} is {found.ended} already; nothing to do")
            return found.ended
        parallel.say(describe(config, stated))
        parallel.say(_begins(config, mesh, workdir))
        writer = RunWriter(workdir)
        stack.enter_context(recording_failure(writer))
        parts = experiment.make(config, mesh)
        going = start.start_or_resume(config, stated, writer, parts, mesh, found)
        with parallel.Preemption() as preemption:
            status = _train(going, under_way.due_events(going), preemption)
            under_way.close(going, status)
    return status


def _begins(config, mesh, workdir) -> str:
    kind = mesh.devices.flat[0].platform
    devices = f"{mesh.size} {kind} device{'s' if mesh.size > 1 else ''}"
    what = f"{config.model.name} on {config.data.name}, {config.steps:,} steps"
    return f"{what} of {config.batch_size} on {devices}; the records go to {workdir}"


def _open(stack, recorded, workdir, restart: bool, branch_from) -> resume.Found:
    """Returns what the run goes on from; on the main process holds its folder."""
    if not restart and (done := resume.ended(recorded, workdir)):
        return done
    if parallel.is_main():
        stack.enter_context(lock.hold(workdir))
    if restart:
        if branch_from:
            _refuse_to_lose(recorded, workdir, branch_from)
        data.check(config_dict.ConfigDict(recorded["data"]))
        resume.clear(workdir)
    found = resume.look(recorded, workdir)
    if branch_from and not found.checkpoint and not found.ended:
        return resume.branch(recorded, branch_from)
    return found


def _refuse_to_lose(recorded, workdir, branch_from) -> None:
    """Raises UserError if what is to be branched from is not there after a restart."""
    resume.branch(recorded, branch_from)
    if os.path.samefile(workdir, branch_from):
        raise UserError(
            f"--restart would remove what --branch_from={branch_from} goes on from; "
            "give another --workdir"
        )


@contextlib.contextmanager
def recording_failure(writer):
    """Leaves in status.json how the run failed, or that a signal ended it at once."""
    tell = functools.partial(under_way.record_failure, writer, KeyboardInterrupt())
    with interrupt.telling(tell):
        try:
            yield
        except BaseException as error:
            under_way.record_failure(writer, error)
            raise


def _train(run: Training, events: list[Event], preemption) -> str:
    if int(run.state.first_bad_step) >= 0:
        return "diverged"  # its initial values are not finite
    if run.step == 0:
        under_way.do_due(run, events)
    while run.step < run.config.steps:
        n = min(event.next_after(run.step) for event in events) - run.step
        n = int(min(n, run.config.steps_per_call))
        with pace.first([run.pace], "steps", parallel.say, n):
            carried = run.state, run.sums
            run.state, run.sums = run.parts.feed.advance(*carried, run.step, n)
            first_bad = int(jax.device_get(run.state.first_bad_step))
        run.step += n
        if first_bad >= 0:
            run.step = first_bad
            return "diverged"
        under_way.do_due(run, events)
        if preemption.requested():
            under_way.save(run)
            return "interrupted"
    return "finished"
