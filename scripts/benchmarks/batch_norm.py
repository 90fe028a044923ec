"""The BN operation, forward and backward, against flax.linen.BatchNorm."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from benchmarks.timing import Row, alternate
from bn_repro import batch_norm
from bn_repro.layers import BatchNorm

SHAPE = (16, 56, 56, 64)
AXES = (0, 1, 2)
EPS = 1e-5


def measure():
    """Yields bytes, time and errors at 16x56x56x64, float32."""
    x, dy = (jax.random.normal(jax.random.key(i), SHAPE) for i in (0, 1))
    ours, flax = (
        compiled(layer(use_running_average=False), x, dy)
        for layer in (BatchNorm, nn.BatchNorm)
    )
    new = jax.__version_info__ >= (0, 12)
    units = {"ours": bytes_accessed(ours) / x.nbytes}
    units["flax"] = bytes_accessed(flax) / x.nbytes
    detail = f"flax {units['flax']:.1f}"
    bound = "<= 12" if new else "<= 14"
    yield Row("BN bytes accessed / bytes of the input", units["ours"], bound, detail)
    run = lambda step: lambda: jax.block_until_ready(step(x, dy))  # noqa: E731
    seconds = alternate({"ours": run(ours), "flax": run(flax)}, 40)
    detail = ", ".join(f"{k} {v * 1e3:.2f} ms" for k, v in seconds.items())
    ratio = seconds["ours"] / seconds["flax"]
    yield Row("BN time / flax.linen.BatchNorm's", ratio, "<= 0.9", detail)
    yield Row("BN variance error at mean/std 1000", variance_error(x), "<= 1e-5")
    bound = "<= 2e-6" if new else "<= 2e-5"
    for ratio in (0, 10):
        for name, error in gradient_errors(x + ratio, dy).items():
            yield Row(f"BN error of {name} at mean/std {ratio}", error, bound)


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


def bytes_accessed(executable) -> float:
    """Returns what XLA's cost analysis counts."""
    analysis = executable.cost_analysis()
    analysis = analysis[0] if isinstance(analysis, list) else analysis
    return analysis["bytes accessed"]


def variance_error(x) -> float:
    """Returns the largest relative error of the variance against float64."""
    x = x + 1000
    _, var = jax.jit(batch_norm.moments, static_argnums=1)(x, AXES)
    oracle = np.float64(x).var(AXES)
    return float(np.abs(np.float64(var).ravel() / oracle - 1).max())


def gradient_errors(x, dy) -> dict[str, float]:
    """Returns each gradient's largest error over its largest value, against float64."""
    gamma = jnp.ones((1, 1, 1, SHAPE[-1]))

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
