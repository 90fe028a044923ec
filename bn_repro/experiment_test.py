"""Runs that differ in seed, rate and initial scale share data and programs."""

import dataclasses

import jax
import numpy as np
import pytest
from ml_collections import config_dict

from bn_repro import (
    data,
    experiment,
    keys,
    loop,
    parallel,
    probe_measures,
    resolve,
    start,
    train,
)
from bn_repro.data.mnist import DATA_SET as MNIST
from bn_repro.data.order import Order
from bn_repro.errors import UserError
from bn_repro.loop_test import assert_same, content, short
from configs import common, imagenet, mnist

OTHER = {
    "seed": 3,
    "data.seed": 4,
    "optimizer.learning_rate": 0.2,
    "model.init_stddev": 0.3,
}


@pytest.fixture
def compiled():
    """Lists the durations of what is compiled, or taken from the kept programs."""
    found = []

    def listen(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            found.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield found
    jax.monitoring.unregister_event_duration_listener(listen)


def run(config, workdir):
    assert loop.run(config, workdir, jax.devices()[:1]) == "finished"
    return content(workdir)


def test_a_second_run_compiles_nothing_and_is_as_if_alone(tmp_path, compiled):
    experiment.forget()
    alone = run(short(**OTHER), tmp_path / "alone")
    assert len(compiled) > 5
    compiled.clear()
    run(short(), tmp_path / "another")
    assert_same(run(short(**OTHER), tmp_path / "after_another"), alone)
    assert compiled == []


def test_another_network_is_another_program():
    mesh = parallel.make_mesh(jax.devices()[:1])
    resolved = lambda **overrides: resolve.resolve(short(**overrides))[0]  # noqa: E731
    one = experiment.make(resolved(), mesh)
    assert experiment.make(resolved(**OTHER), mesh).recipe is one.recipe
    wider = experiment.make(resolved(**{"model.hidden": (20, 16)}), mesh)
    assert wider.recipe is not one.recipe


def test_seeds_and_initial_scale_are_the_runs_own():
    mesh = parallel.make_mesh(jax.devices()[:1])
    for seed in (0, 5):
        config = resolve.resolve(short(seed=seed, **{"data.seed": seed + 1}))[0]
        feed = experiment.make(config, mesh).feed
        expected = Order(600, seed + 1).examples_at(np.arange(60, 180))
        np.testing.assert_array_equal(feed.indices(1, 2)[:2].ravel(), expected)
        key = jax.random.key_data(jax.random.key(seed))
        np.testing.assert_array_equal(jax.random.key_data(feed.key), key)
    for stddev in (0.1, 0.3):
        config = resolve.resolve(short(**{"model.init_stddev": stddev}))[0]
        parts = experiment.make(config, mesh)
        state = train.create_state(config, parts.recipe, parts.image_shape)
        kernel = np.asarray(state.params["hidden_1"]["kernel"])
        assert kernel.std() == pytest.approx(stddev, rel=0.02)


def prepared(devices=1, run="bn", **overrides):
    config = mnist.get_config(run)
    config.update_from_flattened_dict(overrides)
    return start.prepare(config, jax.devices()[:devices])


@pytest.mark.parametrize(
    ("devices", "overrides"),
    [
        (1, {"batch_size": 1, "reference_batch": 1}),
        (1, {"bn.batch": "1"}),
        (4, {"batch_size": 4, "reference_batch": 4, "bn.batch": "device"}),
        (4, {"bn.batch": "1", "model.norm_placement": "after"}),
        (1, {"batch_size": 1, "reference_batch": 1, "bn.biased": True}),
    ],
)
def test_bn_over_one_example_of_a_dense_layer_is_refused(devices, overrides):
    with pytest.raises(UserError, match="over one example .*fully connected.* beta"):
        prepared(devices, **overrides)
    prepared(devices, "plain", **overrides | {"bn.batch": "global"})


def test_the_last_mini_batch_of_an_evaluation_counts_too():
    config, _, mesh = prepared(batch_size=9, reference_batch=9, **{"data.limit": 100})
    with pytest.raises(UserError, match="the last of 100 examples in groups of 9"):
        experiment.make(config, mesh)
    config = config_dict.ConfigDict(config.to_dict())
    config.eval.batch_statistics = False
    experiment.make(config, mesh)


@pytest.mark.parametrize(
    ("overrides", "refused"),
    [
        ({}, False),
        ({"data.image_size": 32}, True),
        ({"model.per_activation_last": True}, True),
    ],
)
def test_feature_maps_have_several_values_an_example(overrides, refused):
    config = imagenet.get_config("bn_baseline")
    ones = {"batch_size": 1, "reference_batch": 1, "bn.batch": "global"}
    config.update_from_flattened_dict(ones | {"data.image_size": 64} | overrides)
    config, _ = resolve.resolve(config)
    if not refused:
        return experiment.refuse_single_values(config, 1, 1)
    with pytest.raises(UserError, match="over one example"):
        experiment.refuse_single_values(config, 1, 1)


def halves(label, side=28):
    """Returns a data set of 100 images, all of one class."""

    def source(unused_keys):
        images = np.zeros((100, side, side), np.uint8)
        arrays = data.Arrays(images, np.full(100, label, np.int32))
        return data.Splits(arrays, arrays, ["a", "b"])

    return dataclasses.replace(MNIST, sources={"here": source})


def test_what_is_defined_anew_under_its_name_is_made_anew(monkeypatch):
    own = {"data.name": "own", "data.source": "here", "data.classes": 2}
    config = resolve.resolve(short(**own, **{"data.limit": 0}))[0]
    mesh, digests = parallel.make_mesh(jax.devices()[:1]), set()
    for label in (0, 1):
        monkeypatch.setitem(data.SOURCES, "own", halves(label))
        digests.add(experiment.make(config, mesh).digests["train"])
    assert len(digests) == 2
    monkeypatch.setitem(data.SOURCES, "own", halves(0, side=8))
    with pytest.raises(UserError, match=r"are \[8, 8\], but its image_shape says \[28"):
        experiment.make(config, mesh)


@pytest.mark.parametrize("key", resolve.IGNORED["data.name", "mnist"])
def test_what_mnist_does_not_read_changes_no_order(key):
    def order(**changed):
        config, _, mesh = prepared(**{"data.shuffle": "shard", **changed})
        return experiment.make(config, mesh).feed.indices(0, 2)

    kinds = {bool: lambda v: not v, int: lambda v: v + 1, float: lambda v: v / 2}
    kinds[str] = lambda v: "full"
    value = keys.get(common.get_config(), key)
    other = kinds.get(type(value), lambda v: (v[0] / 2, v[1]))(value)
    np.testing.assert_array_equal(order(**{key: other}), order())
    assert (order(**{"data.shuffle": "full"}) != order()).any()


def test_a_measure_of_one_s_own_is_taken_and_an_unknown_one_refused(monkeypatch):
    with pytest.raises(UserError, match="probe.measures has mine; use some of .'shape"):
        prepared(**{"probe.measures": ("mine",)})
    monkeypatch.setitem(probe_measures.MEASURES, "mine", lambda sample: {})
    prepared(**{"probe.measures": ("mine", "shape")})


def test_mini_batches_of_bn_are_not_checked_without_it():
    prepared(1, "plain", **{"bn.batch": "7"})
    with pytest.raises(UserError, match="bn.batch=7"):
        prepared(1, "bn", **{"bn.batch": "7"})


def test_a_batch_of_more_than_the_limit_is_refused():
    with pytest.raises(UserError, match="at most data.limit=59"):
        prepared(**{"data.limit": 59})


@pytest.mark.parametrize(
    ("key", "known"),
    [
        ("data.name", "mnist, imagenet"),
        ("data.source", "packed, tfds"),
        ("model.name", "inception"),
        ("model.norm", "layer_norm"),
    ],
)
def test_an_unknown_name_is_refused_before_anything_is_made(key, known):
    with pytest.raises(UserError, match=f"{key} is 'nonsense'; .*{known}"):
        prepared(**{key: "nonsense"})


def test_the_training_split_is_evaluated_on_request():
    config, _, mesh = prepared(
        **{"data.limit": 300, "eval.train": True, "model.hidden": (20,)}
    )
    parts = experiment.make(config, mesh)
    state = train.create_state(config, parts.recipe, parts.image_shape)
    found, hits = parts.evaluations["train", "ema"](state.variables())
    held_out, others = parts.evaluations["test", "ema"](state.variables())
    assert found["count"] == held_out["count"] == len(hits) == 300
    assert found["loss"] != held_out["loss"]
