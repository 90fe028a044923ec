"""Which pictures a trained network is evaluated on, and in what order they come."""

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import numpy as np
from absl import logging
from ml_collections import config_dict

from bn_repro import data, evaluate
from bn_repro.data.classes import Classes
from bn_repro.errors import UserError
from bn_repro.run_folder import files

_UNRECORDED = (
    "the run did not record its classes and its training pictures are not here: labels "
    "are the places of the class folders of %s in sorted order, which is wrong if the "
    "run saw others"
)


class Split(NamedTuple):
    """The pictures of a split, in the source's order."""

    name: str  # "train" or the data set's held-out split, such as "val"
    count: int  # number of pictures
    class_names: list[str]  # in the order of labels
    folders: list[str]  # of the classes, likewise; the names where there are none
    crops: int  # views of each picture
    # (first picture, pictures a batch) -> iterator of this process's {"image": uint8
    # [b, views that the host makes, ...], "label", "mask", "index": [b]}
    batches: Callable[[int, int], Iterator[dict]]
    inputs: Callable  # uint8 images -> the network's input, see `train.Recipe`
    pictures: Callable[[], str]  # digest of which pictures they are, in order


def open_split(
    config,
    crops: int = 1,
    name: str = "",
    limit: int = 0,
    recorded: Classes | None = None,
) -> Split:
    """Returns the pictures that a resolved configuration evaluates on.

    Args:
      config: the resolved configuration; uses `data`.
      crops: 1, 10 or 144 views of each picture; MNIST has 1.
      name: "val" for ImageNet, "test" for MNIST, "train" for either; "": not "train".
      limit: only so many pictures of this split; 0: as `data.limit` says.
      recorded: what the run recorded of its classes: they decide on the labels.

    Raises:
      UserError: no such split or number of crops, a bad limit, data are missing, or
        of other classes than the run's.
    """
    data_set = data.find(config.data)
    recorded = recorded or Classes(())  # of a run from before
    if limit < 0:
        raise UserError(f"limit is {limit}; it must be at least 0")
    config = config_dict.ConfigDict(config.to_dict())
    config.data.limit = limit or config.data.limit
    name = _known(name, (data_set.held_out, "train"))
    if data_set.in_memory:
        split = _open_in_memory(config, data_set, crops, name)
    else:
        split = _open_streamed(config, data_set, crops, name, recorded)
    if config.data.classes != len(split.class_names):
        raise UserError(
            f"the network has {config.data.classes} classes, but the data have "
            f"{len(split.class_names)}"
        )
    return split


def _open_in_memory(config, data_set, crops: int, name: str) -> Split:
    if crops != 1:
        raise UserError(
            f"crops is {crops}; {config.data.name} is evaluated with 1 view a picture"
        )
    splits = data.load(config.data)
    images, labels = splits.train if name == "train" else splits.test

    def batches(first: int, size: int):
        mine = np.array_split(np.arange(size), jax.process_count())
        mine = mine[jax.process_index()]
        for batch in evaluate.cut(images[:, None], labels, size, first):
            yield {name: value[mine] for name, value in batch.items()}

    inputs = data_set.inputs(config)
    which = files.digest({config.data.name: labels})
    names = splits.class_names
    return Split(name, len(labels), names, names, 1, batches, inputs, lambda: which)


def _open_streamed(config, data_set, crops: int, name: str, recorded) -> Split:
    from bn_repro.data import image_folder, stream

    if name != "train" and any(recorded):
        config.data.train = ""  # the classes are compared with the run's
    elif name != "train" and not image_folder.is_there(config.data, "train"):
        config.data.train = ""  # elsewhere; its classes were compared in training
        logging.warning(_UNRECORDED, config.data.val or config.data.dir)
    source = data.open_source(config.data, name, recorded)
    processes = (jax.process_index(), jax.process_count())

    def batches(first: int, size: int):
        return stream.view_batches(config, source, crops, size, first, *processes)

    inputs = data_set.inputs(config)
    return Split(
        name,
        len(source),
        source.class_names,
        source.wnids,
        crops,
        batches,
        inputs,
        pictures=functools.cache(source.pictures),
    )


def _known(name: str, known: tuple[str, ...]) -> str:
    if name and name not in known:
        raise UserError(f"there is no split {name!r}; use one of {', '.join(known)}")
    return name or known[0]
