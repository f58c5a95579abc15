"""One process per device: the same command again, under torch's launcher."""

import os
import subprocess
import sys

import torch

LAUNCHED = "WORLD_SIZE"  # what torch's launchers tell each process


def launch(processes: int) -> bool:
    """Run this module's command in so many processes (0: one per CUDA device) and say True; False
    where this process is to do the work itself, being the only one, or one of them. SystemExit with
    their code where they fail."""
    wanted = processes or max(1, torch.cuda.device_count())
    if wanted == 1 or LAUNCHED in os.environ:
        return False
    module = sys.modules["__main__"].__spec__
    assert module, "run as python -m"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone",
               f"--nproc-per-node={wanted}", "-m", module.name, *sys.argv[1:]]  # fmt: skip
    done = subprocess.run(command, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)
    return True


def is_main() -> bool:
    """Whether this process is the one that writes results."""
    return int(os.environ.get("RANK", "0")) == 0
