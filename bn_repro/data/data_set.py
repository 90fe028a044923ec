"""What the rest needs to know of a data set: one object each, see `data.SOURCES`."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Arrays(NamedTuple):
    """One split in memory: images uint8 [N, ...], labels int32 [N]."""

    images: np.ndarray
    labels: np.ndarray


class Splits(NamedTuple):
    """The training and the held-out examples, and the classes' names by label."""

    train: Arrays
    test: Arrays
    class_names: list[str]


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A data set, in memory or streamed. Below, `keys` are those of `config.data`."""

    in_memory: bool  # whether its examples live on the devices
    # name -> where it is read from. In memory: keys -> Splits. Streamed: keys, split,
    # classes of a run or None (see `data.open_source`) -> random access to undecoded
    # pictures, such as `image_folder.ImageFolder`
    sources: dict[str, Callable]
    held_out: str  # name of the split to evaluate on; the other one is "train"
    image_shape: Callable  # keys -> shape of one image of the network's input
    inputs: Callable  # configuration -> `train.Recipe.inputs`
    preprocessing: Callable  # keys -> what has to be done to a picture, for an export
    # keys -> what changes as soon as the files do; they are not read again before
    stamp: Callable = lambda keys: ()
    pixel_values: int = 256  # values of a pixel are 0 .. pixel_values - 1
