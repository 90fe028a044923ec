"""`layers.BatchNorm` in the place of `flax.linen.BatchNorm`, in code written for that.

The oracle is flax's own layer, run beside it on the same inputs.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from bn_repro import layers, parallel
from bn_repro.parallel import AXIS, REPLICATED, SHARDED

HALF = {"param_dtype": jnp.bfloat16, "force_float32_reductions": False}


class ResNetBlock(nn.Module):
    """As in flax's example on ImageNet."""

    filters: int
    conv: Any
    norm: Any
    act: Any
    strides: tuple[int, int] = (1, 1)

    @nn.compact
    def __call__(self, x):
        residual = x
        y = self.conv(self.filters, (3, 3), self.strides)(x)
        y = self.norm()(y)
        y = self.act(y)
        y = self.conv(self.filters, (3, 3))(y)
        y = self.norm(scale_init=nn.initializers.zeros_init())(y)
        if residual.shape != y.shape:
            residual = self.conv(self.filters, (1, 1), self.strides, name="conv_proj")(
                residual
            )
            residual = self.norm(name="norm_proj")(residual)
        return self.act(residual + y)


class ResNet(nn.Module):
    """As in flax's example on ImageNet, small; `batch_norm` is what is swapped."""

    batch_norm: Any
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool = True):
        conv = partial(nn.Conv, use_bias=False, dtype=self.dtype)
        norm = partial(
            self.batch_norm,
            use_running_average=not train,
            momentum=0.9,
            epsilon=1e-5,
            dtype=self.dtype,
            axis_name="batch",
        )
        x = conv(8, (7, 7), (2, 2), padding=[(3, 3), (3, 3)], name="conv_init")(x)
        x = norm(name="bn_init")(x)
        x = nn.relu(x)
        x = nn.max_pool(x, (3, 3), strides=(2, 2), padding="SAME")
        x = ResNetBlock(16, conv, norm, nn.relu, (2, 2))(x)
        x = jnp.mean(x, axis=(1, 2))
        return jnp.asarray(nn.Dense(5, dtype=self.dtype)(x), self.dtype)


def train(batch_norm, check_vma, steps=3):
    """Returns outputs, gradients and variables of some steps on two devices."""
    model = ResNet(batch_norm)
    rng = np.random.default_rng(0)
    images = rng.normal(1, 2, (steps, 8, 16, 16, 3)).astype(np.float32)
    variables = jax.jit(model.init)(jax.random.key(0), images[0, :1])
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:2]), ("batch",))
    spread, same = jax.sharding.PartitionSpec("batch"), jax.sharding.PartitionSpec()

    def step(variables, images):
        def loss(params):
            variables_ = variables | {"params": params}
            logits, new = model.apply(variables_, images, mutable=["batch_stats"])
            return jnp.mean(logits**2), (logits, new["batch_stats"])

        outputs = jax.grad(loss, has_aux=True)(variables["params"])
        grads, (logits, stats) = outputs
        grads = jax.lax.pmean(grads, "batch")
        params = jax.tree.map(lambda w, g: w - 0.1 * g, variables["params"], grads)
        return {"params": params, "batch_stats": stats}, grads, logits

    specs = {"mesh": mesh, "in_specs": (same, spread), "check_vma": check_vma}
    step = jax.jit(jax.shard_map(step, out_specs=(same, same, spread), **specs))
    grads = logits = None
    for batch in images:
        variables, grads, logits = step(variables, batch)
    stored = jax.jit(partial(model.apply, train=False))(variables, images[0])
    return variables, grads, logits, stored


def close(ours, theirs, **tolerance):
    tolerance = {"rtol": 2e-4, "atol": 2e-5} | tolerance
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    jax.tree.map(partial(np.testing.assert_allclose, **tolerance), ours, theirs)
    same = jax.tree.map(lambda a, b: a.dtype == b.dtype, ours, theirs)
    assert jax.tree.all(same), same


# JAX's default, and pmap's way.
@pytest.mark.slow
@pytest.mark.parametrize("check_vma", [True, False])
def test_a_resnet_written_for_flax_trains_to_the_same_numbers(check_vma):
    close(train(layers.BatchNorm, check_vma), train(nn.BatchNorm, check_vma))


def both(x, calls=2, init=None, **fields):
    """Returns what each layer puts out and stores after some calls on x."""
    mask = fields.pop("mask", None)

    @partial(jax.jit, static_argnums=0)
    def run(layer, x, mask):
        module = layer(use_running_average=False, **fields)
        variables = module.init(jax.random.key(3), x if init is None else init)
        for _ in range(calls):
            y, new = module.apply(variables, x, mask=mask, mutable=["batch_stats"])
            variables = variables | new
        still = module.clone(use_running_average=None)
        return y, variables, still.apply(variables, x, True)

    return [run(layer, x, mask) for layer in (layers.BatchNorm, nn.BatchNorm)]


def values(*shape, seed=0):
    return np.random.default_rng(seed).normal(1, 3, shape).astype(np.float32)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"momentum": 0.5, "epsilon": 1e-3},
        {"axis": 1},
        {"axis": (1, -1)},
        {"axis": 0},
        {"use_bias": False, "use_scale": False},
        {"scale_init": nn.initializers.normal(), "bias_init": nn.initializers.normal()},
        {"dtype": jnp.bfloat16},
        {"param_dtype": jnp.bfloat16},
        {"dtype": jnp.bfloat16, **HALF},
        {"use_fast_variance": False},
    ],
    ids=lambda fields: "-".join(fields) or "defaults",
)
def test_every_field_means_what_it_means_in_flax(fields):
    rough = "bfloat16" in str(fields)
    close(
        *both(values(6, 4, 5, 3), **fields),
        **({"rtol": 2e-2, "atol": 2e-2} if rough else {}),
    )


@pytest.mark.parametrize(
    "dtype", [np.int32, np.uint8, np.bool_, jnp.bfloat16, np.float16]
)
def test_other_inputs_come_out_as_of_flax(dtype):
    x = np.abs(values(6, 4, 3)).astype(dtype)
    tolerance = {} if np.dtype(dtype).kind in "iub" else {"rtol": 1e-3, "atol": 1e-3}
    close(*both(x), **tolerance)
    close(*both(x, dtype=jnp.bfloat16), rtol=2e-2, atol=2e-2)


def test_complex_input_is_normalised_by_its_absolute_values():
    x = values(32, 5) + 1j * values(32, 5, seed=1)
    close(*both(x.astype(np.complex64)))
    grads = []
    for layer in (layers.BatchNorm, nn.BatchNorm):
        module = layer(use_running_average=False)
        variables = jax.jit(module.init)(jax.random.key(0), x)

        def loss(x, module=module, variables=variables):
            y, _ = module.apply(variables, x, mutable=["batch_stats"])
            return jnp.sum(jnp.abs(y + 1j) ** 3)

        grads.append(jax.jit(jax.grad(loss))(jnp.asarray(x, jnp.complex64)))
    close(*grads, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.complex64, np.float32])
@pytest.mark.parametrize(
    "fields", [{"dtype": jnp.complex64}, {"dtype": jnp.float32}, {"param_dtype": None}]
)
def test_complex_fields_and_real_ones_may_meet(dtype, fields):
    x = values(32, 5) + 1j * values(32, 5, seed=1)
    if fields == {"param_dtype": None}:
        fields = {"param_dtype": jnp.complex64, "dtype": jnp.complex64}
    close(*both(x.astype(dtype), **fields))


def test_an_axis_that_is_not_there_is_refused():
    for axis in (2, -3, (0, 5)):
        with pytest.raises(IndexError):
            layers.BatchNorm(True, axis).init(jax.random.key(0), values(6, 3))


def test_epsilon_may_be_computed():
    close(*jax.jit(lambda eps: both(values(6, 3), epsilon=eps))(1e-3))


def test_nothing_is_broadcast_to_more_axes():
    with jax.numpy_rank_promotion("raise"):
        close(*both(values(6, 4, 3)))


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((8, 4, 1, 1), bool),
        ((8, 4, 5, 3), bool),
        ((1, 4, 5, 1), np.float32),
        ((5, 1), bool),
    ],
)
def test_a_mask_of_any_shape_that_broadcasts(shape, dtype):
    mask = np.random.default_rng(1).random(shape) < 0.6
    close(*both(values(8, 4, 5, 3), mask=mask.astype(dtype)))


def test_one_layer_called_several_times():
    class Twice(nn.Module):
        layer: Any

        @nn.compact
        def __call__(self, x, y):
            norm = self.layer(use_running_average=False, momentum=0.9)
            return norm(norm(x)), norm(y)

    found = []
    for layer in (layers.BatchNorm, nn.BatchNorm):
        x, y = values(6, 3), values(9, 3, seed=1)
        module = Twice(layer)
        variables = jax.jit(module.init)(jax.random.key(0), x, y)
        apply = jax.jit(partial(module.apply, mutable=["batch_stats"]))
        found.append(apply(variables, x, y))
    close(*found)


@pytest.mark.parametrize("spread", ["vmap", "pmap", "shard_map"])
def test_an_axis_name_alone_synchronises(spread):
    x = values(4, 6, 3)

    def run(layer):
        module = layer(use_running_average=False, axis_name=AXIS)
        variables = jax.jit(module.init)(jax.random.key(0), x[0])

        def apply(variables, x):
            y, new = module.apply(variables, x, mutable=["batch_stats"])
            return y, new["batch_stats"]

        if spread == "shard_map":
            mesh = parallel.make_mesh(jax.devices()[:4])
            specs = (SHARDED, REPLICATED)
            apply = jax.jit(parallel.spmd(apply, mesh, (REPLICATED, SHARDED), specs))
            y, stats = apply(variables, x.reshape(24, 3))
            return y.reshape(x.shape), stats
        lift = jax.vmap if spread == "vmap" else jax.pmap
        lifted = jax.jit(lift(apply, in_axes=(None, 0), axis_name=AXIS))
        y, stats = lifted(variables, x)
        return y, jax.tree.map(lambda s: s[0], stats)

    ours = run(layers.BatchNorm)
    close(ours, run(nn.BatchNorm))
    flat = np.float64(x.reshape(24, 3))
    oracle = (flat - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-5)
    np.testing.assert_allclose(ours[0].reshape(24, 3), oracle, rtol=1e-4, atol=1e-5)


def test_vmap_of_single_examples_is_a_mini_batch():
    """As in flax's own test: each lane holds one vector, the axis is the batch."""
    x = values(16, 5)

    def run(layer):
        module = layer(use_running_average=False, axis_name="batch")
        variables = jax.jit(module.init)(jax.random.key(0), x[0])
        apply = partial(module.apply, variables, mutable=["batch_stats"])
        return jax.jit(jax.vmap(apply, axis_name="batch"))(x)

    close(run(layers.BatchNorm), run(nn.BatchNorm))


def test_several_axis_names():
    x = values(2, 2, 6, 3)

    def run(layer):
        module = layer(use_running_average=False, axis_name=("a", "b"))
        variables = jax.jit(module.init)(jax.random.key(0), x[0, 0])
        apply = partial(module.apply, variables, mutable=["batch_stats"])
        apply = jax.vmap(jax.vmap(apply, axis_name="b"), axis_name="a")
        return jax.jit(apply)(x)

    close(run(layers.BatchNorm), run(nn.BatchNorm))


def test_groups_of_devices():
    x = values(4, 6, 3)

    def run(layer):
        groups = [[0, 1], [2, 3]]
        module = layer(
            use_running_average=False, axis_name="i", axis_index_groups=groups
        )
        variables = jax.jit(module.init)(jax.random.key(0), x[0])
        apply = partial(module.apply, variables, mutable=["batch_stats"])
        return jax.pmap(apply, axis_name="i")(x)

    close(run(layers.BatchNorm), run(nn.BatchNorm))


@pytest.mark.parametrize("layer", [layers.BatchNorm, nn.BatchNorm])
def test_use_running_average_is_given_once(layer):
    x = values(6, 3)
    with pytest.raises(ValueError, match="use_running_average"):
        layer().init(jax.random.key(0), x)
    with pytest.raises(ValueError, match="use_running_average"):
        layer(use_running_average=True).init(jax.random.key(0), x, True)


def test_every_field_of_flax_is_there_in_its_place_with_its_default():
    ours = list(layers.BatchNorm.__dataclass_fields__.values())
    for a, b in zip(ours, nn.BatchNorm.__dataclass_fields__.values(), strict=False):
        if b.name in ("parent", "name"):
            break
        assert a.name == b.name
        if not callable(b.default):
            assert a.default == b.default, a.name
