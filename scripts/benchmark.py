"""Measures ratios, each with what it is compared with, and keeps them as a table.

python scripts/benchmark.py
python scripts/benchmark.py --only inception,input_pipeline
python scripts/benchmark.py --only accelerator --trace /tmp/trace
python scripts/benchmark.py --check   # make benchmark-check: against the committed ones
python scripts/benchmark.py --table   # writes docs/measured.md from results/benchmark,
                                        # and the predictions of docs/costs.md

Times are medians of alternated rounds in one process; on a machine that does something
else they mean little. What is measured replaces what results/benchmark/<machine>.json
has of the same benchmarks. Where pictures, PyTorch (extra "bench") or TensorFlow are
missing, so are the rows that need them. "accelerator" is asked for by name.
"""

import importlib
from pathlib import Path

from absl import flags

from bn_repro import cli
from bn_repro.errors import UserError

ALL = ("batch_norm", "mnist", "start", "inception", "input_pipeline", "sweep", "views")
BENCHMARKS = (*ALL, "accelerator")
_ONLY = flags.DEFINE_list("only", list(ALL), "Which, comma-separated.")
_OUT = flags.DEFINE_string(
    "out", "", "JSON file to write; empty: results/benchmark/<machine>.json."
)
_CHECK = flags.DEFINE_bool(
    "check", False, "Write nothing; say what is worse than the file has, by too much."
)
_TABLE = flags.DEFINE_bool(
    "table", False, "Measure nothing; write docs/measured.md and docs/costs.md."
)
_TRACE = flags.DEFINE_string(
    "trace",
    "",
    "Folder for profiles of the accelerator's steps, for Perfetto or XProf.",
)
_TOY = flags.DEFINE_bool(
    "toy", False, "Smallest sizes, to try the command; written only with --out."
)


def main():
    from benchmarks import table, timing

    timing.trace_to = _TRACE.value
    if _TABLE.value:
        from benchmarks import costs

        from bn_repro.run_folder import files

        for page in (table, costs):
            files.write_between(page.PAGE, page.BEGIN, page.END, page.markdown())
            print(f"Written: {page.PAGE}")
        return 0
    unknown = [name for name in _ONLY.value if name not in BENCHMARKS]
    if unknown:
        raise UserError(f"no benchmark {', '.join(unknown)}; there are {BENCHMARKS}")
    about, machine, default = _here()
    path = Path(_OUT.value or default)
    committed = table.read(path) if _CHECK.value else None
    print(f"{about['machine']}; {about['devices']}; {about['versions']}")
    found = {}
    for name in _ONLY.value:
        found[name] = []
        measure = importlib.import_module(f"benchmarks.{name}").measure
        for row in measure(_TOY.value):
            print(row, flush=True)
            found[name].append(row)
        if not _CHECK.value and (_OUT.value or not _TOY.value):
            part = table.section(found[name], about)  # at once: the next may take long
            table.add(path, machine, {name: part})
    if _CHECK.value:
        return _tell(table.worse(sum(found.values(), []), committed), path)
    return 0


def _here() -> tuple[dict, str, Path]:
    """Returns what a section says of this run, the machine's name, and its file."""
    import jax
    from benchmarks import table

    from bn_repro.run_folder import manifest

    devices, machine = jax.devices(), manifest.machine()
    short = f"{manifest.machine().split(', ')[-2]}, {manifest.available_cores()} cores"
    if devices[0].platform != "cpu":
        count = f"{len(devices)} " if len(devices) > 1 else ""
        short = f"{count}{devices[0].device_kind}"
    kinds = [f"{d.platform}:{d.device_kind}" for d in devices]
    versions = manifest.versions() | {"precision": manifest.matmul_precision()}
    about = table.about(versions, manifest.git_revision(), machine, kinds)
    name = f"{short}, jax {jax.__version__}"
    return about, name, table.file_of(short, jax.__version__)


def _tell(lines: list[str], path: Path) -> int:
    print("\n".join(lines) or f"nothing is worse than {path.name} has it")
    return 1 if lines else 0


if __name__ == "__main__":
    cli.run(main)
