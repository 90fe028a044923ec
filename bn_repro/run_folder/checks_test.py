"""What a run would not have written is named, in one line, whoever reads it."""

import functools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bn_repro.analysis import figure4, testing
from bn_repro.data.fuzz_test import damaged, fuzzed, refused_or
from bn_repro.errors import UserError
from bn_repro.run_folder import records, resume
from bn_repro.run_folder.records_test import append_all, write_all
from bn_repro.run_folder.writer import RunWriter

SOUND = {
    "members": ["a"],
    "crops": 1,
    "statistics": "ema",
    "top1_error": 0.5,
    "top5_error": 0.1,
    "count": 10,
}


def refused(workdir, name, message):
    with pytest.raises(UserError, match=message) as caught:
        records.read_run(workdir)
    assert name in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("status.json", "{}", "it lacks status"),
        ("status.json", "[]", "no JSON object"),
        ("status.json", '{"status": "done", "step": 1}', "'done' is none of running"),
        ("status.json", '{"status": "running", "step": null}', "step is None"),
        ("status.json", '{"status": "running", "step": true}', "step is True"),
        ("manifest.json", '{"starts": null}', "starts is None"),
        ("manifest.json", '{"starts": [7]}', "a start is no JSON object"),
        ("classes.json", "{}", "it lacks names"),
        ("classes.json", '{"names": [3]}', "a name is no text"),
        ("config.json", "{}", "it is empty"),
        ("config.json", '{"seed": null}', "seed is None"),
        ("config.json", '{"bn": {"batch": 7}}', "bn.batch is 7"),
        ("config.json", '{"model": 3, "seed": 0}', "model is 3"),
        ("config.json", "[" * 100_000, "corrupt"),
        ("metrics.jsonl", '{"step": "3"}\n', "line 1 is no record of a step .step is"),
        ("metrics.jsonl", '{"step": null}\n', "line 1 is no record of a step"),
        ("metrics.jsonl", '{"step": 1, "loss": "x"}\n', "loss is 'x'"),
        ("metrics.jsonl", "[]\n", "line 1 is no record of a step"),
    ],
)
def test_a_value_of_another_kind_is_named(tmp_path, name, content, message):
    write_all(tmp_path, [0, 1])
    (tmp_path / name).write_text(content)
    refused(tmp_path, name, message)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("steps", lambda x: x[::-1], "steps do not rise"),
        ("steps", lambda x: x[[0, *range(len(x) - 1)]], "steps do not rise"),
        ("steps", lambda x: x * 0.5, "steps are no list of integers"),
        ("hidden_1", lambda x: x[:1], r"hidden_1 has shape \[1, 3, 4\] for 2 steps"),
        ("hidden_1", lambda x: x[:, :2], "hidden_1 is "),
        ("hidden_1", lambda x: x.astype(str), "hidden_1 is "),
        ("percentiles", lambda x: x[:2], "is float16"),
        ("saturated", lambda x: x[:, :1], "saturated is "),
    ],
)
def test_arrays_that_do_not_fit_each_other_are_named(tmp_path, name, change, message):
    write_all(tmp_path, [0, 1])
    path = tmp_path / records.ACTIVATIONS
    with np.load(path) as content:
        arrays = dict(content)
    np.savez(path, **arrays | {name: change(arrays[name])})
    refused(tmp_path, records.ACTIVATIONS, message)


def test_a_writer_goes_on_over_a_damaged_manifest(tmp_path):
    write_all(tmp_path, [0])
    (tmp_path / records.MANIFEST).write_text("[")
    append_all(RunWriter(tmp_path), [1])
    assert records.damaged(tmp_path) == [records.MANIFEST]


@pytest.mark.parametrize("key", [None, *SOUND])
def test_an_evaluation_that_lacks_something_is_named(tmp_path, key):
    path = tmp_path / "evaluation_a.json"
    path.write_text(json.dumps(SOUND))
    assert len(figure4.read(tmp_path)) == 1
    lacking = {k: v for k, v in SOUND.items() if key and k != key}
    path.write_text(json.dumps(lacking))
    with pytest.raises(UserError, match=f"evaluation_a.json is .* lacks {key or ''}"):
        figure4.read(tmp_path)


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        ({"members": []}, "no list of names"),
        ({"members": [None]}, "no list of names"),
        ({"classes": "10"}, "classes is '10'"),
        ({"steps": [None]}, "steps are no list of integers"),
        ({"bn": 1}, "bn is 1"),
    ],
)
def test_an_odd_value_of_an_evaluation_is_named(tmp_path, odd, message):
    (tmp_path / "evaluation_a.json").write_text(json.dumps(SOUND | odd))
    with pytest.raises(UserError, match=f"evaluation_a.json is corrupt: .*{message}"):
        figure4.read(tmp_path)


def test_statistics_of_a_later_name_are_shown_as_they_are(tmp_path):
    (tmp_path / "evaluation_a.json").write_text(
        json.dumps(SOUND | {"statistics": "new"})
    )
    assert "(new)" in figure4.figure4_table(figure4.read(tmp_path)).markdown()


ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**70) | st.floats() | st.text("ab1"),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text("ab"), below),
    max_leaves=4,
)


def places(value, path=()):
    """Returns the paths to all values in a JSON object."""
    inner = value.items() if isinstance(value, dict) else ()
    found = [path] if path else []
    return found + [p for key, below in inner for p in places(below, (*path, key))]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Returns the folder of a run with every file."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    testing.write_run(folder, steps=1000)
    writer = RunWriter(folder)
    writer.write_class_names(list("0123456789"))
    writer.append_hits(1000, {"test/ema": np.zeros(20, bool)})
    return folder


@settings(fuzzed, max_examples=250)
@given(content=st.data())
def test_any_file_is_read_or_refused_in_one_line(content, sound):
    """Bytes damaged as disks do it, or one value in a sound file of another kind."""
    path = content.draw(st.sampled_from(sorted(sound.iterdir())))
    before = path.read_bytes()
    try:
        if path.suffix == ".json" and content.draw(st.booleans()):
            value = json.loads(before)
            *sections, name = content.draw(st.sampled_from(places(value)))
            functools.reduce(dict.get, sections, value)[name] = content.draw(ODD)
            path.write_text(json.dumps(value))
        else:
            path.write_bytes(content.draw(damaged(before)))
        refused_or(records.read_run, sound)
        refused_or(resume.look, records.config(sound) or {"steps": 1000}, sound)
    finally:
        path.write_bytes(before)
