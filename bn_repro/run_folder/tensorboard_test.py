"""TensorBoard gets what the run folder gets, or its absence is explained."""

import sys

import jax
import numpy as np
import pytest

from bn_repro import loop
from bn_repro.errors import UserError
from bn_repro.loop_test import short
from bn_repro.run_folder import records, tensorboard


def test_without_tensorflow_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    monkeypatch.delitem(sys.modules, "clu.metric_writers", raising=False)
    with pytest.raises(UserError, match="pip install tensorflow-cpu tensorboard,"):
        loop.run(short(tensorboard=True), tmp_path, jax.devices()[:1])


def test_values_have_the_shares_of_the_histogram():
    values = tensorboard._values([0.2, 0.0, 0.5, 0.3], [-1.0, 3.0])
    counts, _ = np.histogram(values, bins=4, range=(-1, 3))
    assert counts.tolist() == [200, 0, 500, 300]


def test_summaries_are_the_records(tmp_path):
    pytest.importorskip("tensorflow", reason='needs the extra "tensorboard"')
    pytest.importorskip("tensorboard", reason='needs the extra "tensorboard"')
    from tensorboard.backend.event_processing import event_accumulator
    from tensorboard.util import tensor_util

    assert loop.run(short(tensorboard=True), tmp_path, jax.devices()[:1]) == "finished"
    events = event_accumulator.EventAccumulator(str(tmp_path / tensorboard.FOLDER))
    events.Reload()
    run = records.read_run(tmp_path)
    steps, accuracy = run.series("test", "ema", "accuracy")

    def written(tag):
        return {
            event.step: float(tensor_util.make_ndarray(event.tensor_proto))
            for event in events.Tensors(tag)
        }

    expected = dict(zip(steps.tolist(), accuracy, strict=True))
    assert written("test/ema/accuracy") == pytest.approx(expected)
    steps = run.activations["steps"].tolist()
    for field in ("gradient_norm", "saturated", "weight_norm"):
        for i, layer in enumerate(("hidden_1", "hidden_2")):
            expected = dict(zip(steps, run.activations[field][:, i], strict=True))
            found = written(f"{field}/{layer}")
            assert found == pytest.approx(expected, rel=1e-3)  # recorded in float16
    tags = events.Tags()["tensors"]
    for layer in ("hidden_1", "hidden_2"):
        for tag in (f"{layer}/input", f"{layer}/output", f"gradient_norm/{layer}"):
            probed = [event.step for event in events.Tensors(tag)]
            assert probed == [0, 30, 60], tag
    assert "train/batch/loss" in tags
    assert "_hparams_/session_start_info" in events.summary_metadata
