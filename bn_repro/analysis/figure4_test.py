"""What scripts/evaluate.py wrote becomes Fig. 4 beside the paper's rows."""

import pytest

from bn_repro.analysis import figure4, report, testing
from bn_repro.run_folder import files


def result(members, crops, **fields):
    return {
        "members": members,
        "crops": crops,
        "statistics": "ema",
        "split": "val",
        "image_size": 64,
        "classes": 100,
        "count": 5_000,
        "top1_error": 0.9012,
        "top5_error": 0.75,
    } | fields


@pytest.fixture
def folder(tmp_path):
    six = [f"member_{i}" for i in range(6)]
    below = tmp_path / "bn_x30"
    below.mkdir()
    files.write_json(tmp_path / "evaluation_b.json", result(six, 144))
    found = result(["bn_x30"], 1, statistics="population", population_batches=200)
    files.write_json(below / "evaluation_a.json", found)
    return tmp_path


def test_our_rows_follow_the_papers_from_few_views_to_many(folder):
    table = figure4.figure4_table(figure4.read(folder))
    paper, ours = table.rows[:7], table.rows[7:]
    assert {row[0] for row in paper} == {"paper"}
    assert paper[-1][1:] == ["BN-Inception ensemble", "224", "144", "6"] + [
        *("50,000", "20.1 %", "4.9 %", "-")
    ]
    assert ours == [
        ["ours", "bn_x30: bn_x30 (Algorithm 2, N = 200)"]
        + ["64", "1", "1", "5,000", "90.12 %", "-", "75.00 %"],
        ["ours", "ensemble of 6 (moving averages)"]
        + ["64", "144", "6", "5,000", "90.12 %", "-", "75.00 %"],
    ]


def test_evaluations_in_a_linked_folder_are_read(folder):
    (folder / "links").mkdir()
    (folder / "links" / "x30").symlink_to(folder / "bn_x30")
    assert [row["folder"] for row in figure4.read(folder / "links")] == ["x30"]


def test_a_network_without_bn_is_not_labelled_with_its_statistics():
    plain = result(["plain"], 1, folder="", statistics="population", bn=False)
    table = figure4.figure4_table([plain, plain | {"bn": True}])
    assert [row[1] for row in table.rows[7:]] == [
        "plain (no BN)",
        "plain (Algorithm 2)",
    ]


@pytest.mark.parametrize(
    ("classes", "columns"),
    [
        ([100], ["1,000", "100"]),
        ([1000], ["1,000"]),
        ([1000, 100, 10], ["1,000", "10", "100"]),
        ([None], ["1,000", "unknown"]),
    ],
)
def test_top5_stands_under_its_number_of_classes(classes, columns):
    results = [result(["x"], 1, folder="", classes=n) for n in classes]
    for one in results:
        if one["classes"] is None:  # an early record
            del one["classes"]
    table = figure4.figure4_table(results)
    assert table.columns[7:] == [f"Top-5 error, {n} classes" for n in columns]
    assert ("fewer classes" in table.note) == ("100" in columns)
    for row, n in zip(table.rows[7:], classes, strict=True):
        name = "unknown" if n is None else f"{n:,}"
        assert row[7 + columns.index(name)] == "75.00 %"
        assert row[7:].count("-") == len(columns) - 1


def test_results_after_other_numbers_of_steps_are_told_apart():
    ours = [result(["x"], 1, folder="", steps=[n]) for n in (2_000, 16_000)]
    rows = figure4.figure4_table(ours).rows[7:]
    assert [row[1] for row in rows] == [
        f"x (moving averages; {n} steps)" for n in ("2,000", "16,000")
    ]


def test_it_is_in_the_report(folder):
    testing.write_figure1(folder, seeds=1, steps=100)
    made, _ = report.write_report(folder)
    titles = [table.title for table in made.tables]
    assert "Figure 4: single crop, crops, ensemble" in titles
