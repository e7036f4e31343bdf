"""Writers of an alert log that die by SIGKILL, and what must hold of the log they leave behind.

Run as a process of its own, `python -m tests.alertlog_victim SCENARIO FOLDER`, because it forks:
there are no other threads in here. A failed promise ends it with a traceback.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from hostguardd.sections import AlertLogConfig
from hostguardd.store.alertlog import NEXT, AlertLog, verify
from tests.alerts import IDENTITY, alert, check

CONFIG = AlertLogConfig(rotate=3000, keep=2, reserve=8192)
CALLS = ("open", "pwrite", "fdatasync", "fsync", "rename", "unlink", "ftruncate", "close", "fchmod")
MOST_STEPS = 2000

Acknowledge: TypeAlias = Callable[[Sequence[int]], None]
Scenario: TypeAlias = Callable[[str, Acknowledge], None]


def opened(folder: str) -> AlertLog:
    return AlertLog(folder, CONFIG, IDENTITY)


def append_and_rotate(folder: str, acknowledge: Acknowledge) -> None:
    log = opened(folder)
    for number in range(14):
        acknowledge(log.append([alert(number), alert(number + 100)]))


def append_one(folder: str, acknowledge: Acknowledge) -> None:
    acknowledge(opened(folder).append([alert(1)]))


def lose_the_file(folder: str, acknowledge: Acknowledge) -> None:
    log = opened(folder)
    acknowledge(log.append([alert(1), alert(2)]))
    Path(log.path).unlink()
    # Until the next append puts them back, the lines live in the descriptor alone: no promise holds.
    acknowledge([-2])
    acknowledge(log.append([alert(3)]))


def torn(folder: str) -> None:
    """A log whose last line was not finished."""
    log = opened(folder)
    log.append([alert(1), alert(2)])
    log.close()
    with Path(log.path).open("ab") as file:
        file.write(b'{"@timestamp":"2025-11-23T13:20')


def nothing(folder: str) -> None:
    """No log yet."""


SCENARIOS: Mapping[str, tuple[Callable[[str], None], Scenario]] = {
    "rotate": (nothing, append_and_rotate),
    "torn": (torn, append_one),
    "lost": (nothing, lose_the_file),
}


def die_at(step: int) -> None:
    """Replace the system calls the log makes by ones that kill us at the `step`th, a write half done."""
    done = 0

    def lethal(call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def wrapper(*args: Any, **more: Any) -> Any:
            nonlocal done
            done += 1
            if done == step:
                if name == "pwrite":
                    call(args[0], bytes(args[1])[: len(args[1]) // 2], args[2])
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **more)

        return wrapper

    for name in CALLS:
        setattr(os, name, lethal(getattr(os, name), name))


def in_child(work: Callable[[Acknowledge], None], kill_after: float = 0) -> tuple[int, bool]:
    """(highest number acknowledged, whether it lived to the end) of `work` in a forked process."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)

        def acknowledge(numbers: Sequence[int]) -> None:
            os.write(theirs, f"{numbers[-1]}\n".encode())

        code = 1
        try:
            work(acknowledge)
            code = 0
        finally:
            if code:
                traceback.print_exc()
            os._exit(code)
    os.close(theirs)
    said = b""
    if kill_after:
        said = os.read(ours, 4096)  # it is at work
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    with os.fdopen(ours, "rb") as pipe:
        said += pipe.read()
    _, status = os.waitpid(child, 0)
    assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0, f"status {status:#x}"
    numbers = [int(number) for number in said.split()]
    lived = os.WIFEXITED(status)
    if numbers and numbers[-1] == -2:
        return 0, lived
    return max(numbers, default=0), lived


def check_promises(folder: str, acknowledged: int) -> None:
    """What was acknowledged is there, the chain is whole, and writing goes on with the next number."""
    log = opened(folder)
    assert not Path(folder, NEXT).exists(), "what a rename left unfinished is finished"
    assert log.head[0] >= acknowledged, f"{acknowledged} was acknowledged, the log ends at {log.head}"
    found = verify(folder, log.head)
    assert found.ok, found.sentence
    following = log.head[0] + 1
    assert log.append([alert(9)]) == [following]
    found = verify(folder, log.head)
    assert found.ok, found.sentence
    for _, line in log.read():
        check(line)
    assert "could not" not in log.repaired, log.repaired
    log.close()


def every_step(name: str, folder: Path) -> int:
    """Kill the scenario before every one of its system calls in turn; how many there were."""
    prepare, work = SCENARIOS[name]
    for step in range(1, MOST_STEPS):
        place = str(folder / str(step))
        prepare(place)

        def victim(acknowledge: Acknowledge, place: str = place, step: int = step) -> None:
            die_at(step)
            work(place, acknowledge)

        acknowledged, lived = in_child(victim)
        check_promises(place, acknowledged)
        if lived:
            return step - 1
    raise AssertionError("the scenario never ends")


def random_moments(folder: Path, rounds: int, seed: int) -> int:
    """Kill a writer from outside again and again, on one and the same log."""
    chance = random.Random(seed)

    def writer(acknowledge: Acknowledge) -> None:
        log = opened(str(folder))
        while True:
            acknowledge(log.append([alert(number) for number in range(chance.randrange(1, 9))]))

    acknowledged = 0
    for _ in range(rounds):
        acknowledged, _ = in_child(writer, kill_after=chance.uniform(0.0005, 0.01))
        check_promises(str(folder), acknowledged)
    return acknowledged


if __name__ == "__main__":
    scenario, where = sys.argv[1:3]
    if scenario == "random":
        print(random_moments(Path(where), rounds=60, seed=int(sys.argv[3])))
    else:
        print(every_step(scenario, Path(where)))
