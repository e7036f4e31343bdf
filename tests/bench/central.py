"""What one log host carries: `python -m tests.bench.central`, with `packaging/central` as it is.

It loads ten million alerts into the tables, lets a thousand hosts send heartbeats and bursts by RELP into
rsyslog and from there into that database, and then asks every view. Each host has a connection of its own;
a part of what is sent comes while the database is stopped. It fails when anything is lost.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from hostguardd.model import Severity
from tests.alerts import FILE, finding
from tests.central import Database, Host, Receiver, Relp, central, message, missing, wait

SETTINGS = (
    "shared_buffers=1GB",
    "max_wal_size=8GB",
    "maintenance_work_mem=512MB",
    "checkpoint_timeout=15min",
)
"""What anybody would set for a database of this size. fsync stays on: it is what is measured."""

VIEWS = (
    "open_critical", "open_findings", "silent_hosts", "same_change", "sequence_gaps", "broken_chains",
    "rewound_hosts", "held_back", "chain_coverage", "blind_hosts", "damaged_lines", "contested_names",
    "moved_hosts", "addresses_of_many", "open_troubles",
)  # fmt: skip

OURS = "hostname ~ '^s[0-9]+[.]'"
"""The hosts that send, not those that were loaded."""

RECORD = """jsonb_build_object('@timestamp', at, 'event', jsonb_build_object('sequence', sequence, 'id', id,
    'action', 'file-changed', 'severity', 47),
    'message', 'Changed: /usr/lib/thing/' || i || ' (size, sha256)',
    'host', jsonb_build_object('hostname', 'l' || host, 'id', md5(host::text)),
    'file', jsonb_build_object('path',
    '/usr/lib/thing/' || i, 'mode', '0644', 'uid', '0', 'size', i), 'hostguard', jsonb_build_object('key',
    '/usr/lib/thing/' || i, 'kind', 'file', 'chain', encode(chain, 'hex')))"""

LOAD = """
SET synchronous_commit = off; SET search_path = hostguard;
INSERT INTO hosts (hostname, machine_id, last_alert, first_sequence, last_sequence, arrived, first_at)
SELECT 'l' || i, md5(i::text), now(), 1, {alerts} / {hosts}, {alerts} / {hosts}, now()
FROM generate_series(1, {hosts}) i;
INSERT INTO peers (host, peer)
SELECT i, '10.0.' || i / 250 || '.' || i % 250 FROM generate_series(1, {hosts}) i;
INSERT INTO heartbeats (host, at, received_at, sequence, alive, behind_since, blind)
SELECT i, now(), now(), {alerts} / {hosts} + (i % 50 = 0)::int, now(),
       CASE WHEN i % 50 = 0 THEN now() - interval '1 h' END, (i % 20 = 0)::int
FROM generate_series(1, {hosts}) i;
INSERT INTO gaps SELECT i % {hosts} + 1, 1, i, i + 3, now() - interval '1 h' FROM generate_series(1, 20000) i;
INSERT INTO troubles (host, epoch, kind, sequence, detail)
SELECT i % {hosts} + 1, 1, (ARRAY['chain', 'rewound', 'damaged'])[i % 3 + 1], i, 'x'
FROM generate_series(1, 6000) i;
INSERT INTO findings
SELECT i / 7 % {hosts} + 1, 'f' || i, 1, i / {hosts} + 1,
       CASE WHEN i % 50 = 0 THEN 'opened' ELSE 'cleared' END,
       CASE WHEN i % 500 = 0 THEN 99 ELSE 47 END, 'file', 'file-changed', 'usr', NULL, '/usr/lib/thing/' || i,
       'Changed: /usr/lib/thing/' || i, now() - random() * interval '90 days', now()
FROM generate_series(1, {alerts} / 4) i;
INSERT INTO spreads (signature, kind, action, key, sha256, severity, hosts, first_at, last_at)
SELECT md5(i::text)::uuid, 'file', 'file-changed', '/usr/lib/thing/' || i, md5(i::text), 47,
       CASE WHEN i % 10 = 0 THEN i % 900 + 2 ELSE 1 END, now() - interval '1 d' - at, now() - at
FROM generate_series(1, {alerts} / 4) i, LATERAL (SELECT random() * interval '31 days' AS at WHERE i > 0) a;
INSERT INTO spread_hosts SELECT md5(i::text)::uuid, i % {hosts} + 1, now()
FROM generate_series(1, {alerts} / 4) i;
"""

ALERTS = """
SET synchronous_commit = off; SET search_path = hostguard;
INSERT INTO alerts
SELECT host, sequence, id, at, 1, CASE WHEN i % 200 = 0 THEN 99 WHEN i % 20 = 0 THEN 73 ELSE 47 END, 'file',
       'file-changed', 'usr', ARRAY['T1565'], '/usr/lib/thing/' || i,
       'Changed: /usr/lib/thing/' || i || ' (size, sha256)', CASE WHEN i % 4 = 0 THEN 'f' || i / 4 END,
       CASE WHEN i % 4 = 0 THEN 'opened' END, chain, chain, {record}, at
FROM (
    SELECT i, i % {hosts} + 1 AS host, i / {hosts} + 1 AS sequence, substr(md5(i::text), 1, 20) AS id,
           date_trunc('month', now()) - interval '20 days' + i * (interval '120 days' / {alerts}) AS at,
           sha256(int8send(i)) AS chain
    FROM generate_series({first}::bigint, {last}::bigint) i
) made;
"""


def load(database: Database, alerts: int, hosts: int) -> None:
    begun = time.monotonic()
    database.psql(LOAD.format(alerts=alerts, hosts=hosts))
    step = 1_000_000
    for first in range(0, alerts, step):
        last = min(first + step, alerts) - 1
        database.psql(ALERTS.format(alerts=alerts, hosts=hosts, record=RECORD, first=first, last=last))
        print(f"    {last + 1:,} alerts after {time.monotonic() - begun:.0f} s", flush=True)
    database.psql("VACUUM ANALYZE")
    print(f"{'loaded':40} {alerts:,} alerts of {hosts:,} hosts in {time.monotonic() - begun:.0f} s")


def sizes(database: Database) -> None:
    for name, size, rows in (
        (row["name"], row["size"], row["rows"])
        for row in database.rows(
            "SELECT CASE WHEN c.relname ~ '^alerts_' THEN 'alerts' ELSE c.relname END AS name, "
            "sum(pg_total_relation_size(c.oid)) AS size, sum(c.reltuples)::bigint AS rows FROM pg_class c "
            "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'hostguard' AND c.relkind = 'r' "
            "GROUP BY 1 HAVING sum(c.reltuples) > 1000 ORDER BY 2 DESC"
        )
    ):
        print(f"{'size of ' + name:40} {size / 2**20:,.0f} MiB, {size / rows:,.0f} bytes a row")


def views(database: Database) -> float:
    slowest = 0.0
    for view in VIEWS:
        took = []
        for _ in range(3):
            begun = time.monotonic()
            found = database.psql(
                f"SELECT count(*) FROM (SELECT v.*, v::text FROM hostguard.{view} v OFFSET 0) all_of"
            )
            took.append((time.monotonic() - begun) * 1000)
        slowest = max(slowest, *took)
        middle = statistics.median(took)
        print(f"{'view ' + view:40} {middle:,.0f} ms (first {took[0]:,.0f}), {int(found):,} rows")
    return slowest


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def simulate(database: Database, receiver: Receiver, hosts: int, each: int) -> int:
    """A heartbeat and `each` alerts of every host, the last quarter with the database stopped.

    How many are lost, or told of as a trouble.
    """
    made = [Host(f"s{number}.example.org", f"{number:032x}") for number in range(hosts)]
    for host in made:
        for number in range(each // 2):
            fact = replace(FILE, name=f"{host.name}-{number}".encode(), sha256=os.urandom(32))
            host.tell(finding(None, fact, Severity.HIGH, f"f{number}"))
        host.idle(each - each // 2)
    sent = {host.name: [host.beat(), *(message(line) for line in host.lines)] for host in made}
    total = sum(map(len, sent.values()))
    mean = sum(len(one) for many in sent.values() for one in many) / total
    print(f"{'a message':40} {mean:,.0f} bytes, in the mean")
    clients = [(Relp(receiver.relp), sent[host.name]) for host in made]
    before, busy = (
        int(database.one("SELECT coalesce(sum(arrived), 0) FROM hostguard.hosts")),
        cpu(receiver.pid),
    )
    burst = (each + 1) * 3 // 4

    def send(part: slice) -> float:
        begun = time.monotonic()
        for client, messages in clients:
            client.post(messages[part])
        for client, messages in clients:
            client.confirm(len(messages[part]))
        return time.monotonic() - begun

    def arrived() -> int:
        return int(database.one("SELECT coalesce(sum(arrived), 0) FROM hostguard.hosts")) - before

    begun = time.monotonic()
    took = send(slice(0, burst))
    print(f"{'acknowledged and filed':40} {hosts * burst / took:,.0f} messages/s from {hosts:,} connections")
    wait(lambda: arrived() == hosts * (burst - 1), "all is in the database", 600)
    took = time.monotonic() - begun
    print(f"{'into the database, 4 workers':40} {hosts * burst / took:,.0f} messages/s")
    print(f"{'rsyslogd':40} {(cpu(receiver.pid) - busy) / hosts / burst * 1e6:,.0f} µs of CPU a message")
    database.stop()
    took = send(slice(burst, None))
    late = hosts * (each + 1 - burst)
    print(f"{'with the database stopped':40} {late / took:,.0f} messages/s acknowledged and filed")
    begun = time.monotonic()
    database.start()
    wait(lambda: arrived() == hosts * each, "all is in the database", 600)
    print(f"{'caught up':40} {late / (time.monotonic() - begun):,.0f} messages/s")
    lost = database.one(
        f"SELECT {total - hosts} - count(*) FROM hostguard.alerts "
        f"JOIN hostguard.hosts USING (host) WHERE {OURS}"
    )
    wrong = database.one(
        f"SELECT (SELECT count(*) FROM hostguard.gaps JOIN hostguard.hosts USING (host) WHERE {OURS}) + "
        f"(SELECT count(*) FROM hostguard.troubles JOIN hostguard.hosts USING (host) WHERE {OURS})"
    )
    beats = database.one(
        f"SELECT count(*) FROM hostguard.heartbeats JOIN hostguard.hosts USING (host) WHERE {OURS}"
    )
    row = database.one(
        "SELECT avg(pg_column_size(a.*)) FROM hostguard.alerts a "
        f"JOIN hostguard.hosts USING (host) WHERE {OURS}"
    )
    print(f"{'a row of theirs, without indexes':40} {float(row):,.0f} bytes")
    silent = hosts - beats
    print(f"{'lost':40} {lost} of {total - hosts:,} alerts; {silent} heartbeats; {wrong} gaps or troubles")
    begun = time.monotonic()
    rounds = 10
    for _ in range(rounds):
        for client, messages in clients:
            client.post(messages[:1])
        for client, _ in clients:
            client.confirm(1)
    took = time.monotonic() - begun
    print(f"{'heartbeats acknowledged and filed':40} {hosts * rounds / took:,.0f} messages/s")
    for client, _ in clients:
        client.close()
    return int(lost) + int(wrong) + hosts - int(beats)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.central", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--alerts", type=int, default=10_000_000, help="loaded beforehand")
    parser.add_argument("--loaded", type=int, default=1000, metavar="HOSTS", help="that they are of")
    parser.add_argument("--hosts", type=int, default=1000, help="that send")
    parser.add_argument("--each", type=int, default=40, help="alerts of each")
    asked = parser.parse_args()
    if lacking := missing():
        raise SystemExit(
            f"missing: {', '.join(lacking)}; `tools/system-packages central` says what to install"
        )
    if shutil.disk_usage(tempfile.gettempdir()).free < asked.alerts * 3000:
        raise SystemExit(f"{tempfile.gettempdir()} has no room for {asked.alerts:,} alerts")
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with central(tls=False, settings=SETTINGS) as (database, receiver):
        load(database, asked.alerts, asked.loaded)
        sizes(database)
        failed = simulate(database, receiver, asked.hosts, asked.each)
        slowest = views(database)
    if failed or slowest > 1000:
        print("FAILED: something is lost or wrong, or a view took more than a second")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
