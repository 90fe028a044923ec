"""What a sweep consists of: its members, and which of them are this job's."""

import contextlib
import json
from pathlib import Path
from typing import NamedTuple

from bn_repro import config_files
from bn_repro.errors import UserError
from bn_repro.run_folder import records


class Member(NamedTuple):
    """One run of a sweep: its key in RUNS, its folder and its configuration as JSON."""

    name: str
    workdir: Path
    config: str

    def status(self) -> str:
        """Returns how the run stands; "waiting" if it was never started."""
        return records.status_of(self.workdir)

    def load_config(self):
        """Returns the configuration as a ConfigDict, as stated."""
        from ml_collections import config_dict

        return config_dict.ConfigDict(json.loads(self.config))


def members(
    config_file: str, overrides: dict, only: list[str], workdir
) -> list[Member]:
    """Returns the members of a sweep in the order of RUNS.

    Args:
      config_file: file with RUNS and get_config.
      overrides: dotted key -> value, applied to every member.
      only: keys of RUNS to run, or names that get_config takes for them; all of them
        if empty.
      workdir: folder of the run folders.

    Raises:
      UserError: no RUNS in the file, or a name that is not in it.
    """
    module = load(config_file)
    names = [run_of(module, config_file, name) for name in only if name]
    found = []
    for name in dict.fromkeys(names) or module.RUNS:  # two would share a folder
        varied = [key for key in overrides if key in module.RUNS[name]]
        if varied:
            raise UserError(
                f"{', '.join(varied)} is what the runs of {config_file} differ in; it "
                f"cannot be overridden for all of them: choose with --only"
            )
        config = module.get_config(name)
        config.update_from_flattened_dict(overrides)
        text = json.dumps(config.to_dict())
        found.append(Member(name, Path(workdir) / name, text))
    return found


def load(config_file: str):
    """Returns a config file as a module; UserError if it has no RUNS."""
    module = config_files.load_module(config_files.find(config_file))
    if not getattr(module, "RUNS", None):
        raise UserError(f"{config_file} has no RUNS to sweep over")
    return module


def run_of(module, config_file: str, name: str) -> str:
    """Returns the key in RUNS of the run that get_config calls by this name.

    Raises:
      UserError: there is none.
    """
    if name in module.RUNS:
        return name
    with contextlib.suppress(Exception):  # whatever it says of a name unknown to it
        wanted = module.get_config(name).to_dict()
        for key in module.RUNS:
            if module.get_config(key).to_dict() == wanted:
                return key
    raise UserError(config_files.no_run(config_file, [name], module.RUNS))


def listing(config_file: str, only: list[str], workdir=None) -> list[str]:
    """Returns a line a run: its name, what it sets and, in a workdir, how it stands."""
    module = load(config_file)
    lines = []
    for member in members(config_file, {}, only, workdir or ""):
        sets = module.RUNS[member.name].items()
        told = " ".join(f"{key}={value}" for key, value in sets)
        stands = f"{member.status()}  " if workdir else ""
        lines.append(f"{member.name}  {stands}{told}")
    return lines


def share(sweep: list[Member], index: int, count: int = 0) -> list[Member]:
    """Returns the members that one task of an array of jobs runs.

    Args:
      sweep: all members.
      index: of the task, from 0.
      count: number of tasks: task i runs the members i, i + count, ...; 0: one each.

    Raises:
      UserError: there is no such task.
    """
    count = count or len(sweep)
    if not 0 <= index < count:
        raise UserError(
            f"--index is {index}; with {count} tasks it must be from 0 to {count - 1}"
        )
    return sweep[index::count]
