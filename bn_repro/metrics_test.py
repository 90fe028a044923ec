"""Holds metrics against numpy, padding and ties included."""

import jax.numpy as jnp
import numpy as np
import pytest

from bn_repro import metrics


def test_sums_count_each_example_once_and_padding_never():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(40, 12)), rng.integers(0, 12, 40)
    mask = rng.random(40) < 0.7
    sums = metrics.sums(jnp.asarray(logits), jnp.asarray(labels), jnp.asarray(mask))
    ranks = (logits > logits[np.arange(40), labels][:, None]).sum(1)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    loss = -np.log(p[np.arange(40), labels])
    assert int(sums["count"]) == mask.sum()
    assert int(sums["correct"]) == (mask & (ranks < 1)).sum()
    assert int(sums["correct5"]) == (mask & (ranks < 5)).sum()
    np.testing.assert_allclose(sums["loss"], loss[mask].sum(), rtol=1e-5)


def test_divide_gives_means():
    sums = {"loss": 6.0, "correct": 3, "correct5": 5, "count": 6}
    expected = {"loss": 1.0, "accuracy": 0.5, "top5": 5 / 6, "count": 6}
    assert metrics.divide(sums) == expected


def test_equal_logits_are_no_hit_but_for_the_first_classes():
    labels = jnp.arange(10)
    sums = metrics.sums(jnp.zeros((10, 10)), labels)
    assert (int(sums["correct"]), int(sums["correct5"])) == (1, 5)


def test_what_is_not_a_number_is_no_hit():
    logits = jnp.zeros((3, 8)).at[0, 0].set(jnp.nan).at[1, 5].set(jnp.nan)
    sums = metrics.sums(logits.at[2, 0].set(jnp.inf), jnp.zeros(3, int))
    assert (int(sums["correct"]), int(sums["correct5"])) == (1, 2)


def test_cross_entropy_of_bfloat16_is_float32():
    logits = jnp.asarray([[300.0, 0.0]], jnp.bfloat16)
    loss = metrics.cross_entropy(logits, jnp.array([1]))
    assert loss.dtype == jnp.float32
    np.testing.assert_allclose(loss, [300.0])


@pytest.mark.parametrize("count", [1, 2, 60, 1201])
def test_percentiles_are_numpys(count):
    x = np.random.default_rng(0).normal(size=(count, 7)).astype(np.float32)
    q = (0, 15.0, 50, 85, 100)
    expected = np.percentile(np.float64(x), q, axis=0)
    ours = metrics.percentiles(jnp.asarray(x), q)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


def test_histogram_holds_every_value():
    x = np.random.default_rng(0).normal(size=(50, 40)).astype(np.float32)
    x[0, 0] = 1e4  # far beyond four standard deviations: in the end bin
    shares, ends = metrics.histogram(jnp.asarray(x), 16)
    mean, std = x.mean(), x.std()
    np.testing.assert_allclose(ends, [x.min(), mean + 4 * std], rtol=1e-4)
    expected = np.histogram(np.clip(x, *ends), 16, (ends[0], ends[1]))[0] / x.size
    np.testing.assert_allclose(shares, expected, atol=1e-3)
    np.testing.assert_allclose(shares.sum(), 1, rtol=1e-6)


def test_histogram_of_a_constant_is_one_bin():
    shares, _ = metrics.histogram(jnp.full((30,), 2.5), 8)
    assert float(shares.max()) == 1.0
