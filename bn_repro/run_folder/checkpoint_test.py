"""No damage goes unnoticed, and none costs more than one checkpoint."""

import errno
import os

import jax.numpy as jnp
import numpy as np
import pytest

from bn_repro.errors import UserError
from bn_repro.run_folder import checkpoint

TREE = {
    "params": {"hidden_1": {"kernel": jnp.linspace(-1, 1, 300).reshape(30, 10)}},
    "step": jnp.asarray(7, jnp.int32),
}


def equal(a, b):
    np.testing.assert_array_equal(
        a["params"]["hidden_1"]["kernel"], b["params"]["hidden_1"]["kernel"]
    )
    assert a["step"] == b["step"]


def test_newest_is_restored_bit_for_bit(tmp_path):
    other = {**TREE, "params": {"hidden_1": {"kernel": jnp.zeros((30, 10))}}}
    checkpoint.save(tmp_path, 5, other, keep=2)
    checkpoint.save(tmp_path, 10, TREE, keep=2)
    step, arrays = checkpoint.latest(tmp_path)
    assert step == 10
    equal(checkpoint.restore(TREE, arrays), TREE)


def test_only_the_newest_are_kept(tmp_path):
    for step in (5, 10, 15, 20):
        checkpoint.save(tmp_path, step, TREE, keep=2)
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert names == ["00000015.npz", "00000020.npz"]


def test_a_field_that_a_checkpoint_lacks_as_a_whole_stays_as_it_begins(tmp_path):
    path = checkpoint.save(tmp_path, 5, TREE, keep=2)
    params = dict(TREE["params"])
    grown = TREE | {"params": params, "step_2": jnp.asarray(3)}
    grown["new"] = {"a": jnp.ones(2)}
    fields = ["step", "step_2", "new", "params"]
    restored = checkpoint.restore(grown, checkpoint.read(path), fields)
    equal(restored, TREE)
    assert restored["step_2"] == 3
    np.testing.assert_array_equal(restored["new"]["a"], [1, 1])
    with pytest.raises(UserError, match="lacks new/a"):
        checkpoint.restore(grown, checkpoint.read(path), ["step_2"])
    params["hidden_2"] = TREE["params"]["hidden_1"]
    with pytest.raises(UserError, match="lacks params/hidden_2/kernel"):
        checkpoint.restore(grown, checkpoint.read(path), fields)


def test_no_checkpoint_is_none(tmp_path):
    assert checkpoint.latest(tmp_path) is None


def test_any_flipped_bit_falls_back_to_the_one_before(tmp_path):
    checkpoint.save(tmp_path, 5, TREE, keep=2)
    newest = checkpoint.save(tmp_path, 10, TREE, keep=2)
    content = newest.read_bytes()
    places = {*range(120), *range(len(content) - 300, len(content))}
    places |= {*np.linspace(0, len(content) - 1, 60).astype(int).tolist()}
    for place in sorted(places):  # every header byte, and some of the arrays'
        flipped = bytearray(content)
        flipped[place] ^= 1 << 3
        newest.write_bytes(flipped)
        step, arrays = checkpoint.latest(tmp_path)
        # A bit that no reader looks at, such as a date in the zip file, is harmless.
        assert step == 5 or arrays.keys() == checkpoint.read(newest).keys()
        equal(checkpoint.restore(TREE, arrays), TREE)


def test_a_changed_value_in_a_sound_file_is_noticed(tmp_path):
    path = checkpoint.save(tmp_path, 5, TREE, keep=2)
    with np.load(path) as content:
        arrays = dict(content)
    arrays["params/hidden_1/kernel"][3, 3] += 1e-6
    np.savez(path, **arrays)
    with pytest.raises(checkpoint.DamagedError, match="sha256 does not match"):
        checkpoint.read(path)


@pytest.mark.parametrize("kept", [0, 0.5, 0.99])
def test_half_written_files_are_passed_over(tmp_path, kept):
    checkpoint.save(tmp_path, 5, TREE, keep=2)
    newest = checkpoint.save(tmp_path, 10, TREE, keep=2)
    content = newest.read_bytes()
    newest.write_bytes(content[: int(len(content) * kept)])
    (tmp_path / "checkpoints" / ".00000015.npz.tmp").write_bytes(content[:100])
    assert checkpoint.latest(tmp_path)[0] == 5


def test_all_damaged_is_one_clear_line(tmp_path):
    checkpoint.save(tmp_path, 5, TREE, keep=2).write_bytes(b"")
    with pytest.raises(UserError, match="all checkpoints in .* are damaged; remove"):
        checkpoint.latest(tmp_path)


def test_another_network_is_named_by_its_array(tmp_path):
    checkpoint.save(tmp_path, 5, TREE, keep=2)
    arrays = checkpoint.latest(tmp_path)[1]
    wider = {**TREE, "params": {"hidden_1": {"kernel": jnp.zeros((30, 20))}}}
    with pytest.raises(UserError, match=r"hidden_1/kernel is float32\[30, 10\] in the"):
        checkpoint.restore(wider, arrays)
    with pytest.raises(UserError, match="lacks params/hidden_2/kernel"):
        checkpoint.restore({"params": {"hidden_2": {"kernel": jnp.zeros(1)}}}, arrays)


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, 5, TREE, keep=1)

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="00000010.npz: No space left on device"):
        checkpoint.save(tmp_path, 10, TREE, keep=1)
    assert checkpoint.latest(tmp_path)[0] == 5
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1
