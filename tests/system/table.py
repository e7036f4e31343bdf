"""docs/techniques.md, made from what a booted host told: `python -m tests.system.table FOLDER`.

FOLDER is the root of a host after its day (`HOSTGUARD_DAY=FOLDER pytest tests/system/test_techniques.py`
keeps one). `make techniques` does both.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.system import techniques
from tests.system.techniques.table import ACTS, CHECK, Act

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/techniques.md"
LONGEST = 200

HEAD = """\
# What is noticed, and how soon

Each row below was really done on a Debian booted for it, with the shipped configuration and nothing
tuned by hand, after `hostguardctl baseline`. The alert is the first that names the thing and carries
the technique; the seconds are those from the end of the deed to the line in the alert log, as measured
once on a small virtual machine that was busy with other work. `make techniques` makes this page anew.

"""

for room in techniques.ROOMS:
    importlib.import_module(f"tests.system.techniques.{room}")


def page(results: Mapping[str, Any]) -> str:
    """The whole page."""
    return HEAD + "\n".join(
        line for family in dict.fromkeys(a.family for a in ACTS.values()) for line in section(family, results)
    )


def section(family: str, results: Mapping[str, Any]) -> Iterator[str]:
    """The lines of one family: a heading, a table."""
    title = importlib.import_module(f"tests.system.techniques.{family}").__doc__ or family
    yield f"## {title.strip().rstrip('.')}\n"
    yield "| row | what is done | technique | alert | severity | seconds |"
    yield "|---|---|---|---|---|---:|"
    yield from (row(act, results.get(act.name, {})) for act in ACTS.values() if act.family == family)
    yield ""


def row(act: Act, result: Mapping[str, Any]) -> str:
    """The line of one act."""
    alert = result.get("alert", {})
    if "not here" in result:
        told = f"*not done here: {result['not here']}*"
    else:
        told = alert.get("message") or result.get("shown") or "*nothing*"
    seconds = f"{result['seconds']:.1f}" if "seconds" in result else ""
    cells = (
        act.name,
        act.does + (", then `hostguardctl check`" if act.within == CHECK else ""),
        alert.get("technique") or act.techniques[0],
        told if len(told) <= LONGEST else told[:LONGEST] + "…",
        alert.get("severity", ""),
        seconds,
    )
    return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |"


def rows(text: str) -> list[tuple[str, str]]:
    """Name and deed of each row of a page."""
    lines = [line.replace("\\|", "\0").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [(cells[0][2:], cells[1].replace("\0", "|")) for cells in lines if cells[0] != "| row"]


def main() -> None:
    results = json.loads((Path(sys.argv[1]) / "result.json").read_text())["acts"]
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(results))
    missing = [name for name in ACTS if not results.get(name, {}).keys() & {"alert", "shown", "not here"}]
    print(f"{PAGE}: {len(ACTS)} rows, {len(missing)} of them without their alert")


if __name__ == "__main__":
    main()
