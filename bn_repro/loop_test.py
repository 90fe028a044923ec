"""A run leaves what it should, resumes bit for bit, and ends in plain words."""

import contextlib
import io
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bn_repro import (
    cli,
    due,
    experiment,
    loop,
    parallel,
    programs,
    start,
    under_way,
)
from bn_repro.errors import UserError
from bn_repro.inference import members
from bn_repro.run_folder import background, checkpoint, records
from configs import common, mnist

SHORT = {
    "steps": 60,
    "steps_per_call": 8,
    "log_every": 15,
    "model.hidden": (20, 15),
    "data.limit": 600,
    "eval.every": 20,
    "eval.batch_size": 250,
    "eval.population_batches_during": 3,
    "probe.every": 30,
    "probe.examples": 120,
    "checkpoint.every": 25,
    "optimizer.learning_rate": 0.1,
    "optimizer.momentum": 0.9,
}


def short(name="bn", **overrides):
    config = mnist.get_config(name)
    config.update_from_flattened_dict(SHORT | overrides)
    return config


def run_here(config, workdir):
    return loop.run(config, workdir, jax.devices()[:1])


def content(workdir):
    """Returns everything a run leaves that must not depend on interruptions."""
    run = records.read_run(workdir)
    metrics = [{k: v for k, v in m.items() if k != "seconds"} for m in run.metrics]
    step, arrays, _ = checkpoint.latest(workdir, run.config)
    del arrays["seconds"]
    activations = dict(run.activations)
    layers = activations.pop("layers")
    return metrics, step, layers, run.status, arrays, activations, run.hits


def assert_same(a, b):
    assert a[:4] == b[:4]
    for ours, theirs in zip(a[4:], b[4:], strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours:
            np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


@contextlib.contextmanager
def counting_programs():
    """Yields {step: programs made once what is due after it is done} of a run.

    Between that, nothing may go to the devices or come from them unasked.
    """
    made, do_due, train = {}, under_way.do_due, loop._train

    def counted(run, events):
        with jax.transfer_guard("allow"):
            do_due(run, events)
        made[run.step] = programs.so_far().programs

    def guarded(*args):
        with jax.transfer_guard("disallow"):
            return train(*args)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(under_way, "do_due", counted)
        patched.setattr(loop, "_train", guarded)
        yield made


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """Returns the folder of an uninterrupted run, and `counting_programs` of it."""
    workdir = tmp_path_factory.mktemp("whole")
    printed = io.StringIO()
    jax.clear_caches()  # other tests may have made the same programs
    with counting_programs() as made, contextlib.redirect_stdout(printed):
        assert run_here(short(), workdir) == "finished"
    (workdir.parent / "printed.txt").write_text(printed.getvalue())
    return workdir, made


@pytest.fixture(scope="module")
def whole(counted):
    """Returns the folder of an uninterrupted run."""
    return counted[0]


def test_no_program_is_made_after_its_first_call(counted, tmp_path):
    first = 30  # by then everything was due
    assert {n for step, n in counted[1].items() if step >= first} == {counted[1][first]}
    compiled = records.read_run(counted[0]).manifest["compiled"]
    assert compiled["programs"] > 10 and compiled["seconds"] > 0
    with counting_programs() as made:
        assert run_here(short(seed=1), tmp_path) == "finished"
    assert len({*made.values()}) == 1
    assert records.read_run(tmp_path).manifest["compiled"]["programs"] == 0


def test_what_a_run_prints_is_labelled_and_says_how_accurate_it_is(whole):
    begins, first, *lines, last = (
        (whole.parent / "printed.txt").read_text().splitlines()
    )
    where = f"the records go to {whole}"
    assert begins == f"mlp on mnist, 60 steps of 60 on 1 cpu device; {where}"
    accuracy = r"0\.\d{4}"
    held_out = f"test accuracy {accuracy} .ema., {accuracy} .batch., {accuracy} .popul"
    for step, line in ((0, first), (20, lines[1]), (60, lines[-1])):
        assert re.match(f"evaluated at step {step}: {held_out}", line), line
    training = rf"training loss [0-9.]+, accuracy {accuracy}  "
    assert re.match(rf"step +15 of 60  rate 0.1  {training}\w", lines[0])
    assert re.match(rf"step +60 of 60  rate 0.1  {training}0:00:00 left", lines[-2])
    assert last == f"finished at step 60; the records are in {whole}"


def test_numbers_of_any_size_are_short():
    numbers = {0.12344: "0.1234", 2e31: "2e31", 1e-5: "1e-05", np.nan: "nan"}
    assert {n: under_way.short(n) for n in numbers} == numbers


@pytest.mark.accelerator
def test_records_are_complete(whole):
    run = records.read_run(whole)
    assert run.status == {"status": "finished", "step": 60}
    assert run.series("train", "batch", "loss")[0].tolist() == [15, 30, 45, 60]
    for statistics in ("ema", "batch"):
        steps, accuracy = run.series("test", statistics, "accuracy")
        assert steps.tolist() == [0, 20, 40, 60]
        assert accuracy[-1] > accuracy[0]
    assert {m["count"] for m in run.metrics if m["split"] == "test"} == {600}
    assert {m["count"] for m in run.metrics if m["split"] == "train"} == {15 * 60}
    assert run.activations["steps"].tolist() == [0, 30, 60]
    assert run.activations["layers"] == ["hidden_1", "hidden_2"]
    assert run.activations["hidden_1"].shape == (3, 3, 20)
    assert run.config["data"]["seed"] == 0
    assert run.manifest["matmul_precision"] == "default"
    assert run.manifest["devices"][0].startswith(jax.default_backend())
    assert run.config["stated"] == {"data.seed": -1}
    assert run.class_names == list("0123456789")
    expected = 784 * 20 + 2 * 20 + 20 * 15 + 2 * 15 + 15 * 10 + 10
    assert run.manifest["parameter_count"] == expected


def test_the_weights_at_the_end_are_kept(whole):
    weights = checkpoint.read(whole / checkpoint.WEIGHTS)
    _, arrays, _ = checkpoint.latest(whole, records.read_run(whole).config)
    kept = {f"state/{name}": value for name, value in weights.items()}
    names = ("state/params/", "state/batch_stats/", "state/ema_count/")
    assert kept.keys() == {name for name in arrays if name.startswith(names)}
    for name, value in kept.items():
        np.testing.assert_array_equal(value, arrays[name], err_msg=name)


@pytest.mark.parametrize("steps_per_call", [1, 100])
def test_losses_do_not_depend_on_the_steps_in_a_dispatch(
    whole, tmp_path, steps_per_call
):
    assert run_here(short(steps_per_call=steps_per_call), tmp_path) == "finished"
    assert_same(content(tmp_path), content(whole))


def test_groups_that_do_not_fit_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UserError, match="bn.batch=7 does not divide the 60 examples"):
        run_here(short(**{"bn.batch": "7"}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_wrong_number_of_classes_is_refused(tmp_path):
    with pytest.raises(UserError, match="data.classes is 5, but mnist has 10"):
        run_here(short(**{"data.classes": 5}), tmp_path)


def test_a_finished_run_is_left_alone(whole, capsys):
    before = (whole / records.METRICS).stat().st_mtime_ns
    assert run_here(short(), whole) == "finished"
    assert "nothing to do" in capsys.readouterr().out
    assert (whole / records.METRICS).stat().st_mtime_ns == before


def test_the_home_folder_is_what_a_tilde_means(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    shorter = {"steps": 2, "probe.every": 0, "eval.population_batches_during": 0}
    assert run_here(short("plain", **shorter), "~/run") == "finished"
    assert not (tmp_path / "~").exists()
    assert records.read_run("~/run").path == tmp_path / "run"
    assert [run.name for run in records.find_runs("~")] == ["run"]
    assert members.load("~/run").step == 2


def test_float64_ends_where_a_float32_run_begins():
    for dtype in ("float64", "float32"):
        start.prepare(short(**{"model.dtype": dtype}), jax.devices()[:1])
        assert jnp.zeros((), np.float64).dtype == dtype


class StopAt:
    """Stands in for the signal: asks to stop after the chunk that reaches a step."""

    def __init__(self, chunks):
        self.chunks = chunks

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def requested(self):
        self.chunks -= 1
        return self.chunks == 0


@pytest.mark.accelerator
@pytest.mark.parametrize("chunks", [1, 5, 9])
def test_an_interrupted_run_resumes_bit_for_bit(whole, tmp_path, monkeypatch, chunks):
    with monkeypatch.context() as patched:
        patched.setattr(parallel, "Preemption", lambda: StopAt(chunks))
        assert run_here(short(), tmp_path) == "interrupted"
    assert records.read_run(tmp_path).status["status"] == "interrupted"
    assert run_here(short(), tmp_path) == "finished"
    assert_same(content(tmp_path), content(whole))


def test_lines_after_the_checkpoint_are_cut_on_a_resume(whole, tmp_path, monkeypatch):
    """A run killed between a checkpoint and the next writes those lines again."""

    class Killed(Exception):
        pass

    def kill_at_40(run):
        if run.step == 40:
            with open(run.writer.path / records.METRICS, "a") as file:
                file.write('{"step": 40, "los')  # a torn last line
            raise Killed

    evaluate = under_way.evaluate
    with monkeypatch.context() as patched:
        patched.setattr(
            under_way, "evaluate", lambda run: (evaluate(run), kill_at_40(run))
        )
        with pytest.raises(Killed):
            run_here(short(), tmp_path)
    assert run_here(short(), tmp_path) == "finished"
    assert_same(content(tmp_path), content(whole))


def test_a_diverged_run_is_a_result(tmp_path):
    config = short("plain", **{"model.nonlinearity": "relu"})
    config.optimizer.learning_rate = 1e30
    assert run_here(config, tmp_path) == "diverged"
    status = records.read_run(tmp_path).status
    assert status["status"] == "diverged"
    assert status["step"] == status["first_bad_step"] < 10
    assert run_here(config, tmp_path) == "diverged"  # and stays one


def test_a_failed_run_says_why_in_its_status(tmp_path, monkeypatch):
    def fail(run):
        raise UserError("the disk is full")

    monkeypatch.setattr(under_way, "save", fail)
    with pytest.raises(UserError, match="disk is full"):
        run_here(short(), tmp_path)
    status = records.read_run(tmp_path).status
    assert status["status"] == "failed" and status["message"] == "the disk is full"


def test_due_steps():
    assert due.regular_steps(25, 60).tolist() == [0, 25, 50, 60]
    probe = short().probe
    probe.log_spaced, probe.every = 12, 0
    assert due.probe_steps(probe, 3_000).tolist()[:4] == [0, 1, 2, 5]
    assert due.probe_steps(probe, 3_000)[-1] == 3_000
    assert len(due.probe_steps(probe, 3_000)) == 12
    probe.log_spaced = 0
    assert due.probe_steps(probe, 3_000).tolist() == []
    probe.steps = (0, 10, 2_000, 9_000)
    assert due.probe_steps(probe, 3_000).tolist() == [0, 10, 2_000, 3_000]


def test_evaluations_are_closer_together_at_first():
    evaluation = short().eval
    evaluation.every, evaluation.early_every, evaluation.early_until = 50, 20, 60
    found = due.evaluation_steps(evaluation, 120).tolist()
    assert found == [0, 20, 40, 50, 60, 100, 120]
    assert due.evaluation_steps(evaluation, 45).tolist() == [0, 20, 40, 45]


def test_the_last_hits_are_kept_and_count_what_is_recorded(whole):
    run = records.read_run(whole)
    assert run.hits["steps"].tolist() == [0, 20, 40, 60]
    for statistics in ("ema", "batch", "population"):
        shares = run.hits[f"test/{statistics}"].mean(1)
        np.testing.assert_array_equal(
            shares, run.series("test", statistics, "accuracy")[1]
        )


def test_algorithm_2_while_training_is_that_of_the_trained_network(whole):
    """Of the unbiased variance, whatever bn.biased says of the moving averages."""
    config, _, mesh = start.prepare(short(**{"bn.biased": True}), jax.devices()[:1])
    member = members.load(whole, common.get_config())
    parts = experiment.make(config, mesh)
    variables = parallel.replicate(member.variables, mesh)
    found = parts.population(variables, parts.feed, config.seed, member.step, 3)
    values, _ = parts.evaluations["test", "ema"](
        member.variables | {"batch_stats": found}
    )
    recorded = records.read_run(whole).series("test", "population", "loss")[1]
    assert values["loss"] == recorded[-1]


@pytest.mark.slow
def test_two_processes_train_as_one_does(whole, tmp_path):
    run_together([*command(tmp_path, **SHORT), "--config.steps_per_call=8"])
    ours, theirs = content(tmp_path), content(whole)
    assert len(ours[0]) == len(theirs[0])
    for a, b in zip(ours[0], theirs[0], strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-3)
        assert (a["step"], a["count"]) == (b["step"], b["count"])
    for name, array in theirs[4].items():
        np.testing.assert_allclose(ours[4][name], array, rtol=1e-2, atol=1e-4)


def run_together(command):
    """Runs a script in two processes of one job on this machine."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    command = [*command, f"--coordinator={address}", "--processes=2"]
    both = [
        subprocess.Popen([*command, f"--process_index={i}"], stderr=subprocess.PIPE)
        for i in (0, 1)
    ]
    for process in both:
        _, errors = process.communicate(timeout=1_500)
        assert process.returncode == 0, errors.decode()[-2000:]


def command(workdir, **overrides):
    values = SHORT | {"steps": 3_000, "log_every": 50, "eval.every": 100} | overrides
    flags = [f"--config.{key}={value}" for key, value in values.items()]
    script = str(cli.ROOT / "scripts" / "train.py")
    config = "--config=configs/mnist.py:bn"
    return [sys.executable, script, config, f"--workdir={workdir}", *flags]


def begin(workdir):
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command(workdir), stdout=subprocess.PIPE, text=True, env=environment
    )
    for line in process.stdout:
        if line.startswith("step"):
            return process
    pytest.fail("the run printed no progress")


@pytest.mark.slow
def test_killed_at_random_moments_it_resumes_bit_for_bit(tmp_path):
    subprocess.run(command(tmp_path / "whole"), check=True)
    draw = random.Random(0)
    for _ in range(6):
        process = begin(tmp_path / "killed")
        time.sleep(draw.uniform(0, 0.4))
        process.kill()
        process.wait()
    assert records.read_run(tmp_path / "killed").status["status"] == "running"
    subprocess.run(command(tmp_path / "killed"), check=True)
    assert_same(content(tmp_path / "killed"), content(tmp_path / "whole"))


def test_sigterm_saves_and_exits_within_one_chunk(tmp_path):
    process = begin(tmp_path)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0
    status = json.loads((tmp_path / records.STATUS).read_text())
    assert status["status"] == "interrupted"
    assert checkpoint.steps(tmp_path)[0] == status["step"] < 3_000


def test_steps_go_on_while_a_checkpoint_is_written(tmp_path, monkeypatch):
    write, seen, written = checkpoint.save, [], threading.Event()

    def slow(workdir, step, *args, **kwargs):
        if step == 25:
            assert written.wait(20)
        seen.append(step)
        return write(workdir, step, *args, **kwargs)

    class Watch(StopAt):
        def requested(self):
            if len(records.read_metrics(tmp_path / records.METRICS)) > rows:
                written.set()  # a record of step 30 while step 25's is not written
            return super().requested()

    rows = 1 + 3 * 2 + 1  # those until step 25
    monkeypatch.setattr(checkpoint, "save", slow)
    monkeypatch.setattr(parallel, "Preemption", lambda: Watch(1_000))
    assert run_here(short(), tmp_path) == "finished"
    assert seen == [25, 50, 60]


@pytest.mark.parametrize("step", [25, 60])
def test_a_checkpoint_that_cannot_be_written_ends_the_run(tmp_path, monkeypatch, step):
    """At the next due event, or, the last one, at the end; it is recorded."""
    write = checkpoint.save

    def fail(workdir, at, *args, **kwargs):
        if at == step:
            raise UserError("cannot write it: No space left on device")
        return write(workdir, at, *args, **kwargs)

    monkeypatch.setattr(checkpoint, "save", fail)
    with pytest.raises(UserError, match="No space left"):
        run_here(short(), tmp_path)
    status = records.status(tmp_path)
    assert status["status"] == "failed" and "No space left" in status["message"]
    assert checkpoint.steps(tmp_path) == ([] if step == 25 else [50, 25])
    monkeypatch.undo()
    assert run_here(short(), tmp_path) == "finished"


def test_a_run_killed_before_its_first_checkpoint_is_whole_begins_anew(
    whole, tmp_path, monkeypatch
):
    """Though its records are beyond it: they went on while it was written."""

    class Killed(BaseException):
        pass

    def cut(*args, **kwargs):
        raise Killed

    monkeypatch.setattr(checkpoint, "save", cut)
    monkeypatch.setattr(background.Background, "look", lambda self: None)
    monkeypatch.setattr(under_way, "record_failure", lambda *_: None)
    with pytest.raises(Killed):
        run_here(short(**{"checkpoint.every": 50}), tmp_path)
    assert records.read_metrics(tmp_path / records.METRICS)[-1]["step"] == 60
    monkeypatch.undo()
    config = short(**{"checkpoint.every": 50})
    assert run_here(config, tmp_path) == "finished"
    assert content(tmp_path)[0] == content(whole)[0]
