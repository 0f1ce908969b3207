"""Restores the signal stack after a native library call that leaves its own behind, which crashes on the next signal.

OpenVINO 2026.4 sets an alternate signal stack in the thread that compiles a graph, on processors with AMX, and frees
its memory. Python handles signals on the alternate stack, so a later Ctrl-C ended in a segmentation fault.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class _Stack(ctypes.Structure):
    """`stack_t` of Linux."""

    _fields_ = (("place", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def preserved_signal_stack() -> Iterator[None]:
    """Restores this thread's alternate signal stack at the end; takes a few microseconds. Linux only."""
    if sys.platform != "linux":
        yield
        return
    library, before = ctypes.CDLL(None), _Stack()
    library.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        library.sigaltstack(ctypes.byref(before), None)
