"""Where a login finds its programs before it comes to the system's own.

Who can put a file into a folder that PATH names first decides what `sudo` and `ls` are. A home's own `bin`
is everybody's habit, and so are the folders of languages' installers; no habit is a folder of others, one
that anybody may write to, a hidden one that no installer makes, or one that holds a second `sudo`.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from typing import Final

from ...accounts import User
from ...fact import TEMPORARY
from ...model import join
from ..interface import Verdict, text
from ..scene import Scene
from .belongs import in_home
from .deeds import LONGEST, Deed

_PATH: Final = re.compile(
    rb"(?:^|[;&|{(\s])(?:setenv\s+PATH\s+|PATH=|PATH\s+(?:DEFAULT|OVERRIDE)=)"
    rb"((?:\"[^\"\n]*\"|'[^'\n]*'|[^\s;&|\"'])+)"
)
_HOME: Final = re.compile(rb"(?:~|\$HOME|\$\{HOME\}|@\{HOME\})(?=/|\Z)")
_SYSTEM: Final = re.compile(rb"\$\{?PATH\b.*|(?:/usr|/usr/local)?/s?bin|/usr/.*", re.DOTALL)
"""From where on what follows is found behind the system's own."""

INSTALLERS: Final = frozenset(
    b".asdf .bun .cabal .cargo .composer .config .deno .docker .dotnet .elan .emacs.d .foundry .fzf .gem"
    b" .ghcup .go .goenv .jbang .jenv .juliaup .krew .linuxbrew .local .luarocks .nimble .nix-profile"
    b" .nodenv .npm .npm-global .npm-packages .nvm .opam .phpenv .pixi .platformio .poetry .pub-cache .pulumi"
    b" .pyenv .rbenv .rustup .rvm .rye .sdkman .stack .symfony .tfenv .virtualenvs .volta .wasmer .wasmtime"
    b" .yarn .arkade .atuin .avm .basher .bin .codeium .dotfiles .fly .gvm .istioctl .linkerd2 .lmstudio"
    b" .modular .moon .opencode .perlbrew .phpbrew .plenv .proto .rd .scripts .serverless .swiftly .turso"
    b" .zvm".split()
)
"""Hidden folders of homes that installers of languages and tools put first."""

ASKING: Final = (b"sudo", b"su", b"passwd", b"doas", b"pkexec")
"""Programs that ask for a password; nothing in a home has a reason to be called so."""

TECHNIQUE: Final = "T1574.007"


def first(command: bytes, home: bytes) -> Iterator[bytes]:
    """The folders that a line has searched before the system's own. Pure."""
    for found in _PATH.finditer(command[:LONGEST]):
        value = found[1].translate(None, b"\"'")
        for folder in value.split(b":") if value else ():
            folder = _HOME.sub(home or b"$HOME", folder, count=1)
            if folder.startswith(b"/"):
                folder = b"/" + os.path.normpath(folder).lstrip(b"/")  # `/usr/../tmp` is none of the system's
            if _SYSTEM.fullmatch(folder):
                break
            yield folder


def searched(scene: Scene, command: bytes, user: User | None) -> Iterator[Deed]:
    """What there is to say against these. `user`: whose login it is, None for everybody's."""
    home = user.home.rstrip(b"/") if user is not None else b""
    for folder in dict.fromkeys(first(command, home)):
        verdict, clause = _judged(scene, folder, home, user)
        if verdict > Verdict.FINE:
            name = f"in {text(folder, 200)}, which" if folder else "in the folder where one stands, which"
            yield Deed(verdict, f"finds programs first {name} {clause}", TECHNIQUE)


def _judged(scene: Scene, folder: bytes, home: bytes, user: User | None) -> tuple[Verdict, str]:
    if not folder.startswith((b"/", b"$")):
        return Verdict.NOTABLE, "may be anybody's"
    if (folder + b"/").startswith(TEMPORARY):
        return Verdict.SUSPICIOUS, "is for temporary files"
    inside = folder.removeprefix(home or b"$HOME").split(b"/")
    if any(part.startswith(b".") and part not in INSTALLERS for part in inside):
        return Verdict.SUSPICIOUS, "is hidden"
    if folder.startswith(b"$"):
        return Verdict.FINE, ""
    seen = scene.host.texts.lstat(folder)
    if seen is not None and stat.S_ISDIR(seen.st_mode):
        if seen.st_mode & 0o002:
            return Verdict.SUSPICIOUS, "anybody may write to"
        for name in ASKING:
            if scene.host.texts.lstat(join(folder, name)) is not None:
                return Verdict.SUSPICIOUS, f"has a {name.decode()} of its own"
        if seen.st_uid not in (0, user.uid if user is not None else 0):
            return Verdict.NOTABLE, f"belongs to {scene.user(seen.st_uid)}"
    if folder == home:
        return Verdict.NOTABLE, "is the home itself"
    if in_home(scene, folder) and not (home and folder.startswith(home + b"/")):
        return Verdict.NOTABLE, "lies in somebody's home"
    return Verdict.FINE, ""
