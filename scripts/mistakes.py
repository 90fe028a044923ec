r"""Shows what a network gets wrong: by class, by pair of classes, by picture.

python scripts/evaluate.py --workdir runs/imagenet/bn_x30 --save_probabilities
python scripts/mistakes.py --out mistakes \
    --probabilities runs/imagenet/bn_x30/probabilities_bn_x30_val_population_1.npz

Writes mistakes.md: the classes taken for one another, the most confident mistakes and
the accuracy of each class. Several files, with commas between them, are an ensemble:
the mean of their probabilities.
"""

from absl import flags

from bn_repro import cli

_PROBABILITIES = flags.DEFINE_list(
    "probabilities", None, "What evaluate.py --save_probabilities wrote."
)
_OUT = flags.DEFINE_string("out", None, "Folder for mistakes.md.")
_MOST = flags.DEFINE_integer("most", 30, "Pairs and pictures to list.", lower_bound=1)


def main():
    import numpy as np

    from bn_repro.analysis import mistakes
    from bn_repro.errors import UserError
    from bn_repro.inference import ensemble
    from bn_repro.run_folder import files

    paths = [path for path in _PROBABILITIES.value if path]
    if not paths:
        raise UserError("--probabilities names no file")
    out = ensemble.make_folder(_OUT.value)
    abouts, found = ensemble.read_saved(paths)
    mean = np.mean([one.probabilities for one in found], 0, dtype=np.float64)
    mask = np.logical_and.reduce([one.mask for one in found])
    numbers = [f"class {label}" for label in range(mean.shape[1])]
    names = abouts[0].get("class_names", numbers)  # older files hold no names
    labels = found[0].labels
    right = (mean.argmax(1) == labels) & mask
    title = (
        f"{', '.join(about['member'] for about in abouts)}: {right.sum():,} of "
        f"{mask.sum():,} pictures right; {(~mask).sum():,} could not be decoded"
    )
    tables = mistakes.report(mean, labels, mask, names, _MOST.value)
    files.write_atomically(
        out / "mistakes.md", f"# Mistakes\n\n{title}.\n\n{tables}".encode()
    )
    print(f"{title}\nwritten to {out / 'mistakes.md'}")


if __name__ == "__main__":
    cli.run(main, required=("probabilities", "out"))
