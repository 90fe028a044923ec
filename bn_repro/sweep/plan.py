"""Runs every entry of a config file's RUNS, each in a run folder of its own."""

import contextlib
import importlib.util
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bn_repro import cli, records
from bn_repro.errors import UserError

LOG = "log.txt"  # what a member prints, in its run folder


class Member(NamedTuple):
    """One run of a sweep: its key in RUNS, its folder and its configuration as JSON."""

    name: str
    workdir: Path
    config: str

    def status(self) -> str:
        """Returns how the run stands; "waiting" if it was never started."""
        return records.status_of(self.workdir)


def members(
    config_file: str, overrides: dict, only: list[str], workdir
) -> list[Member]:
    """Returns the members of a sweep in the order of RUNS.

    Args:
      config_file: file with RUNS and get_config.
      overrides: dotted key -> value, applied to every member.
      only: keys of RUNS to run; all of them if empty.
      workdir: folder of the run folders.

    Raises:
      UserError: no RUNS in the file, or a name that is not in it.
    """
    module = load(config_file)
    unknown = [name for name in only if name not in module.RUNS]
    if unknown:
        raise UserError(
            f"{config_file} has no run {', '.join(unknown)}; it has: "
            f"{', '.join(module.RUNS)}"
        )
    found = []
    for name in only or module.RUNS:
        varied = [key for key in overrides if key in module.RUNS[name]]
        if varied:
            raise UserError(
                f"{', '.join(varied)} is what the runs of {config_file} differ in; it "
                f"cannot be overridden for all of them: choose with --only"
            )
        config = module.get_config(name)
        config.update_from_flattened_dict(overrides)
        text = json.dumps(config.to_dict())
        found.append(Member(name, Path(workdir) / name, text))
    return found


def load(config_file: str):
    """Returns a config file as a module; UserError if it has no RUNS."""
    path = cli.find_config(config_file)
    spec = importlib.util.spec_from_file_location("config_file", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "RUNS"):
        raise UserError(f"{config_file} has no RUNS to sweep over")
    return module


def run(sweep: list[Member], jobs: int = 0) -> dict[str, str]:
    """Runs the members that have not ended and returns how each of them stands.

    Args:
      sweep: the members.
      jobs: how many run at a time, each in a process of its own with an equal share of
        the cores. 0: one a core on CPU; on GPU and TPU one after another, in this
        process, on all devices.

    Raises:
      UserError: a folder holds a run of another configuration; nothing was started.
    """
    for member in sweep:
        _refuse_another_configuration(member)
    waiting = [member for member in sweep if member.status() not in records.ENDED]
    for member in sweep:
        if member not in waiting:
            print(f"{member.name}: {member.status()} already")
    if jobs < 0:
        raise UserError(f"--jobs is {jobs}; it must be at least 0")
    if jobs == 0 and _on_accelerator():
        _run_here(waiting)
    elif waiting:
        cores = _cores()
        _run_processes(waiting, min(jobs or len(cores), len(waiting)), cores)
    return {member.name: member.status() for member in sweep}


def _refuse_another_configuration(member: Member) -> None:
    from bn_repro import loop, resolve

    resolved, stated = resolve.resolve(_config(member))
    loop.refuse_another_configuration(resolved, stated, member.workdir)


def _config(member: Member):
    from ml_collections import config_dict

    return config_dict.ConfigDict(json.loads(member.config))


def _run_here(waiting: list[Member]) -> None:
    for member in waiting:
        if train(member) == "interrupted":
            return


def train(member: Member) -> str:
    """Trains one member in this process and returns how it ended."""
    from bn_repro import loop  # here: the cores of a process are chosen before jax

    return loop.run(_config(member), member.workdir)


def _run_processes(waiting: list[Member], jobs: int, cores: list[int]) -> None:
    context = multiprocessing.get_context("spawn")
    shares = [cores[i::jobs] or cores for i in range(jobs)]
    todo, running = list(waiting), {}
    with _stop_request() as stop:
        while todo or running:
            while todo and shares and not stop:
                member, share = todo.pop(0), shares.pop()
                records.RunWriter(member.workdir)  # creates the folder, or says why not
                process = context.Process(target=_in_process, args=(member, share))
                process.start()
                running[process] = member, share
            for process in [p for p in running if not p.is_alive()]:
                member, share = running.pop(process)
                shares.append(share)
                print(f"{member.name}: {_describe(member, process)}", flush=True)
            if stop:
                todo = []
                for process in running:
                    process.terminate()  # SIGTERM: it saves and stops
                stop.clear()
            _print_progress([member for member, _ in running.values()], len(todo))
            time.sleep(0.2)


def _in_process(member: Member, cores: list[int]) -> None:
    """Runs in the member's process: takes its cores, logs to a file, trains."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent turns Ctrl-C to SIGTERM
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    with open(member.workdir / LOG, "a", buffering=1) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        cli.guarded(lambda: train(member) and None)


@contextlib.contextmanager
def _stop_request() -> Iterator[list]:
    """Yields a list that is not empty once Ctrl-C or SIGTERM asked to stop."""
    asked = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(n, lambda number, _: asked.append(number)) for n in numbers]
    try:
        yield asked
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _describe(member: Member, process) -> str:
    status = member.status()
    if status in (*records.ENDED, "interrupted"):
        return f"{status} at step {records.read_run(member.workdir).status['step']:,}"
    why = _last_line(member.workdir / LOG)
    return f"failed with exit status {process.exitcode}: {why}"


def _print_progress(running: list[Member], waiting: int, every: float = 10.0) -> None:
    """Prints the last progress line of each running member, now and then."""
    now = time.monotonic()
    if not running or now < _print_progress.next:
        return
    _print_progress.next = now + every
    for member in running:
        print(f"{member.name}: {_last_line(member.workdir / LOG)}", flush=True)
    if waiting:
        print(f"({waiting} more waiting)", flush=True)


_print_progress.next = 0.0


def _last_line(path: Path) -> str:
    """Returns the last line that the loop or the commands print; XLA prints too."""
    ours = ("step ", "Resuming", "error:", *records.STATUSES)
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line for line in lines[::-1] if line.startswith(ours)), "starting")


def _on_accelerator() -> bool:
    import jax

    return jax.default_backend() != "cpu"


def _cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
