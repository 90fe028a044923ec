"""MNIST as binary images (Sec. 4.1), from the copy in this package or from TFDS."""

import pathlib

import numpy as np

from bn_repro.data.data_set import Arrays, DataSet, Splits
from bn_repro.errors import UserError
from bn_repro.run_folder import files

PACKED_FILE = pathlib.Path(__file__).with_name("mnist.npz")
PACKED_SHA256 = "a0306c35f74f4a767b02f76915483e201150fe57b869b697d856052eee721361"
PACKED_THRESHOLD = 127
CLASS_NAMES = [str(digit) for digit in range(10)]


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


def _read_verified(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path) as file:
            arrays = dict(file)
        problem = "" if files.digest(arrays) == PACKED_SHA256 else "its sha256 is wrong"
    except Exception as error:  # a damaged zip file raises a dozen kinds
        problem = str(error) or type(error).__name__
    if problem:
        raise UserError(
            f"the packed MNIST {path} cannot be used ({problem});"
            " restore it with git or with scripts/prepare_data.py mnist"
        )
    return arrays


def _tfds(keys) -> Splits:
    from bn_repro.data import mnist_tfds  # here: nobody pays for TFDS before

    return mnist_tfds.load(keys)


def binary_inputs(config):
    """Returns `train.Recipe.inputs` for binary images, which are not distorted."""
    import jax.numpy as jnp  # here: a sweep is planned without JAX

    def inputs(images, keys):
        del keys
        return images.astype(jnp.dtype(config.model.dtype))

    return inputs


DATA_SET = DataSet(
    in_memory=True,
    sources={"packed": load_packed, "tfds": _tfds},
    held_out="test",
    image_shape=lambda keys: (keys.image_size, keys.image_size),
    inputs=binary_inputs,
    preprocessing=lambda keys: {
        "binary": f"1 where a pixel of 0..255 > {keys.threshold}"
    },
    pixel_values=2,
)
