"""Holds the descent, its schedule and its penalty against paper.md's formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bn_repro import optim
from configs import common


def section(**values):
    optimizer = common.get_config().optimizer
    optimizer.update(values)
    return optimizer


def parameters():
    rng = np.random.default_rng(0)
    layer = lambda: {  # noqa: E731
        "kernel": rng.normal(size=(3, 2)),
        "bias": rng.normal(size=2),
        "bn": {"scale": rng.normal(size=2), "bias": rng.normal(size=2)},
    }
    return {"3a": {"conv": layer()}, "classifier": layer()}


def test_momentum_and_l2_follow_their_formula():
    """v = 0.9 v + (g + l2 w); gamma, beta and biases have no l2."""
    params, l2 = jax.tree.map(jnp.asarray, parameters()), 0.3
    optimizer = optim.make_optimizer(section(momentum=0.9, l2=l2))
    state = optimizer.init(params)
    velocity = jax.tree.map(np.zeros_like, params)
    decayed = optim.is_weight(params)
    for seed in range(3):
        grads = jax.tree.map(lambda w: jnp.cos(w * 7 + seed), params)  # noqa: B023
        updates, state = optimizer.update(grads, state, params)
        velocity = jax.tree.map(
            lambda v, g, w, d: 0.9 * v + g + (l2 * w if d else 0),
            velocity,
            grads,
            params,
            decayed,
        )
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), updates, velocity
        )
        params = jax.tree.map(lambda w, v: w - 0.1 * v, params, velocity)


def test_only_weights_are_penalised():
    params = parameters()
    kernels = [params["3a"]["conv"]["kernel"], params["classifier"]["kernel"]]
    expected = 0.5 * 4e-5 * sum((k**2).sum() for k in kernels)
    np.testing.assert_allclose(optim.l2_penalty(params, 4e-5), expected, rtol=1e-6)


@pytest.mark.parametrize("epochs", [8.0, 8 / 6])
def test_rate_falls_every_so_many_epochs(epochs):
    """x 0.96 every 8 epochs, or 6 times faster (Sec. 4.2.1)."""
    steps_per_epoch = 1_281_167 / 32
    factor = optim.rate_factor(
        section(decay_factor=0.96, decay_epochs=epochs), steps_per_epoch
    )
    for step in (0, 40_000, 54_000, 320_000, 330_000, 5_000_000):
        expected = 0.96 ** np.floor(step / (epochs * steps_per_epoch))
        np.testing.assert_allclose(factor(step), expected, rtol=1e-5)


def test_warm_up_is_linear_and_off_by_default():
    factor = optim.rate_factor(section(warmup_steps=4), 100)
    warm = [float(factor(step)) for step in range(6)]
    np.testing.assert_allclose(warm, [0.25, 0.5, 0.75, 1, 1, 1])
    assert float(optim.rate_factor(section(), 100)(0)) == 1
