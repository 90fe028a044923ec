"""What has to hold on a GPU or TPU; on a CPU, where these run too, it is easily so."""

import jax
import jax.export  # not an attribute of jax before it is imported
import jax.numpy as jnp
import numpy as np
import pytest

from bn_repro import convolutions, models
from bn_repro.errors import UserError
from bn_repro.layers import Mode
from bn_repro.loop_test import short
from bn_repro.platforms import for_export
from bn_repro.resolve import resolve
from configs import imagenet

pytestmark = pytest.mark.accelerator


def gradient_text(config, platform):
    """Returns the program of a loss's gradient, lowered for a platform."""
    model = models.build(resolve(config)[0])
    size = config.data.image_size
    shape = (2, size, size, 3) if config.model.name == "inception" else (2, 28, 28)
    images = jax.ShapeDtypeStruct(shape, jnp.float32)
    variables = jax.eval_shape(
        lambda x: model.init(jax.random.key(0), x, Mode(True)), images
    )

    def loss(params, rest, images):
        return model.apply({**rest, "params": params}, images, Mode())[0].sum()

    rest = {k: v for k, v in variables.items() if k != "params"}
    arguments = variables["params"], rest, images
    with for_export(True):
        export = jax.export.export(jax.jit(jax.grad(loss)), platforms=[platform])
        return export(*arguments).mlir_module()


def products(text):
    """Returns the lines of a program that multiply matrices or convolve."""
    names = ("stablehlo.dot_general", "stablehlo.convolution")
    return [line for line in text.splitlines() if any(n in line for n in names)]


def small_inception():
    config = imagenet.get_config("bn_x30")
    config.model.width, config.data.image_size = 0.02, 32
    config.bn.batch = "device"
    return config


@pytest.mark.parametrize(
    "make",
    [lambda: short("bn"), pytest.param(small_inception, marks=pytest.mark.slow)],
    ids=["mlp", "inception"],
)
@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_highest_is_in_every_product_of_the_network_and_its_gradient(make, platform):
    config = make()
    assert not any("HIGHEST" in x for x in products(gradient_text(config, platform)))
    config.model.precision = "highest"
    found = products(gradient_text(config, platform))
    assert len(found) >= 7 and all("HIGHEST" in line for line in found)


def test_another_precision_is_refused():
    with pytest.raises(UserError, match="model.precision is 'half'; it must be one of"):
        resolve(short("bn", **{"model.precision": "half"}))


def test_a_convolution_of_highest_precision_is_that_of_float32():
    rng = np.random.default_rng(0)
    x, kernel = (rng.normal(size=s) for s in ((2, 9, 9, 32), (3, 3, 32, 16)))
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    exact = sum(
        padded[:, i : i + 9, j : j + 9] @ kernel[i, j]
        for i in range(3)
        for j in range(3)
    )
    with jax.default_matmul_precision("highest"):
        found = convolutions.convolution(np.float32(x), np.float32(kernel))
    assert np.abs(found - exact).max() < 1e-5 * np.abs(exact).max()
