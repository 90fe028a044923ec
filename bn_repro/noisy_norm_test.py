"""The noise after BN: another at every step and unit, none outside training."""

import jax
import numpy as np
import pytest

from bn_repro.errors import UserError
from bn_repro.noisy_norm import NoisyBatchNorm
from bn_repro.resolve import resolve
from configs import why_noise

X = np.random.default_rng(0).normal(3, 2, (40, 2000)).astype(np.float32)


def steps(noise, count):
    """Returns the outputs of so many training steps on X, and the variables then."""
    norm = NoisyBatchNorm(noise=noise, bias_correction=True)
    variables = norm.init(jax.random.key(0), X, False)
    found = []
    for _ in range(count):
        y, new = norm.apply(
            variables, X, False, True, mutable=["batch_stats", "ema_count"]
        )
        variables = {**variables, **new}
        found.append(np.float64(y))
    return found, norm, variables


def test_mean_and_scale_jump_within_the_bound_at_every_step():
    found, norm, variables = steps(0.5, 2)
    for y in found:
        m, s = y.mean(0), np.log(y.std(0))
        for values in (m, s):  # uniform in -0.5 to 0.5
            assert np.abs(values).max() < 0.501
            np.testing.assert_allclose(values.std(), 1 / np.sqrt(12), rtol=0.05)
        assert abs(np.corrcoef(m, s)[0, 1]) < 0.1
    assert abs(np.corrcoef(found[0].mean(0), found[1].mean(0))[0, 1]) < 0.1
    clean = (X - X.mean(0)) / X.std(0)
    still = norm.apply(variables, X, False, False)
    np.testing.assert_allclose(still, clean, atol=1e-3)


def test_its_statistics_are_of_what_comes_before_the_noise():
    mean = steps(0.5, 3)[2]["batch_stats"]["mean"]
    np.testing.assert_allclose(mean, X.mean(0), rtol=1e-4)


def test_it_needs_the_count_of_steps():
    config = why_noise.get_config()
    config.bn.bias_correction = False
    with pytest.raises(UserError, match="bn.noise is 0.5; it must be 0 without"):
        resolve(config)
