"""An evaluation gives every metric its value, its interval, and what pictures are drawn from."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import auc, average_precision_score, f1_score, roc_auc_score
from sklearn.preprocessing import StandardScaler

from daskflow import metrics
from daskflow.core.results import Evaluation
from daskflow.data.predictions import Predictions, predict
from daskflow.metrics import Metric
from daskflow.metrics.bootstrap import BUCKETS, Resample, interval
from daskflow.metrics.evaluation import evaluate
from daskflow.metrics.ranking import BINS


def every(task: str) -> list[Metric]:
    return [cls() for cls in metrics.REGISTRY.kinds.values() if task in cls.tasks]


def binary(n: int, seed: int, share: float = 0.3) -> tuple[Any, Any]:
    """Labels and calibrated probabilities."""
    generator = np.random.default_rng(seed)
    p = generator.beta(2, 2 / share - 2, n)
    return (generator.random(n) < p).astype(int), p


def evaluated(y: Any, p: Any, weight: Any = None, **options: Any) -> Evaluation:
    given = Predictions((p > 0.5).astype(int), p, p)
    return evaluate(every("binary"), "binary", given, y, weight, classes=["no", "yes"], seed=7, **options)


def delong_error(y: Any, score: Any) -> float:
    """Standard error of the area under the ROC curve by DeLong et al. (1988): another way to the same interval."""
    positive, negative = score[y == 1], score[y == 0]
    ranks = rankdata(np.concatenate([positive, negative]))
    beaten_by_positive = (ranks[: len(positive)] - rankdata(positive)) / len(negative)
    beating_negative = 1 - (ranks[len(positive) :] - rankdata(negative)) / len(positive)
    return float(np.sqrt(beaten_by_positive.var() / len(positive) + beating_negative.var() / len(negative)))


@pytest.fixture(scope="module")
def credit(shared_data: Path) -> tuple[Any, Any, Any, Any]:
    """Real rows: standardised training and test matrix, and their labels."""
    table = pd.read_csv(next((shared_data / "credit_default").glob("*.csv.gz")))
    y = table.pop("default.payment.next.month").to_numpy()
    X = StandardScaler().fit_transform(table.drop(columns="ID").to_numpy(float))
    return X[:20_000], y[:20_000], X[20_000:], y[20_000:]


def test_real_predictions_get_every_metric_inside_its_interval(credit: Any) -> None:
    X, y, X_test, y_test = credit
    given = predict(LogisticRegression(max_iter=500).fit(X, y), X_test, 2)

    found = evaluate(every("binary"), "binary", given, y_test, classes=["0", "1"], seed=7)

    assert found.n_rows == 10_000
    assert "notes" not in found.details
    for name, score in found.metrics.items():
        assert score.low < score.value < score.high, name
    area = found.metrics["roc_auc"]
    assert area.value == pytest.approx(roc_auc_score(y_test, given.scores), rel=1e-9)
    assert area.high - area.low == pytest.approx(2 * 1.96 * delong_error(y_test, given.scores), rel=0.2)


def test_the_same_seed_gives_the_same_evaluation_and_metrics_do_not_disturb_each_other() -> None:
    y, p = binary(3000, seed=1)

    first, again = evaluated(y, p), evaluated(y, p)
    given = Predictions((p > 0.5).astype(int), p, p)
    alone = evaluate([metrics.parse("brier")], "binary", given, y, classes=["a", "b"], seed=7)

    assert first == again
    assert alone.metrics["brier"] == first.metrics["brier"]


def test_weights_reach_every_metric_and_interval() -> None:
    y, p = binary(2000, seed=2)
    weight = np.where(np.arange(2000) < 1000, 3.0, 0.0)

    weighted, half = evaluated(y, p, weight), evaluated(y[:1000], p[:1000])

    for name, score in weighted.metrics.items():
        assert score.value == pytest.approx(half.metrics[name].value, rel=1e-9), name
        assert score.high - score.low == pytest.approx(half.metrics[name].high - half.metrics[name].low, rel=0.35), name


def test_intervals_of_many_rows_by_groups_and_bins_are_those_of_single_rows() -> None:
    n = 3 * BUCKETS
    y, p = binary(n, seed=3, share=0.02)
    assert n > BUCKETS > BINS

    for metric in (metrics.parse("average_precision"), metrics.parse("log_loss")):
        quick = metric.replicates(y, p, np.ones(n), Resample(n, 150, seed=1))
        rows = np.random.default_rng(1)
        slow = [metric.score(y, p, rows.poisson(1.0, n)) for _ in range(150)]
        assert np.mean(quick) == pytest.approx(np.mean(slow), abs=5 * np.std(slow) / np.sqrt(150)), metric.name
        assert np.std(quick) == pytest.approx(np.std(slow), rel=0.3), metric.name


def accuracy_case(seed: int) -> tuple[str, Any, Any, float]:
    y = np.ones(300, dtype=int)
    return "accuracy", y, (np.random.default_rng(seed).random(300) < 0.8).astype(int), 0.8


def area_case(seed: int) -> tuple[str, Any, Any, float]:
    # scores of two normals one standard deviation apart: the area is Phi(1 / sqrt(2))
    generator = np.random.default_rng(seed)
    y = (generator.random(300) < 0.3).astype(int)
    return "roc_auc", y, generator.normal(y, 1.0), 0.5 * (1 + math.erf(0.5))


def error_case(seed: int) -> tuple[str, Any, Any, float]:
    y = np.random.default_rng(seed).normal(0.0, 2.0, 300)
    return "rmse", y, np.zeros(300), 2.0


@pytest.mark.parametrize("case", [accuracy_case, pytest.param(area_case, marks=pytest.mark.slow), error_case])
def test_the_interval_covers_the_true_value_95_times_of_100(case: Callable[[int], tuple[str, Any, Any, float]]) -> None:
    # given 400 tables drawn from a known law, whose true value lies below and above the intervals
    covered = []
    for seed in range(400):
        name, y, p, truth = case(seed)
        metric = metrics.parse(name)
        low, high = interval(metric.replicates(y, p, np.ones(len(y)), Resample(len(y), 200, seed)))
        covered.append(low <= truth <= high)

    # then the share lies where 400 trials of 0.95 put it in 999 of 1000 cases
    assert np.mean(covered) == pytest.approx(0.95, abs=3.3 * 0.011)


def test_an_estimator_without_probabilities_is_judged_by_the_other_metrics(credit: Any) -> None:
    X, y, X_test, y_test = credit
    given = predict(RidgeClassifier().fit(X[:2000], y[:2000]), X_test, 2)

    found = evaluate(every("binary"), "binary", given, y_test, classes=["0", "1"], seed=7)

    nan = {name for name, score in found.metrics.items() if math.isnan(score.value)}
    assert nan == {metric.name for metric in every("binary") if metric.needs == "probabilities"}
    assert {"log_loss", "brier"} <= nan
    assert all(math.isnan(found.metrics[name].low) for name in nan)
    assert {note.split()[0] for note in found.details["notes"]} == nan
    assert "no predict_proba" in found.details["notes"][0]
    assert "roc" in found.details
    assert "calibration" not in found.details


@pytest.mark.parametrize(
    ("y", "p", "task", "said"),
    [
        (np.zeros(9, dtype=int), np.linspace(0, 1, 9), "binary", "roc_auc is not defined: only class 0 occurs"),
        (np.zeros(0, dtype=int), np.zeros(0), "binary", "roc_auc is not defined: there are no rows to judge by"),
        (
            np.arange(4) % 2,
            np.array([0.1, np.nan, 0.3, 0.4]),
            "binary",
            "the prediction of 1 of 4 rows is not a number",
        ),
        (
            np.arange(4.0),
            np.arange(4.0),
            "regression",
            "Roc_auc is for binary and multiclass, and the task is regression",
        ),
    ],
)
def test_what_cannot_be_judged_is_said_and_nothing_raised(y: Any, p: Any, task: str, said: str) -> None:
    labels = p if task == "regression" else (p > 0.5).astype(int)
    chosen = [metrics.parse("roc_auc"), *every(task)]

    found = evaluate(chosen, task, Predictions(labels, p, p), y, classes=["no", "yes"], seed=7)

    assert any(said in note for note in found.details["notes"])
    assert math.isnan(found.metrics["roc_auc"].value)
    json.dumps(dict(found.details), allow_nan=False)


def test_binary_pictures_are_the_curves_of_the_predictions_in_few_points() -> None:
    y, p = binary(20_000, seed=4)

    details = evaluated(y, p, np.full(20_000, 2.0)).details

    roc, pr, calibration = details["roc"], details["precision_recall"], details["calibration"]
    assert json.loads(json.dumps(dict(details), allow_nan=False)) == details
    assert details["confusion"]["classes"] == ["no", "yes"]
    assert np.sum(details["confusion"]["counts"]) == 20_000
    assert np.sum(details["confusion"]["weights"]) == 40_000
    assert max(len(roc["fpr"]), len(pr["recall"])) <= 400
    assert (roc["fpr"][0], roc["tpr"][0], roc["fpr"][-1], roc["tpr"][-1]) == (0, 0, 1, 1)
    assert auc(roc["fpr"], roc["tpr"]) == pytest.approx(roc_auc_score(y, p), abs=1e-4)
    steps = np.diff([0, *pr["recall"]])
    assert steps @ pr["precision"] == pytest.approx(average_precision_score(y, p), abs=5e-3)
    assert sum(calibration["count"]) == 20_000
    assert np.allclose(calibration["predicted"], calibration["observed"], atol=0.1)


def test_multiclass_details_judge_every_class_against_the_rest_also_one_that_does_not_occur() -> None:
    generator = np.random.default_rng(5)
    y = generator.choice([0, 1, 3], 500)
    p = generator.dirichlet(np.ones(4), 500) / 2 + np.eye(4)[y] / 2
    given = Predictions(p.argmax(axis=1), p, p)

    found = evaluate(every("multiclass"), "multiclass", given, y, classes=["a", "b", "c", "d"], seed=7)

    rows = {row["class"]: row for row in found.details["per_class"]}
    assert [row["support"] for row in rows.values()] == np.bincount(y, minlength=4).tolist()
    assert rows["c"]["roc_auc"] is None
    assert rows["d"]["roc_auc"] == pytest.approx(roc_auc_score(y == 3, p[:, 3]))
    assert rows["d"]["f1"] == pytest.approx(f1_score(y == 3, given.labels == 3))
    assert np.sum(found.details["confusion"]["counts"]) == 500
    json.dumps(dict(found.details), allow_nan=False)


def test_regression_details_are_a_sample_of_rows_and_the_histogram_of_all() -> None:
    generator = np.random.default_rng(6)
    y = generator.normal(size=5000)
    p = y + generator.normal(size=5000)

    found = evaluate(every("regression"), "regression", Predictions(p), y, classes=[], seed=7)

    sample, histogram = found.details["residuals"], found.details["residual_histogram"]
    assert len(sample["y_true"]) == len(sample["y_pred"]) == 2000
    assert set(zip(sample["y_true"], sample["y_pred"], strict=True)) <= set(zip(y, p, strict=True))
    assert sum(histogram["counts"]) == 5000
    assert len(histogram["edges"]) == len(histogram["counts"]) + 1
