"""The report as data: what it says in each case, and that it keeps its published schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostguardd.investigate.about import about
from hostguardd.investigate.inquiry import CHECKS, inquire
from hostguardd.investigate.interface import MOMENTS, Item, Known, Unseen, Verdict
from hostguardd.investigate.report import build
from hostguardd.investigate.scene import SUDO, Options
from tests import inquiries
from tests.scenes import scene

REPORTS: dict[str, Callable[[], dict[str, Any]]] = {
    "clean": inquiries.clean,
    "broken into": inquiries.broken_into,
    "unprivileged": inquiries.unprivileged,
    "hostile": inquiries.hostile,
    "hostile and raw": lambda: inquiries.hostile(escaped=False),
}


def valid(report: dict[str, Any]) -> dict[str, Any]:
    """As it comes out of the JSON, held against the schema."""
    again: dict[str, Any] = json.loads(json.dumps(report, allow_nan=False))
    inquiries.schema().validate(again)
    return again


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_keeps_its_schema(name: str) -> None:
    report = REPORTS[name]()
    assert valid(report) == report


@given(st.lists(st.text(), min_size=1, max_size=3))
@settings(max_examples=25, deadline=None)
def test_no_name_breaks_the_schema(names: list[str]) -> None:
    valid(inquiries.hostile(names, escaped=False))


def test_the_schema_knows_every_verdict_and_kind() -> None:
    schema = inquiries.schema().schema
    assert not isinstance(schema, bool)
    defs = schema["$defs"]
    assert defs["verdict"]["enum"] == [verdict.label for verdict in Verdict]
    assert set(defs["moment"]["properties"]["kind"]["enum"]) == set(MOMENTS)
    assert defs["item"]["properties"]["known"]["enum"] == [known.label for known in Known]


def one(verdict: Verdict, name: str = "x", **details: object) -> Item:
    return Item(name, verdict, f"{name} is odd", "why", "next", details=details)


def of(items: dict[str, list[Item]], **changes: Any) -> dict[str, Any]:
    return valid(build(inquiries.inquiry(items), inquiries.about(**changes), inquiries.CHECKS))


@pytest.mark.parametrize(
    ("verdict", "sentence"),
    [
        (Verdict.SUSPICIOUS, "1 sign of an intrusion, in 1 of 17 checks"),
        (Verdict.NOTABLE, "No sign of an intrusion; 1 thing that somebody should be able to explain."),
        (Verdict.FINE, "No sign of an intrusion was found."),
    ],
)
def test_the_headline_is_the_verdict_in_a_sentence(verdict: Verdict, sentence: str) -> None:
    report = of({"hidden": [one(verdict)]})
    assert report["verdict"] == verdict.label
    assert report["headline"][0].startswith(sentence)


def test_the_headline_names_one_of_each_check_first() -> None:
    many = [one(Verdict.SUSPICIOUS, f"many {n}") for n in range(9)]
    report = of({"listeners": many, "hidden": [one(Verdict.SUSPICIOUS, "hidden")]})
    assert report["headline"][1] == "(1) many 0 is odd; (2) hidden is odd; (3) many 1 is odd."


def test_the_headline_says_how_far_it_can_be_trusted() -> None:
    assert "generation 7" in of({})["headline"][2]
    assert "nothing stayed out of sight" in of({})["headline"][2]
    poor = of(
        {}, root=False, by="alice (uid 1000)", generation=None, manager="", packages_problem="no rpm here"
    )
    for words in (
        "alice (uid 1000), who may not see everything",
        "without a baseline",
        "not verified (no rpm here)",
    ):
        assert words in poor["headline"][2]
    assert "rewritten" in of({}, level="digest")["headline"][2]
    assert "not asked for" in of({}, options=Options(packages=False))["headline"][2]


def test_what_several_checks_could_not_see_is_told_once() -> None:
    away = Unseen("logins", "no log of logins is there")
    found = inquiries.inquiry({}, unseen={"logins": [away], "refusals": [away]})
    report = valid(build(found, inquiries.about(), inquiries.CHECKS))
    assert [(one["check"], one["scope"]) for one in report["unseen"]] == [("logins", "logins")]
    assert sum(len(check["unseen"]) for check in report["checks"]) == 2
    assert "1 thing could not be looked at" in report["headline"][2]


def test_one_command_for_what_only_root_sees() -> None:
    assert inquiries.unprivileged()["remedy"] == "sudo hostguardctl investigate"
    assert inquiries.broken_into()["remedy"] == ""


def test_questions_are_gathered_by_account() -> None:
    asked = of(
        {
            "sessions": [one(Verdict.FINE, "s", user="alice", ask="Were you here at 3?")],
            "accounts": [one(Verdict.FINE, "alice", ask=["Is the key yours?", "Were you here at 3?"])],
            "logins": [
                one(Verdict.FINE, "l", account="bob", ask=["And you?"]),
                one(Verdict.FINE, "m", ask=[]),
            ],
        }
    )["ask"]
    assert asked == [
        {"account": "alice", "questions": ["Were you here at 3?", "Is the key yours?"]},
        {"account": "bob", "questions": ["And you?"]},
    ]


def steps(report: dict[str, Any]) -> str:
    return "\n".join(
        f"{step['do']} {step['why']} {' '.join(step['commands'])}" for step in report["next_steps"]
    )


def test_what_to_do_on_a_host_that_was_broken_into_saves_the_evidence_before_the_cable() -> None:
    said = steps(inquiries.broken_into())
    order = [
        "do not reboot",
        "ordinary user",
        "--bundle -",
        "strange ports",
        "nmap",
        "cable",
        "owners",
        "anew",
    ]
    places = [said.index(word) for word in order]
    assert places == sorted(places)
    assert "tcp 0.0.0.0:31337" in said
    assert "2025-11-22 11:02 UTC" in said


def test_what_to_do_on_a_host_that_is_fine() -> None:
    clean = steps(inquiries.clean())
    assert "reboot" not in clean
    assert "hostguardctl baseline" not in clean
    poor = steps(inquiries.unprivileged())
    for words in ("Look again as root", "not be looked at", "hostguardctl baseline"):
        assert words in poor
    assert "Verify the packages" in steps(of({}, options=Options(packages=False)))


@pytest.mark.parametrize("name", ["", "x; rm -rf $HOME", "-oProxyCommand=x", "../../etc/x", "a b", "a\n"])
def test_a_hostile_host_name_gets_into_no_command(name: str) -> None:
    report = of({"hidden": [one(Verdict.SUSPICIOUS)]}, hostname=name)
    commands = [command for step in report["next_steps"] for command in step["commands"]]
    assert "ssh HOST sudo hostguardctl investigate --bundle - > HOST-evidence.tar.gz" in commands


def test_about_this_host_and_who_looks() -> None:
    with_sudo = about(scene(uid=0), {"SUDO_USER": "alice\x1b"})
    assert with_sudo.by == r"root (uid 0), by sudo of alice\x1b"
    assert with_sudo.root
    assert with_sudo.kernel.startswith("Linux ")
    assert with_sudo.hostname
    ordinary = about(scene(uid=54321), {"SUDO_USER": "alice"})
    assert ordinary.by == "uid 54321"
    assert not ordinary.root
    assert ordinary.baseline == "this host has no baseline"


def test_about_an_image(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hostname").write_text("old-web\n")
    (tmp_path / "etc/os-release").write_text('NAME=x\nPRETTY_NAME="Some Linux \x1b 9"\n')
    found = about(scene(bytes(tmp_path)), {})
    assert (found.hostname, found.system, found.kernel) == ("old-web", r"Some Linux \x1b 9", "")
    assert found.root_folder == str(tmp_path)


def test_a_real_inquiry_keeps_the_schema() -> None:
    where = scene(uid=1000)
    valid(build(inquire(where, CHECKS[:1]), about(where, {}), CHECKS[:1]))


def test_what_root_alone_may_look_at_is_one_line_for_each_kind_of_place() -> None:
    denied = [
        Unseen(scope, "Permission denied", SUDO)
        for scope in ("hidden /root", "/root", "/home/a b/.ssh", *(f"hidden /tmp/x{n}" for n in range(50)))
    ]
    whose = Unseen("sshkey root", "/root/.ssh/authorized_keys cannot be read: Permission denied", SUDO)
    alone = Unseen("log /var/log/btmp", "this log cannot be read: Permission denied", SUDO)
    away = Unseen("/root/far", "it lies on the network")
    many = Unseen("/home/b", "holds more than 5000 names", SUDO)  # which root would not see, either
    found = inquiries.inquiry({}, unseen={"hidden": denied, "accounts": [whose, alone, away, many]})
    report = build(found, inquiries.about(root=False), inquiries.CHECKS)
    told = {one["scope"]: one for one in report["unseen"]}
    assert list(told) == ["homes", "log /var/log/btmp", "/root/far", "/home/b", "temporary folders"]
    assert told["log /var/log/btmp"]["reason"] == alone.reason
    assert told["homes"]["reason"] == (
        "3 places that root alone may look into: /root, /home/a b/.ssh, /root/.ssh/authorized_keys"
    )
    assert told["temporary folders"]["reason"].startswith("50 places that root alone may look into: /tmp/x0")
    assert told["temporary folders"]["reason"].endswith(" and 46 more")
    assert {one["remedy"] for one in report["unseen"]} == {SUDO, ""}
    assert told["/home/b"]["reason"] == many.reason
    assert "5 things could not be looked at" in report["headline"][2]
    assert sum(len(check["unseen"]) for check in report["checks"]) == 57
