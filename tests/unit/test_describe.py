"""Sentences say what a person needs, data holds everything, and a storm loses nobody."""
# ruff: noqa: E501 - a table of sentences is read across

from __future__ import annotations

import json
import stat
import struct
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd import attributes
from hostguardd.describe import PART_MEMBERS, Event, finding_alert, finding_json, group_alerts, sentence
from hostguardd.model import Alert, Fact, FileFact, Finding, Generation, Severity, Verdict, encode_xattrs
from hostguardd.record import GENESIS, render, unescape
from hostguardd.subjects import fact_json
from tests.alerts import (
    FILE,
    IDENTITY,
    LISTENER,
    NAMES,
    NOW,
    PROCESS,
    SECOND,
    SETID,
    Passwd,
    check,
    drift,
    files,
    finding,
)

CAP_NET_RAW = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, permissions, who)
    for tag, permissions, who in (
        (1, 6, 2**32 - 1),
        (2, 4, 1000),
        (4, 4, 2**32 - 1),
        (16, 4, 2**32 - 1),
        (32, 0, 0),
    )
)
LATER = NOW + 5 * SECOND
FOLDER = replace(FILE, name=b"cron.d", mode=stat.S_IFDIR | 0o755, sha256=None)
LINK = replace(
    FILE, name=b"localtime", mode=stat.S_IFLNK | 0o777, target=b"/usr/share/zoneinfo/UTC", sha256=None
)


def said(before: Fact | None, after: Fact | None) -> str:
    return sentence(drift(before, after), NAMES)


def line_of(alert: Alert) -> dict[str, Any]:
    return check(render(alert, IDENTITY, 1, GENESIS))


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (None, FILE, "New file /etc/passwd (0644 root:root, 1.2 kB, modified 2025-11-23 13:19:59 UTC)"),
        (None, replace(FILE, mode=stat.S_IFREG | 0o755, size=7, uid=7), "New executable file /etc/passwd (0755 7:root, 7 B, modified 2025-11-23 13:19:59 UTC)"),
        (None, replace(FILE, mode=stat.S_IFREG | 0o6755, gid=5), "New set-uid root set-gid tty program /etc/passwd (6755 root:tty, 1.2 kB, modified 2025-11-23 13:19:59 UTC)"),
        (None, LINK, "New symlink /etc/localtime → /usr/share/zoneinfo/UTC (0777 root:root, modified 2025-11-23 13:19:59 UTC)"),
        (FOLDER, None, "Gone: folder /etc/cron.d (0755 root:root, modified 2025-11-23 13:19:59 UTC)"),
        (FILE, replace(FILE, sha256=b"\x09" * 32, size=2500, mtime=LATER, ctime=LATER), "/etc/passwd changed: content, size 1.2 kB → 2.5 kB"),
        (FILE, replace(FILE, sha256=b"\x09" * 32, size=1236, mtime=LATER, ctime=LATER), "/etc/passwd changed: content, size 1234 B → 1236 B"),
        (FILE, replace(FILE, sha256=b"\x09" * 32, ctime=LATER), "/etc/passwd changed: content, although its mtime did not move"),
        (FILE, replace(FILE, ctime=LATER), "/etc/passwd changed: only its ctime moved, 2025-11-23 13:19:59 UTC → 2025-11-23 13:20:05 UTC: something was changed and put back"),
        (FILE, replace(FILE, mtime=LATER, ctime=LATER), "/etc/passwd changed: mtime 2025-11-23 13:19:59 UTC → 2025-11-23 13:20:05 UTC"),
        (FILE, replace(FILE, mode=stat.S_IFREG | 0o4755, ctime=LATER), "/etc/passwd changed: mode 0644 → 4755 (set-uid root)"),
        (FILE, replace(FILE, uid=1000, gid=5, inode=78, links=2), "/etc/passwd changed: owner root → alice, group root → tty, hard links 1 → 2, another inode in its place"),
        (FILE, replace(FILE, flags=0x80010), "/etc/passwd changed: chattr flags e → ie"),
        (FILE, replace(FILE, mode=stat.S_IFLNK | 0o777, target=b"/tmp/p", sha256=b"", size=6), "/etc/passwd changed: it was a file and is a symlink now, mode 0644 → 0777, target none → /tmp/p, size 1.2 kB → 6 B"),
        (LINK, replace(LINK, target=b"/x"), "/etc/localtime changed: target /usr/share/zoneinfo/UTC → /x"),
        (FOLDER, replace(FOLDER, device=44), "/etc/cron.d changed: something is mounted on it"),
        (FILE, replace(FILE, unstable=1), "/etc/passwd changed: it kept changing while it was read"),
        (FILE, replace(FILE, xattrs=encode_xattrs([(b"security.capability", CAP_NET_RAW)])), "/etc/passwd changed: capabilities none → cap_net_raw=ep"),
        (
            replace(FILE, xattrs=encode_xattrs([(b"security.selinux", b"etc_t\0"), (b"user.a", b"1")])),
            replace(FILE, xattrs=encode_xattrs([(b"security.selinux", b"tmp_t\0"), (b"user.a", b"1")])),
            "/etc/passwd changed: SELinux label etc_t → tmp_t",
        ),
        (FILE, replace(FILE, xattrs=encode_xattrs([(b"system.posix_acl_access", ACL)])), "/etc/passwd changed: ACL none → user::rw-,user:alice:r--,group::r--,mask::r--,other::---"),
        (None, SETID, "New set-uid root program: /tmp/.x (4755 root:root, 1.2 MB)"),
        (None, replace(SETID, mode=stat.S_IFREG | 0o755, caps=CAP_NET_RAW), "New program with cap_net_raw=ep: /tmp/.x (0755 root:root, 1.2 MB)"),
        (SETID, replace(SETID, sha256=b"\x08" * 32, ctime=LATER), "Privileged program /tmp/.x changed: content"),
        (SETID, replace(SETID, caps=CAP_NET_RAW), "Privileged program /tmp/.x changed: capabilities none → cap_net_raw=ep"),
        (SETID, None, "No longer there or no longer privileged: set-uid root program: /tmp/.x (4755 root:root, 1.2 MB)"),
        (None, LISTENER, "New listener tcp 0.0.0.0:4444: /tmp/nc (uid 1000 alice, pid 812)"),
        (None, replace(LISTENER, uid=None, pid=None, exe=None), "New listener tcp 0.0.0.0:4444: an unknown program (owner unknown)"),
        (None, replace(LISTENER, others=b"/usr/bin/a\0\0/tmp/b"), "New listener tcp 0.0.0.0:4444: /tmp/nc (uid 1000 alice, pid 812), shared with /usr/bin/a, /tmp/b"),
        (LISTENER, replace(LISTENER, exe=b"/tmp/x", uid=0, pid=9, sha256=b"\x08" * 32), "Listener tcp 0.0.0.0:4444 changed: /tmp/nc → /tmp/x (uid 0 root, pid 9), user alice → root"),
        (LISTENER, replace(LISTENER, sha256=b"\x08" * 32), "Listener tcp 0.0.0.0:4444 changed: /tmp/nc is another binary now (uid 1000 alice, pid 812)"),
        (LISTENER, replace(LISTENER, command=b"/tmp/nc\0-k"), "Listener tcp 0.0.0.0:4444 changed: command /tmp/nc -l → /tmp/nc -k"),
        (LISTENER, replace(LISTENER, others=b"/tmp/b"), "Listener tcp 0.0.0.0:4444 changed: shared with /tmp/b"),
        (LISTENER, replace(LISTENER, exe=b"/bin/py", command=b"py /a.py", others=b"/bin/py\0/b.py\0\0/tmp/b"), "Listener tcp 0.0.0.0:4444 changed: /tmp/nc → /bin/py (uid 1000 alice, pid 812), shared with /bin/py /b.py, /tmp/b (its own command: py /a.py), command /tmp/nc -l → py /a.py"),
        (LISTENER, replace(LISTENER, others=b"/tmp/nc\0uid 0"), "Listener tcp 0.0.0.0:4444 changed: shared with /tmp/nc uid 0 (its own command: /tmp/nc -l)"),
        (LISTENER, None, "No longer listening: listener tcp 0.0.0.0:4444: /tmp/nc (uid 1000 alice, pid 812)"),
        (None, PROCESS, "New service /usr/sbin/inetd (uid 0 root, pid 411, started by /usr/lib/systemd/systemd)"),
        (None, replace(PROCESS, exe=b"/tmp/x", comm=b"kworker/0:1", state="deleted"), "New service /tmp/x (uid 0 root, pid 411, started by /usr/lib/systemd/systemd); its file was deleted while it runs; it calls itself kworker/0:1 as if it were the kernel's"),
        (None, replace(PROCESS, exe=b"/memfd:x", comm=b"3", command=b"[kworker/0:1] 60", state="anonymous"), "New service /memfd:x (uid 0 root, pid 411, started by /usr/lib/systemd/systemd); it runs from memory, without a file; it calls itself [kworker/0:1] as if it were the kernel's"),
        (None, replace(PROCESS, comm=b"3", command=b"[kworker 0:1]"), "New service /usr/sbin/inetd (uid 0 root, pid 411, started by /usr/lib/systemd/systemd); it calls itself [kworker 0:1] as if it were the kernel's"),
        (PROCESS, replace(PROCESS, instances=3), "Service /usr/sbin/inetd changed: instances 1 → 3, uid 0 root, pid 411"),
        (PROCESS, replace(PROCESS, state="replaced", sha256=b"\x08" * 32), "Service /usr/sbin/inetd changed: its file was replaced while it runs, it runs another binary, uid 0 root, pid 411"),
        (PROCESS, replace(PROCESS, role="session", kernel=1), "Program of a session /usr/sbin/inetd changed: role service → program of a session, it is a kernel thread now, uid 0 root, pid 411"),
        (PROCESS, None, "No longer running: service /usr/sbin/inetd (uid 0 root, was started by /usr/lib/systemd/systemd)"),
    ],
)  # fmt: skip
def test_sentences(before: Fact | None, after: Fact | None, text: str) -> None:
    assert said(before, after) == text


SUBJECTS: tuple[Fact, ...] = (FILE, FOLDER, LINK, SETID, LISTENER, PROCESS)


@pytest.mark.parametrize("fact", SUBJECTS, ids=lambda fact: f"{fact.KIND}-{fact.label}")
@pytest.mark.parametrize("event", ["opened", "changed", "cleared", "accepted"])
@pytest.mark.parametrize("direction", ["added", "removed"])
def test_every_alert_fits_the_schema(fact: Fact, event: Event, direction: str) -> None:
    sides = (None, fact) if direction == "added" else (fact, None)
    record = line_of(finding_alert(finding(*sides), event, NOW, NAMES))
    told = event in ("opened", "changed")
    assert record["event"]["action"] == f"{fact.KIND}-{direction if told else event}"
    assert record["event"]["severity"] == (73 if told else 1)
    assert record["hostguard"]["finding_severity"] == "high"
    assert record["hostguard"]["state"] == event
    assert said(*sides) in record["message"]


def test_the_whole_fact_is_in_the_alert_on_both_sides() -> None:
    after = replace(FILE, size=99, mtime=FILE.mtime + 1)
    ours = line_of(finding_alert(finding(FILE, after), "opened", NOW, NAMES))["hostguard"]
    assert ours["changed"] == ["size", "mtime"]
    assert ours["before"] == fact_json(FILE, NAMES)
    assert ours["after"]["size"] == 99
    assert ours["before"]["mtime"] != ours["after"]["mtime"], "one nanosecond is a difference"


def test_ecs_fields_of_each_kind() -> None:
    record = line_of(finding_alert(finding(None, replace(FILE, inode=2**63)), "opened", NOW, NAMES))
    assert record["event"]["category"] == ["file"]
    assert record["event"]["type"] == ["creation"]
    assert record["file"]["path"] == "/etc/passwd"
    assert record["file"]["inode"] == str(2**63)
    assert record["file"]["hash"] == {"sha256": "01" * 32}
    assert "target_path" not in record["file"]
    record = line_of(finding_alert(finding(LISTENER, None), "opened", NOW, NAMES))
    assert record["event"]["category"] == ["network"]
    assert record["event"]["type"] == ["end"]
    assert record["server"] == {"address": "0.0.0.0:4444", "ip": "0.0.0.0", "port": 4444}
    assert record["network"] == {"transport": "tcp", "type": "ipv4"}
    assert record["process"]["command_line"] == "/tmp/nc -l"
    assert record["user"] == {"id": "1000", "name": "alice"}
    record = line_of(finding_alert(finding(None, PROCESS), "opened", NOW, NAMES))
    assert record["process"]["parent"] == {"pid": 1, "executable": "/usr/lib/systemd/systemd"}
    assert record["process"]["name"] == "inetd"


@pytest.mark.parametrize(
    ("proto", "endpoint", "server"),
    [
        ("tcp6", b"[::1]:80", {"address": "[::1]:80", "ip": "::1", "port": 80}),
        ("udp6", b"[fe80::1%eth0]:80", {"address": "[fe80::1%eth0]:80", "ip": "fe80::1", "port": 80}),
        ("udp", b"0.0.0.0:dynamic /usr/bin/dig", {"address": "0.0.0.0:dynamic /usr/bin/dig", "ip": "0.0.0.0", "port": 80}),
        ("unix", b"/run/\x1bx", {"address": r"/run/\x1bx", "port": 80}),
    ],
)  # fmt: skip
def test_listening_addresses(proto: str, endpoint: bytes, server: dict[str, Any]) -> None:
    fact = replace(LISTENER, proto=proto, endpoint=endpoint, port=80)
    assert line_of(finding_alert(finding(None, fact), "opened", NOW, NAMES))["server"] == server


def test_unknown_is_null_and_absent_is_empty() -> None:
    blank = replace(FILE, sha256=None, xattrs=None, flags=None, target=None)
    shown = fact_json(blank, NAMES)
    assert [shown[name] for name in ("sha256", "xattrs", "flags", "target")] == [None] * 4
    shown = fact_json(replace(FILE, sha256=b"", xattrs=b"", flags=0, target=b""), NAMES)
    assert [shown[name] for name in ("sha256", "xattrs", "flags", "target")] == ["", [], "", ""]
    shown = fact_json(replace(LISTENER, uid=None, exe=None, command=None, pid=None), NAMES)
    assert [shown[name] for name in ("uid", "user", "exe", "command", "pid")] == [None] * 5


def test_names_for_people_stand_beside_the_numbers() -> None:
    shown = fact_json(replace(FILE, mode=stat.S_IFREG | 0o2711, gid=5), NAMES)
    assert (shown["mode"], shown["permissions"]) == ("2711", "-rwx--s--x")
    assert (shown["uid"], shown["owner"], shown["gid"], shown["group"]) == (0, "root", 5, "tty")
    assert (shown["path"], shown["type"], shown["flags"]) == ("/etc/passwd", "file", "e")
    hostile = Passwd({0: "ro\x1bot"}, {})
    assert fact_json(FILE, hostile)["owner"] == r"ro\x1bot"
    assert fact_json(FILE, hostile)["group"] == "0"


def test_an_impossible_time_is_shown_but_is_no_ecs_date() -> None:
    record = line_of(finding_alert(finding(None, replace(FILE, mtime=10**22)), "opened", NOW, NAMES))
    assert "mtime" not in record["file"]
    assert record["hostguard"]["after"]["mtime"] == "@10000000000000.000000000"


@given(st.binary(min_size=1, max_size=255).filter(lambda name: b"/" not in name and b"\0" not in name))
def test_any_name_comes_through_and_no_sentence_carries_its_harm(name: bytes) -> None:
    fact = replace(FILE, name=name, target=name)
    record = line_of(finding_alert(finding(None, fact), "opened", NOW, NAMES))
    assert unescape(record["file"]["path"]) == b"/etc/" + name
    assert unescape(record["hostguard"]["after"]["target"]) == name
    assert "\n" not in record["message"]


def test_a_text_diff_goes_along_line_by_line() -> None:
    told = finding(FILE, replace(FILE, size=2), diff="-root:x\n+evil\x1b[2J\tx\n")
    assert line_of(finding_alert(told, "opened", NOW, NAMES))["hostguard"]["diff"] == [
        "-root:x",
        "+evil\\x1b[2J\tx",
    ]
    assert finding_json(told, NAMES)["diff"] == "-root:x\n+evil\\x1b[2J\tx"
    assert "diff" not in line_of(finding_alert(told, "cleared", NOW, NAMES))["hostguard"]


def test_acceptance_names_who_and_why() -> None:
    seven = Generation(7, NOW, "alice (uid 1000)", "new user bob", True, "", 1, 6)
    record = line_of(finding_alert(finding(FILE, replace(FILE, size=2)), "accepted", NOW, NAMES, seven))
    assert record["message"].startswith(
        "Accepted into generation 7 by alice (uid 1000): new user bob. It was: /etc/p"
    )
    assert record["hostguard"]["accepted"] == {
        "generation": 7, "actor": "alice (uid 1000)", "reason": "new user bob"
    }  # fmt: skip


def test_the_same_event_told_twice_has_the_same_id() -> None:
    def id_of(fact: Fact, event: Event = "opened") -> str:
        return finding_alert(finding(None, fact), event, NOW, NAMES).id

    assert id_of(PROCESS) == id_of(replace(PROCESS, pid=5, started=6)), "a pid has no say"
    assert id_of(PROCESS) != id_of(replace(PROCESS, instances=2))
    assert id_of(PROCESS) != id_of(PROCESS, "cleared")


def test_a_finding_as_json_is_what_the_control_socket_sends() -> None:
    shown = finding_json(finding(FILE, replace(FILE, uid=1000)), NAMES)
    assert json.loads(json.dumps(shown)) == shown
    assert shown["label"] == "/etc/passwd"
    assert shown["message"] == "/etc/passwd changed: owner root → alice"
    assert (shown["action"], shown["severity"], shown["generation"]) == ("changed", "high", 3)
    assert (shown["first_seen"], shown["changed"]) == ("2025-11-23T13:20:00.000000Z", ["uid"])


def members_of(alerts: list[Alert]) -> list[dict[str, Any]]:
    return [member for alert in alerts for member in line_of(alert)["hostguard"]["members"]]


def test_a_storm_is_one_group_that_names_everybody() -> None:
    storm = [*files(3 * PART_MEMBERS), finding(FILE, None, Severity.CRITICAL, "shadow")]
    alerts = group_alerts(storm, NOW, NAMES)
    assert len(alerts) == 4
    first, *others = (line_of(alert) for alert in alerts)
    assert first["message"] == (
        "1501 findings at once: 1500 files added, 1 file removed, mostly below /usr/lib/python3 (1500)"
        "; critical: file /etc/passwd removed (part 1 of 4)"
    )
    assert first["hostguard"]["severity"] == "critical", "as loud as the loudest in it"
    assert {other["hostguard"]["severity"] for other in others} == {"low"}
    assert first["hostguard"]["by_action"] == {"file-added": 1500, "file-removed": 1}
    assert first["hostguard"]["by_severity"] == {"critical": 1, "low": 1500}
    assert first["event"]["type"] == ["creation", "deletion"]
    assert len({alert.id for alert in alerts}) == 4
    assert {member["finding"] for member in members_of(alerts)} == {one.id for one in storm}


def test_a_group_carries_the_techniques_of_all_that_is_in_it() -> None:
    storm = files(3)
    for at, technique in enumerate(("T1053.003", "T1543.002 T1554", "T1554")):
        verdict = replace(storm[at].verdict, technique=technique, rule=f"rule-{at}")
        storm[at] = replace(storm[at], verdict=verdict)
    (alert,) = group_alerts(storm, NOW, NAMES)
    assert line_of(alert)["threat"]["technique"]["id"] == ["T1053.003", "T1543.002", "T1554"]
    assert [(member["rule"], member["technique"]) for member in members_of([alert])] == [
        ("rule-0", ["T1053.003"]),
        ("rule-1", ["T1543.002", "T1554"]),
        ("rule-2", ["T1554"]),
    ]
    assert "threat" not in line_of(group_alerts(storm, NOW, NAMES, "cleared")[0])


@given(
    st.lists(
        st.binary(min_size=1, max_size=200).filter(lambda name: b"/" not in name), max_size=40, unique=True
    )
)
def test_every_path_of_a_storm_is_recoverable(names: list[bytes]) -> None:
    storm: list[Finding] = [
        finding(None, replace(FILE, name=name), name=f"f{i}") for i, name in enumerate(names)
    ]
    found = [unescape(member["key"]) for member in members_of(group_alerts(storm, NOW, NAMES))]
    assert sorted(found) == sorted(b"/etc/" + name for name in names)


def test_parts_stay_small_even_when_names_are_long() -> None:
    storm = files(400, b"/" + b"\x01" * 4000)
    lines = [render(alert, IDENTITY, 1, GENESIS) for alert in group_alerts(storm, NOW, NAMES)]
    assert len(lines) > 10
    assert max(map(len, lines)) < 256 * 1024


def test_a_storm_does_not_depend_on_the_order_it_came_in() -> None:
    storm = files(30)
    assert group_alerts(storm, NOW, NAMES) == group_alerts(storm[::-1], NOW, NAMES)
    assert group_alerts([], NOW, NAMES) == []


def test_a_flood_buries_no_name_and_no_technique() -> None:
    loud = [
        replace(
            finding(None, replace(FILE, name=b"x%d" % n), Severity.HIGH, f"x{n}"),
            verdict=Verdict(f"r{n}", Severity.HIGH, f"T1543.002 T10{n:02}", "Look."),
        )
        for n in range(5)
    ]
    (alert,) = group_alerts([*files(300), *loud], NOW, NAMES)
    record = line_of(alert)
    assert record["message"].endswith(
        "; high: file /etc/x0 added, file /etc/x1 added, file /etc/x2 added and 2 more"
    )
    assert record["threat"]["technique"]["id"][:3] == ["T1543.002", "T1000", "T1001"]
    assert [one["technique"] for one in record["hostguard"]["members"]][4] == ["T1543.002", "T1004"]
    (ended,) = group_alerts([*files(300), *loud], NOW, NAMES, "cleared")
    assert "high" not in ended.message


def test_a_storm_that_clears_is_good_news() -> None:
    record = line_of(group_alerts([*files(2), finding(None, LISTENER)], NOW, NAMES, "cleared")[0])
    assert record["message"].startswith("3 findings at once: 2 files cleared, 1 listener cleared")
    assert record["event"]["severity"] == 1
    assert record["event"]["category"] == ["file", "network"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (CAP_NET_RAW, "cap_net_raw=ep"),
        (struct.pack("<IIIII", 0x02000000, 1 << 21, 1 << 21, 0, 0), "cap_sys_admin=ip"),
        (struct.pack("<IIIII", 0x02000001, 1, 0, 1 << 7, 0), "cap_chown,cap_bpf=ep"),
        (struct.pack("<IIIII", 0x02000001, 0, 0, 1 << 31, 0), "cap_63=ep"),
        (struct.pack("<IIIIII", 0x03000000, 1, 0, 0, 0, 1000), "cap_chown=p [rootid=1000]"),
        (struct.pack("<III", 0x01000001, 1, 0), "cap_chown=ep"),
        (struct.pack("<IIIII", 0x02000000, 0, 0, 0, 0), "="),
        (b"\x01\x02", "0x0102"),
        (struct.pack("<II", 0x09000000, 1), "0x0000000901000000"),
    ],
)
def test_capabilities(value: bytes, text: str) -> None:
    assert attributes.capabilities(value) == text


def test_what_is_not_understood_is_hexadecimal() -> None:
    assert attributes.acl(b"\x03\0\0\0", NAMES) == "0x03000000"
    assert attributes.acl(struct.pack("<IHHI", 2, 0x40, 7, 0), NAMES).startswith("0x")
    assert attributes.xattr(b"user.x", b"\x00\x01", NAMES) == "0x0001"
    assert attributes.flags(0x80000000 | 0x30) == "ia+0x80000000"
    long = attributes.xattr(b"security.ima", b"\x01" * 500, NAMES)
    assert long != attributes.xattr(b"security.ima", b"\x01" * 499 + b"\x02", NAMES)


@given(st.binary(max_size=80))
def test_any_attribute_value_is_shown_somehow(value: bytes) -> None:
    for name in (b"security.capability", b"system.posix_acl_access", b"user.x"):
        assert isinstance(attributes.xattr(name, value, NAMES), str)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (9949, "9.9 kB"), (9950, "10 kB"), (999_499, "999 kB"), (999_500, "1.0 MB"), (2**62, "4.6 EB")],
)  # fmt: skip
def test_sizes(count: int, text: str) -> None:
    assert attributes.size(count) == text


def test_a_fact_with_every_difference_has_a_word_for_each() -> None:
    """No compared field of a file changes in silence."""
    skipped = {"folder", "name", "mtime", "ctime"}
    other: dict[str, Any] = {
        "mode": stat.S_IFREG | 0o600, "uid": 1000, "gid": 5, "size": 1, "inode": 1, "links": 3, "device": 9,
        "target": b"/x", "sha256": b"\x07" * 32, "xattrs": encode_xattrs([(b"user.a", b"b")]), "flags": 0,
        "unstable": 1,
    }  # fmt: skip
    assert set(FileFact.columns()) == skipped | set(other)
    for name, value in other.items():
        assert not said(FILE, replace(FILE, **{name: value})).endswith(f"changed: {name}"), name
