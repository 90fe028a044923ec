r"""Writes a run folder with the weights of a Caffe or PyTorch port of BN-Inception.

python scripts/import_weights.py --weights bn_inception.pth \
    --config configs/imagenet.py:bn_baseline --workdir runs/imagenet/port \
    --config.data.val=/imagenet/val

The weights are a state dict (conv1_7x7_s2.weight, ..., last_linear.bias), saved by
torch.save, which needs the extra "bench" to be read, or as .npz.
"""

from absl import flags

from bn_repro import cli

_CONFIG = cli.define_config()
_WEIGHTS = flags.DEFINE_string("weights", None, "The state dict, .pth or .npz.")
_WORKDIR = flags.DEFINE_string("workdir", None, "The new run folder.")
_CHANNELS = flags.DEFINE_enum(
    "channels", "bgr", ["bgr", "rgb"], "The order of channels that the port expects."
)
_MEAN = flags.DEFINE_list(
    "mean",
    None,
    "Subtracted from each of these channels, of 255; by default 104 from blue, 117 "
    "from green and 128 from red.",
)
_DEVIATION = flags.DEFINE_list(
    "deviation", ["1", "1", "1"], "What the difference is divided by, of 255."
)


def main():
    from bn_repro.inference import import_weights  # here, so that --help needs no jax

    mean = None if _MEAN.value is None else numbers("mean", _MEAN.value)
    deviation = numbers("deviation", _DEVIATION.value)
    path = import_weights.import_run(
        _WEIGHTS.value, _CONFIG.value, _WORKDIR.value, _CHANNELS.value, mean, deviation
    )
    print(f"wrote {path}; scripts/evaluate.py --workdir {_WORKDIR.value} evaluates it")


def numbers(name: str, texts: list[str]) -> list[float]:
    """Returns three numbers; raises UserError, naming the flag, for anything else."""
    from bn_repro.errors import UserError

    try:
        values = [float(text) for text in texts]
    except ValueError:
        values = []
    if len(values) != 3:
        raise UserError(f"--{name} is {','.join(texts)}; it must be three numbers")
    return values


if __name__ == "__main__":
    cli.run(main, required=("weights", "config", "workdir"))
