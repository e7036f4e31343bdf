"""rsyslog and syslog-ng as they are, each with a configuration, ports and a folder of the test's own.

Never the system's instance: nothing outside the folder is read or written, and only 127.0.0.1 is listened on.
Both write what a message holds (MSG) as a line of a file. rsyslog's queues are off, so that it does so before
it acknowledges, and what it acknowledged survives its being killed.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.certificates import Issued
from tests.ear import eventually

BESIDE = Path(os.environ.get("HOSTGUARD_CACHE", "/var/cache/hostguardd-tests"), "beside")
"""Where tools/system-packages unpacks what cannot be installed here."""

CLIENT = "client.example.org"
"""Who may send by RELP over TLS."""

RSYSLOG_INPUTS = {
    "tcp": 'input(type="imtcp" address="127.0.0.1" port="{port}" ruleset="tcp")',
    "tls": (
        'input(type="imtcp" address="127.0.0.1" port="{port}" ruleset="tls" streamDriver.name="gtls"'
        ' streamDriver.mode="1" streamDriver.authMode="anon")'
    ),
    "udp": 'input(type="imudp" address="127.0.0.1" port="{port}" ruleset="udp" rcvbufSize="4m")',
    "relp": 'input(type="imrelp" address="127.0.0.1" port="{port}" ruleset="relp")',
    "relps": (
        'input(type="imrelp" address="127.0.0.1" port="{port}" ruleset="relps" tls="on" tls.caCert="{ca}"'
        ' tls.myCert="{certificate}" tls.myPrivKey="{key}" tls.authMode="name" tls.permittedPeer=["'
        + CLIENT
        + '"])'
    ),
}


class LogServer:
    """`ports` has one for each input, and `lines(input)` is what came there."""

    inputs: tuple[str, ...]

    def __init__(self, folder: Path, ca: Path, server: Issued) -> None:
        self.folder = folder
        folder.mkdir()
        self.ports = dict(zip(self.inputs, free_ports(len(self.inputs)), strict=True))
        (folder / "server.conf").write_text(self.configuration(ca, server))
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def configuration(self, ca: Path, server: Issued) -> str:
        raise NotImplementedError

    def command(self) -> tuple[list[str], Mapping[str, str]]:
        """Its words and its environment."""
        raise NotImplementedError

    def start(self) -> None:
        words, environment = self.command()
        with (self.folder / "said").open("ab") as said:
            self._process = subprocess.Popen(
                words, env=environment, stdout=said, stderr=said, cwd=self.folder
            )
        assert eventually(self._listens, 60), (self.folder / "said").read_text()

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def lines(self, name: str) -> list[bytes]:
        path = self.folder / f"{name}.log"
        return path.read_bytes().splitlines() if path.exists() else []

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "said").read_text()
        for name, port in self.ports.items():
            table = "/proc/net/udp" if name == "udp" else "/proc/net/tcp"
            # proc(5): a local address and, of TCP, LISTEN
            wanted = f"0100007F:{port:04X} 00000000:0000 {'07' if name == 'udp' else '0A'}"
            if wanted not in Path(table).read_text():
                return False
        return True


class Rsyslog(LogServer):
    inputs = tuple(RSYSLOG_INPUTS)

    def configuration(self, ca: Path, server: Issued) -> str:
        names = {"ca": ca, "certificate": server.certificate, "key": server.key}
        return "\n".join(
            [
                f'global(workDirectory="{self.folder}" maxMessageSize="64k"'
                f' defaultNetstreamDriverCAFile="{ca}"'
                f' defaultNetstreamDriverCertFile="{server.certificate}"'
                f' defaultNetstreamDriverKeyFile="{server.key}")',
                'main_queue(queue.type="Direct")',
                'module(load="imtcp") module(load="imudp") module(load="imrelp")',
                'template(name="msg" type="string" string="%msg%\\n")',
                *(
                    f'ruleset(name="{name}") {{ action(type="omfile" file="{self.folder}/{name}.log"'
                    ' template="msg" asyncWriting="off" flushOnTXEnd="on") }'
                    for name in self.inputs
                ),
                *(RSYSLOG_INPUTS[name].format(port=self.ports[name], **names) for name in self.inputs),
                "",
            ]
        )

    def command(self) -> tuple[list[str], Mapping[str, str]]:
        program = shutil.which("rsyslogd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        assert program is not None
        return [program, "-n", "-i", "NONE", "-f", str(self.folder / "server.conf")], os.environ


class SyslogNg(LogServer):
    inputs = ("tcp", "tls")

    def configuration(self, ca: Path, server: Issued) -> str:
        tls = (
            f'tls(key-file("{server.key}") cert-file("{server.certificate}") peer-verify(optional-untrusted))'
        )
        return "\n".join(
            [
                "@version: current",
                "options { keep-hostname(yes); log-msg-size(65536); flush-lines(1); stats-freq(0); };",
                *(
                    f'source s_{name} {{ syslog(ip("127.0.0.1") port({self.ports[name]}) transport("{name}")'
                    f" {tls if name == 'tls' else ''}); }};"
                    f' destination d_{name} {{ file("{self.folder}/{name}.log" template("$MSG\\n")); }};'
                    f" log {{ source(s_{name}); destination(d_{name}); flags(flow-control); }};"
                    for name in self.inputs
                ),
                "",
            ]
        )

    def command(self) -> tuple[list[str], Mapping[str, str]]:
        found = syslog_ng()
        assert found is not None
        words, environment = found
        own = ("-f", "server.conf", "-p", "pid", "-c", "ctl", "-R", "persist")
        return [*words, "-F", "--no-caps", *own], environment


def syslog_ng() -> tuple[list[str], Mapping[str, str]] | None:
    """How it is called, wherever it is."""
    installed = shutil.which("syslog-ng", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if installed:
        return [installed], os.environ
    program = BESIDE / "usr/sbin/syslog-ng"
    if not program.exists():
        return None
    libraries = [
        BESIDE / "usr/lib/syslog-ng",
        *BESIDE.glob("usr/lib/*-linux-gnu*"),
        *BESIDE.glob("lib/*-linux-gnu*"),
    ]
    modules = next((BESIDE / "usr/lib/syslog-ng").glob("[0-9]*"))
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, libraries))}
    return [str(program), f"--module-path={modules}"], environment


def rsyslog_lacks() -> str:
    """What keeps rsyslog from being such a server, or ""."""
    if shutil.which("rsyslogd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
        return "needs rsyslogd"
    for plug_in in ("imrelp", "lmnsd_gtls"):
        if not [
            *Path("/usr").glob(f"lib/*/rsyslog/{plug_in}.so"),
            *Path("/usr/lib64/rsyslog").glob(f"{plug_in}.so"),
        ]:
            return f"needs rsyslog's {plug_in}.so"
    return ""


def free_ports(count: int) -> list[int]:
    """Ports that nobody has, at least a moment ago, and that the kernel gives to nobody by itself, ip(7): a
    client that tries again and again to reach a server that is dead may be given the server's port."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(lowest // 2, lowest)
        with socket.socket() as held, suppress(OSError):
            held.bind(("127.0.0.1", port))
            ports += [port] if port not in ports else []
    return ports
