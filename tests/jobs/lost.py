"""`striate` with losses: of the second process at its second step; begun anew, of the first at its own second."""

import os
import signal
import sys

from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from striate.cli.main import main

LOST = {("1", "0"), ("0", "1")}  # rank, and how often torchrun began anew
steps = 0


def perhaps_die(optimizer: Optimizer, *given: object) -> None:
    global steps
    steps += 1
    if steps == 2 and (os.environ["RANK"], os.environ["TORCHELASTIC_RESTART_COUNT"]) in LOST:
        os.kill(os.getpid(), signal.SIGKILL)


register_optimizer_step_post_hook(perhaps_die)
sys.exit(main(sys.argv[1:]))
