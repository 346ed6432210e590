"""Probes against scikit-learn on the same split, and the odd label families."""

from functools import partial

import numpy as np
import pytest
import torch
from sklearn import metrics
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import StandardScaler

from saelab.data.source import Family
from saelab.modules import ProbeData, ProbeModule
from saelab.modules.probe import probe
from saelab.modules.probe_factors import factor_rows
from saelab.modules.probe_scores import METRICS
from saelab.modules.probe_split import stratified_folds
from saelab.modules.standardise import standardisation

DIGIT = Family(classes=tuple(str(i) for i in range(10)))
PARITY = Family(classes=("even", "odd"))


def digits():
    x, y = load_digits(return_X_y=True)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y)


def sparse_codes(x, width=128, k=12):
    w = torch.randn(x.shape[1], width, generator=torch.Generator().manual_seed(0))
    pre = ((x - x.mean(0)) @ w).relu()
    value, index = pre.topk(k)
    return torch.zeros_like(pre).scatter_(1, index, value)


def imbalanced(x, y):
    """One 1 for fifteen other digits."""
    keep = (y != 1) | (torch.arange(len(y)) % 2 == 0)
    return x[keep], (y[keep] == 1).long()


def reference(x, y, part, problem, folds, mode, c):
    """scikit-learn's scores and predictions on the rows that `problem` is tested on."""
    x, y, part = x.double().numpy(), y.numpy(), part.numpy()
    in_training = (part >= 0) & (part < folds)
    train, test = in_training & (part != problem), part == problem
    scaler = StandardScaler().fit(x[in_training])
    model = LogisticRegression(C=c, max_iter=5000)
    model = OneVsRestClassifier(model) if mode == "ovr" else model
    model.fit(scaler.transform(x[train]), y[train])
    x_test = scaler.transform(x[test])
    # One-against-rest probabilities are rescaled to sum to 1 there, which changes the order of rows.
    score = model.decision_function(x_test) if mode == "ovr" else model.predict_proba(x_test)
    return y[test], model.predict(x_test), score


def one(rows, **where):
    (row,) = [row for row in rows if all(row[key.rstrip("_")] == value for key, value in where.items())]
    return row


@pytest.mark.parametrize("mode", ["multinomial", "ovr"])
@pytest.mark.parametrize("features", ["pixels", "codes"])
def test_agrees_with_sklearn(mode, features):
    x, y = digits()
    x = sparse_codes(x) if features == "codes" else x
    module = ProbeModule(mode=mode, c=0.3, folds=3)
    labels = {"digit": y, "parity": y % 2}
    rows = probe(module=module, features=x, labels=labels, families={"digit": DIGIT, "parity": PARITY}, max_epochs=100)
    assert module.converged
    for f, (family, target) in enumerate(labels.items()):
        fold_accuracy = []
        for problem in range(4):
            true, predicted, score = reference(x, target, module.part[:, f], problem, 3, mode, 0.3)
            fold_accuracy.append(metrics.accuracy_score(true, predicted))
        cv, test = (
            one(rows, family=family, class_="all", split="cv"),
            one(rows, family=family, class_="all", split="test"),
        )
        assert test["accuracy"] == pytest.approx(fold_accuracy[3], abs=0.005)
        seen = module.part[:, f] < 3  # which is what the last problem was trained on
        z = StandardScaler().fit_transform(x[seen])
        model = LogisticRegression(C=0.3, max_iter=5000)
        model = (OneVsRestClassifier(model) if mode == "ovr" else model).fit(z, target[seen])
        train = one(rows, family=family, class_="all", split="train")
        assert train["accuracy"] == pytest.approx(model.score(z, target[seen]), abs=0.005)
        assert train["n"] == int(seen.sum())
        assert cv["accuracy"] == pytest.approx(np.mean(fold_accuracy[:3]), abs=0.005)
        assert cv["accuracy_std"] == pytest.approx(np.std(fold_accuracy[:3]), abs=0.005)
        if family == "digit":
            auc = np.mean([metrics.roc_auc_score(true == i, score[:, i]) for i in range(10)])
            assert test["auc"] == pytest.approx(auc, abs=2e-3)
        if family == "digit" and mode == "multinomial":
            assert test["f1"] == pytest.approx(metrics.f1_score(true, predicted, average="macro"), abs=0.005)


@pytest.mark.filterwarnings("ignore:Probes stopped")
def test_weights_are_those_of_sklearn():
    x, y = digits()
    module = ProbeModule(tol=1e-6)  # below what single precision reaches, so that it goes as far as it can
    probe(module=module, features=x, labels={"parity": y % 2}, families={"parity": PARITY}, max_epochs=200)
    train = (module.part[:, 0] < 5).numpy()
    scaler = StandardScaler().fit(x[train])
    model = LogisticRegression(max_iter=5000, tol=1e-7).fit(scaler.transform(x[train]), (y % 2)[train])
    w = module.W[:, -1].detach()
    np.testing.assert_allclose(w[:, 1] - w[:, 0], model.coef_[0], atol=5e-3)


def test_metrics_of_an_imbalanced_concept():
    x, y = imbalanced(*digits())
    family = {"one": Family(classes=("rest", "one"))}
    module = ProbeModule()
    rows = probe(module=module, features=x[:, ::3], labels={"one": y}, families=family, max_epochs=100)
    true, predicted, probability = reference(x[:, ::3], y, module.part[:, 0], 5, 5, "multinomial", 1.0)
    row = one(rows, class_="one", split="test")
    assert row["n"] == true.sum()
    assert row["auc"] == pytest.approx(metrics.roc_auc_score(true, probability[:, 1]), abs=2e-3)
    for name, score in (
        ("precision", metrics.precision_score),
        ("recall", metrics.recall_score),
        ("f1", metrics.f1_score),
    ):
        assert row[name] == pytest.approx(score(true, predicted), abs=0.03), name  # one row of 16 positives is 0.06


def test_ovr_detectors_are_binary_regressions():
    x, y = digits()
    module = ProbeModule(mode="ovr")
    rows = probe(module=module, features=x, labels={"digit": y}, families={"digit": DIGIT}, max_epochs=100)
    true, predicted, _ = reference(x, (y == 8).long(), module.part[:, 0], 5, 5, "multinomial", 1.0)
    row = one(rows, class_="8", split="test")
    assert row["accuracy"] == pytest.approx(metrics.accuracy_score(true, predicted), abs=0.005)
    assert row["f1"] == pytest.approx(metrics.f1_score(true, predicted), abs=0.03)


def test_classes_that_are_rare_absent_or_alone():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(60, 4, generator=g)
    x[:, 1] = 3.7  # constant
    y = (x[:, 0] > 0).long()
    rare = torch.where(torch.arange(60) == 7, 2, y)  # a single row of class 2, none of class 3
    unlabelled = torch.where(torch.arange(60) < 20, -1, y)
    for mode in ("multinomial", "ovr"):
        rows = probe(
            module=ProbeModule(mode=mode),
            features=x,
            labels={"rare": rare, "alone": y * 0, "part": unlabelled},
            families={
                "rare": Family(classes=("a", "b", "once", "never")),
                "alone": Family(classes=("all there is", "never")),
                "part": Family(classes=("a", "b")),
            },
        )
        assert one(rows, family="rare", class_="all", split="test")["accuracy"] > 0.8
        never = one(rows, family="rare", class_="never", split="test")
        assert np.isnan(never["auc"])
        assert never["n"] == 0
        alone = one(rows, family="alone", class_="all", split="cv")
        assert alone["accuracy"] == 1.0
        assert np.isnan(alone["auc"])
        assert one(rows, family="part", class_="all", split="test")["n"] == 8
        assert one(rows, family="part", class_="all", split="cv")["n"] == 32
        finite = [row[m] for row in rows for m in METRICS if row["class"] == "all" and m != "auc"]
        assert np.isfinite(finite).all()


@pytest.mark.filterwarnings("ignore:Probes stopped")
def test_other_optimizers_and_factors():
    x, y = digits()
    families = {"parity": PARITY, "slant": Family(factors=("angle",))}
    labels = {"parity": y % 2, "slant": torch.rand(len(y), 1)}
    assert ProbeData(features=x, labels=labels, families=families).skipped == ["slant"]
    module = ProbeModule(optimizer=partial(torch.optim.Adam, lr=0.05))
    rows = probe(module=module, features=x, labels=labels, families=families, max_epochs=100)
    assert {row["family"] for row in rows} == {"parity", "slant"}
    assert one(rows, family="parity", class_="all", split="test")["accuracy"] > 0.88
    assert one(rows, family="slant", class_="angle", split="test")["r2"] < 0.1


def test_factors_alone_and_features_from_inference_mode():
    x, y = digits()
    ink = {"ink": x.mean(1, keepdim=True)}
    rows = probe(module=ProbeModule(), features=x, labels=ink, families={"ink": Family(factors=("mean",))})
    assert [row["r2"] > 0.99 for row in rows] == [True] * 4
    with torch.inference_mode():
        x = x * 1
    with pytest.warns(UserWarning, match="stopped after 1 epochs"):
        rows = probe(
            module=ProbeModule(), features=x, labels={"parity": y % 2}, families={"parity": PARITY}, max_epochs=1
        )
    assert one(rows, class_="all", split="test")["n"] == 359


def test_errors_name_the_value():
    x, y = digits()
    with pytest.raises(ValueError, match="folds=1"):
        ProbeModule(folds=1)
    with pytest.raises(ValueError, match="reach 9"):
        ProbeData(features=x, labels={"digit": y}, families={"digit": PARITY})
    with pytest.raises(ValueError, match="label no row"):
        ProbeData(features=x, labels={"digit": y * 0 - 1}, families={"digit": DIGIT})
    with pytest.raises(ValueError, match="whole numbers"):
        ProbeData(features=x, labels={"digit": y.float()}, families={"digit": DIGIT})
    with pytest.raises(ValueError, match="no results yet"):
        ProbeModule().results()


def test_folds_are_stratified_and_whole():
    y = torch.arange(1000) % 7
    y[:100] = -1
    part = stratified_folds(y, folds=5, test_fraction=0.2, seed=0)
    assert (part[:100] == -1).all()
    assert part[100:].min() >= 0
    counts = torch.stack([torch.bincount(part[y == c], minlength=6) for c in range(7)])
    assert (counts.max(0).values - counts.min(0).values <= 2).all()
    assert counts[:, 5].sum() == 180
    assert torch.equal(part, stratified_folds(y, folds=5, test_fraction=0.2, seed=0))
    assert not torch.equal(part, stratified_folds(y, folds=5, test_fraction=0.2, seed=1))


def test_groups_stay_together():
    image = torch.arange(400) // 4
    part = stratified_folds(image % 3, folds=5, test_fraction=0.2, seed=0, groups=image)
    assert (part.view(100, 4) == part[::4, None]).all()
    assert (part == 5).sum() == 80


def test_standardisation_equals_sklearn():
    x = torch.randn(200, 6) * 100 + 1e4
    x[:, 2] = 1e4 / 3
    x[:, 3] = 0
    rows = torch.arange(200) % 5 > 0
    mean, scale = standardisation(x, rows)
    scaler = StandardScaler().fit(x[rows].double())
    np.testing.assert_allclose(mean, scaler.mean_, rtol=1e-6)
    np.testing.assert_allclose(scale, scaler.scale_, rtol=1e-6)


@pytest.mark.parametrize("width", [12, 300])  # fewer and more features than rows
def test_ridge_equals_sklearn(width):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(240, width, generator=g) * 5 + 3
    x[:, 4] = 1.5  # constant
    y = x[:, :2] @ torch.randn(2, 3, generator=g) + torch.randn(240, 3, generator=g)
    part = stratified_folds(torch.where(torch.arange(240) < 20, -1, 0), folds=4, test_fraction=0.25, seed=1)
    rows = factor_rows(x, y, part=part, folds=4, c=0.1, names=("a", "b", "c"))

    in_training = (part >= 0) & (part < 4)
    z = StandardScaler().fit(x[in_training].double()).transform(x.double())
    r2 = []
    for p in range(5):
        train, test = (in_training & (part != p)).numpy(), (part == p).numpy()
        model = Ridge(alpha=10.0).fit(z[train], y[train])
        r2.append(metrics.r2_score(y[test], model.predict(z[test]), multioutput="raw_values"))
    test = [row["r2"] for row in rows if row["split"] == "test"]
    np.testing.assert_allclose(test, [r2[4].mean(), *r2[4]], atol=1e-4)
    cv = {row["class"]: row for row in rows if row["split"] == "cv"}
    assert cv["b"]["r2"] == pytest.approx(np.mean([fold[1] for fold in r2[:4]]), abs=1e-4)
    assert cv["b"]["r2_std"] == pytest.approx(np.std([fold[1] for fold in r2[:4]]), abs=1e-4)
    assert (cv["all"]["n"], rows[0]["n"]) == (165, 55)
