"""Settings of the process: what they are for, and that they change no number."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from saelab import kernels
from saelab.kernels import process


@pytest.fixture
def as_shipped() -> Iterator[None]:
    """The precision of products is as PyTorch ships it, before and after."""
    before = torch.backends.mkldnn.matmul.fp32_precision
    torch.backends.mkldnn.matmul.fp32_precision = "none"
    yield
    torch.backends.mkldnn.matmul.fp32_precision = before


@pytest.mark.usefixtures("as_shipped")
@pytest.mark.parametrize("shape", [(7, 5, 3), (64, 512, 512), (1024, 128, 2048), (300, 768, 1000)])
def test_chosen_products_are_as_exact(shape: tuple[int, int, int]) -> None:
    """Whoever makes them: errors beside float64 are those of float32, in all layouts of a step."""
    process.choose_products()
    n, d, m = shape
    a, b = torch.randn(n, d), torch.randn(d, m)
    exact = (a.double() @ b.double()).float()
    tolerance = {"atol": 2e-6 * d**0.5 * 4, "rtol": 1e-5}
    torch.testing.assert_close(a @ b, exact, **tolerance)
    torch.testing.assert_close(a.T.contiguous().T @ b, exact, **tolerance)
    torch.testing.assert_close(torch.addmm(torch.zeros(m), a, b.T.contiguous().T), exact, **tolerance)


@pytest.mark.usefixtures("as_shipped")
@pytest.mark.skipif(
    not process._amd() or torch.backends.cpu.get_cpu_capability() != "AVX512", reason="an AMD processor with AVX-512"
)
def test_onednn_is_chosen_on_amd() -> None:
    assert process.choose_products() and process.products_chosen()


@pytest.mark.usefixtures("as_shipped")
def test_products_that_are_less_exact_are_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_amd", lambda: True)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(process, "_error", lambda: 2e-3)
    assert not process.choose_products() and not process.products_chosen()


@pytest.mark.usefixtures("as_shipped")
def test_other_processors_keep_what_pytorch_ships(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_amd", lambda: False)
    assert not process.choose_products()


def test_the_error_of_bfloat16_would_be_seen() -> None:
    a, b = torch.randn(256, 512), torch.randn(512, 384)
    rounded = (a.bfloat16().float() @ b.bfloat16().float() - a @ b).abs().max() / (a @ b).abs().max()
    assert process._error() < process.FLOAT32_ERROR < rounded / 100


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux's account of a process")
def test_freed_memory_is_kept_where_the_c_library_can() -> None:
    """In a process of its own: blocks that are freed and asked for again are not faulted in anew."""
    program = """
import resource, sys, torch
from saelab.kernels.process import keep_freed_memory
if sys.argv[1] == "keep" and not keep_freed_memory():
    print("cannot")
    sys.exit()
for _ in range(10):
    torch.ones(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    src = str(Path(kernels.__file__).parents[2])
    said = [
        subprocess.run(
            [sys.executable, "-c", program, mode], capture_output=True, text=True, check=True, env={"PYTHONPATH": src}
        ).stdout.strip()
        for mode in ("keep", "not")
    ]
    if said[0] == "cannot":
        pytest.skip("not glibc")
    assert int(said[0]) < 100 and int(said[1]) > 5 * 2**26 / 2**21  # at least one a huge page
