from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_store import Digits, Net, flat, make

from saelab.store import MemoryBatches, PoolBatches, Store

SITE, TARGET = "net.1:in", "net.2"


@pytest.fixture(scope="module")
def stores() -> dict[int, Store]:
    """One store for each number of rows."""
    with tempfile.TemporaryDirectory() as folder:
        sizes = (3, 32, 101)
        yield {
            n: make(Path(folder) / str(n), Net(), Digits(train=n), sites=[SITE, TARGET], dtype="bfloat16")
            for n in sizes
        }


def server(store: Store, kind: str, **options):
    options = {"split": "train", "site": SITE, "target_site": TARGET, "batch_size": 10, **options}
    return MemoryBatches(store, **options) if kind == "memory" else PoolBatches(store, **{"pool_rows": 40, **options})


def served(batches, epoch: int = 0) -> list[list[int]]:
    batches.set_epoch(epoch)
    return [acts.row.tolist() for acts in batches]


options = {
    "kind": st.sampled_from(["memory", "pool"]),
    "n": st.sampled_from([3, 32, 101]),
    "batch_size": st.integers(3, 40),
    "world": st.integers(1, 3),
    "pool_rows": st.integers(1, 120),
    "shuffle": st.booleans(),
    "epoch": st.integers(0, 3),
}


@settings(max_examples=150, deadline=None)
@given(**options)
def test_every_row_once_and_equal_batches(stores, kind, n, batch_size, world, pool_rows, shuffle, epoch) -> None:
    more = {"pool_rows": pool_rows} if kind == "pool" else {}
    ranks = [
        server(stores[n], kind, batch_size=batch_size, shuffle=shuffle, rank=r, world=world, **more)
        for r in range(world)
    ]
    rows = [served(rank, epoch) for rank in ranks]
    assert sorted(flat(flat(rows))) == [*range(n)]
    assert {len(r) for r in rows} == {len(ranks[0])}
    sizes = [len(b) for r in rows for b in r]
    assert min(sizes) >= 1
    assert max(sizes) <= -(-batch_size // world) + 1

    # ranks only cut the order: laid side by side they give the batches of one process
    together = [flat(parts) for parts in zip(*rows, strict=True)]
    alone = flat(served(server(stores[n], kind, batch_size=batch_size, shuffle=shuffle, **more), epoch))
    assert flat(together) == alone
    if not shuffle:
        assert alone == [*range(n)]


@settings(max_examples=60, deadline=None)
@given(**options, at=st.integers(0, 200))
def test_a_resumed_epoch_is_the_rest_of_it(stores, kind, n, batch_size, world, pool_rows, shuffle, epoch, at) -> None:
    more = {"pool_rows": pool_rows} if kind == "pool" else {}
    more |= {"batch_size": batch_size, "shuffle": shuffle, "rank": world - 1, "world": world}
    straight = server(stores[n], kind, **more)
    expected = [served(straight, epoch), served(straight, epoch + 1)]
    first, at = server(stores[n], kind, **more), min(at, len(straight))
    first.set_epoch(epoch)
    iterator = iter(first)
    for _ in range(at):
        next(iterator)
    state = first.state_dict()
    second = server(stores[n], kind, **more)
    second.load_state_dict(state)
    second.set_epoch(epoch)
    assert [acts.row.tolist() for acts in second] == expected[0][at:]
    assert served(second, epoch + 1) == expected[1]
    assert served(second, epoch) == expected[0]


@pytest.mark.parametrize("kind", ["memory", "pool"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_rows_carry_their_activations(stores, kind, shuffle) -> None:
    x, y = (stores[101].tensor("train", site) for site in (SITE, TARGET))
    for acts in server(stores[101], kind, shuffle=shuffle):
        assert acts.x.dtype == acts.y.dtype == torch.float32
        assert torch.equal(acts.x, x[acts.row])
        assert torch.equal(acts.y, y[acts.row])
    for acts in server(stores[101], kind, target_site=None):
        assert acts.y is acts.x


@pytest.mark.parametrize("kind", ["memory", "pool"])
def test_the_order_is_fixed_by_seed_and_epoch(stores, kind) -> None:
    orders = [served(server(stores[101], kind, seed=s), e) for s in (0, 1) for e in (0, 1)]
    assert len({str(o) for o in orders}) == 4
    assert orders[0] == served(server(stores[101], kind, seed=0), 0)
    assert served(server(stores[101], kind, shuffle=False), 1) == served(server(stores[101], kind, shuffle=False), 2)


@pytest.mark.parametrize("kind", ["memory", "pool"])
def test_a_served_batch_is_the_users_own(stores, kind) -> None:
    batches = server(stores[101], kind, batch_size=25)
    kept = [acts for acts in batches]
    copies = [acts.x.clone() for acts in kept]
    for acts in batches:
        acts.x.zero_()
    assert all(torch.equal(a.x, c) for a, c in zip(kept, copies, strict=True))
    assert sum((acts.x != 0).sum() for acts in batches) > 0


def test_an_abandoned_epoch_leaves_nothing_behind(stores) -> None:
    batches = server(stores[101], "pool")
    for _ in batches:
        break
    assert len(served(batches)) == len(batches) == 11


@pytest.mark.parametrize("change", [{"batch_size": 11}, {"seed": 1}, {"world": 2}, {"pool_rows": 41}])
def test_resuming_with_another_order_is_refused(stores, change) -> None:
    state = server(stores[101], "pool").state_dict()
    with pytest.raises(ValueError, match=f"{next(iter(change))} was"):
        server(stores[101], "pool", **change).load_state_dict(state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"rank": 2, "world": 2}, "rank=2"),
        ({"world": 102}, "cannot feed 102"),
        ({"site": "x"}, "no site 'x'"),
        ({"target_site": "y"}, "no site 'y'"),
        ({"split": "z"}, "no split 'z'"),
        ({"pool_rows": 0}, "pool_rows=0"),
    ],
)
def test_mistakes(stores, change, message) -> None:
    with pytest.raises(ValueError, match=message):
        server(stores[101], "pool", **change)
