"""The official ImageNet archives, unpacked into class folders.

    ILSVRC2012_img_train.tar        1,000 tars n*.tar, one a class    -> OUT/train
    ILSVRC2012_img_val.tar          50,000 pictures without labels    -> OUT/val
    ILSVRC2012_devkit_t12.tar.gz    their labels and the class names  -> OUT/words.txt

An interrupted run goes on where it stopped: a class folder gets its name when it is
complete, a validation picture when it is written.
"""

import contextlib
import io
import os
import pathlib
import shutil
import tarfile
from collections.abc import Iterator

import scipy.io
import tqdm

from bn_repro.data import tar_index
from bn_repro.errors import UserError

COUNTS = {"train": 1_281_167, "val": 50_000}
DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"
_LABELS = "data/ILSVRC2012_validation_ground_truth.txt"
_SYNSETS = "data/meta.mat"


def unpack(train_tar, val_tar, devkit, out) -> None:
    """Unpacks what is given into OUT/train/<class>/ and OUT/val/<class>/.

    Paths of the archives above, or None to leave one out; val_tar needs the devkit.

    Raises:
      UserError: an archive is missing, is not what it should be or lacks pictures, or
        the folder cannot be written; what was unpacked stays.
    """
    if not (train_tar or val_tar):
        raise UserError(
            "nothing to unpack: give ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar "
            "or both"
        )
    if val_tar and not devkit:
        raise UserError(
            f"the validation archive holds no labels: give {DEVKIT} too, which does"
        )
    for path in (train_tar, val_tar, devkit):
        if path and not os.path.isfile(path):
            raise UserError(f"{path} does not exist")
    out = pathlib.Path(out)
    try:
        _unpack(train_tar, val_tar, devkit, out)
    except OSError as error:
        raise UserError(f"cannot unpack into {out}: {error}") from error


def _unpack(train_tar, val_tar, devkit, out: pathlib.Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    if devkit:
        wnids, words, labels = read_devkit(devkit)
        lines = [f"{wnid}\t{name}\n" for wnid, name in zip(wnids, words, strict=True)]
        (out / "words.txt").write_text("".join(lines), encoding="utf-8")
    if train_tar:
        _check_count("train", train_tar, _unpack_train(train_tar, out / "train"))
    if val_tar:
        classes = [wnids[label - 1] for label in labels]
        _check_count("val", val_tar, _unpack_val(val_tar, classes, out / "val"))


def read_devkit(path) -> tuple[list[str], list[str], list[int]]:
    """Returns the WordNet ids, the class names and the validation labels.

    The first two are in the order of ILSVRC2012_ID, which counts from 1, as do the
    labels; the i-th label belongs to validation picture i.
    """
    try:
        with tarfile.open(path) as tar:
            files = {"/".join(m.name.split("/")[-2:]): m for m in tar.getmembers()}
            labels = tar.extractfile(files[_LABELS]).read()
            synsets = tar.extractfile(files[_SYNSETS]).read()
        table = scipy.io.loadmat(io.BytesIO(synsets), squeeze_me=True)["synsets"]
        # It ends with the WordNet ids above the classes; the classes are leaves.
        leaves = [row for row in table if not row["num_children"]]
        leaves.sort(key=lambda row: row["ILSVRC2012_ID"])
        wnids = [str(row["WNID"]) for row in leaves]
        words = [str(row["words"]) for row in leaves]
        labels = [int(line) for line in labels.split()]
    except Exception as error:  # gzip, tarfile and scipy raise a dozen kinds
        raise UserError(f"{path} is not {DEVKIT}: {error!r}") from error
    return wnids, words, labels


def _unpack_train(path, out: pathlib.Path) -> int:
    """Unpacks the tar of the classes' tars; returns the number of pictures."""
    count = 0
    with _members(path) as members, _progress("train") as bar:
        for name, file in members:
            if name.endswith(".tar"):
                folder = out / name.removesuffix(".tar")
                if not folder.is_dir():
                    _unpack_class(f"{path}/{name}", file, folder)
                here = len(os.listdir(folder))
                count += here
                bar.update(here)
    return count


def _unpack_class(path: str, file, folder: pathlib.Path) -> None:
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    with _members(path, file) as pictures:
        for name, picture in pictures:
            with open(partial / name, "wb") as target:
                shutil.copyfileobj(picture, target)
    partial.rename(folder)


def _unpack_val(path, classes: list[str], out: pathlib.Path) -> int:
    """Sorts the validation pictures into their classes; returns their number."""
    for wnid in set(classes):
        (out / wnid).mkdir(parents=True, exist_ok=True)
    partial, count = out / ".partial", 0
    with _members(path) as members, _progress("val") as bar:
        for name, file in members:
            target = out / classes[_number(name, path, len(classes)) - 1] / name
            if not target.exists():
                with open(partial, "wb") as written:
                    shutil.copyfileobj(file, written)
                partial.rename(target)
            count += 1
            bar.update()
    return count


def _number(name: str, path, most: int) -> int:
    """Returns i of ILSVRC2012_val_0000000i.JPEG, which counts from 1."""
    digits = name.rsplit(".", 1)[0].rsplit("_", 1)[-1]
    if not digits.isdigit() or not 1 <= int(digits) <= most:
        raise UserError(
            f"{path} holds {name}, which is not one of {most:,} validation pictures: "
            "is it ILSVRC2012_img_val.tar?"
        )
    return int(digits)


@contextlib.contextmanager
def _members(path, file=None) -> Iterator[Iterator[tuple[str, io.BufferedIOBase]]]:
    """Yields an iterator over (name without folders, content) of a tar's files."""
    options = {"fileobj": file, "tarinfo": tar_index.Header}
    try:
        with tarfile.open(None if file else path, "r:", **options) as tar:
            yield _checked(tar)
    except (tarfile.TarError, tar_index.DamagedError, EOFError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        what = f"{path} is not a complete tar ({error}): download it again"
        raise UserError(what) from error


def _checked(tar: tarfile.TarFile) -> Iterator[tuple[str, io.BufferedIOBase]]:
    for member in tar:
        if member.isreg():
            yield os.path.basename(member.name), tar.extractfile(member)
    size = tar.fileobj.seek(0, os.SEEK_END)
    tar_index.check_end(tar.fileobj, tar.offset, size)


def _progress(split: str):
    return tqdm.tqdm(desc=split, total=COUNTS[split], unit=" pictures")


def _check_count(split: str, path, count: int) -> None:
    if count != COUNTS[split]:
        raise UserError(
            f"{path} gave {count:,} of the {COUNTS[split]:,} {split} pictures: "
            "download it again, remove the class folders and repeat"
        )
