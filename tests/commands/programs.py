"""Run the programs as a user does: with a command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[2]
# Enough to run everything, little enough to run it often.
TINY = [
    "callbacks=quiet",
    "trainer.max_epochs=2",
    "trainer.limit_train_batches=3",
    "trainer.limit_val_batches=1",
    "trainer.log_every_n_steps=1",
]
TINY_BASE = ["base.trainer.max_epochs=1", "base.trainer.limit_train_batches=3", "base.trainer.limit_val_batches=1"]


def run(command: str, *args: str, logs: Path, code: int | None = 0, **env: str) -> subprocess.CompletedProcess[str]:
    """A program to its end; its output is shown when the exit status is another one."""
    environment = os.environ | {"SAELAB_LOG_DIR": str(logs), "OMP_NUM_THREADS": "1"} | env
    line = [sys.executable, str(CHECKOUT / f"src/{command}.py"), *args]
    done = subprocess.run(line, capture_output=True, text=True, env=environment, check=False)
    assert code is None or done.returncode == code, f"{' '.join(line)}\n{done.stdout}\n{done.stderr}"
    return done


def only_run(logs: Path, name: str) -> Path:
    """The one run of a name."""
    (path,) = (logs / "runs" / name).iterdir()
    return path


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())
