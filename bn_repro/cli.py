"""What the commands share: the --config flag, and errors as one clear line."""

import codecs
import os
import re
import select
import signal
import sys
from collections.abc import Callable

from absl import app, flags, logging
from ml_collections import config_flags

from bn_repro import arguments, config_files, help_text, interrupt, program_cache
from bn_repro.config_files import ROOT  # noqa: F401 (where scripts look for files)
from bn_repro.errors import UserError
from bn_repro.run_folder import files

FOLDERS = {"workdir", "out", "branch_from"}  # flags of what is written and read
PLATFORMS = ("JAX_PLATFORM_NAME", "JAX_PLATFORMS")  # what JAX is told by
HELP = {"?", "h", "help", "helpshort"}
FULL_HELP = {"helpfull", "helpxml"}  # absl's
NO_SWITCH = r"\('Non-boolean argument to boolean flag', (.+)\)"  # absl's words
# What a terminal of few letters shows instead; anything else becomes "?".
PLAIN = {"±": "+-", "×": "x", "−": "-", "–": "-", "→": "->", "…": "...", "≥": ">="}


def define_config():
    """Defines --config FILE.py:RUN with its overrides --config.key=value."""
    try:
        return config_flags.DEFINE_config_file(
            "config",
            None,
            "Config file and run: configs/mnist.py:bn, or mnist:bn for a packaged one.",
        )
    except flags.Error as error:  # of a --flagfile, which it reads
        fail(str(error).removeprefix("ERROR:: "))


def define_restart(what: str) -> Callable[[], bool]:
    """Defines --restart; returns a function of nothing to whether to begin anew.

    A job that Slurm has put back into its queue goes on, as it would without the flag.
    """
    flag = flags.DEFINE_bool("restart", False, what)

    def restart() -> bool:
        requeued = os.environ.get("SLURM_RESTART_COUNT", "0") != "0"
        if flag.value and requeued:
            print("--restart is passed over: Slurm requeued this job", file=sys.stderr)
        return flag.value and not requeued

    return restart


_KEEP = flags.DEFINE_bool(
    "keep_programs",
    True,
    "Keep compiled programs in the user's cache folder, to start sooner the next time.",
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
    count = flags.DEFINE_integer("processes", 0, "How many processes, likewise.")
    index = flags.DEFINE_integer(
        "process_index", -1, "Which of the processes this is, from 0, likewise."
    )
    return lambda: (coordinator.value, count.value, index.value)


def run(
    main: Callable[[], int | None],
    required: tuple[str, ...] = (),
    unless: tuple[str, ...] = (),
) -> None:
    """Parses flags and runs main; a UserError becomes one line and exit status 2.

    Args:
      main: returns an exit status or None.
      required: names of flags that must be given, and not empty.
      unless: names of switches; with one of them only the first required flag must be.
    """
    interrupt.install()

    def parse(argv):
        try:
            return _parse(argv, required, unless)
        except (UserError, flags.Error, ValueError, TypeError) as error:
            line = str(error).strip().splitlines()[-1]
            fail(re.sub(NO_SWITCH, r"\1 is neither true nor false", line))

    app.run(lambda _: guarded(main), argv=sys.argv, flags_parser=parse)


def _parse(argv: list[str], required, unless) -> list[str]:
    program, *words = argv
    words = [arguments.at_home(word) for word in words]
    given = arguments.given(words)
    if not FULL_HELP.isdisjoint(given):
        return flags.FLAGS(argv)
    words, keys = config_files.in_words(words, flags.FLAGS)
    if not HELP.isdisjoint(given):
        _print_and_exit(help_text.page(sys.modules["__main__"].__doc__, keys))
    config_files.check_overrides(given, keys)
    takes = {name: _takes(flags.FLAGS[name]) for name in flags.FLAGS}
    kinds = {bool: arguments.SWITCH, str: arguments.TEXT, tuple: arguments.LIST}
    takes |= {
        f"config.{key}": kinds.get(type(value), arguments.NUMBER)
        for key, value in keys.items()
    }
    # Overrides of a config file that is missing are not unknown.
    flagged = [name for name in given if keys or not name.startswith("config.")]
    needed = required if given.keys().isdisjoint(unless) else required[:1]
    problem = (
        arguments.unknown(flagged, takes)
        or arguments.without_value(words, takes)
        or arguments.strays(words, takes, keys)
        or _missing([name for name in needed if name not in given])
    )
    if problem:
        raise UserError(problem)
    _accept_exponents()
    with config_files.own_configs():
        rest = flags.FLAGS([program, *words])
    _refuse_empty(rest, needed)
    return rest


def _print_and_exit(text: str) -> None:
    print_anything()
    try:
        print(text, flush=True)
    except BrokenPipeError:  # of --help | head; a closing stdout would complain again
        os._exit(0)
    sys.exit(0)


def _takes(flag) -> str:
    """Returns what a flag takes, see `arguments`."""
    if flag.boolean:
        return arguments.SWITCH
    if isinstance(flag.parser, flags.ListParser):
        return arguments.LIST
    numeric = isinstance(flag.parser, flags.IntegerParser | flags.FloatParser)
    return arguments.NUMBER if numeric else arguments.TEXT


def _missing(names: list[str]) -> str:
    """Returns what flags of these names are for and an example, or "" if none."""
    if not names:
        return ""
    told = [f"--{name} ({flags.FLAGS[name].help.rstrip('.')})" for name in names]
    main = sys.modules["__main__"]
    script = os.path.basename(getattr(main, "__file__", ""))
    example = help_text.documentation(arguments.example(main.__doc__, script))
    return f"give {' and '.join(told)}; for example: {example}"


def _refuse_empty(rest: list[str], needed) -> None:
    if len(rest) > 1:  # out of a --flagfile
        raise UserError(f"{rest[1]!r} belongs to no flag")
    for name in needed:
        value = flags.FLAGS[name].value
        if not (value.strip() if isinstance(value, str) else value):
            raise UserError(f"--{name} is empty; give {flags.FLAGS[name].help}")
    for name in FOLDERS & set(flags.FLAGS):
        files.refuse_remote(flags.FLAGS[name].value or "")


class _WholeNumber(flags.IntegerParser):
    """An integer that may be written as 1e4."""

    def convert(self, argument) -> int:
        """Returns the integer; ValueError if it is none."""
        try:
            return super().convert(argument)
        except ValueError:
            scientific = re.fullmatch(r"\d+(\.\d*)?e\+?\d\d?", argument, re.I)
            if scientific and float(argument).is_integer():
                return int(float(argument))
            raise ValueError(f"{argument!r} is no whole number") from None


def _accept_exponents() -> None:
    """Lets integer flags and overrides be written as 1e4."""
    config_flags.register_flag_parser_for_type(int, _WholeNumber())
    for name in flags.FLAGS:
        flag = flags.FLAGS[name]
        if type(flag.parser) is flags.IntegerParser:
            flag.parser = _WholeNumber(flag.parser.lower_bound, flag.parser.upper_bound)


def guarded(main: Callable[[], int | None]) -> int:
    """Returns main's exit status; a UserError ends in one line and 2."""
    logging.set_verbosity(logging.WARNING)
    program_cache.keep(not flags.FLAGS.is_parsed() or _KEEP.value)
    print_anything()
    try:
        status = main() or 0
        sys.stdout.flush()
        return status
    except (UserError, OSError) as error:  # such as a log on a disk that is full
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            os._exit(128 + signal.SIGPIPE)  # of `| head`; as other programs end there
        return fail(error)
    except (RuntimeError, AssertionError):
        if _has_devices():
            raise
        asked = [f"{k}={os.environ[k]}" for k in PLATFORMS if k in os.environ]
        return fail(
            f"{' with '.join(asked)} asks for devices that are not there; unset it, or "
            "use JAX_PLATFORMS=cpu"
        )


def _nobody_reads() -> bool:
    """Returns whether stdout is a pipe that its reader has closed."""
    asked = select.poll()
    asked.register(1, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in asked.poll(0))


def _has_devices() -> bool:
    """Returns whether JAX finds the devices that the environment asks for, if it does.

    JAX refuses a platform with several errors, one of them without a word.
    """
    if not any(map(os.environ.get, PLATFORMS)):
        return True
    import jax

    try:
        return bool(jax.devices())
    except (RuntimeError, AssertionError):
        return False


def print_anything() -> None:
    """Lets stdout and stderr take every text, whatever letters the terminal has."""

    def plain(error):
        lost = error.object[error.start : error.end]
        return "".join(PLAIN.get(letter, "?") for letter in lost), error.end

    codecs.register_error("plain", plain)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="plain")


def fail(message) -> None:
    """Prints one line that says what is wrong, and ends the program with status 2."""
    print(f"error: {help_text.told(str(message))}", file=sys.stderr)
    sys.exit(2)
