"""Where the files of an uncompressed tar lie, or one line that says what is damaged.

tarfile ends quietly at whatever is no header. Here each header's checksum must be
right, the last member must be followed by the two zero blocks that end an archive, and
these by no more than the padding of tar's last record. Only then is a tar the one that
was written: a download that stopped leaves a cut or, where space was reserved, zeros.

As when a tar is unpacked, the last member of a name counts, and links lead to what they
name.
"""

import os
import posixpath
import re
import tarfile

from bn_repro.errors import UserError

DANGLING = (0, -1)  # a link that leads to no file of the tar
SPARSE = (0, -2)  # stored without its holes
_BLOCK = tarfile.BLOCKSIZE
_END = bytes(2 * _BLOCK)
_LINKS_IN_A_ROW = 40  # as Linux follows
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"\x1f\x9d": "compress",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x5d\0\0": "lzma",
    b"LZIP": "lzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"PK\x03\x04": "zip",
    b"7z\xbc\xaf": "7z",
    b"Rar!": "rar",
}
# What pictures begin with that do not end in many zeros, and their last bytes.
_ENDS = {
    b"\xff\xd8\xff": b"\xff\xd9",
    b"\x89PNG": b"\xaeB`\x82",
    b"GIF8": b";",
    b"RIFF": b"",
    b"\0\0\0": b"",  # AVIF, JPEG 2000
}
_ZEROS = 16  # more than belong to a picture, or to what a camera puts behind it


class DamagedError(Exception):
    """What is wrong with the archive."""


class Header(tarfile.TarInfo):
    """Checks headers, and reads plain ones fast: 1.3 million in seconds."""

    @classmethod
    def frombuf(cls, buf, encoding, errors):
        """Returns a member, of a block whose checksum is right; see tarfile."""
        if len(buf) != _BLOCK or buf.count(0) == _BLOCK:  # the end
            return super().frombuf(buf, encoding, errors)
        checksum = buf[148:156].strip(b" \0")
        stated = int(checksum, 8) if re.fullmatch(b"[0-7]+", checksum) else -1
        right = stated == sum(buf) - sum(buf[148:156]) + 8 * ord(" ")
        if not right and stated not in tarfile.calc_chksums(buf):  # signed, in old tars
            raise DamagedError("a member's header has a wrong checksum")
        if buf[156:157] == b"M":
            raise DamagedError("it is one of several volumes; make one tar")
        # A name or size that overflows is left to tarfile.
        if buf[156:157] != tarfile.REGTYPE or buf[345] or buf[124] & 0x80:
            member = super().frombuf(buf, encoding, errors)
        else:
            member = cls(buf[:100].split(b"\0", 1)[0].decode(encoding, errors))
            member.size = int(buf[124:136].strip(b" \0") or b"0", 8)
        if member.size < 0:
            raise DamagedError("a member's size is negative")
        return member


def scan(path) -> tuple[dict[str, tuple[int, int]], set[str]]:
    """Returns (name -> (offset, size) of the files, names of the folders) of a tar.

    Names have no "./" or "/" before them. A link has its target's place, or DANGLING; a
    sparse file is SPARSE.

    Raises:
      UserError: it cannot be read, is compressed, cut or damaged, or does not end.
    """
    try:
        with open(path, "rb") as file:
            files, folders, links = _members(file, os.stat(path).st_size)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # tarfile raises a dozen kinds for what bit flips do
        raise UserError(_refusal(path, error)) from error
    _follow(links, files)
    return files, folders


def _refusal(path, error) -> str:
    with open(path, "rb") as file:
        head = file.read(8)
    for magic, name in _COMPRESSED.items():
        if head.startswith(magic):
            return f"{path} is compressed with {name}: decompress it to a plain tar"
    reason = str(error) or type(error).__name__
    return f"{path} is damaged, or no tar: {reason}; download it again"


def _members(file, size: int) -> tuple[dict, set, dict]:
    """Returns places of files, names of folders, and link -> target, all by name."""
    files, folders, links = {}, set(), {}
    options = {"encoding": "utf-8", "errors": "surrogateescape", "tarinfo": Header}
    with tarfile.open(fileobj=file, mode="r:", **options) as tar:
        before, last = -1, None
        while (member := tar.next()) is not None:
            tar.members.clear()  # TarFile would keep them all
            if member.offset <= before or member.size < 0:
                raise DamagedError(f"{member.name} has an impossible size")
            if member.offset_data > member.offset + _BLOCK:
                _check_extended(file, member)
            before, last = member.offset, member
            name = _inside(member.name)
            target = _target(member, name)
            if target == name:  # already there
                continue
            files.pop(name, None), links.pop(name, None)
            if member.isreg():
                place = member.offset_data, member.size
                files[name] = SPARSE if member.issparse() else place
            elif member.isdir():
                folders.add(name)
            elif member.islnk() or member.issym():
                links[name] = target
        check_end(file, tar.offset, size, last)
    return files, folders, links


def _check_extended(file, member) -> None:
    """Refuses headers of long names, and of pax, whose content is not whole."""
    file.seek(member.offset)
    headers = file.read(member.offset_data - member.offset)
    while (kind := headers[156:157]) and kind in b"LKxgX":
        size = int(headers[124:136].strip(b" \0") or b"0", 8)
        text = headers[_BLOCK : _BLOCK + size]
        name = text.removesuffix(b"\0")
        if (not name or b"\0" in name) if kind in b"LK" else not _is_pax(text):
            raise DamagedError(f"the long header of {member.name!r} is not whole")
        headers = headers[_BLOCK - (-size // _BLOCK) * _BLOCK :]


def _is_pax(text: bytes) -> bool:
    """Returns whether bytes are pax records: length in bytes, space, key=value, end."""
    while text:
        length = text.partition(b" ")[0]
        if not length.isdigit() or text[int(length) - 1 : int(length)] != b"\n":
            return False
        text = text[int(length) :]
    return True


def _inside(name: str) -> str:
    """Returns where a member is put, seen from the tar's top, as tar unpacks it."""
    if name[:1] not in "./" and "/." not in name and "//" not in name:
        return name
    return posixpath.normpath(f"/{name}").lstrip("/")


def _target(member, name: str) -> str | None:
    """Returns the name that a link leads to, even if out of the tar; else None."""
    if member.islnk():
        return _inside(member.linkname)
    return _joined(posixpath.dirname(name), member.linkname) if member.issym() else None


def _joined(folder: str, name: str) -> str:
    """Returns a name seen from a folder as seen from the top."""
    return posixpath.normpath(posixpath.join(folder, name))


def check_end(file, end: int, size: int, last=None) -> None:
    """Refuses an archive that stops early, or holds more than padding behind its end.

    `end` is where the blocks of the last member end, whose content is looked at too.
    """
    file.seek(end)
    if file.read(len(_END)) != _END:
        found = "the two zero blocks that end an archive are missing"
        raise DamagedError(f"{found} at byte {end:,} of {size:,}")
    # Records are 10 KiB, or what somebody stated, a power of two.
    least = _BLOCK if size % tarfile.RECORDSIZE else tarfile.RECORDSIZE
    record = max(least, size & -size)
    while rest := file.read(2**20):
        if rest.count(0) != len(rest):
            raise DamagedError(
                f"something follows its end at byte {end:,} of {size:,}; of several "
                "tars in one file make one"
            )
    if size - end - len(_END) >= record or (last and _ends_in_zeros(file, last)):
        raise DamagedError(
            f"it ends in zeros behind byte {end:,} of {size:,} that tar did not write: "
            "the end of a download is missing"
        )


def _ends_in_zeros(file, member) -> bool:
    """Returns whether a picture ends in zeros instead of its end mark."""
    if not member.isreg() or member.issparse() or member.size < 32:
        return False
    file.seek(member.offset_data)
    content = file.read(member.size)
    kept = content.rstrip(b"\0")
    zeros = len(content) - len(kept)
    for start, end in _ENDS.items():
        if content.startswith(start) and not (end and kept.endswith(end)):
            return zeros >= _ZEROS or (zeros and len(end) > 1 and end not in kept)
    return False


def _follow(links: dict[str, str], files: dict[str, tuple[int, int]]) -> None:
    """Adds to the files what the links lead to, or DANGLING."""
    found, of_folders, empty = {}, {}, {}
    for name in links:
        target = _followed(name, links, files)
        if target in files:
            found[name] = files[target]
        elif target and not f"{name}/".startswith(f"{target}/") and target != ".":
            of_folders.setdefault(target, []).append(name)
            empty[name] = DANGLING
        elif target is None:
            found[name] = DANGLING
    for file, place in files.items() if of_folders else ():
        for at in (at for at, letter in enumerate(file) if letter == "/"):
            for name in of_folders.get(file[:at], ()):
                found[name + file[at:]] = place
                empty.pop(name, None)
    files |= found | empty


def _followed(name: str, links, files) -> str | None:
    """Returns where a name leads to; None if round in circles."""
    for _ in range(_LINKS_IN_A_ROW):
        if name in files:
            return name
        parts = name.split("/")
        for count in range(len(parts), 0, -1):
            if (head := "/".join(parts[:count])) in links:
                name = _joined(links[head], "/".join(parts[count:]))
                break
        else:
            return name
    return None
