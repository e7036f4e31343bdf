"""Who became root, by whom, and who was denied: lines as the programs write them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from hostguardd.investigate.checks import switches
from hostguardd.investigate.interface import Verdict
from tests.scenes import Findings, looked, scene

NOW = 1_773_144_000  # 2026-03-10 12:00:00 UTC


@pytest.fixture(autouse=True)
def _greenwich(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def look(root: Path, *lines: str, name: str = "secure") -> Findings:
    (root / "var/log").mkdir(parents=True, exist_ok=True)
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/passwd").write_text(
        "root:x:0:0::/root:/bin/bash\nalice:x:1000:1000::/home/alice:/bin/bash\nbob:x:1001:1001::/home/bob:/bin/sh\n"
        "www-data:x:33:33::/var/www:/usr/sbin/nologin\npostgres:x:110:110::/var/lib/postgresql:/bin/bash\n"
    )
    text = "".join(f"Mar 10 {9 + n // 60:02}:{n % 60:02}:01 web1 {line}\n" for n, line in enumerate(lines))
    (root / "var/log" / name).write_text(text)
    return looked(switches.look, scene(os.fsencode(root), now=NOW))


def test_nothing_is_nothing(tmp_path: Path) -> None:
    found = look(tmp_path, "su[1]: (to alice) root on pts/0", "CRON[1]: (root) CMD (true)")
    assert [item.verdict for item in found.items] == [Verdict.FINE]


def test_su_to_root_is_told_once_though_two_voices_tell(tmp_path: Path) -> None:
    found = look(
        tmp_path,
        "su[71]: (to root) alice on pts/0",
        "su[71]: pam_unix(su-l:session): session opened for user root(uid=0) by alice(uid=1000)",
        "su[72]: pam_unix(su:session): session opened for user root(uid=0) by alice(uid=1000)",
    )
    item = found.named("alice to root by su")
    assert item.verdict is Verdict.NOTABLE
    assert item.details["times"] == 2
    assert item.next
    assert [m.kind for m in found.moments] == ["switch"] * 2
    assert {(m.who, m.says) for m in found.moments} == {("alice", "alice became root by su")}


def test_sudo_of_those_who_may_is_their_work_and_secrets_stay_out(tmp_path: Path) -> None:
    line = "sudo:    alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/mysql -pHunter2 db"
    found = look(tmp_path, line)
    item = found.named("alice to root by sudo")
    assert item.verdict is Verdict.FINE
    assert "Hunter2" not in repr(found.items)
    assert "mysql" in item.evidence[0].text


@pytest.mark.parametrize(
    ("by", "command", "verdict"),
    [
        ("www-data", "/bin/bash", Verdict.SUSPICIOUS),
        ("www-data", "/usr/bin/bash -p", Verdict.SUSPICIOUS),
        ("www-data", "/usr/bin/python3", Verdict.SUSPICIOUS),
        ("www-data", "/usr/bin/su -", Verdict.SUSPICIOUS),
        ("www-data", "/bin/sh ; COMMAND=/bin/true", Verdict.SUSPICIOUS),
        ("postgres", "/bin/bash", Verdict.NOTABLE),
        ("www-data", "/usr/local/bin/deploy", Verdict.FINE),
        ("www-data", "/bin/sh /srv/renew.sh", Verdict.FINE),
        ("www-data", "/usr/bin/su alice -c id", Verdict.FINE),
        ("www-data", "/usr/bin/python3 -V", Verdict.FINE),
        ("www-data", "/usr/bin/java -version", Verdict.FINE),
        ("alice", "/bin/bash", Verdict.FINE),
    ],
)
@pytest.mark.parametrize("folder", ["/var/www", "/tmp/" + "a" * 500])
def test_a_service_that_became_root_by_a_shell(
    tmp_path: Path, by: str, command: str, verdict: Verdict, folder: str
) -> None:
    line = f"sudo: {by:>8} : PWD={folder} ; USER=root ; COMMAND={command}"
    item = look(tmp_path, line, f"sudo: {by:>8} : PWD=/ ; USER=root ; COMMAND=/bin/true").named(
        f"{by} to root by sudo"
    )
    assert item.verdict is verdict
    assert ("a shell" in item.says) is (verdict is not Verdict.FINE)


def test_a_service_that_became_another_one_by_a_shell(tmp_path: Path) -> None:
    found = look(tmp_path, "sudo: www-data : PWD=/ ; USER=postgres ; COMMAND=/bin/bash")
    assert found.named("www-data to postgres by sudo").verdict is Verdict.FINE


def test_denials_are_told_first(tmp_path: Path) -> None:
    found = look(
        tmp_path,
        "su[1]: (to root) alice on pts/0",
        *(f"su[{n}]: FAILED SU (to root) bob on pts/1" for n in range(10, 16)),
        "sudo:      bob : user NOT in sudoers ; TTY=pts/1 ; PWD=/ ; USER=root ; COMMAND=/bin/sh",
    )
    item = found.named("bob to root by su (denied)")
    assert (item.verdict, item.details["times"]) == (Verdict.NOTABLE, 6)
    assert found.items[0].name.endswith("(denied)")
    assert found.named("bob to root by sudo (denied)").details["times"] == 1


def test_an_account_that_is_none_is_notable(tmp_path: Path) -> None:
    line = "sudo:    ghost : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/id"
    assert look(tmp_path, line).named("ghost to root by sudo").verdict is Verdict.NOTABLE


def test_what_a_syslog_of_old_wrote(tmp_path: Path) -> None:
    opened = "PAM_pwdb[592]: (su) session opened for user root by alice(uid=1000)"
    assert look(tmp_path, opened, name="messages").named("alice to root by su").details["times"] == 1


def test_a_folder_cannot_play_another_user(tmp_path: Path) -> None:
    line = "sudo:    alice : TTY=pts/0 ; PWD=/tmp/\x1b]0;x ; USER=bob ; COMMAND=/bin/id"
    found = look(tmp_path, line)
    assert all("\x1b" not in f"{item.says}{item.evidence}" for item in found.items)
