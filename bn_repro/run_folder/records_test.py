import json
import subprocess
import sys

import numpy as np
import pytest

from bn_repro.errors import UserError
from bn_repro.run_folder import configuration, records
from bn_repro.run_folder.writer import RunWriter

LAYERS = {"hidden_1": 4, "3a/double_3x3_b": 2}
PERCENTILES = (15.0, 50.0, 85.0)


def probe(step):
    """Returns the arguments of append_activations, different at every step."""
    rng = np.random.default_rng(step)
    return {name: rng.random(2) for name in records.PROBE_FIELDS} | {
        "layer_arrays": {n: rng.normal(size=(3, u)) for n, u in LAYERS.items()},
        "percentiles": PERCENTILES,
        "logit_noise": rng.random(1),
        "gradient_norm": rng.normal(size=2) * 1e-9,
        "input_histogram": rng.random((2, 8)),
        "output_histogram": rng.random((2, 8)),
        "input_range": rng.normal(size=(2, 2)) * 1e6,
        "output_range": rng.normal(size=(2, 2)),
    }


def row(step, split="test", statistics="ema", **fields):
    return {"step": step, "split": split, "statistics": statistics, **fields}


def write_all(workdir, steps):
    writer = RunWriter(workdir)
    writer.write_config({"seed": 0})
    append_all(writer, steps)
    return writer


def append_all(writer, steps):
    for step in steps:
        writer.append_metrics(row(step, split="train", statistics="batch", loss=1 / 3))
        writer.append_metrics(row(step, accuracy=step / 7))
        writer.append_activations(step, **probe(step))
    writer.write_status("running", steps[-1])


def contents(workdir):
    return {path.name: path.read_bytes() for path in sorted(workdir.iterdir())}


def test_what_is_written_is_read_back(tmp_path):
    writer = write_all(tmp_path / "run", [0, 10, 20])
    writer.write_manifest({"command": "train", "sessions": 1})
    writer.update_manifest(sessions=2)
    writer.write_status("diverged", 20, first_bad_step=17)
    run = records.read_run(tmp_path / "run")

    assert (run.name, run.config["seed"]) == ("run", 0)
    assert run.manifest == {"command": "train", "sessions": 2}
    assert run.status == {"status": "diverged", "step": 20, "first_bad_step": 17}
    steps, values = run.series("test", "ema", "accuracy")
    np.testing.assert_array_equal(steps, [0, 10, 20])
    np.testing.assert_array_equal(values, np.array([0, 10, 20]) / 7)
    assert run.series("test", "population", "accuracy")[0].size == 0

    activations = run.activations
    np.testing.assert_array_equal(activations["steps"], [0, 10, 20])
    assert activations["layers"] == list(LAYERS)
    assert tuple(activations["percentiles"]) == PERCENTILES
    assert activations["3a/double_3x3_b"].shape == (3, 3, 2)
    for t, step in enumerate([0, 10, 20]):
        expected = probe(step)
        for layer in LAYERS:
            stored = expected["layer_arrays"][layer].astype(np.float16)
            np.testing.assert_array_equal(activations[layer][t], stored)
        for field in expected.keys() & records.PROBE_FIELDS.keys():
            stored = expected[field].astype(records.PROBE_FIELDS[field])
            np.testing.assert_array_equal(activations[field][t], stored)
        # Small norms and wide ranges need more than float16.
        for field in ("gradient_norm", "input_range"):
            np.testing.assert_allclose(activations[field][t], expected[field], 1e-6)


def test_activations_are_float16_on_disk_and_wide_enough_to_compute_with(tmp_path):
    write_all(tmp_path, [0])
    with np.load(tmp_path / records.ACTIVATIONS) as arrays:
        assert arrays["hidden_1"].dtype == np.float16
    assert records.read_run(tmp_path).activations["hidden_1"].dtype == np.float32


def test_large_inputs_stay_finite_and_nan_stays_nan(tmp_path):
    writer = RunWriter(tmp_path)
    writer.write_config({"seed": 0})
    arguments = probe(0)
    arguments["layer_arrays"]["hidden_1"][0, :3] = [1e9, -np.inf, np.nan]
    writer.append_activations(0, **arguments)
    stored = records.read_run(tmp_path).activations["hidden_1"][0, 0, :3]
    np.testing.assert_array_equal(stored, [65504, -65504, np.nan])


def test_metrics_that_are_not_finite_become_null_and_read_as_nan(tmp_path):
    writer = RunWriter(tmp_path)
    writer.write_config({"seed": 0})
    writer.append_metrics(row(1, loss=np.float32("nan"), accuracy=0.1))
    writer.append_metrics(row(2, loss=2.5, accuracy=0.1))
    assert "NaN" not in (tmp_path / records.METRICS).read_text()
    _, losses = records.read_run(tmp_path).series("test", "ema", "loss")
    np.testing.assert_array_equal(losses, [np.nan, 2.5])


@pytest.mark.parametrize("torn", [b"", b'{"step": 3, "los', b"\x00\x00"])
def test_a_cut_and_continued_run_equals_an_uninterrupted_one(tmp_path, torn):
    write_all(tmp_path / "whole", [0, 1, 2, 3])
    write_all(tmp_path / "killed", [0, 1, 2])
    with open(tmp_path / "killed" / records.METRICS, "ab") as file:
        file.write(torn)

    resumed = RunWriter(tmp_path / "killed")
    resumed.cut(1)
    append_all(resumed, [2, 3])
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_cut_to_minus_one_starts_over(tmp_path):
    write_all(tmp_path / "once", [0, 1])
    writer = write_all(tmp_path / "twice", [0, 1, 2])
    writer.cut(-1)
    append_all(writer, [0, 1])
    assert contents(tmp_path / "once") == contents(tmp_path / "twice")


def test_after_a_cut_to_nothing_probes_of_other_settings_begin(tmp_path):
    writer = write_all(tmp_path, [0, 1])
    writer.cut(-1)
    fewer = {n: x[:1] for n, x in probe(0)["layer_arrays"].items()}
    given = {"layer_arrays": fewer, "percentiles": (50.0,)}
    writer.append_activations(0, **(probe(0) | given))
    assert records.read_run(tmp_path).activations["percentiles"].tolist() == [50.0]


def test_cut_of_a_new_folder_does_nothing(tmp_path):
    RunWriter(tmp_path / "new").cut(-1)
    assert list((tmp_path / "new").iterdir()) == []


def test_a_torn_last_line_is_not_read_and_a_bad_one_before_it_is_named(tmp_path):
    write_all(tmp_path, [0])
    path = tmp_path / records.METRICS
    with open(path, "a") as file:
        file.write('{"step": 1')
    assert len(records.read_run(tmp_path).metrics) == 2
    with open(path, "a") as file:
        file.write("\n{}\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl is corrupt: line 3"):
        records.read_run(tmp_path)


@pytest.mark.parametrize("name", ["hidden_1", "layers", "steps"])
def test_an_activations_file_that_lacks_an_array_is_named(tmp_path, name):
    write_all(tmp_path, [0])
    path = tmp_path / records.ACTIVATIONS
    with np.load(path) as arrays:
        rest = {key: value for key, value in arrays.items() if key != name}
    np.savez(path, **rest)
    with pytest.raises(UserError, match=f"activations.npz is corrupt: it lacks {name}"):
        records.read_run(tmp_path)


def test_a_field_that_came_or_went_between_probes_is_nan_where_it_lacks(tmp_path):
    writer = RunWriter(tmp_path)
    writer.write_config({"seed": 0})
    given = probe(0), probe(1), probe(2)
    for step, lacking in enumerate(["saturated", "saturated", "input_range"]):
        del given[step][lacking]
        RunWriter(tmp_path).append_activations(step, **given[step])
        activations = records.read_run(tmp_path).activations
        assert ("saturated" in activations) == (step == 2)
    share = given[2]["saturated"].astype(np.float16)
    nan = np.full(2, np.nan)
    np.testing.assert_array_equal(activations["saturated"], [nan, nan, share])
    ranges = [given[0]["input_range"], given[1]["input_range"], np.full((2, 2), np.nan)]
    np.testing.assert_array_equal(activations["input_range"], np.float32(ranges))
    with pytest.raises(ValueError, match="kurtosis: not in PROBE_FIELDS"):
        writer.append_activations(3, **probe(3), kurtosis=nan)


FULL_DISK = """
import resource, signal, sys
from bn_repro import errors
from bn_repro.run_folder.writer import RunWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # write then fails instead of killing
resource.setrlimit(resource.RLIMIT_FSIZE, (90, 90))
writer = RunWriter(sys.argv[1])
try:
    for step in range(100):
        writer.append_metrics({"step": step, "loss": 0.5})
except errors.UserError as error:
    print(error)
"""


def test_when_the_disk_refuses_a_line_the_lines_before_it_stay(tmp_path):
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert output == f"cannot write {tmp_path / records.METRICS}: File too large\n"
    lines = (tmp_path / records.METRICS).read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(len(lines)))
    assert lines


def test_a_workdir_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write .*file/run: Not a directory"):
        RunWriter(tmp_path / "file" / "run")


def test_an_unknown_status_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'done' is none of running, finished"):
        RunWriter(tmp_path).write_status("done", 1)


def test_runs_are_found_in_natural_order_and_not_inside_of_runs(tmp_path):
    for name in (
        "bn_seed10",
        "bn_seed2",
        "deep/er/plain_seed0",
        "bn_seed2/checkpoints/3",
    ):
        write_all(tmp_path / name, [0])
    names = ["bn_seed2", "bn_seed10", "deep/er/plain_seed0"]
    assert [run.name for run in records.find_runs(tmp_path)] == names
    assert records.find_runs(tmp_path / "bn_seed2")[0].name == "bn_seed2"
    with pytest.raises(UserError, match="nowhere is not a run: there is no such"):
        records.find_runs(tmp_path / "nowhere")


def test_runs_that_are_linked_are_found_once(tmp_path):
    """Runs of several sweeps, linked into one folder, were none."""
    write_all(tmp_path / "sweep" / "bn_seed0", [0])
    write_all(tmp_path / "elsewhere" / "plain_seed0", [0])
    (tmp_path / "sweep" / "aa").symlink_to(tmp_path / "sweep" / "bn_seed0")
    (tmp_path / "sweep" / "back").symlink_to(tmp_path / "sweep")
    (tmp_path / "sweep" / "plain").symlink_to(tmp_path / "elsewhere" / "plain_seed0")
    (tmp_path / "sweep" / "gone").symlink_to(tmp_path / "nowhere")
    names = [run.name for run in records.find_runs(tmp_path / "sweep")]
    assert names == ["bn_seed0", "plain"]


def test_a_path_that_is_no_run_lists_the_runs_below_it(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        records.read_run(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no run lies below it"):
        records.read_run(tmp_path)
    write_all(tmp_path / "bn_seed0", [0])
    with pytest.raises(UserError, match="is not a run: .* below it: bn_seed0"):
        records.read_run(tmp_path)


def test_a_run_that_has_only_just_started_can_be_read(tmp_path):
    RunWriter(tmp_path).write_config({"seed": 0})
    run = records.read_run(tmp_path)
    assert run.status == {"status": "unknown", "step": 0}
    assert (run.metrics, run.activations, run.manifest) == ([], None, {})


def test_differing_keys_are_shown_as_the_user_stated_them():
    a = {"steps": 25, "model": {"hidden": (1, 2)}, "seed": 0, "stated": {"steps": 50}}
    b = {"steps": 30, "model": {"hidden": [1, 2]}, "seed": 0, "stated": {"steps": 60}}
    assert configuration.differing_keys(a, b) == {"steps": (50, 60)}
    b["model"] = {"hidden": [1, 3]}
    del b["seed"]
    assert configuration.differing_keys(a, b) == {
        "steps": (50, 60),
        "model.hidden": ([1, 2], [1, 3]),
        "seed": (0, None),
    }


def test_other_classes_are_refused_where_a_run_goes_on(tmp_path):
    writer = RunWriter(tmp_path)
    writer.refuse_other_classes(["x", "y"], ["a", "b"])  # nothing is recorded
    writer.write_class_names(["x", "y"], ["a", "b"])
    writer.refuse_other_classes(["other", "words"], ["a", "b"])
    with pytest.raises(UserError, match="label 1 was 'b', .* it is 'c'"):
        writer.refuse_other_classes(["x", "y"], ["a", "c"])
    with pytest.raises(UserError, match="label 2 was None, .* it is 'c'"):
        writer.refuse_other_classes(["x", "y"], ["a", "b", "c"])
    writer.write_class_names(["10", "9"])  # before folders were recorded
    with pytest.raises(UserError, match="label 0 was '10', .* it is '9'"):
        writer.refuse_other_classes(["nine", "ten"], ["9", "10"])
    (tmp_path / records.CLASSES).write_text("{")
    writer.refuse_other_classes(["x", "y"], ["a", "b"])


def test_another_number_of_training_examples_is_refused(tmp_path):
    """Of 21 pictures 42 became, and the epochs of the decay others, without a word."""
    writer = RunWriter(tmp_path)
    now, digests = {"train": 42, "val": 6}, {"train": "a", "val": "b"}
    assert writer.changed_data(now, digests) == {}  # nothing is recorded
    writer.write_manifest({"data_sha256": {"train": "c", "val": "b"}})  # from before
    moved = {"data_sha256.train": ("c", "a")}
    assert writer.changed_data(now, digests) == moved
    writer.update_manifest(examples={"train": 42, "val": 7})
    assert RunWriter(tmp_path).changed_data(now, digests) == moved
    writer.update_manifest(examples={"train": 21, "val": 6})
    with pytest.raises(UserError, match="21 examples, now there are 42.*--branch_from"):
        writer.changed_data(now, digests)


def test_an_evaluation_of_the_training_split_is_no_training_record():
    assert records.kind_of({"split": "train", "statistics": "batch"}) == "train"
    assert records.kind_of({"split": "train", "statistics": "ema"}) == "eval"


def test_the_last_evaluations_hits_are_kept(tmp_path):
    writer = RunWriter(tmp_path)
    writer.write_config({"seed": 0})
    for step in range(records.HITS_KEPT + 2):
        writer.append_hits(step, {"test/ema": np.arange(3) == step % 3})
    hits = records.read_run(tmp_path).hits
    kept = list(range(2, records.HITS_KEPT + 2))
    assert hits["steps"].tolist() == kept
    assert hits["test/ema"].argmax(1).tolist() == [step % 3 for step in kept]
    assert hits[records.FORGOTTEN] == 2


@pytest.mark.parametrize(
    "other", [{"test/ema": np.ones(4, bool)}, {"test/population": np.ones(3, bool)}]
)
def test_hits_of_a_run_that_is_evaluated_otherwise_begin_anew(tmp_path, other):
    """As where `eval.batch_statistics` or `data.val` is another after a resume."""
    writer = RunWriter(tmp_path)
    writer.write_config({"seed": 0})
    for step in (0, 1):
        writer.append_hits(step, {"test/ema": np.ones(3, bool)})
    RunWriter(tmp_path).append_hits(2, other)
    hits = records.read_run(tmp_path).hits
    assert hits.keys() == {*other, "steps", records.FORGOTTEN}
    assert (hits["steps"].tolist(), int(hits[records.FORGOTTEN])) == ([2], 2)
