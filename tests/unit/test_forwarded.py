"""What the forwarder leaves, what the daemon shows of it, and what the log keeps for those who lag behind."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from hostguardd.config import Config
from hostguardd.destinations import Destination
from hostguardd.engine.forwarded import delivered, destinations
from hostguardd.model import Blind, Generation
from hostguardd.sections import AlertLogConfig, Paths
from hostguardd.store import sign
from hostguardd.store.alertlog import AlertLog, verify
from hostguardd.store.chain import read, rotated_files
from hostguardd.store.cursors import Cursor, read_cursor, write_cursor
from hostguardd.store.report import NAME, write_report
from hostguardd.store.standing import CONNECTED, Standing
from tests.alerts import IDENTITY, NOW, SECOND, alert

CENTRAL = Destination(name="central", kind="relp", address=("logs.example.org", 2514), tls=True)
SPARE = Destination(name="spare", kind="udp", address=("::1", 514))


def configured(folder: Path, *found: Destination) -> Config:
    return replace(Config(destinations=found), paths=Paths(forward=str(folder)))


def test_nobody_to_send_to(tmp_path: Path) -> None:
    config = configured(tmp_path)
    assert destinations(config, 9, NOW) == []
    assert delivered(config) is None


def test_a_forwarder_that_never_ran_is_stopped_and_all_is_behind(tmp_path: Path) -> None:
    (one,) = destinations(configured(tmp_path / "none", CENTRAL), 9, NOW)
    assert (one["state"], one["alive"], one["behind"], one["delivered"]) == ("stopped", False, 9, 0)
    assert one["place"] == "relp+tls://logs.example.org:2514"


def test_a_cursor_of_another_log_is_none(tmp_path: Path) -> None:
    config = configured(tmp_path, CENTRAL)
    write_cursor(str(tmp_path), "central", Cursor(20, "x", 0))
    (one,) = destinations(config, 9, NOW)
    assert (one["delivered"], one["behind"]) == (0, 9)
    least = delivered(config)
    assert least is not None
    assert (least(9), least(25)) == (0, 20)


def test_a_draft_that_is_in_the_way_stops_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "central.cursor.next")
    write_cursor(str(tmp_path), "central", Cursor(20, "x", 0))
    assert read_cursor(str(tmp_path), "central").sequence == 20


def test_what_it_says_is_shown_as_long_as_it_lives(tmp_path: Path) -> None:
    config = configured(tmp_path, CENTRAL, SPARE)
    write_report(str(tmp_path), NOW, {"central": Standing(state=CONNECTED, sent=9, delivered=8)})
    write_cursor(str(tmp_path), "central", Cursor(7, "x", 0))
    central, spare = destinations(config, 9, NOW + 5 * SECOND)
    assert (central["state"], central["delivered"], central["behind"], central["alive"]) == (
        CONNECTED,
        8,
        1,
        True,
    )
    assert (spare["state"], spare["behind"], spare["place"]) == ("connecting", 9, "udp://[::1]:514")
    central, _ = destinations(config, 9, NOW + 60 * SECOND)
    assert (central["state"], central["alive"]) == ("stopped", False)


@pytest.mark.parametrize(
    "said",
    [
        b"", b"{", b"[]", b'{"at": "x"}', b'{"at": 1e99, "destinations": []}', b"x" * 999_999,
        b'{"at": 1, "destinations": {"central": 7}}',
        json.dumps(
            {"at": NOW, "destinations": {"central": {"state": 7, "delivered": "9", "sent": True, "x": 1}}}
        ).encode(),
    ],
)  # fmt: skip
def test_what_a_forwarder_in_strange_hands_says_harms_nothing(tmp_path: Path, said: bytes) -> None:
    (tmp_path / NAME).write_bytes(said)
    (one,) = destinations(configured(tmp_path, CENTRAL), 9, NOW)
    assert (one["delivered"], one["behind"]) == (0, 9)
    assert isinstance(one["state"], str)
    assert "x" not in one


def test_what_it_says_cannot_move_a_cursor_on_a_terminal(tmp_path: Path) -> None:
    write_report(str(tmp_path), NOW, {"central": Standing(problem="\x1b[2J" + "y" * 5000)})
    (one,) = destinations(configured(tmp_path, CENTRAL), 9, NOW)
    assert "\x1b" not in one["problem"]
    assert len(one["problem"]) < 1100


# -- the log keeps what was not delivered --------------------------------------------------------------


def filled(folder: Path, taken: int | None, *, keep: int, keep_unsent: int) -> AlertLog:
    """A log of many small files, of which the destinations have what is up to number `taken`."""
    log = AlertLog(
        str(folder), AlertLogConfig(rotate=4000, keep=keep, keep_unsent=keep_unsent, reserve=0), IDENTITY
    )
    if taken is not None:
        log.delivered = lambda head: min(taken, head)
    for number in range(120):
        log.append([alert(number)])
    return log


def first(log: AlertLog) -> int:
    return next(read(log.folder, 0))[0]


def test_what_every_destination_has_goes_as_before(tmp_path: Path) -> None:
    plain, sent = (filled(tmp_path / str(taken), taken, keep=3, keep_unsent=99) for taken in (None, 10_000))
    assert len(rotated_files(plain.folder)) == len(rotated_files(sent.folder)) == 3
    assert sent.take_unsent() == 0


def test_what_one_has_yet_to_get_stays(tmp_path: Path) -> None:
    log = filled(tmp_path, 50, keep=3, keep_unsent=99)
    assert 1 < first(log) <= 51
    assert log.take_unsent() == 0
    assert verify(log.folder).ok


def test_up_to_a_bound_and_what_goes_then_is_counted(tmp_path: Path) -> None:
    log = filled(tmp_path, 5, keep=2, keep_unsent=4)
    assert len(rotated_files(log.folder)) == 4
    assert log.take_unsent() == first(log) - 1 - 5
    assert log.take_unsent() == 0
    assert verify(log.folder).ok


def test_a_bound_below_what_is_kept_anyway_changes_nothing(tmp_path: Path) -> None:
    assert len(rotated_files(filled(tmp_path, 0, keep=6, keep_unsent=1).folder)) == 6


# -- the sign of life ------------------------------------------------------------------------------------


def test_the_sign_says_how_far_we_are_and_what_we_do_not_see(tmp_path: Path) -> None:
    log = AlertLog(str(tmp_path), AlertLogConfig(reserve=0), IDENTITY)
    log.append([alert(1)])
    assert sign.read_sign(str(tmp_path)) == ({}, {})
    log.sign(
        NOW, Generation(3, NOW, "root", "", True, "d" * 64, 9, 2), [Blind("file", b"/x\x1b", "secret")] * 30
    )
    host, told = sign.read_sign(str(tmp_path))
    assert host == {"hostname": "web1", "id": IDENTITY.host_id}
    assert told["last"] == {"sequence": 1, "chain": log.head[1]}
    assert told["baseline"] == {"generation": 3, "digest": "d" * 64}
    assert told["blind"] == 30
    assert len(told["blind_scopes"]) == sign.NAMED
    assert told["blind_scopes"][0] == "file: /x\\x1b"
    assert (tmp_path / sign.NAME).stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("content", [b"", b"[]", b'{"host": 7, "told": []}', b"x" * 100_000])
def test_a_damaged_sign_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / sign.NAME).write_bytes(content)
    assert sign.read_sign(str(tmp_path)) == ({}, {})
