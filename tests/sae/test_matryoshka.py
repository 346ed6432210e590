"""Nested levels: by hand, against naive loops, and on any SAE."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from saelab.kernels import Support
from saelab.sae import BatchTopK, Matryoshka, ReLU, Step
from saelab.sae.prefixes import Prefixes, fixed_widths


def naive(sae: Matryoshka, s: Step, widths: list[int]) -> list[Tensor]:
    """The error of each level, by one reconstruction from a masked code per level."""
    errors = []
    for width in widths:
        f = torch.where(torch.arange(sae.d_sae) < width, s.f, torch.zeros(()))
        errors.append((s.y - sae.reconstruct(f, s.x)).square().sum(-1).mean())
    return errors


def test_two_levels_by_hand() -> None:
    # x = (4, 2), pre = (4, 2), both are kept. Level 1 reconstructs (4, 0): error 4. The whole: error 0.
    x = torch.tensor([[4.0, 2.0]])
    for weights, expected in (("sum", 4.0), ("mean", 2.0)):
        sae = Matryoshka(d_in=2, d_sae=2, k=2, levels=[1, 2], level_weights=weights, normalize="none")  # type: ignore[arg-type]
        with torch.no_grad():
            sae.W_enc.copy_(torch.eye(2))
            sae.W_dec.copy_(torch.eye(2))
        step = sae.step(x)
        assert step.f.tolist() == [[4.0, 2.0]]
        assert sae.losses(step)["recon"].item() == expected


@pytest.mark.parametrize("skip", [None, False, True])
@pytest.mark.parametrize("levels", [(3, 7, 24), (24,), (0.25, 0.5, 1.0)])
def test_levels_are_naive_loops(levels: tuple[float, ...], skip: bool | None) -> None:
    torch.manual_seed(0)
    site = {} if skip is None else {"d_out": 6, "skip": skip}
    sae = Matryoshka(d_in=8, d_sae=24, k=5, levels=levels, level_weights="sum", **site)  # type: ignore[arg-type]
    x = torch.randn(50, 8)
    y = None if skip is None else torch.randn(50, 6)
    sae.init_from_(x, y)
    with torch.no_grad():
        sae.b_dec.add_(torch.randn(sae.d_out))
        if sae.W_skip is not None:
            sae.W_skip.copy_(torch.randn(8, 6))
    widths = [6, 12, 24] if levels[-1] == 1 else [int(level) for level in levels]
    grads = []
    for loss in (lambda s: sae.losses(s)["recon"], lambda s: torch.stack(naive(sae, s, widths)).sum()):
        sae.zero_grad()
        value = loss(sae.step(x, y))
        value.backward()
        grads.append([value.detach(), *(p.grad for p in sae.parameters() if p.grad is not None)])
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_one_level_is_batchtopk() -> None:
    torch.manual_seed(0)
    x = torch.randn(50, 8)
    plain = BatchTopK(d_in=8, d_sae=24, k=5, aux_k=4, reanimate=0.1, dead_after=1)
    nested = Matryoshka(d_in=8, d_sae=24, k=5, levels=[1.0], aux_k=4, reanimate=0.1, dead_after=1)
    nested.load_state_dict(plain.state_dict())
    for sae in (plain, nested):
        sae.idle[:9] = 5
    expected, terms = plain.losses(plain.step(x)), nested.losses(nested.step(x))
    assert terms.keys() == expected.keys()
    for name in terms:
        torch.testing.assert_close(terms[name], expected[name])


def test_auxk_learns_from_the_residual_of_the_whole() -> None:
    torch.manual_seed(0)
    x = torch.randn(50, 8)
    one = Matryoshka(d_in=8, d_sae=24, k=5, levels=[1.0], aux_k=4, dead_after=1)
    many = Matryoshka(d_in=8, d_sae=24, k=5, levels=[2, 5, 24], aux_k=4, dead_after=1)
    many.load_state_dict(one.state_dict())
    for sae in (one, many):
        sae.idle[:9] = 5
    torch.testing.assert_close(many.losses(many.step(x))["aux"], one.losses(one.step(x))["aux"])


def test_the_backward_pass_takes_one_level_after_the_other() -> None:
    s = Matryoshka(d_in=8, d_sae=24, k=5, levels=[2, 5, 24]).step(torch.randn(50, 8))
    order = [t.grad_fn._sequence_nr() for pair in zip(s.levels, s.errors, strict=True) for t in pair]  # type: ignore[union-attr]
    assert len(order) == 6 and order == sorted(order)


def test_any_sae_can_be_nested() -> None:
    class Nested(ReLU):
        prefixes = Prefixes(d_sae=24, levels=[4, 24], random=0, weights="mean")

        def levels(self, f: Tensor, x: Tensor, where: Support | None) -> Iterator[Tensor]:
            return self.prefixes.levels(self, f, x, where)

        def error(self, s: Step) -> Tensor:
            return self.prefixes.error(s, self.likelihood)

    sae = Nested(d_in=8, d_sae=24, l1=0.5)
    s = sae.step(torch.randn(50, 8))
    prefix = (s.y - s.f[:, :4] @ sae.W_dec[:4] - sae.b_dec).square().sum(-1).mean()
    whole = (s.y - s.y_hat).square().sum(-1).mean()
    torch.testing.assert_close(sae.losses(s)["recon"], (prefix + whole) / 2)


def test_drawn_prefixes_are_short_ascending_and_end_with_the_whole() -> None:
    torch.manual_seed(0)
    prefixes = Prefixes(d_sae=2048, levels=[1.0], random=10, weights="mean")
    drawn = [prefixes.widths() for _ in range(500)]
    for widths in drawn:
        assert widths == sorted(set(widths)) and widths[-1] == 2048 and widths[0] >= 1 and len(widths) <= 10
    assert len({tuple(widths) for widths in drawn}) > 490
    # P(n < 64) = (1 - 64^-1/2) / (1 - 2048^-1/2) = 0.895: that of the smallest of nine is nearly 1, of the largest 0.37
    assert sum(widths[0] < 64 for widths in drawn) > 490
    assert sum(widths[-2] < 64 for widths in drawn) == pytest.approx(0.895**9 * 500, rel=0.2)
    assert Prefixes(d_sae=2048, levels=[1.0], random=1, weights="mean").widths() == [2048]


def test_drawn_prefixes_train() -> None:
    torch.manual_seed(0)
    sae = Matryoshka(d_in=8, d_sae=24, k=5, random_levels=4)
    sae.losses(sae.step(torch.randn(50, 8)))["recon"].backward()
    assert sae.W_dec.grad is not None and sae.W_dec.grad.isfinite().all()


def test_fractions_that_round_alike_are_one_level() -> None:
    assert fixed_widths([1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0], 2048) == [128, 256, 512, 1024, 2048]
    assert fixed_widths([1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0], 6) == [1, 2, 3, 6]
    assert fixed_widths([2, 6], 6) == [2, 6]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"levels": []}, "ascending"),
        ({"levels": [4, 4, 8]}, "ascending"),
        ({"levels": [0, 8]}, "positive"),
        ({"levels": [4, 9]}, "d_sae=8"),
        ({"levels": [0.5, 8]}, "whole"),
        ({"random_levels": -1}, "random_levels=-1"),
        ({"k": 0}, "k=0"),
    ],
)
def test_rules(wrong: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Matryoshka(**({"d_in": 4, "d_sae": 8, "k": 2} | wrong))  # type: ignore[arg-type]
