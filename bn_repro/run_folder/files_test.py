import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from bn_repro.errors import UserError
from bn_repro.run_folder import files
from bn_repro.run_folder.writer import RunWriter


def test_plain_turns_arrays_into_lists_and_what_is_not_finite_into_null():
    value = {
        "float": np.float32(0.1),
        "array": np.array([1.0, np.nan, -np.inf]),
        "tuple": (1, float("inf")),
        "integer": np.int64(3),
        5: "key",
    }
    text = json.dumps(files.plain(value), allow_nan=False)
    assert json.loads(text) == {
        "float": float(np.float32(0.1)),
        "array": [1.0, None, None],
        "tuple": [1, None],
        "integer": 3,
        "5": "key",
    }


def test_a_crash_before_the_rename_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "status.json"
    files.write_json(path, {"step": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    for broken in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, broken, full)
            with pytest.raises(UserError, match="status.json: No space left"):
                files.write_json(path, {"step": 2})
    assert files.read_json(path) == {"step": 1}
    assert os.listdir(tmp_path) == ["status.json"]


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff", b""])
def test_a_corrupt_json_file_is_named(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"config\.json is corrupt"):
        files.read_json(path)


def test_a_missing_file_is_an_error_unless_allowed(tmp_path):
    assert files.read_json(tmp_path / "status.json", missing={"step": 0})["step"] == 0
    with pytest.raises(UserError, match=r"cannot read .*status\.json: No such file"):
        files.read_json(tmp_path / "status.json")


def test_the_digest_of_what_was_written_once_stays():
    """Every checkpoint and the packed MNIST hold one."""
    arrays = {"b": np.arange(6, dtype=np.int16).reshape(2, 3).T, "a": np.float32(0.5)}
    text = b"a float32 (1,)\n" + np.float32(0.5).tobytes()
    text += b"b int16 (3, 2)\n" + np.array([0, 3, 1, 4, 2, 5], np.int16).tobytes()
    assert files.digest(arrays) == hashlib.sha256(text).hexdigest()


@pytest.mark.parametrize("path", ["gs://bucket/run", Path("s3://bucket/run")])
def test_an_address_is_no_folder_to_write_to(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="^(gs|s3)://bucket/run is no folder of this"):
        RunWriter(path)
    assert not list(tmp_path.iterdir())
    for fine in ("runs/gs:", "C:/runs", "a b", "/gs:/x"):
        files.refuse_remote(fine)
