"""Config files: found, run, and their faults named with the line."""

import importlib.util
import traceback
from pathlib import Path

from ml_collections import config_dict

from bn_repro.arguments import did_you_mean, nearest
from bn_repro.errors import UserError

ROOT = Path(__file__).resolve().parents[1]  # of the checkout; configs/ lies there
NAMED = 12  # runs that a message lists


def find(value: str) -> str:
    """Returns FILE.py[:RUN] with FILE.py as it lies here or else in the checkout.

    Raises:
      UserError: it lies in neither.
    """
    file, colon, run_name = value.partition(":")
    if not Path(file).is_file():
        if not (ROOT / file).is_file():
            what = "is a folder" if file and Path(file).is_dir() else "is not there"
            known = [f"configs/{path.name}" for path in (ROOT / "configs").glob("*.py")]
            raise UserError(
                f"the config file {file!r} {what}{did_you_mean(file, known)}"
            )
        file = str(ROOT / file)
    return file + colon + run_name


def load_module(file: str):
    """Returns a config file as a module.

    Raises:
      UserError: it does not run, or defines no get_config; names the line.
    """
    spec = importlib.util.spec_from_file_location("config_file", file)
    if spec is None:
        raise UserError(f"{file} is no config file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(_fault(file, error)) from error
    if not callable(getattr(module, "get_config", None)):
        raise UserError(f"{file} is no config file: it defines no get_config")
    return module


def load(value: str) -> config_dict.ConfigDict:
    """Returns the configuration of FILE.py[:RUN], as stated.

    Raises:
      UserError: the file does not run, or has no such run.
    """
    file, colon, run_name = value.partition(":")
    module = load_module(file)
    try:
        config = module.get_config(run_name) if colon else module.get_config()
    except Exception as error:
        runs = getattr(module, "RUNS", {})
        if colon and runs and run_name not in runs:
            raise UserError(no_run(file, [run_name], runs)) from error
        raise UserError(_fault(file, error)) from error
    if not isinstance(config, config_dict.ConfigDict):
        raise UserError(f"{file} is no config file: get_config returns no ConfigDict")
    return config


def no_run(file: str, names: list[str], runs) -> str:
    """Returns that a file has no runs of these names, the nearest, and what it has."""
    near = ", ".join(filter(None, (nearest(name, runs) for name in names)))
    meant = f"did you mean {near}? It" if near else "it"
    shown = ", ".join(list(runs)[:NAMED]) + (", ..." if len(runs) > NAMED else "")
    named = ", ".join(map(repr, names))
    return f"{file} has no run {named}; {meant} has: {shown}"


def _fault(file: str, error: Exception) -> str:
    """Returns where in a config file an exception arose, and what it says."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == file]
    if isinstance(error, SyntaxError) and error.filename == file:
        lines.append(error.lineno)
    place = f", line {lines[-1]}" if lines else ""
    text = (getattr(error, "msg", "") or str(error)).strip().splitlines()
    return f"{file}{place}: {type(error).__name__}: {text[0] if text else ''}"
