"""The parts of an experiment: data, training step, evaluations and probe."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import config_dict

from bn_repro import data, evaluate, feeds, resolve, train
from bn_repro.data import mnist
from bn_repro.data.source_views import EvenlySpaced, Mixed
from bn_repro.errors import UserError
from bn_repro.probe import Probe


class Experiment(NamedTuple):
    """What the training loop runs.

    Attributes:
      recipe: what a training step does.
      feed: does training steps; see `feeds`.
      evaluations: (split, statistics) -> function of the variables to metrics and hits.
      population: finds the statistics of Algorithm 2 for the evaluations named so.
      probe: function of the variables to the fields of an activation record.
      image_shape: shape of one image.
      class_names: of the data set, in the order of its labels.
      digests: split -> sha256 of which examples it holds.
      class_folders: names of the class folders, in the order of the labels; empty where
        the data set has none.
    """

    recipe: train.Recipe
    feed: object
    evaluations: dict[tuple[str, str], Callable]
    population: evaluate.PopulationStatistics
    probe: Probe
    image_shape: tuple[int, ...]
    class_names: list[str]
    digests: dict[str, str]
    class_folders: tuple[str, ...] = ()


IN_MEMORY = ("mnist",)  # data sets that live on the devices


def make(config, mesh) -> Experiment:
    """Returns the parts of the experiment that a resolved configuration describes.

    Runs that differ only in resolve.VARIED share all but the feed: what the one before
    compiled is not compiled again.
    """
    data.select(config.data)  # refuses an unknown data set or source by name
    shared = _make_shared(resolve.without_varied(config), mesh)
    return shared._replace(feed=shared.feed.for_run(config))


@functools.lru_cache(maxsize=2)  # each holds its data and programs
def _make_shared(config, mesh) -> Experiment:
    return EXPERIMENTS[config.data.name](config, mesh)


forget = _make_shared.cache_clear  # frees the data and programs of earlier runs


def make_mnist(config, mesh) -> Experiment:
    """Returns the MNIST experiment of Sec. 4.1; its data live on the devices."""
    train_split, test_split, class_names = mnist.load(config.data)
    if config.data.classes != len(class_names):
        raise UserError(
            f"data.classes is {config.data.classes}, but MNIST has {len(class_names)}"
        )
    if config.data.limit:
        limit = slice(config.data.limit)
        train_split = mnist.Arrays(*(x[limit] for x in train_split))
        test_split = mnist.Arrays(*(x[limit] for x in test_split))

    inputs = binary_inputs(config)
    recipe = train.make_recipe(config, inputs, len(train_split.labels))
    evaluations = {
        statistics: evaluate.InMemoryEvaluation(
            recipe, mesh, test_split, batch_size, statistics
        )
        for statistics, batch_size in _evaluation_sizes(config).items()
    }
    splits = {"train": train_split, "test": test_split}
    return Experiment(
        recipe=recipe,
        feed=feeds.InMemoryFeed(config, recipe, mesh, train_split),
        evaluations=_by_statistics(config, "test", evaluations),
        population=evaluate.PopulationStatistics(config, recipe, mesh),
        probe=Probe(config, inputs, *test_split),
        image_shape=train_split.images.shape[1:],
        class_names=class_names,
        digests={name: mnist.digest(x._asdict()) for name, x in splits.items()},
    )


def make_imagenet(config, mesh) -> Experiment:
    """Returns the ImageNet experiment of Sec. 4.2; its pictures are streamed."""
    from bn_repro.data import stream  # here: MNIST need not import OpenCV

    sources = {split: open_source(config, split) for split in ("train", "val")}
    processes = (jax.process_index(), jax.process_count())
    inputs = image_inputs(config)
    recipe = train.make_recipe(config, inputs, len(sources["train"]))

    def train_batches(config, step):
        return stream.train_batches(config, sources["train"], step, *processes)

    def evaluation(statistics, batch_size):
        padded = config_dict.ConfigDict(config.to_dict())
        padded.eval.batch_size = batch_size + -batch_size % mesh.size
        source = Mixed(sources["val"]) if statistics == "batch" else sources["val"]
        batches = functools.partial(stream.eval_batches, padded, source, *processes)
        return evaluate.StreamedEvaluation(
            recipe, mesh, batches, statistics, len(source)
        )

    sizes = _evaluation_sizes(config)
    evaluations = {name: evaluation(name, n) for name, n in sizes.items()}
    return Experiment(
        recipe=recipe,
        feed=feeds.StreamedFeed(config, recipe, mesh, train_batches),
        evaluations=_by_statistics(config, "val", evaluations),
        population=evaluate.PopulationStatistics(config, recipe, mesh),
        probe=Probe(config, inputs, *_first_examples(config, sources["val"])),
        image_shape=(config.data.image_size, config.data.image_size, 3),
        class_names=sources["val"].class_names,
        digests={split: source.digest() for split, source in sources.items()},
        class_folders=tuple(sources["val"].wnids),
    )


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


def open_source(config, split: str, recorded=None):
    """Returns the random-access source of a split's pictures, "train" or "val".

    Args:
      config: the resolved configuration.
      split: "train" or "val".
      recorded: `classes.Classes` of a run: the pictures get the labels that it gave.
    """
    source = data.select(config.data)(config.data, split, recorded)
    return EvenlySpaced(source, config.data.limit) if config.data.limit else source


def limited(config, limit: int):
    """Returns the configuration with `data.limit` replaced; as it is where 0."""
    if limit < 0:
        raise UserError(f"limit is {limit}; it must be at least 0")
    config = config_dict.ConfigDict(config.to_dict())
    config.data.limit = limit or config.data.limit
    return config


def inputs_of(config) -> Callable:
    """Returns `train.Recipe.inputs` of a configuration's data set."""
    return {"mnist": binary_inputs, "imagenet": image_inputs}[config.data.name](config)


def binary_inputs(config) -> Callable:
    """Returns `train.Recipe.inputs` for binary images, which are not distorted."""

    def inputs(images, keys):
        del keys
        return images.astype(jnp.dtype(config.model.dtype))

    return inputs


def image_inputs(config) -> Callable:
    """Returns `train.Recipe.inputs` for pictures: distortion and scaling."""
    from bn_repro.data import augment

    dtype = jnp.dtype(config.model.dtype)
    wide = jnp.promote_types(dtype, jnp.float32)

    def inputs(images, keys):
        if keys is not None:
            images = augment.distort(images, keys, config.data.distortion, wide)
        return augment.scale(images, dtype)

    return inputs


def _first_examples(config, source):
    """Returns the probe set: evenly spaced pictures of a split, and their labels.

    Mixed, since a source is sorted by class: cut in order, each mini-batch of the probe
    would be of a few classes.
    """
    from bn_repro.data import stream

    subset = Mixed(EvenlySpaced(source, config.probe.examples))
    batches = list(stream.eval_batches(config, subset))
    mask = np.concatenate([batch["mask"] for batch in batches])
    images, labels = (
        np.concatenate([batch[name] for batch in batches])[mask]
        for name in ("image", "label")
    )
    return images, labels


EXPERIMENTS = {"mnist": make_mnist, "imagenet": make_imagenet}
