"""Settings of the whole process that make steps on a CPU faster and change no result by more than rounding."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import torch

MMAP_MAX, TRIM_THRESHOLD = -4, -1  # of glibc's malloc.h
FLOAT32_ERROR = 1e-5  # of a product, relative; in float32 it is 1e-6, with factors rounded to bfloat16 2e-3


def tune() -> None:
    """Both settings, each where it applies. Programs call this when they start."""
    keep_freed_memory()
    choose_products()


def keep_freed_memory() -> bool:
    """Tell the C library to keep what is freed, for this process; whether it is one that can (glibc).

    A step frees and asks for the same hundreds of megabytes again. As shipped, glibc gives blocks of that size back to
    the system each time and every page of them is faulted in anew: a sixth of a step's time at d_sae = 4,096 (CPU).
    Peak memory stays what it is; what is freed is not seen by other processes before this one ends.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and bool(mallopt(MMAP_MAX, 0)) and bool(mallopt(TRIM_THRESHOLD, 2**31 - 1))


def choose_products() -> bool:
    """Let oneDNN make float32 products where PyTorch would ask MKL and MKL is the slower one; whether it does now.

    MKL uses AVX-512 on Intel's processors alone; on AMD's, oneDNN is twice as fast. PyTorch leaves float32 products to
    oneDNN only where it is told that factors may be rounded to bfloat16, which oneDNN does on processors with matrix
    units (AMX) and nowhere else. So this is asked for on AMD's AVX-512 processors only, and taken back if a product is
    less exact than float32.
    """
    matmul = torch.backends.mkldnn.matmul  # pyright: ignore[reportAttributeAccessIssue]
    if _amd() and torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability() == "AVX512":
        matmul.fp32_precision = "bf16"
        if _error() > FLOAT32_ERROR:
            matmul.fp32_precision = "none"
    return products_chosen()


def products_chosen() -> bool:
    """Whether oneDNN makes float32 products."""
    return torch.backends.mkldnn.matmul.fp32_precision == "bf16"  # pyright: ignore[reportAttributeAccessIssue]


def _amd() -> bool:
    file = Path("/proc/cpuinfo")
    return file.exists() and "AuthenticAMD" in file.read_text()


def _error() -> float:
    """The largest error of a product of three shapes, relative to its largest entry."""
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(256, 512, generator=g), torch.randn(512, 384, generator=g)
    pairs = ((a, b), (a, b.T.contiguous().T), (a.T.contiguous().T, b))
    exact = a.double() @ b.double()
    return max(((x @ y) - exact).abs().max().item() for x, y in pairs) / exact.abs().max().item()
