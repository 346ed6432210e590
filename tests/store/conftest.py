from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from small_store import Digits, Net


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors are tiny here, and a second thread waits for whatever else the machine does."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def net() -> Net:
    return Net()


@pytest.fixture
def source() -> Digits:
    return Digits()
