"""Which package manager a host has."""

from __future__ import annotations

from ..host.bundle import Host
from .dpkg import STATUS, Dpkg
from .interface import NoPackages, PackageLedger
from .rpm import Rpm, database


def packages_of(host: Host) -> PackageLedger:
    """The package manager that keeps most of what is installed there: a host may have the tools of another
    one, with a database that holds next to nothing."""
    found: list[PackageLedger] = []
    if database(host):
        found.append(Rpm(host))
    if host.texts.lstat(STATUS) is not None:
        found.append(Dpkg(host))
    if not found:
        return NoPackages()
    return found[0] if len(found) == 1 else max(found, key=lambda one: len(one.installed()))
