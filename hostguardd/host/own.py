"""What we ourselves cost the host: memory and processor time, and giving memory back.

A sweep of a large tree leaves glibc's heaps full of holes, one heap for each thread; a resident
daemon that kept them would be twice its size for ever (measured: 57 MiB instead of 47).
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import psutil

M_ARENA_MAX = -8  # malloc.h, mallopt(3)


class Cost(NamedTuple):
    """Bytes resident, and seconds of processor time of this process and of its ended children."""

    resident: int
    processor: float


def cost() -> Cost:
    """What this process has cost so far."""
    own = psutil.Process()
    with own.oneshot():
        times = own.cpu_times()
        spent = times.user + times.system + times.children_user + times.children_system
        return Cost(own.memory_info().rss, spent)


def few_heaps() -> None:
    """Let all threads share two heaps: they allocate little, and each heap keeps its own holes."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_ARENA_MAX, 2)


def give_back() -> None:
    """Return unused memory to the kernel, malloc_trim(3) (glibc; elsewhere nothing happens)."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
