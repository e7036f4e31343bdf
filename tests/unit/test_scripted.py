"""Whose script made it: only what the manager that held the lock started as one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hostguardd.actors.model import Actor, Confidence, Deed, Link, Rung, Unattributed, Who
from hostguardd.engine.scripted import script

POSTINST = Link(30, b"/usr/bin/dash", b"/bin/sh\0/var/lib/dpkg/info/ca-certificates.postinst\0triggered\0", 0)
DPKG = Link(20, b"/usr/bin/dpkg", b"/usr/bin/dpkg\0--configure\0", 0)
APT = Link(10, b"/usr/bin/apt-get", b"apt-get\0upgrade\0", 0)
LOGIN = Link(5, b"/usr/bin/bash", b"-bash\0", 0)


def actor(*parents: Link, **more: Any) -> Actor:
    who = Who(
        (40, 1), 40, b"/usr/bin/mv", b"mv\0a\0b\0", 0, 0, 1000, 3, b"pts/0", None, parents or (
            POSTINST, DPKG, APT, LOGIN,
        )
    )  # fmt: skip
    return replace(Actor(Rung.FANOTIFY, Confidence.CERTAIN, who, Deed.MOVED_HERE, 0), **more)


def test_what_a_script_of_a_package_does() -> None:
    assert script(actor(), {10}) == "ca-certificates"
    assert script(actor(), {20}) == "ca-certificates"
    several = POSTINST._replace(
        command=b"/usr/bin/perl\0-w\0/var/lib/dpkg/info/libc6:amd64.postinst\0configure\0"
    )
    assert script(actor(several, DPKG, APT), {10}) == "libc6"
    new = POSTINST._replace(command=b"/bin/sh\0/var/lib/dpkg/tmp.ci/preinst\0install\0")
    assert script(actor(new, DPKG, APT), {10}) == "packages"
    itself = replace(actor(), who=actor().who._replace(command=POSTINST.command, parents=(DPKG, APT)))
    assert script(itself, {10}) == "ca-certificates"


def test_what_a_script_of_an_rpm_does() -> None:
    scriptlet = Link(30, b"/usr/bin/bash", b"/bin/sh\0/var/tmp/rpm-tmp.aB3dEf\0001\0", 0)
    dnf = Link(10, b"/usr/bin/python3.9", b"/usr/bin/python3\0/usr/bin/dnf\0upgrade\0", 0)
    assert script(actor(scriptlet, dnf, LOGIN), {10}) == "packages"
    assert script(actor(scriptlet, LOGIN, dnf), {10}) == "", "somebody else's below it"


@pytest.mark.parametrize(
    ("answer", "holders"),
    [
        (actor(), set()),
        (actor(), {5_000}),
        (actor(confidence=Confidence.LIKELY), {10}),
        (Unattributed("2 processes could have made this change", Rung.AUDIT, (actor().who,)), {10}),
        # The shell that dpkg gives who is asked about a configuration file, and what is run in it.
        (actor(Link(30, b"/usr/bin/bash", b"/bin/bash\0", 0), DPKG, APT), {10}),
        (actor(POSTINST, Link(30, b"/usr/bin/bash", b"/bin/bash\0", 0), DPKG, APT), {10}),
        # A hook of apt's configuration.
        (actor(Link(30, b"/usr/bin/dash", b"sh\0-c\0evil\0", 0), APT), {10}),
        # Anybody calls a process as he likes.
        (actor(POSTINST, LOGIN), {10, 5}),
        (actor(POSTINST, DPKG._replace(exe=b"/tmp/dpkg"), APT), {10}),
        (actor(POSTINST, DPKG._replace(exe=None), APT), {10}),
        (actor(POSTINST, DPKG._replace(uid=1000), APT), {10}),
        (actor(POSTINST._replace(command=b"sh\0/tmp/var/lib/dpkg/info/x.postinst\0"), DPKG, APT), {10}),
        (actor(POSTINST._replace(command=b"sh\0/var/lib/dpkg/info/../../x.postinst\0"), DPKG, APT), {10}),
        (actor(POSTINST._replace(command=b"/var/lib/dpkg/info/x.postinst\0-i\0"), DPKG, APT), {10}),
        (actor(POSTINST._replace(command=None), DPKG, APT), {10}),
        # The hooks of dpkg's configuration, which name a script and run something else.
        (actor(POSTINST._replace(command=b"sh\0-c\0evil\0/var/lib/dpkg/info/x.postinst\0"), DPKG, APT), {10}),
        (actor(POSTINST._replace(command=b"perl\0-eevil\0/var/lib/dpkg/info/x.postinst\0"), DPKG, APT), {10}),
        (actor(POSTINST._replace(command=b"env\0evil\0/var/lib/dpkg/info/x.postinst\0"), DPKG, APT), {10}),
        (actor(POSTINST._replace(exe=b"/tmp/evil"), DPKG, APT), {10}),
        (actor(POSTINST._replace(exe=None), DPKG, APT), {10}),
        # A manager that runs on below another process, while it is not the one that holds the lock.
        (actor(POSTINST, DPKG, LOGIN), {40}),
    ],
)  # fmt: skip
def test_whatever_else_runs_below_it_is_none(answer: Actor | Unattributed, holders: set[int]) -> None:
    assert script(answer, holders) == ""
