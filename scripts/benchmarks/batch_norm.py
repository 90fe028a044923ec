"""The BN operation, forward and backward, against flax.linen.BatchNorm."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from benchmarks.timing import Figure, Row, alternate, counted, ratio
from bn_repro import batch_norm
from bn_repro.layers import BatchNorm

SHAPE = (16, 56, 56, 64)
AXES = (0, 1, 2)
EPS = 1e-5


def measure(toy: bool = False):
    """Yields bytes, time and errors at 16x56x56x64, float32."""
    shape = (2, 8, 8, 4) if toy else SHAPE
    x, dy = (jax.random.normal(jax.random.key(i), shape) for i in (0, 1))
    ours, flax = (
        compiled(layer(use_running_average=False), x, dy)
        for layer in (BatchNorm, nn.BatchNorm)
    )
    new = jax.__version_info__ >= (0, 12)
    units = [
        Figure(who, [counted(step, "bytes accessed") / x.nbytes])
        for who, step in (("ours", ours), ("flax", flax))
    ]
    what = "BN: bytes accessed / bytes of the input"
    yield Row(what, units[0].median, "<= 12" if new else "<= 14.1", "count", (), units)
    run = lambda step: lambda: jax.block_until_ready(step(x, dy))  # noqa: E731
    seconds = alternate({"ours": run(ours), "flax": run(flax)}, 3 if toy else 40)
    sides = [figure.in_ms() for figure in seconds.values()]
    yield ratio("BN: time / flax.linen.BatchNorm's", *sides, "<= 0.9")
    error = variance_error(x)
    yield Row("BN: error of the variance at mean/std 1000", error, "<= 1e-5", "error")
    for mean in (0, 10):
        for name, error in gradient_errors(x + mean, dy).items():
            what = f"BN: error of {name} at mean/std {mean}"
            yield Row(what, error, "<= 2e-6", "error")


def compiled(layer, x, dy):
    """Returns the layer's training pass forward and backward, compiled."""
    variables = layer.init(jax.random.key(0), x)
    mutable = [name for name in variables if name != "params"]

    def step(x, dy):
        def apply(params, x):
            return layer.apply(variables | {"params": params}, x, mutable=mutable)

        y, pullback, updated = jax.vjp(apply, variables["params"], x, has_aux=True)
        return y, pullback(dy), updated

    return jax.jit(step).lower(x, dy).compile()


def variance_error(x) -> float:
    """Returns the largest relative error of the variance against float64."""
    x = x + 1000
    _, var = jax.jit(batch_norm.moments, static_argnums=1)(x, AXES)
    oracle = np.float64(x).var(AXES)
    return float(np.abs(np.float64(var).ravel() / oracle - 1).max())


def gradient_errors(x, dy) -> dict[str, float]:
    """Returns each gradient's largest error over its largest value, against float64."""
    gamma = jnp.ones((1, 1, 1, x.shape[-1]))

    @jax.jit
    def gradients(x, gamma, beta, dy):
        forward = lambda *a: batch_norm.batch_norm(*a, EPS, AXES)[0]  # noqa: E731
        return jax.vjp(forward, x, gamma, beta)[1](dy)

    found = gradients(x, gamma, 0 * gamma, dy)
    wide, dy = np.float64(x), np.float64(dy)
    inverse = 1 / np.sqrt(wide.var(AXES) + EPS)
    x_hat = (wide - wide.mean(AXES)) * inverse
    dx = inverse * (dy - dy.mean(AXES) - x_hat * (dy * x_hat).mean(AXES))
    oracle = {"dx": dx, "dgamma": (dy * x_hat).sum(AXES), "dbeta": dy.sum(AXES)}
    return {
        name: float(np.abs(np.float64(ours).reshape(exact.shape) - exact).max())
        / np.abs(exact).max()
        for ours, (name, exact) in zip(found, oracle.items(), strict=True)
    }
