"""The accounts and keys sensors over a real folder that plays the host's root: the contract of all sensors,
and what these two promise besides."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostguardd.accounts import passwd
from hostguardd.facts.accounts import DAMAGED, GROUPS, USERS
from hostguardd.host.atwork import FRESH
from hostguardd.host.files import LinuxFiles
from hostguardd.host.mounts import Mount
from hostguardd.host.texts import LinuxTexts, Text
from hostguardd.model import AccountFact, Depth, KeyFact, Row, Sweep
from hostguardd.sensors.accounts import AccountsSensor
from hostguardd.sensors.interface import Request, Sensor
from hostguardd.sensors.keys import KeysSensor
from tests.contract.test_sensors import HOSTILE, SensorContract, drifts, never, table
from tests.unit.test_authorized import ED, RSA

SECOND = 10**9
HASH = "$y$j9T$salt$hash"
PASSWD = (
    "root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000::/home/alice:/bin/bash\n"
    "www:x:33:33::/srv/www:/sbin/nologin\n"
)
SHADOW = f"root:{HASH}:1::::::\nalice:{HASH}:1::::::\nwww:*:1::::::\n"
GROUP = "root:x:0:\nalice:x:1000:\nwheel:x:10:\nwww:x:33:\n"
GSHADOW = "root:::\nalice:!::\nwheel:::\nwww:!::\n"


class Mounted(LinuxFiles):
    """A root with a network mount in it, which nobody may touch."""

    def __init__(self, root: bytes) -> None:
        super().__init__(root)
        self.far: list[Mount] = []

    def mounts(self) -> list[Mount]:
        return [*super().mounts(), *self.far]


class Place:
    """A small host in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = Mounted(os.fsencode(root))
        self.texts = LinuxTexts(self.files)
        self.time = 0
        self.write("etc/passwd", PASSWD)
        self.write("etc/shadow", SHADOW)
        self.write("etc/group", GROUP)
        self.write("etc/gshadow", GSHADOW)
        self.write("root/.ssh/authorized_keys", ED.decode() + " root@console\n")
        self.write("home/alice/.ssh/authorized_keys", RSA.decode() + " alice@desk\n")

    def mono(self) -> int:
        return self.time

    def tick(self, seconds: float) -> None:
        self.time += int(seconds * SECOND)

    def write(self, name: str, text: str | bytes) -> Path:
        """As an editor does: a new file in the place of the old."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(path.name + ".new")
        new.write_bytes(text if isinstance(text, bytes) else text.encode())
        new.rename(path)
        return path

    def accounts(self) -> AccountsSensor:
        return AccountsSensor(self.texts, self.files, 5.0, self.mono, time.time_ns)

    def keys(self) -> KeysSensor:
        return KeysSensor(self.texts, self.files, 5.0, self.mono, time.time_ns)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def account(sweeps: Iterator[Sweep] | list[Sweep], name: bytes, database: str = USERS) -> AccountFact:
    (row,) = [row for sweep in sweeps for row in sweep.rows if row[:2] == (database, name)]
    return AccountFact.of(row)


class AccountContract(SensorContract):
    """What both have in common."""

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.place = Place(tmp_path)

    def sensor(self) -> Sensor:
        raise NotImplementedError


class TestAccounts(AccountContract):
    """The accounts sensor."""

    def sensor(self) -> AccountsSensor:
        return self.place.accounts()

    def add(self) -> None:
        self.place.write("etc/passwd", PASSWD + "eve:x:1001:1000:::/bin/sh\n")

    def remove(self) -> None:
        self.place.write("etc/passwd", PASSWD)

    def hostile(self) -> None:
        name = HOSTILE.replace(b"\n", b"")
        self.place.write("etc/passwd", PASSWD.encode() + name + b":x:7:7:::\n")

    def hide(self) -> None:
        (self.place.root / "etc/shadow").unlink()
        os.mkfifo(self.place.root / "etc/shadow")

    def vanish(self) -> None:
        (self.place.root / "etc/gshadow").unlink()

    def test_hostile_names_come_through_unchanged(self) -> None:
        """But for the line end, which no name in a table can hold."""
        sensor = self.sensor()
        self.hostile()
        assert account(list(sensor.sweep(Depth.FULL, never)), HOSTILE.replace(b"\n", b"")).id == 7


class TestKeys(AccountContract):
    """The keys sensor."""

    def sensor(self) -> KeysSensor:
        return self.place.keys()

    def add(self) -> None:
        self.place.write("srv/www/.ssh/authorized_keys2", ED)

    def remove(self) -> None:
        (self.place.root / "srv/www/.ssh/authorized_keys2").unlink()

    def hostile(self) -> None:
        home = b"/srv/" + HOSTILE.replace(b"/", b"").replace(b"\n", b"")
        self.place.write("etc/passwd", PASSWD.encode() + b"eve:x:7:7::" + home + b":\n")
        folder = os.fsencode(self.place.root) + home + b"/.ssh"
        os.makedirs(folder)
        with open(folder + b"/authorized_keys" + HOSTILE.replace(b"/", b""), "wb") as file:
            file.write(ED)
        self.name = folder

    def test_hostile_names_come_through_unchanged(self) -> None:
        """But for the slashes, which no name can hold."""
        sensor = self.sensor()
        self.hostile()
        rows = table(sensor.sweep(Depth.FULL, never)).values()
        assert any(HOSTILE.replace(b"/", b"") in KeyFact.of(row).path for row in rows)

    def hide(self) -> None:
        keys = self.place.root / "home/alice/.ssh/authorized_keys"
        keys.unlink()
        os.mkfifo(keys)

    def vanish(self) -> None:
        (self.place.root / "srv").mkdir()
        (self.place.root / "srv/www").symlink_to("/nowhere")


def test_what_is_told_of_an_account(place: Place) -> None:
    place.write("etc/group", GROUP.replace("wheel:x:10:", "wheel:x:10:alice"))
    sweeps = list(place.accounts().sweep(Depth.FULL, never))
    assert [sweep.scope for sweep in sweeps] == [USERS, GROUPS, DAMAGED]
    alice, www = account(sweeps, b"alice"), account(sweeps, b"www")
    assert (alice.id, alice.groups, alice.password, www.password) == (1000, b"wheel", "set", "unset")
    assert account(sweeps, b"wheel", GROUPS).groups == b"", "alice is told where she is told"
    assert not any(
        b"salt" in value for s in sweeps for row in s.rows for value in row if isinstance(value, bytes)
    )


def test_a_damaged_line_is_a_fact_and_the_rest_is_read(place: Place) -> None:
    sensor = place.accounts()
    before = list(sensor.sweep(Depth.FULL, never))
    place.write("etc/shadow", SHADOW + f":{HASH}\n")
    place.write("etc/passwd", "junk\n" + PASSWD + "alice:x:0:0:::\n")
    found = drifts(before, list(sensor.sweep(Depth.FULL, never)))
    assert sorted(one.subject.line for one in found) == [1, 4, 5]  # type: ignore[attr-defined]
    assert {one.subject.row()[0] for one in found} == {DAMAGED}
    assert "salt" not in repr(found)
    again = list(sensor.sweep(Depth.FULL, never))
    place.write("etc/passwd", "more junk\njunk\n" + PASSWD + "alice:x:0:0:::\n")
    assert len(drifts(again, list(sensor.sweep(Depth.FULL, never)))) == 1


def test_without_shadow_passwords_are_not_known_and_nothing_is_gone(place: Place) -> None:
    sensor = place.accounts()
    before = list(sensor.sweep(Depth.FULL, never))
    place.texts.read = lambda path, limit, offset=0: (  # type: ignore[method-assign]
        Text(None, None, "Permission denied")
        if b"shadow" in path
        else LinuxTexts.read(place.texts, path, limit)
    )
    after = list(sensor.sweep(Depth.FULL, never))
    assert drifts(before, after) == []
    assert account(after, b"root").password is None
    assert any("cannot be read: Permission denied" in blind.reason for one in after for blind in one.blinds)


@pytest.mark.parametrize("gone", ["etc/passwd", "etc/group"])
def test_a_table_that_is_not_there_takes_no_account_away(place: Place, gone: str) -> None:
    sensor = place.accounts()
    before = list(sensor.sweep(Depth.FULL, never))
    (place.root / gone).unlink()
    after = list(sensor.sweep(Depth.FULL, never))
    assert not [one for one in drifts(before, after) if one.action.value == "removed"]
    assert any(one.blinds for one in after)


def test_a_table_of_gigabytes_is_blind_and_not_read(place: Place) -> None:
    with (place.root / "etc/passwd").open("r+b") as file:
        file.truncate(50 * 2**30)
    began = time.monotonic()
    (users, *_) = place.accounts().sweep(Depth.FULL, never)
    assert any("longer than" in blind.reason for blind in users.blinds)
    assert time.monotonic() - began < 5  # to read it would take longer, if memory allowed


@pytest.mark.parametrize("make", [Place.accounts, Place.keys])
def test_a_change_is_noticed_without_any_hint_but_not_asked_for_all_the_time(
    place: Place, make: object
) -> None:
    sensor = make(place)  # type: ignore[operator]
    assert sensor.changed()
    list(sensor.sweep(Depth.QUICK, never))
    assert not sensor.changed()
    place.write("etc/passwd", PASSWD + "eve:x:1001:1000:::/bin/sh\n")
    assert not sensor.changed()
    place.tick(5.1)
    assert sensor.changed()
    list(sensor.sweep(Depth.QUICK, never))
    place.tick(5.1)
    assert not sensor.changed()


@pytest.mark.parametrize(
    ("scope", "keys", "concerns"),
    [
        (b"/etc", {b"passwd"}, True),
        (b"/etc", {b"gshadow"}, True),
        (b"/etc", None, True),
        (b"/", {b"etc"}, True),
        (b"/etc", {b"hosts", b"passwd-"}, False),
        (b"/etc/ssh", {b"passwd"}, False),
    ],
)
def test_hints_about_a_table_are_a_look_at_all(
    place: Place, scope: bytes, keys: set[bytes] | None, concerns: bool
) -> None:
    request = Request(scope, None if keys is None else frozenset(keys))
    scopes = [sweep.scope for sweep in place.accounts().look([request], never)]
    assert scopes == ([USERS, GROUPS, DAMAGED] if concerns else [])


def test_a_look_that_a_hint_asked_for_is_looked_after(place: Place) -> None:
    """An older sweep may be judged after it, from another lane."""
    sensor = place.accounts()
    list(sensor.sweep(Depth.QUICK, never))
    list(sensor.look([Request(b"/etc", frozenset({b"passwd"}))], never))
    assert not sensor.changed()
    place.tick(1.6)
    assert sensor.changed()
    list(sensor.sweep(Depth.QUICK, never))
    assert not sensor.changed()


def test_a_tool_at_work_is_waited_for(place: Place) -> None:
    sensor, hint = place.accounts(), [Request(b"/etc", frozenset({b"passwd"}))]
    list(sensor.sweep(Depth.QUICK, never))
    lock = place.write("etc/passwd.lock", "1")
    place.write("etc/passwd", PASSWD + "eve:x:1001:1000:::/bin/sh\n")
    assert list(sensor.look(hint, never)) == []
    assert not sensor.changed()
    lock.unlink()
    assert sensor.changed()
    assert account(list(sensor.sweep(Depth.QUICK, never)), b"eve").password is None
    assert not sensor.changed()


def test_a_half_made_account_is_waited_for(place: Place) -> None:
    sensor, hint = place.accounts(), [Request(b"/etc", frozenset({b"passwd"}))]
    list(sensor.sweep(Depth.QUICK, never))
    place.write("etc/passwd", PASSWD + "eve:x:1001:1000:::/bin/sh\n")
    assert list(sensor.look(hint, never)) == []
    place.write("etc/shadow", SHADOW + f"eve:{HASH}:1::::::\n")
    assert account(list(sensor.look(hint, never)), b"eve").password == "set"


def test_a_lock_that_is_left_behind_gains_a_second_and_an_old_one_nothing(place: Place) -> None:
    sensor, hint = place.accounts(), [Request(b"/etc", frozenset({b"passwd"}))]
    list(sensor.sweep(Depth.QUICK, never))
    lock = place.write("etc/shadow.lock", "1")
    place.write("etc/passwd", PASSWD + "eve:x:1001:1000:::/bin/sh\n")
    assert list(sensor.look(hint, never)) == []
    place.tick(1.1)
    assert sensor.changed()
    list(sensor.sweep(Depth.QUICK, never))
    old = time.time() - 2 * FRESH
    os.utime(lock, (old, old))
    place.write("etc/shadow", SHADOW + f"eve:{HASH}:1::::::\n")
    assert account(list(sensor.look(hint, never)), b"eve").password == "set"


def test_whose_keys(place: Place) -> None:
    place.write("home/bob/.ssh/authorized_keys.bak", ED)  # no account of passwd: of a directory service
    place.write("etc/ssh/sshd_config.d/50-x.conf", "AuthorizedKeysFile /srv/keys/%u .ssh/other")
    place.write("srv/keys/www", RSA)
    place.write("root/.ssh/other", ED)
    rows = table(place.keys().sweep(Depth.FULL, never))
    assert {(row[0], row[6]) for row in rows.values()} == {
        (b"root", b"/root/.ssh/authorized_keys"),
        (b"root", b"/root/.ssh/other"),
        (b"alice", b"/home/alice/.ssh/authorized_keys"),
        (b"bob", b"/home/bob/.ssh/authorized_keys.bak"),
        (b"www", b"/srv/keys/www"),
    }


def test_every_way_to_change_keys_is_noticed(place: Place) -> None:
    sensor = place.keys()

    def settle() -> list[Sweep]:
        found = list(sensor.sweep(Depth.QUICK, never))
        place.tick(5.1)
        assert not sensor.changed()
        place.tick(5.1)
        return found

    settle()
    keys = place.root / "home/alice/.ssh/authorized_keys"
    with keys.open("ab") as file:
        file.write(ED + b"\n")
    assert sensor.changed()
    settle()
    place.write("home/alice/.ssh/authorized_keys7", ED)
    assert sensor.changed()
    settle()
    place.write("srv/www/.ssh/authorized_keys", ED)
    assert sensor.changed()
    settle()
    place.write("tmp/elsewhere", RSA)
    keys.unlink()
    keys.symlink_to("/tmp/elsewhere")
    assert sensor.changed()
    settle()
    with (place.root / "tmp/elsewhere").open("ab") as file:
        file.write(ED + b"\n")
    assert sensor.changed()
    settle()
    place.write("etc/ssh/sshd_config", "AuthorizedKeysFile .k")
    assert sensor.changed()
    settle()
    place.write("root/.k", ED)
    assert sensor.changed()


def test_hints_are_a_look_at_those_they_concern(place: Place) -> None:
    sensor = place.keys()
    list(sensor.sweep(Depth.QUICK, never))

    def looked(scope: bytes, *names: bytes) -> set[object]:
        request = Request(scope, frozenset(names) if names else None)
        return {sweep.scope for sweep in sensor.look([request], never)}

    everybody = {b"root", b"alice", b"www"}
    assert looked(b"/home/alice/.ssh", b"authorized_keys") == {b"alice"}
    assert looked(b"/home/alice/.ssh", b"authorized_keys9") == {b"alice"}
    assert looked(b"/home/alice/.ssh", b"known_hosts") == set()
    assert looked(b"/home/alice", b".ssh") == {b"alice"}
    assert looked(b"/srv/www", b".ssh") == {b"www"}
    assert looked(b"/root/.ssh") == {b"root"}
    assert looked(b"/usr/bin", b"ls") == set()
    assert looked(b"/etc", b"passwd") == everybody
    assert looked(b"/etc/ssh/sshd_config.d", b"x.conf") == everybody
    place.write("home/eve/.ssh/authorized_keys", ED)
    assert looked(b"/home", b"eve") == everybody | {b"eve"}


def test_when_an_account_is_gone_its_keys_are(place: Place) -> None:
    sensor = place.keys()
    approved = list(sensor.sweep(Depth.FULL, never))
    place.write("etc/passwd", PASSWD.splitlines()[0] + "\n")
    (place.root / "home/alice/.ssh/authorized_keys").unlink()
    (place.root / "home/alice/.ssh").rmdir()
    (place.root / "home/alice").rmdir()
    later = place.keys()
    later.expect(row for sweep in approved for row in sweep.rows)
    for one in (sensor, later):
        (gone,) = drifts(approved, list(one.sweep(Depth.QUICK, never)))
        assert (gone.action.value, gone.subject.row()[0]) == ("removed", b"alice")


def test_without_a_table_of_accounts_no_key_is_gone(place: Place) -> None:
    sensor = place.keys()
    before = list(sensor.sweep(Depth.FULL, never))
    (place.root / "etc/passwd").unlink()
    after = list(sensor.sweep(Depth.FULL, never))
    assert drifts(before, after) == []
    assert any(blind.scope == b"/etc/passwd" for sweep in after for blind in sweep.blinds)


def far(point: bytes) -> Mount:
    return Mount(point, b"nfs4", b"server:/x", 99, b"/", b"rw")


def test_a_home_on_a_network_mount_is_blind_and_not_touched(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    sensor = place.keys()
    before = list(sensor.sweep(Depth.FULL, never))
    place.files.far = [far(b"/home/alice"), far(b"/net")]
    place.write("root/.ssh/authorized_keys2", ED)
    os.unlink(place.root / "root/.ssh/authorized_keys2")
    os.symlink("/net/keys", place.root / "root/.ssh/authorized_keys2")
    touched: list[bytes] = []
    for name in ("lstat", "stat", "open", "readlink", "scandir"):
        real = getattr(os, name)

        def watch(path: object, *rest: object, real: object = real, **more: object) -> object:
            touched.append(os.fsencode(path) if isinstance(path, (str, bytes)) else b"")
            return real(path, *rest, **more)  # type: ignore[operator]

        monkeypatch.setattr(os, name, watch)
    after = list(sensor.sweep(Depth.FULL, never))
    place.tick(10)
    sensor.changed()
    monkeypatch.undo()
    root = os.fsencode(place.root)
    assert not [path for path in touched if path.startswith((root + b"/home/alice", root + b"/net"))]
    assert drifts(before, after) == []
    blinds = {blind.scope: blind.reason for sweep in after for blind in sweep.blinds}
    assert "nfs4 mount" in blinds[b"/home/alice"]
    assert "network mount" in blinds[b"root"]


def test_a_link_to_secrets_shows_none(place: Place) -> None:
    os.unlink(place.root / "home/alice/.ssh/authorized_keys")
    os.symlink("/etc/shadow", place.root / "home/alice/.ssh/authorized_keys")
    rows = [row for row in table(place.keys().sweep(Depth.FULL, never)).values() if row[0] == b"alice"]
    assert {row[2] for row in rows} == {"damaged"}
    assert "salt" not in repr(rows)


def test_looks_and_polls_of_several_threads_do_no_harm(place: Place) -> None:
    accounts, keys = place.accounts(), place.keys()
    stop, failed = threading.Event(), []

    def work(sensor: AccountsSensor | KeysSensor, request: Request) -> None:
        try:
            while not stop.is_set():
                place.tick(0.01)
                sensor.changed()
                list(sensor.look([request], never))
                list(sensor.sweep(Depth.QUICK, never))
        except Exception as error:  # noqa: BLE001 - told by the test
            failed.append(error)

    hint = Request(b"/etc", frozenset({b"passwd"}))
    threads = [threading.Thread(target=work, args=(one, hint)) for one in (accounts, accounts, keys, keys)]
    for thread in threads:
        thread.start()
    for number in range(60):
        place.write("etc/passwd", PASSWD + f"u{number}:x:{2000 + number}:1::/home/u{number}:/bin/sh\n")
        place.write(f"home/u{number}/.ssh/authorized_keys", ED)
    stop.set()
    for thread in threads:
        thread.join(20)
    assert not failed
    rows: dict[Row, Row] = table(keys.sweep(Depth.FULL, never))
    assert len(rows) == 62
    assert len(passwd((place.root / "etc/passwd").read_bytes())[0]) == 4
