"""Mounts, modules and settings in force, in words. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..attributes import Names
from ..facts.kernel import ModuleFact, MountFact, SettingFact
from ..record import Record
from .interface import Words, arrow, said, short

# -- mounts --------------------------------------------------------------------------------------


def _source(fact: MountFact) -> str:
    """What is mounted: `tmpfs tmpfs`, or `/srv/x of ext4 /dev/vda` for a part of a file system."""
    whole = f"{said(fact.fstype)} {said(fact.source)}"
    return f"{said(fact.root)} of {whole}" if "bind" in fact.traits() else whole


def _new_mount(fact: MountFact, names: Names) -> str:
    again = ", once more" if fact.layer else ""
    if fact.place == "process":
        return f"{_source(fact)} was mounted over {said(fact.point)}{again}: that process is hidden behind it"
    if fact.place == "watched":
        return f"{_source(fact)} was mounted over {said(fact.point)}{again}: what lies beneath cannot be seen"
    return f"{_source(fact)} was mounted on {said(fact.point)}{again} ({said(fact.options)})"


def _changed_mount(before: MountFact, after: MountFact, changed: tuple[str, ...], names: Names) -> str:
    parts = []
    for name in changed:
        if name == "options":
            had, has = (set(fact.options.split(b",")) - {b""} for fact in (before, after))
            parts += [f"lost {said(b', '.join(sorted(had - has)))}"] if had - has else []
            parts += [f"gained {said(b', '.join(sorted(has - had)))}"] if has - had else []
        else:
            parts.append(arrow(name, said(getattr(before, name)), said(getattr(after, name))))
    return f"Mount {said(after.point)} changed: {', '.join(parts)}"


MOUNT = Words(
    "mount",
    "mounts",
    "configuration",
    ("creation", "deletion", "change"),
    _new_mount,
    lambda fact, names: f"Unmounted: {said(fact.point)} ({_source(fact)})",
    _changed_mount,
    lambda fact, names: {"file.path": said(fact.point)},
)

# -- modules -------------------------------------------------------------------------------------

_ABOUT: Mapping[str, str] = {
    "foreign": "from outside the kernel's tree",
    "unsigned": "unsigned",
    "forced": "loaded by force",
    "proprietary": "proprietary",
}
_HIDING: Mapping[str, str] = {
    "list": "/proc/modules lists it, /sys/module does not show it",
    "sysfs": "/sys/module shows it, /proc/modules does not list it",
}


def _module(fact: ModuleFact) -> str:
    words = ", ".join(word for trait, word in _ABOUT.items() if trait in fact.traits())
    return f"{said(fact.name)}{f' ({words})' if words else ''}"


def _new_module(fact: ModuleFact, names: Names) -> str:
    if fact.seen in _HIDING:
        return f"Kernel module {_module(fact)} is hiding: {_HIDING[fact.seen]}"
    return f"Kernel module {_module(fact)} was loaded"


def _changed_module(before: ModuleFact, after: ModuleFact, changed: tuple[str, ...], names: Names) -> str:
    if "seen" in changed and after.seen in _HIDING:
        return _new_module(after, names)
    parts = [arrow(name, _plain(getattr(before, name)), _plain(getattr(after, name))) for name in changed]
    return f"Kernel module {_module(after)} changed: {', '.join(parts)}"


def _plain(value: bytes | str) -> str:
    return said(value) if isinstance(value, bytes) else value


MODULE = Words(
    "kernel module",
    "kernel modules",
    "driver",
    ("start", "end", "change"),
    _new_module,
    lambda fact, names: f"Kernel module {_module(fact)} was unloaded",
    _changed_module,
    lambda fact, names: {},
)

# -- settings ------------------------------------------------------------------------------------

_VALUE = re.compile(
    rb"(?:(\w+) )?hook ([^,]*?)(?: priority (-?\d+))? policy (\w+), (\d+) rules?.*", re.DOTALL
)


def _what(fact: SettingFact) -> str:
    """What a setting is called in a sentence."""
    name = said(fact.name)
    head, _, rest = name.partition(" ")
    match fact.topic, head:
        case "sysctl", "binfmt" if rest:
            return f"The kernel's interpreter for files of the format {rest}"
        case "sysctl", _:
            return f"sysctl {name}"
        case "kernel", "taint":
            return f"The kernel's taint {rest}"
        case "kernel", _:
            return f"The kernel's {name}"
        case "selinux", "mode":
            return "SELinux"
        case "selinux", _:
            return f"SELinux's {name}"
        case "apparmor", "profile":
            return f"AppArmor's profile {rest}"
        case "apparmor", _:
            return f"AppArmor's setting {name}"
        case "audit", "enabled":
            return "Audit"
        case "audit", "rule":
            return f"The audit rule {rest}"
        case "audit", "daemon":
            return "The daemon that reads the audit records"
        case "audit", _:
            return f"Audit's {name}"
        case "firewall", "table" | "set":
            return f"The firewall's {name}"
        case "firewall", _:
            return f"The firewall's chain {name}"
        case "interface", _:
            return f"Interface {name}"
        case "self", _:
            return f"Our own {name}"
        case _:
            return f"{fact.topic} {name}"


def _is(fact: SettingFact) -> str:
    """A value in words."""
    found = _VALUE.fullmatch(fact.value) if fact.topic == "firewall" else None
    if found is None:
        return said(fact.value) or "empty"
    policy = {b"accept": "accepts", b"drop": "drops"}.get(found[4], said(found[4]))
    return f"{policy} by default and has {int(found[5])} rules"


def _meaning(fact: SettingFact) -> str:
    """The detail, where it is a clause; a firewall's lines are for the data."""
    return f": {said(fact.detail)}" if fact.detail and fact.topic not in ("firewall", "sysctl") else ""


def _new_setting(fact: SettingFact, names: Names) -> str:
    match fact.topic, fact.name.partition(b" ")[0]:
        case "self", b"tracer":
            return f"We are traced by {said(fact.value)} ({said(fact.detail)})"
        case "self", b"library":
            return f"Code from {said(fact.name[8:])} was loaded into our own process"
        case "interface", _:
            return (
                f"Interface {said(fact.name)} was made promiscuous: it hears what is not meant for this host"
            )
        case "kernel", b"taint":
            return f"{_what(fact)} was set{_meaning(fact)}"
        case "audit", b"rule":
            return f"{_what(fact)} is new"
        case _:
            return f"{_what(fact)} is new: {_is(fact)}"


def _gone_setting(fact: SettingFact, names: Names) -> str:
    match fact.topic, fact.name.partition(b" ")[0]:
        case "interface", _:
            return f"Interface {said(fact.name)} is no longer promiscuous"
        case "audit", b"rule":
            return f"{_what(fact)} was dropped"
        case "self", b"tracer":
            return f"We are no longer traced by {said(fact.value)}"
        case _:
            return f"{_what(fact)} is gone (was {_is(fact)})"


def _changed_setting(before: SettingFact, after: SettingFact, changed: tuple[str, ...], names: Names) -> str:
    if after.topic == "firewall":
        return _changed_chain(before, after)
    if after.topic == "sysctl":
        meaning = f" ({said(after.detail)})" if after.detail and len(after.detail) < 120 else ""
        return f"{_what(after)}{meaning}: {_is(before)} → {_is(after)}"
    return f"{_what(after)} is {_is(after)} now (was {_is(before)})"


def _changed_chain(before: SettingFact, after: SettingFact) -> str:
    """Policy and number of rules where they moved, then which rules came and went."""
    had, has = _VALUE.fullmatch(before.value), _VALUE.fullmatch(after.value)
    lines = [fact.detail.split(b"\n") if fact.detail else [] for fact in (before, after)]
    gone = [line for line in lines[0] if line not in lines[1]]
    come = [line for line in lines[1] if line not in lines[0]]
    parts = []
    if had and has and had[4] != has[4]:
        parts.append(f"{_is(after)} now (was {said(had[4])}, {int(had[5])} rules)")
    elif had and has and had[5] != has[5]:
        parts.append(f"{int(had[5])} → {int(has[5])} rules")
    elif not (had and has):
        parts.append(f"{_is(before)} → {_is(after)}")
    parts += [f"without {said(b'; '.join(gone[:5]))}"] if gone else []
    parts += [f"with {said(b'; '.join(come[:5]))}"] if come else []
    return short(f"{_what(after)}: {', '.join(parts) or 'the same number of rules, in another way'}")


def _fields(fact: SettingFact, names: Names) -> Record:
    """ECS has no field set for what is in force but that of the program or interface it names."""
    if fact.topic == "self" and fact.name == b"tracer":
        pid = fact.detail.removeprefix(b"pid ")
        number = int(pid) if pid.isdigit() else None
        return {"process.executable": said(fact.value), "process.pid": number}
    return {}


SETTING: Words = Words(
    "setting",
    "settings",
    "configuration",
    ("creation", "deletion", "change"),
    _new_setting,
    _gone_setting,
    _changed_setting,
    _fields,
)
