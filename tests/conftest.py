"""What every test needs: few threads, no network, a log directory of its own, shapes checked."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"
os.environ.setdefault("OMP_NUM_THREADS", "1")

from jaxtyping import install_import_hook

# Before anything of the project is imported: its shape annotations are checked while the tests run.
_hook = install_import_hook(
    ["saelab.sae", "saelab.metrics", "saelab.kernels", "saelab.analysis", "saelab.nets"], "shapes.checked"
)

import pytest  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)
CHECKOUT = Path(__file__).parents[1]


@pytest.fixture
def log_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty log directory that every command of the test uses."""
    monkeypatch.setenv("SAELAB_LOG_DIR", str(tmp_path / "logs"))
    return tmp_path / "logs"


@pytest.fixture(scope="session")
def python() -> list[str]:
    """The interpreter, as the start of a command line."""
    return [sys.executable]
