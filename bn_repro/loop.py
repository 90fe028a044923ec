"""The training loop: run steps, do what is due, save, and say how the run ended."""

import dataclasses
import datetime
import time
from collections.abc import Callable

import jax
import numpy as np

from bn_repro import experiment, layers, metrics, parallel, sum_check, train
from bn_repro.errors import UserError
from bn_repro.resolve import (
    as_record,
    describe,
    refuse_another_configuration,
    resolve,
)
from bn_repro.run_folder import checkpoint, manifest, records, tensorboard


@dataclasses.dataclass
class Run:
    """A run under way: everything that the due events read.

    Attributes:
      config: the resolved configuration.
      parts: data, step, evaluations and probe.
      writer: of the run folder.
      summaries: for TensorBoard; None if it is off.
      state: the train state, replicated.
      sums: metric sums since the last training record, replicated.
      step: steps done.
      seconds: time that earlier starts of this run took.
      resumed_at: the step at which this start began.
      started: clock at this start.
    """

    config: object
    parts: experiment.Experiment
    writer: records.RunWriter
    summaries: tensorboard.Summaries | None
    state: train.TrainState
    sums: dict
    step: int
    seconds: float
    resumed_at: int
    started: float

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


def run(config, workdir, devices=None) -> str:
    """Trains what a configuration describes, or resumes it, and returns how it ended.

    Args:
      config: a ConfigDict as `get_config` returns it, with all overrides.
      workdir: the run folder. One that holds an unfinished run of the same
        configuration is resumed, bit for bit; a finished one is left as it is.
      devices: devices to train on; default all.

    Returns:
      "finished", "diverged" or "interrupted" (after SIGTERM; saved, to be resumed).

    Raises:
      UserError: a bad value, a folder of another configuration, damaged or missing
        data, a disk that refuses to be written.
    """
    config, stated, mesh = prepare(config, devices)
    refuse_another_configuration(config, stated, workdir)
    ended = records.status_of(workdir)
    if ended in records.ENDED:
        _say(f"{workdir} is {ended} already; nothing to do")
        return ended
    _say(describe(config, stated))
    writer = records.RunWriter(workdir)
    parts = experiment.make(config, mesh)
    try:
        under_way = start_or_resume(config, stated, writer, parts, mesh)
        with parallel.Preemption() as preemption:
            status = _train(under_way, due_events(under_way), preemption)
            close(under_way, status)
    except BaseException as error:
        record_failure(writer, error)
        raise
    return status


def prepare(config, devices=None):
    """Returns (resolved configuration, stated values, mesh), checked; see `run`."""
    sum_check.check_sums()
    config, stated = resolve(config)
    if config.model.dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    mesh = parallel.make_mesh(devices)
    per_device = parallel.check_batch(config.batch_size, mesh)
    layers.check_groups(config.bn.batch, per_device, mesh.size)
    return config, stated, mesh


def start_or_resume(config, stated, writer, parts, mesh) -> Run:
    """Returns the run as its newest checkpoint left it, or before its first step.

    Args:
      config: the resolved configuration.
      stated: the values that resolve translated, as stated.
      writer: of the run folder.
      parts: of the experiment.
      mesh: the devices.
    """
    state = train.create_state(config, parts.recipe, parts.image_shape)
    saved = {"state": state, "sums": train.zero_sums(config), "seconds": np.zeros(())}
    found = checkpoint.latest(writer.path)
    step = 0
    if found:
        step, arrays = found
        saved = checkpoint.restore(saved, arrays, _fields(saved))
        _say(f"Resuming from step {step:,}")
    if parallel.is_main():
        writer.cut(step if found else -1)
        writer.write_config(as_record(config, stated))
        writer.write_class_names(parts.class_names, parts.class_folders)
        described = manifest.describe(
            config,
            state.params,
            data_sha256=parts.digests,
            classes=len(parts.class_names),
        )
        before = writer.manifest.get("starts", []) if found else []
        names = ("started", "command", "git_revision", "git_dirty", "devices")
        start = {name: described[name] for name in names}
        described["starts"] = [*before, start | {"step": step}]
        described["started"] = described["starts"][0]["started"]
        writer.write_manifest(described)
        writer.write_status("running", step)
    return Run(
        config=config,
        parts=parts,
        writer=writer,
        summaries=_summaries(config, writer),
        state=parallel.replicate(saved["state"], mesh),
        sums=parallel.replicate(saved["sums"], mesh),
        step=step,
        seconds=float(saved["seconds"]),
        resumed_at=step,
        started=time.perf_counter(),
    )


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


def _train(run: Run, events: list[Event], preemption) -> str:
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
        measured = run.parts.probe(parallel.local(run.state.variables()))
        run.writer.append_activations(run.step, **measured)
        if run.summaries:
            run.summaries.activations(run.step, measured)


def save(run: Run) -> None:
    """Saves everything that the run needs to go on from here, bit for bit."""
    if parallel.is_main():
        run.writer.sync()
        seconds = np.asarray(run.elapsed())
        tree = {"state": run.state, "sums": run.sums, "seconds": seconds}
        keep = run.config.checkpoint.keep
        checkpoint.save(run.writer.path, run.step, jax.device_get(tree), keep)
        run.writer.write_status("running", run.step)


def close(run: Run, status: str) -> None:
    """Writes the last records and says where they are."""
    if status == "diverged":
        log(run)
    fields = {"first_bad_step": run.step} if status == "diverged" else {}
    done = (run.step - run.resumed_at) * run.config.batch_size
    spent = time.perf_counter() - run.started
    if parallel.is_main():
        if status in records.ENDED:
            variables = jax.device_get(run.state.variables())
            checkpoint.save_weights(run.writer.path, variables)
        run.writer.update_manifest(
            ended=manifest.now(), images_per_second=round(done / spent, 1)
        )
        run.writer.write_status(status, run.step, **fields)
        if run.summaries:
            run.summaries.close()
    _say(f"{status} at step {run.step:,}; the records are in {run.writer.path}")


def record_failure(writer, error: BaseException) -> None:
    """Leaves the reason in status.json, if the disk still takes it."""
    status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
    if not parallel.is_main():
        return
    try:
        step = records.read_run(writer.path).status["step"]
        writer.write_status(status, step, message=str(error) or type(error).__name__)
    except UserError:
        pass  # the error itself is about to be raised, and says more


def _say(line: str) -> None:
    if line and parallel.is_main():
        print(line, flush=True)
