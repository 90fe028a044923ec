"""Every link of the documentation leads to a file that is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    path
    for pattern in ("*.md", "docs/*.md", "results/*.md")
    for path in sorted(ROOT.glob(pattern))
]


@pytest.mark.parametrize(
    "page", sorted(set(PAGES)), ids=lambda p: str(p.relative_to(ROOT))
)
def test_links_lead_somewhere(page):
    found = re.findall(r"(?:\]\(|src=\")([^)\"#\s]+)", page.read_text())
    for link in (link for link in found if "://" not in link):
        assert (page.parent / link).exists(), link
