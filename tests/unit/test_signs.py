"""Signs of processes: what each says, what is known to be harmless, and when it becomes news."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.diff import drift as differs
from hostguardd.facts.live import SIGNS
from hostguardd.host import parse
from hostguardd.host.live import Inside, Process
from hostguardd.model import Depth, ProcessFact
from hostguardd.sections import ProcessesConfig
from hostguardd.sensors.processes import ProcessesSensor
from hostguardd.sensors.signs import LOUD, signs
from hostguardd.sentences import sentence
from tests.alerts import NAMES, PROCESS, drift
from tests.fakelive import FakeLive


def never() -> bool:
    return False


def odd(
    exe: bytes = b"/usr/bin/app",
    *,
    comm: bytes = b"app",
    argv: tuple[bytes, ...] = (b"app",),
    cwd: bytes = b"/",
    uid: int = 0,
    tracer: int = 0,
    script: bytes = b"",
    linker: dict[bytes, bytes] | None = None,
    mapped: tuple[bytes, ...] = (),
    claimed: bytes = b"",
    mode: int = 0o100755,
    fd: bytes = b"",
) -> str:
    """The signs of a process that is like this."""
    process = Process(9, 1, 1, False, 9, 0, uid, comm, exe, "running", argv, cwd, b"", False, "", tracer)
    words, _ = signs(process, Inside(linker or {}, mapped, claimed, mode, fd), script)
    return words.decode()


def preload(value: bytes, name: bytes = b"LD_PRELOAD") -> dict[str, Any]:
    return {"linker": {name: value}}


def maps(*paths: bytes, **more: Any) -> dict[str, Any]:
    return {"mapped": paths, **more}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ""),
        (preload(b"/tmp/x.so"), "preload-odd"),
        (preload(b"/usr/lib/libjemalloc.so.2 /dev/shm/x.so"), "preload-known preload-odd"),
        (preload(b"./x.so"), "preload-odd"),
        (preload(b"/home/eve/x.so"), "preload-odd"),
        (preload(b"/usr/lib/.x/x.so"), "preload"),
        (preload(b"/usr/lib/libprocesshider.so"), "preload"),
        (preload(b"/tmp/libjemalloc.so"), "preload-odd"),
        (preload(b"/usr/lib64/libjemalloc.so.2"), "preload-known"),
        (preload(b"libfakeroot-sysv.so"), "preload-known"),
        (preload(b"/var/tmp/x.so", b"LD_AUDIT"), "preload-odd"),
        (preload(b"/usr/lib:/tmp/x", b"LD_LIBRARY_PATH"), "library-path-odd"),
        (preload(b"/opt/oracle/lib", b"LD_LIBRARY_PATH"), ""),
        (maps(b"/usr/lib/libc.so.6", b"/usr/bin/app"), ""),
        (maps(b"/tmp/x.so"), "library-temporary"),
        (maps(b"/tmp/x.so (deleted)"), "library-temporary"),
        (maps(b"/dev/shm/x"), "library-temporary"),
        (maps(b"/usr/lib/.x/y.so"), "library-hidden"),
        (maps(b"/home/alice/.local/lib/y.so"), "library-home"),
        (maps(b"/srv/app/.venv/lib/y.so"), "library-home"),
        (maps(b"/srv/app/.venv/.x/y.so"), "library-hidden"),
        (maps(b"/usr/lib/.venv/y.so"), "library-hidden"),
        (maps(b"/usr/lib/libssl.so.3 (deleted)"), "library-deleted"),
        (maps(b"/srv/app/y.so (deleted)"), "library-gone"),
        (maps(b"/memfd:x (deleted)"), "library-memory"),
        (maps(b"/memfd: (deleted)"), "library-memory"),
        (maps(b"/memfd:doublemapper (deleted)"), "library-jit"),
        (maps(b"/memfd:doublemapperx (deleted)"), "library-memory"),
        (maps(b"/dev/zero (deleted)", b"/SYSV00000000 (deleted)"), ""),
        (maps(b"/tmp/jna-1/jna77.tmp (deleted)", exe=b"/usr/lib/jvm/bin/java"), "library-extracted"),
        (maps(b"/tmp/jna-1/jna77.tmp (deleted)"), "library-temporary"),
        ({"comm": b"sshd", "exe": b"/home/eve/x"}, "false-name"),
        ({"comm": b"sshd", "exe": b"/usr/bin/nc"}, "false-name"),
        ({"comm": b"sshd", "exe": b"/usr/bin/python3.11", "script": b"/root/x.py"}, "false-name"),
        ({"comm": b"sshd", "exe": b"/usr/bin/perl", "script": b"-e use"}, "false-name"),
        ({"argv": (b"/usr/sbin/chronyd -F 1",), "exe": b"/usr/bin/perl"}, "false-name"),
        (
            {"argv": (b"sshd: eve@pts/3", b"-c", b"x"), "exe": b"/usr/bin/python3", "script": b"x"},
            "false-name",
        ),
        ({"argv": (b"gunicorn: master [x]",), "exe": b"/usr/bin/python3"}, ""),
        ({"argv": (b"init", b"x"), "exe": b"/usr/bin/dash", "script": b"/etc/init.d/x"}, ""),
        ({"argv": (b"nginx: master process /usr/sbin/nginx",), "exe": b"/usr/sbin/nginx"}, ""),
        ({"comm": b"nginx", "exe": b"/usr/bin/dash", "script": b"/etc/init.d/nginx"}, ""),
        ({"comm": b"sshd", "exe": b"/usr/lib/openssh/sshd-session"}, ""),
        ({"comm": b"crond", "exe": b"/bin/busybox"}, ""),
        ({"comm": b"systemd-udevd", "exe": b"/usr/bin/udevadm"}, ""),
        ({"comm": b"mysqld", "exe": b"/usr/sbin/mariadbd"}, ""),
        ({"uid": 0, "mode": 0o100777, "exe": b"/memfd:x"}, ""),
        ({"comm": b"app "}, "false-name"),
        ({"exe": b"/usr/bin/sshd "}, "false-name"),
        ({"comm": b"kworker/0:1"}, "false-name"),
        ({"argv": (b"[kthreadd]",)}, "false-name"),
        ({"claimed": b"/usr/sbin/sshd"}, "false-name"),
        ({"claimed": b"/usr/bin/foreign", "exe": b"/usr/bin/qemu-aarch64-static"}, ""),
        ({"script": b"/dev/shm/x.py"}, "script-odd"),
        ({"script": b"/tmp/.x/y.sh"}, "script-odd"),
        ({"script": b"/proc/self/fd/3"}, ""),
        ({"script": b"/dev/fd/3", "fd": b"/memfd:x (deleted)"}, "script-odd"),
        ({"script": b"/dev/fd/3", "fd": b"/root/install.sh"}, ""),
        (maps(b"/opt/app/.venv/lib/y.so"), "library-home"),
        (maps(b"/opt/app/.venv/.x/y.so"), "library-hidden"),
        (maps(b"/tmp/.venv/y.so"), "library-temporary"),
        ({"cwd": b"/srv/app/.venv"}, ""),
        ({"cwd": b"/tmp/.cache"}, "working-hidden"),
        ({"script": b"/tmp/y.sh"}, "script-temporary"),
        ({"script": b"/usr/bin/y"}, ""),
        ({"cwd": b"/tmp/.x"}, "working-hidden"),
        ({"cwd": b"/dev/shm/.x (deleted)"}, "working-hidden"),
        ({"cwd": b"/home/alice/.config"}, ""),
        ({"cwd": b"/tmp"}, ""),
        ({"mode": 0o100777}, "writable"),
        ({"mode": 0o100777, "uid": 1000}, ""),
        ({"tracer": 77}, "traced"),
    ],
)
def test_signs(fields: dict[str, Any], expected: str) -> None:
    assert odd(**fields) == expected


def test_every_sign_has_its_clause_and_every_loud_one_is_a_sign() -> None:
    assert SIGNS.keys() >= LOUD
    assert SIGNS.keys() <= ProcessFact.TRAITS


@given(st.binary(max_size=400))
def test_no_bytes_break_the_parsers(text: bytes) -> None:
    parse.linker(text)
    parse.mapped(text)
    assert parse.code(text) >= 0
    assert parse.tracer(text) >= 0


@given(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=60))
def test_no_name_breaks_the_judging(one: bytes, two: bytes, three: bytes) -> None:
    words = odd(
        comm=one[:15], argv=(two, three), cwd=three, script=two, mapped=(one,), linker={b"LD_PRELOAD": two}
    )
    assert set(words.split()) <= SIGNS.keys()


def test_what_is_mapped_and_what_the_linker_is_told() -> None:
    text = (
        b"55d0a0000000-55d0a0001000 r--p 00000000 fd:01 77 /usr/bin/app\n"
        b"55d0a0001000-55d0a0002000 r-xp 00000000 fd:01 77 /usr/bin/app\n"
        b"7f0000000000-7f0000001000 rwxp 00000000 00:00 0 \n"
        b"7f0000001000-7f0000002000 r-xp 00000000 00:01 9 /memfd:x y (deleted)\n"
        b"7ffd00000000-7ffd00001000 r-xp 00000000 00:00 0 [vdso]\n"
        b"7f0000003000-7f0000004000 r-xs 00000000 fd:01 77 /usr/bin/app\n"
    )
    assert parse.mapped(text) == [b"/usr/bin/app", b"/memfd:x y (deleted)"]
    environ = b"A=1\0LD_PRELOAD=/tmp/x.so\0LD_DEBUG=all\0LD_AUDIT=\0XLD_PRELOAD=/y\0"
    assert parse.linker(environ) == {b"LD_PRELOAD": b"/tmp/x.so"}
    status = b"Name:\tx\\nVmExe:\t9 kB\nTracerPid:\t7\nVmExe:\t     300 kB\nVmLib:\t    1700 kB\n"
    assert (parse.code(status), parse.tracer(status)) == (2000, 7)


# -- as facts ----------------------------------------------------------------------------------------


class Watcher:
    """Polls a sensor as the daemon does; a login's shell is there from the beginning."""

    def __init__(self) -> None:
        self.host = FakeLive()
        self.sshd = self.host.add_process(b"/usr/sbin/sshd", age=900)
        self.shell = self.host.add_process(
            b"/usr/bin/bash", parent=self.sshd, age=900, tty=34816, login=True, unit=b"session-3.scope"
        )
        self.sensor = ProcessesSensor(self.host, ProcessesConfig(), self.host.wall)
        self.facts: list[ProcessFact] = []
        self.look()

    def look(self) -> None:
        (sweep,) = self.sensor.sweep(Depth.QUICK, never)
        self.facts = [ProcessFact.of(row) for row in sweep.rows]

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.5)):
            self.host.tick(0.5)
            if self.sensor.changed():
                self.look()

    def fact(self, name: bytes) -> ProcessFact | None:
        return next((fact for fact in self.facts if fact.exe.endswith(name)), None)


def test_a_loud_sign_is_news_within_a_second_even_in_a_login() -> None:
    watcher = Watcher()
    watcher.wait(5)
    child = watcher.host.fork(watcher.shell)
    watcher.host.execute(child, b"/usr/bin/vim")
    watcher.host.run_inside(child, {b"LD_PRELOAD": b"/tmp/x.so"})
    watcher.wait(1)
    found = watcher.fact(b"vim")
    assert found is not None
    assert (found.role, found.signs, found.evidence) == ("session", b"preload-odd", b"LD_PRELOAD=/tmp/x.so")


def test_ordinary_programs_of_a_login_stay_silence() -> None:
    watcher = Watcher()
    child = watcher.host.fork(watcher.shell)
    watcher.host.execute(child, b"/usr/bin/vim")
    watcher.host.run_inside(child, {b"LD_PRELOAD": b"/usr/lib/libfakeroot.so"}, [b"/root/.local/lib/x.so"])
    watcher.wait(120)
    assert watcher.fact(b"vim") is None


def test_code_that_gets_into_a_service_is_seen_at_the_next_look_at_everything() -> None:
    watcher = Watcher()
    watcher.wait(70)
    watcher.host.run_inside(watcher.sshd, mapped=[b"/memfd:x (deleted)"])
    watcher.wait(61)
    found = watcher.fact(b"sshd")
    assert found is not None
    assert found.signs == b"library-memory"
    assert "library-memory" in found.traits()


def test_a_worker_into_which_code_got_is_no_worker_any_more() -> None:
    watcher = Watcher()
    worker = watcher.host.fork(watcher.sshd)
    watcher.wait(70)
    assert [fact.pid for fact in watcher.facts if fact.pid == worker] == []
    watcher.host.run_inside(worker, mapped=[b"/tmp/x.so"])
    watcher.wait(61)
    assert [fact.signs for fact in watcher.facts if fact.pid == worker] == [b"library-temporary"]


def test_a_fork_that_is_about_to_execute_lends_its_name_to_nobody() -> None:
    """Name and image are read one after the other: the two may be of before and after."""
    watcher = Watcher()
    child = watcher.host.fork(watcher.shell)
    watcher.host.edit(child, exe=b"/home/alice/tool", comm=b"sshd")
    whole = watcher.host.process
    seen = iter(range(1))

    def process(pid: int) -> Process | None:
        found = whole(pid)
        if pid == child and found is not None and next(seen, None) is None:
            return found._replace(comm=b"tool")
        return found

    watcher.host.process = process  # type: ignore[method-assign]
    watcher.wait(10)
    assert watcher.fact(b"tool") is None


def test_a_script_in_tmp_is_news_in_a_login_when_it_lasts() -> None:
    watcher = Watcher()
    child = watcher.host.fork(watcher.shell)
    watcher.host.execute(child, b"/usr/bin/python3", b"python3", b"/tmp/x.py")
    watcher.wait(4)
    assert watcher.fact(b"python3") is None
    watcher.wait(2)
    assert watcher.fact(b"python3") is not None


def test_scriptlets_of_packages_are_silence() -> None:
    watcher = Watcher()
    rpm = watcher.host.fork(watcher.shell)
    watcher.host.execute(rpm, b"/usr/bin/rpm")
    child = watcher.host.fork(rpm)
    watcher.host.execute(child, b"/usr/bin/sh", b"/bin/sh", b"/var/tmp/rpm-tmp.AbCdEf", b"1")
    watcher.wait(60)
    assert watcher.fact(b"/sh") is None


def test_what_is_executed_in_place_is_seen_within_seconds() -> None:
    watcher = Watcher()
    watcher.wait(20)
    watcher.host.execute(watcher.shell, b"/tmp/implant")
    watcher.host.calls.clear()
    watcher.wait(4)
    assert watcher.fact(b"implant") is not None
    assert watcher.host.calls["pids"] <= 2


def test_what_is_executed_in_place_is_seen_within_seconds_however_much_is_forked() -> None:
    watcher = Watcher()
    watcher.wait(20)
    watcher.host.execute(watcher.shell, b"/tmp/implant")
    for _ in range(8):
        watcher.host.add_process(b"/usr/bin/date", parent=watcher.shell)
        watcher.wait(0.5)
    assert watcher.fact(b"implant") is not None


@pytest.mark.parametrize("offset", range(7))
def test_what_is_executed_in_place_soon_after_its_birth_is_seen_within_seconds(offset: int) -> None:
    watcher = Watcher()
    watcher.wait(20 + offset / 2)
    shell = watcher.host.add_process(b"/usr/bin/dash", argv=(b"dash", b"-c", b"x"))
    watcher.wait(1)
    watcher.host.execute(shell, b"/tmp/implant")
    watcher.wait(4)
    assert watcher.fact(b"implant") is not None


def test_a_sign_that_is_gone_is_no_news_and_a_new_one_is() -> None:
    plain, old = PROCESS, replace(PROCESS, signs=b"library-deleted", evidence=b"/usr/lib/x.so (deleted)")
    unknown = replace(PROCESS, signs=None)
    assert differs(ProcessFact, (old.row(), plain.row())) is None
    assert differs(ProcessFact, (old.row(), unknown.row())) is None
    assert differs(ProcessFact, (unknown.row(), old.row())) is None
    found = differs(ProcessFact, (plain.row(), old.row()))
    assert found is not None
    assert found.changed == ("signs",)
    assert "a system library that it uses was deleted or replaced (/usr/lib/x.so (deleted))" in sentence(
        found, NAMES
    )
    assert "preloaded into it" in sentence(drift(None, replace(PROCESS, signs=b"preload")), NAMES)
