"""What the studies found, in sentences that say what is not significant."""

from __future__ import annotations

import math

from saelab.plots.read import Row, column, number
from saelab.plots.settings import title
from saelab.report.study_tables import SIGNIFICANT, Tables, l0_interval, life, short, unique
from saelab.report.trained_findings import span
from saelab.report.words import count, percent, together

LEAST = 0.25  # of a family's concepts, below which half of them is one or two
NONE = -2.0  # stands below every phi
MOST = 4  # pairs or names that a sentence lists


def sparsities(tables: Tables) -> list[str]:
    """How many concepts are recovered at best, and whether they go all at once."""
    said = []
    for (measure,) in unique(tables["sparsity"], "measure"):
        rows = [row for row in tables["sparsity"] if row["measure"] == measure]
        if measure.endswith("/recovered"):
            family = measure.split("/")[1]
            best, fewest = max(rows, key=mean), min(rows, key=mean)
            if not mean(best):
                said.append(f"No run recovers any {family} concept.")
                continue
            said.append(
                f"Most {family} concepts are recovered at L0 {short(number(best['l0']))}{of(best)}: {told(best)} of "
                f"{best['of']}; fewest at L0 {short(number(fewest['l0']))}{of(fewest)}: {told(fewest)}."
            )
            said += cliff([row for row in tables.get("cliffs", []) if row["family"] == family])
    return said


def mean(row: Row) -> float:
    return number(row["mean"])


def of(row: Row) -> str:
    return f" ({row['line']})" if row["line"] else ""


def told(row: Row) -> str:
    """4.7 (3.2 to 6.1), the interval within what is possible."""
    low, high = max(0.0, number(row["low"])), min(number(row["of"]), number(row["high"]))
    return f"{mean(row):.1f}" + (f" ({low:.1f} to {high:.1f})" if math.isfinite(number(row["low"])) else "")


def cliff(rows: list[Row]) -> list[str]:
    """Where more than half of the concepts go in one step of the grid, and where the interval says so too."""
    if not rows:
        return []
    family, off = rows[0]["family"], [row for row in rows if row["cliff"] == "True"]
    worst = max(rows, key=lambda row: number(row["loss"]))
    step = f"{number(worst['from']):.1f} to {number(worst['to']):.1f} between L0 {short(number(worst['from_l0']))} and "
    step += f"{short(number(worst['to_l0']))}{of(worst)}"
    if not off:
        return [f"There is no cliff: the largest step loses {number(worst['loss']):.1f} of {worst['of']}, {step}."]
    sure = sum(row["sure"] == "True" for row in off)
    lines = f"in {count(len(off))} of {count(len(rows), 'line')}" if len(rows) > 1 else "here"
    doubt = f"the interval over seeds excludes half in {count(sure)} of them" if sure else "no interval excludes half"
    return [f"The {family} concepts fall off a cliff, more than half in one step, {lines} ({doubt}): at worst {step}."]


def vanished(tables: Tables) -> list[str]:
    """Which concepts last longest, and whether runs agree on that."""
    said = []
    for (family,) in unique(tables.get("vanishing", []), "family"):
        rows = [row for row in tables["vanishing"] if row["family"] == family]
        order = sorted(unique(rows, "family", "concept"), key=lambda concept: life(rows, concept))
        names = [name for _, name in order]
        never = [name for name in names if not any(number(r["ever"]) for r in rows if r["concept"] == name)]
        kept = [name for name in names if name not in never]
        if kept:
            at = {name: life(rows, (family, name)) for name in kept}
            longest, shortest = ([n for n in kept if at[n] == at[kept[end]]] for end in (0, -1))
            first = (
                f"Of the {family} concepts {together(longest)} survive{'s' * (len(longest) == 1)} to the sparsest codes"
            )
            if len(longest) < len(kept):
                first += f" and {together(shortest)} vanish{'es' * (len(shortest) == 1)} first"
            said.append(f"{first}{f'; never recovered: {together(never)}' if never else ''}{concord(tables, family)}.")
        else:
            said.append(f"No run recovers any {family} concept: none can vanish.")
    return said


def concord(tables: Tables, family: str) -> str:
    """Whether the seeds of a line agree on the order: where they do least."""
    rows = [r for r in tables.get("orders", []) if r["family"] == family and r["line"] != "all" and r["p"]]
    if not rows:
        return ""
    least = max(rows, key=lambda row: number(row["p"]))
    w = f"Kendall's W {number(least['w']):.2f}, {number(least['chance']):.2f} by chance, p = {number(least['p']):.2g}"
    verdict = "agree" if number(least["p"]) < SIGNIFICANT else "do not agree more than by chance"
    where = " in the line where they agree least" if len(rows) > 1 else ""
    return f"; the seeds {verdict} on the order ({w}{where})"


def codiscards(tables: Tables) -> list[str]:
    """The pairs that go together, or that none does."""
    rows = tables["codiscard"]
    total = count(len(rows), "pair")
    if not any(row["q"] for row in rows):
        return ["No setting was trained with several seeds, so that chance cannot be told from going together."]
    sure = sorted((row for row in rows if row["q"] and number(row["q"]) < SIGNIFICANT), key=lambda r: -phi(r))
    top = max(rows, key=phi)
    if phi(top) == NONE:
        return [f"Of no two concepts are both recovered by some runs and discarded by others: {total} without a phi."]
    if not sure:
        raw = sum(phi(row) > 0.5 for row in rows)
        smallest = min(number(row["q"]) for row in rows if row["q"])
        seen = f"{pair(top)} have the largest phi, {phi(top):.2f}, and {count(raw)} of {total} one above 0.5"
        why = "once settings are compared with themselves none is discarded together more than by chance"
        return [f"{seen}, as all concepts go where codes are sparse; {why} (smallest q = {smallest:.2g})."]
    listed = together([f"{pair(row)} (phi {phi(row):.2f}, q = {number(row['q']):.2g})" for row in sure[:MOST]])
    more = f", and {count(len(sure) - MOST)} more" if len(sure) > MOST else ""
    verb = "is" if len(sure) == 1 else "are"
    return [
        f"{count(len(sure))} of {total} {verb} discarded together more than by chance within settings: {listed}{more}."
    ]


def phi(row: Row) -> float:
    value = number(row["phi"])
    return NONE if math.isnan(value) else value


def pair(row: Row) -> str:
    same = row["a_family"] == row["b_family"]
    return f"{row['a_family']} {row['a']} and {row['b'] if same else row['b_family'] + ' ' + row['b']}"


def families(tables: Tables) -> list[str]:
    """How well the base network tells each family; which is lost first, line by line, by the ratio of L0s at half."""
    said = known_to_base(tables.get("families", []))
    ratios = [row for row in tables.get("halves", []) if " / " in row["family"]]
    for measure, names in unique(ratios, "measure", "family"):
        rows = [row for row in ratios if (row["measure"], row["family"]) == (measure, names)]
        a, _, b = names.partition(" / ")
        first = {True: [], False: [], None: []}
        for row in rows:
            low, high = number(row["low"]), number(row["high"])
            sure = number(row["q"]) < SIGNIFICANT
            verdict = (low > 1) if sure and (low > 1 or high < 1) else None
            first[verdict].append(f"{row['line'] or 'here'}{ratio(row)}")
        what = f"By concepts {measure}, "
        parts = {row["family"]: largest(tables, measure, row["family"]) for row in tables["halves"]}
        few = [f"at most {percent(parts[name])} of {name} concepts" for name in (a, b) if parts[name] < LEAST]
        if few:
            said.append(f"{what}there is too little to lose to tell which family goes first: {together(few)}.")
            continue
        for verdict, (gone, kept) in ((True, (a, b)), (False, (b, a))):
            if first[verdict]:
                said.append(f"{what}{gone} is lost before {kept}: {together(first[verdict])}.")
        if first[None]:
            said.append(f"{what}it is not clear whether {a} or {b} is lost first: {together(first[None])}.")
    return said


def known_to_base(rows: list[Row]) -> list[str]:
    """The base network's own accuracy on each family, or on each line's where it is not the same network."""
    told: dict[str, list[str]] = {}
    for line, family in unique(rows, "line", "family"):
        right = {number(r["base_acc"]) for r in rows if (r["line"], r["family"]) == (line, family) and r["base_acc"]}
        if right:
            told.setdefault(line, []).append(f"{percent(sum(right) / len(right))} for {family}")
    if len({tuple(parts) for parts in told.values()}) == 1:
        return [f"The base network's own accuracy is {together(next(iter(told.values())))}."]
    return [f"The base network's own accuracy is {together(parts)} ({line})." for line, parts in told.items()]


def largest(tables: Tables, measure: str, family: str) -> float:
    """The largest share of a family that any line has, on average over its seeds."""
    rows = [r for r in tables["halves"] if r["measure"] == measure and r["family"] == family]
    return max((number(r["largest"]) for r in rows if r["largest"]), default=0.0)


def ratio(row: Row) -> str:
    if not number(row["n"]):
        return " (one of them never falls to half of its largest share)"
    return f" (ratio of L0s at half {l0_interval(row)}, {count(number(row['n']), 'seed')})"


def matched_variants(tables: Tables) -> list[str]:
    """Of each measure, which variants are above and which below BatchTopK."""
    rows = [row for row in tables["matched"] if row["l0"] == "all"]
    said = []
    for (measure,) in unique(rows, "measure"):
        ours = [row for row in rows if row["measure"] == measure]
        parts = []
        for word, sign in (("above", 1), ("below", -1)):
            found = [row for row in ours if number(row["q"]) < SIGNIFICANT and sign * number(row["mean"]) > 0]
            found = sorted(found, key=lambda row: -sign * number(row["mean"]))
            if found:
                parts.append(f"{word}: {together([row['line'] + ' (' + span([row]) + ')' for row in found])}")
        if parts:
            said.append(f"{title(measure)} at equal L0, beside BatchTopK's, {'; '.join(parts)}.")
    rest = len(rows) - sum(number(row["q"]) < SIGNIFICANT for row in rows)
    return [*said, f"{count(rest)} of {count(len(rows), 'difference')} are not significant (q ≥ {SIGNIFICANT})."]


def agreements(tables: Tables) -> list[str]:
    """How alike dictionaries are: seeds of one setting, variants of one seed, chance."""
    rows = tables["agreement"]
    said = []
    for kind, what in (("seed", "Two seeds of one setting"), ("model", "Two variants with one seed")):
        ours = [row for row in rows if row["kind"] == kind and row["mean_cos"]]
        if ours:
            cos, chance, near = (column(ours, name) for name in ("mean_cos", "chance", "matched_0.9"))
            said.append(
                f"{what} have matched decoder rows with a mean cosine of {cos.mean():.2f} ({cos.min():.2f} to "
                f"{cos.max():.2f}, {count(len(ours), 'pair')}; random directions {chance.mean():.2f}); "
                f"{percent(float(near.mean()))} of latents have a partner within 0.9."
            )
    return said
