"""The processes sensor over a host that the test edits: what is news, what is silence, and when."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hostguardd.diff import drift
from hostguardd.host.live import ANONYMOUS, DELETED, REPLACED, RUNNING
from hostguardd.model import Depth, ProcessFact
from hostguardd.sections import ProcessesConfig
from hostguardd.sensors.processes import ProcessesSensor
from tests.fakelive import FakeLive

POLL = 0.5


def never() -> bool:
    return False


class Watcher:
    """Polls a sensor as the daemon does, and keeps the facts of the last sweep."""

    def __init__(self) -> None:
        self.host = FakeLive()
        self.sshd = self.host.add_process(b"/usr/sbin/sshd", age=900)
        self.sensor = ProcessesSensor(self.host, ProcessesConfig(), self.host.wall)
        self.facts: list[ProcessFact] = []
        self.look()

    def look(self, depth: Depth = Depth.QUICK) -> None:
        (sweep,) = self.sensor.sweep(depth, never)
        self.facts = [ProcessFact.of(row) for row in sweep.rows]

    def wait(self, seconds: float) -> None:
        """Polls, `seconds` long."""
        for _ in range(round(seconds / POLL)):
            self.host.tick(POLL)
            if self.sensor.changed():
                self.look()

    def names(self) -> list[bytes]:
        return [fact.exe.rpartition(b"/")[2] for fact in self.facts]

    def fact(self, name: bytes) -> ProcessFact:
        (found,) = [fact for fact in self.facts if fact.exe.endswith(name)]
        return found


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


QUIET = [b"systemd", b"sshd"]


def test_what_runs_at_the_first_look_is_a_fact(watcher: Watcher) -> None:
    assert sorted(watcher.names()) == sorted(QUIET)
    sshd = watcher.fact(b"sshd")
    assert (sshd.role, sshd.instances, sshd.state) == ("service", 1, "running")
    assert (sshd.uid, sshd.parent_exe, sshd.unit) == (0, b"/usr/lib/systemd/systemd", b"sshd.service")
    assert sshd.pid == watcher.sshd


def test_we_ourselves_are_in_the_first_look_however_young() -> None:
    host = FakeLive()
    own = host.add_process(b"/usr/bin/python3.11", age=0)
    host.add_process(b"/usr/sbin/other", age=0)
    (sweep,) = ProcessesSensor(host, ProcessesConfig(), host.wall, own).sweep(Depth.QUICK, never)
    assert [ProcessFact.of(row).pid for row in sweep.rows if row[1] != b"/usr/lib/systemd/systemd"] == [own]


def test_a_restart_is_silence(watcher: Watcher) -> None:
    before = watcher.facts
    watcher.host.kill(watcher.sshd)
    watcher.wait(5)
    assert [(f.exe, f.instances) for f in watcher.facts] == [(f.exe, f.instances) for f in before]
    again = watcher.host.add_process(b"/usr/sbin/sshd")
    for _ in range(100):
        watcher.wait(POLL)
        assert watcher.fact(b"sshd").instances == 1
    assert watcher.fact(b"sshd").pid == again


def test_a_service_that_stays_away_is_missed_after_the_grace(watcher: Watcher) -> None:
    watcher.host.kill(watcher.sshd)
    watcher.wait(29)
    assert b"sshd" in watcher.names()
    watcher.wait(2)
    assert watcher.names() == [b"systemd"]


def test_what_was_started_a_moment_before_it_is_approved_is_no_news_later(watcher: Watcher) -> None:
    watcher.host.add_process(b"/usr/sbin/nginx", age=3.0)
    (approved,) = watcher.sensor.sweep(Depth.FULL, lambda: False)
    assert b"/usr/sbin/nginx" in [row[1] for row in approved.rows]
    for _ in range(100):
        watcher.wait(POLL)
        assert b"nginx" in watcher.names(), "and it stays listed, though it is young"


def test_what_may_end_by_itself_within_a_moment_is_not_approved(watcher: Watcher) -> None:
    watcher.host.add_process(b"/usr/bin/oneshot", age=0.5)
    (approved,) = watcher.sensor.sweep(Depth.FULL, lambda: False)
    assert b"/usr/bin/oneshot" not in [row[1] for row in approved.rows]


def test_workers_are_silence(watcher: Watcher) -> None:
    for _ in range(5):
        worker = watcher.host.fork(watcher.sshd)
        watcher.host.fork(worker)
        watcher.host.edit(watcher.host.fork(watcher.sshd), uid=33)
    watcher.wait(120)
    assert sorted(watcher.names()) == sorted(QUIET)
    assert watcher.fact(b"sshd").instances == 1


def test_a_worker_that_outlives_its_master_s_restart_is_no_further_instance(watcher: Watcher) -> None:
    cron = watcher.host.add_process(b"/usr/sbin/cron", age=900.0)
    watcher.wait(1)
    watcher.host.fork(cron)
    watcher.wait(5)
    watcher.host.kill(cron)
    watcher.host.add_process(b"/usr/sbin/cron")
    for _ in range(40):
        watcher.wait(POLL)
        assert watcher.fact(b"cron").instances == 1
    watcher.host.add_process(b"/usr/sbin/cron")
    watcher.wait(10)
    assert watcher.fact(b"cron").instances == 2, "one that was started beside it is"


def test_logins_are_silence(watcher: Watcher) -> None:
    monitor = watcher.host.fork(watcher.sshd)
    watcher.host.edit(monitor, login=True, unit=b"session-3.scope")
    shell = watcher.host.fork(monitor)
    watcher.host.edit(shell, uid=1000, tty=34816, session=shell)
    watcher.wait(1)
    watcher.host.execute(shell, b"/usr/bin/bash", b"-bash")
    editor = watcher.host.fork(shell)
    watcher.host.execute(editor, b"/usr/bin/vim")
    for _ in range(2):
        watcher.host.add_process(b"/usr/lib/systemd/systemd", unit=b"user@1000.service", uid=1000, login=True)
    watcher.wait(7200)
    assert sorted(watcher.names()) == sorted(QUIET)


def test_jobs_of_cron_and_timers_are_silence(watcher: Watcher) -> None:
    cron = watcher.host.add_process(b"/usr/sbin/crond", age=900)
    watcher.host.timers.add(b"backup.service")
    watcher.look()
    child = watcher.host.fork(cron)
    watcher.host.edit(child, login=True)
    job = watcher.host.fork(child)
    watcher.host.execute(job, b"/usr/bin/rsync")
    watcher.host.add_process(b"/usr/bin/restic", unit=b"backup.service")
    watcher.wait(3600)
    assert sorted(watcher.names()) == sorted([*QUIET, b"crond"])


def test_what_a_login_leaves_behind_is_news(watcher: Watcher) -> None:
    shell = watcher.host.add_process(
        b"/usr/bin/bash", parent=watcher.sshd, tty=34816, login=True, unit=b"session-3.scope"
    )
    left = watcher.host.fork(shell)
    watcher.host.execute(left, b"/usr/bin/nc", b"nc", b"-l")
    watcher.wait(600)
    assert b"nc" not in watcher.names()
    watcher.host.edit(left, tty=0)
    watcher.host.kill(shell)
    watcher.wait(POLL)
    assert watcher.fact(b"nc").role == "service"
    assert watcher.fact(b"nc").parent_exe == b"/usr/lib/systemd/systemd"


@pytest.mark.parametrize(
    ("unit", "parent", "seconds"),
    [(b"", 1, 0.3), (b"new.service", 1, 30.0), (b"sshd.service", 101, 60.0)],
    ids=["detached", "managed", "helper"],
)
def test_what_is_new_is_news_when_it_is_of_age(
    watcher: Watcher, unit: bytes, parent: int, seconds: float
) -> None:
    watcher.host.add_process(b"/usr/bin/new", parent=parent, unit=unit)
    began = watcher.host.now
    while b"new" not in watcher.names():
        watcher.wait(POLL)
        assert watcher.host.now - began < 100
    assert seconds <= watcher.host.now - began <= seconds + POLL


@pytest.mark.parametrize(
    ("exe", "state"),
    [(b"/tmp/x", "running"), (b"/dev/shm/x", "running"), (b"/usr/bin/x", DELETED), (b"/memfd:x", ANONYMOUS)],
)
def test_a_suspicious_image_is_news_at_once_even_in_a_login(watcher: Watcher, exe: bytes, state: str) -> None:
    watcher.host.add_process(exe, state=state, parent=watcher.sshd, login=True, tty=34816)
    watcher.wait(POLL)
    (found,) = [fact for fact in watcher.facts if fact.exe == exe]
    assert (found.role, found.state) == ("session", state)
    assert found.traits() & {"temporary", "deleted", "anonymous"}


def test_a_fork_is_judged_by_what_it_executes(watcher: Watcher) -> None:
    child = watcher.host.fork(watcher.sshd)
    watcher.host.edit(child, parent=1)
    watcher.look()
    watcher.host.execute(child, b"/tmp/x")
    watcher.wait(POLL)
    assert b"x" in watcher.names()


def test_a_program_that_replaces_itself_in_place_is_seen_within_a_minute(watcher: Watcher) -> None:
    watcher.wait(10)
    watcher.host.execute(watcher.sshd, b"/usr/bin/evil")
    watcher.wait(61)
    assert b"evil" in watcher.names()


def test_more_copies_count_when_they_last(watcher: Watcher) -> None:
    copy = watcher.host.add_process(b"/usr/sbin/sshd")
    watcher.wait(4)
    assert watcher.fact(b"sshd").instances == 1
    watcher.wait(1.5)
    assert watcher.fact(b"sshd").instances == 2
    assert watcher.fact(b"sshd").pid == watcher.sshd
    watcher.host.kill(copy)
    watcher.wait(1)
    assert watcher.fact(b"sshd").instances == 1


def test_helpers_are_not_counted(watcher: Watcher) -> None:
    for _ in range(3):
        watcher.host.add_process(b"/usr/bin/tool", parent=watcher.sshd, unit=b"sshd.service")
    watcher.wait(70)
    assert (watcher.fact(b"tool").role, watcher.fact(b"tool").instances) == ("helper", 1)


def test_the_worst_copy_speaks_for_all(watcher: Watcher) -> None:
    bad = watcher.host.add_process(b"/usr/sbin/sshd", state=DELETED, content=b"other")
    watcher.wait(POLL)
    assert (watcher.fact(b"sshd").state, watcher.fact(b"sshd").pid) == (DELETED, bad)


def test_a_package_update_shows_as_replaced(watcher: Watcher) -> None:
    watcher.host.edit(watcher.sshd, state=REPLACED)
    watcher.wait(61)
    assert watcher.fact(b"sshd").state == REPLACED


def test_a_crowd_of_huge_images_delays_no_news(watcher: Watcher) -> None:
    began = watcher.host.now
    crowd = [watcher.host.add_process(b"/home/eve/%d" % n, age=60, unit=b"", uid=1000) for n in range(40)]
    watcher.host.reading = dict.fromkeys(crowd, 0.5)
    small = watcher.host.add_process(b"/tmp/implant")
    watcher.look()
    assert watcher.host.now - began < 1.0
    assert len([fact for fact in watcher.facts if fact.exe.startswith(b"/home/eve/")]) == 40
    assert watcher.fact(b"implant").sha256 == watcher.host.digest(small) is not None
    unknown = [fact for fact in watcher.facts if fact.sha256 is None]
    assert 35 < len(unknown) < 40
    for _ in range(2):
        before = watcher.host.now
        watcher.host.tick(1.0)
        assert watcher.sensor.changed()
        watcher.look()
        assert watcher.host.now - before < 2.0
    watcher.wait(60)
    assert [fact for fact in watcher.facts if fact.sha256 is None] == []
    watcher.host.tick(POLL)
    assert not watcher.sensor.changed()


def test_a_full_sweep_takes_its_time_for_digests_but_not_for_ever(watcher: Watcher) -> None:
    began = watcher.host.now
    for number in range(40):
        pid = watcher.host.add_process(b"/opt/%d" % number, age=60, unit=b"")
        watcher.host.reading[pid] = 0.4
    watcher.look(Depth.FULL)
    assert [fact for fact in watcher.facts if fact.sha256 is None] == []
    for number in range(40):
        pid = watcher.host.add_process(b"/srv/%d" % number, age=60, unit=b"")
        watcher.host.reading[pid] = 1.0
    began = watcher.host.now
    watcher.look(Depth.FULL)
    assert 19 < watcher.host.now - began < 22
    assert len([fact for fact in watcher.facts if fact.sha256 is None]) == 20


def test_a_digest_that_comes_later_is_no_drift(watcher: Watcher) -> None:
    for name in (b"a", b"b", b"c"):
        watcher.host.reading[watcher.host.add_process(b"/opt/" + name, age=60, unit=b"")] = 0.5
    watcher.look()
    early = watcher.facts
    watcher.wait(5)
    assert len(early) == len(watcher.facts)
    assert early != watcher.facts
    for before, after in zip(early, watcher.facts, strict=True):
        for pair in ((before.row(), after.row()), (after.row(), before.row())):
            assert drift(ProcessFact, pair) is None


def test_what_has_no_image_to_read_is_not_asked_for_again(watcher: Watcher) -> None:
    watcher.host.add_process(b"/usr/bin/gone", age=60)
    watcher.host.unread = lambda pid: 0  # type: ignore[method-assign]
    watcher.look()
    assert watcher.fact(b"gone").sha256 is None
    watcher.wait(2)
    watcher.host.calls.clear()
    watcher.wait(20)
    assert "pids" not in watcher.host.calls


def test_a_file_put_in_the_place_of_a_running_one_is_compared_before_it_is_told(watcher: Watcher) -> None:
    """The host says "replaced" until it has read both files: it may be the same program again."""
    pid = watcher.host.add_process(b"/opt/again", age=60, state=REPLACED)
    whole = watcher.host.read

    def read(which: int, stop: Callable[[], bool]) -> None:
        whole(which, stop)
        if which == pid:
            watcher.host.edit(pid, state=RUNNING)

    watcher.host.read = read  # type: ignore[method-assign,assignment]
    watcher.look()
    assert watcher.fact(b"again").state == RUNNING


def test_a_pid_used_again_is_another_process(watcher: Watcher) -> None:
    watcher.host.kill(watcher.sshd)
    watcher.host.tick(0.5)
    watcher.host.add_process(b"/usr/bin/other", pid=watcher.sshd, unit=b"")
    watcher.wait(62)
    assert b"other" in watcher.names()
    assert b"sshd" not in watcher.names()


def test_scripts_of_one_interpreter_are_services_of_their_own(watcher: Watcher) -> None:
    for script in (b"/opt/a.py", b"/opt/b.py"):
        watcher.host.add_process(b"/usr/bin/python3.11", argv=(b"python3", script), age=60)
    watcher.look()
    assert sorted(fact.script for fact in watcher.facts if fact.script) == [b"/opt/a.py", b"/opt/b.py"]


def test_kernel_threads_are_no_facts_but_what_looks_like_one_is(watcher: Watcher) -> None:
    watcher.host.add_process(b"", pid=3000, parent=2, kernel=True, comm=b"kworker/0:1", unit=b"", age=99)
    watcher.host.add_process(b"", pid=3001, comm=b"kworker/0:1", unit=b"", age=99)
    watcher.host.add_process(b"/usr/bin/miner", argv=(b"[kworker/0:1]",), unit=b"", age=99)
    watcher.look()
    assert sorted(watcher.names()) == sorted([*QUIET, b"0:1]", b"miner"])
    for fact in watcher.facts:
        assert ("masquerade" in fact.traits()) is (fact.exe in (b"/usr/bin/miner", b"[kworker/0:1]"))


def test_what_a_kernel_thread_starts_says_so(watcher: Watcher) -> None:
    watcher.host.add_process(b"", pid=2, parent=0, kernel=True, comm=b"kthreadd", unit=b"", age=999)
    watcher.host.add_process(b"/usr/bin/handler", parent=2, unit=b"", age=99)
    watcher.look()
    assert watcher.fact(b"handler").parent_exe == b"[kernel]"


def test_containers_and_hidden_processes_are_named_once(watcher: Watcher) -> None:
    for pid in range(20):
        watcher.host.add_process(b"/bin/redis", namespace=f"pid:[{pid % 2}]", comm=b"redis")
    watcher.host.add_process(None, comm=b"secret\xff", uid=1001)
    (sweep,) = watcher.sensor.sweep(Depth.FULL, never)
    first, second = sweep.blinds
    assert first.reason.startswith("20 processes in 2 pid namespaces")
    assert "redis" in first.reason
    assert "and 12 more" in first.reason
    assert "1 process " in second.reason
    assert "secret" in second.reason
    assert len(sweep.rows) == 2


def test_a_quiet_host_is_looked_at_once_a_minute(watcher: Watcher) -> None:
    watcher.wait(5)
    watcher.host.calls.clear()
    watcher.wait(300)
    assert watcher.host.calls["pids"] <= 6
    assert watcher.host.calls["fork_mark"] >= 590


def test_a_loop_of_parents_does_no_harm(watcher: Watcher) -> None:
    watcher.host.add_process(b"/usr/bin/a", pid=4000, parent=4001, age=99)
    watcher.host.add_process(b"/usr/bin/b", pid=4001, parent=4000, age=99)
    watcher.look()
    assert {b"a", b"b"} <= set(watcher.names())
