import dataclasses
import importlib

import numpy as np
import pytest

from bn_repro.analysis import report_parts, style, testing, variations
from bn_repro.analysis.layers import layer_figures, layer_signals, layers_over_time
from bn_repro.analysis.layers.layers_over_time_test import deep_run
from bn_repro.analysis.page import page_data
from bn_repro.analysis.sweep import comparison
from bn_repro.analysis.testing import write_run
from bn_repro.analysis.variations_test import write
from bn_repro.analysis.why_test import asking
from bn_repro.run_folder import records
from bn_repro.run_folder.writer import RunWriter


def compose(folder, out):
    runs = records.find_runs(folder)
    sweep = comparison.find_sweep(runs)
    return report_parts.compose(report_parts.Given(folder, runs, sweep, out, None))


def stems(part):
    return [drawing.png.stem for drawing in part.drawings]


def test_inception_gets_its_layers_too(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    deep_run(tmp_path / "runs", "bn_x5")
    deep_run(tmp_path / "runs", "inception", model__norm="none")
    testing.write_course(tmp_path / "runs" / "bn_x30", [0.1], "running")
    part = compose(tmp_path / "runs", out)
    assert stems(part) == ["figure2", "layers", "drift", "histograms", "gradients"]
    assert [run.name for run in part.side_by_side] == ["inception", "bn_x5", "bn_x30"]


def test_runs_without_the_paper_s_names_get_no_claims(tmp_path):
    testing.write_course(tmp_path / "mine", [0.1])
    part = compose(tmp_path, tmp_path)
    assert [table.title for table in part.tables] == [
        "Accuracy of each run",
        "Steps to the target",
    ]
    assert stems(part) == ["convergence"]


def test_two_arms_of_an_experiment_of_its_own_get_their_curves(tmp_path):
    for name, norm in (("plain", "none"), ("bn", "before")):
        write_run(tmp_path / name, norm, experiment="mine")
    part = compose(tmp_path, tmp_path)
    assert stems(part)[0] == "convergence"
    assert "on 10,000 test pictures" in part.drawings[0].caption
    assert "10 classes, 50,000 steps of 60 pictures." in part.drawings[0].caption
    assert "paper's width" not in part.drawings[0].caption


def test_the_papers_networks_keep_their_figure_beside_a_sweep(tmp_path):
    for name, rate in (("bn_x5", 0.1), ("bn_x15", 0.3), ("bn_x30", 0.6)):
        testing.write_course(tmp_path / name, [0.1, 0.2], optimizer__learning_rate=rate)
    part = compose(tmp_path, tmp_path)
    assert {"figure2", "sweep"} <= set(stems(part))


def test_a_sweep_compares_the_layers_of_the_best_of_each_arm(tmp_path):
    for rate, final in ((0.1, 0.5), (1.0, 0.9), (10.0, 0.7)):
        testing.write_seeds(tmp_path, "before", rate, [final])
        testing.write_seeds(tmp_path, "none", rate, [1 - final])
    part = compose(tmp_path, tmp_path)
    assert stems(part) == ["sweep"]  # no probes
    rates = [run.config["optimizer"]["learning_rate"] for run in part.side_by_side]
    assert rates == [0.1, 1.0]


def test_a_question_draws_histograms_of_the_arms_it_names(tmp_path):
    for norm in ("none", "before"):
        write(tmp_path, "tanh", norm, [0.9, 0.9], ratios=(1.0, 1.0))
    runs = asking(records.find_runs(tmp_path), "why_saturation")
    given = report_parts.Given(tmp_path, runs, None, tmp_path, None)
    part = report_parts.questions(given)
    assert stems(part) == ["why_saturation", "histograms_tanh_none"]  # no BN after
    assert part.drawings[1].title == "Histograms of tanh_none and tanh_before"
    runs = [dataclasses.replace(run, activations=None) for run in runs]
    part = report_parts.questions(given._replace(runs=runs))
    assert part.drawings == [] and len(part.tables) == 1


@pytest.mark.parametrize("without", ["activations", "fields"])
def test_a_question_of_runs_that_nothing_is_probed_of_yet_has_its_table(
    tmp_path, without
):
    testing.write_run(tmp_path / "center_stop", experiment="why_naive_gradient")
    (run,) = records.find_runs(tmp_path)
    if without == "activations":
        run = dataclasses.replace(run, activations=None)
    given = report_parts.Given(tmp_path, [run], None, tmp_path, None)
    part = report_parts.questions(given)
    assert part.drawings == [] and len(part.tables) == 1
    assert part.notes[0].startswith("Nothing is probed yet of: What if descent")


def test_settings_get_their_figure_and_table(tmp_path):
    for nonlinearity in ("tanh", "relu"):
        for norm in ("none", "before"):
            path = tmp_path / f"{nonlinearity}_{norm}"
            values = {"model__nonlinearity": nonlinearity, "model__norm": norm}
            values |= {"data__name": "mnist", "model__name": "mlp"}
            testing.write_course(path, [0.1, 0.9], split="test", **values)
    part = compose(tmp_path, tmp_path)
    assert stems(part) == ["variations"]
    assert "Steps to 90 %" in part.tables[0].columns
    assert [run.name for run in part.side_by_side] == ["relu_none", "relu_before"]


def config_runs(folder, file):
    """Writes a folder with nothing but its configuration for each of RUNS."""
    module = importlib.import_module(f"configs.{file}")
    for name in module.RUNS:
        config = module.get_config(name).to_dict()
        RunWriter(folder / name).write_config(config)
    return records.find_runs(folder)


@pytest.mark.parametrize(
    ("file", "key", "values"),
    [
        ("mnist_lr_sweep", "optimizer.learning_rate", 10),
        ("mnist_init_sweep", "model.init_stddev", 7),
        ("tiny_imagenet_lr_sweep", "optimizer.learning_rate", 6),
    ],
)
def test_the_sweeps_of_the_configs_are_recognised(tmp_path, file, key, values):
    sweep = comparison.find_sweep(config_runs(tmp_path, file))
    assert sweep.key == key and not sweep.left_out
    assert {a.label: len(a.points) for a in sweep.arms} == {
        "Without BN": values,
        "With BN": values,
    }


def test_other_configs_are_no_sweeps_and_the_variations_are_settings(tmp_path):
    for file in ("mnist", "tiny_imagenet", "tiny_imagenet_ablation"):
        runs = config_runs(tmp_path / file, file)
        assert comparison.find_sweep(runs) is None
        assert variations.find_settings(runs) == []
    runs = config_runs(tmp_path / "variations", "mnist_variations")
    assert comparison.find_sweep(runs) is None
    assert [(s.label, len(s.arms)) for s in variations.find_settings(runs)] == [
        ("sigmoid, 3 hidden layers", 3),
        ("ReLU, 3 hidden layers", 3),
        ("sigmoid, 3 hidden layers, dropout 0.5", 2),
        ("sigmoid, 8 hidden layers", 3),
        ("tanh, 3 hidden layers", 3),
    ]


def test_the_ablation_is_measured_against_all_changes(tmp_path):
    testing.write_course(tmp_path / "bn_x5_lrn", [0.1, 0.3])
    testing.write_course(tmp_path / "bn_x5", [0.1, 0.4])
    part = compose(tmp_path, tmp_path)
    assert "the plateau of BN-x5" in part.tables[1].note


@pytest.mark.parametrize(
    "layers",
    [3, pytest.param(layers_over_time.MOST_BANDS + 1, marks=pytest.mark.slow)],
)
def test_drift_by_layer_is_drawn_where_there_are_many(tmp_path, layers):
    run = deep_run(tmp_path, "bn_x5", layers=layers)
    drawn = [d.png.stem for d in layer_figures.draw([run], tmp_path)[0]]
    assert ("drift" in drawn) == (layers > layers_over_time.MOST_BANDS)
    assert drawn[0] == "layers" and drawn[-1] == "gradients"


@pytest.mark.parametrize(
    "field", sorted({"gradient_norm"} | layer_signals.HISTOGRAM_FIELDS)
)
def test_a_field_that_a_record_lacks_costs_its_own_figure_only(
    tmp_path, monkeypatch, field
):
    """As in a record from before the field was added."""
    for norm in ("none", "before"):
        path = tmp_path / "runs" / f"{norm}_seed0"
        testing.write_run(path, norm, steps=2_000)
        with np.load(path / records.ACTIVATIONS) as arrays:
            rest = {name: array for name, array in arrays.items() if name != field}
        np.savez(path / records.ACTIVATIONS, **rest)
    runs = records.find_runs(tmp_path / "runs")
    unsaved = lambda figure, stem, *_: style.Drawing(stem, stem, "", "", "")  # noqa: E731
    monkeypatch.setattr(style, "save", unsaved)
    drawn = set(stems(compose(tmp_path / "runs", tmp_path)))
    lost = {"gradients"} if field == "gradient_norm" else {"histograms"}
    assert {"figure1", "layers", "histograms", "gradients"} - drawn == lost
    page_data.page_data(runs)
