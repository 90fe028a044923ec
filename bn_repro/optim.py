"""Stochastic gradient descent as in Sec. 4.2: momentum, L2 on weights, rate decay."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax


def make_optimizer(optimizer) -> optax.GradientTransformation:
    """Returns v = momentum v + (g + l2 w); the step then does w -= rate v.

    The learning rate is not in here: it is part of the train state, so that runs that
    differ in it share a compiled step.
    """
    transforms = [optax.identity()]
    if optimizer.l2:
        transforms.append(optax.add_decayed_weights(optimizer.l2, mask=is_weight))
    if optimizer.momentum:
        transforms.append(optax.trace(optimizer.momentum))
    return optax.chain(*transforms)


def is_weight(params):
    """Returns a tree of booleans: True for weights, not for gamma, beta and biases."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: "kernel" in jax.tree_util.keystr(path[-1:]), params
    )


def l2_penalty(params, l2: float):
    """Returns l2 / 2 times the sum of all squared weights."""
    if l2 == 0:
        return 0.0
    kept = is_weight(params)
    weights = jax.tree.map(lambda w, keep: w if keep else None, params, kept)
    return 0.5 * l2 * squared_norm(weights)


def squared_norm(tree):
    """Returns the sum of the squares of all values.

    Columns first, which CPUs add side by side: the norm of the gradients is a third of
    the MNIST step otherwise. Then all arrays' sums at once: a chain of additions XLA
    copies into the update of every array, and it takes four times as long to compile
    Inception. (Without abs, which changes nothing, it makes that chain itself.)
    """
    columns = lambda x: jnp.sum(x * x, tuple(range(x.ndim - 1)))  # noqa: E731
    sums = jnp.stack([jnp.sum(columns(x)) for x in jax.tree.leaves(tree)])
    return jnp.sum(jnp.abs(sums))


def rate_factor(optimizer, steps_per_epoch: float) -> Callable:
    """Returns step -> the factor on the initial learning rate.

    It is multiplied by decay_factor every decay_epochs epochs, in steps (GoogLeNet's
    4 % every 8 epochs), after a linear warm-up over warmup_steps.
    """
    over = optimizer.decay_epochs * steps_per_epoch
    decay = optax.exponential_decay(1.0, over, optimizer.decay_factor, staircase=True)

    def factor(step):
        value = 1.0
        if optimizer.decay_factor < 1:
            value *= decay(step)
        if optimizer.warmup_steps:
            value *= jnp.minimum((step + 1) / optimizer.warmup_steps, 1.0)
        return value

    return factor
