"""The witness of tests/bench/actors.py, in a process of its own: answers questions, and says what it costs.

python -m tests.bench.actors_witness RUNGS FOLDER SSHD
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import hostguardd.engine.hints
import hostguardd.host.files
import hostguardd.host.kernel
import hostguardd.host.proc  # noqa: F401 - what a daemon has loaded anyway


def resident() -> int:
    """Bytes of memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


BEFORE = resident()

from hostguardd.actors.lineage import is_sshd  # noqa: E402
from hostguardd.actors.model import Actor, Answer, Change  # noqa: E402
from hostguardd.engine.witness import Witness  # noqa: E402
from hostguardd.host.kernel import LinuxKernel  # noqa: E402
from hostguardd.host.witnesses import LinuxWitnesses  # noqa: E402


def text(value: bytes | None) -> str | None:
    """As JSON can have it."""
    return None if value is None else os.fsdecode(value)


def answer(got: Answer) -> dict[str, Any]:
    """What was found, as JSON can have it."""
    if not isinstance(got, Actor):
        return {"reason": got.reason, "candidates": [(one.pid, text(one.exe)) for one in got.candidates]}
    who = got.who
    return {
        "rung": got.rung.value,
        "confidence": got.confidence.value,
        "pid": who.pid,
        "exe": text(who.exe),
        "command": who.command is not None,
        "uid": who.uid,
        "login": who.login,
        "session": who.session,
        "source": text(who.source and who.source.address),
        "parents": [text(one.exe) for one in who.parents],
    }


def ask(witness: Witness, asked: dict[str, Any]) -> Answer:
    """As a daemon would."""
    path = os.fsencode(asked["path"])
    return witness.attribute(path, Change[asked["change"]], asked["ctime"], asked["since"])


def main() -> None:
    """One question a line, one answer a line."""
    rungs, watched, sshd = sys.argv[1].split(","), os.fsencode(sys.argv[2]), os.fsencode(sys.argv[3])
    top = watched + b"/"
    witness = Witness(
        LinuxWitnesses(LinuxKernel().audit),
        lambda folder, _: (folder + b"/").startswith(top),
        sshd=lambda exe: exe == sshd or is_sshd(exe),
    )
    witness.open(rungs, [watched], [b"/"])
    witness.start()
    say({"rungs": [one.value for one in witness.rungs.standing], "missing": witness.rungs.missing})
    for line in sys.stdin:
        asked = json.loads(line)
        if "path" in asked:
            say(answer(ask(witness, asked)))
        else:
            say(
                {
                    "memory": resident() - BEFORE,
                    "processes": len(witness.table),
                    "touches": len(witness.touches),
                    "losses": witness.rungs.losses,
                    "seen": witness.seen,
                    "calmed": witness.rungs.calmed,
                }
            )
    witness.close()


def say(what: dict[str, Any]) -> None:
    """One line."""
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main()
