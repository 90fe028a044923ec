"""Sec. 2's bias b against the closed form for a linear unit: a mean square descends.

x^ = (u + b - E[u + b]) / s, loss (1/2) mean (x^ - t)^2. To descent that holds the
statistics constant the gradient of b is mean(x^ - t) / s = -mean(t) / s, whatever b is;
so after k steps of rate r, b = k r mean(t) / s at the loss that was there at first.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bn_repro import layers, naive_norm

U, T, RATE, STEPS = np.array([[1.0], [3.0], [8.0]]), 0.7, 0.1, 40


def descend(gradient, scaled):
    norm = partial(layers.BatchNorm, epsilon=0.0, gradient=gradient, scaled=scaled)
    unit = naive_norm.NaiveNorm(norm, jnp.float64)
    variables = unit.init(jax.random.key(0), U, True)

    @jax.jit
    @jax.value_and_grad
    def loss(params):
        y, _ = unit.apply(
            {**variables, "params": params}, U, False, mutable=["batch_stats"]
        )
        return 0.5 * jnp.mean((y - T) ** 2)

    params, losses = variables["params"], []
    for _ in range(STEPS):
        value, grads = loss(params)
        params = jax.tree.map(lambda w, g: w - RATE * g, params, grads)
        losses.append(float(value))
    return float(params["bias"][0]), losses


@pytest.mark.parametrize("scaled", [False, True])
def test_a_bias_outside_the_gradient_grows_with_the_steps_at_a_constant_loss(scaled):
    spread = U.std() if scaled else 1.0
    x_hat = (U - U.mean()) / spread
    with jax.enable_x64(True):
        b, losses = descend("stop", scaled)
        still, _ = descend("full", scaled)
    np.testing.assert_allclose(b, STEPS * RATE * T / spread, rtol=1e-6)
    np.testing.assert_allclose(losses, 0.5 * np.mean((x_hat - T) ** 2), rtol=1e-6)
    np.testing.assert_allclose(still, 0.0, atol=1e-12)
