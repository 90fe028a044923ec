"""Members that share a program, trained in one: each is a row of every array.

Small networks leave a GPU or TPU idle; side by side they cost little more than one. A
CPU they do not: eight plain networks of MNIST together made 0.4 of the steps a second
that one after another makes, 54 of them 0.3, eight with BN 0.65, after 30 to 250 s
of compiling (two cores, beside other programs). There a process on each core is right.
States, keys, learning rates and orders get a leading member axis by `vmap`; what is due
is done for each member by itself, as when it runs alone. A member that diverged, ended
or failed stays in the program, as it is, and touches nobody.

This is a second loop beside `loop`, on purpose. What a run does after a step (records,
evaluations, probes, checkpoints, its end) is `under_way` for both. But there one
run either goes on or ends; here rows wait for those behind, one may end without the
others, and an error belongs to its row. One loop for both would carry these cases into
every single run, and into runs on several hosts and with streamed data, which never
have them.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P

from bn_repro import due, experiment, feeds, pace, parallel, resolve, start, under_way
from bn_repro.errors import UserError
from bn_repro.parallel import AXIS, REPLICATED
from bn_repro.run_folder import lock, resume
from bn_repro.run_folder.writer import RunWriter
from bn_repro.sweep import workers
from bn_repro.sweep.plan import Planned
from bn_repro.sweep.progress import LOG, Progress


@dataclasses.dataclass
class Row:
    """A member's place in the program."""

    member: Planned  # of the sweep
    run: under_way.Training  # as `loop` runs it
    events: list[due.Event]  # what is due when; at the same steps for all rows
    outcome: str = ""  # how it ended; empty while it is under way

    def do_due(self) -> None:
        """Does what is due after the run's step."""
        under_way.do_due(self.run, self.events)


def train(members: list[Planned], progress: Progress) -> dict[str, str]:
    """Trains members that share their programs and returns how each of them ended.

    Members that resume at different steps wait until the one behind has caught up.
    """
    others, rows = {}, []
    with contextlib.ExitStack() as stack:
        for member in members:
            try:
                stack.enter_context(lock.hold(member.workdir))
                run = _start(member)
            except lock.HeldError:
                others[member.name] = workers.HELD
                continue
            except UserError as error:
                run = f"failed: {error}"
            if isinstance(run, str):
                others[member.name] = run
                progress.ended(member, run)
            else:
                rows.append(Row(member, run, under_way.due_events(run)))
        if rows:
            _train_together(rows, progress)
    return others | {row.member.name: row.outcome for row in rows}


def _train_together(rows: list[Row], progress: Progress) -> None:
    try:
        with parallel.Preemption() as preemption:
            _train(rows, preemption, progress)
    except BaseException as error:
        for row in _under_way(rows):
            under_way.record_failure(row.run.writer, error)
        raise


def _start(member: Planned) -> under_way.Training | str:
    """Returns the member's run, or how another sweep has ended it since."""
    config, stated, mesh = start.prepare(member.load_config())
    found = resume.look(resolve.as_record(config, stated), member.workdir)
    if found.ended:
        return found.ended
    writer = RunWriter(member.workdir)
    try:
        with _logged(member):
            for note in found.notes:
                print(note)
            parts = experiment.make(config, mesh)
            return start.start_or_resume(config, stated, writer, parts, mesh, found)
    except UserError as error:
        under_way.record_failure(writer, error)
        raise


def _train(rows: list[Row], preemption, progress: Progress) -> None:
    program = Program([row.run.parts.feed for row in rows])
    for row in rows:
        row.run.writer.update_manifest(members_in_program=len(rows))
        if row.run.step == 0 and int(row.run.state.first_bad_step) < 0:
            _attempt(row, row.do_due, progress)
        _end_if_done(row, progress)
    while _under_way(rows):
        for row in _advance(rows, program):
            if int(row.run.state.first_bad_step) < 0:
                _attempt(row, row.do_due, progress)
            _end_if_done(row, progress)
        if preemption.requested():
            for row in _under_way(rows):
                _attempt(row, lambda row=row: under_way.save(row.run), progress)
                _end(row, "interrupted", progress)
        progress.show([row.member for row in _under_way(rows)])


def _end_if_done(row: Row, progress: Progress) -> None:
    first_bad = int(row.run.state.first_bad_step)
    if first_bad >= 0:
        row.run.step = first_bad
        _end(row, "diverged", progress)
    elif row.run.step == row.run.config.steps:
        _end(row, "finished", progress)


def _under_way(rows: list[Row]) -> list[Row]:
    return [row for row in rows if not row.outcome]


def _advance(rows: list[Row], program: "Program") -> list[Row]:
    """Does steps of the rows that are furthest behind and returns those rows."""
    going = _under_way(rows)
    step = min(row.run.step for row in going)
    ahead = [row.run.step for row in going if row.run.step > step]
    due = [event.next_after(step) for event in going[0].events]
    stop = min(due + ahead)
    n = int(min(stop - step, rows[0].run.config.steps_per_call))
    active = [not row.outcome and row.run.step == step for row in rows]
    carries = [(row.run.state, row.run.sums) for row in rows]
    paces = [row.run.pace for row, moves in zip(rows, active, strict=True) if moves]
    with pace.first(paces, "steps of all members", under_way.say, n):
        carries = program.advance(carries, step, n, active)
    for row, (state, sums) in zip(rows, carries, strict=True):
        row.run.state, row.run.sums = state, sums
    moved = [row for row, moves in zip(rows, active, strict=True) if moves]
    for row in moved:
        row.run.step += n
    return moved


def _attempt(row: Row, action: Callable, progress: Progress) -> None:
    """Does something for one row; what goes wrong there ends that row alone."""
    if row.outcome:
        return
    try:
        with _logged(row.member):
            action()
    except UserError as error:
        under_way.record_failure(row.run.writer, error)
        row.outcome = f"failed: {error}"
        progress.ended(row.member, row.outcome)


def _end(row: Row, outcome: str, progress: Progress) -> None:
    _attempt(row, lambda: under_way.close(row.run, outcome), progress)
    if not row.outcome:
        row.outcome = outcome
        progress.ended(row.member, outcome)


@contextlib.contextmanager
def _logged(member: Planned):
    """Appends what is printed to the member's log."""
    with open(member.workdir / LOG, "a") as log, contextlib.redirect_stdout(log):
        yield


class Program:
    """Steps of several runs that share data and recipe, in one dispatch."""

    def __init__(self, members: list[feeds.InMemoryFeed]):
        """Takes the feeds of the runs; compiles nothing yet."""
        self._feeds = members
        self._mesh = members[0].mesh
        chunk = functools.partial(_chunk, one=members[0].chunk)
        specs = (REPLICATED,) * 3 + (P(None, None, AXIS), REPLICATED, REPLICATED)
        chunk = parallel.spmd(chunk, self._mesh, specs, REPLICATED)
        self._compiled = jax.jit(chunk, donate_argnums=0)

    def advance(self, carries: list, step: int, n: int, active: list[bool]) -> list:
        """Returns each run's (state, sums) after n <= steps_per_call more steps.

        Only `active` runs move.
        """
        indices = np.stack([feed.indices(step, n) for feed in self._feeds])
        return self._compiled(
            carries,
            [feed.key for feed in self._feeds],
            self._feeds[0].arrays,
            parallel.split(indices, self._mesh, P(None, None, AXIS)),
            parallel.split(np.int32(n), self._mesh, REPLICATED),
            parallel.split(np.array(active), self._mesh, REPLICATED),
        )


def _chunk(carries, keys, arrays, indices, n, active, *, one):
    """Returns what `one` does of a member, done for all; see `InMemoryFeed.chunk`.

    `carries` and `keys` are each member's (state, sums) and key, `arrays` the training
    split that all share, `indices` the examples of their steps [members, block, batch],
    of which the first n are taken, `active` who moves, bool [members].
    """
    states, sums = jax.tree.map(lambda *leaves: jnp.stack(leaves), *carries)
    members = jax.vmap(one, in_axes=(0, 0, 0, None, 0, None))
    after = members(states, sums, jnp.stack(keys), arrays, indices, n)

    def pick(i, carry):
        keep = lambda new, old: jnp.where(active[i], new[i], old)  # noqa: E731
        return jax.tree.map(keep, after, carry)

    return [pick(i, carry) for i, carry in enumerate(carries)]
