"""MNIST as binary images (Sec. 4.1), from the copy in this package or from TFDS."""

import hashlib
import pathlib
from typing import NamedTuple

import numpy as np

from bn_repro import data
from bn_repro.errors import UserError

PACKED_FILE = pathlib.Path(__file__).with_name("mnist.npz")
PACKED_SHA256 = "0a5eefddfd7bfa4d6ae9ea5f26dc2fa323d18c17503b563e3c58f6fa687d6bc9"
PACKED_THRESHOLD = 127
CLASS_NAMES = [str(digit) for digit in range(10)]


class Arrays(NamedTuple):
    """One split in memory: images uint8 [N, 28, 28] of {0, 1}, labels int32 [N]."""

    images: np.ndarray
    labels: np.ndarray


class Splits(NamedTuple):
    """The training and the test examples, in MNIST's own order."""

    train: Arrays
    test: Arrays
    class_names: list[str]


def load(config) -> Splits:
    """Returns MNIST from the source that config (the `data` keys) asks for.

    Raises:
        UserError: an unknown source, a threshold that the source has not, no such data
            set, or data that are damaged.
    """
    return data.select(config)(config)


def load_packed(config) -> Splits:
    """Returns the packed examples, if config.threshold is what they were packed with.

    Raises:
        UserError: another threshold, or damaged data.
    """
    if config.threshold != PACKED_THRESHOLD:
        raise UserError(
            f"config.data.threshold is {config.threshold}; the packed MNIST has"
            f' {PACKED_THRESHOLD} only, for another use config.data.source="tfds"'
        )
    return read_packed()


def read_packed(path: pathlib.Path = PACKED_FILE) -> Splits:
    """Returns the 60,000 + 10,000 packed examples; about 0.1 s.

    Raises:
        UserError: a missing or damaged file.
    """
    arrays = _read_verified(path)
    splits = (
        Arrays(
            unpack(arrays[f"{split}_images"]),
            arrays[f"{split}_labels"].astype(np.int32),
        )
        for split in ("train", "test")
    )
    return Splits(*splits, CLASS_NAMES)


def pack(images: np.ndarray) -> np.ndarray:
    """Returns uint8 [N, 98], the bits of uint8 images [N, 28, 28] of {0, 1}."""
    return np.packbits(images.reshape(len(images), -1), axis=1)


def unpack(rows: np.ndarray) -> np.ndarray:
    """Returns the uint8 images [N, 28, 28] of {0, 1} of packed rows [N, 98]."""
    return np.unpackbits(rows, axis=1).reshape(-1, 28, 28)


def digest(arrays: dict[str, np.ndarray]) -> str:
    """Returns the sha256 of the named arrays: of their contents, however compressed."""
    sha256 = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        sha256.update(f"{name} {array.dtype} {array.shape}".encode())
        sha256.update(array.tobytes())
    return sha256.hexdigest()


def _read_verified(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path) as file:
            arrays = dict(file)
        problem = "" if digest(arrays) == PACKED_SHA256 else "its sha256 is wrong"
    except Exception as error:  # a damaged zip file raises a dozen kinds
        problem = str(error) or type(error).__name__
    if problem:
        raise UserError(
            f"the packed MNIST {path} cannot be used ({problem});"
            " restore it with git or with scripts/prepare_data.py mnist"
        )
    return arrays
