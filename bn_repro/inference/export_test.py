"""The exported network runs where bn_repro is not, at any batch size."""

import subprocess
import sys

import jax
import numpy as np
import pytest

from bn_repro import loop, models
from bn_repro.errors import UserError
from bn_repro.inference import export, members, splits
from bn_repro.layers import Mode
from bn_repro.loop_test import short
from bn_repro.run_folder import files, records
from configs import common

LOADER = """
import json, sys
import numpy as np
from jax import export
folder = sys.argv[1] + "/"
network = export.deserialize(open(folder + "network.bin", "rb").read())
labels = json.load(open(folder + "network.json"))["labels"]
images = np.load(folder + "images.npy")
for n in (1, len(images)):
    probabilities = network.call(images[:n])
np.save(folder + "probabilities.npy", probabilities)
print([labels[i] for i in probabilities.argmax(-1)])
assert "bn_repro" not in sys.modules
"""


@pytest.fixture(scope="module")
def member(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run") / "bn"
    loop.run(short(**{"steps": 20}), workdir, jax.devices()[:1])
    return members.load(workdir, common.get_config())


def test_it_gives_the_same_probabilities_without_the_package(member, tmp_path):
    described = export.write(member, member.variables, tmp_path)
    images = np.random.default_rng(0).integers(0, 2, (7, 28, 28)).astype(np.uint8)
    np.save(tmp_path / "images.npy", images)
    command = [sys.executable, "-c", LOADER, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    network = models.build(member.config)
    images = images.astype(np.float32)
    logits = network.apply(member.variables, images, Mode(True))[0]
    expected = np.array(jax.nn.softmax(logits))
    found = np.load(tmp_path / "probabilities.npy")
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)
    labels = [described["labels"][i] for i in expected.argmax(-1)]
    assert result.stdout.strip() == str(labels)
    assert files.read_json(tmp_path / "network.json") == described
    assert described["input"] == ["b", 28, 28]
    assert described["platforms"] == ["cpu", "cuda", "tpu"]


def test_labels_need_no_data_where_the_run_recorded_them(member, monkeypatch):
    def nothing(config, recorded):
        raise UserError("the pictures are elsewhere")

    monkeypatch.setattr(splits, "open_split", nothing)
    assert export.describe(member, ("cpu",))["labels"] == list("0123456789")
    (member.path / records.CLASSES).rename(member.path / "moved")  # a run from before
    try:
        earlier = members.load(member.path, common.get_config())
    finally:
        (member.path / "moved").rename(member.path / records.CLASSES)
    with pytest.raises(UserError, match="elsewhere"):
        export.describe(earlier, ("cpu",))
    monkeypatch.undo()
    assert export.describe(earlier, ("cpu",))["labels"] == list("0123456789")


def test_a_network_that_diverged_is_refused(member, tmp_path):
    broken = jax.tree.map(lambda x: x * np.float32("nan"), member.variables)
    with pytest.raises(UserError, match="outputs are not finite, .* diverged"):
        export.write(member, broken, tmp_path)


def test_a_folder_that_cannot_be_written_is_named(member, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="file"):
        export.write(member, member.variables, tmp_path / "file" / "out")


def test_an_unknown_platform_is_refused(member, tmp_path):
    for platforms in (("cpu", "gpux"), ()):
        with pytest.raises(UserError, match="platforms are .*; use some of .*'cuda'"):
            export.write(member, member.variables, tmp_path, platforms)
