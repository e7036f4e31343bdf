"""Text of /proc: what a hostile process can write there never shifts a column."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.host import parse
from hostguardd.host.live import Socket

COMM = st.binary(min_size=0, max_size=15).filter(lambda name: b"\0" not in name)


def stat_line(comm: bytes, state: bytes = b"S", flags: int = 0x400000, threads: int = 3) -> bytes:
    rest = b"%s 7 8 9 34816 -1 %d 1 2 3 4 5 6 7 8 20 0 %d 0 123456 1000 20 184467440737095\n"
    return b"812 (" + comm + b") " + rest % (state, flags, threads)


@given(COMM)
def test_no_name_shifts_the_columns_of_stat(comm: bytes) -> None:
    assert parse.stat(stat_line(comm)) == parse.Stat(comm, False, 7, 9, 34816, False, 3, 123456)


def test_a_name_made_to_look_like_columns() -> None:
    found = parse.stat(stat_line(b") R 1 1 1 0 -1"))
    assert found is not None
    assert found.parent == 7


@pytest.mark.parametrize(
    ("state", "flags", "ended"),
    [(b"S", 0x400000, False), (b"Z", 0x400000, True), (b"X", 0, True), (b"R", 0x400004, True)],
)
def test_what_is_ending_has_ended(state: bytes, flags: int, ended: bool) -> None:
    found = parse.stat(stat_line(b"x", state, flags))
    assert found is not None
    assert found.ended is ended


def test_only_the_kernel_s_flag_makes_a_kernel_thread() -> None:
    thread = parse.stat(stat_line(b"kworker/0:0", flags=0x4008060))
    real = parse.stat(stat_line(b"kworker/0:0", flags=0x4008060 | parse.PF_KTHREAD))
    assert thread is not None
    assert real is not None
    assert (thread.kernel, real.kernel) == (False, True)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_stat_or_none(text: bytes) -> None:
    parse.stat(text)


@given(st.integers(0, 400))
def test_a_stat_cut_short_is_none(length: int) -> None:
    whole = stat_line(b"x")
    if length < whole.index(b"123456"):
        assert parse.stat(whole[:length]) is None


STATUS = (
    b"Name:\t%s\nUmask:\t0022\nState:\tS (sleeping)\nPid:\t9\nPPid:\t1\nUid:\t1000\t0\t0\t0\n"
    b"Gid:\t0\t0\t0\t0\nNStgid:\t9\nNSpid:\t9%s\nKthread:\t0\n"
)


@pytest.mark.parametrize(("more", "below"), [(b"", False), (b"\t1", True), (b"\t4\t1", True)])
def test_status_has_the_effective_uid_and_the_namespaces(more: bytes, below: bool) -> None:
    assert parse.status(STATUS % (b"sudo", more)) == (0, below)


@given(COMM)
def test_no_name_forges_a_uid(comm: bytes) -> None:
    escaped = comm.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")  # as the kernel does
    assert parse.status(STATUS % (escaped, b"")) == (0, False)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_status_or_none(text: bytes) -> None:
    parse.status(text)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        (b"0::/system.slice/sshd.service\n", b"sshd.service"),
        (b"0::/system.slice/system-getty.slice/getty@tty1.service\n", b"getty@tty1.service"),
        (b"0::/user.slice/user-1000.slice/session-3.scope\n", b"session-3.scope"),
        (b"0::/user.slice/user-1000.slice/user@1000.service/app.slice/evil.service\n", b"user@1000.service"),
        (b"0::/system.slice/docker-1234abcd.scope/init.scope\n", b"docker-1234abcd.scope"),
        (b"12:pids:/a.service\n1:name=systemd:/system.slice/crond.service\n0::/\n", b"crond.service"),
        (b"0::/system.slice/x.service (deleted)\n", b"x.service"),
        (b"0::/\n", b""),
        (b"9:name=systemd:/\n8:pids:/\n0::/x.service\n", b""),
        (b"", b""),
        (b"garbage", b""),
        (b"0::/a:b/c:d.service\n", b"c:d.service"),
    ],
)
def test_unit_of_a_cgroup(text: bytes, unit: bytes) -> None:
    assert parse.unit(text) == unit


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"sshd\0-D\0", (b"sshd", b"-D")),
        (b"sh\0\0-c\0", (b"sh", b"", b"-c")),
        (b"title\0\0\0\0\0", (b"title",)),
        (b"sshd: alice [priv]\0", (b"sshd: alice [priv]",)),
        (b"", ()),
        (b"\0\0", ()),
    ],
)
def test_arguments(text: bytes, words: tuple[bytes, ...]) -> None:
    assert parse.arguments(text) == words


@pytest.mark.parametrize(
    ("text", "login"), [(b"1000", True), (b"0", True), (b"4294967295", False), (b"", False)]
)
def test_login(text: bytes, login: bool) -> None:
    assert parse.login(text) is login


def test_fork_mark_moves_with_pids_and_threads_only() -> None:
    calm = parse.fork_mark(b"0.00 0.01 0.05 /123 4567\n")
    assert (
        parse.fork_mark(b"0.00 0.01 0.05 1/123 4567\n")
        == parse.fork_mark(b"3.90 1.01 0.0 9/123 4567\n")
        == calm
    )
    assert parse.fork_mark(b"0.00 0.01 0.05 1/124 4567\n") != calm
    assert parse.fork_mark(b"0.00 0.01 0.05 1/123 4568\n") != calm


HEAD = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LINE = b"   0: %s %s:0000 %s 00000000:00000000 00:00000000 00000000   101        0 41234 1 0000 100 0\n"


def test_inet_tables_give_what_waits() -> None:
    zero, six = b"00000000", b"00000000000000000000000001000000"
    tcp = HEAD + LINE % (b"0100007F:0016", zero, b"0A") + LINE % (b"0100007F:0017", zero, b"01")
    assert parse.inet_table(tcp, "tcp") == [Socket(41234, b"127.0.0.1", 22, 101, 41234)]
    udp = HEAD + LINE % (six + b":0035", six, b"07") + LINE % (six + b":0036", six, b"01")
    assert parse.inet_table(udp, "udp6") == [Socket(41234, b"::1", 53, 101, 41234)]
    raw = HEAD + LINE % (b"00000000:0001", zero, b"07")
    assert parse.inet_table(raw, "raw") == [Socket(41234, b"0.0.0.0", 1, 101, 41234)]


def test_unix_table_gives_what_listens() -> None:
    text = (
        b"Num       RefCount Protocol Flags    Type St Inode Path\n"
        b"ffff9a1c: 00000002 00000000 00010000 0001 01 20001 /run/with space.sock\n"
        b"ffff9a1d: 00000002 00000000 00010000 0005 01 20002 @abstract\xff\n"
        b"ffff9a1e: 00000003 00000000 00000000 0001 03 20003 /run/connected\n"
        b"ffff9a1f: 00000003 00000000 00000000 0002 01 20004\n"
    )
    assert parse.unix_table(text) == [
        Socket(20001, b"/run/with space.sock", 0, None, 20001),
        Socket(20002, b"@abstract\xff", 0, None, 20002),
    ]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_unix_table(text: bytes) -> None:
    parse.unix_table(text)
