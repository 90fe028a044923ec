"""Which files of a folder or a tar are pictures in class folders.

A file is one if its suffix says so, or else its first bytes. Links are followed, each
folder once a class. What is hidden, and what systems and programs leave in folders, is
none; how much is left out, by suffix, is said once.
"""

import collections
import functools
import heapq
import os
from collections.abc import Callable, Iterable

from absl import logging

from bn_repro.data import picture_header
from bn_repro.data.classes import text
from bn_repro.errors import UserError

# Of what OpenCV decodes, but for suffixes that are more often something else.
SUFFIXES = set(
    b".jpeg .jpg .jpe .jfif .png .apng .bmp .dib .webp .gif .tif .tiff .avif .jp2 .ppm "
    b".pgm .pbm .pnm".split()
)
# Beside names that begin with a dot; of Synology, QNAP, Windows, macOS and Linux.
_HIDDEN = set(
    b"@eadir @tmp @recycle @recently-snapshot @__thumb #recycle #snapshot ~snapshot "
    b"@synoeastream @synoresource $recycle.bin found.000 thumbs.db ehthumbs.db "
    b"desktop.ini icon\r __macosx lost+found __pycache__".split(b" ")
) | {b"system volume information", b"network trash folder", b"temporary items"}
_SPLITS = {b"train", b"val", b"test", b"valid", b"validation"}


class Listing:
    """The pictures under a folder, and what beside them is left out."""

    def __init__(self, root: bytes):
        """Lists nothing yet."""
        self.root = root  # in a tar the members' common beginning, "" or with a "/"
        self.names: list[bytes] = []  # "<class>/<file>" of the pictures, as stored
        self.folders: set[bytes] = set()  # names of the class folders
        self.loose = 0  # pictures outside of class folders
        self._left_out = collections.Counter()
        self._by_content = collections.Counter()

    def report(self, described: str) -> None:
        """Says what was left out, and what is a picture in spite of its suffix."""
        if self._by_content:
            said = _counted(self._by_content)
            logging.warning("%s: pictures by their content: %s", described, said)
        if self._left_out:
            logging.warning("%s: left out: %s", described, self.left_out())

    def left_out(self) -> str:
        """Returns how many files of what kinds are left out, or "nothing"."""
        return _counted(self._left_out) or "nothing"

    def walk(self) -> "Listing":
        """Lists the directory `root`; returns self."""
        above = _ids_above(self.root)
        for entry in _scan(self.root):
            kind = _kind(entry)
            if hidden := _hidden(entry.name):
                self._left_out[hidden] += 1
            elif kind == "folder" and _id(entry.path) not in above:
                self.folders.add(entry.name)
                self._walk_class(entry.name, set(above))
            elif kind == "folder" or not os.path.exists(entry.path):
                self._left_out["links that lead nowhere or back"] += 1
            elif kind == "file" and self._is_picture(entry.name, entry.path):
                self.loose += 1
        return self

    def _walk_class(self, wnid: bytes, seen: set) -> None:
        """Lists a class folder; `seen` are the folders that are not read again."""
        waiting = [(False, wnid)]  # links last: what they lead to may be here anyway
        while waiting:
            folder = heapq.heappop(waiting)[1]
            here = os.path.join(self.root, folder)
            if _id(here) in seen:
                self._left_out["links to folders that are read anyway"] += 1
                continue
            seen.add(_id(here))
            for entry in _scan(here):
                name, kind = folder + b"/" + entry.name, _kind(entry)
                if hidden := _hidden(entry.name):
                    self._left_out[hidden] += 1
                elif kind == "folder":
                    heapq.heappush(waiting, (entry.is_symlink(), name))
                elif kind == "special":
                    self._left_out["pipes and devices"] += 1
                elif self._is_picture(entry.name, entry.path):
                    self.names.append(name)

    def take(self, members: Iterable[str], folders: Iterable[str], read) -> "Listing":
        """Lists the files and folders of a tar below `root`; returns self.

        `read` takes a name and returns the first bytes of the file.
        """
        for member in members:
            name = _below(self.root, member)
            if name is None:
                continue
            folder, _, file = name.rpartition(b"/")
            if hidden := _hidden_in(folder) or _hidden(file):
                self._left_out[hidden] += 1
            elif self._is_picture(file, member, read):
                if folder:
                    self.names.append(name)
                else:
                    self.loose += 1
        below = (_below(self.root, folder) for folder in folders)
        self.folders = {n for n in below if n and b"/" not in n and not _hidden(n)}
        return self

    def _is_picture(self, file: bytes, path, read: Callable | None = None) -> bool:
        suffix = os.path.splitext(file)[1].lower()
        if suffix in SUFFIXES:
            return True
        found = picture_header.is_picture((read or _first_bytes)(path))
        counter = self._by_content if found else self._left_out
        counter[text(suffix) or "without suffix"] += 1
        return found


def of_split(whole: Callable[[], Listing], inside: Listing) -> Listing:
    """Returns the pictures inside the folder called like the split, or the whole.

    A folder called like the split may be a class among others: it holds pictures
    itself, and so does a folder beside it that is called like no split.
    """
    if not inside.loose:
        return inside
    listing = whole()
    classes = {name.split(b"/", 1)[0] for name in listing.names}
    return listing if classes - _SPLITS or not inside.names else inside


def _below(root: bytes, member: str) -> bytes | None:
    name = member.encode("utf-8", "surrogateescape")
    return name[len(root) :] if name.startswith(root) else None


def _hidden(name: bytes) -> str:
    """Returns what a hidden file or folder is counted as, "" if it is none."""
    if name[:1] == b".":
        return "hidden"  # not by name: macOS leaves one a picture
    return f"called {text(name)}" if name.lower() in _HIDDEN else ""


@functools.lru_cache(2**16)
def _hidden_in(folder: bytes) -> str:
    return next(filter(None, map(_hidden, folder.split(b"/"))), "")


def _first_bytes(path: bytes) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(picture_header.LENGTH)
    except OSError:  # a link that leads nowhere, no permission
        return b""


def _scan(folder: bytes) -> list[os.DirEntry]:
    """Returns the entries of a directory, sorted by name."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        reason = f"cannot read the folder {text(folder)}: {error.strerror}"
        raise UserError(f"{reason}; without it pictures would be missing") from error


def _kind(entry: os.DirEntry) -> str:
    """Returns "folder", "file" (a broken link too: it says so when read), "special"."""
    try:
        if entry.is_dir():
            return "folder"
        is_file = entry.is_file() or not os.path.exists(entry.path)
        return "file" if is_file else "special"
    except OSError:  # a link to itself
        return "file"


def _id(folder: bytes) -> tuple[int, int]:
    found = os.stat(folder)
    return found.st_dev, found.st_ino


def _ids_above(root: bytes) -> set[tuple[int, int]]:
    """Returns the ids of a folder and of all that it lies in."""
    folder, found = os.path.realpath(root), set()
    while _id(folder) not in found:
        found.add(_id(folder))
        folder = os.path.dirname(folder)
    return found


def _counted(counter: collections.Counter) -> str:
    return ", ".join(f"{count:,} {why}" for why, count in counter.most_common(20))
