"""The training loop: run steps, do what is due, save, and say how the run ended."""

import contextlib
import dataclasses
import datetime
import functools
import time
from collections.abc import Callable

import jax
import numpy as np

from bn_repro import (
    data,
    experiment,
    interrupt,
    layers,
    metrics,
    models,
    parallel,
    sum_check,
    train,
)
from bn_repro.errors import UserError
from bn_repro.resolve import (
    as_record,
    describe,
    resolve,
)
from bn_repro.run_folder import (
    checkpoint,
    lock,
    manifest,
    records,
    resume,
    tensorboard,
)


@dataclasses.dataclass
class Run:
    """A run under way: everything that the due events read.

    Attributes:
      config: the resolved configuration.
      recorded: the same as config.json holds it.
      parts: data, step, evaluations and probe.
      writer: of the run folder.
      summaries: for TensorBoard; None if it is off.
      state: the train state, replicated.
      sums: metric sums since the last training record, replicated.
      step: steps done.
      seconds: time that earlier starts of this run took.
      resumed_at: the step at which this start began.
      started: clock at this start.
      origin: the checkpoint of another run that it branched from; empty if none.
    """

    config: object
    recorded: dict
    parts: experiment.Experiment
    writer: records.RunWriter
    summaries: tensorboard.Summaries | None
    state: train.TrainState
    sums: dict
    step: int
    seconds: float
    resumed_at: int
    started: float
    origin: dict

    def elapsed(self) -> float:
        """Returns seconds since the run began, without the time it did not run."""
        return self.seconds + time.perf_counter() - self.started

    def record(self, split: str, statistics: str, values: dict) -> None:
        """Appends one line to metrics.jsonl."""
        place = {
            "step": self.step,
            "examples": self.step * self.config.batch_size,
            "seconds": round(self.elapsed(), 3),
        }
        if parallel.is_main():
            row = place | {"split": split, "statistics": statistics, **values}
            self.writer.append_metrics(row)
        if self.summaries:
            self.summaries.metrics(self.step, split, statistics, values)


def run(config, workdir, devices=None, restart=False, branch_from="") -> str:
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
    config, stated, mesh = prepare(config, devices)
    recorded = as_record(config, stated)
    with contextlib.ExitStack() as stack:
        opened = functools.partial(_open, stack, recorded, workdir)
        found = parallel.on_main(lambda: opened(restart, branch_from))
        found = found or opened(False, branch_from)
        for note in found.notes:
            _say(note)
        if found.ended:
            _say(f"{workdir} is {found.ended} already; nothing to do")
            return found.ended
        _say(describe(config, stated))
        writer = records.RunWriter(workdir)
        stack.enter_context(recording_failure(writer))
        parts = experiment.make(config, mesh)
        under_way = start_or_resume(config, stated, writer, parts, mesh, found)
        with parallel.Preemption() as preemption:
            status = _train(under_way, due_events(under_way), preemption)
            close(under_way, status)
    return status


def _open(stack, recorded, workdir, restart: bool, branch_from) -> resume.Found:
    """Returns what the run goes on from; on the main process holds its folder."""
    if not restart and (done := resume.ended(recorded, workdir)):
        return done
    if parallel.is_main():
        stack.enter_context(lock.hold(workdir))
    if restart:
        resume.clear(workdir)
    found = resume.look(recorded, workdir)
    if branch_from and not found.checkpoint and not found.ended:
        return resume.branch(recorded, branch_from)
    return found


@contextlib.contextmanager
def recording_failure(writer):
    """Leaves in status.json how the run failed, or that a signal ended it at once."""
    with interrupt.telling(lambda: record_failure(writer, KeyboardInterrupt())):
        try:
            yield
        except BaseException as error:
            record_failure(writer, error)
            raise


def prepare(config, devices=None):
    """Returns (resolved configuration, stated values, mesh), checked; see `run`."""
    sum_check.check_sums()
    config, stated = resolve(config)
    data.find(config.data)
    models.check_names(config)
    if config.model.dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    mesh = parallel.make_mesh(devices)
    per_device = parallel.check_batch(config.batch_size, mesh)
    layers.check_groups(config.bn.batch, per_device, mesh.size)
    experiment.refuse_single_values(config, mesh.size, config.batch_size)
    if 0 < config.data.limit < config.batch_size:
        raise UserError(
            f"batch_size is {config.batch_size}; it must be at most data.limit="
            f"{config.data.limit}"
        )
    return config, stated, mesh


def start_or_resume(config, stated, writer, parts, mesh, found) -> Run:
    """Returns the run as its newest checkpoint left it, or before its first step.

    Args:
      config: the resolved configuration.
      stated: the values that resolve translated, as stated.
      writer: of the run folder.
      parts: of the experiment.
      mesh: the devices.
      found: what it goes on from, see `resume.look`.
    """
    saved = _saved(config, parts, found)
    step = found.checkpoint.step if found.checkpoint else 0
    run = Run(
        config=config,
        recorded=as_record(config, stated),
        parts=parts,
        writer=writer,
        summaries=None,
        state=parallel.replicate(saved["state"], mesh),
        sums=parallel.replicate(saved["sums"], mesh),
        step=step,
        seconds=float(saved["seconds"]),
        resumed_at=step,
        started=time.perf_counter(),
        origin=found.origin,
    )
    if found.checkpoint:
        writer.refuse_other_classes(parts.class_names, parts.class_folders)
    if parallel.is_main():
        writer.cut(step if found.checkpoint else -1, found.forced)
        if step and (found.forced or not found.checkpoint.about.get("records")):
            save_checkpoint(run)  # names its run and its records from here on
        _record_start(run, found)
        run.summaries = _summaries(config, writer)
    return run


def _saved(config, parts, found) -> dict:
    """Returns the tree that `save_checkpoint` writes, as found or before any step."""
    state = train.create_state(config, parts.recipe, parts.image_shape)
    saved = {"state": state, "sums": train.zero_sums(config), "seconds": np.zeros(())}
    if not found.checkpoint:
        if checkpoint.not_finite(_arrays(state.variables())):
            state = state.replace(first_bad_step=state.step)
        return saved | {"state": state}
    step, arrays, _ = found.checkpoint
    restored = checkpoint.restore(saved, arrays, _fields(saved))
    rate = restored["state"].learning_rate
    if found.origin and found.origin["step"] == step:
        rate = np.asarray(state.learning_rate)
        restored |= {
            "state": restored["state"].replace(learning_rate=rate),
            "sums": saved["sums"],
        }
    elif rate != state.learning_rate:
        raise UserError(
            f"the checkpoint of step {step:,} is of a run with learning rate {rate}, "
            f"not {state.learning_rate}"
        )
    _say(f"Resuming from step {step:,}")
    return restored


def _arrays(tree) -> dict:
    leaves = checkpoint.named_leaves(jax.device_get(tree))
    return {name: np.asarray(leaf) for name, leaf in leaves}


def _record_start(run: Run, found) -> None:
    writer, step = run.writer, run.step
    writer.write_config(run.recorded)
    parts = run.parts
    writer.write_class_names(parts.class_names, parts.class_folders)
    described = manifest.describe(
        run.config,
        run.state.params,
        data_sha256=parts.digests,
        classes=len(parts.class_names),
    )
    before = writer.manifest.get("starts", []) if found.checkpoint else []
    names = ("started", "command", "git_revision", "git_dirty", "devices")
    start = {name: described[name] for name in names} | {"step": step}
    if found.changed:
        start["changed"] = found.changed
    described["starts"] = [*before, start]
    described["started"] = described["starts"][0].get("started", start["started"])
    if run.origin:
        described["branched_from"] = run.origin
    writer.write_manifest(described)
    writer.write_status("running", step)


def _fields(saved: dict) -> list[str]:
    """Returns the fields of what `save` keeps, but for the network's: see `restore`."""
    names = {field.name for field in dataclasses.fields(saved["state"])}
    fields = [f"state/{name}" for name in sorted(names - {"params", "opt_state"})]
    return [*fields, *(f"sums/{name}" for name in saved["sums"])]


def _summaries(config, writer) -> tensorboard.Summaries | None:
    if not (config.tensorboard and parallel.is_main()):
        return None
    summaries = tensorboard.Summaries(writer.path)
    summaries.configuration(config)
    return summaries


@dataclasses.dataclass
class Event:
    """Something to do after certain steps.

    Attributes:
      steps: sorted numbers of steps after which it is due.
      action: does it.
    """

    steps: np.ndarray
    action: Callable[[Run], None]

    def next_after(self, step: int) -> float:
        """Returns the first due step after `step`; infinity if there is none."""
        place = np.searchsorted(self.steps, step, side="right")
        return self.steps[place] if place < len(self.steps) else np.inf

    def is_due(self, step: int) -> bool:
        """Returns whether it is due after `step`."""
        return self.next_after(step - 1) == step


def due_events(run: Run) -> list[Event]:
    """Returns what is due when, in the order it is done; a checkpoint comes last."""
    config = run.config
    every = lambda n: regular_steps(n, config.steps)  # noqa: E731
    probes = probe_steps(config.probe, config.steps)
    return [
        Event(every(config.log_every)[1:], log),
        Event(probes, probe),
        Event(evaluation_steps(config.eval, config.steps), evaluate),
        Event(every(config.checkpoint.every)[1:], save),
    ]


def regular_steps(every: int, steps: int) -> np.ndarray:
    """Returns 0, every, 2 every, ... and the last step."""
    return np.union1d(np.arange(0, steps, every), [steps])


def evaluation_steps(evaluation, steps: int) -> np.ndarray:
    """Returns the steps to evaluate at: every so many, at first more often."""
    due = regular_steps(evaluation.every, steps)
    if evaluation.early_every:
        until = min(evaluation.early_until, steps)
        due = np.union1d(due, np.arange(0, until + 1, evaluation.early_every))
    return due


def probe_steps(probe, steps: int) -> np.ndarray:
    """Returns the steps to probe at: regular, listed, logarithmically spaced, or all.

    Logarithmic spacing is 0 and log_spaced - 1 steps from 1 to the last. With the list
    the last step is probed too.
    """
    due = regular_steps(probe.every, steps) if probe.every else np.array([], int)
    if probe.steps:
        due = np.union1d(due, [*(n for n in probe.steps if n < steps), steps])
    if probe.log_spaced:
        spaced = np.round(np.geomspace(1, steps, max(probe.log_spaced - 1, 1)))
        due = np.union1d(due, np.append(0, spaced.astype(int)))
    return due


def forced_records(config, step: int) -> list[str]:
    """Returns which kinds of records are due at a step only as the run ends there."""
    if step != config.steps:
        return []
    longer = 2 * step
    regular = {
        "train": regular_steps(config.log_every, longer),
        "eval": evaluation_steps(config.eval, longer),
        "probe": probe_steps(config.probe, longer),
    }
    return [kind for kind, steps in regular.items() if step not in steps]


def _train(run: Run, events: list[Event], preemption) -> str:
    if int(run.state.first_bad_step) >= 0:
        return "diverged"  # its initial values are not finite
    if run.step == 0:
        do_due(run, events)
    while run.step < run.config.steps:
        n = min(event.next_after(run.step) for event in events) - run.step
        n = int(min(n, run.config.steps_per_call))
        run.state, run.sums = run.parts.feed.advance(run.state, run.sums, run.step, n)
        run.step += n
        if (first_bad := int(run.state.first_bad_step)) >= 0:
            run.step = first_bad
            return "diverged"
        do_due(run, events)
        if preemption.requested():
            save(run)
            return "interrupted"
    return "finished"


def do_due(run: Run, events: list[Event]) -> None:
    """Does what is due after the run's step."""
    for event in events:
        if event.is_due(run.step):
            event.action(run)


def log(run: Run) -> None:
    """Records the training metrics since the last record and prints the progress."""
    sums = jax.device_get(run.sums)
    steps = int(sums["steps"])
    if steps == 0:
        return
    rate = run.state.learning_rate * run.parts.recipe.rate_factor(run.step - 1)
    values = metrics.divide(sums)
    values |= {"l2": float(sums["l2"]) / steps, "learning_rate": float(rate)}
    run.record("train", "batch", values)
    if "train" not in forced_records(run.config, run.step):
        run.sums = jax.tree.map(lambda x: x * 0, run.sums)
    per_step = (time.perf_counter() - run.started) / max(run.step - run.resumed_at, 1)
    seconds = round(per_step * (run.config.steps - run.step))
    left = datetime.timedelta(seconds=seconds)
    _say(
        f"step {run.step:>7,} of {run.config.steps:,}  rate {float(rate):.4g}  "
        f"loss {values['loss']:.4f}  accuracy {values['accuracy']:.4f}  {left} left"
    )


def evaluate(run: Run) -> None:
    """Records loss and accuracy on the evaluation split for each kind of statistics.

    And, of the last evaluations, which examples are right, to compare runs pairwise.
    """
    hits = {}
    for (split, statistics), evaluation in run.parts.evaluations.items():
        variables = run.state.variables()
        if statistics == "population":
            variables |= {"batch_stats": population_statistics(run)}
        values, hits[f"{split}/{statistics}"] = evaluation(variables)
        run.record(split, statistics, values)
    if parallel.is_main():
        run.writer.append_hits(run.step, hits)


def population_statistics(run: Run) -> dict:
    """Returns Algorithm 2's statistics of the network as it is now, replicated."""
    parts, config = run.parts, run.config
    n = config.eval.population_batches_during
    found = parts.population(
        run.state.variables(), parts.feed, config.seed, run.step, (n,)
    )
    return parallel.replicate(found[n], parts.feed.mesh)


def probe(run: Run) -> None:
    """Records the percentiles of the nonlinearities' inputs, and more (Fig. 1b, 1c)."""
    if parallel.is_main():
        rate = run.state.learning_rate * run.parts.recipe.rate_factor(run.step)
        measured = run.parts.probe(parallel.local(run.state.variables()), float(rate))
        run.writer.append_activations(run.step, **measured)
        if run.summaries:
            run.summaries.activations(run.step, measured)


def save(run: Run) -> None:
    """Saves everything that the run needs to go on from here, bit for bit."""
    if parallel.is_main():
        save_checkpoint(run)
        run.writer.write_status("running", run.step)


def save_checkpoint(run: Run) -> None:
    """Writes the checkpoint, which knows its run, its step and the records until it."""
    run.writer.sync()
    path, step = run.writer.path, run.step
    tree = {"state": run.state, "sums": run.sums, "seconds": np.asarray(run.elapsed())}
    about = {"records": records.seen(path, step)}
    if forced := forced_records(run.config, step):
        about |= {
            "forced": forced,
            "records_unforced": records.seen(path, step, forced),
        }
    if run.origin:
        about["branched_from"] = run.origin
    keep = run.config.checkpoint.keep
    checkpoint.save(path, step, jax.device_get(tree), keep, run.recorded, **about)


def close(run: Run, status: str) -> None:
    """Writes the last records and says where they are."""
    if status == "diverged":
        log(run)
    fields = {"first_bad_step": run.step} if status == "diverged" else {}
    done = (run.step - run.resumed_at) * run.config.batch_size
    spent = time.perf_counter() - run.started
    if parallel.is_main():
        if overflown := run.writer.not_finite():
            fields["not_finite"] = overflown
        if status in records.ENDED:
            _save_weights(run)
        run.writer.update_manifest(
            ended=manifest.now(), images_per_second=round(done / spent, 1)
        )
        run.writer.write_status(status, run.step, **fields)
        if run.summaries:
            run.summaries.close()
        for what, first in overflown.items():
            _say(f"{what} is not finite, first at step {first:,}")
    _say(f"{status} at step {run.step:,}; the records are in {run.writer.path}")


def _save_weights(run: Run) -> None:
    variables = jax.device_get(run.state.variables())
    if checkpoint.not_finite(_arrays(variables)):  # as drawn: no step leaves such
        return
    checkpoint.save_weights(run.writer.path, variables, run.step, run.recorded)


def record_failure(writer, error: BaseException) -> None:
    """Leaves the reason in status.json, if the disk still takes it."""
    status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
    if not parallel.is_main():
        return
    try:
        before = records.status(writer.path)
        new = records.config(writer.path) is None
        if new or before["status"] in records.ENDED:
            return
        message = str(error) or type(error).__name__
        writer.write_status(status, before["step"], message=message)
    except UserError:
        pass  # the error itself is about to be raised, and says more


def _say(line: str) -> None:
    if line and parallel.is_main():
        print(line, flush=True)
