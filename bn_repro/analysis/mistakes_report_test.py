"""Tables name classes and say of how many; the sheet shows each picture as it is."""

import numpy as np
import pytest

from bn_repro.analysis import mistakes_report as report
from bn_repro.analysis.mistakes import ClassScore, Mistake, Pair

NAMES = ["tench", "crane", "nail"]


def test_classes_come_from_the_worst_on_without_those_of_no_picture():
    scores = [
        ClassScore(0, 100, 80, 95, 1_200, 2, 12),
        ClassScore(1, 0, 0, 0, 3, -1, 0),
        ClassScore(2, 4, 1, 2, 5, 0, 3),
    ]
    table = report.class_table(scores, NAMES)
    assert table.rows == [
        ["nail", "25.0 %", "50.0 %", "4", "5", "tench (3)"],
        ["tench", "80.0 %", "95.0 %", "100", "1,200", "nail (12)"],
    ]
    assert "over 100 pictures are up to 10 points" in table.note  # 2 sqrt(1/4 / 100)
    assert "Classes without pictures: 1." in table.note


def test_pairs_say_of_how_many():
    table = report.pairs_table([Pair(2, 0, 3, 4, 12)], NAMES)
    assert table.rows == [["nail", "tench", "3", "4", "75.0 %", "12"]]


@pytest.mark.parametrize(
    ("probability", "text"),
    [(0.0, "0 %"), (0.004, "< 1 %"), (0.126, "13 %"), (0.996, "> 99 %"), (1, "100 %")],
)
def test_a_probability_is_never_rounded_to_certainty(probability, text):
    assert report.probability_text(probability) == text


def test_mistakes_are_numbered_and_name_their_pictures():
    found = [Mistake(17, 0, 1, 0.999, 0.001), Mistake(4, 2, 0, 0.5, 0.25)]
    table = report.mistakes_table(found, NAMES, ["a/x.JPEG", "b/y.JPEG"])
    assert table.rows == [
        ["1", "tench", "crane", "> 99 %", "< 1 %", "a/x.JPEG"],
        ["2", "nail", "tench", "50 %", "25 %", "b/y.JPEG"],
    ]
    table = report.mistakes_table(found, NAMES)
    assert [row[-1] for row in table.rows] == ["17", "4"]


def test_the_sheet_shows_each_picture_whole_above_its_words(tmp_path):
    rng = np.random.default_rng(0)
    shapes = [(30, 50, 3), (50, 10, 3), (28, 28)] * 3
    pictures = [rng.integers(0, 100, shape, np.uint8) for shape in shapes]
    found = [Mistake(i, i % 2, 2, 0.9 - 0.1 * i, 0.05) for i in range(9)]
    names = ["t" * 60, "a $folder$ of words", "nail"]
    figure = report.contact_sheet(found, pictures, names, "bn_x30")
    figure.savefig(tmp_path / "sheet.png")
    assert "bn_x30" in figure.get_suptitle()
    panels = [axes for axes in figure.axes if axes.images]
    assert len(panels) == 9
    for place, (axes, picture) in enumerate(zip(panels, pictures, strict=True), 1):
        np.testing.assert_array_equal(axes.images[0].get_array(), picture)
        assert axes.get_title(loc="left") == str(place)
        label, predicted = axes.texts
        assert label.get_text().endswith("(5 %)")
        assert predicted.get_text() == f"as nail ({100 - 10 * place} %)"
        assert not label.get_parse_math()
    assert all(len(line) <= report.LINE for line in _lines(panels))
    grey = panels[2].images[0]
    assert grey.get_clim() == (0, 255)  # as dark as it is


def test_nothing_is_drawn_over_the_row_below(tmp_path):
    picture = np.zeros((500, 100, 3), np.uint8)
    names = ["word " * 8, "another " * 5]
    found = [Mistake(i, 0, 1, 0.999, 0.001) for i in range(12)]
    figure = report.contact_sheet(found, [picture] * 12, names, "bn_x30")
    figure.savefig(tmp_path / "sheet.png")
    above, below = figure.axes[0], figure.axes[report.COLUMNS]
    label, predicted = (text.get_window_extent() for text in above.texts)
    assert above.get_window_extent().y0 >= label.y1
    assert label.y0 >= predicted.y1 - 2  # pixels, of descenders that are not there
    assert predicted.y0 >= below.get_window_extent().y1


def _lines(panels):
    texts = [text.get_text() for axes in panels for text in axes.texts]
    return [line for text in texts for line in text.splitlines()]
