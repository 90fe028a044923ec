r"""Evaluates trained runs: one crop, 10 or 144, ensembles (Sec. 4.2.3, Fig. 4).

python scripts/evaluate.py --workdir runs/imagenet/bn_x30
python scripts/evaluate.py --workdir runs/imagenet/bn_x30 --crops 144 \
    --train /imagenet/train --val /imagenet/val
python scripts/evaluate.py --workdir runs/ensemble --members member_1,member_2 \
    --crops 144 --save_probabilities
python scripts/evaluate.py --workdir runs/ensemble \
    --probabilities a/probabilities_member_1_val_population_144.npz,b/...

Prints top-1 and top-5 error and writes evaluation_*.json to the workdir (or --out).
Interrupted, the same command goes on where it stopped.
"""

from absl import flags

from bn_repro import cli

_WORKDIR = flags.DEFINE_string("workdir", None, "A run folder, or the members' folder.")
_MEMBERS = flags.DEFINE_list(
    "members", [], "Run folders to average over, as they are or in the workdir."
)
_CROPS = flags.DEFINE_integer("crops", 1, "Views of each picture: 1, 10 or 144.")
_STATISTICS = flags.DEFINE_string(
    "statistics", "population", "population (Algorithm 2) or ema (moving averages)."
)
_SPLIT = flags.DEFINE_string("split", "", "val, test or train; empty: held-out data.")
_TRAIN = flags.DEFINE_string("train", "", "Training pictures, if not where they were.")
_VAL = flags.DEFINE_string("val", "", "Validation pictures, if not where they were.")
_LIMIT = flags.DEFINE_integer("limit", 0, "Only so many pictures; 0: as in the run.", 0)
_BATCH = flags.DEFINE_integer(
    "batch_size", 0, "Forward passes a call; 0: as the run.", 0
)
_WORKERS = flags.DEFINE_integer(
    "workers", -1, "Decoding processes; -1: as the run.", -1
)
_OUT = flags.DEFINE_string("out", "", "Folder for the results; empty: the workdir.")
_SAVE = flags.DEFINE_bool("save_probabilities", False, "Keep each member's.")
_PROBABILITIES = flags.DEFINE_list(
    "probabilities", [], "Saved probabilities to average over, instead of members."
)
_processes = cli.define_processes()


def main():
    from bn_repro import parallel
    from bn_repro.inference import ensemble

    out = _OUT.value or _WORKDIR.value
    if _PROBABILITIES.value:
        _refuse_what_is_saved()
        return _print(ensemble.combine(_PROBABILITIES.value, out))
    parallel.initialize(*_processes())
    row = ensemble.evaluate(
        _networks(),
        parallel.make_mesh(),
        out,
        crops=_CROPS.value,
        statistics=_STATISTICS.value,
        split_name=_SPLIT.value,
        batch_size=_BATCH.value,
        limit=_LIMIT.value,
        save_probabilities=_SAVE.value,
        say=parallel.say,
    )
    return _print(row) if parallel.is_main() else None


def _refuse_what_is_saved():
    from bn_repro.errors import UserError

    fixed = (_MEMBERS, _CROPS, _STATISTICS, _SPLIT, _TRAIN, _VAL, _LIMIT, _SAVE)
    if given := [f"--{flag.name}" for flag in fixed if flag.present]:
        raise UserError(
            f"{', '.join(given)} cannot be with --probabilities, which are as they "
            "were saved; leave it out, or name --members to evaluate them anew"
        )


def _networks():
    from pathlib import Path

    from bn_repro.inference import members

    given = {"data.train": _TRAIN.value, "data.val": _VAL.value}
    overrides = {key: value for key, value in given.items() if value}
    if _WORKERS.value >= 0:
        overrides["data.workers"] = _WORKERS.value
    workdir = Path(_WORKDIR.value)
    names = [name for name in _MEMBERS.value if name]  # a comma too many is nobody
    paths = [_below(workdir, Path(name)) for name in names] or [workdir]
    return [members.load(path, overrides=overrides) for path in paths]


def _below(folder, path):
    return folder / path if (folder / path).is_dir() else path


def _print(row: dict) -> None:
    names = ", ".join(row["members"])
    print(
        f"{names}: top-1 error {100 * row['top1_error']:.2f} %, top-5 error "
        f"{100 * row['top5_error']:.2f} % of {row['count']:,} pictures"
    )


if __name__ == "__main__":
    cli.run(main, required=("workdir",))
