"""Names that known root kits, back doors and miners leave: path or module, and the family's name. Pure.

A list of names finds only who does not care to change them. Each stands in the published lists of the
scanners that look for root kits, or in a report on the family, and none is one that a distribution or a
well-known program has: Ebury's libkeyutils.so.1.9, say, is left out, since keyutils itself came to bear it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..interface import Evidence, Item, Verdict

PATHS: Final[Mapping[bytes, str]] = {
    # Preloaded libraries.
    b"/xochikit": "Jynx",
    b"/omgxochi": "Jynx",
    b"/var/local/^^": "Jynx",
    b"/XxJynx": "Jynx2",
    b"/etc/ld.so.hash": "SunOS kit",
    b"/lib/libext-2.so.7": "SunOS kit",
    b"/usr/local/lib/libprocesshider.so": "libprocesshider",
    b"/usr/lib/libprocesshider.so": "libprocesshider",
    b"/lib/libntpVnQE6mk": "OrBit",
    b"/lib/selinux.so.3": "Father",
    # Kernel modules and what they keep.
    b"/reptile": "Reptile",
    b"/proc/knark": "Knark",
    b"/dev/.pizda": "Knark",
    b"/dev/.adore": "Adore",
    b"/usr/lib/.adore": "Adore",
    b"/etc/.enyelkmOCULTAR.ko": "Enye LKM",
    b"/usr/_h4x_": "KBeast",
    b"/sbin/initsk12": "SucKIT",
    b"/sbin/initxrk": "SucKIT",
    b"/etc/.MG": "SucKIT",
    b"/usr/share/locale/sk/.sk12": "SucKIT",
    b"/dev/sdhu0/tehdrakg": "SucKIT",
    # Kits of replaced tools.
    b"/usr/src/.puta": "t0rn",
    b"/usr/info/.t0rn": "t0rn",
    b"/usr/include/lidps.h": "t0rn's kin",
    b"/usr/include/syslogs.h": "t0rn's kin",
    b"/dev/ptyxx": "Ark",
    b"/dev/.lib": "Lion",
    b"/dev/tux": "Tuxkit",
    b"/usr/bin/xchk": "Tuxkit",
    b"/bin/xlogin": "LRK's kin",
    b"/lib/ldd.so/bktools": "Beastkit",
    b"/lib/lidps1.so": "Beastkit and SHV5",
    b"/etc/rc.d/rsha": "ShKit",
    b"/usr/lib/libsh/.sniff": "SHV5",
    b"/lib/libsh.so/bash": "SHV5",
    b"/usr/lib/elm/arobia": "Arobia",
    b"/usr/lib/vold/nsdap": "NSDAP",
    b"/dev/prom/sn.l": "NSDAP",
    # Back doors, bots and miners.
    b"/lib64/libns2.so": "Ebury",
    b"/lib64/libns5.so": "Ebury",
    b"/usr/include/gpm2.h": "a back door in sshd",
    b"/usr/bin/.sshd": "BillGates",
    b"/usr/bin/bsd-port/getty": "BillGates",
    b"/tmp/gates.lod": "BillGates",
    b"/tmp/moni.lod": "BillGates",
    b"/etc/init.d/DbSecuritySpt": "BillGates",
    b"/lib/libudev.so.6": "XorDDoS",
    b"/lib/libgcc4.so": "XorDDoS",
    b"/etc/cron.hourly/gcc.sh": "XorDDoS",
    b"/tmp/.bugtraq.c": "Slapper",
    b"/tmp/.cinik": "Cinik",
    b"/tmp/kdevtmpfsi": "Kinsing",
    b"/var/tmp/kinsing": "Kinsing",
    b"/tmp/kinsing": "Kinsing",
    b"/etc/kinsing": "Kinsing",
    b"/etc/data/kinsing": "Kinsing",
    b"/usr/bin/kaudited": "Skidmap",
    b"/usr/bin/perfcc": "perfctl",
    b"/usr/bin/wizlmsh": "perfctl",
    b"/usr/lib/libpprocps.so": "perfctl",
    b"/usr/lib/libfsnldev.so": "perfctl",
    b"/tmp/.xdiag": "perfctl",
    b"/dev/shm/kdmtmpflush": "BPFDoor",
    b"/var/run/haldrund.pid": "BPFDoor",
    b"/var/run/kdevrund.pid": "BPFDoor",
}

MODULES: Final[Mapping[bytes, str]] = {
    b"adore": "Adore",
    b"adore_ng": "Adore-ng",
    b"diamorphine": "Diamorphine",
    b"enyelkm": "Enye LKM",
    b"ipsecs_kbeast_v1": "KBeast",
    b"knark": "Knark",
    b"kovid": "KoviD",
    b"nuk3gh0st": "Nuk3 Gh0st",
    b"puszek": "Puszek",
    b"reptile": "Reptile",
    b"reptile_module": "Reptile",
    b"suterusu": "Suterusu",
    b"syslogk": "Syslogk",
}

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


def sign(
    name: str,
    verdict: Verdict,
    says: str,
    means: str,
    technique: str,
    evidence: Evidence,
    then: str = "",
    **more: object,
) -> Item:
    """A sign of a root kit as an item. `means` is a word of MEANS; `then` what to do, if not NEXT."""
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
