"""Who was refused and who got in after all; the sums are held against what awk counts in real logs."""

from __future__ import annotations

import calendar
import gzip
import lzma
import os
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from hostguardd.investigate.checks import refusals
from hostguardd.investigate.interface import Verdict
from hostguardd.investigate.logs.ledger import Source, together
from hostguardd.investigate.logs.logfiles import reading
from hostguardd.investigate.scene import Options
from hostguardd.loglines import Entry, Line
from tests.scenes import Findings, looked, scene

NOW = calendar.timegm((2026, 3, 10, 12, 0, 0))
SAMPLES = Path(os.environ.get("HOSTGUARD_CACHE", "/var/cache/hostguardd-tests"), "log-samples")
A, B = "203.0.113.9", "198.51.100.7"


@pytest.fixture(autouse=True)
def _greenwich(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


class Host:
    """A host whose logs a test writes. `ago` is in seconds before NOW."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "var/log").mkdir(parents=True)
        (root / "etc").mkdir()
        (root / "etc/passwd").write_text(
            "root:x:0:0::/root:/bin/bash\nalice:x:1000:1000::/home/alice:/bin/bash\n"
        )
        self.lines: list[str] = []
        self.pid = 100

    def log(self, text: str, ago: int = 3600, program: str = "sshd") -> None:
        stamp = time.strftime("%b %e %H:%M:%S", time.gmtime(NOW - ago))
        self.lines.append(f"{stamp} web1 {program}[{self.pid}]: {text}")

    def fail(self, user: str = "root", source: str = A, ago: int = 3600, times: int = 1) -> None:
        for _ in range(times):
            self.pid += 1
            self.log(
                "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= "
                f"rhost=host-9.example.net  user={user}",
                ago,
            )
            self.log(f"Failed password for {user} from {source} port 4242 ssh2", ago)

    def look(self, name: str = "auth.log") -> Findings:
        path = self.root / "var/log" / name
        path.write_text("\n".join(self.lines) + "\n")
        return looked(refusals.look, scene(os.fsencode(self.root), now=NOW))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def total(found: Findings) -> dict[str, object]:
    return dict(found.named("refused logins").details)


def test_a_quiet_log_accuses_nobody(host: Host) -> None:
    host.log(f"Accepted publickey for alice from {A} port 1 ssh2: ED25519 SHA256:x")
    host.fail("alice", times=2)
    host.log(f"Accepted password for alice from {A} port 1 ssh2", 3000)
    found = host.look()
    assert not found.suspicious
    assert not found.of(Verdict.NOTABLE)
    assert total(found)["refusals"] == 2


def test_attempts_are_counted_once_though_pam_and_sshd_tell_of_them(host: Host) -> None:
    host.fail("root", A, times=7)
    host.fail("oracle", A, times=3)
    host.fail("alice", B)
    found = host.look()
    assert {key: total(found)[key] for key in ("refusals", "sources", "accounts", "root")} == {
        "refusals": 11, "sources": 2, "accounts": 3, "root": 7,
    }  # fmt: skip
    item = found.named(f"from {A}")
    assert item.verdict is Verdict.NOTABLE
    assert item.details["refusals"] == 10
    assert item.details["accounts tried"] == ["root: 7", "oracle: 3"]
    assert item.means
    assert item.next
    (evidence,) = item.evidence
    assert evidence.source == "/var/log/auth.log:20"
    assert found.named(f"from {B}").verdict is Verdict.FINE


def test_of_a_thousand_sources_the_worst_are_to_be_looked_at(host: Host) -> None:
    for number in range(300):
        host.fail("admin", f"198.51.{number // 200}.{number % 200}", times=6 + (number < 5))
    found = host.look()
    assert len(found.of(Verdict.NOTABLE)) == refusals.WORST
    assert {f"from 198.51.0.{n}" for n in range(5)} <= {item.name for item in found.of(Verdict.NOTABLE)}
    assert (total(found)["sources"], total(found)["refusals"]) == (300, 1805)


def test_a_repeated_message_counts_as_often_as_it_says(host: Host) -> None:
    host.log(f"message repeated 5 times: [ Failed password for root from {A} port 42393 ssh2]")
    assert total(host.look())["refusals"] == 5


def test_a_guessed_password_is_suspicious(host: Host) -> None:
    host.fail("alice", times=40, ago=7200)
    host.log(f"Accepted password for alice from {A} port 1 ssh2", 7000)
    (item,) = host.look().of(Verdict.SUSPICIOUS)
    assert item.name.startswith(f"alice from {A}, sshd")
    assert (item.details["refusals"], item.details["of this account"]) == (40, 40)
    assert (
        item.says == f"alice logged in from {A} by sshd after 40 refusals in a row there, 40 of this account"
    )
    assert item.technique == "T1110"
    assert item.evidence[0].source == "/var/log/auth.log:81"


def test_a_key_is_not_guessed(host: Host) -> None:
    host.fail("alice", times=40, ago=7200)
    host.log(f"Accepted publickey for alice from {A} port 1 ssh2: ED25519 SHA256:x", 7000)
    assert not host.look().suspicious


def test_mistyping_each_day_never_adds_up(host: Host) -> None:
    for day in range(6, 0, -1):
        host.fail("alice", times=2, ago=day * 86400)
        host.log(f"Accepted password for alice from {A} port 1 ssh2", day * 86400 - 60)
    assert not host.look().suspicious


def test_a_sprayed_password_is_suspicious_once_many_were_tried(host: Host) -> None:
    for number in range(6):
        host.fail(f"user{number}", B, ago=7000)
    host.log(f"Accepted password for alice from {B} port 1 ssh2", 6900)
    for number in range(30):
        host.fail(f"user{number}", A, ago=6800)
    host.log(f"Accepted password for alice from {A} port 1 ssh2", 6000)
    found = host.look()
    assert [name.split(",")[0] for name in found.suspicious] == [f"alice from {A}"]


def test_a_user_made_to_look_like_a_line_is_only_a_user(host: Host) -> None:
    host.fail("root from 192.0.2.1 port 1 ssh2", A)
    host.fail("x\x1b[2J\x07", A)
    found = host.look()
    assert total(found)["sources"] == 1
    assert all("\x1b" not in f"{item.says}{item.details}{item.evidence}" for item in found.items)


def test_what_may_be_a_password_is_not_told(host: Host) -> None:
    host.fail("Tr0ub4dor&3", A, times=1)
    host.fail("admin", A, times=6)
    found = host.look()
    assert total(found)["accounts"] == 2
    assert "Tr0ub4dor" not in repr(found.items)
    assert "Tr0ub4dor" not in repr(found.moments)


def test_a_session_that_tries_everything_is_counted_and_takes_no_time(host: Host) -> None:
    for number in range(5000):
        host.log(f"Failed password for u{number} from {A} port 1 ssh2")
    began = time.monotonic()
    assert total(host.look())["refusals"] == 5000
    assert time.monotonic() - began < 10


def test_what_an_sshd_of_old_wrote(host: Host) -> None:
    for port in range(62531, 62537):
        host.log(f"Failed password for ROOT from {A} port {port}")
        host.log("authentication failure; (uid=0) -> root for sshd service", program="PAM_pwdb")
    host.log(f"Failed password for mity from {A} port 62571")
    host.log(f"Accepted password for mity from {A} port 62571")
    found = host.look("messages")
    assert (total(found)["refusals"], total(found)["root"]) == (7, 6)
    assert [item.verdict for item in found.items if "login after" in item.name] == [Verdict.NOTABLE]


def test_bursts_become_moments_and_not_lines(host: Host) -> None:
    host.fail(times=50, ago=40_000)
    host.fail(times=70, ago=20_000)
    found = host.look()
    assert sorted((m.at - NOW, m.says.split()[2]) for m in found.moments) == [(-40000, "50"), (-20000, "70")]


def test_rotated_logs_are_read_with_the_live_one_and_old_ones_are_not(host: Host) -> None:
    folder = host.root / "var/log"
    for name, pack, days in (
        ("auth.log.1", bytes, 2), ("auth.log.2.gz", gzip.compress, 3), ("auth.log.3.xz", lzma.compress, 4),
        ("auth.log.4.gz", gzip.compress, 30),
    ):  # fmt: skip
        host.fail(times=10, ago=days * 86400)
        (folder / name).write_bytes(pack(("\n".join(host.lines) + "\n").encode()))
        os.utime(folder / name, (NOW - days * 86400,) * 2)
        host.lines.clear()
    (folder / "auth.log.5.zst").write_bytes(b"\x28\xb5\x2f\xfd" + bytes(20))
    host.fail(times=5)
    found = host.look()
    assert total(found)["refusals"] == 35
    assert [one.scope for one in found.unseen] == ["/var/log/auth.log.5.zst"]


def test_audit_and_the_log_of_logins_tell_of_the_same(host: Host) -> None:
    host.fail(times=6)
    (host.root / "var/log/audit").mkdir()
    (host.root / "var/log/audit/audit.log").write_text(
        "".join(
            f"type=USER_AUTH msg=audit({NOW - 3600 + n}.123:{n}): pid={101 + n} uid=0 auid=4294967295 "
            'msg=\'op=PAM:authentication grantors=? acct="root" exe="/usr/sbin/sshd" hostname=? '
            f"addr={A} terminal=ssh res=failed'\n"
            for n in range(9)
        )
    )
    assert total(host.look())["refusals"] == 9, "the one that tells more is believed"


def test_what_lies_outside_the_days_does_not_count(host: Host) -> None:
    host.fail(times=100, ago=20 * 86400)
    host.fail(times=3)
    assert total(host.look())["refusals"] == 3


def test_a_log_that_is_too_long_is_read_from_its_end(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hostguardd.investigate.logs.logfiles.FILE", 100_000)
    host.fail("first", times=2000, ago=86400)
    host.fail("last", times=20, ago=600)
    found = host.look()
    assert "last: 20" in total(found)["accounts tried"]  # type: ignore[operator]
    (unseen,) = found.unseen
    assert "too long" in unseen.reason
    assert "2026-03-09 12:00" in unseen.reason


def test_a_log_of_garbage_ends(host: Host) -> None:
    (host.root / "var/log/secure").write_bytes(os.urandom(300_000) + b"\0" * 300_000 + b"x" * 3_000_000)
    os.mkfifo(host.root / "var/log/messages")
    found = host.look()
    assert not found.suspicious
    assert any("regular file" in one.reason for one in found.unseen)


# -- real logs of others -----------------------------------------------------------------------------


AWK = r"""
# One number for each process of sshd and source: what sshd itself says, and of the rest PAM's word.
function last_from(text,   n, words, i, s) {
    n = split(text, words, " "); s = ""
    for (i = 1; i < n; i++) if (words[i] == "from") s = words[i + 1]
    return s
}
{ sub(/\r$/, "") }
/sshd(\(pam_unix\))?\[[0-9]+\]: / {
    match($0, /\[[0-9]+\]: /); pid = substr($0, RSTART + 1, RLENGTH - 4); text = substr($0, RSTART + RLENGTH)
    times = 1
    if (match(text, /^message repeated [0-9]+ times: \[ /)) {
        split(text, words, " "); times = words[3]; text = substr(text, RLENGTH + 1); sub(/\]$/, "", text)
    }
    if (text ~ /^Failed password for /)
        failed[pid " " last_from(text)] += times
    else if (text ~ /^Invalid user / || text ~ /^Failed (none|publickey) for /)
        soft[pid " " last_from(text)] = 1
    else if (text ~ /authentication failures?; logname=/ && (text ~ /^pam_unix/ || $0 ~ /\(pam_unix\)/)) {
        more = 1; if (match(text, /[0-9]+ more auth/)) more = substr(text, RSTART) + 0
        match(text, /rhost=[^ ]*/); pam[pid] += more; host[pid] = substr(text, RSTART + 6, RLENGTH - 6)
    }
}
END {
    for (key in failed) { count[key] = failed[key]; delete soft[key] }
    for (key in soft) count[key] = 1
    for (key in count) {
        split(key, part, " "); own[part[1]] += count[key]; sum[part[2]] += count[key]; from[part[1]] = part[2]
    }
    for (pid in pam) if (!(pid in own)) sum[host[pid]] += pam[pid]
        else if (pam[pid] > own[pid]) sum[from[pid]] += pam[pid] - own[pid]
    for (source in sum) print source, sum[source]
}
"""


MIXED = """\
Dec 10 06:55:46 LabSZ sshd[24200]: Invalid user webmaster from 203.0.113.1
Dec 10 06:55:46 LabSZ sshd[24200]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=a.example 
Dec 10 06:55:48 LabSZ sshd[24200]: Failed password for invalid user webmaster from 203.0.113.1 port 38926 ssh2
Dec 10 07:07:38 LabSZ sshd[24206]: Invalid user test9 from 203.0.113.2
Dec 10 07:07:39 LabSZ sshd[24206]: Connection closed by 203.0.113.2 [preauth]
Dec 10 07:13:31 LabSZ sshd[24227]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=b.example  user=root
Dec 10 07:13:43 LabSZ sshd[24227]: Failed password for root from 203.0.113.3 port 42393 ssh2
Dec 10 07:13:56 LabSZ sshd[24227]: message repeated 5 times: [ Failed password for root from 203.0.113.3 port 42393 ssh2]
Dec 10 07:13:56 LabSZ sshd[24227]: Disconnecting: Too many authentication failures for root [preauth]
Dec 11 15:16:01 combo sshd(pam_unix)[19939]: authentication failure; logname= uid=0 euid=0 tty=NODEVssh ruser= rhost=203.0.113.4 
Dec 11 15:16:02 combo sshd(pam_unix)[19937]: check pass; user unknown
Dec 12 15:16:02 combo sshd(pam_unix)[20882]: authentication failure; logname= uid=0 euid=0 tty=NODEVssh ruser= rhost=c.example  user=root
Dec 12 15:16:03 combo sshd(pam_unix)[20882]: 2 more authentication failures; logname= uid=0 euid=0 tty=NODEVssh ruser= rhost=c.example  user=root
"""  # noqa: E501, W291
"""What the samples below are made of, so that our own awk is held against something everywhere."""


def _awk(folder: Path, sample: Path) -> dict[str, int]:
    (folder / "count.awk").write_text(AWK)
    run = ["awk", "-f", str(folder / "count.awk"), str(sample)]
    out = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    return {source: int(count) for source, count in (line.rsplit(" ", 1) for line in out.splitlines())}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_awk_and_we_count_the_same_in_a_mixed_log(host: Host, tmp_path: Path, end: str) -> None:
    (tmp_path / "mixed").write_text(MIXED, newline=end)
    expected = {"203.0.113.1": 1, "203.0.113.2": 1, "203.0.113.3": 6, "203.0.113.4": 1, "c.example": 3}
    assert _awk(tmp_path, tmp_path / "mixed") == expected
    assert _count(host, tmp_path / "mixed", "sshd") == expected


@pytest.mark.parametrize("name", ["OpenSSH_2k.log", "Linux_2k.log"])
def test_real_logs_are_counted_as_awk_counts_them(name: str, host: Host) -> None:
    sample = SAMPLES / "loghub" / name
    if not sample.exists():
        pytest.skip(f"{sample} is not there: tools/log-samples fetches it")
    expected = _awk(host.root, sample)
    assert _count(host, sample, "sshd") == expected
    assert sum(expected.values()) > 300


def _count(host: Host, sample: Path, service: str) -> dict[str, int]:
    shutil.copy(sample, host.root / "var/log/auth.log")
    found = _sources(host)
    return {source.decode(): one.count for (name, source), one in found.items() if name == service.encode()}


def _accounts(host: Host) -> dict[str, int]:
    counted = Counter[bytes]()
    for one in _sources(host).values():
        counted.update(one.users)
    return {user.decode(): count for user, count in counted.items()}


def _sources(host: Host) -> dict[tuple[bytes, bytes], Source]:
    """What auth.log tells, all of it: a year that ends with December."""
    now = calendar.timegm((2026, 12, 31, 12, 0, 0))
    where = scene(os.fsencode(host.root), now=now, options=Options(days=364.5))
    return together(one.refusals for one in where.once(reading).passages.values())[0]


def test_sources_in_real_logs_of_sshd_are_those_that_grep_finds(host: Host) -> None:
    """fail2ban's samples come from many systems; these are lines as every sshd writes them now."""
    sample = SAMPLES / "fail2ban" / "sshd"
    if not sample.exists():
        pytest.skip(f"{sample} is not there: tools/log-samples fetches it")
    only = host.root / "only"
    begins = r"^[A-Z][a-z]{2} +[0-9]+ [0-9:]{8} [^ ]+ sshd\[[0-9]+\]: "
    ends = begins + r"Failed password for .* port [0-9]+( ssh[0-9])?$"
    only.write_bytes(subprocess.run(["grep", "-aE", ends, sample], capture_output=True, check=True).stdout)
    cut = "s/.* from ([^ ]+) port .*/\\1/; s/^::ffff://"
    out = subprocess.run(["sed", "-E", cut, only], capture_output=True, text=True, check=True).stdout
    expected = dict(Counter(out.split()))
    assert len(expected) >= 4
    assert _count(host, only, "sshd") == expected
    named = r"s/.*Failed password for (invalid user |illegal user )?(.*) from [^ ]+ port .*/\2/"
    out = subprocess.run(["sed", "-E", named, only], capture_output=True, text=True, check=True).stdout
    assert _accounts(host) == dict(Counter(out.splitlines()))


PAM = r"^[A-Z][a-z]{2} +[0-9]+ [0-9:]{8} [^ ]+ [a-z-]+(\[[0-9]+\])?: (\(pam_unix\)|pam_unix\([a-z]+:auth\):) "
FAILED = r"authentication failure; .* ruser=[^ ]* rhost=[^ ]+( +user=[^ ]*)? *$"


@pytest.mark.parametrize("name", ["pam-generic", "vsftpd"])
def test_sources_in_real_logs_of_pam_are_those_that_grep_finds(name: str, host: Host) -> None:
    sample = SAMPLES / "fail2ban" / name
    if not sample.exists():
        pytest.skip(f"{sample} is not there: tools/log-samples fetches it")
    only = host.root / "only"
    found = subprocess.run(["grep", "-aE", PAM + FAILED, sample], capture_output=True, check=False)
    only.write_bytes(found.stdout)
    out = subprocess.run(
        ["sed", "-E", "s/.*rhost=([^ ]+).*/\\1/", only], capture_output=True, text=True, check=True
    )
    shutil.copy(only, host.root / "var/log/auth.log")
    counted = Counter[str]()
    for (_, source), one in _sources(host).items():
        counted[source.decode()] += one.count
    assert counted
    assert dict(counted) == dict(Counter(out.stdout.split()))


# -- where there is no text log ----------------------------------------------------------------------


class Feed:
    """A journal that a test writes."""

    present = True
    problem = ""

    def __init__(self, *lines: tuple[bytes, int | None]) -> None:
        self.entries = [
            Entry(
                Line(NOW - 600 + n, b"sshd", b"%d" % n, text),
                b"/usr/sbin/sshd" if not uid else b"/usr/bin/logger",
                uid,
                "",
            )
            for n, (text, uid) in enumerate(lines)
        ]
        self.since = 0.0

    def open(self) -> Feed:
        return self

    def past(self, stop: object, since: float = 0) -> list[Entry]:
        self.since = since
        return self.entries

    def new(self, most: int) -> list[Entry]:
        return []


def test_the_journal_is_asked_where_no_log_tells_of_logins(host: Host) -> None:
    failed = b"Failed password for root from 203.0.113.9 port 4242 ssh2"
    journal = Feed(
        *[(failed, 0)] * 12, (failed, 1000), (b"Accepted password for root from 203.0.113.9 port 1 ssh2", 0)
    )
    found = looked(refusals.look, scene(os.fsencode(host.root), now=NOW, journal=journal))
    assert total(found)["refusals"] == 12, "who is not root may write a line, and is not believed"
    assert len(found.suspicious) == 1
    assert journal.since == NOW - 7 * 86400
    assert not found.unseen
    host.fail()
    (host.root / "var/log/auth.log").write_text("\n".join(host.lines) + "\n")
    found = looked(refusals.look, scene(os.fsencode(host.root), now=NOW, journal=journal))
    assert total(found)["refusals"] == 1


def test_neither_log_nor_journal_is_unseen(host: Host) -> None:
    (unseen,) = looked(refusals.look, scene(os.fsencode(host.root), now=NOW)).unseen
    assert "neither" in unseen.reason


def test_what_may_not_be_read_is_named_with_the_way_to_read_it(host: Host) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read every log")
    host.fail()
    host.look("auth.log")
    (host.root / "var/log/auth.log").chmod(0)
    (unseen,) = looked(refusals.look, scene(os.fsencode(host.root), now=NOW, uid=os.geteuid())).unseen
    assert unseen.scope == "/var/log/auth.log"
    assert unseen.remedy.startswith("sudo ")
