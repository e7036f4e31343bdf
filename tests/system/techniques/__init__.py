"""What an intruder does, really done: a table of acts, a room for each family.

Runs inside the booted host with that host's own Python and nothing but its standard library
(`python3 -m techniques`), as root in a session of ssh. It only acts and writes down what was told and
when; `tests/system/test_techniques.py` judges. The same table is read outside to name the tests and to
make `docs/techniques.md`.

The rules kept here: each act does the real thing by the tool an intruder would use, leaves the host
as it was, and touches what no other act touches, so that none hides another. What this host cannot do
(a container has no modules and no audit) raises `NotHere` and says why.
"""

ROOMS = (
    "accounts", "ssh", "privileges", "schedules", "services", "startup", "triggers",
    "authentication", "boot", "kernel", "logs", "network",
    "processes", "tricks", "watcher",
)  # fmt: skip
"""The families, in the order in which they are done; what upsets the watcher itself comes last."""
