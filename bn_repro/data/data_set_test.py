"""A data set is its file and an entry of SOURCES: this one trains, and is evaluated."""

import dataclasses

import jax
import numpy as np
import pytest

from bn_repro import data, loop
from bn_repro.analysis import report
from bn_repro.analysis.page import page_data
from bn_repro.data.data_set import Arrays, DataSet, Splits
from bn_repro.data.mnist import binary_inputs
from bn_repro.errors import UserError
from bn_repro.inference import export, members, splits
from bn_repro.run_folder import records
from bn_repro.sweep import progress
from configs import common, mnist

SHORT = {
    "data.name": "stripes",
    "data.source": "drawn",
    "data.classes": 3,
    "data.image_size": 6,
    "data.limit": 90,
    "model.hidden": (10,),
    "steps": 40,
    "steps_per_call": 20,
    "batch_size": 30,
    "reference_batch": 30,
    "log_every": 20,
    "eval.every": 20,
    "eval.batch_size": 40,
    "eval.population_batches_during": 0,
    "probe.every": 20,
    "probe.examples": 60,
    "optimizer.learning_rate": 1.0,
}


def stripes(keys) -> Splits:
    """Returns pictures whose class is the row, of three, that is lit."""
    labels = np.arange(120, dtype=np.int32) % 3
    images = np.zeros((120, keys.image_size, keys.image_size), np.uint8)
    images[np.arange(120), 2 * labels] = 1
    arrays = Arrays(images, labels)
    return Splits(arrays, arrays, ["top", "middle", "bottom"])


STRIPES = DataSet(
    in_memory=True,
    sources={"drawn": stripes},
    held_out="held_out",
    image_shape=lambda keys: (keys.image_size, keys.image_size),
    inputs=binary_inputs,
    preprocessing=lambda keys: {"binary": "1 where it is lit"},
    pixel_values=2,
)


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (np.arange(120) % 3 + 1, r"int64\[120\] from 1 to 3"),
        (np.eye(3, dtype=np.uint8)[np.arange(120) % 3], r"uint8\[120, 3\] from 0 to 1"),
        (np.arange(120) % 3 - 1, "from -1 to 1"),
        (np.arange(121) % 3, r"int64\[121\]"),
        (np.arange(120) % 3 / 1.0, "float64"),
    ],
)
def test_labels_of_no_class_or_no_image_are_refused(labels, found, monkeypatch):
    config = mnist.get_config("bn")
    config.update_from_flattened_dict(SHORT)
    train, test, names = stripes(config.data)
    wrong = Splits(train, test._replace(labels=labels), names)
    sources = {"drawn": lambda keys: wrong}
    replaced = dataclasses.replace(STRIPES, sources=sources)
    monkeypatch.setitem(data.SOURCES, "stripes", replaced)
    with pytest.raises(UserError, match=f"from 0 to 2, one .* 120 images; .*{found}"):
        data.load(config.data)


@pytest.fixture(scope="module")
def member(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    config = mnist.get_config("bn")
    config.update_from_flattened_dict(SHORT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(data.SOURCES, "stripes", STRIPES)
        assert loop.run(config, folder, jax.devices()[:1]) == "finished"
        yield members.load(folder, common.get_config())


def test_it_is_trained_evaluated_and_described(member):
    split = splits.open_split(member.config)
    assert (split.name, split.count) == ("held_out", 90)
    assert splits.open_split(member.config, name="train").count == 90
    described = export.describe(member, ["cpu"])
    assert described["labels"] == ["top", "middle", "bottom"]
    assert described["input"] == ["b", 6, 6]
    assert described["binary"] == "1 where it is lit"
    run = records.read_run(member.path)
    assert run.series("held_out", "ema", "accuracy")[1][-1] == 1.0


def test_its_accuracy_is_reported(member):
    out = member.path.parent / "out"
    reported, _ = report.write_report(member.path.parent, out)
    accuracy = progress.accuracy(reported.runs[0])
    assert accuracy == ", held_out accuracy 1.0000 (ema)"
    assert "run, seed 0: held_out accuracy 100.00 %" in reported.summary()
    assert "| 100.00 %" in (out / "tables.md").read_text()
    page = page_data.page_data(reported.runs).values
    assert page["held_out"] == "Accuracy is on held_out data, moving averages."
