import io
import tarfile

import numpy as np
import pytest
import scipy.io

from bn_repro.data import unpack_imagenet
from bn_repro.data.conftest import WNIDS
from bn_repro.data.image_folder import open_source
from bn_repro.data.tar_index_test import archive
from bn_repro.errors import UserError

# The classes' ILSVRC2012_IDs are not in the order of their WordNet ids.
IDS = {WNIDS[2]: 1, WNIDS[0]: 2, WNIDS[1]: 3}
WORDS = {wnid: f"name of {wnid}, or other" for wnid in WNIDS}
VAL_LABELS = (3, 1, 2, 2, 1)


def meta_mat():
    """The table of synsets as the devkit's MATLAB file holds it."""
    fields = ["ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children"]
    table = np.empty((4, 1), [(name, object) for name in fields])
    for row, (wnid, number) in enumerate(IDS.items()):
        leaf = (number, wnid, WORDS[wnid], "gloss", 0, np.array([], np.uint8))
        table[row, 0] = leaf
    table[3, 0] = (4, "n00001740", "entity", "gloss", 2, np.array([1, 2], np.uint8))
    file = io.BytesIO()
    scipy.io.savemat(file, {"synsets": table})
    return file.getvalue()


@pytest.fixture
def archives(tmp_path, image_folder_path, monkeypatch):
    """Returns the paths of the three archives, made from the small set."""
    monkeypatch.setattr(unpack_imagenet, "COUNTS", {"train": 21, "val": 5})
    classes = {
        f"{wnid}.tar": archive(
            (file.name, file.read_bytes())
            for file in sorted((image_folder_path / "train" / wnid).iterdir())
        )
        for wnid in reversed(WNIDS)
    }
    val = {
        f"ILSVRC2012_val_{i:08}.JPEG": f"picture {i}".encode()
        for i in range(1, len(VAL_LABELS) + 1)
    }
    root = "ILSVRC2012_devkit_t12"
    devkit = {
        f"{root}/data/ILSVRC2012_validation_ground_truth.txt": "".join(
            f"{label}\n" for label in VAL_LABELS
        ).encode(),
        f"{root}/data/meta.mat": meta_mat(),
    }
    for name, files in (("train", classes), ("val", val), ("devkit", devkit)):
        (tmp_path / f"{name}.tar").write_bytes(archive(files.items()))
    return [tmp_path / f"{name}.tar" for name in ("train", "val", "devkit")]


def files_below(folder):
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def expected_train(image_folder_path):
    return files_below(image_folder_path / "train")


def test_everything_lies_where_image_folder_reads_it(
    archives, tmp_path, image_folder_path, imagenet_config, capsys
):
    out = tmp_path / "out"
    unpack_imagenet.unpack(*archives, out)
    assert files_below(out / "train") == expected_train(image_folder_path)
    by_id = {number: wnid for wnid, number in IDS.items()}
    assert files_below(out / "val") == {
        f"{by_id[label]}/ILSVRC2012_val_{i:08}.JPEG": f"picture {i}".encode()
        for i, label in enumerate(VAL_LABELS, 1)
    }
    assert len((out / "words.txt").read_text().splitlines()) == 3
    imagenet_config.data.train = imagenet_config.data.val = str(out)
    for split in ("train", "val"):
        names = open_source(imagenet_config.data, split).class_names
        assert names == [WORDS[wnid] for wnid in WNIDS]
    assert "21/21" in capsys.readouterr().err  # the progress bar


def test_a_run_that_was_cut_off_goes_on(archives, tmp_path, image_folder_path):
    out = tmp_path / "out"
    whole = archives[0].read_bytes()
    archives[0].write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(UserError, match="train.tar.* is not a complete tar"):
        unpack_imagenet.unpack(*archives, out)
    done = [path for path in (out / "train").iterdir() if path.name in WNIDS]
    assert 0 < len(done) < 3
    kept = done[0] / f"{done[0].name}_0.JPEG"
    kept.write_bytes(b"not written again")
    archives[0].write_bytes(whole)
    unpack_imagenet.unpack(*archives, out)
    assert kept.read_bytes() == b"not written again"
    kept.write_bytes(
        (image_folder_path / "train" / done[0].name / kept.name).read_bytes()
    )
    assert files_below(out / "train") == expected_train(image_folder_path)


def test_validation_pictures_are_not_written_twice(archives, tmp_path):
    out = tmp_path / "out"
    unpack_imagenet.unpack(None, *archives[1:], out)
    assert not (out / "train").exists()
    first = out / "val" / WNIDS[1] / "ILSVRC2012_val_00000001.JPEG"
    first.write_bytes(b"kept")
    (out / "val" / WNIDS[2] / "ILSVRC2012_val_00000002.JPEG").unlink()
    unpack_imagenet.unpack(None, *archives[1:], out)
    assert first.read_bytes() == b"kept"
    assert len(files_below(out / "val")) == 5


def test_the_training_archive_alone(archives, tmp_path):
    unpack_imagenet.unpack(archives[0], None, None, tmp_path / "out")
    assert not (tmp_path / "out" / "val").exists()
    assert len(files_below(tmp_path / "out")) == 21


def nothing(train, val, devkit):
    return None, None, devkit


def no_devkit(train, val, devkit):
    return train, val, None


def no_such_file(train, val, devkit):
    return train.with_name("absent.tar"), val, devkit


def not_the_devkit(train, val, devkit):
    return train, val, val


def cut_devkit(train, val, devkit):
    devkit.write_bytes(devkit.read_bytes()[:700])
    return train, val, devkit


def not_val(train, val, devkit):
    return train, train, devkit


def a_class_is_missing(train, val, devkit):
    with tarfile.open(train) as tar:
        members = [(m.name, tar.extractfile(m).read()) for m in tar.getmembers()[:2]]
    train.write_bytes(archive(members))
    return train, val, devkit


def no_tar(train, val, devkit):
    train.write_bytes(b"<html>please log in</html>")
    return train, val, devkit


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (nothing, "nothing to unpack: give ILSVRC2012_img_train.tar"),
        (no_devkit, "holds no labels: give ILSVRC2012_devkit_t12.tar.gz"),
        (no_such_file, "absent.tar does not exist"),
        (not_the_devkit, "val.tar is not ILSVRC2012_devkit_t12.tar.gz"),
        (cut_devkit, "devkit.tar is not ILSVRC2012_devkit_t12.tar.gz"),
        (not_val, "holds n02085620.tar, which is not one of 5 validation pictures"),
        (a_class_is_missing, "train.tar gave 14 of the 21 train pictures"),
        (no_tar, "train.tar is not a complete tar"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(archives, tmp_path, spoil, message):
    paths = spoil(*archives)
    with pytest.raises(UserError, match=message) as caught:
        unpack_imagenet.unpack(*paths, tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_written(archives, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match="cannot unpack into .*out"):
        unpack_imagenet.unpack(*archives, tmp_path / "out")
