"""What was measured is kept with both sides, shown as it is kept, and compared."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks import table
from benchmarks.timing import Figure, Row, missing, ratio
from bn_repro.cli import ROOT
from bn_repro.errors import UserError
from bn_repro.run_folder import files

ABOUT = {"commit": "abc", "versions": {"jax": "1"}}


def faster(ours, theirs, bound=">= 1"):
    figures = (Figure(k, v, "steps/s") for k, v in (("ours", ours), ("they", theirs)))
    return ratio("steps/s over theirs", *figures, bound)


def test_the_page_shows_what_the_files_hold():
    """If not: python scripts/benchmark.py --table."""
    assert f"\n{table.markdown()}\n\n{table.END}" in table.PAGE.read_text()
    assert list(table.FOLDER.glob("*.json"))


@pytest.mark.parametrize("path", table.FOLDER.glob("*.json"), ids=lambda p: p.stem)
def test_every_committed_row_has_its_sides_and_where_it_is_from(path):
    for part in table.read(path)["sections"].values():
        assert len(part["commit"]) == 40 and part["versions"]["jax"]
        assert part["devices"]
        for row in part["rows"]:
            assert row["kind"] in table.TOLERANCE
            if " over " in row["what"] or " / " in row["what"]:
                assert len(row["figures"]) == 2, row["what"]


def test_a_ratio_is_of_medians_and_spreads_over_the_rounds():
    row = faster([10, 20, 30, 40, 50], [10, 10, 10, 10, 10])
    assert row.value == 3 and row.spread == (1.5, 4.5)
    assert "ours 30 steps/s, they 10 steps/s" in str(row)


def test_a_section_measured_again_replaces_its_own_alone(tmp_path):
    path = tmp_path / "none" / "a.json"
    for value in (1.0, 2.0):
        rows = [faster([value] * 3, [1.0] * 3), missing("no pictures")]
        table.add(path, "a machine", {"mnist": table.section(rows, ABOUT)})
    table.add(path, "a machine", {"other": table.section([], ABOUT)})
    sections = json.loads(path.read_text())["sections"]
    assert list(sections) == ["mnist", "other"]
    (row,) = sections["mnist"]["rows"]
    assert row["value"] == 2 and row["quartiles"] == [2, 2]
    assert row["figures"][0] == {
        "who": "ours",
        "median": 2,
        "least": 2,
        "most": 2,
        "rounds": 3,
        "unit": "steps/s",
    }
    shown = "| steps/s over theirs | 2 (2-2): ours 2 steps/s, they 1 steps/s |"
    assert shown in table.markdown(path.parent)


def test_what_is_worse_by_too_much_is_named(tmp_path):
    path = tmp_path / "a.json"
    rows = [
        faster([2.0], [1.0]),
        Row("seconds", 1.0, "< 2"),
        Row("bytes", 12.0, "<= 12", "count"),
        Row("error", 1e-7, "<= 1e-5", "error"),
    ]
    table.add(path, "a machine", {"all": table.section(rows, ABOUT)})
    committed = table.read(path)
    better = [faster([9.0], [1.0]), Row("seconds", 0.1), Row("new", 7.0)]
    near = [
        faster([1.6], [1.0]),
        Row("seconds", 1.2),
        Row("error", 1.9e-7, "", "error"),
    ]
    assert table.worse([*rows, *better, *near, missing("bytes")], committed) == []
    bad = [faster([1.4], [1.0]), Row("seconds", 1.3), Row("bytes", 12.1, "", "count")]
    found = table.worse([*bad, Row("error", 3e-7, "", "error")], committed)
    assert [line.partition(":")[0] for line in found] == [
        "steps/s over theirs",
        "seconds",
        "bytes",
        "error",
    ]
    assert "1.4, committed 2: worse by 30.0%, more than 25.0%" in found[0]


def test_a_file_or_page_of_something_else_is_refused(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("{}")
    with pytest.raises(UserError, match="holds no benchmarks"):
        table.read(path)
    page = tmp_path / "page.md"
    page.write_text(table.BEGIN)
    with pytest.raises(UserError, match="has no lines"):
        files.write_between(page, table.BEGIN, table.END, table.markdown())


@pytest.mark.slow
def test_the_command_writes_and_checks_at_toy_size(tmp_path):
    out = tmp_path / "a.json"
    command = [sys.executable, str(ROOT / "scripts" / "benchmark.py"), "--toy"]
    command += [f"--out={out}", "--only=batch_norm,mnist,start,sweep,inception"]
    subprocess.run(command, check=True)
    sections = table.read(out)["sections"]
    assert [*sections] == ["batch_norm", "mnist", "start", "sweep", "inception"]
    assert sections["batch_norm"]["rows"][1]["figures"][1]["who"] == "flax"
    content = json.loads(out.read_text())
    for row in content["sections"]["mnist"]["rows"]:
        row["value"] *= 1e6
    out.write_text(json.dumps(content))
    check = [*command[:3], f"--out={out}", "--only=mnist", "--check"]
    checked = subprocess.run(check, capture_output=True, text=True)
    assert checked.returncode == 1 and "worse by" in checked.stdout


@pytest.mark.slow
def test_the_accelerator_s_benchmark_runs_at_toy_size_on_two_devices(tmp_path):
    out, trace = tmp_path / "a.json", tmp_path / "trace"
    command = [sys.executable, str(ROOT / "scripts" / "benchmark.py"), "--toy"]
    command += ["--only=accelerator", f"--out={out}", f"--trace={trace}"]
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "2"}
    subprocess.run(command, check=True, env=environment)
    rows = table.read(out)["sections"]["accelerator"]["rows"]
    what = " ".join(row["what"] for row in rows)
    for part in ("BN of", "2 members", "float32", "bfloat16", "all over one"):
        assert part in what
    assert all(row["value"] > 0 for row in rows)
    assert list(trace.rglob("*.xplane.pb"))
