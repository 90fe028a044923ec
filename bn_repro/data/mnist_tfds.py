"""MNIST from TensorFlow Datasets, in the official order and without TensorFlow."""

import collections
from collections.abc import Iterator

import numpy as np

from bn_repro.data import mnist, prepared
from bn_repro.data.data_set import Arrays, Splits
from bn_repro.errors import UserError


def load(config) -> Splits:
    """Returns TFDS's `mnist`, made binary at config.threshold; about 10 s.

    Raises:
        UserError: config.dir holds no prepared MNIST, or one of other images.
    """
    builder = prepared.find_builder("mnist", config.dir)
    image = builder.info.features["image"]
    if (image.shape, image.np_dtype) != ((28, 28, 1), np.uint8):
        raise UserError(
            f"the images of {builder.data_dir} are {np.dtype(image.np_dtype)}"
            f"{list(image.shape)}; prepare them as MNIST's, uint8[28, 28, 1] of 0..255"
        )
    official = mnist.read_packed()
    splits = (
        _read(builder.as_data_source(split=split), config.threshold, arrays)
        for split, arrays in zip(("train", "test"), official[:2], strict=True)
    )
    return Splits(*splits, official.class_names)


def _read(source, threshold: int, official: Arrays) -> Arrays:
    examples = source.__getitems__(range(len(source)))
    grey = np.stack([example["image"][..., 0] for example in examples])  # [N, 28, 28]
    labels = np.array([example["label"] for example in examples], np.int32)
    order = official_order(Arrays(grey > mnist.PACKED_THRESHOLD, labels), official)
    return Arrays((grey > threshold).astype(np.uint8)[order], labels[order])


def official_order(arrays: Arrays, official: Arrays) -> np.ndarray:
    """Returns the int64 [N] indices that sort arrays as the official files are.

    TFDS shuffles what it stores, so each example is looked up among the official ones;
    those that are not MNIST's follow in the stored order.
    """
    places = {key: place for place, key in enumerate(_numbered(official))}
    found = [places.get(key, len(places)) for key in _numbered(arrays)]
    return np.argsort(found, kind="stable")


def _numbered(arrays: Arrays) -> Iterator[tuple[bytes, int]]:
    """Yields each example as bytes with its number among the examples equal to it."""
    rows = np.column_stack([mnist.pack(arrays.images), arrays.labels.astype(np.uint8)])
    seen = collections.Counter()
    for row in map(bytes, rows):
        yield row, seen[row]
        seen[row] += 1
