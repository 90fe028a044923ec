"""The interactive page: one HTML file with its data, its script and Plotly inside.

It needs no network and no server: data and Plotly's script are compressed in it, and
its content security policy forbids the browser to fetch anything.
"""

import base64
import gzip
import html
import json
import string
from collections.abc import Sequence
from importlib import resources

from plotly.offline import get_plotlyjs, get_plotlyjs_version

from bn_repro.analysis.page import page_data
from bn_repro.analysis.style import Drawing
from bn_repro.analysis.tables import Table
from bn_repro.run_folder.records import Run

ASSETS = resources.files("bn_repro.analysis.page") / "assets"
# One after the other in one scope: each uses what stands before it.
SCRIPTS = ("core", "view", "runs", "curves", "sweep", "activations", "layers")
SCRIPTS += ("configuration", "start")


def render(
    title: str,  # what the runs are about
    notes: Sequence[str],  # what is missing or left out, a sentence each
    drawings: Sequence[Drawing],
    shown_tables: Sequence[Table],
    runs: Sequence[Run],  # at least one
    viewer_runs: Sequence[str] = (),  # whose units are kept; see `page_units.select`
    target: str | float | None = None,  # to begin with; see `networks.find_goal`
    watched: str = "",  # when it was drawn, if it opens itself anew every minute
) -> str:
    """Returns the page; equal runs give equal pages.

    Raises:
      UserError: `viewer_runs` or `target` names a run that is not there.
    """
    data = page_data.page_data(runs, viewer_runs, target)
    data.values["watched"] = watched
    values = json.dumps(data.values, allow_nan=False, separators=(",", ":"))
    return string.Template(_asset("page.html")).substitute(
        title=html.escape(title),
        style=_asset("page.css"),
        notes="".join(f"<li>{html.escape(note)}</li>\n" for note in notes),
        figures="\n".join(map(_figure, drawings)),
        tables="\n".join(map(_table, shown_tables)),
        plotly_version=get_plotlyjs_version(),
        values=_packed(values.encode()),
        units=_packed(data.units.tobytes()),
        histograms=_packed(data.histograms.tobytes()),
        plotly=_packed(get_plotlyjs().encode()),
        script="\n".join(_asset(f"{name}.js") for name in SCRIPTS),
    )


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def _figure(drawing: Drawing) -> str:
    image = base64.b64encode(drawing.png.read_bytes()).decode()
    told = drawing.title, drawing.caption, drawing.alt
    title, caption, alt = map(html.escape, told)
    return (
        '<figure><button type="button" aria-pressed="false" title="Larger or smaller">'
        f'<img alt="{alt}" src="data:image/png;base64,{image}"></button>\n'
        f"<figcaption><details><summary>{title}</summary>{caption}</details>"
        "</figcaption></figure>"
    )


def _table(table: Table) -> str:
    title = html.escape(table.title)
    return f"<details><summary>{title}</summary>\n{table.html()}</details>"
