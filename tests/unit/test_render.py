"""Pages: what a person must find on them, that they fit, and that nothing hostile gets through."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostguardd.render import explaining, findings, pages
from hostguardd.render.paper import Paper, ago, cells, count, duration, fold, parse_time, size, visible
from tests import fakeengine
from tests.fakeengine import NOW, backup, generation, netcat, passwd

PLAIN = Paper(0, False, NOW)
NARROW = Paper(80, False, NOW)
COLOUR = Paper(80, True, NOW)

HOSTILE = "a\x1b[2Jb\nc\u202ed\x9be[red]f\r"
HARMLESS = r"a\x1b[2Jb\x0ac\xe2\x80\xaed\xc2\x9be[red]f\x0d"


def drifted(*found: dict[str, Any]) -> dict[str, Any]:
    return {"generation": 7, "findings": list(found)}


PAGES: dict[str, Callable[[Paper], list[str]]] = {
    "drift": lambda p: findings.drift(p, drifted(backup(), netcat(), passwd())),
    "explain": lambda p: explaining.explain(p, {"finding": passwd()}),
    "check": lambda p: findings.check(
        p, drifted(passwd()) | {"new": 1, "blinds": fakeengine.status()["coverage"]["blinds"]}, full=True
    ),
    "review": lambda p: findings.review(p, drifted(passwd()) | {"generation": generation(1, reviewed=False)}),
    "diff": lambda p: findings.difference(p, {"a": 6, "b": 7, "changes": [passwd(), backup(), netcat()]}),
    "status": lambda p: pages.status(p, fakeengine.status()),
    "history": lambda p: pages.history(p, {"generations": [generation(1, False), generation(2)]}),
    "approved": lambda p: pages.approved(p, {"generation": generation(8), "accepted": ["3f9a21c4"]}),
    "verify": lambda p: pages.verify(
        p, {"ok": False, "log": {"lines": 3, "problem": "alerts.jsonl:2: torn"}}
    ),
    "doctor": lambda p: pages.doctor(
        p, {"checks": [{"name": "a", "ok": False, "message": "m " * 60, "advice": "b"}]}
    ),
}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_fits_eighty_columns(page: str) -> None:
    lines = PAGES[page](NARROW)
    assert all(cells(line) <= 80 for line in lines), max(lines, key=cells)
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize("page", PAGES)
def test_colour_changes_nothing_but_colour(page: str) -> None:
    def bare(lines: list[str]) -> str:
        return " ".join(re.sub(r"\s+", " ", visible("\n".join(lines))).split())

    assert bare(PAGES[page](COLOUR)) == bare(PAGES[page](NARROW))
    assert "\x1b" not in "".join(PAGES[page](NARROW))


@pytest.mark.parametrize("page", PAGES)
def test_without_a_terminal_nothing_is_broken_over_lines(page: str) -> None:
    if page in ("drift", "diff"):
        assert any(backup()["label"] in line for line in PAGES[page](PLAIN))
    assert len(PAGES[page](PLAIN)) <= len(PAGES[page](NARROW))


def harmless(line: str) -> bool:
    """Only characters that print, and spaces of whatever width."""
    return all(char.isprintable() or unicodedata.category(char) == "Zs" for char in visible(line))


def poison(value: Any) -> Any:
    """Every string of the data, hostile."""
    if isinstance(value, str):
        return HOSTILE
    if isinstance(value, dict):
        return {key: poison(inner) for key, inner in value.items()}
    return [poison(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("paper", [PLAIN, NARROW, COLOUR], ids=["plain", "narrow", "colour"])
def test_nothing_hostile_reaches_the_terminal(paper: Paper) -> None:
    told = [
        *findings.drift(paper, poison(drifted(passwd(), netcat()))),
        *explaining.explain(paper, poison({"finding": passwd()})),
        *findings.check(paper, poison(drifted(netcat()) | {"blinds": [{"kind": "", "scope": ""}]}), False),
        *findings.review(paper, poison(drifted(passwd()) | {"generation": generation()})),
        *findings.difference(paper, poison({"a": 1, "b": 2, "changes": [passwd()]})),
        *pages.status(paper, poison(fakeengine.status())),
        *pages.history(paper, poison({"generations": [generation()]})),
        *pages.approved(paper, poison({"generation": generation(), "accepted": ["a"]})),
        *pages.verify(paper, poison({"ok": False, "log": {"problem": ""}, "baseline": {"problem": ""}})),
        *pages.doctor(paper, poison({"checks": [{"name": "", "ok": False, "message": "", "advice": ""}]})),
        pages.alert(paper, poison(json.loads(fakeengine.alert(1)))),
    ]  # fmt: skip
    for line in told:
        assert harmless(line), repr(line)
    assert any(HARMLESS in line for line in told) or paper.width


def test_drift_shows_the_worst_first_then_the_newest() -> None:
    older = passwd() | {"id": "old00000", "label": "/etc/group", "first_seen": fakeengine.ago(days=1)}
    text = "\n".join(findings.drift(PLAIN, drifted(backup(), older, netcat(), passwd())))
    places = [text.index(word) for word in ("CRITICAL 2", "3f9a21c4", "old00000", "HIGH", "b07712de", "LOW")]
    assert places == sorted(places)
    assert "explain 3f9a21c4" in text


def test_drift_tells_what_where_before_after_and_since_when() -> None:
    text = "\n".join(findings.drift(PLAIN, drifted(passwd())))
    assert "changed /etc/passwd  3 min ago, 14:02:30" in text
    assert "size    2,291 bytes → 2,337 bytes" in text  # the same in kB, so told exactly
    assert "mtime   2026-10-14 14:05:30 → 2026-11-23 14:02:30" in text
    assert "sha256  ab12ab12ab12… → cd34cd34cd34…" in text


def test_what_appeared_is_told_once() -> None:
    text = "\n".join(findings.drift(PLAIN, drifted(netcat())))
    assert "added listener tcp 0.0.0.0:4444  80 s ago, 14:04:10" in text
    assert "            /tmp/.x/nc (uid 1000 alice, pid 812)" in text
    assert text.count("0.0.0.0:4444") == 1


def test_numbers_come_with_their_word() -> None:
    changed = passwd() | {"changed": ["mode", "uid"]}
    changed["after"] = changed["after"] | {
        "mode": "4755",
        "permissions": "-rwsr-xr-x",
        "uid": 7,
        "owner": "7",
    }
    text = "\n".join(findings.drift(PLAIN, drifted(changed)))
    assert "mode  0644 (-rw-r--r--) → 4755 (-rwsr-xr-x)" in text
    assert "uid   0 (root) → 7" in text


def test_a_severity_from_a_newer_daemon_is_not_left_out() -> None:
    text = "\n".join(findings.drift(PLAIN, drifted(passwd() | {"severity": "apocalyptic"})))
    assert "UNKNOWN 1" in text
    assert "/etc/passwd" in text


def many(number: int) -> dict[str, Any]:
    return drifted(
        *(
            passwd() | {"id": f"{n:08x}", "label": f"/usr/lib/{n % 7}/f{n}", "severity": "low"}
            for n in range(number)
        )
    )


def test_many_findings_take_one_line_each() -> None:
    lines = findings.drift(NARROW, many(findings.DETAILED + 1))
    assert sum("changed /usr/lib/" in line for line in lines) == findings.DETAILED + 1
    assert not any("sha256" in line for line in lines)


def test_a_long_tail_is_summed_up_on_a_terminal_only() -> None:
    number = findings.LISTED + 50
    lines = findings.drift(NARROW, many(number))
    assert "and 50 more: 50 below /usr/lib." in lines
    assert any("hostguardctl drift --all" in line for line in lines)
    for whole in (findings.drift(NARROW, many(number), everything=True), findings.drift(PLAIN, many(number))):
        assert sum("changed /usr/lib/" in line for line in whole) == number


def test_no_drift_is_said_in_one_line() -> None:
    assert findings.drift(PLAIN, drifted()) == ["No drift. This host is as approved in generation 7."]


def test_explain_holds_nothing_back() -> None:
    text = "\n".join(explaining.explain(PLAIN, {"finding": passwd()}))
    for part in (
        "3f9a21c4", "T1136.001", "attack.mitre.org/techniques/T1136/001", "getent passwd 0", "cd34" * 16,
        "uid     0 (root)", "+toor:x:0:0::/root:/bin/sh", "2026-11-23 14:02:30.000000",
    ):  # fmt: skip
        assert part in text, part


def test_explain_says_what_is_not_known() -> None:
    assert "not known  sha256" in "\n".join(explaining.explain(PLAIN, {"finding": netcat()}))


def test_a_diff_is_coloured_by_line() -> None:
    lines = findings.unified(COLOUR, "@@ -1 +1 @@\n-old\n+new\n same")
    assert [line[:5] for line in lines] == ["\x1b[36m", "\x1b[31m", "\x1b[32m", " same"]


def test_the_review_of_an_unreviewed_baseline_says_so() -> None:
    text = "\n".join(findings.review(PLAIN, drifted() | {"generation": generation(1, reviewed=False)}))
    assert "Nobody has reviewed generation 1 yet" in text
    assert "nothing that differs" in text


def test_check_names_what_it_could_not_see() -> None:
    blind = {"kind": "file", "scope": "/mnt/x", "reason": "Permission denied"}
    lines = findings.check(PLAIN, {"findings": [], "new": 0, "blinds": [blind], "duration": 0.25}, full=False)
    assert lines[0] == "Quick check in 250 ms: no drift."
    assert lines[-1] == "  file /mnt/x: Permission denied"


def test_status_says_what_it_cannot_see_and_what_is_paced() -> None:
    text = "\n".join(pages.status(PLAIN, fakeengine.status()))
    for part in (
        "0.1.0, watching, pid 812 as root", "generation 7 (approved 2 d ago", "CRITICAL 1  HIGH 1  LOW 1",
        "cannot see  setid /mnt/nfs: a network file system", "files is paced", "in 6 min",
        "44.3 MB of memory", "(0.12% of one core)",
    ):  # fmt: skip
        assert part in text, part


def test_status_of_a_daemon_in_trouble() -> None:
    data = fakeengine.status() | {"mode": "unprivileged", "generation": generation(1, reviewed=False)}
    data["coverage"] = {
        "watched_folders": 5,
        "unwatched_folders": 2,
        "unwatched": {"No space left on device": 2},
        "overflows": 3,
        "live": False,
        "blinds": [{"kind": "file", "scope": f"/d{n}", "reason": "no"} for n in range(20)],
    }
    data["log"] = {"sequence": 0, "size": 0, "unwritable": "No space left on device"}
    data["open"] = {}
    text = "\n".join(pages.status(PLAIN, data))
    for part in (
        "unprivileged: sees only what its user may see", "Nobody reviewed it: run `hostguardctl baseline`",
        "2 only swept (No space left on device)", "hints were lost 3 times",
        "watcher is not running", "and 12 more places", "cannot be written: No space left",
        "none open",
    ):  # fmt: skip
        assert part in text, part


def test_status_before_there_is_anything() -> None:
    assert any("there is none yet" in line for line in pages.status(PLAIN, {"state": "starting"}))


def test_status_says_of_each_destination_how_far_it_got_and_since_when() -> None:
    central = {
        "name": "central", "place": "relp://logs:2514", "state": "failing", "problem": "connection refused",
        "since": "2026-01-01T00:00:00Z", "sent_at": "2026-01-02T00:00:00Z",
        "delivered_at": "2026-01-03T00:00:00Z",
        "behind": 7, "oldest": "2026-01-04T00:00:00Z",
    }  # fmt: skip

    def shown(*destinations: dict[str, object]) -> str:
        data = fakeengine.status() | {"destinations": list(destinations)}
        return " ".join(" ".join(pages.status(PLAIN, data)).split())

    assert re.search(
        r"central \(relp://logs:2514\): failing, behind by 7 alerts \(the oldest of [^)]*2026-01-04[^)]*\), "
        r"so since .*2026-01-01.*, last sent .*2026-01-02.*, last delivered .*2026-01-03.* connection "
        r"refused",
        shown(central),
    ), shown(central)
    assert "alerts stay on this host" in shown()


def test_history_marks_the_present_and_the_unreviewed() -> None:
    lines = pages.history(PLAIN, {"generations": [generation(1, False), generation(2)]})
    assert lines[1].lstrip().startswith("*2 ")
    assert "(reviewed by nobody)" in lines[2]
    assert pages.history(PLAIN, {"generations": []}) == ["There is no baseline yet."]


def test_verify_names_the_first_wrong_line() -> None:
    lines = pages.verify(
        NARROW, {"ok": False, "baseline": {"ok": False}, "log": {"problem": "alerts.jsonl:7: x"}}
    )
    assert sum(line.startswith("✗") for line in lines) == 2
    assert any("alerts.jsonl:7: x" in line for line in lines)
    assert any("does not verify" in line for line in lines)


def test_an_alert_is_one_line_whatever_it_holds() -> None:
    line = pages.alert(NARROW, json.loads(fakeengine.alert(1, message="x\n" * 99)))
    assert line.startswith("2026-11-23 13:06:30  HIGH      x")
    assert "\n" not in line
    assert pages.alert(PLAIN, {"hostguard": "?", "@timestamp": 5, "message": None})


# The paper


@settings(deadline=None)
@given(st.text(max_size=300), st.integers(20, 100))
def test_folding_loses_nothing_and_fits(text: str, room: int) -> None:
    lines = fold(text, room)
    assert "".join("".join(lines).split(" ")) == "".join(text.split(" "))
    assert all(cells(line) <= room for line in lines)


@settings(deadline=None)
@given(st.text(max_size=200), st.sampled_from([0, 20, 80]), st.booleans())
def test_wrapping_any_text_gives_printable_lines(text: str, width: int, colour: bool) -> None:
    for line in Paper(width, colour, NOW).wrap(text, 4, "critical"):
        assert harmless(line)
        assert not width or cells(visible(line)) <= max(width, 24)


def test_wide_characters_take_two_cells() -> None:
    assert cells("監視") == 4
    assert cells("e\u0301") == 1
    assert fold("監視" * 10, 20) == ["監視" * 5, "監視" * 5]


def test_a_table_wraps_its_last_column_and_aligns_numbers() -> None:
    lines = Paper(40, False, NOW).table(("N", "WHAT"), [("1", "a " * 30), ("100", "b")], right=(0,))
    assert lines[0] == "  N  WHAT"
    assert lines[1].startswith("  1  a a")
    assert lines[2].startswith("     a")
    assert lines[-1] == "100  b"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "just now"), (1, "1 s ago"), (119, "119 s ago"), (180, "3 min ago"), (7200, "2 h ago"),
     (86400 * 3, "3 d ago"), (-600, "in 10 min")],
)  # fmt: skip
def test_ago(seconds: int, told: str) -> None:
    assert ago(timedelta(seconds=seconds)) == told


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.0021, "2 ms"), (0.5, "500 ms"), (1.42, "1.4 s"), (12.3, "12 s"), (600, "10 min")]
)
def test_duration(seconds: float, told: str) -> None:
    assert duration(seconds) == told


@pytest.mark.parametrize(
    ("bytes_", "told"),
    [(0, "0 B"), (812, "812 B"), (1377, "1.4 kB"), (999_600, "1.0 MB"), (128_000_000, "128 MB"), ("?", "?")],
)
def test_size(bytes_: object, told: str) -> None:
    assert size(bytes_) == told


def test_count() -> None:
    assert [count(1, "place"), count(1284, "place"), count(3, "entry", "entries"), count(None)] == [
        "1 place", "1,284 places", "3 entries", "None",
    ]  # fmt: skip


@pytest.mark.parametrize("value", ["", "soon", "@99999999999.5", None, 1e400, 10**40, [], {}])
def test_what_is_no_time_is_none(value: object) -> None:
    assert parse_time(value) is None


def test_what_happened_is_never_told_as_yet_to_come() -> None:
    assert PLAIN.when((NOW + timedelta(seconds=9)).isoformat()) == "just now, 14:05:39"


def test_times_are_shown_in_the_readers_zone() -> None:
    from zoneinfo import ZoneInfo

    tokyo = Paper(80, False, NOW.astimezone(ZoneInfo("Asia/Tokyo")))
    assert tokyo.when("2026-11-23T14:02:11.123456789Z") == "3 min ago, 23:02:11"
    assert tokyo.stamp("2026-11-23T14:02:11.123456789Z", exact=True) == "2026-11-23 23:02:11.123456789"
    assert tokyo.when(None) == ""
    assert tokyo.when("@1e9\x1b") == r"@1e9\x1b"
