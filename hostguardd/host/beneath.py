"""Opening a folder below another one, no symbolic link followed in any component.

`Openat2` asks the kernel for just that, in one system call; `Openat` opens component by component, to the
same effect, where the kernel has no such call (EL 8) or a sandbox forbids it. Both move no atime if
we may: to list a folder would (O_NOATIME is for owners and CAP_FOWNER, open(2)).
"""

from __future__ import annotations

import ctypes
import errno
import os

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
PATH_MAX = 4096  # linux/limits.h


class Openat2:
    """openat2(2) with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS, Linux >= 5.6; Python has no call for it."""

    NUMBER = 437  # the same on every architecture: the system calls after 424 are numbered alike
    RESOLVE = 0x04 | 0x08  # RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH, linux/openat2.h

    class How(ctypes.Structure):
        """struct open_how."""

        _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))

    def __init__(self) -> None:
        self._call = ctypes.CDLL(None, use_errno=True).syscall
        flags = FOLDER_FLAGS & ~os.O_NOFOLLOW
        self._hows = (self.How(flags | os.O_NOATIME, 0, self.RESOLVE), self.How(flags, 0, self.RESOLVE))
        self._size = ctypes.sizeof(self.How)

    def open(self, base: int, relative: bytes) -> int:
        """A descriptor of the folder `relative` below the folder `base`. Raises OSError."""
        how, other = self._hows
        while True:
            fd: int = self._call(self.NUMBER, base, relative, ctypes.byref(how), self._size)
            if fd >= 0:
                return fd
            code = ctypes.get_errno()
            if code == errno.EPERM and how is not other:
                how = other
            elif code not in (errno.EINTR, errno.EAGAIN):
                raise OSError(code, os.strerror(code), relative)

    @classmethod
    def works(cls, base: int) -> bool:
        """Whether the kernel answers the call, tried on `base` itself."""
        try:
            os.close(cls().open(base, b"."))
        except OSError:
            return False
        return True


class Openat:
    """openat(2) for each component."""

    def open(self, base: int, relative: bytes) -> int:
        """As `Openat2.open`."""
        if len(relative) >= PATH_MAX:  # as openat2(2) has it
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), relative)
        fd = os.dup(base)
        for part in relative.split(b"/"):
            try:
                below = self._step(fd, part)
            finally:
                os.close(fd)
            fd = below
        return fd

    def _step(self, fd: int, part: bytes) -> int:
        try:
            return os.open(part, FOLDER_FLAGS | os.O_NOATIME, dir_fd=fd)
        except PermissionError as error:
            if error.errno != errno.EPERM:
                raise
            return os.open(part, FOLDER_FLAGS, dir_fd=fd)


def opener(base: int) -> Openat2 | Openat:
    """The cheapest of them that works here."""
    return Openat2() if Openat2.works(base) else Openat()
