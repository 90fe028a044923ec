"""Long-lived processes, each on its own cores or device, that train one by one.

What a worker compiled for one member it has for the next of the same network (see
`experiment.make`), so it is sent members of one network as long as there are any. A
worker that dies costs its member the steps since the last checkpoint, nobody else
anything.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from multiprocessing.connection import wait
from typing import NamedTuple

from bn_repro import interrupt
from bn_repro.errors import UserError
from bn_repro.run_folder import lock, records
from bn_repro.run_folder.writer import RunWriter
from bn_repro.sweep.plan import Planned
from bn_repro.sweep.progress import LOG, Progress

RETRIES = 2  # of a member whose worker died
DIED = "died"
HELD = "held"  # by another sweep, or a run by itself


class Task(NamedTuple):
    """A member to train, the group that it shares programs with, and its deaths."""

    member: Planned
    group: int
    deaths: int = 0


class Worker:
    """The sweep's end of one worker."""

    def __init__(self, cores: list[int], environment: dict[str, str] | None = None):
        """Starts no process before there is a task.

        It will run on these cores of the host and set `environment` before JAX starts.
        """
        self._cores, self._environment = cores, environment or {}
        self._process = self._connection = None
        self.task = None  # what it is at; None while idle
        self.group = None  # of its last task
        self.exit_status = None  # of its process, once that is dead

    def give(self, task: Task) -> None:
        """Sends it a task, to a new process if there is none."""
        if self._process is None:
            self._start()
        self.task, self.group = task, task.group
        with contextlib.suppress(OSError):  # it died since: outcome() says so
            self._connection.send(task.member)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        given = theirs, self._cores, self._environment
        self._process = context.Process(target=_work, args=given)
        self._process.start()
        theirs.close()

    def signs(self) -> list:
        """Returns what becomes ready when the outcome of the task is known."""
        return [self._connection, self._process.sentinel]

    def outcome(self) -> str | None:
        """Returns how its task ended and forgets the task; None while it goes on."""
        alive = self._process.is_alive()  # asked first: the last word may still come
        outcome = None if alive else DIED
        with contextlib.suppress(EOFError, OSError):
            if self._connection.poll():
                outcome = self._connection.recv()
        if outcome == DIED:
            self._process.join()
            self._connection.close()
            self.exit_status = self._process.exitcode
            self._process = None
        if outcome:
            self.task = None
        return outcome

    def terminate(self) -> None:
        """Asks the process to save what it is at and to stop."""
        if self._process is not None:
            self._process.terminate()

    def close(self) -> None:
        """Ends the process: at once if idle, else after it has saved."""
        if self._process is not None:
            self._connection.close()
            if self.task:
                self.terminate()
            self._process.join()


def run(
    groups: list[list[Planned]],
    jobs: int,
    progress: Progress,
    environments: Sequence[dict[str, str]] = (),
) -> dict[str, str]:
    """Runs the members on `jobs` workers, or on one a core if jobs is 0.

    With environments: on one worker for each of them.
    """
    todo = [Task(member, i) for i, group in enumerate(groups) for member in group]
    cores = _cores()
    jobs = min(jobs or len(environments or cores), len(todo))
    environments = list(environments) or [{}] * jobs
    workers = [Worker(cores[i::jobs] or cores, environments[i]) for i in range(jobs)]
    outcomes = {}
    with interrupt.asked_to_stop() as stop:
        try:
            while todo or any(worker.task for worker in workers):
                if stop:
                    todo.clear()
                    stop.clear()
                    for worker in workers:
                        worker.terminate()
                _hand_out(todo, workers)
                running = [worker for worker in workers if worker.task]
                wait([sign for worker in running for sign in worker.signs()], 0.5)
                for worker in running:
                    _collect(worker, todo, outcomes, progress)
                progress.show([w.task.member for w in workers if w.task])
        finally:
            for worker in workers:
                worker.close()
    return outcomes


def _hand_out(todo: list[Task], workers: list[Worker]) -> None:
    for worker in workers:
        if worker.task or not todo:
            continue
        elsewhere = {other.group for other in workers}
        task = min(  # the first of what it has compiled, else of what nobody has
            todo, key=lambda t: (t.group != worker.group, t.group in elsewhere)
        )
        todo.remove(task)
        worker.give(task)


def _collect(worker: Worker, todo: list, outcomes: dict, progress: Progress) -> None:
    task = worker.task
    outcome = worker.outcome()
    if outcome is None:
        return
    member = task.member
    if outcome == DIED:
        what = f"its process died with exit status {worker.exit_status}"
        if worker.exit_status == -signal.SIGTERM:
            outcome = "interrupted"
        elif task.deaths < RETRIES:
            progress.tell(member, f"{what}; it is resumed")
            todo.insert(0, task._replace(deaths=task.deaths + 1))
            return
        else:
            outcome = f"failed: {what}, {RETRIES + 1} times in all"
        _record(member, outcome)
    outcomes[member.name] = outcome
    if outcome != HELD:
        progress.ended(member, outcome)


def _record(member: Planned, outcome: str) -> None:
    """Writes what a process that died could not write itself."""
    if member.status() == "waiting":
        return
    status, _, message = outcome.partition(": ")
    fields = {"message": message} if message else {}
    with contextlib.suppress(lock.HeldError), lock.hold(member.workdir):
        step = records.status(member.workdir)["step"]
        RunWriter(member.workdir).write_status(status, step, **fields)


def _cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _work(connection, cores: list[int], environment: dict[str, str]) -> None:
    """Runs in the worker's process: takes its cores, then trains what it is sent."""
    os.environ |= environment
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the sweep turns Ctrl-C to SIGTERM
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    interrupt.end_with_parent()  # none writes when the sweep is started again
    told = [f"on cores {cores}", *(f"{k}={os.environ[k]}" for k in environment)]
    with contextlib.suppress(EOFError):
        while True:
            connection.send(_train_logged(connection.recv(), ", ".join(told)))


def _train_logged(member: Planned, where: str) -> str:
    """Trains a member with its output in its log; returns how it ended, or why not."""
    try:
        with lock.hold(member.workdir):  # creates the folder, or says why not
            _print_to(member.workdir / LOG)
            print(f"process {os.getpid()} {where}", flush=True)
            return train(member)
    except lock.HeldError:
        return HELD
    except UserError as error:
        with contextlib.suppress(OSError):  # a full disk
            print(f"error: {error}", file=sys.stderr)
        return f"failed: {error}"
    except Exception as error:
        with contextlib.suppress(OSError):
            traceback.print_exc()
        return f"failed: {type(error).__name__}: {error}"


def _print_to(path) -> None:
    """Appends what this process prints from now on, XLA's C++ included, to a file."""
    sys.stdout.flush()
    with open(path, "a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)


def train(member: Planned) -> str:
    """Trains one member in this process and returns how it ended."""
    from bn_repro import loop  # here: the cores of a process are chosen before jax

    return loop.run(member.load_config(), member.workdir)
