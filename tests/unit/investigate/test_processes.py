"""The tree of processes: quiet on an ordinary host, and each disguise is seen through."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from hostguardd.host.files import LinuxFiles
from hostguardd.host.live import ANONYMOUS, DELETED, REPLACED, NoLiveHost
from hostguardd.host.proc import ProcHost
from hostguardd.host.texts import LinuxTexts, Text
from hostguardd.investigate.checks import processes
from hostguardd.investigate.interface import Item, Verdict
from hostguardd.packages.interface import Transaction
from tests.fakelive import FakeLive
from tests.owning import Owning
from tests.scenes import Findings, looked, scene

STRANGER = 64001
"""A uid without an account."""


def found(live: FakeLive, packages: Owning | None = None, **options: object) -> Findings:
    return looked(processes.look, scene(live=live, packages=packages or Owning(), **options))  # type: ignore[arg-type]


@pytest.fixture
def live() -> FakeLive:
    """A web server with workers, cron, a login that uses sudo, and threads of the kernel."""
    live = FakeLive()
    live.add_process(None, pid=2, parent=0, age=1000, kernel=True, comm=b"kthreadd", unit=b"")
    for number in range(40):
        live.add_process(b"", parent=2, age=999, kernel=True, comm=b"kworker/%d:0" % number, unit=b"")
    nginx = live.add_process(b"/usr/sbin/nginx", age=900)
    for _ in range(400):
        live.add_process(b"/usr/sbin/nginx", parent=nginx, uid=33, age=800)
    sshd = live.add_process(b"/usr/sbin/sshd", age=900)
    session = live.add_process(b"/usr/sbin/sshd", parent=sshd, age=90)
    shell = live.add_process(b"/usr/bin/bash", parent=session, uid=65534, age=90)
    sudo = live.add_process(b"/usr/bin/sudo", parent=shell, age=50)
    live.add_process(b"/usr/bin/less", parent=sudo, age=50)
    return live


def of(live: FakeLive, pid: int, packages: Owning | None = None) -> Item:
    """What is said of one process."""
    (item,) = [one for one in found(live, packages).items if one.name.startswith(f"pid {pid} ")]
    return item


def test_a_clean_host_is_a_tree_of_fine_things(live: FakeLive) -> None:
    told = found(live)
    assert {item.verdict for item in told.items} == {Verdict.FINE}
    assert not told.moments
    assert not told.unseen
    names = [item.name for item in told.items]
    assert len(names) == len(set(names)) == 10
    for item in told.items:
        assert item.parent == "" or names.index(item.parent) < names.index(item.name)
    (workers,) = [item for item in told.items if item.details.get("count") == 400]
    assert workers.parent.endswith("/usr/sbin/nginx")
    assert "400 processes" in workers.says
    assert told.named("threads of the kernel").details["count"] == 40


@pytest.mark.parametrize(("exe", "fields", "clause"), [
    (b"/tmp/x", {}, "anybody may write"),
    (b"/memfd:kit", {"state": ANONYMOUS}, "from memory"),
    (b"/var/lib/misc/gone", {"state": DELETED}, "deleted"),
    (b"/usr/sbin/gone", {"state": DELETED}, "deleted"),
    (b"/usr/local/lib/worker", {"argv": (b"[kworker/0:1]",)}, "[kworker/0:1]"),
    (b"/usr/local/lib/worker", {"comm": b"kworker/0:1"}, "kworker/0:1"),
    (b"/usr/libexec/stranger", {}, "belongs to no package"),
])  # fmt: skip
def test_a_disguise(live: FakeLive, exe: bytes, fields: dict[str, object], clause: str) -> None:
    pid = live.add_process(exe, age=30, **fields)  # type: ignore[arg-type]
    item = of(live, pid)
    assert item.verdict is Verdict.SUSPICIOUS
    assert clause in item.says
    assert item.means
    assert "/proc/PID/exe" in item.next
    assert item.technique
    (moment,) = found(live).moments
    assert moment.says == f"{item.name} began"


def test_one_bad_worker_among_many_is_told_alone(live: FakeLive) -> None:
    parent = live.add_process(b"/usr/sbin/apache2", age=100)
    workers = [live.add_process(b"/usr/sbin/apache2", parent=parent, age=90) for _ in range(9)]
    live.run_inside(workers[4], mapped=(b"/dev/shm/x.so",))
    item = of(live, workers[4])
    assert item.verdict is Verdict.SUSPICIOUS
    assert "/dev/shm/x.so" in item.says
    assert any(one.details.get("count") == 8 for one in found(live).items)


def test_of_very_many_that_are_alike_a_sample_is_looked_into_and_who_differs_is_seen(live: FakeLive) -> None:
    parent = live.add_process(b"/usr/sbin/apache2", age=100)
    workers = [live.add_process(b"/usr/sbin/apache2", parent=parent, age=90) for _ in range(500)]
    live.run_inside(workers[499], mapped=(b"/dev/shm/x.so",))
    live.calls.clear()
    assert of(live, workers[499]).verdict is Verdict.SUSPICIOUS
    assert live.calls["inside"] < 200


def test_what_an_update_left_is_told_apart(live: FakeLive) -> None:
    replaced = live.add_process(b"/usr/sbin/cupsd", age=500, state=REPLACED)
    assert "update" in of(live, replaced).says
    assert of(live, replaced).verdict is Verdict.FINE
    own = live.add_process(b"/opt/app/d", age=500, state=REPLACED)
    assert of(live, own).verdict is Verdict.NOTABLE
    gone = live.add_process(b"/usr/lib/old/d", age=500, state=DELETED)
    where = scene(live=live)
    upgrade = Transaction(where.now - 100, "upgrade", "old", "1", "2", "/var/log/dpkg.log:1")
    assert of(live, gone, Owning(deeds=(upgrade,))).verdict is Verdict.NOTABLE
    before = upgrade._replace(at=where.now - 900)
    assert of(live, gone, Owning(deeds=(before,))).verdict is Verdict.SUSPICIOUS


def test_several_super_servers(live: FakeLive) -> None:
    one = live.add_process(b"/usr/sbin/xinetd", age=100)
    live.add_process(b"/usr/sbin/xinetd", parent=one, age=1)  # for a connection
    assert not found(live).suspicious
    other = live.add_process(b"/usr/sbin/inetd", age=10)
    assert {of(live, one).verdict, of(live, other).verdict} == {Verdict.SUSPICIOUS}


def test_root_without_su_or_sudo(live: FakeLive) -> None:
    shell = live.add_process(b"/usr/bin/bash", uid=STRANGER, age=50, unit=b"session-1.scope")
    raised = live.add_process(b"/usr/bin/bash", parent=shell, age=40)
    item = of(live, raised)
    assert item.verdict is Verdict.SUSPICIOUS
    assert item.technique == "T1068"
    false = live.add_process(b"/home/a/sudo", parent=shell, age=40)
    assert of(live, false).verdict is Verdict.SUSPICIOUS
    live.come_from(raised, leave=b"PKEXEC_UID=64001")
    assert of(live, raised).verdict is Verdict.NOTABLE
    live.run_inside(raised, mode=0o104755)
    assert of(live, raised).verdict is Verdict.FINE
    live.run_inside(raised)
    live.come_from(shell, real=0)  # a server that lowered itself for a moment
    assert of(live, raised).verdict is Verdict.FINE


def test_an_account_that_is_not_there(live: FakeLive) -> None:
    assert of(live, live.add_process(b"/usr/sbin/d", uid=54321, age=9)).verdict is Verdict.NOTABLE
    dynamic = live.add_process(b"/usr/sbin/d", uid=61184, age=9)
    assert of(live, dynamic).verdict is Verdict.FINE
    inside = live.add_process(b"/usr/sbin/d", uid=54321, age=9, namespace="pid:[4]")
    assert of(live, inside).verdict is Verdict.FINE


def test_who_only_counts_its_processes_apart_is_no_container(live: FakeLive) -> None:
    strange = live.add_process(b"/usr/lib/upd/agent", age=9, namespace="pid:[4]")
    packages = Owning(strangers=frozenset({b"/usr/lib/upd/agent"}))
    assert of(live, strange, packages).verdict is Verdict.FINE
    live.at_our_root.add(strange)
    assert of(live, strange, packages).verdict is Verdict.SUSPICIOUS


@pytest.mark.parametrize(
    ("script", "verdict"),
    [
        (b"/usr/lib/upd/agent.py", Verdict.NOTABLE),
        (b"/etc/upd.py", Verdict.NOTABLE),
        (b"/usr/lib/tool/tool.py", Verdict.FINE),
        (b"/opt/tool.py", Verdict.FINE),
        (b"/usr/lib/node_modules/npm/cli.js", Verdict.FINE),
    ],
)
def test_what_an_interpreter_runs_has_an_owner_too(live: FakeLive, script: bytes, verdict: Verdict) -> None:
    pid = live.add_process(b"/usr/bin/python3.11", age=9, argv=(b"python3", script))
    strangers = frozenset({b"/usr/lib/upd/agent.py", b"/usr/lib/node_modules/npm/cli.js"})
    item = of(live, pid, Owning(strangers=strangers))
    assert item.verdict is verdict
    assert ("belongs to no package" in item.says) is (verdict is Verdict.NOTABLE)


@pytest.mark.parametrize(
    ("exe", "argv", "stdin", "notable"),
    [
        (b"/usr/bin/python3.11", (b"python3", b"-"), b"pipe:[5]", True),
        (b"/usr/bin/perl", (b"perl",), b"/tmp/sh-thd.x (deleted)", True),
        (b"/usr/bin/dash", (b"sh",), b"socket:[5]", True),
        (b"/usr/bin/dash", (b"sh", b"/dev/fd/0"), b"pipe:[5]", True),
        (b"/usr/bin/dash", (b"sh",), b"/dev/null", False),
        (b"/usr/bin/dash", (b"sh",), b"/opt/run.sh", False),
        (b"/usr/bin/dash", (b"sh", b"-c", b"cat"), b"pipe:[5]", False),
        (b"/usr/bin/cat", (b"cat", b"-"), b"pipe:[5]", False),
    ],
)
def test_a_program_that_came_through_a_pipe(
    live: FakeLive, exe: bytes, argv: tuple[bytes, ...], stdin: bytes, notable: bool
) -> None:
    live.plain |= {b"/opt/run.sh", b"/tmp/sh-thd.x (deleted)"}
    null = b"/dev/null"
    pid = live.add_process(exe, age=30, argv=argv)
    live.come_from(pid, streams=(stdin, null, null))
    item = of(live, pid)
    assert item.verdict is (Verdict.NOTABLE if notable else Verdict.FINE)
    assert ("no file holds it" in item.says) is notable
    sshd = live.add_process(b"/usr/sbin/sshd", age=30)
    for fields in ({"parent": sshd}, {"tty": 1025}, {"namespace": "pid:[7]"}):
        other = live.add_process(exe, age=30, argv=argv, **fields)
        live.come_from(other, streams=(stdin, null, null))
        assert "no file holds it" not in of(live, other).says


def test_a_script_that_was_deleted(live: FakeLive, tmp_path: Path) -> None:
    script = tmp_path / "opt/agent.py"
    script.parent.mkdir()
    script.touch()
    python = {"exe": b"/usr/bin/python3.11", "age": 30}
    pid = live.add_process(**python, argv=(b"python3", b"/opt/agent.py"))  # type: ignore[arg-type]
    relative = live.add_process(**python, argv=(b"python3", b"agent.py"))  # type: ignore[arg-type]

    live.at_our_root |= {pid, relative}

    def said(pid: int, **options: object) -> Item:
        host = scene(os.fsencode(tmp_path), live=live, packages=Owning(), **options)  # type: ignore[arg-type]
        told = looked(processes.look, host).items
        return next(one for one in told if one.name.startswith(f"pid {pid} "))

    assert said(pid).verdict is Verdict.FINE
    script.unlink()
    assert said(pid).verdict is Verdict.NOTABLE
    assert "/opt/agent.py, and that file is not there" in said(pid).says
    assert said(relative).verdict is Verdict.FINE
    assert said(pid, uid=1000).verdict is Verdict.FINE


def test_a_script_that_not_even_root_may_look_at_is_not_gone(live: FakeLive, tmp_path: Path) -> None:
    """As below a mount of FUSE, which shows its files to one account alone."""

    class Barred(LinuxTexts):
        def lstat(self, path: bytes) -> os.stat_result | None:
            return None if path == script else super().lstat(path)

        def read(self, path: bytes, limit: int, offset: int = 0) -> Text:
            return (
                Text(None, None, "Permission denied") if path == script else super().read(path, limit, offset)
            )

    script = b"/opt/mine/agent.py"
    pid = live.add_process(b"/usr/bin/python3.11", age=30, argv=(b"python3", script))
    live.at_our_root.add(pid)
    for texts in (Barred, LinuxTexts):
        host = scene(live=live, packages=Owning(), texts=texts(LinuxFiles(os.fsencode(tmp_path))))
        item = next(one for one in looked(processes.look, host).items if one.name.startswith(f"pid {pid} "))
        assert ("that file is not there" in item.says) is (texts is LinuxTexts)


def test_a_helper_of_the_kernel_that_stays(live: FakeLive) -> None:
    pid = live.add_process(b"/usr/sbin/modprobe", parent=2, age=1, unit=b"")
    assert of(live, pid).verdict is Verdict.FINE
    live.tick(100)
    assert of(live, pid).verdict is Verdict.SUSPICIOUS


def test_what_has_honest_reasons_as_well_is_worth_a_note(live: FakeLive) -> None:
    traced = live.add_process(b"/usr/sbin/d", age=9)
    live.edit(traced, tracer=5)
    item = of(live, traced)
    assert item.verdict is Verdict.NOTABLE
    assert item.next
    other = live.add_process(b"/usr/sbin/e", age=9)
    live.run_inside(other, linker={b"LD_PRELOAD": b"/usr/lib/libown.so"})
    assert of(live, other).verdict is Verdict.NOTABLE


def test_what_is_worth_a_note_in_many_workers_is_noted_once(live: FakeLive) -> None:
    parent = live.add_process(b"/usr/sbin/apache2", age=100)
    workers = [live.add_process(b"/usr/sbin/apache2", parent=parent, age=90) for _ in range(50)]
    for pid in workers[:40]:
        live.run_inside(pid, linker={b"LD_PRELOAD": b"/usr/lib/libown.so"})
    told = found(live)
    (noted,) = told.of(Verdict.NOTABLE)
    assert noted.details["count"] == 40
    assert noted.name.endswith(f"notable from pid {workers[0]} on")
    assert len(told.moments) == 1


def test_parents_that_name_each_other_end(live: FakeLive) -> None:
    one = live.add_process(b"/usr/sbin/a", age=9)
    two = live.add_process(b"/usr/sbin/b", parent=one, age=9)
    live.edit(one, parent=two)
    names = {item.name for item in found(live).items}
    assert {f"pid {one} /usr/sbin/a", f"pid {two} /usr/sbin/b"} <= names


def test_an_image_and_an_ordinary_user(live: FakeLive) -> None:
    (unseen,) = looked(processes.look, scene(live=NoLiveHost())).unseen
    assert "no running kernel" in unseen.reason
    live.add_process(None, age=5, comm=b"other")
    (unseen,) = found(live, uid=1000).unseen
    assert unseen.remedy


@pytest.mark.parametrize("kind", ["deleted", "memory", "thread"])
def test_a_real_one(kind: str, tmp_path: Path, running: Callable[..., subprocess.Popen[bytes]]) -> None:
    """On this machine: a program that deletes itself, one in memory, and one by the name of a thread."""
    shell = shutil.which("bash")
    assert shell
    argv0 = "bash"
    if kind == "memory":
        fd = os.memfd_create("kit", 0)
        os.write(fd, Path(shell).read_bytes())
        image = f"/proc/{os.getpid()}/fd/{fd}"
    else:
        image = str(tmp_path / "worker")
        shutil.copy(shell, image)
        argv0 = "[kworker/3:1]" if kind == "thread" else argv0
    line = f"exec -a '{argv0}' {image} -c 'echo x; read -t 60 < <(sleep 60)'"
    process = running([shell, "-c", line])
    if kind == "deleted":
        os.unlink(image)
    with closing(ProcHost()) as real:
        told = looked(processes.look, scene(live=real))
    (item,) = [one for one in told.items if one.name.startswith(f"pid {process.pid} ")]
    assert item.verdict is Verdict.SUSPICIOUS
    assert {"deleted": "deleted", "memory": "memory", "thread": "kworker/3:1"}[kind] in item.says


def test_a_program_on_the_command_line_stands_in_the_evidence_and_names_the_process_by_its_beginning(
    live: FakeLive,
) -> None:
    code = b"import os; " + b"os.getpid(); " * 30 + b"the_end()"
    pid = live.add_process(b"/tmp/python3", argv=(b"python3", b"-c", code), age=30)
    item = of(live, pid)
    assert len(item.name) < 100
    assert item.name in (f"pid {pid} {item.says.partition(' runs as ')[0]}",)
    assert "-c import os; " in item.name
    assert item.evidence[0].text.startswith("python3 -c import os; os.getpid(); os.getpid(); ")
    assert len(item.evidence[0].text) > 300


@pytest.mark.parametrize(("line", "clause"), [
    ("ssh -N -R 2222:localhost:22 x@203.0.113.6", "opens a port elsewhere that leads here"),
    ("ssh -fNTR2222:localhost:22 203.0.113.6", "opens a port elsewhere"),
    ("ssh -i -k x@203.0.113.6 -NR 2222:localhost:22", "opens a port elsewhere"),
    ("ssh -oRemoteForward=2222 203.0.113.6", "opens a port elsewhere"),
    ("ssh -o 'dynamicforward 1080' 203.0.113.6", "lets others go on from here"),
    ("ssh -w 0:0 203.0.113.6", "joins this host's network"),
    ("autossh -M 0 -D 1080 203.0.113.6", "lets others go on from here"),
])  # fmt: skip
def test_a_tunnel_by_ssh_is_to_be_explained(live: FakeLive, line: str, clause: str) -> None:
    argv = tuple(word.encode() for word in shlex.split(line))
    item = of(live, live.add_process(b"/usr/bin/" + argv[0], age=30, argv=argv))
    assert item.verdict is Verdict.NOTABLE
    assert clause in item.says
    assert item.technique == "T1572"


@pytest.mark.parametrize("line", [
    "ssh 203.0.113.6", "ssh -p 22 -L 80:x:80 x@203.0.113.6 tar -R", "ssh -l R 203.0.113.6 ls -D -w",
    "ssh -oTunnel=no -v -- 203.0.113.6 -R", "ssh -M -S /x 203.0.113.6", "ssh -F", "ssh -o", "ssh -o ''",
    "ssh - x",
])  # fmt: skip
def test_everyday_work_by_ssh_is_fine(live: FakeLive, line: str) -> None:
    argv = tuple(word.encode() for word in shlex.split(line))
    assert of(live, live.add_process(b"/usr/bin/ssh", age=30, argv=argv)).verdict is Verdict.FINE
