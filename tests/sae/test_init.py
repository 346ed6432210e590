"""Where latents start: the level that a column exceeds on a fraction of its rows."""

from __future__ import annotations

import pytest
import torch

from saelab.sae.init import upper_quantile


def test_upper_quantile_by_hand() -> None:
    pre = torch.tensor([[4.0, 1.0], [1.0, 1.0], [3.0, 1.0], [2.0, 5.0]])
    assert upper_quantile(pre, 0.25).tolist() == [3, 1]
    assert upper_quantile(pre, 0.5).tolist() == [2, 1]


@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.3, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_upper_quantile_is_an_entry_of_the_sorted_column(fraction: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    pre = torch.randn(500, 7).to(dtype)
    level = upper_quantile(pre, fraction)
    assert torch.equal(level, pre.sort(dim=0).values[round(500 * (1 - fraction)) - 1])


def test_all_rows_are_above_the_lowest_level() -> None:
    pre = torch.randn(50, 3)
    assert (pre > upper_quantile(pre, 1.0)).all()
