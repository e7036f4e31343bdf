"""Witnesses that lie, fail and lose: no wrong name, and the next rung."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostguardd.actors.auditrecords import Event
from hostguardd.actors.fanevents import FanEvent, Mask
from hostguardd.actors.model import Actor, Answer, Change, Confidence, Details, Peer, Rung, Unattributed
from hostguardd.actors.table import ENDED, LIVING, Table
from hostguardd.engine.naming import Naming
from hostguardd.engine.witness import Witness
from hostguardd.host.audit import Status
from hostguardd.host.kernel import Audit
from tests.fakewitness import SECOND, FakeFiles, FakeWitnesses

PATH = b"/etc/passwd"
ATTRIB, MODIFY = int(Mask.ATTRIB), int(Mask.MODIFY)


class Scene:
    """A host with a login shell under sshd, and a witness of it."""

    def __init__(self, *rungs: str, **more: Any) -> None:
        self.host = FakeWitnesses(**more)
        host = self.host
        host.process(1, 0, b"/usr/lib/systemd/systemd")
        host.process(50, 1, b"/usr/sbin/sshd", unit=b"ssh.service")
        host.process(60, 50, b"/usr/sbin/sshd", unit=b"session-3.scope", login=1000, session=3)
        host.connected[60] = [Peer(b"192.0.2.7", 4242)]
        host.process(
            61, 60, b"/bin/bash", uid=1000, euid=1000, login=1000, session=3, unit=b"session-3.scope"
        )
        host.clock.now += SECOND
        self.witness = Witness(host, lambda folder, _: folder == b"/etc", host.clock.mono, host.clock.wall)
        self.witness.open(rungs or ("audit", "fanotify"), [b"/etc"])

    def run(self, pid: int, exe: bytes = b"/usr/bin/chmod", parent: int = 61, *, gone: bool = False) -> None:
        """A program that the shell runs; `gone` before anybody could look at it."""
        self.host.fork(parent, pid)
        if gone:
            self.host.alive.pop(pid, None)
        self.host.exec(pid, exe)

    def tend(self) -> None:
        """A minute later, the loop tends to it."""
        self.host.clock.now += 60 * SECOND
        self.witness.tend(self.host.clock.now)

    def ask(self, ctime: int | None, change: Change = Change.ATTRIBUTES, since: int = 0) -> Answer:
        self.host.clock.now += 1
        return self.witness.attribute(PATH, change, ctime, since)


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene("fanotify")
    yield made
    made.witness.close()


def actor(answer: Answer) -> Actor:
    assert isinstance(answer, Actor), answer
    return answer


def reason(answer: Answer) -> str:
    assert isinstance(answer, Unattributed)
    return answer.reason


def test_what_a_shell_runs_at_once_leaves_the_shell_known(scene: Scene) -> None:
    """Both messages are read together, so the shell is looked at when its child runs a program already."""
    scene.host.fork(61, 69)
    scene.host.exec(69, b"/usr/bin/dash", told=False)
    scene.run(70, parent=69)
    scene.host.clock.now += SECOND // 1000
    scene.witness.drain()
    at = scene.host.touch(70, PATH, ATTRIB)
    found = actor(scene.ask(at)).who
    assert found.exe == b"/usr/bin/chmod"
    shell = found.parents[0]
    assert (shell.exe, shell.command) == (b"/usr/bin/dash", b"/usr/bin/dash\0")


def test_a_program_that_is_gone_is_known(scene: Scene) -> None:
    scene.run(70, gone=True)
    at = scene.host.touch(70, PATH, ATTRIB)
    scene.host.exit(70)
    found = actor(scene.ask(at)).who
    assert (found.pid, found.exe, found.uid, found.login, found.session) == (
        70,
        b"/usr/bin/chmod",
        1000,
        1000,
        3,
    )
    assert found.command is None  # nobody could read it
    assert [one.exe for one in found.parents][:3] == [b"/bin/bash", b"/usr/sbin/sshd", b"/usr/sbin/sshd"]
    assert found.source == Peer(b"192.0.2.7", 4242)
    assert found.unit == b"session-3.scope"


def test_the_address_is_known_after_the_session_ended(scene: Scene) -> None:
    scene.run(70)
    scene.witness.drain()
    scene.host.connected.clear()
    at = scene.host.touch(70, PATH, ATTRIB)
    for pid in (70, 61, 60):
        scene.host.exit(pid)
    assert actor(scene.ask(at)).who.source == Peer(b"192.0.2.7", 4242)


def test_a_pid_that_was_used_again_is_not_named_by_its_new_owner(scene: Scene) -> None:
    """Both lives of the pid fall between two readings, and the event does not say which it was."""
    scene.run(70, b"/usr/bin/innocent")
    scene.host.exit(70)
    scene.run(70, b"/usr/bin/chmod")
    at = scene.host.touch(70, PATH, ATTRIB)
    assert "two processes" in reason(scene.ask(at))


def test_a_pid_that_was_used_again_later_is_the_first_one(scene: Scene) -> None:
    scene.run(70, b"/usr/bin/chmod")
    at = scene.host.touch(70, PATH, ATTRIB)
    scene.witness.drain()
    scene.host.exit(70)
    scene.run(70, b"/usr/bin/innocent")
    assert actor(scene.ask(at)).who.exe == b"/usr/bin/chmod"


def test_what_a_process_did_before_it_ran_another_program(scene: Scene) -> None:
    """A shell's redirection is the shell's, though the same process is another program a moment later."""
    scene.host.fork(61, 70)
    scene.host.events.append(FanEvent(ATTRIB, 70, (b"fs", 1, b"/etc"), b"passwd"))
    at = scene.host.clock.wall()
    scene.host.exec(70, b"/usr/bin/cat")
    found = actor(scene.ask(at)).who
    assert (found.pid, found.exe) == (70, b"/bin/bash")


def test_a_program_the_kernel_did_not_tell_of_is_not_the_one_before(scene: Scene) -> None:
    scene.run(70, b"/usr/bin/innocent")
    scene.witness.drain()
    scene.host.alive.pop(70)
    scene.host.exec(70, b"/memfd:x", told=False)
    at = scene.host.touch(70, PATH, ATTRIB)
    assert actor(scene.ask(at)).who.exe is None


def test_a_script_that_is_gone_may_be_any_program(scene: Scene) -> None:
    """What opens a program, a second one and a loader need not have run the second."""
    scene.host.fork(61, 70)
    scene.host.alive.pop(70)
    scene.host.events.append(FanEvent(0x1000, 70, (b"fs", 1, b"/usr/local/bin"), b"script"))
    scene.host.exec(70, b"/usr/bin/perl")
    at = scene.host.touch(70, PATH, ATTRIB)
    assert actor(scene.ask(at)).who.exe is None


def test_another_user_by_setuid(scene: Scene) -> None:
    scene.run(70, b"/usr/bin/su")
    scene.host.become(70, 1001)
    scene.witness.drain()
    at = scene.host.touch(70, PATH, ATTRIB)
    found = actor(scene.ask(at)).who
    assert (found.uid, found.login) == (1001, 1000)


@pytest.mark.parametrize("runs", [False, True])
def test_another_user_about_the_time_of_the_deed(scene: Scene, runs: bool) -> None:
    """A daemon writes a file as root and gives its rights up: which came first is not told, unless it ran
    another program in between."""
    become_root(scene)
    scene.run(70, parent=69)
    scene.witness.drain()
    scene.host.become(70, 1001)
    if runs:
        scene.host.exec(70, b"/usr/bin/touch")
    at = scene.host.touch(70, PATH, ATTRIB)
    assert actor(scene.ask(at)).who.uid == (1001 if runs else None)


def test_the_login_of_a_child_of_root_is_not_its_parent_s(scene: Scene) -> None:
    """cron's child logs the owner of the job in, without a message: what it had before says nothing."""
    scene.host.fork(50, 70)
    scene.host.alive.pop(70)
    at = scene.host.touch(70, PATH, ATTRIB)
    found = actor(scene.ask(at)).who
    assert found.login is None
    assert found.source is None


def become_root(scene: Scene) -> None:
    """A shell of root below the login's."""
    scene.run(69, b"/usr/bin/bash")
    scene.host.become(69, 0)
    scene.host.clock.now += SECOND
    scene.witness.drain()


def test_the_login_of_a_program_of_root_that_is_gone_is_that_of_its_shell(scene: Scene) -> None:
    """The shell had the same session before and after: no other can have been inherited."""
    become_root(scene)
    scene.run(70, parent=69, gone=True)
    at = scene.host.touch(70, PATH, ATTRIB)
    scene.host.exit(70)
    found = actor(scene.ask(at)).who
    assert (found.uid, found.login, found.session, found.source) == (0, 1000, 3, Peer(b"192.0.2.7", 4242))


def test_the_login_of_what_a_script_runs_that_is_gone_as_well(scene: Scene) -> None:
    """The script's shell was not read, but it had the login of the shell above, and is none that logs in."""
    become_root(scene)
    scene.run(70, b"/usr/bin/dash", parent=69, gone=True)
    scene.run(71, parent=70, gone=True)
    at = scene.host.touch(71, PATH, ATTRIB)
    scene.host.exit(71)
    scene.host.exit(70)
    found = actor(scene.ask(at)).who
    assert (found.uid, found.login, found.session, found.source) == (0, 1000, 3, Peer(b"192.0.2.7", 4242))


def test_the_login_of_what_is_run_by_a_program_that_logs_in_is_not_known(scene: Scene) -> None:
    become_root(scene)
    scene.run(70, b"/usr/bin/login", parent=69, gone=True)
    scene.run(71, parent=70, gone=True)
    at = scene.host.touch(71, PATH, ATTRIB)
    scene.host.exit(71)
    assert actor(scene.ask(at)).who.login is None


def test_a_shell_that_logged_in_anew_meanwhile_says_nothing_of_its_child(scene: Scene) -> None:
    become_root(scene)
    scene.run(70, parent=69, gone=True)
    at = scene.host.touch(70, PATH, ATTRIB)
    scene.host.alive[69] = scene.host.alive[69]._replace(login=1001, session=9)
    found = actor(scene.ask(at)).who
    assert (found.login, found.session, found.source) == (None, None, None)


def test_what_logs_others_in_says_nothing_of_its_child(scene: Scene) -> None:
    """An sshd that was started by hand, in somebody's session: its child is another's by now."""
    scene.run(69, b"/usr/sbin/sshd")
    scene.host.become(69, 0)
    scene.host.clock.now += SECOND
    scene.witness.drain()
    scene.run(70, parent=69, gone=True)
    at = scene.host.touch(70, PATH, ATTRIB)
    assert actor(scene.ask(at)).who.login is None


def test_reports_of_processes_that_were_lost(scene: Scene) -> None:
    scene.run(70, gone=True)
    scene.host.messages.clear()
    scene.host.messages_lost = True
    at = scene.host.touch(70, PATH, ATTRIB)
    scene.witness.drain()
    assert isinstance(scene.ask(at), Unattributed)
    assert scene.witness.rungs.losses == {"processes": 1}
    scene.host.clock.now += SECOND
    scene.witness.drain()
    scene.host.clock.now += SECOND
    scene.run(71)
    again = scene.host.touch(71, PATH, ATTRIB)
    assert actor(scene.ask(again, since=at)).who.pid == 71


def test_a_loss_unnames_who_cannot_be_confirmed(scene: Scene) -> None:
    scene.run(70)
    scene.host.messages_lost = True
    at = scene.host.touch(70, PATH, ATTRIB)
    scene.host.alive.pop(70)
    assert "lost" in reason(scene.ask(at))


def test_an_overflow_of_file_events_is_told(scene: Scene) -> None:
    scene.host.events.append(FanEvent(int(Mask.Q_OVERFLOW), 0, None, b""))
    scene.witness.drain()
    assert scene.witness.rungs.losses == {"files": 1}


def test_nobody_is_named_for_a_change_among_file_events_that_were_lost(scene: Scene) -> None:
    """Whoever really made it may be among them."""
    scene.run(70)
    at = scene.host.touch(70, PATH, ATTRIB)
    scene.host.events.append(FanEvent(int(Mask.Q_OVERFLOW), 0, None, b""))
    assert "lost" in reason(scene.ask(at))
    scene.host.clock.now += SECOND
    scene.witness.drain()
    scene.host.clock.now += SECOND
    later = scene.host.touch(61, PATH, ATTRIB)
    assert actor(scene.ask(later, since=at)).who.pid == 61


def test_an_earlier_loss_is_not_forgotten_at_a_later_one(scene: Scene) -> None:
    scene.run(70)
    at = scene.host.touch(70, PATH, ATTRIB)
    for _ in range(2):
        scene.host.events.append(FanEvent(int(Mask.Q_OVERFLOW), 0, None, b""))
        scene.witness.drain()
        for _ in range(2):
            scene.host.clock.now += SECOND
            scene.witness.drain()
    assert "lost" in reason(scene.ask(at))


def test_a_loss_after_a_removal_leaves_it_without_a_name(scene: Scene) -> None:
    """It may have come back and gone again meanwhile."""
    scene.run(70)
    scene.host.touch(70, PATH, int(Mask.DELETE))
    scene.witness.drain()
    assert actor(scene.ask(None, Change.REMOVED)).who.pid == 70
    scene.host.clock.now += SECOND
    scene.host.events.append(FanEvent(int(Mask.Q_OVERFLOW), 0, None, b""))
    assert "lost" in reason(scene.ask(None, Change.REMOVED))


def test_two_processes_are_two_candidates(scene: Scene) -> None:
    for pid in (70, 71):
        scene.run(pid)
        at = scene.host.touch(pid, PATH, ATTRIB)
    found = scene.ask(at)
    assert isinstance(found, Unattributed)
    assert {one.pid for one in found.candidates} == {70, 71}


def test_without_reports_of_processes_a_pid_is_asked_for_each_time() -> None:
    """Whoever had it a minute ago may be gone without a word."""
    scene = Scene("fanotify", refused={"processes": errno.EPERM})
    scene.host.process(70, 61, b"/usr/bin/first")
    scene.host.clock.now += SECOND
    scene.witness.drain()
    first = scene.host.touch(70, PATH, ATTRIB)
    assert actor(scene.ask(first)).who.exe == b"/usr/bin/first"
    scene.host.process(70, 61, b"/usr/bin/second")
    scene.host.clock.now += SECOND
    scene.witness.drain()
    second = scene.host.touch(70, PATH, ATTRIB)
    assert actor(scene.ask(second, since=first)).who.exe == b"/usr/bin/second"
    scene.host.alive.pop(70)
    scene.host.clock.now += SECOND
    scene.witness.drain()
    assert "gone" in reason(scene.ask(scene.host.touch(70, PATH, ATTRIB), since=second))
    scene.witness.close()


def test_an_sshd_that_is_not_root_s_says_nothing_of_addresses(scene: Scene) -> None:
    """Anybody may mount whatever they like at /usr/sbin/sshd, in a namespace of their own."""
    scene.host.process(80, 61, b"/usr/sbin/sshd", uid=1000, euid=1000, login=1000, session=4)
    scene.host.connected[80] = [Peer(b"198.51.100.1", 4242)]
    scene.host.clock.now += SECOND
    scene.run(81, parent=80)
    at = scene.host.touch(81, PATH, ATTRIB)
    scene.host.alive.pop(60)
    scene.host.connected.pop(60)
    assert actor(scene.ask(at)).who.source is None


def test_a_host_that_writes_all_the_time_is_not_listened_to_at_each_write(scene: Scene) -> None:
    port = scene.witness.rungs.files
    assert isinstance(port, FakeFiles)
    for second in range(30):
        scene.host.clock.now += SECOND
        scene.host.events += [FanEvent(MODIFY, 61, (b"fs", 1, b"/var/lib/db"), b"x")] * (
            100 if second < 15 else 3000
        )
        scene.witness.drain()
        if second == 14:
            assert port.marks[b"/etc"] & MODIFY
    assert scene.witness.rungs.calmed
    assert not port.marks[b"/etc"] & MODIFY
    scene.run(70)
    at = scene.host.touch(70, PATH, int(Mask.CLOSE_WRITE))
    found = scene.ask(at, Change.CONTENT)
    assert isinstance(found, Unattributed)
    assert [one.pid for one in found.candidates] == [70]


def test_what_nobody_asks_about_is_not_kept(scene: Scene) -> None:
    scene.host.touch(61, b"/var/log/messages", MODIFY)
    scene.witness.drain()
    assert len(scene.witness.touches) == 0


def test_a_witness_that_fails_is_none_and_comes_again(scene: Scene) -> None:
    scene.host.broken = True
    scene.witness.drain()
    assert "processes" in scene.witness.rungs.missing
    scene.host.broken = False
    scene.host.clock.now += SECOND
    scene.tend()
    assert scene.witness.rungs.missing == {}
    scene.run(70)
    at = scene.host.touch(70, PATH, ATTRIB)
    assert actor(scene.ask(at)).who.pid == 70


# -- what was read late, or is shared -----------------------------------------------------------------------


def test_a_program_that_was_run_while_reports_were_lost_is_not_the_one_before(scene: Scene) -> None:
    scene.run(70, b"/usr/bin/innocent")
    scene.witness.drain()
    scene.host.exec(70, b"/usr/bin/chmod")
    scene.host.become(70, 0)
    scene.host.messages.clear()
    scene.host.events.clear()
    scene.host.messages_lost = True
    scene.witness.drain()
    for _ in range(2):
        scene.host.clock.now += SECOND
        scene.witness.drain()
    found = actor(scene.ask(scene.host.touch(70, PATH, ATTRIB))).who
    assert (found.exe, found.uid) == (b"/usr/bin/chmod", 0)


def test_what_is_run_while_nobody_looks_after_a_loss_is_not_named(scene: Scene) -> None:
    """What it was at the deed is told by none, as what told of it may be lost."""
    scene.run(70, b"/usr/bin/innocent")
    for _ in range(2):
        scene.host.clock.now += SECOND
        scene.host.messages_lost = True
        scene.witness.drain()
    scene.host.clock.now += SECOND
    at = scene.host.touch(70, PATH, ATTRIB)
    scene.host.exec(70, b"/usr/bin/chmod")
    scene.host.messages.clear()
    found = actor(scene.ask(at)).who
    assert (found.pid, found.exe, found.command) == (70, None, None)


def test_two_losses_in_a_row_are_over_when_it_was_looked_who_is_there(scene: Scene) -> None:
    for _ in range(2):
        scene.host.clock.now += SECOND
        scene.host.messages_lost = True
        scene.witness.drain()
    for _ in range(10):
        scene.host.clock.now += SECOND
        scene.witness.drain()
    scene.run(70, gone=True)
    at = scene.host.touch(70, PATH, ATTRIB)
    scene.host.exit(70)
    assert actor(scene.ask(at)).who.pid == 70


def test_the_program_of_a_thread_that_is_not_the_first(scene: Scene) -> None:
    """All other threads end by it, the first one with a message, and it has the first one's number then."""
    scene.run(70, b"/usr/bin/runc")
    scene.witness.drain()
    scene.host.alive.pop(70)
    scene.host.exit(70)
    scene.host.exec(70, b"/usr/bin/chmod")
    at = scene.host.touch(70, PATH, ATTRIB)
    found = actor(scene.ask(at)).who
    assert (found.pid, found.exe, found.login) == (70, b"/usr/bin/chmod", 1000)
    assert found.parents[0].exe == b"/bin/bash"


def test_a_parent_that_was_not_read_need_not_be_its_parent_s_program(scene: Scene) -> None:
    """What runs beside may have forked it in the shell's name."""
    scene.run(70, b"/usr/bin/sleep")
    scene.witness.drain()
    scene.host.fork(61, 71)
    scene.host.fork(71, 72)
    scene.host.alive.pop(71)
    scene.host.exec(72, b"/usr/bin/chmod")
    scene.host.exit(71)
    at = scene.host.touch(72, PATH, ATTRIB)
    found = actor(scene.ask(at)).who
    assert found.exe == b"/usr/bin/chmod"
    assert (found.parents[0].pid, found.parents[0].exe) == (71, None)


def test_a_program_beside_does_not_make_who_is_gone_unknown(scene: Scene) -> None:
    """It may have forked it in the shell's name, but as whom is the same."""
    scene.run(70, b"/usr/bin/sleep")
    scene.witness.drain()
    scene.run(71, gone=True)
    at = scene.host.touch(71, PATH, ATTRIB)
    scene.host.exit(71)
    found = actor(scene.ask(at)).who
    assert (found.exe, found.uid, found.login) == (b"/usr/bin/chmod", 1000, 1000)


def test_a_login_that_was_given_after_it_was_read(scene: Scene) -> None:
    """Whoever logs somebody in had no login when it began, and what it becomes is gone before it is read."""
    scene.host.fork(50, 70)
    scene.host.exec(70, b"/usr/bin/login")
    scene.witness.drain()
    scene.host.alive[70] = scene.host.alive[70]._replace(login=1001, session=4)
    scene.host.clock.now += SECOND
    scene.host.alive.pop(70)
    scene.host.become(70, 1001)
    scene.host.exec(70, b"/usr/bin/chmod")
    at = scene.host.touch(70, PATH, ATTRIB)
    found = actor(scene.ask(at)).who
    assert (found.exe, found.uid, found.login, found.session) == (b"/usr/bin/chmod", 1001, None, None)


def test_the_login_of_a_shell_that_is_read_after_its_first_command(scene: Scene) -> None:
    """No one but root becomes another, so it had that login when it gave its rights up."""
    scene.host.fork(60, 70)
    scene.host.become(70, 1000)
    scene.host.exec(70, b"/usr/bin/dash")
    scene.run(71, parent=70, gone=True)
    at = scene.host.touch(71, PATH, ATTRIB)
    scene.host.exit(71)
    found = actor(scene.ask(at)).who
    assert (found.uid, found.login, found.source) == (1000, 1000, Peer(b"192.0.2.7", 4242))


def test_who_could_not_be_read_leaves_its_parent_to_be_read() -> None:
    there = {10: Details(10, 1, 1, 10, 0, 0, 0, -1, -1, b"/bin/sh", b"sh", b"", 60)}
    table = Table(there.get)
    table.fork(1, 10, 1)
    table.exec(10, 2, look=False)
    table.fork(10, 11, 50)
    child, _ = table.find(11, 51, 52)
    assert child is not None
    assert not table.fill(child)
    assert table.links(child)[0].exe == b"/bin/sh"


def test_a_pid_of_three_lives() -> None:
    """The third began after the deed, and it is not told which of the two before it was."""
    table = Table(lambda _: None)
    for at in (10, 20, 40):
        table.fork(1, 70, at)
        table.exit(70, at + 5)
    assert "two processes" in table.find(70, 9, 30)[1]
    process, _ = table.find(70, 18, 30)
    assert process is not None
    assert process.started == 20


# -- the ladder --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refused", "rungs", "missing"),
    [
        ({}, (Rung.AUDIT, Rung.FANOTIFY), set()),
        ({"audit": errno.EPERM}, (Rung.FANOTIFY,), {"audit"}),
        ({"files": errno.EPERM}, (Rung.AUDIT,), {"files"}),
        ({"processes": errno.EPERM}, (Rung.AUDIT, Rung.FANOTIFY), {"processes"}),
        ({"audit": errno.EPERM, "files": errno.EINVAL, "processes": errno.EPERM}, (), {"audit", "files"}),
    ],
)
def test_what_is_missing_leaves_the_next_rung(
    refused: dict[str, int], rungs: tuple[Rung, ...], missing: set[str]
) -> None:
    scene = Scene(refused=refused)
    assert scene.witness.rungs.standing == rungs
    assert set(scene.witness.rungs.missing) == missing
    if not rungs:
        said = reason(scene.ask(1))
        assert os.strerror(errno.EPERM) in said
        assert os.strerror(errno.EINVAL) in said
    scene.witness.close()


def test_a_file_system_that_cannot_be_marked() -> None:
    scene = Scene("fanotify", unmarkable={b"/etc": errno.ENODEV})
    assert scene.witness.rungs.standing == ()
    assert "/etc: " + os.strerror(errno.ENODEV) in scene.witness.rungs.missing["files"]
    scene.witness.close()


def test_rules_that_come_and_go() -> None:
    scene = Scene("audit", state=Audit(Status(1, 1, 0, 0, 64), ()))
    assert not scene.witness.rungs.standing
    assert "has the key hostguard" in scene.witness.rungs.missing["audit"]
    scene.host.state = Audit(Status(1, 1, 0, 0, 64), (b"-w /etc/ -p wa -k hostguard",))
    scene.tend()
    assert scene.witness.rungs.standing == (Rung.AUDIT,)
    scene.host.state = Audit(Status(0, 1, 0, 0, 64), (b"-w /etc/ -p wa -k hostguard",))
    scene.tend()
    assert "switched off" in scene.witness.rungs.missing["audit"]
    scene.witness.close()


def test_a_host_on_which_root_may_set_logins() -> None:
    scene = Scene("audit")
    assert not scene.witness.rungs.forgeable  # not known
    for immutable in (False, True):
        scene.host.state = scene.host.state._replace(immutable=immutable)
        scene.tend()
        assert scene.witness.rungs.forgeable is not immutable
    scene.witness.close()


# -- audit -------------------------------------------------------------------------------------------


def chmod(scene: Scene, pid: int, parent: int = 61, uid: int = 1000) -> int:
    return scene.host.record(
        7,
        (
            1300,
            b"arch=c000003e syscall=268 success=yes exit=0 a0=ffffff9c a1=0 a2=1a0 a3=0 items=1"
            b" ppid=%d pid=%d auid=1000 uid=%d euid=%d tty=pts1 ses=3"
            b' comm="chmod" exe="/usr/bin/chmod" key="hostguard"' % (parent, pid, uid, uid),
        ),
        (1302, b'item=0 name="/etc/passwd" inode=55 dev=fe:01 nametype=NORMAL'),
        (1327, b"proctitle=63686D6F64"),
        (1320, b""),
    )


def test_audit_names_whoever_the_record_names() -> None:
    scene = Scene("audit")
    scene.run(70, gone=True)
    found = actor(scene.ask(chmod(scene, 70)))
    assert found.rung is Rung.AUDIT
    assert (found.who.pid, found.who.exe, found.who.command) == (70, b"/usr/bin/chmod", b"chmod")
    assert (found.who.uid, found.who.login, found.who.session, found.who.tty) == (1000, 1000, 3, b"pts1")
    assert found.who.source == Peer(b"192.0.2.7", 4242)
    assert found.who.parents[0].exe == b"/bin/bash"
    scene.witness.close()


def test_records_that_the_kernel_has_yet_to_send_are_waited_for() -> None:
    """Else whoever did the like before would be named, or nobody."""
    scene = Scene("audit")
    scene.run(70)
    scene.run(71)
    first = chmod(scene, 70)
    scene.witness.drain()
    second = chmod(scene, 71)
    scene.host.unsent, scene.host.records = scene.host.records, []
    assert actor(scene.ask(second, since=first)).who.pid == 71
    scene.witness.close()


def test_records_that_never_end_are_not_waited_for_again_and_again() -> None:
    scene = Scene("audit")
    scene.host.unsent = [(1320, b"")] * 1000
    scene.ask(1)
    left = len(scene.host.unsent)
    scene.ask(1)
    assert len(scene.host.unsent) == left
    scene.host.clock.now += 2 * SECOND
    scene.ask(1)
    assert len(scene.host.unsent) < left
    scene.witness.close()


def test_a_record_by_another_user_is_not_joined_to_the_process_of_that_pid() -> None:
    scene = Scene("audit")
    found = actor(scene.ask(chmod(scene, 61, 9999, uid=33))).who
    assert (found.pid, found.uid, found.parents) == (61, 33, ())
    scene.witness.close()


def test_nobody_is_named_for_a_change_among_records_that_were_lost() -> None:
    scene = Scene("audit")
    scene.run(70)
    at = chmod(scene, 70)
    scene.host.records_lost = True
    assert "lost" in reason(scene.ask(at))
    scene.witness.close()


def test_records_that_were_lost_are_told() -> None:
    scene = Scene("audit")
    scene.host.records_lost = True
    scene.witness.drain()
    assert scene.witness.rungs.losses == {"audit": 1}
    scene.witness.close()


def test_nobody_is_named_while_the_kernel_gives_records_up() -> None:
    """Those never came to the group, which is not told either."""
    scene = Scene("audit")
    scene.run(70)
    at = chmod(scene, 70)
    scene.host.given_up = 3
    assert "lost" in reason(scene.ask(at))
    assert scene.witness.rungs.losses == {"audit": 1}
    scene.host.clock.now += SECOND
    assert actor(scene.ask(chmod(scene, 70), since=at)).who.pid == 70
    scene.witness.close()


def test_records_given_up_are_told_without_a_question() -> None:
    scene = Scene("audit")
    scene.host.given_up = 3
    scene.host.clock.now += 60 * SECOND
    assert scene.witness.tend(scene.host.clock.now) == "audit records"
    scene.witness.close()


# -- the table ---------------------------------------------------------------------------------------


def test_the_table_is_bounded() -> None:
    table = Table(lambda _: None)
    for pid in range(2, LIVING + 100):
        table.fork(1, pid, pid)
    assert len(table) == LIVING
    for pid in range(2, LIVING + 100):
        table.exit(pid, LIVING + pid)
    assert len(table) <= ENDED


def test_an_endless_line_of_parents_is_not_kept() -> None:
    """Each forks and ends: whoever is kept holds only those above that are kept themselves."""
    table = Table(lambda _: None)
    for number in range(10 * ENDED):
        table.fork(number + 1, number + 2, number)
        table.exit(number + 1, number)
    process, _ = table.find(10 * ENDED + 1, 10 * ENDED, 10 * ENDED)
    depth = 0
    while process is not None:
        process, depth = process.parent, depth + 1
    assert depth <= ENDED + 2


def test_parents_are_what_they_were_then() -> None:
    """A shell becomes its last command, and may have done so before its child is asked about."""
    clock, runs = [10], {10: b"/bin/sh", 11: b"/bin/chmod"}

    def read(pid: int) -> Details | None:
        if pid not in runs:
            return None
        started = 50 if pid == 11 else 1
        return Details(pid, 1, started, 10, 0, 0, 0, -1, -1, runs[pid], runs[pid] + b"\0", b"", clock[0])

    table = Table(read)
    table.fork(1, 10, 1)
    table.exec(10, 2)
    table.fork(10, 11, 50)
    clock[0] = 51
    table.exec(11, 51)
    table.exit(11, 52)
    child, _ = table.find(11, 51, 52)
    assert child is not None
    assert table.links(child)[0].exe == b"/bin/sh"
    clock[0], runs[10] = 60, b"/bin/sleep"
    table.exec(10, 60)
    assert table.links(child)[0].exe == b"/bin/sh"
    clock[0], runs[10] = 70, b"/bin/true"
    table.exec(10, 70)
    assert table.links(child)[0].exe is None, "two programs later nobody knows any more"
    assert table.links(child)[0].pid == 10


class NoOrigins:
    """Nobody came from anywhere."""

    def granted(self, _who: object, _process: object) -> bool:
        return True

    def of(self, _session: object, _parents: object) -> None:
        return None


def test_parents_of_a_record_are_what_they_were_then() -> None:
    """Whoever it is about is gone, and its shell is another program by the time the record is read."""
    now, runs = [20_000_000], [b"/bin/sh"]

    def read(pid: int) -> Details | None:
        if pid != 10:
            return None
        return Details(10, 1, 1, 10, 0, 0, 0, -1, -1, runs[0], b"", b"", now[0])

    table = Table(read)
    table.fork(1, 10, 1)
    table.exec(10, 2)
    now[0], runs[0] = 60_000_000, b"/bin/sleep"
    table.exec(10, 60_000_000)
    naming = Naming(table, NoOrigins())  # type: ignore[arg-type]
    (above, *_) = naming.record(Event(1, 0, pid=11, parent=10, exe=b"/bin/chmod"), None, 50_000_000).parents
    assert (above.pid, above.exe) == (10, b"/bin/sh")


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(("fork", "exec", "uid", "sid", "exit", "lost", "find")),
            st.integers(1, 6),
            st.integers(1, 6),
        ),
        max_size=60,
    )
)
def test_any_messages_in_any_order(steps: list[tuple[str, int, int]]) -> None:
    """Whatever the kernel tells, a process that is found had the pid, and had begun by the end of the
    span."""
    table = Table(lambda _: None)
    for at, (what, pid, other) in enumerate(steps, 1):
        match what:
            case "fork":
                table.fork(other, pid, at)
            case "exec":
                table.exec(pid, at)
            case "uid":
                table.uid(pid, other, other)
            case "sid":
                table.sid(pid)
            case "exit":
                table.exit(pid, at)
            case "lost":
                table.lost(at - 1, at, [other])
            case _:
                process, reason = table.find(pid, at - other, at)
                assert (process is None) == bool(reason)
                assert process is None or (process.pid == pid and process.started <= at)


# -- others who did something to it, too -----------------------------------------------------------------


def at_once(scene: Scene, *deeds: tuple[int, bytes, int, bytes]) -> int:
    """Deeds (pid, path, mask, file) within one reading; the wall-clock time of it."""
    for pid, path, mask, file in deeds:
        folder, _, name = path.rpartition(b"/")
        scene.host.events.append(FanEvent(mask, pid, (b"fs", 1, folder), name, file=(1, file)))
    return scene.host.clock.wall()


def test_by_another_name_of_the_file(scene: Scene) -> None:
    """Nobody asks about that name, and the change may be by it."""
    scene.run(70)
    scene.run(71)
    at = at_once(scene, (70, PATH, MODIFY, PATH), (71, b"/home/x", MODIFY, PATH))
    assert "by another name" in reason(scene.ask(at, Change.CONTENT))


@pytest.mark.parametrize(
    ("mask", "file"), [(MODIFY, b"/home/x"), (int(Mask.CLOSE_WRITE), PATH)], ids=["file", "deed"]
)
def test_what_cannot_have_made_the_change(scene: Scene, mask: int, file: bytes) -> None:
    scene.run(70)
    scene.run(71)
    at = at_once(scene, (70, PATH, ATTRIB, PATH), (71, b"/home/x", mask, file))
    assert actor(scene.ask(at)).who.pid == 70


def test_another_name_used_long_before(scene: Scene) -> None:
    scene.run(71)
    at_once(scene, (71, b"/home/x", MODIFY | int(Mask.CLOSE_WRITE), PATH))
    scene.witness.drain()
    scene.run(70)
    at = scene.host.touch(70, PATH, MODIFY)
    assert actor(scene.ask(at, Change.CONTENT)).who.pid == 70


@pytest.mark.parametrize("own", [True, False])
def test_who_still_has_it_open_may_have_written_to_it(scene: Scene, own: bool) -> None:
    """As memory: nothing is told of it yet."""
    at = scene.host.touch(61, PATH, MODIFY)
    assert actor(scene.ask(at, Change.CONTENT)).confidence is Confidence.CERTAIN
    scene.host.written.add(PATH)
    scene.host.places[PATH] = (1, 2), None
    if own:
        scene.host.held.add((61, (1, 2)))
        assert actor(scene.ask(at, Change.CONTENT)).confidence is Confidence.LIKELY
    else:
        assert "open for writing" in reason(scene.ask(at, Change.CONTENT))
    assert actor(scene.ask(at, Change.ATTRIBUTES)).confidence is Confidence.CERTAIN


@pytest.mark.parametrize("what", ["touches", "files"])
def test_a_flood_after_which_another_would_be_named(scene: Scene, what: str) -> None:
    """Whoever did it has what tells of it pushed out."""
    for pid in (70, 71):
        scene.run(pid)
    if what == "touches":
        flood = [(70, b"/etc/%d" % number, MODIFY, PATH) for number in range(5000)]
        first = (70, PATH, MODIFY, PATH)
    else:
        flood = [(70, b"/home/%d" % number, MODIFY, b"%d" % number) for number in range(5000)]
        first = (70, b"/home/x", MODIFY, PATH)
    innocent = FanEvent(MODIFY, 71, (b"fs", 1, b"/etc"), b"passwd")
    at = at_once(scene, first, *flood)
    scene.host.events.append(innocent)
    assert "flooded" in reason(scene.ask(at, Change.CONTENT))
    scene.host.clock.now += SECOND
    scene.witness.drain()
    assert actor(scene.ask(scene.host.touch(71, PATH, ATTRIB), since=at)).who.pid == 71


def test_a_flood_of_one_name(scene: Scene) -> None:
    scene.run(70)
    deeds = [(70, PATH, MODIFY, b"")]
    for pid in range(100, 200):
        scene.run(pid)
        deeds.append((pid, PATH, ATTRIB, b""))
    scene.run(71)
    at = at_once(scene, *deeds, (71, PATH, MODIFY, b""))
    assert "flooded" in reason(scene.ask(at, Change.CONTENT))


def test_a_flood_of_one_file(scene: Scene) -> None:
    """By another name, and many more processes that have it open."""
    scene.run(71)
    others = [(pid, b"/home/x", int(Mask.CLOSE_WRITE), PATH) for pid in range(100, 200)]
    at = at_once(scene, (70, b"/home/x", ATTRIB, PATH), *others, (71, PATH, ATTRIB, PATH))
    assert "another process" in reason(scene.ask(at))
