"""Accounts, the ways into them, and what they may do; and what to ask of the people behind them.

The guide's last step is to ask the account's owner whether it was really them: each account that was used, or
changed, within the time that is asked for has its questions in `details["ask"]`.

The rule kept: nothing of a hash is told but that it is of a kind that no current tool writes.
"""

from __future__ import annotations

import stat
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from ... import accounts
from ...attributes import moment
from ...fact import passes_for_another
from ...facts.accounts import DAMAGED, GROUPS, USERS, names
from ...model import AccountFact, KeyFact, join
from ...words.interface import counted
from ..files import sudo
from ..files.belongs import odd_place
from ..files.deeds import deeds
from ..files.sudoers import sudoers
from ..interface import Confidence, Evidence, Found, Item, Known, Moment, Unseen, Verdict, text
from ..logins.attendance import attendance
from ..logins.register import Session
from ..scene import MOST_ACCOUNTS, SUDO, Scene

MEANS: Final = "An account that nobody asked for, or a new way into an old one, is how intruders come back."
NEXT: Final = (
    "Ask whoever administers accounts, and the account's owner. If nobody knows of it, lock it (passwd -l, "
    "chage -E0, move its keys away as evidence) and look for what it did: its logins, processes, files."
)
NEXT_KEY: Final = (
    "Ask the account's owner whether the key is theirs; if not, keep a copy and take the line out."
)
PEOPLE: Final = 1000
"""The first uid of people, login.defs(5)."""

NOBODY: Final = frozenset({65534, 65533, 4294967294})
DAY: Final = 86_400
MOST_SESSIONS: Final = 8

SERVICES: Final = frozenset(
    b"postgres mysql mariadb oracle git gitlab gitlab-psql gitlab-redis jenkins nagios icinga rancid munin"
    b" _apt sync shutdown halt operator couchdb hadoop hdfs tomcat backup puppet solr elasticsearch".split()
)
"""Accounts of services that have a shell by custom, and no password."""

SHOWN_POWER: Final = {
    b"disk": "reads and writes every disk", b"shadow": "reads the hashes of passwords",
    b"docker": "is root by the container engine", b"podman": "is root by the container engine",
    b"lxd": "is root by the container engine", b"incus-admin": "is root by the container engine",
    b"kmem": "reads the kernel's memory", b"libvirt": "is nearly root by virtual machines",
    b"root": "may do what the group root may",
}  # fmt: skip
"""Groups that are root by another name, and how."""

OWN: Final = (b".bashrc", b".bash_profile", b".profile", b".zshrc", b".ssh/rc", b".ssh/config", b".gitconfig")
SPOOLS: Final = (b"/var/spool/cron/crontabs", b"/var/spool/cron")
"""What an account's owner writes, and others only to use the account."""

SHOWN: Final = 3
"""Accounts that changed lately and are told each; of more, one item says it."""

OPTIONS: Final = frozenset(
    b"agent-forwarding cert-authority command environment expiry-time from no-agent-forwarding "
    b"no-port-forwarding"
    b" no-pty no-user-rc no-x11-forwarding permitlisten permitopen port-forwarding principals pty"
    b" no-touch-required verify-required restrict tunnel user-rc x11-forwarding".split()
)
"""Options of authorized_keys that sshd(8) knows."""


def look(scene: Scene) -> Iterator[Found]:
    """Accounts, groups that give power, keys, damaged lines."""
    facts = scene.facts(AccountFact)
    keys: dict[bytes, list[KeyFact]] = defaultdict(list)
    for key in scene.facts(KeyFact):
        keys[key.account].append(key)
    sessions: dict[str, list[Session]] = defaultdict(list)
    for session in attendance(scene).sessions:
        sessions[session.user].append(session)
    shadow = scene.host.texts.read(b"/etc/shadow", MOST_ACCOUNTS)
    lines = {line.split(b":")[0]: line.split(b":") for _, line, _ in accounts.lines(shadow.data or b"")}
    rights = rights_of(scene)
    uids = {fact.name: fact.id for fact in facts if fact.database == USERS}
    lately = [
        fact
        for fact in facts
        if fact.database == USERS and is_opened(fact) and is_recent(scene, lines.get(fact.name, []))
    ]
    if len(lately) > SHOWN:
        yield of_many(scene, lately)
    for fact in facts:
        if fact.database == USERS:
            line = lines.get(fact.name, [])
            here = sessions[text(fact.name, 100)]
            yield from of_user(scene, fact, line, keys[fact.name], here, rights, alone=len(lately) <= SHOWN)
        elif fact.database == DAMAGED:
            yield damaged(scene, fact)
        elif fact.database == GROUPS and (item := of_group(scene, fact)) is not None:
            yield item
    for key in (one for found in keys.values() for one in found):
        yield of_key(scene, key, uids.get(key.account))
    if shadow.problem:
        reason = f"cannot be read: {shadow.problem}"
        yield Unseen("/etc/shadow", reason, "" if scene.is_root else SUDO)
    yield from scene.blind(AccountFact)
    yield from scene.blind(KeyFact)


# -- one account -----------------------------------------------------------------------------------


def of_user(
    scene: Scene, fact: AccountFact, shadow: Sequence[bytes], keys: Sequence[KeyFact],
    sessions: Sequence[Session], rights: Mapping[bytes, list[str]], *, alone: bool,
) -> Iterator[Found]:  # fmt: skip
    """The item of an account, and the moment of its change. `alone`: no other item tells of that change."""
    name = text(fact.name)
    known = scene.known(fact)
    changed = changed_at(shadow)
    recent = is_recent(scene, shadow)
    lately = Verdict.NOTABLE if recent and is_opened(fact) else Verdict.FINE
    here = [one for one in sessions if (one.ended or scene.now) >= scene.since]
    may = means_of(fact, keys)
    sudo = [one for who in whose(fact) for one in rights.get(who, ())]
    verdict, reasons, technique = judged(scene, fact, shadow, keys, known)
    if recent and changed is not None:
        verdict = max(verdict, lately if alone else Verdict.FINE)
        reasons.append(f"its password or its line was changed on {moment(int(changed * 1e9))[:10]}")
    # Of an account that nobody logs in as, the day is that of its making.
    asked = recent and "login" in fact.traits()
    ask = questions(scene, fact, keys, here, changed if asked else None)
    says = f"{name} (uid {fact.id}): {may}"
    says += f"; may use sudo: {'; '.join(sudo[:3])}" if sudo else ""
    says += f": {', '.join(reasons)}" if reasons else ""
    fine = verdict is Verdict.FINE
    last = max((one.began for one in sessions), default=0.0)
    yield Item(
        name, verdict, says, "" if fine else MEANS, "" if fine else NEXT, known, "" if fine else technique,
        {
            "uid": -1 if fact.id is None else fact.id, "home": text(fact.home), "shell": text(fact.shell),
            "password": fact.password or "not known", "keys": len(keys), "groups": text(fact.groups or b""),
            "sudo": sudo, "last_login": moment(int(last * 1e9)) if last else "no record", "ask": ask,
        },
        (Evidence(f"/etc/passwd:{fact.line}", f"{name} uid {fact.id} {text(fact.home)} {text(fact.shell)}"),),
    )  # fmt: skip
    if recent and changed is not None and max(verdict, lately) > Verdict.FINE:
        yield Moment(
            changed, "account", f"the password of {name} was last changed on this day", "/etc/shadow",
            Confidence.FORGEABLE, max(verdict, lately), name, changed + DAY - 1, known,
        )  # fmt: skip


def is_recent(scene: Scene, shadow: Sequence[bytes]) -> bool:
    """Whether the password was changed within the time that is asked for."""
    changed = changed_at(shadow)
    return changed is not None and changed + DAY > scene.since


def is_opened(fact: AccountFact) -> bool:
    """Whether a change of its password lets somebody in: packages make accounts, too."""
    return "login" in fact.traits() and fact.password in ("set", "none")


def of_many(scene: Scene, lately: Sequence[AccountFact]) -> Item:
    """Accounts whose passwords were changed lately, where they are many: a host that was just set up."""
    names = [text(fact.name) for fact in lately]
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    return Item(
        "accounts that changed", Verdict.NOTABLE,
        f"{counted(len(names), 'password was', 'passwords were')} changed lately: {shown}", MEANS, NEXT,
        Known.of_all({scene.known(fact) for fact in lately}), "T1098", {"accounts": names[:200]},
        (Evidence("/etc/shadow", "the third field: days since 1970"),),
    )  # fmt: skip


def changed_at(shadow: Sequence[bytes]) -> float | None:
    """When the password was changed by shadow(5), to the day."""
    day = accounts.number(shadow[2]) if len(shadow) > 2 and shadow[2] else None
    return day * float(DAY) if day and day < 10**6 else None


def whose(fact: AccountFact) -> list[bytes]:
    """By which words sudoers(5) may mean this account."""
    return [
        fact.name,
        b"#%d" % (fact.id or 0),
        b"ALL",
        *(b"%" + group for group in names(fact.groups)),
        b"%" + fact.name,
    ]


def means_of(fact: AccountFact, keys: Sequence[KeyFact]) -> str:
    """How somebody may log in as it, in words."""
    if "login" not in fact.traits():
        return f"nobody logs in ({text(fact.shell)})"
    found = []
    if fact.password == "set":
        found.append("a password")
    elif fact.password == "none":
        found.append("no password at all")
    elif fact.password is None:
        found.append("a password, if it has one (shadow has no line for it, or could not be read)")
    if keys:
        found.append(f"{len(keys)} SSH key{'s' if len(keys) > 1 else ''}")
    return "logs in with " + " or ".join(found) if found else "has a shell and no way to log in by itself"


def judged(
    scene: Scene, fact: AccountFact, shadow: Sequence[bytes], keys: Sequence[KeyFact], known: Known
) -> tuple[Verdict, list[str], str]:
    """What is to be thought of it, why, and the technique."""
    verdict, reasons, technique = Verdict.FINE, list[str](), "T1078.003"
    login = "login" in fact.traits()

    def told(worse: Verdict, reason: str, which: str = "") -> None:
        nonlocal verdict, technique
        if worse > verdict and which:
            technique = which
        verdict = max(verdict, worse)
        reasons.append(reason)

    if fact.name.startswith(accounts.NIS):
        told(
            Verdict.SUSPICIOUS if fact.id == 0 else Verdict.NOTABLE,
            "asks a directory service for more accounts",
        )
    if passes_for_another(fact.name):
        letters = fact.name.decode("utf-8", "backslashreplace").encode("unicode_escape").decode()
        told(Verdict.SUSPICIOUS, f"its name is written to be taken for another one ({letters})", "T1036")
    elif not fact.name.isascii():
        told(Verdict.NOTABLE, "its name has letters that useradd(8) does not take", "T1036")
    if fact.id == 0 and fact.name != b"root":
        told(Verdict.SUSPICIOUS, "it is root by another name", "T1136.001")
    elif fact.twins:
        told(Verdict.NOTABLE, f"has the uid of {text(fact.twins)}", "T1136.001")
    if fact.password == "none":
        told(Verdict.SUSPICIOUS if login else Verdict.NOTABLE, "it asks for no password", "T1098")
    system = fact.id is not None and 0 < fact.id < PEOPLE
    if system and login and fact.name not in (b"sync",):
        if fact.password == "set" or keys:
            told(Verdict.SUSPICIOUS, "an account of a service that somebody can log in to", "T1098")
        elif fact.name not in SERVICES:
            told(Verdict.NOTABLE, f"an account of a service with a shell ({text(fact.shell)})", "T1098")
    if login and fact.shell and (place := odd_place(scene, fact.shell)):
        told(Verdict.SUSPICIOUS, f"its shell {text(fact.shell)} {place}", "T1098")
    if shadow[1:2] and (
        shadow[1].startswith(b"$1$")
        or (len(shadow[1]) == 13 and not shadow[1].startswith((b"$", b"!", b"*")))
    ):
        told(Verdict.NOTABLE, "its password is kept in a way that no current tool writes", "T1098")
    for group in names(fact.groups):
        if group in SHOWN_POWER and fact.id and fact.id >= PEOPLE:
            told(Verdict.NOTABLE, f"in group {text(group)} it {SHOWN_POWER[group]}", "T1098")
    if fact.id and fact.gid == 0 and fact.name not in SERVICES:
        told(Verdict.NOTABLE, "its own group is root's", "T1098")
    if known in (Known.NEW, Known.CHANGED):
        told(Verdict.NOTABLE, f"it is {known.label} against the approved baseline", "T1136.001")
    home = scene.host.texts.lstat(fact.home) if login and fact.home.startswith(b"/") else None
    if home is not None and home.st_mode & 0o002 and not home.st_mode & 0o1000 and fact.home != b"/":
        told(Verdict.NOTABLE, f"anybody may write to its home {text(fact.home)}", "T1098.004")
    return verdict, reasons, technique


def questions(
    scene: Scene,
    fact: AccountFact,
    keys: Sequence[KeyFact],
    sessions: Sequence[Session],
    changed: float | None,
) -> list[str]:
    """What to ask the owner of an account."""
    found = []
    for one in sorted(sessions, key=lambda session: -session.began)[:MOST_SESSIONS]:
        origin = f"from {one.origin}" if one.origin else "at the console"
        until = f" until {moment(int(one.ended * 1e9))[11:16]}" if one.ended else ", and are you still there"
        found.append(f"Did you log in {origin} on {moment(int(one.began * 1e9))[:16]} UTC{until}?")
    if len(sessions) > MOST_SESSIONS:
        times = counted(len(sessions), "time")
        found.append(f"Did you log in {times} since {moment(int(scene.since * 1e9))[:10]}?")
    if changed is not None:
        found.append(f"Did you change your password on {moment(int(changed * 1e9))[:10]}?")
    own = (join(fact.home, one) for one in OWN) if fact.home.startswith(b"/") and fact.home != b"/" else ()
    tables = (join(spool, fact.name) for spool in SPOOLS)
    for path in dict.fromkeys((*(key.path for key in keys), *tables, *own)):
        seen = scene.host.texts.lstat(path)
        if seen is not None and stat.S_ISREG(seen.st_mode) and seen.st_ctime >= scene.since:
            found.append(f"Did you change {text(path)} on {moment(seen.st_ctime_ns)[:16]} UTC?")
    if keys and (sessions or found):
        comments = ", ".join(text(key.comment) or text(key.key)[:24] for key in keys[:5])
        found.append(f"Are these keys yours: {comments}?")
    return found


def rights_of(scene: Scene) -> Mapping[bytes, list[str]]:
    """What sudoers(5) gives to whom, by the first word of its rules."""
    texts = scene.host.texts
    found: dict[bytes, list[str]] = defaultdict(list)
    for path in (*sudo.usual(scene), *sudo.further(scene)[0]):
        for option in sudoers(texts.read(path, 1024**2).data or b""):
            who = option.shown.split(None, 1)[0]
            if not who.startswith((b"Defaults", b"@")):
                found[who].append(f"{option.clause} ({text(path)}:{option.line})")
    return found


# -- groups, lines that say nothing, keys ------------------------------------------------------------------


def of_group(scene: Scene, fact: AccountFact) -> Item | None:
    """A group that says something: a password of its own, a second gid 0."""
    reasons = []
    if fact.password == "set":
        reasons.append("it has a password, by which anybody may join it")
    if fact.id == 0 and fact.name != b"root":
        reasons.append("it is the group root by another name")
    if not reasons:
        return None
    verdict = Verdict.SUSPICIOUS if fact.id == 0 else Verdict.NOTABLE
    return Item(
        f"group {text(fact.name)}", verdict, f"group {text(fact.name)}: {', '.join(reasons)}", MEANS, NEXT,
        scene.known(fact), "T1098", {"gid": fact.id or 0},
        (Evidence(f"/etc/group:{fact.line}", text(fact.name)),),
    )  # fmt: skip


def damaged(scene: Scene, fact: AccountFact) -> Item:
    """A line that says nothing to the system."""
    name = text(fact.name)
    return Item(
        f"line {name}", Verdict.NOTABLE, f"a line of {name.split(' ')[0]} {text(fact.comment)}",
        "A slip of an edit, or what is left of one that should not be seen.",
        "Look at the line by hand (vipw, vigr), and at the backup beside it (/etc/passwd-).",
        scene.known(fact), "T1136.001", {"line": fact.line},
        (Evidence(f"{name.split(' ')[0]}:{fact.line}", text(fact.comment)),),
    )  # fmt: skip


def of_key(scene: Scene, fact: KeyFact, uid: int | None) -> Item:
    """A key that opens an account."""
    known = scene.known(fact)
    account, key = text(fact.account), text(fact.key.partition(b" in ")[0])
    verdict, reasons = Verdict.FINE, list[str]()
    if fact.role == "damaged":
        verdict = Verdict.NOTABLE
        reasons.append("a line that sshd does not understand")
    elif fact.role == "authority":
        verdict = Verdict.NOTABLE
        reasons.append("whoever has a certificate of it comes in")
    if uid is not None and 0 < uid < PEOPLE and fact.role != "damaged":
        verdict = Verdict.NOTABLE
        reasons.append("the account is a service's")
    for option in fact.options.split(b"\n") if fact.options else ():
        name, _, value = option.partition(b"=")
        if name.lower() == b"command":
            found = deeds(value.strip(b'"'))
            verdict = max(verdict, found[0].verdict if found else Verdict.NOTABLE)
            reasons.append(f"runs {text(value, 200)}" + (f", which {found[0].clause}" if found else ""))
        elif name.lower() == b"environment":
            verdict = max(verdict, Verdict.SUSPICIOUS if b"LD_" in value else Verdict.NOTABLE)
            reasons.append(f"sets {text(value, 200)}")
        elif name.lower() not in OPTIONS:
            verdict = max(verdict, Verdict.NOTABLE)
            reasons.append(f"has the option {text(option, 100)}, which sshd does not know")
    if not fact.path.rpartition(b"/")[2].startswith(b"authorized_keys") or fact.path.endswith(b"2"):
        verdict = max(verdict, Verdict.NOTABLE)
        reasons.append(f"stands in the unusual place {text(fact.path)}")
    if known in (Known.NEW, Known.CHANGED):
        verdict = max(verdict, Verdict.NOTABLE)
        reasons.append(f"is {known.label} against the approved baseline")
    says = f"{key} ({text(fact.type)} {text(fact.comment, 100)}) opens {account}"
    says += ": " + ", ".join(reasons) if reasons else ""
    fine = verdict is Verdict.FINE
    place = f"{text(fact.path)}:{fact.line}"
    return Item(
        f"key {key} of {account} in {text(fact.path)}", verdict, says, "" if fine else MEANS,
        "" if fine else NEXT_KEY,
        known, "" if fine else "T1098.004", {"options": text(fact.options), "comment": text(fact.comment)},
        (Evidence(place, f"{text(fact.type)} {key}"),), account,
    )  # fmt: skip
