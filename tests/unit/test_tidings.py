"""Lines as the programs of RHEL and Debian write them, and what they tell; and lines that lie."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.loglines import CONSOLE, LONGEST, Line, entry, garbled, origin, parse
from hostguardd.tidings import Accepted, Crashed, Denied, Refused, Switched, genuine, tell, worth

NOW = 1_763_904_000  # 2025-11-23 13:20:00 UTC
A = b"203.0.113.9"


def told(text: bytes) -> list[object]:
    """What a whole line of a text log tells."""
    return list(tell(parse(text, NOW)))


def said(program: bytes, text: bytes, pid: bytes = b"77") -> list[object]:
    line = b"Nov 23 13:19:00 web1 " + program + b"[" + pid + b"]: " + text
    assert not told(line) or worth(line), "what tells something passes the sieve"
    return told(line)


REFUSED = [
    (b"sshd", b"Failed password for root from 203.0.113.9 port 4242 ssh2", b"sshd", b"root", A),
    (b"sshd-session", b"Failed password for invalid user admin from 203.0.113.9 port 1 ssh2", b"sshd",
    b"admin", A),
    (b"sshd", b"Failed keyboard-interactive/pam for root from 203.0.113.9 port 4242 ssh2", b"sshd", b"root",
    A),
    (b"sshd", b"Failed none for invalid user  from 203.0.113.9 port 4242 ssh2", b"sshd", b"", A),
    (b"sshd", b"Failed publickey for git from 203.0.113.9 port 4 ssh2: RSA SHA256:abc/d+e", b"sshd", b"git",
    A),
    (b"sshd", b"Invalid user oracle from 203.0.113.9 port 4242", b"sshd", b"oracle", A),
    (b"sshd", b"Invalid user oracle from 203.0.113.9", b"sshd", b"oracle", A),
    (b"sshd", b"Connection closed by authenticating user root 203.0.113.9 port 4242 [preauth]", b"sshd",
    b"root", A),
    (b"sshd", b"Connection reset by invalid user x y 203.0.113.9 port 4242 [preauth]", b"sshd", b"x y", A),
    (b"sshd", b"Disconnected from authenticating user root 203.0.113.9 port 4242 [preauth]", b"sshd",
    b"root", A),
    (
        b"sshd", b"Disconnecting authenticating user root 203.0.113.9 port 4242: Too many authentication "
        b"failures"
        b" [preauth]", b"sshd", b"root", A,
    ),
    (
        b"sshd", b"error: maximum authentication attempts exceeded for root from 203.0.113.9 port 4242 ssh2"
        b" [preauth]", b"sshd", b"root", A,
    ),
    (
        b"sshd", b"User bob from 203.0.113.9 not allowed because not listed in AllowUsers", b"sshd", b"bob",
        A,
    ),
    (b"sshd", b"ROOT LOGIN REFUSED FROM 203.0.113.9 port 4242", b"sshd", b"root", A),
    (b"sshd", b"error: PAM: Authentication failure for illegal user x from 203.0.113.9", b"sshd", b"x", A),
    (b"sshd", b"refused connect from mail.example (203.0.113.9)", b"sshd", b"", A),
    (b"dropbear", b"Bad password attempt for 'root' from 203.0.113.9:60588", b"dropbear", b"root", A),
    (b"dropbear", b"Login attempt for nonexistent user from 203.0.113.9:60794", b"dropbear", b"", A),
    (
        b"vsftpd", b"pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser=x "
        b"rhost=203.0.113.9 ", b"vsftpd", b"", A,
    ),
    (b"in.telnetd", b"refused connect from 203.0.113.9", b"telnetd", b"", A),
    (
        b"sshd", b"pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser="
        b" rhost=203.0.113.9  user=root", b"sshd", b"root", A,
    ),
    (
        b"vsftpd", b"pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser=bob"
        b" rhost=::ffff:203.0.113.9 user=bob", b"vsftpd", b"bob", A,
    ),
    (
        b"auth", b"pam_unix(dovecot:auth): authentication failure; logname= uid=0 euid=0 tty=dovecot "
        b"ruser=bob"
        b" rhost=203.0.113.9", b"dovecot", b"", A,
    ),
    (
        b"cockpit-session", b"pam_sss(cockpit:auth): authentication failure; logname= uid=0 euid=0 tty= "
        b"ruser="
        b" rhost=203.0.113.9 user=bob", b"cockpit", b"bob", A,
    ),
    (
        b"login", b"pam_unix(login:auth): authentication failure; logname=LOGIN uid=0 euid=0 "
        b"tty=/dev/tty1 ruser="
        b" rhost=  user=root", b"login", b"root", CONSOLE,
    ),
    (b"login", b"FAILED LOGIN (1) on '/dev/tty1' FOR 'root', Authentication failure", b"login", b"root",
    CONSOLE),
    (b"login", b"FAILED LOGIN 1 FROM tty1 FOR root, Authentication failure", b"login", b"root", CONSOLE),
    (b"login", b"FAILED LOGIN 2 FROM 203.0.113.9 FOR bob, User not known", b"login", b"bob", A),
    (b"login", b"invalid password for 'UNKNOWN' on '/dev/pts/0' from '203.0.113.9'", b"login", b"UNKNOWN", A),
    (
        b"proftpd", b"web1 (203.0.113.9[203.0.113.9]) - USER bob (Login failed): Incorrect password",
        b"proftpd",
        b"bob", A,
    ),
    (
        b"dovecot", b"imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<bob>, method=PLAIN,"
        b" rip=203.0.113.9, lip=192.0.2.1, TLS", b"dovecot", b"bob", A,
    ),
    (
        b"postfix/smtpd", b"warning: unknown[203.0.113.9]: SASL LOGIN authentication failed: UGFzc3dvcmQ6",
        b"postfix", b"", A,
    ),
    (b"xinetd", b"FAIL: telnet libwrap from=203.0.113.9", b"telnet", b"", A),
    (b"pure-ftpd", b"(?@203.0.113.9) [WARNING] Authentication failed for user [bob]", b"pure-ftpd", b"bob",
    A),
]  # fmt: skip


@pytest.mark.parametrize(("program", "text", "service", "user", "source"), REFUSED)
def test_refused_logins(program: bytes, text: bytes, service: bytes, user: bytes, source: bytes) -> None:
    (one,) = said(program, text)
    assert isinstance(one, Refused)
    assert (one.service, one.user, one.source, one.times) == (service, user, source, 1)


def test_logs_with_a_head_of_their_own() -> None:
    (ftp,) = told(b'Sun Nov 23 13:19:00 2025 [pid 3] [bob] FAIL LOGIN: Client "::ffff:203.0.113.9"')
    assert ftp == Refused(b"vsftpd", b"bob", A, b"3", "vsftpd")
    (pro,) = told(
        b"2025-11-23 13:19:00,123 web1 proftpd[9] web1 (203.0.113.9[203.0.113.9]): USER bob: no such user "
        b"found"
    )
    assert isinstance(pro, Refused)
    assert (pro.user, pro.source) == (b"bob", A)
    audit = (
        b"type=USER_AUTH msg=audit(1763903900.123:45): pid=900 uid=0 auid=4294967295 ses=4294967295 "
        b'subj=system_u:system_r:sshd_t:s0-s0:c0.c1023 msg=\'op=PAM:authentication grantors=? acct="root" '
        b'exe="/usr/sbin/sshd" hostname=203.0.113.9 addr=203.0.113.9 terminal=ssh res=failed\'\x1dUID="root"'
    )
    assert worth(audit)
    assert told(audit) == [Refused(b"sshd", b"root", A, b"900", "audit")]
    assert told(audit.replace(b"PAM:authentication", b"pubkey")) == [], "a client may have several keys"
    assert told(audit.replace(b"res=failed", b"res=success")) == []


def test_a_line_that_stands_for_several() -> None:
    (one,) = said(
        b"sshd", b"message repeated 5 times: [ Failed password for root from 203.0.113.9 port 1 ssh2]"
    )
    assert isinstance(one, Refused)
    assert one.times == 5
    (two,) = said(
        b"login",
        b"pam_unix(login:auth): 2 more authentication failures; logname= uid=0 euid=0 tty=tty1 ruser= "
        b"rhost= user=x",
    )
    assert isinstance(two, Refused)
    assert two.times == 2


@pytest.mark.parametrize(
    ("text", "method"),
    [
        (b"Accepted password for alice from 203.0.113.9 port 4242 ssh2", b"password"),
        (b"Accepted publickey for alice from 203.0.113.9 port 4242 ssh2: ED25519 SHA256:abc", b"publickey"),
        (b"Accepted gssapi-with-mic for alice from 203.0.113.9 port 4242 ssh2", b"gssapi-with-mic"),
    ],
)
def test_accepted_logins(text: bytes, method: bytes) -> None:
    assert said(b"sshd", text) == [Accepted(b"sshd", b"alice", A, b"77", method, True)]


def test_logins_at_the_console() -> None:
    assert said(b"login", b"ROOT LOGIN ON tty1") == [Accepted(b"login", b"root", CONSOLE, b"77", b"", True)]
    assert said(b"login", b"LOGIN ON pts/1 BY bob FROM 203.0.113.9") == [
        Accepted(b"login", b"bob", A, b"77", b"", True)
    ]


@pytest.mark.parametrize(
    ("program", "text", "service"),
    [
        (b"su", b"(to root) alice on pts/0", b"su"),
        (b"su", b"+ pts/0 alice:root", b"su"),
        (b"su", b"Successful su for root by alice", b"su"),
        (b"su", b"pam_unix(su:session): session opened for user root(uid=0) by alice(uid=1000)", b"su"),
        (b"su", b"pam_unix(su-l:session): session opened for user root by alice(uid=1000)", b"su"),
        (b"sudo", b"pam_unix(sudo:session): session opened for user root(uid=0) by alice(uid=1000)", b"sudo"),
        (b"sudo", b"   alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/bin/ls -l", b"sudo"),
        (b"sudo", b"alice : PWD=/ ; USER=root ; COMMAND=/bin/sh -c x", b"sudo"),
        (b"doas", b"alice ran command id as root from /home/alice", b"doas"),
        (
            b"pkexec",
            b"alice: Executing command [USER=root] [TTY=unknown] [CWD=/] [COMMAND=/bin/sh]",
            b"pkexec",
        ),
    ],
)
def test_who_became_root(program: bytes, text: bytes, service: bytes) -> None:
    assert said(program, text) == [Switched(service, b"alice", b"root", b"77")]


@pytest.mark.parametrize(
    ("program", "text", "service"),
    [
        (b"su", b"FAILED SU (to root) alice on pts/0", b"su"),
        (b"su", b"- pts/0 alice:root", b"su"),
        (b"su", b"FAILED su for root by alice", b"su"),
        (b"su", b"BAD SU alice to root on /dev/pts/0", b"su"),
        (
            b"su",
            b"pam_unix(su:auth): authentication failure; logname=alice uid=1000 euid=0 tty=pts/0 "
            b"ruser=alice rhost="
            b"  user=root",
            b"su",
        ),
        (b"sudo", b"alice : user NOT in sudoers ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh", b"sudo"),
        (
            b"sudo",
            b"alice : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh",
            b"sudo",
        ),
        (b"sudo", b"alice : command not allowed ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh", b"sudo"),
        (b"doas", b"failed auth for alice", b"doas"),
    ],
)
def test_who_was_denied(program: bytes, text: bytes, service: bytes) -> None:
    (one,) = said(program, text)
    assert isinstance(one, Denied)
    assert (one.service, one.by, one.user) == (service, b"alice", b"root")


@pytest.mark.parametrize(
    ("program", "text"),
    [
        (b"CRON", b"pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)"),
        (b"crond", b"pam_unix(crond:session): session opened for user root(uid=0) by root(uid=0)"),
        (b"su", b"(to postgres) root on none"),
        (b"su", b"pam_unix(su-l:session): session opened for user postgres(uid=26) by root(uid=0)"),
        (b"runuser", b"pam_unix(runuser:session): session opened for user postgres by (uid=0)"),
        (b"sudo", b"    root : TTY=pts/0 ; PWD=/root ; USER=postgres ; COMMAND=/bin/psql"),
        (b"sudo", b"pam_unix(sudo:session): session closed for user root"),
        (b"sudo", b"pam_unix(sudo:auth): authentication failure; logname=a uid=1 euid=0 tty=/dev/pts/0 "
        b"ruser=a rhost=  user=a"),
        (b"sshd", b"Connection closed by 203.0.113.9 port 4242 [preauth]"),
        (b"sshd", b"Connection closed by 203.0.113.9 port 4242"),
        (b"sshd", b"Did not receive identification string from 203.0.113.9 port 4242"),
        (b"sshd", b"Received disconnect from 203.0.113.9 port 4242:11: disconnected by user"),
        (b"sshd", b"Disconnected from user alice 203.0.113.9 port 4242"),
        (b"sshd", b"pam_unix(sshd:session): session opened for user alice(uid=1000) by (uid=0)"),
        (b"sshd", b"Server listening on 0.0.0.0 port 22."),
        (b"systemd", b"pam_unix(systemd-user:session): session opened for user alice(uid=1000) by (uid=0)"),
        (b"dhclient", b"DHCPREQUEST on eth0 to 192.0.2.1 port 67"),
        (b"NetworkManager", b"<info> [1] dhcp4 (eth0): state changed bound -> extended, address=192.0.2.7"),
        (b"systemd-logind", b"New session 3 of user alice."),
        (b"kernel", b"[   12.345678] device eth0 entered promiscuous mode"),
        (b"passwd", b"pam_unix(passwd:chauthtok): password changed for alice"),
        (b"chronyd", b"Selected source 192.0.2.1"),
    ],
)  # fmt: skip
def test_what_a_quiet_host_writes_tells_nothing(program: bytes, text: bytes) -> None:
    assert said(program, text) == []


def test_a_name_that_looks_like_the_rest_of_the_line() -> None:
    tried = b"root from 198.51.100.7 port 22 ssh2"
    (one,) = said(b"sshd", b"Failed password for invalid user " + tried + b" from 203.0.113.9 port 4242 ssh2")
    assert isinstance(one, Refused)
    assert (one.user, one.source) == (tried, A)
    (two,) = said(
        b"sshd", b"Invalid user Accepted password for root from 198.51.100.7 from 203.0.113.9 port 1"
    )
    assert isinstance(two, Refused)
    assert two.source == A


def test_a_folder_or_an_argument_hides_no_target_of_sudo() -> None:
    found = said(
        b"sudo", b"alice : TTY=pts/0 ; PWD=/tmp/ ; USER=alice ;  ; USER=root ; COMMAND=/bin/sh ; USER=bob ; x"
    )
    assert Switched(b"sudo", b"alice", b"root", b"77") in found


def test_crashes() -> None:
    assert said(
        b"kernel", b"httpd[812]: segfault at 0 ip 00007f sp 00007f error 4 in libc.so.6[7f+1000]"
    ) == [Crashed(b"httpd")]
    plain = (
        b"Nov 23 13:19:00 web1 kernel: [ 1234.567890] traps: nginx[9] general protection fault ip:7f sp:7f"
    )
    assert told(plain) == [Crashed(b"nginx")]
    assert said(b"named", b"*** stack smashing detected ***: terminated") == [Crashed(b"named")]


@pytest.mark.parametrize(
    ("head", "at"),
    [
        (b"Nov 23 13:20:00 web1 sshd[1]: x", NOW),
        (b"Nov  3 13:20:00 web1 sshd[1]: x", NOW - 20 * 86400),
        (b"Dec 24 00:00:00 web1 sshd[1]: x", 1_734_998_400),  # last year's
        (b"2025-11-23T13:20:00.123456+00:00 web1 sshd[1]: x", NOW),
        (b"2025-11-23T14:20:00.123456+01:00 web1 sshd[1]: x", NOW),
        (b"2025-11-23T13:20:00Z web1 sshd[1]: x", NOW),
        (b"Nov 23 13:20:00 sshd[1]: x", NOW),
        (b"<38>Nov 23 13:20:00 web1 sshd[1]: x", NOW),
        (b"Feb 31 13:20:00 web1 sshd[1]: x", 0),
    ],
)
def test_heads_of_lines(head: bytes, at: int) -> None:
    assert parse(head, NOW) == Line(at, b"sshd", b"1", b"x")


def test_the_zone_of_the_host_counts_where_a_line_has_none() -> None:
    assert parse(b"Nov 23 14:20:00 web1 sshd[1]: x", NOW, 3600).at == NOW


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (b"203.0.113.9", A), (b"::ffff:203.0.113.9", A), (b"[2001:db8::1]", b"2001:db8::1"), (b"::1", b"::1"),
        (b"fe80::1%eth0", b"fe80::1"), (b"", CONSOLE), (b":0", CONSOLE), (b":pts/0:S.0", CONSOLE), (b"tty1",
        CONSOLE),
        (b"tmux(4711).%0", CONSOLE), (b"203.0.113.9 via mosh [812]", A), (b"mail.example", b"mail.example"),
    ],
)  # fmt: skip
def test_one_place_has_one_name(host: bytes, expected: bytes) -> None:
    assert origin(host) == expected


HEAD = b"Nov 23 13:20:00 web1 rpc.statd[410]: gethostbyname error for "


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (HEAD + b"\x90" * 200 + b"/bin/sh", "no UTF-8"),
        (HEAD + b"^X\xf7\xff\xbf" * 40, "no UTF-8"),
        (HEAD + b"\x01\x02\x03\x04\x05\x06\x07\x08\x0e", "control bytes"),
        (HEAD + b"\0" * 100, "control bytes"),
        (HEAD + b"#220" * 100, "control bytes"),
        (HEAD + b"A" * 600, "one byte repeated"),
        (HEAD + b"some words " * 1000, "overlong"),
    ],
)
def test_lines_that_are_no_text(line: bytes, what: str) -> None:
    assert garbled(line) == what


@pytest.mark.parametrize(
    "line",
    [
        b"", b"plain", HEAD + "größer, 日本語, 🙂".encode() * 20, HEAD + b"-" * 500, HEAD + b"=" * 500,
        HEAD + b"\x1b[31mred\x1b[0m and \x1b[1mbold\x1b[0m " * 9, HEAD + b"#011at java.lang.Thread#012" * 20,
        HEAD + b"\tat org.example.Main(Main.java:1)" * 40, HEAD + "Zürich".encode("latin-1"),
        HEAD + b'{"json": "with many words", "and": [1, 2, 3]}' * 150, HEAD + b"issue #123 #456 #777 " * 2,
    ],
)  # fmt: skip
def test_lines_that_are_only_unusual(line: bytes) -> None:
    assert garbled(line) == ""


def test_entries_of_the_journal() -> None:
    one = entry(
        b'{"MESSAGE":"Failed '
        b'password","SYSLOG_IDENTIFIER":"sshd","_PID":"7","_UID":"0","_EXE":"/usr/sbin/sshd",'
        b'"__REALTIME_TIMESTAMP":"1763904000123456","__CURSOR":"s=1"}'
    )
    assert one is not None
    assert one == (Line(NOW, b"sshd", b"7", b"Failed password"), b"/usr/sbin/sshd", 0, "s=1")
    blob = entry(b'{"MESSAGE":[65,0,255],"_UID":["0","1"],"__REALTIME_TIMESTAMP":"x"}')
    assert blob is not None
    assert blob.line == Line(0, b"", b"", b"A\0\xff")
    assert blob.uid is None
    for none in (b"", b"[]", b"null", b"{", b"[" * 100_000):
        assert entry(none) is None


@pytest.mark.parametrize(
    ("program", "exe", "uid", "believed"),
    [
        (b"sshd", b"/usr/sbin/sshd", 0, True), (b"sshd", b"/usr/bin/logger", 1000, False), (b"sshd", b"",
        1000, False),
        (b"sshd", b"/usr/bin/logger", 33, False), (b"sudo", b"/usr/bin/sudo", 1000, True),
        (b"sudo", b"/usr/bin/logger", 1000, False), (b"su", b"/tmp/su", 1000, False), (b"su", b"", 1000,
        True),
        (b"sshd", b"", None, True), (b"dovecot", b"/usr/libexec/dovecot/auth", 97, True),
    ],
)  # fmt: skip
def test_whom_the_journal_knows_to_be_another(
    program: bytes, exe: bytes, uid: int | None, believed: bool
) -> None:
    assert genuine(program, exe, uid) is believed


PIECES = st.sampled_from(
    [
        b"Failed password for ", b" from ", b" port ", b"1", b" ssh2", b": ", b"pam_unix(su:auth): ",
        b"authentication failure; ",
        b"logname=", b" uid=", b" euid=", b" tty=", b" ruser=", b" rhost=", b" user=", b"alice", b" : ",
        b" ; USER=", b" ; ",
        b"TTY=", b"(to ", b") ", b" on ", b"USER ", b"[", b"]", b"<", b">", b"\n", b"\0", b"\xff",
        b"message repeated 3 times: [ ",
        b"#220", b" by ", b"session opened for user ", b"auth failed, 3 attempts", b" rip=",
    ]
)  # fmt: skip


@given(
    st.sampled_from(
        [b"sshd[1]: ", b"su: ", b"sudo: ", b"login: ", b"dovecot: ", b"proftpd[1]: ", b"kernel: ", b""]
    ),
    st.lists(st.one_of(PIECES, st.binary(max_size=20)), max_size=60),
)
def test_any_bytes_are_a_line(program: bytes, pieces: list[bytes]) -> None:
    raw = b"Nov 23 13:20:00 web1 " + program + b"".join(pieces)
    worth(raw)
    garbled(raw)
    for one in tell(parse(raw, NOW)):
        for value in one:
            assert isinstance(value, bytes | str | int)
            assert not isinstance(value, bytes) or len(value) <= LONGEST


@given(st.binary(max_size=300))
def test_any_bytes_are_an_entry_or_none(raw: bytes) -> None:
    entry(raw)
    parse(raw, NOW)


@pytest.mark.parametrize(
    "piece",
    [b" from 1 port 1", b" uid=1 euid=1 tty=a ruser=", b" rhost=", b" ; USER=", b"((", b"a", b" ", b" by ",
    b" as x from",
     b"A" * 128 + b"B", b"-login: auth failed, 1 attempts", b"#22"],
)  # fmt: skip
@pytest.mark.parametrize(
    "start",
    [b"sshd[1]: Failed password for ", b"sshd[1]: Connection closed by invalid user ", b"sudo: alice : ",
    b"doas: a ran command ",
     b"su: pam_unix(su:auth): authentication failure; logname=",
     b"su: pam_unix(su:session): session opened for user ",
     b"dovecot: ", b"su: (to ", b""],
)  # fmt: skip
def test_no_line_takes_long(start: bytes, piece: bytes) -> None:
    raw = b"Nov 23 13:20:00 web1 " + start + piece * (200_000 // len(piece))
    began = time.process_time()
    worth(raw)
    garbled(raw)
    tell(parse(raw, NOW))
    assert time.process_time() - began < 0.1


def test_what_pam_wrote_twenty_years_ago_is_still_understood() -> None:
    head = b"Jun 14 15:16:01 combo "
    failed = b"authentication failure; logname= uid=0 euid=0 tty=NODEVssh ruser= rhost=203.0.113.9  user=root"
    assert told(head + b"sshd(pam_unix)[19939]: " + failed) == [
        Refused(b"sshd", b"root", A, b"19939", "pam_unix")
    ]
    opened = b"session opened for user root by mity(uid=543)"
    switched = [Switched(b"su", b"mity", b"root", b"592")]
    assert told(head + b"su(pam_unix)[592]: " + opened) == switched
    assert told(head + b"PAM_pwdb[592]: (su) " + opened) == switched
    denied = b"PAM_pwdb[592]: authentication failure; mity(uid=543) -> root for su service"
    assert told(head + denied) == [Denied(b"su", b"mity", b"root", b"592", "pam")]
    unknown = b"authentication failure; logname= uid=0 euid=0 tty=ftp ruser=bob rhost=203.0.113.9 "
    assert told(head + b"vsftpd: (pam_unix) " + unknown) == [Refused(b"vsftpd", b"", A, b"", "pam_unix")]
    sshd = b"PAM_pwdb[548]: 1 more authentication failure; (uid=0) -> root for sshd service"
    assert told(head + sshd) == []
