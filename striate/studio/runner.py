"""`python -m striate.studio.runner FOLDER`: runs the command line of a job, and writes `exit.json` when it has ended.

Started in a session of its own, it outlives the server. Standard output and error are the job's files; the lock on the
second is inherited from the server, by the command too, and tells that the job lives.

Both run in the studio's folder, with `-P`: Python would otherwise import modules from there, and a folder of a
stranger would run its code.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from striate.studio.devices import VISIBLE
from striate.studio.files import read_json, write_json

EXIT, RUNNING, JOB = "exit.json", "running.json", "job.json"


def main(folder: Path) -> int:
    """Run the job; returns its exit code, negative for the signal that killed it."""
    for kind in (signal.SIGTERM, signal.SIGINT):  # sent to the whole group: the command answers, this waits
        signal.signal(kind, lambda number, frame: None)
    device = os.environ.get(VISIBLE, "")
    write_json(folder / RUNNING, {"group": os.getpgid(0), "device": device, "time": time.time()})
    arguments = [str(one) for one in read_json(folder / JOB)["arguments"]]
    code = subprocess.run([sys.executable, "-P", "-m", "striate", *arguments], check=False).returncode
    write_json(folder / EXIT, {"code": code, "time": time.time()})
    return code


if __name__ == "__main__":
    main(Path(sys.argv[1]))
