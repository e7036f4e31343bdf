"""What a configuration means, and what would be told of a thing: which watch reaches a path, and which rule a
path, port or program meets. `config check` shows it.

Pure: a configuration and a word of the administrator's in, verdicts out; nothing is looked at. What is
not known of a thing beforehand (its owner, its content) is left unknown, and an unknown value matches no
rule that asks for it: the answer is that for a stranger, which is the loudest there may be.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from .config import Config
from .fact import Fact, split
from .homes import Homes, expand
from .model import Drift, FileFact, ListenerFact, ProcessFact, Verdict
from .policy import Policy
from .record import Record, escape
from .watches import Watches
from .watchlist import Watch

PORT = re.compile(r"(tcp|udp|sctp|raw)(6?)[: ](?:(.*):)?([0-9]{1,5})")
HIGHEST = 65_535


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that may happen, in words, and what the policy says of it."""

    what: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Foretold:
    """What a thing would meet. `watch` is that of a path, None where nothing looks at it as a file; `urgent`
    that a change there does not wait for others."""

    thing: str
    watch: Watch | None
    urgent: bool
    cases: tuple[Case, ...]


def foretell(config: Config, homes: Homes, thing: str) -> Foretold:
    """What `thing` (an absolute path, or a port such as `tcp:4444`) would meet; ValueError for neither."""
    policy = Policy(config.rules, homes)
    if thing.startswith("/"):
        path = thing.encode("utf-8", "surrogateescape")
        path = path.rstrip(b"/") or b"/"
        watch = Watches(expand(config, homes).watches).find(path)
        files = _file(path, watch.ignore) if watch is not None else iter(())
        return Foretold(
            thing,
            watch,
            watch is not None and policy.urgent(path),
            tuple(Case(what, policy.judge(drift)) for what, drift in (*files, *_program(path))),
        )
    port = PORT.fullmatch(thing)
    if port is None or int(port[4]) > HIGHEST:
        raise ValueError(
            f'{thing} is neither an absolute path nor a port such as "tcp:4444" or "udp:[::1]:53"'
        )
    return Foretold(thing, None, False, tuple(Case(what, policy.judge(d)) for what, d in _listener(port)))


def _file(path: bytes, ignore: frozenset[str]) -> Iterator[tuple[str, Drift]]:
    """What may happen to a file, but for what its watch does not compare."""
    for what, before, after in _acts(path):
        drift = _drift(before, after, ignore)
        if drift.changed or None in (before, after):
            yield what, drift


def _acts(path: bytes) -> Iterator[tuple[str, FileFact | None, FileFact | None]]:
    """What may be done to a file: in words, before, after."""
    folder, name = split(path)
    digest = b"\1" * 32
    old = FileFact(
        folder, name, stat.S_IFREG | 0o644, 0, 0, 2, 10**18, 10**18, 1, 1, 0, b"", digest, b"", 0, 0
    )  # fmt: skip
    later = old.ctime + 10**12
    touched = replace(old, mtime=later, ctime=later)
    edited = replace(touched, size=3, sha256=b"\2" * 32)
    yield "file added", None, old
    yield "program added", None, replace(old, mode=stat.S_IFREG | 0o755)
    yield "folder added", None, replace(old, mode=stat.S_IFDIR | 0o755, sha256=b"")
    yield "content changed", old, edited
    yield "content changed, its time set back", old, replace(edited, mtime=old.mtime)
    yield "owner changed", old, replace(old, uid=1, ctime=later)
    yield "writable by everyone", old, replace(old, mode=stat.S_IFREG | 0o666, ctime=later)
    yield "set-user-id", old, replace(old, mode=stat.S_IFREG | 0o4755, ctime=later)
    yield "touched", old, touched
    yield "removed", old, None


def _program(path: bytes) -> Iterator[tuple[str, Drift]]:
    """What may happen with a program at this path."""
    for role, what in (
        ("service", "service runs it"),
        ("helper", "service starts it"),
        ("session", "login runs it"),
    ):
        fact = ProcessFact(
            "host", path, 0, b"", b"", role, 1, "running", None, b"", split(path)[1][:15], 0, 1, 1, 1, path
        )  # fmt: skip
        yield f"a {what}", _drift(None, fact)
    port = ListenerFact("tcp", b"0.0.0.0:1", 1, None, path, None, None, None, None, 1)
    yield "it listens on a new port", _drift(None, port)


def _listener(port: re.Match[str]) -> Iterator[tuple[str, Drift]]:
    """What may happen at a port."""
    proto, six, address, number = port.groups()
    address = address or ("[::]" if six else "0.0.0.0")
    endpoint = number if proto == "raw" else f"{address}:{number}"
    if address.startswith("["):
        six = "6"
    fact = ListenerFact(
        proto + six, endpoint.encode(), int(number), None, None, None, None, None, None, 1
    )  # fmt: skip
    other = replace(fact, uid=1000, exe=b"/usr/bin/other")
    yield "somebody listens", _drift(None, fact)
    yield "another program answers", _drift(replace(other, uid=0, exe=b"/usr/sbin/known"), other)
    yield "a second program shares it", _drift(other, replace(other, others=b"/usr/bin/second"))
    yield "nobody listens any more", _drift(fact, None)


def _drift(before: Fact | None, after: Fact | None, ignore: frozenset[str] = frozenset()) -> Drift:
    subject = after or before
    assert subject is not None
    changed: tuple[str, ...] = ()
    if before is not None and after is not None:
        differing = (name for name in subject.columns() if getattr(before, name) != getattr(after, name))
        changed = tuple(name for name in differing if name not in ignore)
    return Drift(type(subject), before, after, changed)


def configuration_json(names: Sequence[str], config: Config) -> Record:
    """What a configuration from sources of these names comes to."""
    return {
        "ok": True,
        "sources": list(names),
        "paths": asdict(config.paths),
        "group": config.control.group,
        "rules": len(config.rules),
        "watches": [
            {"name": w.name, "paths": [escape(path) for path in w.paths], "notes": _notes(w)}
            for w in config.watches
        ],
    }


def foretold_json(found: Foretold) -> Record:
    """What a thing would meet, as JSON has it."""
    return {
        "thing": escape(found.thing.encode("utf-8", "surrogateescape")),
        "watch": found.watch.name if found.watch else None,
        "notes": _notes(found.watch) if found.watch else [],
        "urgent": found.urgent,
        "cases": [
            {
                "what": case.what,
                "severity": case.verdict.severity.label,
                "rule": case.verdict.rule,
                "technique": case.verdict.technique,
            }
            for case in found.cases
        ],
    }


def _notes(watch: Watch) -> list[str]:
    """What is particular about a watch, in words."""
    depth = {-1: "", 0: "only that entry", 1: "one level deep"}.get(watch.depth, f"{watch.depth} levels deep")
    told = [
        depth,
        "append-only" if watch.growing else "",
        "with diffs" if watch.diff else "",
        f"not its {', '.join(sorted(watch.ignore))}" if watch.ignore else "",
        f"without {' '.join(escape(glob) for glob in watch.exclude)}" if watch.exclude else "",
        f"only {' '.join([*sorted(watch.select), *map(escape, watch.names)])}" if watch.selective else "",
    ]
    return [note for note in told if note]
