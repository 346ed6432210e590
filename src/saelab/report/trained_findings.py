"""What trained SAEs have over untrained ones, in sentences that say what is not significant."""

from __future__ import annotations

from saelab.plots.read import Row, column, number
from saelab.plots.settings import scale_of, title
from saelab.report.compare_findings import lower
from saelab.report.study_tables import SIGNIFICANT, Tables, short, unique
from saelab.report.words import together


def trained(tables: Tables) -> list[str]:
    """In which measures trained SAEs differ from all controls, from none, or one way here and the other way there."""
    rows = tables["controls"]
    said = []
    for (line,) in unique(rows, "line"):
        ours = [row for row in rows if row["line"] == line]
        verdict: dict[str, list[str]] = {"higher": [], "lower": [], "both": [], "neither": []}
        for (measure,) in unique(ours, "measure"):
            tests = [row for row in ours if row["measure"] == measure]
            key = "both" if turns(tests) else direction([row for row in tests if row["l0"] == "all"])
            extent = ends(tests) if key == "both" else span([row for row in tests if row["l0"] == "all"])
            verdict[key].append(f"{lower(title(measure))} ({extent})")
        model = line or "the trained SAE"
        for key in ("higher", "lower"):
            if verdict[key]:
                said.append(f"{model}: {key} than in every control (q < {SIGNIFICANT}): {together(verdict[key])}.")
        if verdict["both"]:
            said.append(
                f"{model}: higher or lower depending on L0 (both q < {SIGNIFICANT}): {together(verdict['both'])}."
            )
        if verdict["neither"]:
            said.append(f"{model}: not clearly different from every control: {together(verdict['neither'])}.")
        said += [f"{model}: {where(ours, m)}." for (m,) in unique(ours, "measure") if m.endswith("/recovered")]
    return said


def direction(rows: list[Row]) -> str:
    """higher, lower or neither: the same for every control, and significant for each."""
    sure = [number(row["mean"]) > 0 for row in rows if number(row["q"]) < SIGNIFICANT]
    return "neither" if len(sure) < len(rows) or len(set(sure)) > 1 else "higher" if sure[0] else "lower"


def turns(rows: list[Row]) -> bool:
    """Whether the difference is significant in both directions, at different L0s."""
    sure = [number(row["mean"]) > 0 for row in rows if row["l0"] != "all" and number(row["q"]) < SIGNIFICANT]
    return len(set(sure)) > 1


def ends(rows: list[Row]) -> str:
    """The differences at the sparsest and at the densest setting, of the first control."""
    ours = [row for row in rows if row["l0"] != "all" and row["control"] == rows[0]["control"]]
    ours = sorted(ours, key=lambda row: number(row["l0"]))
    return " and ".join(f"{span([row])} at L0 {short(number(row['l0']))}" for row in (ours[0], ours[-1]))


def where(rows: list[Row], measure: str) -> str:
    """At which L0 a difference is significant for every control, and where not."""
    at: dict[float, list[Row]] = {}
    for row in rows:
        if row["measure"] == measure and row["l0"] != "all":
            at.setdefault(number(row["l0"]), []).append(row)
    sure = [l0 for l0 in sorted(at) if direction(at[l0]) != "neither"]
    rest = [l0 for l0 in sorted(at) if l0 not in sure]
    told = [f"significant at L0 {together([short(v) for v in sure])}"] if sure else []
    told += [f"not significant at L0 {together([short(v) for v in rest])}"] if rest else []
    return f"the difference in {lower(title(measure))} is {', '.join(told)}"


def span(rows: list[Row]) -> str:
    """The differences to the controls, from the smallest to the largest."""
    factor = scale_of(rows[0]["measure"]).factor
    values = sorted(factor * column(rows, "mean"))
    unit = " points" if factor == 100 else ""
    ends = [f"{v:+.0f}" if abs(v) >= 10 else f"{v:+.2g}" for v in (values[0], values[-1])]
    return (ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}") + unit
