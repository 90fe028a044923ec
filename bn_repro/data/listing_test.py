"""What lies in people's folders: pictures of any suffix, links, and what is none."""

import os
import re
import tarfile

import cv2
import numpy as np
import pytest

from bn_repro.data import image_folder, listing
from bn_repro.data.conftest import make_picture, write_jpeg
from bn_repro.errors import UserError

JPEG = cv2.imencode(".jpg", make_picture(0))[1].tobytes()


@pytest.fixture
def root(tmp_path):
    """A folder of 2 classes of 3 pictures."""
    for wnid in "ab":
        for i in range(3):
            write_jpeg(tmp_path / "set" / wnid / f"{i}.jpg", make_picture(i))
    return tmp_path / "set"


@pytest.fixture
def opened(imagenet_config, root, tmp_path):
    """Returns a function: whether as a tar -> the source of the folder."""

    def opened(as_tar=False, classes=2, path=None):
        data = imagenet_config.data
        data.train, data.classes = str(path or root), classes
        if as_tar:
            data.train = str(tmp_path / f"{len(os.listdir(tmp_path))}.tar")
            with tarfile.open(data.train, "w") as tar:
                tar.add(root, "")
        return image_folder.open_source(data, "train")

    return opened


def names(source):
    return [source[i]["name"] for i in range(len(source))]


PLAIN = [f"{wnid}/{i}.jpg" for wnid in "ab" for i in range(3)]
both = pytest.mark.parametrize("as_tar", [False, True])

HIDDEN = [
    *(".ipynb_checkpoints", ".AppleDouble", "@eaDir", "@EADIR", ".Trash-1000"),
    *("$RECYCLE.BIN", "System Volume Information", "lost+found", "__MACOSX"),
    *("#recycle", ".git", ".thumbnails", "~snapshot", "@Recently-Snapshot"),
]


@both
def test_hidden_things_are_no_pictures_and_no_classes(opened, root, as_tar, caplog):
    for place in (root, root / "a", root / "a" / "inner"):
        for hidden in HIDDEN:
            write_jpeg(place / hidden / "deep" / "x.jpg", make_picture(1))
        for file in ("._0.jpg", "Thumbs.db", ".DS_Store", "desktop.ini"):
            (place / file).write_bytes(JPEG)
    assert names(opened(as_tar)) == PLAIN
    assert re.search(r"left out: .*\d+ hidden", caplog.text)
    assert "called lost+found" in caplog.text and len(caplog.messages) == 1


@both
def test_a_class_may_be_called_like_the_waste_bin_of_an_old_windows(
    opened, root, as_tar
):
    (root / "a").rename(root / "recycled")
    assert opened(as_tar).class_names == ["b", "recycled"]


@both
def test_all_that_the_decoder_reads_is_read(opened, root, as_tar, caplog):
    odd = ["0.JFIF", "1.tif", "2.gif", "3.Webp", "4.jpe", "5.avif", "6", "7.dat", "8.0"]
    for name in odd:
        (root / "a" / name).write_bytes(JPEG)
    odd.append("9.PPM")  # whose first bytes could be a text's
    (root / "a" / "9.PPM").write_bytes(b"P6 1 1 255\n123")
    for name in ("notes.txt", "list.csv", "more.csv", "README"):
        (root / "a" / name).write_text("no picture")
    assert names(opened(as_tar)) == sorted([*PLAIN, *(f"a/{name}" for name in odd)])
    said = "left out: 2 .csv, 1 without suffix, 1 .txt"
    assert any(sorted(said) == sorted(m.split(": ", 1)[1]) for m in caplog.messages)
    assert "pictures by their content: " in caplog.text
    opened(False), opened(False)
    assert len(caplog.messages) == (4 if as_tar else 2)  # once a place


def test_what_the_decoder_writes_is_a_picture():
    """Each suffix is of a format that OpenCV has; each format is told by its bytes."""
    for suffix in (".jpg", ".png", ".bmp", ".webp", ".gif", ".tiff", ".avif", ".jp2"):
        done, encoded = cv2.imencode(suffix, make_picture(3))
        encoded = encoded.tobytes()
        assert done and suffix.encode() in listing.SUFFIXES
        assert listing.picture_header.is_picture(encoded[:32]), suffix
        assert listing.picture_header.pixels(encoded) == 48 * 64, suffix
    for text in (b"", b"BM", b"BMW drives\n" * 9, b"P1 is a text\n", b"II is two" * 4):
        assert not listing.picture_header.is_picture(text[:32])


def test_links_to_folders_are_followed_once(opened, root, caplog):
    (root / "a" / "self").symlink_to(".")
    (root / "a" / "up").symlink_to("..")
    (root / "a" / "far_up").symlink_to("../..")
    (root / "a" / "deep").mkdir()
    (root / "a" / "deep" / "back").symlink_to(root / "a")
    (root / "a" / "ahead").symlink_to("deep")  # not instead of it
    (root / "a" / "deep" / "3.jpg").write_bytes(JPEG)
    (root / "again").symlink_to(".")
    assert names(opened()) == [*PLAIN[:3], "a/deep/3.jpg", *PLAIN[3:]]
    (root / "a" / "deep" / "3.jpg").unlink()
    assert "5 links to folders that are read anyway" in caplog.text
    assert "1 links that lead nowhere or back" in caplog.text
    (root / "c").symlink_to("b")  # a class of its own, as before
    assert names(opened(classes=3)) == [*PLAIN, *(f"c/{i}.jpg" for i in range(3))]


def test_files_that_cannot_be_read_are_pictures_without_bytes(opened, root):
    """Broken links, circles, and what is removed after it was listed."""
    (root / "a" / "dangling.jpg").symlink_to("nowhere.jpg")
    (root / "a" / "circle.jpg").symlink_to("circle.jpg")
    (root / "a" / "empty.jpg").touch()
    source = opened()
    (root / "b" / "1.jpg").unlink()
    found = {r["name"]: r for r in (source[i] for i in range(len(source)))}
    assert len(found) == 9
    empty = {name for name, record in found.items() if not record["jpeg"]}
    assert empty == {"a/dangling.jpg", "a/circle.jpg", "a/empty.jpg", "b/1.jpg"}
    assert found["b/1.jpg"]["problem"] == "No such file or directory"
    assert "problem" not in found["a/empty.jpg"]


@both
def test_what_is_left_out_is_said_where_nothing_else_is(opened, root, as_tar):
    for file in sorted(root.glob("*/*")):
        file.with_suffix(".heic").write_bytes(b"not decoded")
        file.unlink()
    with pytest.raises(UserError, match="no pictures .* left out: 6 .heic"):
        opened(as_tar)


def test_a_pipe_is_not_waited_for(opened, root, caplog):
    os.mkfifo(root / "a" / "x.jpg")
    assert names(opened()) == PLAIN
    assert "1 pipes and devices" in caplog.text


def test_a_folder_that_cannot_be_read_is_named(opened, monkeypatch):
    real = os.scandir

    def scandir(path):
        if os.fsencode(path).endswith(b"/b"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(UserError, match="cannot read the folder .*/b: Permission"):
        opened()


@both
def test_a_class_may_be_called_like_the_split(opened, root, as_tar):
    (root / "a").rename(root / "train")
    assert names(opened(as_tar)) == [p.replace("a/", "train/") for p in PLAIN[3:]] + [
        p.replace("a/", "train/") for p in PLAIN[:3]
    ]
    (root / "train" / "nested").mkdir()
    (root / "train" / "nested" / "3.jpg").write_bytes(JPEG)
    assert opened(as_tar).class_names == ["b", "train"]


@both
def test_a_split_with_a_stray_picture_is_a_split(opened, root, tmp_path, as_tar):
    for wnid in "ab":
        os.renames(root / wnid, root / "train" / wnid)
    (root / "train" / "preview.jpg").write_bytes(JPEG)
    write_jpeg(root / "val" / "a" / "0.jpg", make_picture(0))
    assert names(opened(as_tar)) == PLAIN


def test_names_of_any_encoding(opened, root):
    os.rename(root / "a", os.path.join(os.fsencode(root), b"caf\xe9"))  # Latin-1
    (root / "b").rename(root / "cafe\u0301 ")  # NFD, a trailing space
    source = opened()
    assert source.class_names == ["caf\u00e9", "caf\u00e9 "]
    assert all(source[i]["jpeg"] for i in range(6))
    assert names(source)[:3] == [f"caf\u00e9 /{i}.jpg" for i in range(3)]
    (root / "cafe\u0301 ").rename(root / "caf\u00e9")
    with pytest.raises(UserError, match="differ in their encoding alone: caf\u00e9"):
        opened()


def test_classes_called_by_numbers_are_in_the_order_of_numbers(opened, root):
    for i in range(11):
        write_jpeg(root / str(i) / "x.jpg", make_picture(i))
    (root / "a").rename(root / "11")
    (root / "b").rename(root / "12")
    source = opened(classes=13)
    assert source.class_names == [str(i) for i in range(13)]
    for i in range(len(source)):
        record = source[i]
        assert record["label"] == int(record["name"].split("/")[0])
    assert np.bincount(source.labels).tolist() == [1] * 11 + [3, 3]
