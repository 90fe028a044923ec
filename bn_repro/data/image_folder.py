"""Pictures in class folders, in a directory or in a tar, read where they lie.

    <split>/<class>/<picture>       for example train/n01440764/n01440764_18.JPEG

`data.train` and `data.val` each name a directory or an uncompressed tar. What they name
may hold the class folders themselves, or a folder called like the split ("train" or
"val") that holds them; `path.tar:folder` names another folder inside a tar. The index
of a tar costs one short read a picture at the start: on a spinning disk unpack it.

The class index is the place of the class folder's name, the WordNet id, in sorted
order; folders that are all called by numbers are sorted as numbers. Readable class
names come from a words file beside the pictures, if there is one.

A file is a picture if its suffix says so, or else its first bytes. What systems and
programs hide in folders is none, links are followed, and what is left out is said once.
"""

import contextlib
import dataclasses
import functools
import hashlib
import itertools
import os
import stat
from collections.abc import Iterator

import numpy as np

from bn_repro.data import classes, tar_index
from bn_repro.data.classes import Classes, text
from bn_repro.data.listing import Listing, of_split
from bn_repro.data.picture_header import LENGTH
from bn_repro.data.source_views import evenly_spaced
from bn_repro.errors import UserError


@dataclasses.dataclass(frozen=True, eq=False)
class ImageFolder:
    """The pictures of one split; `source[i]` reads the i-th in the order of names."""

    path: str  # the directory of the class folders, or the tar
    wnids: list[str]  # class folder names, in the order of the labels
    class_names: list[str]  # readable names if a words file lies beside, else `wnids`
    labels: np.ndarray  # class index of each picture, int32 [N]
    names: np.ndarray  # "<class>/<file>" of each picture, as the disk has it, bytes [N]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> dict:
        """Returns "jpeg", "label", "name"; no bytes if it can no longer be read."""
        found = {"label": int(self.labels[i]), "name": text(self.names[i])}
        try:
            return {"jpeg": self._read(i), **found}
        except OSError as error:
            return {"jpeg": b"", **found, "problem": error.strerror or str(error)}

    def digest(self) -> str:
        """Returns the sha256 of the pictures' names, in a tar also of their sizes."""
        sha256 = hashlib.sha256(b"\0".join(self.names.tolist()))
        sha256.update(getattr(self, "sizes", np.array([], np.int64)).tobytes())
        return sha256.hexdigest()

    def pictures(self, chosen=slice(None)) -> str:
        """Returns a digest of the names and sizes of chosen pictures, in their order.

        It is the same for a directory and a tar of it.
        """
        names = text(b"\0".join(self.names[chosen].tolist())).encode()
        lengths = np.array(self._lengths(chosen), np.int64)
        return hashlib.sha256(names + lengths.tobytes()).hexdigest()

    def labelled_as(self, recorded: Classes, described: str) -> "ImageFolder":
        """Returns the same pictures with the labels that a run gave to their classes.

        A run that recorded none sorted numbers as text. `described` says where the
        pictures are from, for messages.

        Raises:
          UserError: these are other classes.
        """
        found = Classes(tuple(self.class_names), tuple(self.wnids))
        recorded = recorded if any(recorded) else Classes((), tuple(sorted(self.wnids)))
        label = classes.labels_in(recorded, found, described)
        order = np.argsort(label)
        return dataclasses.replace(
            self,
            labels=label[self.labels],
            wnids=[self.wnids[i] for i in order],
            class_names=list(recorded.names) or [self.class_names[i] for i in order],
        )

    def _read(self, i: int) -> bytes:
        with open(self._file(self.names[i]), "rb") as file:
            return file.read()

    def _file(self, name: bytes) -> bytes:
        return os.path.join(os.fsencode(self.path), name)

    def _lengths(self, chosen) -> list[int]:
        """Returns the number of bytes of chosen pictures, -1 where there is no file."""
        return [_length(self._file(name)) for name in self.names[chosen]]


@dataclasses.dataclass(frozen=True, eq=False)
class ImageTar(ImageFolder):
    """The same from a tar, read at each picture's offset."""

    offsets: np.ndarray  # first byte of each picture, int64 [N]
    # bytes of each picture, int64 [N]; negative of a link that leads nowhere
    sizes: np.ndarray

    def _read(self, i: int) -> bytes:
        if self.sizes[i] < 0:
            raise OSError("a link that leads nowhere")
        # Opened anew: threads and forks that share a file also share its closing.
        with open(self.path, "rb", buffering=0) as file:
            return os.pread(file.fileno(), int(self.sizes[i]), int(self.offsets[i]))

    def _lengths(self, chosen) -> np.ndarray:
        return np.maximum(self.sizes[chosen], -1)


def _length(file: bytes) -> int:
    try:
        return os.stat(file).st_size
    except OSError:  # a link that leads nowhere
        return -1


def open_source(data, split: str, recorded: Classes | None = None) -> ImageFolder:
    """Returns the pictures of a split, "train" or "val", of `config.data`.

    `recorded`, the classes of the run that is to see them, decide on the labels.

    Raises:
      UserError: the path is missing, damaged or empty, the number of classes is not
        `data.classes`, the classes are not the run's or the training set's, or the
        pictures are those of the training set.
    """
    source = _open(*located(data, split), split)
    described = f"data.{split}={data[split]}"
    if recorded and any(recorded):
        return source.labelled_as(recorded, described)
    if len(source.wnids) != data.classes:
        raise UserError(
            f"{described} has {len(source.wnids)} classes, but "
            f"data.classes is {data.classes}: set one of them to the other"
        )
    if split != "train" and data.train:
        train = _open(*located(data, "train"), "train")
        _check_same_classes(train, source, data)
        _check_other_pictures(train, source, data)
    return source if recorded is None else source.labelled_as(recorded, described)


def is_there(data, split: str) -> bool:
    """Returns whether what `data.train` or `data.val` names exists here."""
    try:
        located(data, split)
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
        f"(only in train: {classes.listed(only_train)}; only in val: "
        f"{classes.listed(only_val)}): both need the same class folders, since a class "
        "is its place among them"
    )


def _check_other_pictures(train: ImageFolder, val: ImageFolder, data) -> None:
    if not np.array_equal(train.names, val.names):
        return
    some = evenly_spaced(len(train), min(16, len(train)))
    if train.pictures() == val.pictures() and all(train[i] == val[i] for i in some):
        raise UserError(
            f"data.train={data.train} and data.val={data.val} are the same pictures, "
            "so that accuracy would be that on training data: name others, or a "
            "directory or tar that holds train/ and val/"
        )


def located(data, split: str) -> tuple[str, str | None, tuple[int, ...]]:
    """Returns the path, the named folder inside a tar, the times of last changes.

    Raises:
      UserError: there is no such path.
    """
    stated = data[split]
    if not stated:
        raise UserError(
            f"data.{split} is empty: set --config.data.{split}=, or --{split}= where a "
            "run folder is read, to the directory or tar of the class folders "
            "(scripts/prepare_data.py imagenet makes one)"
        )
    path, folder = os.path.expanduser(stated), None
    if not os.path.exists(path) and ":" in path:
        path, folder = path.rsplit(":", 1)
    if not os.path.exists(path):
        raise UserError(
            f"data.{split}={stated} does not exist: name a directory or a tar with "
            f"--config.data.{split}=, or --{split}= where a run folder is read"
        )
    return path, folder, tuple(_changed(path))


def _changed(path: str, within: int = 3) -> Iterator[int]:
    """Yields when a tar, or a directory and the folders in it, last changed.

    A folder of two links holds no other, and is not looked into. What cannot be read is
    named when it is listed.
    """
    with contextlib.suppress(OSError):
        found = os.stat(path)
        yield found.st_mtime_ns
        if within and stat.S_ISDIR(found.st_mode) and found.st_nlink != 2:
            with os.scandir(path) as entries:
                folders = [entry.path for entry in entries if entry.is_dir()]
            for folder in folders:
                yield from _changed(folder, within - 1)


@functools.lru_cache(maxsize=4)  # opening "val" also compares it with "train"
def _open(path: str, folder: str | None, changed: tuple, split: str) -> ImageFolder:
    del changed  # part of the key only: a rewritten tar is indexed anew
    if os.path.isdir(path):
        listing = _listed_folder(os.fsencode(path), os.fsencode(split))
        root = os.fsdecode(listing.root)
        fields = _catalogue(listing, root, [root, os.path.dirname(root)])
        return ImageFolder(root, **fields)
    members, folders = tar_index.scan(path)
    if members and all(name.endswith(".tar") for name in members):
        raise UserError(
            f"{path} holds tars, not pictures: unpack it first with "
            "scripts/prepare_data.py imagenet"
        )
    listing = _listed_tar(path, members, folders, (folder or "").strip("/"), split)
    described = f"{path}:{folder}" if folder else path
    fields = _catalogue(listing, described, [os.path.dirname(path)])
    stored = (listing.root + name for name in fields["names"].tolist())
    places = [members[name.decode("utf-8", "surrogateescape")] for name in stored]
    if tar_index.SPARSE in places:
        raise UserError(f"{path} has sparse members: pack it again without --sparse")
    places = np.array(places, np.int64)
    return ImageTar(path, **fields, offsets=places[:, 0], sizes=places[:, 1])


def _listed_folder(path: bytes, split: bytes) -> Listing:
    inside = os.path.join(path, split)
    if not os.path.isdir(inside):
        return Listing(path).walk()
    return of_split(Listing(path).walk, Listing(inside).walk())


def _listed_tar(path, members, folders, folder: str, split: str) -> Listing:
    def first_bytes(name: str) -> bytes:
        offset, size = members[name]
        with open(path, "rb", buffering=0) as file:
            return os.pread(file.fileno(), max(0, min(size, LENGTH)), offset)

    def listed(root: str) -> Listing:
        root = root.encode("utf-8", "surrogateescape")
        return Listing(root).take(members, folders, first_bytes)

    if folder:
        return listed(f"{folder}/")
    inside = listed(f"{split}/")
    if not inside.names and not inside.loose:
        return listed("")
    return of_split(lambda: listed(""), inside)


def _catalogue(listing: Listing, described: str, beside: list[str]) -> dict:
    """Returns the attributes of an ImageFolder, and says what is not in it."""
    names = sorted(listing.names)
    folders = {name.split(b"/", 1)[0] for name in names}
    if not names:
        raise UserError(
            f"{described} holds no pictures in class folders (<class>/<picture>.JPEG; "
            f"left out: {listing.left_out()}); "
            "scripts/prepare_data.py imagenet unpacks the official archives"
        )
    if empty := sorted(map(text, listing.folders - folders)):
        raise UserError(
            f"class folders of {described} without a picture: {classes.listed(empty)}"
        )
    wnids = classes.in_order(map(text, folders))
    if twice := [a for a, b in itertools.pairwise(wnids) if a == b]:
        raise UserError(
            f"{described} has class folders whose names differ in their encoding "
            f"alone: {classes.listed(twice)}; put their pictures together"
        )
    listing.report(described)
    index = {wnid: i for i, wnid in enumerate(wnids)}
    label = {folder: index[text(folder)] for folder in folders}
    labels = [label[name.split(b"/", 1)[0]] for name in names]
    return {
        "wnids": wnids,
        "class_names": classes.readable_names(wnids, beside),
        "labels": np.array(labels, np.int32),
        "names": np.array(names),
    }
