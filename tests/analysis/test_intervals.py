"""Bootstrap intervals: by enumeration, against scipy, and of AUCs against the rows repeated."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy import stats

from saelab.analysis.concepts import auc, best_latents, univariate
from saelab.analysis.intervals import (
    bootstrap,
    over_seeds,
    over_seeds_and_rows,
    paired,
    percentile,
    resamples,
    student_t,
)
from saelab.analysis.resampled import auc_resampled, best_intervals, selectivity_intervals
from saelab.analysis.selectivity import selectivity


def test_resamples_draw_n_rows_and_keep_groups_whole():
    counts = resamples(30, times=200, seed=1)
    assert (counts.sum(1) == 30).all()
    assert counts.double().mean().item() == 1
    assert counts.double().var().item() == pytest.approx(1 - 1 / 30, abs=0.05)
    assert torch.equal(counts, resamples(30, times=200, seed=1))
    assert not torch.equal(counts, resamples(30, times=200, seed=2))
    groups = torch.tensor([7, 7, 3, 3, 3, 9])
    grouped = resamples(6, times=50, groups=groups)
    for members in ([0, 1], [2, 3, 4]):
        assert (grouped[:, members] == grouped[:, members[:1]]).all()
    assert (grouped[:, [0, 2, 5]].sum(1) == 3).all()


def test_percentile_by_hand():
    replicates = torch.arange(101.0)[:, None] * torch.tensor([1.0, -1.0])
    found = percentile(torch.zeros(2), replicates, level=0.9)
    torch.testing.assert_close(found.low, torch.tensor([5.0, -95.0]))
    torch.testing.assert_close(found.high, torch.tensor([95.0, -5.0]))
    holed = torch.cat([replicates, torch.full((9, 2), torch.nan)])
    torch.testing.assert_close(percentile(torch.zeros(2), holed, level=0.9).low, found.low)
    with pytest.raises(ValueError, match="level=95"):
        percentile(torch.zeros(2), replicates, level=95)


def test_bootstrap_of_any_statistic_agrees_with_scipy():
    x = torch.randn(60, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64).exp()
    found = bootstrap(lambda rows: x[rows].std(0, correction=0), 60, times=4000)
    theirs = stats.bootstrap((x.numpy(),), np.std, axis=0, method="percentile", n_resamples=4000, rng=1)
    torch.testing.assert_close(found.value, x.std(0, correction=0))
    np.testing.assert_allclose(found.low.numpy(), theirs.confidence_interval.low, rtol=0.04)
    np.testing.assert_allclose(found.high.numpy(), theirs.confidence_interval.high, rtol=0.04)


def test_bootstrap_of_groups_is_wider_where_their_rows_are_alike():
    x = torch.randn(20, generator=torch.Generator().manual_seed(0)).repeat_interleave(9)
    groups = torch.arange(20).repeat_interleave(9)
    rows = bootstrap(lambda r: x[r].mean(), 180, times=500)
    images = bootstrap(lambda r: x[r].mean(), 180, times=500, groups=groups)
    assert (images.high - images.low) / (rows.high - rows.low) == pytest.approx(3, rel=0.15)


def test_over_seeds_is_the_distribution_of_all_resamples():
    """All 27 resamples of three values are equally likely."""
    values = torch.tensor([1.0, 2.0, 6.0])
    means = sorted(np.mean(draw) for draw in product(values.tolist(), repeat=3))
    found = over_seeds(values, times=20_000, level=0.8)
    assert found.value.item() == 3
    assert (found.low.item(), found.high.item()) == pytest.approx(np.quantile(means, [0.1, 0.9]), abs=1e-5)


def test_over_seeds_and_paired_agree_with_scipy():
    g = np.random.default_rng(0)
    a, b = g.normal(size=(2, 40)) + g.normal(size=40)  # a shared part, which pairing removes
    theirs = stats.bootstrap((a - b,), np.mean, method="percentile", n_resamples=20_000, rng=1).confidence_interval
    ours = paired(torch.from_numpy(a), torch.from_numpy(b), times=20_000)
    assert ours.value.item() == pytest.approx((a - b).mean())
    assert (ours.low.item(), ours.high.item()) == pytest.approx((theirs.low, theirs.high), abs=0.02)
    one = over_seeds(torch.from_numpy(a), times=20_000)
    assert (one.high - one.low).item() > 0
    with pytest.raises(ValueError, match="equal shapes"):
        paired(torch.zeros(3, 2), torch.zeros(3, 1))


def test_student_t_equals_scipy():
    values = torch.tensor([[1.0, 0.0], [2.0, 0.1], [4.0, 0.5]], dtype=torch.float64)
    found = student_t(values)
    for i in range(2):
        v = values[:, i].numpy()
        low, high = stats.t.interval(0.95, 2, loc=v.mean(), scale=stats.sem(v))
        assert (found.low[i].item(), found.high[i].item()) == pytest.approx((low, high))
    with pytest.raises(ValueError, match="at least 2"):
        student_t(values[:1])


def test_over_seeds_and_rows_has_both_spreads():
    """Seeds with spread 1 and rows with spread 2 about each: the mean of 50 has variance (1 + 4) / 50."""
    g = torch.Generator().manual_seed(0)
    values = torch.randn(50, generator=g)
    replicates = values[:, None] + 2 * torch.randn(50, 400, generator=g)
    found = over_seeds_and_rows(values, replicates, times=4000)
    assert (found.high - found.low).item() == pytest.approx(2 * 1.96 * (5 / 50) ** 0.5, rel=0.15)
    same = over_seeds_and_rows(values, values[:, None].expand(50, 3).clone(), times=4000, seed=0)
    assert (same.high - same.low).item() < (found.high - found.low).item() / 1.7


def some(n=120, seed=0):
    g = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (n,), generator=g)
    codes = (torch.randn(n, 8, generator=g) + 2 * torch.randn(3, 8, generator=g)[y]).relu()
    codes[:, 1] = codes[:, 1].round()
    codes[:, 6] = 0
    return codes, torch.nn.functional.one_hot(y).bool()


def test_resampled_auc_is_that_of_the_rows_repeated(monkeypatch):
    codes, onehot = some()
    weights = resamples(120, times=5)
    weights[4] *= onehot[:, 0]  # a resample without two of the concepts, and with nothing but the third
    found = auc_resampled(codes, onehot, weights)
    for w, area in zip(weights, found, strict=True):
        expected = auc(codes.repeat_interleave(w, dim=0), onehot.repeat_interleave(w, dim=0))
        torch.testing.assert_close(area, expected, equal_nan=True)
    assert found[4].isnan().all()
    monkeypatch.setattr("saelab.analysis.resampled.CHUNK", 300)
    torch.testing.assert_close(auc_resampled(codes, onehot, weights), found, equal_nan=True)


def test_selectivity_intervals_equal_a_loop_over_resamples():
    codes, onehot = some(300)
    train = torch.arange(300) < 150
    scores = univariate(codes, onehot, train=train)
    found = selectivity_intervals(scores, codes, onehot, train=train, times=40, seed=3, selective=0.8)
    table = []
    for w in resamples(150, times=40, seed=3):
        rows = torch.cat([torch.arange(150), 150 + torch.arange(150).repeat_interleave(w)])
        table.append(selectivity(univariate(codes[rows], onehot[rows], train=train), selective=0.8))
    for name, value in selectivity(scores, selective=0.8).items():
        column = [row[name] for row in table]
        assert found[name].value.item() == pytest.approx(value)
        assert found[name].low.item() == pytest.approx(np.quantile(column, 0.025), abs=1e-9)
        assert found[name].high.item() == pytest.approx(np.quantile(column, 0.975), abs=1e-9)
    assert found["mean_best_auc"].low < found["mean_best_auc"].value < found["mean_best_auc"].high
    assert found["dead"].low == found["dead"].high == 1 / 8


def test_best_intervals_equal_a_loop_over_resamples():
    codes, onehot = some(200)
    onehot = torch.cat([onehot, torch.zeros(200, 1, dtype=torch.bool)], dim=1)  # one without rows, and so no latent
    train = torch.arange(200) < 100
    best = best_latents(univariate(codes, onehot, train=train))
    found = best_intervals(best, codes, onehot, train=train, times=60)
    for c in range(3):
        areas = []
        for w in resamples(100, times=60):
            rows = 100 + torch.arange(100).repeat_interleave(w)
            area = auc(codes[rows][:, [int(best.latent[c])]], onehot[rows][:, [c]]).item()
            areas.append(area if best.sign[c] > 0 else 1 - area)
        assert found.low[c].item() == pytest.approx(np.quantile(areas, 0.025))
        assert found.high[c].item() == pytest.approx(np.quantile(areas, 0.975))
        assert found.low[c] < found.value[c] <= found.high[c]
    assert best.latent[3] == -1
    assert found.low[3].isnan() and found.high[3].isnan()
