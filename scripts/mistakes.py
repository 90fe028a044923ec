r"""Shows what a network gets wrong: by class, by pair of classes, in pictures.

python scripts/evaluate.py --workdir runs/imagenet/bn_x30 --save_probabilities
python scripts/mistakes.py --val /imagenet/val --out mistakes \
    --probabilities runs/imagenet/bn_x30/probabilities_bn_x30_val_population_1.npz
python scripts/mistakes.py --out mistakes \
    --probabilities a/probabilities_member_1_val_population_144.npz,b/...

Writes mistakes.md: the classes taken for one another, the most confident mistakes and
the accuracy of each class; and mistakes.png, the pictures of those mistakes. They are
read from --val; without it only the tables are written. MNIST's are in the package,
as that has them: white where a pixel of 0..255 is above 127.
Several files are an ensemble: the mean of their probabilities.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from absl import flags

from bn_repro import cli

_PROBABILITIES = flags.DEFINE_list(
    "probabilities", None, "What evaluate.py --save_probabilities wrote."
)
_VAL = flags.DEFINE_string(
    "val", "", "The pictures that were evaluated: folder or tar, as for evaluate.py."
)
_OUT = flags.DEFINE_string("out", None, "Folder for mistakes.md and mistakes.png.")
_PICTURES = flags.DEFINE_integer(
    "pictures", 24, "Most confident mistakes to show.", lower_bound=1
)
_PAIRS = flags.DEFINE_integer("pairs", 30, "Pairs of classes to show.", lower_bound=1)

WORDNET_ID = re.compile(r"n\d{8}")
NUMBERED = "class "  # and a label: a class of unknown name


class Pictures(NamedTuple):
    """The pictures that were evaluated.

    Attributes:
      class_names: in the order of labels.
      read: index of a picture -> its name, and it, uint8 [H, W, 3] or [H, W].
    """

    class_names: list[str]
    read: Callable[[int], tuple]


def main():
    from pathlib import Path

    from bn_repro.analysis import mistakes
    from bn_repro.errors import UserError
    from bn_repro.run_folder import files

    paths = [path for path in _PROBABILITIES.value if path]
    if not paths:
        raise UserError("--probabilities names no file")
    about, probabilities, labels, mask = _saved(paths)
    pictures = _open_pictures(about, labels)
    names = mistakes.short_names(_class_names(about, pictures))
    found = mistakes.confident_mistakes(probabilities, labels, mask, _PICTURES.value)
    scores = mistakes.class_scores(probabilities[mask], labels[mask])
    counts = mistakes.confusion(probabilities[mask], labels[mask])
    pairs = mistakes.confused_pairs(counts, _PAIRS.value)
    title = _title(about, scores, (~mask).sum())
    out = Path(_OUT.value)
    with files.naming(out, "write"):
        out.mkdir(parents=True, exist_ok=True)
    called = _write_sheet(out, pictures, found, names, title) if pictures else ()
    _write_tables(out, scores, pairs, found, called, names, title)
    print(f"{title}\nwritten to {out}")
    for remark in _remarks(pictures, found, names):
        print(remark)


def _saved(paths: list[str]):
    """Returns what the saved probabilities are of, their mean, labels and mask."""
    import numpy as np

    from bn_repro.inference import ensemble

    abouts, found = ensemble.read_saved(paths)
    mean = np.mean([one.probabilities for one in found], 0, dtype=np.float64)
    mask = np.logical_and.reduce([one.mask for one in found])
    about = abouts[0] | {"members": [about["member"] for about in abouts]}
    return about, mean.astype(np.float32), found[0].labels, mask  # as evaluate.py


def _open_pictures(about: dict, labels) -> Pictures | None:
    """Returns the evaluated pictures, or None where nothing says where they are."""
    from bn_repro.errors import UserError

    split = about["split"]
    if _VAL.value and split != "test":
        return _open_folder(about, labels)
    digits = _digits(split, labels)
    if split == "test" and not digits:
        raise UserError(
            f"the {len(labels):,} pictures that were evaluated are not the first of "
            f"MNIST's test digits"
        )
    return digits


def _digits(split: str, labels) -> Pictures | None:
    """Returns the package's digits of a split, None if they have other labels."""
    import numpy as np

    from bn_repro.data import mnist

    if split not in ("test", "train"):
        return None
    splits = mnist.read_packed()
    images, known = getattr(splits, split)
    if not np.array_equal(known[: len(labels)], labels):  # as evaluate.py --limit
        return None

    def read(index: int):
        return f"{split} image {index}", 255 * images[index]

    return Pictures(splits.class_names, read)


def _open_folder(about: dict, labels) -> Pictures:
    import numpy as np
    from ml_collections import config_dict

    from bn_repro.data import decode, image_folder, source_views
    from bn_repro.errors import UserError

    data = {"train": "", about["split"]: _VAL.value, "classes": about["classes"]}
    source = image_folder.open_source(config_dict.ConfigDict(data), about["split"])
    # As evaluate.py --limit chooses them.
    places = source_views.evenly_spaced(len(source), len(labels))
    saved = about.get("class_names", source.class_names)
    if saved not in (source.class_names, source.wnids) or not (
        len(labels) <= len(source) and np.array_equal(source.labels[places], labels)
    ):
        raise UserError(
            f"--val={_VAL.value} does not hold the {len(labels):,} pictures that were "
            f"evaluated, or not with the same names of classes beside them"
        )

    def read(index: int):
        record = source[int(places[index])]
        picture = decode.decode(record["jpeg"])
        if picture is None:
            raise UserError(f"{record['name']} in {_VAL.value} cannot be decoded")
        return record["name"], picture

    return Pictures(source.class_names, read)


def _class_names(about: dict, pictures: Pictures | None) -> list[str]:
    if pictures:
        return pictures.class_names
    numbers = [f"{NUMBERED}{label}" for label in range(about["classes"])]
    return about.get("class_names", numbers)  # older files hold no names


def _title(about: dict, scores, undecodable: int) -> str:
    correct, count = (sum(getattr(s, k) for s in scores) for k in ("correct", "count"))
    views = f"{about['crops']} view{'s' if about['crops'] > 1 else ''}"
    left_out = f"; {undecodable:,} could not be decoded" if undecodable else ""
    return (
        f"{', '.join(about['members'])}, {about['split']}, {views}, "
        f"{about['statistics']}: {correct:,} of {count:,} pictures right{left_out}"
    )


def _remarks(pictures, found, names) -> list[str]:
    remarks = []
    if not pictures:
        remarks.append("without mistakes.png: --val must name the evaluated pictures")
    elif not found:
        remarks.append("without mistakes.png: there is no mistake to show")
    if all(WORDNET_ID.fullmatch(name) for name in names):
        remarks.append("classes have no words: put synset_words.txt beside --val")
    elif all(name.startswith(NUMBERED) for name in names):
        remarks.append("classes are numbers: evaluate again, or give --val")
    return remarks


def _write_sheet(out, pictures: Pictures, found, names, title: str) -> list[str]:
    """Writes the contact sheet, if there is a mistake; returns the pictures' names."""
    from bn_repro.analysis import mistakes_report
    from bn_repro.run_folder import files

    called, shown = [], []
    for mistake in found:
        name, picture = pictures.read(mistake.index)
        called.append(name)
        shown.append(picture)
    if found:
        figure = mistakes_report.contact_sheet(found, shown, names, title)
        with files.naming(out / "mistakes.png", "write"):
            figure.savefig(out / "mistakes.png")
    return called


def _write_tables(out, scores, pairs, found, called, names, title: str) -> None:
    from bn_repro.analysis import mistakes_report
    from bn_repro.run_folder import files

    tables = [
        mistakes_report.pairs_table(pairs, names),
        mistakes_report.mistakes_table(found, names, called),
        mistakes_report.class_table(scores, names),
    ]
    head = f"# Mistakes\n\n{title}." + (" Pictures: mistakes.png." if called else "")
    text = "\n".join([f"{head}\n", *(table.markdown() for table in tables)])
    files.write_atomically(out / "mistakes.md", text.encode())


if __name__ == "__main__":
    cli.run(main, required=("probabilities", "out"))
