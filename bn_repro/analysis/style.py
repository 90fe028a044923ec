"""How figures look: one palette, one style file, and what several of them draw."""

import io
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib import colormaps, colors
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from PIL import Image

from bn_repro.run_folder.files import naming
from bn_repro.run_folder.records import Run

# Decorates what draws a figure.
styled = matplotlib.rc_context(fname=Path(__file__).with_name("style.mplstyle"))

# Okabe and Ito's colours, told apart by colour-blind readers.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PINK = "#0072B2", "#D55E00", "#CC79A7"
PURPLE, GREY, SOFT = "#7F3C8D", "#999999", "#666666"
SERIES = (VERMILLION, BLUE, GREEN, PINK, ORANGE, BLACK, SKY)
# Likewise, dark enough for the thin lines of a page.
PAGE_SERIES = (BLUE, VERMILLION, GREEN, "#B6558E")
PAGE_SERIES += ("#C58A00", "#3A9BD9", "#6B4BA3", "#6E6E6E")


SEQUENTIAL = ((0.0, 0.88), (0.3, 1.0))  # parts of viridis seen on white, on black

VISIBLE = 0.25  # of 255: mean change of a figure's pixels, of a heat map's for one

NONLINEARITIES = {"relu": "ReLU"}  # of another name than in the configuration


class Line(NamedTuple):
    """A colour, a dash that print needs beside it, and a marker."""

    color: str
    dash: object = "-"
    marker: str = "o"


# By `arms.norm_name`.
NORMS = {
    "Without BN": Line(VERMILLION, (0, (4, 1.5)), "s"),
    "With BN": Line(BLUE),
    "BN after the nonlinearity": Line(GREEN, (0, (6, 1.5, 1, 1.5)), "^"),
}
OTHER_NORMS = (Line(PURPLE, (0, (2, 1))), Line(ORANGE, "-", "P"))  # by place
# By key in RUNS, of Fig. 2.
NETWORKS = {
    "inception": Line(BLACK, (0, (5, 2))),
    "bn_baseline": Line(VERMILLION, (0, (1, 1))),
    "bn_x5": Line(GREEN, (0, (6, 1.5, 1, 1.5))),
    "bn_x30": Line(BLUE),
    "bn_x5_sigmoid": Line(PINK, (0, (3, 1))),
    "inception_x5": Line(GREY, (0, (5, 2))),
    "inception_sigmoid": Line(ORANGE, (0, (1, 1.5))),
}
OTHERS = (
    Line(BLUE),
    Line(VERMILLION, (0, (4, 1.5)), "s"),
    Line(PINK, "-", "v"),
    Line(SKY, (0, (4, 1.5)), "^"),
    Line(ORANGE, "-", "P"),
    Line(PURPLE, (0, (1, 1)), "X"),
    Line("#444444", (0, (6, 1.5, 1, 1.5)), "D"),
)


def sequential(
    count: int, first: float = SEQUENTIAL[0][0], last: float = SEQUENTIAL[0][1]
) -> list[str]:
    """Returns colours for values in their order, of a part of viridis."""
    shades = colormaps["viridis"](np.linspace(first, last, count))
    return [colors.to_hex(shade) for shade in shades]


class Drawing(NamedTuple):
    """A figure's files, its name and the caption that belongs under it."""

    png: Path  # file
    pdf: Path  # file
    title: str  # such as "Figure 1"
    caption: str  # what it shows, in sentences
    alt: str  # what it shows, for those who cannot see it


def save(drawn: tuple[Figure, str], stem: Path, title: str, alt: str) -> Drawing:
    """Writes a drawn figure as PNG and PDF, without dates: equal runs give equal files.

    `stem` is their path without the ending, in a folder that exists.

    Raises:
      UserError: a file cannot be written.
    """
    figure, caption = drawn
    png, pdf = stem.with_suffix(".png"), stem.with_suffix(".pdf")
    pixels = io.BytesIO()
    figure.savefig(pixels, format="png")
    image = Image.open(pixels)
    with naming(png, "write"):
        _with_palette(image).save(png, optimize=True, dpi=image.info["dpi"])
    figure.set_layout_engine("none")  # it is laid out: not once more for the PDF
    with naming(pdf, "write"):
        figure.savefig(pdf, metadata={"CreationDate": None})
    return Drawing(png, pdf, title, caption, alt)


def _with_palette(image: Image.Image) -> Image.Image:
    """Returns an image in 256 colours, 0.4 of the room, or in all where that shows."""
    every = image.convert("RGB")
    few = every.quantize(256, dither=Image.Dither.NONE)
    moved = np.asarray(few.convert("RGB"), np.int16) - np.asarray(every)
    return few if np.abs(moved).mean() < VISIBLE else every


def band(
    axes: Axes, curve, line: Line, label: str, width: float = 1.5, alpha: float = 0.2
) -> None:
    """Draws a mean over seeds and a band from the lowest to the highest."""
    look = {"color": line.color, "linestyle": line.dash, "label": label}
    axes.plot(curve.steps, curve.mean, linewidth=width, **look)
    look = {"color": line.color, "alpha": alpha, "lw": 0}
    axes.fill_between(curve.steps, curve.low, curve.high, **look)


def legend_below(figure: Figure, panels, columns: int, **more) -> None:
    """Draws one legend below all panels, each label once."""
    drawn = {
        label: handle
        for axes in np.ravel(panels)
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    } | more.pop("also", {})
    place = "outside lower center"
    figure.legend(drawn.values(), drawn, loc=place, ncols=columns, **more)


def step_axis(axes: Axes, steps: int) -> None:
    """Labels the axis of training steps from 0 to `steps`, long ones in thousands."""
    axes.set_xlim(0, steps)
    axes.set_xlabel("training steps")
    if steps >= 1000:
        thousands = FuncFormatter(lambda x, _: f"{x / 1000:g}K" if x else "0")
        axes.xaxis.set_major_formatter(thousands)
    plain(axes)


def plain(axes: Axes) -> None:
    """Draws a light grid and no frame above and on the right."""
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def nonlinearity(run: Run) -> str:
    """Returns the name of a run's nonlinearity."""
    name = run.config["model"].get("nonlinearity", "sigmoid")
    return NONLINEARITIES.get(name, name)
