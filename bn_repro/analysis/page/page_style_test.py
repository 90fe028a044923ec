import dataclasses

import numpy as np
from matplotlib import colors

from bn_repro.analysis import arms, style, testing
from bn_repro.analysis.page import page_style
from bn_repro.analysis.sweep import comparison
from bn_repro.run_folder import records


def luminance(color):
    return np.array([0.2126, 0.7152, 0.0722]) @ colors.to_rgb(color)


def test_the_seeds_of_a_network_share_its_colour(sample_folder):
    runs = records.find_runs(sample_folder)
    styles, legend, scale = page_style.styles(runs, arms.group(runs), None)
    by_name = dict(zip((run.name for run in runs), styles, strict=True))
    assert by_name["bn_seed0"] == by_name["bn_seed1"]
    assert by_name["bn_seed0"]["colors"] != by_name["plain_seed0"]["colors"]
    assert [entry["legend"] for entry in legend] == ["bn", "plain"]
    assert scale is None
    twin = dataclasses.replace(runs[0], name="twin")
    styles, legend, _ = page_style.styles([*runs, twin], arms.group(runs), None)
    assert styles[-1]["legend"] == legend[-1]["legend"] == "others"


def test_seeds_of_several_lengths_share_an_entry(tmp_path):
    testing.write_networks(tmp_path, ["inception_sigmoid"])
    runs = records.find_runs(tmp_path)
    assert len(arms.group(runs)) == 2
    styles, legend, _ = page_style.styles(runs, arms.group(runs), None)
    assert [entry["legend"] for entry in legend] == ["inception_sigmoid"]
    assert styles == legend * 3


def test_a_sweep_is_coloured_by_value_and_dashed_by_arm(sample_sweep):
    runs = sample_sweep.runs()
    styles, legend, scale = page_style.styles(runs, arms.group(runs), sample_sweep)
    assert scale["labels"] == ["0.01", "0.1", "1", "10"]
    for run, shown in zip(runs, styles, strict=True):
        place = scale["labels"].index(f"{run.config['optimizer']['learning_rate']:g}")
        assert shown["colors"] == [shades[place] for shades in scale["colors"]]
        with_bn = run.config["model"]["norm"] == "batch_norm"
        assert (shown["dash"] == "solid") == with_bn
    for shades in scale["colors"]:
        assert np.diff([luminance(shade) for shade in shades]).min() > 0
    assert [entry["legend"] for entry in legend] == ["With BN", "Without BN"]


def test_a_run_of_no_arm_is_grey(sample_sweep, tmp_path):
    other_rate = {"learning_rate": 0.5}
    testing.write_run(tmp_path / "other", steps=500, optimizer=other_rate)
    [other] = records.find_runs(tmp_path)
    left = sample_sweep._replace(left_out=[other])
    runs = left.runs()
    styles, legend, _ = page_style.styles(runs, arms.group(runs), left)
    assert styles[-1]["colors"] == page_style.OTHER
    assert legend[-1]["legend"] == styles[-1]["legend"] == "others"


def test_a_colour_on_black_keeps_its_hue_and_turns_its_brightness():
    assert page_style.on_black("#000000") == "#e8e8e8"
    assert luminance(page_style.on_black("#ffffff")) < 0.1
    for color in style.PAGE_SERIES:
        shown = page_style.on_black(color)
        assert luminance(shown) > 0.35
        assert np.argmax(colors.to_rgb(shown)) == np.argmax(colors.to_rgb(color)) or (
            color == "#6E6E6E"
        )


def test_a_long_name_of_the_swept_key_takes_several_lines(sample_sweep, monkeypatch):
    long = {sample_sweep.key: "standard deviation of the initial weights"}
    monkeypatch.setattr(comparison, "KEY_NAMES", long)
    scale = page_style.styles(sample_sweep.runs(), [], sample_sweep)[2]
    assert scale["title"] == "standard deviation of<br>the initial weights"
