"""What the commands share: the --config flag, and errors as one clear line."""

import sys
from collections.abc import Callable
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from bn_repro import interrupt
from bn_repro.errors import UserError

ROOT = Path(__file__).resolve().parents[1]  # of the checkout; configs/ lies there


def define_config():
    """Defines --config FILE.py:RUN with its overrides --config.key=value."""
    return config_flags.DEFINE_config_file(
        "config", None, "Config file and run, for example configs/mnist.py:bn."
    )


def define_processes() -> Callable[[], tuple[str, int, int]]:
    """Defines the flags of a job of several processes.

    Returns:
      A function of nothing, to be called after the flags are parsed, to the arguments
      of `parallel.initialize`.
    """
    coordinator = flags.DEFINE_string(
        "coordinator", "", "host:port of process 0, where the cluster is not known."
    )
    count = flags.DEFINE_integer("processes", 0, "Number of processes, likewise.")
    index = flags.DEFINE_integer("process_index", -1, "Of this one, likewise.")
    return lambda: (coordinator.value, count.value, index.value)


def run(main: Callable[[], int | None], required: tuple[str, ...] = ()) -> None:
    """Parses flags and runs main; a UserError becomes one line and exit status 2.

    Args:
      main: returns an exit status or None.
      required: names of flags that must be given.
    """
    interrupt.install()
    for name in required:
        flags.mark_flag_as_required(name)
    app.run(lambda _: guarded(main), argv=sys.argv, flags_parser=_parse)


def _parse(argv):
    try:
        return flags.FLAGS(_find_configs(argv))
    except (AttributeError, KeyError) as error:  # ml_collections: an override of no key
        key = str(error).strip("\"'")
        _fail(f"the config has no key {key}; configs/common.py has all of them")
    except (flags.Error, ValueError, TypeError) as error:
        # A config file may have raised it, deep in a traceback: the last line says why.
        lines = str(error).strip().splitlines()
        _fail(lines[-1].strip().removeprefix("ValueError: "))


def guarded(main: Callable[[], int | None]) -> int:
    """Returns main's exit status; a UserError ends in one line and 2."""
    logging.set_verbosity(logging.WARNING)
    try:
        return main() or 0
    except (UserError, OSError) as error:  # such as a log on a disk that is full
        return _fail(error)


def _fail(message):
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def _find_configs(argv: list[str]) -> list[str]:
    """Returns argv with configs/x.py found in the checkout from any directory."""
    found, previous = [], ""
    for argument in argv:
        name, equals, value = argument.partition("=")
        if name == "--config" and equals:
            argument = f"--config={find_config(value)}"
        elif previous == "--config":
            argument = find_config(argument)
        found.append(argument)
        previous = argument
    return found


def find_config(value: str) -> str:
    """Returns FILE.py[:RUN] with FILE.py as it lies here or else in the checkout.

    Raises:
      UserError: it lies in neither.
    """
    file, colon, run_name = value.partition(":")
    if not Path(file).is_file():
        if not (ROOT / file).is_file():
            raise UserError(f"there is no config file {file}")
        file = str(ROOT / file)
    return file + colon + run_name
