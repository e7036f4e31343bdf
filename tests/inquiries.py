"""Inquiries made by hand: of a healthy host, of one that was broken into, and of one full of hostile
names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

import hostguardd
from hostguardd.investigate.about import About
from hostguardd.investigate.inquiry import Check, Inquiry
from hostguardd.investigate.interface import (
    MOMENTS,
    Confidence,
    Evidence,
    Found,
    Item,
    Known,
    Moment,
    Result,
    Unseen,
    Verdict,
    text,
)
from hostguardd.investigate.report import build
from hostguardd.investigate.scene import SUDO, Options, Scene
from hostguardd.model import Generation

NOW = 1_763_904_000.0  # 2025-11-23 13:20:00 UTC
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0

GENERATION = Generation(
    7,
    int((NOW - 9 * DAY) * 1e9),
    "alice (uid 1000) by sudo, pid 4711",
    "updates of November",
    True,
    "5f" * 32,
    141_233,
    6,
)


def _nothing(scene: Scene) -> Iterator[Found]:
    return iter(())


CHECKS = tuple(
    Check(name, title, guide, about, _nothing)
    for name, title, guide, about in (
        (
            "sessions",
            "Who is logged in",
            "w; who -H",
            "Accounts, origins, idle times; records wiped while people work",
        ),
        (
            "logins",
            "Login history",
            "last",
            "Unknown origins and hours; a wtmp that was wiped, cut or edited",
        ),
        (
            "listeners",
            "Open ports",
            "netstat -an; ss -lntup",
            "What waits for connections, and which program does",
        ),
        (
            "connections",
            "Connections",
            "netstat -an; ss -tunp",
            "Who talks to this host, and to whom it talks",
        ),
        (
            "processes",
            "Process tree",
            "ps -axf",
            "Programs from odd places, deleted programs, several super-servers",
        ),
        (
            "settings",
            "Settings",
            "ls -l, more",
            "Odd times and unknown entries in what decides who may do what",
        ),
        ("folders", "Start-up folders", "ls -l", "Odd times and unknown files in what is run by itself"),
        (
            "histories",
            "Shell histories",
            "history; more ~/.bash_history",
            "Commands nobody remembers; histories wiped",
        ),
        ("reboots", "Reboots", "dmesg; last reboot", "Reboots at unknown dates"),
        ("garbled", "Garbled log lines", "more /var/log/messages", "Traces of attacks on services"),
        ("refusals", "Refused logins and switches", "grep Failed", "Attempts, and those that went well"),
        (
            "accounts",
            "Accounts",
            "more /etc/passwd",
            "Who may log in, who is root, and whose keys open the door",
        ),
        ("rootkit", "Root-kit signs", "chkrootkit", "Hidden processes, modules, preloads, altered tools"),
        ("packages", "Packages", "rpm -Va", "Every packaged file against its package"),
        (
            "hidden",
            "Hidden things",
            "nmap from elsewhere; find -name '..*'",
            "What one view shows and another does not",
        ),
        ("setid", "Set-id programs", "find -user root -perm -4000", "A root shell left behind"),
        ("recent", "Recent changes", "find -mtime -7", "What happened since the break-in"),
    )
)


def about(**changes: Any) -> About:
    """A host like many, looked at by root."""
    facts: dict[str, Any] = {
        "version": "0.1.0",
        "hostname": "web1.example.org",
        "host_id": "0123456789abcdef0123456789abcdef",
        "boot_id": "11111111-2222-3333-4444-555555555555",
        "system": "Red Hat Enterprise Linux 9.6 (Plow)",
        "kernel": "Linux 5.14.0-570.el9.x86_64",
        "architecture": "x86_64",
        "root_folder": "/",
        "by": "root (uid 0), by sudo of alice",
        "root": True,
        "zone": 9 * 3600,
        "options": Options(),
        "generation": GENERATION,
        "baseline": "",
        "manager": "rpm",
        "packages_problem": "",
        "level": "signed",
    }
    return About(**(facts | changes))


def fine(name: str, says: str, *, parent: str = "", **details: object) -> Item:
    """Nothing to see here."""
    return Item(name, Verdict.FINE, says, known=Known.KNOWN, details=details, parent=parent)


SERVICES = (
    ("sshd", 812, "root", "/usr/sbin/sshd", "tcp", 22),
    ("nginx", 1044, "root", "/usr/sbin/nginx", "tcp", 443),
    ("postgres", 990, "postgres", "/usr/bin/postgres", "tcp", 5432),
    ("chronyd", 640, "chrony", "/usr/sbin/chronyd", "udp", 323),
)


def _healthy() -> dict[str, list[Item]]:
    processes = [
        fine("pid 1 /usr/lib/systemd/systemd", "systemd (pid 1) of root", user="root", began="80 d ago")
    ]
    top = processes[0].name
    for name, pid, user, exe, _, _ in SERVICES:
        processes.append(
            fine(
                f"pid {pid} {exe}",
                f"{name} (pid {pid}) of {user}",
                parent=top,
                user=user,
                unit=f"{name}.service",
            )
        )
    processes += [
        fine(
            "pid 2210 /usr/sbin/sshd",
            "sshd (pid 2210) of root: alice [priv]",
            parent="pid 812 /usr/sbin/sshd",
            user="root",
        ),
        fine(
            "pid 2212 /usr/bin/bash",
            "bash (pid 2212) of alice",
            parent="pid 2210 /usr/sbin/sshd",
            user="alice",
        ),
        fine(
            "pid 2300 /usr/bin/python3.12",
            "hostguardctl investigate (pid 2300)",
            parent="pid 2212 /usr/bin/bash",
            user="root",
        ),
        *(
            fine(
                f"pid {1045 + n} /usr/sbin/nginx",
                f"nginx worker (pid {1045 + n})",
                parent="pid 1044 /usr/sbin/nginx",
                user="nginx",
            )
            for n in range(4)
        ),
    ]
    return {
        "sessions": [
            fine(
                "alice pts/0",
                "alice is logged in at pts/0 from 192.0.2.27 since 22:02",
                user="alice",
                line="pts/0",
                origin="192.0.2.27",
                idle="0 s",
                doing="bash",
                ask=["Are you logged in from 192.0.2.27 since 22:02?"],
            ),
        ],
        "logins": [
            fine(
                f"alice pts/0 2025-11-{20 + n}",
                f"alice from 192.0.2.27, {n + 1} h",
                user="alice",
                origin="192.0.2.27",
            )
            for n in range(3)
        ],
        "listeners": [
            fine(
                f"{proto} 0.0.0.0:{port}",
                f"{exe} of {user} waits at {proto} port {port}",
                proto=proto,
                port=port,
                program=exe,
                user=user,
                pid=pid,
            )
            for _, pid, user, exe, proto, port in SERVICES
        ],
        "connections": [
            fine(
                "tcp 198.51.100.4:22 192.0.2.27:62146",
                "192.0.2.27 is connected to sshd",
                peer="192.0.2.27:62146",
                local="198.51.100.4:22",
                program="/usr/sbin/sshd",
                user="root",
                state="established",
            ),
        ],
        "processes": processes,
        "settings": [
            fine(path, f"{path}, last changed 9 days ago")
            for path in ("/etc/passwd", "/etc/crontab", "/etc/rc.d/rc.local")
        ],
        "folders": [fine("/etc/cron.d/0hourly", "/etc/cron.d/0hourly, owned by cronie")],
        "histories": [fine("/home/alice/.bash_history", "412 commands of alice")],
        "reboots": [fine("2025-09-04 03:10", "started by a planned reboot")],
        "garbled": [],
        "refusals": [
            fine(
                "203.0.113.9", "12 refusals for 4 names, none of which exists", origin="203.0.113.9", times=12
            )
        ],
        "accounts": [
            fine("root", "root, uid 0, may not log in by password", uid=0),
            fine(
                "alice",
                "alice, uid 1000, sudo by group wheel",
                uid=1000,
                shell="/bin/bash",
                ask=["Which of the two keys in your authorized_keys do you still use?"],
            ),
        ],
        "rootkit": [],
        "packages": [
            fine("packaged files", "98,310 of 98,312 packaged paths match (rpm, by signed digests)")
        ],
        "hidden": [],
        "setid": [
            fine(path, f"{path}, set-uid root, owned by its package")
            for path in ("/usr/bin/su", "/usr/bin/sudo", "/usr/bin/passwd")
        ],
        "recent": [
            fine(f"/var/lib/app/data-{n:03d}", f"changed {n} hours ago", size=n * 1000) for n in range(30)
        ],
    }


def _daily() -> list[Moment]:
    """The life of a healthy host."""
    found = [
        Moment(
            NOW - day * DAY - 3 * HOUR,
            "login",
            "alice logged in from 192.0.2.27",
            "wtmp",
            Confidence.LIKELY,
            who="alice",
            until=NOW - day * DAY - HOUR,
        )
        for day in range(7)
    ]
    found += [
        Moment(
            NOW - n * 3.1 * HOUR,
            "refusal",
            f"bob refused from 203.0.113.{n}",
            "/var/log/secure",
            Confidence.LIKELY,
        )
        for n in range(40)
    ]
    found.append(Moment(NOW - 80 * DAY, "reboot", "the host was started", "wtmp", Confidence.LIKELY))
    found += [
        Moment(NOW - 9 * DAY, "package", f"{name} was upgraded", "/var/log/dnf.rpm.log", Confidence.LIKELY)
        for name in ("openssl-libs", "kernel", "sudo")
    ]
    return sorted(found, key=lambda one: one.at)


BREAK_IN = NOW - 26.3 * HOUR


def _bad() -> dict[str, list[Item]]:
    found = _healthy()
    shell = "pid 31337 /tmp/.X11-unix/.../kworker"
    found["sessions"].insert(
        0,
        Item(
            "backup pts/3",
            Verdict.SUSPICIOUS,
            "backup is logged in at pts/3 from 203.0.113.66, an account that has never logged in before",
            "A service account has no reason to log in; an intruder takes one that nobody watches.",
            "Write down the address and the time, and ask who is responsible for backup whether it was them.",
            Known.NEW,
            "T1078.003",
            {
                "user": "backup",
                "line": "pts/3",
                "origin": "203.0.113.66",
                "idle": "4 min",
                "doing": "-bash",
                "ask": ["Did you log in from 203.0.113.66 on 22 November at 20:02?"],
            },
            (Evidence("/run/utmp", "backup pts/3 203.0.113.66 2025-11-22 20:02"), Evidence("who -H")),
        ),
    )
    found["listeners"].insert(
        0,
        Item(
            "tcp 0.0.0.0:31337",
            Verdict.SUSPICIOUS,
            "/tmp/.X11-unix/.../kworker of root waits at tcp port 31337, and its file is deleted",
            "A back door lets an intruder in without a login.",
            "Write down the port and who is connected. Do not end the process: save the evidence.",
            Known.NEW,
            "T1571",
            {
                "proto": "tcp",
                "port": 31337,
                "program": "/tmp/.X11-unix/.../kworker",
                "user": "root",
                "pid": 31337,
            },
            (Evidence("ss -lntp", '0.0.0.0:31337 users:(("kworker/0:1",pid=31337,fd=4))'),),
        ),
    )
    found["connections"].insert(
        0,
        Item(
            "tcp 198.51.100.4:31337 203.0.113.66:51022",
            Verdict.SUSPICIOUS,
            "203.0.113.66 is connected to /tmp/.X11-unix/.../kworker, a program that is deleted",
            "Whoever holds this connection is in the host now.",
            "Write down address, port and time; they are gone when the connection is.",
            Known.NOT_ASKED,
            "T1219",
            {
                "peer": "203.0.113.66:51022",
                "local": "198.51.100.4:31337",
                "program": "/tmp/.X11-unix/.../kworker",
                "user": "root",
                "state": "established",
            },
            (Evidence("ss -tnp", "ESTAB 198.51.100.4:31337 203.0.113.66:51022"),),
        ),
    )
    found["processes"] += [
        Item(
            shell,
            Verdict.SUSPICIOUS,
            "kworker/0:1 (pid 31337) of root runs from a deleted file, and looks like a kernel thread",
            "Programs are deleted while they run so that nobody finds them; the name is borrowed.",
            "Save it before anything else: the bundle has its image.",
            Known.NEW,
            "T1036.004",
            {"user": "root", "began": "2025-11-22 20:09"},
            (Evidence("/proc/31337/exe", "/tmp/.X11-unix/.../kworker (deleted)"), Evidence("ps -axf")),
            parent="pid 1 /usr/lib/systemd/systemd",
        ),
        fine("pid 31402 /usr/bin/bash", "bash (pid 31402) of root", parent=shell, user="root"),
    ]
    found["settings"].insert(
        0,
        Item(
            "/etc/crontab",
            Verdict.SUSPICIOUS,
            "/etc/crontab runs /tmp/.X11-unix/.../kworker as root every 10 minutes",
            "It brings the back door back after it was ended.",
            "Leave it as it is until the evidence is saved; then look for the same line in every crontab.",
            Known.CHANGED,
            "T1053.003",
            {"changed": "2025-11-22 20:11", "package": "crontabs"},
            (Evidence("/etc/crontab:17", "*/10 * * * * root /tmp/.X11-unix/.../kworker"),),
        ),
    )
    found["histories"].insert(
        0,
        Item(
            "/root/.bash_history",
            Verdict.SUSPICIOUS,
            "/root/.bash_history is a link to /dev/null",
            "Nothing that root does is written down.",
            "Save the other histories; ask the administrators.",
            Known.CHANGED,
            "T1070.003",
            {},
            (Evidence("ls -l /root/.bash_history", "-> /dev/null"),),
        ),
    )
    found["accounts"].insert(
        0,
        Item(
            "backup",
            Verdict.SUSPICIOUS,
            "backup has uid 0, as root has, and a shell",
            "A second root under a name nobody looks at.",
            "Ask who made it; do not remove it before the evidence is saved.",
            Known.CHANGED,
            "T1136.001",
            {
                "uid": 0,
                "shell": "/bin/bash",
                "ask": [
                    "Was it you who gave backup the uid 0 on 22 November at 20:04?",
                    "Whose is the key ending in …Zx9Q?",
                ],
            },
            (Evidence("/etc/passwd:31", "backup:x:0:0::/var/backup:/bin/bash"),),
        ),
    )
    found["packages"] += [
        Item(
            "/usr/bin/ss",
            Verdict.SUSPICIOUS,
            "/usr/bin/ss is not as packaged: content, size, mtime",
            "What shows the ports is replaced by what leaves one out.",
            "Believe no program of this host; look from elsewhere.",
            Known.CHANGED,
            "T1554",
            {"package": "iproute", "changed": ["content", "size", "mtime"]},
            (Evidence("rpm -V iproute", "S.5....T. /usr/bin/ss"),),
        ),
        Item(
            "/etc/chrony.conf",
            Verdict.NOTABLE,
            "/etc/chrony.conf, a configuration file, was edited",
            "Administrators edit such files; so do intruders.",
            "Read what differs, and ask who did it.",
            Known.KNOWN,
            "",
            {"package": "chrony", "changed": ["content", "size"]},
            (Evidence("rpm -V chrony", "S.5....T. c /etc/chrony.conf"),),
        ),
    ]
    found["hidden"].append(
        Item(
            "/tmp/.X11-unix/...",
            Verdict.SUSPICIOUS,
            "/tmp/.X11-unix/...: a hidden folder where none belongs",
            "Root kits and intruders hide what they run and keep; nothing else has a reason to.",
            "Save it as evidence before anything else.",
            Known.NEW,
            "T1564.001",
            {"sign": "hidden-folder"},
            (Evidence("find /tmp -name '..*'", "/tmp/.X11-unix/..."),),
        )
    )
    found["setid"].insert(
        0,
        Item(
            "/var/tmp/.sh",
            Verdict.SUSPICIOUS,
            "/var/tmp/.sh, set-uid root, is owned by no package and has bash's content",
            "Whoever runs it is root.",
            "Save it; then see who ran it.",
            Known.NEW,
            "T1548.001",
            {"mode": "4755", "size": 1_446_024},
            (Evidence("find / -user root -perm -4000", "/var/tmp/.sh"),),
        ),
    )
    found["reboots"].append(
        Item(
            "2025-11-16 04:40",
            Verdict.NOTABLE,
            "a reboot at 04:40 that nobody announced in the log",
            "What is planted may need a reboot to begin.",
            "Ask the administrators whether they did it.",
            Known.NOT_ASKED,
            "",
            {},
            (Evidence("last -x reboot"),),
        )
    )
    return found


def _break_in() -> list[Moment]:
    at, sure, likely, forged = BREAK_IN, Confidence.SURE, Confidence.LIKELY, Confidence.FORGEABLE
    bad, odd = Verdict.SUSPICIOUS, Verdict.NOTABLE
    return sorted(
        [
            *_daily(),
            *(
                Moment(
                    at - HOUR + n * 9,
                    "refusal",
                    "backup refused from 203.0.113.66",
                    "/var/log/secure",
                    likely,
                    odd,
                    "backup",
                )
                for n in range(300)
            ),
            Moment(
                at,
                "login",
                "backup let in from 203.0.113.66",
                "/var/log/secure:8812",
                likely,
                bad,
                "backup",
                NOW - 4 * MINUTE,
            ),
            Moment(at + 2 * MINUTE, "account", "backup was given uid 0", "alerts.jsonl:991", sure, bad),
            Moment(
                at + 5 * MINUTE,
                "switch",
                "backup became root by su",
                "/var/log/secure:8830",
                likely,
                bad,
                "backup",
            ),
            Moment(at + 7 * MINUTE, "file", "/tmp/.X11-unix/... was made", "ctime", likely, bad),
            Moment(
                at + 7 * MINUTE,
                "process",
                "kworker/0:1 (pid 31337) was started",
                "/proc/31337/stat",
                sure,
                bad,
            ),
            Moment(at + 8 * MINUTE, "listener", "tcp port 31337 was opened", "alerts.jsonl:994", sure, bad),
            Moment(at + 9 * MINUTE, "file", "/etc/crontab was changed", "mtime", forged, bad),
            Moment(
                at + 12 * MINUTE,
                "history",
                "/root/.bash_history became a link to /dev/null",
                "ctime",
                likely,
                bad,
            ),
            Moment(at + 20 * MINUTE, "file", "/usr/bin/ss was replaced", "ctime", likely, bad),
            Moment(
                at + 21 * MINUTE,
                "alert",
                "critical: /usr/bin/ss differs from its package",
                "alerts.jsonl:997",
                sure,
                odd,
            ),
            Moment(NOW - 7.4 * DAY, "reboot", "the host was started", "wtmp", likely, odd),
            Moment(
                NOW - 20 * MINUTE,
                "log",
                "a hole of 14 minutes in /var/log/secure",
                "/var/log/secure:9100",
                likely,
                bad,
            ),
        ],
        key=lambda one: one.at,
    )


def inquiry(
    items: Mapping[str, Sequence[Item]],
    moments: Iterable[Moment] = (),
    unseen: Mapping[str, Sequence[Unseen]] | None = None,
    more: Mapping[str, int] | None = None,
) -> Inquiry:
    """An Inquiry as `inquire` would make it."""
    results = []
    for number, check in enumerate(CHECKS):
        found = sorted(items.get(check.name, ()), key=lambda one: -one.verdict)
        blind = tuple((unseen or {}).get(check.name, ()))
        counts = {verdict: sum(one.verdict is verdict for one in found) for verdict in Verdict}
        lost = (more or {}).get(check.name, 0)
        counts[Verdict.FINE] += lost
        verdict = max((one.verdict for one in found), default=Verdict.FINE)
        if blind:
            verdict = max(verdict, Verdict.UNSEEN)
        results.append(Result(check.name, verdict, tuple(found), blind, counts, lost, 0.07 * number))
    return Inquiry(NOW - 8.4, NOW, tuple(results), tuple(moments))


def clean() -> dict[str, Any]:
    """The report of a healthy host."""
    return build(inquiry(_healthy(), _daily()), about(), CHECKS)


def broken_into() -> dict[str, Any]:
    """The report of a host with an intruder in it."""
    unseen = {
        "connections": [
            Unseen("network namespace net:[4026532201]", "its sockets are shown to nobody outside of it")
        ],
        "garbled": [
            Unseen("/var/log/messages-20251109.xz", "it is packed in a way that cannot be read here")
        ],
    }
    return build(inquiry(_bad(), _break_in(), unseen, {"recent": 1812}), about(), CHECKS)


def unprivileged() -> dict[str, Any]:
    """The report of a healthy host, looked at by someone who may not see it all, without a baseline."""
    unseen = {
        "logins": [Unseen("/var/log/btmp", "Permission denied", SUDO)],
        "processes": [Unseen("142 processes of other users", "what they run is shown to root alone", SUDO)],
        "accounts": [Unseen("/etc/shadow", "Permission denied", SUDO)],
    }
    who = about(
        by="alice (uid 1000)",
        root=False,
        generation=None,
        baseline="this host has no baseline",
        options=Options(packages=False),
    )
    return build(inquiry(_healthy(), _daily(), unseen), who, CHECKS)


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style><script>x</script>",
    "</title><svg onload=alert(1)>",
    "javascript:alert(1)",
    "{{ 7*7 }}{% raw %}",
    "\u202eevil\u2066",
    "nul\0nul",
    "\x1b[2Jgone",
    "&lt;&amp;&#0;",
    "<!--",
    "]]>",
    "https://evil.example/x.png",
    "\u05d0\u05d1\u05d2 abc",
    "line\nbreak\r",
    "a" * 5000,
    "../../etc/passwd",
    "\ud800",
    "style=background:url(//evil.example)",
)
"""Names that somebody might give a file or an account, to be looked at by us."""


def hostile(names: Sequence[str] = HOSTILE, *, escaped: bool = True) -> dict[str, Any]:
    """A report in which every string of the host is a name of those; as a check would have escaped it, or
    raw."""
    say = (lambda one: text(one.encode("utf-8", "surrogatepass"))) if escaped else (lambda one: one)
    words = [say(one) for one in names]
    items = {
        check.name: [
            Item(
                word,
                verdict,
                word,
                word,
                word,
                Known.NEW,
                word,
                {word: word, "ask": [word], "user": word, "list": [word, 3, True], "n": float("nan")},
                (Evidence(word, word),),
                words[n - 1],
            )
            for n, word in enumerate(words)
        ]
        for check, verdict in zip(
            CHECKS, [Verdict.SUSPICIOUS, Verdict.NOTABLE, Verdict.FINE] * 9, strict=False
        )
    }
    moments = [
        Moment(at, MOMENTS[n % len(MOMENTS)], word, word, Confidence(n % 3), Verdict(n % 4), word, at + 100)
        for n, word in enumerate(words)
        for at in (NOW - n * 1000, float("inf"), float("nan"), -1e30, 1e30)
    ]
    unseen = {"logins": [Unseen(word, word, word) for word in words]}
    facts = dict.fromkeys(
        ("hostname", "host_id", "system", "kernel", "by", "baseline", "packages_problem"), words[0]
    )
    return build(inquiry(items, moments, unseen), about(**facts), CHECKS)


@cache
def schema() -> Draft202012Validator:
    """The published schema of a report."""
    path = Path(hostguardd.__file__).parent / "schema/inquiry.schema.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(found)
    return Draft202012Validator(found)
