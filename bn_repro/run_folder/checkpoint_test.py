"""No damage goes unnoticed, and none costs more than one checkpoint."""

import errno
import os

import jax.numpy as jnp
import numpy as np
import pytest

from bn_repro.errors import UserError
from bn_repro.run_folder import checkpoint, files

RUN = {"seed": 3, "steps": 20, "optimizer": {"learning_rate": 0.1}}
TREE = {
    "params": {"hidden_1": {"kernel": jnp.linspace(-1, 1, 300).reshape(30, 10)}},
    "count": jnp.asarray(7, jnp.int32),
}


def equal(a, b):
    np.testing.assert_array_equal(
        a["params"]["hidden_1"]["kernel"], b["params"]["hidden_1"]["kernel"]
    )
    assert a["count"] == b["count"]


def test_newest_is_restored_bit_for_bit(tmp_path):
    other = {**TREE, "params": {"hidden_1": {"kernel": jnp.zeros((30, 10))}}}
    checkpoint.save(tmp_path, 5, other, keep=2, run=RUN)
    checkpoint.save(tmp_path, 10, TREE, keep=2, run=RUN)
    step, arrays, _ = checkpoint.latest(tmp_path, RUN)
    assert step == 10
    equal(checkpoint.restore(TREE, arrays), TREE)


def test_only_the_newest_are_kept(tmp_path):
    for step in (5, 10, 15, 20):
        checkpoint.save(tmp_path, step, TREE, keep=2, run=RUN)
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert names == ["00000015.npz", "00000020.npz"]


def test_a_field_that_a_checkpoint_lacks_as_a_whole_stays_as_it_begins(tmp_path):
    path = checkpoint.save(tmp_path, 5, TREE, keep=2, run=RUN)
    params = dict(TREE["params"])
    grown = TREE | {"params": params, "step_2": jnp.asarray(3)}
    grown["new"] = {"a": jnp.ones(2)}
    fields = ["step_2", "new", "params"]
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
    assert checkpoint.latest(tmp_path, RUN) is None


def test_any_flipped_bit_falls_back_to_the_one_before(tmp_path):
    checkpoint.save(tmp_path, 5, TREE, keep=2, run=RUN)
    newest = checkpoint.save(tmp_path, 10, TREE, keep=2, run=RUN)
    content = newest.read_bytes()
    places = {*range(120), *range(len(content) - 300, len(content))}
    places |= {*np.linspace(0, len(content) - 1, 60).astype(int).tolist()}
    for place in sorted(places):  # every header byte, and some of the arrays'
        flipped = bytearray(content)
        flipped[place] ^= 1 << 3
        newest.write_bytes(flipped)
        step, arrays, _ = checkpoint.latest(tmp_path, RUN)
        # A bit that no reader looks at, such as a date in the zip file, is harmless.
        assert step == 5 or arrays.keys() == checkpoint.read(newest).keys()
        equal(checkpoint.restore(TREE, arrays), TREE)


def test_a_changed_value_in_a_sound_file_is_noticed(tmp_path):
    path = checkpoint.save(tmp_path, 5, TREE, keep=2, run=RUN)
    with np.load(path) as content:
        arrays = dict(content)
    arrays["params/hidden_1/kernel"][3, 3] += 1e-6
    np.savez(path, **arrays)
    with pytest.raises(checkpoint.DamagedError, match="sha256 does not match"):
        checkpoint.read(path)


@pytest.mark.parametrize("kept", [0, 0.5, 0.99])
def test_half_written_files_are_passed_over(tmp_path, kept):
    checkpoint.save(tmp_path, 5, TREE, keep=2, run=RUN)
    newest = checkpoint.save(tmp_path, 10, TREE, keep=2, run=RUN)
    content = newest.read_bytes()
    newest.write_bytes(content[: int(len(content) * kept)])
    (tmp_path / "checkpoints" / ".00000015.npz.tmp").write_bytes(content[:100])
    assert checkpoint.latest(tmp_path, RUN)[0] == 5


def test_all_damaged_is_one_clear_line(tmp_path):
    checkpoint.save(tmp_path, 5, TREE, keep=2, run=RUN).write_bytes(b"")
    with pytest.raises(UserError, match="no checkpoint in .* --restart"):
        checkpoint.latest(tmp_path, RUN)


def test_another_network_is_named_by_its_array(tmp_path):
    checkpoint.save(tmp_path, 5, TREE, keep=2, run=RUN)
    arrays = checkpoint.latest(tmp_path, RUN)[1]
    wider = {**TREE, "params": {"hidden_1": {"kernel": jnp.zeros((30, 20))}}}
    with pytest.raises(UserError, match=r"hidden_1/kernel is float32\[30, 10\] in the"):
        checkpoint.restore(wider, arrays)
    with pytest.raises(UserError, match="lacks params/hidden_2/kernel"):
        checkpoint.restore({"params": {"hidden_2": {"kernel": jnp.zeros(1)}}}, arrays)


def test_a_checkpoint_of_another_run_or_step_is_passed_over(tmp_path, caplog):
    taken = checkpoint.save(tmp_path / "a", 5, TREE, keep=2, run=RUN)
    other = RUN | {"optimizer": {"learning_rate": 0.2}, "steps": 90}
    foreign = checkpoint.save(tmp_path / "b", 10, TREE, keep=2, run=other)
    folder = taken.parent
    foreign.rename(folder / foreign.name)
    assert checkpoint.latest(tmp_path / "a", RUN).step == 5
    assert "another run (optimizer.learning_rate: 0.2 there, 0.1 now)" in caplog.text
    (folder / "00000010.npz").unlink()
    (folder / "00000015.npz").symlink_to(taken)
    assert checkpoint.latest(tmp_path / "a", RUN).step == 5
    assert "00000015.npz is not of step 15 but of 5" in caplog.text
    taken.rename(folder / "00000020.npz")
    with pytest.raises(UserError, match="00000020.npz is not of step 20 but of 5"):
        checkpoint.latest(tmp_path / "a", RUN)


def test_keys_that_change_no_step_do_not_make_another_run(tmp_path):
    checkpoint.save(tmp_path, 5, TREE, keep=2, run=RUN | {"data": {"workers": 1}})
    changed = RUN | {"steps": 90, "log_every": 7, "eval": {"every": 3}}
    assert checkpoint.latest(tmp_path, changed).step == 5


def test_other_names_and_links_to_nothing_are_passed_over(tmp_path):
    folder = checkpoint.save(tmp_path, 5, TREE, keep=2, run=RUN).parent
    for name in ("3000x.npz", "1e9.npz", "00003000_old.npz", "٣٠٠٠٠٠٠٠.npz"):
        (folder / name).write_bytes(b"")
    (folder / "00000010.npz").symlink_to(folder / "nothing.npz")
    assert checkpoint.latest(tmp_path, RUN).step == 5


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_no_file_holds_and_none_gives_a_value_that_is_not_finite(tmp_path, value):
    checkpoint.save(tmp_path, 5, TREE, keep=2, run=RUN)
    kernel = TREE["params"]["hidden_1"]["kernel"].at[3, 3].set(value)
    bad = {**TREE, "params": {"hidden_1": {"kernel": kernel}}}
    with pytest.raises(UserError, match="params/hidden_1/kernel is not finite"):
        checkpoint.save(tmp_path, 10, bad, keep=2, run=RUN)
    assert checkpoint.steps(tmp_path) == [5]
    arrays = {"params/hidden_1/kernel": np.asarray(kernel)}
    newest = checkpoint.path_of(tmp_path, 10)
    np.savez(newest, **arrays, sha256=np.array(files.digest(arrays)))
    with pytest.raises(checkpoint.DamagedError, match="kernel is not finite"):
        checkpoint.read(newest)
    assert checkpoint.latest(tmp_path, RUN).step == 5


def test_one_from_before_cannot_be_checked_and_is_taken(tmp_path, caplog):
    checkpoint.save(tmp_path, 5, TREE, keep=2, run=RUN)
    arrays = checkpoint.latest(tmp_path, RUN).arrays
    old = checkpoint.path_of(tmp_path, 10)
    np.savez(old, **arrays, sha256=np.array(files.digest(arrays)))
    step, found, about = checkpoint.latest(tmp_path, RUN)
    assert (step, about) == (10, {})
    equal(checkpoint.restore(TREE, found), TREE)
    assert "cannot be checked" in caplog.text and "is taken" in caplog.text


def test_an_array_too_many_is_another_network_s(tmp_path):
    checkpoint.save(tmp_path, 5, TREE | {"extra": jnp.zeros(2)}, keep=2, run=RUN)
    with pytest.raises(UserError, match="holds extra, which the network lacks"):
        checkpoint.restore(TREE, checkpoint.latest(tmp_path, RUN).arrays)


def test_a_stray_newer_file_does_not_push_out_the_one_just_saved(tmp_path):
    checkpoint.save(tmp_path, 900, TREE, keep=1, run=RUN)
    checkpoint.save(tmp_path, 5, TREE, keep=1, run=RUN)
    checkpoint.save(tmp_path, 10, TREE, keep=1, run=RUN)
    assert checkpoint.steps(tmp_path) == [900, 10]


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, 5, TREE, keep=1, run=RUN)

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="00000010.npz: No space left on device"):
        checkpoint.save(tmp_path, 10, TREE, keep=1, run=RUN)
    assert checkpoint.latest(tmp_path, RUN)[0] == 5
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1
