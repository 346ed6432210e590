"""Average precision: by hand and against scikit-learn, ties and all."""

import pytest
import torch
from sklearn.metrics import average_precision_score

from saelab.analysis.average_precision import average_precision


def test_by_hand():
    """Hits at ranks 1 and 3: (1/1 + 2/3) / 2. All equal: the rate."""
    codes = torch.tensor([[4.0, 0.0], [3.0, 0.0], [2.0, 0.0], [1.0, 0.0]])
    present = torch.tensor([[True, True], [False, False], [True, False], [False, False]])
    assert average_precision(codes, present).tolist() == pytest.approx([5 / 6, 1 / 4])


def test_equals_sklearn():
    g = torch.Generator().manual_seed(0)
    codes = torch.randn(300, 8, generator=g) * (torch.rand(300, 8, generator=g) < 0.4)
    codes[:, 0] = codes[:, 0].round()
    codes[:, 1] = 0
    present = torch.rand(300, 8, generator=g) < 0.2
    present[:, 2], present[:, 3] = True, False
    found = average_precision(codes, present)
    assert found[3].isnan() and found[2] == 1
    for i in (0, 1, 2, 4, 5, 6, 7):
        assert found[i].item() == pytest.approx(average_precision_score(present[:, i].numpy(), codes[:, i].numpy()))
