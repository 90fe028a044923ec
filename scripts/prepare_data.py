"""Prepares a data set for this package; its subcommands name the data sets.

python scripts/prepare_data.py mnist --source FILE_OR_FOLDER
"""

import argparse
import pathlib
import sys

from bn_repro import cli


def mnist(arguments):
    """Packs MNIST into the file that the package carries."""
    from bn_repro.data import pack_mnist

    pack_mnist.pack(arguments.source, arguments.out)
    print(f"wrote {arguments.out}, {arguments.out.stat().st_size:,} bytes")


def parse(argv):
    """Returns the arguments of one subcommand, with its function as `run`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="DATA_SET")
    command = commands.add_parser("mnist", help=mnist.__doc__)
    command.set_defaults(run=mnist)
    command.add_argument(
        "--source",
        type=pathlib.Path,
        required=True,
        help="mnist.npz, or the folder of the four official IDX files (plain or .gz)",
    )
    command.add_argument(
        "--out",
        type=pathlib.Path,
        default=cli.ROOT / "bn_repro" / "data" / "mnist.npz",
        help="the packed file [%(default)s]",
    )
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Runs one subcommand; returns the exit code."""
    arguments = parse(argv)
    return cli.guarded(lambda: arguments.run(arguments))


if __name__ == "__main__":
    sys.exit(main())
