"""Many SAEs trained as one run: every batch is read once, and each member takes it as it would alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from saelab.modules.sae import SAEModule
from saelab.modules.step_log import StepLog
from saelab.modules.straight import take_step


class PackModule(StepLog):
    """SAEs that see the same rows in the same order, each with an optimiser, a schedule and random numbers of its own.

    The members are ordinary `SAEModule`s of any variants and widths, and all that is computed is their own code: a pack
    holds the batch before one after the other. On a CPU they go side by side, one member to a core, which needs no two
    cores to wait for each other inside a product; where a variant draws random numbers they take turns. What a member
    logs is told as `<number>/<name>`, which `PackCurves` and a checkpoint's `monitor` take apart again.

    Members are not stacked `[m, ...]` for batched products: with 1,024 rows and 512 latents one member's codes stay in
    cache and twenty members' do not, and `torch.func.vmap` of the step took 1.2 to 1.5 times as long as this loop.

    Args:
        members: what is trained.
        draws: the state of torch's random numbers after each was built, from which it goes on.
        workers: how many members go side by side; None: as many as torch uses threads, and one on a GPU.
    """

    kind = "sae"

    def __init__(self, *, members: Sequence[SAEModule], draws: Sequence[Tensor], workers: int | None = None) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.seats = [Seat(module, state) for module, state in zip(members, draws, strict=True)]
        self.workers, self.pool, self.begun = workers, None, False

    def configure_optimizers(self) -> Any:
        for seat in self.seats:
            seat.attach(self.trainer)
            built = seat.module.configure_optimizers()
            seat.optimizers, seat.schedule = [built["optimizer"]], built["lr_scheduler"]["scheduler"]
        optimizer = Together([seat.optimizers[0] for seat in self.seats])
        schedule = Schedules([seat.schedule for seat in self.seats], optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    # -------------------------------------------------------------------------------------------------- one batch

    def training_step(self, batch: Any, index: int) -> Tensor:
        before = [seat.draws for seat in self.seats]
        self._each(lambda seat: take_step(seat.module, seat.optimizers[0], self.trainer, batch, index))
        if not self.begun and all(map(torch.equal, before, [seat.draws for seat in self.seats])):
            self._open_pool()
        self.begun = True
        self.log("SAEs", float(len(self.seats)), prog_bar=True, logger=False)
        return torch.zeros((), device=self.device)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Nothing: each member has gone back, clipped and stepped on its own."""

    def optimizer_zero_grad(self, *args: Any, **kwargs: Any) -> None:
        pass

    def configure_gradient_clipping(self, *args: Any, **kwargs: Any) -> None:
        pass

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        scheduler.step()

    # ------------------------------------------------------------------------------------- everything else, in turn

    def on_train_start(self) -> None:
        self._each(lambda seat: seat.module.on_train_start())

    def validation_step(self, batch: Any, index: int) -> None:
        self._each(lambda seat: seat.module.validation_step(batch, index))

    def on_validation_epoch_end(self) -> None:
        self._each(lambda seat: seat.module.on_validation_epoch_end())

    def on_validation_model_eval(self) -> None:
        self._each(lambda seat: seat.module.on_validation_model_eval())

    def on_validation_model_train(self) -> None:
        self._each(lambda seat: seat.module.on_validation_model_train())

    def on_train_end(self) -> None:
        self._each(lambda seat: seat.module.on_train_end())

    def teardown(self, stage: str) -> None:
        if self.pool is not None:
            self.pool.shutdown()
            torch.set_num_threads(self.threads)
            self.pool = None
        for seat in self.seats:
            seat.module.fabric = None

    def _each(self, do: Callable[[Seat], Any]) -> None:
        """Let every member do something, then tell what they logged."""
        if self.pool is None:
            for seat in self.seats:
                torch.set_rng_state(seat.draws)
                do(seat)
                seat.draws = torch.get_rng_state()
        else:
            inference, grad = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

            def there(seat: Seat) -> None:  # modes are a thread's own
                with torch.inference_mode(inference), torch.set_grad_enabled(grad):
                    do(seat)

            list(self.pool.map(there, self.seats))
        told = {f"{number}/{name}": v for number, seat in enumerate(self.seats) for name, v in seat.told.items()}
        self.log_dict(told)
        for seat in self.seats:
            seat.told = {}

    def _open_pool(self) -> None:
        """One thread a member at a time, one core a thread."""
        self.threads = torch.get_num_threads()
        most = self.threads if self.device.type == "cpu" else 1
        workers = min(len(self.seats), most if self.workers is None else self.workers)
        if workers > 1:
            self.pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))


class Seat:
    """A member's place in a pack: the pack's trainer, but with the member's optimiser and a log of its own.

    A module takes it for Lightning's Fabric, which is there for modules in a loop that is not the trainer's.
    """

    def __init__(self, module: SAEModule, draws: Tensor) -> None:
        self.module, self.draws = module, draws
        self.optimizers: list[Optimizer] = []
        self.schedule: Any = None
        self.loggers: list[Any] = []
        self.told: dict[str, Any] = {}

    def attach(self, trainer: L.Trainer) -> None:
        self.trainer = trainer
        self.module.trainer = trainer
        self.module.fabric = self  # type: ignore[assignment]

    def log_dict(self, metrics: dict[str, Any]) -> None:
        """Keep what is logged as it is now; a threshold will have moved when the pack tells it."""
        self.told |= {name: v.clone() if isinstance(v, Tensor) else v for name, v in metrics.items()}

    def __getattr__(self, name: str) -> Any:
        if name == "trainer":
            raise AttributeError(name)
        return getattr(self.trainer, name)


class Together(Optimizer):
    """The optimisers of a pack as one, for Lightning to count and to save; members step their own."""

    def __init__(self, parts: Sequence[Optimizer]) -> None:
        self.parts = list(parts)
        super().__init__([p for part in parts for group in part.param_groups for p in group["params"]], {})
        self.state = defaultdict(dict)  # the parts keep theirs

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        assert closure is not None
        return closure()

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)


class Schedules:
    """The learning-rate schedules of a pack as one."""

    def __init__(self, parts: Sequence[Any], optimizer: Together) -> None:
        self.parts, self.optimizer = list(parts), optimizer

    def step(self) -> None:
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
