"""Draws the figure, the tables and the page of a folder of runs.

python scripts/report.py --workdir runs/mnist
python scripts/report.py --workdir results/mnist --out /tmp/mnist
python scripts/report.py --workdir runs/mnist --viewer_runs bn_seed4,plain_seed4
python scripts/report.py --workdir runs/tiny_imagenet --target bn_baseline
python scripts/report.py --workdir runs/mnist_lr_sweep --target 0.95
python scripts/report.py --workdir runs/mnist_lr_sweep --watch
python scripts/report.py --claims
python scripts/report.py --claims --out README.md
"""

from pathlib import Path

from absl import flags

from bn_repro import cli
from bn_repro.errors import UserError

_WORKDIR = flags.DEFINE_string("workdir", None, "A run folder, or runs below it.")
_OUT = flags.DEFINE_string("out", None, "Folder to write to; default the workdir.")
_VIEWER_RUNS = flags.DEFINE_list(
    "viewer_runs",
    [],
    "Runs whose single units can be looked at in the page: names, or how many of the "
    "first; default 16.",
)
_TARGET = flags.DEFINE_string(
    "target",
    None,
    "Accuracy to count steps to: a fraction, or a run or network whose own it is. "
    "Default: that of the network without BN; on MNIST sweeps 0.9.",
)
_WATCH = flags.DEFINE_bool(
    "watch", False, "Look every minute and draw what runs wrote; Ctrl-C ends it."
)
_CLAIMS = flags.DEFINE_bool(
    "claims",
    False,
    "Print the claim ledger of the records below --workdir, default results/ of the "
    "checkout; with --out FILE also write its headline between the file's markers.",
)


def main():
    if _CLAIMS.value:
        return claims()
    if not _WORKDIR.value:
        raise UserError("give --workdir: a run folder, or a folder of runs")
    from bn_repro.analysis import report  # here, so that --help needs no matplotlib

    flagged = _WORKDIR.value, _OUT.value, _VIEWER_RUNS.value, _target()
    if _WATCH.value:
        from bn_repro.analysis.page import watch

        def draw(now: str):
            return report.write_report(*flagged, now)[0].runs

        return watch.watch(draw, _WORKDIR.value)
    made, paths = report.write_report(*flagged)
    print(f"{made.summary()}\nWritten:")
    for path in paths:
        print(f"  {path}")


def claims():
    """Prints what the records say to each claim; renews a file's headline."""
    from bn_repro.analysis import ledger  # likewise
    from bn_repro.run_folder import files

    if not (_WORKDIR.value or ledger.RESULTS.is_dir()):
        raise UserError("the committed results are in the checkout; give --workdir")
    found = ledger.entries(_WORKDIR.value or ledger.RESULTS)
    if _OUT.value:
        between = ledger.BEGIN, ledger.END, ledger.headline(found)
        files.write_between(Path(_OUT.value), *between)
    print(ledger.table(found).markdown())


def _target():
    """Returns a number as a number, and a run's name as it is."""
    try:
        return float(_TARGET.value)
    except (TypeError, ValueError):
        return _TARGET.value


if __name__ == "__main__":
    cli.run(main)
