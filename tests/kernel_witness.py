"""A process of its own, in namespaces of its own, that watches what shell commands do to its kernel state.

    unshare -n -m -p --fork --mount-proc python -m tests.kernel_witness mounts < commands

Reads one shell command a line. After each it sweeps and writes one line of JSON: what the packaged
policy makes of the drift from the sweep before, as [rule, severity, technique, sentence].
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from hostguardd.config import parse
from hostguardd.defaults import default_sources
from hostguardd.diff import compare, drift
from hostguardd.engine.parts import PolledSensor
from hostguardd.host.kernel import LinuxKernel
from hostguardd.host.proc import ProcHost
from hostguardd.model import Depth, Row, Sweep
from hostguardd.policy import Policy
from hostguardd.sections import ListenersConfig
from hostguardd.sensors.listeners import ListenersSensor
from hostguardd.sensors.mounts import MountsSensor
from hostguardd.sensors.settings import SettingsSensor
from hostguardd.sentences import sentence
from hostguardd.watches import Watches
from tests.alerts import NAMES


def main(kind: str) -> None:
    """Watch until there are no commands left."""
    config = parse(default_sources(installed="/nonexistent/hostguardd.toml"))
    policy, kernel, watches = Policy(config.rules), LinuxKernel(), Watches(config.watches)
    sensors: dict[str, PolledSensor] = {
        "mounts": MountsSensor(kernel, watches, 0.0, time.time_ns),
        "settings": SettingsSensor(kernel, 0.0, time.time_ns),
        "listeners": ListenersSensor(ProcHost(), ListenersConfig(udp_settle=0, missing=0), time.time_ns),
    }
    sensor = sensors[kind]

    def look() -> list[Sweep]:
        return list(sensor.sweep(Depth.FULL, lambda: False))

    before: dict[object, list[Row]] = {sweep.scope: sweep.rows for sweep in look()}
    for command in sys.stdin:
        subprocess.run(command, shell=True, check=True, stdout=sys.stderr, stdin=subprocess.DEVNULL)
        after = look()
        pairs = [(one.fact, pair) for one in after for pair in compare(before[one.scope], one)]
        found = []
        for fact, pair in pairs:
            if one := drift(fact, pair):
                verdict = policy.judge(one)
                words = [verdict.rule, verdict.severity.label, verdict.technique, sentence(one, NAMES)]
                found.append(words)
        print(json.dumps(found), flush=True)
        before = {sweep.scope: sweep.rows for sweep in after}
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
