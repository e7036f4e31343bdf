"""Pages that say who and why: what a tired administrator must find on them, and in which order."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hostguardd.attack import NAMES
from hostguardd.config import parse
from hostguardd.defaults import default_sources
from hostguardd.model import Severity
from hostguardd.render import explaining, findings, groups
from hostguardd.render.paper import Paper, cells, visible
from hostguardd.story import Cause, Story
from tests import tales
from tests.fakeengine import NOW, generation
from tests.tales import MIXED, OPEN_WINDOW, PACKAGE, SESSION, UNKNOWN, WINDOW, explained, listed, review
from tests.unit.test_render import HARMLESS, harmless, poison

PLAIN = Paper(0, False, NOW)
NARROW = Paper(48, False, NOW)
USUAL = Paper(80, False, NOW)
COLOUR = Paper(80, True, NOW)

DRIFT = {"generation": 7, "findings": listed(SESSION, UNKNOWN, MIXED)} | review((SESSION, 1), (UNKNOWN, 2))
PAGES: dict[str, Callable[[Paper], list[str]]] = {
    "session": lambda p: explaining.explain(p, explained(SESSION)),
    "nobody": lambda p: explaining.explain(p, explained(UNKNOWN, package=None)),
    "mixed": lambda p: explaining.explain(p, explained(MIXED)),
    "package": lambda p: explaining.explain(p, explained(PACKAGE)),
    "window": lambda p: explaining.explain(p, explained(WINDOW, window=OPEN_WINDOW)),
    "drift": lambda p: findings.drift(p, DRIFT),
    "review": lambda p: findings.review(p, DRIFT | {"generation": generation()}),
    "group": lambda p: findings.group(p, DRIFT),
}


def text(page: str, paper: Paper = PLAIN) -> str:
    return "\n".join(PAGES[page](paper))


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("paper", [NARROW, USUAL], ids=["narrow", "usual"])
def test_a_page_fits_its_paper(page: str, paper: Paper) -> None:
    lines = PAGES[page](paper)
    assert all(cells(line) <= paper.width for line in lines), max(lines, key=cells)
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize("page", PAGES)
def test_colour_changes_nothing_but_colour(page: str) -> None:
    def bare(lines: list[str]) -> str:
        return " ".join(re.sub(r"\s+", " ", visible("\n".join(lines))).split())

    assert bare(PAGES[page](COLOUR)) == bare(PAGES[page](USUAL))
    assert "\x1b" not in text(page, USUAL)


@pytest.mark.parametrize("paper", [PLAIN, NARROW, COLOUR], ids=["plain", "narrow", "colour"])
def test_nothing_hostile_reaches_the_terminal(paper: Paper) -> None:
    told: list[str] = []
    for story in (SESSION, UNKNOWN, MIXED, PACKAGE, WINDOW):
        bad = poison(explained(story))
        told += explaining.explain(paper, bad)
        # The words that pages branch on, so that every branch has its hostile string.
        bad["story"]["cause"] = bad["story"]["last"]["cause"] = str(story.cause)
        bad["finding"]["status"] = "open"
        told += explaining.explain(paper, bad)
    bad = poison(DRIFT)
    for one in bad["groups"]:
        one["cause"] = "session"
    told += findings.drift(paper, bad) + findings.review(paper, bad | {"generation": poison(generation())})
    for line in [*told, *groups.question(poison(DRIFT)).splitlines()]:
        assert harmless(line) or line in groups.question(poison(DRIFT)), repr(line)
    assert any(HARMLESS in line for line in told) or paper.width


def places(page: str, *words: str) -> list[int]:
    whole = text(page)
    for word in words:
        assert word in whole, f"{word!r} is not in:\n{whole}"
    return [whole.index(word) for word in words]


def test_explain_is_read_from_the_top() -> None:
    order = places(
        "session", "/etc/passwd changed: content", "explained  ", "What differs", "When", "Who", "Part of",
        "Package", "What it may mean", "What to do", "What it is, beside that", "Text", "+toor",
    )  # fmt: skip
    assert order == sorted(order)


def test_explain_says_who_by_what_right_and_how_sure() -> None:
    places(
        "session",
        "it was made in a login session, which says whom to ask and no more: root by sudo, logged in",
        "/usr/bin/vim (pid 4711)",
        "vim /etc/passwd",
        "alice from 192.0.2.7 on pts0 since 60 min ago, 13:05:30",
        "/usr/bin/sudo (4710) ← /bin/bash (4700) ← ? (4600)",
        "session-3.scope",
        "certain: the kernel's audit records told of this deed by this process",
        "3 min ago, 14:02:32: 2 s after the change",
        "same session  b07712de  changed /etc/shadow (high)",
        "c07712de  added account mallory (high, accepted)",
        "and 2 more findings",
        "base-passwd 3.6 (dpkg; its word is worth: digest)",
        "not as packaged: content, mode; mode 0644 is 0666",
        "T1136.001 Create Account: Local Account  https://attack.mitre.org/techniques/T1136/001",
        "hostguardctl accept 3f9a21c4 -m WHY",
    )


def test_a_circumstance_is_said_to_be_one() -> None:
    order = places(
        "nobody",
        "nothing that is known explains it",
        "Nobody is named: 2 processes could have made this change.",
        "Could have been, and none of them is known to have:",
        "/tmp/x (7) as www-data",
        "Logged in then, a circumstance and no more:",
        "bob from 198.51.100.9 on pts/1",
    )
    assert order == sorted(order)
    assert "accept --" not in text("nobody"), "nothing is accepted with what has no explanation"


def test_who_was_there_before_is_not_forgotten() -> None:
    places(
        "mixed",
        "nothing that is known explains it. Of what was told last: it was made in a login session",
        "what was told before stays in it",
        "Told before, and still part of it:",
        "nobody is named: 2 processes could have made this change",
    )
    assert "others before, see explain" in text("drift")
    assert "accept --session" not in text("mixed")


def test_what_to_do_names_the_group() -> None:
    id = tales.explained(SESSION)["story"]["group"]
    places("session", f"hostguardctl accept --session {id}")
    places("package", "hostguardctl accept --packages.", "as told", "curl 8.1-2 brings it (signed)")
    places(
        "window",
        "it was announced: deploy 42 (window w3f2c1a)",
        "hostguardctl accept --window w3f2c1a (when it has ended)",
        "change window  w3f2c1a",
        "9 min ago, 13:56:30 by root (uid 0), login uid 1000 alice",
        "/srv/app; open, until 2026-11-23 14:26:30",
    )
    ended = explaining.explain(PLAIN, explained(WINDOW, window={**OPEN_WINDOW, "state": "ended"}))
    assert "hostguardctl accept --window w3f2c1a." in "\n".join(ended)


@pytest.mark.parametrize(
    ("package", "said"),
    [
        ({"departs": []}, "now    as packaged"),
        ({"departs": None, "problem": "not permitted"}, "could not be compared: not permitted"),
        ({"owner": None}, "no package brings it (dpkg)"),
        ({"owner": None, "problem": "the database is damaged"}, "the database is damaged"),
        ({"config": True}, "(dpkg, a configuration file; its word"),
    ],
)
def test_what_the_package_manager_says_now(package: dict[str, Any], said: str) -> None:
    data = explained(UNKNOWN)
    data["package"] |= package
    assert said in "\n".join(explaining.explain(PLAIN, data))


def test_what_is_over_is_not_to_be_decided() -> None:
    made = {"number": 8, "at": "2026-11-23T14:00:00Z", "actor": "alice (uid 1000)", "reason": "my work"}
    data = explained(SESSION, accepted=made)
    data["finding"]["status"] = "accepted"
    page = "\n".join(explaining.explain(PLAIN, data))
    assert "It is over (accepted)" in page
    assert "hostguardctl accept" not in page
    assert data["finding"]["advice"] not in page
    assert "by alice (uid 1000), as generation 8: my work" in page
    data["finding"]["status"] = "cleared"
    page = "\n".join(explaining.explain(PLAIN, data | {"accepted": None}))
    assert data["finding"]["advice"] in page, "what came and went may still be somebody's"


def test_of_what_is_no_file_it_is_said_where_to_look() -> None:
    data = explained(replace(SESSION, actor={}))
    for kind, said in (("listener", "named below"), ("account", "/etc/passwd"), ("log", "a file is.")):
        data["finding"]["kind"] = kind
        assert (
            said
            in "\n".join(explaining.explain(PLAIN, data)).partition("Nobody was asked:")[2].partition("\n")[0]
        )


def test_a_word_from_a_newer_daemon_is_shown_as_it_is() -> None:
    data = explained(SESSION)
    data["story"]["last"]["actor"] = {**tales.ALICE, "confidence": "{odd}"}
    data["story"]["cause"] = data["story"]["last"]["cause"] = "{new}"
    page = "\n".join(explaining.explain(PLAIN, data))
    assert "{odd}" in page
    assert "explained  {new}" in page


def test_what_was_not_told_yet_is_said_to_be_so() -> None:
    page = "\n".join(explaining.explain(PLAIN, explained(Story())))
    assert "it was not told yet" in page
    page = "\n".join(explaining.explain(PLAIN, explained(Story(told=tales.TOLD))))
    assert "only who changed a file is" in page


def test_an_answer_without_a_story_is_a_page_too() -> None:
    page = explaining.explain(PLAIN, {"finding": explained(SESSION)["finding"]})
    assert any("What to do" in line for line in page)


# -- groups ----------------------------------------------------------------------------------------


def test_what_nothing_explains_stands_last_and_has_no_stroke() -> None:
    data = review((PACKAGE, 300), (WINDOW, 12), (SESSION, 5), (UNKNOWN, 2))
    lines = groups.groups(PLAIN, data)
    page = "\n".join(lines)
    assert "   300  Explained by packages: packages whose signature verifies bring just this" in page
    assert "worst high: /usr/bin/curl, /etc/x and 298 more" in page
    for option in ("--packages", "--window w3f2c1a", f"--session {data['groups'][2]['id']}"):
        assert f"hostguardctl accept {option}" in page
    assert lines[-2] == "     2  Explained by nothing"
    assert "hostguardctl" not in lines[-1]


def test_unsigned_packages_take_a_word_more() -> None:
    unsigned = PACKAGE.__class__(Cause.PACKAGE, "x", "t", "digest")
    page = "\n".join(groups.groups(PLAIN, review((unsigned, 1))))
    assert "hostguardctl accept --packages --unsigned" in page
    assert "which nobody signed (digest)" in page


def test_where_nothing_is_explained_there_are_no_groups() -> None:
    assert groups.groups(PLAIN, review((UNKNOWN, 9))) == []
    assert groups.groups(PLAIN, {}) == []


def test_very_many_groups_are_cut_before_what_nothing_explains() -> None:
    data = review((SESSION, 1), (UNKNOWN, 3))
    data["groups"] = [data["groups"][0]] * 40 + data["groups"][1:]
    data["more_groups"] = 7
    lines = groups.groups(PLAIN, data)
    assert any("and 36 more groups" in line for line in lines)
    assert "     3  Explained by nothing" in lines


def test_the_question_counts_what_nothing_explains() -> None:
    one = {"findings": [{}] * 4} | review((PACKAGE, 3), (UNKNOWN, 1))
    assert groups.question(one).startswith("Approve what is shown above (1 of 4 unexplained, 1 high) as")
    everything = {"findings": [{}]} | review((UNKNOWN, 1))
    assert "(all 1 unexplained, 1 high)" in groups.question(everything)
    nothing = {"findings": [{}]} | review((PACKAGE, 1))
    assert groups.question(nothing) == "Approve what is shown above as the truth about this host?"


@pytest.mark.parametrize(
    ("severity", "refused"),
    [(one, one in (Severity.HIGH, Severity.CRITICAL)) for one in Severity if one is not Severity.IGNORE],
)
def test_what_is_grave_and_unexplained_is_refused(severity: Severity, refused: bool) -> None:
    data = review((PACKAGE, 3), (UNKNOWN, 2), severity=severity)
    said = groups.refusal(data)
    assert bool(said) is refused
    assert not refused or "nothing explains 2 findings (2 " in said
    assert groups.refusal(review((PACKAGE, 3), severity=severity)) == ""


def test_every_technique_of_the_packaged_policy_has_a_name() -> None:
    used = {one for rule in parse(default_sources()).rules for one in rule.technique.split()}
    assert used
    assert used - NAMES.keys() == set()
