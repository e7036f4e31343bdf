"""Files that lend their rights: set-uid, set-gid, capabilities, anywhere on the local file systems.

What packages brought is listed and fine. What nobody brought and makes root of whoever runs it is what the
guide looks for; a shell that does is a back door wherever it lies and whoever brought it.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from typing import Final

from ...attributes import capabilities, mode, moment
from ...model import SetIdFact, split
from ...words.interface import counted
from ..files.belongs import Belongs, belongs, in_home, odd_place, outer_root, some
from ..files.gathered import Lending
from ..files.walk import unseen, walked
from ..interface import Confidence, Evidence, Found, Item, Known, Moment, Verdict, text, word
from ..scene import Scene

TECHNIQUE: Final = "T1548.001"
MEANS: Final = (
    "Whoever runs this file acts with the rights of its owner: a way back to root that needs no password."
)
NEXT: Final = (
    "Copy the file away as evidence with its times (cp --preserve=all), compare it with another host, "
    "and only "
    "then take the bit away (chmod u-s,g-s; setcap -r). Look for what happened at the time of its change."
)
LARGEST: Final = 32 * 1024**2

INTERPRETERS: Final = tuple(
    b"/usr/bin/" + name
    for name in (
        b"sh", b"bash", b"dash", b"zsh", b"ksh", b"mksh", b"csh", b"tcsh", b"fish", b"busybox", b"python3",
        b"perl", b"ruby", b"lua", b"awk", b"gawk", b"mawk", b"env", b"find", b"vim", b"nano", b"less", b"tar",
        b"nc", b"gdb", b"node", b"php", b"cp", b"dd", b"cat", b"tclsh", b"expect", b"socat",
        b"vi", b"vim.basic", b"vim.tiny", b"nvim", b"emacs", b"ed", b"sed", b"head", b"tail", b"tac", b"tee",
        b"od", b"base64", b"cpio", b"rsync", b"mv", b"install", b"chmod", b"chown", b"xargs", b"strace",
    )
)  # fmt: skip
"""Programs that do whatever they are told: with another's rights each is that one's shell."""

USUAL: Final = frozenset(
    b"arping at batch bwrap chage chfn chrome-sandbox chsh clockdiff crontab dbus-daemon-launch-helper"
    b" dma dmcrypt-get-device doas dumpcap exim4 expiry firejail fping fping6 fusermount fusermount3"
    b" gpasswd gst-ptp-helper keysign lppasswd mount mount.cifs mount.davfs mount.ecryptfs_private"
    b" mount.nfs mtr-packet ndisc6 newgidmap newgrp newuidmap ntfs-3g pam_extrausers_chkpwd passwd ping"
    b" ping4 ping6 pkexec polkit-agent-helper-1 pppd procmail qemu-bridge-helper rdisc6 rltraceroute6"
    b" sendmail sg slirp snap-confine snap-update-ns spice-client-glib-usb-acl-helper ssh-keysign"
    b" starter-suid su sudo sudoedit tracepath traceroute6.iputils ubuntu-core-launcher umount"
    b" unix_chkpwd usernetctl VBoxHeadless VBoxNetAdpCtl VBoxNetDHCP VBoxNetNAT VBoxSDL VirtualBoxVM"
    b" vmware-user-suid-wrapper Xorg.wrap".split()
)
"""Programs to which packages of Debian give the rights of root, by name."""

STRONG: Final = frozenset(
    [
        "cap_setuid",
        "cap_setgid",
        "cap_dac_override",
        "cap_dac_read_search",
        "cap_chown",
        "cap_fowner",
        "cap_sys_admin",
        "cap_sys_ptrace",
        "cap_sys_module",
        "cap_sys_rawio",
        "cap_setfcap",
        "cap_mknod",
        "cap_bpf",
    ]
)
"""Capabilities that make root of a program, in one step or two."""


def look(scene: Scene) -> Iterator[Found]:
    """Every such file, and what is to be thought of it."""
    found = walked(scene)
    owned = belongs(scene, [one.fact.path for one in found.lending])
    shells = interpreters(scene) if found.lending else {}
    roots: dict[bytes, list[Lending]] = {}
    for one in sorted(found.lending, key=lambda lending: lending.fact.path):
        path = one.fact.path
        shell = shells.get(one.fact.sha256 or b"", "")
        root = outer_root(scene, path) if owned[path].owner is None and not shell else b""
        if root:
            roots.setdefault(root, []).append(one)
            continue
        item = judge(scene, one, owned[path], shell)
        yield item
        if item.verdict >= Verdict.NOTABLE and one.fact.ctime / 1e9 >= scene.since:
            yield Moment(
                one.fact.ctime / 1e9, "file",
                f"{item.name} was given the bit that lends rights, or was changed while it had it",
                f"ctime of {item.name}", Confidence.LIKELY, item.verdict, known=item.known,
            )  # fmt: skip
    for root, files in roots.items():
        yield another_system(root, files)
    if layered := found.counts["layers-setid"]:
        says = f"{layered} set-uid files in the image layers of containers, which belong to other systems"
        yield Item("container layers", Verdict.FINE, says, details={"files": layered})
    if (more := found.counts["lending"] - len(found.lending)) > 0:
        says = f"{counted(more, 'more file lends', 'more files lend')} rights than those that are shown"
        yield Item("more set-id files", Verdict.SUSPICIOUS, says, "So many hide one among them.", NEXT)
    yield from unseen(scene)


def interpreters(scene: Scene) -> Mapping[bytes, str]:
    """The programs that do whatever they are told, by digest."""
    found: dict[bytes, str] = {}
    shells = scene.host.texts.read(b"/etc/shells", 64 * 1024).data or b""
    named = [line.strip() for line in shells.split(b"\n") if line.startswith(b"/")]
    files = scene.host.files
    for path in dict.fromkeys((*INTERPRETERS, *named[:64])):
        try:
            folder, name = split(files.real(path))
            with files.open_folder(folder) as opened:
                row = opened.entry(name)
                deep = opened.deep(row, scene.stop, largest=LARGEST) if row is not None else None
        except OSError:
            continue
        if deep is not None and isinstance(deep.row[12], bytes) and deep.row[5]:
            found.setdefault(deep.row[12], text(path))
    return found


def judge(scene: Scene, one: Lending, owner: Belongs, shell: str) -> Item:
    """The item of one file. `shell`: the program whose copy it is."""
    fact = one.fact
    known = scene.known(fact)
    verdict, reasons = verdict_of(scene, one, owner, shell, known)
    name = text(fact.path)
    rights = rights_of(fact, scene)
    says = f"{name} lends {rights}; {owner.says}"
    if reasons:
        says += ": " + ", ".join(reasons)
    fine = verdict is Verdict.FINE
    return Item(
        name, verdict, says, "" if fine else MEANS, "" if fine else NEXT, known, TECHNIQUE,
        {
            "mode": mode(fact.mode), "owner": scene.user(fact.uid), "gid": fact.gid, "size": fact.size,
            "changed": moment(fact.ctime), "modified": moment(one.mtime), "rights": rights,
            "sha256": fact.sha256.hex() if fact.sha256 else "",
            "package": owner.owner.package if owner.owner else "",
        },
        (
            Evidence(
                f"stat {word(name)}", f"{mode(fact.mode)} {scene.user(fact.uid)} ctime {moment(fact.ctime)}"
            ),
        ),
    )  # fmt: skip


def rights_of(fact: SetIdFact, scene: Scene) -> str:
    """Which rights it lends, in words."""
    found = []
    if fact.mode & stat.S_ISUID:
        found.append(f"the rights of {scene.user(fact.uid)} (set-uid)")
    if fact.mode & stat.S_ISGID and fact.mode & stat.S_IXGRP:
        found.append(f"those of group {fact.gid} (set-gid)")
    if fact.caps:
        found.append(f"capabilities ({capabilities(fact.caps)})")
    return " and ".join(found) or "rights"


def verdict_of(
    scene: Scene, one: Lending, owner: Belongs, shell: str, known: Known
) -> tuple[Verdict, list[str]]:
    """What is to be thought of it, and why as clauses."""
    fact = one.fact
    path = fact.path
    root = fact.uid == 0 and fact.mode & stat.S_ISUID != 0
    strong = bool(fact.caps) and bool(
        STRONG & set(capabilities(fact.caps or b"").replace("=", ",").split(","))
    )
    verdict, reasons = Verdict.FINE, []

    def told(worse: Verdict, reason: str) -> None:
        nonlocal verdict
        verdict = max(verdict, worse)
        reasons.append(reason)

    if shell:
        told(Verdict.SUSPICIOUS, f"it is {shell}, which does whatever it is told")
    if one.image:
        told(Verdict.FINE, "it lies in a read-only image mounted here")
        return verdict, reasons
    if owner.owner is None:
        place = odd_place(scene, path)
        if place and not in_home(scene, path):
            told(Verdict.SUSPICIOUS, f"it {place}")
        elif place:
            told(Verdict.SUSPICIOUS if root or strong else Verdict.NOTABLE, f"it {place}")
        if owner.stray and (root or strong):
            told(Verdict.SUSPICIOUS, "nothing that is installed has a reason for it")
        elif verdict < Verdict.SUSPICIOUS:
            told(Verdict.NOTABLE, "an administrator may have put it there")
        if script_of(scene, fact):
            told(Verdict.SUSPICIOUS if root else Verdict.NOTABLE, "it is a script")
    elif {"content", "type"} & set(owner.changed):
        told(Verdict.SUSPICIOUS, "it is not the program that was packaged")
    elif {"mode", "owner", "capabilities"} & set(owner.changed):
        told(Verdict.SUSPICIOUS if root or strong else Verdict.NOTABLE, "the package gives it no such rights")
    elif known is Known.NEW:
        told(Verdict.NOTABLE, "it lent none when the baseline was approved")
    elif (root or strong) and _unsaid(scene, path):
        told(Verdict.NOTABLE, "dpkg keeps no modes, and few packages give such rights")
    if one.problem:
        reasons.append(f"what it holds {one.problem}")
    if one.nosuid:
        reasons.append("mounted nosuid, so that it has no effect at this place")
    return verdict, reasons


def _unsaid(scene: Scene, path: bytes) -> bool:
    """Whether the package manager cannot say that a file of its own has these rights by its package."""
    return scene.packages.name == "dpkg" and split(path)[1] not in USUAL


def script_of(scene: Scene, fact: SetIdFact) -> bool:
    """Whether it begins as scripts do. The kernel ignores the bit on these; some interpreters do not."""
    folder, name = split(fact.path)
    try:
        with scene.host.files.open_folder(folder) as opened:
            return opened.head(name, 2) == b"#!"
    except OSError:
        return False


def another_system(root: bytes, files: list[Lending]) -> Item:
    """The files of what looks like another system's root."""
    name = text(root)
    says = f"{counted(len(files), 'file lends', 'files lend')} rights below {name}, which looks like another "
    says += "system's root"
    return Item(
        f"another system in {name}",
        Verdict.NOTABLE,
        says,
        "A chroot or an unpacked image has such files of its own; who can reach it here can run them.",
        f"Know who made {name} and what for. Let only root enter it (chmod 0700 {word(name)}).",
        technique=TECHNIQUE,
        details={"files": len(files), "paths": some(one.fact.path for one in files)},
        evidence=(Evidence(f"find {word(name)} -perm /6000", counted(len(files), "file")),),
    )
