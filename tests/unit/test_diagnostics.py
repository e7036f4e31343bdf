"""Diagnostics: readable JSON on a stream; in the journal with the id by which its catalog explains it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostguardd.diagnostics import diagnostics
from hostguardd.health import CONDITIONS, message_id


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    """A journal's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        door.bind(str(tmp_path / "socket"))
        door.settimeout(10)
        yield door


def fields(datagram: bytes) -> dict[str, str]:
    return dict(line.split("=", 1) for line in datagram.decode().splitlines())


def test_under_journald_a_line_carries_priority_and_message_id(
    journal: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "err").open("w") as out:
        found = os.fstat(out.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        diagnose = diagnostics(out, str(tmp_path / "socket"))
        diagnose("Cannot look\nat it", {"code": "coverage.blind", "path": "\udcff"})
        told = fields(journal.recv(4096))
        assert told["PRIORITY"] == "4"
        assert told["MESSAGE_ID"] == message_id("coverage.blind")
        assert told["SYSLOG_IDENTIFIER"] == "hostguardd"
        assert json.loads(told["MESSAGE"])["event"] == "Cannot look\nat it"
        diagnose("of no code", {})
        assert "MESSAGE_ID" not in fields(journal.recv(4096))
    assert not (tmp_path / "err").read_text()


def test_what_the_journal_does_not_take_goes_to_the_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "err").open("w") as out:
        found = os.fstat(out.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        diagnostics(out, str(tmp_path / "nobody"))("said", {"code": "storm"})
    line = json.loads((tmp_path / "err").read_text())
    assert line["event"] == "said"
    assert line["code"] == "storm"


def test_elsewhere_it_stays_on_the_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "1:1")
    with (tmp_path / "err").open("w") as out:
        diagnostics(out, str(tmp_path / "nobody"))("said", {})
    assert json.loads((tmp_path / "err").read_text())["level"] == "info"


def test_every_code_has_a_message_id_of_its_own() -> None:
    ids = {message_id(code) for code in CONDITIONS}
    assert len(ids) == len(CONDITIONS)
    assert all(len(one) == 32 and one[12] == "4" and one[16] in "89ab" for one in ids)
