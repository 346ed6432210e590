"""What a model's codes add to its reconstruction, in the data's space."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from saelab.analysis.streams import Parts
from saelab.sae import SAE
from saelab.sae.two_stream import TwoStream

CHUNK = 2048


def atoms_of(sae: SAE, x: Tensor) -> Tensor:
    """What each latent adds to the reconstruction of the row `x` `[1, d]` when its code is one: `[d_sae, d]`."""
    nothing = sae.decode(torch.zeros(1, sae.d_sae), x)
    codes = (one_hot(latents, sae.d_sae).float() for latents in torch.arange(sae.d_sae).split(CHUNK))
    return torch.cat([sae.decode(f, x.expand(len(f), -1)) - nothing for f in codes])


def reach(sae: SAE, x: Tensor, atoms: Tensor) -> Tensor:
    """How long atoms are on each row, relative to `atoms`: 1, but where a row is normalised by itself. `[b]`"""
    longest = int(atoms.norm(dim=1).argmax())
    code = torch.zeros(len(x), sae.d_sae)
    nothing = sae.decode(code, x)
    code[:, longest] = 1
    return (sae.decode(code, x) - nothing) @ atoms[longest] / atoms[longest].square().sum()


def parts_of(sae: SAE, x: Tensor, atoms: Tensor) -> Parts:
    """The two parts of the reconstruction of some rows; without a dense stream, what no code makes is the dense one."""
    if isinstance(sae, TwoStream):
        z, f, *halves = sae.streams(x)
        whole = halves[0] + halves[1]
    else:
        f, whole = sae.encode(x), sae(x)
        z = x[:, :0]
    f = f * reach(sae, x, atoms)[:, None]
    return Parts(f, z, atoms, whole - f @ atoms)
