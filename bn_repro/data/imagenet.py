"""ImageNet (LSVRC2012, Sec. 4.2) or other pictures in folders by class, streamed."""

from bn_repro.data.data_set import DataSet


def _image_folder(keys, split: str, recorded):
    from bn_repro.data import image_folder  # here: nobody pays for OpenCV before

    return image_folder.open_source(keys, split, recorded)


def _tfds(keys, split: str, recorded):
    from bn_repro.data import imagenet_tfds

    return imagenet_tfds.open_source(keys, split, recorded)


def _stamp(keys) -> tuple:
    from bn_repro.data import image_folder

    if keys.source != "image_folder":
        return ()
    return tuple(image_folder.located(keys, split) for split in ("train", "val"))


def image_inputs(config):
    """Returns `train.Recipe.inputs` for pictures: distortion and scaling."""
    import jax.numpy as jnp  # here: processes that decode need no JAX

    from bn_repro.data import augment

    dtype = jnp.dtype(config.model.dtype)
    wide = jnp.promote_types(dtype, jnp.float32)

    def inputs(images, keys):
        if keys is not None:
            images = augment.distort(images, keys, config.data.distortion, wide)
        return augment.scale(images, dtype)

    return inputs


def _preprocessing(keys) -> dict:
    from bn_repro.data import augment

    return {
        "resize_shorter_side": keys.eval_resize,
        "centre_crop": keys.image_size,
        "channels": "RGB, 0..255",
        "scaled_inside_by": {
            "mean": list(augment.MEAN),
            "standard_deviation": list(augment.STANDARD_DEVIATION),
        },
    }


DATA_SET = DataSet(
    in_memory=False,
    sources={"image_folder": _image_folder, "tfds": _tfds},
    held_out="val",
    image_shape=lambda keys: (keys.image_size, keys.image_size, 3),
    inputs=image_inputs,
    preprocessing=_preprocessing,
    stamp=_stamp,
)
