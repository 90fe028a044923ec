r"""Writes a trained run's inference network as files that need no bn_repro.

python scripts/export.py --workdir runs/imagenet/bn_x30 --out exported/bn_x30
python scripts/export.py --workdir runs/mnist/bn_seed0 --out exported/mnist \
    --statistics ema

BN is folded into the weights (Algorithm 2, step 11). network.bin is read with
jax.export, network.json has labels and preprocessing; docs/inference.md has a loader.
"""

from absl import flags

from bn_repro import cli

_WORKDIR = flags.DEFINE_string("workdir", None, "The run folder.")
_OUT = flags.DEFINE_string("out", None, "Folder for network.bin and network.json.")
_STATISTICS = flags.DEFINE_string(
    "statistics", "population", "population (Algorithm 2) or ema (moving averages)."
)
_PLATFORMS = flags.DEFINE_list("platforms", ["cpu", "cuda", "tpu"], "To export for.")
_TRAIN = flags.DEFINE_string("train", "", "Training pictures, if not where they were.")
_VAL = flags.DEFINE_string(
    "val",
    "",
    "Validation pictures, if not where they were. The classes' names are taken from "
    "there; without it they are those that the run recorded.",
)


def main():
    from bn_repro import parallel
    from bn_repro.data.classes import Classes
    from bn_repro.inference import ensemble, export, members

    given = {"data.train": _TRAIN.value, "data.val": _VAL.value}
    overrides = {key: value for key, value in given.items() if value}
    member = members.load(_WORKDIR.value, overrides=overrides)
    if _VAL.value:  # may have words where the run recorded WordNet ids
        folders = member.classes.folders or member.classes.names
        member = member._replace(classes=Classes((), folders))
    mesh = parallel.make_mesh()
    variables = ensemble.chosen_variables(member, _STATISTICS.value, mesh)
    export.write(member, variables, _OUT.value, tuple(_PLATFORMS.value))
    print(f"written to {_OUT.value}")


if __name__ == "__main__":
    cli.run(main, required=("workdir", "out"))
