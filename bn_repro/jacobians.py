"""Sec. 3.3's conjecture: the singular values of the layers' Jacobians.

A mini-batch's statistics are held constant, so an example's outputs hang on itself. Of
an mlp the Jacobians are written down and decomposed; of a network of convolutions only
their products with vectors are taken, and Lanczos' method finds the values.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from ml_collections import config_dict

from bn_repro import models
from bn_repro.layers import Mode

EXAMPLES = 16  # of an mlp whose Jacobians are taken; of others the probe's mini-batch
STEPS = 24  # of Lanczos' method
STARTS = 2  # random vectors that it begins with
OF_NETWORK = ("median", "largest")


def measure(sample) -> dict:
    """Returns fields of `records.PROBE_FIELDS` of a `probe_measures.Sample`, [L] each.

    Median, least and largest value and the share within [1/2, 2]; "through" of a whole
    network from the image on.
    """
    is_mlp = sample.context.config.model.name == "mlp"
    return (dense if is_mlp else matrix_free)(sample)


def dense(sample) -> dict:
    """Returns the fields of an mlp, of the first EXAMPLES, by decomposition.

    A layer's is that of its nonlinearity's input in the layer before's (of the first in
    the image), so with BN of one normalised vector in another; "through" of the image.
    """
    images = sample.context.inputs(sample.context.batches[0][0])
    z = np.asarray(images, np.float64).reshape(len(images), -1)
    _, taps = sample.context.outputs(sample.variables, sample.context.batches[0][0])
    g = sample.context.g
    slope = np.ones_like(z[:EXAMPLES])
    through = None
    rows = []
    for name, x in taps.items():
        layer = jax.device_get(sample.variables["params"][name])
        scale = np.ones(x.shape[1])
        if "bn" in layer:
            var = (z @ np.float64(layer["kernel"])).var(0)
            variance = var + sample.context.config.bn.epsilon
            scale = layer["bn"]["scale"] / np.sqrt(variance)
        jacobian = layer_jacobian(np.float64(layer["kernel"]), scale, slope)
        through = jacobian if through is None else jacobian @ through
        rows.append(_singular(jacobian) | _through(_singular(through)))
        slope = np.asarray(jax.vmap(jax.vmap(jax.grad(g)))(x[:EXAMPLES]))
        z = np.asarray(g(x), np.float64)
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def layer_jacobian(kernel, scale, slope):
    """Returns diag(scale) W^T diag(slope) for each example, [examples, out, in].

    `kernel` is W [in, out], `scale` gamma / sqrt(var + eps) [out], `slope` g' at the
    inputs of the nonlinearity before, [examples, in].
    """
    return scale[:, None] * kernel.T * slope[:, None, :]


def _singular(jacobian) -> dict:
    values = np.linalg.svd(jacobian, compute_uv=False)
    return {
        "jacobian_median": np.median(values),
        "jacobian_least": np.median(values.min(1)),
        "jacobian_largest": np.median(values.max(1)),
        "jacobian_near_one": np.mean((values >= 0.5) & (values <= 2)),
    }


def _through(network: dict) -> dict:
    """Returns what is recorded of the whole network's Jacobian."""
    return {f"through_{name}": network[f"jacobian_{name}"] for name in OF_NETWORK}


def matrix_free(sample) -> dict:
    """Returns the fields of a network of layers z = g(BN(W * u)), by Lanczos.

    A layer's Jacobian is that of z in u, over all examples of a mini-batch, NaN of
    those that `probe.jacobian_layers` leaves out; "through" is that of the logits in
    the images, recorded with the last layer.
    """
    context, names = sample.context, list(sample.taps)
    if context.operators is None:
        chosen = spaced(names, context.config.probe.jacobian_layers)
        context.operators = operators(context.config, chosen)
    inputs_of, products = context.operators
    images = context.inputs(context.batches[0][0])
    rows = {}
    for name, u in inputs_of(sample.variables, images).items():
        forward, back = (partial(f, sample.variables, u) for f in products[name])
        rows[name] = _summary(*spectrum(forward, back, u.shape))
    forward, back = (partial(f, sample.variables, images) for f in products[""])
    whole = _summary(*spectrum(forward, back, images.shape))
    found = {
        field: np.array([rows.get(name, {}).get(field, np.nan) for name in names])
        for field in whole
    }
    for field, value in _through(whole).items():
        found[field] = np.append(np.full(len(names) - 1, np.nan), value)
    return found


def spaced(names: list[str], count: int) -> list[str]:
    """Returns so many names, evenly spaced from the first to the last; of 0 all."""
    if not 0 < count < len(names):
        return names
    places = np.linspace(0, len(names) - 1, count).round().astype(int)
    return [names[i] for i in places]


def operators(config, names: list[str]):
    """Returns (variables, images) -> each layer's u, and the Jacobians' products.

    The products of a layer, or of "", the network, are J v and J^T w, functions of
    (variables, the input, v or w).
    """
    constant = config_dict.ConfigDict(config.to_dict())
    constant.bn.update({"gradient": "stop", "batch": "device"})
    model, modules = models.build(constant), {}

    def inputs_of(variables, images):
        found = {}

        def keep(call, args, kwargs, context):
            name = "/".join(context.module.path)
            if name in names and context.method_name == "__call__":
                found[name] = args[0]
                modules[name] = context.module.clone(parent=None, name=None)
            return call(*args, **kwargs)

        with nn.intercept_methods(keep):
            model.apply(variables, images, Mode())
        return OrderedDict((name, found[name]) for name in names)

    def output(name, variables, u):
        if name:
            of_layer = {kind: _at(tree, name) for kind, tree in variables.items()}
            return modules[name].apply(of_layer, u, Mode())[0]
        return model.apply(variables, u, Mode())[0]

    def back(name, variables, u, w):
        y, pull = jax.vjp(lambda u: output(name, variables, u), u)
        return pull(w.astype(y.dtype))[0].astype(w.dtype)

    def forward(name, variables, u, v):
        """The transpose of `back`; convolutions have no forward mode here."""
        w = jax.eval_shape(lambda u: output(name, variables, u), u)
        zeros = jnp.zeros(w.shape, v.dtype)
        return jax.vjp(lambda w: back(name, variables, u, w), zeros)[1](v)[0]

    products = {
        name: (jax.jit(partial(forward, name)), jax.jit(partial(back, name)))
        for name in ("", *names)
    }
    return jax.jit(inputs_of), products


def _at(tree, name: str):
    for part in name.split("/"):
        tree = tree.get(part, {})
    return tree


def spectrum(forward: Callable, back: Callable, shape: tuple[int, ...]):
    """Returns singular values of J and the share of all that each stands for.

    Golub, Kahan and Lanczos' bidiagonalisation with full reorthogonalisation, from
    STARTS random vectors on the smaller side of J; the shares are Gauss' weights
    (stochastic Lanczos quadrature). The largest are found best. `forward` is v -> J v,
    `back` is w -> J^T w, for v of a shape.
    """
    w = jax.eval_shape(forward, jax.ShapeDtypeStruct(shape, jnp.float32)).shape
    if np.prod(w) < np.prod(shape):
        forward, back, shape = back, forward, w
    values, shares = [], []
    for start in range(STARTS):
        v = np.random.default_rng(start).normal(size=shape)
        b = bidiagonal(_float64(forward), _float64(back), v)
        _, found, right = np.linalg.svd(b)
        values.append(found)
        shares.append(right[:, 0] ** 2 / STARTS)
    return np.concatenate(values), np.concatenate(shares)


def _float64(product: Callable) -> Callable:
    return lambda v: np.asarray(product(np.float32(v)), np.float64)


def bidiagonal(forward: Callable, back: Callable, v) -> np.ndarray:
    """Returns B, [k, k] upper bidiagonal with J V = U B, after k <= STEPS steps.

    `forward` is v -> J v, `back` w -> J^T w; v is V's first column, of any length.
    """
    v = v / np.linalg.norm(v)
    vs, us, alphas, betas = [v], [], [], []
    for _ in range(min(STEPS, v.size)):
        u, alpha = _new_direction(forward(vs[-1]), us)
        us.append(u)
        alphas.append(alpha)
        v, beta = _new_direction(back(u), vs)
        vs.append(v)
        betas.append(beta)
        if min(alpha, beta) <= 1e-5 * max(alphas):  # nothing new is left
            break
    return np.diag(alphas) + np.diag(betas[:-1], 1)


def _new_direction(x, known: list):
    """Returns what of x is orthogonal to known unit vectors, as one, and its length."""
    for _ in range(2):  # once leaves rounding errors
        for one in known:
            x = x - np.vdot(one, x) * one
    length = np.linalg.norm(x)
    return x / max(length, 1e-30), length


def _summary(values, shares) -> dict:
    order = np.argsort(values)
    below = np.cumsum(shares[order])
    near = (values >= 0.5) & (values <= 2)
    return {
        "jacobian_median": values[order][np.searchsorted(below, 0.5 * below[-1])],
        "jacobian_least": values.min(),
        "jacobian_largest": values.max(),
        "jacobian_near_one": shares[near].sum(),
    }
