"""Who may import whom, read from the imports."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"
PACKAGE = SRC / "saelab"

BELOW = {  # a folder may import those it is mapped to, and itself
    "kernels": set(),
    "metrics": {"kernels"},
    "nets": {"kernels"},
    "sae": {"kernels"},
    "data": {"kernels"},
    "store": {"kernels"},
    "run": {"sae"},
    "formats": {"sae"},
    "plots": set(),
    "report": {"plots"},
    "modules": {"analysis", "sae", "store", "data", "nets", "metrics", "kernels"},
    "analysis": {"sae", "store", "data", "nets", "metrics", "kernels"},
    "config": {"run", "kernels"},
    "commands": {
        *("config", "run", "modules", "analysis", "report", "plots"),
        *("sae", "formats", "store", "data", "nets", "metrics"),
    },
}
BANNED = {  # third parties that must not be imported, by folder
    **{
        name: {"lightning", "hydra", "omegaconf", "wandb", "rich", "torchmetrics"}
        for name in ("sae", "kernels", "nets", "metrics", "formats")
    },
    **{name: {"torch", "lightning", "hydra", "omegaconf", "safetensors"} for name in ("plots", "report")},
    **{name: {"hydra", "omegaconf"} for name in ("data", "store", "modules", "analysis", "run")},
}
FILES = sorted(PACKAGE.rglob("*.py"))


def folder(file: Path) -> str:
    first = file.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported(file: Path) -> set[str]:
    """Modules a file imports when it runs; those for type checkers alone do not count."""
    tree = ast.parse(file.read_text())
    typing_only = {
        node
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.unparse(branch.test)
        for node in ast.walk(branch)
    }
    names = set()
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{file}: relative import"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SRC)))
def test_imports_only_what_is_below(file: Path) -> None:
    here = folder(file)
    if here == "__init__":
        return
    for name in imported(file):
        parts = name.split(".")
        if (
            parts[0] == "saelab"
            and len(parts) > 1
            and (PACKAGE / parts[1]).exists() | (PACKAGE / f"{parts[1]}.py").exists()
        ):
            assert parts[1] == here or parts[1] in BELOW[here], f"{here} must not import {name}"
        assert parts[0] not in BANNED.get(here, set()), f"{here} must not import {name}"


def test_every_folder_has_its_rule() -> None:
    assert {folder(f) for f in FILES} - {"__init__"} <= set(BELOW)


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SRC)))
def test_no_utils_no_path_hacks(file: Path) -> None:
    text = file.read_text()
    assert file.name not in ("utils.py", "helpers.py", "misc.py")
    assert "sys.path" not in text
    assert "save_hyperparameters" not in text


def test_scripts_are_four_lines_and_shadow_nothing() -> None:
    scripts = sorted(SRC.glob("*.py"))
    assert [s.name for s in scripts] == ["eval.py", "export.py", "extract.py", "import.py", "report.py", "train.py"]
    for script in scripts:
        assert len(script.read_text().splitlines()) == 4
