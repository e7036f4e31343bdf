"""Stories of findings as the daemon tells them: told by its own rooms, so that no page is tested against a
shape that nobody sends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hostguardd.causes import group
from hostguardd.engine.explaining import story_json
from hostguardd.engine.grouping import Group, brief, groups_json
from hostguardd.model import Severity
from hostguardd.story import Cause, Story, after
from tests.fakeengine import ago, backup, netcat, passwd

ALICE: Mapping[str, Any] = {
    "rung": "audit", "confidence": "certain", "deed": ["written"], "at": ago(minutes=3), "pid": 4711,
    "executable": "/usr/bin/vim", "command_line": "vim /etc/passwd", "user": "root", "login": "alice",
    "session": 3, "tty": "pts0", "source": "192.0.2.7", "since": ago(hours=1), "unit": "session-3.scope",
    "parents": [
        {"pid": 4710, "executable": "/usr/bin/sudo"}, {"pid": 4700, "executable": "/bin/bash"}, {"pid": 4600},
    ],
}  # fmt: skip
NOBODY: Mapping[str, Any] = {
    "rung": "fanotify", "confidence": "circumstance",
    "unattributed": "2 processes could have made this change",
    "candidates": [{"pid": 7, "executable": "/tmp/x", "user": "www-data"}, {"pid": 8}],
    "logged_in": [{"user": "bob", "tty": "pts/1", "source": "198.51.100.9", "since": ago(hours=2)}],
}  # fmt: skip
TOLD = 1_795_442_550 * 10**9
SESSION = Story(Cause.SESSION, "root by sudo, logged in as alice from 192.0.2.7", actor=ALICE, told=TOLD)
UNKNOWN = Story(actor=NOBODY, told=TOLD)
PACKAGE = Story(Cause.PACKAGE, "curl 8.1-2 brings it", "t4f1", "signed", ALICE, TOLD)
WINDOW = Story(Cause.WINDOW, "deploy 42 (window w3f2c1a)", "w3f2c1a", actor=NOBODY, told=TOLD)
OPEN_WINDOW: Mapping[str, Any] = {
    "id": "w3f2c1a", "actor": "root (uid 0), login uid 1000 alice", "reason": "deploy 42",
    "paths": ["/srv/app"],
    "opened": ago(minutes=9), "until": ago(minutes=-21), "state": "open", "outside": 0,
}  # fmt: skip
MIXED = after(UNKNOWN, replace(SESSION, told=TOLD + 10**9))


def listed(*stories: Story) -> list[dict[str, Any]]:
    """A finding for each of up to three stories, as in a list."""
    found = zip((passwd(), netcat(), backup()), stories, strict=False)
    return [one | {"story": brief(story)} for one, story in found]


def review(*counts: tuple[Story, int], severity: Severity = Severity.HIGH) -> dict[str, Any]:
    """What is open by what explains it: so many for each story."""
    found = [
        Group(group(story), Counter({severity: number}), ["/usr/bin/curl", "/etc/x"], TOLD, TOLD)
        for story, number in counts
    ]
    return groups_json(found)


def explained(story: Story, **more: Any) -> dict[str, Any]:
    """The answer of `explain`."""
    return {
        "finding": passwd() | {"status": "open"},
        "story": story_json(story),
        "times": {
            "changed": ago(minutes=3), "first_seen": ago(minutes=3), "last_seen": ago(seconds=9),
            "first_told": ago(minutes=2, seconds=59), "told": ago(minutes=2, seconds=58), "late": 2.0,
        },
        "related": [
            {"id": "b07712de", "kind": "file", "label": "/etc/shadow", "action": "changed",
             "severity": "high", "status": "open", "first_seen": ago(minutes=3), "by": "session"},
            {"id": "c07712de", "kind": "account", "label": "mallory", "action": "added",
             "severity": "high", "status": "accepted", "first_seen": ago(minutes=3), "by": "session"},
        ],
        "more_related": 2,
        "package": {
            "manager": "dpkg", "owner": "base-passwd", "version": "3.6", "level": "digest", "config": False,
            "departs": ["content", "mode"], "detail": "mode 0644 is 0666", "problem": "",
        },
    } | more  # fmt: skip
