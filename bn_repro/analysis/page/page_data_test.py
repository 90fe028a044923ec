import dataclasses

import numpy as np
import pytest

from bn_repro.analysis import networks, testing
from bn_repro.analysis.page import page_data, page_units
from bn_repro.errors import UserError
from bn_repro.run_folder import records


@pytest.fixture(scope="module")
def runs(sample_folder):
    return records.find_runs(sample_folder)


def named(data, name):
    return next(run for run in data.values["runs"] if run["name"] == name)


def with_seeds(runs, count):
    """Returns `count` runs: those given, again and again, with seeds of their own."""
    copies = []
    for seed in range(count):
        run = runs[seed % len(runs)]
        config = {**run.config, "seed": seed}
        name = f"{run.name.split('_')[0]}_seed{seed}"
        copies.append(dataclasses.replace(run, name=name, config=config))
    return copies


def test_keys_of_one_name_have_columns_of_their_own(runs):
    config = runs[0].config
    probe = config["probe"] | {"batch_size": 30}
    other = dataclasses.replace(
        runs[0], name="other", config=config | {"batch_size": 30, "probe": probe}
    )
    columns = page_data.page_data([runs[0], other]).values["columns"]
    labels = [column["label"] for column in columns if "key" in column]
    assert labels == ["learning_rate", "batch_size", "probe.batch_size", "seed"]


def test_a_run_has_its_overview_and_curves(runs):
    shown = named(page_data.page_data(runs), "bn_seed1")
    run = next(run for run in runs if run.name == "bn_seed1")
    steps, accuracy = run.series("test", "ema", "accuracy")
    assert shown["variant"] == "bn"
    assert shown["config"]["optimizer.learning_rate"] == 0.01
    assert (shown["status"], shown["steps"]) == ("finished", 50_000)
    assert shown["seconds"] == 50.0
    assert shown["held_out"] == "test ema"
    assert shown["best"] == pytest.approx(accuracy.max(), rel=1e-4)
    assert shown["final"] == pytest.approx(accuracy[-1], rel=1e-4)
    assert shown["outcome"] == "trained"
    curve = shown["curves"]["test ema"]
    assert curve["steps"] == steps.tolist()
    np.testing.assert_allclose(curve["accuracy"], accuracy, rtol=1e-4)
    loss = run.series("train", "batch", "loss")[1]
    np.testing.assert_allclose(shown["curves"]["train batch"]["loss"], loss, rtol=1e-4)


def test_drift_of_every_layer_is_that_of_its_units(runs):
    shown = named(page_data.page_data(runs), "plain_seed0")["layers"]
    probes = runs[[run.name for run in runs].index("plain_seed0")].activations
    for start in (0, 5_000):
        late = probes["steps"] >= start
        for index, layer in enumerate(shown["names"]):
            low, median, high = probes[layer][late].transpose(1, 0, 2).astype(float)
            location = np.ptp(median, axis=0) / (high - low).mean(axis=0)
            scale = np.log((high - low).max(axis=0) / (high - low).min(axis=0))
            for measure, values in (("location", location), ("scale", scale)):
                quartiles = np.array(shown["drift"][str(start)][measure])[:, index]
                middle = np.sort(values)[[9, 4, 14]]  # of 20 units
                np.testing.assert_allclose(quartiles, middle, rtol=1e-4)


def test_what_differs_what_is_drawn_first_and_the_target(runs):
    values = page_data.page_data(runs).values
    assert values["keys"] == ["model.norm"]
    names = [values["runs"][index]["name"] for index in values["chosen"]]
    assert sorted(names) == ["bn_seed0", "plain_seed0"]
    goal = networks.find_goal(networks.find(runs)[0])
    assert goal.name == "plain" and values["target"] == pytest.approx(
        goal.accuracy, 1e-5
    )
    assert values["sweeps"] == []


def test_a_sweep_comes_in_its_order_with_its_target(runs):
    rates = (10.0, 0.03, 0.1)
    swept = [
        dataclasses.replace(
            run,
            name=f"{run.name.split('_')[0]}_lr{rate:g}_seed{run.config['seed']}",
            config={**run.config, "optimizer": {"learning_rate": rate}},
        )
        for rate in rates
        for run in runs
    ]
    values = page_data.page_data(swept).values
    key = "optimizer.learning_rate"
    found = [run["config"][key] for run in values["runs"]]
    assert found == 2 * [0.03, 0.03, 0.1, 0.1, 10, 10]
    assert values["sweeps"][0]["key"] == key
    assert values["target"] == 0.9
    drawn = [values["runs"][index]["name"] for index in values["chosen"]]
    assert drawn == [
        f"{arm}_lr{r}_seed0" for arm in ("plain", "bn") for r in (0.03, 0.1, 10)
    ]


def test_a_run_at_chance_is_told_from_one_that_learned(tmp_path):
    writer = testing.write_run(tmp_path / "plain", "none", steps=500, done=0)
    for step, value in ((0, 0.098), (500, 0.1028)):
        testing.write_metrics(writer, step, value)
    shown = page_data.page_data(records.find_runs(tmp_path)).values["runs"][0]
    assert shown["outcome"] == "chance"


def test_runs_of_several_statistics_are_drawn_together_at_first(tmp_path):
    testing.write_run(tmp_path / "plain", "none", steps=500)
    writer = testing.write_run(tmp_path / "bn", "before", steps=500)
    row = {"split": "test", "statistics": "population", "accuracy": 0.5}
    writer.append_metrics({"step": 500, "seconds": 1.0} | row)
    values = page_data.page_data(records.find_runs(tmp_path)).values
    first, *others = values["curves"].items()
    assert first == ("held_out", "held out, as listed")
    assert "test population" in dict(others)
    finals = [run["curves"]["held_out"]["accuracy"][-1] for run in values["runs"]]
    assert finals == [run["final"] for run in values["runs"]]
    [alone] = records.find_runs(tmp_path / "bn")
    assert "held_out" not in page_data.page_data([alone]).values["curves"]


def test_units_lie_where_the_viewer_says(runs):
    data = page_data.page_data(runs)
    assert data.units.dtype == np.dtype("<f4")
    for entry in data.values["viewer"]["runs"]:
        run = next(run for run in runs if run.name == entry["run"])
        assert entry["percentiles"][entry["middle"]] == 50
        for layer in entry["layers"]:
            expected = run.activations[layer["name"]]
            found = data.units[layer["offset"] :][: expected.size]
            np.testing.assert_array_equal(found.reshape(expected.shape), expected)
            assert layer["units"] == list(range(20))


def test_too_many_units_are_thinned_evenly_around_the_typical(runs, monkeypatch):
    monkeypatch.setattr(page_units, "VIEWER_VALUES", 4 * 51 * 3 * 3 * 5)
    data = page_data.page_data(runs)
    assert data.values["viewer"]["limit"] == 5
    assert data.units.size == 4 * 51 * 3 * 3 * 5
    for entry in data.values["viewer"]["runs"]:
        run = next(run for run in runs if run.name == entry["run"])
        for layer in entry["layers"]:
            assert layer["typical"] in layer["units"]
            assert np.diff(layer["units"]).min() > 0
            kept = run.activations[layer["name"]][:, :, layer["units"]]
            found = data.units[layer["offset"] :][: kept.size]
            np.testing.assert_array_equal(found.reshape(kept.shape), kept)


def test_the_viewer_shows_sixteen_runs_unless_told(runs):
    many = with_seeds(runs, 40)
    viewer = page_data.page_data(many).values["viewer"]
    shown = [entry["run"] for entry in viewer["runs"]]
    assert len(shown) == 16 and len(viewer["left_out"]) == 24
    assert {name.split("_")[0] for name in shown[:2]} == {"bn", "plain"}

    def shown_for(*viewer_runs):
        return [run.name for run in page_units.select(many, viewer_runs)]

    assert shown_for("3") == shown[:3]
    assert shown_for("0") == []
    assert shown_for(many[7].name, many[2].name) == [many[7].name, many[2].name]
    with pytest.raises(UserError, match="viewer_runs: there is no run bn_seed99; give"):
        shown_for(many[0].name, "bn_seed99")


def test_a_run_without_probes_is_named(runs):
    bare = dataclasses.replace(runs[0], name="bare_seed9", activations=None)
    data = page_data.page_data([*runs, bare])
    assert data.values["viewer"]["unprobed"] == ["bare_seed9"]
    assert named(data, "bare_seed9")["layers"] is None


def test_what_is_not_finite_is_null_and_documents_keep_their_digits(tmp_path):
    writer = testing.write_run(tmp_path / "bn", steps=500)
    row = {"step": 1000, "split": "test", "statistics": "ema"}
    writer.append_metrics(row | {"loss": float("inf"), "accuracy": 0.5})
    run = page_data.page_data(records.find_runs(tmp_path)).values["runs"][0]
    assert run["curves"]["test ema"]["loss"][-1] is None
    assert run["manifest"]["images_per_second"] == 123_456.7
    # One probe: nothing can be said to have moved.
    assert run["layers"]["drift"]["0"]["location"][0] == [None, None, None]


def test_algorithm_2_s_statistics_are_preferred_and_named(tmp_path):
    writer = testing.write_run(tmp_path / "bn", steps=500)
    for step, accuracy in ((0, 0.1), (500, 0.75)):
        row = {"step": step, "split": "test", "statistics": "population"}
        writer.append_metrics(row | {"accuracy": accuracy, "count": 10_000})
    values = page_data.page_data(records.find_runs(tmp_path)).values
    run = values["runs"][0]
    assert (run["held_out"], run["final"]) == ("test population", 0.75)
    assert values["held_out"] == "Accuracy is on test data, Algorithm 2's statistics."
    assert list(values["curves"])[0] == "test population"


def test_every_recorded_number_can_be_drawn(tmp_path):
    writer = testing.write_run(tmp_path / "bn", steps=500)
    row = {"step": 500, "split": "train", "statistics": "batch", "examples": 9}
    writer.append_metrics(row | {"l2": 0.5, "new_thing": 2.0})
    values = page_data.page_data(records.find_runs(tmp_path)).values
    assert list(values["fields"]) == ["accuracy", "loss", "l2", "new_thing"]
    assert values["fields"]["new_thing"] == "new thing"
    assert values["runs"][0]["curves"]["train batch"]["new_thing"][-1] == 2


def test_a_run_that_diverged_is_no_target(tmp_path):
    for name, best, status in (
        ("plain_a", 0.9, "diverged"),
        ("plain_b", 0.6, "finished"),
    ):
        rate = {"optimizer__learning_rate": best, "model__norm": "none"}
        testing.write_course(tmp_path / name, [0.1, best], status, **rate)
    runs = records.find_runs(tmp_path)
    found = page_data.page_data(runs).values["target"]
    assert found == pytest.approx(0.35)  # the mean of plain_b's last evaluations
    asked = page_data.page_data(runs, target="plain_a").values["target"]
    assert asked is None


def test_how_a_run_stands_is_told(tmp_path):
    for status in ("running", "failed", "interrupted", "diverged"):
        testing.write_run(tmp_path / status, steps=1000, status=status, done=500)
    shown = page_data.page_data(records.find_runs(tmp_path)).values["runs"]
    assert {run["name"]: run["outcome"] for run in shown} == {
        status: status for status in ("running", "failed", "interrupted", "diverged")
    }
    testing.write_course(tmp_path / "a", [], "finished")
    testing.write_course(tmp_path / "b", [0.1, np.nan], "finished")
    shown = page_data.page_data(records.find_runs(tmp_path)).values["runs"][:2]
    assert [run["outcome"] for run in shown] == ["unmeasured"] * 2


def test_the_viewer_opens_on_the_best_of_each_arm(sample_sweep):
    probes = {
        "layers": [],
        "steps": np.zeros(1, int),
        "percentiles": np.array([15.0, 50.0, 85.0]),
    }
    runs = [dataclasses.replace(r, activations=probes) for r in sample_sweep.runs()]
    viewer = page_data.page_data(runs).values["viewer"]
    assert viewer["pair"] == [
        "plain_lr1_0_finished_seed0",
        "bn_lr1_0_finished_seed0",
    ]
