r"""Trains every run of a config file, skipping what has ended, resuming what has not.

python scripts/sweep.py --config configs/mnist.py --workdir runs/mnist
python scripts/sweep.py --config configs/mnist.py --workdir runs/short \
    --only plain_seed0,bn_seed0 --config.steps=1000
"""

from absl import flags
from ml_collections import config_flags

from bn_repro import cli

_CONFIG = cli.define_config()
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run folders.")
_ONLY = flags.DEFINE_list(
    "only", [], "Runs of the config, comma-separated; all if empty."
)
_JOBS = flags.DEFINE_integer(
    "jobs", 0, "Runs at a time; 0: one a core on CPU, one after another on GPU and TPU."
)


def main() -> int:
    from bn_repro import records, sweep

    flag = flags.FLAGS["config"]
    overrides = dict(config_flags.get_override_values(flag))
    file = config_flags.get_config_filename(flag)
    members = sweep.members(file, overrides, _ONLY.value, _WORKDIR.value)
    statuses = sweep.run(members, _JOBS.value)
    ended = [name for name, status in statuses.items() if status in records.ENDED]
    print(f"{len(ended)} of {len(statuses)} runs have ended; see {_WORKDIR.value}")
    if len(ended) < len(statuses):
        print("run the same command again to resume the others")
        return 1
    return 0


if __name__ == "__main__":
    cli.run(main, required=("config", "workdir"))
