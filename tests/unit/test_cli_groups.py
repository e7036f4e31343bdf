"""hostguardctl where findings are decided about together: what it asks, and what it approves unasked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostguardd.errors import Exit
from hostguardd.model import Severity
from tests import tales
from tests.fakeengine import FakeEngine, Run
from tests.unit.test_cli import Screen


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[FakeEngine]:
    with FakeEngine(tmp_path) as engine:
        engine.findings = tales.listed(tales.PACKAGE, tales.UNKNOWN, tales.SESSION)
        yield engine


SESSION = tales.listed(tales.SESSION)[0]["story"]["group"]


@pytest.mark.parametrize(
    ("argv", "ids"),
    [
        (("--packages",), ["packages"]),
        (("--packages", "--unsigned"), ["package"]),
        (("--automation",), ["automation"]),
        (("--session", SESSION, "--session", "s2"), [SESSION, "s2"]),
        (("--packages", "--session", SESSION), ["packages", SESSION]),
    ],
)
def test_groups_are_asked_for_by_their_names(
    run: Run, engine: FakeEngine, argv: tuple[str, ...], ids: list[str]
) -> None:
    run("accept", *argv, "--yes")
    assert engine.seen[0].call == "group"
    assert list(engine.seen[0].args["ids"]) == ids


def test_a_group_is_shown_and_then_accepted(run: Run, engine: FakeEngine) -> None:
    code, out, err = run("accept", "--packages", "--yes", "-m", "updates")
    assert (code, err) == (Exit.OK, "")
    assert out.index("changed /etc/passwd") < out.index("Generation 8 is the truth now")
    assert "0.0.0.0:4444" not in out
    assert engine.seen[-1].call == "group-accept"
    assert engine.seen[-1].args == {"ids": ("packages",), "token": "gr0up", "reason": "updates"}


def test_an_empty_group_makes_no_generation(run: Run, engine: FakeEngine) -> None:
    code, out, _ = run("accept", "--automation", "--yes")
    assert (code, out) == (Exit.OK, "Nothing of that is open.\n")
    assert [job.call for job in engine.seen] == ["group"]


@pytest.mark.parametrize(("answer", "code"), [("y\n", Exit.OK), ("\n", Exit.DRIFT)])
def test_somebody_is_asked(engine: FakeEngine, answer: str, code: Exit) -> None:
    screen = Screen("--config", str(engine.config), "accept", "--session", SESSION)
    screen.read_until("Accept 1 as the truth about this host? [y/N]")
    assert screen.finish(answer) == code
    assert ("group-accept" in [job.call for job in engine.seen]) is (code is Exit.OK)


@pytest.mark.parametrize(("answer", "code"), [("y\n", Exit.OK), ("\n", Exit.DRIFT)])
def test_at_a_terminal_a_finding_is_shown_and_accepted_as_shown(
    engine: FakeEngine, answer: str, code: Exit
) -> None:
    id = engine.findings[0]["id"]
    screen = Screen("--config", str(engine.config), "accept", id)
    screen.read_until("Accept 1 as the truth about this host? [y/N]")
    assert "/etc/passwd" in screen.text
    assert screen.finish(answer) == code
    accepted = [job.args for job in engine.seen if job.call == "accept"]
    assert accepted == ([{"ids": (id,), "token": "sh0wn", "reason": ""}] if code is Exit.OK else [])


def test_a_script_is_not_asked(run: Run, engine: FakeEngine) -> None:
    run("accept", "a")
    assert [(job.call, job.args["token"]) for job in engine.seen] == [("accept", None)]


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("--unsigned", "--yes"),
        ("3f9a21c4", "--packages", "--yes"),
        ("--packages", "--window", "w1", "--yes"),
        ("--packages",),
    ],
)
def test_what_makes_no_sense_asks_nothing(run: Run, engine: FakeEngine, argv: tuple[str, ...]) -> None:
    code, _, err = run("accept", *argv)
    assert code == Exit.USAGE
    assert err.count("\n") == 1
    assert engine.seen == []


# -- baseline --yes ----------------------------------------------------------------------------------


def grave(engine: FakeEngine, severity: Severity = Severity.HIGH) -> None:
    told = tales.review((tales.PACKAGE, 1), (tales.UNKNOWN, 2), severity=severity)
    engine.groups = told["groups"]


def test_yes_approves_nothing_where_something_grave_is_unexplained(run: Run, engine: FakeEngine) -> None:
    grave(engine)
    code, out, err = run("baseline", "--yes")
    assert code == Exit.DRIFT
    assert "nothing explains 2 findings (2 high: /usr/bin/curl, /etc/x); nothing was approved" in err
    assert "--unexplained" in err
    assert "     2  Explained by nothing" in out
    assert [job.call for job in engine.seen] == ["review"]


def test_the_refusal_in_json(run: Run, engine: FakeEngine) -> None:
    grave(engine)
    code, out, _ = run("baseline", "--yes", "--json")
    assert code == Exit.DRIFT
    assert "nothing was approved" in json.loads(out)["refused"]


def test_who_says_so_approves_it_all_the_same(run: Run, engine: FakeEngine) -> None:
    grave(engine)
    assert run("baseline", "--yes", "--unexplained")[0] == Exit.OK
    assert [job.call for job in engine.seen] == ["review", "approve"]


def test_what_is_not_grave_is_approved_by_yes(run: Run, engine: FakeEngine) -> None:
    grave(engine, Severity.MEDIUM)
    assert run("baseline", "--yes")[0] == Exit.OK


def test_the_question_names_what_nothing_explains(engine: FakeEngine) -> None:
    grave(engine)
    screen = Screen("--config", str(engine.config), "baseline", environ={"COLUMNS": "200"})
    screen.read_until("(2 of 3 unexplained, 2 high) as the truth about this host? [y/N]")
    assert screen.finish("y\n") == Exit.OK, "a person may"
