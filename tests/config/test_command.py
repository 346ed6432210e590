"""Command lines, in whatever order their words come."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from programs import PROGRAMS, run, script
from saelab.config.command import split


@pytest.mark.parametrize(
    ("words", "flags", "overrides"),
    [
        ("-m a=1 b=2", ["-m"], ["a=1", "b=2"]),
        ("a=1 -m b=2", ["-m"], ["a=1", "b=2"]),
        ("a=1 --cfg job b=2", ["--cfg", "job"], ["a=1", "b=2"]),
        ("--info config a=1", ["--info", "config"], ["a=1"]),
        ("--info a=1", ["--info"], ["a=1"]),
        ("~a +b=1", [], ["~a", "+b=1"]),
    ],
)
def test_split(words: str, flags: list[str], overrides: list[str]) -> None:
    assert split(words.split()) == (flags, overrides)


def test_the_whole_config_can_be_shown(tmp_path: Path) -> None:
    done = run("train", "experiment=mnist_topk", "--cfg", "job", "model.sae.k=7", logs=tmp_path)
    assert yaml.safe_load(done.stdout)["model"]["sae"]["k"] == 7
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", PROGRAMS)
def test_help_helps_anywhere(command: str, tmp_path: Path) -> None:
    """In a new interpreter, from another directory, in an environment that knows nothing of tests."""
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    line = [sys.executable, script(command), "--help"]
    done = subprocess.run(line, capture_output=True, text=True, env=env, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert f"python src/{command}.py" in done.stdout
    assert ("\n  quickstart " in done.stdout) == ("experiment=\n" in done.stdout)
    assert list(tmp_path.iterdir()) == []
