"""The other end, as `packaging/central` sets it up: a real rsyslogd that files, and a real PostgreSQL.

What is shown: a message sent twice is there once; a stopped, restarted or cut database loses nothing; what a
host says can harm nobody else; and each view tells what it is for, and nothing of hosts that are well.
`make central-check` runs this; the whole suite leaves it out, as hosts have neither.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hostguardd.describe import finding_alert
from hostguardd.envelope import entry, syslog
from hostguardd.model import Severity
from hostguardd.record import clean
from tests.alerts import FILE, NAMES, finding
from tests.central import (
    AUTHPRIV,
    CENTRAL,
    LIMIT,
    Certificates,
    Database,
    Host,
    Receiver,
    Relp,
    apart,
    central,
    message,
    missing,
    now,
    wait,
)
from tests.daemon import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[Database, Receiver]]:
    if not os.environ.get("HOSTGUARD_CENTRAL"):
        pytest.skip("`make central-check` runs this")
    if lacking := missing():
        pytest.skip(f"not installed: {', '.join(lacking)}")
    with central() as both:
        yield both


@pytest.fixture
def database(site: tuple[Database, Receiver]) -> Database:
    return site[0]


@pytest.fixture
def receiver(site: tuple[Database, Receiver]) -> Receiver:
    return site[1]


@pytest.fixture
def send(receiver: Receiver) -> Iterator[Any]:
    """Hands messages in by RELP."""
    client = Relp(receiver.relp)

    def send(*messages: bytes) -> None:
        client.send(messages)

    yield send
    client.close()


_counted = iter(range(1, 10_000))


@pytest.fixture
def host() -> Host:
    return new_host()


def new_host(name: str = "") -> Host:
    number = next(_counted)
    return Host(name or f"h{number}.example.org", f"{number:032x}")


def messages(lines: list[bytes]) -> list[bytes]:
    return [message(line) for line in lines]


def count(database: Database, host: Host) -> int:
    found: int = database.one(
        "SELECT count(*) FROM hostguard.alerts JOIN hostguard.hosts USING (host) "
        f"WHERE hostname = {quoted(host.name)} AND machine_id = '{host.machine}'"
    )
    return found


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def settled(database: Database, host: Host, number: int) -> None:
    wait(
        lambda: count(database, host) == number,
        lambda: f"{number} alerts of {host.name} are in the database, which has {count(database, host)}",
    )


def handled(database: Database, host: Host, number: int) -> None:
    """Wait until so many messages with alerts were taken, repeats too."""
    wait(
        lambda: database.rows(
            "SELECT 1 AS done FROM hostguard.hosts "
            f"WHERE hostname = {quoted(host.name)} AND arrived + repeats = {number}"
        ),
        f"{number} messages of {host.name} are through",
    )


def beaten(database: Database, host: Host) -> dict[str, Any]:
    """The heartbeat of a host, once one is there."""
    rows = wait(
        lambda: database.rows(
            "SELECT b.* FROM hostguard.heartbeats b JOIN hostguard.hosts h USING (host) "
            f"WHERE h.hostname = {quoted(host.name)}"
        ),
        f"a heartbeat of {host.name} is in the database",
    )
    found: dict[str, Any] = rows[0]
    return found


def of(database: Database, view: str, host: Host) -> list[dict[str, Any]]:
    return database.rows(f"SELECT * FROM hostguard.{view} WHERE hostname = {quoted(host.name)}")


def gaps(database: Database, host: Host) -> list[dict[str, Any]]:
    return sorted(of(database, "sequence_gaps", host), key=lambda one: one["lo"])


TROUBLES = ("sequence_gaps", "broken_chains", "rewound_hosts", "held_back", "silent_hosts", "contested_names")


def test_each_alert_sent_twice_and_out_of_order_is_there_once_and_the_chain_is_whole(
    database: Database, receiver: Receiver, send: Any, host: Host
) -> None:
    sent = messages(host.idle(400))
    twice = sent * 2
    random.Random(7).shuffle(twice)
    send(*twice)
    send(host.beat(interval=1))
    handled(database, host, 800)
    settled(database, host, 400)
    rows = database.rows(
        "SELECT a.sequence, a.id, encode(a.chain, 'hex') AS chain, encode(a.digest, 'hex') AS digest, "
        "a.record #>> '{event,id}' AS record FROM hostguard.alerts a JOIN hostguard.hosts h USING (host) "
        f"WHERE h.hostname = '{host.name}' ORDER BY sequence"
    )
    assert [one["sequence"] for one in rows] == list(range(1, 401))
    assert [one["digest"] for one in rows] == [hashlib.sha256(line).hexdigest() for line in host.lines]
    assert [one["chain"] for one in rows[1:]] == [one["digest"] for one in rows[:-1]]
    assert [one["id"] for one in rows] == [one["record"] for one in rows]
    beaten(database, host)
    time.sleep(1.1)
    send(host.beat(interval=1))
    for view in TROUBLES:
        assert of(database, view, host) == [], view
    files = receiver.files()
    (day,) = (path for path in files if path.startswith(f"{host.name}@127.0.0.1/2") and "heart" not in path)
    assert set(files[day]) == set(host.lines), "the file holds the lines as they are"
    assert len(files[day]) == 800


def test_what_did_not_come_is_a_gap_until_it_comes(database: Database, send: Any, host: Host) -> None:
    sent = messages(host.idle(20))
    send(host.beat(interval=1), *sent[:4], *sent[7:10], *sent[11:])
    handled(database, host, 16)
    wait(lambda: len(of(database, "sequence_gaps", host)) == 2, "two gaps")
    assert [(one["lo"], one["hi"], one["missing"]) for one in gaps(database, host)] == [
        (5, 7, 3), (11, 11, 1),
    ]  # fmt: skip
    send(sent[5])
    handled(database, host, 17)
    assert [(one["lo"], one["hi"]) for one in gaps(database, host)] == [(5, 5), (7, 7), (11, 11)]
    send(sent[4], sent[6], sent[10])
    handled(database, host, 20)
    for view in ("sequence_gaps", "broken_chains", "rewound_hosts"):
        assert of(database, view, host) == [], view


def test_numbers_from_before_the_first_that_came(database: Database, send: Any, host: Host) -> None:
    sent = messages(host.idle(12))
    send(*sent[8:])
    handled(database, host, 4)
    send(*sent[2:4], host.beat(interval=1))
    handled(database, host, 6)
    wait(lambda: of(database, "sequence_gaps", host), "a gap")
    assert [(one["lo"], one["hi"]) for one in of(database, "sequence_gaps", host)] == [(5, 8)]
    assert of(database, "rewound_hosts", host) == []


def test_a_line_that_was_edited_on_its_way_or_in_the_log(database: Database, send: Any, host: Host) -> None:
    lines = host.idle(6)
    lines[2] = lines[2].replace(b"Alert 2.", b"Alert 3.")
    send(*messages(lines))
    handled(database, host, 6)
    (broken,) = of(database, "broken_chains", host)
    assert broken["sequence"] == 4
    assert "does not follow" in broken["detail"]
    database.psql(f"SELECT hostguard.settle({broken['trouble']}, 'a test')")
    assert of(database, "broken_chains", host) == []


def test_a_head_that_does_not_follow(database: Database, send: Any, host: Host) -> None:
    send(*messages(host.idle(3)))
    handled(database, host, 3)
    send(host.beat(last={"sequence": 3, "chain": "12" * 32}))
    (broken,) = wait(lambda: of(database, "broken_chains", host), "the heartbeat's digest is another")
    assert broken["sequence"] == 3
    # And the other way round: the heartbeat first, and then another line than it had announced.
    other = new_host()
    lines = other.idle(2)
    send(other.beat(last={"sequence": 2, "chain": "34" * 32}))
    beaten(database, other)
    send(*messages(lines))
    (broken,) = wait(lambda: of(database, "broken_chains", other), "the line is another")
    assert "had said" in broken["detail"]


def test_a_log_begun_anew(database: Database, send: Any, host: Host) -> None:
    send(*messages(host.idle(9)))
    handled(database, host, 9)
    again = replace(host, sequence=0, chain="0" * 64, lines=[])
    send(*messages(again.idle(2)))
    handled(database, host, 11)
    (found,) = of(database, "rewound_hosts", host)
    assert (found["sequence"], found["epoch"]) == (1, 1)
    send(*messages(again.idle(3)), again.beat())
    handled(database, host, 14)
    assert len(of(database, "rewound_hosts", host)) == 1, "told once"
    assert of(database, "sequence_gaps", host) == []
    assert of(database, "broken_chains", host) == []
    assert count(database, host) == 14, "what the first log said is kept"


def test_a_heartbeat_tells_that_the_log_is_shorter_than_it_was(
    database: Database, send: Any, host: Host
) -> None:
    send(*messages(host.idle(9)), host.beat())
    handled(database, host, 9)
    beaten(database, host)
    send(host.beat(last={"sequence": 0, "chain": "0" * 64}))
    (found,) = wait(lambda: of(database, "rewound_hosts", host), "the log is shorter")
    assert found["detail"] == "the log ended with number 9, and now with 0"


def test_alerts_that_the_host_has_written_and_nobody_brought(
    database: Database, send: Any, host: Host
) -> None:
    sent = messages(host.idle(10))
    send(*sent[:6])
    handled(database, host, 6)
    send(host.beat(interval=1))
    (found,) = wait(lambda: of(database, "held_back", host), "four are held back")
    assert (found["head"], found["arrived"], found["behind"]) == (10, 6, 4)
    send(*sent[6:])
    handled(database, host, 10)
    assert of(database, "held_back", host) == []


def test_hosts_and_daemons_that_went_silent(database: Database, send: Any, host: Host) -> None:
    other = new_host()
    send(host.beat(interval=1), other.beat(interval=3600))
    beaten(database, host)
    beaten(database, other)
    (silent,) = wait(lambda: of(database, "silent_hosts", host), "it is silent")
    assert silent["silent"] == "host"
    assert of(database, "silent_hosts", other) == []
    send(host.beat(interval=30))
    wait(lambda: not of(database, "silent_hosts", host), "it speaks again")
    send(other.beat(interval=30, daemon={"alive": "2026-01-01T00:00:00.000000Z"}))
    (silent,) = wait(lambda: of(database, "silent_hosts", other), "its daemon does not turn")
    assert silent["silent"] == "daemon"
    database.psql(f"UPDATE hostguard.hosts SET retired = true WHERE hostname = '{other.name}'")
    assert of(database, "silent_hosts", other) == []


def test_what_cannot_be_seen_there(database: Database, send: Any, host: Host) -> None:
    send(host.beat(blind=2, blind_scopes=["/mnt", "netlink"]))
    beaten(database, host)
    (found,) = of(database, "blind_hosts", host)
    assert (found["blind"], found["blind_scopes"]) == (2, ["/mnt", "netlink"])


def test_open_findings_follow_what_became_of_them_in_whatever_order_it_comes(
    database: Database, send: Any, host: Host
) -> None:
    def critical(name: str, path: bytes) -> Any:
        return finding(None, replace(FILE, name=path), Severity.CRITICAL, name)

    one, two, three = critical("one", b"one"), critical("two", b"two"), critical("three", b"three")
    opened = [*host.tell(one), *host.tell(two), *host.tell(three), *host.tell(one, "changed")]
    send(*messages(opened))
    handled(database, host, 4)
    assert {row["finding"] for row in of(database, "open_findings", host)} == {"one", "two", "three"}
    (total,) = of(database, "open_critical", host)
    assert (total["findings"], len(total["newest_keys"])) == (3, 3)
    over, again = host.tell(two, "cleared"), host.tell(two, "opened")
    send(*messages(again))
    send(*messages(over))
    send(*messages([*host.tell(three, "accepted"), *host.tell(one, "cleared")]))
    handled(database, host, 8)
    (left,) = of(database, "open_findings", host)
    assert (left["finding"], left["key"], left["severity"]) == ("two", "/etc/two", "critical")
    assert left["technique"] == ["T1098"]
    # A storm: members of groups, told in parts.
    many = [replace(critical(f"m{number}", b"m%d" % number)) for number in range(700)]
    send(*messages(host.group(many)))
    handled(database, host, 10)
    assert of(database, "open_critical", host)[0]["findings"] == 701
    send(*messages(host.group(many[:699], "cleared")))
    handled(database, host, 12)
    assert {row["finding"] for row in of(database, "open_findings", host)} == {"two", "m699"}


def test_the_same_change_on_many_hosts(database: Database, send: Any) -> None:
    worm = replace(FILE, folder=b"/tmp", name=b".worm", sha256=b"\x66" * 32)
    hosts = [new_host() for _ in range(12)]
    for number, host in enumerate(hosts):
        own = replace(worm, name=b"own%d" % number)
        send(*messages(host.tell(finding(None, worm, Severity.CRITICAL, f"w{number}"))))
        send(*messages(host.tell(finding(None, worm, Severity.CRITICAL, f"w{number}"), "changed")))
        send(*messages(host.tell(finding(None, own, Severity.LOW, f"o{number}"))))
        send(
            *messages(host.tell(finding(None, replace(worm, sha256=bytes([number] * 32)), name=f"x{number}")))
        )
        send(*messages(host.group([finding(None, replace(FILE, name=b"libupdated"), name=f"u{number}")] * 4)))
    for host in hosts:
        handled(database, host, 5)
    found = {
        (row["key"], row["sha256"]): row
        for row in database.rows(
            "SELECT * FROM hostguard.same_change WHERE key LIKE '/tmp/%' OR key LIKE '%updated'"
        )
    }
    assert set(found) == {("/tmp/.worm", "66" * 32), ("/etc/libupdated", "")}
    assert {row["hosts"] for row in found.values()} == {12}
    assert found["/tmp/.worm", "66" * 32]["severity"] == "critical"


HOSTILE = (
    "../../../../etc/cron.d/x", "..", ".", "/", "/etc/passwd", "a/../../b", "-rf", "x" * 5000, "%hostname%",
    "$(id)", "'; DROP SCHEMA hostguard CASCADE; --", "\\'; SELECT 1; --", "ü\u202eß", "a b",
)  # fmt: skip


def test_names_of_hosts_are_not_trusted(database: Database, receiver: Receiver, send: Any) -> None:
    before = {path for path in receiver.folder.rglob("*") if receiver.logs not in path.parents}
    hosts = [new_host(name) for name in HOSTILE]
    for host in hosts:
        line = host.idle()[0]
        send(message(line))
        # And straight in the header, where rsyslog takes the name of the file from.
        head = syslog(entry(line)._replace(hostname="NAME"), AUTHPRIV, LIMIT)
        send(head.replace(b" NAME ", b" " + host.name.replace(" ", "_").encode() + b" ", 1))
    empty = new_host(" ")
    empty.name = ""
    send(message(empty.idle()[0]))
    for host in (*hosts, empty):
        host.name = clean(host.name)[:255]
        settled(database, host, 1)
    after = {path for path in receiver.folder.rglob("*") if receiver.logs not in path.parents}
    assert {path for path in after - before if path.parent.name != "work"} == set()
    for path in receiver.logs.iterdir():
        assert path.is_file() or path.name.endswith("@127.0.0.1"), path
        assert len(path.name) <= 120
    names = {path.name for path in receiver.logs.iterdir()}
    assert {"_.@127.0.0.1", "_@127.0.0.1", ".._.._.._.._etc_cron.d_x@127.0.0.1"} <= names
    assert database.one("SELECT count(*) FROM hostguard.hosts") > len(HOSTILE)


def test_whoever_claims_anothers_name_is_told_apart(
    database: Database, receiver: Receiver, send: Any, host: Host
) -> None:
    send(*messages(host.idle(2)))
    thief = new_host(host.name)
    send(*messages(thief.idle(2)))
    settled(database, host, 2)
    settled(database, thief, 2)
    (found,) = of(database, "contested_names", host)
    assert found["machines"] == 2


def rejects(database: Database) -> int:
    found: int = database.one("SELECT count(*) FROM hostguard.rejects")
    return found


def test_what_is_no_alert_is_kept_and_stops_nothing(
    database: Database, receiver: Receiver, send: Any, host: Host
) -> None:
    (good,) = messages(host.idle())
    head, line = good.split(b"] {", 1)[0] + b"] ", good[good.index(b"] {") + 2 :]
    record = json.loads(line)

    def but(**more: Any) -> bytes:
        return head + json.dumps(record | more).encode()

    not_filed = [
        b"<13>Oct 11 22:14:15 web1 su: 'su root' failed for lonvick on /dev/pts/8",
        b"no syslog at all",
        head + b"not JSON",
        head + line[:200],
        good.replace(b"[hostguard@32473", b"[other@32473", 1),
        good.replace(b" hostguardd ", b" sshd ", 1),
        good.split(b" [", 1)[0] + b" - " + line,
    ]
    refused = [
        head + b"{not JSON}",
        head + b"{}",
        head + b'{"a":"\xff\xfe"}',
        head + b'{"a":"\\u0000"}',
        head + b"{" * 20_000 + b"}" * 20_000,
        head + b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
        but(event=record["event"] | {"sequence": "'; DROP TABLE hosts; --"}),
        but(event=record["event"] | {"sequence": 10**30}),
        but(event=record["event"] | {"sequence": -1}),
        but(event=record["event"] | {"severity": 10**9}),
        but(event=[]),
        but(hostguard="no"),
        but(hostguard=record["hostguard"] | {"schema": 2}),
        but(hostguard=record["hostguard"] | {"chain": "12"}),
        but(**{"@timestamp": "whenever"}),
        *(
            but(**{"@timestamp": word})
            for word in ("now", "infinity", "-infinity", "4714-11-24 BC", "294276-12-31")
        ),
        but(hostguard=record["hostguard"] | {"daemon": {"alive": "-infinity"}}),
        but(event=record["event"] | {"sequence": 10**18}),
        # Numbers that are short here and a thousand times as long when they are written out.
        head + line[:-1] + b',"n":[' + b",".join([b"1e131071"] * 2000) + b"]}",
    ]
    before = rejects(database)
    send(*not_filed, *refused, good)
    settled(database, host, 1)
    wait(lambda: rejects(database) == before + len(refused), "all of them are kept")
    reasons = [row["reason"] for row in database.rows("SELECT reason FROM hostguard.rejects ORDER BY reject")]
    assert all(reasons)
    (kept,) = (b"\n".join(lines) for path, lines in receiver.files().items() if path.startswith("rejects-2"))
    assert kept.count(b"\n") + 1 == len(not_filed)
    assert b"su root" in kept
    assert b"not JSON" in kept
    raw = database.one(r"SELECT count(*) FROM hostguard.rejects WHERE position('\xfffe'::bytea IN line) > 0")
    assert raw == 1, "the bytes themselves"
    assert database.one("SELECT hostguard.retry_rejects()") == 0


def test_hostile_strings_in_a_record_arrive_as_they_are(database: Database, send: Any, host: Host) -> None:
    names = [
        b"'; DROP SCHEMA hostguard CASCADE; --",
        b"\\'",
        b"$$",
        b"%msg%",
        "ü€😀".encode(),
        b"\xff\xfe\n\t\x00\x1b[2J",
    ]
    for number, name in enumerate(names):
        host.tell(finding(None, replace(FILE, name=name.replace(b"\0", b"\1")), name=f"f{number}"))
    send(*messages(host.lines))
    settled(database, host, len(names))
    digests = database.rows(
        "SELECT encode(digest, 'hex') AS digest FROM hostguard.alerts JOIN hostguard.hosts USING (host) "
        f"WHERE hostname = '{host.name}' ORDER BY sequence"
    )
    assert [row["digest"] for row in digests] == [hashlib.sha256(line).hexdigest() for line in host.lines]
    assert of(database, "broken_chains", host) == []
    keys = [row["key"] for row in of(database, "open_findings", host)]
    assert set(keys) == {json.loads(line)["hostguard"]["key"] for line in host.lines}


def test_a_shortened_line_is_no_broken_chain_and_a_long_one_arrives_whole(
    database: Database, send: Any, host: Host
) -> None:
    many = [
        finding(None, replace(FILE, name=b"long" * 40 + b"%d" % number), name=f"f{number}")
        for number in range(400)
    ]
    lines = [*host.idle(), *host.group(many), *host.idle()]
    assert max(map(len, lines)) > 80_000
    send(message(lines[0]), *(message(line, 8192) for line in lines[1:-1]), message(lines[-1]))
    settled(database, host, len(lines))
    assert of(database, "broken_chains", host) == []
    (coverage,) = of(database, "chain_coverage", host)
    assert coverage["unchecked_links"] == len(lines) - 2
    whole = new_host()
    send(*messages(whole.group(many)))
    settled(database, whole, len(whole.lines))
    assert len(of(database, "open_findings", whole)) == 400
    assert of(database, "chain_coverage", whole)[0]["unchecked_links"] == 0


def test_damaged_lines_are_told(database: Database, send: Any, host: Host) -> None:
    before = len(database.rows("SELECT * FROM hostguard.damaged_lines"))
    send(*messages(host.idle()), message(b'{"event":{"sequence":'))
    wait(lambda: len(database.rows("SELECT * FROM hostguard.damaged_lines")) == before + 1, "it is told")


def test_a_database_that_was_stopped_lost_nothing(database: Database, receiver: Receiver, send: Any) -> None:
    hosts = [new_host() for _ in range(5)]
    for how in ("fast", "immediate"):
        for host in hosts:
            send(*messages(host.idle(100)))
        database.stop(how)
        for host in hosts:
            send(*messages(host.idle(900)))
        wait(
            lambda: list((receiver.folder / "work").glob("hostguard-database.0*")),
            "the queue goes to the disk",
        )
        database.start()
        arrived(database, hosts)


def test_a_receiver_stopped_while_the_database_is_keeps_its_queue(
    database: Database, receiver: Receiver
) -> None:
    """But for what each worker held in its hands just then, which the files bring back."""
    hosts = [new_host() for _ in range(5)]
    client = Relp(receiver.relp)
    database.stop()
    for host in hosts:
        client.send(messages(host.idle(900)))
    client.close()
    receiver.stop()
    receiver.start()
    client = Relp(receiver.relp)
    for host in hosts:
        client.send(messages(host.idle(100)))
    client.close()
    database.start()
    wait(lambda: sum(count(database, host) for host in hosts) >= 5000 - WORKERS, "nearly all is there")
    wait(lambda: not database.rows(BUSY), "the queue is empty")
    for host in hosts:
        (folder,) = (path for path in receiver.logs.iterdir() if path.name.startswith(f"{host.name}@"))
        replayed(database, folder)
    arrived(database, hosts)


WORKERS = 8
"""Four of the queue, and as many of its part on the disk."""

BUSY = "SELECT pid FROM pg_stat_activity WHERE usename = 'hostguard_writer' AND state = 'active'"


def whole(database: Database, host: Host) -> bool:
    """Whether no number is missing, however short the time since."""
    name = quoted(host.name)
    return not database.rows(
        f"SELECT 1 FROM hostguard.gaps JOIN hostguard.hosts USING (host) WHERE hostname = {name}"
    )


def arrived(database: Database, hosts: list[Host]) -> None:
    """Wait until all that these hosts wrote is in the database, and see that it is whole."""
    for host in hosts:
        settled(database, host, host.sequence)
        wait(partial(whole, database, host), f"no gap is left of {host.name}")
        assert of(database, "broken_chains", host) == []
        assert of(database, "rewound_hosts", host) == []


def test_a_connection_cut_in_the_middle_loses_nothing(
    database: Database, receiver: Receiver, send: Any
) -> None:
    hosts = [new_host() for _ in range(5)]
    over = threading.Event()

    def cut() -> None:
        while not over.wait(0.05):
            database.psql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'hostguard_writer'"
            )

    cutter = threading.Thread(target=cut)
    cutter.start()
    try:
        for _ in range(10):
            for host in hosts:
                send(*messages(host.idle(60)))
    finally:
        time.sleep(2)
        over.set()
        cutter.join()
    for host in hosts:
        settled(database, host, 600)


def test_a_statement_that_is_cut_again_and_again_is_not_given_up(
    database: Database, send: Any, host: Host
) -> None:
    """What ompgsql gives up after the second time: see the configuration."""
    database.psql(
        """
        CREATE SEQUENCE public.cuts;
        CREATE FUNCTION public.cut() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            IF nextval('public.cuts') <= 3 THEN
                PERFORM pg_terminate_backend(pg_backend_pid());
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER cut BEFORE INSERT ON hostguard.alerts FOR EACH ROW EXECUTE FUNCTION public.cut();
        """
    )
    try:
        send(*messages(host.idle(5)))
        settled(database, host, 5)
        assert database.one("SELECT last_value FROM public.cuts") == 8
    finally:
        database.psql(
            "DROP TRIGGER cut ON hostguard.alerts; DROP FUNCTION public.cut; DROP SEQUENCE public.cuts"
        )


def test_a_database_without_room_waits_and_loses_nothing(database: Database, send: Any, host: Host) -> None:
    """A full disk is an error of the statement, which stays the same however often it is handed in."""
    database.psql(
        """
        CREATE TABLE public.room (full_ boolean); INSERT INTO public.room VALUES (true);
        CREATE FUNCTION public.room() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            IF (SELECT full_ FROM public.room) THEN
                RAISE 'no space left on device' USING ERRCODE = '53100';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER room BEFORE INSERT ON hostguard.alerts FOR EACH ROW EXECUTE FUNCTION public.room();
        """
    )
    try:
        before = rejects(database)
        send(*messages(host.idle(20)))
        time.sleep(1.5)
        assert count(database, host) == 0
        database.psql("UPDATE public.room SET full_ = false")
        settled(database, host, 20)
        assert rejects(database) == before
    finally:
        database.psql(
            "DROP TRIGGER room ON hostguard.alerts; DROP FUNCTION public.room; DROP TABLE public.room"
        )


def test_a_receiver_killed_and_started_again_has_what_it_acknowledged_in_its_files(
    database: Database, receiver: Receiver, host: Host
) -> None:
    for _ in range(3):
        client = Relp(receiver.relp)
        client.send(messages(host.idle(200)))
        receiver.stop(signal.SIGKILL)
        client.close()
        receiver.start()
    filed = {line for path, lines in receiver.files().items() if path.startswith(host.name) for line in lines}
    assert filed >= set(host.lines)
    # What the database's queue held in memory went with it; the files bring it back.
    (folder,) = (path for path in receiver.logs.iterdir() if path.name.startswith(host.name))
    replayed(database, folder)
    settled(database, host, 600)
    assert of(database, "broken_chains", host) == []


def test_a_database_is_filled_from_the_files(
    database: Database, receiver: Receiver, send: Any, host: Host
) -> None:
    sent = messages(host.idle(30))
    send(*sent)
    settled(database, host, 30)
    database.psql(
        "DELETE FROM hostguard.alerts WHERE host = (SELECT host FROM hostguard.hosts "
        f"WHERE hostname = '{host.name}'); DELETE FROM hostguard.hosts WHERE hostname = '{host.name}'"
    )
    folder = next(path for path in receiver.logs.iterdir() if path.name.startswith(host.name))
    replayed(database, folder)
    settled(database, host, 30)
    replayed(database, folder)
    settled(database, host, 30)


def bring(database: Database, address: str, *lines: bytes, name: str = "-") -> None:
    """Hand lines in as if they had come from `address`."""
    database.psql(
        "".join(
            f"SELECT hostguard.take('{address}', {quoted(name)}, '', {quoted(line.decode())});\n"
            for line in lines
        )
    )


def test_what_a_stranger_brought_in_a_hosts_name_can_be_told_and_taken_out(
    database: Database, host: Host
) -> None:
    one = finding(None, replace(FILE, name=b"backdoor"), Severity.CRITICAL, "one")
    true = [*host.tell(one), *host.idle()]
    thief = replace(host, lines=[])
    false = [*thief.tell(one, "cleared"), *replace(thief, sequence=0).idle()]
    bring(database, "10.0.0.1", *true)
    bring(database, "10.6.6.6", *false)
    assert of(database, "open_findings", host) == []
    assert len(of(database, "rewound_hosts", host)) == 1
    assert "10.6.6.6" in of(database, "moved_hosts", host)[0]["detail"]
    (number,) = {
        row["host"]
        for row in database.rows(f"SELECT host FROM hostguard.hosts WHERE hostname = '{host.name}'")
    }
    brought = database.rows(
        f"SELECT peer, count(*) FROM hostguard.alerts WHERE host = {number} GROUP BY peer ORDER BY peer"
    )
    assert brought == [{"peer": "10.0.0.1", "count": 2}, {"peer": "10.6.6.6", "count": 2}]
    assert database.one(f"SELECT hostguard.forget({number}, '10.6.6.6')") == 2
    bring(database, "10.0.0.1", *host.idle(2))
    assert [row["finding"] for row in of(database, "open_findings", host)] == ["one"]
    assert database.one(f"SELECT array_agg(DISTINCT epoch) FROM hostguard.alerts WHERE host = {number}") == [
        1
    ]
    for view in ("rewound_hosts", "broken_chains", "moved_hosts", "contested_names"):
        assert of(database, view, host) == [], view
    assert whole(database, host)
    assert count(database, host) == 4


def test_a_host_can_be_forgotten(database: Database) -> None:
    change = replace(FILE, name=b"forgotten", sha256=b"\x31" * 32)
    hosts = [new_host() for _ in range(3)]
    for host in hosts:
        bring(database, "10.0.0.3", *host.tell(finding(None, change, Severity.CRITICAL, host.name)))
    seen = "SELECT coalesce(max(hosts), 0) FROM hostguard.same_change WHERE key = '/etc/forgotten'"
    assert database.one(seen) == 3
    assert (
        database.one(f"SELECT hostguard.forget(host) FROM hostguard.hosts WHERE hostname = '{hosts[0].name}'")
        == 1
    )
    assert database.one(seen) == 2
    assert count(database, hosts[0]) == 0
    assert database.one(f"SELECT count(*) FROM hostguard.hosts WHERE hostname = '{hosts[0].name}'") == 0
    assert of(database, "open_critical", hosts[0]) == []
    assert len(of(database, "open_critical", hosts[1])) == 1


def test_a_damaged_line_is_told_once_with_the_address_that_brought_it(database: Database, host: Host) -> None:
    lines = [message(b'{"event":{"sequence":' + word).split(b"] ", 1)[1] for word in (b"1", b"2")]
    bring(database, "10.7.7.7", *lines, *lines)
    nameless = database.rows(
        "SELECT * FROM hostguard.damaged_lines WHERE host IS NULL AND detail LIKE '%10.7.7.7%'"
    )
    assert [row["times"] for row in nameless] == [2, 2]
    bring(database, "10.0.0.1", *host.idle())
    bring(database, "10.7.7.8", *lines, name=host.name)
    damaged = of(database, "damaged_lines", host)
    assert len(damaged) == 2
    assert all(row["detail"].startswith("from 10.7.7.8: ") for row in damaged)
    assert "10.7.7.8" in of(database, "moved_hosts", host)[0]["detail"]
    database.psql(
        "UPDATE hostguard.troubles SET last_seen = '2001-01-01' WHERE detail LIKE '%10.7.7.7%'; "
        "SELECT hostguard.tend()"
    )
    assert not database.rows("SELECT 1 FROM hostguard.troubles WHERE detail LIKE '%10.7.7.7%'")
    assert len(of(database, "damaged_lines", host)) == 2


def test_a_heartbeat_without_a_head_does_not_hide_what_was_held_back(database: Database, host: Host) -> None:
    host.idle(5)
    beats = [host.beat(interval=1), host.beat(interval=1, last={})]
    for beat in beats:
        bring(database, "10.0.0.1", beat.split(b"] ", 1)[1])
    (found,) = wait(lambda: of(database, "held_back", host), "five are held back")
    assert (found["head"], found["behind"]) == (5, 5)
    assert beaten(database, host)["digest"] == "\\x" + host.chain


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (2, 0, 1)])
def test_a_spread_is_the_same_in_whatever_order_it_comes(database: Database, order: tuple[int, ...]) -> None:
    day = 24 * 3600 * 10**9
    change = replace(FILE, name=b"spread%d%d%d" % order, sha256=b"\x32" * 32)
    told = []
    for days in (6, 3, 1):
        host = new_host()
        told += host.write(
            finding_alert(finding(None, change, name=host.name), "opened", now() - days * day, NAMES)
        )
    for which in order:
        bring(database, "10.0.0.3", told[which])
    (found,) = database.rows(
        "SELECT *, extract(epoch FROM within) / 86400 AS days FROM hostguard.same_change "
        f"WHERE key = '/etc/{change.name.decode()}'"
    )
    assert found["hosts"] == 3
    assert round(found["days"], 2) == 5
    database.psql(
        "UPDATE hostguard.spread_hosts SET at = at - interval '5 days' "
        f"WHERE signature = '{found['signature']}'; SELECT hostguard.tend()"
    )
    (left,) = database.rows(f"SELECT hosts FROM hostguard.spreads WHERE signature = '{found['signature']}'")
    assert left["hosts"] == 1, "two were last seen there more than a week ago"


def test_an_address_that_speaks_in_many_names(database: Database) -> None:
    for host in (new_host(), new_host(), new_host()):
        bring(database, "10.8.8.8", *host.idle())
    bring(database, "10.8.8.9", *new_host().idle())
    found = database.rows("SELECT peer, names FROM hostguard.addresses_of_many WHERE peer LIKE '10.8.8.%'")
    assert found == [{"peer": "10.8.8.8", "names": 3}]


def test_a_keeper_settles_and_retires_and_no_more(database: Database, host: Host) -> None:
    bring(database, "10.0.0.1", *host.idle(9)[8:], *replace(host, sequence=4, lines=[]).idle())
    (found,) = of(database, "rewound_hosts", host)
    database.psql("DROP ROLE IF EXISTS keeper; CREATE ROLE keeper LOGIN IN ROLE hostguard_keeper")
    database.psql(f"SELECT hostguard.settle({found['trouble']}, 'ticket 1')", user="keeper")
    assert of(database, "rewound_hosts", host) == []
    said = database.one(f"SELECT settled FROM hostguard.troubles WHERE trouble = {found['trouble']}")
    assert said == "keeper: ticket 1"
    database.psql(f"UPDATE hostguard.hosts SET retired = true WHERE hostname = '{host.name}'", user="keeper")
    assert database.rows("SELECT * FROM hostguard.open_findings LIMIT 1", user="keeper") is not None
    for sql in (
        "UPDATE hostguard.hosts SET epoch = 7", "DELETE FROM hostguard.troubles",
        "SELECT hostguard.forget(1)",
        "SELECT hostguard.tend()", "SELECT hostguard.take('', '', '', '')",
    ):  # fmt: skip
        assert "denied" in database.psql(sql, user="keeper", check=False), sql


def replayed(database: Database, folder: Path) -> None:
    subprocess.run(
        [CENTRAL / "replay", *sorted(folder.glob("*.jsonl"))],
        check=True, capture_output=True,
        env=os.environ | {"PGHOST": str(database.folder), "PGPORT": "5432", "PGUSER": "postgres",
                          "PGDATABASE": "hostguard"},
    )  # fmt: skip


@pytest.mark.skipif(not all(map(shutil.which, ("nft", "ip"))), reason="needs nft and ip")
def test_a_host_that_floods_is_slowed_down_loses_nothing_and_delays_nobody(
    database: Database, tmp_path: Path
) -> None:
    loud, quiet = new_host(), new_host()
    receiver = Receiver(tmp_path / "rsyslog", database.folder, None)
    rules = (CENTRAL / "nftables.conf").read_text().replace("2514", str(receiver.relp))
    flood = messages(loud.idle(4000))
    least = (sum(map(len, flood)) - 1024 * 1024) / (256 * 1024)

    def flooded() -> None:
        subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
        receiver.start()
        with (
            closing(Relp(receiver.relp, source="127.0.0.6")) as client,
            closing(Relp(receiver.relp, source="127.0.0.5")) as other,
        ):
            begun = time.monotonic()
            sender = threading.Thread(target=client.send, args=(flood,))
            sender.start()
            time.sleep(1)
            other.send(messages(quiet.idle()))
            settled(database, quiet, 1)
            behind = len(flood) - count(database, loud)
            sender.join()
            assert behind > 0, "the other one's alert does not wait for the flood"
            assert time.monotonic() - begun > 0.8 * least
        settled(database, loud, len(flood))

        def connect() -> socket.socket:
            return socket.create_connection(("127.0.0.1", receiver.relp), 3, ("127.0.0.7", 0))

        with ExitStack() as held:
            for _ in range(8):
                held.enter_context(connect())
            with pytest.raises(TimeoutError):
                connect()

    try:
        apart(flooded)
    finally:
        receiver.stop()


def test_tls_takes_those_who_are_named_and_nobody_else(
    database: Database, receiver: Receiver, host: Host
) -> None:
    tls = Certificates.__new__(Certificates)
    tls.folder = receiver.folder.parent / "tls"
    sent = messages(host.idle(30))
    client = Relp(receiver.relp_tls, tls.client())
    client.send(sent[:10])
    client.close()
    # Octet counting, RFC 5425.
    with tls.client().wrap_socket(
        socket.create_connection(("127.0.0.1", receiver.tls), 10), server_hostname="logs.example.org"
    ) as plain:
        plain.sendall(b"".join(b"%d %b" % (len(one), one) for one in sent[10:]))
        settled(database, host, 30)
    with pytest.raises((OSError, ConnectionError)):
        Relp(receiver.relp_tls, tls.client("stranger")).send(messages(host.idle()))
    bare = ssl.create_default_context(cafile=str(tls.folder / "ca.pem"))
    with pytest.raises((OSError, ConnectionError)):
        Relp(receiver.relp_tls, bare).send(messages(host.idle()))
    (more,) = messages(host.idle())
    old = tls.client()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    for port in (receiver.relp_tls, receiver.tls):
        with socket.create_connection(("127.0.0.1", port), 10) as raw, pytest.raises(OSError) as refused:  # noqa: PT011
            old.wrap_socket(raw, server_hostname="logs.example.org")
        assert getattr(refused.value, "reason", "") != "NO_PROTOCOLS_AVAILABLE", (
            "it is refused there, not here"
        )
    for context in (tls.client("stranger"), bare):
        raw = socket.create_connection(("127.0.0.1", receiver.tls), 10)
        with raw, pytest.raises((OSError, ConnectionError)):  # noqa: PT012
            plain = context.wrap_socket(raw, server_hostname="logs.example.org")
            with plain:
                plain.sendall(b"%d %b" % (len(more), more))
                if not plain.recv(1):
                    raise ConnectionError("closed")
    assert count(database, host) == 30


def test_roles_may_do_what_they_are_for_and_nothing_else(database: Database, host: Host, send: Any) -> None:
    for sql in (
        "SELECT * FROM hostguard.alerts", "SELECT * FROM hostguard.open_critical",
        "DELETE FROM hostguard.hosts",
        "SELECT hostguard.take_line('', '', '')", "SELECT hostguard.tend()", "SELECT hostguard.settle(1, '')",
        "CREATE TABLE hostguard.x (y int)", "CREATE TABLE public.x (y int)", "CREATE TEMP TABLE x (y int)",
    ):  # fmt: skip
        said = database.psql(sql, user="hostguard_writer", check=False)
        assert "denied" in said or "must be owner" in said, f"{sql}: {said}"
    database.psql("DROP ROLE IF EXISTS looker; CREATE ROLE looker LOGIN IN ROLE hostguard_reader")
    for view in (
        *TROUBLES,
        "open_findings",
        "open_critical",
        "same_change",
        "blind_hosts",
        "damaged_lines",
        "rejects",
    ):
        database.rows(f"SELECT * FROM hostguard.{view} LIMIT 1", user="looker")
    for sql in (
        "SELECT hostguard.take('', '', '', '')", "DELETE FROM hostguard.rejects",
        "SELECT hostguard.retry_rejects()",
        "UPDATE hostguard.hosts SET retired = true", "SELECT hostguard.settle(1, '')",
    ):  # fmt: skip
        assert "denied" in database.psql(sql, user="looker", check=False), sql


def test_partitions_come_and_go_and_the_schema_may_be_loaded_again(
    database: Database, send: Any, host: Host
) -> None:
    old = {
        f"{number}": re.sub(rb'^\{"@timestamp":"\d{4}', b'{"@timestamp":"1999', line)
        for number, line in enumerate(host.idle(3))
    }
    send(*messages(list(old.values())))
    settled(database, host, 3)
    database.load()
    partition = database.rows(
        "SELECT tableoid::regclass::text AS name, count(*) FROM hostguard.alerts GROUP BY 1"
    )
    assert "hostguard.alerts_other" in {row["name"] for row in partition}
    database.psql("UPDATE hostguard.alerts_other SET received_at = '2001-01-01'; SELECT hostguard.tend(1)")
    assert count(database, host) == 0
    assert database.one(f"SELECT count(*) FROM hostguard.hosts WHERE hostname = '{host.name}'") == 1


def test_the_index_template_knows_every_field_of_the_published_schema() -> None:
    schema = json.loads((ROOT / "hostguardd/schema/alert.schema.json").read_text())
    template = json.loads((CENTRAL / "opensearch-template.json").read_text())
    free = {"by_action", "by_severity", "by_folder", "paths"}  # under names of all kinds: kept, not searched

    def unknown(asked: dict[str, Any], known: dict[str, Any], at: str) -> list[str]:
        found = []
        for name, field in asked.get("properties", {}).items():
            if "$ref" in field:
                field = schema["$defs"][field["$ref"].rpartition("/")[2]]
            field = field.get("items", field) if isinstance(field.get("items"), dict) else field
            if name in known.get("properties", {}):
                found += unknown(field, known["properties"][name], f"{at}{name}.")
            elif name not in free:
                found.append(at + name)
        return found

    assert unknown(schema, template["template"]["mappings"], "") == []
