"""Bytes of the kernel's firewalls, audit and interfaces: as they come, cut and garbled."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from hostguardd.host import audit, iptables, links, nftables, nlmsg, parse
from hostguardd.host.nlmsg import Message, attribute

SEQUENCE = 7
BYTES = st.binary(max_size=200)


def nested(*attributes: bytes) -> bytes:
    return b"".join(attributes)


def expression(name: bytes, *attributes: bytes) -> bytes:
    return attribute(1, attribute(1, name + b"\0") + attribute(2, nested(*attributes)))


def rule(*expressions: bytes, table: bytes = b"filter", chain: bytes = b"input") -> Message:
    parts = (attribute(1, table + b"\0"), attribute(2, chain + b"\0"), attribute(4, nested(*expressions)))
    return Message(nftables.NEWRULE, bytes([1, 0, 0, 0]) + nested(*parts))


def chain(hook: bool = True, policy: int = 0) -> Message:
    parts = [attribute(1, b"filter\0"), attribute(3, b"input\0")]
    if hook:
        parts.append(attribute(4, attribute(1, struct.pack(">I", 1)) + attribute(2, struct.pack(">i", -5))))
        parts.append(attribute(5, struct.pack(">I", policy)))
        parts.append(attribute(7, b"filter\0"))
    return Message(nftables.NEWCHAIN, bytes([1, 0, 0, 0]) + nested(*parts))


REG = struct.pack(">I", 1)
LOAD_PORT = expression(
    b"payload", *(attribute(n, struct.pack(">I", v)) for n, v in ((1, 1), (2, 2), (3, 2), (4, 2)))
)
ACCEPT = expression(b"immediate", attribute(2, attribute(2, attribute(1, struct.pack(">i", 1)))))


def compare(port: int) -> bytes:
    value = attribute(3, attribute(1, struct.pack(">H", port)))
    return expression(b"cmp", attribute(1, REG), attribute(2, struct.pack(">I", 0)), value)


def counter(packets: int) -> bytes:
    return expression(
        b"counter", attribute(1, struct.pack(">Q", 9)), attribute(2, struct.pack(">Q", packets))
    )


def lookup(name: bytes) -> bytes:
    return expression(b"lookup", attribute(1, name + b"\0"), attribute(2, REG))


def value(*rules: Message, sets: dict[nftables.Key, bytes] | None = None) -> bytes:
    (piece,) = nftables.chains([chain()], rules, sets or {})
    return piece.value


def test_a_chain_and_its_rules_in_words() -> None:
    (piece,) = nftables.chains([chain()], [rule(LOAD_PORT, compare(22), counter(5), ACCEPT)], {})
    assert piece.name == b"inet filter input"
    assert piece.value.startswith(b"filter hook input priority -5 policy drop, 1 rule, ")
    assert piece.lines == (b"dport 22 accept",)


def test_traffic_and_a_handle_are_no_change() -> None:
    assert value(rule(LOAD_PORT, compare(22), counter(5))) == value(rule(LOAD_PORT, compare(22), counter(6)))


def test_another_port_or_order_is_a_change() -> None:
    one, two = rule(LOAD_PORT, compare(22)), rule(LOAD_PORT, compare(23))
    assert len({value(one), value(two), value(one, two), value(two, one)}) == 4


def test_a_nameless_set_is_what_it_holds_and_not_its_number() -> None:
    first = value(rule(lookup(b"__set0")), sets={(1, b"filter", b"__set0"): b"a"})
    again = value(rule(lookup(b"__set7")), sets={(1, b"filter", b"__set7"): b"a"})
    other = value(rule(lookup(b"__set0")), sets={(1, b"filter", b"__set0"): b"b"})
    assert first == again != other
    assert value(rule(lookup(b"x"))) != value(rule(lookup(b"y")))


def test_a_dormant_table_says_so() -> None:
    body = bytes([1, 0, 0, 0]) + attribute(1, b"filter\0") + attribute(2, struct.pack(">I", 1))
    (piece,) = nftables.tables([Message(nftables.NEWTABLE, body)])
    assert (piece.name, piece.value) == (b"table inet filter", b"dormant")


@given(st.integers(0, 300), BYTES)
def test_nftables_cut_anywhere_is_read_as_far_as_it_goes(cut: int, tail: bytes) -> None:
    whole = rule(LOAD_PORT, compare(22), lookup(b"__set1"), counter(1), ACCEPT).body
    bodies = [whole[:cut] + tail, tail]
    for kind in (nftables.NEWRULE, nftables.NEWCHAIN, nftables.NEWSET, nftables.NEWELEM, nftables.NEWTABLE):
        messages = [Message(kind, body) for body in bodies]
        nftables.chains([*messages, chain()], messages, {})
        nftables.tables(messages)
        nftables.sets(messages)
        nftables.set_piece((1, b"a", b"b"), nftables.elements(messages))
        nftables.generation(messages)


@given(BYTES, BYTES)
def test_netlink_garbage_is_malformed_or_harmless(text: bytes, tail: bytes) -> None:
    for datagram in (text, nlmsg.request(16, 0, SEQUENCE, text) + tail):
        try:
            part = nlmsg.part(datagram, SEQUENCE)
        except nlmsg.Malformed:
            continue
        links.listening(links.links(part.messages))
    dict(nlmsg.attributes(text))


# -- legacy iptables --------------------------------------------------------------------------------


def entry(target: bytes, data: bytes, head: bytes = bytes(84), packets: int = 0) -> bytes:
    end = struct.pack("=H29sB", 32 + len(data), target, 0) + data
    size = 112 + len(end)
    return head + struct.pack("=IHHIQQ", 0, 112, size, 0, packets, packets) + end


def verdict(number: int) -> bytes:
    return struct.pack("=i4x", number)


def table(*rules: bytes, policy: int = -2) -> tuple[iptables.Info, bytes]:
    """The filter table's input chain, and a chain `own` with one rule that drops."""
    body = b"".join(rules)
    own = len(body) + 152
    error = entry(b"ERROR", b"own".ljust(32, b"\0"))
    user = error + entry(b"", verdict(-1)) + entry(b"", verdict(-5))
    blob = body + entry(b"", verdict(policy)) + user + entry(b"ERROR", b"ERROR".ljust(32, b"\0"))
    assert own == len(body) + len(entry(b"", verdict(policy)))
    about = iptables.Info((None, 0, None, None, None), (None, len(body), None, None, None), len(blob))
    return about, blob


def told(*rules: bytes, policy: int = -2) -> dict[bytes, tuple[bytes, tuple[bytes, ...]]]:
    about, blob = table(*rules, policy=policy)
    found = iptables.chains(b"iptables filter", iptables.V4, about, blob)
    return {piece.name: (piece.value, piece.lines) for piece in found}


def test_legacy_chains_policies_and_jumps_by_name() -> None:
    source = bytes([10, 0, 0, 0]) + bytes(4) + bytes([255, 0, 0, 0]) + bytes(4)
    head = source + b"eth0".ljust(16, b"\0") + bytes(48) + struct.pack("=HBB", 6, 0, 0)
    size = len(entry(b"", verdict(0), head))
    jump = size + 152 + len(entry(b"ERROR", bytes(32)))
    found = told(entry(b"", verdict(jump), head), policy=-1)
    value, lines = found[b"iptables filter INPUT"]
    assert value.startswith(b"hook input policy drop, 1 rule, ")
    assert lines == (b"-s 10.0.0.0/8 -i eth0 -p tcp -j own",)
    assert found[b"iptables filter own"][1] == (b"-j DROP",)


def test_legacy_traffic_is_no_change_and_neither_is_a_chain_that_moved() -> None:
    plain, busy = (told(entry(b"LOG", b"", packets=n)) for n in (0, 7))
    assert plain == busy
    assert told()[b"iptables filter own"] == plain[b"iptables filter own"]
    assert told()[b"iptables filter INPUT"] != plain[b"iptables filter INPUT"]


@given(st.integers(0, 700), BYTES, st.lists(st.integers(0, 2**32 - 1), min_size=12, max_size=12))
def test_legacy_tables_cut_anywhere(cut: int, tail: bytes, numbers: list[int]) -> None:
    about, blob = table(entry(b"", verdict(9)), entry(b"LOG", b"x"))
    garbled = iptables.info(struct.pack("=32s12I", b"filter", *numbers)[:cut] + tail)
    for layout in (iptables.V4, iptables.V6):
        for one in (about, garbled):
            if one is not None:
                iptables.chains(b"x", layout, one, blob[:cut] + tail)


# -- audit ------------------------------------------------------------------------------------------


def audit_rule(
    fields: list[tuple[int, int, int]], text: bytes = b"", *, action: int = 2, mask: int = 0xFFFFFFFF
) -> bytes:
    columns = [[field[i] for field in fields] + [0] * (64 - len(fields)) for i in range(3)]
    numbers, operators, values = columns
    head = struct.pack("=3I", 4, action, len(fields)) + struct.pack("=64I", *[mask] * 64)
    body = b"".join(struct.pack("=64I", *column) for column in (numbers, values, operators))
    return head + body + struct.pack("=I", len(text)) + text


EQ = 0x40000000


def test_a_watch_reads_as_auditctl_writes_it() -> None:
    assert (
        audit.rule(audit_rule([(105, EQ, 4), (106, EQ, 10), (210, EQ, 2)], b"/etcid"))
        == b"-w /etc -p wa -k id"
    )
    assert audit.rule(audit_rule([(107, EQ, 4), (106, EQ, 10)], b"/etc")) == b"-w /etc/ -p wa"


def test_a_rule_about_system_calls() -> None:
    fields = [(11, EQ, 0xC000003E), (9, 0x60000000, 1000), (103, EQ, 2**32 - 13), (210, EQ, 3)]
    found = audit.rule(audit_rule(fields, b"a\1b", mask=0x4))
    assert found.startswith(b"-a always,exit -F arch=b64 -S open,")
    assert found.endswith(b" -F auid>=1000 -F exit=-13 -k a -k b")


@given(st.integers(0, 1100), BYTES, st.lists(st.integers(0, 2**32 - 1), max_size=10))
def test_audit_rules_cut_and_garbled(cut: int, tail: bytes, values: list[int]) -> None:
    whole = audit_rule([(105, EQ, value) for value in values], b"/etc/passwd")
    audit.rule(whole[:cut] + tail)
    audit.rule(whole + tail)
    audit.status(tail)


# -- packet sockets ---------------------------------------------------------------------------------


def test_packet_sockets_of_proc_that_receive() -> None:
    text = (
        b"sk       RefCnt Type Proto  Iface R Rmem   User   Inode\n"
        b"0000000000000000 3      3    0003   0     1 0      0      77\n"
        b"0000000000000000 3      2    88cc   2     1 0      1000   78\n"
        b"0000000000000000 3      2    0000   2     1 0      0      79\n"
    )
    found = parse.packet_table(text, lambda index: b"eth%d" % index)
    assert [(one.address, one.port, one.uid, one.inode) for one in found] == [
        (b"any", 3, 0, 77),
        (b"eth2", 0x88CC, 1000, 78),
    ]


@given(BYTES)
def test_a_garbled_table_of_packet_sockets_is_passed_over(text: bytes) -> None:
    parse.packet_table(b"head\n" + text, lambda index: b"eth0")
