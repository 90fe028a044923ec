r"""Trains one run of an experiment, or resumes it from its workdir.

python scripts/train.py --config configs/mnist.py:bn --workdir runs/mnist/bn
python scripts/train.py --config configs/mnist.py:bn --workdir runs/mnist/fast \
    --config.optimizer.learning_rate=0.1 --config.steps=1e4
python scripts/train.py --config configs/mnist.py:bn --workdir runs/mnist/half_rate \
    --config.optimizer.learning_rate=0.005 --branch_from runs/mnist/bn
python scripts/train.py --config configs/mnist.py --list
python scripts/train.py --config configs/mnist.py:bn --print_config
"""

from bn_repro import interrupt

if __name__ == "__main__":
    interrupt.install()  # before the imports below, which take their time

from absl import flags
from ml_collections import config_flags

from bn_repro import cli

_CONFIG = cli.define_config()
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for the records of the run.")
_restart = cli.define_restart("Forget what the workdir holds; begin anew.")
_BRANCH_FROM = flags.DEFINE_string(
    "branch_from", "", "Run folder whose newest checkpoint a new run goes on from."
)
_LIST = flags.DEFINE_bool("list", False, "Only say which runs the config file has.")
_PRINT = flags.DEFINE_bool(
    "print_config", False, "Only print the configuration as it would be trained."
)
_processes = cli.define_processes()


def main():
    if _LIST.value:
        return _list()
    if _PRINT.value:
        return _print_config()
    from bn_repro import parallel  # here, so that --help needs no jax

    parallel.initialize(*_processes())
    from bn_repro import loop

    for line in _ignored():
        parallel.say(line)
    how = {"restart": _restart(), "branch_from": _BRANCH_FROM.value}
    ended = loop.run(_CONFIG.value, _WORKDIR.value, **how)
    return interrupt.exit_status(ended)


def _list() -> None:
    from bn_repro import sweep

    file = config_flags.get_config_filename(flags.FLAGS["config"]).partition(":")[0]
    print("\n".join(sweep.listing(sweep.members(file, {}, [], ""))))


def _print_config() -> None:
    from bn_repro import resolve

    print(resolve.text(*resolve.resolve(_CONFIG.value)))
    print("".join(f"{line}\n" for line in _ignored()), end="")


def _ignored() -> list[str]:
    from bn_repro import resolve

    overrides = config_flags.get_override_values(flags.FLAGS["config"])
    return resolve.ignored(overrides, [_CONFIG.value])


if __name__ == "__main__":
    cli.run(main, required=("config", "workdir"), unless=("list", "print_config"))
