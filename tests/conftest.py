"""What every test needs: one thread, no network, shapes checked."""

from __future__ import annotations

import os

os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"
os.environ["OMP_NUM_THREADS"] = "1"

import torch

import shapes  # noqa: F401

torch.set_num_threads(1)
