"""Which path a step takes, and the trial that finds it on a GPU."""

from __future__ import annotations

import warnings

import pytest
import torch
from variants import make, names, rows

from saelab.sae import SAE, path

SPARSE = [n for n in names() if type(make(n)).support is not SAE.support and not make(n).encoder_hidden]
ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def small(name: str = "topk") -> tuple[SAE, torch.Tensor]:
    sae = make(name, d_in=8, d_sae=32, aux_k=3, dead_after=100).train()
    return sae, sae.norm(rows(64, 8))


def test_on_a_cpu_density_and_shape_decide_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    for chosen, easy, hard in [(False, 0.22, 0.09), (True, 0.11, 0.06)]:
        monkeypatch.setattr(path, "products_chosen", lambda chosen=chosen: chosen)
        for d_out, d_sae, below in [(512, 4096, easy), (128, 512, hard), (768, 12_288, hard)]:
            assert path.sparse_on_cpu(below - 0.001, d_out, d_sae)
            assert not path.sparse_on_cpu(below, d_out, d_sae)


def test_a_trial_comes_after_20_steps_and_400(monkeypatch: pytest.MonkeyPatch) -> None:
    sae, x = small()
    tried: list[int] = []
    answers = iter([True, False])
    monkeypatch.setattr(path, "sparse_is_faster", lambda *_: tried.append(sae.trial.steps) or next(answers))
    taken = []
    for _ in range(400):
        taken.append(sae.trial(sae, x, x))
        with torch.no_grad():
            sae.trial(sae, x, x)  # a step that does not train
        sae.eval()
        sae.trial(sae, x, x)
        sae.train()
    assert tried == [20, 400]
    assert taken == [False] * 19 + [True] * 380 + [False]


@pytest.mark.parametrize("name", SPARSE)
def test_a_trial_leaves_no_trace(name: str) -> None:
    sae, x = small(name)
    before, numbers = {k: v.clone() for k, v in sae.state_dict().items()}, torch.get_rng_state()
    with warnings.catch_warnings(action="error"):  # the paths agree
        assert path.sparse_is_faster(sae, x, x) in (True, False)
    assert torch.equal(torch.get_rng_state(), numbers)
    assert all(p.grad is None for p in sae.parameters())
    for key, value in sae.state_dict().items():
        assert torch.equal(value, before[key]), key


@pytest.mark.parametrize(("dense", "sparse", "faster"), [(2.0, 1.0, True), (1.0, 2.0, False), (1.0, 1.0, False)])
def test_the_faster_path_is_taken(dense: float, sparse: float, faster: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    sae, x = small()
    clock, real = [0.0], path.gradients

    def slowly(*args: object, sparse: bool) -> torch.Tensor:
        clock[0] += costs[sparse]
        return real(*args, sparse=sparse)  # type: ignore[arg-type]

    costs = {False: dense, True: sparse}
    monkeypatch.setattr(path, "gradients", slowly)
    monkeypatch.setattr(path, "now", lambda _: clock[0])
    assert path.sparse_is_faster(sae, x, x) is faster


def test_a_path_that_fails_or_differs_is_told_and_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    sae, x = small()
    real = sae.latents_at

    def doubled(x: torch.Tensor) -> tuple[object, ...]:
        pre, f, where = real(x)
        return pre, 2 * f, where

    def failing(_: torch.Tensor) -> None:
        raise NotImplementedError("no such kernel")

    for broken, said in [(doubled, "differs by"), (failing, "failed: no such kernel")]:
        monkeypatch.setattr(sae, "latents_at", broken)
        with pytest.warns(UserWarning, match=f"On cpu the sparse path of TopK {said}"):
            assert not path.sparse_is_faster(sae, x, x)


def test_gradients_are_those_of_the_loss() -> None:
    sae, x = small()
    found = path.gradients(sae, x, x, sparse=True)
    loss = torch.stack(list(sae.losses(sae.step_on(x, x, sparse=False)).values())).sum()
    loss.backward()
    each = [torch.zeros_like(p) if p.grad is None else p.grad for p in sae.parameters() if p.requires_grad]
    torch.testing.assert_close(found, torch.cat([loss.detach().view(1), *(g.reshape(-1) for g in each)]))


@ON_GPU
@pytest.mark.parametrize("name", SPARSE)
def test_on_a_gpu_both_paths_are_equal(name: str) -> None:
    sae, x = small(name)
    sae, x = sae.double().cuda(), x.double().cuda()
    a, b = path.gradients(sae, x, x, sparse=False), path.gradients(sae, x, x, sparse=True)
    torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-5)
    with warnings.catch_warnings(action="error"):
        path.sparse_is_faster(sae, x, x)
    for _ in range(30):
        sae.track_(sae.step(x))  # through a trial, whichever path it takes
