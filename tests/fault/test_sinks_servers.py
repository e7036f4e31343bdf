"""Alerts to the servers that people have: rsyslog, syslog-ng and journald, told, killed and misunderstood."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from hostguardd.destinations import Destination
from hostguardd.envelope import Entry, entry
from hostguardd.record import GENESIS, render
from hostguardd.sinks.interface import Sink, SinkError
from hostguardd.sinks.journald import JournalSink
from hostguardd.sinks.make import sink
from hostguardd.sinks.relp import RelpSink
from hostguardd.sinks.syslog import StreamSink
from tests.alerts import IDENTITY, alert
from tests.certificates import Authority, Issued
from tests.ear import eventually
from tests.logservers import CLIENT, LogServer, Rsyslog, SyslogNg, rsyslog_lacks, syslog_ng
from tests.rights import NAMESPACES

COUNT, BATCH = 600, 50
PATIENCE = 20.0

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
needs_rsyslog = pytest.mark.skipif(bool(rsyslog_lacks()), reason=rsyslog_lacks() or "-")
needs_syslog_ng = pytest.mark.skipif(
    syslog_ng() is None, reason="needs syslog-ng (tools/system-packages test)"
)
pytestmark = needs_openssl


@dataclass(frozen=True)
class Papers:
    """Certificates of all kinds."""

    ca: Path
    other_ca: Path
    server: Issued
    client: Issued
    stranger: Issued
    expired: Issued


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    folder = tmp_path_factory.mktemp("papers")
    authority, other = Authority(folder), Authority(folder / "other", "other")
    return Papers(
        authority.root.certificate,
        other.root.certificate,
        authority.issue("server"),
        authority.issue("client", f"DNS:{CLIENT}"),
        authority.issue("stranger", "DNS:stranger.example.org"),
        authority.issue("expired", days=-1),
    )


@pytest.fixture(scope="module")
def rsyslog(papers: Papers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogServer]:
    made = Rsyslog(tmp_path_factory.mktemp("rsyslog") / "work", papers.ca, papers.server)
    yield made
    made.kill()


@pytest.fixture(scope="module")
def other_server(papers: Papers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogServer]:
    made = SyslogNg(tmp_path_factory.mktemp("syslog-ng") / "work", papers.ca, papers.server)
    yield made
    made.kill()


def destination(server: LogServer, name: str, papers: Papers) -> Destination:
    kind = {"tls": "tcp", "relps": "relp"}.get(name, name)
    made = Destination("central", kind, address=("127.0.0.1", server.ports[name]), timeout=10)
    if name not in ("tls", "relps"):
        return made
    return replace(
        made,
        tls=True,
        ca=str(papers.ca),
        certificate=str(papers.client.certificate),
        key=str(papers.client.key),
    )


def entries(first: int, count: int) -> list[Entry]:
    """Alerts with text that a careless receiver would spoil."""
    hostile = 'a "quoted" \\ 日本語 %s $MSG <13> ] \x1b[31m'
    return [
        entry(
            render(
                alert(n, message=f"{hostile} {n}", data={"key": b"/tmp/\xff\n\t#011"}), IDENTITY, n, GENESIS
            )
        )
        for n in range(first, first + count)
    ]


def send_all(sent: Sink) -> None:
    """COUNT alerts, until they are as safe as the kind of destination can say."""
    sent.open()
    done = under_way = 0
    for first in range(1, COUNT, BATCH):
        while under_way >= sent.window:
            count = sent.confirmed(1)
            under_way, done = under_way - count, done + count
        sent.send(entries(first, BATCH))
        under_way += 1
    done += sent.finish()
    assert done == COUNT // BATCH
    sent.close()


def all_came(server: LogServer, name: str) -> None:
    assert eventually(lambda: len(server.lines(name)) >= COUNT, PATIENCE), len(server.lines(name))
    assert server.lines(name)[-COUNT:] == [one.line for one in entries(1, COUNT)]


@needs_rsyslog
@pytest.mark.parametrize("name", Rsyslog.inputs)
def test_rsyslog_gets_every_alert_in_order(rsyslog: LogServer, papers: Papers, name: str) -> None:
    send_all(sink(destination(rsyslog, name, papers)))
    all_came(rsyslog, name)


@needs_syslog_ng
@pytest.mark.parametrize("name", SyslogNg.inputs)
def test_syslog_ng_gets_every_alert_in_order(other_server: LogServer, papers: Papers, name: str) -> None:
    send_all(sink(destination(other_server, name, papers)))
    all_came(other_server, name)


@needs_rsyslog
@pytest.mark.parametrize("name", ["relp", "relps"])
def test_a_server_that_is_killed_loses_nothing_that_it_acknowledged(
    papers: Papers, tmp_path: Path, name: str
) -> None:
    server = Rsyslog(tmp_path / "work", papers.ca, papers.server)
    sent = sink(destination(server, name, papers))
    sent.open()
    waiting: list[list[Entry]] = []  # sent and not confirmed
    batches = [entries(first, 20) for first in range(1, 1201, 20)]
    rest, kills = list(batches), 0
    ends = time.monotonic() + 150
    try:
        while rest or waiting:
            assert time.monotonic() < ends
            if kills < 3 and len(rest) == 45 - 15 * kills:
                kills += 1
                server.kill()
                server.start()
            try:
                if rest and len(waiting) < sent.window:
                    sent.send(rest[0])
                    waiting.append(rest.pop(0))
                else:
                    del waiting[: sent.confirmed(1)]
            except SinkError:
                rest, waiting = waiting + rest, []
                sent.open()
        sent.finish()
    finally:
        sent.close()
        server.kill()
    assert kills == 3
    came = [json.loads(line)["event"]["sequence"] for line in server.lines(name)]
    assert set(came) == set(range(1, 1201))
    first_time = list(dict.fromkeys(came))
    assert first_time == sorted(first_time)


def refused(to: Destination) -> str:
    """What a destination that cannot be used says, and that it takes no longer than it may."""
    sent = sink(replace(to, timeout=2))
    begun = time.monotonic()
    with pytest.raises(SinkError) as caught:
        talk(sent)
    assert time.monotonic() - begun < 10
    sent.close()
    return str(caught.value).removeprefix(f"{to.place} ")


def talk(sent: Sink) -> None:
    """Until something is wrong."""
    sent.open()
    for _ in range(100):
        sent.send(entries(1, 1))
        sent.confirmed(0.1)


@needs_rsyslog
@pytest.mark.parametrize("name", ["tls", "relps"])
def test_a_server_of_another_ca_is_not_trusted(rsyslog: LogServer, papers: Papers, name: str) -> None:
    told = refused(replace(destination(rsyslog, name, papers), ca=str(papers.other_ca)))
    assert "issued by a CA that is not trusted here; check `ca`" in told
    told = refused(replace(destination(rsyslog, name, papers), ca=""))
    assert "issued by a CA that is not trusted here; check `ca`" in told


@needs_rsyslog
def test_a_server_whose_certificate_has_expired(papers: Papers, tmp_path: Path) -> None:
    server = Rsyslog(tmp_path / "work", papers.ca, papers.expired)
    try:
        for name in ("tls", "relps"):
            assert refused(destination(server, name, papers)).endswith("its certificate has expired")
    finally:
        server.kill()


@needs_rsyslog
@pytest.mark.parametrize("name", ["tls", "relps"])
def test_a_server_of_another_name_is_not_trusted(rsyslog: LogServer, papers: Papers, name: str) -> None:
    told = refused(replace(destination(rsyslog, name, papers), server_name="logs.example.org"))
    assert told.endswith("its certificate is not for logs.example.org; check `server_name`")


@needs_rsyslog
@pytest.mark.parametrize("name", ["tls", "relps"])
def test_plain_text_to_a_port_for_tls(rsyslog: LogServer, papers: Papers, name: str) -> None:
    plain = replace(destination(rsyslog, name, papers), tls=False, ca="", certificate="", key="")
    assert "tls = true" in refused(plain)


@needs_rsyslog
@pytest.mark.parametrize("name", ["tcp", "relp"])
def test_tls_to_a_port_for_plain_text(rsyslog: LogServer, papers: Papers, name: str) -> None:
    assert "is that port for plain text?" in refused(
        replace(destination(rsyslog, name, papers), tls=True, ca=str(papers.ca))
    )


@needs_rsyslog
def test_a_client_that_the_server_does_not_know(rsyslog: LogServer, papers: Papers) -> None:
    to = destination(rsyslog, "relps", papers)
    stranger = replace(to, certificate=str(papers.stranger.certificate), key=str(papers.stranger.key))
    assert "closed the connection" in refused(stranger)
    assert refused(replace(to, certificate="", key=""))


@needs_rsyslog
def test_relp_to_a_port_for_plain_syslog(rsyslog: LogServer, papers: Papers) -> None:
    to = replace(destination(rsyslog, "tcp", papers), kind="relp")
    assert "does not answer the offer of a RELP session" in refused(to)


@needs_rsyslog
def test_a_name_and_an_address_both_suit(rsyslog: LogServer, papers: Papers) -> None:
    to = destination(rsyslog, "relps", papers)
    for other in (
        replace(to, address=("localhost", to.address[1])),
        replace(to, server_name="localhost"),
        replace(to, server_name="127.0.0.1"),
    ):
        sent = RelpSink(other)
        sent.open()
        sent.send(entries(1, 1))
        assert sent.finish() == 1


@needs_syslog_ng
@pytest.mark.parametrize("name", SyslogNg.inputs)
def test_a_stream_whose_server_is_killed_is_noticed(papers: Papers, tmp_path: Path, name: str) -> None:
    server = SyslogNg(tmp_path / "work", papers.ca, papers.server)
    sent = StreamSink(destination(server, name, papers), settle=30)
    try:
        sent.open()
        sent.send(entries(1, 5))
        assert sent.confirmed(0.2) == 0
        server.kill()
        with pytest.raises(SinkError):
            talk_on(sent)
        server.start()
        sent.open()
        sent.send(entries(1, 5))
        assert sent.finish() == 1
        assert eventually(lambda: server.lines(name)[-5:] == [one.line for one in entries(1, 5)], PATIENCE)
    finally:
        sent.close()
        server.kill()


def talk_on(sent: Sink) -> None:
    for _ in range(100):
        sent.confirmed(0.1)


JOURNALD = next(
    (
        path
        for path in ("/usr/lib/systemd/systemd-journald", "/lib/systemd/systemd-journald")
        if Path(path).exists()
    ),
    "",
)


@pytest.fixture
def journald(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that a journald of ours takes for /run. Without a network, audit is out of its reach."""
    run = tmp_path_factory.mktemp("j")
    for folder in ("systemd/journal", "systemd/journald.conf.d", "log/journal"):
        (run / folder).mkdir(parents=True)
    (run / "systemd/journald.conf.d/ours.conf").write_text(
        "[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=\nForwardToSyslog=no\nForwardToWall=no\n"
    )
    words = ["unshare", "--mount", "--net", "--propagation", "private", "sh", "-c"]
    with subprocess.Popen([*words, f'mount --bind "{run}" /run && exec {JOURNALD}'], cwd="/") as process:
        try:
            assert eventually((run / "systemd/journal/socket").is_socket, PATIENCE)
            yield run
        finally:
            process.terminate()


@pytest.mark.skipif(not NAMESPACES, reason="needs root with CAP_SYS_ADMIN")
@pytest.mark.skipif(not JOURNALD or not shutil.which("unshare"), reason="needs systemd-journald and unshare")
def test_journald_keeps_every_field(journald: Path) -> None:
    sent = JournalSink(
        Destination("journal", "journald", limit=10**6), str(journald / "systemd/journal/socket")
    )
    huge = render(alert(3, data={f"m{n}": "x" * 30_000 for n in range(20)}), IDENTITY, 3, GENESIS)
    lines = entries(4, 1)[0]._replace(line=b'{"message":"two\\nPRIORITY=0"}')
    batch = [*entries(1, 2), entry(huge), lines]
    sent.open()
    sent.send(batch)
    assert sent.finish() == 1

    def kept() -> list[dict[str, str]]:
        asked = subprocess.run(
            [
                "journalctl",
                "-D",
                journald / "log/journal",
                "-o",
                "json",
                "--all",
                "SYSLOG_IDENTIFIER=hostguardd",
            ],
            capture_output=True,
            check=False,
        )
        return [json.loads(line) for line in asked.stdout.splitlines()]

    assert eventually(lambda: len(kept()) == len(batch), PATIENCE)
    found = kept()
    assert [one["HOSTGUARD_RECORD"].encode() for one in found] == [one.line for one in batch]
    assert [one["HOSTGUARD_SEQUENCE"] for one in found] == ["1", "2", "3", "4"]
    assert found[0]["MESSAGE"] == json.loads(batch[0].line)["message"]
    assert (found[3]["MESSAGE"], found[3]["PRIORITY"]) == ("two\nPRIORITY=0", "6")
