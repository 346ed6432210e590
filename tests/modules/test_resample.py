"""Resampling: where new latents point, what the optimiser forgets, how the learning rate climbs back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from test_training import Data, module, trainer

from saelab.modules import MuonAdam, Resample
from saelab.modules.resample import resample_, reset_moments_
from saelab.sae import TopK


def test_new_latents_point_at_the_worst_row() -> None:
    torch.manual_seed(0)
    sae = TopK(d_in=4, d_sae=6, k=2, normalize="none", b_dec_init="zeros")
    with torch.no_grad():
        sae.W_enc[:, :4] = 0.01 * torch.eye(4)[[0, 1, 2, 2]].T
        sae.W_dec[:] = torch.eye(4)[[0, 1, 2, 2, 0, 0]]
    worst = torch.tensor([0.0, 0.0, 0.0, 50.0])
    x = torch.cat([0.01 * torch.randn(20, 4), worst[None]])
    dead = torch.tensor([4, 5])
    length = sae.W_enc[:, :4].norm(dim=0).mean()
    sae.idle.fill_(7)
    resample_(sae, dead, x.repeat(3, 1), scale=0.2)
    torch.testing.assert_close(sae.W_dec[dead].detach(), torch.eye(4)[[3, 3]], atol=1e-3, rtol=0)
    torch.testing.assert_close(sae.W_enc[:, dead].norm(dim=0).detach(), (0.2 * length).expand(2).detach())
    assert sae.b_enc[dead].tolist() == [0, 0]
    assert sae.idle.tolist() == [7, 7, 7, 7, 0, 0]


def test_rows_are_drawn_by_the_square_of_their_loss() -> None:
    """Two rows, one with twice the error: 16 times as often."""
    sae = TopK(d_in=2, d_sae=4001, k=1, normalize="none")
    with torch.no_grad():
        sae.W_enc.zero_()
    torch.manual_seed(0)
    resample_(sae, torch.arange(4000), torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    share = (sae.W_dec[:4000, 1] > 0.5).float().mean().item()
    assert share == pytest.approx(16 / 17, abs=0.02)


def test_reinit_is_random_and_a_transcoder_gets_both_ends() -> None:
    sae = TopK(d_in=3, d_out=5, d_sae=8, k=2)
    before = sae.W_dec.detach().clone()
    resample_(sae, torch.tensor([1]), torch.randn(4, 3), torch.randn(4, 5), mode="reinit")
    assert not torch.equal(sae.W_dec[1], before[1])
    assert torch.equal(sae.W_dec[[0, 2]], before[[0, 2]])
    resample_(sae, torch.tensor([2]), torch.randn(4, 3), torch.randn(4, 5))
    assert sae.W_dec[2].norm().item() == pytest.approx(1)


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, MuonAdam])
def test_moments_of_new_latents_are_forgotten_and_no_others(optimizer: Any) -> None:
    sae = TopK(d_in=3, d_sae=8, k=2)
    adam = optimizer(sae.parameters(), lr=0.1)
    sae.losses(sae.step(torch.randn(64, 3)))["recon"].backward()
    adam.step()
    state = getattr(adam, "state_of", lambda p: adam.state[p])
    reset_moments_(adam, sae, torch.tensor([1, 5]))
    for parameter, axis in ((sae.W_enc, 1), (sae.W_dec, 0), (sae.b_enc, 0)):
        for value in state(parameter).values():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                of_latent = value.movedim(axis, 0).abs().reshape(8, -1).sum(1)
                assert of_latent[[1, 5]].tolist() == [0, 0]
                assert (of_latent[[0, 2, 3, 4, 6, 7]] > 0).any()
    before = state(sae.b_dec)
    assert any(v.abs().sum() > 0 for v in before.values() if isinstance(v, torch.Tensor) and v.shape == (3,))


class Rates(L.Callback):
    """The learning rate of every step, as it is when the step is taken."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.rates.append(optimizer.param_groups[0]["lr"])


def test_the_learning_rate_climbs_back_and_dead_latents_are_counted(tmp_path: Path) -> None:
    sae, rates = module(lr_warmup=0.0, lr_decay=0.0), Rates()
    sae.sae.dead_after = 100
    resample = Resample(every=5, rewarm=3, until=0.5)
    fit = trainer(tmp_path, max_epochs=2, callbacks=[resample, rates])  # 16 steps

    class Kill(L.Callback):
        def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
            if trainer.global_step == 4:
                pl_module.sae.W_enc.data[:, :3] = 0
                pl_module.sae.b_enc.data[:3] = -1e6
                pl_module.sae.idle[:3] = 10**6

    fit.callbacks.append(Kill())
    fit.fit(sae, datamodule=Data())
    assert resample.resampled == 3
    expected = [1e-2] * 5 + [1e-2 * f for f in (0.25, 0.5, 0.75)] + [1e-2] * 8
    assert rates.rates == pytest.approx(expected)
    assert sae.sae.b_enc[:3].abs().max() < 1


class Network(L.LightningModule):
    """A base network, which is trained first under the callbacks of the SAE."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(8, 1)

    def training_step(self, batch: Any, _: int) -> torch.Tensor:
        return self.layer(batch.x).square().mean()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_a_base_network_is_left_alone(tmp_path: Path) -> None:
    states = []
    for callbacks in ([], [Resample(every=2, until=1.0)]):
        torch.manual_seed(0)
        network = Network()
        trainer(tmp_path, max_epochs=1, callbacks=callbacks).fit(network, datamodule=Data())
        states.append(network.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_variant_without_rows_of_its_own_is_refused() -> None:
    sae = TopK(d_in=3, d_sae=8, k=2)
    sae.W_enc = None  # type: ignore[assignment]
    with pytest.raises(ValueError, match="could be resampled"):
        resample_(sae, torch.tensor([0]), torch.randn(4, 3))
