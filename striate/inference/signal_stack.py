"""Keeps a native library from leaving its signal stack behind, on which the next signal would end the process.

OpenVINO 2026.4 gives the thread that compiles a graph an alternate signal stack, on processors with AMX, and frees its
memory again. Python takes signals on the alternate stack, so that a Ctrl-C after that ended in a segmentation fault.
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
def signal_stack_kept() -> Iterator[None]:
    """After it, this thread's alternate signal stack is what it was before; a few microseconds. On Linux alone."""
    if sys.platform != "linux":
        yield
        return
    library, before = ctypes.CDLL(None), _Stack()
    library.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        library.sigaltstack(ctypes.byref(before), None)
