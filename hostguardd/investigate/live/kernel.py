"""What was put into the kernel: its marks, its modules and programs, and what it runs by itself.

The rule kept: no list of the kernel's is believed alone. The modules of /proc/modules are held against
/sys/module (by the sensor) and against the table of symbols; a mark that no module bears is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from ...model import ModuleFact, SettingFact, path_traits
from ...sensors.modules import parse as parse_modules
from ...words.interface import counted
from ..interface import Evidence, Found, Item, Unseen, Verdict, text
from ..scene import SUDO, Scene
from . import kits
from . import programs as kith
from .kits import sign

SYMBOLS: Final = 64 * 1024 * 1024
"""Bytes of /proc/kallsyms that are read: 16 MiB on a large kernel."""


def look(scene: Scene) -> Iterator[Found]:
    """All of it."""
    for part in (_taints, _modules, _symbols, _helpers, _pinned):
        yield from part(scene)


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
            yield sign(text(fact.label), verdict, says, "taint", "T1547.006", evidence, then)


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
            yield sign(name, Verdict.SUSPICIOUS, says, "module", "T1014", evidence)
        elif "hidden" in traits:
            shown, hides = (
                ("/proc/modules", "/sys/module") if fact.seen == "list" else ("/sys/module", "/proc/modules")
            )
            says = f"the module {text(fact.name)} is shown by {shown} and kept out of {hides}"
            yield sign(name, Verdict.SUSPICIOUS, says, "module", "T1014", Evidence(shown, text(fact.name)))
        elif "forced" in traits:
            says = f"the module {text(fact.name)} was loaded by force, against the kernel's version"
            yield sign(name, Verdict.SUSPICIOUS, says, "module", "T1547.006", evidence)
        elif traits & {"foreign", "unsigned"}:
            words = " and ".join(word for trait, word in ABOUT.items() if trait in traits)
            then = "modinfo names its file; know which package or driver (DKMS) brought it."
            says = f"the module {text(fact.name)} is {words}"
            yield sign(name, Verdict.NOTABLE, says, "module", "T1547.006", evidence, then)
        else:
            continue
        loud += 1
    if facts and not loud:
        yield Item(
            "kernel modules",
            Verdict.FINE,
            f"{counted(len(facts), 'module is', 'modules are')} loaded, and none but the kernel's own",
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
            yield sign(f"module {text(name)}", Verdict.SUSPICIOUS, says, "module", "T1014",
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
            yield sign(text(fact.label), verdict, says, "helper", "T1547.006", evidence)


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
            yield sign(path, Verdict.NOTABLE, f"something is pinned in the kernel as {path}", "bpf", "T1014",
                       Evidence("ls /sys/fs/bpf"), then)  # fmt: skip
