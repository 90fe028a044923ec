"""What the activations look like now: the measurements behind Fig. 1b and 1c.

A fixed set of examples passes through the network in training mode: each mini-batch is
normalised by its own statistics, as the paper looks at N_BN^tr. It runs on one device,
so the numbers do not depend on how many there are.
"""

from collections import OrderedDict
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import config_dict

from bn_repro import layers, metrics, models, probe_measures
from bn_repro.data.source_views import evenly_spaced
from bn_repro.layers import Mode


class Probe:
    """Measures every nonlinearity's input and output on the probe set."""

    def __init__(self, config, inputs, images, labels):
        """Takes the probe set from the first examples given.

        `images` are [N, ...] and `labels` [N], N >= probe.examples; `inputs` as in
        `train.Recipe`.
        """
        probe = config.probe
        batches = max(1, min(probe.examples, len(labels)) // probe.batch_size)
        self.examples = batches * probe.batch_size  # in the probe set
        own_statistics = config_dict.ConfigDict(config.to_dict())
        own_statistics.bn.batch = "device"
        model = models.build(own_statistics)
        split = lambda x: np.split(np.asarray(x)[: self.examples], batches)  # noqa: E731
        self._batches = list(zip(split(images), split(labels), strict=True))
        self._measure = jax.jit(
            partial(_measure, model=model, inputs=inputs, locations=probe.locations)
        )
        self._summarize = jax.jit(
            partial(_summarize, probe=probe, nonlinearity=config.model.nonlinearity)
        )
        self._percentiles = tuple(probe.percentiles)
        self._context = probe_measures.Context(model, inputs, self._batches, config)

    def __call__(self, variables, rate: float = 0.0) -> dict:
        """Returns the fields of `RunWriter.append_activations`.

        Args:
          variables: params, batch_stats, ema_count on one device.
          rate: learning rate of the next step.
        """
        taps, total = [], None
        for images, labels in self._batches:
            batch_taps, grads = self._measure(variables, images, labels)
            taps.append(batch_taps)
            total = grads if total is None else jax.tree.map(jnp.add, total, grads)
        together = OrderedDict(
            (name, jnp.concatenate([batch[name] for batch in taps])) for name in taps[0]
        )
        layer_arrays, per_layer = jax.device_get(self._summarize(together))
        names = list(together)
        norms = _norms(total, names) / len(self._batches)
        return {
            "layer_arrays": layer_arrays,
            "percentiles": self._percentiles,
            "gradient_norm": norms,
            **per_layer,
            **_parameter_norms(variables["params"], names),
            **self._context.measure(variables, together, rate),
        }


def _measure(variables, images, labels, *, model, inputs, locations):
    """Returns each nonlinearity's input [values, units] and the loss's gradients."""

    def loss(params):
        variables_ = {**variables, "params": params}
        logits, taps = model.apply(variables_, inputs(images, None), Mode())
        return metrics.cross_entropy(logits, labels).mean(), taps

    grads, taps = jax.grad(loss, has_aux=True)(variables["params"])
    return jax.tree.map(partial(_values_by_unit, locations=locations), taps), grads


def _values_by_unit(tap, locations: int):
    """Returns [B, units] as it is and [B, H, W, C] as [B locations, C].

    Of `locations` evenly spaced places of a feature map; 0: of all.
    """
    if tap.ndim == 2:
        return tap
    flat = tap.reshape(tap.shape[0], -1, tap.shape[-1])  # [B, H W, C]
    if 0 < locations < flat.shape[1]:
        flat = flat[:, evenly_spaced(flat.shape[1], locations)]
    return flat.reshape(-1, tap.shape[-1])


def _summarize(taps, *, probe, nonlinearity: str):
    """Returns percentiles by layer, {name: [P, units]}, and shares, [L, ...]."""
    percentiles = OrderedDict()
    rows = []
    for name, x in taps.items():
        kept = x
        if 0 < probe.units < x.shape[1]:
            kept = x[:, evenly_spaced(x.shape[1], probe.units)]
        percentiles[name] = metrics.percentiles(kept, probe.percentiles)
        rows.append(_summarize_layer(x, probe, nonlinearity))
    return percentiles, jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)


def _summarize_layer(x, probe, nonlinearity: str) -> dict:
    input_histogram, input_range = metrics.histogram(x, probe.bins)
    z = layers.NONLINEARITIES[nonlinearity](x)
    output_histogram, output_range = metrics.histogram(z, probe.bins)
    slope = layers.RELATIVE_SLOPES[nonlinearity](x)
    return {
        "saturated": jnp.mean(slope < probe.saturated_slope),
        "input_histogram": input_histogram,
        "input_range": input_range,
        "output_histogram": output_histogram,
        "output_range": output_range,
    }


def _parameter_norms(params, names: list[str]) -> dict:
    """Returns the norms of weights, and the sizes of beta or b and of gamma, [L] each.

    A kind that no layer has is left out.
    """
    found = {
        "weight_norm": _norms(params, names),
        "shift_rms": _norms(params, names, "bias", mean=True),
        "scale_rms": _norms(params, names, "scale", mean=True),
    }
    return {name: norms for name, norms in found.items() if np.isfinite(norms).any()}


def _norms(tree, names: list[str], kind: str = "kernel", mean: bool = False):
    """Returns the norm of each layer's arrays of one kind, [L]; NaN if it has none.

    "kernel" (weights), "bias" or "scale"; the root mean square where `mean` is set.
    """
    norms = []
    for name in names:
        layer = tree
        for part in name.split("/"):
            layer = layer.get(part, {})  # a tap may have no layer of its name
        leaves = jax.device_get(
            [
                leaf
                for path, leaf in jax.tree_util.tree_leaves_with_path(layer)
                if kind in jax.tree_util.keystr(path[-1:])
            ]
        )
        squares = sum(np.sum(np.square(leaf, dtype=np.float64)) for leaf in leaves)
        count = sum(leaf.size for leaf in leaves) if mean else 1
        norms.append(np.sqrt(squares / count) if leaves else np.nan)
    return np.array(norms)
