"""The benches: each measures one promise beside a peer, or against its bound, in one run."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hostguardd.host.bundle import this_host
from hostguardd.packages.dpkg import Dpkg

from . import actors as who
from . import forward as leaving
from . import live as crowded
from . import peers
from .figures import MIB, Figure, bounded, compared, percentile, told
from .guard import Guard, Tail
from .sinks import relp


@dataclass(frozen=True)
class Options:
    """What the command line may turn."""

    trees: tuple[str, ...]
    files: int
    minutes: float
    samples: int
    changes: int
    over: int
    repeat: int


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder in memory, so that no disk is measured."""
    folder = Path(tempfile.mkdtemp(prefix="hostguardd-bench-", dir="/dev/shm"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


class Bench:
    """One run of some benches. What a peer took is measured when first asked for, and kept."""

    def __init__(self, options: Options, folder: Path) -> None:
        self.options = options
        self.folder = folder

    @cached_property
    def hashing(self) -> float:
        """Seconds to hash everything; once before, so that the page cache is warm for everybody."""
        _need("openssl", "xargs")
        peers.digest_all(self.folder, self.options.trees)
        return _best(self.options.repeat, lambda: peers.digest_all(self.folder, self.options.trees).wall)

    @cached_property
    def listing(self) -> float:
        """Seconds to list everything."""
        _need("find")
        runs = max(3, self.options.repeat)
        return _best(runs, lambda: peers.list_all(self.folder, self.options.trees).wall)

    @cached_property
    def aide(self) -> peers.Aide:
        _need("aide")
        return peers.Aide(self.folder, self.options.trees)

    @cached_property
    def aide_init(self) -> peers.Run:
        return self.aide.init()

    @cached_property
    def aide_check(self) -> peers.Run:
        _ = self.aide_init  # it checks against what that wrote
        return self.aide.check()


def _need(*programs: str) -> None:
    absent = peers.missing(*programs)
    if absent:
        raise SystemExit(f"missing: {', '.join(absent)}; `tools/system-packages bench` says what to install")


def plant(folder: Path, files: int, per_folder: int = 1000) -> list[Path]:
    """A tree of `files` small files."""
    planted = []
    for start in range(0, files, per_folder):
        branch = folder / f"{start // per_folder:06d}"
        branch.mkdir()
        for number in range(start, min(start + per_folder, files)):
            path = branch / f"{number:07d}"
            path.write_bytes(b"%d\n" % number)
            planted.append(path)
    return planted


def _best(runs: int, measure: Callable[[], float]) -> float:
    """The smallest of some measurements: what is left when the machine's other work is not in the way."""
    return min(measure() for _ in range(runs))


def capture(bench: Bench) -> Iterator[Figure]:
    """the first baseline beside aide --init and openssl"""
    hashing, theirs = bench.hashing, bench.aide_init
    taken = []
    for _ in range(bench.options.repeat):
        with Guard(bench.options.trees) as guard:
            taken.append(guard.captured)
            facts = guard.call("status")["generation"]["facts"]
    yield told("facts in the baseline", f"{facts:,}")
    yield compared("capture", min(taken), "aide --init", theirs.wall, 1 / 3)
    yield compared("capture", min(taken), "openssl, 2 processes", hashing, 1.6)


SWEEPING = """
[sweeps]
quick = "3s"
duty = "100%"
pace = "100%"
"""
"""Quick sweeps one after the other, at full speed."""


def check(bench: Bench) -> Iterator[Figure]:
    """a full check beside aide --check and openssl, a quick sweep beside find -printf"""
    hashing, listing, theirs = bench.hashing, bench.listing, bench.aide_check
    runs = bench.options.repeat
    with Guard(bench.options.trees) as guard:
        guard.settle()
        full = _best(runs, lambda: guard.timed("check", full=True))
    with Guard(bench.options.trees, SWEEPING) as guard:
        guard.settle(limit=15)
        quick = _best(max(3, runs), guard.quick_sweep)
    yield compared("full check", full, "aide --check", theirs.wall, 1 / 8)
    yield compared("full check", full, "openssl, 2 processes", hashing, 1.6)
    yield compared("quick sweep", quick, "find -printf", listing, 3)


def memory(bench: Bench) -> Iterator[Figure]:
    """resident memory at rest and at the peak of a full sweep, beside aide's"""
    theirs = bench.aide_init
    with Guard(bench.options.trees) as guard:
        first = guard.peak()
        guard.settle()
        at_rest = guard.resident()
        guard.forget_peak()
        with guard.peak_of_all() as together:
            guard.call("check", full=True)
        peak = guard.peak()
    yield bounded("resident, idle", at_rest / MIB, "MiB", 48)
    yield bounded("resident, peak of a full sweep", peak / MIB, "MiB", 72)
    yield bounded("the same with the processes that read for it", together[0] / MIB, "MiB", 72)
    yield told("resident, peak of the capture", f"{first / MIB:.4g} MiB")
    yield told("resident, peak of aide --init", f"{theirs.peak / MIB:.4g} MiB")


def growth(bench: Bench) -> Iterator[Figure]:
    """memory from few files to many, on a tree in memory"""
    few = max(1000, bench.options.files // 100)
    found = {}
    for files in (few, bench.options.files):
        with scratch() as tree:
            plant(tree, files)
            with Guard([str(tree)]) as guard:
                guard.settle()
                idle = guard.resident()
                guard.forget_peak()
                guard.call("check", full=True)
                found[files] = (idle, guard.peak(), len(list(tree.iterdir())))
    for what, index in (("idle", 0), ("peak of a full sweep", 1)):
        small, large = found[few][index], found[bench.options.files][index]
        yield Figure(
            f"resident, {what}, {bench.options.files:,} files",
            f"{large / MIB:.1f} MiB",
            f"{few:,} files {small / MIB:.1f} MiB",
            large / small,
            "≤ 1.1 × and the watches' own",
            large <= 1.1 * small + WATCH_COST * (found[bench.options.files][2] - found[few][2]),
        )


WATCH_COST = 400
"""Bytes that one more watched folder may cost: its path, its number and two places in a dict."""


def idle(bench: Bench) -> Iterator[Figure]:
    """processor time at rest, with the default intervals"""
    with Guard(bench.options.trees) as guard:
        guard.settle()
        before, began = guard.cpu(), time.monotonic()
        time.sleep(bench.options.minutes * 60)
        share = (guard.cpu() - before) / (time.monotonic() - began)
    yield bounded(f"processor over {bench.options.minutes:g} min", share * 100, "% of one core", 0.3)


def live(bench: Bench) -> Iterator[Figure]:
    """all live sensors, on a host with 500 processes and 200 listeners more"""
    yield from crowded.cost(bench.folder, bench.options.minutes)


RULES = """
[[rule]]
name = "bench-critical"
severity = "critical"
where = {{ path = ["{tree}/critical/*"] }}

[[rule]]
name = "bench-ordinary"
severity = "medium"
where = {{ path = ["{tree}/ordinary/*"] }}
"""

BOUNDS: Mapping[str, tuple[float | None, float]] = {"critical": (50, 250), "ordinary": (None, 1000)}
"""Milliseconds: p50 and p99 from close(2) to the fsynced alert."""


def latency(bench: Bench) -> Iterator[Figure]:
    """from close(2) to the fsynced alert, at rest and during full sweeps"""
    tree = Path(tempfile.mkdtemp(prefix="hostguardd-bench-", dir="/var/tmp"))
    try:
        for kind in BOUNDS:
            (tree / kind).mkdir()
            for number in range(20):
                (tree / kind / f"{number}").write_text("before\n")
        with Guard([*bench.options.trees, str(tree)], RULES.format(tree=tree)) as guard:
            guard.settle()
            for kind in BOUNDS:
                yield from _latency(guard, tree / kind, bench.options.samples, kind, "at rest")
            stop = threading.Event()
            sweeper = threading.Thread(target=_sweep_until, args=(guard, stop))
            sweeper.start()
            try:
                for kind in BOUNDS:
                    yield from _latency(
                        guard, tree / kind, bench.options.samples, kind, "during a full sweep"
                    )
            finally:
                stop.set()
                sweeper.join()
    finally:
        shutil.rmtree(tree)


def _sweep_until(guard: Guard, stop: threading.Event) -> None:
    while not stop.is_set():
        guard.call("check", full=True)


def _latency(guard: Guard, folder: Path, samples: int, kind: str, when: str) -> Iterator[Figure]:
    dice = random.Random(1)
    took = []
    with Tail(guard.alerts) as log:
        for number in range(samples):
            path = folder / str(number % 20)
            time.sleep(dice.uniform(0.0, 0.03))  # never in step with the daemon's own clock
            descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
            os.write(descriptor, b"%d\n" % number)
            os.close(descriptor)
            closed = time.time_ns()
            durable = _told(log, str(path))
            if durable:
                took.append((durable - closed) / 1e6)
    lost = samples - len(took)
    median, tail = BOUNDS[kind]
    if not took:
        raise SystemExit(f"no alert at all for {folder}")
    yield bounded(f"{kind} path, {when}, p99 of {samples}", percentile(took, 99), "ms", tail)
    if median is not None:
        yield bounded(f"{kind} path, {when}, p50", statistics.median(took), "ms", median)
    if lost:
        yield told(f"{kind} path, {when}, alerts that did not come", str(lost), False, "0")


def _told(log: Tail, path: str) -> int:
    """When the next alert about `path` was on the disk; 0 if none came within ten seconds."""
    deadline = time.monotonic() + 10
    while (left := deadline - time.monotonic()) > 0:
        durable, alerts = log.next(left)
        if any(alert.get("file", {}).get("path") == path for alert in alerts):
            return durable
    return 0


def storm(bench: Bench) -> Iterator[Figure]:
    """tens of thousands of changes at once: no final state missed, memory bounded, a readable log"""
    with scratch() as tree:
        planted = plant(tree, bench.options.over, 500)
        with Guard([str(tree)]) as guard:
            guard.settle()
            lines_before = guard.call("status")["log"]["sequence"]
            guard.forget_peak()
            began = time.monotonic()
            _churn(planted, bench.options.changes)
            churned = time.monotonic() - began
            expected = _states(planted)
            quiet = time.monotonic()
            guard.settle(1.0)
            quiet = time.monotonic() - quiet - 1.0
            peak = guard.peak()  # before we ask: ten thousand findings in one answer are our own doing
            missed = len(_missed(guard, expected))
            lines = guard.call("status")["log"]["sequence"] - lines_before
            text = guard.alerts.read_text()
            unnamed = sum(path not in text for path in expected)
            asked = guard.peak()
    yield told(
        f"{bench.options.changes:,} changes over {bench.options.over:,} files",
        f"made in {churned:.1f} s, quiet {quiet:.1f} s later",
    )
    yield told("final states missed", str(missed), missed == 0, "0")
    yield told("paths not to be found in the log", str(unnamed), unnamed == 0, "0")
    yield bounded("lines in the log", lines, "lines", bench.options.changes // 50)
    yield bounded("resident, peak", peak / MIB, "MiB", 72)
    yield told("resident, peak, once asked for all of the drift", f"{asked / MIB:.4g} MiB")


def _churn(planted: Sequence[Path], changes: int) -> None:
    """Every file changes again and again; some go, some come back, some are replaced by rename."""
    dice = random.Random(2)
    paths = dice.sample(planted, len(planted))
    for step in range(changes):
        path = paths[step % len(paths)]
        act = dice.random()
        if act < 0.05:
            path.unlink(missing_ok=True)
        elif act < 0.15 and path.exists():
            path.chmod(0o600 + dice.randrange(0o100))
        elif act < 0.25:
            swap = path.with_name(path.name + "~")
            swap.write_bytes(b"swapped %d\n" % step)
            swap.rename(path)
        else:
            path.write_bytes(b"changed %d\n" % step)


def _states(planted: Sequence[Path]) -> dict[str, str]:
    """Where every planted file has got to: its digest, or "" when it is gone."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "" for path in planted
    }


def _missed(guard: Guard, expected: Mapping[str, str]) -> list[str]:
    """Paths whose open finding does not show the final state."""
    known = {f["label"]: (f["after"] or {}).get("sha256", "") for f in guard.call("drift")["findings"]}
    return [path for path, digest in expected.items() if known.get(path) != digest]


def packages(bench: Bench) -> Iterator[Figure]:
    """every packaged file of a Debian host, beside debsums"""
    _need("debsums")
    manager = Dpkg(this_host())

    def verified() -> float:
        began = time.monotonic()
        for _ in manager.verify(lambda: False):
            pass
        return time.monotonic() - began

    verified()  # the page cache is warm for everybody
    ours = _best(bench.options.repeat, verified)
    theirs = _best(bench.options.repeat, lambda: peers.debsums(bench.folder).wall)
    yield compared("packaged files compared", ours, "debsums", theirs, at_most=0.5)


def inquiry(bench: Bench) -> Iterator[Figure]:
    """the whole inquiry of this host, beside debsums alone"""
    _need("debsums")
    page = bench.folder / "inquiry.json"
    command = [sys.executable, "-m", "hostguardd.cli", "investigate", "--json"]
    peers.run(command, page)  # the page cache is warm for everybody
    quick = peers.run([*command, "--quick"], page)
    whole = peers.run(command, page)
    theirs = peers.debsums(bench.folder)
    yield bounded("inquiry without packages", quick.wall, "s", 10.0)
    yield bounded("whole inquiry", whole.wall, "s", 60.0)
    yield compared("whole inquiry", whole.wall, "debsums", theirs.wall, at_most=1.0)
    yield bounded("peak of its largest process", whole.peak / MIB, "MiB", 128.0)
    took = {check["title"]: check["took"] for check in json.loads(page.read_text())["checks"]}
    slowest = sorted(took.items(), key=lambda one: -one[1])[:4]
    yield told("slowest checks", ", ".join(f"{title} {seconds:.1f} s" for title, seconds in slowest))


def actors(bench: Bench) -> Iterator[Figure]:
    """who made 1,000 changes under 500 execs a second, on each rung, and what it costs"""
    _need("cc", "auditctl")
    for rung in ("fanotify", "audit"):
        yield from who.measure(who.options(["--rung", rung]))


def forward(bench: Bench) -> Iterator[Figure]:
    """alerts sent by RELP to an rsyslog here, beside rsyslog's own omrelp"""
    yield from leaving.rates(bench.folder / "forward")


BENCHES: Mapping[str, Callable[[Bench], Iterator[Figure]]] = {
    "capture": capture,
    "check": check,
    "memory": memory,
    "growth": growth,
    "idle": idle,
    "live": live,
    "latency": latency,
    "storm": storm,
    "packages": packages,
    "inquiry": inquiry,
    "actors": actors,
    "forward": forward,
    "relp": relp,
}
