"""Measures the ratios that the README states, each with what it is compared with.

python scripts/benchmark.py
python scripts/benchmark.py --only inception,input_pipeline

Times are medians of alternated rounds in one process; on a machine that does something
else they mean little. The last four are asked for by name: compiling the network takes
minutes, so does the sweep, and pictures have to be at hand (see them). PyTorch (extra
"bench") is compared with where it is installed.
"""

import importlib

from absl import flags

from bn_repro import cli

QUICK = ("batch_norm", "mnist", "start")
BENCHMARKS = (*QUICK, "inception", "input_pipeline", "sweep", "views")
_ONLY = flags.DEFINE_list("only", list(QUICK), "Which, comma-separated.")


def main():
    from bn_repro.errors import UserError
    from bn_repro.run_folder import manifest

    unknown = [name for name in _ONLY.value if name not in BENCHMARKS]
    if unknown:
        raise UserError(f"no benchmark {', '.join(unknown)}; there are {BENCHMARKS}")
    versions = ", ".join(f"{k} {v}" for k, v in manifest.versions().items())
    print(f"{manifest.machine()}; {versions}")
    for name in _ONLY.value:
        for row in importlib.import_module(f"benchmarks.{name}").measure():
            print(row, flush=True)


if __name__ == "__main__":
    cli.run(main)
