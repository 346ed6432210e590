"""Stores of cached activations: writing, importing, reading, serving."""

from saelab.store.array import Array, array_recipe, import_array
from saelab.store.batches import Acts, Batches, MemoryBatches
from saelab.store.datamodule import StoreData
from saelab.store.extract import extract
from saelab.store.format import Meta, Split, Stats, recipe_hash
from saelab.store.hooks import capture, list_sites, splice
from saelab.store.pool import PoolBatches
from saelab.store.store import Index, Store
from saelab.store.tokens import Rows, Tokens, rows, unrows
from saelab.store.truth import Truth

__all__ = [
    "Acts",
    "Array",
    "Batches",
    "Index",
    "MemoryBatches",
    "Meta",
    "PoolBatches",
    "Rows",
    "Split",
    "Stats",
    "Store",
    "StoreData",
    "Tokens",
    "Truth",
    "array_recipe",
    "capture",
    "extract",
    "import_array",
    "list_sites",
    "recipe_hash",
    "rows",
    "splice",
    "unrows",
]
