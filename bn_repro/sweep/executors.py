"""The ways to run the members of a sweep, behind one interface.

An executor takes the members that have not ended, grouped by what they share, the
number of jobs and the progress; it returns how each member that it started ended.
"""

import contextlib
import time
from collections.abc import Callable

from bn_repro import resolve
from bn_repro.errors import UserError
from bn_repro.run_folder import lock, resume
from bn_repro.sweep import workers
from bn_repro.sweep.devices import one_each
from bn_repro.sweep.plan import Planned
from bn_repro.sweep.progress import Progress

Groups = list[list[Planned]]
LOOK_AGAIN = 5.0  # seconds until members that another sweep holds are looked at again


def here(groups: Groups, jobs: int, progress: Progress) -> dict[str, str]:
    """Runs one member after another in this process, each on all devices."""
    del jobs
    outcomes = {}
    for member in (member for group in groups for member in group):
        outcomes[member.name] = outcome = _train_here(member)
        if outcome != workers.HELD:
            progress.ended(member, outcome)
        if outcome == "interrupted":
            break
    return outcomes


def _train_here(member: Planned) -> str:
    try:
        return workers.train(member)
    except lock.HeldError:
        return workers.HELD
    except UserError as error:
        return f"failed: {error}"


def devices(groups: Groups, jobs: int, progress: Progress) -> dict[str, str]:
    """Runs a member at a time on each accelerator of this host, in its own process."""
    return workers.run(groups, jobs, progress, one_each())


def vmap(groups: Groups, jobs: int, progress: Progress) -> dict[str, str]:
    """Runs the members of a group together in one program, group after group."""
    from bn_repro.sweep import vmapped

    del jobs
    outcomes = {}
    for group in groups:
        outcomes |= vmapped.train(group, progress)
        if "interrupted" in outcomes.values():
            break
    return outcomes


EXECUTORS: dict[str, Callable] = {
    "processes": workers.run,
    "devices": devices,
    "vmap": vmap,
    "here": here,
}


def run(
    sweep: list[Planned], executor: str = "", jobs: int = 0, restart: bool = False
) -> dict[str, str]:
    """Runs the members that have not ended and returns how each of them stands.

    Args:
      sweep: the members.
      executor: a key of EXECUTORS. Empty: "processes" on CPU or with jobs; on GPU and
        TPU "vmap" if the data live on the devices, else "here".
      jobs: with "processes", how many run at a time, each on an equal share of the
        cores; 0: one a core.
      restart: forget what the members' folders hold, and begin anew.

    Raises:
      UserError: a bad value, or a folder holds a run of another configuration, or, to
        restart it, another process writes it; nothing was started or forgotten.
    """
    groups = _groups(sweep, restart)
    waiting = [member for group in groups for member in group]
    executor = executor or ("processes" if jobs else _default(waiting))
    _check(executor, jobs, waiting)
    if restart:
        _clear(sweep)
    progress = Progress(len(sweep), len(sweep) - len(waiting))
    for member in sweep:
        if member not in waiting:
            progress.tell(member, f"{member.status()} already")
    outcomes = {}
    while groups:
        outcomes |= EXECUTORS[executor](groups, jobs, progress)
        if "interrupted" in outcomes.values():
            break
        groups = _held(groups, outcomes, progress)
    failed = {k: "failed" for k, v in outcomes.items() if v.startswith("failed")}
    return {member.name: member.status() for member in sweep} | failed


def _held(groups: Groups, outcomes: dict, progress: Progress) -> Groups:
    """Returns what is left to look at again, after a while: what another sweep held."""
    held = [
        [m for m in group if outcomes.get(m.name) == workers.HELD] for group in groups
    ]
    if not any(held):
        return []
    progress.held([member for group in held for member in group])
    time.sleep(LOOK_AGAIN)
    return [group for group in held if group]


def _clear(sweep: list[Planned]) -> None:
    """Removes what the members' folders hold, if all of them can begin anew."""
    from bn_repro import data

    every = [member.load_config().data for member in sweep]
    for keys in {str(keys): keys for keys in every}.values():
        data.check(keys)
    with contextlib.ExitStack() as stack:
        for member in sweep:
            stack.enter_context(lock.hold(member.workdir))
        for member in sweep:
            resume.clear(member.workdir)


def _groups(sweep: list[Planned], restart: bool = False) -> Groups:
    """Returns the members that have not ended by the programs that they share.

    All of them to restart.

    Raises:
      UserError: a member's configuration is bad, or not that of its folder.
    """
    groups = {}
    for member in sweep:
        resolved, stated = resolve.resolve(member.load_config())
        record = resolve.as_record(resolved, stated)
        if restart or not resume.ended(record, member.workdir):
            shared = resolve.without_varied(resolved)
            groups.setdefault(shared, []).append(member)
    return list(groups.values())


def _default(waiting: list[Planned]) -> str:
    import jax

    if jax.default_backend() == "cpu":
        return "processes"
    return "vmap" if _in_memory(waiting) else "here"


def _in_memory(sweep: list[Planned]) -> bool:
    from bn_repro import data

    keys = [member.load_config().data for member in sweep]
    return all(data.SOURCES[k.name].in_memory or k.on_device for k in keys)


def _check(executor: str, jobs: int, waiting: list[Planned]) -> None:
    if executor not in EXECUTORS:
        raise UserError(
            f"--executor is {executor!r}; it must be one of {', '.join(EXECUTORS)}"
        )
    if jobs < 0:
        raise UserError(f"--jobs is {jobs}; it must be at least 0")
    if jobs and executor != "processes":
        raise UserError(f"--jobs is for --executor=processes, not for {executor}")
    if executor == "vmap" and not _in_memory(waiting):
        raise UserError(
            "--executor=vmap needs data that live on the devices; these are streamed: "
            "set data.on_device=True, or use --executor=processes or --executor=here"
        )
