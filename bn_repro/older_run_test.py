"""Folders of revision aab9c4c, from before some keys were there, still serve."""

import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bn_repro import experiment, loop, probe
from bn_repro.analysis import report
from bn_repro.errors import UserError
from bn_repro.run_folder import checkpoint, configuration, records
from configs import common, mnist

ROOT = pathlib.Path(__file__).parents[1]
OLDER = ROOT / "bn_repro" / "testdata" / "aab9c4c"
SHORT = {
    "steps": 40,
    "steps_per_call": 8,
    "log_every": 10,
    "model.hidden": (4, 3),
    "data.limit": 300,
    "eval.every": 20,
    "eval.batch_size": 250,
    "eval.population_batches_during": 0,
    "probe.every": 20,
    "probe.examples": 120,
    "probe.bins": 8,
    "checkpoint.every": 20,
    "checkpoint.keep": 1,
    "optimizer.learning_rate": 0.1,
    "optimizer.momentum": 0.9,
}


@pytest.fixture
def older(tmp_path):
    """A copy of the folders: bn_seed0 after 20 of its 40 steps, plain_seed0 whole."""
    return shutil.copytree(OLDER, tmp_path / "older")


def short():
    config = mnist.get_config("bn")
    config.update_from_flattened_dict(SHORT)
    return config


def test_a_checkpoint_is_continued_as_if_nothing_had_happened(older, tmp_path):
    devices = jax.devices()[:1]
    assert loop.run(short(), older / "bn_seed0", devices) == "finished"
    assert loop.run(short(), tmp_path / "new", devices) == "finished"
    there, here = map(records.read_run, (older / "bn_seed0", tmp_path / "new"))
    assert [start["step"] for start in there.manifest["starts"]] == [0, 20]
    for split, statistics in (("train", "batch"), ("test", "ema"), ("test", "batch")):
        ours, theirs = (r.series(split, statistics, "loss") for r in (there, here))
        np.testing.assert_array_equal(ours[0], theirs[0])
        # Not bit for bit: other versions wrote it, on another machine.
        np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-3)
    for name in ("hidden_1", "saturated", "gradient_norm"):
        ours, theirs = (run.activations[name] for run in (there, here))
        np.testing.assert_allclose(ours, theirs, rtol=0.02, atol=0.01)


def test_a_checkpoint_from_before_a_field_of_the_state_is_continued(older):
    file = older / "bn_seed0" / "checkpoints" / "00000020.npz"
    arrays = checkpoint.read(file)
    del arrays["state/first_bad_step"], arrays["sums/correct5"]
    checkpoint.write(file, arrays)
    assert loop.run(short(), older / "bn_seed0", jax.devices()[:1]) == "finished"


@pytest.mark.slow
def test_a_new_statistic_of_the_probe_is_a_function_and_an_entry(older, monkeypatch):
    experiment.forget()  # what an earlier test compiled
    summarize = probe._summarize_layer

    def with_magnitude(x, *args):
        return summarize(x, *args) | {"magnitude": jnp.abs(x).mean()}

    monkeypatch.setattr(probe, "_summarize_layer", with_magnitude)
    monkeypatch.setitem(records.PROBE_FIELDS, "magnitude", np.float32)
    assert loop.run(short(), older / "bn_seed0", jax.devices()[:1]) == "finished"
    experiment.forget()
    continued = records.read_run(older / "bn_seed0").activations["magnitude"]
    assert np.isnan(continued[:2]).all() and (continued[2] > 0).all()  # steps 0, 20, 40
    assert "magnitude" not in records.read_run(older / "plain_seed0").activations
    report.write_report(older, older.parent / "out")
    drawn = {path.stem for path in (older.parent / "out").glob("*.png")}
    assert {"figure1", "layers", "histograms", "gradients"} <= drawn


def test_another_value_than_the_default_of_then_is_another_configuration(older):
    config = short()
    config.model.padding = "port"
    with pytest.raises(UserError, match=r"padding: 'same' there, 'port' now\)"):
        loop.run(config, older / "bn_seed0", jax.devices()[:1])


def test_every_key_of_today_has_a_meaning_where_a_record_lacks_it():
    today = configuration.flatten(common.get_config().to_dict())
    then = records.read_run(OLDER / "bn_seed0").stated
    assert not today.keys() - then.keys(), "these belong into configuration.INTRODUCED"
    assert not then.keys() - today.keys(), "these belong into configuration.RENAMED"


def test_a_renamed_key_is_read_under_its_name_of_today(older, monkeypatch):
    rename = lambda value: {"eval.often": value + 1}  # noqa: E731
    monkeypatch.setitem(configuration.RENAMED, "eval.every", rename)
    run = records.read_run(older / "bn_seed0")
    assert run.stated["eval.often"] == run.config["eval"]["often"] == 21
    assert "every" not in run.config["eval"]
