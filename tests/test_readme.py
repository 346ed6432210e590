"""What the README says is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch

from saelab.config import compose, jobs

CHECKOUT = Path(__file__).parents[1]
README = (CHECKOUT / "README.md").read_text()
DOCS = "\n".join([README, *(page.read_text() for page in sorted((CHECKOUT / "docs").glob("*.md")))])
PLACES = {"run", "runs"}  # keys whose values stand for a reader's own paths


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCS, flags=re.S)


def commands() -> list[list[str]]:
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith("python src/")]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_is_a_valid_config(words: list[str]) -> None:
    program, args = Path(words[1]), words[2:]
    assert (CHECKOUT / program).exists()
    overrides = [a for a in args if not a.startswith("-")]
    todo = jobs(program.stem, overrides) if "-m" in args else [overrides]
    for job in todo[:: max(1, len(todo) // 3)]:  # tests/config has all sweeps
        compose(program.stem, job)


def test_every_make_target_exists() -> None:
    makefile = (CHECKOUT / "Makefile").read_text()
    named = re.findall(r"make ([a-z ]+?)(?:\s+#|`|\n)", README)
    assert named
    for target in {word for words in named for word in words.split()} - {"installs"}:
        assert re.search(rf"^{target}:", makefile, flags=re.M), target


def test_the_tree_is_the_tree() -> None:
    (tree,) = re.findall(r"```\n(configs/.*?)```", README, flags=re.S)
    named = set(re.findall(r"([\w./]+?)/?(?=[\s])", tree))
    for folder in ("configs", "src", "tests", "benchmarks", "docs", "logs"):
        assert (CHECKOUT / folder).is_dir()
        assert folder in named
    packages = {p.name for p in (CHECKOUT / "src/saelab").iterdir() if p.is_dir() and p.name != "__pycache__"}
    for package in packages:
        assert package in named, package
    groups = {p.name for p in (CHECKOUT / "configs").iterdir() if p.is_dir()}
    for group in groups:
        assert group in named, group


def test_the_variant_it_shows_works() -> None:
    from typing import Unpack

    from jaxtyping import Float
    from torch import Tensor

    from saelab.sae import SAE
    from saelab.sae.step import Common

    (code,) = [b for b in blocks("python") if "class AbsTopK" in b]
    names: dict[str, object] = {"torch": torch, "SAE": SAE, "Common": Common, "Unpack": Unpack}
    exec(code, names | {"Float": Float, "Tensor": Tensor}, names)
    sae = names["AbsTopK"](k=2, d_in=4, d_sae=5)  # type: ignore[operator]
    assert sae.activate(torch.tensor([[3.0, -4.0, 1.0, 0.5, -2.0]])).tolist() == [[3.0, -4.0, 0.0, 0.0, 0.0]]


def test_it_is_short_enough_to_be_read() -> None:
    assert len(README.splitlines()) <= 200
    assert "@@" not in README
