"""SAEs in the formats of other libraries, both ways; none of them needs to be installed."""

from saelab.formats.check import Agreement, agree, agrees_with_plain, rows_like
from saelab.formats.convert import FORMATS, read, write
from saelab.formats.ours import fold, rebuild
from saelab.formats.plain import Plain, Unsupported

__all__ = [
    "FORMATS",
    "Agreement",
    "Plain",
    "Unsupported",
    "agree",
    "agrees_with_plain",
    "fold",
    "read",
    "rebuild",
    "rows_like",
    "write",
]
