"""Every key refuses what it cannot mean, in one line."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bn_repro import keys
from bn_repro.errors import UserError
from bn_repro.resolve import resolve, validate
from bn_repro.run_folder import configuration
from configs import common, imagenet


def with_value(key, value):
    """Returns the default configuration with any value at a key, as Python may set."""
    config = common.get_config()
    section, _, name = key.rpartition(".")
    with config.ignore_type():
        (keys.get(config, section) if section else config)[name] = value
    return config


def test_the_table_has_every_key_and_takes_its_default():
    flat = configuration.flatten(common.get_config().to_dict())
    assert flat.keys() == keys.KEYS.keys()
    validate(common.get_config())


NUMBERS = st.one_of(
    st.integers(-(10**40), 10**40),
    st.integers(-3, 300),
    st.floats(),
    st.floats(0, 1),
    st.sampled_from([2**31 - 1, 2**31, 2**32, 2**63, 1e308, 1e-308, -0.0, math.nan]),
)
WORDS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["²", "٣", "0", "032", "32 ", "+32", "", "none", "None", "a\0", "../x"]
    ),
)
SCALARS = st.one_of(NUMBERS, WORDS, st.booleans(), st.none())
ANYTHING = st.one_of(
    SCALARS, st.lists(SCALARS, max_size=4).map(tuple), st.just({}), st.just({"a": 1})
)


@settings(deadline=None, max_examples=600)
@given(st.sampled_from(sorted(keys.KEYS)), ANYTHING)
def test_any_value_is_taken_or_refused_in_one_line(key, value):
    config = with_value(key, value)
    try:
        resolved, _ = resolve(config)
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < 700
        return
    assert not keys.KEYS[key].refusal(keys.get(config, key))
    again, stated = resolve(resolved)  # what it resolved to is accepted, and stays
    assert again.to_dict() == resolved.to_dict() and not stated


@settings(deadline=None, max_examples=300)
@given(st.integers(1, 60_000), st.integers(1, 2**31 - 1), st.floats(0, 1))
def test_any_batch_size_translates_or_is_refused(batch_size, reference, decay):
    config = common.get_config()
    config.batch_size, config.reference_batch = batch_size, reference
    config.bn.ema_decay = decay
    try:
        resolved, _ = resolve(config)
    except UserError as error:
        assert "\n" not in str(error)
        return
    validate(resolved)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("optimizer.learning_rate", -0.1, "optimizer.learning_rate is -0.1"),
        ("optimizer.learning_rate", math.nan, "optimizer.learning_rate is nan"),
        ("optimizer.momentum", 1.0, r"optimizer.momentum is 1.0; .* \[0, 1\)"),
        ("steps", 0, "steps is 0; .* at least 1"),
        ("model.norm_placement", "both", "model.norm_placement is 'both'; .*before"),
        ("model.dropout", 1.0, "model.dropout is 1.0"),
        ("bn.batch", "0", "bn.batch is '0'"),
        ("bn.batch", "replica", "bn.batch is 'replica'"),
        ("bn.ema_decay", math.nan, "bn.ema_decay is nan"),
        ("probe.percentiles", (15.0, 120.0), "probe.percentiles is"),
        ("data.crop_area", (0.5, 1.1), r"data.crop_area is \(0.5, 1.1\)"),
        ("model.hidden", (100, -1), "model.hidden is"),
        ("data.crop_aspect", (2.0, 1.0), "data.crop_aspect is"),
        ("data.threshold", 255, "data.threshold is 255"),
        ("data.shuffle", "some", "data.shuffle is 'some'"),
        ("batch_rule", "cubic", "batch_rule is 'cubic'; .*linear"),
        ("bn.batch", "²", "bn.batch is '²'"),
        ("data.crop_area", None, "data.crop_area is None"),
        ("data.crop_area", (), r"data.crop_area is \(\)"),
        ("model.hidden", ("a",), "model.hidden is"),
        ("model.hidden", (), "one or more numbers of units"),
        ("probe.percentiles", (50.0, 15.0), "rising"),
        ("probe.percentiles", (50.0, 50.0), "rising"),
        ("seed", 2**32, "seed is 4294967296; .* from 0 to 4294967295"),
        ("probe.jacobian_layers", 1, "at least 2"),
        ("seed", True, "seed is True"),
        ("seed", -1, "seed is -1"),
        ("data.seed", 2**32, "data.seed is"),
        ("data.seed", -2, "data.seed is -2"),
        ("batch_size", 70_000, "batch_size is 70000; .* at most the 60,000"),
        ("model.per_activation_last", True, "layer_norm' or model.name='mlp'"),
        ("data.on_device", True, "data.on_device is True; it must be False"),
        ("data.image_size", 14, "data.image_size is 14; it must be 28"),
        ("data.name", "non sense", "data.name is 'non sense'"),
        ("model.name", "inception", "model.name is 'inception'; it must be 'mlp'"),
        ("model.init_stddev", 0.0, "model.init_stddev is 0.0"),
        ("model.init_stddev", 1e-60, "model.init_stddev is 1e-60"),
        ("bn.epsilon", 1e308, "bn.epsilon is 1e\\+308"),
        ("experiment", "../../x", "experiment is '../../x'"),
        ("optimizer.warmup_steps", 2**31, "optimizer.warmup_steps is 2147483648"),
        ("probe.bins", 2**31, "probe.bins is"),
        ("optimizer", {}, "the config lacks optimizer"),
        ("model", None, "the config lacks model"),
        ("model.norms", "none", "no key model.norms; did you mean model.norm"),
        ("tensorboard", "yes", "True or False"),
    ],
)
def test_bad_values_are_refused_by_name(key, value, message):
    with pytest.raises(UserError, match=message) as caught:
        resolve(with_value(key, value))
    assert "\n" not in str(caught.value)


def test_a_decay_that_the_batch_makes_none_is_refused_with_both_batches():
    config = common.get_config()
    config.batch_size, config.bn.ema_decay = 60_000, 0.1
    with pytest.raises(
        UserError, match="from a batch of 60 to one of 60000, bn.ema_dec"
    ):
        resolve(config)


def test_every_seed_that_is_accepted_is_another():
    import jax

    seeds = [0, 1, 2**31 - 1, 2**31, 2**32 - 1]
    drawn = {jax.random.key_data(jax.random.key(seed)).tobytes() for seed in seeds}
    assert len(drawn) == len(seeds)


@pytest.mark.parametrize("key", ["optimizer.momentum", "optimizer.l2"])
def test_changes_of_gradients_are_measured_of_plain_descent_alone(key):
    config = with_value("probe.measures", ("gradient_change",))
    validate(config)
    config.update_from_flattened_dict({key: 0.1})
    with pytest.raises(UserError, match="must be without 'gradient_change' but for"):
        validate(config)
    network = imagenet.get_config("bn_baseline")
    changed = {"optimizer.momentum": 0.0, "optimizer.l2": 0.0}
    network.update_from_flattened_dict(changed)
    validate(network)
    network.probe.measures = ("gradient_change",)
    with pytest.raises(UserError, match="'gradient_change' but for an mlp"):
        validate(network)
