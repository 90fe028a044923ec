r"""Prepares a data set for this package; its subcommands name the data sets.

python scripts/prepare_data.py mnist --source FILE_OR_FOLDER
python scripts/prepare_data.py imagenet --train ILSVRC2012_img_train.tar \
    --val ILSVRC2012_img_val.tar --devkit ILSVRC2012_devkit_t12.tar.gz --out FOLDER
"""

import argparse
import functools
import pathlib
import sys

from bn_repro import cli


def mnist(arguments):
    """Packs MNIST into the file that the package carries."""
    from bn_repro.data import pack_mnist

    pack_mnist.pack(arguments.source, arguments.out)
    print(f"wrote {arguments.out}, {arguments.out.stat().st_size:,} bytes")


def imagenet(arguments):
    """Unpacks the official ImageNet archives into class folders."""
    from bn_repro.data import unpack_imagenet

    out = arguments.out
    unpack_imagenet.unpack(arguments.train, arguments.val, arguments.devkit, out)
    print(f"unpacked into {out}: name its folders in config.data.train and data.val")


def parse(argv):
    """Returns the arguments of one subcommand, with its function as `run`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="DATA_SET")
    command = commands.add_parser("mnist", help=mnist.__doc__)
    command.set_defaults(run=mnist)
    add_path = functools.partial(command.add_argument, type=pathlib.Path)
    add_path(
        "--source",
        required=True,
        help="mnist.npz, or the folder of the four official IDX files (plain or .gz)",
    )
    add_path(
        "--out",
        default=cli.ROOT / "bn_repro" / "data" / "mnist.npz",
        help="the packed file [%(default)s]",
    )
    command = commands.add_parser("imagenet", help=imagenet.__doc__)
    command.set_defaults(run=imagenet)
    add_path = functools.partial(command.add_argument, type=pathlib.Path)
    add_path(
        "--train", help="ILSVRC2012_img_train.tar; without it no training pictures"
    )
    add_path("--val", help="ILSVRC2012_img_val.tar; without it no validation pictures")
    add_path("--devkit", help="ILSVRC2012_devkit_t12.tar.gz; needed with --val")
    add_path("--out", required=True, help="folder for train/ and val/")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Runs one subcommand; returns the exit code."""
    arguments = parse(argv)
    return cli.guarded(lambda: arguments.run(arguments))


if __name__ == "__main__":
    sys.exit(main())
