import io

import cv2
import numpy as np
import pytest

from bn_repro import data
from bn_repro.data import mnist
from bn_repro.errors import UserError
from configs import common


@pytest.fixture
def config():
    return common.get_config().data


@pytest.fixture(scope="module")
def packed():
    return mnist.read_packed()


def test_packed_has_all_examples_as_binary_images(packed):
    assert packed.train.images.shape == (60_000, 28, 28)
    assert packed.test.images.shape == (10_000, 28, 28)
    for split in (packed.train, packed.test):
        assert split.images.dtype == np.uint8 and split.images.max() == 1
        assert split.labels.dtype == np.int32
        assert sorted(set(split.labels.tolist())) == list(range(10))
    assert packed.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert packed.class_names[7] == "7"


def test_packed_file_is_small():
    assert mnist.PACKED_FILE.stat().st_size < 2_500_000


def test_pack_and_unpack_are_inverse():
    images = np.random.default_rng(0).integers(0, 2, (5, 28, 28), np.uint8)
    assert mnist.pack(images).shape == (5, 98)
    np.testing.assert_array_equal(mnist.unpack(mnist.pack(images)), images)


def test_any_damage_is_one_clear_line(tmp_path):
    good = mnist.PACKED_FILE.read_bytes()
    path = tmp_path / "mnist.npz"
    generator = np.random.default_rng(0)
    for position in [0, 30, len(good) - 1, *generator.integers(0, len(good), 12)]:
        bad = bytearray(good)
        bad[position] ^= 0x10
        path.write_bytes(bad)
        try:  # some bytes of a zip file carry no data
            np.testing.assert_array_equal(mnist.read_packed(path).test.labels[0], 7)
        except UserError as error:
            assert str(path) in str(error) and "\n" not in str(error)
    for bad in (good[:1000], b"", b"<html>not found</html>"):
        path.write_bytes(bad)
        with pytest.raises(UserError, match="restore it"):
            mnist.read_packed(path)


def test_arrays_that_differ_are_refused(tmp_path):
    with np.load(mnist.PACKED_FILE) as file:
        arrays = dict(file)
    arrays["test_labels"] = arrays["test_labels"][::-1]
    path = tmp_path / "mnist.npz"
    np.savez_compressed(path, **arrays)
    with pytest.raises(UserError, match="sha256"):
        mnist.read_packed(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere.npz"):
        mnist.read_packed(tmp_path / "nowhere.npz")


def test_packed_has_one_threshold(config):
    config.threshold = 100
    with pytest.raises(UserError, match="config.data.threshold is 100"):
        data.load(config)


def as_tfds(images, labels):
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(28, 28, 1)),
            "label": tfds.features.ClassLabel(num_classes=10),
        }
    )
    pictures = [cv2.imencode(".png", image)[1].tobytes() for image in images]
    examples = [
        (key, {"image": io.BytesIO(picture), "label": int(label)})
        for key, (picture, label) in enumerate(zip(pictures, labels, strict=True))
    ]
    return features, examples


def test_tfds_yields_the_packed_arrays(config, packed, store_tfds):
    chosen = np.array([0, 5, 6, 1_000, 9_999] + list(range(100, 150)))
    examples = {}
    for split in ("train", "test"):
        arrays = getattr(packed, split)
        grey = arrays.images[chosen] * np.uint8(127) + np.uint8(1 + 100)  # 101 or 228
        features, examples[split] = as_tfds(grey, arrays.labels[chosen])
    config.dir = str(store_tfds("mnist", features, examples))
    config.source = "tfds"
    order = np.sort(chosen)
    splits = data.load(config)
    for split in ("train", "test"):
        for ours, theirs in zip(
            getattr(splits, split), getattr(packed, split), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs[order])
            assert ours.dtype == theirs.dtype
    config.threshold = 100
    assert data.load(config).test.images.min() == 1


@pytest.mark.parametrize(
    ("shape", "dtype"), [((28, 28, 1), np.float32), ((28, 28), np.uint8)]
)
def test_tfds_of_other_images_is_refused(config, store_tfds, packed, shape, dtype):
    """Of values up to 1 none is above the threshold; of 28 x 28 a column was taken."""
    import tensorflow_datasets as tfds

    features, _ = as_tfds([], [])
    features = {**features, "image": tfds.features.Tensor(shape=shape, dtype=dtype)}
    images = packed.test.images[:3].reshape(-1, *shape).astype(dtype)
    examples = [(i, {"image": x, "label": 0}) for i, x in enumerate(images)]
    stored = {"train": examples, "test": examples}
    features = tfds.features.FeaturesDict(features)
    config.dir, config.source = str(store_tfds("mnist", features, stored)), "tfds"
    with pytest.raises(UserError, match=r"images of .* are .*28.*uint8\[28, 28, 1\]"):
        data.load(config)


def test_tfds_that_is_not_prepared_says_what_to_run(config, tmp_path):
    config.source, config.dir = "tfds", str(tmp_path)
    with pytest.raises(UserError, match=f"tfds build mnist --data_dir={tmp_path}"):
        data.load(config)


def test_tfds_without_random_access_says_what_to_run(config, store_tfds, packed):
    grey = packed.test.images[:3] * np.uint8(255)
    features, examples = as_tfds(grey, packed.test.labels[:3])
    folder = store_tfds("mnist", features, {"train": examples, "test": examples})
    info = folder / "mnist" / "1.0.0" / "dataset_info.json"
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    config.source, config.dir = "tfds", str(folder)
    with pytest.raises(UserError, match="tfrecord.*--file_format=array_record"):
        data.load(config)


def test_equal_examples_and_strangers_have_a_place(packed):
    from bn_repro.data import mnist_tfds

    one, two = packed.train.images[0], packed.train.images[1]
    official = data.Arrays(np.stack([one, two, one]), np.array([5, 0, 5], np.int32))
    stored = data.Arrays(
        np.stack([1 - one, one, one, two, one]), np.array([5, 5, 5, 0, 5], np.int32)
    )
    order = mnist_tfds.official_order(stored, official)
    assert order.tolist() == [1, 3, 2, 0, 4]
