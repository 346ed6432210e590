"""What is the same in every job of a multirun, computed once in a process."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, TypeVar

from saelab.store import recipe_hash

T = TypeVar("T")
KNOWN: dict[str, Any] = {}


def once(recipe: dict[str, Any], compute: Callable[[], T]) -> T:
    """What `compute` gives, which `recipe` determines: a copy of what it gave the first time."""
    key = recipe_hash(recipe)
    if key not in KNOWN:
        KNOWN[key] = compute()
    return deepcopy(KNOWN[key])
