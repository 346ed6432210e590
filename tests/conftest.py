"""What every test needs: one thread, no network, shapes checked, random numbers of its own."""

from __future__ import annotations

import os

os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch

import shapes  # noqa: F401

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same random numbers alone and after any other tests."""
    torch.manual_seed(0)
