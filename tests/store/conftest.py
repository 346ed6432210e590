from __future__ import annotations

import pytest
from small_store import Digits, Net


@pytest.fixture
def net() -> Net:
    return Net()


@pytest.fixture
def source() -> Digits:
    return Digits()
