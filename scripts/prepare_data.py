"""Prepares a data set for this package; its subcommands name the data sets."""

import argparse
import pathlib
import sys

from bn_repro.errors import UserError


def mnist(arguments):
    """Packs MNIST into the file that the package carries."""
    from bn_repro.data import pack_mnist

    pack_mnist.pack(arguments.source, arguments.out)
    print(f"wrote {arguments.out}, {arguments.out.stat().st_size:,} bytes")


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__)
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
        default=pathlib.Path(__file__).parents[1] / "bn_repro" / "data" / "mnist.npz",
        help="the packed file [%(default)s]",
    )
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Runs one subcommand; returns the exit code."""
    arguments = parse(argv)
    try:
        arguments.run(arguments)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
