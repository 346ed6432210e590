"""Which concepts are discarded together?"""

from __future__ import annotations

from typing import Any

import torch

from saelab.analysis import codiscard as statistics
from saelab.commands.studies.points import Points, yes

FEWEST = 6  # runs


def codiscard(found: Points) -> list[dict[str, Any]]:
    """A row per pair of concepts: phi, Jaccard, and how often chance discards them together as often as was seen.

    Chance permutes each concept's runs among those of one setting, so that concepts which all go where little is kept
    do not look as if they went together. `a_place` and `b_place` are places in the clustered order.
    """
    runs = [(i, told) for i, point in enumerate(found.all) for told in found.told(point).values()]
    names = [(family, name) for family, ours in found.families.items() for name in ours]
    if len(runs) < FEWEST or len(names) < 3:
        return []
    discarded = torch.tensor([[not yes(told[name], "recovered") for name in names] for _, told in runs])
    strata = torch.tensor([i for i, _ in runs])
    phi, jaccard = statistics.phi(discarded), statistics.jaccard(discarded)
    null = statistics.permutation_null(discarded, strata=strata)
    place = torch.empty(len(names), dtype=torch.long)
    place[statistics.clustered_order(phi)] = torch.arange(len(names))
    count, both = discarded.sum(0), discarded.long().T @ discarded.long()
    repeated = len(runs) > len(set(strata.tolist()))
    rows = []
    for a in range(len(names)):
        for b in range(a + 1, len(names)):
            row: dict[str, Any] = {}
            for side, i in (("a", a), ("b", b)):
                row |= {f"{side}_family": names[i][0], side: names[i][1]}
                row |= {f"{side}_discarded": int(count[i]), f"{side}_place": int(place[i])}
            row |= {"both": int(both[a, b]), "expected": float(null.expected[a, b]), "runs": len(runs)}
            row |= {"phi": float(phi[a, b]), "jaccard": float(jaccard[a, b])}
            tests = {"p": null.together, "p_apart": null.apart, "q": null.q}
            rows.append(row | {name: float(t[a, b]) if repeated else "" for name, t in tests.items()})
    return rows
