"""The true features behind the rows of a store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from saelab.store.files import open_beside, open_column, open_tensor
from saelab.store.store import Index


class Truth(NamedTuple):
    """Rows are sums of true directions: `dictionary` `[t, d]` float32, and the codes behind some rows, if known.

    codes: split and where its rows came from -> `[n, t]` float32, so that rows are codes @ dictionary and what is not
    sparse. Of that, the dense part is dense @ basis, basis `[k, d]` with orthonormal rows, if known.
    """

    dictionary: Tensor
    codes: Callable[[str, Index], Tensor] | None
    basis: Tensor | None = None
    dense: Callable[[str, Index], Tensor] | None = None


def array_truth(array: Path, key: str | None, dictionary: str | None, codes: str | None) -> Truth | None:
    """The truth beside a user's array: each a `.npy` file, or a tensor of the array's file; None if there is none.

    Raises: ValueError unless `dictionary` is `[t, d]` for an array `[n, d]`, and `codes` `[n, t]`.
    """
    if dictionary is None:
        if codes is not None:
            raise ValueError(f"codes={codes} are of directions that are not given; name their file as dictionary=")
        return None
    x, directions = open_tensor(array, key), open_beside(array, dictionary)
    if directions.ndim != 2 or directions.shape[1] != x.shape[1] or not directions.is_floating_point():
        raise ValueError(
            f"dictionary={dictionary} holds {directions.dtype} of shape {[*directions.shape]}; the rows of {array} are "
            f"{x.shape[1]} wide, so it takes a float [features, {x.shape[1]}]"
        )
    if codes is None:
        return Truth(directions.float(), None)
    column = open_column(array, codes, len(x))
    if column.ndim != 2 or column.shape[1] != len(directions):
        raise ValueError(
            f"codes={codes} has shape {[*column.shape]}, but dictionary={dictionary} has {len(directions)} directions; "
            f"it takes [{len(x)}, {len(directions)}]"
        )
    return Truth(directions.float(), lambda _, index: column[index.position].float())
