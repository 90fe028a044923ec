"""The parts of an experiment: data, training step, evaluations and probe."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from bn_repro import (
    data,
    evaluate,
    feeds,
    layers,
    metrics,
    models,
    parallel,
    resolve,
    train,
)
from bn_repro.data import source_views
from bn_repro.errors import UserError
from bn_repro.probe import Probe
from bn_repro.run_folder import files

ROOM = 0.75  # of a device's memory that decoded pictures may take


class Experiment(NamedTuple):
    """What the training loop runs."""

    recipe: train.Recipe  # what a training step does
    feed: object  # does training steps; see `feeds`
    # (split, statistics) -> function of the variables to metrics and hits
    evaluations: dict[tuple[str, str], Callable]
    # finds the statistics of Algorithm 2 for the evaluations named so
    population: evaluate.PopulationStatistics
    probe: Probe  # function of the variables to the fields of an activation record
    image_shape: tuple[int, ...]  # shape of one image
    class_names: list[str]  # of the data set, in the order of its labels
    digests: dict[str, str]  # split -> sha256 of which examples it holds
    examples: dict[str, int]  # split -> number of examples
    # names of the class folders, in the order of the labels; empty where the data set
    # has none
    class_folders: tuple[str, ...] = ()


def make(config, mesh) -> Experiment:
    """Returns the parts of the experiment that a resolved configuration describes.

    Runs that differ only in resolve.VARIED share all but the feed: what the one before
    compiled is not compiled again.
    """
    data_set = data.find(config.data)
    models.check_names(config)
    made_of = (
        data_set.stamp(config.data),
        data_set.sources[config.data.source],
        data_set.inputs,
        models.MODELS[config.model.name],
        models.NORMS[config.model.norm],
    )
    shared = _make_shared(resolve.without_varied(config), mesh, made_of)
    return shared._replace(feed=shared.feed.for_run(config))


@functools.lru_cache(maxsize=2)  # each holds its data and programs
def _make_shared(config, mesh, made_of: tuple) -> Experiment:
    del made_of  # part of the key only: what is other now is made anew
    data_set = data.find(config.data)
    make_parts = _in_memory if data_set.in_memory else _streamed
    return make_parts(config, data_set, mesh)


forget = _make_shared.cache_clear  # frees the data and programs of earlier runs


def _in_memory(config, data_set: data.DataSet, mesh) -> Experiment:
    """Returns an experiment, such as MNIST's, whose data live on the devices."""
    train_split, test_split, class_names = data.load(config.data)
    stated = tuple(data_set.image_shape(config.data))
    for images, _ in (train_split, test_split):
        if images.shape[1:] != stated:
            raise UserError(
                f"the images of data.name={config.data.name} are "
                f"{list(images.shape[1:])}, but its image_shape says {list(stated)}: "
                f"set data.image_size, or the image_shape of its DataSet"
            )
    if config.data.classes != len(class_names):
        raise UserError(
            f"data.classes is {config.data.classes}, but {config.data.name} has "
            f"{len(class_names)}"
        )
    if config.eval.batch_statistics:
        refuse_single_values(config, mesh.size, len(test_split.labels))
    inputs = data_set.inputs(config)
    recipe = train.make_recipe(config, inputs, len(train_split.labels))
    evaluations = {
        statistics: evaluate.InMemoryEvaluation(
            recipe, mesh, test_split, batch_size, statistics
        )
        for statistics, batch_size in _evaluation_sizes(config).items()
    }
    splits = {"train": train_split, data_set.held_out: test_split}
    found = _by_statistics(config, data_set.held_out, evaluations)
    if config.eval.train:
        found["train", "ema"] = evaluate.InMemoryEvaluation(
            recipe, mesh, train_split, config.eval.batch_size, "ema"
        )
    return Experiment(
        recipe=recipe,
        feed=feeds.InMemoryFeed(config, recipe, mesh, train_split),
        evaluations=found,
        population=evaluate.PopulationStatistics(config, recipe, mesh),
        probe=Probe(config, inputs, *test_split),
        image_shape=train_split.images.shape[1:],
        class_names=class_names,
        digests={name: files.digest(x._asdict()) for name, x in splits.items()},
        examples={name: len(split.labels) for name, split in splits.items()},
    )


def _streamed(config, data_set: data.DataSet, mesh) -> Experiment:
    """Returns an experiment, such as ImageNet's, whose pictures are streamed."""
    from bn_repro.data import stream  # here: data in memory need no OpenCV

    splits = ("train", data_set.held_out)
    sources = {split: data.open_source(config.data, split) for split in splits}
    held_out = sources[data_set.held_out]
    if config.eval.batch_statistics:
        refuse_single_values(config, mesh.size, len(held_out))
    processes = (jax.process_index(), jax.process_count())
    inputs = data_set.inputs(config)
    recipe = train.make_recipe(config, inputs, len(sources["train"]))

    def train_batches(config, step):
        return stream.train_batches(config, sources["train"], step, *processes)

    def evaluation(statistics, batch_size):
        is_batch = statistics == "batch"
        source = source_views.mixed(held_out) if is_batch else held_out
        padded = batch_size + -batch_size % mesh.size
        arguments = config, source, *processes, padded
        batches = functools.partial(stream.eval_batches, *arguments)
        count = len(source)
        return evaluate.StreamedEvaluation(recipe, mesh, batches, statistics, count)

    if config.data.on_device:
        feed = _on_device(config, recipe, mesh, sources["train"])
    else:
        feed = feeds.StreamedFeed(config, recipe, mesh, train_batches)
    sizes = _evaluation_sizes(config)
    evaluations = {name: evaluation(name, n) for name, n in sizes.items()}
    return Experiment(
        recipe=recipe,
        feed=feed,
        evaluations=_by_statistics(config, data_set.held_out, evaluations),
        population=evaluate.PopulationStatistics(config, recipe, mesh),
        probe=Probe(config, inputs, *_first_examples(config, held_out)),
        image_shape=data_set.image_shape(config.data),
        class_names=held_out.class_names,
        digests={split: source.digest() for split, source in sources.items()},
        examples={split: len(source) for split, source in sources.items()},
        class_folders=tuple(held_out.wnids),
    )


def _on_device(config, recipe, mesh, source):
    """Returns the feed of pictures that are decoded once."""
    from bn_repro import on_device_feed  # here, as above
    from bn_repro.data import on_device

    room = _room(mesh)
    total = room and room * mesh.size
    pictures = on_device.load(source, config.data, parallel.say, total, mesh.size)
    spread = room is not None and pictures.images.nbytes > room
    return on_device_feed.OnDeviceFeed(config, recipe, mesh, pictures, spread)


def _room(mesh) -> int | None:
    """Returns the bytes that pictures may take of a device; None where not known."""
    memory = mesh.local_devices[0].memory_stats() or {}
    limit = memory.get("bytes_limit")
    return limit and int(ROOM * limit)


def refuse_single_values(config, devices: int, examples: int) -> None:
    """Raises UserError if a BN would normalise over a single value, and why.

    Its output would be beta, whatever the input. Feature maps of several locations have
    several values an example (Sec. 3.2). `examples` are cut into mini-batches of
    batch_size; the last may be smaller.
    """
    layer = _of_one_value(config)
    if not layer:
        return
    per_device = config.batch_size // devices
    groups, spanning = layers.check_groups(config.bn.batch, per_device, devices)
    size = config.batch_size if spanning else per_device // groups
    if size > 1 and examples % size != 1:
        return
    last = f"the last of {examples:,} examples in groups of {size}: "
    last = "" if size == 1 else last
    raise UserError(
        f"batch_size={config.batch_size} on {devices} devices with bn.batch="
        f"{config.bn.batch} has BN normalise over one example ({last}{layer} has one "
        f"value there, and BN would put out beta alone); use a larger or other "
        f"batch_size" + (", or eval.batch_statistics=False" if last else "")
    )


def _of_one_value(config) -> str:
    """Returns which normalised layer has one value an example, or "" if none."""
    if config.model.norm != "batch_norm":
        return ""
    if config.model.name == "mlp":
        return "a fully connected layer"
    if config.model.per_activation_last:
        return "each activation of 5a and 5b"
    if config.data.image_size <= 32:
        return "a feature map of 1 x 1 at the end"
    return ""


def _evaluation_sizes(config) -> dict[str, int]:
    """Returns kind of statistics -> examples a batch; a mini-batch's own are optional.

    Their batch is the training batch: it is what normalises.
    """
    sizes = {"ema": config.eval.batch_size}
    if config.eval.batch_statistics and config.model.norm == "batch_norm":
        sizes["batch"] = config.batch_size
    return sizes


def _by_statistics(config, split: str, evaluations: dict) -> dict:
    """Returns the evaluations by split and statistics; "population" is run as "ema"."""
    found = {(split, statistics): run for statistics, run in evaluations.items()}
    if config.eval.population_batches_during and config.model.norm == "batch_norm":
        found[split, "population"] = evaluations["ema"]
    return found


def _first_examples(config, source):
    """Returns the probe set: evenly spaced pictures of a split, and their labels.

    Mixed, since a source is sorted by class: cut in order, each mini-batch of the probe
    would be of a few classes.
    """
    from bn_repro.data import stream

    subset = source_views.limited(source, config.probe.examples)
    subset = source_views.mixed(subset)
    batches = list(stream.eval_batches(config, subset))
    mask = np.concatenate([batch["mask"] for batch in batches])
    metrics.refuse_none(mask.sum(), len(subset))
    images, labels = (
        np.concatenate([batch[name] for batch in batches])[mask]
        for name in ("image", "label")
    )
    return images, labels
