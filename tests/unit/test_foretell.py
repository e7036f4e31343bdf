"""What a path, a port or a program would meet, told without a look at the host."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostguardd import cli
from hostguardd.config import Config, parse
from hostguardd.defaults import default_sources
from hostguardd.errors import Exit
from hostguardd.foretell import Foretold, foretell
from hostguardd.homes import Homes

SHIPPED = parse(default_sources(installed="/nonexistent/hostguardd.toml"))
HOMES = Homes([b"/root"])


def told(thing: str, config: Config = SHIPPED) -> Foretold:
    return foretell(config, HOMES, thing)


def rules(thing: str) -> dict[str, str]:
    return {case.what: case.verdict.rule for case in told(thing).cases}


def test_a_path_by_its_watch_and_its_rules() -> None:
    found = told("/etc/passwd")
    assert found.watch is not None
    assert found.watch.name == "quotable"
    assert found.urgent
    assert rules("/etc/passwd")["content changed"] == "account-database"
    assert rules("/etc/passwd")["touched"] == "touched-sensitive"
    assert rules("/usr/bin/ls")["content changed, its time set back"] == "program-backdated"
    assert rules("/root/.bashrc")["content changed"] == "account-start-up"
    assert rules("/home/eve/.ssh/authorized_keys")["file added"] == "ssh-keys"


def test_what_a_watch_does_not_compare_is_no_case() -> None:
    assert "touched" not in rules("/etc/resolv.conf")
    assert "content changed" in rules("/etc/resolv.conf")


def test_a_path_that_nothing_watches_is_still_a_program() -> None:
    found = told("/srv/none")
    assert found.watch is None
    assert not found.urgent
    assert rules("/srv/none") == {
        "a service runs it": "unknown-service",
        "a service starts it": "unknown-helper",
        "a login runs it": "unknown-session-process",
        "it listens on a new port": "new-listener",
    }
    assert rules("/tmp/x")["it listens on a new port"] == "listener-from-odd-place"


@pytest.mark.parametrize("port", ["tcp:4444", "tcp6:4444", "udp:127.0.0.1:53", "tcp [::1]:22", "raw:1"])
def test_a_port(port: str) -> None:
    assert rules(port)["nobody listens any more"] == "listener-gone"
    assert rules(port)["somebody listens"] == ("raw-listener" if port.startswith("raw") else "new-listener")


@pytest.mark.parametrize("thing", ["", "passwd", "tcp", "tcp:", "tcp:99999", "tcp:x", "icmp:1", "~/x"])
def test_what_is_neither_is_refused_with_a_sentence(thing: str) -> None:
    with pytest.raises(ValueError, match="neither an absolute path nor a port"):
        told(thing)


@settings(deadline=None)
@given(st.text(st.characters(exclude_characters="\0"), max_size=40))
def test_any_path_has_an_answer(path: str) -> None:
    assert told("/" + path.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")).cases


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "c.toml"
    config.write_text(
        '[[rule]]\nname = "mine"\nkind = "file"\nwhere.path = "/etc/motd"\nseverity = "info"\nadvice = "x"\n'
    )
    asked = ["config", "check", "--config", str(config), "/etc/motd", "tcp:4444"]
    assert cli.main(asked) == Exit.OK
    out = capsys.readouterr().out
    assert "mine" in out
    assert "listener-shared" in out
    assert cli.main([*asked, "--json"]) == Exit.OK
    motd, port = json.loads(capsys.readouterr().out)["things"]
    assert motd["watch"] == "quotable"
    assert {"what": "touched", "severity": "low", "rule": "touched", "technique": "T1070.006"} not in motd[
        "cases"
    ]
    assert port["watch"] is None
    assert cli.main(["config", "check", "--config", str(config), "nonsense"]) == Exit.USAGE
    assert "nonsense" in capsys.readouterr().err
