"""Which package manager a host has."""

from __future__ import annotations

from ..host.bundle import Host
from .interface import NoPackages, PackageHost


def packages_of(host: Host) -> PackageHost:
    """The package manager that keeps most of what is installed there."""
    return NoPackages()
