import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saelab.data import rng

M64 = (1 << 64) - 1


def splitmix_finaliser(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M64
    return z ^ (z >> 31)


def by_hand(stream: int, *counters: int) -> int:
    for counter in counters:
        stream = splitmix_finaliser((stream + (counter + 1) * 0x9E3779B97F4A7C15) & M64)
    return stream


def test_published_splitmix64_values():
    # the first outputs of SplitMix64 seeded with 1234567, as published with its reference implementation
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert [int(h) & M64 for h in rng.bits(1234567, torch.arange(4))] == expected


@given(st.integers(0, M64), st.lists(st.integers(0, 2**40), min_size=1, max_size=4))
def test_bits_equal_python_integers(stream, counters):
    tensors = [torch.tensor(counter) for counter in counters]
    assert int(rng.bits(stream, *tensors)) & M64 == by_hand(stream, *counters)


@given(st.lists(st.tuples(st.integers(0, 2**40), st.booleans()), min_size=1, max_size=4))
def test_an_int_counter_equals_a_tensor_counter(counters):
    mixed = [c if plain else torch.tensor(c) for c, plain in counters]
    if all(plain for _, plain in counters):
        with pytest.raises(ValueError, match="at least one tensor"):
            rng.bits(7, *mixed)
    else:
        assert int(rng.bits(7, *mixed)) == int(rng.bits(7, *(torch.tensor(c) for c, _ in counters)))


def test_counters_broadcast_and_stay_as_they_are():
    rows, columns = torch.arange(5)[:, None], torch.arange(3)
    grid = rng.bits(1, rows, 4, columns)
    assert grid.shape == (5, 3)
    assert grid[2, 1] == rng.bits(1, torch.tensor(2), 4, torch.tensor(1))
    assert rows.flatten().tolist() == [0, 1, 2, 3, 4]
    assert columns.tolist() == [0, 1, 2]


def test_keys_differ_by_every_name_and_by_order():
    names = [("a",), ("b",), ("a", 0), ("a", 1), (0, "a"), ("a", "0")]
    assert len({rng.key(*n) for n in names}) == len(names)
    assert rng.key("a", 1) == rng.key("a", 1)


def test_uniform_is_the_top_24_bits():
    h = torch.tensor([0, -1, 1 << 40, 1 << 62])
    assert rng.uniform(h).tolist() == [0.0, 1 - 2**-24, 2**-24, 0.25]


def test_uniform_statistics():
    u = rng.uniform(rng.bits(rng.key("u"), torch.arange(200_000))).double()
    assert u.dtype == torch.float64
    assert abs(u.mean() - 0.5) < 4 * math.sqrt(1 / 12 / len(u))
    assert abs(u.var() - 1 / 12) < 1e-3
    histogram = torch.histc(u, bins=64, min=0, max=1)
    assert ((histogram - len(u) / 64) ** 2 / (len(u) / 64)).sum() < 120  # chi^2 with 63 degrees, p ~ 1e-5
    assert abs(torch.corrcoef(torch.stack([u[:-1], u[1:]]))[0, 1]) < 0.01


def test_every_bit_is_fair_and_every_input_bit_matters():
    h = rng.bits(rng.key("bits"), torch.arange(20_000))
    shares = torch.stack([(h >> i) & 1 for i in range(64)]).double().mean(1)
    assert (shares - 0.5).abs().max() < 0.02
    for bit in range(0, 40, 3):
        flipped = h ^ rng.bits(rng.key("bits"), torch.arange(20_000) ^ (1 << bit))
        changed = torch.stack([(flipped >> i) & 1 for i in range(64)]).double().mean()
        assert abs(changed - 0.5) < 0.01


@given(st.integers(-50, 50), st.integers(1, 60))
@settings(max_examples=30)
def test_integers_cover_their_range(low, width):
    values = rng.integers(rng.bits(3, torch.arange(width * 60)), low, low + width)
    assert set(values.tolist()) == set(range(low, low + width))


def test_integers_are_uniform():
    counts = rng.integers(rng.bits(5, torch.arange(70_000)), -3, 4).add(3).bincount()
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 30


@pytest.mark.parametrize(("low", "high"), [(0, 0), (3, 2), (0, 2**31)])
def test_integers_refuse_an_empty_or_too_wide_range(low, high):
    with pytest.raises(ValueError, match="high - low"):
        rng.integers(torch.zeros(1, dtype=torch.int64), low, high)


def test_normal_statistics():
    z = rng.normal(rng.bits(rng.key("z"), torch.arange(400_000))).double()
    assert abs(z.mean()) < 0.01
    assert abs(z.std() - 1) < 0.01
    assert abs((z**3).mean()) < 0.03
    assert abs((z**4).mean() - 3) < 0.08
    assert torch.isfinite(rng.normal(torch.tensor([0, -1]))).all()


@given(st.integers(1, 200), st.integers(0, 100))
@settings(max_examples=40)
def test_permutation_is_one_and_depends_on_its_counters(n, epoch):
    p = rng.permutation(rng.key("p"), n, epoch)
    assert p.sort().values.tolist() == list(range(n))
    stacked = rng.permutation(rng.key("p"), n, torch.tensor([[epoch], [epoch + 1]]))
    assert torch.equal(stacked[0], p)
    if n > 20:
        assert not torch.equal(stacked[0], stacked[1])


def test_permutation_positions_are_uniform():
    many = rng.permutation(rng.key("p"), 5, torch.arange(10_000)[:, None])
    counts = torch.stack([many[:, i].bincount(minlength=5) for i in range(5)])
    assert (counts - 2000).abs().max() < 200


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_gives_the_same_numbers():
    counters = torch.arange(100_000)
    cpu, gpu = rng.bits(9, 1, counters), rng.bits(9, 1, counters.cuda())
    assert torch.equal(cpu, gpu.cpu())
    assert torch.equal(rng.uniform(cpu), rng.uniform(gpu).cpu())
    assert torch.equal(rng.integers(cpu, -7, 9), rng.integers(gpu, -7, 9).cpu())
    assert torch.equal(
        rng.permutation(3, 5000, counters[:2, None]), rng.permutation(3, 5000, gpu.new_tensor([[0], [1]])).cpu()
    )
    assert torch.allclose(rng.normal(cpu), rng.normal(gpu).cpu(), atol=1e-5)
