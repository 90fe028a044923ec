"""A few of the faults that scripts/torture.py injects; all take fifty minutes."""

import re
import subprocess
import sys

import pytest

from bn_repro import cli


@pytest.mark.slow
def test_a_few_faults_are_survived_and_none_is_silent(tmp_path):
    script, out = cli.ROOT / "scripts" / "torture.py", tmp_path / "table.md"
    flags = ["--only=kill,lost", "--scale=0.02", f"--out={out}"]
    result = subprocess.run(
        [sys.executable, script, *flags], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout[-2000:]
    text = out.read_text()
    rows = re.findall(r"\| (\d+) \| (\d+) \| (\d+) \|$", text, re.M)
    assert len(rows) == 3
    assert all(int(n) == int(survived) >= 4 for n, survived, _ in rows)
    assert {silent for *_, silent in rows} == {"0"}
    assert "`python scripts/torture.py --only=kill,lost --scale=0.02` at " in text
    assert str(tmp_path) not in text
