"""Studies of concepts over many runs, of runs whose answers are known."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from concept_runs import BOTH, by_k, job, sweep
from programs import TINY, TINY_BASE, run
from saelab.commands.studies import studies
from saelab.commands.studies.codiscard import codiscard
from saelab.commands.studies.controls import controls
from saelab.commands.studies.families import half, halves
from saelab.commands.studies.matched import matched
from saelab.commands.studies.measures import against_zero, interval, with_q
from saelab.commands.studies.points import points
from saelab.commands.studies.sparsity import cliffs, sparsity
from saelab.commands.studies.vanishing import agreed, orders, survival, vanishing
from saelab.plots.read import read_rows

FALL = {4: "0", 8: "01", 16: "01234", 32: "01234"}


def test_interval_by_hand() -> None:
    told = interval([1.0, 2.0, 3.0, math.nan])
    half_width = 4.302653 / math.sqrt(3)  # t(0.975, 2) s / sqrt(n)
    assert told["n"] == 3
    assert [told["mean"], told["low"], told["high"]] == pytest.approx([2, 2 - half_width, 2 + half_width], abs=1e-5)
    assert math.isnan(interval([1.0])["low"])


def test_p_of_differences() -> None:
    assert against_zero([1.0, 2.0, 3.0])["p"] == pytest.approx(0.0741799)  # t = 2 sqrt(3), two degrees
    assert against_zero([0.5, 0.5, 0.5])["p"] == 0.25  # no spread: three signs that agree
    assert against_zero([0.0, 0.0])["p"] == 1
    assert math.isnan(against_zero([1.0])["p"])
    q = [row["q"] for row in with_q([{"p": 0.01}, {"p": 0.04}, {"p": math.nan}])]
    assert q[:2] == pytest.approx([0.02, 0.04])
    assert math.isnan(q[2])


def test_lines_and_points(tmp_path: Path) -> None:
    jobs = by_k(FALL, **{"model.sae.d_sae": 256}) + by_k(FALL, **{"model.sae.d_sae": 512})
    found = points(sweep(tmp_path, jobs))
    assert found.key == "model.sae.k"
    assert list(found.lines) == ["d_sae 256", "d_sae 512"]
    assert [p.x for p in found.lines["d_sae 256"]] == [4, 8, 16, 32]
    assert found.families == {"digit": list("01234")}


def test_a_sweep_that_was_moved(tmp_path: Path) -> None:
    sweep(tmp_path / "old", by_k(FALL))
    (tmp_path / "old").rename(tmp_path / "new")
    assert len(points(tmp_path / "new/sweep.csv").concepts) == 12


def test_sparsity_tells_mean_and_interval(tmp_path: Path) -> None:
    rows = sparsity(points(sweep(tmp_path, by_k(FALL))))
    (row,) = [r for r in rows if r["measure"] == "test/ev" and r["x"] == 4]
    assert row["mean"] == pytest.approx(0.876)
    assert row["l0"] == pytest.approx(4.04)
    recovered = [(r["x"], r["mean"], r["of"]) for r in rows if r["measure"] == "concepts/digit/recovered"]
    assert recovered == [(4, 1, 5), (8, 2, 5), (16, 5, 5), (32, 5, 5)]


def test_a_cliff_is_more_than_half_in_one_step(tmp_path: Path) -> None:
    (steep,) = cliffs(points(sweep(tmp_path / "a", by_k(FALL))))
    assert (steep["loss"], steep["from_x"], steep["to_x"]) == (3, 16, 8)
    assert steep["cliff"]
    assert steep["sure"]
    (gentle,) = cliffs(points(sweep(tmp_path / "b", by_k({4: "01", 8: "012", 16: "01234"}))))
    assert gentle["loss"] == 2
    assert not gentle["cliff"]


def test_the_sparsity_at_which_each_concept_vanishes(tmp_path: Path) -> None:
    found = points(sweep(tmp_path, by_k({4: "0", 8: "1", 16: "012", 32: "0123"})))
    rows = {row["concept"]: row for row in vanishing(found)}
    l0 = 4 * (1 * 1.01 * 1.02) ** (1 / 3)
    assert rows["0"]["l0"] == pytest.approx(l0)
    assert rows["0"]["steady"] == pytest.approx(4 * l0)  # lost at 8, back at 4
    assert rows["1"]["l0"] == pytest.approx(2 * l0)
    assert rows["4"]["ever"] == 0
    assert math.isnan(rows["4"]["l0"])
    assert rows["3"]["ever"] == rows["3"]["seeds"] == 3
    shares = {(r["concept"], r["x"]): r["recovered"] for r in survival(found)}
    assert shares["2", 8] == 0
    assert shares["2", 16] == 1


def test_orders_agree_or_do_not(tmp_path: Path) -> None:
    (same,) = orders(points(sweep(tmp_path, by_k({4: "0", 8: "01", 16: "012", 32: "0123"}))))
    assert same["w"] == pytest.approx(1)
    assert same["p"] < 0.01
    shuffled = torch.stack([torch.randperm(8, generator=torch.Generator().manual_seed(s)) for s in range(4)]).double()
    assert agreed(shuffled)["p"] > 0.05


def pairs_of(*, together: bool) -> list[dict]:
    """Eight settings of four seeds; 0 and 1 are discarded in the same two seeds, or in others; 3 always is."""
    jobs = []
    for k in range(1, 9):
        for s in range(4):
            drop_1 = (s + k) % 4 < 2 if together else (s * 3 + k * k) % 4 < 2
            kept = {"2"} if s % 2 else {"2", "4"}
            kept |= set() if (s + k) % 4 < 2 else {"0"}
            kept |= set() if drop_1 else {"1"}
            jobs.append(job({"model.sae.k": k, "seed": s}, k, {"digit": kept}))
    return jobs


def test_discarded_together(tmp_path: Path) -> None:
    rows = codiscard(points(sweep(tmp_path, pairs_of(together=True))))
    by_pair = {(row["a"], row["b"]): row for row in rows}
    assert by_pair["0", "1"]["phi"] == pytest.approx(1)
    assert by_pair["0", "1"]["jaccard"] == pytest.approx(1)
    assert by_pair["0", "1"]["both"] == 16
    assert by_pair["0", "1"]["q"] < 0.05
    assert math.isnan(by_pair["2", "3"]["phi"])
    assert all(row["q"] > 0.05 for row in rows if {row["a"], row["b"]} != {"0", "1"})
    assert abs(by_pair["0", "1"]["a_place"] - by_pair["0", "1"]["b_place"]) == 1


def test_going_with_sparsity_alone_is_not_going_together(tmp_path: Path) -> None:
    """All seeds lose 0 to 3 at the same k: phi is 1, and within a setting there is nothing to explain."""
    rows = codiscard(points(sweep(tmp_path, by_k({4: "4", 8: "4", 16: "01234", 32: "01234"}))))
    assert rows[0]["phi"] == pytest.approx(1)
    assert all(row["q"] > 0.05 for row in rows)


def control_jobs() -> list[dict]:
    jobs = []
    for model, gain in (("topk", 1), ("control/xavier", 0)):
        for l0 in (4, 8, 16):
            for s in range(4):
                names = "01234"[: 2 + 2 * gain + s % 2 * gain]
                used = l0 * (1 if gain else 0.95)
                keys = {"model": model, "l0": l0, "seed": s}
                jobs.append(job(keys, used, {"digit": names}, ev=0.1 + 0.8 * gain + 0.01 * s * gain))
    return jobs


def test_trained_and_untrained_are_paired(tmp_path: Path) -> None:
    rows = controls(points(sweep(tmp_path, control_jobs())))
    (ev,) = [row for row in rows if row["measure"] == "test/ev" and row["l0"] == "all"]
    assert (ev["line"], ev["control"], ev["n"]) == ("topk", "control/xavier", 4)
    assert ev["mean"] == pytest.approx(0.815)
    assert ev["q"] < 0.05
    at = [row for row in rows if row["measure"] == "concepts/digit/recovered" and row["l0"] != "all"]
    assert [row["mean"] for row in at] == [2.5, 2.5, 2.5]
    assert [row["l0"] for row in at] == [4, 8, 16]


def test_controls_too_far_in_l0_are_no_controls(tmp_path: Path) -> None:
    jobs = [made | {"l0": made["l0"] * (2 if made["keys"]["model"] != "topk" else 1)} for made in control_jobs()]
    assert controls(points(sweep(tmp_path, jobs))) == []


def test_half_by_hand() -> None:
    assert half([(4, 0.0), (16, 1.0)]) == pytest.approx(8)  # half way in logarithms
    assert half([(4, 0.2), (8, 0.4), (16, 0.8), (32, 0.6)]) == pytest.approx(8)
    assert math.isnan(half([(4, 0.6), (16, 1.0)]))
    assert math.isnan(half([(4, 0.0), (16, 0.0)]))


def family_jobs() -> list[dict]:
    kept = {2: ("0", ""), 8: ("0123", ""), 32: ("01234", "ab"), 128: ("01234", "abcd")}
    return [
        job({"model": m, "l0": k, "seed": s}, k * (1 + 0.02 * s), {"digit": d, "tag": t})
        for m in ("topk", "batchtopk")
        for k, (d, t) in kept.items()
        for s in range(3)
    ]


def test_which_family_is_lost_first(tmp_path: Path) -> None:
    rows = halves(points(sweep(tmp_path, family_jobs(), BOTH)))
    at = {row["family"]: row for row in rows if row["line"] == "topk" and row["measure"] == "recovered"}
    assert at["tag"]["l0"] == pytest.approx(32 * 1.02, rel=0.001)
    assert 2 < at["digit"]["l0"] < 8
    assert at["digit / tag"]["high"] < 1
    assert at["digit / tag"]["p"] < 0.3
    assert halves(points(sweep(tmp_path / "one", by_k(FALL)))) == []


def test_variants_beside_batchtopk_at_their_own_l0(tmp_path: Path) -> None:
    jobs = [
        job({"model": "batchtopk", "l0": k, "seed": s}, k, {"digit": "01"}, ev=ev + 0.1 * s)
        for k, ev in ((4, 0.2), (16, 0.4))
        for s in range(2)
    ]
    jobs += [job({"model": "omp", "l0": 8, "seed": s}, 8, {"digit": "012"}, ev=0.35 + 0.1 * s) for s in range(2)]
    jobs += [job({"model": "relu", "l0": 8, "seed": s}, 99, {"digit": "012"}) for s in range(2)]
    rows = matched(points(sweep(tmp_path, jobs)))
    (ev,) = [row for row in rows if row["measure"] == "test/ev" and row["l0"] == "all"]
    assert (ev["line"], ev["n"]) == ("omp", 2)  # relu lies beyond the curve
    assert ev["mean"] == pytest.approx(0.05)
    assert ev["rival"] == pytest.approx(0.35)


def test_studies_are_files_and_old_ones_go(tmp_path: Path) -> None:
    table = sweep(tmp_path, by_k(FALL))
    folder = studies(table)
    assert folder == tmp_path / "sweep"
    names = {"sparsity", "cliffs", "survival", "vanishing", "orders", "codiscard"}
    assert {file.stem for file in folder.glob("*.csv")} == names
    (folder / "controls.csv").write_text("of another table")
    studies(table)
    assert not (folder / "controls.csv").exists()


def test_runs_without_concepts_have_no_studies(tmp_path: Path) -> None:
    table = sweep(tmp_path, by_k(FALL))
    for file in tmp_path.glob("*/figures/concepts.csv"):
        file.unlink()
    assert not studies(table).exists()


def test_a_multirun_ends_in_studies_and_report_makes_them_again(tmp_path: Path) -> None:
    small = ["probe=null", "report=false", "model.sae.d_sae=48"]
    run("train", "-m", *TINY, *TINY_BASE, *small, "model.sae.k=2,4,8", "seed=0,1", logs=tmp_path)
    (made,) = (tmp_path / "sweeps/quickstart").iterdir()
    assert "Concepts and sparsity" in (made / "report.html").read_text()
    rows = read_rows(made / "sweep/agreement.csv")
    assert {row["kind"] for row in rows} == {"seed"}
    assert len(rows) == 3
    assert all(0 < float(row[name]) < 1 for row in rows for name in ("chance", "mean_cos"))
    run("report", f"runs={made}/*", f"out={tmp_path / 'again.html'}", logs=tmp_path)
    assert "Concepts and sparsity" in (tmp_path / "again.html").read_text()
    assert len(read_rows(tmp_path / "again/sparsity.csv")) == len(read_rows(made / "sweep/sparsity.csv"))
