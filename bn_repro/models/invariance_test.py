"""What BN makes of the scale of the weights (Sec. 3.3), and gamma and beta of BN."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bn_repro import metrics, models
from bn_repro.layers import Mode
from bn_repro.resolve import resolve
from configs import mnist

RNG = np.random.default_rng(0)
IMAGES = jnp.asarray(RNG.random((30, 28, 28)))
LABELS = jnp.asarray(RNG.integers(0, 10, 30))


@pytest.fixture(autouse=True)
def wide():
    with jax.enable_x64(True):
        yield


def network(name, **overrides):
    config = mnist.get_config(name)
    values = {"model.hidden": (12, 9), "model.dtype": "float64", "bn.epsilon": 0.0}
    config.update_from_flattened_dict(values | overrides)
    model = models.build(resolve(config)[0])
    init = jax.jit(model.init, static_argnums=2)
    return model, init(jax.random.key(1), IMAGES, Mode(True))


@partial(jax.jit, static_argnums=0)
def gradient(model, variables, params):
    def loss(params):
        logits, _ = model.apply({**variables, "params": params}, IMAGES, Mode())
        return metrics.cross_entropy(logits, LABELS).mean()

    return jax.grad(loss)(params)


def scaled(params, factor):
    """Returns params with the weights that BN normalises times a factor."""
    return jax.tree_util.tree_map_with_path(
        lambda path, w: w * (factor if is_normalised(path) else 1.0), params
    )


def is_normalised(path):
    name = jax.tree_util.keystr(path)
    return "hidden" in name and "kernel" in name


@pytest.mark.parametrize("a", [0.1, 7.0])
def test_weights_times_a_at_a_rate_times_a_squared_train_alike(a):
    """BN((aW)u) = BN(Wu) and d/d(aW) = (1/a) d/dW, eps = 0, no L2 (Sec. 3.3)."""
    model, variables = network("bn")
    one, other = variables["params"], scaled(variables["params"], a)
    first = [gradient(model, variables, params) for params in (one, other)]
    small = scaled(first[0], 1 / a)
    for found, expected in zip(*map(jax.tree.leaves, (first[1], small)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-12)
    rates = scaled(jax.tree.map(lambda w: 0.5, one), a**2)
    for _ in range(25):
        grads = [gradient(model, variables, params) for params in (one, other)]
        one = jax.tree.map(lambda w, g: w - 0.5 * g, one, grads[0])
        other = jax.tree.map(lambda w, g, r: w - r * g, other, grads[1], rates)
    again = scaled(one, a)
    for found, expected in zip(*map(jax.tree.leaves, (other, again)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("nonlinearity", ["sigmoid", "relu"])
def test_gamma_and_beta_from_the_data_give_the_plain_network(nonlinearity):
    """gamma = sqrt(Var[x] + eps), beta = E[x] + b undo the normalisation (Sec. 3)."""
    eps = 1e-3
    of = {"model.nonlinearity": nonlinearity, "bn.epsilon": eps}
    plain, variables = network("plain", **of)
    bn, with_bn = network("bn", **of)
    taps = plain.apply(variables, IMAGES, Mode())[1]
    params = dict(with_bn["params"])
    params["classifier"] = variables["params"]["classifier"]
    for name, x in taps.items():
        x = np.asarray(x)
        undone = {"scale": np.sqrt(x.var(0) + eps), "bias": x.mean(0)}
        params[name] = {"kernel": variables["params"][name]["kernel"], "bn": undone}
    found = bn.apply({**with_bn, "params": params}, IMAGES, Mode())[0]
    expected = plain.apply(variables, IMAGES, Mode())[0]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
