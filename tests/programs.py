"""Run the programs as a user does, with a command line: each in a process of its own.

Most of a short run is imports, so `run` and `start` fork a process that has imported everything and done nothing else:
what follows is the script itself, with its own arguments, environment, output, signals and exit status. `launch` starts
a new interpreter, for what only that can show.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import pytest

CHECKOUT = Path(__file__).parents[1]
PROGRAMS = sorted(file.stem for file in (CHECKOUT / "src").glob("*.py"))
# Enough to run everything, little enough to run it often.
TINY = [
    "callbacks=quiet",
    "trainer.max_epochs=2",
    "trainer.limit_train_batches=3",
    "trainer.limit_val_batches=1",
    "trainer.log_every_n_steps=1",
]
TINY_BASE = ["base.trainer.max_epochs=1", "base.trainer.limit_train_batches=3", "base.trainer.limit_val_batches=1"]
PATIENCE = 300  # seconds, after which a program is taken to hang
PROCESSES = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")


class Slow(L.Callback):
    """For programs that are to be stopped on their way: a pause after every batch, and after the last one no end."""

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        last = trainer.is_last_batch and trainer.current_epoch + 1 == trainer.max_epochs
        time.sleep(PATIENCE if last and getattr(pl_module, "kind", "") != "classifier" else 0.05)


class Done(NamedTuple):
    """How a program ended, and what it said."""

    returncode: int | None
    stdout: str
    stderr: str


def run(command: str, *args: str, logs: Path, code: int = 0, **env: str) -> Done:
    """A program to its end; what it said is shown when the exit status is another one."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        process = start(command, *args, logs=logs, out=out, err=err, **env)
        process.join(PATIENCE)
        process.kill()  # one that has ended does not mind
        process.join()
        return _checked(Done(process.exitcode, out.read_text(), err.read_text()), command, args, code)


def launch(command: str, *args: str, logs: Path, code: int = 0, **env: str) -> Done:
    """The same in a new interpreter."""
    line, env = [sys.executable, script(command), *args], os.environ | {"SAELAB_LOG_DIR": str(logs)} | env
    done = subprocess.run(line, capture_output=True, text=True, env=env, check=False, timeout=PATIENCE)
    return _checked(Done(done.returncode, done.stdout, done.stderr), command, args, code)


def start(
    command: str, *args: str, logs: Path, out: Path | str = os.devnull, err: Path | str = os.devnull, **env: str
) -> BaseProcess:
    """A program that goes on while the test looks at what it does."""
    _import_once()
    env = os.environ | {"SAELAB_LOG_DIR": str(logs)} | env
    process = PROCESSES.Process(target=_become, args=(script(command), args, env, str(out), str(err)))
    process.start()
    return process


def stop(process: BaseProcess, sent: signal.Signals) -> None:
    """One signal, which has to be enough."""
    os.kill(process.pid or 0, sent)
    process.join(200)


def script(command: str) -> str:
    return str(CHECKOUT / f"src/{command}.py")


@functools.cache
def _import_once() -> None:
    """Start the process that programs are forked from."""
    PROCESSES.set_forkserver_preload(["shapes", *PROGRAMS])
    if PROCESSES.get_start_method() == "forkserver":
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", os.pathsep.join([str(CHECKOUT / "src"), str(CHECKOUT / "tests")]))
            forkserver.ensure_running()


def _become(path: str, args: tuple[str, ...], env: dict[str, str], out: str, err: str) -> None:
    """Become the program, as if a shell had started it."""
    for file, descriptor in ((out, 1), (err, 2)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ.clear()
    os.environ.update(env)
    np.random.seed()  # noqa: NPY002, as a new interpreter does
    signal.signal(signal.SIGINT, signal.default_int_handler)  # where tests run in the background, Ctrl-C is ignored
    sys.argv = [path, *args]
    runpy.run_path(path, run_name="__main__")


def _checked(done: Done, command: str, args: tuple[str, ...], code: int) -> Done:
    said = f"{command} {' '.join(args)} ended with {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}"
    assert done.returncode == code, said
    return done


def only_run(logs: Path, name: str) -> Path:
    """The one run of a name."""
    (path,) = (logs / "runs" / name).iterdir()
    return path


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())
