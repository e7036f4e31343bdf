"""Which unit or user of configuration management made a change, by the names in the configuration. Pure.

The rule: only an actor that is certain counts, and only what the kernel keeps of it and hands down: the
unit by its control group, and whom it was logged in as by its login uid, which su and sudo leave as it is.
What a program is called, and what it became, says nothing: anybody may run a copy of it. (Root can move
itself into a control group; so what is explained by this is told less loudly, and never accepted by
itself.)
"""

from __future__ import annotations

from collections.abc import Mapping

from .sections import AutomationConfig

CERTAIN = "certain"


def automation(actor: Mapping[str, object], config: AutomationConfig) -> str:
    """`puppet.service` or `ansible`, as the configuration names it; "" for anybody else. `actor` is what an
    alert tells under `hostguard.actor`."""
    if actor.get("confidence") != CERTAIN:
        return ""
    unit, login = actor.get("unit"), actor.get("login")
    if unit in config.units:
        return str(unit)
    return str(login) if login in config.users else ""
