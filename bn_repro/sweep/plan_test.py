"""The members of a sweep, and an array job's share of them."""

import pytest

from bn_repro import sweep
from bn_repro.errors import UserError

FILE = "configs/mnist.py"


def test_members_are_the_runs_with_the_overrides(tmp_path):
    found = sweep.members(FILE, {"steps": 7}, [], tmp_path)
    assert [m.name for m in found][:3] == ["plain_seed0", "bn_seed0", "plain_seed1"]
    assert len(found) == 10
    assert {m.status() for m in found} == {"waiting"}
    assert found[3].load_config().steps == 7
    twice = sweep.members(FILE, {}, ["bn_seed1", "bn_seed0", "bn_seed1"], tmp_path)
    assert [m.name for m in twice] == ["bn_seed1", "bn_seed0"]


def test_unknown_runs_and_files_are_refused(tmp_path):
    with pytest.raises(UserError, match="no run bm; it has: plain_seed0"):
        sweep.members(FILE, {}, ["bm"], tmp_path)
    with pytest.raises(UserError, match="no config file configs/none.py"):
        sweep.members("configs/none.py", {}, [], tmp_path)
    with pytest.raises(UserError, match="seed is what the runs of .* differ in"):
        sweep.members(FILE, {"seed": 3}, [], tmp_path)
    with pytest.raises(UserError, match="common.py has no RUNS"):
        sweep.members("configs/common.py", {}, [], tmp_path)


def test_the_tasks_of_an_array_share_the_members_out(tmp_path):
    found = sweep.members(FILE, {}, [], tmp_path)
    assert sweep.share(found, 3) == [found[3]]
    shares = [sweep.share(found, index, 4) for index in range(4)]
    assert [len(share) for share in shares] == [3, 3, 2, 2]
    assert sorted(sum(shares, [])) == sorted(found)
    assert sweep.share(found, 11, 12) == []  # more tasks than members
    for index, count in ((10, 0), (-1, 0), (4, 4), (0, -1)):
        with pytest.raises(UserError, match=f"--index is {index}"):
            sweep.share(found, index, count)
