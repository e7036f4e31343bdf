"""Mounts, modules and settings in force, in words. Pure."""

from __future__ import annotations

from ..attributes import Names
from ..facts.kernel import ModuleFact, MountFact, SettingFact
from .interface import Words, arrow, said


def _mount(fact: MountFact, names: Names) -> str:
    return f"mount {said(fact.fstype)} {said(fact.source)} on {said(fact.point)} ({said(fact.options)})"


MOUNT = Words(
    "mount",
    "mounts",
    "configuration",
    ("creation", "deletion", "change"),
    lambda fact, names: f"New {_mount(fact, names)}",
    lambda fact, names: f"Gone: {_mount(fact, names)}",
    lambda before, after, changed, names: (
        f"Mount {said(after.point)} changed: "
        + ", ".join(arrow(name, said(getattr(before, name)), said(getattr(after, name))) for name in changed)
    ),
    lambda fact, names: {"file.path": said(fact.point)},
)


def _module(fact: ModuleFact, names: Names) -> str:
    return f"kernel module {said(fact.name)}"


MODULE = Words(
    "kernel module",
    "kernel modules",
    "driver",
    ("start", "end", "change"),
    lambda fact, names: f"New {_module(fact, names)}",
    lambda fact, names: f"Gone: {_module(fact, names)}",
    lambda before, after, changed, names: f"Kernel module {said(after.name)} changed: {', '.join(changed)}",
    lambda fact, names: {},
)


def _setting(fact: SettingFact, names: Names) -> str:
    return f"{fact.topic} setting {said(fact.name)}: {said(fact.value)}"


SETTING = Words(
    "setting",
    "settings",
    "configuration",
    ("creation", "deletion", "change"),
    lambda fact, names: f"New {_setting(fact, names)}",
    lambda fact, names: f"Gone: {_setting(fact, names)}",
    lambda before, after, changed, names: (
        f"{after.topic.capitalize()} setting {arrow(said(after.name), said(before.value), said(after.value))}"
    ),
    lambda fact, names: {},
)
