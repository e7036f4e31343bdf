"""Who made a change and what explains it, through the whole engine: written beside the finding, shown,
decided about in groups. Files, inotify, SQLite and the alert log are real; who did it is said by the test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from hostguardd.actors.model import (
    Actor,
    Answer,
    Change,
    Confidence,
    Deed,
    Link,
    Peer,
    Presence,
    Rung,
    Unattributed,
    Who,
)
from hostguardd.causes import group
from hostguardd.engine.attributing import Attribution
from hostguardd.store.database import Database
from hostguardd.store.stories import Stories
from hostguardd.story import Cause, Story
from tests.daemon import guarding, until
from tests.fault.test_change_windows import ask, expect, full
from tests.fault.test_engine import Inside

NOT_SEEN = Unattributed("2 processes could have made this change", Rung.FANOTIFY)


def somebody(
    user: str = "alice", session: int = 3, pid: int = 4711, unit: bytes = b""
) -> Callable[[], Actor]:
    """A person at a terminal. `alice` is uid 1000, and `root` 0: names are made by hand."""
    uid = {"root": 0}.get(user, 1000)
    who = Who(
        (pid, 1), pid, b"/usr/bin/vim", b"vim\0x\0", 0, 0, uid, session, b"pts0", unit or b"session-3.scope",
        (Link(pid - 1, b"/usr/bin/sudo", b"sudo\0", 0), Link(1, None, None, 0)), Peer(b"192.0.2.7"),
    )  # fmt: skip
    return lambda: Actor(Rung.AUDIT, Confidence.CERTAIN, who, Deed.WRITTEN, 1)


class Told:
    """What the test says of each name; of others nothing is known."""

    def __init__(self) -> None:
        self.by: dict[str, Callable[[], Answer]] = {}

    def attribute(self, path: bytes, change: Change, ctime: int | None, since: int, seen: int, /) -> Answer:
        return self.by.get(os.fsdecode(path.rpartition(b"/")[2]), lambda: NOT_SEEN)()

    def present(self) -> Sequence[Presence]:
        return [Presence(b"bob", b"pts/1", b"198.51.100.9", b"3", 1_795_442_550 * 10**9)]


class Names:
    def user(self, uid: int) -> str:
        return {0: "root", 1000: "alice"}.get(uid, "")

    def group(self, gid: int) -> str:
        return ""


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[Inside]:
    made = Inside(tmp_path, '[automation]\nunits = ["puppet.service"]\n[hints]\nstorm = 5\n')
    with guarding(made):
        yield made


def told(inside: Inside) -> Told:
    """Have a test say who did it, from now on."""
    found = Told()
    announcer = inside.engine.announcer
    attribution = Attribution(found, Names(), lambda: 0, inside.clock.wall)
    announcer._composer._attribution = attribution
    announcer._recorder._chronicle._said = attribution.take
    return found


def write(inside: Inside, text: str, *names: str, state: str = "opened") -> None:
    for name in names:
        (inside.tree / name).write_text(text)
    for name in names:
        inside.hears(inside.tree / name, state)


def found(inside: Inside) -> dict[str, dict[str, Any]]:
    """Open findings by their names."""
    return {Path(one["label"]).name: one for one in ask(inside, "drift")["findings"]}


def id_of(inside: Inside, name: str) -> str:
    return str(found(inside)[name]["id"])


def test_the_story_is_what_the_alert_told(inside: Inside) -> None:
    with inside.running():
        told(inside).by |= {"a": somebody(), "p": somebody(session=-1, unit=b"puppet.service")}
        write(inside, "new\n", "a", "b", "p")
        open_ones = found(inside)
        assert open_ones["a"]["story"]["cause"] == "session"
        assert open_ones["a"]["story"]["because"] == (
            "root by sudo, logged in as alice from 192.0.2.7 on pts0 since 2026-11-23T14:02:30Z"
        )
        assert open_ones["p"]["story"] | {"actor": 0} == {
            "cause": "automation", "because": "made by puppet.service", "level": "", "act": "", "earlier": 0,
            "group": open_ones["p"]["story"]["group"], "actor": 0,
        }  # fmt: skip
        assert open_ones["b"]["story"]["cause"] == "unexplained"
        explained = ask(inside, "explain", id=open_ones["b"]["id"])
        actor = explained["story"]["last"]["actor"]
        assert actor["unattributed"] == NOT_SEEN.reason
        assert (actor["confidence"], actor["logged_in"][0]["user"]) == ("circumstance", "bob")
        for name in "abp":
            alert = inside.hears(inside.tree / name, "opened")["hostguard"]
            written = inside_story(inside, open_ones[name]["id"])
            assert dict(written.actor) == alert["actor"], "what the alert told, and nothing else"
            assert alert["severity"] == "medium", "an actor lowers nothing"


def inside_story(inside: Inside, id: str) -> Story:
    """What another process reads from the disk now."""
    database = Database(inside.state / "baseline.db", readonly=True)
    try:
        return Stories(database).of(id)
    finally:
        database.close()


def test_a_finding_is_never_written_without_its_story(inside: Inside) -> None:
    """One transaction: whoever is killed in between has neither."""
    with inside.running():
        told(inside).by["a"] = somebody()
        statements: list[str] = []
        inside.engine.database.connection.set_trace_callback(statements.append)
        write(inside, "new\n", "a")
        until(lambda: "a" in found(inside), "it is open")
        inside.engine.database.connection.set_trace_callback(None)
        words = [one.split()[0] if "INTO" not in one else one.split()[4].split("(")[0] for one in statements]
        at, story = words.index("finding"), words.index("story")
        assert at < story
        assert "COMMIT" not in words[at:story]


def test_who_changed_it_before_stays_in_the_story(inside: Inside) -> None:
    with inside.running():
        by = told(inside).by
        write(inside, "planted\n", "a")
        by["a"] = somebody()
        write(inside, "planted, and edited\n", "a", state="changed")
        one = found(inside)["a"]
        assert (one["story"]["cause"], one["story"]["group"], one["story"]["earlier"]) == (
            "unexplained", "unexplained", 1,
        )  # fmt: skip
        story = ask(inside, "explain", id=one["id"])["story"]
        assert story["last"]["cause"] == "session"
        assert story["earlier"][0]["actor"]["unattributed"] == NOT_SEEN.reason
        assert story["earlier"][0]["told"] < story["last"]["told"]
        assert story["lost"] == 0
        (inside.tree / "a").unlink()
        inside.hears(inside.tree / "a", "cleared")
        over = ask(inside, "explain", id=one["id"])
        assert over["finding"]["status"] == "cleared"
        assert over["story"] == story, "what ends a finding tells nothing of who made it"


def test_each_of_a_storm_has_its_story(inside: Inside) -> None:
    with inside.running():
        names = [f"s{number}" for number in range(12)]
        told(inside).by |= dict.fromkeys(names[:7], somebody())
        for name in names:
            (inside.tree / name).write_text("new\n")
        until(lambda: len(found(inside)) == 12, "all are found")
        inside.engine.announcer.flush()
        causes = {name: one["story"]["cause"] for name, one in found(inside).items()}
        assert causes == {name: "session" if name in names[:7] else "unexplained" for name in names}
        answer = ask(inside, "drift")
        assert [(one["cause"], one["count"]) for one in answer["groups"]] == [
            ("session", 7),
            ("unexplained", 5),
        ]
        assert len(answer["groups"][0]["names"]) == 3
        assert answer["more_groups"] == 0


def test_explain_tells_when_and_what_else_the_same_session_did(inside: Inside) -> None:
    with inside.running():
        told(inside).by |= {
            "a": somebody(), "b": somebody(pid=9), "c": somebody(session=4), "d": somebody("root", 3),
        }  # fmt: skip
        write(inside, "new\n", "a", "b", "c", "d")
        explained = ask(inside, "explain", id=id_of(inside, "a"))
        assert explained.keys() == {
            "finding", "story", "times", "techniques", "related", "more_related", "package",
            "window", "accepted",
        }  # fmt: skip
        times = explained["times"]
        assert 0 <= times["late"] < 30
        assert times["changed"] <= times["first_seen"] <= times["told"] == times["first_told"]
        assert [(Path(one["label"]).name, one["by"]) for one in explained["related"]] == [("b", "session")]
        assert explained["more_related"] == 0
        assert explained["package"]["owner"] is None
        assert "no finding nonsense" in ask(inside, "explain", id="nonsense")["error"]["message"]


# -- groups ------------------------------------------------------------------------------------------


def test_a_session_is_accepted_in_one_stroke_and_nothing_else(inside: Inside) -> None:
    with inside.running():
        by = told(inside).by
        by |= {"a": somebody(), "b": somebody(), "c": somebody(session=4)}
        write(inside, "new\n", "a", "b", "c", "d")
        id = found(inside)["a"]["story"]["group"]
        shown = ask(inside, "group", ids=[id])
        assert {Path(one["label"]).name for one in shown["findings"]} == {"a", "b"}
        by["e"] = somebody()
        write(inside, "new\n", "e")
        refused = ask(inside, "group-accept", ids=[id], token=shown["token"])
        assert "changed since it was shown" in refused["error"]["message"]
        shown = ask(inside, "group", ids=[id])
        done = ask(inside, "group-accept", ids=[id], token=shown["token"], reason="my edits")
        assert len(done["accepted"]) == 3
        assert found(inside).keys() == {"c", "d"}
        alert = inside.told("baseline.accepted")
        assert "3 findings as normal (3 medium; 3 in login sessions)" in alert["message"]
        assert alert["hostguard"]["details"]["unexplained"] == 0
        again = ask(inside, "group-accept", ids=[id], token=shown["token"])
        assert "nothing of that group" in again["error"]["message"]


def test_a_finding_that_was_shown_in_another_group_is_not_accepted_with_it(inside: Inside) -> None:
    """The same finding, the same content; only what explains it is another thing now."""
    with inside.running():
        told(inside).by |= {"a": somebody(), "b": somebody()}
        write(inside, "new\n", "a", "b")
        review = ask(inside, "review")
        write_story(inside, id_of(inside, "b"), Story())
        done = ask(inside, "approve", token=review["token"])
        assert done["left"] == 1
        assert found(inside).keys() == {"b"}
        assert "(1 changes: 1 medium; 1 in login sessions)" in inside.told("baseline.approved")["message"]


def test_a_finding_that_changed_since_it_was_shown_is_not_accepted(inside: Inside) -> None:
    with inside.running():
        write(inside, "new\n", "a", "b")
        ids = [id_of(inside, "a"), id_of(inside, "b")]
        shown = ask(inside, "findings", ids=ids)
        assert [one["id"] for one in shown["findings"]] == ids
        write(inside, "another\n", "b")
        until(lambda: ask(inside, "findings", ids=ids)["token"] != shown["token"], "the change is seen")
        refused = ask(inside, "accept", ids=ids, token=shown["token"])["error"]["message"]
        assert refused == "it changed since it was shown: look again; nothing was accepted"
        assert found(inside).keys() == {"a", "b"}
        token = ask(inside, "findings", ids=ids)["token"]
        assert ask(inside, "accept", ids=ids, token=token)["accepted"] == ids


def test_nothing_is_approved_that_nobody_would_be_told_of(inside: Inside) -> None:
    with inside.running():
        by = told(inside).by
        by |= {"a": somebody()}
        write(inside, "new\n", "a")
        id, session = id_of(inside, "a"), found(inside)["a"]["story"]["group"]
        token, shown = ask(inside, "review")["token"], ask(inside, "group", ids=[session])["token"]
        before, inside.engine.log.append = inside.engine.log.append, full  # type: ignore[method-assign]
        (inside.tree / "b").write_text("new\n")
        until(lambda: inside.engine.announcer.unwritable, "the log cannot be written")
        for call, args in (
            ("approve", {"token": token}),
            ("accept", {"ids": [id]}),
            ("group-accept", {"ids": [session], "token": shown}),
            ("rollback", {"number": 1}),
        ):
            assert "alerts cannot be written" in ask(inside, call, **args)["error"]["message"]
        assert [one["number"] for one in ask(inside, "history")["generations"]] == [1]
        inside.engine.log.append = before  # type: ignore[method-assign]
        inside.hears(inside.tree / "b", "opened")
        assert ask(inside, "accept", ids=[id])["accepted"] == [id]


def write_story(inside: Inside, id: str, story: Story) -> None:
    """As the loop would, between two questions."""
    with inside.engine.database.transaction():
        inside.engine.stories.put(id, story)


@pytest.mark.parametrize("ids", [["unexplained"], ["packages", "unexplained"]])
def test_what_nothing_explains_is_no_group(inside: Inside, ids: list[str]) -> None:
    with inside.running():
        told(inside)
        write(inside, "new\n", "a")
        for call in ("group", "group-accept"):
            refused = ask(inside, call, ids=ids, **({"token": "x"} if call == "group-accept" else {}))
            assert "is not accepted as a group" in refused["error"]["message"]
        assert found(inside).keys() == {"a"}


def test_what_was_announced_is_accepted_by_its_window_only(inside: Inside) -> None:
    with inside.running():
        told(inside).by["a"] = somebody()
        window = expect(inside, inside.tree)
        write(inside, "new\n", "a")
        story = found(inside)["a"]["story"]
        assert (story["cause"], story["group"]) == ("window", window), "the better explanation stands"
        assert story["actor"]["login"] == "alice", "and who it was is known all the same"
        for ids in ([window], ["window"]):
            assert ask(inside, "group", ids=ids)["findings"] == []
        related = ask(inside, "explain", id=id_of(inside, "a"))
        assert related["story"]["last"]["act"] == related["window"]["id"] == window
        assert (related["window"]["actor"], related["window"]["state"]) == ("alice (uid 1000)", "open")
        assert related["accepted"] is None
        ask(inside, "accept", ids=[id_of(inside, "a")], reason="as announced")
        over = ask(inside, "explain", id=related["finding"]["id"])["accepted"]
        assert {"number": 2, "actor": "alice (uid 1000)", "reason": "as announced"}.items() <= over.items()


def test_packages_are_accepted_by_their_level(inside: Inside) -> None:
    with inside.running():
        told(inside)
        write(inside, "new\n", "a", "b", "c")
        for name, level in (("a", "signed"), ("b", "digest")):
            write_story(inside, id_of(inside, name), Story(Cause.PACKAGE, "x brings it", "t1", level))
        assert [Path(one["label"]).name for one in ask(inside, "group", ids=["packages"])["findings"]] == [
            "a"
        ]
        assert len(ask(inside, "group", ids=["package"])["findings"]) == 2
        explained = ask(inside, "explain", id=id_of(inside, "a"))
        assert [(Path(one["label"]).name, one["by"]) for one in explained["related"]] == [("b", "act")]
        review = ask(inside, "review")
        assert [one["id"] for one in review["groups"]] == ["packages", "packages-digest", "unexplained"]
        ask(inside, "approve", token=review["token"])
        said = inside.told("baseline.approved")["message"]
        assert "1 by signed packages, 1 by unsigned packages, 1 unexplained" in said


def test_the_group_of_a_story_is_what_is_typed() -> None:
    assert group(Story(Cause.WINDOW, "expected: x", "w1234567")).id == "w1234567"
