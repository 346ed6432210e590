"""The sparse path: selecting codes, and products that never touch a zero. Equal to the dense path, and tested so."""

from saelab.kernels.products import decode, encode, products_at, times, transposed_times
from saelab.kernels.select import above, batch_top, top
from saelab.kernels.support import Support

__all__ = ["Support", "above", "batch_top", "decode", "encode", "products_at", "times", "top", "transposed_times"]
