"""What lines of histories tell of: a table of rules, and how histories are read. Pure; nothing is run.

The theory. Administrators compile, fetch, connect and stop services every day; so that is NOTABLE, for its
owner to remember. What they do not do, and intruders do, is SUSPICIOUS: to wipe the history or the logs, to
hand a shell to another host, to run what came from nowhere, to plant a set-uid shell. Whoever only looks
(`grep`, `man`, `ls`) does nothing. A line counts by the first rule it meets: the table goes from worse to
better.

Every pattern looks for a fixed word first (`needles`) and has bounded gaps: linear in the line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from .interface import Verdict

LONGEST: Final = 1024
"""Bytes of a command in which words are looked for."""

_ANY: Final = rb"[^\n]{0,200}?"
_SHELL: Final = rb"(?:/\S{0,40}/)?(?:ba|da|z|k|c|tc|a)?sh\b"
_RUN: Final = rb"(?:^|[;&|(`]\s?|\b(?:sudo|nohup|exec|time|setsid|then|do|xargs)\s+(?:-\S+\s+)?)"
"""Where a command begins."""

_TEMP: Final = rb"(?:/tmp|/var/tmp|/dev/shm|/run/user/\d+)"
_LOGS: Final = (
    rb"(?:/var/(?:log|adm)/(?:messages|secure|auth\.log|syslog|maillog|mail\.log|cron|kern\.log|wtmp|btmp|"
    rb"lastlog|faillog|"
    rb"audit(?:/\S*)?|journal(?:/\S*)?|\*)(?=[\s;&|]|$)|/var/log/?(?=[\s;&|]|$)|/(?:var/)?run/utmp\b)"
)
_HISTORY: Final = rb"\S*(?:_history|\.histfile|\.zhistory|\$\{?HISTFILE\}?)"
_WATCHERS: Final = (
    rb"(?:r?syslog\w*|syslog-ng|auditd|systemd-journald|hostguardd\S*|fail2ban|wazuh\S*|ossec\S*|"
    rb"osqueryd?|falco\S*|"
    rb"clamav\S*|crowdsec|klogd)\b"
)


class Rule(NamedTuple):
    """`name` is what a report calls it; `says` goes on from "alice …"."""

    name: str
    needles: tuple[bytes, ...]
    pattern: re.Pattern[bytes]
    verdict: Verdict
    technique: str
    says: str
    means: str = ""


def _rule(
    name: str, needles: bytes, pattern: bytes, verdict: Verdict, technique: str, says: str, means: str = ""
) -> Rule:
    return Rule(name, tuple(needles.split()), re.compile(pattern), verdict, technique, says, means)


_S, _N = Verdict.SUSPICIOUS, Verdict.NOTABLE
RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "history wiped",
        b"HIST history _history histfile zhistory",
        rb"\bhistory\s+-\w*[cd]|\bunset\s+"
        + rb"(?:-v\s+)?HIST|\bHISTFILE=(?:/dev/null|$|[\s;])|\bHIST(?:FILE)?SIZE=[\"']?0\b|"
        rb"\bset\s+\+o\s+history|\b(?:rm|shred|unlink|truncate|srm|wipe|ln|mv)\b"
        + _ANY
        + _HISTORY
        + rb"|>\|?\s*"
        + _HISTORY
        + rb"|\bsed\s+-\w*i"
        + _ANY
        + _HISTORY
        + rb"|\bHISTORY_IGNORE=.?\*",
        _S,
        "T1070.003",
        "wiped the history, or switched it off",
        "Who takes care that nobody reads what they typed had a reason.",
    ),
    _rule(
        "logs wiped",
        b"/var/log /var/adm utmp journalctl",
        rb"\b(?:rm|shred|unlink|truncate|srm|wipe)\b"
        + _ANY
        + rb"\s"
        + _LOGS
        + rb"|>\|?\s*"
        + _LOGS
        + rb"|\b(?:cp|cat|dd)\b"
        + _ANY
        + rb"/dev/(?:null|zero)"
        + _ANY
        + _LOGS
        + rb"|\bln\s+-\w+\s+/dev/null\s+"
        + _LOGS
        + rb"|\b(?:sed\s+-\w*i|perl\s+-\w*i|grep\s+-v)\b"
        + _ANY
        + _LOGS
        + _ANY
        + rb"(?:>|$)"
        + rb"|\bjournalctl\b"
        + _ANY
        + rb"--vacuum-(?:time|size|files)[= ]1(?:s|K|\b)",
        _S,
        "T1070.002",
        "removed, emptied or edited logs of the host",
        "Intruders take out what tells of them.",
    ),
    _rule(
        "reverse shell",
        b"/dev/tcp /dev/udp nc ncat netcat socat socket fsockopen s_client telnet",
        _SHELL
        + rb"\s+-\w*i\b"
        + _ANY
        + rb"/dev/(?:tcp|udp)/|/dev/(?:tcp|udp)/[^\s/]+/\d+"
        + _ANY
        + rb"(?:0>&1|<&|\bexec\b|\|\s*"
        + _SHELL
        + rb")|"
        rb"\bexec\s+\d+<>\s*/dev/(?:tcp|udp)/|"
        rb"\b(?:nc|ncat|netcat)(?:\.\w+)?\s"
        + _ANY
        + rb"(?:-\w*[ec]\s*[\"']?|--(?:sh-)?exec[ =][\"']?)"
        + _SHELL
        + rb"|"
        rb"\bmkfifo\b"
        + _ANY
        + rb"\|"
        + _ANY
        + rb"\b(?:nc|ncat|netcat|telnet|openssl)\b|\bsocat\b"
        + _ANY
        + rb"(?i:exec|system):"
        + _ANY
        + rb"sh\b|"
        rb"\b(?:python[\d.]*|perl|ruby|lua|node)\s+-\w+\s"
        + _ANY
        + rb"(?:socket|Socket)"
        + _ANY
        + rb"(?:dup2|pty|exec|spawn|/bin/|sh\b)|"
        rb"\bphp\s+-r" + _ANY + rb"fsockopen|\b(?:telnet|s_client)\b" + _ANY + rb"\|\s*" + _SHELL,
        _S,
        "T1059.004",
        "handed a shell to another host",
        "A reverse shell lets somebody in who could not come in by themselves.",
    ),
    _rule(
        "hidden program",
        b"base64 openssl xxd curl wget",
        rb"\b(?:base64\s+(?:-d|-D|--decode)|openssl\s+(?:enc|base64)\s"
        + _ANY
        + rb"-d|xxd\s+-r)\b"
        + _ANY
        + rb"\|\s*(?:sudo\s+)?(?:"
        + _SHELL
        + rb"|python|perl)|"
        rb"\b(?:curl|wget|fetch)\b"
        + _ANY
        + rb"(?:://\d{1,3}(?:\.\d{1,3}){3}|pastebin\.|paste\.ee|transfer\.sh|ngrok|\.onion\b|0x0\.st|termbin)"
        + _ANY
        + rb"\|\s*(?:sudo\s+)?(?:"
        + _SHELL
        + rb"|python|perl)",
        _S,
        "T1059.004",
        "ran a program that no file shows",
        "What is piped into a shell leaves no file to look at.",
    ),
    _rule(
        "set-uid program planted",
        b"chmod install setcap",
        rb"\bchmod\s+(?:-\S+\s+)*(?:[ug]*\+\w*s|0?[4-7][0-7]{3})\w*\s+"
        + _ANY
        + rb"(?:"
        + _TEMP
        + rb"/|/home/|(?:^|[\s/.])(?:ba|da|z|k)?sh\b(?!\S)|/\.\w)|"
        rb"\binstall\b"
        + _ANY
        + rb"-m\s*0?[46][0-7]{3}"
        + _ANY
        + _TEMP
        + rb"|\bsetcap\b"
        + _ANY
        + rb"cap_setuid"
        + _ANY
        + _TEMP,
        _S,
        "T1548.001",
        "made a set-uid program where none belongs",
        "It makes root of anybody who runs it.",
    ),
    _rule(
        "account with root's rights",
        b"useradd adduser usermod /etc/passwd /etc/shadow",
        rb"\b(?:useradd|adduser|usermod)\b"
        + _ANY
        + rb"(?:-u|--uid)[= ]?0\b|\b(?:echo|printf|tee|sed)\b"
        + _ANY
        + rb":0{1,5}:\d{1,10}:"
        + _ANY
        + rb"/etc/passwd|(?:>>?|tee\s+(?:-a\s+)?)\s*/etc/(?:passwd|shadow|sudoers)\b",
        _S,
        "T1136.001",
        "made an account with the rights of root, by hand",
    ),
    _rule(
        "preload planted",
        b"ld.so.preload",
        rb"(?:>>?\s*|\b(?:tee|cp|mv|vi|vim|nano|install|echo)\b" + _ANY + rb")/etc/ld\.so\.preload",
        _S,
        "T1574.006",
        "had a library loaded into every program",
    ),
    _rule(
        "tools of intruders",
        b"xmrig minerd stratum linpeas pspy mimipenguin exploit dirtycow dirtypipe pwnkit meterpreter "
        b"msfvenom reptile "
        b"diamorphine adore-ng LinEnum chisel logcleaner wtmpclean hiddenwasp shv5 zap2 traitor",
        rb"(?i)(?:\b|(?=\./))(?:xmrig|minerd|stratum\+(?:tcp|ssl)|linpeas|pspy(?:32|64)?|mimipenguin|"
        rb"linux-exploit-suggester|les\.sh|dirtycow|"
        rb"dirtypipe|pwnkit|meterpreter|msfvenom|reptile|diamorphine|adore-ng|LinEnum|chisel\s+(?:client|"
        rb"server)|logcleaner|"
        rb"wtmpclean|hiddenwasp|shv5|zap2|\./exploit\b|exploit\.(?:c|py|sh)\b|traitor-amd64)",
        _S,
        "T1588.002",
        "used what intruders bring along",
    ),
    _rule(
        "hidden folder",
        b"... /tmp/. /dev/shm/. /var/tmp/. ..\\ \".. '..",
        rb"(?:\b(?:cd|mkdir|rmdir|pushd|mv|cp)\s+(?:-\S+\s+)*[\"']?|/)"
        rb"\.\.\.+(?=[\s/'\"]|$)|(?:^|[\s/])(?:\.\.\\ |[\"']\.\. +[\"'])|"
        + _RUN
        + rb"(?:/tmp|/dev/shm|/var/tmp)/\.(?!X|ICE|font)[^\s/]+/?\S*",
        _S,
        "T1564.001",
        "used a folder or program whose name is made to be overlooked",
    ),
    # -- for its owner to remember ---------------------------------------------------------------
    _rule(
        "shell from the net",
        b"| <( $(",
        rb"\b(?:curl|wget|fetch)\b[^|\n]{0,400}\|\s*(?:sudo\s+(?:-\S+\s+)*)?(?:env\s+)?(?:"
        + _SHELL
        + rb"|python[\d.]*|perl)\b|"
        + _SHELL
        + rb"[^\n]{0,40}(?:<\(|\$\()\s*(?:curl|wget)",
        _N,
        "T1059.004",
        "ran what was fetched from the net, unseen",
    ),
    _rule(
        "programs in temporary folders",
        b"/tmp /var/tmp /dev/shm",
        _RUN
        + _TEMP
        + rb"/\S+|\bchmod\s+\S*(?:\+x|7[0-7][0-7])\S*\s+"
        + _TEMP
        + rb"/|\b(?:cd|mkdir|cp|mv)\b"
        + _ANY
        + rb"(?:/dev/shm|/tmp/\.(?!X|ICE|font))",
        _N,
        "T1059.004",
        "ran, or kept, something in a folder for temporary files",
    ),
    _rule(
        "set-uid",
        b"chmod setcap",
        rb"\bchmod\s+(?:-\S+\s+)*(?:[ug]*\+\w*s|0?[4-7][0-7]{3})\w*\s|\bsetcap\b",
        _N,
        "T1548.001",
        "gave a program the rights of its owner",
    ),
    _rule(
        "log services",
        b"syslog auditd auditctl journald hostguardd fail2ban wazuh ossec osquery falco aide clamav "
        b"crowdsec klogd",
        rb"\b(?:systemctl|service|rc-service|chkconfig|initctl)\b"
        + _ANY
        + rb"\b(?:stop|disable|mask|kill)\b"
        + _ANY
        + _WATCHERS
        + rb"|\bservice\s+"
        + _WATCHERS
        + rb"\s+stop|\b(?:kill|killall|pkill)\b"
        + _ANY
        + _WATCHERS
        + rb"|\bauditctl\s+(?:-e\s*0|-D)\b",
        _N,
        "T1562.001",
        "stopped, or meddled with, what watches this host",
    ),
    _rule(
        "journal vacuumed",
        b"--vacuum",
        rb"\bjournalctl\b" + _ANY + rb"--vacuum",
        _N,
        "T1070.002",
        "removed old entries of the journal",
    ),
    _rule(
        "other logs removed",
        b"/var/log",
        rb"\b(?:rm|shred|truncate)\b" + _ANY + rb"\s/var/log/\S|>\|?\s*/var/log/\S",
        _N,
        "T1070.002",
        "removed or emptied logs",
    ),
    _rule(
        "firewall",
        b"iptables nft firewall ufw",
        rb"\bip6?tables\b"
        + _ANY
        + rb"(?:-F|-X|-P\s+\w+\s+ACCEPT|--flush)|\bnft\s+(?:flush|delete)|\b(?:systemctl|service)\b"
        + _ANY
        + rb"(?:firewalld|nftables|ip6?tables|ufw)|\bufw\s+(?:disable|reset)",
        _N,
        "T1562.004",
        "opened or stopped the firewall",
    ),
    _rule(
        "SELinux",
        b"setenforce SELINUX aa-disable aa-teardown apparmor",
        rb"\bsetenforce\s+(?:0|[Pp]ermissive)|SELINUX=(?:disabled|permissive)|\baa-(?:disable|teardown|"
        rb"complain)\b|\b(?:stop|disable|mask)\b" + _ANY + rb"apparmor",
        _N,
        "T1562.001",
        "switched off what confines programs",
    ),
    _rule(
        "flags of files",
        b"chattr",
        rb"\bchattr\s+(?:-R\s+)?[+=-]\w*[ia]",
        _N,
        "T1222.002",
        "made files immutable, or not",
    ),
    _rule(
        "times of files",
        b"touch",
        rb"\btouch\s+" + _ANY + rb"(?:-\w*[rtd]\b|--reference|--date)",
        _N,
        "T1070.006",
        "set the times of files",
    ),
    _rule(
        "kernel modules",
        b"insmod modprobe rmmod",
        rb"\b(?:insmod|modprobe|rmmod)\s",
        _N,
        "T1547.006",
        "loaded or removed kernel modules",
    ),
    _rule(
        "keys for logins",
        b"authorized_keys ssh-copy-id",
        rb"authorized_keys|\bssh-copy-id\b",
        _N,
        "T1098.004",
        "dealt with keys that let in",
    ),
    _rule(
        "passwords of others",
        b"shadow john hashcat unshadow",
        rb"\b(?:cat|cp|less|more|scp|base64|xxd|head|tail|vi|vim|nano)\b"
        + _ANY
        + rb"/etc/g?shadow\b|\b(?:unshadow|john|hashcat)\b",
        _N,
        "T1003.008",
        "looked at the table of passwords",
    ),
    _rule(
        "tunnels",
        b"ssh ngrok frpc cloudflared gost",
        rb"\bssh\b" + _ANY + rb"\s-\w*[RDL]\b|\b(?:ngrok|frpc|cloudflared|gost)\b",
        _N,
        "T1572",
        "made a tunnel",
    ),
    _rule(
        "accounts",
        b"user group passwd visudo vipw vigr chage sudoers",
        _RUN + rb"(?:/usr/s?bin/)?(?:user(?:add|mod|del)|add(?:user|group)|del(?:user|group)|group(?:add|mod|"
        rb"del)|gpasswd|passwd|chpasswd|visudo|vipw|vigr|chage)\b|\b(?:vi|vim|nano|"
        rb"emacs)\s+\S*/etc/(?:passwd|group|sudoers)",
        _N,
        "T1136.001",
        "dealt with accounts or their passwords",
    ),
    _rule(
        "timed jobs",
        b"crontab cron at systemd-run",
        rb"\bcrontab\b"
        + rb"(?!\s+-l)|"
        + _RUN
        + rb"(?:at|batch)\s+(?:now|-f|\d)|\bsystemd-run\b|\b(?:vi|vim|nano)\s+\S*/etc/cron",
        _N,
        "T1053.003",
        "dealt with timed jobs",
    ),
    _rule(
        "compiled",
        b"gcc cc g++ clang tcc make",
        _RUN
        + rb"(?:gcc|cc|g\+\+|c\+\+|clang|clang\+\+|tcc)(?:-\d+)?\s|"
        + _RUN
        + rb"g?make\b|\./configure\b",
        _N,
        "T1027.004",
        "compiled something",
    ),
    _rule(
        "scanned",
        b"nmap masscan hydra medusa nikto sqlmap tcpdump",
        rb"\b(?:nmap|masscan|zmap|hydra|medusa|nikto|sqlmap|tcpdump|tshark|ettercap)\b",
        _N,
        "T1046",
        "scanned or listened to networks",
    ),
    _rule(
        "fetched",
        b"curl wget fetch scp sftp ftp tftp rsync nc lftp aria2c git base64",
        _RUN
        + rb"(?:curl|wget|aria2c|lftp|ftp|tftp|sftp|scp)\s|"
        + _RUN
        + rb"rsync\s"
        + _ANY
        + rb"\w:|\bgit\s+clone\b|\bnc\b"
        + _ANY
        + rb">\s*\S|\bbase64\s+(?:-d|--decode)",
        _N,
        "T1105",
        "fetched or sent files over the net",
    ),
    _rule(
        "connected",
        b"ssh telnet nc ncat netcat socat mosh rlogin rsh /dev/tcp",
        _RUN + rb"(?:ssh|telnet|nc|ncat|netcat|socat|mosh|rlogin|rsh)\s|/dev/(?:tcp|udp)/",
        _N,
        "T1021.004",
        "connected to other hosts",
    ),
)

_LOOKING: Final = re.compile(
    rb"\s*(?:sudo\s+)?(?:[efz]?grep|rg|ag|man|info|apropos|help|ps|pgrep|which|type|rpm\s+-q\w*|"
    rb"dpkg\s+-[lLsS]|find|locate|ls|ll|stat|"
    rb"file|wc|diff|systemctl\s+(?:status|is-\w+|show|cat|list-\w+|restart|reload)|"
    rb"service\s+\S+\s+(?:status|restart|reload)|"
    rb"journalctl|tail|less|more)\b"
    rb"(?![^\n]*(?:[>;`]|\$\(|&&|\|\s*(?:sudo|\S*sh|perl|python|tee|xargs)\b|-delete|-exec|--vacuum|"
    rb"/etc/g?shadow))"
)
"""Commands that only look, as long as nothing else stands in the line."""


def judge(command: bytes) -> Rule | None:
    """The rule that a command meets, None if there is nothing to it."""
    line = command[:LONGEST]
    if not line.strip() or _LOOKING.match(line):
        return None
    for rule in RULES:
        if any(needle in line for needle in rule.needles) and rule.pattern.search(line):
            return rule
    return None


# -- histories -------------------------------------------------------------------------------------


class Typed(NamedTuple):
    """One command: on which line it stands, when it was typed (seconds since the epoch, 0: not said)."""

    line: int
    at: int
    command: bytes


_ZSH = re.compile(rb": (\d{9,11}):\d{1,9};(.*)", re.DOTALL)
_STAMP = re.compile(rb"#(\d{9,11})\s*")
_OCTAL = re.compile(rb"\\([0-3][0-7]{2})")
EDITED: Final = (b"> ", b"-'", b"'0")


def typed(name: bytes, data: bytes) -> Iterator[Typed]:
    """The commands of a history file of that name."""
    if name == b"fish_history":
        yield from _fish(data)
    elif name == b".viminfo":
        yield from _vim(data)
    elif name == b".lesshst":
        for number, line in enumerate(data.split(b"\n"), 1):
            if line.startswith(b'"'):
                yield Typed(number, 0, line[1:])
    else:
        yield from _plain(data)


def _plain(data: bytes) -> Iterator[Typed]:
    """bash, with or without times; zsh, simple or extended; ksh; libedit (mysql, psql, sqlite)."""
    edit = data.startswith(b"_HiStOrY_V2_")
    if data[:2] in (b"\x81\x01", b"\x81\x00"):  # ksh93 ends commands by NUL
        data = data[2:].replace(b"\0", b"\n")
    at = 0
    for number, line in enumerate(data.split(b"\n"), 1):
        if stamp := _STAMP.fullmatch(line):
            at = int(stamp[1])
        elif extended := _ZSH.fullmatch(line):
            yield Typed(number, int(extended[1]), extended[2])
        elif line and line != b"_HiStOrY_V2_":
            yield Typed(
                number, at, _OCTAL.sub(lambda found: bytes([int(found[1], 8)]), line) if edit else line
            )


def _fish(data: bytes) -> Iterator[Typed]:
    number, command = 0, b""
    for count, line in enumerate(data.split(b"\n"), 1):
        if line.startswith(b"- cmd: "):
            if command:
                yield Typed(number, 0, command)
            number, command = count, line[7:].replace(b"\\n", b"\n")
        elif line.startswith(b"  when: ") and command:
            when = line[8:].strip()
            yield Typed(number, int(when) if when.isdigit() and len(when) < 12 else 0, command)
            command = b""
    if command:
        yield Typed(number, 0, command)


def _vim(data: bytes) -> Iterator[Typed]:
    """Commands after a colon, and the files that were edited."""
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.startswith(b":") and len(line) > 1:
            yield Typed(number, 0, line[2:] if line.startswith(b":!") else b"vim: " + line[1:])
        elif line.startswith(b"> "):
            yield Typed(number, 0, b"vim " + line[2:])
