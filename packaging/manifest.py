"""What the package is made of, line by line, written at the end of its build.

    manifest.py BUILDROOT FILE...    on stdout: digest, mode and path of each; links with their target

An installed daemon that was told of its own update compares with this what it finds (hostguardd/own.py).
The format: `sha256:HEX MODE PATH`, `link:TARGET - PATH`, `folder - PATH`, sorted by path.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys


def lines(root: str) -> list[str]:
    """A line for every entry below `root`."""
    found = []
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            shown = path[len(root.rstrip("/")) :]
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                found.append((shown, f"link:{os.readlink(path)} - {shown}"))
            elif stat.S_ISREG(mode):
                with open(path, "rb") as file:
                    digest = hashlib.sha256(file.read()).hexdigest()
                found.append((shown, f"sha256:{digest} {stat.S_IMODE(mode):04o} {shown}"))
    return [line for _, line in sorted(found)]


if __name__ == "__main__":
    print("\n".join(lines(sys.argv[1])))
