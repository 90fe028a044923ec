import json
import shutil

import pytest

from bn_repro.analysis import ledger, testing
from bn_repro.errors import UserError
from bn_repro.run_folder import files, records

README = ledger.ROOT / "README.md"


@pytest.fixture(scope="module")
def committed():
    """The ledger of the committed records."""
    return ledger.entries()


def findings(entries, folder="mnist"):
    return [entry.finding for entry in entries if entry.claim.folder == folder]


def test_readme_says_what_the_records_say(committed):
    """If not: python scripts/report.py --claims --out README.md."""
    text = f"{ledger.BEGIN}\n\n{ledger.headline(committed)}\n\n{ledger.END}"
    assert text in README.read_text()


def test_a_changed_record_is_seen(tmp_path, committed):
    shutil.copytree(ledger.RESULTS / "mnist", tmp_path / "mnist")
    copied = ledger.entries(tmp_path)
    assert findings(copied) == findings(committed)
    path = tmp_path / "mnist" / "bn_seed1" / "metrics.jsonl"
    lines = path.read_text().splitlines()
    number = max(i for i, line in enumerate(lines) if '"population"' in line)
    row = json.loads(lines[number])
    lines[number] = json.dumps(row | {"accuracy": row["accuracy"] - 0.01})
    path.write_text("\n".join(lines) + "\n")
    changed = ledger.entries(tmp_path)
    assert findings(changed) != findings(committed)
    assert ledger.headline(changed) != ledger.headline(copied)


def test_without_runs_every_claim_is_missing_and_says_how_to_run_it(tmp_path):
    for entry in ledger.entries(tmp_path):
        folder = entry.claim.folder
        assert entry.finding.verdict == "missing"
        assert f"--config configs/{folder}.py" in entry.command
        assert (ledger.ROOT / "configs" / f"{folder}.py").exists()


def test_one_of_the_two_networks_is_not_enough(tmp_path):
    for seed in range(2):
        name = f"bn_seed{seed}"
        shutil.copytree(ledger.RESULTS / "mnist" / name, tmp_path / "mnist" / name)
    found = {e.claim.text: e.finding for e in ledger.entries(tmp_path)}
    assert found["BN is more accurate throughout"].verdict == "missing"
    assert found["Accuracy at the end without BN"].verdict == "missing"
    drift = "Location drift of the last hidden layer is less with BN"
    assert found[drift].verdict == "missing"
    assert found["Accuracy at the end with BN"].n == "2"


def test_the_committed_claims_of_mnist(committed):
    by_text = {entry.claim.text: entry for entry in committed}
    assert by_text["BN is more accurate throughout"].finding.verdict == "yes"
    sooner = by_text["BN reaches the plain network's accuracy in fewer steps"]
    assert sooner.finding.verdict == "yes"
    assert sooner.command == "python scripts/report.py --workdir results/mnist"
    rate = "each at its best learning rate"
    tuned = by_text[f"MNIST: BN is more accurate at the end, {rate}"]
    assert tuned.finding.verdict == "yes" and tuned.finding.n == "20"
    late = by_text[f"MNIST: less scale drift with BN from step 5,000 on, {rate}"]
    assert late.finding.verdict == "no" and late.finding.n == "20"
    assert not tuned.claim.headline
    assert tuned.claim.text not in ledger.headline(committed)
    assert tuned.claim.text in ledger.table(committed).markdown()


def test_the_headline_is_written_between_its_markers(tmp_path, committed):
    path = tmp_path / "README.md"
    path.write_text(f"before\n{ledger.BEGIN}\nold\n{ledger.END}\nafter\n")
    rows = ledger.headline(committed)
    written = path, ledger.BEGIN, ledger.END, rows
    expected = f"before\n{ledger.BEGIN}\n\n{rows}\n\n{ledger.END}\nafter\n"
    for _ in range(2):
        files.write_between(*written)
        assert path.read_text() == expected
    path.write_text("no markers")
    with pytest.raises(UserError, match="README.md has no lines <!-- claims"):
        files.write_between(*written)
    with pytest.raises(UserError, match="cannot read .*absent.md"):
        files.write_between(tmp_path / "absent.md", *written[1:])


def test_only_seeds_of_both_networks_say_what_holds_throughout(tmp_path):
    """Three seeds with BN beside one without are one comparison."""
    testing.write_figure1(tmp_path / "mnist", seeds=3, steps=2_000)
    (claim,) = (c for c in ledger.CLAIMS if c.text == "BN is more accurate throughout")
    runs = records.find_runs(tmp_path / "mnist")
    assert claim.find(runs)[1::2] == ("3", "yes")
    few = [run for run in runs if run.name not in ("plain_seed1", "plain_seed2")]
    assert claim.find(few)[1::2] == ("1", "not decided")
