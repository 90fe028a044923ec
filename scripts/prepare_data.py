r"""Prepares a data set for this package; its subcommands name the data sets.

python scripts/prepare_data.py mnist --source FILE_OR_FOLDER
python scripts/prepare_data.py imagenet --train ILSVRC2012_img_train.tar \
    --val ILSVRC2012_img_val.tar --devkit ILSVRC2012_devkit_t12.tar.gz --out FOLDER
"""

import argparse
import functools
import pathlib
import sys

from bn_repro import arguments, cli


def mnist(options):
    """Packs MNIST into the file that the package carries."""
    from bn_repro.data import pack_mnist

    pack_mnist.pack(options.source, options.out)
    print(f"wrote {options.out}, {options.out.stat().st_size:,} bytes")


def imagenet(options):
    """Unpacks the official ImageNet archives into class folders."""
    from bn_repro.data import unpack_imagenet

    out = options.out
    unpack_imagenet.unpack(options.train, options.val, options.devkit, out)
    print(f"unpacked into {out}: name its folders in config.data.train and data.val")


OPTIONS = ("source", "out", "train", "val", "devkit")  # each takes a path


class Parser(argparse.ArgumentParser):
    """Ends a wrong command line in one line, as the other commands do."""

    def error(self, message):
        """Says which of its words are wrong."""
        strays = arguments.strays(sys.argv[2:], dict.fromkeys(OPTIONS, False), ())
        cli.fail(strays or f"{message}; see prepare_data.py --help")


def path(text: str) -> pathlib.Path:
    """Returns a path; "~" is the home, nothing is refused."""
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty")
    return pathlib.Path(text).expanduser()


def parse(argv):
    """Returns the arguments of one subcommand, with its function as `run`."""
    parser = Parser(description=__doc__.splitlines()[0], allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="DATA_SET")
    add_parser = functools.partial(commands.add_parser, allow_abbrev=False)
    command = add_parser("mnist", help=mnist.__doc__)
    command.set_defaults(run=mnist)
    add_path = functools.partial(command.add_argument, type=path)
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
    command = add_parser("imagenet", help=imagenet.__doc__)
    command.set_defaults(run=imagenet)
    add_path = functools.partial(command.add_argument, type=path)
    add_path(
        "--train", help="ILSVRC2012_img_train.tar; without it no training pictures"
    )
    add_path("--val", help="ILSVRC2012_img_val.tar; without it no validation pictures")
    add_path("--devkit", help="ILSVRC2012_devkit_t12.tar.gz; needed with --val")
    add_path("--out", required=True, help="folder for train/ and val/")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    """Runs one subcommand; returns the exit code."""
    options = parse(argv)
    return cli.guarded(lambda: options.run(options))


if __name__ == "__main__":
    sys.exit(main())
