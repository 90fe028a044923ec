"""Costly statistics of a probe, which `probe.measures` switches on by name.

Each is a function of a `Sample` to fields of `records.PROBE_FIELDS`, [L] each, in the
order of the layers. BN normalises every mini-batch by its own statistics.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bn_repro import jacobians, layers, metrics
from bn_repro.errors import UserError
from bn_repro.layers import Mode

ROUNDS = 8  # random cuts of the probe set into mini-batches, for the noise


class Sample(NamedTuple):
    """What a measure is taken of."""

    context: "Context"  # the network and the probe set
    variables: dict  # of the network
    # layer -> inputs of its nonlinearity over the probe set, [values, units]
    taps: dict
    rate: float  # learning rate of the next step


class Context:
    """The network and the probe set, for all probes of a run."""

    def __init__(self, model, inputs, batches, config):
        """Compiles nothing yet."""
        self.batches = batches
        self.g = layers.NONLINEARITIES[config.model.nonlinearity]
        self.config = config
        self.operators = None  # of jacobians, made when first needed
        self.inputs = lambda images: inputs(images, None)
        self.shape = jax.jit(partial(shape, self.g))

        def loss(params, variables, images, labels):
            variables = {**variables, "params": params}
            logits, _ = model.apply(variables, inputs(images, None), Mode())
            return metrics.cross_entropy(logits, labels).mean()

        self.gradient = jax.jit(jax.grad(loss))
        self.outputs = jax.jit(  # (logits, taps)
            lambda variables, images: model.apply(
                variables, inputs(images, None), Mode()
            )
        )

    def measure(self, variables, taps, rate: float) -> dict:
        """Returns the fields of all measures switched on; see `Sample`."""
        sample = Sample(self, variables, taps, rate)
        found = {}
        for name in self.config.probe.measures:
            found |= MEASURES[name](sample)
        return jax.device_get(found)


def shapes(sample: Sample) -> dict:
    """Returns how far inputs and outputs of the nonlinearities are from Gaussian."""
    rows = [sample.context.shape(x) for x in sample.taps.values()]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def shape(g: Callable, x) -> dict:
    """Returns excess kurtosis and distance of x and g(x), medians over units.

    Of x [values, units].
    """
    found = {}
    for side, values in (("input", x), ("output", g(x))):
        kurtosis, distance = from_gaussian(values)
        found[f"{side}_kurtosis"] = jnp.nanmedian(kurtosis)
        found[f"{side}_distance"] = jnp.nanmedian(distance)
    return found


def from_gaussian(x):
    """Returns the excess kurtosis and Kolmogorov's distance of x from a Gaussian.

    The Gaussian has the mean and standard deviation of each column; the distance is the
    largest between the two cumulative distributions, 0 to 1. Of [n, units]; NaN comes
    of a column without spread.
    """
    z = (x - x.mean(0)) / x.std(0)
    n = len(z)
    below = jax.scipy.stats.norm.cdf(jnp.sort(z, 0))
    steps = jnp.arange(n + 1)[:, None] / n
    distance = jnp.maximum(below - steps[:-1], steps[1:] - below).max(0)
    return (z**4).mean(0) - 3, distance


def noise(sample: Sample) -> dict:
    """Returns how much inputs and logits hang on which examples share a mini-batch.

    The standard deviation over ROUNDS random cuts of the probe set, as a share of that
    over the examples; median over units. 0 without BN.
    """
    context = sample.context
    images = np.concatenate([images for images, _ in context.batches])
    rng = np.random.default_rng(0)
    rounds = []
    for _ in range(ROUNDS):
        order = rng.permutation(len(images))
        cut = np.split(images[order], len(context.batches))
        outputs = [context.outputs(sample.variables, batch) for batch in cut]
        found = [[*taps.values(), logits] for logits, taps in outputs]
        joined = [np.concatenate(parts) for parts in zip(*found, strict=True)]
        rounds.append([x.reshape(len(images), -1)[np.argsort(order)] for x in joined])
    *inputs, logits = (relative_noise(kept) for kept in zip(*rounds, strict=True))
    return {"batch_noise": np.array(inputs), "logit_noise": np.array([logits])}


def relative_noise(values) -> float:
    """Returns the median over units of the spread over rounds / over examples.

    Of [rounds, examples, units].
    """
    values = np.asarray(values, np.float64)
    within = values.var(0, ddof=1).mean(0)
    between = values.mean(0).var(0)
    return float(np.sqrt(np.median(within / np.maximum(between, 1e-30))))


def gradient_changes(sample: Sample) -> dict:
    """Returns how each layer's gradient changes as the layers before it step.

    After Santurkar et al. (2018), on the probe set's first mini-batch; for descent
    without momentum. The cosine of the gradients before and after, and the norm of
    their difference over that before.
    """
    images, labels = sample.context.batches[0]
    gradient = lambda params: sample.context.gradient(  # noqa: E731
        params, sample.variables, images, labels
    )
    params, names = sample.variables["params"], list(sample.taps)
    found = change_by_layer(gradient, params, names, sample.rate)
    return {"gradient_cosine": found[:, 0], "gradient_change": found[:, 1]}


def change_by_layer(gradient: Callable, params: dict, names: list[str], rate: float):
    """Returns (cosine, relative norm of the difference) of each layer, [L, 2].

    `gradient` is params -> a tree like params; the layers, `names` from input to
    output, have a "kernel" each and take a step of this `rate`.
    """
    before = gradient(params)
    after, moved = [], dict(params)
    for name in names:  # the layers before this one have moved
        after.append(_flat(gradient(moved)[name]["kernel"]))
        moved[name] = jax.tree.map(
            lambda w, g: w - rate * g, params[name], before[name]
        )
    rows = []
    for name, new in zip(names, after, strict=True):
        old = _flat(before[name]["kernel"])
        size = max(np.linalg.norm(old), 1e-30)
        cosine = old @ new / (size * max(np.linalg.norm(new), 1e-30))
        rows.append((cosine, np.linalg.norm(new - old) / size))
    return np.array(rows)


def _flat(x) -> np.ndarray:
    return np.asarray(x, np.float64).ravel()


MEASURES = {
    "shape": shapes,
    "noise": noise,
    "jacobian": jacobians.measure,
    "gradient_change": gradient_changes,
}


def check_names(measures: Sequence[str]) -> None:
    """Raises UserError for a name of `probe.measures` that there is not."""
    if unknown := [name for name in measures if name not in MEASURES]:
        raise UserError(
            f"probe.measures has {', '.join(unknown)}; use some of {list(MEASURES)}"
        )
