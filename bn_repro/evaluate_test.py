"""Every example counts once, at any batch size and on any number of devices."""

import itertools
import types

import jax
import numpy as np
import pytest
from ml_collections import config_dict

from bn_repro import data, evaluate, experiment, metrics, parallel, train
from bn_repro.errors import UserError
from bn_repro.resolve import resolve
from configs import mnist

N = 203  # prime enough that every batch size leaves a remainder


@pytest.fixture(scope="module")
def trained():
    """Returns configuration, recipe, trained variables and test arrays."""
    config = mnist.get_config("bn")
    config.update_from_flattened_dict(
        {"model.hidden": (20, 15), "data.limit": 600, "optimizer.learning_rate": 0.3}
    )
    config = resolve(config)[0]
    mesh = parallel.make_mesh(jax.devices()[:1])
    parts = experiment.make(config, mesh)
    state = train.create_state(config, parts.recipe, parts.image_shape)
    state, _ = parts.feed.advance(state, train.zero_sums(config), 0, 40)
    test = data.load(config.data).test
    arrays = data.Arrays(*(x[:N] for x in test))
    return config, parts.recipe, jax.device_get(state.variables()), arrays


def paper_logits(variables, images, group=None):
    """The network of Sec. 4.1 in float64; group: mini-batch statistics of that many."""
    z = np.float64(images).reshape(len(images), -1)
    for name in ("hidden_1", "hidden_2"):
        params = jax.tree.map(np.float64, variables["params"][name])
        x = z @ params["kernel"] + params.get("bias", 0)
        if "bn" in params:
            stored = jax.tree.map(np.float64, variables["batch_stats"][name]["bn"])
            parts = [x] if group is None else np.split(x, range(group, len(x), group))
            normalized = []
            for part in parts:
                mean = part.mean(0) if group else stored["mean"]
                var = part.var(0) if group else stored["var"]
                normalized.append((part - mean) / np.sqrt(var + 1e-5))
            x = np.concatenate(normalized)
            x = x * params["bn"]["scale"] + params["bn"]["bias"]
        z = 1 / (1 + np.exp(-x))
    last = jax.tree.map(np.float64, variables["params"]["classifier"])
    return z @ last["kernel"] + last["bias"]


def expected(logits, labels):
    own = logits[np.arange(len(labels)), labels]
    loss = np.log(np.exp(logits).sum(1)) - own
    rank = (logits > own[:, None]).sum(1)
    return {
        "loss": loss.mean(),
        "accuracy": (rank < 1).mean(),
        "top5": (rank < 5).mean(),
        "count": len(labels),
    }


@pytest.mark.parametrize(
    ("batch_size", "devices"), [(1, 8), (60, 1), (100, 8), (203, 1), (1000, 8)]
)
def test_stored_statistics_give_the_same_counts_everywhere(
    trained, batch_size, devices
):
    _, recipe, variables, arrays = trained
    mesh = parallel.make_mesh(jax.devices()[:devices])
    run = evaluate.InMemoryEvaluation(recipe, mesh, arrays, batch_size, "ema")
    logits = paper_logits(variables, arrays.images)
    oracle = expected(logits, arrays.labels)
    found, hits = run(variables)
    np.testing.assert_array_equal(hits, logits.argmax(1) == arrays.labels)
    assert found.pop("loss") == pytest.approx(oracle.pop("loss"), rel=1e-5)
    assert found == oracle


@pytest.mark.parametrize("devices", [1, 8])
def test_batch_statistics_are_those_of_each_training_size_batch(trained, devices):
    """The last of the 203 images make a mini-batch of 23; padding is not in it."""
    config, recipe, variables, arrays = trained
    mesh = parallel.make_mesh(jax.devices()[:devices])
    run = evaluate.InMemoryEvaluation(recipe, mesh, arrays, config.batch_size, "batch")
    oracle = expected(paper_logits(variables, arrays.images, 60), arrays.labels)
    found, _ = run(variables)
    assert found.pop("loss") == pytest.approx(oracle.pop("loss"), rel=1e-4)
    assert found == oracle


def test_groups_fit_into_the_batch_where_all_examples_are_fewer(trained):
    """32 divides the 64 of a batch; it was refused as not dividing all 50."""
    config, recipe, variables, arrays = trained
    config = config_dict.ConfigDict(config.to_dict())
    config.bn.batch = "32"
    recipe = train.make_recipe(config, recipe.inputs, 600)
    few = [x[:50] for x in arrays]
    mesh = parallel.make_mesh(jax.devices()[:1])
    run = evaluate.InMemoryEvaluation(recipe, mesh, few, 64, "batch")
    oracle = expected(paper_logits(variables, few[0], 32), few[1])
    found, _ = run(variables)
    assert found.pop("loss") == pytest.approx(oracle.pop("loss"), rel=1e-4)
    assert found == oracle


def test_statistics_of_algorithm_2_are_without_the_noise_of_training(trained):
    config, recipe, variables, arrays = trained
    noisy = config_dict.ConfigDict(config.to_dict())
    noisy.bn.noise = 0.5
    mesh = parallel.make_mesh(jax.devices()[:1])
    batch = {"image": arrays.images[:60], "position": np.arange(60, dtype=np.int32)}
    feed = types.SimpleNamespace(batches=lambda step: itertools.repeat(batch))
    found = [
        evaluate.PopulationStatistics(c, recipe, mesh)(variables, feed, 0, 0, 1)
        for c in (config, noisy)
    ]
    jax.tree.map(np.testing.assert_array_equal, *found)


def test_streamed_and_in_memory_evaluation_agree(trained):
    _, recipe, variables, arrays = trained
    mesh = parallel.make_mesh(jax.devices()[:4])

    def open_batches():
        return evaluate.cut(*arrays, 60)

    streamed = evaluate.StreamedEvaluation(recipe, mesh, open_batches, "ema", N)
    held = evaluate.InMemoryEvaluation(recipe, mesh, arrays, 60, "ema")
    (ours, our_hits), (theirs, their_hits) = streamed(variables), held(variables)
    assert ours == pytest.approx(theirs, rel=1e-6)
    np.testing.assert_array_equal(our_hits, their_hits)


def test_a_split_of_which_nothing_decodes_ends_in_one_line():
    mesh = parallel.make_mesh(jax.devices()[:1])
    zeros = np.zeros(5, int)
    batch = {"image": zeros, "label": zeros, "mask": zeros < 0, "index": zeros}
    run = evaluate.StreamedEvaluation(None, mesh, lambda: [batch], "ema", 4)
    sums = metrics.sums(np.eye(5), zeros, batch["mask"])
    run._step = lambda variables, batch: (sums, {"index": zeros, "hit": zeros < 0})
    with pytest.raises(UserError, match="none of the 4 pictures .* name others"):
        run({})


def test_batches_hold_each_example_once_in_order():
    images, labels = np.arange(10.0)[:, None], np.arange(10)
    batches = list(evaluate.cut(images, labels, 4, width=6))
    assert [b["image"].shape for b in batches] == [(6, 1)] * 3
    assert [b["mask"].sum() for b in batches] == [4, 4, 2]
    stacked = {name: np.concatenate([b[name] for b in batches]) for name in batches[0]}
    mask = stacked["mask"]
    for name in ("label", "index"):
        assert stacked[name][mask].tolist() == list(range(10))
    assert set(stacked["index"][~mask]) == {-1}
    later = list(evaluate.cut(images, labels, 4, first=7))
    assert [b["label"][b["mask"]].tolist() for b in later] == [[7, 8, 9]]
    assert stacked["image"][mask][:, 0].tolist() == list(range(10))
