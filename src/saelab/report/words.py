"""Numbers as a reader wants them."""

from __future__ import annotations

import math

NBSP = "\N{NO-BREAK SPACE}"
MISSING = "\N{EN DASH}"


def percent(share: float) -> str:
    """0.974 as 97.4 %; more digits where one decimal would say 100 or 0 and it is not."""
    if math.isnan(share):
        return MISSING
    for digits in (1, 2, 3):
        text = f"{100 * share:.{digits}f}"
        if not (float(text) in (0, 100) and share not in (0, 1)):
            break
    return f"{text}{NBSP}%"


def figure(value: float, digits: int = 3) -> str:
    """A number for a table cell; an en dash for what is not there."""
    return MISSING if math.isnan(value) else f"{value:.{digits}f}"


def count(n: float, noun: str = "") -> str:
    """12 latents, 1 latent, 2,048."""
    text = f"{n:,.0f}"
    return f"{text}{NBSP}{noun}{'' if n == 1 else 's'}" if noun else text


def per_row(l0: float) -> str:
    """L0: whole where it is, else to three digits."""
    return f"{l0:.0f}" if math.isclose(l0, round(l0), abs_tol=0.005) else f"{l0:.3g}"


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f}{NBSP}s"
    if seconds < 3600:
        return f"{seconds // 60:.0f}{NBSP}min {seconds % 60:.0f}{NBSP}s"
    return f"{seconds // 3600:.0f}{NBSP}h {seconds % 3600 // 60:.0f}{NBSP}min"


def together(parts: list[str]) -> str:
    """a, b and c."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
