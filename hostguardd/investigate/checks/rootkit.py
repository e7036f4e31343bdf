"""The signs of a root kit: what is loaded into every program or into the kernel, and tools that lie.

The guide points to a page on root kits, which come in three kinds: libraries that are preloaded into every
program, modules and eBPF programs in the kernel, and replaced tools. Each is looked for where it must hold
fast, by ways that the kind in question does not cover: the kernel's own lists are compared with each
other, and tools with their packages.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping
from typing import Final

from ...model import ModuleFact, MountFact, SettingFact, path_traits
from ...packages.interface import Departure
from ...sensors.modules import parse as parse_modules
from ...sensors.signs import PRELOADS
from .. import kits
from .. import programs as kith
from ..interface import Evidence, Found, Item, Unseen, Verdict, text
from ..scene import SUDO, Scene

PRELOAD: Final = b"/etc/ld.so.preload"
SMALL: Final = 64 * 1024
SYMBOLS: Final = 64 * 1024 * 1024
"""Bytes of /proc/kallsyms that are read: 16 MiB on a large kernel."""

NEXT: Final = (
    "Trust no program of this host: save disk and memory from outside (a snapshot, or its disk in another "
    "host) before anything else, and do not reboot."
)
MEANS: Final = {
    "preload": "A library named here is loaded into every program, sshd and ps included: it sees and hides.",
    "linker": "Whoever may put a library into a folder that is searched puts code into every program.",
    "module": "What is in the kernel can hide files, processes and connections from everything on this host.",
    "taint": "The kernel keeps these marks until it is booted anew; a root kit in it leaves some of them.",
    "helper": "The kernel itself runs this program as root, without any process having asked for it.",
    "mount": "What is mounted over something hides it, and puts other content in its place.",
    "bpf": "Pinned eBPF programs stay in the kernel although no process holds them: they hide and redirect.",
    "listen": "The interface hands over what is meant for other hosts: passwords, sessions.",
    "kit": "A file of this name belongs to a known root kit, back door or miner.",
    "tool": "With this tool one looks for intruders, or logs in: it is what a root kit replaces first.",
    "self": "Something was put into the very process that looks here: what it says is in doubt.",
}


def look(scene: Scene) -> Iterator[Found]:
    """Every sign of a root kit."""
    for part in (_preload, _preloaded, _linker, _taints, _modules, _symbols, _helpers, _ours, _pinned,
                 _mounts, _listening, _files, _tools):  # fmt: skip
        yield from part(scene)
        if scene.stop():
            return
    yield from scene.blind(ModuleFact)
    yield from scene.blind(MountFact)


def _bad(
    name: str,
    verdict: Verdict,
    says: str,
    means: str,
    technique: str,
    evidence: Evidence,
    then: str = "",
    **more: object,
) -> Item:
    return Item(
        name,
        verdict,
        says,
        MEANS[means],
        then or NEXT,
        technique=technique,
        details=more,
        evidence=(evidence,),
    )


# -- the dynamic linker ------------------------------------------------------------------------------


def _preload(scene: Scene) -> Iterator[Found]:
    plain, raw = scene.host.views.texts(PRELOAD)
    lines = (line.partition(b"#")[0] for line in (raw + b"\n" + plain).split(b"\n"))
    libraries = list(dict.fromkeys(word for line in lines for word in line.replace(b":", b" ").split()))
    if not libraries:
        yield Item("/etc/ld.so.preload", Verdict.FINE, "no library is preloaded into every program")
        return
    owners = scene.packages.owners(libraries)
    for library in libraries[:100]:
        honest = PRELOADS.fullmatch(library.rpartition(b"/")[2]) is not None and (
            library in owners or not scene.packages.name
        )
        says = f"{text(library, 300)} is loaded into every program that starts"
        owner = f", and is of the package {owners[library].package}" if library in owners else ""
        hides = ", and programs are not shown so" if library not in plain else ""
        yield _bad(
            f"/etc/ld.so.preload {text(library, 300)}",
            Verdict.NOTABLE if honest else Verdict.SUSPICIOUS,
            f"{says}{owner}{hides}",
            "preload",
            "T1574.006",
            Evidence("/etc/ld.so.preload", text(raw or plain, 400)),
        )


def _preloaded(scene: Scene) -> Iterator[Found]:
    """LD_PRELOAD and LD_AUDIT in the environments of what runs, by library."""
    found: dict[bytes, list[int]] = {}
    odd: set[bytes] = set()
    for pid, signs in scene.signs.items():
        for word, about in signs:
            if word in ("preload", "preload-odd", "preload-known"):
                found.setdefault(about, []).append(pid)
                if word == "preload-odd":
                    odd.add(about)
    for setting, pids in sorted(found.items())[:100]:
        bad = setting in odd
        count = f"{len(pids)} processes" if len(pids) > 1 else f"pid {pids[0]}"
        yield _bad(
            f"environment {text(setting, 300)}",
            Verdict.SUSPICIOUS if bad else Verdict.NOTABLE,
            f"{count} began with {text(setting, 300)}" + (", from where no library belongs" if bad else ""),
            "preload",
            "T1574.006",
            Evidence(f"/proc/{pids[0]}/environ", text(setting, 300)),
            "Find out who started them so (their parents, their units), and which package the library is of.",
            pids=pids[:20],
        )


def _linker(scene: Scene) -> Iterator[Found]:
    """Folders that the linker searches, by ld.so.conf and what it includes."""
    texts = scene.host.texts
    names = texts.names(b"/etc/ld.so.conf.d", 1000) or []
    files = [b"/etc/ld.so.conf", *(b"/etc/ld.so.conf.d/" + name for name in names if name.endswith(b".conf"))]
    for path in files:
        lines = (texts.read(path, SMALL).data or b"").split(b"\n")
        for number, line in enumerate(lines, 1):
            folder = line.partition(b"#")[0].strip()
            if not folder.startswith(b"/"):
                continue
            why = _is_odd_folder(scene, folder)
            if why:
                yield _bad(
                    f"{text(path)} {text(folder, 300)}",
                    Verdict.SUSPICIOUS,
                    f"{text(path)} lets every program load libraries from {text(folder, 300)}, {why}",
                    "linker",
                    "T1574.006",
                    Evidence(f"{text(path)}:{number}", text(line, 300)),
                )


def _is_odd_folder(scene: Scene, folder: bytes) -> str:
    traits = path_traits(folder.rstrip(b"/") + b"/")
    if "temporary" in traits:
        return "where anybody may write"
    if "hidden" in traits:
        return "which is hidden"
    seen = scene.host.texts.lstat(folder)
    if seen is not None and stat.S_ISDIR(seen.st_mode) and seen.st_mode & 0o002:
        return "where anybody may write"
    if folder.startswith((b"/home/", b"/dev/", b"/run/")):
        return "where no system library lies"
    return ""


# -- the kernel ----------------------------------------------------------------------------------------

TAINTS: Final[Mapping[bytes, Verdict]] = {
    b"F": Verdict.SUSPICIOUS,
    **dict.fromkeys((b"P", b"R", b"B", b"U", b"D", b"A", b"O", b"E", b"K", b"N", b"J"), Verdict.NOTABLE),
}
"""Marks that are more than a remark, by letter."""


def _taints(scene: Scene) -> Iterator[Found]:
    facts = [
        one for one in scene.facts(SettingFact) if one.topic == "kernel" and one.name.startswith(b"taint ")
    ]
    if not facts:
        if not scene.host.kernel.blind:
            yield Item("kernel taint", Verdict.FINE, "the kernel bears no taint")
        return
    carried = b"".join(one.taint for one in scene.facts(ModuleFact))
    for fact in facts:
        letter = fact.name.removeprefix(b"taint ")
        verdict = TAINTS.get(letter, Verdict.FINE)
        says = f"the kernel bears the mark {text(letter)}: {text(fact.detail)}"
        if letter in (b"O", b"E", b"P", b"F") and letter not in carried:
            says += "; no module that is listed bears it: it was unloaded since, or it hides"
        evidence = Evidence("/proc/sys/kernel/tainted", text(fact.detail))
        if verdict is Verdict.FINE:
            yield Item(text(fact.label), verdict, says, known=scene.known(fact), evidence=(evidence,))
        else:
            then = (
                "dmesg tells which module or event it was and when; ask who runs this host if it is theirs."
            )
            yield _bad(text(fact.label), verdict, says, "taint", "T1547.006", evidence, then)


ABOUT: Final = {"unsigned": "unsigned", "foreign": "from outside the kernel's tree"}


def _modules(scene: Scene) -> Iterator[Found]:
    facts = scene.facts(ModuleFact)
    loud = 0
    for fact in facts:
        name = f"module {text(fact.name)}"
        evidence = Evidence("/proc/modules", text(fact.name + b" " + fact.taint))
        traits = fact.traits()
        if fact.name in kits.MODULES:
            kit = kits.MODULES[fact.name]
            says = f"the module {text(fact.name)} bears the name of the root kit {kit}"
            yield _bad(name, Verdict.SUSPICIOUS, says, "module", "T1014", evidence)
        elif "hidden" in traits:
            shown, hides = (
                ("/proc/modules", "/sys/module") if fact.seen == "list" else ("/sys/module", "/proc/modules")
            )
            says = f"the module {text(fact.name)} is shown by {shown} and kept out of {hides}"
            yield _bad(name, Verdict.SUSPICIOUS, says, "module", "T1014", Evidence(shown, text(fact.name)))
        elif "forced" in traits:
            says = f"the module {text(fact.name)} was loaded by force, against the kernel's version"
            yield _bad(name, Verdict.SUSPICIOUS, says, "module", "T1547.006", evidence)
        elif traits & {"foreign", "unsigned"}:
            words = " and ".join(word for trait, word in ABOUT.items() if trait in traits)
            then = "modinfo names its file; know which package or driver (DKMS) brought it."
            says = f"the module {text(fact.name)} is {words}"
            yield _bad(name, Verdict.NOTABLE, says, "module", "T1547.006", evidence, then)
        else:
            continue
        loud += 1
    if facts and not loud:
        yield Item(
            "kernel modules", Verdict.FINE, f"{len(facts)} modules are loaded, all of them the kernel's own"
        )


_MODULE = re.compile(rb"\t\[([\w-]+)\]$", re.MULTILINE)
_PROGRAM = re.compile(rb" bpf_prog_[0-9a-f]{16}(?:_(\w+))?\t\[bpf\]$", re.MULTILINE)
NO_MODULES: Final = frozenset({b"bpf", b"__builtin__ftrace", b"__builtin__kprobes"})


def _symbols(scene: Scene) -> Iterator[Found]:
    """Modules that the table of symbols knows and the list does not; and the eBPF programs in it."""
    kernel = scene.host.kernel
    data, problem = kernel.text(b"/proc/kallsyms", SYMBOLS)
    if data is None:
        if problem:
            yield Unseen("kernel symbols", f"/proc/kallsyms: {problem}", "" if scene.is_root else SUDO)
        return
    named = set(_MODULE.findall(data)) - NO_MODULES
    if named and kernel.text(b"/proc/modules").data is not None:
        for name in sorted(named - _listed(scene))[:100]:
            says = f"the kernel's symbols name the module {text(name)}, which /proc/modules does not list"
            yield _bad(f"module {text(name)}", Verdict.SUSPICIOUS, says, "module", "T1014",
                       Evidence("/proc/kallsyms", f"[{text(name)}]"))  # fmt: skip
    programs = sorted({text(one, 60) or "without a name" for one in _PROGRAM.findall(data)})
    if programs:
        says = f"eBPF programs run in the kernel: {', '.join(programs[:12])}"
        yield Item("eBPF programs", Verdict.FINE, says, details={"programs": programs[:200]},
                   evidence=(Evidence("/proc/kallsyms", "bpf_prog_…"),))  # fmt: skip


def _listed(scene: Scene) -> set[bytes]:
    """The modules by the list as it is now, and as it was when it was swept: they come and go."""
    now = {one.name for one in parse_modules(scene.host.kernel.text(b"/proc/modules").data or b"")}
    return now | {one.name for one in scene.facts(ModuleFact)}


HELPERS: Final = (
    b"kernel.core_pattern", b"kernel.modprobe", b"kernel.hotplug", b"kernel.poweroff_cmd", b"uevent_helper",
)  # fmt: skip
USUAL: Final = frozenset(
    folder + name
    for folder in (b"/sbin/", b"/usr/sbin/", b"/bin/", b"/usr/bin/")
    for name in (b"modprobe", b"poweroff", b"hotplug", b"true", b"false")
)


def _helpers(scene: Scene) -> Iterator[Found]:
    """Programs that the kernel starts by itself, and interpreters of formats."""
    facts = [
        one
        for one in scene.facts(SettingFact)
        if one.topic == "sysctl" and (one.name in HELPERS or one.name.startswith(b"binfmt "))
    ]
    runs: dict[bytes, SettingFact] = {}
    for fact in facts:
        program = fact.value.removeprefix(b"|").split(b" ", 1)[0]
        piped = fact.name != b"kernel.core_pattern" or fact.value.startswith(b"|")
        if program.startswith(b"/") and piped:
            runs.setdefault(program, fact)
    owners = scene.packages.owners(runs.keys()) if runs else {}
    for program, fact in sorted(runs.items()):
        owned = program in owners if scene.packages.name and not scene.packages.problem else None
        why, verdict = "", Verdict.FINE
        if path_traits(program) or program.startswith(kith.NEVER):
            why, verdict = ", where no such program belongs", Verdict.SUSPICIOUS
        elif owned is False and program not in USUAL:
            bad = fact.name in (
                b"kernel.modprobe",
                b"kernel.core_pattern",
                b"uevent_helper",
                b"kernel.hotplug",
            )
            mine = program.startswith(kith.ADMINISTRATORS)
            verdict = Verdict.SUSPICIOUS if bad and not mine else Verdict.NOTABLE
            why = ", which no package owns"
        says = f"the kernel runs {text(program, 300)} by {text(fact.name, 100)}{why}"
        evidence = Evidence(f"/proc/sys/{text(fact.name, 100).replace('.', '/')}", text(fact.value, 300))
        if verdict is Verdict.FINE:
            yield Item(text(fact.label), verdict, says, known=scene.known(fact), evidence=(evidence,))
        else:
            yield _bad(text(fact.label), verdict, says, "helper", "T1547.006", evidence)


def _ours(scene: Scene) -> Iterator[Found]:
    """What was put into our own process."""
    for fact in scene.facts(SettingFact):
        if fact.topic == "self":
            bad = fact.name == b"tracer" or fact.name.startswith((b"library ", b"environment LD_PRELOAD"))
            yield _bad(
                text(fact.label, 300),
                Verdict.SUSPICIOUS if bad else Verdict.NOTABLE,
                f"in this very process: {text(b' '.join((fact.name, fact.value, fact.detail)), 600)}",
                "self",
                "T1055" if bad else "",
                Evidence("/proc/self", text(fact.detail, 200)),
                "" if bad else "Start it anew with a clean environment (env -i) and compare.",
            )


PINNERS: Final = frozenset(
    b"ip tc xdp snap systemd cilium calico firewalld netavark libvirt progs maps globals bpfman".split()
)
"""Names in /sys/fs/bpf that system tools make: iproute2, snapd, systemd, and network layers of containers."""


def _pinned(scene: Scene) -> Iterator[Found]:
    names = scene.host.kernel.names(b"/sys/fs/bpf")
    if names is None:
        if not scene.is_root and scene.host.kernel.exists(b"/sys/fs/bpf"):
            yield Unseen("pinned eBPF programs", "/sys/fs/bpf may not be listed by this account", SUDO)
        return
    for name in sorted(names)[:200]:
        if name not in PINNERS:
            path = f"/sys/fs/bpf/{text(name, 200)}"
            then = "bpftool -f prog shows what it is; know which service pinned it."
            yield _bad(path, Verdict.NOTABLE, f"something is pinned in the kernel as {path}", "bpf", "T1014",
                       Evidence("ls /sys/fs/bpf"), then)  # fmt: skip


# -- mounts and interfaces -----------------------------------------------------------------------------

COVERED: Final = (
    b"/usr/bin", b"/usr/sbin", b"/bin", b"/sbin", b"/lib", b"/lib64", b"/usr/lib", b"/usr/lib64",
    b"/usr/libexec", b"/etc/passwd", b"/etc/shadow", b"/etc/group", b"/etc/sudoers", b"/etc/sudoers.d",
    b"/etc/ssh", b"/etc/pam.d", b"/etc/ld.so.preload", b"/etc/ld.so.cache", b"/etc/cron.d", b"/etc/crontab",
)  # fmt: skip
"""What nobody mounts over: these, and what lies below them but the folders of `MOUNTABLE`."""

MOUNTABLE: Final = re.compile(
    rb"/(?:usr/)?lib(?:64)?/(?:modules|firmware|locale|debug|live|wsl|node_modules|sysimage)(?:/.*)?"
    rb"|/usr/lib(?:64)?/x86_64-linux-gnu/(?:lib(?:cuda|nvidia)|nvidia|GL).*"  # what NVIDIA lends a container
)


def _mounts(scene: Scene) -> Iterator[Found]:
    whole = 0
    for fact in scene.facts(MountFact):
        evidence = Evidence(
            "/proc/self/mountinfo", text(fact.fstype + b" " + fact.source + b" " + fact.root, 300)
        )
        point = text(fact.point, 300)
        if fact.place == "process":
            says = f"{text(fact.fstype)} is mounted over {point}: that process is hidden behind it"
            yield _bad(f"mount {point}", Verdict.SUSPICIOUS, says, "mount", "T1564.013", evidence)
        elif _covers(fact):
            source = f"{text(fact.fstype)} {text(fact.root, 200)}"
            says = f"{source} is mounted over {point}: what lies there is not seen"
            yield _bad(f"mount {point}", Verdict.SUSPICIOUS, says, "mount", "T1564.013", evidence)
        else:
            whole += 1
    if whole:
        yield Item("mounts", Verdict.FINE, f"{whole} mounts cover no process and no system folder")


def _covers(fact: MountFact) -> bool:
    """Whether something lies over the system's own files: a part of a file system, or one in memory."""
    if not any(fact.point == top or fact.point.startswith(top + b"/") for top in COVERED):
        return False
    if MOUNTABLE.fullmatch(fact.point) or fact.fstype in (b"autofs", b"squashfs", b"erofs"):
        return False
    return (
        "bind" in fact.traits()
        or fact.fstype in (b"tmpfs", b"ramfs", b"overlay")
        or fact.fstype[:4] == b"fuse"
    )


def _listening(scene: Scene) -> Iterator[Found]:
    for fact in scene.facts(SettingFact):
        if fact.topic == "interface":
            name = text(fact.name, 60)
            then = "The packet sockets among the listeners tell which program; ask who runs it, and what for."
            says = f"the interface {name} was made to hear what is not meant for this host"
            evidence = Evidence("ip -d link", text(fact.detail, 200))
            yield _bad(f"interface {name}", Verdict.NOTABLE, says, "listen", "T1040", evidence, then)


# -- files ---------------------------------------------------------------------------------------------


def _files(scene: Scene) -> Iterator[Found]:
    """Files of known names. One that a package brought is none of theirs."""
    there = [path for path in kits.PATHS if scene.host.texts.lstat(path) is not None]
    owners = scene.packages.owners(there) if there else {}
    found = [path for path in there if path not in owners]
    for path in sorted(found):
        says = f"{text(path)} is there, as the kit {kits.PATHS[path]} has it"
        yield _bad(text(path), Verdict.SUSPICIOUS, says, "kit", "T1014", Evidence(f"ls -lad {text(path)}"),
                   kit=kits.PATHS[path])  # fmt: skip
    if not found:
        says = f"none of {len(kits.PATHS)} names is there that known root kits and back doors leave"
        yield Item("known root kits", Verdict.FINE, says)


TOOLS: Final = tuple(
    folder + name
    for folder in (b"/usr/bin/", b"/usr/sbin/", b"/bin/", b"/sbin/")
    for name in (
        b"ls", b"ps", b"netstat", b"ss", b"top", b"find", b"du", b"stat", b"lsof", b"login", b"sshd", b"ssh",
        b"su", b"sudo", b"who", b"w", b"last", b"lastb", b"passwd", b"ip", b"ifconfig", b"kill", b"pgrep",
        b"crontab", b"bash", b"dash", b"lsmod", b"modprobe", b"journalctl", b"systemctl", b"rpm", b"dpkg",
        b"md5sum", b"sha256sum", b"grep", b"strings", b"env", b"agetty", b"rsyslogd", b"auditd",
        b"unix_chkpwd",
    )
)  # fmt: skip
"""What a root kit replaces: the tools one looks with, and the doors one comes in by."""

SERIOUS: Final = frozenset({"missing", "type", "content", "size", "owner", "link", "capabilities"})


def _tools(scene: Scene) -> Iterator[Found]:
    """Those tools against their packages."""
    if not scene.packages.name or scene.packages.problem:
        return
    there = {path for path in TOOLS if scene.host.texts.lstat(path) is not None}
    owned = scene.packages.owners(there)
    wrong = 0
    for one in scene.packages.verify(scene.stop, set(owned)):
        if not isinstance(one, Departure):
            yield scene.unseen(one)
        elif SERIOUS.intersection(one.changed) and not one.diverted and not one.owner.config:
            wrong += 1
            says = f"{text(one.path)} is not as {one.owner.package} brought it: {', '.join(one.changed)}"
            evidence = Evidence(f"{scene.packages.name} --verify", one.detail)
            yield _bad(text(one.path), Verdict.SUSPICIOUS, says, "tool", "T1554", evidence,
                       package=one.owner.package)  # fmt: skip
    if owned and not wrong and not scene.stop():
        yield Item(
            "system tools", Verdict.FINE, f"{len(owned)} tools for looking and logging in are as packaged"
        )
