import io
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from bn_repro import data
from bn_repro.data import imagenet_tfds, stream
from bn_repro.data.conftest import WNIDS, make_picture, write_jpeg
from bn_repro.errors import UserError

COUNTS = {"train": 9, "validation": 5}


@pytest.fixture
def tfds_folder(store_tfds, tmp_path, imagenet_config):
    """Returns a function that prepares a tiny imagenet2012 and points the config."""
    import tensorflow_datasets as tfds

    def prepare(wnids=WNIDS):
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(encoding_format="jpeg"),
                "label": tfds.features.ClassLabel(names=wnids),
                "file_name": tfds.features.Text(),
            }
        )
        splits = {
            split: [(i, example(split, i)) for i in range(count)]
            for split, count in COUNTS.items()
        }
        imagenet_config.data.source = "tfds"
        imagenet_config.data.dir = str(store_tfds("imagenet2012", features, splits))
        imagenet_config.data.classes = len(wnids)
        return imagenet_config

    def example(split, i):
        path = tmp_path / "picture.JPEG"
        write_jpeg(path, make_picture(i))
        return {
            "image": io.BytesIO(path.read_bytes()),
            "label": i % 3,
            "file_name": f"{split}_{i}.JPEG",
        }

    return prepare


def test_records_are_the_stored_files(tfds_folder, tmp_path):
    config = tfds_folder()
    for split, name in (("train", "train"), ("val", "validation")):
        source = data.open_source(config.data, split)
        assert len(source) == COUNTS[name]
        assert source.class_names == list(WNIDS)
        records = {
            record["name"]: record
            for record in map(source.__getitem__, range(len(source)))
        }
        assert len(records) == COUNTS[name]
        for i in range(COUNTS[name]):
            record = records[f"{name}_{i}.JPEG"]
            write_jpeg(tmp_path / "picture.JPEG", make_picture(i))
            assert record["jpeg"] == (tmp_path / "picture.JPEG").read_bytes()
            assert record["label"] == i % 3


def test_pickles_and_streams(tfds_folder):
    config = tfds_folder()
    source = pickle.loads(pickle.dumps(imagenet_tfds.open_source(config.data, "val")))
    batches = list(stream.eval_batches(config, source))
    assert sum(batch["mask"].sum() for batch in batches) == COUNTS["validation"]
    labels = [batch["label"][batch["mask"]] for batch in batches]
    np.testing.assert_array_equal(np.sort(np.concatenate(labels)), [0, 0, 1, 1, 2])


@pytest.mark.parametrize("stated", ["as it is", "~", ""])
def test_words_in_the_data_directory_become_class_names(
    tfds_folder, tmp_path, monkeypatch, stated
):
    config = tfds_folder()
    monkeypatch.setenv("HOME", str(tmp_path))
    from tensorflow_datasets import core

    monkeypatch.setattr(core.constants, "DATA_DIR", config.data.dir)
    config.data.dir = config.data.dir if stated == "as it is" else stated
    (tmp_path / "words.txt").write_text(f"{WNIDS[1]}\tgoldfish\n")
    names = imagenet_tfds.open_source(config.data, "val").class_names
    assert names == [WNIDS[0], "goldfish", WNIDS[2]]


def test_a_missing_data_set_is_named_with_the_command(imagenet_config, tmp_path):
    imagenet_config.data.dir = str(tmp_path / "nowhere")
    with pytest.raises(UserError, match="imagenet2012 in .*nowhere.*tfds build"):
        imagenet_tfds.open_source(imagenet_config.data, "train")


def test_another_number_of_classes_is_refused(tfds_folder):
    config = tfds_folder()
    config.data.classes = 4
    with pytest.raises(UserError, match="has 3 classes, but data.classes is 4"):
        imagenet_tfds.open_source(config.data, "train")


@pytest.mark.parametrize(
    ("split", "message"),
    [("train", "9 train pictures .* 1,281,167"), ("val", "5 val pictures .* 50,000")],
)
def test_a_thousand_classes_need_all_their_pictures(tfds_folder, split, message):
    config = tfds_folder([f"n{i:08}" for i in range(1_000)])
    with pytest.raises(UserError, match=message):
        imagenet_tfds.open_source(config.data, split)


def test_reading_imports_no_tensorflow(tfds_folder, tmp_path):
    config = tfds_folder()
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('imports tensorflow')")
    program = (
        "from ml_collections import ConfigDict\n"
        "from bn_repro.data import imagenet_tfds\n"
        f"data = ConfigDict(dict(dir={config.data.dir!r}, classes=3))\n"
        "print(len(imagenet_tfds.open_source(data, 'val')[0]['jpeg']) > 100)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "True"
