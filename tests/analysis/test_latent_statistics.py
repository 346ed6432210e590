"""Statistics of latents against numpy, and the choice of latents."""

import numpy as np
import pytest
import torch

from saelab.analysis.latent_statistics import choose, statistics

CODES = torch.tensor([[0.0, 5.0, 0.0, 1.0], [0.0, 0.0, 1e-8, 1.0], [0.0, 0.0, -2.0, 1.0], [0.0, 0.0, 0.0, 2.0]])


def test_statistics_by_hand():
    s = statistics(CODES)
    assert s.max.tolist() == pytest.approx([0, 5, 1e-8, 2])
    assert s.min.tolist() == [0, 0, -2, 1]
    assert s.mean.tolist() == pytest.approx([0, 1.25, -0.5, 1.25])
    assert s.sparsity.tolist() == [1, 0.75, 0.75, 0]
    assert s.active.tolist() == [0, 1, 1, 4]


def test_statistics_equal_numpy():
    codes = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)).relu()
    s, x = statistics(codes), codes.double().numpy()
    for name in ("min", "max", "mean", "std"):
        np.testing.assert_allclose(getattr(s, name).numpy(), getattr(x, name)(0), atol=1e-12)
    np.testing.assert_allclose(s.sparsity.numpy(), (np.abs(x) < 1e-6).mean(0))


def test_the_dead_are_never_chosen():
    s = statistics(CODES)
    assert choose(s, by="top_max_activation").tolist() == [1, 3, 2]
    assert choose(s, by="top_mean_activation", n=2).tolist() == [1, 3]  # equal means: the first first
    assert choose(s, by="least_sparse", n=1).tolist() == [3]
    assert choose(s, by="most_sparse").tolist() == [1, 2, 3]
    assert len(choose(statistics(CODES * 0), by="most_sparse")) == 0
