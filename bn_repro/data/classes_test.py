"""The labels of a run decide, and words files are read as people write them."""

import numpy as np
import pytest

from bn_repro.data import classes
from bn_repro.data.classes import Classes
from bn_repro.errors import UserError


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("n01\tcafé, bar\nn02 the sea\n".encode(), ["café, bar", "the sea"]),
        ("n01\tcafé\n".encode("latin-1"), ["café", "n02"]),
        ("\ufeffn01 café\n".encode(), ["café", "n02"]),
        (b"n01\tone\r\nn02\ttwo\r\n", ["one", "two"]),
        (b"\n# a comment\n\nn02\t two \n", ["n01", "two"]),
        (b"n01\tone\rn02\ttwo", ["one", "two"]),
        (b"n01", ["n01", "n02"]),
        (b"", ["n01", "n02"]),
        ("n01\tone\nn02\ttwo\n".encode("utf-16"), ["one", "two"]),
    ],
)
def test_words_files(tmp_path, content, expected):
    (tmp_path / "words.txt").write_bytes(content)
    assert classes.readable_names(["n01", "n02"], [str(tmp_path)]) == expected


def test_words_of_folders_with_spaces(tmp_path):
    (tmp_path / "words.txt").write_text("hot dog\ta sausage\n")
    assert classes.readable_names(["hot dog"], [str(tmp_path)]) == ["a sausage"]


def test_order():
    assert classes.in_order(["10", "9", "0"]) == ["0", "9", "10"]
    assert classes.in_order(["010", "009"]) == ["009", "010"]
    assert classes.in_order(["10", "9", "a"]) == ["10", "9", "a"]
    assert classes.in_order(["1", "-1", "10", "-10"]) == ["-10", "-1", "1", "10"]
    assert classes.in_order(["10.0", "1.5", "2.0"]) == ["1.5", "2.0", "10.0"]
    assert classes.in_order(["c_10", "c_9"]) == ["c_9", "c_10"]
    assert classes.in_order(["c-10", "c-9"]) == ["c-9", "c-10"]
    assert classes.in_order(["a10", "b9", "a9"]) == ["a10", "a9", "b9"]
    assert classes.in_order(["n10", "n01"]) == ["n01", "n10"]
    assert classes.in_order(["²", "1", "10", "2"]) == ["1", "10", "2", "²"]


RUN = Classes(("crane", "crane", "tench"), ("n2", "n3", "n1"))


@pytest.mark.parametrize(
    ("recorded", "found", "expected"),
    [
        (RUN, RUN, [0, 1, 2]),
        (RUN, Classes(("tench", "crane", "crane"), ("n1", "n2", "n3")), [2, 0, 1]),
        (RUN, Classes(("n1", "n2", "n3"), ("n1", "n2", "n3")), [2, 0, 1]),  # no words
        # Runs that recorded no folders: by names, or folders that were the names.
        (Classes(("b", "a")), Classes(("a", "b"), ("n1", "n2")), [1, 0]),
        (Classes(("n2", "n1")), Classes(("tench", "crane"), ("n1", "n2")), [1, 0]),
        (
            Classes(("x", "x", "y")),
            Classes(("x", "x", "y"), ("1", "2", "3")),
            [0, 1, 2],
        ),
        (Classes((), ("cafe\u0301",)), Classes(("caf\u00e9",), ("caf\u00e9",)), [0]),
    ],
)
def test_the_run_decides_on_the_labels(recorded, found, expected):
    np.testing.assert_array_equal(classes.labels_in(recorded, found, "x"), expected)


@pytest.mark.parametrize(
    ("recorded", "found", "message"),
    [
        (RUN, Classes((), ("n1", "n2")), "only in the run: n3; only there: none"),
        (RUN, Classes((), ("n1", "n2", "n4")), "only in the run: n3; only there: n4"),
        (RUN, Classes((), ("n1", "n2", "n3 ")), "in the run: n3; only there: 'n3 '"),
        (Classes(("a", "b")), Classes(("a", "c"), ("1", "2")), "run: b; only there: c"),
        (
            Classes(("x", "x", "y")),
            Classes(("x", "y", "x"), ("1", "2", "3")),
            "several classes of one name",
        ),
    ],
)
def test_other_classes_are_refused(recorded, found, message):
    with pytest.raises(UserError, match=message) as caught:
        classes.labels_in(recorded, found, "data.val=x")
    assert "\n" not in str(caught.value)
