"""The page about the inquiry knows each check."""

from __future__ import annotations

from hostguardd.investigate.inquiry import CHECKS
from tests.daemon import ROOT


def test_every_check_has_its_line() -> None:
    page = (ROOT / "docs/investigate.md").read_text()
    rows = [f"| `{one.name}` | {one.guide.replace('|', 'or')} | {one.about} |" for one in CHECKS]
    assert page.endswith("".join(f"{row}\n" for row in rows))
