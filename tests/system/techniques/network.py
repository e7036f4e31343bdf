"""Who waits for callers, and who listens to what is not meant for it."""

from __future__ import annotations

from .table import LIVE, Deed, NotHere, act, add
from .tools import left_python, run

KIND = "listener"


def listener(name: str, technique: str, does: str, code: str, *names: str, within: float = LIVE) -> None:
    """The row of a program left behind that opens a socket."""

    def deed() -> Deed:
        one = left_python(code)
        try:
            yield
        finally:
            one.end()

    add(name, deed, technique, does, *names, within=within)


listener(
    "tcp-port",
    "T1571",
    "python3 listens on TCP 31337",
    "import socket\ns=socket.create_server(('0.0.0.0',31337))",
    "31337",
)
listener(
    "tcp6-port",
    "T1571",
    "python3 listens on TCP 31338 of IPv6 only",
    "import socket\ns=socket.socket(socket.AF_INET6)\ns.setsockopt(41,26,1)\n"
    "s.bind(('::',31338))\ns.listen()",
    "31338",
)
listener(
    "tcp-port-on-loopback",
    "T1571",
    "python3 listens on 127.0.0.1:9050",
    "import socket\ns=socket.create_server(('127.0.0.1',9050))",
    "9050",
)
listener(
    "high-tcp-port",
    "T1571",
    "python3 listens on TCP 54321, which clients use too",
    "import socket\ns=socket.create_server(('0.0.0.0',54321))",
    "54321",
)
listener(
    "udp-port",
    "T1571",
    "python3 waits on UDP 1337",
    "import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.bind(('0.0.0.0',1337))",
    "1337",
)
listener(
    "raw-socket",
    "T1205 T1571 T1040",
    "python3 holds a raw ICMP socket",
    "import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_RAW,1)",
    '"listener-added"',
    '"key":"raw ',
)
listener(
    "packet-socket",
    "T1040",
    "python3 holds a packet socket (a sniffer)",
    "import socket\ns=socket.socket(socket.AF_PACKET,socket.SOCK_RAW,socket.htons(3))",
    '"listener-added"',
    '"key":"packet any all"',
)
listener(
    "port-shared",
    "T1571",
    "another program shares a known port by SO_REUSEPORT",
    "import socket\ns=socket.socket()\ns.setsockopt(1,15,1)\ns.bind(('0.0.0.0',8080))\ns.listen()",
    "8080",
)
listener(
    "unix-socket",
    "T1571",
    "python3 waits on a Unix socket in /run",
    "import socket\ns=socket.socket(socket.AF_UNIX)\ns.bind('/run/x.sock')\ns.listen()",
    "/run/x.sock",
)
listener(
    "abstract-unix-socket",
    "T1571",
    "python3 waits on an abstract Unix socket",
    "import socket\ns=socket.socket(socket.AF_UNIX)\ns.bind(b'\\0backdoor')\ns.listen()",
    "@backdoor",
)


@act("T1571", "python3 listens on SCTP 5555", "5555", within=LIVE)
def sctp_port() -> Deed:
    import socket

    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132).close()
    except OSError as error:
        raise NotHere(f"this kernel has no SCTP: {error.strerror}") from None
    one = left_python("import socket\ns=socket.socket(2,1,132)\ns.bind(('0.0.0.0',5555))\ns.listen()")
    yield
    one.end()


@act("T1571", "a known service is stopped, and another program answers on its port", "7070", within=LIVE)
def port_taken_over() -> Deed:
    run("systemctl", "stop", "serve-7070")
    one = left_python("import socket\ns=socket.create_server(('0.0.0.0',7070))")
    yield
    one.end()
    run("systemctl", "start", "serve-7070")
