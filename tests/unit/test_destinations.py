"""Where alerts may be sent: addresses, and what does not go together."""

from __future__ import annotations

from typing import Any

import pytest

from hostguardd.destinations import (
    COMMAND,
    FACILITIES,
    JOURNALD,
    KIB,
    RELP,
    TCP,
    UDP,
    Destination,
    address,
    check_destination,
)
from hostguardd.model import Severity
from hostguardd.validate import Invalid, entries


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("logs.example.org:6514", ("logs.example.org", 6514)),
        ("192.0.2.1:514", ("192.0.2.1", 514)),
        ("[2001:db8::1]:20514", ("2001:db8::1", 20514)),
        ("[::ffff:192.0.2.1]:1", ("::ffff:192.0.2.1", 1)),
        ("[fe80::1%eth0]:65535", ("fe80::1%eth0", 65535)),
        ("localhost:00514", ("localhost", 514)),
    ],
)
def test_addresses(given: str, read: tuple[str, int]) -> None:
    assert address(given) == read


@pytest.mark.parametrize(
    "given",
    [
        "", "logs", "logs:", ":514", "logs:0", "logs:65536", "logs:514 ", "logs:-1", "logs:514514",
        "a b:514", "2001:db8::1:514", "[2001:db8::1]", "[]:514", "[logs]:514", "tcp://logs:514",
        "logs:syslog", "logs:٥١٤", 514, None, ["logs:514"],
    ],
)  # fmt: skip
def test_what_is_no_address(given: object) -> None:
    with pytest.raises(Invalid):
        address(given)


def read(**table: Any) -> Destination:
    found = entries(Destination, check_destination)([{"name": "central", **table}])
    return found["central"]


def mistakes(**table: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        read(**table)
    return {key.rpartition(".")[2]: told for key, told in caught.value.mistakes}


def test_the_least_of_each_kind() -> None:
    for kind in (RELP, TCP, UDP):
        assert read(kind=kind, address="logs:514").address == ("logs", 514)
    assert read(kind=JOURNALD).severity is Severity.INFO
    assert read(kind=COMMAND, command=["/usr/bin/page"]).command == ("/usr/bin/page",)
    one = read(kind=RELP, address="logs:2514")
    assert (one.limit, one.timeout, one.heartbeat, one.facility) == (8 * KIB, 10, 60, "authpriv")
    assert one.enabled
    assert not one.tls


def test_a_whole_one() -> None:
    one = read(
        kind="relp", address="[2001:db8::1]:2514", tls=True, ca="/etc/pki/ca.pem", certificate="/me.pem",
        key="/me.key", server_name="logs", severity="medium", facility="local3", limit="64KiB", rate=100,
        heartbeat="5m", timeout="30s", enabled=False,
    )  # fmt: skip
    assert one.severity is Severity.MEDIUM
    assert (one.limit, one.rate, one.heartbeat, one.timeout) == (64 * KIB, 100, 300, 30)
    assert one.place == "relp+tls://[2001:db8::1]:2514"


@pytest.mark.parametrize(
    ("table", "key", "told"),
    [
        ({"kind": "relp"}, "address", "is missing"),
        ({"kind": "journald", "address": "logs:514"}, "address", "has no meaning"),
        ({"kind": "command", "command": ["/bin/true"], "address": "logs:514"}, "address", "has no meaning"),
        ({"kind": "command"}, "command", "absolute path"),
        ({"kind": "command", "command": ["page"]}, "command", "absolute path"),
        ({"kind": "udp", "address": "logs:514", "command": ["/bin/true"]}, "command", "has no meaning"),
        ({"kind": "udp", "address": "logs:514", "tls": True}, "tls", "is not known of kind"),
        ({"kind": "tcp", "address": "logs:514", "ca": "/ca.pem"}, "ca", "without tls"),
        ({"kind": "tcp", "address": "logs:514", "server_name": "logs"}, "server_name", "without tls"),
        ({"kind": "tcp", "address": "logs:514", "tls": True, "key": "/key"}, "certificate", "go together"),
        ({"kind": "tcp", "address": "logs:514", "tls": True, "certificate": "/c"}, "key", "go together"),
        ({"kind": "smoke"}, "kind", "smoke"),
        ({"kind": "udp", "address": "logs:514", "facility": "mail"}, "facility", "mail"),
        ({"kind": "udp", "address": "logs:514", "limit": 1023}, "limit", ""),
        ({"kind": "udp", "address": "logs:514", "timeout": 0}, "timeout", ""),
        ({"kind": "tcp", "address": "logs:514", "tls": True, "ca": "ca.pem"}, "ca", "relative"),
        ({"kind": "udp", "address": "logs:514", "adress": "x"}, "adress", ""),
    ],
)
def test_what_does_not_go_together(table: dict[str, Any], key: str, told: str) -> None:
    found = mistakes(**table)
    assert set(found) == {key}
    assert told in found[key]


def test_every_mistake_at_once() -> None:
    found = mistakes(kind="udp", address="logs:514", tls=True, command=["/bin/true"], key="/k")
    assert set(found) == {"tls", "command", "certificate"}


def test_facilities_are_those_of_the_rfc() -> None:
    assert FACILITIES["authpriv"] == 10
    assert (FACILITIES["local0"], FACILITIES["local7"]) == (16, 23)
