import dataclasses

import numpy as np
import pytest

from bn_repro.analysis import (
    arms,
    style,
    testing,
    why,
    why_figure,
    why_values,
)
from bn_repro.run_folder import records
from bn_repro.run_folder.writer import RunWriter


@pytest.fixture
def runs(tmp_path):
    """Two arms of two seeds, whose weights and b grow by seed, arm and step."""
    for arm, gradient in (("standardize_stop", 1.0), ("standardize_full", 0.0)):
        for seed in range(2):
            path = tmp_path / f"{arm}_seed{seed}"
            changed = {"experiment": "why_naive_gradient", "arm": arm}
            testing.write_run(path, "none", seed, 1000, **changed)
            writer = RunWriter(path)
            for step in (2000, 3000):
                writer.append_activations(
                    step,
                    {name: np.zeros((3, n)) for name, n in testing.LAYERS.items()},
                    percentiles=testing.PERCENTILES,
                    weight_norm=[1.0, 2.0, 4.0],
                    shift_rms=[0, 0, gradient * (step + 100 * seed)],
                )
    return records.find_runs(tmp_path)


def asking(runs, experiment):
    """Returns the runs as those of another question."""
    config = {"experiment": experiment}
    return [dataclasses.replace(run, config=run.config | config) for run in runs]


def test_the_effective_rate_is_the_rate_over_the_squared_norm(runs):
    found = why_values.over_steps(runs[0], "effective_rate")
    np.testing.assert_allclose(found[-1], [0.01, 0.01 / 4, 0.01 / 16])
    assert why_values.over_steps(runs[0], "batch_noise") is None
    assert np.isnan(why_values.probed("batch_noise")(runs[0]))


def test_one_seed_is_called_so(runs):
    figures = [why_figure.draw_over_steps(runs[first::2]) for first in (0, 1)]
    assert all("Lines are of one seed each." in caption for _, caption in figures)
    assert "means over seeds" in why_figure.draw_over_steps(runs)[1]


def test_a_mean_over_layers_is_of_those_that_were_measured(runs):
    norms = runs[0].activations["weight_norm"]
    norms[-1, 1] = np.nan
    assert why_values.of_layers("weight_norm")(runs[0]) == (1 + 4) / 2
    np.testing.assert_allclose(why_values.of_layers("weight_norm", -2)(runs[0]), 7 / 3)
    assert np.isnan(why_values.of_layers("weight_norm", 0)(runs[0]))
    assert np.isnan(why_values.of_layers("batch_noise")(runs[0]))


def test_a_median_over_time_does_not_depend_on_when_the_probes_were(tmp_path):
    for name, steps in (
        ("early", [0, 1, 3, 10, 30, 100, 300, 1000]),
        ("even", range(0, 1001, 50)),
    ):
        testing.write_run(tmp_path / name, "none", 0, 0)
        (tmp_path / name / records.ACTIVATIONS).unlink()
        writer = RunWriter(tmp_path / name)
        for step in steps:
            change = np.full(3, step / 1000)
            arrays = {layer: np.zeros((3, n)) for layer, n in testing.LAYERS.items()}
            kept = {"percentiles": testing.PERCENTILES, "gradient_change": change}
            writer.append_activations(step, arrays, **kept)
    of = why_values.median_over_time("gradient_change")
    early, even = (of(records.read_run(tmp_path / n)) for n in ("early", "even"))
    assert early == pytest.approx(0.5, abs=1e-3) and even == pytest.approx(early)
    assert np.isnan(why_values.median_over_time("none")(records.find_runs(tmp_path)[0]))


def test_a_claim_is_decided_by_the_seeds_of_its_two_arms(runs):
    found = why.find("why_naive_gradient", runs)
    assert "standardize_stop 3050.00 ± 70.71" in found.ours
    assert found.n == "2" and found.verdict == "yes"
    half = 12.7062 * 100 / np.sqrt(2) / np.sqrt(2)  # t with one degree of freedom
    low, high = map(float, found.interval.split(" to "))
    np.testing.assert_allclose([low, high], [3050 - half, 3050 + half], rtol=1e-4)


def test_a_run_half_way_is_no_seed_of_a_claim_but_a_diverged_one_is(runs):
    for status, n in (("interrupted", "2, 1"), ("running", "2, 1"), ("diverged", "2")):
        stand = {"status": status, "step": 1000}
        some = [dataclasses.replace(runs[0], status=stand), *runs[1:]]
        assert why.find("why_naive_gradient", some).n == n


def test_without_one_of_the_arms_a_claim_is_missing(runs):
    one = [run for run in runs if "full" in run.name]
    assert why.find("why_naive_gradient", one).verdict == "missing"


def test_the_table_has_a_row_an_arm_and_the_figure_its_layers(runs, tmp_path):
    table = why_figure.question_table(runs)
    assert [row[0] for row in table.rows] == ["standardize_full", "standardize_stop"]
    assert table.rows[1][3].startswith("3050.00 (")
    figure, _ = why_figure.draw_over_steps(runs)
    assert len(figure.axes) == 2 * 3  # two fields, three layers
    drawn = figure.axes[2].lines[1].get_ydata()
    np.testing.assert_allclose(drawn[-1], 3050)


def test_of_arms_that_all_diverged_the_table_says_what_there_is(runs):
    gone = {"status": "diverged", "step": 3000}
    both = [dataclasses.replace(run, status=gone) for run in runs[:2]] + runs[2:]
    rows = why_figure.question_table(both).rows
    assert [row[:4:3] for row in rows] == [
        ["standardize_full", "0.000"],
        ["standardize_stop", "3050.00 (2414.69 to 3685.31)"],
    ]
    assert [row[1] for row in rows] == ["0", "2"]
    figure, _ = why_figure.draw_values(both)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["standardize_full: diverged", "standardize_stop"]
    assert why_figure._cell([13448314.0]) == "1.34e+07"


def test_an_arm_that_diverged_is_drawn_as_far_as_all_its_seeds_came(runs):
    arm = arms.group(runs)[1]
    gone = [
        dataclasses.replace(run, status={"status": "diverged", "step": 3000})
        for run in arm.runs
    ]
    probes = gone[1].activations
    kept = {**probes, "steps": probes["steps"][:-1]}
    kept["shift_rms"] = probes["shift_rms"][:-1]
    gone[1] = dataclasses.replace(gone[1], activations=kept)
    both = [run for run in runs if run not in arm.runs] + gone
    curve = why_figure.over_seeds(arms.Arm(arm.label, gone), "shift_rms", "hidden_3")
    np.testing.assert_allclose(curve.steps, kept["steps"])
    np.testing.assert_allclose(curve.mean[-1], 2050)
    figure, caption = why_figure.draw_over_steps(both)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["standardize_full", "standardize_stop: diverged"]
    assert "drawn up to the last probe that all of them reached." in caption


def test_a_figure_says_its_question_what_is_drawn_and_what_the_arms_are(runs):
    figure, caption = why_figure.draw_over_steps(runs)
    assert figure.get_suptitle() == why.QUESTIONS["why_naive_gradient"].text
    assert figure.axes[0].get_ylabel() == "beta (or b), root mean\nsquare"
    assert "stop: descent takes mean and variance for constants" in caption
    figure, caption = why_figure.draw_values(asking(runs, "why_dropout"))
    assert figure.get_suptitle() == why.QUESTIONS["why_dropout"].text
    assert "the first 2,000 training examples" in caption


def test_of_layers_that_nothing_was_measured_of_there_is_no_column(runs):
    for run in runs:
        run.activations["shift_rms"][:, 1] = np.nan
        run.activations["weight_norm"][:, 1] = np.nan
    figure, _ = why_figure.draw_over_steps(runs)
    titles = [axes.get_title("left") for axes in figure.axes[:2]]
    assert titles == ["hidden_1", "hidden_3"] and len(figure.axes) == 4


def test_a_panel_of_zeros_on_a_logarithmic_axis_says_so(runs):
    changed = asking(runs, "why_gradient_change")
    for run in changed:
        run.activations["gradient_change"] = run.activations["shift_rms"] * 1
        run.activations["gradient_cosine"] = run.activations["shift_rms"] * 0
    figure, _ = why_figure.draw_over_steps(changed)
    said = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert said == [["0 throughout"], ["0 throughout"], [], [], [], []]


def test_a_swept_value_is_a_shade_and_an_arm_a_dash(sample_sweep):
    found = arms.group(sample_sweep.runs())
    lines = why_figure.lines_of(found)
    rates = [arm.config["optimizer"]["learning_rate"] for arm in found]
    assert len(set(zip(rates, lines, strict=True))) == len(found) == 8
    shades = {rate: line.color for rate, line in zip(rates, lines, strict=True)}
    assert list(shades.values()) == style.sequential(4)
    assert [
        (shades[r], line.dash != "-") for r, line in zip(rates, lines, strict=True)
    ] == [
        (line.color, arm.config["model"]["norm"] == "none")
        for line, arm in zip(lines, found, strict=True)
    ]


def test_arms_of_a_sweep_are_in_the_order_of_its_values_whatever_the_runs(sample_sweep):
    runs = asking(sample_sweep.runs(), "why_dropout")
    rows = [why_figure.question_table(some).rows for some in (runs, runs[::-1])]
    names = [[row[0] for row in some] for some in rows]
    assert names[0] == names[1] and len(names[0]) == 8


def test_values_are_points_of_every_seed(runs):
    figure, _ = why_figure.draw_values(asking(runs, "why_dropout"))
    assert len(figure.axes) == 3
    assert [len(line.get_xdata()) for line in figure.axes[1].lines] == [2, 1, 2, 1]


def test_every_claim_is_of_an_arm_and_a_value_that_there_are():
    for question in why.QUESTIONS.values():
        assert question.claim.value < len(question.values)
        assert {*question.logarithmic} <= {*question.fields}
        known = {*records.PROBE_FIELDS, "effective_rate"}
        assert {*question.fields} <= known
