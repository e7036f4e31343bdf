"""The central log host in a folder: a PostgreSQL cluster, an rsyslogd as we configure it, and hosts.

The rules kept here: the configuration and the schema are those of `packaging/central`, with nothing changed
but places and ports; PostgreSQL is reached by a socket in its folder and listens nowhere else; what was
started is ended, by its own process.
"""

from __future__ import annotations

import ctypes
import glob
import json
import os
import pwd
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hostguardd.describe import Event, finding_alert, group_alerts
from hostguardd.envelope import Entry, entry, heartbeat, syslog
from hostguardd.model import Alert, Finding
from hostguardd.record import GENESIS, Identity, digest, render, timestamp
from tests.alerts import NAMES, alert
from tests.daemon import ROOT

CENTRAL = ROOT / "packaging/central"
LIMIT = 256 * 1024
PATIENCE = 60.0
CLONE_NEWNET = 0x40000000
AUTHPRIV = 10
CURVE = "ec_paramgen_curve:prime256v1"


def missing() -> list[str]:
    """What must be installed and is not."""
    modules = ("imrelp", "omprog", "imtcp", "lmnsd_gtls")
    places = ("/usr/lib/*/rsyslog", "/usr/lib64/rsyslog", "/usr/lib/rsyslog")
    found = [name for name in modules if not any(glob.glob(f"{place}/{name}.so") for place in places)]
    return [
        *(name for name in ("rsyslogd", "psql", "openssl") if shutil.which(name, path=_path()) is None),
        *found,
        *([] if _postgres() else ["postgres"]),
    ]


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def _postgres() -> Path | None:
    """The folder of initdb, the newest version's."""
    found = [*glob.glob("/usr/lib/postgresql/*/bin/initdb"), *glob.glob("/usr/pgsql-*/bin/initdb")]
    if found:
        return Path(max(found, key=lambda path: float(re.findall(r"[0-9.]+", path)[0]))).parent
    plain = shutil.which("initdb", path=_path())
    return Path(plain).parent if plain else None


def wait(what: Callable[[], Any], message: str | Callable[[], str], patience: float = PATIENCE) -> Any:
    """The first true value of `what`. A message that is called says what is there instead."""
    deadline = time.monotonic() + patience
    while not (value := what()):
        if time.monotonic() >= deadline:
            said = message if isinstance(message, str) else message()
            raise AssertionError(f"waited {patience:.0f} s in vain: {said}")
        time.sleep(0.05)
    return value


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class Database:
    """A cluster of its own in `folder`, with the schema."""

    def __init__(self, folder: Path, settings: Sequence[str] = ()) -> None:
        bin_ = _postgres()
        assert bin_
        self.bin, self.folder = bin_, folder
        self.settings = settings
        self._user: dict[str, Any] = {}
        folder.mkdir(parents=True)
        if os.geteuid() == 0:
            name = next(one.pw_name for one in pwd.getpwall() if one.pw_name in ("postgres", "nobody"))
            known = pwd.getpwnam(name)
            self._user = {"user": known.pw_uid, "group": known.pw_gid, "extra_groups": []}
            os.chown(folder, known.pw_uid, known.pw_gid)
        self.run(
            "initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"
        )
        self.start()
        self.psql("CREATE DATABASE hostguard TEMPLATE template0 ENCODING 'UTF8'", database="postgres")
        self.load()

    def run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [self.bin / program, *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            **self._user,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        options = [
            f"-k {self.folder}",
            "-c listen_addresses=",
            "-p 5432",
            *(f"-c {one}" for one in self.settings),
        ]
        with open(os.devnull, "rb+") as nothing:
            done = subprocess.run(
                [self.bin / "pg_ctl", "-D", "data", "-l", "log", "-o", " ".join(options), "-w", "start"],
                cwd=self.folder, stdin=nothing, stdout=nothing, stderr=nothing, check=False, **self._user,
            )  # fmt: skip
        assert done.returncode == 0, (self.folder / "log").read_text()

    def stop(self, mode: str = "fast") -> None:
        self.run("pg_ctl", "-D", "data", "-m", mode, "-w", "stop")

    def load(self) -> None:
        self.psql(file=CENTRAL / "schema.sql")

    def psql(
        self, sql: str = "", *, file: Path | None = None, user: str = "postgres", database: str = "hostguard",
        check: bool = True,
    ) -> str:  # fmt: skip
        done = subprocess.run(
            ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-p", "5432",
             "-U", user, "-d", database, "-f", file or "-"],
            input=sql, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout if done.returncode == 0 else f"{done.stdout}{done.stderr}"

    def rows(self, sql: str, user: str = "postgres") -> list[dict[str, Any]]:
        """The rows of a query, as its JSON."""
        found: list[dict[str, Any]] = json.loads(
            self.psql(f"SELECT coalesce(json_agg(t), '[]') FROM ({sql}) t", user=user)
        )
        return found

    def one(self, sql: str) -> Any:
        (row,) = self.rows(sql)
        (value,) = row.values()
        return value


class Certificates:
    """A CA in `folder`, with a server's and a client's certificate."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self._openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", CURVE, "-nodes", "-days", "2",
            "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.pem",
        )  # fmt: skip
        self.issue("server", "logs.example.org")
        self.issue("client", "web1.example.org")
        self.issue("stranger", "web1.example.net")

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, capture_output=True, check=True)

    def issue(self, name: str, host: str) -> None:
        (self.folder / "san").write_text(f"subjectAltName=DNS:{host}\n")
        self._openssl(
            "req", "-newkey", "ec", "-pkeyopt", CURVE, "-nodes", "-subj", f"/CN={host}",
            "-keyout", f"{name}.key", "-out", f"{name}.csr",
        )  # fmt: skip
        self._openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-extfile", "san", "-out", f"{name}.pem",
        )  # fmt: skip

    def client(self, name: str = "client") -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        return context


class Receiver:
    """rsyslogd with the shipped configuration in `folder`."""

    def __init__(self, folder: Path, database: Path, certificates: Path | None) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self.relp, self.relp_tls, self.tls = free_port(), free_port(), free_port()
        (folder / "work").mkdir(parents=True)
        self.logs.mkdir()
        text = (CENTRAL / "rsyslog.conf").read_text()
        for old, new in (
            ("/var/log/hostguard/", f"{self.logs}/"),
            ("/etc/hostguard-central/", f"{certificates}/"),
            ("/usr/libexec/rsyslog/hand-in /var/run/postgresql", f"{CENTRAL}/hand-in {database}"),
            ('port="601"', f'port="{self.relp}"'),
            ('port="2514"', f'port="{self.relp_tls}" address="127.0.0.1"'),
            ('port="6514"', f'port="{self.tls}" address="127.0.0.1"'),
        ):
            assert old in text, old
            text = text.replace(old, new)
        if certificates is None:  # only the plain input
            text = re.sub(r"global\(\n.*?\n\)\n", "", text, flags=re.DOTALL)
            text = re.sub(
                r'input\(type="imrelp" port="\d+" address="127.0.0.1" ruleset[^)]*tls="on".*?\)\n',
                "",
                text,
                flags=re.DOTALL,
            )
            text = re.sub(r'module\(load="imtcp".*?\)\ninput.*?\)\n', "", text, flags=re.DOTALL)
        (folder / "central.conf").write_text(text)
        # A host's own configuration has loaded an input before it comes to ours.
        (folder / "rsyslog.conf").write_text(
            f'global(workDirectory="{folder}/work")\nmodule(load="imuxsock" sysSock.use="off")\n'
            f'include(file="{folder}/central.conf")\naction(type="omfile" file="{folder}/own.log")\n'
        )
        self._process: subprocess.Popen[bytes] | None = None

    def problems(self) -> str:
        """What rsyslogd has to say against its configuration."""
        done = subprocess.run(
            [self._program, "-N1", "-f", self.folder / "rsyslog.conf"],
            capture_output=True,
            text=True,
            check=False,
        )
        return "" if done.returncode == 0 and "rror" not in done.stderr else done.stderr

    @property
    def _program(self) -> str:
        return shutil.which("rsyslogd", path=_path()) or "rsyslogd"

    def start(self) -> None:
        with (self.folder / "stderr").open("ab") as said:
            self._process = subprocess.Popen(
                [self._program, "-n", "-f", self.folder / "rsyslog.conf", "-i", self.folder / "pid"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said,
            )  # fmt: skip
        wait(self._listens, "rsyslogd listens")

    def _listens(self) -> bool:
        assert self._process
        assert self._process.poll() is None, (self.folder / "stderr").read_text()
        try:
            Relp(self.relp).close()
        except OSError:
            return False
        return True

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self._process:
            self._process.send_signal(how)
            self._process.wait(PATIENCE)
            self._process = None

    def files(self) -> dict[str, list[bytes]]:
        """What was filed, by path below the folder of logs."""
        return {
            str(path.relative_to(self.logs)): path.read_bytes().splitlines()
            for path in sorted(self.logs.rglob("*"))
            if path.is_file()
        }


class Relp:
    """A client: sends messages, and returns when each is acknowledged."""

    WINDOW = 128

    def __init__(
        self,
        port: int,
        context: ssl.SSLContext | None = None,
        name: str = "logs.example.org",
        source: str = "127.0.0.1",
    ) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE, (source, 0))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._number = 0
        try:
            if context:
                self._socket = context.wrap_socket(self._socket, server_hostname=name)
            self._file = self._socket.makefile("rb")
            self._command(b"open", b"relp_version=0\nrelp_software=test\ncommands=syslog\n")
            self._acknowledged()
        except BaseException:
            self.close()
            raise

    def _command(self, command: bytes, data: bytes) -> None:
        self._number += 1
        self._socket.sendall(b"%d %b %d %b\n" % (self._number, command, len(data), data))

    def _acknowledged(self) -> None:
        head = b""
        while head.count(b" ") < 3:
            byte = self._file.read(1)
            if not byte:
                raise ConnectionError("the server closed the connection")
            head += byte
            if byte == b"\n":
                raise ConnectionError(f"the server said {head!r}")
        rest = self._file.read(int(head.split()[2]) + 1)
        if not rest.startswith(b"200"):
            raise ConnectionError(f"the server said {rest!r}")

    def post(self, messages: Sequence[bytes]) -> None:
        """Send, and leave the acknowledgements to `confirm`."""
        made = []
        for message in messages:
            self._number += 1
            made.append(b"%d syslog %d %b\n" % (self._number, len(message), message))
        self._socket.sendall(b"".join(made))

    def confirm(self, count: int) -> None:
        for _ in range(count):
            self._acknowledged()

    def send(self, messages: Sequence[bytes]) -> None:
        for at in range(0, len(messages), self.WINDOW):
            part = messages[at : at + self.WINDOW]
            self.post(part)
            self.confirm(len(part))

    def close(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()
        self._socket.close()


def apart(what: Callable[[], None]) -> None:
    """Do this in a network of its own, where 127.0.0.0/8 is all that there is."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "unshare")
            # Packets of the size that a network has.
            subprocess.run(["ip", "link", "set", "lo", "up", "mtu", "1500"], check=True)
            what()
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def now() -> int:
    return time.time_ns()


@dataclass
class Host:
    """One host: what its alert log holds, and the messages that are made of it."""

    name: str = "web1"
    machine: str = "0123456789abcdef0123456789abcdef"
    sequence: int = 0
    chain: str = GENESIS
    lines: list[bytes] = field(default_factory=list)

    def write(self, *alerts: Alert) -> list[bytes]:
        """Append to the log; the lines."""
        identity = Identity(self.name, self.machine, "11111111-2222-3333-4444-555555555555", "0.2.0")
        made = []
        for one in alerts:
            self.sequence += 1
            made.append(render(one, identity, self.sequence, self.chain))
            self.chain = digest(made[-1])
        self.lines += made
        return made

    def tell(self, finding: Finding, event: Event = "opened") -> list[bytes]:
        return self.write(finding_alert(finding, event, now(), NAMES))

    def group(self, findings: Sequence[Finding], event: Event = "opened") -> list[bytes]:
        return self.write(*group_alerts(findings, now(), NAMES, event))

    def idle(self, count: int = 1) -> list[bytes]:
        """Plain alerts."""
        return self.write(*(alert(self.sequence + step, at=now()) for step in range(count)))

    def beat(self, *, interval: float = 60, **told: Any) -> bytes:
        """A heartbeat, as the message it is sent as."""
        said = {
            "last": {"sequence": self.sequence, "chain": self.chain},
            "baseline": {"generation": 3, "digest": "ab" * 32},
            "blind": 0,
            "blind_scopes": [],
            "interval": interval,
            "daemon": {"alive": timestamp(now())},
        }
        return message(heartbeat(now(), {"hostname": self.name, "id": self.machine}, said | told))


def message(one: Entry | bytes, limit: int = LIMIT) -> bytes:
    """A line as it is sent."""
    return syslog(entry(one) if isinstance(one, bytes) else one, AUTHPRIV, limit)


@contextmanager
def central(*, tls: bool = True, settings: Sequence[str] = ()) -> Iterator[tuple[Database, Receiver]]:
    """The whole of it, running, in a folder that another account can come to."""
    with tempfile.TemporaryDirectory(prefix="central-") as made:
        os.chmod(made, 0o711)
        with _central(Path(made), tls=tls, settings=settings) as both:
            yield both


@contextmanager
def _central(folder: Path, *, tls: bool, settings: Sequence[str]) -> Iterator[tuple[Database, Receiver]]:
    certificates = Certificates(folder / "tls").folder if tls else None
    database = Database(folder / "db", settings)
    try:
        receiver = Receiver(folder / "rsyslog", database.folder, certificates)
        assert not receiver.problems()
        receiver.start()
        try:
            yield database, receiver
        finally:
            receiver.stop()
    finally:
        if (database.folder / "data/postmaster.pid").exists():
            database.stop("immediate")
