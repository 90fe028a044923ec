"""A run whose pictures live on the devices does what the streamed one does."""

import jax
import numpy as np
import pytest

from bn_repro import experiment, loop, parallel, start, train
from bn_repro.loop_test import StopAt, assert_same, content
from bn_repro.resolve import resolve
from bn_repro.streamed_run_test import pictures, run_here, short  # noqa: F401
from bn_repro.sweep import vmapped
from bn_repro.train_test import assert_close

HERE = {"data.on_device": True, "model.dtype": "float64", "model.dropout": 0.0}


def state_after(config, devices, steps, by_step=True, room=None):
    """Returns parameters after some steps, and the feed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "_room", lambda mesh: room)
        experiment.forget()
        feed, carry = started(config, devices)
    feed.by_step = by_step
    for step in range(0, steps, 2):
        carry = feed.advance(*carry, step, 2)
    return carry[0].params, feed


def started(config, devices=1):
    """Returns a run's feed, and its state and sums before the first step."""
    config, _, mesh = start.prepare(config, jax.devices()[:devices])
    parts = experiment.make(config, mesh)
    state = train.create_state(config, parts.recipe, parts.image_shape)
    return parts.feed, parallel.replicate((state, train.zero_sums(config)), mesh)


@pytest.fixture
def wide():
    before = jax.config.jax_enable_x64
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.mark.slow
def test_two_and_eight_devices_and_one_dispatch_make_the_same_update(
    pictures,  # noqa: F811
    wide,
):
    one, _ = state_after(short(pictures, **HERE), 1, 4)
    for devices, by_step in ((2, True), (8, True), (1, False), (8, False)):
        other, _ = state_after(short(pictures, **HERE), devices, 4, by_step)
        assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_pictures_that_one_device_cannot_hold_are_spread_over_two(
    pictures,  # noqa: F811
    wide,
):
    config = short(pictures, **HERE)
    whole, feed = state_after(config, 2, 4)
    room = feed.arrays[0].nbytes - 1
    for by_step in (True, False):
        other, feed = state_after(config, 2, 4, by_step, room)
        shards = feed.arrays[0].addressable_shards
        assert [x.data.shape[0] for x in shards] == [len(feed.arrays[0]) // 2] * 2
        assert_close(whole, other, rtol=1e-9, atol=1e-12)


def test_batches_are_the_stream_s_within_one_grey_level(pictures):  # noqa: F811
    mesh = parallel.make_mesh(jax.devices()[:2])
    found = []
    for on_device in (False, True):
        config = resolve(short(pictures, **{"data.on_device": on_device}))[0]
        batches = experiment.make(config, mesh).feed.batches(3)
        found.append([jax.device_get(next(batches)) for _ in range(3)])
    for streamed, kept in zip(*found, strict=True):
        for name in ("label", "position"):
            np.testing.assert_array_equal(streamed[name], kept[name])
        apart = streamed["image"].astype(int) - kept["image"]
        assert np.abs(apart).max() <= 1


@pytest.mark.slow
def test_a_resumed_run_ends_bit_for_bit_as_one_that_went_through(
    pictures,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    config = short(pictures, **{"data.on_device": True})
    assert run_here(config, tmp_path / "whole") == "finished"
    with monkeypatch.context() as patch:
        patch.setattr(parallel, "Preemption", lambda: StopAt(4))
        assert run_here(config, tmp_path / "cut") == "interrupted"
    assert loop.run(config, tmp_path / "cut", jax.devices()[:1]) == "finished"
    assert_same(content(tmp_path / "whole"), content(tmp_path / "cut"))


@pytest.mark.slow
def test_members_of_one_program_do_what_each_does_alone(pictures, wide):  # noqa: F811
    members = [short(pictures, **HERE | {"seed": seed}) for seed in (0, 1)]
    alone = [state_after(config, 1, 2, by_step=False) for config in members]
    found, carries = map(list, zip(*map(started, members), strict=True))
    together = vmapped.Program(found).advance(carries, 0, 2, [True, True])
    for (params, _), (state, _) in zip(alone, together, strict=True):
        assert_close(params, state.params, rtol=1e-9, atol=1e-12)
