"""The report on a terminal: the verdict first, all of it readable at any width, and nothing that acts."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostguardd.investigate.interface import Confidence, Item, Known, Moment, Verdict
from hostguardd.investigate.report import build
from hostguardd.render.alike import apart
from hostguardd.render.inquiry import page
from hostguardd.render.paper import Paper, cells, visible
from hostguardd.render.trees import DEEPEST, natural, pruned, tree
from tests import inquiries
from tests.inquiries import NOW

AT = datetime.fromtimestamp(NOW, UTC)
PLAIN = Paper(0, False, AT)

REPORTS: dict[str, Callable[[], dict[str, Any]]] = {
    "clean": inquiries.clean,
    "broken into": inquiries.broken_into,
    "unprivileged": inquiries.unprivileged,
    "hostile": inquiries.hostile,
}


def lines(
    report: dict[str, Any], paper: Paper = PLAIN, *, everything: bool = False, only: str | None = None
) -> list[str]:
    return list(page(paper, report, everything, only))


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("width", [80, 132])
def test_it_fits_the_terminal(name: str, width: int, everything: bool) -> None:
    """But for commands, which are to be copied."""
    report = REPORTS[name]()
    commands = {command for step in report["next_steps"] for command in step["commands"]}
    for line in lines(report, Paper(width, False, AT), everything=everything):
        assert cells(line) <= width or line.strip() in commands
        assert line == line.rstrip()


@pytest.mark.parametrize("everything", [False, True])
def test_colour_only_underlines_what_the_words_say(everything: bool) -> None:
    report = inquiries.broken_into()
    painted = lines(report, Paper(80, True, AT), everything=everything)
    assert [visible(line) for line in painted] == lines(report, Paper(80, False, AT), everything=everything)
    assert any("\x1b[" in line for line in painted)


def test_the_verdict_comes_first_then_the_worst_then_what_was_not_seen() -> None:
    report = inquiries.broken_into()
    shown = lines(report)
    assert shown[0] == f"✕ SUSPICIOUS: {report['headline'][0]}"
    assert [line.strip() for line in shown[1:3]] == report["headline"][1:]
    heads = [line for line in shown if line.isupper() and line[0].isalpha()]
    assert heads == [
        "WHAT IS SUSPICIOUS", "WHAT COULD NOT BE LOOKED AT", "WHAT SOMEBODY SHOULD EXPLAIN", "EVERY CHECK",
        "WHEN IT HAPPENED", "WHAT TO ASK", "WHAT TO DO NEXT",
    ]  # fmt: skip


def test_what_is_suspicious_is_told_with_why_evidence_and_what_to_do() -> None:
    report = inquiries.broken_into()
    text = "\n".join(lines(report))
    for check in report["checks"]:
        for item in check["items"]:
            if item["verdict"] == "suspicious":
                for part in (item["name"], apart(item), item["means"], item["next"]):
                    assert part in text
                assert item["evidence"][0]["text"] in text


def test_a_line_for_every_check() -> None:
    report = inquiries.broken_into()
    shown = lines(report)
    for check in report["checks"]:
        (line,) = [one for one in shown if re.match(rf". {check['name']} ", one)]
        assert check["verdict"] in line
    assert "1,842 looked at" in "\n".join(shown)


def test_an_ordinary_user_gets_one_command() -> None:
    shown = lines(inquiries.unprivileged())
    assert shown.count("    sudo hostguardctl investigate") == 1
    assert "/etc/shadow: Permission denied" in "\n".join(shown)


def test_only_one_check_and_what_is_fine_in_it() -> None:
    shown = lines(inquiries.broken_into(), only="listeners")
    assert shown[0] == "✕ Open ports: suspicious"
    assert any(line.startswith("  ✓ udp 0.0.0.0:323: ") for line in shown)
    with pytest.raises(KeyError):
        lines(inquiries.clean(), only="nonsense")


def test_processes_are_drawn_as_a_tree_with_marks() -> None:
    shown = lines(inquiries.broken_into(), only="processes")
    assert shown[-2:] == ["└─✕ pid 31337 /tmp/.X11-unix/.../kworker (new)", "  └─pid 31402 /usr/bin/bash"]
    assert "│ └─pid 2210 /usr/sbin/sshd" in shown


def test_the_same_again_and_again_is_one_moment() -> None:
    text = "\n".join(lines(inquiries.broken_into()))
    assert text.count("backup refused") == 1
    assert ", 300 times until 2025-11-22 10:46:51" in text


def test_suspicious_moments_are_not_pushed_out_by_newer_ones() -> None:
    moments = [Moment(NOW - 9e5, "login", "the intruder", "wtmp", Confidence.LIKELY, Verdict.SUSPICIOUS)]
    moments += [
        Moment(NOW - 100 + n, "login", f"odd {n}", "wtmp", Confidence.LIKELY, Verdict.NOTABLE)
        for n in range(90)
    ]
    report = build(inquiries.inquiry({}, moments), inquiries.about(), inquiries.CHECKS)
    text = "\n".join(lines(report))
    assert "the intruder" in text
    assert "odd 89" in text
    assert "odd 3 " not in text


def test_times_are_those_of_the_readers_zone() -> None:
    east = Paper(0, False, AT.astimezone(timezone(timedelta(hours=9))))
    assert any("2025-11-23 22:20:00" in line for line in lines(inquiries.clean(), east))


@given(st.lists(st.text(), min_size=1, max_size=3))
@settings(max_examples=25, deadline=None)
def test_nothing_reaches_the_terminal_but_text(names: list[str]) -> None:
    for everything in (False, True):
        for line in lines(inquiries.hostile(names, escaped=False), everything=everything):
            assert not re.search("[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", line)


def of(*pairs: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "parent": parent, "verdict": "fine"} for name, parent in pairs]


names = st.sampled_from("abcdef")


@given(st.lists(st.tuples(names, names | st.just(""))))
def test_a_tree_has_every_item_once(pairs: list[tuple[str, str]]) -> None:
    items = of(*pairs)
    nodes = list(tree(items))
    assert sorted(id(node.item) for node in nodes) == sorted(map(id, items))
    depths = [node.depth for node in nodes]
    assert all(after <= before + 1 for before, after in zip([-1, *depths], depths, strict=False))


def test_a_tree_of_a_long_chain_stays_drawable() -> None:
    chain = of(("0", ""), *((str(n), str(n - 1)) for n in range(1, 5000)))
    assert max(node.depth for node in tree(chain)) == DEEPEST


def test_a_pruned_tree_keeps_what_the_odd_ones_hang_under() -> None:
    items = of(("1", ""), ("2", "1"), ("3", "2"), *((f"x{n}", "1") for n in range(50)))
    items[2]["verdict"] = "suspicious"
    assert {"1", "2", "3"} <= {item["name"] for item in pruned(items, 5)}
    assert len(pruned(items, 5)) == 5


def test_names_are_ordered_as_people_do() -> None:
    assert [one["name"] for one in sorted(of(("pid 10", ""), ("pid 9", "")), key=natural)] == [
        "pid 9",
        "pid 10",
    ]
    assert natural({"name": "9" * 5000})


def test_what_is_alike_is_explained_once() -> None:
    for verdict in (Verdict.SUSPICIOUS, Verdict.NOTABLE):
        items = [Item(f"/tmp/.{n}", verdict, f"odd {n}", "why it is", "what to do") for n in range(9)]
        report = build(inquiries.inquiry({"hidden": items}), inquiries.about(), inquiries.CHECKS)
        text = "\n".join(lines(report))
        assert text.count("what to do") == 1
        assert all(f"odd {n}" in text for n in range(9))


def test_what_is_to_be_done_may_differ_where_all_else_is_alike() -> None:
    items = [Item(f"pid {n}", Verdict.SUSPICIOUS, f"pid {n}: odd", "why", f"save {n}") for n in range(3)]
    report = build(inquiries.inquiry({"processes": items}), inquiries.about(), inquiries.CHECKS)
    text = "\n".join(lines(report))
    assert text.count("why  why") == 1
    assert all(f"save {n}" in text for n in range(3))


@pytest.mark.parametrize(
    ("name", "says", "left"),
    [
        ("/etc/x", "/etc/x: odd", "odd"),
        ("pid 7 /bin/x -m y", "/bin/x -m y runs as root; it is odd", "runs as root; it is odd"),
        ("tcp :22", "/bin/x waits", "/bin/x waits"),
        ("/etc/x", "/etc/xyz is odd", "/etc/xyz is odd"),
        ("x", "x", "x"),
    ],
)
def test_a_name_is_not_said_again_below_it(name: str, says: str, left: str) -> None:
    assert apart({"name": name, "says": says}) == left


def test_what_is_said_of_the_one_above_is_not_said_again() -> None:
    items = [
        Item(f"/tmp/{n}", Verdict.SUSPICIOUS, f"/tmp/{n} lends rights", "why", "next", known=Known.NEW)
        for n in range(3)
    ]
    report = build(inquiries.inquiry({"setid": items}), inquiries.about(), inquiries.CHECKS)
    told = "\n".join(lines(report)).partition("WHAT IS SUSPICIOUS")[2]
    assert told.count("what  lends rights") == 1
    assert told.count("Set-id programs, new") == 1
    assert all(f"/tmp/{n}\n" in told for n in range(3))
