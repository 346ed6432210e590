"""A run's page says what the run found, opens without a network, and does without what is missing."""

import re
from html.parser import HTMLParser

import pytest
from run_files import CONFIG, classifier_run, info, probe_rows, sae_run, write_curves, write_run

from saelab.analysis.save import write_csv
from saelab.analysis.tables import probe_metrics, probe_table
from saelab.plots.read import read_rows
from saelab.report import compare, page, tabulate
from saelab.report.facts import facts
from saelab.report.findings import findings, tiles
from saelab.report.words import count, duration, percent, together


class Text(HTMLParser):
    """A page's visible words, its images and the tags that are open."""

    def __init__(self, html):
        super().__init__()
        self.words, self.images, self.links, self.open = [], [], [], []
        self.feed(html)
        self.text = " ".join(" ".join(self.words).replace("\N{NO-BREAK SPACE}", " ").split())

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href"):
                (self.images if tag == "img" else self.links).append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "title"):
            self.words.append(data)


def read(path):
    parsed = Text(path.read_text())
    assert not parsed.open
    return parsed


@pytest.fixture(scope="module")
def sae_page(tmp_path_factory):
    return read(page(sae_run(tmp_path_factory.mktemp("runs") / "sae")))


def test_page_of_an_sae_begins_with_what_was_found(sae_page):
    text = sae_page.text
    assert text.startswith(
        "sparse autoencoder digits_topk "
        "The SAE explains 97.4 % of the variance with 8 of 40 latents active per row; 3 never fire. "
        "Spliced into the base net, its reconstruction recovers 99.1 % of the accuracy lost when the site is zeroed. "
        "A linear probe reads digit as well from the codes (97.0 %) as from raw activations (97.4 %)."
    )


def test_page_of_an_sae_tells_how_to_make_it_again(sae_page):
    for fact in (
        "python src/train.py experiment=digits_topk seed=3",
        "0123abc",
        "5eed5eed5eed",
        "1 min 15 s",
        "512 MB",
    ):
        assert fact in sae_page.text
    assert "source MNIST base net mlp ba5eba5e store 5eed5eed, 1,797 rows SAE TopK probes digit" in re.sub(
        r"\s+", " ", sae_page.text
    )
    assert "_target_: saelab.sae.TopK" in sae_page.text


def test_page_is_self_contained(sae_page):
    assert len(sae_page.images) == 5
    assert all(source.startswith("data:image/png;base64,") for source in sae_page.images)
    assert sae_page.links == ["data:,"]


def test_page_shows_figures_at_half_their_pixels(tmp_path):
    write_curves(write_run(tmp_path, info(), None))
    assert re.search(r'width="(\d+)"', page(tmp_path).read_text()).group(1) == "920"


def test_page_of_a_classifier(tmp_path):
    parsed = read(page(classifier_run(tmp_path)))
    assert "The network is right on 90.0 % of the test inputs" in parsed.text
    assert "its most frequent error takes cat for dog (2 of 3)." in parsed.text
    assert "base net MLP" in parsed.text
    assert len(parsed.images) == 1


def test_page_of_probes(tmp_path):
    probes = {"raw": probe_rows(0.9), "codes": probe_rows(0.95)}
    write_run(tmp_path, info(kind="probe", name="probes"), probe_metrics(probes))
    write_csv(tmp_path / "figures/probes.csv", probe_table(probes))
    text = read(page(tmp_path)).text
    assert "A linear probe reads digit better from the codes (95.0 %) than from raw activations (90.0 %)." in text
    assert "90.0 ± 1.0" in text


def test_probes_on_one_feature_matrix(tmp_path):
    write_run(tmp_path, info(kind="probe"), probe_metrics({"raw": probe_rows(0.9)}))
    assert findings(facts(tmp_path)) == [
        f"A linear probe reads digit from raw activations with {percent(0.9)} accuracy."
    ]


def test_continuous_factors(tmp_path):
    row = {"family": "loop", "class": "size", "split": "test", "r2": 0.81, "n": 50}
    probes = {"raw": [row, row | {"class": "all"}], "codes": [row | {"r2": 0.5}, row | {"class": "all", "r2": 0.5}]}
    write_run(tmp_path, info(kind="probe"), probe_metrics(probes))
    write_csv(tmp_path / "figures/probes.csv", probe_table(probes))
    text = read(page(tmp_path)).text
    assert "reads the factors of loop with R² 0.50 from the codes and 0.81 from raw activations." in text
    assert "loop size 0.810 0.500" in text


def test_splice_in_accuracies(tmp_path):
    write_run(tmp_path, info(), {"test/spliced_acc": 0.9, "test/base_acc": 0.95, "test/zero_acc": 0.1})
    (sentence,) = findings(facts(tmp_path))
    assert sentence.startswith(f"The base net is right on {percent(0.9)} of the test inputs when it continues from")


def test_interrupted_run_says_so_and_tells_the_last_validation(tmp_path):
    write_curves(write_run(tmp_path, info(status="interrupted"), None))
    text = read(page(tmp_path)).text
    assert "This run was interrupted before its end." in text
    assert "The SAE explains 95.9 % of the variance with 8 latents active per row." in text
    assert [tile.value for tile in tiles(facts(tmp_path))] == [percent(0.95862), "8", percent(0.25)]


def test_failed_run_tells_the_error_and_escapes_it(tmp_path):
    write_run(tmp_path, info(status="failed", error="ValueError: k=9 <script>"), None, "")
    html = page(tmp_path).read_text()
    assert "k=9 &lt;script&gt;" in html
    assert "<script>" not in html


def test_not_a_run(tmp_path):
    with pytest.raises(ValueError, match="not a run"):
        page(tmp_path)


def test_comparison_of_runs(tmp_path):
    runs = [classifier_run(tmp_path / str(w), accuracy, w) for w, accuracy in ((32, 0.8), (64, 0.9), (128, 0.85))]
    runs.append(write_run(tmp_path / "bad", info(name="bad", status="failed"), None, CONFIG))
    parsed = read(compare(runs, tmp_path / "all/report.html"))
    assert "3 of 4 runs finished." in parsed.text
    assert "Test accuracy is highest, 90.0 %, for" in parsed.text
    assert "model.net.width = 64" in parsed.text
    assert len(parsed.images) == 1
    assert (tmp_path / "all/report.csv").exists()


def test_comparison_from_a_sweep_table(tmp_path):
    rows = [
        {"job": i, "k": 2**i, "status": "finished", "wall_s": i, "test/ev": 0.5 + i / 10, "test/l0": 2**i, "run": "x"}
        for i in range(4)
    ]
    table = write_csv(tmp_path / "sweep.csv", rows)
    parsed = read(compare([], tmp_path / "report.html", table=table))
    assert "Explained variance is highest, 80.0 %, for k = 8, with 8 active latents per row." in parsed.text
    failed = write_csv(tmp_path / "none.csv", [{"job": 0, "status": "failed"}])
    assert "0 of 1 run finished." in read(compare([], tmp_path / "none.html", table=failed)).text


def compared(tmp_path, rows, name="sweeps/mnist_topk/2026-01-31_12-05-00"):
    """The page's text without its table's heads, and its cells marked as best."""
    out = tmp_path / name / "report.html"
    rows = [{"job": f"{i:03d}", "status": "finished", **row} for i, row in enumerate(rows)]
    made = compare([], out, table=write_csv(out.with_name("sweep.csv"), rows))
    return read(made).text, re.findall(r'class="best">([^<]*)<', made.read_text().replace("\N{NO-BREAK SPACE}", " "))


def test_comparison_over_seeds_tells_mean_and_spread(tmp_path):
    rows = [
        {"seed": s, "test/ev": ev, "test/dead": d}
        for s, ev, d in ((0, 0.97, 0.006), (1, 0.98, 0.004), (2, 0.96, 0.005))
    ]
    text, marked = compared(tmp_path, rows)
    assert "Over 3 seeds the explained variance is 97.0 ± 1.0 %; dead latents 0.5 ± 0.1 %." in text
    assert "mean ± std 97.0 ± 1.0 % 0.5 ± 0.1 % The numbers" in text
    assert "highest" not in text and "lead" not in text and not marked


@pytest.mark.parametrize(("spread", "clear"), [(0.01, True), (0.08, False)])
def test_comparison_of_settings_over_seeds_weighs_the_spread(tmp_path, spread, clear):
    rows = [
        {"k": k, "seed": s, "test/ev": ev + s * spread, "test/l0": k}
        for k, ev in ((4, 0.5), (8, 0.6))
        for s in (-1, 0, 1)
    ]
    text, marked = compared(tmp_path, rows)
    told = f"60.0 ± {100 * spread:.1f} %"
    assert f"Explained variance is highest for k = 8, {told} over 3 seeds" in text
    assert ("the best is unclear" in text) is not clear
    assert ("k = 4 with 50.0 ± 8.0 % is within the spread" in text) is not clear
    assert marked == ([told] if clear else [])


def test_comparison_marks_no_ties_and_is_named_after_the_sweep(tmp_path):
    evs = ((1, 0.9001), (2, 0.9002), (3, 0.8))
    text, marked = compared(tmp_path, [{"k": k, "test/ev": ev, "test/dead": k / 10} for k, ev in evs])
    assert text.startswith(
        "3 runs compared mnist_topk 2026-01-31, 12:05 Explained variance is highest, 90.0 %, for k = 1 and for k = 2."
    )
    assert marked == ["10.0 %"]
    text, _ = compared(tmp_path, [{"k": k, "test/ev": 0.9} for k in (1, 2)], "mine")
    assert text.startswith("2 runs compared mine Explained variance is 90.0 % in all 2 runs.")


def test_words():
    nb = "\N{NO-BREAK SPACE}"
    assert [percent(p) for p in (0.974, 0.9999, 1, 0, 0.0004)] == [
        f"{t}{nb}%" for t in ["97.4", "99.99", "100.0", "0.0", "0.04"]
    ]
    assert count(2048, "latent") == f"2,048{nb}latents"
    assert (duration(5.25), duration(3700)) == (f"5.2{nb}s", f"1{nb}h 1{nb}min")
    assert together(["a", "b", "c"]) == "a, b and c"


def test_what_follows_from_a_class_is_not_told(tmp_path):
    """k is TopK's alone and always 8; l1 is ReLU's, and differs; all have aux_k."""
    kinds = ["TopK\n    k: 8\n", "TopK\n    k: 8\n", "ReLU\n    l1: 0.5\n", "ReLU\n    l1: 0.7\n"]
    for i, kind in enumerate(kinds):
        config = f"model:\n  sae:\n    aux_k: {i}\n    _target_: saelab.sae.{kind}"
        write_run(tmp_path / f"runs/{i}", info(), {"test/ev": 0.9 + i / 100}, config)
    tabulate(sorted((tmp_path / "runs").iterdir()), tmp_path / "table.csv")
    rows = read_rows(tmp_path / "table.csv")
    assert [row["model.sae._target_"] for row in rows] == ["TopK", "TopK", "ReLU", "ReLU"]
    assert [row["model.sae.l1"] for row in rows] == ["", "", "0.5", "0.7"]
    assert "model.sae.k" not in rows[0] and rows[3]["model.sae.aux_k"] == "3"
