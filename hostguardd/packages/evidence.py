"""What is asked of a package manager after it was at work, and what it answers: plain values, as they go to
the process that looks and come back from it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

from .interface import Deed

APART: Final = 60.0
"""Seconds of silence between two transactions."""

NEXT_RUN: Final = 5.0
"""The same where it is told when the manager was started: apt starts dpkg again and again, and a script or a
question takes its time within one run."""


class Question(NamedTuple):
    """`since` is the wall-clock second from which on its log counts; `paths` are those that differ now, and
    `root` is the host's. `before` is the file that says whose they were (see `former`), b"" where only the
    present is asked about. `keys` are those believed until now; None where nobody knows: then no signature
    counts, but where only the present is asked about. Without paths it is asked to write that file anew."""

    root: bytes
    since: float
    paths: list[bytes]
    before: bytes
    keys: list[str] | None = None


class Seen(NamedTuple):
    """What the package manager says of one path that differs.

    `package` owns it now ("": nobody), `former` did before. `level` is a `Level`. `words` and `detail` are
    how it departs from the package, `problem` (a clause) why it could not be compared. `inode` and `ctime`
    (nanoseconds) are those of what was compared (0: it was gone, or became another meanwhile). `leads` is
    the target of a link that leads to a packaged path. `follows` is a clause about what no package brings and
    yet follows from the package `of` ("": from all of them).
    """

    package: str = ""
    version: str = ""
    level: int = 0
    config: bool = False
    words: tuple[str, ...] = ()
    detail: str = ""
    problem: str = ""
    inode: int = 0
    ctime: int = 0
    former: str = ""
    leads: bytes = b""
    follows: str = ""
    of: str = ""


class Answer(NamedTuple):
    """All of it. `problem`: why nothing is known. `written` is when the digests of each package were written
    (0: they are no file of their own). `doubts` are clauses about what is forged, by its name; `keys` are
    those that are believed and were not before (asked for no path: all)."""

    manager: str
    problem: str
    deeds: tuple[Deed, ...]
    seen: Mapping[bytes, Seen]
    written: Mapping[str, float]
    doubts: tuple[tuple[str, str], ...] = ()
    keys: tuple[str, ...] = ()

    def plain(self) -> tuple[Any, ...]:
        """As what a pipe of `host.workers` carries."""
        seen = {path: tuple(one) for path, one in self.seen.items()}
        return (
            self.manager, self.problem, [tuple(one) for one in self.deeds], seen, dict(self.written),
            list(self.doubts), list(self.keys),
        )  # fmt: skip

    @classmethod
    def of(cls, plain: tuple[Any, ...]) -> Self:
        """The inverse of `plain`."""
        manager, problem, deeds, seen, written, doubts, keys = plain
        return cls(
            manager,
            problem,
            tuple(Deed(*one) for one in deeds),
            {path: Seen(*one) for path, one in seen.items()},
            written,
            tuple((about, says) for about, says in doubts),
            tuple(keys),
        )


def nothing(problem: str) -> Answer:
    """The answer of somebody who could not look."""
    return Answer("", problem, (), {}, {})


def same_package(told: str, owner: str) -> bool:
    """Whether a name of the log is that of an owner. dpkg's log names the architecture always, its lists only
    where several are installed."""
    return told == owner or (":" not in owner and told.partition(":")[0] == owner)


def transactions(deeds: Iterable[Deed], known: Sequence[tuple[float, float]] = ()) -> list[list[Deed]]:
    """The deeds in the order of their begin, those of one transaction together, one for each package. `known`
    are the spans of transactions that were told: no other one is part of them."""
    found: list[dict[str, Deed]] = []
    end, run, span = 0.0, 0.0, -1
    for deed in sorted(deeds, key=lambda one: (one.begin, one.package)):
        of = next((at for at, (first, last) in enumerate(known) if first <= deed.begin <= last), -1)
        silence = deed.begin - end
        other = silence > (NEXT_RUN if deed.run else APART) and (deed.run != run or not run)
        if not found or of != span or other:
            found.append({})
            end = deed.ended
        earlier = found[-1].get(deed.package)
        found[-1][deed.package] = deed if earlier is None else _both(earlier, deed)
        end, run, span = max(end, deed.ended), deed.run, of
    return [list(one.values()) for one in found]


def _both(first: Deed, then: Deed) -> Deed:
    """Two deeds on one package as one."""
    action = then.action
    if first.action != action and action != "remove":
        action = "install" if first.action == "install" else "upgrade"
    return first._replace(
        action=action, after=then.after, unpacked=max(first.unpacked, then.unpacked),
        ended=max(first.ended, then.ended),
    )  # fmt: skip
