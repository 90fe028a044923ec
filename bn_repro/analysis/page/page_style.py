"""One colour and dash a network, the same in every plot of the page.

Of a sweep the colour is that of the swept value, on a sequential scale, and the dash is
the arm's; elsewhere each network has a colour and its seeds share it.
"""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib import colors

from bn_repro.analysis import arms, style, tables
from bn_repro.analysis.sweep import comparison
from bn_repro.run_folder.records import Run

DASHES = ("solid", "dot", "dash", "dashdot", "longdash", "longdashdot")
TITLE_WIDTH = 24  # letters of a line beside a bar of colours
OTHER = ["#8a8a8a", "#8a8a8a"]  # of a run that no arm has

Styles = tuple[list[dict], list[dict], dict | None]


def styles(
    runs: Sequence[Run], found: Sequence[arms.Arm], sweep: comparison.Sweep | None
) -> Styles:
    """Returns each run's style, the legend's entries, and the scale of colours.

    A style is {"colors": [on white, on black], "dash", "legend": label of its entry};
    the scale, {"title", "labels", "colors": [on white, on black]}, is None where
    nothing was swept.
    """
    return _swept(runs, sweep) if sweep else _networks(runs, found)


def _networks(runs: Sequence[Run], found: Sequence[arms.Arm]) -> Styles:
    legend = []
    labels = list(dict.fromkeys(arm.label for arm in found))  # several lengths: one
    for i, label in enumerate(labels):
        known = style.NETWORKS.get(label.rsplit("/", 1)[-1])
        turn, place = divmod(i, len(style.PAGE_SERIES))
        color = known.color if known else style.PAGE_SERIES[place]
        dash = "solid" if known else DASHES[turn % len(DASHES)]
        colors_ = [color, on_black(color)]
        legend.append({"legend": label, "colors": colors_, "dash": dash})
    places = {id(run): labels.index(arm.label) for arm in found for run in arm.runs}
    if any(id(run) not in places for run in runs):  # another has its configuration
        legend.append({"legend": "others", "colors": OTHER, "dash": "longdashdot"})
    return [legend[places.get(id(run), -1)] for run in runs], legend, None


def _swept(runs: Sequence[Run], sweep: comparison.Sweep) -> Styles:
    values = sweep.values
    scales = [style.sequential(len(values), *part) for part in style.SEQUENTIAL]
    by_value = {value: [scale[i] for scale in scales] for i, value in enumerate(values)}
    # The arms come without BN first; those with BN have the solid line.
    legend = [
        {"legend": arm.label, "colors": None, "dash": DASHES[i % len(DASHES)]}
        for i, arm in enumerate(reversed(sweep.arms))
    ]
    entries = {run: legend[place] for run, place in sweep.place_of().items()}
    other = {"legend": "others", "colors": None, "dash": "longdashdot"}
    legend += [other] if sweep.left_out else []
    found = []
    for run in runs:
        value = run.stated[sweep.key]
        entry = entries.get(id(run), other)
        found.append(entry | {"colors": by_value.get(value, OTHER)})
    labels = [tables.value_text(value) for value in values]
    title = "<br>".join(textwrap.wrap(sweep.name, TITLE_WIDTH))
    scale = {"title": title, "labels": labels, "colors": scales}
    return found, legend, scale


def on_black(color: str) -> str:
    """Returns a colour as the page's dark style shows it in a figure.

    That style turns a figure's brightness round and keeps the hues: the filter
    invert(0.91) hue-rotate(180deg) of page.css, whose second part is this matrix.
    """
    weights = np.array([0.2126, 0.7152, 0.0722])
    inverted = 0.91 - 0.82 * np.array(colors.to_rgb(color))
    turned = 2 * (weights @ inverted) - inverted
    return colors.to_hex(np.clip(turned, 0, 1))
