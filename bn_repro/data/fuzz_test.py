"""Readers of files that others wrote: the right value or one line, whatever is in them.

The bytes are drawn as damage is: cuts, zeros, flips and insertions in a good file, and
noise. A reader may refuse; it may not hang, take another value or end in a traceback.
"""

import gzip
import io
import tarfile

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bn_repro.data import (
    classes,
    crops,
    decode,
    mnist,
    pack_mnist,
    picture_header,
    tar_index,
    unpack_imagenet,
)
from bn_repro.data.conftest import make_picture
from bn_repro.data.tar_index_test import LINKED, archive
from bn_repro.errors import UserError

fuzzed = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,  # the same in every run of the suite
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@st.composite
def damaged(draw, good: bytes):
    """Draws the bytes of a good file with damage."""
    content = bytearray(good)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content)))
        length = draw(st.integers(1, 600))
        match draw(st.sampled_from(["cut", "zeros", "flip", "insert", "remove"])):
            case "cut":
                del content[at:]
            case "zeros":
                content[at : at + length] = bytes(len(content[at : at + length]))
            case "flip":
                if at < len(content):
                    content[at] ^= 1 << draw(st.integers(0, 7))
            case "insert":
                content[at:at] = draw(st.binary(min_size=1, max_size=40))
            case "remove":
                del content[at : at + length]
    return bytes(content)


def refused_or(read, *arguments):
    """Returns what a reader returns, None if it refuses; in one line."""
    try:
        return read(*arguments)
    except UserError as error:
        assert "\n" not in str(error)
        return None


CONTENTS = {
    f"{c}/{i}.jpg": bytes([i + 1]) * (700 * i + 1) for c in "ab" for i in range(5)
}
TARS = [
    archive(CONTENTS.items()),
    archive(
        [*LINKED, ("a/" + "é" * 90, b"long")],
        tarfile.PAX_FORMAT,
    ),
    archive([("x" * 300, b"long"), *CONTENTS.items()]),
]


@fuzzed
@given(content=st.one_of(*map(damaged, TARS), st.binary(max_size=2_000)))
def test_tars(content, tmp_path):
    (tmp_path / "x.tar").write_bytes(content)
    files, _ = refused_or(tar_index.scan, tmp_path / "x.tar") or ({}, set())
    for offset, size in files.values():
        assert size in (-1, -2) or 0 <= offset <= offset + size <= len(content)


@fuzzed
@given(flip=st.integers(0, 8 * 512 * 3 - 1))
def test_no_flipped_bit_of_a_header_changes_what_is_read(flip, tmp_path):
    """A tar of small members: header, block, header, ...; all else is refused."""
    good = archive(CONTENTS.items())
    header, bit = divmod(flip, 8 * 512)
    start = [i for i in range(0, len(good), 512) if good[i + 257 : i + 262] == b"ustar"]
    content = bytearray(good)
    content[start[header] + bit // 8] ^= 1 << bit % 8
    (tmp_path / "x.tar").write_bytes(content)
    found = refused_or(tar_index.scan, tmp_path / "x.tar")
    if found is not None:  # in the checksum's own padding
        read = {k: bytes(content[o : o + n]) for k, (o, n) in found[0].items()}
        assert read == CONTENTS


PICTURES = {
    suffix: cv2.imencode(suffix, make_picture(0, 40, 48))[1].tobytes()
    for suffix in (".jpg", ".png", ".bmp", ".gif", ".webp", ".tiff", ".ppm", ".jp2")
}


@fuzzed
@given(
    content=st.one_of(
        st.sampled_from([*PICTURES.values()]).flatmap(damaged), st.binary(max_size=300)
    )
)
def test_pictures(content):
    assert picture_header.pixels(content) >= 0
    picture = decode.decode(content, max_pixels=10_000)
    if picture is None:
        assert decode.problem({"jpeg": content}, 10_000)
        return
    assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
    view = np.zeros((8, 8, 3), np.uint8)
    crops.write_views(picture, 1, 9, view)


@pytest.mark.parametrize("packed", [False, True])
@fuzzed
@given(content=st.data())
def test_idx_files(content, packed, tmp_path):
    """The official digests stand before the reader: nothing else is taken."""
    good = pack_mnist._to_idx(np.arange(6, dtype=np.uint8).reshape(1, 2, 3))
    good = gzip.compress(good) if packed else good
    bad = content.draw(st.one_of(damaged(good), st.binary(max_size=100)))
    for name, _ in pack_mnist.OFFICIAL_FILES.values():
        (tmp_path / (f"{name}.gz" if packed else name)).write_bytes(bad)
    with pytest.raises(UserError) as caught:
        pack_mnist.pack(tmp_path, tmp_path / "out.npz")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.npz").exists()


GOOD_NPZ = io.BytesIO()
np.savez_compressed(GOOD_NPZ, train_images=np.zeros((3, 98), np.uint8))


@fuzzed
@given(content=st.one_of(damaged(GOOD_NPZ.getvalue()), st.binary(max_size=200)))
def test_the_packed_mnist(content, tmp_path):
    (tmp_path / "mnist.npz").write_bytes(content)
    for read in (mnist.read_packed, pack_mnist.pack):
        with pytest.raises(UserError) as caught:
            read(tmp_path / "mnist.npz")
        assert "\n" not in str(caught.value)


@fuzzed
@given(content=st.one_of(st.binary(max_size=300), st.text(max_size=99).map(str.encode)))
def test_words_files(content, tmp_path):
    (tmp_path / "words.txt").write_bytes(content)
    names = classes.readable_names(["n01", "n02"], [str(tmp_path)])
    assert len(names) == 2 and all(name.encode() for name in names)


DEVKIT = gzip.compress(archive([("d/data/meta.mat", b"x" * 300), ("d/data/y", b"1")]))


@fuzzed
@given(content=st.one_of(damaged(DEVKIT), st.binary(max_size=300)))
def test_the_devkit(content, tmp_path):
    (tmp_path / "devkit.tar.gz").write_bytes(content)
    assert refused_or(unpack_imagenet.read_devkit, tmp_path / "devkit.tar.gz") is None
