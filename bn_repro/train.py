"""One pure training step, and the parts of it that are compiled once.

`train_step` is written for one device of many (SPMD): it sees its part of the batch and
names the mesh axis where devices must agree. `bn_repro.loop` runs it.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import struct
from flax.training import train_state
from jax import lax
from ml_collections import config_dict

from bn_repro import metrics, models, optim
from bn_repro.layers import Mode
from bn_repro.parallel import AXIS

COLLECTIONS = ("batch_stats", "ema_count")
MOST_ADDED = 1e30  # norm of a step; above it counts as not finite


class TrainState(train_state.TrainState):
    """Flax's TrainState with the statistics of BN and what a run may vary."""

    batch_stats: dict  # the moving averages of every BatchNorm
    ema_count: dict  # how many updates they have had; for their bias correction
    learning_rate: jax.Array  # initial learning rate, a scalar
    # number of steps before the first one that was not finite; -1 while all were
    first_bad_step: jax.Array

    def variables(self) -> dict:
        """Returns what `model.apply` takes."""
        return {
            "params": self.params,
            "batch_stats": self.batch_stats,
            "ema_count": self.ema_count,
        }


@struct.dataclass
class Recipe:
    """What a training step does besides its state: the same for every rate and seed."""

    # the network; (images, Mode) -> (logits, taps)
    model: object = struct.field(pytree_node=False)
    # (key, scales, image_shape) -> its variables, compiled once for all keys and scales
    initialize: Callable = struct.field(pytree_node=False)
    # the optimiser, without the learning rate
    tx: optax.GradientTransformation = struct.field(pytree_node=False)
    # (images uint8, keys or None) -> the network's input; with keys the images are
    # distorted as for training
    inputs: Callable = struct.field(pytree_node=False)
    # step -> factor on the initial learning rate
    rate_factor: Callable = struct.field(pytree_node=False)
    # weight of the L2 penalty, for the records; the gradient is in the optimiser
    l2: float = struct.field(pytree_node=False)


def make_recipe(config, inputs, train_examples: int, axis_name=AXIS) -> Recipe:
    """Returns the recipe of a resolved configuration.

    The number of training examples is for the decay of the learning rate; `axis_name`,
    the mesh axis of the examples, is None on one device without a mesh.
    """
    return Recipe(
        model=models.build(config, axis_name),
        initialize=make_initialize(config, inputs, axis_name),
        tx=optim.make_optimizer(config.optimizer),
        inputs=inputs,
        rate_factor=optim.rate_factor(
            config.optimizer, train_examples / config.batch_size
        ),
        l2=config.optimizer.l2,
    )


def make_initialize(config, inputs, axis_name) -> Callable:
    """Returns `Recipe.initialize`; see `make_recipe`.

    The scales are those of the initial weights, by their keys in config.model. They are
    arguments, so that runs that differ in them share the program.
    """

    def initialize(key, scales: dict, image_shape):
        scaled = config_dict.ConfigDict(config.to_dict())
        scaled.model = config_dict.ConfigDict(scaled.model.to_dict() | scales)
        model = models.build(scaled, axis_name)
        image = jnp.zeros((2, *image_shape), jnp.uint8)
        return model.init(key, inputs(image, None), Mode(use_running_average=True))

    return jax.jit(initialize, static_argnums=2)


def create_state(config, recipe: Recipe, image_shape) -> TrainState:
    """Returns the state before the first step, drawn from config.seed."""
    scales = {name: config.model[name] for name in models.INITIAL_SCALES}
    key = jax.random.key(config.seed)
    variables = recipe.initialize(key, scales, tuple(image_shape))
    wide = jnp.promote_types(config.model.dtype, jnp.float32)
    return TrainState.create(
        apply_fn=recipe.model.apply,
        params=variables["params"],
        tx=recipe.tx,
        batch_stats=variables.get("batch_stats", {}),
        ema_count=variables.get("ema_count", {}),
        learning_rate=jnp.asarray(config.optimizer.learning_rate, wide),
        first_bad_step=jnp.asarray(-1, jnp.int32),
    ).replace(step=jnp.asarray(0, jnp.int32))


def zero_sums(config) -> dict:
    """Returns the sums of no step, to add the sums of `train_step` to."""
    wide = jnp.promote_types(config.model.dtype, jnp.float32)
    counts = ("correct", "correct5", "count", "steps")
    return {"loss": jnp.zeros((), wide), "l2": jnp.zeros((), wide)} | {
        name: jnp.zeros((), jnp.int32) for name in counts
    }


def example_keys(key, step, positions):
    """Returns one key an example: its randomness whatever device it is on, [B].

    `step` counts the steps done, `positions` are in the global sample stream, [B].
    """
    step_key = jax.random.fold_in(key, step)
    return jax.vmap(partial(jax.random.fold_in, step_key))(positions)


def train_step(state: TrainState, batch: dict, key, *, recipe: Recipe, axis_name=AXIS):
    """Returns the state after one step and the step's metric sums.

    A step whose loss, gradient norm, new parameters or new statistics are not finite
    changes nothing but first_bad_step, and so do all steps after it; their sums are 0.

    Args:
      state: replicated over axis_name.
      batch: this device's {"image": uint8 [b, ...], "label": [b], "position": [b]}.
      key: the run's key; every example draws from it by its position.
      recipe: what to compute.
      axis_name: mesh axis of the examples; None on one device without a mesh.

    Returns:
      (state, sums over all devices as in `metrics.sums`, with "l2" and "steps").
    """
    keys = example_keys(key, state.step, batch["position"])
    images = recipe.inputs(batch["image"], keys)

    def loss(params):
        variables = state.variables() | {"params": params}
        mode = Mode(update_stats=True, dropout_keys=keys)
        (logits, _), updated = recipe.model.apply(
            variables, images, mode, mutable=list(COLLECTIONS)
        )
        return metrics.cross_entropy(logits, batch["label"]).mean(), (logits, updated)

    gradient = jax.value_and_grad(loss, has_aux=True)
    (mean_loss, (logits, updated)), grads = gradient(state.params)
    sums = metrics.sums(logits, batch["label"])
    grads, mean_loss, stats, sums = _average(
        (grads, mean_loss, updated.get("batch_stats", {}), sums), axis_name
    )
    sums |= {"l2": optim.l2_penalty(state.params, recipe.l2), "steps": 1}
    return _descend(state, grads, mean_loss, stats, updated, recipe, sums)


def _average(trees, axis_name):
    """Returns gradients, loss and statistics averaged over devices, sums summed."""
    if axis_name is None or lax.axis_size(axis_name) == 1:
        return trees
    *means, sums = lax.psum(trees, axis_name)  # one all-reduce for all of it
    size = lax.axis_size(axis_name)
    return *jax.tree.map(lambda x: x / size, means), sums


def _all_finite(tree):
    """Returns whether no value of the arrays is infinite or NaN."""
    largest = [jnp.max(jnp.abs(x)) for x in jax.tree.leaves(tree)]  # NaN if it has one
    return jnp.all(jnp.isfinite(jnp.stack(largest))) if largest else True


def _descend(state, grads, mean_loss, stats, updated, recipe, sums):
    """Returns (state after the step, its sums), or (state, zeros) if it is not finite.

    A norm of all that is added of at most MOST_ADDED keeps parameters finite for 1e8
    steps, so they need not be looked at, nor copied in case they have to be kept. The
    statistics are: where a variance overflows, BN puts out beta and the loss is finite.
    """
    rate = state.learning_rate * recipe.rate_factor(state.step)
    updates, opt_state = state.tx.update(grads, state.opt_state, state.params)
    added = rate * jnp.sqrt(optim.squared_norm(updates))
    finite = jnp.isfinite(mean_loss + optim.squared_norm(grads))
    finite &= (added <= MOST_ADDED) & _all_finite(stats)
    good = finite & (state.first_bad_step < 0)
    keep_if = partial(jax.tree.map, partial(jnp.where, good))
    steps = jax.tree.map(lambda v: jnp.where(good, rate * v, 0), updates)
    params = jax.tree.map(jnp.subtract, state.params, steps)
    first_bad = jnp.where(finite | (state.first_bad_step >= 0), -1, state.step)
    new = state.replace(
        step=state.step + good,
        params=params,
        opt_state=keep_if(opt_state, state.opt_state),
        batch_stats=keep_if(stats, state.batch_stats),
        ema_count=keep_if(updated.get("ema_count", {}), state.ema_count),
        first_bad_step=jnp.maximum(state.first_bad_step, first_bad),
    )
    return new, jax.tree.map(lambda s: jnp.where(good, s, jnp.zeros_like(s)), sums)
