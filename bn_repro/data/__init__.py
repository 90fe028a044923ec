"""The data sets by name, and their examples."""

from bn_repro.data import imagenet, mnist
from bn_repro.data.data_set import Arrays, DataSet, Splits
from bn_repro.data.source_views import limited
from bn_repro.errors import UserError

SOURCES = {"mnist": mnist.DATA_SET, "imagenet": imagenet.DATA_SET}


def find(keys) -> DataSet:
    """Returns the data set that `config.data` names.

    Raises:
      UserError: an unknown data.name or data.source.
    """
    if keys.name not in SOURCES:
        raise UserError(
            f"config.data.name is {keys.name!r}; accepted: {', '.join(SOURCES)}"
        )
    sources = SOURCES[keys.name].sources
    if keys.source not in sources:
        raise UserError(
            f"config.data.source is {keys.source!r};"
            f" accepted for {keys.name}: {', '.join(sources)}"
        )
    return SOURCES[keys.name]


def load(keys) -> Splits:
    """Returns the splits of a data set in memory, up to data.limit examples each.

    Raises:
      UserError: an unknown or a bad value, no such data, data that are damaged, or
        labels that are not those of the classes, one an image.
    """
    train, test, class_names = find(keys).sources[keys.source](keys)
    for split in (train, test):
        _check_labels(keys.name, *split, len(class_names))
    kept = slice(keys.limit or None)
    limited = (Arrays(*(x[kept] for x in split)) for split in (train, test))
    return Splits(*limited, class_names)


def check(keys) -> None:
    """Raises UserError where the examples that `config.data` names cannot be had."""
    data_set = find(keys)
    if data_set.in_memory:
        load(keys)
        return
    for split in ("train", data_set.held_out):
        open_source(keys, split)


def _check_labels(name: str, images, labels, classes: int) -> None:
    """Refuses labels that count from 1, are one-hot, or belong to no image or class."""
    if (
        labels.shape != (len(images),)
        or labels.dtype.kind not in "iu"
        or ((labels < 0) | (labels >= classes)).any()
    ):
        found = f"{labels.dtype}{list(labels.shape)}"
        if labels.size:
            found += f" from {labels.min()} to {labels.max()}"
        raise UserError(
            f"the labels of data.name={name} must be whole numbers from 0 to "
            f"{classes - 1}, one for each of the {len(images):,} images; they are "
            f"{found}"
        )


def open_source(keys, split: str, recorded=None):
    """Returns random access to a streamed split's pictures, up to data.limit of them.

    `split` is "train" or the data set's `held_out`. Where the `classes.Classes` of a
    run are given, the pictures get its labels.

    Raises:
      UserError: as `load`.
    """
    source = find(keys).sources[keys.source](keys, split, recorded)
    return limited(source, keys.limit) if keys.limit else source
