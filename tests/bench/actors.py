"""Who did it, measured: real changes by short-lived processes of many programs, users and sessions.

    python -m tests.bench.actors --rung audit|fanotify [--changes 1000] [--rate 50] [--load 500] …

Needs root, a C compiler and, for the audit rung, auditctl(8): our own rules are loaded and afterwards taken
away by their key, and what was in force before (enabled, backlog) is put back. A name is right when program,
pid, user, login, session and the address behind it are; it is wrong when any of them is another.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .figures import MIB, Figure, bounded, table, told

HERE = Path(__file__).parent
KEY = "hostguard"
FIRST_UID = 21_000
USERS = 10
PROGRAMS = 50

BASES = ("chmod", "chown", "touch", "truncate", "cp", "mv", "rm", "ln", "dd", "tee")


class Session(NamedTuple):
    """One that is logged in."""

    login: int
    uid: int
    number: int
    source: str
    ask: Any
    hear: Any


class Truth(NamedTuple):
    """What really happened."""

    path: str
    change: str
    ctime: int | None
    program: str
    pid: int
    session: Session
    at: int
    since: int


def identity(number: int) -> tuple[int, int]:
    """(login uid, uid) of a session: of each three users one has become root, and one somebody else."""
    login = FIRST_UID + number
    return login, (login, 0, FIRST_UID + 1000 + number)[number % 3]


class Bed:
    """A folder with programs, sessions and files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin, self.watched = folder / "bin", folder / "watched"
        for one in (self.bin, self.watched):
            one.mkdir()
        self.watched.chmod(0o777)
        folder.chmod(0o755)
        subprocess.run(["cc", "-O1", "-o", self.bin / "session", HERE / "actors.c"], check=True)
        for name in ("sshd", "login", "storm", "forks"):
            shutil.copy(self.bin / "session", self.bin / name)
        self.programs: dict[str, list[str]] = {}
        for number in range(PROGRAMS):
            base = BASES[number % len(BASES)]
            path = self.bin / f"{base}-{number:02}"
            shutil.copy(f"/usr/bin/{base}", path)
            self.programs.setdefault(base, []).append(str(path))
        self.children: list[subprocess.Popen[str]] = []
        self.sessions: list[Session] = []
        self.doors: list[socket.socket] = []

    def log_in(self, plain: int = USERS, remote: int = USERS) -> None:
        """So many sessions of each kind."""
        for number in range(plain):
            login, uid = identity(number)
            child = self._child([str(self.bin / "login"), str(login), str(uid), str(self.bin / "session")])
            self._add(login, uid, "", child.stdin, child.stdout)
        port = 20_000 + os.getpid() % 10_000
        server = self._child([str(self.bin / "sshd"), str(port), str(self.bin / "session")])
        assert server.stdout is not None
        server.stdout.readline()
        for number in range(remote):
            door = socket.create_connection(("127.0.0.1", port), source_address=(f"127.0.1.{number + 1}", 0))
            self.doors.append(door)
            login, uid = identity(number)
            door.sendall(f"{login} {uid}\n".encode())
            self._add(login, uid, f"127.0.1.{number + 1}", door.makefile("w"), door.makefile("r"))

    def _child(self, command: list[str]) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self.children.append(child)
        return child

    def _add(self, login: int, uid: int, source: str, ask: Any, hear: Any) -> None:
        session = Session(login, uid, 0, source, ask, hear)
        self.run(session, ["/bin/true"])  # it is there
        self.sessions.append(session._replace(number=max(_numbers(self.bin / "session", login))))

    def run(self, session: Session, command: list[str]) -> int:
        """The pid it ran as."""
        session.ask.write("\t".join(command) + "\n")
        session.ask.flush()
        pid, status = session.hear.readline().split()
        if status != "0":
            raise RuntimeError(f"{command}: exit {status}")
        return int(pid)

    def files(self, number: int) -> tuple[str, str]:
        """What a change is about."""
        return str(self.watched / f"file-{number}"), str(self.watched / f"file-{number}-other")

    def prepare(self, changes: int) -> None:
        """Files that were there long before: of whoever will change them."""
        for number in range(changes):
            for one in self.files(number):
                Path(one).write_text("before")
                _, uid = identity(number % (2 * USERS) % USERS)
                os.chown(one, uid, uid)

    def change(self, number: int, chance: random.Random) -> Truth:
        """One real change by one of the programs, in one of the sessions."""
        session = self.sessions[number % len(self.sessions)]
        base = BASES[number % len(BASES)]
        program = chance.choice(self.programs[base])
        path, other = self.files(number)
        seen, gone = path, False
        command, change = {
            "chmod": ([program, "0640", path], "ATTRIBUTES"),
            "chown": ([program, f"{session.uid}:{session.uid}", path], "ATTRIBUTES"),
            "touch": ([program, path], "TIMES"),
            "truncate": ([program, "-s", "1", path], "CONTENT"),
            "cp": ([program, other, path], "CONTENT"),
            "mv": ([program, other, path], "CONTENT"),
            "rm": ([program, path], "REMOVED"),
            "ln": ([program, "-s", path, f"{path}-link"], "CREATED"),
            "dd": ([program, "if=/etc/hostname", f"of={path}", "status=none"], "CONTENT"),
            "tee": ([program, f"{path}-new"], "CREATED"),
        }[base]
        if base == "ln":
            seen = f"{path}-link"
        elif base == "tee":
            seen = f"{path}-new"
        elif base == "rm":
            gone = True
        since = 0 if change == "CREATED" else os.lstat(path).st_ctime_ns
        pid = self.run(session, command)
        ctime = None if gone else os.lstat(seen).st_ctime_ns
        return Truth(seen, change, ctime, program, pid, session, time.monotonic_ns(), since)

    def close(self) -> None:
        """End everything that was started."""
        for door in self.doors:
            door.close()
        for session in self.sessions:
            with contextlib.suppress(OSError):
                session.ask.close()
        for child in self.children:
            child.terminate()
            child.wait()


def _numbers(program: Path, login: int) -> Iterator[int]:
    """The kernel's numbers of the sessions of that login that run the program."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            logged_in = int(Path(f"/proc/{name}/loginuid").read_text())
            if os.readlink(f"/proc/{name}/exe") == str(program) and logged_in == login:
                yield int(Path(f"/proc/{name}/sessionid").read_text())


@contextlib.contextmanager
def rules(folder: Path) -> Iterator[None]:
    """Our rules in force, and what was before put back."""
    status = subprocess.run(["auditctl", "-s"], check=True, capture_output=True, text=True).stdout
    was = dict(line.split(None, 1) for line in status.splitlines() if len(line.split()) == 2)
    listed = subprocess.run(["auditctl", "-l"], check=True, capture_output=True, text=True).stdout
    if f"key={KEY}" in listed or f"-k {KEY}" in listed:
        raise SystemExit(f"rules with the key {KEY} are loaded already")
    try:
        subprocess.run(["auditctl", "-b", "8192", "-e", "1"], check=True, capture_output=True)
        subprocess.run(
            ["auditctl", "-w", str(folder), "-p", "wa", "-k", KEY], check=True, capture_output=True
        )
        yield
    finally:
        subprocess.run(["auditctl", "-D", "-k", KEY], capture_output=True)
        subprocess.run(["auditctl", "-e", was["enabled"], "-b", was["backlog_limit"]], capture_output=True)


def _cpu(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def judge(truth: Truth, said: dict[str, Any]) -> str:
    """right, wrong (and how), partly (something true is missing), or unnamed."""
    if "reason" in said:
        return f"unnamed: {said['reason']}"
    real = {
        "pid": truth.pid, "exe": truth.program, "uid": truth.session.uid, "login": truth.session.login,
        "session": truth.session.number,
    }  # fmt: skip
    for name, value in real.items():
        if said[name] is not None and said[name] != value:
            return f"wrong {name}: {said[name]} for {value}"
    if (said["source"] or "") != truth.session.source:
        return "wrong source" if said["source"] else "partly: source"
    missing = [name for name in real if said[name] is None]
    return f"partly: {', '.join(missing)}" if missing else "right"


def measure(options: argparse.Namespace) -> list[Figure]:
    """The run."""
    figures: list[Figure] = []
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="hostguardd-actors-", dir="/var/tmp"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        bed = Bed(folder)
        stack.callback(bed.close)
        bed.prepare(options.changes + 1)
        if options.rung == "audit":
            stack.enter_context(rules(bed.watched))
        rungs = options.witnesses or options.rung
        command = [sys.executable, "-m", "tests.bench.actors_witness", rungs, str(bed.watched)]
        command.append(str(bed.bin / "sshd"))
        witness = stack.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        stack.callback(witness.terminate)
        assert witness.stdin is not None
        assert witness.stdout is not None
        print(witness.stdout.readline().strip(), file=sys.stderr)
        bed.log_in()

        def ask(what: dict[str, Any]) -> dict[str, Any]:
            witness.stdin.write(json.dumps(what) + "\n")  # type: ignore[union-attr]
            witness.stdin.flush()  # type: ignore[union-attr]
            answer: dict[str, Any] = json.loads(witness.stdout.readline())  # type: ignore[union-attr]
            return answer

        if options.idle:
            time.sleep(1)
            before, began = _cpu(witness.pid), time.monotonic()
            time.sleep(options.idle)
            share = (_cpu(witness.pid) - before) / (time.monotonic() - began)
            figures.append(bounded(f"{options.rung}: a core, idle", share * 100, "%", 1))
        if options.load and options.loaded:
            storm = bed._child([str(bed.bin / "storm"), str(options.load), str(options.loaded), "/bin/true"])
            before, began = _cpu(witness.pid), time.monotonic()
            made = int(storm.communicate()[0])
            spent = time.monotonic() - began
            share = (_cpu(witness.pid) - before) / spent
            figures.append(
                bounded(f"{options.rung}: a core at {made / spent:.0f} execs a second", share * 100, "%", 15)
            )
        verdicts: Counter[str] = Counter()
        waiting: list[Truth] = []
        chance = random.Random(options.seed)
        with contextlib.ExitStack() as under:
            if options.load:
                seconds = str(options.changes / options.rate * 3 + 60)
                storm = bed._child([str(bed.bin / "storm"), str(options.load), seconds, "/bin/true"])
                under.callback(storm.wait)
                under.callback(storm.terminate)
            began = time.monotonic()
            for number in range(options.changes):
                waiting.append(bed.change(number, chance))
                while waiting and time.monotonic_ns() - waiting[0].at > 5 * 10**8:
                    _count(verdicts, waiting.pop(0), ask, options)
                time.sleep(max(0.0, began + (number + 1) / options.rate - time.monotonic()))
            time.sleep(0.6)
            for truth in waiting:
                _count(verdicts, truth, ask, options)
        right = verdicts["right"] / options.changes * 100
        wrong = sum(count for verdict, count in verdicts.items() if verdict.startswith("wrong"))
        goal = 99 if options.rung == "audit" else 90
        figures.append(told(f"{options.rung}: named rightly", f"{right:.1f} %", right >= goal, f"≥ {goal} %"))
        figures.append(bounded(f"{options.rung}: named wrongly", wrong, "of " + str(options.changes), 0))
        about = ask({})
        figures.append(bounded(f"{options.rung}: memory at the end", about["memory"] / MIB, "MiB", 8))
        figures.append(told(f"{options.rung}: verdicts", json.dumps(verdicts)))
        figures.append(told(f"{options.rung}: witness", json.dumps(about)))
        if options.forks:
            storm = bed._child([str(bed.bin / "forks"), str(options.forks), "10"])
            before, began = _cpu(witness.pid), time.monotonic()
            made = int(storm.communicate()[0])
            spent = time.monotonic() - began
            share = (_cpu(witness.pid) - before) / spent
            time.sleep(6)
            truth = bed.change(options.changes, chance)
            time.sleep(0.5)
            verdict = judge(truth, ask(question(truth)))
            figures.append(
                told(
                    f"{options.rung}: at {made / spent:.0f} forks a second", f"{share * 100:.1f} % of a core"
                )
            )
            figures.append(told(f"{options.rung}: a change after them", verdict, verdict == "right", "right"))
            figures.append(told(f"{options.rung}: witness after them", json.dumps(ask({}))))
    return figures


def question(truth: Truth) -> dict[str, Any]:
    """What a daemon would ask, that had last seen the file when it was prepared."""
    return {name: getattr(truth, name) for name in ("path", "change", "ctime", "since")}


def _count(verdicts: Counter[str], truth: Truth, ask: Any, options: argparse.Namespace) -> None:
    said = ask(question(truth))
    verdict = judge(truth, said)
    verdicts["command line known"] += said.get("command", False)
    verdicts[verdict.split("/")[0][:100] if not verdict.startswith("wrong") else verdict] += 1
    if options.verbose and verdict != "right":
        print(verdict, truth, said, file=sys.stderr)


def options(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What is to be measured; of the command line unless told."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rung", choices=("audit", "fanotify"), default="fanotify")
    parser.add_argument("--witnesses", help="rungs to stand on (default: only --rung)")
    parser.add_argument("--changes", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=20, help="changes a second at most")
    parser.add_argument("--load", type=int, default=500, help="execs a second beside them")
    parser.add_argument("--loaded", type=float, default=20, help="seconds of load alone, for what it costs")
    parser.add_argument("--idle", type=float, default=30, help="seconds without anything")
    parser.add_argument("--forks", type=int, default=0, help="forks a second, for ten seconds, at the end")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--verbose", action="store_true")
    return parser.parse_args(words)


def main() -> int:
    """0 if every goal was met."""
    figures = measure(options())
    print(table(figures))
    return int(any(figure.met is False for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
