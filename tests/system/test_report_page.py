"""The HTML report in a real browser: nothing leaves it, nothing runs in it, and people can read and use
it."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hostguardd.investigate.interface import Item, Verdict, text
from hostguardd.investigate.report import build
from hostguardd.render.html import html
from tests import inquiries
from tests.browser import Browser

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("HOSTGUARD_REPORT"), reason="a browser takes 300 MB: make report-check"
    ),
    pytest.mark.timeout(180),
]

REPORTS: dict[str, Callable[[], dict[str, Any]]] = {
    "clean": inquiries.clean,
    "broken into": inquiries.broken_into,
    "unprivileged": inquiries.unprivileged,
    "hostile": inquiries.hostile,
    "hostile and raw": lambda: inquiries.hostile(escaped=False),
}

CONTRAST = """
(() => {
  const canvas = document.createElement("canvas"); canvas.width = canvas.height = 1;
  const pen = canvas.getContext("2d", {willReadFrequently: true});
  const rgba = colour => {
    pen.clearRect(0, 0, 1, 1); pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const part = v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    return .2126 * part(r) + .7152 * part(g) + .0722 * part(b);
  };
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = rgba(getComputedStyle(node).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const poor = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.checkVisibility() || node.closest("svg")) continue;
    const [a, b] = [light(rgba(getComputedStyle(node).color)), light(behind(node))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) poor.add(`${node.tagName}.${node.className} ${ratio.toFixed(2)}`);
  }
  return [...poor];
})()
"""
"""What has less than 4.5:1 (WCAG 2.2, 1.4.3, level AA)."""


@pytest.fixture(scope="module")
def page() -> Iterator[Browser]:
    """One browser for all."""
    with Browser() as browser:
        yield browser


def show(page: Browser, tmp_path: Path, report: dict[str, Any]) -> None:
    """A report in it, as on a desk."""
    path = tmp_path / "report.html"
    path.write_text(html(report), encoding="utf-8")
    page.screen(1280)
    page.media()
    page.open(path)


def test_this_way_of_looking_sees_requests_and_complaints(page: Browser, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    policy = "<meta http-equiv=Content-Security-Policy content=\"script-src 'none'\">"
    bad.write_text(f"{policy}<img src='other.png'><script>1</script>")
    page.open(bad)
    assert page.requests == [bad.as_uri(), (tmp_path / "other.png").as_uri()]
    assert any("Content Security Policy" in one for one in page.complaints)


@pytest.mark.parametrize("name", REPORTS)
def test_no_request_leaves_it_and_nothing_complains(page: Browser, tmp_path: Path, name: str) -> None:
    show(page, tmp_path, REPORTS[name]())
    assert page.requests == [(tmp_path / "report.html").as_uri()]
    assert page.complaints == []
    assert page.run("document.scripts.length + document.images.length + document.links.length * 0") == 0
    assert page.run("document.styleSheets[0].cssRules.length") > 100  # its own policy lets its style in


@pytest.mark.parametrize("name", inquiries.HOSTILE[:8])
def test_a_hostile_name_is_shown_as_it_is(page: Browser, tmp_path: Path, name: str) -> None:
    show(page, tmp_path, inquiries.hostile([name]))
    assert text(name.encode("utf-8", "surrogatepass")) in page.run("document.body.textContent")
    assert (
        page.run(
            "[...document.querySelectorAll('*')].flatMap(one => one.getAttributeNames())"
            ".filter(name => /^on|^style$|^src$/.test(name))"
        )
        == []
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["clean", "broken into", "unprivileged"])
def test_every_text_has_contrast_enough(page: Browser, tmp_path: Path, name: str, scheme: str) -> None:
    show(page, tmp_path, REPORTS[name]())
    page.media("screen", scheme)
    page.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.run(CONTRAST) == []
    dark = page.run("getComputedStyle(document.body).backgroundColor") == "rgb(19, 21, 25)"
    assert dark == (scheme == "dark")


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
@pytest.mark.parametrize("name", ["broken into", "hostile"])
def test_it_fits_the_screen(page: Browser, tmp_path: Path, name: str, width: int) -> None:
    show(page, tmp_path, REPORTS[name]())
    page.screen(width)
    page.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.run("document.documentElement.scrollWidth") <= width


ROWS = "[...document.querySelectorAll('.moments tbody tr')].filter(row => row.checkVisibility()).length"
LANES = (
    "[...document.querySelectorAll('.lane')].filter(one => one.checkVisibility()).map(one => one.className)"
)


def test_the_time_line_is_narrowed_without_a_script(page: Browser, tmp_path: Path) -> None:
    show(page, tmp_path, inquiries.broken_into())
    assert page.run("document.querySelector('[name=period]:checked').id") == "p-week"  # the break-in is in it
    assert page.run(ROWS) == 60  # 300 refusals of one are one
    page.run("document.getElementById('p-hour').click()")
    assert page.run(ROWS) == 2
    page.run("document.getElementById('p-all').click()")
    assert page.run(ROWS) == 65
    page.run("document.getElementById('w-bad').click()")
    assert page.run(ROWS) == 10
    assert len(page.run(LANES)) == 12
    page.run("document.getElementById('k-file').click()")
    assert page.run(ROWS) == 7
    assert "lane l-file" not in page.run(LANES)
    assert len(page.run(LANES)) == 11


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("number", [3, 3000])
def test_each_mark_of_the_time_line_can_be_seen(
    page: Browser, tmp_path: Path, number: int, width: int
) -> None:
    """However many there are, they neither become hairs nor run over the edge, and the file stays small."""
    report = inquiries.broken_into()
    some = [one for one in report["timeline"]["moments"] if one["verdict"] == "suspicious"]
    report["timeline"]["moments"] = sorted(
        ({**some[n % len(some)], "says": f"sign {n}", "until": ""} for n in range(number)),
        key=lambda one: str(one["at"]),
    )
    show(page, tmp_path, report)
    page.screen(width)
    marks = page.run(
        "[...document.querySelectorAll('rect')].filter(one => one.checkVisibility())"
        ".map(one => one.getBoundingClientRect()).map(one => [one.left, one.right, one.height])"
    )
    assert 1 <= len(marks) <= 12 * 150
    assert min(right - left for left, right, _ in marks) >= 1
    assert min(height for _, _, height in marks) >= 20  # a suspicious one is as high as its lane
    assert 0 <= min(left for left, _, _ in marks) <= max(right for _, right, _ in marks) <= width
    assert min(number, 900) <= page.run(ROWS) <= 1000


def test_a_link_to_what_is_folded_away_opens_it(page: Browser, tmp_path: Path) -> None:
    items = [Item(f"/tmp/.{n}", Verdict.SUSPICIOUS, f"odd {n}", "why it is", "what to do") for n in range(30)]
    show(page, tmp_path, build(inquiries.inquiry({"hidden": items}), inquiries.about(), inquiries.CHECKS))
    last = "document.getElementById('thing-30')"
    assert page.run(f"{last}.checkVisibility()") is False
    page.run("document.querySelector('a[href=\"#thing-30\"]').click()")
    assert page.run(f"new Promise(done => setTimeout(() => done({last}.checkVisibility()), 200))") is True


def test_it_is_used_by_keyboard(page: Browser, tmp_path: Path) -> None:
    show(page, tmp_path, inquiries.broken_into())
    page.press("Tab", 9)
    assert page.run("document.activeElement.className") == "skip"
    assert page.run("document.activeElement.getBoundingClientRect().left") >= 0  # no longer out of sight
    assert page.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.press("Enter", 13)
    assert page.run("document.activeElement.id") in ("main", "")
    seen = set()
    for _ in range(60):
        page.press("Tab", 9)
        seen.add(page.run("document.activeElement.id || document.activeElement.tagName"))
    assert {"p-week", "w-all", "k-login"} <= seen


def test_what_is_folded_is_printed(page: Browser, tmp_path: Path) -> None:
    show(page, tmp_path, inquiries.clean())
    folded = "document.querySelector('details:not([open]) .lead').checkVisibility()"
    assert page.run(folded) is False
    page.media("print")
    assert page.run(folded) is True
    assert not page.run("document.querySelector('nav').checkVisibility()")
    printed = base64.b64decode(page.call("Page.printToPDF", printBackground=True)["data"])
    assert printed.startswith(b"%PDF-")
    assert len(printed) > 20_000
