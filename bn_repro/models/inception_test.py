"""Holds the network to Fig. 5: counts, shapes, switches, gradients, lowerings."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bn_repro import models
from bn_repro.convolutions_test import use_plain
from bn_repro.errors import UserError
from bn_repro.layers import Mode
from configs import common

PIXELS = np.random.default_rng(0).normal(size=(8, 32, 32, 3)).astype(np.float32)


@cache
def network(**overrides):
    config = common.get_config()
    config.model.update({"name": "inception", "nonlinearity": "relu", "width": 0.125})
    config.model.norm = "batch_norm"
    config.data.classes = 10
    config.bn.epsilon = 1e-3
    config.update_from_flattened_dict(overrides)
    return models.build(config)


@cache
def full(**overrides):
    """Returns the network at the paper's width and number of classes."""
    return network(**{"model.width": 1.0, "data.classes": 1000} | overrides)


def images(batch=1, size=224):
    return jax.ShapeDtypeStruct((batch, size, size, 3), jnp.float32)


@cache
def shapes(net, pixels=images()):  # noqa: B008
    """Returns those of ((logits, taps), variables)."""
    key = jax.random.key(0)
    return jax.eval_shape(lambda x: net.init_with_output(key, x, Mode()), pixels)


def variable_shapes(net, pixels=images()):  # noqa: B008
    return shapes(net, pixels)[1]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"model.first_conv": "full"}, 11_285_224),
        ({}, 11_278_528),
        ({"model.first_conv": "full", "model.norm": "none"}, 11_275_208),
        ({"model.norm": "none"}, 11_268_512),
        ({"model.first_conv": "full", "model.pool_proj_4cd": 96}, 11_194_984),
    ],
)
def test_number_of_parameters(overrides, expected):
    params = variable_shapes(full(**overrides))["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == expected


def equations(jaxpr):
    """Yields the equations of a jaxpr and of those inside it."""
    for equation in jaxpr.eqns:
        for parameter in jax.tree.leaves(tuple(equation.params.values())):
            inner = getattr(parameter, "jaxpr", parameter)  # of a closed one
            if hasattr(inner, "eqns"):
                yield from equations(inner)
        yield equation


def multiply_adds(jaxpr):
    """Returns the multiply-adds of a jaxpr's convolutions and matrix products."""
    total = 0
    for equation in equations(jaxpr):
        out = equation.outvars[0].aval
        if equation.primitive.name == "conv_general_dilated":
            height, width, channels, _ = equation.invars[1].aval.shape
            total += out.size * height * width * channels
        elif equation.primitive.name == "dot_general":
            (axes, _), _ = equation.params["dimension_numbers"]
            lhs = equation.invars[0].aval.shape
            total += out.size * int(np.prod([lhs[axis] for axis in axes]))
    return total


def forward_jaxpr(net):
    forward = lambda v, x: net.apply(v, x, Mode(True))[0]  # noqa: E731
    return jax.make_jaxpr(forward)(variable_shapes(net), images()).jaxpr


@pytest.mark.parametrize(
    ("first_conv", "expected"), [("full", 2.033e9), ("separable", 1.949e9)]
)
def test_number_of_multiply_adds_and_order_of_pools(first_conv, expected, monkeypatch):
    use_plain(monkeypatch)
    jaxpr = forward_jaxpr(full(**{"model.first_conv": first_conv}))
    assert abs(multiply_adds(jaxpr) - expected) < 0.5e6
    names = [equation.primitive.name for equation in equations(jaxpr)]
    assert "log1p" not in names  # no local response norm
    pools = [name for name in names if name.startswith("reduce_window")]
    average, maximum = "reduce_window_sum", "reduce_window_max"
    # The stem's, then 3a to 4d, then 4e, 5a, 5b.
    expected = [maximum] * 2 + [average] * 2 + [maximum] + [average] * 4
    assert pools == expected + [maximum, average, maximum]


# Height = width and the branches' widths, from Fig. 5 (paper.md, section 3).
FIGURE_5 = {
    "3a": (28, [64, 64, 96, 32]),
    "3b": (28, [64, 96, 96, 64]),
    "3c": (14, [160, 96]),
    "4a": (14, [224, 96, 128, 128]),
    "4b": (14, [192, 128, 128, 128]),
    "4c": (14, [160, 160, 160, 128]),
    "4d": (14, [96, 192, 192, 128]),
    "4e": (7, [192, 256]),
    "5a": (7, [352, 320, 224, 128]),
    "5b": (7, [352, 320, 224, 128]),
}


def test_taps_are_the_layers_of_the_figure_in_order():
    (logits, taps), variables = shapes(full())
    assert logits.shape == (1, 1000)
    assert all(x.dtype == jnp.float32 for x in (logits, *taps.values()))
    names = list(taps)
    assert names[:4] == ["conv1", "conv2_reduce", "conv2", "3a/1x1"]
    assert len(names) == 3 + 8 * 7 + 2 * 5
    assert taps["conv1"].shape == (1, 112, 112, 64)
    assert taps["conv2"].shape == (1, 56, 56, 192)
    ends = ["1x1", "3x3", "double_3x3_b", "pool_proj"]
    for module, (size, widths) in FIGURE_5.items():
        found = [taps[f"{module}/{end}"] for end in ends if f"{module}/{end}" in taps]
        assert [tap.shape for tap in found] == [(1, size, size, w) for w in widths]
    for name, tap in taps.items():
        params = variables["params"]
        for part in name.split("/"):
            params = params[part]
        kernel = params["kernel" if "kernel" in params else "pointwise"]
        assert jax.tree.leaves(kernel)[0].shape[-1] == tap.shape[-1]


def test_stride_2_modules_pass_their_maximum_through():
    # What 4a and 5a see: both branches of 3c, 4e beside all channels of 3b, 4d.
    params = variable_shapes(full())["params"]
    assert params["4a"]["1x1"]["kernel"].shape[2] == 160 + 96 + 320
    assert params["5a"]["1x1"]["kernel"].shape[2] == 192 + 256 + 608
    params = variable_shapes(full(**{"model.pool_proj_4cd": 96}))["params"]
    assert params["5a"]["1x1"]["kernel"].shape[2] == 1024
    assert params["classifier"]["kernel"].shape == (1024, 1000)


def test_any_input_size_works():
    (logits, taps), _ = shapes(network(), images(2, 65))
    assert logits.shape == (2, 10)
    assert taps["5b/1x1"].shape[1] == 3  # 65 / 32, rounded up


@cache
def wider():
    """Returns the parameters of a network with two switches that do not meet."""
    switches = {"model.width": 0.25, "model.per_activation_last": True}
    return variable_shapes(network(**switches))["params"]


def test_width_scales_every_layer_but_not_the_multiplier():
    params = wider()
    assert params["conv1"]["depthwise"]["kernel"].shape == (7, 7, 1, 24)
    assert params["conv1"]["pointwise"]["kernel"].shape == (1, 1, 24, 16)
    assert params["4a"]["1x1"]["kernel"].shape == (1, 1, 144, 56)
    assert params["classifier"]["kernel"].shape == (256, 10)


def test_per_activation_in_the_last_modules_only():
    params = wider()
    assert params["5a"]["3x3"]["bn"]["scale"].shape == (7, 7, 80)
    assert params["5b"]["pool_proj"]["bn"]["bias"].shape == (7, 7, 32)
    assert params["4e"]["3x3"]["bn"]["scale"].shape == (48,)


def test_statistics_and_logits_are_wide():
    net = network(**{"model.dtype": "bfloat16"})
    (logits, taps), variables = shapes(net)
    assert logits.dtype == jnp.float32
    assert all(tap.dtype == "bfloat16" for tap in taps.values())
    stored = variables["params"], variables["batch_stats"]
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(stored))


def values(net):
    """Returns variables for 32 x 32 images."""
    return drawn(variable_shapes(net, images(size=32)))


def drawn(shapes):
    """Returns variables from numpy, which has nothing to compile.

    Variances and scales around 1, biases and means around 0.
    """
    random = np.random.default_rng(0)

    def draw(path, leaf):
        name = path[-1].key
        if name == "kernel":
            deviation = np.sqrt(2 / np.prod(leaf.shape[:-1]))
            return random.normal(0, deviation, leaf.shape).astype(leaf.dtype)
        offset = 1 if name in ("scale", "var") else 0
        return (offset + random.uniform(-0.2, 0.2, leaf.shape)).astype(leaf.dtype)

    return jax.tree_util.tree_map_with_path(draw, shapes)


# LLVM optimises for longer than these small programs run.
QUICK = {"xla_backend_optimization_level": 0}


def test_dropout_is_before_the_classifier_and_belongs_to_the_example():
    net = network(**{"model.dropout": 0.4, "model.norm": "none"})
    variables, same = values(net), np.repeat(PIXELS[:1], 4, 0)

    @partial(jax.jit, compiler_options=QUICK)
    def run(keys):
        return net.apply(variables, same, Mode(dropout_keys=keys))

    keys = jax.random.split(jax.random.key(3), 4)
    logits, taps = run(keys[jnp.array([0, 1, 2, 1])])
    other, _ = run(keys[jnp.array([3, 0, 1, 2])])
    for tap in taps.values():  # the same for all: nothing is dropped before
        np.testing.assert_allclose(tap, tap[:1].repeat(4, 0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logits[1], logits[3], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logits[:3], other[1:], rtol=1e-4, atol=1e-5)
    assert np.abs(logits[0] - logits[1]).max() > 0.01


def test_local_response_norm_is_after_the_first_pool_and_before_the_second():
    net = full(**{"model.lrn": True, "model.norm": "none"})
    found = equations(forward_jaxpr(net))
    inputs = [e.invars[0].aval.shape for e in found if e.primitive.name == "log1p"]
    assert inputs == [(1, 56, 56, 64), (1, 56, 56, 192)]


def loss(params, rest, pixels, net):
    (logits, taps), updated = net.apply(
        {"params": params, **rest}, pixels, Mode(update_stats=True), mutable=[*rest]
    )
    return jnp.sum(jnp.sin(logits)) + sum(jnp.mean(t) for t in taps.values()), updated


@pytest.mark.slow
def test_both_formulations_compute_the_same(monkeypatch):
    """The whole network's statistics and gradients, in float64."""
    with jax.enable_x64(True):
        net = network(**{"model.dtype": "float64", "model.lrn": True})
        variables, pixels = values(net), np.float64(PIXELS)

        def run():
            rest = dict(variables)
            step = jax.value_and_grad(partial(loss, net=net), has_aux=True)
            step = jax.jit(step, compiler_options=QUICK)
            return jax.device_get(step(rest.pop("params"), rest, pixels))

        cpu = run()
        use_plain(monkeypatch)
        plain = run()
    pairs = list(zip(jax.tree.leaves(cpu), jax.tree.leaves(plain), strict=True))
    assert all(one.dtype in (np.float64, np.int32) for one, _ in pairs)
    assert any(np.any(one != other) for one, other in pairs)  # they do differ
    for one, other in pairs:
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-10)


def test_the_ports_padding_needs_multiples_of_32():
    net = network(**{"model.padding": "port"})
    (logits, taps), _ = shapes(net, images(2, 64))
    assert logits.shape == (2, 10) and taps["5b/1x1"].shape[1:3] == (2, 2)
    with pytest.raises(
        UserError, match="multiple of 32 pixels, not 65 x 65; use 'same'"
    ):
        variable_shapes(net, images(2, 65))
