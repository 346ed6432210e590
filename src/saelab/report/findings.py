"""What a run found, in sentences and headline numbers made from its own data."""

from __future__ import annotations

import math
from typing import NamedTuple

from saelab.plots.read import number
from saelab.report.ablation_run_findings import ablation
from saelab.report.dynamics_findings import dynamics
from saelab.report.facts import Facts
from saelab.report.separation_findings import readouts, separation
from saelab.report.words import count, figure, per_row, percent, together

ALIKE = 0.005  # half a point: probes that differ by less, or by less than two standard errors, are equally good
CLEAR = 0.95  # the AUC from which a latent counts as a detector


class Tile(NamedTuple):
    """A headline number with its name and a remark."""

    value: str
    name: str
    remark: str = ""


def findings(run: Facts) -> list[str]:
    """Sentences in the order of the pipeline; those whose numbers are missing are left out."""
    return [
        sentence
        for part in (
            ablation,
            reconstruction,
            truth,
            streams,
            separation,
            readouts,
            splice,
            classification,
            readability,
            regression,
            selectivity,
            dynamics,
        )
        if (sentence := part(run))
    ]


def reconstruction(run: Facts) -> str:
    ev, l0 = run.get("test/ev"), run.get("test/l0")
    if math.isnan(ev):
        return ""
    n = len(run.latents)
    text = f"The SAE explains {percent(ev)} of the variance"
    if not math.isnan(l0):
        text += f" with {per_row(l0)}{f' of {count(n)}' if n else ''} latents active per row"
    dead = dead_latents(run)
    if dead is None:
        return text + "."
    return text + (
        "; every latent fires on some row." if dead == 0 else f"; {count(dead)} never fire{'s' * (dead == 1)}."
    )


def dead_latents(run: Facts) -> int | None:
    """How many latents never fire, if the run counted them."""
    if not run.latents:
        return None
    return sum(number(row["density"]) == 0 for row in run.latents)


def truth(run: Facts) -> str:
    """How near the latents' directions are to the true features, and how well they tell when these fire."""
    mcc, chance, share, f1 = (run.get(f"truth/{name}") for name in ("mcc", "chance_mcc", "found", "f1"))
    if math.isnan(mcc):
        return ""
    text = (
        f"Matched one to one with the true features, latents have a mean cosine of {figure(mcc)} "
        f"(random directions: {figure(chance)}); {percent(share)} of the features are found"
    )
    return text + ("." if math.isnan(f1) else f", and latents tell when theirs fires with a mean F1 of {percent(f1)}.")


def streams(run: Facts) -> str:
    """How much of the dense and of the sparse truth is where it belongs, and where it does not."""
    names = ("dense_r2", "z_in_sparse", "s_in_sparse", "s_in_dense", "lasso_dense_r2", "lasso_s_in_sparse")
    z, z_wrong, s, s_wrong, z_best, s_best = (run.get(f"truth/{name}") for name in names)
    if math.isnan(z + s):
        return ""
    if z == 0:
        dense = f"There is no dense code; the sparse one holds the dense part with R² {figure(z_wrong, 2)}"
        return f"{dense}, and the sparse part with {figure(s, 2)} (true directions: {figure(s_best, 2)})."
    return (
        f"The dense code holds the dense part with R² {figure(z, 2)} (true directions: {figure(z_best, 2)}) and the "
        f"sparse part with {figure(s_wrong, 2)}; the sparse code holds the sparse part with {figure(s, 2)} "
        f"(true directions: {figure(s_best, 2)}) and the dense part with {figure(z_wrong, 2)}."
    )


def splice(run: Facts) -> str:
    """The base net with the reconstruction in the site's place: its accuracy, else what is recovered."""
    spliced, base, zero = (run.get(f"test/{name}_acc") for name in ("spliced", "base", "zero"))
    if not math.isnan(spliced + base + zero):
        return (
            f"The base net is right on {percent(spliced)} of the test inputs when it continues from the "
            f"reconstruction, on {percent(base)} from its own activations, and on {percent(zero)} with the site zeroed."
        )
    kept = {"accuracy": run.get("test/acc_recovered"), "loss": run.get("test/loss_recovered")}
    parts = [f"{percent(value)} of the {name}" for name, value in kept.items() if not math.isnan(value)]
    if not parts:
        return ""
    return f"Spliced into the base net, its reconstruction recovers {together(parts)} lost when the site is zeroed."


def classification(run: Facts) -> str:
    accuracy = run.get("test/acc")
    if math.isnan(accuracy):
        return ""
    text = f"The network is right on {percent(accuracy)} of the test inputs"
    worst = worst_confusion(run)
    return text + (f"; its most frequent error takes {worst[0]} for {worst[1]} ({worst[2]})." if worst else ".")


def worst_confusion(run: Facts) -> tuple[str, str, str] | None:
    errors = [
        (number(cell), row["true"], predicted, sum(number(c) for name, c in row.items() if name != "true"))
        for row in run.confusion
        for predicted, cell in row.items()
        if predicted not in ("true", row["true"])
    ]
    most, true, predicted, total = max(errors, default=(0.0, "", "", 0.0))
    return (true, predicted, f"{count(most)} of {count(total)}") if most else None


def families(run: Facts) -> list[str]:
    """The probed label families, in the order of the probes' table or the metrics."""
    names = [row["family"] for row in run.probes] + [m.split("/")[2] for m in run.metrics if m.startswith("probe/")]
    return list(dict.fromkeys(names))


def readability(run: Facts) -> str:
    """Families by verdict: read as well, better or worse from the codes; or from the one feature matrix there is."""
    groups: dict[str, list[tuple[str, float, float]]] = {}
    for family in families(run):
        raw, codes = (run.get(f"probe/{features}/{family}/acc") for features in ("raw", "codes"))
        if not math.isnan(raw) or not math.isnan(codes):
            groups.setdefault(verdict(run, family, raw, codes), []).append((family, raw, codes))
    sentences = []
    for how, members in groups.items():
        names = together([family for family, _, _ in members])
        raw, codes = together([percent(r) for _, r, _ in members]), together([percent(c) for _, _, c in members])
        if how in ("raw activations", "codes"):
            sentences.append(f"{names} from {how} with {codes if how == 'codes' else raw} accuracy")
        elif how == "as well":
            sentences.append(f"{names} as well from the codes ({codes}) as from raw activations ({raw})")
        else:
            sentences.append(f"{names} {how} from the codes ({codes}) than from raw activations ({raw})")
    return f"A linear probe reads {'; '.join(sentences)}." if sentences else ""


def regression(run: Facts) -> str:
    """Continuous factors: the mean R² over a family's factors."""
    sentences = []
    for family in families(run):
        codes, raw = (run.get(f"probe/{features}/{family}/r2") for features in ("codes", "raw"))
        scores = ((codes, "the codes"), (raw, "raw activations"))
        parts = [f"{figure(r2, 2)} from {where}" for r2, where in scores if not math.isnan(r2)]
        if parts:
            sentences.append(f"the factors of {family} with R² {together(parts)}")
    return f"Ridge regression reads {'; '.join(sentences)}." if sentences else ""


def verdict(run: Facts, family: str, raw: float, codes: float) -> str:
    if math.isnan(raw) or math.isnan(codes):
        return "codes" if math.isnan(raw) else "raw activations"
    if abs(codes - raw) <= max(ALIKE, 2 * standard_error(run, family, raw, codes)):
        return "as well"
    return "better" if codes > raw else "worse"


def standard_error(run: Facts, family: str, *accuracies: float) -> float:
    """Of the difference of two accuracies on the family's test rows; 0 where their number is not known."""
    n = next(
        (number(r["n"]) for r in run.probes if (r["family"], r["class"], r["split"]) == (family, "all", "test")), 0
    )
    return math.sqrt(sum(p * (1 - p) for p in accuracies) / n) if n else 0.0


def selectivity(run: Facts) -> str:
    scored = [(number(row["best_latent_auc"]), f"{row['family']} “{row['concept']}”") for row in run.concepts]
    scored = sorted(pair for pair in scored if not math.isnan(pair[0]))
    if not scored:
        return ""
    clear = sum(auc > CLEAR for auc, _ in scored)
    (low, hardest), (high, clearest) = scored[0], scored[-1]
    text = f"For {count(clear)} of {count(len(scored), 'concept')} a single latent is a detector (AUC above {CLEAR})"
    if len(scored) == 1:
        return text + "."
    return text + f": the clearest is {clearest} ({figure(high)}), the least clear {hardest} ({figure(low)})."


def tiles(run: Facts) -> list[Tile]:
    """The headline numbers that this run has, at most six."""
    found: list[Tile] = []

    def add(metric: str, name: str, remark: str = "") -> None:
        if not math.isnan(run.get(metric)):
            found.append(Tile(percent(run.get(metric)), name, remark))

    add("test/ev", "variance explained")
    if not math.isnan(run.get("test/l0")):
        n = len(run.latents)
        found.append(Tile(per_row(run.get("test/l0")), "latents active per row", f"of {count(n)}" if n else ""))
    dead = dead_latents(run)
    if dead is not None:
        found.append(Tile(count(dead), "dead latents", percent(dead / len(run.latents))))
    elif not math.isnan(run.get("test/dead")):
        add("test/dead", "dead latents")
    if not math.isnan(run.get("truth/mcc")):
        chance = f"random: {figure(run.get('truth/chance_mcc'))}"
        found.append(Tile(figure(run.get("truth/mcc")), "cosine with the truth", chance))
    add("truth/f1", "F1 as detectors", "of true features")
    add("truth/found", "true features found")
    add("test/acc", "test accuracy")
    if not math.isnan(run.get("test/acc")) and not math.isnan(run.get("test/loss")):
        found.append(Tile(figure(run.get("test/loss")), "test loss"))
    add("test/loss_recovered", "loss recovered", "when spliced")
    add("test/acc_recovered", "accuracy recovered", "when spliced")
    for family in families(run):
        raw = run.get(f"probe/raw/{family}/acc")
        features = "raw" if math.isnan(run.get(f"probe/codes/{family}/acc")) else "codes"
        remark = f"raw: {percent(raw)}" if features == "codes" and not math.isnan(raw) else "by a linear probe"
        add(f"probe/{features}/{family}/acc", f"{family}, from {features}", remark)
    return found[:6]
