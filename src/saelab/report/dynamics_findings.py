"""What a run's concepts did while it was trained, in sentences."""

from __future__ import annotations

from saelab.plots.dynamics import History, history
from saelab.plots.read import number
from saelab.report.facts import Facts
from saelab.report.words import count, per_row, percent, together

NAMED = 6  # concepts that a sentence names; more are counted


def dynamics(run: Facts) -> str:
    """Which concepts are recovered at the end, which came first and at what L0 and EV, which were lost, which never."""
    if not run.dynamics:
        return ""
    h = history(run.dynamics)
    order = h.order()
    came = [c for c in order if len(h.when(c))]
    if not came:
        return f"None of {count(len(order), 'concept')} is ever recovered by a latent of its own while it is trained."
    kept, first = [c for c in came if h.recovered[-1, c]], h.when(came[0])[0]
    earliest = [c for c in came if h.when(c)[0] == first]
    start = "before the first step" if first == 0 else f"at step {count(first)}{state(run, first)}"
    text = (
        f"While it was trained, {count(len(came))} of {count(len(order), 'concept')} had a latent of their own at some "
        f"step, {count(len(kept))} at the last: first {named(h, earliest)} {start}"
    )
    late = came[-1]
    if h.when(late)[0] > first:
        text += f", last {named(h, [late])} at step {count(h.when(late)[0])}"
    lost = [c for c in came if c not in kept]
    never = [c for c in order if c not in came]
    more = [
        f"{named(h, lost)} {was(lost)} lost again" if lost else "",
        f"{named(h, never)} never came" if never else "",
    ]
    return "; ".join([text, *filter(None, more)]) + "."


def state(run: Facts, step: float) -> str:
    """L0 and EV at a step."""
    at = next((row for row in run.looks if number(row["step"]) == step), None)
    if at is None:
        return ""
    return f" (L0 {per_row(number(at['l0']))}, {percent(number(at['ev']))} of the variance explained)"


def named(h: History, some: list[int]) -> str:
    """Concepts by name, with their family where there are several; too many are counted."""
    several = len({family for family, _ in h.concepts}) > 1
    if len(some) == len(h.concepts) > 1:
        return "all of them"
    names = [f"{h.concepts[c][0]} “{h.concepts[c][1]}”" if several else f"“{h.concepts[c][1]}”" for c in some]
    return together(names) if len(names) <= NAMED else count(len(names), "concept")


def was(some: list[int]) -> str:
    return "was" if len(some) == 1 else "were"
