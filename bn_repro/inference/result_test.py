"""A result takes the place of an earlier one of the same evaluation alone."""

import types

import numpy as np
import pytest

from bn_repro.inference import ensemble, result
from bn_repro.inference.members import Member
from bn_repro.inference.predict import Predictions
from bn_repro.run_folder import checkpoint, files
from configs import common

ABOUT = {
    "member": "bn",
    "steps": 5,
    "crops": 1,
    "statistics": "ema",
    "split": "val",
    "weights": "a",
    "pictures": "p",
}
FOUND = Predictions(np.eye(3, dtype=np.float32), np.arange(3), np.ones(3, bool))


OTHERS = [{"weights": "b"}, {"pictures": "q"}, {"eval_resize": 300}]


@pytest.mark.parametrize("other", OTHERS)
def test_only_the_same_evaluation_is_replaced(tmp_path, other, capsys):
    for about in (ABOUT, ABOUT | other, ABOUT, ABOUT | other):
        result.write(result.of([about], [FOUND]), tmp_path)
        ensemble._save_probabilities(tmp_path, FOUND, about, say=lambda text: None)
    rows = sorted(tmp_path.glob("evaluation_*.json"))
    stem = "evaluation_val_ema_1crops_1member"
    assert [file.stem for file in rows] == [stem, f"{stem}_2"]
    first, second = f"wrote {rows[0]}", f"wrote {rows[1]}; {stem}.json is of other"
    told = capsys.readouterr().out.splitlines()
    assert told[0] == told[2] == first
    assert told[1] == told[3] and told[1].startswith(second)
    weights = [ABOUT["weights"]], [(ABOUT | other)["weights"]]
    assert tuple(files.read_json(file)["weights"] for file in rows) == weights
    saved = sorted(tmp_path.glob("probabilities_*.npz"))
    assert [file.stem for file in saved] == [
        f"probabilities_bn_val_ema_1{number}" for number in ("", "_2")
    ]
    abouts = [checkpoint.about(file, ensemble.ABOUT) for file in saved]
    assert abouts == [ABOUT, ABOUT | other]


def test_other_counts_and_results_from_before_stay(tmp_path):
    row = result.of([ABOUT], [FOUND])
    before = {k: v for k, v in row.items() if k not in ("weights", "pictures")}
    names = [
        result.write(one, tmp_path).stem[-2:]
        for one in (before, row, row | {"count": 2}, row)
    ]
    assert names == ["er", "_2", "_3", "_2"]


def test_a_result_says_whether_any_member_has_bn(tmp_path):
    split = types.SimpleNamespace(crops=1, name="test", pictures=lambda: "p")
    plain, bn = (
        ensemble._about(
            Member("m", tmp_path, common.get_config(), variables, 5),
            split,
            "population",
        )
        for variables in ({"w": np.ones(1)}, {"batch_stats": {"mean": np.ones(1)}})
    )
    alone = result.of([plain], [FOUND])
    assert not alone["bn"] and "population_batches" not in alone
    both = result.of([plain, bn], [FOUND, FOUND])
    assert both["bn"] and both["population_batches"] == 200
