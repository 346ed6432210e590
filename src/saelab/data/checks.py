"""Checks of constructor arguments: each raises a ValueError that names the argument, its value and what is allowed."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def one_of(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name}={value!r} is unknown; choose one of {', '.join(choices)}")


def at_least(name: str, value: float, low: float) -> None:
    if not value >= low:
        raise ValueError(f"{name}={value} is too small; it must be at least {low}")


def above(name: str, value: float, low: float) -> None:
    if not value > low:
        raise ValueError(f"{name}={value} is too small; it must be greater than {low}")


def within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name}={value} is out of range; it must lie in [{low}, {high}]")


def interval(name: str, value: Sequence[float]) -> tuple[float, float]:
    """A pair (low, high) with low <= high."""
    if len(value) != 2 or not value[0] <= value[1]:
        raise ValueError(f"{name}={list(value)} is not an interval; give two numbers [low, high] with low <= high")
    return float(value[0]), float(value[1])


def digit_subset(name: str, value: Sequence[int] | None) -> tuple[int, ...]:
    """Distinct digits in their given order; None means all ten."""
    digits = tuple(range(10)) if value is None else tuple(value)
    if not digits or len(set(digits)) != len(digits) or not set(digits) <= set(range(10)):
        raise ValueError(f"{name}={list(digits)} must be distinct digits from 0 to 9, at least one; null means all ten")
    return digits


def usable_device(value: str) -> torch.device:
    try:
        device = torch.device(value)
    except RuntimeError as error:
        raise ValueError(f"device={value!r} is no torch device; try cpu, cuda or mps") from error
    missing = {"cuda": not torch.cuda.is_available(), "mps": not torch.backends.mps.is_available()}
    if missing.get(device.type, False):
        raise ValueError(f"device={value!r} is not available on this machine; set device=cpu")
    return device
