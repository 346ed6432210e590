"""Command lines, in whatever order their words come."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from saelab.config.command import split

CHECKOUT = Path(__file__).parents[2]


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


def program(*args: str, logs: Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, str(CHECKOUT / "src/train.py"), *args]
    env = os.environ | {"SAELAB_LOG_DIR": str(logs)}
    return subprocess.run(line, capture_output=True, text=True, env=env, check=False)


def test_the_whole_config_can_be_shown(tmp_path: Path) -> None:
    done = program("experiment=mnist_topk", "--cfg", "job", "model.sae.k=7", logs=tmp_path)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["model"]["sae"]["k"] == 7
    assert list(tmp_path.iterdir()) == []


def test_help_helps(tmp_path: Path) -> None:
    done = program("--help", logs=tmp_path)
    assert done.returncode == 0
    assert "python src/train.py experiment=mnist_topk" in done.stdout
    assert "\n  quickstart " in done.stdout
