"""`make bench`: what the daemon costs, beside what others cost, measured in one run."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path

from .cases import BENCHES, Bench, Options, scratch
from .figures import Figure, table


def main() -> int:
    """0 if every goal was met."""
    listing = "\n".join(f"  {name:9} {bench.__doc__}" for name, bench in BENCHES.items())
    parser = argparse.ArgumentParser(
        prog="make bench",
        description=f"{__doc__}\n\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bench", nargs="*", help="which (default: all)", metavar="BENCH")
    parser.add_argument("--trees", nargs="+", default=["/usr", "/etc"], help="what sweeps cover")
    parser.add_argument("--files", type=int, default=1_000_000, help="growth: the larger tree")
    parser.add_argument("--minutes", type=float, default=2.0, help="idle: how long (the real figure: 30)")
    parser.add_argument("--samples", type=int, default=200, help="latency: of each kind")
    parser.add_argument("--changes", type=int, default=50_000, help="storm")
    parser.add_argument("--over", type=int, default=10_000, help="storm: files changed")
    parser.add_argument("--repeat", type=int, default=1, help="capture, check: runs of which the best counts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    given = vars(parser.parse_args())
    chosen, report = given.pop("bench") or list(BENCHES), given.pop("json")
    unknown = [name for name in chosen if name not in BENCHES]
    if unknown:
        parser.error(f"no such bench: {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    options = Options(**given | {"trees": tuple(given["trees"])})

    figures: list[Figure] = []
    with scratch() as folder:
        bench = Bench(options, folder)
        for name in chosen:
            print(f"{name}: {BENCHES[name].__doc__} …", file=sys.stderr, flush=True)
            began = time.monotonic()
            figures += BENCHES[name](bench)
            print(f"  {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    print(table(figures))
    if report:
        report.write_text(json.dumps([dataclasses.asdict(figure) for figure in figures], indent=1) + "\n")
    return int(any(figure.met is False for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
