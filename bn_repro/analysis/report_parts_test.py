import pytest

from bn_repro import records
from bn_repro.analysis import layers_over_time, report_parts, sample_runs
from bn_repro.analysis.layers_over_time_test import deep_run


def compose(folder, out):
    return report_parts.compose(folder, records.find_runs(folder), out)


def stems(part):
    return [drawing.png.stem for drawing in part.drawings]


def test_inception_gets_its_layers_too(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    deep_run(tmp_path / "runs", "bn_x5")
    deep_run(tmp_path / "runs", "inception", model__norm="none")
    sample_runs.write_course(tmp_path / "runs" / "bn_x30", [0.1], "running")
    part = compose(tmp_path / "runs", out)
    assert stems(part) == ["figure2", "layers", "drift", "histograms", "gradients"]
    assert [run.name for run in part.side_by_side] == ["inception", "bn_x5", "bn_x30"]


def test_runs_without_the_paper_s_names_get_no_claims(tmp_path):
    sample_runs.write_course(tmp_path / "mine", [0.1])
    part = compose(tmp_path, tmp_path)
    assert [table.title for table in part.tables] == [
        "Figure 3: steps to the target and best accuracy"
    ]
    assert stems(part) == ["figure2"]


def test_a_sweep_compares_the_layers_of_the_best_of_each_arm(tmp_path):
    for rate, final in ((0.1, 0.5), (1.0, 0.9), (10.0, 0.7)):
        sample_runs.write_seeds(tmp_path, "before", rate, [final])
        sample_runs.write_seeds(tmp_path, "none", rate, [1 - final])
    part = compose(tmp_path, tmp_path)
    assert stems(part) == ["sweep"]  # no probes
    rates = [run.config["optimizer"]["learning_rate"] for run in part.side_by_side]
    assert rates == [0.1, 1.0]


def test_settings_get_their_figure_and_table(tmp_path):
    for nonlinearity in ("tanh", "relu"):
        for norm in ("none", "before"):
            path = tmp_path / f"{nonlinearity}_{norm}"
            values = {"model__nonlinearity": nonlinearity, "model__norm": norm}
            values |= {"data__name": "mnist", "model__name": "mlp"}
            sample_runs.write_course(path, [0.1, 0.9], split="test", **values)
    part = compose(tmp_path, tmp_path)
    assert stems(part) == ["variations"]
    assert part.tables[0].columns[4] == "Steps to 90 %"
    assert [run.name for run in part.side_by_side] == ["relu_none", "relu_before"]


@pytest.mark.parametrize("layers", [3, layers_over_time.MOST_BANDS + 1])
def test_drift_by_layer_is_drawn_where_there_are_many(tmp_path, layers):
    run = deep_run(tmp_path, "bn_x5", layers=layers)
    drawn = [d.png.stem for d in report_parts.layer_figures([run], tmp_path)]
    assert ("drift" in drawn) == (layers > layers_over_time.MOST_BANDS)
    assert drawn[0] == "layers" and drawn[-1] == "gradients"
