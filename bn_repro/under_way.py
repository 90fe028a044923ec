"""A run under way: what it does after a step, how it is saved, and how it ends."""

import contextlib
import dataclasses
import time
from collections.abc import Callable

import jax
import numpy as np

from bn_repro import (
    due,
    experiment,
    interrupt,
    metrics,
    pace,
    parallel,
    programs,
    train,
)
from bn_repro.errors import UserError
from bn_repro.parallel import say
from bn_repro.run_folder import checkpoint, manifest, records, resume, seen, tensorboard
from bn_repro.run_folder.writer import RunWriter


@dataclasses.dataclass
class Training:
    """A run under way: everything that the due events read."""

    config: object  # the resolved configuration
    recorded: dict  # the same as config.json holds it
    parts: experiment.Experiment  # data, step, evaluations and probe
    writer: RunWriter  # of the run folder
    summaries: tensorboard.Summaries | None  # for TensorBoard; None if it is off
    state: train.TrainState  # the train state, replicated
    sums: dict  # metric sums since the last training record, replicated
    step: int  # steps done
    seconds: float  # time that earlier starts of this run took
    resumed_at: int  # the step at which this start began
    started: float  # clock at this start
    made: programs.Made  # programs made in this process until this start
    origin: dict  # the checkpoint of another run that it branched from; empty if none
    pace: pace.Pace  # of this start, for the time left

    def elapsed(self) -> float:
        """Returns seconds since the run began, without the time it did not run."""
        return self.seconds + time.perf_counter() - self.started

    def record(self, split: str, statistics: str, values: dict) -> None:
        """Appends one line to metrics.jsonl."""
        size = self.config.batch_size
        place = {
            "step": self.step,
            "examples": resume.examples_until(self.step, size, self.origin),
            "seconds": round(self.elapsed(), 3),
        }
        if parallel.is_main():
            row = place | {"split": split, "statistics": statistics, **values}
            self.writer.append_metrics(row)
        if self.summaries:
            self.summaries.metrics(self.step, split, statistics, values)


def due_events(run: Training) -> list[due.Event]:
    """Returns what is due when, in the order it is done; a checkpoint comes last."""
    config = run.config
    every = lambda n: due.regular_steps(n, config.steps)  # noqa: E731
    probes = due.probe_steps(config.probe, config.steps)
    return [
        due.Event(every(config.log_every)[1:], log),
        due.Event(probes, probe),
        due.Event(due.evaluation_steps(config.eval, config.steps), evaluate),
        due.Event(every(config.checkpoint.every)[1:], save),
    ]


def do_due(run: Training, events: list[due.Event]) -> None:
    """Does what is due after the run's step; raises what a checkpoint before raised."""
    run.writer.background.look()
    for event in events:
        if event.is_due(run.step):
            event.action(run)


def log(run: Training) -> None:
    """Records the training metrics since the last record and prints the progress."""
    sums = jax.device_get(run.sums)
    steps = int(sums["steps"])
    if steps == 0:
        return
    rate = run.state.learning_rate * run.parts.recipe.rate_factor(run.step - 1)
    values = metrics.divide(sums)
    values |= {"l2": float(sums["l2"]) / steps, "learning_rate": float(rate)}
    run.record("train", "batch", values)
    if "train" not in due.forced_records(run.config, run.step):
        run.sums = jax.tree.map(lambda x: x * 0, run.sums)
    say(
        f"step {run.step:>7,} of {run.config.steps:,}  rate {short(rate)}  training "
        f"loss {short(values['loss'])}, accuracy {values['accuracy']:.4f}  "
        f"{run.pace.left(run.step, run.config.steps)}"
    )


def short(value) -> str:
    """Returns a number of any size in a few letters: 0.1234, 2e31, nan."""
    return f"{float(value):.4g}".replace("e+", "e")


def evaluate(run: Training) -> None:
    """Records loss and accuracy on the evaluation split for each kind of statistics.

    And, of the last evaluations, which examples are right, to compare runs pairwise.
    """
    hits, told = {}, {}
    with pace.first([run.pace], "evaluation", say):
        for (split, statistics), evaluation in run.parts.evaluations.items():
            variables = run.state.variables()
            if statistics == "population":
                variables |= {"batch_stats": population_statistics(run)}
            values, hits[f"{split}/{statistics}"] = evaluation(variables)
            run.record(split, statistics, values)
            text = f"{values['accuracy']:.4f} ({statistics})"
            told.setdefault(split, []).append(text)
    if parallel.is_main():
        run.writer.append_hits(run.step, hits)
    for split, texts in told.items():
        say(f"evaluated at step {run.step:,}: {split} accuracy {', '.join(texts)}")


def population_statistics(run: Training) -> dict:
    """Returns Algorithm 2's statistics of the network as it is now, replicated."""
    parts, config = run.parts, run.config
    n = config.eval.population_batches_during
    now = run.state.variables(), parts.feed, config.seed, run.step
    return parallel.replicate(parts.population(*now, n), parts.feed.mesh)


def probe(run: Training) -> None:
    """Records the percentiles of the nonlinearities' inputs, and more (Fig. 1b, 1c)."""
    if parallel.is_main():
        rate = run.state.learning_rate * run.parts.recipe.rate_factor(run.step)
        variables = parallel.local(run.state.variables())
        with pace.first([run.pace], "probe", say):
            measured = run.parts.probe(variables, float(rate))
        run.writer.append_activations(run.step, **measured)
        if run.summaries:
            run.summaries.activations(run.step, measured)


def save(run: Training) -> None:
    """Saves everything that the run needs to go on from here, bit for bit."""
    if parallel.is_main():
        save_checkpoint(run, lambda step: run.writer.write_status("running", step))


def save_checkpoint(run: Training, then: Callable = lambda step: None) -> None:
    """Begins to write the checkpoint, and goes on: `RunWriter.background` writes it.

    `then` is called with the step once it is written.
    """
    path, step = run.writer.path, run.step
    tree = {"state": run.state, "sums": run.sums, "seconds": np.asarray(run.elapsed())}
    # Copied: the next step writes over what jax.device_get only looks at.
    tree = jax.tree.map(np.array, jax.device_get(tree))
    about = {"records": seen.of(path, step)}
    if forced := due.forced_records(run.config, step):
        about |= {"forced": forced, "records_unforced": seen.of(path, step, forced)}
    if run.origin:
        about["branched_from"] = run.origin
    keep = run.config.checkpoint.keep

    def write() -> None:
        run.writer.sync()  # of the lines that `about` names
        checkpoint.save(path, step, tree, keep, run.recorded, **about)
        then(step)

    run.writer.background.start(write)


def close(run: Training, status: str) -> None:
    """Writes the last records and says where they are."""
    run.writer.background.wait()
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
        speed = {"images_per_second": round(done / spent, 1)} if done else {}
        run.writer.update_manifest(
            ended=manifest.now(),
            compiled=programs.so_far().since(run.made),
            **speed,
        )
        run.writer.write_status(status, run.step, **fields)
        if run.summaries:
            run.summaries.close()
        for what, first in overflown.items():
            say(f"{what} is not finite, first at step {first:,}")
    again = f": {interrupt.same_command()} resumes" * (status == "interrupted")
    say(f"{status} at step {run.step:,}{again}; the records are in {run.writer.path}")


def _save_weights(run: Training) -> None:
    variables = jax.device_get(run.state.variables())
    arrays = checkpoint.arrays_of(variables)
    if checkpoint.not_finite(arrays):  # as drawn: no step leaves such
        return
    checkpoint.save_weights(run.writer.path, variables, run.step, run.recorded)


def record_failure(writer, error: BaseException) -> None:
    """Leaves the reason in status.json, if the disk still takes it."""
    status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
    if not parallel.is_main():
        return
    with contextlib.suppress(Exception):  # the error itself says more
        writer.background.wait()
    try:
        before = records.status(writer.path)
        new = records.config(writer.path) is None
        if new or before["status"] in records.ENDED:
            return
        message = str(error) or type(error).__name__
        writer.write_status(status, before["step"], message=message)
    except UserError:
        pass  # the error itself is about to be raised, and says more
