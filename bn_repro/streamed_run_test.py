"""Runs on streamed pictures resume bit for bit, and two processes do what one does."""

import subprocess
import sys

import jax
import numpy as np
import pytest

from bn_repro import cli, data, experiment, loop, parallel
from bn_repro.data.conftest import make_picture, write_jpeg
from bn_repro.errors import UserError
from bn_repro.loop_test import (
    StopAt,
    assert_same,
    content,
    counting_programs,
    run_together,
)
from bn_repro.resolve import resolve
from bn_repro.run_folder import checkpoint, records
from configs import tiny_imagenet

SHORT = {
    "steps": 12,
    "steps_per_call": 2,
    "log_every": 3,
    "batch_size": 8,
    "reference_batch": 8,
    "bn.batch": "global",
    "model.name": "mlp",  # on pictures: what is streamed is the same, and it compiles
    "model.hidden": (12, 9),
    "model.dropout": 0.2,
    "data.classes": 3,
    "data.image_size": 32,
    "data.eval_resize": 36,
    "data.shuffle": "shard",
    "data.shard_size": 5,
    "eval.every": 6,
    "eval.batch_size": 5,
    "eval.early_every": 0,
    "eval.population_batches_during": 2,
    "probe.steps": (),
    "probe.log_spaced": 4,
    "probe.examples": 8,
    "probe.batch_size": 4,
    "checkpoint.every": 5,
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    for split, count in (("train", 9), ("val", 4)):
        for i in range(3 * count):
            path = root / split / f"class_{i % 3}" / f"{i}.JPEG"
            write_jpeg(path, make_picture(i, 40 + i % 7, 50 - i % 5))
    return root


def short(pictures, **overrides):
    config = tiny_imagenet.get_config("bn_x30")
    paths = {f"data.{split}": str(pictures / split) for split in ("train", "val")}
    config.update_from_flattened_dict(SHORT | paths | overrides)
    return config


def run_here(config, workdir):
    return loop.run(config, workdir, jax.devices()[:1])


@pytest.fixture(scope="module")
def whole(pictures, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole")
    assert run_here(short(pictures), workdir) == "finished"
    return workdir


def test_records_are_complete(whole):
    run = records.read_run(whole)
    assert run.series("train", "batch", "loss")[0].tolist() == [3, 6, 9, 12]
    assert run.series("val", "ema", "top5")[0].tolist() == [0, 6, 12]
    counts = [m["count"] for m in run.metrics if m["split"] == "val"]
    assert counts == 2 * [12, 12, 12]  # with moving averages and with Algorithm 2
    assert run.activations["steps"].tolist() == [0, 1, 3, 12]


def test_held_out_pictures_of_which_none_decodes_are_refused_first(pictures, tmp_path):
    for i in range(3):
        (tmp_path / f"class_{i}").mkdir()
        (tmp_path / f"class_{i}" / "0.JPEG").write_bytes(b"\0\0\0\x18ftypheic")
    config = short(pictures, **{"data.val": str(tmp_path)})
    with pytest.raises(UserError, match="none of the 3 pictures to evaluate on can"):
        experiment.make(resolve(config)[0], parallel.make_mesh(jax.devices()[:1]))


@pytest.mark.slow
def test_a_second_run_makes_no_program_and_asks_for_what_it_sends(
    whole, pictures, tmp_path
):
    with counting_programs() as made:
        assert run_here(short(pictures, seed=1), tmp_path) == "finished"
    assert len({*made.values()}) == 1
    assert records.read_run(tmp_path).manifest["compiled"]["programs"] == 0


def test_mini_batches_of_the_probe_are_of_all_classes(pictures):
    """A sorted split cut in order would give each mini-batch classes of its own."""
    config = short(pictures, **{"probe.examples": 12, "probe.batch_size": 6})
    source = data.open_source(config.data, "val")
    assert source.labels.tolist() == sorted(source.labels)
    _, labels = experiment._first_examples(config, source)
    assert sorted(labels) == sorted(source.labels)
    assert all(len(set(batch)) == 3 for batch in np.split(labels, 2))


@pytest.mark.parametrize(
    ("chunks", "workers"),
    [
        pytest.param(1, 0, marks=pytest.mark.slow),
        (4, 0),
        pytest.param(5, 1, marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_run_resumes_bit_for_bit(
    whole, pictures, tmp_path, monkeypatch, chunks, workers
):
    config = short(pictures, **{"data.workers": workers})
    with monkeypatch.context() as patched:
        patched.setattr(parallel, "Preemption", lambda: StopAt(chunks))
        assert run_here(config, tmp_path) == "interrupted"
    assert run_here(config, tmp_path) == "finished"
    assert_same(content(tmp_path), content(whole))


def train(run, workdir, pictures, **overrides):
    """Has `run` run scripts/train.py; returns the weights and the record."""
    values = SHORT | {"model.dtype": "float64", "steps": 3} | overrides
    values |= {f"data.{split}": str(pictures / split) for split in ("train", "val")}
    command = [sys.executable, str(cli.ROOT / "scripts" / "train.py")]
    command += ["--config=configs/tiny_imagenet.py:bn_x30", f"--workdir={workdir}"]
    command += [f"--config.{key}={value}" for key, value in values.items()]
    run(command)
    return checkpoint.read(workdir / checkpoint.WEIGHTS), records.read_run(workdir)


@pytest.mark.slow
@pytest.mark.parametrize(
    "network",
    [
        {},
        {"model.name": "inception", "model.width": 0.125, "probe.log_spaced": 0},
    ],
    ids=["mlp", "inception"],
)
def test_two_processes_make_the_same_three_steps(
    network, pictures, tmp_path, monkeypatch
):
    # XLA would compile for minutes; these programs run for a moment.
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")
    alone, run_alone = train(
        subprocess.check_call, tmp_path / "alone", pictures, **network
    )
    both, run = train(run_together, tmp_path / "both", pictures, **network)
    assert alone.keys() == both.keys()
    for name in alone:
        assert alone[name].dtype in (np.float64, np.int32)
        np.testing.assert_allclose(
            both[name], alone[name], rtol=1e-9, atol=1e-9, err_msg=name
        )
    losses = [r.series("train", "batch", "loss")[1] for r in (run, run_alone)]
    np.testing.assert_allclose(*losses, rtol=1e-9)
