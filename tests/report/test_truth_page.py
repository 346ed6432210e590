"""Pages of runs whose true features are known."""

from run_files import info, write_run
from test_page import compared, read

from saelab.analysis.save import write_csv
from saelab.report import page
from saelab.report.facts import facts
from saelab.report.findings import findings, tiles

SCORES = {"truth/mcc": 0.8366, "truth/chance_mcc": 0.28, "truth/found": 0.236, "truth/f1": 0.684}


def test_a_page_says_whether_the_features_were_found(tmp_path):
    write_run(tmp_path, info(base=None), {"test/ev": 0.75, "test/l0": 8.0, **SCORES})
    row = {"latent": 0, "alive": 1, "feature": 0, "cos": 0.95, "matched": 0, "matched_cos": 0.95, "chance_cos": 0.3}
    write_csv(tmp_path / "figures/truth.csv", [row, row | {"latent": 1}])
    text = read(page(tmp_path)).text
    assert (
        "Matched one to one with the true features, latents have a mean cosine of 0.837 (random directions: 0.280); "
        "23.6 % of the features are found, and latents tell when theirs fires with a mean F1 of 68.4 %." in text
    )
    assert "Are they the true features?" in text
    assert [(tile.value, tile.name) for tile in tiles(facts(tmp_path))][2:3] == [("0.837", "cosine with the truth")]


def test_directions_alone(tmp_path):
    write_run(tmp_path, info(), {name: value for name, value in SCORES.items() if name != "truth/f1"})
    assert findings(facts(tmp_path))[-1].endswith("% of the features are found.")


def test_variants_over_seeds_in_one_table(tmp_path):
    rows = [
        {"model": model, "seed": s, "test/ev": 0.7, "truth/mcc": mcc + s / 100, "truth/f1": f1, "truth/shrinkage": 0.8}
        for model, mcc, f1 in (("topk", 0.8, 0.6), ("relu", 0.7, 0.65))
        for s in (-1, 0, 1)
    ]
    text, marked = compared(tmp_path, rows)
    mcc = "Matched cosine (MCC) is highest for model = topk, 0.800 ± 0.010 over 3 seeds."
    assert mcc in text
    assert "F1 as detectors is highest for model = relu, 65.0 ± 0.0 % over 3 seeds." in text
    assert "topk 70.0 ± 0.0 % 0.800 ± 0.010 60.0 ± 0.0 % 0.800 ± 0.000" in text
    assert marked == ["0.800 ± 0.010", "65.0 ± 0.0 %"]  # of the amplitude kept, more is not better


STREAMS = {"truth/dense_r2": 0.956, "truth/z_in_sparse": -0.02, "truth/s_in_sparse": 0.986, "truth/s_in_dense": 0.0}
BEST = {"truth/lasso_dense_r2": 1.0, "truth/lasso_s_in_sparse": 1.0}


def test_which_part_is_in_which_stream(tmp_path):
    write_run(tmp_path, info(), SCORES | STREAMS | BEST)
    assert findings(facts(tmp_path))[-1] == (
        "The dense code holds the dense part with R² 0.96 (true directions: 1.00) and the sparse part with 0.00; the "
        "sparse code holds the sparse part with 0.99 (true directions: 1.00) and the dense part with -0.02."
    )


def test_one_stream_has_no_dense_code(tmp_path):
    one = {"truth/dense_r2": 0.0, "truth/z_in_sparse": 0.9, "truth/s_in_dense": 0.0}
    write_run(tmp_path, info(), SCORES | STREAMS | BEST | one)
    assert findings(facts(tmp_path))[-1] == (
        "There is no dense code; the sparse one holds the dense part with R² 0.90, and the sparse part with 0.99 "
        "(true directions: 1.00)."
    )
