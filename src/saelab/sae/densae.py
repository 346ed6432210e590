"""DenSaE: a dense and a sparse dictionary, unrolled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saelab.sae.elastic import Elastic, Form
from saelab.sae.init import unit_rows
from saelab.sae.proximal import largest_eigenvalue
from saelab.sae.step import Common, Dense, Step
from saelab.sae.two_stream import TwoStream
from saelab.sae.unit import normalise_, tangent_


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

    Inference minimises what the output is judged by. With likelihood=bernoulli the squares in F are the cross-entropy
    of the logits y_hat, not halved, the residual is x − σ(y_hat), and λ_max counts a quarter; with pos_weight p each is
    weighted, and λ_max counts max(1, p) times. Routed atoms have entries on their own stream's side alone.

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
        route: see `TwoStream`.
        d_in, and the rest: see `SAE`.

    Errors: ValueError for a transcoder (inference sees the input alone), for other decoders than `unit`, for `start_l0`
    and for `encoder_hidden`.
    """

    controller = ("lipschitz",)
    no_layers = "DenSaE's atoms are its encoder"
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
        route: Sequence[int] | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(route=route, **common)
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
        A = unit_rows(n_dense, self.d_in)
        self.W_dense = nn.Parameter(A if self.own_dense is None else nn.functional.normalize(A * self.own_dense))
        self.register_buffer("lipschitz", self.steepest())
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
        return torch.cat(self.routed(self.W_dense, self.W_dec))

    def steepest(self) -> Float[Tensor, ""]:
        """L, the Lipschitz constant of F's gradient, or a little more."""
        return self.likelihood.curvature * largest_eigenvalue(self.atoms()) + self.ridge

    def infer(self, x: Float[Tensor, "b i"]) -> tuple[Float[Tensor, "b s"], Float[Tensor, "b s"], Dense]:
        with torch.autocast(x.device.type, enabled=False):
            problem = self.problem(x)
            codes = problem.minimise(self.guess(problem), self.iterations, momentum=self.momentum)
            (A, B), (z, f) = problem.atoms.split(problem.sizes()), codes.split(problem.sizes(), 1)
            pre = problem.ascend(codes, codes @ problem.atoms)[1] - self.l1 / self.lipschitz
            parts = [part.to(x.dtype) for part in (pre, f, z, z @ A + self.b_dec.to(z.dtype), f @ B)]
        return parts[0], parts[1], Dense(*parts[2:])

    def problem(self, x: Float[Tensor, "b d"]) -> Elastic:
        """What inference minimises for normalised rows."""
        wide = torch.promote_types(x.dtype, torch.float32)
        form = Form(self.likelihood, self.n_dense, self.l1, self.ridge, self.signed)
        rows, bias, atoms = x.to(wide), self.b_dec.to(wide), self.atoms().to(wide)
        return Elastic(form, rows, bias, atoms, self.lipschitz).centred()

    def guess(self, problem: Elastic) -> Float[Tensor, "b n"]:
        """Where inference starts."""
        x = problem.unexplained()
        if not self.amortize:
            return x.new_zeros(len(x), self.n_dense + self.d_sae)
        f = x @ self.W_enc.to(x.dtype) + self.b_enc.to(x.dtype)
        return torch.cat([x @ self.W_start.to(x.dtype), f if self.signed else f.relu()], 1)

    def losses(self, s: Step) -> dict[str, Tensor]:
        return super().losses(s) | {"sparsity": self.l1 * s.total(s.f.abs())}

    def facts(self) -> dict[str, Tensor]:
        return {"lipschitz": self.lipschitz}

    @torch.no_grad()
    def project_(self) -> None:
        """After an optimiser step: rows of both dictionaries back to norm one, and the step length that suits them."""
        super().project_()
        normalise_(self.W_dense)
        self.lipschitz.copy_(self.steepest())

    @torch.no_grad()
    def project_grad_(self) -> None:
        super().project_grad_()
        tangent_(self.W_dense)
