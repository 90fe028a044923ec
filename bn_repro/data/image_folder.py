"""Pictures in class folders, in a directory or in a tar, read where they lie.

    <split>/<class>/<picture>       for example train/n01440764/n01440764_18.JPEG

`data.train` and `data.val` each name a directory or an uncompressed tar. What they name
may hold the class folders themselves, or a folder called like the split ("train" or
"val") that holds them; `path.tar:folder` names another folder inside a tar. The index
of a tar costs one short read a picture at the start: on a spinning disk unpack it.

The class index is the place of the class folder's name, the WordNet id, in sorted
order. Readable class names come from a words file beside the pictures, if there is one.
"""

import dataclasses
import functools
import hashlib
import os
import tarfile
from pathlib import Path

import numpy as np

from bn_repro.errors import UserError

SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp", ".webp")
WORDS_FILES = ("LOC_synset_mapping.txt", "synset_words.txt", "words.txt")


@dataclasses.dataclass(frozen=True, eq=False)
class ImageFolder:
    """The pictures of one split; `source[i]` reads the i-th in the order of names.

    Attributes:
      path: the directory of the class folders, or the tar.
      wnids: class folder names, sorted.
      class_names: readable names if a words file lies beside, else `wnids`.
      labels: class index of each picture, int32 [N].
      names: "<class>/<file>" of each picture, encoded, bytes [N].
    """

    path: str
    wnids: list[str]
    class_names: list[str]
    labels: np.ndarray
    names: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> dict:
        return {
            "jpeg": self._read(i),
            "label": int(self.labels[i]),
            "name": os.fsdecode(self.names[i]),
        }

    def digest(self) -> str:
        """Returns the sha256 of the pictures' names, in a tar also of their sizes."""
        sha256 = hashlib.sha256(b"\0".join(self.names.tolist()))
        sha256.update(getattr(self, "sizes", np.array([], np.int64)).tobytes())
        return sha256.hexdigest()

    def _read(self, i: int) -> bytes:
        with open(os.path.join(os.fsencode(self.path), self.names[i]), "rb") as file:
            return file.read()


@dataclasses.dataclass(frozen=True, eq=False)
class ImageTar(ImageFolder):
    """The same from a tar, read at each picture's offset.

    Attributes:
      offsets: first byte of each picture, int64 [N].
      sizes: bytes of each picture, int64 [N].
    """

    offsets: np.ndarray
    sizes: np.ndarray

    def _read(self, i: int) -> bytes:
        # Opened anew: threads and forks that share a file also share its closing.
        with open(self.path, "rb", buffering=0) as file:
            return os.pread(file.fileno(), int(self.sizes[i]), int(self.offsets[i]))


def open_source(data, split: str) -> ImageFolder:
    """Returns the pictures of a split, "train" or "val", of `config.data`.

    Raises:
      UserError: the path is missing or empty, the number of classes is not
        `data.classes`, or the validation classes are not the training classes.
    """
    source = _open(*_located(data, split), split)
    if len(source.wnids) != data.classes:
        raise UserError(
            f"data.{split}={data[split]} has {len(source.wnids)} classes, but "
            f"data.classes is {data.classes}: set one of them to the other"
        )
    if split != "train" and data.train:
        _check_same_classes(_open(*_located(data, "train"), "train"), source, data)
    return source


def is_there(data, split: str) -> bool:
    """Returns whether what `data.train` or `data.val` names exists here."""
    try:
        _located(data, split)
    except UserError:
        return False
    return True


def _check_same_classes(train: ImageFolder, val: ImageFolder, data) -> None:
    if train.wnids == val.wnids:
        return
    only_train = sorted(set(train.wnids) - set(val.wnids))
    only_val = sorted(set(val.wnids) - set(train.wnids))
    raise UserError(
        f"the classes of data.train={data.train} and data.val={data.val} differ "
        f"(only in train: {_some(only_train)}; only in val: {_some(only_val)}): "
        "both need the same class folders, since a class is its place among them"
    )


def _some(names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more


def _located(data, split: str) -> tuple[str, str | None, int]:
    """Returns the path, the named folder inside a tar, the time of last change."""
    stated = data[split]
    if not stated:
        raise UserError(
            f"data.{split} is empty: set --config.data.{split}= to the directory or "
            "tar of the class folders (scripts/prepare_data.py imagenet makes one)"
        )
    path, folder = os.path.expanduser(stated), None
    if not os.path.exists(path) and ":" in path:
        path, folder = path.rsplit(":", 1)
    if not os.path.exists(path):
        raise UserError(
            f"data.{split}={stated} does not exist: name a directory or a tar with "
            f"--config.data.{split}=, or --{split}= where a run folder is read"
        )
    return path, folder, os.stat(path).st_mtime_ns


@functools.lru_cache(maxsize=4)  # opening "val" also compares it with "train"
def _open(path: str, folder: str | None, changed: int, split: str) -> ImageFolder:
    del changed  # part of the key only: a rewritten tar is indexed anew
    if os.path.isdir(path):
        root = os.path.join(path, split)
        root = root if os.path.isdir(root) else path
        return ImageFolder(
            root, **_catalogue(_walk(root), root, [root, os.path.dirname(root)])
        )
    members = _in_folder(_scan(path), folder, split)
    described = f"{path}:{folder}" if folder else path
    fields = _catalogue(sorted(members), described, [os.path.dirname(path)])
    places = np.array([members[name] for name in sorted(members)], np.int64)
    return ImageTar(path, **fields, offsets=places[:, 0], sizes=places[:, 1])


def _catalogue(names: list[str], described: str, beside: list[str]) -> dict:
    """Returns the attributes of an ImageFolder for sorted names "<class>/<file>"."""
    classes = [name.split("/", 1)[0] for name in names]
    wnids = sorted(set(classes))
    if not names:
        raise UserError(
            f"{described} holds no pictures in class folders (<class>/<picture>.JPEG); "
            "scripts/prepare_data.py imagenet unpacks the official archives"
        )
    index = {wnid: i for i, wnid in enumerate(wnids)}
    return {
        "wnids": wnids,
        "class_names": readable_names(wnids, beside),
        "labels": np.array([index[name] for name in classes], np.int32),
        "names": np.array([os.fsencode(name) for name in names]),
    }


def _is_picture(name: str) -> bool:
    hidden = os.path.basename(name).startswith(".")
    return name.lower().endswith(SUFFIXES) and not hidden


def _walk(root: str) -> list[str]:
    """Returns the sorted "<class>/<file>" of the pictures under a directory."""
    wnids = [entry.name for entry in os.scandir(root) if entry.is_dir()]
    names, empty = [], []
    for wnid in sorted(name for name in wnids if not name.startswith(".")):
        found = []
        for folder, _, files in os.walk(os.path.join(root, wnid), followlinks=True):
            inside = os.path.relpath(folder, root)
            found += [f"{inside}/{file}" for file in files if _is_picture(file)]
        names += found
        empty += [] if found else [wnid]
    if names and empty:
        raise UserError(f"class folders of {root} without a picture: {_some(empty)}")
    return sorted(names)


class _QuickTarInfo(tarfile.TarInfo):
    """Reads plain headers 7 times faster: 1.3 million in seconds; leaves others."""

    @classmethod
    def frombuf(cls, buf, encoding, errors):
        plain = len(buf) == tarfile.BLOCKSIZE and buf[156:157] == tarfile.REGTYPE
        if not plain or buf[345] or buf[124] & 0x80:  # a name or size that overflows
            return super().frombuf(buf, encoding, errors)
        member = cls(buf[:100].split(b"\0", 1)[0].decode(encoding, errors))
        member.size = int(buf[124:136].strip(b" \0"), 8)
        return member


def _scan(path: str) -> dict[str, tuple[int, int]]:
    """Returns name -> (offset, size) of the files in an uncompressed tar."""
    places = {}
    try:
        with tarfile.open(path, "r:", tarinfo=_QuickTarInfo) as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # TarFile would keep them all
                if member.isreg():
                    name = member.name.removeprefix("./")
                    places[name] = (member.offset_data, member.size)
    except (tarfile.TarError, OSError, ValueError) as error:
        raise UserError(
            f"cannot read {path} as an uncompressed tar ({error}): decompress or "
            "download it again"
        ) from error
    if places and all(name.endswith(".tar") for name in places):
        raise UserError(
            f"{path} holds tars, not pictures: unpack it first with "
            "scripts/prepare_data.py imagenet"
        )
    return places


def _in_folder(members: dict, folder: str | None, split: str) -> dict:
    """Returns the pictures in class folders under a folder, named from there."""
    prefix = (folder or split).strip("/") + "/"
    inside = {k[len(prefix) :]: v for k, v in members.items() if k.startswith(prefix)}
    chosen = inside if inside or folder else members
    return {k: v for k, v in chosen.items() if "/" in k and _is_picture(k)}


def readable_names(wnids: list[str], folders: list[str]) -> list[str]:
    """Returns readable class names from the first words file found, else the wnids.

    A line of a words file is a WordNet id, white space and the words; a class that it
    does not name keeps its WordNet id.
    """
    for folder in folders:
        for file in (Path(folder, name) for name in WORDS_FILES):
            if file.is_file():
                lines = file.read_text(encoding="utf-8").splitlines()
                pairs = (line.strip().split(maxsplit=1) for line in lines)
                words = dict(pair for pair in pairs if len(pair) == 2)
                return [words.get(wnid, wnid) for wnid in wnids]
    return list(wnids)
