"""Holds the six members to Sec. 4.2.3: BN-x30, each with some of three changes."""

import itertools

import pytest

from bn_repro.resolve import resolve
from bn_repro.run_folder import configuration
from configs import imagenet, imagenet_ensemble, tiny_imagenet, tiny_imagenet_ensemble

ACCEPTED = {
    "model.init_scale": (2.0, 4.0),
    "model.dropout": (0.05, 0.1),
    "model.per_activation_last": (True,),
}
FILES = {imagenet_ensemble: imagenet, tiny_imagenet_ensemble: tiny_imagenet}


def differences(file, name):
    """Returns what a member has that BN-x30 of the same size has not."""
    base, member = (
        configuration.flatten(config.to_dict())
        for config in (FILES[file].get_config("bn_x30"), file.get_config(name))
    )
    assert member.keys() == base.keys()
    return {key: value for key, value in member.items() if value != base[key]}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.__name__)
def test_a_member_is_bn_x30_with_some_of_the_three_changes(file):
    assert list(file.RUNS) == [f"member_{i}" for i in range(1, 7)]
    seen = []
    for name in file.RUNS:
        found = differences(file, name)
        assert found.pop("experiment") == file.__name__.split(".")[1]
        assert found.pop("seed") == int(name[-1])  # and so not BN-x30's own
        assert found and all(value in ACCEPTED[key] for key, value in found.items())
        seen.append(found)
        resolve(file.get_config(name))  # accepted
    assert all(one != other for one, other in itertools.combinations(seen, 2))
    for key, values in ACCEPTED.items():
        assert {found[key] for found in seen if key in found} == set(values)


def test_the_small_members_have_the_same_changes():
    changes = [
        {key: value for key, value in differences(file, name).items() if "." in key}
        for name in imagenet_ensemble.RUNS
        for file in FILES
    ]
    assert changes[::2] == changes[1::2]
