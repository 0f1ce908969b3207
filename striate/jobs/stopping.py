"""A search that Ctrl-C or SIGTERM stops: one line that says how to go on."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from striate.errors import Stopped


@contextmanager
def resumable(advice: str) -> Iterator[None]:
    """Ctrl-C and SIGTERM within the block raise Stopped with `advice`, also while a training within it is stopped."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if main else None
    sent = [int(signal.SIGINT)]

    def ask(number: int, frame: Any) -> None:
        sent.append(number)
        raise KeyboardInterrupt

    if main and before is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, ask)
    try:
        yield
    except (KeyboardInterrupt, Stopped) as error:
        code = error.exit_code if isinstance(error, Stopped) else 128 + sent[-1]
        raise Stopped(f"stopped; go on with: {advice}", code) from None
    finally:
        if main and before is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, before)
