"""Mid-ranks against scipy, and weights against repeated rows."""

import numpy as np
import pytest
import torch
from scipy.stats import rankdata

from saelab.analysis.midranks import mid_ranks, order, ordinal, rank_sums


def dense(codes, weight=None):
    """All mid-ranks less 1/2, `[n, s]`."""
    o = order(codes)
    ranks = mid_ranks(o, weight)
    return ranks.zero.expand(len(codes), -1).clone().index_put((o.row, o.latent), ranks.lift, accumulate=True)


def some(dtype=torch.float32):
    g = torch.Generator().manual_seed(0)
    codes = torch.randn(60, 7, generator=g).mul(2).round() / 3  # ties, negative values, zeros
    codes[:, 2] = 0
    codes[:, 3] = -0.0
    codes[:, 4] = codes[:, 4].abs() + 1  # never zero
    codes[0, 5] = torch.inf
    return codes.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_mid_ranks_equal_scipy(dtype):
    codes = some(dtype)
    np.testing.assert_allclose(dense(codes).numpy() + 0.5, rankdata(codes.double().numpy(), axis=0))


def test_weights_are_repeated_rows():
    codes = some()
    weight = torch.randint(0, 4, (60,), generator=torch.Generator().manual_seed(1))
    repeated = codes.repeat_interleave(weight, dim=0)
    first = weight.cumsum(0) - weight
    kept = weight > 0
    torch.testing.assert_close(dense(codes, weight.float())[kept], dense(repeated)[first[kept]])


def test_rank_sums_are_sums_of_ranks():
    codes = some()
    onehot = torch.rand(60, 3, generator=torch.Generator().manual_seed(2)) < 0.4
    ranks = torch.from_numpy(rankdata(codes.numpy(), axis=0)) - 0.5
    torch.testing.assert_close(rank_sums(order(codes), onehot), ranks.T @ onehot.double())
    assert rank_sums(order(codes * 0), onehot)[0].tolist() == (onehot.sum(0) * 30.0).tolist()


def test_ordinals_keep_the_order():
    value = torch.tensor([-torch.inf, -2.0, -1e-40, 0.0, 1e-40, 1.0, torch.inf])
    for dtype in (torch.float32, torch.float64):
        number = ordinal(value.to(dtype))
        assert (number.diff() > 0).all()
        assert number[3] == 0


def test_too_many_values_for_one_sort_are_refused():
    with pytest.raises(ValueError, match="fewer latents"):
        order(torch.zeros(1).expand(2**20, 2**12))
