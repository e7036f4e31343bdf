"""A drift as one sentence that a tired person can act on.

What, where, before → after, the loudest part first. What follows from the rest is left out (a file
with new content has a new mtime), so that what does *not* follow stands out: content that changed
under an mtime that did not is how a hand hides its work. The rule: **a sentence never claims more
than was seen**; what is unknown is called so, and the complete facts travel beside it as data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from stat import S_IFMT
from typing import Any

from . import attributes
from .attributes import Names
from .facts.live import SIGNS
from .model import (
    TYPE_NAMES,
    Drift,
    Fact,
    FileFact,
    ListenerFact,
    ProcessFact,
    SetIdFact,
    decode_xattrs,
    kernel_name,
    sharers,
)
from .record import clean, escape
from .subjects import command
from .words.book import BOOK
from .words.interface import arrow as _arrow
from .words.interface import said as _path
from .words.interface import short

XATTR_NAMES: Mapping[bytes, str] = {
    b"security.capability": "capabilities",
    b"system.posix_acl_access": "ACL",
    b"system.posix_acl_default": "default ACL",
    b"security.selinux": "SELinux label",
}

NOUNS: Mapping[str, str] = {
    "dir": "folder",
    "fifo": "FIFO",
    "char": "character device",
    "block": "block device",
}
"""Types of a directory entry whose everyday name is another."""

ROLES: Mapping[str, str] = {
    "service": "service",
    "helper": "helper of a service",
    "session": "program of a session",
}

STATES: Mapping[str, str] = {
    "running": "its file is the one it runs from again",
    "deleted": "its file was deleted while it runs",
    "replaced": "its file was replaced while it runs",
    "anonymous": "it runs from memory, without a file",
}


def sentence(drift: Drift, names: Names) -> str:
    """One sentence without a full stop; bytes in it are escaped, so it has no line ends."""
    subject = drift.subject
    if words := BOOK.get(drift.fact):
        if drift.before is None:
            return words.new(subject, names)
        if drift.after is None:
            return words.gone(subject, names)
        return words.changed(drift.before, drift.after, drift.changed, names)
    if drift.before is None:
        return f"New {_DESCRIBED[type(subject)](subject, names)}"
    if drift.after is None:
        return _GONE[type(subject)](subject, names)
    parts = list(_CHANGES[type(subject)](drift.before, drift.after, drift.changed, names))
    return f"{_name(subject, names)} changed: {', '.join(parts) or ', '.join(drift.changed)}"


def _program(exe: bytes | None) -> str:
    return _path(exe) if exe else "an unknown program"


def _whose(fact: FileFact | SetIdFact, names: Names) -> str:
    owner, group = attributes.user(fact.uid, names), attributes.group(fact.gid, names)
    return f"{attributes.mode(fact.mode)} {owner}:{group}"


def _privilege(fact: FileFact | SetIdFact, names: Names) -> str:
    """`set-uid root`, `set-gid tty`, or "" for neither."""
    traits = fact.traits()
    words = []
    if "setuid" in traits:
        words.append(f"set-uid {attributes.user(fact.uid, names)}")
    if "setgid" in traits:
        words.append(f"set-gid {attributes.group(fact.gid, names)}")
    return " ".join(words)


# What a thing is called


def _file_noun(fact: FileFact, names: Names) -> str:
    if fact.type != "file":
        return NOUNS.get(fact.type, fact.type)
    if privilege := _privilege(fact, names):
        return f"{privilege} program"
    return "executable file" if "executable" in fact.traits() else "file"


def _describe_file(fact: FileFact, names: Names) -> str:
    target = f" → {_path(fact.target)}" if fact.target else ""
    extent = f", {attributes.size(fact.size)}" if fact.type == "file" else ""
    modified = f", modified {attributes.moment(fact.mtime)}"
    return f"{_file_noun(fact, names)} {_path(fact.path)}{target} ({_whose(fact, names)}{extent}{modified})"


def _setid_noun(fact: SetIdFact, names: Names) -> str:
    capable = f"with {attributes.capabilities(fact.caps)}" if fact.caps else ""
    return " ".join(part for part in (_privilege(fact, names), "program", capable) if part)


def _describe_setid(fact: SetIdFact, names: Names) -> str:
    extent = attributes.size(fact.size)
    return f"{_setid_noun(fact, names)}: {_path(fact.path)} ({_whose(fact, names)}, {extent})"


def _who(uid: int | None, pid: int | None, names: Names) -> str:
    """`uid 1000 alice, pid 812`, as far as known."""
    name = clean(names.user(uid)) if uid is not None else ""
    parts = []
    if uid is not None:
        parts.append(f"uid {uid} {name}".rstrip())
    if pid:
        parts.append(f"pid {pid}")
    return ", ".join(parts) or "owner unknown"


def _describe_listener(fact: ListenerFact, names: Names) -> str:
    who = _who(fact.uid, fact.pid, names)
    return f"listener {_path(fact.label)}: {_program(fact.exe)} ({who}){_sharing(fact)}"


def _sharing(fact: ListenerFact) -> str:
    others = sharers(fact.others)
    if not others:
        return ""
    named = ", ".join(_path(b" ".join(words)) for words in others)
    same = any(words[0] == fact.exe for words in others)
    own = f" (its own command: {short(command(fact.command or b''))})" if same else ""
    return f", shared with {named}{own}"


def _describe_process(fact: ProcessFact, names: Names) -> str:
    state = "" if fact.state == "running" else f"; {STATES.get(fact.state, fact.state)}"
    if kernel_name(fact.comm, fact.command) and not fact.kernel:
        state += f"; it calls itself {_path(kernel_name(fact.comm, fact.command))} as if it were the kernel's"
    return (
        f"{ROLES.get(fact.role, fact.role)} {_path(fact.label)} ({_who(fact.uid, fact.pid, names)},"
        f" started by {_program(fact.parent_exe)}){state}{_signs(fact)}"
    )


def _signs(fact: ProcessFact, known: frozenset[str] = frozenset()) -> str:
    """`; a library is preloaded into it (LD_PRELOAD=/tmp/x.so)` for each sign that is not among `known`."""
    words = sorted((fact.traits() & SIGNS.keys()) - known)
    if not words:
        return ""
    evidence = f" ({_path(fact.evidence)})" if fact.evidence else ""
    return f"; {'; '.join(SIGNS[word] for word in words)}{evidence}"


_DESCRIBED: Mapping[type[Fact], Callable[[Any, Names], str]] = {
    FileFact: _describe_file,
    SetIdFact: _describe_setid,
    ListenerFact: _describe_listener,
    ProcessFact: _describe_process,
}

_GONE: Mapping[type[Fact], Callable[[Any, Names], str]] = {
    FileFact: lambda fact, names: f"Gone: {_describe_file(fact, names)}",
    SetIdFact: lambda fact, names: f"No longer there or no longer privileged: {_describe_setid(fact, names)}",
    ListenerFact: lambda fact, names: f"No longer listening: {_describe_listener(fact, names)}",
    ProcessFact: lambda fact, names: (
        f"No longer running: {ROLES.get(fact.role, fact.role)} {_path(fact.label)}"
        f" ({_who(fact.uid, None, names)}, was started by {_program(fact.parent_exe)})"
    ),
}


def _name(subject: Fact, names: Names) -> str:
    """What a changed thing is called at the beginning of its sentence."""
    match subject:
        case FileFact():
            return _path(subject.path)
        case SetIdFact():
            return f"Privileged program {_path(subject.path)}"
        case ListenerFact():
            return f"Listener {_path(subject.label)}"
        case ProcessFact():
            return f"{ROLES.get(subject.role, subject.role).capitalize()} {_path(subject.label)}"
        case _:
            return _path(subject.label)


# What changed in it

Changes = Iterator[str]


def _file_changes(before: Any, after: Any, changed: tuple[str, ...], names: Names) -> Changes:
    """For FileFact and SetIdFact: their common fields have the same names."""
    # Of a file that is a symlink now, that its digest went is no news beside that.
    if "sha256" in changed and S_IFMT(before.mode) == S_IFMT(after.mode):
        if isinstance(after, FileFact) and before.mtime == after.mtime:
            yield "content, although its mtime did not move"
        elif "backdated" in _times(before, after):
            moved = _arrow("mtime", attributes.moment(before.mtime), attributes.moment(after.mtime))
            yield f"content, under a time older than the change ({moved})"
        else:
            yield "content"
    if "mode" in changed:
        yield from _mode_changes(before, after, names)
    if "uid" in changed:
        yield _arrow("owner", attributes.user(before.uid, names), attributes.user(after.uid, names))
    if "gid" in changed:
        yield _arrow("group", attributes.group(before.gid, names), attributes.group(after.gid, names))
    if "target" in changed:
        yield _arrow("target", _path(before.target), _path(after.target))
    if "size" in changed:
        yield _arrow("size", *_sizes(before.size, after.size))
    if "caps" in changed:
        old, new = (attributes.capabilities(side.caps) if side.caps else "" for side in (before, after))
        yield _arrow("capabilities", old, new)
    if "xattrs" in changed:
        yield from _xattr_changes(before.xattrs, after.xattrs, names)
    if "flags" in changed:
        yield _arrow("chattr flags", attributes.flags(before.flags), attributes.flags(after.flags))
    if "links" in changed:
        yield _arrow("hard links", str(before.links), str(after.links))
    if "device" in changed:
        yield "something is mounted on it" if after.device else "nothing is mounted on it any more"
    if "unstable" in changed:
        yield "it kept changing while it was read" if after.unstable else "it no longer changes while read"
    if "inode" in changed:
        yield "another inode in its place"
    yield from _time_changes(before, after, changed)


def _mode_changes(before: Any, after: Any, names: Names) -> Changes:
    old_type, new_type = (TYPE_NAMES.get(S_IFMT(side.mode), "unknown") for side in (before, after))
    if old_type != new_type:
        yield f"it was a {NOUNS.get(old_type, old_type)} and is a {NOUNS.get(new_type, new_type)} now"
    old, new = attributes.mode(before.mode), attributes.mode(after.mode)
    if old != new:
        gained = _privilege(after, names) if _privilege(after, names) != _privilege(before, names) else ""
        yield _arrow("mode", old, f"{new} ({gained})" if gained else new)


def _time_changes(before: Any, after: Any, changed: tuple[str, ...]) -> Changes:
    if changed == ("ctime",):
        yield (
            f"only its ctime moved, {attributes.moment(before.ctime)} → {attributes.moment(after.ctime)}:"
            " something was changed and put back"
        )
    elif "mtime" in changed and not {"sha256", "size"} & set(changed):
        moved = _arrow("mtime", attributes.moment(before.mtime), attributes.moment(after.mtime))
        yield f"{moved}, older than the change" if "backdated" in _times(before, after) else moved
    if "future" in _times(before, after):
        yield f"its mtime lies ahead ({attributes.moment(after.mtime)})"


def _times(before: Any, after: Any) -> frozenset[str]:
    """`backdated` and `future`, of files."""
    return FileFact.turns(before, after) if isinstance(after, FileFact) else frozenset()


def _sizes(before: int, after: int) -> tuple[str, str]:
    """Both sizes, as exact as it takes to tell them apart."""
    rough = attributes.size(before), attributes.size(after)
    return rough if rough[0] != rough[1] else (f"{before} B", f"{after} B")


def _xattr_changes(before: bytes, after: bytes, names: Names) -> Changes:
    old, new = decode_xattrs(before), decode_xattrs(after)
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            texts = (attributes.xattr(name, side[name], names) if name in side else "" for side in (old, new))
            yield _arrow(XATTR_NAMES.get(name) or escape(name), *map(short, texts))


def _listener_changes(
    before: ListenerFact, after: ListenerFact, changed: tuple[str, ...], names: Names
) -> Changes:
    if "exe" in changed:
        yield f"{_program(before.exe)} → {_program(after.exe)} ({_who(after.uid, after.pid, names)})"
    elif "sha256" in changed:
        yield f"{_program(after.exe)} is another binary now ({_who(after.uid, after.pid, names)})"
    if "uid" in changed:
        yield _arrow("user", _user(before.uid, names), _user(after.uid, names))
    if "others" in changed:
        yield _sharing(after).lstrip(", ") or "no longer shared with another program"
    if "command" in changed:
        yield _arrow("command", short(command(before.command or b"")), short(command(after.command or b"")))


def _process_changes(
    before: ProcessFact, after: ProcessFact, changed: tuple[str, ...], names: Names
) -> Changes:
    if "state" in changed:
        yield STATES.get(after.state, after.state)
    if "sha256" in changed:
        yield "it runs another binary"
    if "instances" in changed:
        yield _arrow("instances", str(before.instances), str(after.instances))
    if "role" in changed:
        yield _arrow("role", ROLES.get(before.role, before.role), ROLES.get(after.role, after.role))
    if "signs" in changed:
        yield _signs(after, before.traits()).lstrip("; ") or "signs that it had are gone"
    if "kernel" in changed:
        yield "it is a kernel thread now" if after.kernel else "it is no kernel thread any more"
    yield _who(after.uid, after.pid, names)


def _user(uid: int | None, names: Names) -> str:
    return "unknown" if uid is None else attributes.user(uid, names)


_CHANGES: Mapping[type[Fact], Callable[[Any, Any, tuple[str, ...], Names], Changes]] = {
    FileFact: _file_changes,
    SetIdFact: _file_changes,
    ListenerFact: _listener_changes,
    ProcessFact: _process_changes,
}
