"""Probabilities of a picture are the mean over its views, in float64 numpy."""

import cv2
import jax
import numpy as np
import pytest

from bn_repro import models, parallel
from bn_repro.data import crops as views
from bn_repro.data import decode
from bn_repro.data.classes import Classes
from bn_repro.errors import UserError
from bn_repro.inference import ensemble, members, predict, splits
from bn_repro.resolve import resolve
from configs import tiny_imagenet


@pytest.fixture
def on_pictures(tmp_path):
    """Returns a member that looks at pictures, and seven of them as JPEG."""
    random = np.random.default_rng(0)
    pictures = []
    for split, count in (("train", 2), ("val", 7)):
        for i in range(count):
            shape = ((50, 70), (80, 40), (33, 33))[i % 3]
            noise = random.integers(0, 256, (6, 6, 3), np.uint8)
            file = tmp_path / split / f"class_{i % 2}" / f"{i}.JPEG"
            file.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(file), cv2.resize(noise, shape[::-1]))
            pictures.append(file)
    config = tiny_imagenet.get_config("bn_x30")
    config.update_from_flattened_dict(
        {
            "model.name": "mlp",
            "model.hidden": (12, 9),
            "data.classes": 2,
            "data.image_size": 28,
            "data.eval_resize": 32,
            "data.train": str(tmp_path / "train"),
            "data.val": str(tmp_path / "val"),
        }
    )
    config = resolve(config)[0]
    variables = jax.tree.map(
        lambda x: random.uniform(0.1, 1, x.shape).astype(x.dtype) - 0.3 * (x.ndim > 1),
        models.shapes(config),
    )
    member = members.Member("mlp", tmp_path, config, variables, 0)
    return member, sorted(pictures[2:])


def test_training_pictures_need_not_be_where_others_are_evaluated(on_pictures):
    config = on_pictures[0].config.copy_and_resolve_references()
    with config.unlocked():
        config.data.train = "/nowhere/train"
    split = splits.open_split(config)
    assert split.count == 7
    assert split.pictures() != splits.open_split(config, limit=6).pictures()
    with pytest.raises(UserError, match="data.train=/nowhere/train .*--train="):
        splits.open_split(config, name="train")


def paper_probabilities(member, images):
    v = jax.tree.map(np.float64, member.variables)
    mean, deviation = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    z = ((np.float64(images) / 255 - mean) / deviation).reshape(len(images), -1)
    for name in ("hidden_1", "hidden_2"):
        bn, stored = v["params"][name]["bn"], v["batch_stats"][name]["bn"]
        x = z @ v["params"][name]["kernel"]
        x = (x - stored["mean"]) / np.sqrt(stored["var"] + 1e-3)
        z = np.maximum(bn["scale"] * x + bn["bias"], 0)
    last = v["params"]["classifier"]
    logits = z @ last["kernel"] + last["bias"]
    power = np.exp(logits - logits.max(1, keepdims=True))
    return power / power.sum(1, keepdims=True)


@pytest.mark.parametrize("devices", [1, 8])
@pytest.mark.parametrize("crops", [1, 10, 144])
def test_views_and_their_mirrors_are_averaged(on_pictures, tmp_path, crops, devices):
    member, pictures = on_pictures
    mesh = parallel.make_mesh(jax.devices()[:devices])
    split = splits.open_split(member.config, crops)
    file = tmp_path / "part.npz"
    found, _ = predict.predict(member, member.variables, split, mesh, 300, file)
    assert len(found.labels) == len(pictures) == 7
    for picture, ours in zip(pictures, found.probabilities, strict=True):
        host = np.empty((views.on_host(crops), 28, 28, 3), np.uint8)
        views.write_views(decode.decode(picture.read_bytes()), crops, 32, host)
        both = host if crops == 1 else np.concatenate([host, host[:, :, ::-1]])
        assert len(both) == crops
        expected = paper_probabilities(member, both).mean(0)
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-5)


def test_classes_of_one_folder_may_be_called_differently(on_pictures):
    member = on_pictures[0]
    folders = ("class_0", "class_1")
    named = [
        member._replace(classes=Classes(names, folders))
        for names in (("cat", "dog"), folders)
    ]
    first, second = ensemble._open_splits(named, 1, "", 0)
    assert (first.class_names, second.class_names) == (["cat", "dog"], [*folders])
    other = member._replace(classes=Classes((), folders[::-1]))
    with pytest.raises(UserError, match="has other classes than"):
        ensemble._open_splits([named[0], other], 1, "", 0)


def relabelled(on_pictures, tmp_path, rename, recorded):
    """Returns the labels in order, and the split, of renamed class folders."""
    config = on_pictures[0].config.copy_and_resolve_references()
    for old, new in rename.items():
        (tmp_path / "val" / old).rename(tmp_path / "val" / new)
    with config.unlocked():
        config.data.train = "/nowhere/train"
    split = splits.open_split(config, recorded=recorded)
    labels = np.concatenate([batch["label"] for batch in split.batches(0, 7)])
    return labels.tolist(), split


def test_the_classes_of_the_run_decide(on_pictures, tmp_path, caplog):
    recorded = Classes(("second", "first"), ("b", "a"))
    labels, split = relabelled(
        on_pictures, tmp_path, {"class_0": "a", "class_1": "b"}, recorded
    )
    assert split.class_names == ["second", "first"]
    assert labels == [1] * 4 + [0] * 3  # a before b
    assert not caplog.messages
    with pytest.raises(UserError, match="only in the run: b; only there: c"):
        relabelled(on_pictures, tmp_path, {"b": "c"}, recorded)
    more = Classes((), ("a", "c", "d"))
    with pytest.raises(UserError, match="only in the run: d; only there: none"):
        relabelled(on_pictures, tmp_path, {}, more)


def test_a_run_from_before_has_labels_in_text_order_and_says_so(
    on_pictures, tmp_path, caplog
):
    rename = {"class_0": "9", "class_1": "10"}  # text sorts 10 before 9
    _, split = relabelled(on_pictures, tmp_path, rename, None)
    assert split.class_names == ["10", "9"]
    assert "the run did not record its classes" in caplog.text
    _, split = relabelled(on_pictures, tmp_path, {}, Classes(("9", "10")))
    assert split.class_names == ["9", "10"]


def test_pictures_of_which_none_decodes_have_no_score():
    ones, nothing = np.ones((2, 3), np.float32), np.zeros(2, np.int32)
    with pytest.raises(UserError, match="none of the 2 pictures to evaluate on can"):
        predict.score([predict.Predictions(ones, nothing, nothing > 0)])
