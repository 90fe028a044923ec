"""What the header of a picture says: that it is one, its size, and how to show it.

Only what OpenCV decodes. The size is known before anything is decoded, so that a
picture that would take gigabytes is not begun.
"""

import contextlib
import math
import re
import struct
from collections.abc import Iterator

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two beyond 4 GiB
_STARTS = (
    *_TIFF,
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"\0\0\0\x0cjP  \r\n\x87\n",  # JPEG 2000
    b"#?RADIANCE",
    b"\x59\xa6\x6a\x95",  # Sun raster
)
_HOW_TO_SHOW = (274, 338)  # TIFF's tags: orientation, what the channels beyond RGB are
_RADIANCE = rb"[-+]Y (\d+) [-+]X (\d+)\n"
LENGTH = 32  # bytes that `is_picture` looks at
# JPEG's segments that hold the size: start of frame, but for tables (C4, C8, CC).
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a segment


def is_picture(head: bytes) -> bool:
    """Returns whether the first LENGTH bytes of a file are a picture's."""
    return (
        head.startswith(_STARTS)
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or head[4:12] in (b"ftypavif", b"ftypavis")
        or (head[:2] == b"BM" and head[6:10] == bytes(4) and head[15:18] == bytes(3))
    )


def pixels(encoded: bytes) -> int:
    """Returns the number of pixels that the header states; 0 if it is not known."""
    try:
        height, width = _size(encoded)
    except (struct.error, IndexError, ValueError, OverflowError):
        return 0
    return abs(height) * abs(width)


def plain_tiff(encoded: bytes) -> bytes:
    """Returns a TIFF as one to show upright, and with colours that alpha is in already.

    OpenCV would turn it, and multiply its colours by alpha. Another picture is returned
    as it is.
    """
    if not encoded.startswith(_TIFF):
        return encoded
    plain = bytearray(encoded)
    with contextlib.suppress(struct.error, OverflowError):  # cut, or damaged
        for tag, kind, count, value in _entries(encoded):
            if tag in _HOW_TO_SHOW and (kind, count) == (3, 1):
                struct.pack_into(f"{_order(encoded)}H", plain, value, 1)
    return bytes(plain)


def _size(encoded: bytes) -> tuple[int, int]:
    if encoded.startswith(b"\xff\xd8"):
        return _jpeg(encoded)
    if encoded.startswith(b"\x89PNG"):
        return struct.unpack_from(">II", encoded, 16)
    if encoded.startswith(b"GIF8"):
        return struct.unpack_from("<HH", encoded, 6)
    if encoded.startswith(b"BM"):
        return struct.unpack_from("<ii", encoded, 18)
    if encoded.startswith(b"RIFF"):
        return _webp(encoded)
    if encoded.startswith(_TIFF):
        return _tiff(encoded)
    if encoded.startswith(b"\x59\xa6\x6a\x95"):
        return struct.unpack_from(">II", encoded, 4)
    if encoded.startswith(b"#?") and (found := re.search(_RADIANCE, encoded[:4096])):
        return int(found[1]), int(found[2])
    for box in (b"ispe\0\0\0\0", b"ihdr"):  # AVIF, of several items; JPEG 2000
        if found := [m.end() for m in re.finditer(box, encoded[: 2**16])]:
            sizes = [struct.unpack_from(">II", encoded, at) for at in found]
            return max(sizes, key=math.prod)
    if encoded[:1] == b"P" and encoded[1:2] in b"123456Ff":
        lines = (line.split(b"#")[0] for line in encoded[2:4096].splitlines())
        width, height = b" ".join(lines).split()[:2]
        return int(height), int(width)
    raise ValueError("no header that is known")


def _jpeg(encoded: bytes) -> tuple[int, int]:
    at = 2
    while True:
        while encoded[at] != 0xFF:  # what is between segments is skipped
            at += 1
        while encoded[at] == 0xFF:
            at += 1
        marker = encoded[at]
        if marker in _FRAMES:
            return struct.unpack_from(">HH", encoded, at + 4)
        at += 1
        if marker not in _ALONE:
            at += struct.unpack_from(">H", encoded, at)[0]


def _webp(encoded: bytes) -> tuple[int, int]:
    kind = encoded[12:16]
    if kind == b"VP8X":
        sides = (int.from_bytes(encoded[at : at + 3], "little") + 1 for at in (24, 27))
        return tuple(sides)
    if kind == b"VP8L":
        bits = int.from_bytes(encoded[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", encoded, 26)
    return height & 0x3FFF, width & 0x3FFF


def _tiff(encoded: bytes) -> tuple[int, int]:
    sides = {}
    for tag, kind, _, value in _entries(encoded):
        if tag in (256, 257):
            form = _order(encoded) + {3: "H", 16: "Q"}.get(kind, "I")
            (sides[tag],) = struct.unpack_from(form, encoded, value)
        if len(sides) == 2:
            return sides[257], sides[256]
    raise ValueError("no size")


def _entries(encoded: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yields tag, type, number and place of the values of a TIFF's first picture."""
    order, big = _order(encoded), b"+" in encoded[:4]
    (at,) = struct.unpack_from(order + "IQ"[big], encoded, 8 if big else 4)
    (count,) = struct.unpack_from(order + "HQ"[big], encoded, at)
    first, length, value = (at + 8, 20, 12) if big else (at + 2, 12, 8)
    for entry in range(first, first + length * min(count, 4096), length):
        form = order + ("HHQ" if big else "HHI")
        yield *struct.unpack_from(form, encoded, entry), entry + value


def _order(encoded: bytes) -> str:
    return "<" if encoded[:1] == b"I" else ">"
