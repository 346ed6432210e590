"""Adam of matrices that are stored by columns."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Adam(torch.optim.Adam):
    """torch's Adam; a matrix stored by columns is given to it as its transpose, which is a view.

    The update is one of each entry alone, so it is the same to the bit. The fused one copies such a matrix, and W_enc
    is one: at 768 x 12,288 that took six times as long as the update itself.
    """

    def _init_group(self, group: dict[str, Any], *lists: Any, **named: Any) -> Any:
        found = super()._init_group(group, *lists, **named)
        for each in (*lists, *named.values()):
            each[:] = [by_rows(t) for t in each]
        return found


def by_rows(t: Tensor) -> Tensor:
    """The transpose where that is the one stored by rows."""
    return t.T if t.ndim == 2 and not t.is_contiguous() and t.T.is_contiguous() else t
