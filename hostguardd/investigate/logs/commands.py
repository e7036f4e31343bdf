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

from ..interface import Verdict

LONGEST: Final = 1024
"""Bytes of a command in which words are looked for."""

_WORDS: Final = {
    b"@ANY": rb"[^\n]{0,200}?",
    b"@ARGS": rb"[^\n;|&>]{0,200}?",
    b"@SHELL": rb"(?:/\S{0,40}/)?(?:ba|da|z|k|c|tc|a)?sh\b",
    b"@RUN": rb"(?:^|[;&|(`]\s?|\b(?:sudo|nohup|exec|time|setsid|then|do|xargs)\s+(?:-\S+\s+)?)",
    b"@TEMP": rb"(?:/tmp|/var/tmp|/dev/shm|/run/user/\d+)",
    b"@HIDDEN": rb"(?:/tmp|/dev/shm|/var/tmp)/\.(?!X|ICE|font)",
    b"@NET": rb"/dev/(?:tcp|udp)/",
    b"@EMPTY": rb"(?<!>)>\|?\s*",
    b"@LOGS": rb"(?:/var/(?:log|adm)/(?:messages|secure|auth\.log|syslog|maillog|mail\.log|cron|kern\.log|"
    rb"wtmp|btmp|lastlog|faillog|audit(?:/\S*)?|journal(?:/\S*)?|\*)(?=[\s;&|]|$)|"
    rb"/var/log/?(?=[\s;&|]|$)|/(?:var/)?run/utmp\b)",
    b"@HISTORY": rb"\S*(?:\.(?:bash|zsh|sh|ksh|ash|csh|mysql|psql|python|sqlite)_history|\bfish_history|"
    rb"\.histfile|\.zhistory|\$\{?HISTFILE\}?)",
    b"@WATCHERS": rb"(?:r?syslog\w*|syslog-ng|auditd|systemd-journald|hostguardd\S*|fail2ban|wazuh\S*|"
    rb"ossec\S*|osqueryd?|falco\S*|clamav\S*|crowdsec|klogd)\b",
    b"@NOT_OURS": rb"(?!10\.|127\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.)\d{1,3}(?:\.\d{1,3}){3}",
}
"""What patterns are made of. @ANY goes on into the next command of a line, @ARGS does not; @RUN is where a
command begins."""


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
    name: str, verdict: Verdict, technique: str, says: str, needles: bytes, *patterns: bytes, means: str = ""
) -> Rule:
    whole = b"|".join(patterns)
    for word, pattern in _WORDS.items():
        whole = whole.replace(word, pattern)
    return Rule(name, tuple(needles.split()), re.compile(whole), verdict, technique, says, means)


_S, _N = Verdict.SUSPICIOUS, Verdict.NOTABLE
RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "history wiped", _S, "T1070.003", "wiped the history, or switched it off",
        b"HIST history histfile zhistory",
        rb"\bhistory\s+-\w*c",
        rb"\bunset\s+(?:-v\s+)?HIST",
        rb"\bHISTFILE=(?:/dev/null|$|[\s;])",
        rb"\bHIST(?:FILE)?SIZE=[\"']?0\b",
        rb"\bset\s+\+o\s+history",
        rb"\b(?:rm|shred|unlink|truncate|srm|wipe|ln)\s@ARGS@HISTORY",
        rb"@EMPTY@HISTORY",
        rb"\bsed\s+-\w*i@ARGS@HISTORY",
        means="Who takes care that nobody reads what they typed had a reason.",
    ),
    _rule(
        "logs wiped", _S, "T1070.002", "removed, emptied or edited logs of the host",
        b"/var/log /var/adm utmp journalctl",
        rb"\b(?:rm|shred|unlink|truncate|srm|wipe)\s@ARGS@LOGS",
        rb"@EMPTY@LOGS",
        rb"\bcp\s+(?:-\S+\s+)*/dev/null\s+@LOGS",
        rb"\bdd\b@ARGS\bof=@LOGS",
        rb"\bln\s+-\w+\s+/dev/null\s+@LOGS",
        rb"\b(?:sed|perl)\s+-\w*i@ARGS@LOGS",
        rb"\bgrep\s+-\w*v@ARGS@LOGS@ANY>@ANY\b(?:mv|cp|cat)\b@ANY@LOGS",
        rb"\bjournalctl\b@ARGS--vacuum-(?:time|size|files)[= ]1(?:s|K|\b)",
        means="Intruders take out what tells of them.",
    ),
    _rule(
        "reverse shell", _S, "T1059.004", "handed a shell to another host",
        b"/dev/tcp /dev/udp nc ncat netcat socat socket Socket fsockopen s_client telnet",
        rb"@SHELL\s+-\w*i\b@ANY@NET",
        rb"@NET[^\s/]+/\d+@ANY(?:0>&1|<&|\bexec\b|\|\s*@SHELL)",
        rb"\bexec\s+\d+<>\s*@NET",
        rb"\b(?:nc|ncat|netcat)(?:\.\w+)?\s@ARGS(?:-\w*[ec]\s*[\"']?|--(?:sh-)?exec[ =][\"']?)@SHELL",
        rb"\bmkfifo\b@ANY\|@ANY\b(?:nc|ncat|netcat|telnet|openssl)\b",
        rb"\bsocat\b@ARGS(?i:exec|system):@ARGSsh\b",
        rb"\b(?:python[\d.]*|perl|ruby|lua|node)\s+-\w+\s@ANY(?:socket|Socket)"
        rb"@ANY(?:dup2|pty\.spawn|\bexec\b|/bin/(?:ba|da)?sh)",
        rb"\bphp\s+-r@ANY\bfsockopen",
        rb"\b(?:telnet|s_client)\b@ANY\|\s*@SHELL",
        means="A reverse shell lets somebody in who could not come in by themselves.",
    ),
    _rule(
        "hidden program", _S, "T1059.004", "ran a program that no file shows",
        b"base64 openssl xxd curl wget",
        rb"\b(?:base64\s+(?:-d|-D|--decode)|openssl\s+(?:enc|base64)\s@ARGS-d|xxd\s+-r)\b"
        rb"@ARGS\|\s*(?:sudo\s+)?(?:@SHELL|python|perl)",
        rb"\b(?:curl|wget|fetch)\b@ARGS(?:://@NOT_OURS|pastebin\.|paste\.ee|transfer\.sh|ngrok|\.onion\b|"
        rb"0x0\.st|"
        rb"termbin)@ARGS\|\s*(?:sudo\s+)?(?:@SHELL|python|perl)",
        means="What is piped into a shell leaves no file to look at.",
    ),
    _rule(
        "set-uid program planted", _S, "T1548.001", "made a set-uid program where none belongs",
        b"chmod install setcap",
        rb"\bchmod\s+(?:-\S+\s+)*(?:(?:u|a|ug|gu)?\+\w*s|0?[4-7][0-7]{3})\w*\s+"
        rb"@ARGS(?:@TEMP/|(?:^|[\s/.])(?:ba|da|z|k)?sh\b(?!\S)|/\.\w)",
        rb"\binstall\b@ARGS-m\s*0?[46][0-7]{3}@ARGS@TEMP",
        rb"\bsetcap\b@ARGScap_setuid@ARGS@TEMP",
        means="It makes root of anybody who runs it.",
    ),
    _rule(
        "account with root's rights", _S, "T1136.001", "made an account with the rights of root, by hand",
        b"useradd adduser usermod /etc/passwd /etc/shadow",
        rb"\b(?:useradd|adduser|usermod)\b@ARGS(?:-u|--uid)[= ]?0\b",
        rb"\b(?:echo|printf|tee|sed)\b@ANY:0{1,5}:\d{1,10}:@ANY/etc/passwd",
        rb"(?:>>?|\btee\s+(?:-a\s+)?)\s*/etc/(?:passwd|shadow)(?=\s|$)",
    ),
    _rule(
        "preload planted", _S, "T1574.006", "had a library loaded into every program",
        b"ld.so.preload",
        rb"(?:>>?\s*|\b(?:tee|cp|mv|vi|vim|nano|install|echo)\b@ANY)/etc/ld\.so\.preload",
    ),
    _rule(
        "tools of intruders", _S, "T1588.002", "used what intruders bring along",
        b"xmrig minerd stratum linpeas pspy mimipenguin exploit dirtycow dirtypipe pwnkit meterpreter "
        b"msfvenom "
        b"diamorphine adore-ng LinEnum chisel logcleaner wtmpclean hiddenwasp zap2 traitor les.sh",
        rb"(?i:\b(?:xmrig|minerd|stratum\+(?:tcp|ssl)|linpeas|pspy(?:32|64)?\b|mimipenguin|dirtycow|"
        rb"dirtypipe|pwnkit|"
        rb"linux-exploit-suggester|les\.sh\b|meterpreter|msfvenom|diamorphine|adore-ng|LinEnum|logcleaner|"
        rb"wtmpclean|"
        rb"chisel\s+(?:client|server)|hiddenwasp|zap2\b|exploit\.(?:c|py|sh)\b|traitor-amd64))",
        rb"\./exploit\b",
    ),
    _rule(
        "hidden folder", _S, "T1564.001", "used a folder or program whose name is made to be overlooked",
        b"... /tmp/. /dev/shm/. /var/tmp/. ..\\ \".. '..",
        rb"(?:\b(?:cd|pushd|cp|mv|vi|vim)\s+(?:-\S+\s+)*/\S*/|"
        rb"\bmkdir\s+(?:-\S+\s+)*\S*)\.\.\.+(?=[\s/'\"]|$)",
        rb"@RUN/\S*/\.\.\.+/\S",
        rb"(?:^|[\s/])(?:\.\.\\ |[\"']\.\. +[\"'])",
        rb"@RUN@HIDDEN[^\s/]+/?\S*",
    ),
    # -- for its owner to remember ---------------------------------------------------------------
    _rule("history edited", _N, "T1070.003", "took lines out of the "
    "history", b"history", rb"\bhistory\s+-\w*d"),
    _rule(
        "shell from the net", _N, "T1059.004", "ran what was fetched from the net, unseen",
        b"| <( $(",
        rb"\b(?:curl|wget|fetch)\b[^|\n]{0,400}\|\s*(?:sudo\s+(?:-\S+\s+)*)?(?:env\s+)?(?:@SHELL|"
        rb"python[\d.]*|perl)\b",
        rb"@SHELL[^\n]{0,40}(?:<\(|\$\()\s*(?:curl|wget)",
    ),
    _rule(
        "programs in temporary folders", _N, "T1059.004", "ran, or kept, something in a folder for "
        "temporary files",
        b"/tmp /var/tmp /dev/shm",
        rb"@RUN@TEMP/\S+",
        rb"\bchmod\s+\S*(?:\+x|7[0-7][0-7])\S*\s+@TEMP/",
        rb"\b(?:cd|mkdir|cp|mv)\b@ARGS(?:/dev/shm|@HIDDEN)",
    ),
    _rule(
        "set-uid", _N, "T1548.001", "gave a program the rights of its owner", b"chmod setcap",
        rb"\bchmod\s+(?:-\S+\s+)*(?:(?:u|a|ug|gu)?\+\w*s|0?[4-7][0-7]{3})\w*\s", rb"\bsetcap\b",
    ),
    _rule(
        "log services", _N, "T1562.001", "stopped, or meddled with, what watches this host",
        b"syslog auditd auditctl journald hostguardd fail2ban wazuh ossec osquery falco clamav crowdsec "
        b"klogd",
        rb"\b(?:systemctl|service|rc-service|chkconfig|initctl)\b@ARGS\b(?:stop|disable|mask|"
        rb"kill)\b@ARGS\b@WATCHERS",
        rb"\bservice\s+@WATCHERS\s+stop",
        rb"\b(?:kill|killall|pkill)\b@ARGS\b@WATCHERS",
        rb"\bauditctl\s+(?:-e\s*0|-D)\b",
    ),
    _rule(
        "journal vacuumed", _N, "T1070.002", "removed old entries of the journal", b"--vacuum",
        rb"\bjournalctl\b@ARGS--vacuum",
    ),
    _rule(
        "other logs removed", _N, "T1070.002", "removed or emptied logs", b"/var/log",
        rb"\b(?:rm|shred|truncate)\s@ARGS/var/log/\S", rb"@EMPTY/var/log/\S",
    ),
    _rule(
        "firewall", _N, "T1562.004", "opened or stopped the firewall", b"iptables nft firewall ufw",
        rb"\bip6?tables\b@ARGS(?:-F|-X|-P\s+\w+\s+ACCEPT|--flush)",
        rb"\bnft\s+(?:flush|delete)",
        rb"\b(?:systemctl|service)\b@ARGS\b(?:stop|disable|mask)\b@ARGS(?:firewalld|nftables|ip6?tables|ufw)",
        rb"\bufw\s+(?:disable|reset)",
    ),
    _rule(
        "SELinux", _N, "T1562.001", "switched off what confines programs",
        b"setenforce SELINUX aa-disable aa-teardown aa-complain apparmor",
        rb"\bsetenforce\s+(?:0|[Pp]ermissive)", rb"SELINUX=(?:disabled|permissive)",
        rb"\baa-(?:disable|teardown|complain)\b", rb"\b(?:stop|disable|mask)\b@ARGSapparmor",
    ),
    _rule(
        "flags of files", _N, "T1222.002", "made files immutable, or not", b"chattr",
        rb"\bchattr\s+(?:-R\s+)?[+=-]\w*[ia]",
    ),
    _rule(
        "times of files", _N, "T1070.006", "set the times of files", b"touch",
        rb"\btouch\s+@ARGS(?:-\w*[rtd]\b|--reference|--date)",
    ),
    _rule(
        "kernel modules", _N, "T1547.006", "loaded or removed kernel modules", b"insmod modprobe rmmod",
        rb"\b(?:insmod|modprobe|rmmod)\s",
    ),
    _rule(
        "keys for logins", _N, "T1098.004", "dealt with keys that let in", b"authorized_keys ssh-copy-id",
        rb"authorized_keys", rb"\bssh-copy-id\b",
    ),
    _rule(
        "passwords of others", _N, "T1003.008", "looked at the table of passwords",
        b"shadow john hashcat",
        rb"\b(?:cat|cp|less|more|scp|base64|xxd|head|tail|vi|vim|nano)\b@ARGS/etc/g?shadow\b",
        rb"@RUN(?:unshadow|john|hashcat)\b",
    ),
    _rule(
        "tunnels", _N, "T1572", "made a tunnel", b"ssh ngrok frpc cloudflared gost",
        rb"\bssh\b@ARGS\s-\w*[RDL]\b", rb"\b(?:ngrok|frpc|cloudflared|gost)\b",
    ),
    _rule(
        "accounts", _N, "T1136.001", "dealt with accounts or their passwords",
        b"user group passwd visudo vipw vigr chage sudoers",
        rb"@RUN(?:/usr/s?bin/)?(?:user(?:add|mod|del)|add(?:user|group)|del(?:user|group)|group(?:add|mod|"
        rb"del)|"
        rb"gpasswd|passwd|chpasswd|visudo|vipw|vigr|chage)\b",
        rb"(?:\b(?:vi|vim|nano|emacs)\s+\S*|>>?\s*|\btee\s+(?:-a\s+)?)/etc/(?:passwd|group|sudoers)",
    ),
    _rule(
        "timed jobs", _N, "T1053.003", "dealt with timed jobs", b"crontab cron at batch systemd-run",
        rb"\bcrontab\b(?!\s+-l)", rb"@RUN(?:at|batch)\s+(?:now|-f|\d)", rb"\bsystemd-run\b",
        rb"\b(?:vi|vim|nano)\s+\S*/etc/cron",
    ),
    _rule(
        "compiled", _N, "T1027.004", "compiled something", b"gcc cc g++ c++ clang tcc make ./configure",
        rb"@RUN(?:gcc|cc|g\+\+|c\+\+|clang|clang\+\+|tcc)(?:-\d+)?\s", rb"@RUNg?make\b", rb"\./configure\b",
    ),
    _rule(
        "scanned", _N, "T1046", "scanned or listened to networks",
        b"nmap masscan zmap hydra medusa nikto sqlmap tcpdump tshark ettercap",
        rb"@RUN(?:nmap|masscan|zmap|hydra|medusa|nikto|sqlmap|tcpdump|tshark|ettercap)\b",
    ),
    _rule(
        "fetched", _N, "T1105", "fetched or sent files over the net",
        b"curl wget scp sftp ftp tftp rsync nc lftp aria2c git base64",
        rb"@RUN(?:curl|wget|aria2c|lftp|ftp|tftp|sftp|scp)\s", rb"@RUNrsync\s@ARGS\w:", rb"\bgit\s+clone\b",
        rb"\bnc\b@ARGS>\s*\S", rb"\bbase64\s+(?:-d|--decode)",
    ),
    _rule(
        "connected", _N, "T1021.004", "connected to other hosts",
        b"ssh telnet nc ncat netcat socat mosh rlogin rsh /dev/tcp /dev/udp",
        rb"@RUN(?:ssh|telnet|nc|ncat|netcat|socat|mosh|rlogin|rsh)\s", rb"@NET",
    ),
)  # fmt: skip

_NEEDLES: Final = {
    needle: frozenset(number for number, rule in enumerate(RULES) if needle in rule.needles)
    for needle in dict.fromkeys(needle for rule in RULES for needle in rule.needles)
}
"""Which rules to try where a word stands."""

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
    met: set[int] = set()
    for needle, rules in _NEEDLES.items():
        if needle in line:
            met |= rules
    for number in sorted(met):
        if RULES[number].pattern.search(line):
            return RULES[number]
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
