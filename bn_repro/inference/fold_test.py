"""The folded network has no BN left and gives the same logits."""

from functools import cache, partial

import jax
import numpy as np
import pytest

from bn_repro import models
from bn_repro.errors import UserError
from bn_repro.inference import fold
from bn_repro.layers import Mode
from bn_repro.models.inception_test import drawn
from bn_repro.resolve import resolve
from configs import mnist, tiny_imagenet


def names(tree):
    found = jax.tree_util.tree_flatten_with_path(tree)[0]
    return [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in found]


def both(config, images):
    variables = drawn(models.shapes(config))
    module, params = fold.inference_network(config, variables)

    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def logits(variables, params):
        before = models.build(config).apply(variables, images, Mode(True))[0]
        return before, module.apply({"params": params}, images, Mode(True))[0]

    before, after = jax.device_get(logits(variables, params))
    return before, after, variables, params


@pytest.mark.parametrize("norm", ["before", "after", "none", "layer_norm"])
def test_mlp(norm):
    config = mnist.get_config("bn")
    config.model.hidden = (20, 15)
    config.model.norm = norm
    if norm in ("before", "after"):
        config.model.norm, config.model.norm_placement = "batch_norm", norm
    images = np.random.default_rng(1).integers(0, 2, (9, 28, 28)).astype(np.float32)
    before, after, variables, params = both(resolve(config)[0], images)
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4)
    if norm == "before":
        assert set(params["hidden_1"]) == {"kernel", "bias"}
        with pytest.raises(AssertionError):  # the statistics do matter
            shifted = jax.tree.map(lambda x: x + 1, variables["batch_stats"])
            changed = variables | {"batch_stats": shifted}
            _, other = fold.inference_network(resolve(config)[0], changed)
            jax.tree.map(np.testing.assert_allclose, other, params)
    if norm == "after":
        assert set(params["hidden_1"]["bn"]) == {"a", "b"}


@cache
def small_inception(**overrides):
    config = tiny_imagenet.get_config("bn_x30")
    sizes = {"model.width": 0.125, "data.image_size": 32, "data.classes": 10}
    config.update_from_flattened_dict(sizes | overrides)
    return resolve(config)[0]


@pytest.mark.slow
@pytest.mark.parametrize("per_activation", [False, True])
def test_inception(per_activation):
    config = small_inception(**{"model.per_activation_last": per_activation})
    images = np.random.default_rng(1).normal(size=(3, 32, 32, 3)).astype(np.float32)
    before, after, _, params = both(config, images)
    assert np.abs(after - before).max() < 1e-4 * np.abs(before).max()
    left = {name.split("/")[0] for name in names(params) if "/bn/" in name}
    assert left == ({"5a", "5b"} if per_activation else set())


@pytest.mark.parametrize("norm", ["center", "standardize"])
def test_statistics_of_another_norm_are_refused(norm):
    config = mnist.get_config("bn")
    config.model.norm = norm
    config = resolve(config)[0]
    with pytest.raises(UserError, match=f"model.norm='{norm}' cannot be exported"):
        fold.inference_network(config, drawn(models.shapes(config)))
