r"""Trains one run of an experiment, or resumes it from its workdir.

python scripts/train.py --config configs/mnist.py:bn --workdir runs/mnist/bn
python scripts/train.py --config configs/mnist.py:bn --workdir runs/mnist/fast \
    --config.optimizer.learning_rate=0.1 --config.steps=10000
"""

from absl import flags

from bn_repro import cli

_CONFIG = cli.define_config()
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for the records of the run.")
_processes = cli.define_processes()


def main():
    from bn_repro import parallel  # here, so that --help needs no jax

    parallel.initialize(*_processes())
    from bn_repro import loop

    loop.run(_CONFIG.value, _WORKDIR.value)


if __name__ == "__main__":
    cli.run(main, required=("config", "workdir"))
