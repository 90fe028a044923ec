"""Each accelerator of a host gets a process that sees it alone."""

import sys

import pytest

from bn_repro import sweep
from bn_repro.errors import UserError
from bn_repro.sweep import devices
from bn_repro.sweep.progress import LOG


def test_a_process_is_shown_one_of_the_gpus_that_this_one_sees(monkeypatch):
    monkeypatch.setattr(devices, "_count", lambda: ("gpu", 2))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [e["CUDA_VISIBLE_DEVICES"] for e in devices.one_each()] == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, GPU-8932f937")
    seen = [e["CUDA_VISIBLE_DEVICES"] for e in devices.one_each()]
    assert seen == ["5", "GPU-8932f937"]


def test_a_process_is_shown_one_tpu_chip(monkeypatch):
    monkeypatch.setattr(devices, "_count", lambda: ("tpu", 4))
    monkeypatch.delenv("TPU_VISIBLE_CHIPS", raising=False)
    found = devices.one_each()
    assert [e["TPU_VISIBLE_CHIPS"] for e in found] == ["0", "1", "2", "3"]
    assert {e["TPU_PROCESS_BOUNDS"] for e in found} == {"1,1,1"}


@pytest.mark.slow
def test_members_are_trained_on_each_gpu_in_turn(tmp_path, monkeypatch):
    """Their data are missing, so that each ends as soon as its process has begun."""
    monkeypatch.setattr(devices, "_count", lambda: ("gpu", 2))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,7")
    missing = {"data.train": str(tmp_path / "none"), "data.val": str(tmp_path / "none")}
    names = ["inception_seed0", "bn_x5_seed0"]
    members = sweep.members("configs/tiny_imagenet.py", missing, names, tmp_path)
    sweep.run(members, executor="devices")
    logs = [(member.workdir / LOG).read_text() for member in members]
    assert all("none" in log for log in logs)
    shown = [log.splitlines()[0].rpartition("CUDA_VISIBLE_DEVICES=")[2] for log in logs]
    assert sorted(shown) == ["3", "7"]


def test_a_host_without_accelerator_is_told_the_other_way(monkeypatch):
    with pytest.raises(UserError, match="finds only the cpu.*executor=processes"):
        devices.one_each()  # of this host, where the tests run on the CPU
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(UserError, match="JAX does not start"):
        devices.one_each()
