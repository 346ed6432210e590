from __future__ import annotations

import pytest
import torch

from saelab.store import rows, unrows

MODES = [
    ("all", lambda x: x.reshape(-1, 5), [0, 1, 2, 3]),
    ("cls", lambda x: x[:, 0], [0]),
    ("patches", lambda x: x[:, 1:].reshape(-1, 5), [1, 2, 3]),
    ("last", lambda x: x[:, -1], [3]),
    ("mean", lambda x: x.mean(1), [-1]),
    ([2, -1], lambda x: x[:, [2, 3]].reshape(-1, 5), [2, 3]),
]


@pytest.mark.parametrize(("tokens", "expected", "position"), MODES)
def test_sequence(tokens, expected, position) -> None:
    x = torch.randn(3, 4, 5)
    found = rows(x, tokens)
    assert torch.equal(found.x, expected(x))
    assert found.position.tolist() == position * 3
    assert found.per_item == len(position)


@pytest.mark.parametrize(("tokens", "expected", "position"), MODES)
def test_unrows_inverts_and_leaves_other_tokens(tokens, expected, position) -> None:
    x, new = torch.randn(3, 4, 5), torch.randn(3 * len(position), 5)
    back = unrows(new, x, tokens)
    torch.testing.assert_close(rows(back, tokens).x, new)
    torch.testing.assert_close(unrows(rows(x, tokens).x, x, tokens), x)
    if tokens != "mean":
        rest = [p for p in range(4) if p not in position]
        assert torch.equal(back[:, rest], x[:, rest])


@pytest.mark.parametrize("tokens", ["all", "mean"])
def test_image(tokens) -> None:
    x = torch.randn(2, 3, 4, 5)
    found = rows(x, tokens)
    if tokens == "all":
        assert torch.equal(found.x[1 * 20 + 2 * 5 + 3], x[1, :, 2, 3])
        assert found.position.tolist() == [*range(20)] * 2
    else:
        torch.testing.assert_close(found.x, x.mean((2, 3)))
    new = torch.randn_like(found.x)
    back = unrows(new, x, tokens)
    assert back.shape == x.shape
    torch.testing.assert_close(rows(back, tokens).x, new)


def test_vectors_are_rows_whatever_the_tokens() -> None:
    x = torch.randn(3, 5)
    assert torch.equal(rows(x, "cls").x, x)
    assert rows(x).position.tolist() == [-1] * 3
    assert torch.equal(unrows(x + 1, x), x + 1)


@pytest.mark.parametrize(
    ("shape", "tokens", "message"),
    [
        ((2,), "all", "has no rows"),
        ((2, 3, 4, 5), "cls", "image"),
        ((2, 3, 4), [3], "sequence of 3"),
        ((2, 3, 4), [0, 0], "distinct"),
        ((2, 3, 4), "clss", "use all, cls"),
        ((2, 1, 4), "patches", "no row"),
    ],
)
def test_mistakes(shape, tokens, message) -> None:
    with pytest.raises(ValueError, match=message):
        rows(torch.zeros(shape), tokens)
