"""Run every benchmark in a process of its own."""

import subprocess
import sys
from pathlib import Path

failed = []
for module in sorted(Path(__file__).parent.glob("[!_]*.py")):
    if module.stem in ("harness", "real_configs"):
        continue
    command = [sys.executable, "-m", f"tests.benchmarks.{module.stem}"]
    if subprocess.run(command, check=False).returncode:
        failed.append(module.stem)
sys.exit(f"missed: {', '.join(failed)}" if failed else 0)
