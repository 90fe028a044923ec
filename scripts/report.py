"""Draws the figure, the tables and the page of a folder of runs.

python scripts/report.py --workdir runs/mnist
python scripts/report.py --workdir results/mnist --out /tmp/mnist
python scripts/report.py --workdir runs/mnist --viewer_runs bn_seed4,plain_seed4
"""

from absl import flags

from bn_repro import cli

_WORKDIR = flags.DEFINE_string("workdir", None, "A run folder, or runs below it.")
_OUT = flags.DEFINE_string("out", None, "Folder to write to; default the workdir.")
_VIEWER_RUNS = flags.DEFINE_list(
    "viewer_runs",
    [],
    "Runs whose single units can be looked at in the page: names, or how many of the "
    "first; default 16.",
)


def main():
    from bn_repro.analysis import report  # here, so that --help needs no matplotlib

    made, paths = report.write_report(_WORKDIR.value, _OUT.value, _VIEWER_RUNS.value)
    print(made.markdown())
    print("Written:")
    for path in paths:
        print(f"  {path}")


if __name__ == "__main__":
    cli.run(main, required=("workdir",))
