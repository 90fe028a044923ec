"""Archives as they are damaged and as they are written: right, or one line."""

import bz2
import gzip
import io
import lzma
import tarfile
import time

import cv2
import pytest

from bn_repro.data import tar_index
from bn_repro.data.conftest import make_picture
from bn_repro.errors import UserError

JPEG = b"\xff\xd8\xff" + bytes(range(1, 256)) * 8 + b"\xff\xd9"
NAMES = [f"{c}/{i}.jpg" for c in "ab" for i in range(9)]


def member(name, size=0, kind=tarfile.REGTYPE, target=""):
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, target
    return info


def archive(members, form=tarfile.GNU_FORMAT):
    """Returns the bytes of a tar of (name, content) and of TarInfos without content."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as tar:
        for entry in members:
            if isinstance(entry, tarfile.TarInfo):
                tar.addfile(entry)
            else:
                tar.addfile(member(entry[0], len(entry[1])), io.BytesIO(entry[1]))
    return file.getvalue()


WHOLE = archive((name, JPEG) for name in NAMES)
HEADERS = [i * 2_560 for i in range(len(NAMES))]  # a header and 2,045 bytes in blocks
END = 18 * 2_560


@pytest.fixture
def scan(tmp_path):
    """Returns a function: a tar's bytes -> name -> content, or a negative size."""

    def scan(content):
        (tmp_path / "set.tar").write_bytes(content)
        files, _ = tar_index.scan(tmp_path / "set.tar")
        return {k: content[o : o + n] if n >= 0 else n for k, (o, n) in files.items()}

    return scan


def test_a_whole_archive(scan):
    assert len(WHOLE) == 51_200 and not any(WHOLE[END:])
    assert scan(WHOLE) == dict.fromkeys(NAMES, JPEG)
    assert len(scan(WHOLE[: END + 1_024])) == 18  # Go and bsdtar do not pad
    blocked = WHOLE + bytes(-len(WHOLE) % 2**18)  # tar --blocking-factor=512
    assert len(scan(blocked)) == 18


def refused(scan, content, message="is damaged, .*download it again"):
    with pytest.raises(UserError, match=message) as caught:
        scan(content)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cut", [512, 513, 2_560, 3_072, 30_000, END, END + 512])
def test_cut_anywhere(scan, cut):
    refused(scan, WHOLE[:cut], "set.tar")


@pytest.mark.parametrize("start", [*range(1, END - 6_000, 997), *HEADERS[:16]])
def test_a_tail_of_zeros(scan, start):
    """Space that a download reserved and did not fill."""
    refused(scan, WHOLE[:start] + bytes(len(WHOLE) - start), "set.tar")


@pytest.mark.parametrize("start", [END - 40, END - 2_000, END - 2_048])
def test_zeros_in_the_last_picture_alone(scan, start):
    refused(scan, WHOLE[:start] + bytes(len(WHOLE) - start))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".gif", ".webp"])
@pytest.mark.parametrize("lost", [1, 8, 16, 200])
def test_a_last_picture_of_any_format_that_ends_in_zeros(scan, suffix, lost):
    picture = cv2.imencode(suffix, make_picture(0))[1].tobytes()
    whole = archive([*dict.fromkeys(NAMES, JPEG).items(), ("b/x", picture)])
    assert len(scan(whole)) == 19
    behind = picture + bytes(9 if suffix == ".webp" else 99)  # a camera's, or padding
    assert len(scan(archive([("b/x", behind)]))) == 1
    start = END + 512 + len(picture) - lost
    cut = whole[:start] + bytes(len(whole) - start)
    if lost < 16 and suffix in (".gif", ".webp"):  # may end in a zero
        assert len(scan(cut)) == 19
    else:
        refused(scan, cut)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_long_name_that_is_lost(scan, form):
    """The header behind it holds the first 100 bytes: another name, or another's."""
    whole = archive([("a/" + "x" * 150, JPEG), ("b/" + "é" * 400, JPEG)], form)
    assert len(scan(whole)) == 2
    second = whole.index(b"b/\xc3") // 512 * 512
    for block in (512, second, second + 512):
        refused(scan, whole[:block] + bytes(512) + whole[block + 512 :])


def test_one_of_several_volumes(scan):
    refused(scan, archive([member("a/x", kind=b"M"), ("a/y", JPEG)]), "several volumes")


@pytest.mark.parametrize("header", HEADERS[1::4])
def test_a_header_in_the_middle(scan, header):
    refused(scan, WHOLE[:header] + bytes(512) + WHOLE[header + 512 :])
    for at in range(0, 500, 35):
        flipped = bytearray(WHOLE)
        flipped[header + at] ^= 1 << at % 8
        refused(scan, bytes(flipped), "set.tar")


@pytest.mark.parametrize("behind", [b"x", bytes(9_999) + b"<html>", WHOLE])
def test_what_follows_the_end(scan, behind):
    refused(scan, WHOLE + behind, "something follows its end at byte 46,080")


def test_compressed_under_another_name(scan):
    for name, pack in (("gzip", gzip), ("xz", lzma), ("bzip2", bz2)):
        refused(scan, pack.compress(WHOLE), f"compressed with {name}: decompress")
    refused(scan, b"\x04\x22\x4d\x18" + WHOLE, "compressed with lz4")
    refused(scan, b"Rar!" + WHOLE, "compressed with rar")
    refused(scan, b"", "set.tar")
    refused(scan, b"<html>not found</html>" * 99, "set.tar")


LINKED = [
    member("a/later", kind=tarfile.LNKTYPE, target="./a/x.jpg"),
    ("a/x.jpg", JPEG),
    member("a/hard", kind=tarfile.LNKTYPE, target="a/x.jpg"),
    member("b", kind=tarfile.DIRTYPE),
    member("b/soft", kind=tarfile.SYMTYPE, target="../a/x.jpg"),
    member("b/chain", kind=tarfile.SYMTYPE, target="soft"),
    member("b/dangling", kind=tarfile.SYMTYPE, target="nowhere"),
    member("b/out", kind=tarfile.SYMTYPE, target="../../a/x.jpg"),
    member("b/absolute", kind=tarfile.SYMTYPE, target="/a/x.jpg"),
    member("b/one", kind=tarfile.SYMTYPE, target="two"),
    member("b/two", kind=tarfile.SYMTYPE, target="one"),
    member("c", kind=tarfile.SYMTYPE, target="a"),
    member("d", kind=tarfile.SYMTYPE, target="c"),
    member("a/up", kind=tarfile.SYMTYPE, target=".."),
    member("a/self", kind=tarfile.SYMTYPE, target="."),
]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_links_lead_to_what_they_name(scan, form):
    found = scan(archive(LINKED, form))
    real = ["a/x.jpg", "a/later", "a/hard", "b/soft", "b/chain", "c/x.jpg", "d/x.jpg"]
    assert {k for k, v in found.items() if v == JPEG} == set(real)
    broken = {"b/dangling", "b/out", "b/absolute", "b/one", "b/two"}
    assert {k for k, v in found.items() if v == -1} == broken
    assert len(found) == len(real) + len(broken)


def test_the_last_member_of_a_name_counts(scan):
    twice = [("a/x", b"old"), ("./a/x", b"new"), ("a/y", b"1")]
    link = member("a/y", kind=tarfile.SYMTYPE, target="x")
    own = member("a/x", kind=tarfile.LNKTYPE, target="a/x")  # changes nothing
    assert scan(archive([*twice, link, own])) == {"a/x": b"new", "a/y": b"new"}


def test_names_are_where_tar_would_unpack_them(scan):
    named = ["/a/1", "../a/2", "./a//3", "a/b/../4", "a/..5"]
    found = scan(archive((name, b"x") for name in named))
    assert set(found) == {"a/1", "a/2", "a/3", "a/4", "a/..5"}


def test_sparse_members_are_known(scan, tmp_path):
    info = member("a/x.jpg", 512)
    info.pax_headers = {"GNU.sparse.map": "0,512", "GNU.sparse.size": "4096"}
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(bytes(512)))
    assert scan(file.getvalue()) == {"a/x.jpg": -2}


def test_checksums_cost_little(scan):
    """20,000 members; tarfile itself, which checks less, takes three times as long."""
    content = archive((f"a/{i}.jpg", b"x") for i in range(20_000))
    start = time.process_time()
    scan(content)
    assert time.process_time() - start < 2
