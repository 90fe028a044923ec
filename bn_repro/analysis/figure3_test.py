import math

import numpy as np
import pytest

from bn_repro.analysis import (
    figure2,
    figure3,
    intervals,
    networks,
    steps_to_target,
    testing,
)
from bn_repro.run_folder import records


def read(folder, wanted=None):
    """Returns the networks and the goal of the runs below a folder."""
    found, _ = networks.find(records.find_runs(folder))
    return found, networks.find_goal(found, wanted)


def rows(table):
    return {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}


def write(folder, **runs):
    """Writes networks by name: (a list of accuracies a seed, status, overrides)."""
    for name, (seeds, status, overrides) in runs.items():
        for seed, accuracies in enumerate(seeds):
            path = folder / f"{name}_seed{seed}"
            testing.write_course(path, accuracies, status, seed=seed, **overrides)


PLAIN = {"model__norm": "none", "optimizer__learning_rate": 0.0015}
LEVEL = [0.01, 0.04, 0.08, 0.12, 0.16, 0.2, 0.2, 0.2, 0.2, 0.2]


def test_fig_3_of_a_hand_computed_example(tmp_path):
    write(
        tmp_path,
        inception=([LEVEL], "finished", PLAIN),
        bn_x5=([[0.01, 0.2, 0.3, 0.3, 0.3, 0.3]], "finished", {}),
        bn_x30=([[0.01, 0.2, 0.21]], "running", {}),
        inception_x5=([[0.01, 0.012]], "diverged", PLAIN),
        other=([[0.01, 0.19]], "finished", {}),
    )
    found, goal = read(tmp_path)
    shown = rows(figure3.figure3_table(found, goal))
    inception = shown["Inception"]
    assert inception["Accuracy at the end"] == "20.00 %"
    assert inception["Best"] == "20.00 % at step 1,250"
    assert (inception["Seeds"], inception["Learning rate"]) == ("1", "0.0015")
    assert inception["Against Inception, points"] == "the target"
    assert shown["BN-x5"]["Against Inception, points"] == "+8.00"  # 0.28 at the end
    assert shown["BN-x5"]["95 % interval"] == "-"
    assert shown["BN-x30"]["Steps"] == (
        "3,000; running, or killed, at step 500 of 3,000"
    )
    failed = shown["Inception-x5"]
    assert failed["Steps"] == "3,000; diverged at step 257"
    assert failed["Accuracy at the end"] == "-"
    assert failed["Against Inception, points"] == "-"
    assert failed["Paper: best"] == "not printed"
    assert shown["other"]["Paper: best"] == "-"


def test_steps_of_a_hand_computed_example(tmp_path):
    write(
        tmp_path,
        inception=([LEVEL], "finished", PLAIN),
        bn_x5=([[0.0, 0.2, 0.3]], "finished", {}),
        bn_x30=([[0.01, 0.05]], "running", {}),
        inception_x5=([[0.01, 0.012]], "diverged", PLAIN),
        other=([[0.01, 0.19]], "finished", {}),
    )
    table = figure3.steps_table(*read(tmp_path))
    assert "Target: 20.00 %, the plateau of Inception (mean of the last" in table.note
    assert table.columns[1:4] == [
        "Steps to 50 %: 10.00 %",
        "Times fewer to 50 % [95 %]",
        "Steps to 75 %: 15.00 %",
    ]
    shown = rows(table)
    steps = [c for c in table.columns if c.startswith("Steps")]
    times = [c for c in table.columns if c.startswith("Times")]
    assert [shown["Inception"][c] for c in steps] == ["625", "937", "1,125", "1,250"]
    assert [shown["Inception"][c] for c in times] == ["-"] * 4
    x5 = shown["BN-x5"]
    assert [x5[c] for c in steps] == ["125", "187", "225", "250"]
    assert [x5[c] for c in times] == ["5.00"] * 4
    assert (x5["Images to 100 %"], x5["Wall-clock to 100 %"]) == ("8,000", "25 s")
    assert (x5["Paper: steps to 72.2 %"], x5["Paper: times fewer"]) == ("2.1M", "14.8")
    assert shown["BN-x30"][steps[0]] == "not yet at 250"
    assert shown["Inception-x5"][steps[0]] == "diverged at step 257"
    assert shown["other"][steps[-1]] == "not within 250"
    assert shown["other"][times[-1]] == "-"


def test_seeds_have_their_spread_and_their_intervals(tmp_path):
    testing.write_networks(tmp_path)
    found, goal = read(tmp_path)
    by_key = {network.key: network for network in found}
    accuracy = rows(figure3.figure3_table(found, goal))["BN-x5"]
    steps = rows(figure3.steps_table(found, goal))["BN-x5"]
    inception, x5 = by_key["inception"], by_key["bn_x5"]
    ends = 100 * x5.ends
    expected = f"{ends.mean():.2f} ± {ends.std(ddof=1):.2f} %"
    assert accuracy["Accuracy at the end"] == expected
    difference = intervals.difference(x5.ends, inception.ends)
    assert accuracy["95 % interval"] == (
        f"{100 * difference.low:+.2f} to {100 * difference.high:+.2f}"
    )
    assert accuracy["Same pictures as Inception"].startswith("seed 0: ")
    needed = [
        steps_to_target.count(n.courses, 0.9 * goal.accuracy).needed
        for n in (inception, x5)
    ]
    times = np.exp(np.log(needed[0]).mean() - np.log(needed[1]).mean())
    assert steps["Times fewer to 90 % [95 %]"].startswith(f"{times:.1f} [")
    sigmoid = rows(figure3.figure3_table(found, goal))["Inception-Sigmoid"]
    assert sigmoid["Steps"] == "16,000, 5,000"
    assert sigmoid["Against Inception, points"].startswith("chance; -")
    sigmoid = rows(figure3.steps_table(found, goal))["Inception-Sigmoid"]
    assert sigmoid["Times fewer to 50 % [95 %]"] == "-"  # no seed gets there
    at_half = next(text for name, text in sigmoid.items() if "Steps to 50 %" in name)
    assert at_half == "not within 5,000-16,000"


def test_seeds_that_never_get_there_are_counted_not_guessed(tmp_path):
    low = [*LEVEL[:4], *[0.12] * 6]
    write(
        tmp_path,
        inception=([LEVEL, LEVEL], "finished", PLAIN),
        bn_x5=([LEVEL, [0.01, 0.2, 0.2], low], "finished", {}),
    )
    shown = rows(figure3.steps_table(*read(tmp_path)))["BN-x5"]
    assert shown["Steps to 100 %: 20.00 %"] == (
        "2 of 3 seeds: 559 (250-1,250); 1 not within 2,250"
    )
    assert shown["Times fewer to 100 % [95 %]"].startswith("under ")
    assert shown["Images to 100 %"] == "-"


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ((14.06, 12.04, 16.64), "14.1 [12.0, 16.6]"),
        ((1.0, math.nan, math.nan), "1.00"),
        ((130.4, 100.2, 170.6), "130 [100, 171]"),
        ((math.nan, 9.8, math.inf), "over 9.80"),
        ((math.nan, 0.0, 2.5), "under 2.50"),
        ((math.nan, 0.0, math.inf), "-"),
        (intervals.NONE, "-"),
    ],
)
def test_times_as_text(found, text):
    assert figure3.times_text(intervals.Interval(*found)) == text


def test_an_unfinished_target_is_so_far_and_a_number_has_no_network(tmp_path):
    write(tmp_path, inception=([[0.01, 0.1]], "running", PLAIN))
    note = figure3.steps_table(*read(tmp_path)).note
    assert "the plateau of Inception so far (" in note and ", one seed)" in note
    table = figure3.steps_table(*read(tmp_path, 0.5))
    assert table.rows[0][-4:] == ["not yet at 250", "-", "-", "-"]
    columns = figure3.figure3_table(*read(tmp_path, 0.5)).columns
    assert "Against the target, points" in columns
    write(tmp_path / "new", inception=([[]], "running", PLAIN))
    assert figure3.steps_table(*read(tmp_path / "new")).note.startswith("No target yet")


def test_only_a_reduced_scale_has_things_it_cannot_show(tmp_path):
    write(tmp_path, bn_x5=([[0.1]], "finished", {}))
    small = figure2.scale_note(read(tmp_path)[0])
    assert (
        "64 x 64 pixels, 0.25 of the paper's width, 100 classes, 3,000 steps" in small
    )
    assert "cannot show accuracies of the full network, nor steps to 72.2 %" in small
    full = {"model__width": 1.0, "data__image_size": 224, "data__classes": 1000}
    write(tmp_path / "full", bn_x5=([[0.1]], "finished", full))
    whole = figure2.scale_note(read(tmp_path / "full")[0])
    assert "cannot" not in whole
    assert "224 x 224 pixels, the paper's width, 1,000 classes" in whole


def test_statistics_are_named_by_network_where_they_differ(tmp_path):
    write(tmp_path, inception=([[0.1]], "finished", PLAIN))
    assert figure3.statistics_note(read(tmp_path)[0]) == ""
    both = {"statistics": ("ema", "population")}
    write(tmp_path, bn_x5=([[0.1]], "finished", both), bn_x30=([[0.1]], "finished", {}))
    assert figure3.statistics_note(read(tmp_path)[0]) == (
        "BN uses Algorithm 2's statistics in BN-x5; moving averages in BN-x30."
    )


def test_durations():
    found = [figure3.duration(s) for s in (93.4, 2100, 12_240, math.nan)]
    assert found == ["93 s", "35 min", "3.4 h", "-"]
