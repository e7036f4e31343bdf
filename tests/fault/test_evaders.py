"""An intruder who wants another named, or a wrong name of themselves: real deeds on the kernel we run on.

The rule that is tested: whoever is named did it. `evader.c` does each deed and says its pid; the witness may
name that process with its own program and user, or nobody, with a reason.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from hostguardd.actors.model import Actor, Answer, Change, Rung, Unattributed
from hostguardd.engine.witness import Witness
from hostguardd.host.audit import Status
from hostguardd.host.kernel import Audit, LinuxKernel
from hostguardd.host.witnesses import LinuxWitnesses
from tests.bench.actors import rules

HERE = Path(__file__).parent
INNOCENT = "/usr/bin/dpkg"
NOBODY = 65534
CANNOT = 77
"""Exit code of a deed that this host does not let anybody do."""


@pytest.fixture(scope="module")
def evader() -> Iterator[str]:
    """The program, in a folder where everybody may run it."""
    if shutil.which("cc") is None:
        pytest.skip("cc is not installed")
    folder = Path(tempfile.mkdtemp(prefix="evader-", dir="/var/tmp"))
    folder.chmod(0o755)
    made = folder / "evader"
    built = subprocess.run(
        ["cc", "-O1", "-static", "-o", made, HERE / "evader.c"], capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    yield str(made)
    shutil.rmtree(folder)


def no_rules() -> Audit:
    return Audit(Status(0, 1, 0, 0, 64), ())


class Scene:
    """A watched folder with a file, seen from one rung."""

    def __init__(self, witness: Witness, evader: str, folder: Path) -> None:
        self.witness, self.evader, self.folder = witness, evader, folder
        self.file = folder / "file"
        self.file.write_text("before")
        self.file.chmod(0o666)
        time.sleep(0.15)
        self.since, self.seen = self.file.stat().st_ctime_ns, time.time_ns()

    def deed(self, name: str, *more: str, user: int | None = None) -> list[int]:
        """Have it done; the pids that said they did it."""
        command = [self.evader, name, str(self.file), *more]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            cwd=self.folder,
        )
        if done.returncode == CANNOT:
            pytest.skip(f"{name} cannot be done here")
        assert done.returncode == 0, done.stderr
        return [int(word) for word in done.stdout.split()]

    def ask(self, change: Change, *, file: Path | None = None) -> Answer:
        file = file or self.file
        ctime = file.stat().st_ctime_ns if file.exists() else None
        return self.witness.attribute(os.fsencode(file), change, ctime, self.since, self.seen)

    def right(self, answer: Answer, pids: list[int], *, exe: str = "", user: int = 0) -> None:
        """Nobody else is named, not even partly."""
        if isinstance(answer, Unattributed):
            assert answer.reason
            return
        who = answer.who
        assert who.pid in pids
        assert who.exe in (None, b"", os.fsencode(exe or self.evader))
        assert who.uid in (None, user)
        assert who.login in (None, _login())


def _login() -> int:
    value = int(Path("/proc/self/loginuid").read_text())
    return -1 if value == 2**32 - 1 else value


@pytest.fixture(params=["fanotify", "audit", "audit fanotify"])
def scene(request: pytest.FixtureRequest, evader: str) -> Iterator[Scene]:
    rungs = request.param.split()
    folder = Path(tempfile.mkdtemp(prefix="watched-", dir="/var/tmp"))
    folder.chmod(0o755)
    top = os.fsencode(folder)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        state: Callable[[], Audit] = no_rules
        if "audit" in rungs:
            if os.geteuid() != 0 or shutil.which("auditctl", path="/usr/sbin:/sbin:/usr/bin") is None:
                pytest.skip("auditctl needs root")
            try:
                stack.enter_context(rules(folder))
            except (subprocess.CalledProcessError, SystemExit) as error:
                pytest.skip(f"no rules of audit can be loaded: {error}")
            kernel = LinuxKernel()
            stack.callback(kernel.close)
            state = kernel.audit
        made = Witness(LinuxWitnesses(state), lambda one, _: one.startswith(top))
        stack.callback(made.close)
        made.open(rungs, [top], [b"/"])
        if [one.value for one in made.rungs.standing] != rungs or made.rungs.processes is None:
            pytest.skip("; ".join(made.rungs.missing.values()))
        made.start()
        yield Scene(made, evader, folder)


def named(answer: Answer) -> bool:
    return isinstance(answer, Actor)


def test_a_plain_change_is_named(scene: Scene) -> None:
    pids = scene.deed("slowly")
    found = scene.ask(Change.ATTRIBUTES)
    assert named(found)
    scene.right(found, pids)


@pytest.mark.parametrize("deed", ["daemonized", "traced", "then-another", "sibling"])
@pytest.mark.parametrize("user", [0, NOBODY])
def test_attributes(scene: Scene, deed: str, user: int) -> None:
    os.chown(scene.file, user, user)
    time.sleep(0.15)
    scene.since = scene.file.stat().st_ctime_ns
    for _ in range(5):
        pids = scene.deed(deed, user=user)
        scene.right(scene.ask(Change.ATTRIBUTES), pids, user=user)
        time.sleep(0.15)
        scene.since = scene.file.stat().st_ctime_ns


@pytest.mark.parametrize("deed", ["memory", "ring", "by-handle", "inherited", "taken", "through-proc"])
def test_content(scene: Scene, deed: str) -> None:
    pids = scene.deed(deed)
    found = scene.ask(Change.CONTENT)
    if deed in ("inherited", "taken") and Rung.AUDIT in scene.witness.rungs.standing and named(found):
        pytest.skip("audit tells who opened the file, not who wrote")
    scene.right(found, pids)


def test_a_file_that_had_no_name(scene: Scene) -> None:
    pids = scene.deed("nameless")
    scene.right(scene.ask(Change.CONTENT), pids)


def test_a_sibling_is_not_what_its_parent_is(scene: Scene) -> None:
    """It was forked by another than its parent, and is gone."""
    for _ in range(10):
        command = [scene.evader, "sibling", str(scene.file)]
        program = f"import os, subprocess; subprocess.run({command!r}); os.wait()"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        scene.right(scene.ask(Change.ATTRIBUTES), [int(done.stdout)])
        time.sleep(0.15)
        scene.since = scene.file.stat().st_ctime_ns


def test_who_closes_last_is_not_who_wrote(scene: Scene, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        door.bind(str(tmp_path / "door"))
        pids = scene.deed("handed", str(tmp_path / "door"))
        door.recv(10)  # the file comes with it, is not taken, and is closed by us
        scene.right(scene.ask(Change.CONTENT), pids)


@pytest.mark.parametrize("how", ["write", "attributes", "memory"])
def test_a_change_by_another_name_right_after_an_innocent(scene: Scene, how: str) -> None:
    """Nobody asks about the folder that name is in."""
    if scene.witness.rungs.files is None:
        pytest.skip("the rules of audit are about names, and no other witness is there")
    other = Path(scene.evader).parent / "another-name"
    os.link(scene.file, other)
    time.sleep(0.15)
    scene.since = scene.file.stat().st_ctime_ns
    pids = scene.deed("by-link", str(other), how)
    found = scene.ask(Change.ATTRIBUTES if how == "attributes" else Change.CONTENT)
    other.unlink()
    scene.right(found, pids)


def test_a_change_in_memory_right_after_an_innocent(scene: Scene) -> None:
    """The kernel tells of it only when it is given back."""
    command = [scene.evader, "kept", str(scene.file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        pids = [int(child.stdout.readline())]
        scene.right(scene.ask(Change.CONTENT), pids)


@pytest.mark.parametrize("deed", ["phantom", "phantom-before"])
def test_programs_that_are_opened_only(scene: Scene, deed: str) -> None:
    """It looks as if they had been run."""
    for _ in range(5):
        pids = scene.deed(deed, INNOCENT)
        found = scene.ask(Change.ATTRIBUTES)
        if isinstance(found, Actor) and found.who.exe is not None:
            assert found.who.exe != INNOCENT.encode() or found.confidence is not found.confidence.CERTAIN
            found = Unattributed("the program is only likely")
        scene.right(found, pids)
        time.sleep(0.15)
        scene.since = scene.file.stat().st_ctime_ns


@pytest.mark.parametrize("user", [0, NOBODY])
def test_a_program_mounted_over_another(scene: Scene, user: int) -> None:
    os.chown(scene.file, user, user)
    time.sleep(0.15)
    scene.since = scene.file.stat().st_ctime_ns
    pids = scene.deed("mounted-over", INNOCENT, "slowly", user=user)
    scene.right(scene.ask(Change.ATTRIBUTES), pids, user=user)


def test_a_program_mounted_over_another_that_is_gone_at_once(scene: Scene) -> None:
    """What it is called where it ran is all that audit tells: it may be another program here."""
    for _ in range(5):
        pids = scene.deed("mounted-over", INNOCENT, "chmod")
        found = scene.ask(Change.ATTRIBUTES)
        if isinstance(found, Actor) and found.confidence is found.confidence.LIKELY:
            found = replace(found, who=found.who._replace(exe=None))
        scene.right(found, pids)
        time.sleep(0.15)
        scene.since = scene.file.stat().st_ctime_ns


def test_a_program_that_says_it_is_another(scene: Scene) -> None:
    """/proc and audit believe it: what it was when it started is what it is."""
    pids = scene.deed("said-to-be", INNOCENT)
    scene.right(scene.ask(Change.ATTRIBUTES), pids)


def test_a_chain_of_programs(scene: Scene) -> None:
    pids = scene.deed("chain", "20")
    scene.right(scene.ask(Change.ATTRIBUTES), pids)


def test_a_login_that_nobody_gave(scene: Scene) -> None:
    """Whoever has none may give themselves any: the kernel asks for no right."""
    if _login() != -1:
        pytest.skip("somebody is logged in here already")
    os.chown(scene.file, NOBODY, NOBODY)
    time.sleep(0.15)
    scene.since = scene.file.stat().st_ctime_ns
    pids = scene.deed("logged-in", "4711", user=NOBODY)
    scene.right(scene.ask(Change.ATTRIBUTES), pids, user=NOBODY)


def test_another_folder_in_its_place(scene: Scene) -> None:
    """What somebody else wrote elsewhere comes to stand here, all at once."""
    inner, other = scene.folder / "d", Path(scene.evader).parent / "elsewhere"
    for one in (inner, other):
        one.mkdir(exist_ok=True)
        (one / "file").write_text("x")
    time.sleep(0.1)
    scene.since = (inner / "file").stat().st_ctime_ns
    scene.witness.drain()
    (other / "file").write_text("an innocent's")
    scene.file = inner
    pids = scene.deed("exchanged", str(other))
    scene.right(scene.ask(Change.CONTENT, file=inner / "file"), pids)
    scene.file = scene.folder / "file"


@pytest.mark.parametrize(
    "name", ['x" exe="dpkg', "x\npid=1 uid=0", "72656D6F7665", "x key=\x01", "a name=(null)"]
)
def test_names_that_look_like_fields(scene: Scene, name: str) -> None:
    file = scene.folder / name
    file.write_text("before")
    time.sleep(0.15)
    scene.file, scene.since = file, file.stat().st_ctime_ns
    pids = scene.deed("slowly")
    found = scene.ask(Change.ATTRIBUTES)
    assert named(found)
    scene.right(found, pids)
