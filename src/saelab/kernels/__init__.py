"""The sparse path: selecting codes, and products that never touch a zero. Equal to the dense path, and tested so."""

from saelab.kernels.dense import encode_all, encode_kept
from saelab.kernels.keep import keep, keep_top, kept_batch_top, kept_top
from saelab.kernels.process import products_chosen, tune
from saelab.kernels.products import decode, encode, products_at, times, transposed_times
from saelab.kernels.select import above, batch_top, top
from saelab.kernels.support import Support

__all__ = [
    "Support",
    "above",
    "batch_top",
    "decode",
    "encode",
    "encode_all",
    "encode_kept",
    "keep",
    "keep_top",
    "kept_batch_top",
    "kept_top",
    "products_at",
    "products_chosen",
    "times",
    "top",
    "transposed_times",
    "tune",
]
