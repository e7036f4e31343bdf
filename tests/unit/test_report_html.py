"""The report as an HTML file: it stands alone, runs nothing, says what it must, and stays small."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any
from unicodedata import category

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostguardd.investigate.interface import MOMENTS, Confidence, Item, Moment, Verdict, text
from hostguardd.investigate.report import build
from hostguardd.render.html import html
from hostguardd.render.html.timeline import KINDS
from tests import inquiries
from tests.inquiries import NOW
from tests.pagereader import Reader

REPORTS: dict[str, Callable[[], dict[str, Any]]] = {
    "clean": inquiries.clean,
    "broken into": inquiries.broken_into,
    "unprivileged": inquiries.unprivileged,
    "hostile": inquiries.hostile,
    "hostile and raw": lambda: inquiries.hostile(escaped=False),
}


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ALLOWED = words("""
    html head meta title style body a header div p h1 h2 h3 h4 span nav ul ol li b i strong small main section
    article dl dt dd details summary table thead tbody tr th td code samp fieldset legend label input svg rect
    footer time
""")
"""Every element there is: none that loads, runs, embeds or sends anything."""

ATTRIBUTES = words("""
    lang charset http-equiv content name id class href tabindex aria-label aria-labelledby aria-hidden role
    scope data-label datetime type checked open viewbox preserveaspectratio x y width height title
""")
"""Every attribute, and no `style`, `src` or `on…` among them."""


def check(page: str) -> Reader:
    """What holds for every page, whatever is in it."""
    reader = Reader(page)
    assert not reader.wrong, reader.wrong[:5]
    assert {tag for tag, _ in reader.tags} - {"title"} <= ALLOWED
    assert {name for _, attributes in reader.tags for name in attributes} <= ATTRIBUTES
    ids = reader.values("id")
    assert len(ids) == len(set(ids))
    links = reader.values("href")
    assert all(re.fullmatch("#[a-z0-9-]+", link) for link in links)
    assert {link[1:] for link in links} | set(" ".join(reader.values("aria-labelledby")).split()) <= set(ids)
    harmful = [
        char for char in page if char not in "\n\t" and not char.isprintable() and category(char) != "Zs"
    ]
    assert not harmful, harmful[:5]
    return reader


@pytest.mark.parametrize("name", REPORTS)
def test_a_page_is_sound_and_reaches_for_nothing(name: str) -> None:
    page = html(REPORTS[name]())
    check(page)
    assert page.lower().startswith("<!doctype html>")


def test_its_policy_allows_its_own_style_sheet_and_nothing_else() -> None:
    page = html(inquiries.broken_into())
    (style,) = re.findall("<style>(.*?)</style>", page, re.S)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = next(
        a["content"] for _, a in Reader(page).tags if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert "url(" not in style
    assert "@import" not in style
    assert page.index("Content-Security-Policy") < page.index("<style>")


@pytest.mark.parametrize("name", inquiries.HOSTILE)
def test_a_hostile_name_is_only_read(name: str) -> None:
    """It opens no element and ends no attribute, and can be read as what it is."""
    plain = check(html(inquiries.hostile(["plain"])))
    for escaped in (True, False):
        reader = check(html(inquiries.hostile([name], escaped=escaped)))
        assert [tag for tag, _ in reader.tags] == [tag for tag, _ in plain.tags] or len(name) > 100
    shown = text(name.encode("utf-8", "surrogatepass"))
    assert shown[:200] in check(html(inquiries.hostile([name]))).text


@given(st.lists(st.text(), min_size=1, max_size=3))
@settings(max_examples=25, deadline=None)
def test_no_name_breaks_the_page(names: list[str]) -> None:
    check(html(inquiries.hostile(names, escaped=False)))


def test_the_worst_comes_first_with_why_evidence_and_what_to_do() -> None:
    report = inquiries.broken_into()
    text = re.sub(r"\s+", " ", Reader(html(report)).text)
    for line in report["headline"]:
        assert line in text
    suspicious = [
        item for one in report["checks"] for item in one["items"] if item["verdict"] == "suspicious"
    ]
    assert len(suspicious) == 10
    for item in suspicious:
        for part in (item["name"], item["says"], item["means"], item["next"], item["evidence"][0]["text"]):
            assert part in text
    for step in report["next_steps"]:
        assert step["do"] in text
        assert all(command in text for command in step["commands"])
    for asked in report["ask"]:
        assert all(question in text for question in asked["questions"])
    order = [
        "What is suspicious",
        "What to do next",
        "What could not be looked at",
        "What somebody should explain",
    ]
    places = [text.rindex(f" {title} ") for title in order]
    assert places == sorted(places)


def test_what_an_ordinary_user_cannot_see_is_listed_with_one_command() -> None:
    text = Reader(html(inquiries.unprivileged())).text
    assert "sudo hostguardctl investigate" in text
    assert "/etc/shadow" in text
    assert "this host has no baseline" in text


def test_a_clean_host_is_told_in_a_short_page() -> None:
    reader = Reader(html(inquiries.clean()))
    assert "No sign of an intrusion was found." in reader.text
    assert not [one for one in reader.values("id") if one.startswith("thing-")]


def test_headings_go_down_one_level_at_a_time() -> None:
    levels = [
        int(tag[1]) for tag, _ in Reader(html(inquiries.broken_into())).tags if re.fullmatch("h[1-6]", tag)
    ]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_the_tree_of_processes_hangs_together() -> None:
    page = html(inquiries.broken_into())
    tree = page[page.index('<div class="tree">') :]
    before = tree[: tree.index("pid 31402")]
    assert before.count("<ul>") - before.count("</ul>") == 3  # systemd, the odd one, its shell
    assert 'is-suspicious"><span class="leaf">' in before


def test_every_kind_of_moment_has_a_lane_and_a_rule_that_hides_it() -> None:
    moments = [Moment(NOW - 60, kind, kind, "x", Confidence.SURE) for kind in MOMENTS]
    report = build(inquiries.inquiry({}, moments), inquiries.about(), inquiries.CHECKS)
    page = html(report)
    assert set(KINDS) == set(MOMENTS)
    for kind in MOMENTS:
        assert f'class="lane l-{kind}"' in page
        assert f"#time:has(#k-{kind}:not(:checked)) .l-{kind}" in page


def test_a_moment_is_in_the_periods_it_falls_into() -> None:
    at = {"an hour": NOW - 60, "a day": NOW - 7200, "a week": NOW - 2 * 86400, "older": NOW - 30 * 86400}
    moments = [Moment(when, "login", name, "wtmp", Confidence.LIKELY) for name, when in at.items()]
    page = html(
        build(
            inquiries.inquiry({}, sorted(moments, key=lambda one: one.at)),
            inquiries.about(),
            inquiries.CHECKS,
        )
    )
    rows = re.findall(
        r'<tr class="l-login is-fine ([a-z -]*)">.*?class="raw">([a-z ]+)<|<tr class="l-login', page, re.S
    )
    assert {name.strip(): periods for periods, name in rows} == {
        "an hour": "t-hour t-day t-week t-all",
        "a day": "t-day t-week t-all",
        "a week": "t-week t-all",
        "older": "t-all",
    }
    counts = dict(re.findall(r'id="p-(\w+)"[^>]*><span>[^<]*<small>(\d+)', page))
    assert counts == {"hour": "1", "day": "2", "week": "3", "all": "4"}


def test_however_much_there_is_the_file_stays_small() -> None:
    """Names as long as they may be, all of what grows most when it is escaped."""
    long = '"' * 1990
    items = {
        check.name: [
            Item(f"{n} {long}", Verdict(n % 4), long, long, long, details=dict.fromkeys("abcde", long))
            for n in range(1200)
        ]
        for check in inquiries.CHECKS
    }  # fmt: skip
    moments = [
        Moment(NOW - n * 13.7, MOMENTS[n % 12], long, long, Confidence.LIKELY, Verdict(n % 4), "", NOW)
        for n in range(50_000)
    ]
    report = build(inquiries.inquiry(items, moments[::-1]), inquiries.about(), inquiries.CHECKS)
    began = time.process_time()
    page = html(report)
    assert len(page.encode()) < 5_000_000
    assert time.process_time() - began < 20
    check(page)


def test_details_that_are_times_are_shown_as_such() -> None:
    items = [
        Item("x", Verdict.FINE, "said", details={"since": NOW, "last": 3, "count": 1763904000, "idle": True})
    ]
    report = build(inquiries.inquiry({"sessions": items}), inquiries.about(), inquiries.CHECKS)
    cells = re.findall(r'<td data-label="([a-z]+)" class="raw cell">([^<]*)</td>', html(report))
    assert cells == [
        ("since", "2025-11-23 22:20:00"),
        ("last", "3"),
        ("count", "1763904000"),
        ("idle", "yes"),
    ]


def test_a_check_that_nobody_has_heard_of_is_shown() -> None:
    report = inquiries.clean()
    for check in report["checks"]:
        check["name"] = f"new-{check['name']}"
    page = html(report)
    assert page.count('<details class="check') == len(report["checks"])


def test_what_is_alike_is_explained_once() -> None:
    items = [Item(f"/tmp/.{n}", Verdict.SUSPICIOUS, f"odd {n}", "why it is", "what to do") for n in range(30)]
    report = build(inquiries.inquiry({"hidden": items}), inquiries.about(), inquiries.CHECKS)
    shown = check(html(report)).text
    assert shown.count("why it is") == 1
    assert "30 × Hidden things" in shown
    assert "24 more of the same" in shown
    assert all(f"odd {n}" in shown for n in range(30))


def test_what_is_to_be_done_may_differ_where_all_else_is_alike() -> None:
    items = [Item(f"pid {n}", Verdict.SUSPICIOUS, f"pid {n}: odd", "why", f"save {n}") for n in range(3)]
    report = build(inquiries.inquiry({"processes": items}), inquiries.about(), inquiries.CHECKS)
    shown = check(html(report)).text
    assert shown.count("Why it matters") == 1
    assert all(f"save {n}" in shown for n in range(3))
