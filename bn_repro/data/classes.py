"""Which class a label is: names of class folders, their order, and words for them.

A class is known by the name of its folder, for ImageNet the WordNet id. Names are
compared as text in Unicode's composed form (NFC), so that what macOS, Linux and a tar
make of one name is one name; what is not UTF-8 is read as Latin-1.
"""

import codecs
import decimal
import re
import unicodedata
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bn_repro.errors import UserError

_NUMBER = r"(\D*)(\d+(?:\.\d+)?)(\D*)"  # with what is before and after it
WORDS_FILES = ("LOC_synset_mapping.txt", "synset_words.txt", "words.txt")


class Classes(NamedTuple):
    """The classes of a run or of a data set, in the order of the labels."""

    names: tuple[str, ...]  # for people
    # of the class folders; empty where a run from before did not record them
    folders: tuple[str, ...] = ()


def text(name: str | bytes) -> str:
    """Returns a file's name as text that every terminal and JSON file can hold."""
    if isinstance(name, str):
        name = name.encode("utf-8", "surrogateescape")
    try:
        decoded = name.decode("utf-8")
    except UnicodeDecodeError:
        decoded = name.decode("latin-1")
    return unicodedata.normalize("NFC", decoded)


def in_order(folders) -> list[str]:
    """Returns class folders in the order of labels: sorted, numbers by their value.

    Names are numbers if they differ in one number alone, such as 9, -1.5 and class_10.
    """
    folders = sorted(folders)
    found = [re.fullmatch(_NUMBER, name, re.ASCII) for name in folders]
    around = {(match[1], match[3]) for match in found if match}
    signed = around <= {("", ""), ("-", "")}  # else a "-" is a hyphen
    if not all(found) or (len(around) > 1 and not signed):
        return folders
    number = {m[0]: decimal.Decimal(m[0] if signed else m[2]) for m in found}
    return sorted(folders, key=number.get)


def listed(names, most: int = 5) -> str:
    """Returns the first of the names in one line; quoted where it would not be seen."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(map(shown, names[:most])) or "none") + more


def shown(name: str) -> str:
    """Returns a name as it is said in one line."""
    return repr(name) if name != name.strip() or not name.isprintable() else name


def readable_names(folders, places) -> list[str]:
    """Returns names for people from the first words file found, else the folders'.

    A line of a words file is a class folder's name, white space and the words; a class
    that it does not name keeps its folder's. It may be UTF-8, with a byte order mark or
    not, or Latin-1, and lie in any of the `places`.
    """
    for file in (Path(place, name) for place in places for name in WORDS_FILES):
        if file.is_file():
            words = _words(file)
            return [words.get(folder, folder) for folder in folders]
    return list(folders)


def _words(file: Path) -> dict[str, str]:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    content = content.decode("utf-16", "replace") if wide else content
    lines = text(content).removeprefix("\ufeff").splitlines()
    tabs = (line.split("\t", 1) for line in lines)  # a name may hold spaces
    pairs = (pair if len(pair) == 2 else pair[0].split(maxsplit=1) for pair in tabs)
    return {pair[0].strip(): pair[1].strip() for pair in pairs if len(pair) == 2}


def labels_in(recorded: Classes, found: Classes, described: str) -> np.ndarray:
    """Returns the label that a run gives to each class of a data set, int32 [classes].

    `recorded` are the run's classes, `found` the data set's; `described` names the data
    set in the message.

    Raises:
      UserError: they are not the same classes, in whatever order; names those that
        differ.
    """
    matched = False
    for theirs, ours in (
        (recorded.folders, found.folders),
        (recorded.names, found.names),
        (recorded.names, found.folders),
    ):
        theirs, ours = [text(name) for name in theirs], [text(name) for name in ours]
        if theirs == ours and ours:
            return np.arange(len(ours), dtype=np.int32)
        matched |= bool(ours) and sorted(theirs) == sorted(ours)
        if len({*theirs}) == len(ours) and {*theirs} == {*ours}:
            label = {name: i for i, name in enumerate(theirs)}
            return np.array([label[name] for name in ours], np.int32)
    if matched:
        raise UserError(
            f"{described} has several classes of one name, in another order than the "
            "run, which recorded no folders: name the pictures that it was trained on"
        )
    theirs = {*map(text, recorded.folders or recorded.names)}
    ours = {*map(text, found.folders if recorded.folders else found.names)}
    raise UserError(
        f"{described} has other classes than the run (only in the run: "
        f"{listed(sorted(theirs - ours))}; only there: "
        f"{listed(sorted(ours - theirs))}): "
        "its classes.json says what the network was trained on; name the same folders"
    )
