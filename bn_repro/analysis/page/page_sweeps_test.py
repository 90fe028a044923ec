import pytest

from bn_repro.analysis import tables, testing
from bn_repro.analysis.page import page_sweeps
from bn_repro.analysis.sweep import comparison
from bn_repro.run_folder import records

RATE, STDDEV = "optimizer.learning_rate", "model.init_stddev"


def swept(runs):
    sweep = comparison.find_sweep(runs)
    runs = sweep.runs() if sweep else list(runs)
    keys = tables.varying_keys(run.config for run in runs)
    return runs, page_sweeps.sweeps(runs, keys, sweep)


def write(folder, norm, rate, stddev=0.1, seed=0):
    testing.write_course(
        folder / f"{norm}_{rate:g}_{stddev:g}_seed{seed}",
        [0.1, 0.9],
        seed=seed,
        model__norm=norm,
        model__init_stddev=stddev,
        optimizer__learning_rate=rate,
    )


def test_a_sweep_has_its_arms_with_their_points_in_order(sample_sweep):
    runs, found = swept(sample_sweep.runs())
    [one] = found
    assert (one["key"], one["title"], one["logarithmic"]) == (
        RATE,
        "learning rate",
        True,
    )
    assert [arm["label"] for arm in one["arms"]] == ["With BN", "Without BN"]
    for arm, norm in zip(one["arms"], ("batch_norm", "none"), strict=True):
        assert [point["x"] for point in arm["points"]] == [0.01, 0.1, 1, 10]
        for point in arm["points"]:
            members = [runs[place].config for place in point["runs"]]
            assert [m["seed"] for m in members] == [0, 1]
            assert {m["model"]["norm"] for m in members} == {norm}
            rates = {m["optimizer"]["learning_rate"] for m in members}
            assert rates == {point["x"]}
    assert one["ticks"]["ticktext"] == ["0.01", "0.1", "1", "10"]


def test_the_best_are_compared_with_their_interval(sample_sweep):
    _, [one] = swept(sample_sweep.runs())
    [sentence] = one["best"]
    assert "With BN, 96.50 ± 0.71 % at learning rate 1 against" in sentence
    assert "Without BN, 93.50 ± 0.71 % at learning rate 1" in sentence
    # Welch with one degree of freedom: 12.706 standard errors of 1 point.
    assert "a tie, +3.00 points, 95 % interval -9.71 to +15.71" in sentence


def test_an_interval_of_one_seed_says_what_it_is_of(tmp_path):
    for rate in (0.1, 1.0, 10.0):
        write(tmp_path, "before", rate)
        write(tmp_path, "none", rate)
    _, [one] = swept(records.find_runs(tmp_path))
    assert one["best"][0].endswith(" of the pictures alone, one seed.")


def test_the_key_that_is_really_swept_comes_first(tmp_path):
    for rate in (0.1, 1.0, 10.0):
        write(tmp_path, "before", rate)
    write(tmp_path, "before", 1.0, stddev=0.3)
    keys = [one["key"] for one in swept(records.find_runs(tmp_path))[1]]
    assert keys[:2] == [RATE, STDDEV]


def test_an_arm_of_one_value_is_no_sweep(tmp_path):
    write(tmp_path, "before", 0.1)
    write(tmp_path, "none", 1.0)
    assert swept(records.find_runs(tmp_path))[1] == []


def test_an_arm_called_by_its_runs_says_both(tmp_path, monkeypatch):
    testing.write_course(tmp_path / "bn_x5", [0.1], optimizer__learning_rate=0.1)
    testing.write_course(tmp_path / "bn_x30", [0.2], optimizer__learning_rate=0.6)
    monkeypatch.setattr(tables, "LONGEST", 3)
    (sweep,) = swept(records.find_runs(tmp_path))[1]
    assert [arm["label"] for arm in sweep["arms"]] == ["bn_x5 and bn_x30"]


@pytest.mark.parametrize("norms", [("before",), ("before", "none")])
def test_two_keys_make_a_grid_an_arm(tmp_path, norms):
    for norm in norms:
        for rate in (0.1, 1.0, 10.0):
            for stddev in (0.1, 0.3):
                write(tmp_path, norm, rate, stddev)
    write(tmp_path, "before", 1.0, 0.3, seed=1)
    runs, found = swept(records.find_runs(tmp_path))
    [grid] = [one for one in found if "names" in one]
    assert {grid["key"]} <= {f"{RATE}*{STDDEV}", f"{STDDEV}*{RATE}"}
    axes = dict(zip(grid["key"].split("*"), (grid["x"], grid["y"]), strict=True))
    assert axes == {RATE: ["0.1", "1", "10"], STDDEV: ["0.1", "0.3"]}
    assert len(grid["arms"]) == len(norms)
    sizes = [len(members) for members in grid["arms"][0]["cells"].values()]
    assert sorted(sizes) == [1, 1, 1, 1, 1, 2]
    for cell, members in grid["arms"][0]["cells"].items():
        y, x = map(int, cell.split(","))
        for place in members:
            flat = runs[place].config
            values = {
                RATE: flat["optimizer"]["learning_rate"],
                STDDEV: flat["model"]["init_stddev"],
            }
            x_key, y_key = grid["key"].split("*")
            assert f"{values[x_key]:g}" == grid["x"][x]
            assert f"{values[y_key]:g}" == grid["y"][y]
