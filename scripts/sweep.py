r"""Trains every run of a config file, skipping what has ended, resuming what has not.

python scripts/sweep.py --config configs/mnist.py --workdir runs/mnist
python scripts/sweep.py --config configs/mnist.py --workdir runs/short \
    --only plain_seed0,bn_seed0 --config.steps=1000
python scripts/sweep.py --config configs/mnist.py --workdir runs/mnist --list
python scripts/sweep.py --config configs/mnist.py:plain,bn --workdir runs/rates \
    --axis optimizer.learning_rate=1e-3:10:9log --axis seed=0:5  # 90 runs
python scripts/sweep.py --config configs/mnist.py --config configs/mnist_variations.py \
    --workdir runs/both  # in runs/both/mnist_bn_seed0, mnist_variations_...
python scripts/sweep.py --config configs/mnist_lr_sweep.py --workdir /shared/runs \
    --index 3 --count 8  # the members 3, 11, ...: see scripts/slurm, scripts/k8s

Executors: processes (default on CPU), a process on each core takes members one by one;
devices, a process on each GPU or TPU chip of the host does;
vmap (default on GPU and TPU where the data fit on the device), members that differ in
rate, initial scale and seed in one program; here (default there otherwise), one after
another on all devices. Ctrl-C or SIGTERM: every member saves; the same command resumes.
"""

from bn_repro import interrupt

if __name__ == "__main__":
    interrupt.install()  # before the imports below, which take their time

import sys

from absl import flags
from ml_collections import config_flags

from bn_repro import cli, config_files
from bn_repro.errors import UserError

_CONFIG = cli.define_config()
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run folders.")
_ONLY = flags.DEFINE_list(
    "only", [], "Runs of the config, comma-separated; all if empty."
)
_ALSO = flags.DEFINE_multi_string(
    "also", [], "Further FILE.py:RUN,RUN: what a second --config becomes."
)
_AXES = flags.DEFINE_multi_string(
    "axis", [], "KEY=VALUES: train each value, with each of the other axes' values."
)
_EXECUTOR = flags.DEFINE_string(
    "executor", "", "processes, devices, vmap or here; empty: see above."
)
_JOBS = flags.DEFINE_integer(
    "jobs", 0, "Processes, each on an equal share of the cores; 0: one a core."
)
_INDEX = flags.DEFINE_integer(
    "index", None, "Of this task in an array of jobs: run only its members."
)
_COUNT = flags.DEFINE_integer(
    "count", 0, "Tasks in the array; task i runs members i, i + count, ...; 0: one each"
)
_restart = cli.define_restart("Forget what the chosen runs' folders hold; begin anew.")
_LIST = flags.DEFINE_bool(
    "list", False, "Only say which runs there are and how they stand."
)
_DRY_RUN = flags.DEFINE_bool(
    "dry_run", False, "Only print the first run's configuration, and what all cost."
)


def main() -> int:
    from bn_repro import resolve, sweep
    from bn_repro.run_folder import records

    flag = flags.FLAGS["config"]
    overrides = dict(config_flags.get_override_values(flag))
    file, _, name = config_flags.get_config_filename(flag).partition(":")
    chosen = [(file, [*_ONLY.value, name])]
    for value in _ALSO.value:
        file, _, names = config_files.find(value).partition(":")
        chosen.append((file, names.split(",")))
    folder = _WORKDIR.value or ""
    members = sweep.of_files(chosen, overrides, folder, _AXES.value)
    for line in resolve.ignored(overrides, [m.load_config() for m in members]):
        print(line, file=sys.stderr)
    if _LIST.value:
        print("\n".join(sweep.listing(members, folder)))
        return 0
    if _DRY_RUN.value:
        print(sweep.dry_run(members))
        return 0
    if _COUNT.value and _INDEX.value is None:
        raise UserError("--count is given without --index, which of them this is")
    if _INDEX.value is not None:
        members = sweep.share(members, _INDEX.value, _COUNT.value)
    statuses = sweep.run(members, _EXECUTOR.value, _JOBS.value, _restart())
    ended = [name for name, status in statuses.items() if status in records.ENDED]
    print(f"{len(ended)} of {len(statuses)} runs have ended; see {_WORKDIR.value}")
    if len(ended) < len(statuses):
        print(f"{interrupt.same_command()} resumes the others")
        return interrupt.exit_status("interrupted") or 1
    return 0


if __name__ == "__main__":
    cli.run(main, required=("config", "workdir"), unless=("list", "dry_run"))
