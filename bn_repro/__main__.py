"""bn_repro COMMAND: what scripts/ has, from any folder and without a checkout.

bn_repro train --config mnist:bn --workdir runs/mnist/bn
bn_repro report --workdir runs/mnist
bn_repro COMMAND --help
"""

import ast
import importlib.util
import sys

import bn_repro
from bn_repro import interrupt

COMMANDS = ("train", "sweep", "report", "evaluate", "export")
COMMANDS += ("import_weights", "prepare_data")


def main() -> int:
    """Runs a command, as `python scripts/COMMAND.py` does; returns its exit status."""
    interrupt.install()  # before imports, which take their time
    from bn_repro import arguments, config_files

    scripts = config_files.shipped("scripts")
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in COMMANDS:
        sys.argv = [f"bn_repro {name}", *sys.argv[2:]]
        return run(scripts / f"{name}.py")
    if name == "--version":
        print(bn_repro.__version__)
    elif name in ("--help", "-h", "help"):
        print(_help(scripts))
    else:
        meant = arguments.did_you_mean(name, COMMANDS)
        listed = meant or f"; there are: {', '.join(COMMANDS)}"
        print(f"error: there is no command {name!r}{listed}", file=sys.stderr)
        return 2
    return 0


def run(script) -> int:
    """Runs a file as `python FILE` does."""
    spec = importlib.util.spec_from_file_location("__main__", script)
    sys.modules["__main__"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)  # most end the process themselves
    return 0


def _help(scripts) -> str:
    """Returns this file's docstring and the first line of each command's."""
    lines = []
    for name in COMMANDS:
        told = ast.get_docstring(ast.parse((scripts / f"{name}.py").read_text()))
        lines.append(f"  {name:<15} {told.splitlines()[0]}")
    return "\n".join([__doc__, *lines])


if __name__ == "__main__":
    sys.exit(main())
