import dataclasses

import numpy as np

from bn_repro.analysis.page import page_layers
from bn_repro.run_folder import records


def test_a_new_field_of_the_probe_is_shown_by_itself(sample_folder):
    run = records.find_runs(sample_folder)[0]
    new = np.arange(51 * 3.0).reshape(51, 3)
    probes = run.activations | {"new_thing": new, "pair": np.zeros((51, 3, 2))}
    probed = dataclasses.replace(run, activations=probes)
    shown = page_layers.overview([run, probed])
    keys = [measure["key"] for measure in shown["measures"]]
    assert keys == ["location", "scale", "gradient_norm", "saturated", "new_thing"]
    assert shown["measures"][-1]["name"] == "new thing"
    np.testing.assert_array_equal(
        page_layers.of_run(probed, {})["fields"]["new_thing"], new
    )
    assert "new_thing" not in page_layers.of_run(run, {})["fields"]


def test_an_axis_without_room_names_each_module_once(sample_folder):
    run = records.find_runs(sample_folder)[0]
    names = ["conv1", "conv2", "conv3", "3a/1x1", "3a/3x3", "3a/a", "3a/b", "3b/1"]
    arrays = dict.fromkeys(names, run.activations["hidden_1"])
    wide = np.zeros((51, 8))
    probes = {"steps": run.activations["steps"], "layers": names, "saturated": wide}
    deep = dataclasses.replace(
        run, activations=probes | arrays | {"percentiles": (15.0, 50.0, 85.0)}
    )
    shown = page_layers.overview([deep])
    assert shown["names"] == names
    assert shown["modules"] == ["conv1", "", "", "3a", "", "", "", "3b"]


def test_probes_that_crowd_at_the_beginning_have_a_logarithmic_axis(sample_folder):
    run = records.find_runs(sample_folder)[0]
    steps = np.array([*range(50), 5_000])
    crowded = dataclasses.replace(run, activations=run.activations | {"steps": steps})
    assert page_layers.overview([crowded])["logarithmic"] is True
    assert page_layers.overview([run])["logarithmic"] is False


def test_runs_without_probes_have_nothing_to_show(sample_folder):
    run = records.find_runs(sample_folder)[0]
    bare = dataclasses.replace(run, activations=None)
    assert page_layers.of_run(bare, {}) is None
    assert page_layers.overview([bare])["measures"] == []
