"""A native library's signal stack does not outlive the call."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from striate.inference.signal_stack import _Stack, preserved_signal_stack

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="alternate signal stacks are Linux's here")


def present() -> tuple[int | None, int]:
    found = _Stack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found))
    return found.place, found.size


def test_the_previous_signal_stack_is_restored() -> None:
    before, memory = present(), ctypes.create_string_buffer(1 << 16)
    with pytest.raises(KeyError), preserved_signal_stack():
        given = _Stack(ctypes.addressof(memory), 0, len(memory))
        assert ctypes.CDLL(None).sigaltstack(ctypes.byref(given), None) == 0
        assert present() == (given.place, given.size)
        raise KeyError
    assert present() == before


SCRIPT = """
import signal, numpy
from striate.inference.predictor import Predictor
from striate.model import read
import pathlib, sys
model = Predictor(read(pathlib.Path(sys.argv[1])), engine="openvino")
for n in (1, 40):
    model.predictions(numpy.zeros((n, model.model.pixels.height, model.model.pixels.width, 3), numpy.uint8))
del model
signal.signal(signal.SIGINT, lambda *given: print("taken"))
signal.raise_signal(signal.SIGINT)
"""


def test_a_signal_after_inference_is_handled(trained, tmp_path) -> None:  # type: ignore[no-untyped-def]
    words = [sys.executable, "-c", SCRIPT, str(trained.folder / "model.safetensors")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "taken\n"), done.stderr
