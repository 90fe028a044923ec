"""What a network gets wrong, as tables and as a contact sheet of pictures."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bn_repro.analysis.mistakes import ClassScore, Mistake, Pair
from bn_repro.analysis.tables import Table

COLUMNS = 6  # of the contact sheet
LINE, NAME = 26, 40  # characters of a line below a picture, and of a class's name
TRUE, WRONG = "#0072B2", "#D55E00"  # Okabe and Ito's blue and vermilion
LEGEND = (
    'Blue: its class; orange, after "as": what it was taken for; in brackets: the '
    "network's probability of it."
)


def class_table(scores: Sequence[ClassScore], names: Sequence[str]) -> Table:
    """Returns one row a class, those of the lowest accuracy first.

    Args:
      scores: of each class that shall be shown.
      names: of all classes, in the order of labels.
    """
    shown = [score for score in scores if score.count]
    shown.sort(key=lambda score: (score.accuracy, score.label))
    rows = [
        [
            names[score.label],
            percent(score.correct, score.count),
            percent(score.correct5, score.count),
            f"{score.count:,}",
            f"{score.predicted:,}",
            f"{names[score.rival]} ({score.taken:,})" if score.taken else "-",
        ]
        for score in shown
    ]
    columns = ["Class", "Top-1 accuracy", "Top-5 accuracy", "Pictures"]
    columns += ["Taken for it", "Most often taken for"]
    return Table("Accuracy of each class", columns, rows, _class_note(scores, shown))


def _class_note(scores, shown) -> str:
    notes = [
        "Pictures: of the class. Taken for it: pictures of all classes whose likeliest "
        "class it is."
    ]
    if shown:
        middle = sorted(score.count for score in shown)[len(shown) // 2]
        notes.append(
            f"Two binomial standard errors of an accuracy over {middle:,} pictures are "
            f"up to {100 / np.sqrt(middle):.0f} points: much of the order is chance."
        )
    if missing := len(scores) - len(shown):
        notes.append(f"Classes without pictures: {missing:,}.")
    return " ".join(notes)


def pairs_table(pairs: Sequence[Pair], names: Sequence[str]) -> Table:
    """Returns one row a pair of classes, in the order given."""
    rows = [
        [
            names[pair.label],
            names[pair.predicted],
            f"{pair.count:,}",
            f"{pair.of:,}",
            percent(pair.count, pair.of),
            f"{pair.reverse:,}",
        ]
        for pair in pairs
    ]
    columns = ["Class", "Taken for", "Pictures", "Of", "Share", "The other way"]
    note = (
        "Of: the class's pictures. The other way: pictures of the second class that "
        "were taken for the first."
    )
    return Table("Classes taken for one another", columns, rows, note)


def mistakes_table(
    mistakes: Sequence[Mistake], names: Sequence[str], files: Sequence[str] = ()
) -> Table:
    """Returns one row a mistake, in the order given.

    Args:
      mistakes: the pictures.
      names: of all classes, in the order of labels.
      files: what to call each picture; by default its number in the evaluation.
    """
    files = files or [str(mistake.index) for mistake in mistakes]
    rows = [
        [
            str(place),
            names[mistake.label],
            names[mistake.predicted],
            probability_text(mistake.probability),
            probability_text(mistake.own),
            file,
        ]
        for place, (mistake, file) in enumerate(zip(mistakes, files, strict=True), 1)
    ]
    columns = ["", "Class", "Taken for", "With probability", "Of its class", "Picture"]
    note = "The mistakes with the highest probability of a wrong class."
    return Table("Confident mistakes", columns, rows, note)


def percent(part: int, whole: int) -> str:
    """Returns "12.5 %", "-" of nothing."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def probability_text(probability: float) -> str:
    """Returns "97 %" for 0.97; near 0 and 1 what it is below and above."""
    if 0 < probability < 0.01:
        return "< 1 %"
    return "> 99 %" if 0.99 < probability < 1 else f"{100 * probability:.0f} %"


def contact_sheet(
    mistakes: Sequence[Mistake],
    pictures: Sequence[np.ndarray],
    names: Sequence[str],
    title: str,
) -> Figure:
    """Returns the pictures in rows, numbered as in `mistakes_table`; see LEGEND.

    Args:
      mistakes: at least one.
      pictures: of each, uint8 RGB [H, W, 3] or grey [H, W], of any size.
      names: of all classes, in the order of labels.
      title: above the pictures.
    """
    columns = min(COLUMNS, len(mistakes))
    rows = -(-len(mistakes) // columns)
    size = (max(2.1 * columns, 6.0), 2.75 * rows + 0.5)
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    title = textwrap.fill(f"{title}. {LEGEND}", int(12.5 * size[0]))
    figure.suptitle(title, fontsize=10, parse_math=False)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels:
        axes.set_axis_off()
    for place, (mistake, picture) in enumerate(zip(mistakes, pictures, strict=True), 1):
        _panel(panels[place - 1], place, mistake, picture, names)
    return figure


def _panel(axes: Axes, place: int, mistake: Mistake, picture, names) -> None:
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255)  # of grey ones only
    axes.set_title(str(place), loc="left", fontsize=8, pad=2)
    label = _lines(names[mistake.label], mistake.own)
    predicted = _lines(f"as {names[mistake.predicted]}", mistake.probability)
    below = -3 - 11 * (1 + label.count("\n"))
    for text, color, offset in ((label, TRUE, -3), (predicted, WRONG, below)):
        axes.annotate(
            text,
            (0.5, 0),
            (0, offset),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=8,
            color=color,
            annotation_clip=False,
            parse_math=False,  # a folder's name may have a $
        )


def _lines(name: str, probability: float) -> str:
    """Returns the name, cut where it is too long, and the probability in two lines."""
    name = name if len(name) <= NAME else f"{name[: NAME - 3]}..."
    return "\n".join(textwrap.wrap(f"{name} ({probability_text(probability)})", LINE))
