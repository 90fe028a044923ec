"""The page in a real browser: Debian's Chromium, headless, and its driver."""

import contextlib
import itertools
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from bn_repro.analysis import testing
from bn_repro.analysis.layers import drift
from bn_repro.analysis.page import page
from bn_repro.analysis.style import Drawing
from bn_repro.analysis.tables import Table
from bn_repro.run_folder import records
from bn_repro.run_folder.writer import RunWriter

RESULTS = Path(__file__).parents[3] / "results"
PLOTS = ("curve-plot", "sweep-plot", "viewer-plot", "layer-plot")
WAIT = 60  # seconds; on a busy machine a start takes many
pytestmark = pytest.mark.slow
COLUMNS = ["Run", "Variant", "Status", "Final accuracy", "Best accuracy"]
COLUMNS += ["Steps to target", "learning_rate", "norm", "seed", "Time"]


def start_browser():
    paths = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in paths:
        pytest.skip("needs chromium and chromedriver (Debian: chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = paths[0]
    for argument in ("headless=new", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{argument}")
    options.add_argument("--window-size=1300,1000")
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's own sandbox refuses root
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=paths[1])
    try:
        return webdriver.Chrome(options=options, service=service)
    except WebDriverException as error:
        pytest.skip(f"Chromium does not start here: {error.msg}")


def write_sweep(root):
    """Three rates with and without BN; one run diverges, one ends at chance.

    The loss of the one that diverges ends at 2e31.
    """
    for rate, name in ((0.1, "lr0.1"), (1.0, "lr1"), (10.0, "lr10")):
        optimizer = {"optimizer": {"learning_rate": rate}}
        testing.write_run(root / f"bn_{name}", "before", 0, 4_000, **optimizer)
        done = 1_000 if rate == 10 else 4_000
        status = "diverged" if rate == 10 else "finished"
        testing.write_run(
            root / f"plain_{name}", "none", 1, 4_000, status, done, **optimizer
        )
    writer = RunWriter(root / "plain_lr1")
    testing.write_metrics(writer, 4_500, 0.1)
    row = {"step": 1_000, "split": "train", "statistics": "batch", "loss": 2e31}
    RunWriter(root / "plain_lr10").append_metrics(row | {"seconds": 1.0})


def write_grid(root):
    """Two rates by two deviations, one of them running, and one that failed."""
    for name, rate, stddev, status in (
        ("a", 0.1, 0.1, "finished"),
        ("b", 0.1, 0.3, "running"),
        ("c", 1.0, 0.1, "finished"),
        ("d", 1.0, 0.3, "failed"),
    ):
        model = testing.config("before", 0, 1000)["model"] | {"init_stddev": stddev}
        optimizer = {"learning_rate": rate}
        testing.write_run(
            root / name, "before", 0, 1000, status, model=model, optimizer=optimizer
        )


def show(browser, folder, runs, **options):
    options = {"drawings": [], "shown_tables": []} | options
    text = page.render("Sweep", ["A note."], runs=runs, **options)
    (folder / "report.html").write_text(text)
    reopen(browser, (folder / "report.html").as_uri())


def reopen(browser, address):
    """Opens an address anew and waits until the page is ready."""
    browser.get("about:blank")
    browser.get(address)
    WebDriverWait(browser, WAIT).until(
        lambda b: b.execute_script("return document.documentElement.dataset.ready")
    )


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """The page of a sweep in a browser; it must end without a word in the console."""
    folder = tmp_path_factory.mktemp("sweep")
    browser = start_browser()
    try:
        write_sweep(folder)
        runs = records.find_runs(folder)
        named = [run.name for run in runs if run.name != "bn_lr10"]
        show(browser, folder, runs, viewer_runs=named)
        address = browser.current_url
        by_name = {run.name: run for run in runs}
        yield SimpleNamespace(browser=browser, runs=by_name, address=address)
        assert browser.get_log("browser") == []
    finally:
        browser.quit()


@pytest.fixture
def fresh(opened):
    """The page as it opens."""
    reopen(opened.browser, opened.address)
    return opened.browser


def find(browser, name):
    return browser.find_element(By.ID, name)


def choose(browser, name, text):
    Select(find(browser, name)).select_by_visible_text(text)


def column(browser, label):
    """Returns the cells of a column, from top to bottom."""
    place = 2 + COLUMNS.index(label)
    cells = browser.find_elements(
        By.CSS_SELECTOR, f"#runs tbody tr :nth-child({place})"
    )
    return [cell.text for cell in cells]


def heading(browser, label):
    path = f"//table[@id='runs']//th/button[text()='{label}']"
    return browser.find_element(By.XPATH, path)


def drawn(browser, name):
    """Scrolls to a plot; returns its traces, and its layout, once it is drawn."""
    browser.execute_script(
        "document.getElementById(arguments[0]).scrollIntoView()", name
    )
    script = """
      const plot = document.getElementById(arguments[0]);
      const busy = plot.closest(".section").ariaBusy === "true";
      if (busy || !plot.data) return null;
      const traces = plot.data.map((t) => ({name: t.name, x: [...t.x], y: [...t.y],
        z: t.z, text: t.text, axis: t.xaxis, shown: t.showlegend, group: t.legendgroup,
        symbol: t.marker?.symbol, type: t.type, line: t.line}));
      const range = plot._fullLayout.yaxis.range;
      return {traces, title: plot.layout.yaxis.title?.text, range,
        titles: (plot.layout.annotations ?? []).map((a) => a.text),
        ticks: plot.layout.xaxis.ticktext, log: plot.layout.yaxis.type === "log",
        ground: plot._fullLayout.paper_bgcolor};"""
    return WebDriverWait(browser, WAIT).until(lambda b: b.execute_script(script, name))


def curves_drawn(browser, name):
    """Returns the traces of a plot that hold data: neither legend nor colour bar."""
    traces = drawn(browser, name)["traces"]
    return [trace for trace in traces if trace["x"] not in ([], [None])]


def names_drawn(browser, name):
    """Returns the names of the runs drawn."""
    names = {trace["name"] for trace in curves_drawn(browser, name)} - {None}
    return {name.split(":")[0] for name in names}


def legend_of(browser, name):
    traces = drawn(browser, name)["traces"]
    return {t["name"] for t in traces if t["x"] == [None] and t["shown"] is not False}


def move(browser, name, value):
    """Moves a slider."""
    script = """arguments[0].value = arguments[1];
      arguments[0].dispatchEvent(new Event("input", {bubbles: true}));"""
    browser.execute_script(script, find(browser, name), value)


def click(browser, name):
    """Clicks where the sticky header does not cover."""
    script = "arguments[0].scrollIntoView({block: 'center'})"
    browser.execute_script(script, find(browser, name))
    find(browser, name).click()


def type_into(field, text):
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(text)


def test_all_runs_are_listed_in_the_sweep_s_order(fresh):
    names = column(fresh, "Run")
    arms = ["plain_lr0.1", "plain_lr1", "plain_lr10", "bn_lr0.1", "bn_lr1", "bn_lr10"]
    assert names == arms
    assert column(fresh, "learning_rate") == 2 * ["0.1", "1", "10"]
    assert column(fresh, "Status")[2] == "diverged at step 1,001"
    assert find(fresh, "counts").text == "6 of 6 runs shown, 6 plotted"
    assert "A note." in fresh.find_element(By.CLASS_NAME, "notes").text


def test_a_click_on_a_heading_sorts_and_a_second_one_turns_round(fresh):
    best = heading(fresh, "Best accuracy")
    best.click()
    shown = [float(cell.removesuffix(" %")) for cell in column(fresh, "Best accuracy")]
    assert shown == sorted(shown)
    best.click()
    again = [float(cell.removesuffix(" %")) for cell in column(fresh, "Best accuracy")]
    assert again == sorted(shown, reverse=True)
    head = best.find_element(By.XPATH, "..")
    assert head.get_attribute("aria-sort") == "descending"


def test_the_keyboard_sorts_filters_and_ticks(fresh):
    heading(fresh, "learning_rate").send_keys(Keys.ENTER)
    assert column(fresh, "learning_rate") == ["0.1", "0.1", "1", "1", "10", "10"]
    find(fresh, "filter").send_keys("norm=none finished")
    assert column(fresh, "Run") == ["plain_lr0.1", "plain_lr1"]
    box = fresh.find_element(By.CSS_SELECTOR, "input[aria-label='plot plain_lr1']")
    box.send_keys(Keys.SPACE)
    assert find(fresh, "counts").text == "2 of 6 runs shown, 5 plotted"
    assert "plain_lr1" not in names_drawn(fresh, "curve-plot")


def test_missing_values_come_last_in_either_order(fresh):
    steps = heading(fresh, "Steps to target")
    for _ in range(2):
        steps.click()
        cells = column(fresh, "Steps to target")
        words = [cell in ("not reached", "diverged") for cell in cells]
        assert words == sorted(words) and any(words) and not all(words)


def test_the_target_may_be_a_number_or_the_best_of_a_run(fresh, opened):
    type_into(find(fresh, "target"), "70")
    row = column(fresh, "Run").index("bn_lr1")
    steps, accuracy = opened.runs["bn_lr1"].series("test", "ema", "accuracy")
    reached = steps[np.argmax(accuracy >= 0.7)]
    assert column(fresh, "Steps to target")[row] == f"{reached:,}"
    best = Select(find(fresh, "target-run"))
    best.select_by_value("bn_lr1")
    assert column(fresh, "Steps to target")[row] == "4,000"
    assert float(find(fresh, "target").get_attribute("value")) == pytest.approx(
        100 * accuracy.max(), abs=1e-3
    )


def test_curves_are_those_of_the_ticked_runs(fresh, opened):
    click(fresh, "choose-none")
    assert "Tick runs" in find(fresh, "curve-plot").text
    find(fresh, "filter").send_keys("bn_ learning_rate=1")
    click(fresh, "choose-shown")
    choose(fresh, "curve-field", "loss (cross-entropy)")
    choose(fresh, "curve-data", "training data, mini-batch statistics")
    shown = drawn(fresh, "curve-plot")
    steps, loss = opened.runs["bn_lr1"].series("train", "batch", "loss")
    trace = shown["traces"][0]
    assert shown["title"] == "loss (cross-entropy)"
    assert (trace["name"], trace["x"]) == ("bn_lr1", steps.tolist())
    np.testing.assert_allclose(trace["y"], loss, rtol=1e-4)
    choose(fresh, "curve-x", "images")
    assert curves_drawn(fresh, "curve-plot")[0]["x"][-1] == 60 * 4_000
    click(fresh, "curve-mean")
    assert names_drawn(fresh, "curve-plot") >= {"bn_lr1 (1 run)"}


def test_a_diverged_run_does_not_flatten_the_others(fresh):
    choose(fresh, "curve-field", "loss (cross-entropy)")
    choose(fresh, "curve-data", "training data, mini-batch statistics")
    shown = drawn(fresh, "curve-plot")
    assert max(max(t["y"]) for t in curves_drawn(fresh, "curve-plot")) > 1e31
    assert shown["range"][1] < 3
    options = [o.text for o in Select(find(fresh, "target-run")).options]
    assert not any(option.startswith("plain_lr10:") for option in options)


def test_accuracy_may_stand_on_an_error_axis_and_be_smoothed(fresh, opened):
    choose(fresh, "curve-scale", "error, logarithmic")
    shown = drawn(fresh, "curve-plot")
    trace = next(t for t in shown["traces"] if t["name"] == "bn_lr1")
    accuracy = opened.runs["bn_lr1"].series("test", "ema", "accuracy")[1]
    np.testing.assert_allclose(trace["y"], 1 - accuracy, rtol=1e-3)
    assert shown["log"] and "error" in shown["title"]
    choose(fresh, "curve-scale", "linear")
    assert_smoothed(fresh, opened)


def assert_smoothed(fresh, opened):
    """Half of each value is the average before it, which begins without a lag."""
    move(fresh, "curve-smooth", 0.5)
    accuracy = opened.runs["bn_lr1"].series("test", "ema", "accuracy")[1]
    weights = 0.5 ** np.arange(len(accuracy))
    expected = [
        np.average(accuracy[: n + 1][::-1], weights=weights[: n + 1])
        for n in range(len(accuracy))
    ]
    traces = drawn(fresh, "curve-plot")["traces"]
    trace = next(t for t in traces if t["name"] == "bn_lr1")
    np.testing.assert_allclose(trace["y"], expected, rtol=1e-3)


def test_a_network_has_one_colour_everywhere(fresh):
    def color(plot):
        traces = curves_drawn(fresh, plot)
        return next(t for t in traces if t["name"] == "bn_lr1")["line"]["color"]

    assert color("curve-plot") == color("layer-plot")
    swatch = fresh.find_element(By.XPATH, "//th[text()='bn_lr1']/span")
    assert f"--light: {color('curve-plot')}" in swatch.get_attribute("style")
    assert legend_of(fresh, "curve-plot") == {"With BN", "Without BN"}


FILTERED = {
    "final>90": 3,
    "final>90 or diverged": 4,
    "not bn_ not diverged": 2,
    "learning_rate<=1 norm=batch_norm": 2,
    "optimizer.learning_rate>=1e1": 2,
    "seed!=0 plain_": 3,
    "seed!=0 bn_": 0,
    "learning_rate=1": 2,
    "no_such_key>1": 0,
}


def test_the_filter_compares_joins_and_negates(fresh):
    for words, count in FILTERED.items():
        type_into(find(fresh, "filter"), words)
        assert len(column(fresh, "Run")) == count, words


def test_the_sweep_marks_what_diverged_and_what_is_at_chance(fresh):
    shown = drawn(fresh, "sweep-plot")
    assert shown["ticks"] == ["0.1", "1", "10"]
    bn, plain = [t for t in shown["traces"] if isinstance(t["symbol"], list)]
    assert plain["x"] == bn["x"] == [0.1, 1, 10]
    assert plain["symbol"] == ["square-open", "square-open", "x"]  # 12 %, 10 %
    assert plain["y"][2] == shown["range"][0]  # at the worse edge
    assert bn["symbol"] == 3 * ["circle"]
    names = {t["name"] for t in shown["traces"]} - {None}
    assert {"Without BN", "With BN", "at chance", "diverged"} <= names
    choose(fresh, "sweep-measure", "steps to the target")
    names = {t["name"] for t in drawn(fresh, "sweep-plot")["traces"]}
    assert "target not reached" in names


def test_the_sweep_s_axis_follows_the_data(fresh, opened):
    finals = {
        name: run.series("test", "ema", "accuracy")[1][-1]
        for name, run in opened.runs.items()
        if name != "plain_lr10"
    }
    low, high = drawn(fresh, "sweep-plot")["range"]
    assert 0 < min(finals.values()) - low < 0.1
    assert 0 < high - max(finals.values()) < 0.1
    choose(fresh, "sweep-scale", "error, logarithmic")
    shown = drawn(fresh, "sweep-plot")
    bn = [t for t in shown["traces"] if isinstance(t["symbol"], list)][0]
    expected = [1 - finals[f"bn_lr{rate}"] for rate in ("0.1", "1", "10")]
    assert shown["log"]
    np.testing.assert_allclose(bn["y"], expected, rtol=1e-3)
    note = find(fresh, "sweep-note").text
    assert "Best against best: With BN" in note and "95 % interval" in note


def test_a_click_on_a_mark_ticks_its_run_everywhere(fresh):
    click(fresh, "choose-none")
    drawn(fresh, "sweep-plot")
    script = """const plot = document.getElementById("sweep-plot");
      const index = plot.data.findIndex((t) => t.text);
      const customdata = plot.data[index].customdata[1];
      plot.emit("plotly_click", {points: [{customdata}]});"""
    fresh.execute_script(script)
    box = fresh.find_element(By.CSS_SELECTOR, "input[aria-label='plot bn_lr1']")
    assert box.is_selected()
    assert names_drawn(fresh, "curve-plot") == {"bn_lr1"}
    fresh.execute_script(script)
    assert "0 plotted" in find(fresh, "counts").text


def test_means_over_seeds_are_of_those_that_finished(opened, tmp_path):
    for seed, status in enumerate(("finished", "running", "diverged")):
        path = tmp_path / f"plain_seed{seed}"
        testing.write_course(path, [0.1, 0.9 - 0.2 * seed], status, seed=seed)
    browser = opened.browser
    show(browser, tmp_path, records.find_runs(tmp_path))
    click(browser, "choose-shown")
    click(browser, "curve-mean")
    assert names_drawn(browser, "curve-plot") == {"plain (1 run)"}


def test_a_heat_map_of_steps_averages_those_that_reached_the_target(opened, tmp_path):
    for stddev, finals in ((0.1, [0.96, 0.5]), (0.3, [0.5, 0.5])):
        for rate in (0.1, 1.0):
            folder = tmp_path / f"{stddev}_{rate}"
            changed = {"model__init_stddev": stddev}
            testing.write_seeds(folder, "none", rate, finals, **changed)
    browser = opened.browser
    show(browser, tmp_path, records.find_runs(tmp_path))
    Select(find(browser, "sweep-measure")).select_by_value("target")
    Select(find(browser, "sweep-key")).select_by_index(2)
    [heat] = drawn(browser, "sweep-plot")["traces"]
    assert sorted(sum(heat["z"], []), key=str) == [250, 250, None, None]
    assert sorted(sum(heat["text"], [])) == ["250 ▲", "250 ▲", "▲", "▲"]


def test_two_keys_of_a_running_sweep_are_a_heat_map(opened, tmp_path):
    write_grid(tmp_path)
    browser = opened.browser
    show(browser, tmp_path, records.find_runs(tmp_path), watched="12:34")
    Select(find(browser, "sweep-key")).select_by_index(2)
    [heat] = drawn(browser, "sweep-plot")["traces"]
    assert heat["type"] == "heatmap"
    finals = testing.accuracy("before", 1000) + np.zeros((2, 2))
    np.testing.assert_allclose(np.array(heat["z"], float), finals, atol=0.01)
    classes = [
        cell.get_attribute("class").split()[0]
        for cell in browser.find_elements(
            By.CSS_SELECTOR, "#runs tbody td:nth-child(4)"
        )
    ]
    assert classes == ["finished", "running", "finished", "failed"]
    assert "b (running)" in {t["name"] for t in curves_drawn(browser, "curve-plot")}
    assert "Drawn at 12:34" in find(browser, "watched").text


def assert_shows_unit(trace_list, run, layer, unit):
    expected = run.activations[layer][:, :, unit].T
    np.testing.assert_allclose([t["y"] for t in trace_list], expected, rtol=1e-6)


def test_the_viewer_shows_the_unit_asked_for(fresh, opened):
    choose(fresh, "viewer-show", "percentiles of one unit")
    choose(fresh, "viewer-layer", "hidden_2")
    choose(fresh, "left-run", "bn_lr1")
    choose(fresh, "right-run", "plain_lr1")
    for side, name in enumerate(("bn_lr1", "plain_lr1")):
        typical = drift.typical_unit(opened.runs[name].activations, "hidden_2")
        shown = drawn(fresh, "viewer-plot")
        assert shown["titles"][side].endswith(f"hidden_2, unit {typical}")
        traces = shown["traces"][3 * side : 3 * side + 3]
        assert_shows_unit(traces, opened.runs[name], "hidden_2", typical)
    click(fresh, "viewer-typical")
    type_into(find(fresh, "viewer-unit"), "16")
    find(fresh, "viewer-unit").send_keys(Keys.ARROW_UP)
    traces = drawn(fresh, "viewer-plot")["traces"]
    assert_shows_unit(traces[:3], opened.runs["bn_lr1"], "hidden_2", 17)
    assert_shows_unit(traces[3:], opened.runs["plain_lr1"], "hidden_2", 17)
    choose(fresh, "viewer-arrange", "overlaid")
    assert {t["axis"] for t in drawn(fresh, "viewer-plot")["traces"]} == {"x"}
    choose(fresh, "viewer-show", "medians of all units")
    assert drawn(fresh, "viewer-plot")["traces"][0]["type"] == "heatmap"


def test_distributions_over_training_are_a_heat_map_of_input_and_output(fresh):
    shown = drawn(fresh, "viewer-plot")
    assert [t["type"] for t in shown["traces"]] == 4 * ["heatmap"]
    for trace, (low, high) in zip(
        shown["traces"], 2 * [(-3.0, 3.0), (0.0, 1.0)], strict=True
    ):
        assert trace["x"] == ["0", "1,000", "2,000", "3,000", "4,000"]
        assert low < trace["y"][0] < low + 0.1 < high - 0.1 < trace["y"][-1] < high
    assert len(set(shown["titles"])) == 2


def test_a_slider_shows_distributions_at_a_step_of_one_or_all_layers(fresh, opened):
    choose(fresh, "viewer-show", "distributions at one step")
    assert find(fresh, "viewer-step-text").text == "4,000"
    move(fresh, "viewer-step", 1)
    shown = drawn(fresh, "viewer-plot")
    assert find(fresh, "viewer-step-text").text == "1,000"
    given = opened.runs["plain_lr0.1"].activations["input_histogram"][1, 2]
    np.testing.assert_allclose(shown["traces"][0]["y"][:-1], given / given.max())
    np.testing.assert_allclose(shown["traces"][0]["x"], np.linspace(-3, 3, 9))
    choose(fresh, "viewer-arrange", "overlaid")
    assert [t["axis"] for t in drawn(fresh, "viewer-plot")["traces"]] == [
        "x",
        "x",
        "x2",
        "x2",
    ]
    assert_all_layers(fresh)


def size_of(browser, name):
    """Returns by how much a plot is wider than its drawing, and both heights."""
    drawn(browser, name)
    script = """const plot = document.getElementById(arguments[0]);
      const drawing = plot.querySelector(".svg-container");
      return [plot.clientWidth - drawing.clientWidth, plot.clientHeight,
        drawing.clientHeight];"""
    return browser.execute_script(script, name)


def assert_all_layers(fresh):
    choose(fresh, "viewer-show", "all layers at one step")
    shown = drawn(fresh, "viewer-plot")
    assert shown["titles"] == ["hidden_1", "hidden_2", "hidden_3"]
    assert len(shown["traces"]) == 2
    assert size_of(fresh, "viewer-plot") == [0, 340, 340]  # three layers fill it
    gaps = [at for at, x in enumerate(shown["traces"][0]["x"]) if x is None]
    assert gaps == [9, 19, 29]
    choose(fresh, "viewer-side", "output")
    assert len(drawn(fresh, "viewer-plot")["traces"]) == 2


def ranges(browser, plot):
    script = """const { _fullLayout: layout } = document.getElementById(arguments[0]);
      return Object.keys(layout).filter((key) => /^yaxis/.test(key))
        .map((key) => layout[key].range);"""
    drawn(browser, plot)
    return browser.execute_script(script, plot)


def axis_type(browser, plot, axis):
    drawn(browser, plot)
    script = "return document.getElementById(arguments[0])._fullLayout[arguments[1]]"
    return browser.execute_script(f"{script}.type", plot, axis)


def test_the_viewer_s_runs_share_a_scale_and_steps_may_be_logarithmic(fresh):
    choose(fresh, "viewer-show", "percentiles of one unit")
    left, right = ranges(fresh, "viewer-plot")
    assert left != right
    click(fresh, "viewer-same")
    left, right = ranges(fresh, "viewer-plot")
    assert left == right
    assert axis_type(fresh, "viewer-plot", "xaxis") == "linear"
    click(fresh, "viewer-log")
    assert axis_type(fresh, "viewer-plot", "xaxis") == "log"


def test_drift_is_from_the_step_asked_for_on_the_axis_asked_for(fresh):
    def of_bn():
        traces = curves_drawn(fresh, "layer-plot")
        return next(t["y"] for t in traces if t["name"] == "bn_lr1")

    from_start = of_bn()
    assert axis_type(fresh, "layer-plot", "yaxis") == "linear"
    click(fresh, "layer-log")
    assert axis_type(fresh, "layer-plot", "yaxis") == "log"
    later = Select(find(fresh, "layer-start")).options[-1].text
    choose(fresh, "layer-start", later)
    assert of_bn() != from_start


def test_a_click_on_a_figure_shows_it_in_full_width(opened, tmp_path):
    browser = opened.browser
    png = RESULTS / "mnist" / "figure1.png"
    figure = Drawing(png, png, "Figure 1", "Two networks.", "Curves.")
    runs = list(opened.runs.values())
    show(browser, tmp_path, runs, drawings=[figure])
    button = browser.find_element(By.CSS_SELECTOR, "figure button")
    script = "arguments[0].scrollIntoView({block: 'center'})"
    browser.execute_script(script, button)
    before = button.size["width"]
    button.click()
    assert button.size["width"] > 1.2 * before
    button.click()
    assert button.size["width"] == before


def test_the_viewer_says_what_it_left_out(fresh):
    left_out = find(fresh, "viewer-left-out")
    click(fresh, "viewer-left-out-count")
    assert left_out.get_attribute("open")
    assert find(fresh, "viewer-left-out-names").text == "bn_lr10"
    options = Select(find(fresh, "left-run")).options
    assert "bn_lr10" not in [option.text for option in options]


def test_layers_show_drift_and_gradients_of_the_ticked_runs(fresh):
    assert names_drawn(fresh, "layer-plot") == set(column(fresh, "Run"))
    choose(fresh, "layer-measure", "norm of the weights' gradient")
    shown = drawn(fresh, "layer-plot")
    assert shown["title"] == "norm of the weights' gradient"
    assert shown["traces"][0]["x"] == [0, 1, 2]
    assert shown["ticks"] == ["hidden_1", "hidden_2", "hidden_3"]
    np.testing.assert_allclose(shown["traces"][0]["y"], 0.1, rtol=1e-4)
    assert find(fresh, "layer-step-text").text == "4,000"
    move(fresh, "layer-step", 2)
    assert find(fresh, "layer-step-text").text == "2,000"


def test_runs_that_did_not_learn_leave_the_axis_of_layers_to_the_others(
    opened, tmp_path
):
    for name, norm, steps in (("bn", "before", 4_000), ("lost", "none", 500)):
        writer = testing.write_run(tmp_path / name, norm, 0, steps, done=0)
        testing.write_metrics(writer, steps, testing.accuracy(norm, steps))
        testing.write_probe(writer, steps, norm, 0)
        writer.write_status("finished", steps)
    file = tmp_path / "lost" / "activations.npz"
    probes = dict(np.load(file))
    np.savez(file, **probes | {"gradient_norm": 1e3 * probes["gradient_norm"]})
    browser = opened.browser
    show(browser, tmp_path, records.find_runs(tmp_path))
    choose(browser, "layer-measure", "norm of the weights' gradient")
    shown = drawn(browser, "layer-plot")
    assert max(max(trace["y"]) for trace in shown["traces"] if trace["y"][0]) > 99
    assert 0.1 < shown["range"][1] < 0.2
    assert "Beyond the axis" in find(browser, "layer-note").text
    assert find(browser, "layer-note").text.endswith(": lost.")


def test_sections_fold(fresh):
    drawn(fresh, "curve-plot")
    fresh.execute_script("scrollTo(0, 0)")
    fresh.find_element(By.CSS_SELECTOR, "#curves > summary").click()
    assert not find(fresh, "curve-plot").is_displayed()
    fresh.find_element(By.CSS_SELECTOR, "nav a[href='#curves']").click()
    assert find(fresh, "curve-plot").is_displayed()


def test_the_address_holds_the_view(fresh, opened):
    assert "#" not in fresh.current_url
    click(fresh, "choose-none")
    find(fresh, "filter").send_keys("bn_lr1")
    click(fresh, "choose-shown")
    heading(fresh, "Final accuracy").click()
    type_into(find(fresh, "target"), "70")
    choose(fresh, "viewer-show", "distributions at one step")
    choose(fresh, "viewer-layer", "hidden_1")
    move(fresh, "viewer-step", 1)
    click(fresh, "curve-mean")
    fresh.find_element(By.CSS_SELECTOR, "#layers > summary").click()
    # A section tells that it folded in an event of its own, after the click.
    WebDriverWait(fresh, WAIT).until(lambda b: "layers=false" in b.current_url)
    address = fresh.current_url
    reopen(fresh, address)
    assert find(fresh, "counts").text == "2 of 6 runs shown, 2 plotted"
    assert column(fresh, "Run") == ["bn_lr1", "bn_lr10"]
    assert find(fresh, "target").get_attribute("value") == "70"
    drawn(fresh, "viewer-plot")
    assert find(fresh, "viewer-step-text").text == "1,000"
    assert find(fresh, "viewer-layer").get_attribute("value") == "hidden_1"
    assert find(fresh, "curve-mean").is_selected()
    assert not find(fresh, "layer-plot").is_displayed()
    assert fresh.current_url == address


@contextlib.contextmanager
def window_of(browser, width):
    """Gives the page another width for a while."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def assert_only_tables_scroll(browser):
    script = "const p = document.documentElement; return [p.scrollWidth, p.clientWidth]"
    wide, window = browser.execute_script(script)
    assert wide == window <= 400
    script = "const b = arguments[0]; return b.scrollWidth > b.clientWidth"
    assert browser.execute_script(script, find(browser, "runs-box"))


def test_a_narrow_window_scrolls_tables_only(opened, fresh):
    with window_of(fresh, 400):
        reopen(fresh, opened.address)
        for name in PLOTS:
            drawn(fresh, name)
        assert_only_tables_scroll(fresh)
        cell = fresh.find_element(By.XPATH, "//th[text()='plain_lr0.1']")
        script = """arguments[0].append("_with_a_longer_name_seed10");
          return arguments[0].scrollWidth > arguments[0].clientWidth"""
        assert not fresh.execute_script(script, cell)  # all of a run's name is seen
        script = """const style = getComputedStyle(arguments[0]);
          return arguments[0].clientHeight / parseFloat(style.lineHeight)"""
        assert fresh.execute_script(script, cell) < 5  # and not a few letters a line


def test_a_window_made_narrower_draws_anew_in_fewer_columns(fresh):
    assert size_of(fresh, "viewer-plot") == [0, 340, 340]
    until = WebDriverWait(fresh, WAIT).until
    with window_of(fresh, 400):
        until(lambda _: size_of(fresh, "viewer-plot")[1] > 1000)
        assert size_of(fresh, "viewer-plot") == [0, 1180, 1180]
        assert_only_tables_scroll(fresh)
    until(lambda _: size_of(fresh, "viewer-plot")[1] == 340)


def test_the_page_of_69_layers_is_under_three_screens(opened, tmp_path):
    folder = RESULTS / "tiny_imagenet"
    png = folder / "figure2.png"
    figure = Drawing(png, png, "Figure 2", "Seven networks.", "Curves.")
    tables = [Table(f"Table {i}", ["Run"], [["bn_x5"]]) for i in range(9)]
    browser = opened.browser
    contents = {"drawings": 4 * [figure], "shown_tables": tables}
    show(browser, tmp_path, records.find_runs(folder), **contents)
    for name in PLOTS:
        drawn(browser, name)
    assert drawn(browser, "layer-plot")["ticks"][-1] == "5b/pool_proj"
    height = browser.execute_script("return document.documentElement.scrollHeight")
    assert height < 3 * 900
    assert_names_apart(browser)


def assert_names_apart(browser):
    choose(browser, "viewer-show", "all layers at one step")
    assert drawn(browser, "viewer-plot")["titles"][-1] == "5b/pool_proj"
    script = """return [...document.querySelectorAll("#viewer-plot .annotation-text-g")]
      .map((name) => name.getBoundingClientRect())
      .map(({ left, right, top }) => [left, right, top]);"""
    names = browser.execute_script(script)
    assert len(names) == 69
    for before, after in itertools.pairwise(names):
        assert before[1] < after[0] or before[2] < after[2]  # or in the next row


def test_configurations_are_compared_and_documents_shown(fresh):
    click(fresh, "choose-none")
    find(fresh, "filter").send_keys("learning_rate=1")
    click(fresh, "choose-shown")
    drawn(fresh, "curve-plot")
    fresh.execute_script("document.getElementById('configuration').scrollIntoView()")
    table = find(fresh, "differences")
    WebDriverWait(fresh, WAIT).until(lambda _: "model.norm" in table.text)
    rows = [row.text for row in table.find_elements(By.TAG_NAME, "tr")]
    assert rows == ["Key plain_lr1 bn_lr1", "seed 1 0", "model.norm none batch_norm"]
    fresh.find_element(By.CSS_SELECTOR, "#documents > summary").click()
    choose(fresh, "manifest-run", "bn_lr10")
    assert '"images_per_second": 123456.7' in find(fresh, "manifest").text


@pytest.mark.parametrize(
    ("scheme", "plot", "body"),
    [
        ("dark", "#161616", "rgba(22, 22, 22, 1)"),
        ("light", "#ffffff", "rgba(255, 255, 255, 1)"),
    ],
)
def test_the_page_follows_dark_and_light(opened, scheme, plot, body):
    browser = opened.browser
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    WebDriverWait(browser, WAIT).until(
        lambda b: drawn(b, "curve-plot")["ground"] == plot
    )
    ground = browser.find_element(By.TAG_NAME, "body")
    assert ground.value_of_css_property("background-color") == body


def test_every_control_has_a_name(fresh):
    controls = fresh.find_elements(By.CSS_SELECTOR, "main input, main select, button")
    assert len(controls) > 40
    unnamed = [c for c in controls if not c.accessible_name.strip()]
    assert not any(control.is_displayed() for control in unnamed)


def test_nothing_is_fetched(fresh):
    script = "return performance.getEntriesByType('resource').map((e) => e.name)"
    drawn(fresh, "curve-plot")
    assert fresh.execute_script(script) == []
