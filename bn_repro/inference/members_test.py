"""A network that cannot be used is refused in one line that names its folder."""

import shutil

import jax
import numpy as np
import pytest

from bn_repro import loop, models
from bn_repro.errors import UserError
from bn_repro.inference import members, splits
from bn_repro.loop_test import short
from bn_repro.resolve import as_record, resolve
from bn_repro.run_folder import checkpoint, files, records
from bn_repro.run_folder.writer import RunWriter
from configs import common, imagenet


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("trained") / "bn_7"
    loop.run(short(**{"steps": 5}), workdir, jax.devices()[:1])
    return workdir


@pytest.fixture
def workdir(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "bn_7")


def refused(workdir, message):
    with pytest.raises(UserError, match=message) as caught:
        members.load(workdir, common.get_config())
    assert "bn_7" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_variables_are_those_of_the_last_step(workdir):
    member = members.load(workdir, common.get_config(), {"data.limit": 50})
    step, arrays, _ = checkpoint.latest(workdir, records.read_run(workdir).config)
    assert (member.name, member.step) == ("bn_7", step)
    assert member.config.data.limit == 50
    assert member.config.model.hidden == (20, 15)
    for name, leaf in checkpoint.arrays_of(member.variables).items():
        np.testing.assert_array_equal(leaf, arrays[f"state/{name}"], err_msg=name)


def test_of_a_run_that_goes_on_after_its_end_the_checkpoint_is_read(workdir):
    """Until its new end it was refused: its weights are of an earlier step."""
    member = members.load(workdir, common.get_config())
    run = records.read_run(workdir)
    before = jax.tree.map(np.zeros_like, member.variables)
    checkpoint.save_weights(workdir, before, 3, run.config)
    RunWriter(workdir).write_status("running", 5)
    again = members.load(workdir, common.get_config())
    assert again.step == 5
    assert members.fingerprint(again) == members.fingerprint(member)


def test_a_run_from_before_a_key_has_its_default(workdir):
    config = files.read_json(workdir / records.CONFIG)
    del config["model"]["padding"], config["eval"]
    files.write_json(workdir / records.CONFIG, config)
    member = members.load(workdir, common.get_config())
    assert member.config.model.padding == "same"
    assert member.config.eval.batch_size == 1_000


def test_no_network(workdir):
    (workdir / checkpoint.WEIGHTS).unlink()
    shutil.rmtree(workdir / "checkpoints")
    refused(workdir, "neither weights.npz nor a checkpoint; train it first")


def test_half_written(workdir):
    weights = workdir / checkpoint.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:2_000])
    refused(workdir, "is damaged")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("hidden", [20, 16], r"hidden_2/bn/mean is float32\[15\] .* but float32\[16\]"),
        ("hidden", [20, 15, 15], "lacks batch_stats/hidden_3"),
        ("hidden", [15], r"hidden_1/bn/mean is float32\[20\] in the checkpoint"),
        ("norm", "none", "lacks params/hidden_1/bias: it is of another network"),
    ],
)
def test_another_architecture(workdir, key, value, message):
    config = files.read_json(workdir / records.CONFIG)
    config["model"][key] = value
    files.write_json(workdir / records.CONFIG, config)
    refused(workdir, f"is of another run .model.{key}: ")
    weights = workdir / checkpoint.WEIGHTS
    checkpoint.write(weights, checkpoint.read(weights))  # as from before
    refused(workdir, message)


def test_arrays_of_another_network_are_not_passed_over(workdir):
    arrays = checkpoint.read(workdir / checkpoint.WEIGHTS)
    tree = {**arrays, "params/hidden_9/kernel": np.zeros(3)}
    checkpoint.write(workdir / checkpoint.WEIGHTS, tree)
    refused(workdir, "holds params/hidden_9/kernel, which the network lacks")


def test_not_finite(workdir):
    arrays = checkpoint.read(workdir / checkpoint.WEIGHTS)
    arrays["batch_stats/hidden_1/bn/var"][3] = np.inf
    sha256 = np.array(files.digest(arrays))
    np.savez(workdir / checkpoint.WEIGHTS, **arrays, sha256=sha256)
    refused(workdir, "batch_stats/hidden_1/bn/var is not finite")


def test_mnist_has_no_place_of_pictures(workdir):
    with pytest.raises(UserError, match="data.val is 'elsewhere'; it must be empty"):
        members.load(workdir, common.get_config(), {"data.val": "elsewhere"})
    file = workdir / records.CONFIG  # of a run from before that was refused
    file.write_text(file.read_text().replace('"train": ""', '"train": "elsewhere"'))
    assert "elsewhere" in file.read_text()
    assert members.load(workdir, common.get_config()).config.data.train == ""


def test_pictures_that_are_named_are_read_instead_of_tfds(tmp_path):
    config = imagenet.get_config("bn_x5")
    small = {"model.name": "mlp", "model.hidden": (3,), "data.classes": 2}
    config.update_from_flattened_dict(small | {"data.source": "tfds"})
    config, stated = resolve(config)
    record, writer = as_record(config, stated), RunWriter(tmp_path)
    writer.write_config(record)
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), models.shapes(config))
    checkpoint.save_weights(tmp_path, zeros, 0, record)
    writer.write_status("finished", 0)
    assert members.load(tmp_path).config.data.source == "tfds"
    member = members.load(tmp_path, overrides={"data.val": "/no/such/folder"})
    with pytest.raises(UserError, match="data.val=/no/such/folder does not exist"):
        splits.open_split(member.config)
