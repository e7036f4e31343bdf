"""What is known of a program that runs: who owns its file, where it lies, who started it.

The theory. What a package owns in a folder of the system's is fine. An administrator's own programs lie in
/usr/local, /opt, /srv and homes, and say nothing. What is left is what an intruder has: a program without a
file, in a folder that anybody may write to, under a hidden name, or among the system's own though no
package brought it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from ...host.live import ANONYMOUS, DELETED, REPLACED, Origin, Process
from ...model import path_traits
from ...packages.interface import Owner
from ...sensors.commands import command, language, script
from ...sensors.signs import is_hidden
from ..files.places import FOREIGN
from ..interface import Verdict, text
from ..logs.redact import redact
from ..scene import Scene

FARTHEST: Final = 12
"""Ancestors that are named."""

SYSTEM: Final = (b"/usr/", b"/bin/", b"/sbin/", b"/lib/", b"/lib64/", b"/boot/")
ADMINISTRATORS: Final = (
    b"/usr/local/", b"/usr/src/", b"/opt/", b"/srv/", b"/home/", b"/root/", b"/var/home/", b"/var/lib/",
    b"/var/opt/", b"/var/www/", b"/snap/", b"/nix/", b"/app/", b"/gnu/", b"/data/", b"/mnt/", b"/media/",
)  # fmt: skip
"""Where programs of no package belong."""

NEVER: Final = (
    b"/dev/", b"/proc/", b"/sys/", b"/run/", b"/etc/", b"/var/log/", b"/var/spool/", b"/var/cache/",
    b"/var/run/", b"/var/mail/", b"/usr/share/", b"/usr/include/",
)  # fmt: skip
"""Where no program belongs that no package brought."""

CLONES: Final = b"/memfd:runc_cloned:"
"""runc(8) runs from a sealed copy of itself in memory, so that no container can overwrite it."""

TALKERS: Final = frozenset(
    b"nc ncat netcat nc.traditional nc.openbsd socat telnet cryptcat pwncat sbd chisel gost".split()
)
"""Programs that join a connection to whatever one likes."""

SHELLS: Final = frozenset(b"sh bash dash rbash ash ksh mksh zsh csh tcsh fish busybox".split())


class Odd(NamedTuple):
    """Something about a program: `says` is a clause with the program for its subject."""

    verdict: Verdict
    says: str
    technique: str = ""


class Programs:
    """What is known of all programs among `processes`. Asks for all owners at once."""

    def __init__(self, scene: Scene, processes: Iterable[Process]) -> None:
        self._scene = scene
        paths = {path for one in processes for path in (one.exe or b"", _script(one)) if path[:1] == b"/"}
        self._owners: Mapping[bytes, Owner] = scene.packages.owners(paths) if paths else {}
        self._led: dict[bytes, bool] = {}
        self._told = bool(scene.packages.name) and not scene.packages.problem

    def package(self, path: bytes) -> str:
        """The package that owns a path, with its version; "" for none."""
        owner = self._owners.get(path)
        return f"{owner.package} {owner.version}".strip() if owner else ""

    def is_owned(self, path: bytes) -> bool | None:
        """Whether a package owns it; None when nobody can say."""
        return path in self._owners if self._told else None

    def odd(self, process: Process) -> Iterator[Odd]:
        """What is odd about a program by its file alone."""
        exe = process.exe
        if not exe or process.kernel:
            return
        if process.state == ANONYMOUS:
            kind = Verdict.NOTABLE if exe.startswith(CLONES) else Verdict.SUSPICIOUS
            yield Odd(kind, "runs from memory: there is no file of it", "T1620")
        elif process.state == DELETED:
            yield self._deleted(process)
        elif process.state == REPLACED and not process.namespace:
            if self.is_owned(exe) is not False:
                yield Odd(Verdict.FINE, "runs on as it was before an update of its file")
            else:
                yield Odd(Verdict.NOTABLE, "runs from a file that was replaced since, by no package")
        traits = path_traits(exe)
        if "temporary" in traits:
            # The exception is an AppImage's own mount.
            kind = Verdict.NOTABLE if exe.startswith(b"/tmp/.mount_") else Verdict.SUSPICIOUS
            yield Odd(kind, "runs from a folder that anybody may write to", "T1036.005")
        elif is_hidden(exe):
            yield Odd(Verdict.SUSPICIOUS, "runs from a hidden place", "T1564.001")
        elif process.state not in (ANONYMOUS, DELETED) and not process.namespace:
            yield from self._unowned(exe)
            yield from self._script(process)

    def _deleted(self, process: Process) -> Odd:
        exe = process.exe or b""
        if not path_traits(exe) and exe.startswith((*SYSTEM, b"/opt/")) and self._changed_since(process):
            return Odd(Verdict.NOTABLE, "runs on although its file is gone: packages changed since it began")
        return Odd(Verdict.SUSPICIOUS, "runs on although its file was deleted", "T1070.004")

    def _changed_since(self, process: Process) -> bool:
        """Whether the package manager did anything since the process was started."""
        began = self._scene.began(process)
        return next(iter(self._scene.packages.transactions(began)), None) is not None

    def _unowned(self, exe: bytes) -> Iterator[Odd]:
        if self.is_owned(exe) is not False or exe.startswith(ADMINISTRATORS):
            return
        if exe.startswith(NEVER):
            yield Odd(
                Verdict.SUSPICIOUS, "belongs to no package and lies where no program belongs", "T1036.005"
            )
        elif exe.startswith(SYSTEM):
            yield Odd(
                Verdict.SUSPICIOUS, "lies among the system's programs and belongs to no package", "T1036.005"
            )
        else:
            yield Odd(Verdict.NOTABLE, "belongs to no package and lies in an unusual place")

    def _script(self, process: Process) -> Iterator[Odd]:
        """What an interpreter runs is as much the program as its image, which always has a package."""
        path = _script(process)
        if not path.startswith(SYSTEM + NEVER) or path.startswith(ADMINISTRATORS) or FOREIGN.fullmatch(path):
            return
        if self.is_owned(path) is False and not self._leads_to_owned(path):
            yield Odd(Verdict.NOTABLE, f"runs {text(path, 200)}, which belongs to no package", "T1036.005")

    def _leads_to_owned(self, path: bytes) -> bool:
        """Whether it is a link of nobody's (alternatives) to what a package owns."""
        if path not in self._led:
            try:
                real = self._scene.host.files.real(path)
            except OSError:
                real = path
            self._led[path] = real != path and bool(self._scene.packages.owners({real}))
        return self._led[path]


def worst(found: Collection[Odd]) -> Verdict:
    """The worst verdict of them."""
    return max((one.verdict for one in found), default=Verdict.FINE)


def sentence(subject: str, found: Collection[Odd]) -> str:
    """`subject; it runs from … and was …`, the worst first; the subject alone when nothing is odd."""
    clauses = list(dict.fromkeys(one.says for one in sorted(found, key=lambda one: -one.verdict)))
    *most, last = clauses or [""]
    return f"{subject}; it {', '.join(most)}{' and ' if most else ''}{last}" if last else subject


def technique(found: Collection[Odd]) -> str:
    """That of the worst."""
    return next((one.technique for one in sorted(found, key=lambda one: -one.verdict) if one.technique), "")


# -- names and kin -----------------------------------------------------------------------------------


def _script(process: Process) -> bytes:
    return script(process.exe, process.argv, process.cwd) if process.exe else b""


CODE: Final = 60
"""Characters of code on a command line that name its process: all of it stands in the evidence, once."""


def program(process: Process) -> str:
    """What runs, as people name it: the image and, of an interpreter, the script or how its code begins;
    `[name]` without one."""
    exe = process.exe if process.exe else b"[" + process.comm + b"]"
    words = _script(process)
    said = text(words, 300 if words.startswith(b"/") else CODE)
    return text(exe, 300) + (f" {said}" if words and words != b"-" else "")


def called(process: Process) -> str:
    """A process's name as an item: `pid 4711 /usr/sbin/sshd`."""
    return f"pid {process.pid} {program(process)}"


def words(process: Process) -> str:
    """Its command line, without secrets."""
    return text(redact(command(process.argv)), 600)


def base(process: Process) -> bytes:
    """The last part of the image's path."""
    return (process.exe or b"").rpartition(b"/")[2]


def is_shell(process: Process) -> bool:
    """Whether it obeys whoever types to it: a shell or an interpreter."""
    return base(process) in SHELLS or language(process.exe or b"") is not None


def is_told_what_to_do(process: Process) -> bool:
    """Whether it is an interpreter whose program stands on its command line, so that no file holds it."""
    words = _script(process)
    return words.startswith((b"-c ", b"-e ", b"-E ", b"-r ")) and language(process.exe or b"") is not None


def kin(scene: Scene, process: Process) -> list[Process]:
    """Its living ancestors, the parent first."""
    found: list[Process] = []
    seen = {process.pid}
    parent = scene.processes.get(process.parent)
    while parent is not None and parent.pid not in seen and len(found) < FARTHEST:
        found.append(parent)
        seen.add(parent.pid)
        parent = scene.processes.get(parent.parent)
    return found


def lineage(scene: Scene, process: Process) -> str:
    """`sshd (812) < systemd (1)`: its ancestors, the parent first."""
    return " < ".join(f"{text(one.comm, 40)} ({one.pid})" for one in kin(scene, process))


WAYS: Final = (
    ("ssh", (b"sshd", b"dropbear")),
    ("cron", (b"cron", b"crond", b"atd", b"anacron", b"fcron")),
    ("telnet", (b"in.telnetd", b"telnetd")),
    ("the console", (b"login", b"agetty", b"getty")),
)
"""(how somebody came in, how the names of the programs begin that let him in)."""


def way_in(scene: Scene, process: Process, origin: Origin | None) -> str:
    """The login that a process belongs to, as a clause; "" when it is nobody's."""
    chain = kin(scene, process)
    way = next((how for how, names in WAYS for one in chain if base(one).startswith(names)), "")
    if origin is not None and origin.login not in (None, 0):
        who = scene.user(origin.login)
    elif process.unit.startswith(b"session-") or way in ("ssh", "telnet", "the console"):
        # Where no login uid is kept: who the nearest ancestor that is not root is.
        who = scene.user(next((one.uid for one in (process, *chain) if one.uid), 0))
    elif origin is not None and origin.login == 0:
        who = "root"
    else:
        return ""
    number = f" (session {origin.session})" if origin is not None and origin.session else ""
    client = origin.client.split() if origin is not None else []
    where = f" from {text(client[0], 64)}" if client and way in ("", "ssh") else ""
    by = f" by {'ssh' if where else way}" if where or way else ""
    return f"started in {who}'s login{by}{where}{number}"


def details(scene: Scene, programs: Programs, process: Process) -> dict[str, object]:
    """The rest of what is known, by short names."""
    found: dict[str, object] = {
        "pid": process.pid,
        "account": scene.user(process.uid),
        "exe": text(process.exe or b""),
        "command": words(process),
        "since": round(scene.began(process), 2),
        "parents": lineage(scene, process),
    }
    if process.unit:
        found["unit"] = text(process.unit)
    if package := programs.package(process.exe or b""):
        found["package"] = package
    if came := way_in(scene, process, scene.host.live.origin(process.pid)):
        found["login"] = came
    return found
