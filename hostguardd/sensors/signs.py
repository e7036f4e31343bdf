"""The signs of a process that is not what it seems: libraries, names, scripts, folders. Pure.

What is looked at, and why it is not simply loud:

* *preloaded libraries*: LD_PRELOAD lets a library into a program without changing any file. Build tools,
  allocators and monitoring use it too: those are known by the library's name, in system folders only;
* *mapped code*: a library from a temporary folder or from memory (memfd) is how code gets into a running
  process. Just-in-time compilers map memory under names of their own, and Java, .NET and Python
  programs unpack native libraries into /tmp: known by the mapping's name and the program;
* *deleted libraries*: after a package update every long-running service has some, so a system folder's are a
  word of their own; elsewhere they are more of a story;
* *names*: what a process calls itself against what it runs.

Homes are full of dot folders with programs and libraries in them (pip, nvm, editors), so that those
say nothing of a login's process.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from ..facts.live import kernel_name
from ..host.live import Inside, Process
from ..model import path_traits, under
from .commands import MANY_IN_ONE, command, language

LOUD: Final = frozenset(
    {"false-name", "library-hidden", "library-memory", "library-temporary", "preload", "preload-odd"}
    | {"script-odd", "working-hidden"}
)
"""Signs of which a process is a fact at once, wherever it hangs."""

LONGEST: Final = 400
"""Bytes of evidence that are kept."""

HOMES: Final = (b"/home", b"/root", b"/var/home", b"/var/lib/jenkins")
TOOLS: Final = frozenset(
    b".venv .virtualenvs .pyenv .tox .nox .conda .mamba .local .cache .cargo .rustup .nvm .npm .pnpm .yarn"
    b" .bun .deno .rbenv .gem .bundle .asdf .sdkman .dotnet .julia .opam .stack .cabal .terraform .git"
    b" .config".split()
)
"""Dot folders that tools of developers make beside an application, with libraries in them."""

SYSTEM: Final = (
    b"/usr/", b"/lib/", b"/lib64/", b"/bin/", b"/sbin/", b"/opt/", b"/snap/", b"/nix/store/", b"/app/",
)  # fmt: skip

PRELOADS: Final = re.compile(
    rb"lib(?:fakeroot|eatmydata|stdbuf|jemalloc|tcmalloc|mimalloc|hoard|faketime|nss_wrapper|uid_wrapper"
    rb"|socket_wrapper|asan|tsan|ubsan|lsan|gtk3-nocsd|proxychains|torsocks|oneagentproc|dynatrace|apmpreload"
    rb"|heaptrack_preload|memusage|pcprofile|SegFault|preload-nice|ssp|snoopy|mysqlclient|umockdev-preload)"
    rb"[\w.+-]*"
)
"""Names of libraries that honest programs preload, from system folders."""

MEMORY: Final = re.compile(
    rb"/memfd:(?:doublemapper|libffi|sljit|pcre2?-jit|orcexec|tcg-jit|jit|luajit|js-executable-memory"
    rb"|JITCode:\w*|v8-jit|mesa-\w*|llvm-jit)\b.*"
)
"""Names that just-in-time compilers give their memory: .NET, libffi, PCRE2 and PHP, orc, QEMU, …"""

EXTRACTED: Final[tuple[tuple[re.Pattern[bytes], re.Pattern[bytes]], ...]] = (
    (
        re.compile(rb".*/java"),
        re.compile(
            rb"/(?:var/)?tmp/(?:.*/)?(?:jna\d*\.tmp|jna-[^/]*|lib(?:netty|snappy|lz4|zstd|rocksdbjni|leveldbjni"
            rb"|conscrypt|jansi|sqlitejdbc|jffi|tensorflow|onnxruntime)[^/]*|(?:snappy|sqlite|jansi|zstd)-[^/]*)"
            rb"(?: \(deleted\))?"
        ),
    ),
    (re.compile(rb".*"), re.compile(rb"/tmp/(?:_MEI\w{6,}|\.net/[^/]+/[^/]+)/.*")),  # PyInstaller, .NET
    (re.compile(rb".*"), re.compile(rb"/(?:tmp|run/user/\d+)/(?:ffi|orcexec\.)\w{6} \(deleted\)")),
    (re.compile(rb".*"), re.compile(rb"/tmp/\.mount_\w+/.*")),  # an AppImage's own
)
"""(program, file): what runtimes unpack into temporary folders."""

NO_FILES: Final = (b"/dev/zero", b"/SYSV", b"/anon_hugepage", b"/[aio]", b"/drm ", b"/i915", b"/dev/")
"""How the mappings that are no files begin: shared memory and devices."""

DELETED: Final = b" (deleted)"

DAEMONS: Final = frozenset(
    b"sshd crond cron atd rsyslogd syslogd auditd systemd systemd-journal systemd-udevd systemd-logind"
    b" systemd-network systemd-resolve systemd-timesyn dbus-daemon dbus-broker nginx apache2 httpd lighttpd"
    b" NetworkManager polkitd chronyd ntpd agetty irqbalance containerd dockerd mysqld postgres php-fpm"
    b" snmpd cupsd udevd init".split()
)
"""Names under which people expect a system's own program, as the kernel cuts them (15 bytes)."""

OWN_NAMES: Final = frozenset(
    b"sshd crond rsyslogd auditd systemd-journal systemd-logind dbus-daemon nginx apache2 httpd".split()
)
"""Those of them whose program always has a name that begins so."""

EMULATORS: Final = re.compile(
    rb"(?:qemu-|memcheck-|wine|box64|fex|rosetta|ld-linux|ld-musl).*", re.IGNORECASE
)
"""Programs that run another one and go by its name."""


def signs(process: Process, inside: Inside, script: bytes) -> tuple[bytes, bytes]:
    """(the words of ProcessFact.signs, the evidence)."""
    found: dict[str, list[bytes]] = {}
    for look in LOOKS:
        for word, evidence in look(process, inside, script):
            found.setdefault(word, []).append(evidence)
    words = " ".join(sorted(found)).encode()
    named = dict.fromkeys(one for word in sorted(found, key=_loud_first) for one in found[word] if one)
    return words, b", ".join(named)[:LONGEST]


def _loud_first(word: str) -> tuple[bool, str]:
    return (word not in LOUD, word)


Signs = Iterator[tuple[str, bytes]]


def _preloaded(process: Process, inside: Inside, script: bytes) -> Signs:
    for name in (b"LD_PRELOAD", b"LD_AUDIT"):
        for library in re.split(rb"[\s:]+", inside.linker.get(name, b"")):
            if library:
                yield _preload(library), b"%s=%s" % (name, library)
    for folder in re.split(rb"[:;]", inside.linker.get(b"LD_LIBRARY_PATH", b"")):
        if _is_odd_place(folder):
            yield "library-path-odd", b"LD_LIBRARY_PATH=%s" % folder


def _preload(library: bytes) -> str:
    known = PRELOADS.fullmatch(library.rpartition(b"/")[2]) is not None
    if b"/" not in library or library.startswith((*SYSTEM, b"$")):
        return "preload-known" if known else "preload"
    return "preload-odd"


def _mapped(process: Process, inside: Inside, script: bytes) -> Signs:
    image = process.exe or b""
    for path in inside.mapped:
        plain = path.removesuffix(DELETED)
        of_kernel = plain.startswith(NO_FILES) and not plain.startswith(b"/dev/shm/")
        if plain != image and not of_kernel and (sign := _library(image, path, plain)):
            yield sign, path


def _library(image: bytes, path: bytes, plain: bytes) -> str:
    """The sign of one file mapped to be executed, "" for an ordinary one."""
    if path.startswith(b"/memfd:"):
        return "library-jit" if MEMORY.fullmatch(path) else "library-memory"
    if any(program.fullmatch(image) and file.fullmatch(path) for program, file in EXTRACTED):
        return "library-extracted"
    traits = path_traits(plain)
    if "temporary" in traits:
        return "library-temporary"
    if "hidden" in traits:
        return "library-hidden" if is_hidden(plain) else "library-home"
    if plain != path:
        return "library-deleted" if plain.startswith(SYSTEM) else "library-gone"
    return ""


def _named(process: Process, inside: Inside, script: bytes) -> Signs:
    image = process.exe or b""
    name = image.rpartition(b"/")[2]
    told = command(process.argv)
    if inside.claimed and not EMULATORS.fullmatch(name):
        yield "false-name", inside.claimed
    if kernel := kernel_name(process.comm, told):
        yield "false-name", kernel
    elif blank := next((one for one in (process.comm, name) if one.endswith((b" ", b"\xa0"))), b""):
        yield "false-name", b'"%s"' % blank
    elif process.comm in DAEMONS and not _may_be(process.comm, image, script):
        yield "false-name", process.comm
    elif (shown := _shown(process)) in DAEMONS and language(image) and not _may_be(shown, image, script):
        yield "false-name", process.argv[0]


def _shown(process: Process) -> bytes:
    """The name under which ps(1) shows it: `$0 = "…"` in Perl and `exec -a` set that one only."""
    return re.split(rb"[\s:]", process.argv[0] if process.argv else b"", maxsplit=1)[0].rpartition(b"/")[2]


def _may_be(comm: bytes, image: bytes, script: bytes) -> bool:
    """Whether a program may go by the name of a daemon."""
    name = image.rpartition(b"/")[2]
    if name in MANY_IN_ONE:
        return True
    if language(image) is not None:
        return script.startswith((*SYSTEM, b"/etc/"))  # a script of the system's, such as init.d's
    if not image.startswith(SYSTEM):
        return False
    return comm not in OWN_NAMES or name.startswith(comm)


def _placed(process: Process, inside: Inside, script: bytes) -> Signs:
    read = inside.script or script
    if read.startswith((b"/memfd:", b"/dev/shm/")) or _is_hidden_temporary(read):
        yield "script-odd", read
    elif "temporary" in path_traits(script):
        yield "script-temporary", script
    cwd = process.cwd.removesuffix(DELETED)
    if is_hidden(cwd + b"/") and not cwd.startswith(b"/tmp/.mount_"):
        yield "working-hidden", cwd
    image = process.exe or b""
    in_memory = image.startswith(b"/memfd:")  # no file that anybody could write to
    if process.uid == 0 and inside.mode & 0o002 and not in_memory:
        yield "writable", image
    if process.tracer:
        yield "traced", b"by pid %d" % process.tracer


def is_hidden(path: bytes) -> bool:
    """Whether a path is hidden otherwise than by the dot folders of homes and tools."""
    if "hidden" not in path_traits(path) or any(under(path, home) for home in HOMES):
        return False
    parts = [part for part in path.split(b"/") if part.startswith(b".") or part.endswith(b" ")]
    odd = "temporary" in path_traits(path) or path.startswith(SYSTEM[:5])  # no tool makes its folder there
    return odd or not TOOLS.issuperset(parts)


def _is_hidden_temporary(path: bytes) -> bool:
    return path_traits(path) >= {"temporary", "hidden"}


def _is_odd_place(folder: bytes) -> bool:
    if folder.startswith(b"/tmp/.mount_"):
        return False
    traits = path_traits(folder + b"/")
    return "temporary" in traits or is_hidden(folder + b"/")


LOOKS: Final[tuple[Callable[[Process, Inside, bytes], Signs], ...]] = (_preloaded, _mapped, _named, _placed)
