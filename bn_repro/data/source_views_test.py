import numpy as np

from bn_repro.data.image_folder import open_source
from bn_repro.data.source_views import limited, mixed


def test_evenly_spaced_examples_are_of_all_classes(imagenet_config):
    source = open_source(imagenet_config.data, "train")
    few = limited(source, 6)
    assert [few[i]["label"] for i in range(len(few))] == [0, 0, 1, 1, 2, 2]
    assert few.class_names == source.class_names


def test_mixed_examples_are_the_same_in_another_order(imagenet_config):
    source = open_source(imagenet_config.data, "train")
    other = mixed(source)
    names = [other[i]["name"] for i in range(len(other))]
    assert sorted(names) == [source[i]["name"] for i in range(len(source))]
    assert names == [mixed(source)[i]["name"] for i in range(len(source))]
    labels = np.array([other[i]["label"] for i in range(len(other))])
    assert (np.diff(labels) != 0).sum() > 5  # sorted, it changes twice
