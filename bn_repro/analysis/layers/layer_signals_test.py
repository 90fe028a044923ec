import numpy as np

from bn_repro.analysis import testing
from bn_repro.analysis.layers import layer_signals
from bn_repro.run_folder import records
from bn_repro.run_folder.writer import RunWriter

PERCENTILES = np.array([[-1.0], [0.0], [1.0]])
INPUTS = [[0.1, 0.4, 0.4, 0.1], [0.0, 1.0, 0.0, 0.0]]
OUTPUTS = [[0.8, 0.1, 0.05, 0.05], [0.2, 0.2, 0.2, 0.4]]


def write(path, nonlinearity="sigmoid", steps=(0, 10, 100)):
    """Writes a run of two layers with hand-made histograms and norms; returns it."""
    testing.write_course(path, [0.1], model__nonlinearity=nonlinearity)
    writer = RunWriter(path)
    for i, step in enumerate(steps):
        writer.append_activations(
            step,
            {"first": PERCENTILES, "last": PERCENTILES},
            percentiles=(15, 50, 85),
            gradient_norm=[0.5 * i, 4.0],
            saturated=[0.25 + i / 100, 0.75],
            input_histogram=INPUTS,
            output_histogram=OUTPUTS,
            input_range=[[-2, 2], [-(1 + i), 1 + i]],
            output_range=[[0, 1], [0, 1]],
        )
    return records.read_run(path)


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def panels(figure):
    return [axes for part in figure.subfigs for axes in part.axes]


def test_histograms_of_input_and_output_with_the_saturated_share(tmp_path):
    figure, caption = layer_signals.draw_histograms([write(tmp_path / "bn")])
    first_in, first_out, last_in, _ = panels(figure)
    assert first_in.get_ylabel() == "first"
    assert legend(first_out) == ["step 0: 25 %", "step 10: 26 %", "step 100: 27 %"]
    values, edges, _ = first_in.patches[0].get_data()
    np.testing.assert_allclose(values, [1, 1])  # but for the outermost bins
    np.testing.assert_allclose(edges, [-1, 0, 1])
    _, edges, _ = last_in.patches[2].get_data()
    np.testing.assert_allclose(edges, [-1.5, 0, 1.5])
    values, *_ = first_out.patches[0].get_data()
    np.testing.assert_allclose(values, np.array(OUTPUTS[0]) / 0.8, rtol=1e-3)
    assert "slope is below 0.05" in caption


def test_a_layer_that_a_run_lacks_has_no_panel(tmp_path):
    deep, shallow = (tmp_path / name for name in ("deep", "shallow"))
    testing.write_run(shallow, steps=1000)
    runs = [write(deep), records.read_run(shallow)]
    figure, _ = layer_signals.draw_histograms(runs)
    drawn = [axes.axison for axes in panels(figure)]
    assert drawn.count(False) == len(drawn) / 2  # their layers have other names


def test_end_bins_of_relu_are_no_peaks(tmp_path):
    figure, _ = layer_signals.draw_histograms([write(tmp_path / "bn", "relu")])
    values, edges, _ = panels(figure)[1].patches[0].get_data()
    np.testing.assert_allclose(values, [1, 0.5], rtol=1e-3)
    np.testing.assert_allclose(edges, [0.25, 0.5, 0.75])


def test_dead_layers_are_called_dead(tmp_path):
    run = write(tmp_path / "bn")
    run.activations["last"] = run.activations["last"] * 1e-3 + 1
    figure, _ = layer_signals.draw_histograms([run])
    _, first_out, _, last_out = panels(figure)
    assert legend(first_out)[0] == "step 0: 25 %"
    assert legend(last_out) == ["step 0: dead", "step 10: dead", "step 100: dead"]
    run = write(tmp_path / "relu", "relu")
    run.activations["saturated"][0, 1] = 1.0
    figure, _ = layer_signals.draw_histograms([run])
    assert legend(panels(figure)[3])[:2] == ["step 0: dead", "step 10: 75 %"]


def test_runs_share_a_layers_range_and_show_three_probes_each(tmp_path):
    runs = [write(tmp_path / "a"), write(tmp_path / "b", steps=(0, 10, 100, 1000))]
    figure, _ = layer_signals.draw_histograms(runs)
    _, _, a, a_out, _, _, b, b_out = panels(figure)
    assert a.get_xlim() == b.get_xlim()
    first = ["step 0: 75 %", "step 10: 75 %"]
    assert legend(a_out) == [*first, "step 100: 75 %"]
    assert legend(b_out) == [*first, "step 1,000: 75 %"]


def test_gradient_norms_by_layer_with_a_key(tmp_path):
    run = write(tmp_path / "bn")
    figure, caption = layer_signals.draw_gradient_norms([run])
    (by_layer,) = figure.axes
    assert by_layer.get_yscale() == "log"
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown[1:] == ["first probe (step 0)", "last probe (step 100)"]
    np.testing.assert_allclose(by_layer.lines[0].get_ydata(), [np.nan, 4])
    np.testing.assert_allclose(by_layer.lines[1].get_ydata(), [1, 4])
    np.testing.assert_allclose(
        layer_signals.gradient_ratio(run.activations), [0, 1 / 8, 1 / 4]
    )
    assert "vanish" in caption


def test_spaced_layers_keep_both_ends():
    assert layer_signals.spaced(list("abc"), 6) == ["a", "b", "c"]
    assert layer_signals.spaced(list("abcdefghi"), 3) == ["a", "e", "i"]
