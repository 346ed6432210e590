"""DenSaE: a dense and a sparse dictionary, unrolled."""

from __future__ import annotations

from typing import Unpack

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saelab.sae.init import unit_rows
from saelab.sae.proximal import largest_eigenvalue, monotone_fista, shrink
from saelab.sae.step import Common, Dense, Step
from saelab.sae.two_stream import TwoStream


class DenSaE(TwoStream):
    """z, f: where T iterations of proximal gradient get to in minimising, with x' = x − b_dec (Tasissa et al. 2020),

        F(z, f) = ½ ‖x' − z A − f B‖² + ½ ridge ‖z‖² + l1 ‖f‖₁,   A = W_dense [n_dense, d], B = W_dec [d_sae, d]

    from a learned linear guess, or from zero; then y_hat = z A + f B + b_dec. Atoms have norm one. The step is 1/L,
    L >= λ_max([A; B]ᵀ[A; B]) + ridge, kept in a buffer that every `project_` renews: F never rises, in no iteration and
    whatever the dictionaries, where fixed steps blow up as atoms align. Iterations are accelerated by the monotone form
    of FISTA, or plain without `momentum`.

    loss = ‖y − y_hat‖² + l1 Σ_i |f_i| (`sparsity`) + AuxK, means over rows: note that F halves the square, the loss
    does not. pre is what one more step would shrink to a code, f + (x' − z A − f B) Bᵀ / L − l1 / L. Inference is in
    float32, or in what is wider, whatever the model's dtype.

    Args:
        n_dense: width of the dense code.
        iterations: T.
        l1: weight of the sparse code's absolute values.
        ridge: weight of the dense code's squares.
        signed: sparse codes of either sign.
        momentum: False for plain iterations.
        amortize: start from z = x' W_start and f = ReLU(x' W_enc + b_enc) (no ReLU if `signed`), not from zero. L grows
            to 20 to 50 in training, and from zero ten steps of 1/L are far from the minimum: in the quickstart, at
            l1 = 0.5, L0 is 81 and EV 0.976 from zero, 19 and 0.983 from the guess.
        d_in, and the rest: see `SAE`.

    Errors: ValueError for a transcoder (inference sees the input alone), for other decoders than `unit`, and for
    `start_l0`.
    """

    controller = ("lipschitz",)
    lipschitz: Tensor

    def __init__(
        self,
        *,
        n_dense: int = 16,
        iterations: int = 10,
        l1: float = 0.35,
        ridge: float = 0.1,
        signed: bool = False,
        momentum: bool = True,
        amortize: bool = True,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(**common)
        if self.transcoder:
            raise ValueError("DenSaE explains its input with the atoms it is made of, so it cannot be a transcoder.")
        if self.decoder != "unit":
            raise ValueError(f"decoder={self.decoder}: DenSaE's atoms are its own and of norm one; decoder=unit.")
        if self.start_l0:
            raise ValueError(f"start_l0={self.start_l0}: DenSaE's codes come from its l1, not biases; leave it at 0.")
        if n_dense < 1 or iterations < 1:
            raise ValueError(f"n_dense={n_dense} and iterations={iterations} must be positive.")
        if l1 < 0 or ridge < 0:
            raise ValueError(f"l1={l1} and ridge={ridge} must not be negative.")
        self.n_dense, self.iterations, self.l1, self.ridge = n_dense, iterations, l1, ridge
        self.signed, self.momentum, self.amortize = signed, momentum, amortize
        self.W_dense = nn.Parameter(unit_rows(n_dense, self.d_in))
        self.register_buffer("lipschitz", largest_eigenvalue(self.atoms()) + ridge)
        if amortize:
            step = 1 / self.lipschitz
            self.W_start = nn.Parameter(self.W_dense.detach().T * step)
            self.W_enc = nn.Parameter(self.W_dec.detach().T * step)
            self.b_enc = nn.Parameter(-self.l1 * step.expand(self.d_sae))

    def build_encoder(self) -> None:
        """None: the atoms are the encoder; what `amortize` adds comes when their step is known."""
        self.register_parameter("W_enc", None)
        self.register_parameter("b_enc", None)

    def atoms(self) -> Float[Tensor, "n d"]:
        """A over B, `[n_dense + d_sae, d]`."""
        return torch.cat([self.W_dense, self.W_dec])

    def infer(self, x: Float[Tensor, "b i"]) -> tuple[Float[Tensor, "b s"], Float[Tensor, "b s"], Dense]:
        wide, sizes = torch.promote_types(x.dtype, torch.float32), [self.n_dense, self.d_sae]
        with torch.autocast(x.device.type, enabled=False):
            b_dec, atoms = self.b_dec.to(wide), self.atoms().to(wide)
            x_c = x.to(wide) - b_dec
            codes = self.minimise(x_c, atoms)
            A, B = atoms.split(sizes)
            z, f = codes.split(sizes, 1)
            pre = self.ascend(x_c - codes @ atoms, codes, atoms)[1] - self.l1 / self.lipschitz
            parts = [part.to(x.dtype) for part in (pre, f, z, z @ A + b_dec, f @ B)]
        return parts[0], parts[1], Dense(*parts[2:])

    def minimise(self, x: Float[Tensor, "b d"], atoms: Float[Tensor, "n d"]) -> Float[Tensor, "b n"]:
        """Both codes of centred rows, side by side, after all iterations."""

        def descend(codes: Float[Tensor, "b n"], y: Float[Tensor, "b d"]) -> Float[Tensor, "b n"]:
            z, f = self.ascend(x - y, codes, atoms)
            return torch.cat([z, shrink(f, self.l1 / self.lipschitz, signed=self.signed)], 1)

        def objective(codes: Float[Tensor, "b n"], y: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
            return self.objective(x, codes, y)

        codes = self.guess(x)
        if self.momentum:
            return monotone_fista(codes, atoms, descend, objective, self.iterations)
        for _ in range(self.iterations):
            codes = descend(codes, codes @ atoms)
        return codes

    def guess(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b n"]:
        """Where inference starts."""
        if not self.amortize:
            return x.new_zeros(len(x), self.n_dense + self.d_sae)
        f = x @ self.W_enc.to(x.dtype) + self.b_enc.to(x.dtype)
        return torch.cat([x @ self.W_start.to(x.dtype), f if self.signed else f.relu()], 1)

    def ascend(
        self, residual: Float[Tensor, "b d"], codes: Float[Tensor, "b n"], atoms: Float[Tensor, "n d"]
    ) -> tuple[Float[Tensor, "b z"], Float[Tensor, "b s"]]:
        """Both codes after a step of length 1/L against the gradient of F's smooth part."""
        sizes = [self.n_dense, self.d_sae]
        (z, f), (up_z, up_f) = codes.split(sizes, 1), (residual @ atoms.T).split(sizes, 1)
        return z + (up_z - self.ridge * z) / self.lipschitz, f + up_f / self.lipschitz

    def objective(
        self, x: Float[Tensor, "b d"], codes: Float[Tensor, "b n"], y: Float[Tensor, "b d"]
    ) -> Float[Tensor, " b"]:
        """F of each centred row; y = codes @ atoms."""
        z, f = codes.split([self.n_dense, self.d_sae], 1)
        squares = (x - y).square().sum(1) + self.ridge * z.square().sum(1)
        return squares / 2 + self.l1 * f.abs().sum(1)

    def losses(self, s: Step) -> dict[str, Tensor]:
        return super().losses(s) | {"sparsity": self.l1 * s.total(s.f.abs())}

    def facts(self) -> dict[str, Tensor]:
        return {"lipschitz": self.lipschitz}

    @torch.no_grad()
    def project_(self) -> None:
        """After an optimiser step: rows of both dictionaries back to norm one, and the step length that suits them."""
        super().project_()
        self.W_dense.div_(self.W_dense.norm(dim=1, keepdim=True).clamp_min_(1e-12))
        self.lipschitz.copy_(largest_eigenvalue(self.atoms()) + self.ridge)

    @torch.no_grad()
    def project_grad_(self) -> None:
        super().project_grad_()
        if self.W_dense.grad is not None:
            parallel = (self.W_dense.grad * self.W_dense).sum(1, keepdim=True)
            self.W_dense.grad.addcmul_(parallel, self.W_dense, value=-1)
