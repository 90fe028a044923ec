"""A norm is its file and an entry of NORMS: this one trains and is drawn everywhere."""

import jax
import numpy as np
import pytest

from bn_repro import loop
from bn_repro.analysis import report, testing, variations
from bn_repro.analysis.sweep import comparison, comparison_figure
from bn_repro.layer_norm import LayerNorm
from bn_repro.run_folder import records
from configs import mnist

SHORT = {
    "model.norm": "layer_norm",
    "model.hidden": (20, 15),
    "steps": 60,
    "steps_per_call": 30,
    "log_every": 30,
    "eval.every": 30,
    "data.limit": 600,
    "probe.every": 30,
    "probe.examples": 120,
    "optimizer.learning_rate": 0.5,
}


@pytest.mark.parametrize("shape", [(4, 6), (4, 3, 5, 6)])
def test_each_example_is_normalised_over_all_its_values(shape):
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, shape)
    gamma, beta = rng.normal(size=(2, 6))
    variables = {"params": {"scale": np.float32(gamma), "bias": np.float32(beta)}}
    y = LayerNorm().apply(variables, np.float32(x), True, False, None)
    flat = x.reshape(4, -1)
    unit = (flat - flat.mean(1, keepdims=True)) / np.sqrt(
        flat.var(1, keepdims=True) + 1e-5
    )
    np.testing.assert_allclose(y, gamma * unit.reshape(shape) + beta, atol=1e-5)


@pytest.mark.slow
def test_it_trains_on_mnist_and_its_layers_are_drawn(tmp_path):
    for name, overrides in (("ln", {}), ("plain", {"model.norm": "none"})):
        config = mnist.get_config("bn")
        config.update_from_flattened_dict(SHORT | overrides)
        workdir = tmp_path / "runs" / f"{name}_seed0"
        assert loop.run(config, workdir, jax.devices()[:1]) == "finished"
    run = records.read_run(tmp_path / "runs" / "ln_seed0")
    accuracy = run.series("test", "ema", "accuracy")[1]
    assert accuracy[-1] > accuracy[0] + 0.3
    assert not run.series("test", "population", "accuracy")[0].size  # it stores none
    report.write_report(tmp_path / "runs", tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "layer_norm" in page


def test_it_is_a_curve_of_its_own_in_sweeps_and_variations(tmp_path):
    for rate in (0.1, 0.2, 0.3):
        for norm in ("none", "before", "layer_norm"):
            testing.write_course(
                tmp_path / f"{norm}_{rate}",
                [0.1, 0.5],
                model__norm=norm,
                optimizer__learning_rate=rate,
            )
    runs = records.find_runs(tmp_path)
    sweep = comparison.find_sweep(runs)
    labels = ["Without BN", "With BN", "With layer norm"]
    assert sorted(arm.label for arm in sweep.arms) == sorted(labels)
    comparison_figure.draw_sweep(sweep, 0.4)
    settings = variations.find_settings(runs)
    for setting in settings:
        assert list(setting.arms) == ["none", "batch_norm", "layer_norm"]
    figure, _ = variations.draw_variations(settings)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == labels
