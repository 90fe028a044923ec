"""The data sets by name and by where they are read from."""

from bn_repro.errors import UserError


def _mnist_packed(config):
    from bn_repro.data import mnist

    return mnist.load_packed(config)


def _mnist_tfds(config):
    from bn_repro.data import mnist_tfds

    return mnist_tfds.load(config)


def _imagenet_image_folder(config, split, recorded=None):
    from bn_repro.data import image_folder

    return image_folder.open_source(config, split, recorded)


def _imagenet_tfds(config, split, recorded=None):
    from bn_repro.data import imagenet

    return imagenet.open_source(config, split, recorded)


# Each entry imports its module when it is called, so that nobody pays for the others.
SOURCES = {
    "mnist": {"packed": _mnist_packed, "tfds": _mnist_tfds},
    "imagenet": {"image_folder": _imagenet_image_folder, "tfds": _imagenet_tfds},
}


def select(config):
    """Returns the function of SOURCES that config (the `data` keys) asks for.

    MNIST's take config and return its arrays in memory; ImageNet's take config, the
    split ("train" | "val") and perhaps the `classes.Classes` of a run whose labels they
    take, and return a random-access source of undecoded pictures.

    Raises:
        UserError: an unknown config.name or config.source.
    """
    if config.name not in SOURCES:
        raise UserError(
            f"config.data.name is {config.name!r}; accepted: {', '.join(SOURCES)}"
        )
    sources = SOURCES[config.name]
    if config.source not in sources:
        raise UserError(
            f"config.data.source is {config.source!r};"
            f" accepted for {config.name}: {', '.join(sources)}"
        )
    return sources[config.source]
