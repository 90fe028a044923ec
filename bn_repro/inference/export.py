"""The inference network as files that are used without this package."""

from pathlib import Path

import jax
import jax.export  # not an attribute of jax before it is imported
import jax.numpy as jnp
import numpy as np

from bn_repro import data
from bn_repro.errors import UserError
from bn_repro.inference import fold, splits
from bn_repro.inference.members import Member
from bn_repro.layers import Mode
from bn_repro.platforms import for_export
from bn_repro.run_folder import files, manifest

NETWORK = "network.bin"
DESCRIPTION = "network.json"
PLATFORMS = ("cpu", "cuda", "tpu")
KNOWN = (*PLATFORMS, "rocm")


def classifier(config, module, variables):
    """Returns the function of the exported network: uint8 images -> probabilities.

    The variables become constants of the program.

    Returns:
      uint8 [b, H, W, 3] (MNIST: [b, 28, 28] of 0 and 1) -> float32 [b, classes].
    """
    inputs = data.find(config.data).inputs(config)

    def probabilities(images):
        logits, _ = module.apply(variables, inputs(images, None), Mode(True))
        return jax.nn.softmax(logits.astype(jnp.float32), -1)

    return probabilities


def write(member: Member, variables, out, platforms=PLATFORMS) -> dict:
    """Writes the folded network and its description into a folder.

    Args:
      member: the trained network.
      variables: params and the statistics to fold.
      out: the folder.
      platforms: to export for.

    Returns:
      The description: labels, preprocessing constants, versions.

    Raises:
      UserError: an unknown platform, outputs that are not finite, the folder cannot be
        written, or the run did not record its classes' names and the data that have
        them are missing.
    """
    if not platforms or set(platforms) - set(KNOWN):
        raise UserError(f"platforms are {list(platforms)}; use some of {list(KNOWN)}")
    module, params = fold.inference_network(member.config, variables)
    function = jax.jit(classifier(member.config, module, {"params": params}))
    _refuse_not_finite(member, params, function)
    shape = image_shape(member.config)
    (batch,) = jax.export.symbolic_shape("b")
    images = jax.ShapeDtypeStruct((batch, *shape), jnp.uint8)
    with for_export(True):
        exported = jax.export.export(function, platforms=platforms)(images)
    described = describe(member, platforms)
    out = Path(out)
    with files.naming(out, "write"):
        out.mkdir(parents=True, exist_ok=True)
    files.write_atomically(out / NETWORK, bytes(exported.serialize()))
    files.write_json(out / DESCRIPTION, described)
    return described


def describe(member: Member, platforms) -> dict:
    """Returns what a user of the exported network has to know."""
    keys = member.config.data
    labels = list(member.classes.names)
    if not labels:
        split = splits.open_split(member.config, recorded=member.classes)
        labels = split.class_names
    described = {
        "run": member.name,
        "steps": member.step,
        "input": ["b", *image_shape(member.config)],
        "dtype": "uint8",
        "labels": labels,
        "platforms": list(platforms),
        "versions": manifest.versions(),
    }
    return described | data.find(keys).preprocessing(keys)


def image_shape(config) -> tuple[int, ...]:
    """Returns the shape of one image of a configuration's data set."""
    return data.find(config.data).image_shape(config.data)


def _refuse_not_finite(member: Member, params, function) -> None:
    """Raises UserError if params, or probabilities of random pictures, are not finite.

    Probabilities alone do not tell: compiled at XLA's optimization level 0, a program's
    first call may give 0.1 for each of ten classes where weights are NaN.
    """
    config = member.config
    most = data.find(config.data).pixel_values
    noise = np.random.default_rng(0).integers(0, most, (8, *image_shape(config)))
    values = [*jax.tree.leaves(params), function(noise.astype(np.uint8))]
    if not all(np.isfinite(value).all() for value in values):
        raise UserError(
            f"{member.path}: its outputs are not finite, so there is nothing to "
            f"export; the run may have diverged"
        )
