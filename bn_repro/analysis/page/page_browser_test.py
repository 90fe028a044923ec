"""The page in a real browser: Debian's Chromium, headless, and its driver."""

import os
import shutil
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
from bn_repro.run_folder import records

WAIT = 60  # seconds; on a busy machine a start takes many
COLUMNS = ["Run", "Variant", "Status", "norm", "Rate", "Seed", "Best accuracy"]
COLUMNS += ["Steps to target", "Time"]


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
    """Three rates with and without BN; one run diverges, one ends at chance."""
    for rate, name in ((0.1, "lr0.1"), (1.0, "lr1"), (10.0, "lr10")):
        optimizer = {"optimizer": {"learning_rate": rate}}
        testing.write_run(root / f"bn_{name}", "before", 0, 4_000, **optimizer)
        done = 1_000 if rate == 10 else 4_000
        status = "diverged" if rate == 10 else "finished"
        testing.write_run(
            root / f"plain_{name}", "none", 1, 4_000, status, done, **optimizer
        )
    writer = records.RunWriter(root / "plain_lr1")
    testing.write_metrics(writer, 4_500, 0.1)


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """The page of a sweep in a browser; it must end without a word in the console."""
    folder = tmp_path_factory.mktemp("sweep")
    browser = start_browser()
    try:
        write_sweep(folder)
        runs = records.find_runs(folder)
        named = [run.name for run in runs if run.name != "bn_lr10"]
        text = page.render("Sweep", ["A note."], [], [], runs, named)
        (folder / "report.html").write_text(text)
        browser.get((folder / "report.html").as_uri())
        WebDriverWait(browser, WAIT).until(
            lambda b: b.execute_script("return document.documentElement.dataset.ready")
        )
        yield SimpleNamespace(browser=browser, runs={run.name: run for run in runs})
        assert browser.get_log("browser") == []
    finally:
        browser.quit()


@pytest.fixture
def fresh(opened):
    """The page as it opens."""
    opened.browser.get(opened.browser.current_url)
    WebDriverWait(opened.browser, WAIT).until(
        lambda b: b.execute_script("return document.documentElement.dataset.ready")
    )
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
      const busy = plot.closest("section").ariaBusy === "true";
      if (busy || !plot.data) return null;
      const traces = plot.data.map((t) => ({name: t.name, x: [...t.x], y: [...t.y],
        symbol: t.marker?.symbol, type: t.type, line: t.line?.color}));
      return {traces, title: plot.layout.yaxis.title.text,
        ground: plot._fullLayout.paper_bgcolor};"""
    return WebDriverWait(browser, WAIT).until(lambda b: b.execute_script(script, name))


def names_drawn(browser, name):
    return {trace["name"] for trace in drawn(browser, name)["traces"]} - {None}


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
    assert column(fresh, "Rate") == 2 * ["0.1", "1", "10"]
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
    heading(fresh, "Rate").send_keys(Keys.ENTER)
    assert column(fresh, "Rate") == ["0.1", "0.1", "1", "1", "10", "10"]
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
    find(fresh, "filter").send_keys("bn_ rate=1")
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
    assert drawn(fresh, "curve-plot")["traces"][0]["x"][-1] == 60 * 4_000
    click(fresh, "curve-mean")
    assert "bn_lr1 (1 run)" in names_drawn(fresh, "curve-plot")


def test_the_sweep_marks_what_diverged_and_what_is_at_chance(fresh):
    marks = [t for t in drawn(fresh, "sweep-plot")["traces"] if len(t["x"]) == 3]
    bn, plain = [t for t in marks if isinstance(t["symbol"], list)]
    assert plain["x"] == bn["x"] == [0.1, 1, 10]
    assert plain["symbol"] == ["circle", "square-open", "x"]
    assert plain["y"][2] == 0
    assert bn["symbol"] == 3 * ["circle"]
    names = names_drawn(fresh, "sweep-plot")
    assert names == {"norm=none", "norm=before", "at chance", "diverged"}
    choose(fresh, "sweep-measure", "steps to the target")
    assert "target not reached" in names_drawn(fresh, "sweep-plot")


def unit_shown(browser, side):
    return int(find(browser, f"{side}-unit").get_attribute("value"))


def assert_shows(browser, side, run, layer, unit):
    expected = run.activations[layer][:, :, unit].T
    shown = [trace["y"] for trace in drawn(browser, f"{side}-plot")["traces"]]
    np.testing.assert_allclose(shown, expected, rtol=1e-6)


def test_the_viewer_shows_the_unit_asked_for(fresh, opened):
    choose(fresh, "viewer-layer", "hidden_2")
    choose(fresh, "left-run", "bn_lr1")
    type_into(find(fresh, "left-unit"), "16")
    assert_shows(fresh, "left", opened.runs["bn_lr1"], "hidden_2", 16)
    find(fresh, "left-unit").send_keys(Keys.ARROW_UP)
    assert unit_shown(fresh, "left") == 17
    assert_shows(fresh, "left", opened.runs["bn_lr1"], "hidden_2", 17)
    choose(fresh, "right-run", "plain_lr1")
    unit = unit_shown(fresh, "right")
    assert_shows(fresh, "right", opened.runs["plain_lr1"], "hidden_2", unit)
    click(fresh, "left-typical")
    typical = drift.typical_unit(opened.runs["bn_lr1"].activations, "hidden_2")
    assert unit_shown(fresh, "left") == typical
    choose(fresh, "viewer-show", "medians of all units")
    assert drawn(fresh, "left-plot")["traces"][0]["type"] == "heatmap"


def test_the_viewer_says_what_it_left_out(fresh):
    left_out = find(fresh, "viewer-left-out")
    left_out.find_element(By.TAG_NAME, "summary").click()
    assert find(fresh, "viewer-left-out-names").text == "bn_lr10"
    options = Select(find(fresh, "left-run")).options
    assert "bn_lr10" not in [option.text for option in options]


def test_layers_show_drift_and_gradients_of_the_ticked_runs(fresh):
    assert names_drawn(fresh, "layer-plot") == set(column(fresh, "Run"))
    choose(fresh, "layer-measure", "gradient norm")
    shown = drawn(fresh, "layer-plot")
    assert shown["title"] == "norm of the weights' gradient"
    assert shown["traces"][0]["x"] == ["hidden_1", "hidden_2", "hidden_3"]
    np.testing.assert_allclose(shown["traces"][0]["y"], 0.1, rtol=1e-4)
    assert Select(find(fresh, "layer-step")).options[-1].text == "4,000"


def test_configurations_are_compared_and_documents_shown(fresh):
    click(fresh, "choose-none")
    find(fresh, "filter").send_keys("learning_rate=1")
    click(fresh, "choose-shown")
    drawn(fresh, "curve-plot")
    fresh.execute_script("document.getElementById('configuration').scrollIntoView()")
    table = find(fresh, "differences")
    WebDriverWait(fresh, WAIT).until(lambda _: "model.norm" in table.text)
    rows = [row.text for row in table.find_elements(By.TAG_NAME, "tr")]
    assert rows == ["Key plain_lr1 bn_lr1", "seed 1 0", "model.norm none before"]
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
    assert [c for c in controls if not c.accessible_name.strip()] == []


def test_nothing_is_fetched(fresh):
    script = "return performance.getEntriesByType('resource').map((e) => e.name)"
    drawn(fresh, "curve-plot")
    assert fresh.execute_script(script) == []
