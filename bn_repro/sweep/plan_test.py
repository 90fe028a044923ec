"""The members of a sweep, and an array job's share of them."""

import pytest

from bn_repro import sweep
from bn_repro.errors import UserError
from configs import mnist

FILE = "configs/mnist.py"


def test_members_are_the_runs_with_the_overrides(tmp_path):
    found = sweep.members(FILE, {"steps": 7}, [], tmp_path)
    assert [m.name for m in found][:3] == ["plain_seed0", "bn_seed0", "plain_seed1"]
    assert len(found) == 2 * len(mnist.SEEDS)
    assert {m.status() for m in found} == {"waiting"}
    assert found[3].load_config().steps == 7
    twice = sweep.members(FILE, {}, ["bn_seed1", "bn_seed0", "bn_seed1"], tmp_path)
    assert [m.name for m in twice] == ["bn_seed1", "bn_seed0"]


def test_unknown_runs_and_files_are_refused(tmp_path):
    with pytest.raises(UserError, match="no run 'bm'; did you mean bn. It has: plain"):
        sweep.members(FILE, {}, ["bm"], tmp_path)
    with pytest.raises(UserError, match="config file .configs/none.py. is not there"):
        sweep.members("configs/none.py", {}, [], tmp_path)
    with pytest.raises(UserError, match="seed is what the runs of .* differ in"):
        sweep.members(FILE, {"seed": 3}, [], tmp_path)
    with pytest.raises(UserError, match="common.py has no RUNS"):
        sweep.members("configs/common.py", {}, [], tmp_path)


def test_the_tasks_of_an_array_share_the_members_out(tmp_path):
    found = sweep.members(FILE, {}, [], tmp_path)[:10]
    assert sweep.share(found, 3) == [found[3]]
    shares = [sweep.share(found, index, 4) for index in range(4)]
    assert [len(share) for share in shares] == [3, 3, 2, 2]
    assert sorted(sum(shares, [])) == sorted(found)
    assert sweep.share(found, 11, 12) == []  # more tasks than members
    for index, count in ((10, 0), (-1, 0), (4, 4), (0, -1)):
        with pytest.raises(UserError, match=f"--index is {index}"):
            sweep.share(found, index, count)


def test_a_name_that_train_takes_is_taken_for_the_run_that_it_means(tmp_path):
    (member,) = sweep.members("configs/mnist.py", {}, ["bn", "bn_seed0", ""], tmp_path)
    assert member.name == "bn_seed0" and member.workdir == tmp_path / "bn_seed0"


def test_the_listing_says_what_a_run_sets_and_how_it_stands(tmp_path):
    (line,) = sweep.listing(sweep.members(FILE, {}, ["plain"], tmp_path))
    assert line == "plain_seed0  model.norm=none seed=0"
    members = sweep.members(FILE, {}, ["plain"], tmp_path)
    (line,) = sweep.listing(members, tmp_path)
    assert line == "plain_seed0  waiting  model.norm=none seed=0"


def test_members_of_several_files_are_named_by_their_file(tmp_path):
    chosen = [("configs/mnist.py", ["bn_seed0"]), ("configs/mnist_lr_sweep.py", [])]
    found = sweep.of_files(chosen, {"steps": 7}, tmp_path)
    assert found[0].name == "mnist_bn_seed0"
    assert found[0].workdir == tmp_path / "mnist_bn_seed0"
    assert {member.load_config().steps for member in found} == {7}
    assert len(found) == 1 + len(sweep.members(*chosen[1][:1], {}, [], tmp_path))
    with pytest.raises(UserError, match="two config files give a run mnist_bn_seed0"):
        sweep.of_files(chosen[:1] * 2, {}, tmp_path)


def test_places_of_data_are_told_to_the_files_that_read_them(tmp_path):
    chosen = [("configs/mnist.py", ["bn_seed0"]), ("configs/imagenet.py", ["bn_x5"])]
    given = {"data.train": "a.tar", "data.dir": "d"}
    found = [m.load_config() for m in sweep.of_files(chosen, given, tmp_path)]
    assert [config.data.train for config in found] == ["", "a.tar"]
    assert [config.data.dir for config in found] == ["d", "d"]  # nobody's: refused
    (alone,) = sweep.of_files(chosen[:1], given, tmp_path)
    assert alone.load_config().data.train == "a.tar"


def test_an_axis_of_a_key_that_no_run_reads_is_refused(tmp_path):
    chosen = [("configs/mnist.py", ["bn_seed0"]), ("configs/imagenet.py", ["bn_x5"])]
    axes = ["model.hidden=(5,),(9,)"]
    assert len(sweep.of_files(chosen, {}, tmp_path, axes)) == 4
    with pytest.raises(UserError, match="model.hidden changes nothing with .*leave"):
        sweep.of_files(chosen[1:], {}, tmp_path, axes)


def test_an_override_that_another_file_has_no_key_for_is_refused(tmp_path):
    own = tmp_path / "own.py"
    own.write_text("""from ml_collections import config_dict
RUNS = {"a": {}}
def get_config(name="a"):
    return config_dict.ConfigDict({"rate": 1.0})
""")
    chosen = [("configs/mnist.py", ["bn_seed0"]), (str(own), [])]
    with pytest.raises(UserError, match="the configuration of a has no key steps"):
        sweep.of_files(chosen, {"steps": 7}, tmp_path)
