import concurrent.futures
import itertools
import os
import pathlib
import pickle
import shutil
import tarfile
import threading
import time

import cv2
import numpy as np
import pytest

from bn_repro.data import image_folder, imagenet
from bn_repro.data.conftest import COUNTS, WNIDS, make_picture, write_jpeg
from bn_repro.data.image_folder import open_source
from bn_repro.data.source_views import limited
from bn_repro.errors import UserError

SHARED = pathlib.Path(__file__).parents[3] / "shared" / "data"


def pack(path, folder, arcname, form=tarfile.GNU_FORMAT):
    """Writes the folder's files to a tar in an order that is not the sorted one."""
    with tarfile.open(path, "w", format=form) as tar:
        for file in sorted(folder.rglob("*"), reverse=True):
            tar.add(file, f"{arcname}{file.relative_to(folder)}", recursive=False)
    return path


def read_all(source):
    return [source[i] for i in range(len(source))]


@pytest.fixture
def copied(image_folder_path, tmp_path, imagenet_config):
    """A set that a test may spoil, with its configuration."""
    root = tmp_path / "copy"
    shutil.copytree(image_folder_path, root)
    imagenet_config.data.train = imagenet_config.data.val = str(root)
    return root, imagenet_config.data


def test_reads_every_picture_in_sorted_class_order(imagenet_config, image_folder_path):
    for split, count in COUNTS.items():
        source = open_source(imagenet_config.data, split)
        assert len(source) == 3 * count
        assert source.class_names == list(WNIDS)
        for record in read_all(source):
            wnid, file = record["name"].split("/")
            assert record["label"] == WNIDS.index(wnid)
            path = image_folder_path / split / wnid / file
            assert record["jpeg"] == path.read_bytes()
        assert len({record["name"] for record in read_all(source)}) == 3 * count


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize(
    ("folder", "arcname", "suffix"),
    [
        ("val", "", ""),  # class folders at the top
        ("val", "./", ""),
        ("", "", ""),  # one tar with both splits
        ("", "set/", ":set/val"),
        ("", "set/", ":/set/val/"),
    ],
)
def test_a_tar_reads_as_its_folder(
    imagenet_config, image_folder_path, tmp_path, folder, arcname, suffix, form
):
    data = imagenet_config.data
    expected = read_all(open_source(data, "val"))
    tar = pack(tmp_path / "set.tar", image_folder_path / folder, arcname, form)
    pictures = open_source(data, "val").pictures()
    data.val = f"{tar}{suffix}"
    assert read_all(open_source(data, "val")) == expected
    assert open_source(data, "val").pictures() == pictures


def test_folders_may_be_the_splits_themselves(imagenet_config, image_folder_path):
    data = imagenet_config.data
    expected = read_all(open_source(data, "val"))
    data.val = str(image_folder_path / "val")
    assert read_all(open_source(data, "val")) == expected


USTAR_SPLITS = f"{'d' * 90}/{'x' * 80}.png"  # into a prefix and a name
OTHERS_CONTINUE = f"{'é' * 60}_{'x' * 99}.png"  # in a header of its own


@pytest.mark.parametrize(
    ("name", "form"),
    [
        (USTAR_SPLITS, tarfile.USTAR_FORMAT),
        (USTAR_SPLITS, tarfile.GNU_FORMAT),
        (OTHERS_CONTINUE, tarfile.GNU_FORMAT),
        (OTHERS_CONTINUE, tarfile.PAX_FORMAT),
    ],
)
def test_long_names_in_a_tar(copied, tmp_path, name, form):
    root, data = copied
    write_jpeg(root / "val" / WNIDS[0] / name, make_picture(99))
    expected = read_all(open_source(data, "val"))
    assert f"{WNIDS[0]}/{name}" in [record["name"] for record in expected]
    data.val = str(pack(tmp_path / "long.tar", root / "val", "", form))
    assert read_all(open_source(data, "val")) == expected


def test_other_pictures_of_equal_names_have_another_digest(copied):
    root, data = copied
    whole = open_source(data, "val")
    some = limited(whole, 5).pictures()
    assert limited(whole, len(whole) + 1).pictures() == whole.pictures() != some
    file = root / "val" / WNIDS[0] / f"{WNIDS[0]}_0.JPEG"
    before = whole.pictures()
    write_jpeg(file, make_picture(99))
    assert open_source(data, "val").pictures() != before
    file.unlink()
    file.symlink_to("nowhere")
    assert len(open_source(data, "val").pictures()) == len(before)


def test_other_files_are_not_pictures(copied):
    root, data = copied
    for name in ("notes.txt", "._n01440764_0.JPEG", "Thumbs.db"):
        (root / "val" / WNIDS[0] / name).write_bytes(b"x")
    (root / "val" / ".hidden").mkdir()
    root.joinpath("val", "README.txt").write_text("x")
    assert len(open_source(data, "val")) == 3 * COUNTS["val"]


def test_a_pickled_source_reads_on_without_sharing_a_file(
    imagenet_config, image_folder_path, tmp_path
):
    data = imagenet_config.data
    data.val = str(pack(tmp_path / "set.tar", image_folder_path / "val", ""))
    source = open_source(data, "val")
    expected = read_all(source)
    copy = pickle.loads(pickle.dumps(source))
    assert "_file" not in copy.__dict__
    assert read_all(copy) == expected


def test_threads_may_begin_to_read_a_tar_at_once(
    image_folder_path, tmp_path, imagenet_config, monkeypatch
):
    data = imagenet_config.data
    data.val = str(pack(tmp_path / "set.tar", image_folder_path / "val", ""))
    pread, number = os.pread, itertools.count()

    def late(*arguments):
        time.sleep(3e-3)  # others open it in the meantime
        return pread(*arguments)

    def one_after_another(*arguments, **options):
        time.sleep(5e-4 * (next(number) % 8))
        return open(*arguments, **options)

    monkeypatch.setattr(os, "pread", late)
    monkeypatch.setattr(image_folder, "open", one_after_another, raising=False)
    opened = pickle.dumps(open_source(data, "val"))
    expected = [record["jpeg"] for record in read_all(pickle.loads(opened))]
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        for _ in range(10):
            source, start = pickle.loads(opened), threading.Barrier(8)

            def read(i, source=source, start=start):
                start.wait()
                return source[i]["jpeg"]

            assert list(threads.map(read, range(8))) == expected[:8]


def test_a_rewritten_tar_is_indexed_again(copied, tmp_path):
    root, data = copied
    data.val = str(pack(tmp_path / "set.tar", root / "val", ""))
    before = open_source(data, "val")
    write_jpeg(root / "val" / WNIDS[0] / "a.JPEG", make_picture(98))
    pack(tmp_path / "set.tar", root / "val", "")
    assert len(open_source(data, "val")) == len(before) + 1


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("words.txt", "{}\ttench, Tinca tinca\nn99999999\tno such class\n"),
        ("val/synset_words.txt", "{} tench, Tinca tinca\n\n"),
        ("LOC_synset_mapping.txt", "{} tench, Tinca tinca\r\n"),
    ],
)
def test_words_beside_become_class_names(copied, file, text):
    root, data = copied
    (root / file).write_text(text.format(WNIDS[0]), newline="")
    names = open_source(data, "val").class_names
    assert names == ["tench, Tinca tinca", *WNIDS[1:]]


def test_words_beside_a_tar(copied, tmp_path):
    root, data = copied
    data.val = str(pack(tmp_path / "set.tar", root, ""))
    (tmp_path / "words.txt").write_text(f"{WNIDS[1]}\tgoldfish\n")
    assert open_source(data, "val").class_names[1] == "goldfish"


def missing(root, data):
    data.val = str(root / "nowhere")


def not_set(root, data):
    data.val = ""


def empty(root, data):
    data.val = str(root / "empty")
    (root / "empty").mkdir()


def empty_tar(root, data):
    data.val = str(pack(root / "empty.tar", root / "train" / WNIDS[0], ""))


def other_number(root, data):
    data.classes = 4


def other_classes(root, data):
    (root / "val" / WNIDS[0]).rename(root / "val" / "n00000001")


def empty_class(root, data):
    (root / "val" / "n09999999").mkdir()


def compressed(root, data):
    data.val = str(root / "val.tar.gz")
    with tarfile.open(data.val, "w:gz") as tar:
        tar.add(root / "val", "val")


def truncated(root, data):
    tar = pack(root / "val.tar", root / "val", "")
    data.val = str(tar)
    tar.write_bytes(tar.read_bytes()[:5_000])


def nested(root, data):
    inner = pack(root / "n01440764.tar", root / "val" / WNIDS[0], "")
    data.val = str(root / "outer.tar")
    with tarfile.open(data.val, "w") as tar:
        tar.add(inner, inner.name)


def no_such_folder(root, data):
    data.val = f"{pack(root / 'set.tar', root, '')}:test"


def one_set(root, data):
    data.train = data.val = str(root / "train")


def one_set_named_twice(root, data):
    data.val = str(root / "train")


def one_set_in_a_tar(root, data):
    data.train = data.val = str(pack(root / "train.tar", root / "train", ""))


def one_set_copied(root, data):
    data.train, data.val = str(root / "train"), str(root / "copy")
    shutil.copytree(data.train, data.val)


def one_set_and_its_tar(root, data):
    data.train = str(root / "train")
    data.val = str(pack(root / "train.tar", root / "train", ""))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (one_set_copied, "are the same pictures, .* holds train/ and val/"),
        (one_set_and_its_tar, "are the same pictures, .* holds train/ and val/"),
        (one_set, "train=.*train and data.val=.*train are the same pictures"),
        (one_set_named_twice, "are the same pictures, .* holds train/ and val/"),
        (one_set_in_a_tar, "are the same pictures, .* holds train/ and val/"),
        (missing, "data.val=.*nowhere does not exist.*--config.data.val=, or --val="),
        (not_set, "data.val is empty: set --config.data.val="),
        (empty, "empty holds no pictures in class folders"),
        (empty_tar, "empty.tar holds no pictures in class folders"),
        (other_number, "has 3 classes, but data.classes is 4"),
        (other_classes, r"only in train: n01440764; only in val: n00000001"),
        (empty_class, "without a picture: n09999999"),
        (compressed, "val.tar.gz is compressed with gzip: decompress"),
        (truncated, "val.tar is damaged, .*unexpected end of data; download"),
        (nested, "holds tars, not pictures: .*prepare_data.py imagenet"),
        (no_such_folder, "set.tar:test holds no pictures in class folders"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(copied, spoil, message):
    root, data = copied
    spoil(root, data)
    with pytest.raises(UserError, match=message) as caught:
        open_source(data, "val")
    assert "\n" not in str(caught.value)


def test_other_pictures_of_equal_names_and_sizes_are_taken(tmp_path, imagenet_config):
    data = imagenet_config.data
    data.update(
        {"train": str(tmp_path / "a"), "val": str(tmp_path / "b"), "classes": 2}
    )
    for i, (split, wnid) in enumerate(itertools.product("ab", WNIDS[:2])):
        (tmp_path / split / wnid).mkdir(parents=True)
        picture = np.full((8, 8, 3), i, np.uint8)
        cv2.imwrite(str(tmp_path / split / wnid / "0.bmp"), picture)
    assert len(open_source(data, "val")) == 2
    shutil.copytree(tmp_path / "a", tmp_path / "c")
    data.val = str(tmp_path / "c")
    with pytest.raises(UserError, match="are the same pictures"):
        open_source(data, "val")


def test_what_is_added_in_a_folder_of_a_class_is_seen(copied):
    root, data = copied
    inner = root / "train" / WNIDS[0] / "images"
    inner.mkdir()
    first = next((root / "train" / WNIDS[1]).iterdir())
    os.utime(root / "train" / WNIDS[2], (2e9, 2e9))  # by another clock
    before = {r["name"] for r in read_all(open_source(data, "train"))}
    shutil.copy(first, inner / "new.JPEG")
    after = {r["name"] for r in read_all(open_source(data, "train"))}
    assert after - before == {f"{WNIDS[0]}/images/new.JPEG"}


def test_what_is_added_or_removed_later_is_seen(copied):
    root, data = copied
    assert len(open_source(data, "train")) == 3 * COUNTS["train"]
    stamp = imagenet.DATA_SET.stamp(data)
    first = next((root / "train" / WNIDS[0]).iterdir())
    first.rename(root / "train" / WNIDS[1] / "moved.JPEG")
    names = [record["name"] for record in read_all(open_source(data, "train"))]
    assert f"{WNIDS[1]}/moved.JPEG" in names and len(names) == 3 * COUNTS["train"]
    assert imagenet.DATA_SET.stamp(data) != stamp


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data")
def test_tiny_imagenet_as_a_tar(imagenet_config):
    data = imagenet_config.data
    data.train = data.val = str(SHARED / "tiny-imagenet-100.tar")
    data.classes = 100
    train, val = (open_source(data, split) for split in ("train", "val"))
    assert (len(train), len(val)) == (50_000, 5_000)
    np.testing.assert_array_equal(np.bincount(train.labels), 500)
    np.testing.assert_array_equal(np.bincount(val.labels), 50)
    assert train[49_999]["jpeg"].startswith(b"\xff\xd8")
