import base64
import dataclasses
import gzip
import json
import re

import numpy as np
import pytest

from bn_repro.analysis import testing
from bn_repro.analysis.page import page, page_data
from bn_repro.analysis.tables import Table
from bn_repro.run_folder import records


@pytest.fixture(scope="module")
def runs(sample_folder):
    return records.find_runs(sample_folder)


def unpacked(text, name):
    packed = re.search(f'id="packed-{name}">([^<]*)<', text)[1]
    return gzip.decompress(base64.b64decode(packed))


def render(runs, title="Runs", notes=(), shown_tables=(), viewer_runs=()):
    return page.render(title, notes, [], shown_tables, runs, viewer_runs)


def test_the_page_holds_its_data_and_plotly(runs):
    text = render(runs)
    data = page_data.page_data(runs)
    assert json.loads(unpacked(text, "values")) == data.values | {"watched": ""}
    units = np.frombuffer(unpacked(text, "units"), "<f4")
    np.testing.assert_array_equal(units, data.units)
    counts = np.frombuffer(unpacked(text, "histograms"), np.uint8)
    np.testing.assert_array_equal(counts, data.histograms)
    assert b"window.Plotly = Plotly" in unpacked(text, "plotly")


def test_the_page_needs_nothing_but_itself(runs):
    text = render(runs)
    assert "default-src 'none'" in text
    assert not re.search(r"https?://|<link|<script src|@import|url\(|\bimport\b", text)


def test_text_from_outside_is_shown_as_text(runs):
    table = Table("A < B", ["<i>"], [["</script>"]])
    evil = dataclasses.replace(runs[0], name="</script><b>")
    text = render([evil], "<b>", ["1 < 2"], [table])
    assert "<title>&lt;b&gt;</title>" in text and "<li>1 &lt; 2</li>" in text
    assert text.count("</script>") == text.count("<script")
    assert json.loads(unpacked(text, "values"))["runs"][0]["name"] == "</script><b>"


@pytest.mark.slow
def test_two_hundred_runs_of_the_paper_s_network_stay_below_15_mb(runs):
    noise = np.random.default_rng(0).normal(size=(51, 3, 100)).astype(np.float16)
    wide = dict.fromkeys(testing.LAYERS, noise.astype(np.float32))
    many = []
    for seed in range(200):
        run = runs[seed % len(runs)]
        config = {**run.config, "seed": seed}
        activations = run.activations | wide
        name = f"run_seed{seed}"
        many.append(
            dataclasses.replace(run, name=name, config=config, activations=activations)
        )
    assert len(render(many, viewer_runs=["200"])) < 15e6
