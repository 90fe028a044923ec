"""Metrics as sums and counts over examples, divided once, in `divide`."""

import jax
import jax.numpy as jnp
import numpy as np

from bn_repro.errors import UserError


def cross_entropy(logits, labels):
    """Returns each example's cross-entropy in nats, [B], float32 or wider.

    Of logits [B, classes] and integer labels [B].
    """
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    return jax.nn.logsumexp(logits, -1) - _own_logit(logits, labels)


def _own_logit(logits, labels):
    """Returns each example's logit of its own class, [B].

    A sum over a mask: its gradient is a mask too, where an index has a slow scatter.
    """
    own = jnp.arange(logits.shape[-1]) == labels[:, None]
    return jnp.sum(jnp.where(own, logits, 0), -1)


def sums(logits, labels, mask=None) -> dict:
    """Returns the sums over examples of loss, hits and count.

    Args:
      logits: [B, classes].
      labels: [B], integers.
      mask: [B] booleans; padding, where it is False, does not count.

    Returns:
      {"loss": sum of cross-entropies, "correct": int32 count of top-1 hits, "correct5":
      of top-5 hits, "count": of examples}; see `ranks`.
    """
    if mask is None:
        mask = jnp.ones(labels.shape, bool)
    rank = ranks(logits, labels)
    count = lambda x: jnp.sum(x, dtype=jnp.int32)  # noqa: E731
    return {
        "loss": jnp.sum(jnp.where(mask, cross_entropy(logits, labels), 0)),
        "correct": count((rank < 1) & mask),
        "correct5": count((rank < 5) & mask),
        "count": count(mask),
    }


def ranks(logits, labels):
    """Returns how many classes are ahead of each example's own, [B] integers.

    0 is a top-1 hit. Among equal logits the lower class wins; a logit that is not a
    number is never a hit.
    """
    own = _own_logit(logits, labels)[:, None]
    lower = jnp.arange(logits.shape[-1]) < labels[:, None]
    better = ~(logits <= own) | ((logits == own) & lower)  # [B, classes]
    return jnp.sum(better, -1)


def add(a: dict, b: dict) -> dict:
    """Returns the sums over both sets of examples."""
    return jax.tree.map(jnp.add, a, b)


def divide(sums: dict) -> dict:
    """Returns means over examples as floats: loss, accuracy, top5, and the count."""
    count = int(sums["count"])
    return {
        "loss": float(sums["loss"]) / count,
        "accuracy": int(sums["correct"]) / count,
        "top5": int(sums["correct5"]) / count,
        "count": count,
    }


def refuse_none(count: int, of: int) -> None:
    """Raises UserError if no picture of those to evaluate on could be decoded."""
    if not count:
        raise UserError(
            f"none of the {of:,} pictures to evaluate on can be decoded, as the "
            f"warnings say of each: replace them, or name others"
        )


def percentiles(x, q):
    """Returns percentiles over the first axis, [len(q), ...], linearly interpolated.

    `jnp.percentile` weights the values on both sides instead, which rounds otherwise:
    a resumed run's probes would differ from those before in the last digit.

    Args:
      x: values, [N, ...].
      q: percentages, 0 to 100.
    """
    x = jnp.sort(x, 0)
    place = np.asarray(q, np.float64) / 100 * (x.shape[0] - 1)
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, x.shape[0] - 1)
    share = jnp.asarray(place - low, x.dtype).reshape(-1, *(1,) * (x.ndim - 1))
    return x[low] + share * (x[high] - x[low])


def histogram(x, bins: int):
    """Returns the shares of x in equal bins, [bins], and the ends of the bins, [2].

    The bins span four standard deviations around the mean, within the values' range;
    the end bins also hold what lies beyond, so that the shares sum to 1.
    """
    mean, spread = jnp.mean(x), 4 * jnp.std(x)
    low = jnp.maximum(jnp.min(x), mean - spread)
    high = jnp.minimum(jnp.max(x), mean + spread)
    width = jnp.where(high > low, (high - low) / bins, 1)
    index = jnp.clip(jnp.floor((x - low) / width), 0, bins - 1).astype(jnp.int32)
    counts = jnp.bincount(index.ravel(), length=bins)
    return counts / x.size, jnp.stack([low, high])
