from functools import partial

import pytest

from bn_repro.analysis import ledger, testing


@pytest.fixture
def report(call):
    return partial(call, "report")


def test_prints_the_table_and_where_the_results_are(tmp_path, report):
    testing.write_figure1(tmp_path / "runs", seeds=1, steps=1000)
    done = report("--workdir", tmp_path / "runs", "--out", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("runs: 2 run(s), 2 finished\n  bn, seed 0: test acc")
    assert done.stdout.partition("Written:")[0].count("\n") == 3
    for name in ("figure1.png", "figure1.pdf", "tables.md", "report.html"):
        assert (tmp_path / "out" / name).exists()
        assert f"  {tmp_path / 'out' / name}\n" in done.stdout


def test_a_target_is_a_run_or_a_fraction(tmp_path, report):
    testing.write_course(tmp_path / "bn_x5", [0.3])
    for target, text in (
        (
            "bn_x5",
            "30.00 %, the plateau of BN-x5 (mean of the last 5 evaluations, one seed)",
        ),
        ("0.25", "25.00 %"),
    ):
        done = report("--workdir", tmp_path, "--target", target)
        assert done.returncode == 0, done.stderr
        assert f"Target: {text}. " in (tmp_path / "tables.md").read_text()
    done = report("--workdir", tmp_path, "--target", "25")
    assert done.stderr == "error: the target is 25.0; it must be a fraction in (0, 1]\n"


def test_the_claims_are_printed_and_the_headline_is_written(tmp_path, report):
    path = tmp_path / "README.md"
    path.write_text(f"{ledger.BEGIN}\n{ledger.END}\n")
    done = report("--claims", "--workdir", tmp_path, "--out", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "| BN is more accurate throughout | Fig. 1a: yes | no run of" in done.stdout
    assert "| missing |" in path.read_text()
