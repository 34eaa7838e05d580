"""The catalog of metrics: equal to scikit-learn's on any rows, in any cut of them, and honest where not defined."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import HealthCheck, given, settings
from sklearn.calibration import calibration_curve

import daskflow
from daskflow import metrics
from daskflow.core.errors import DataError, SettingsError
from daskflow.metrics.bootstrap import Resample
from daskflow.metrics.calibration_error import ExpectedCalibrationError
from daskflow.metrics.extremes import MaxError, MedianAbsoluteError, median
from daskflow.metrics.function import Function
from daskflow.metrics.ordered import BOUND, MOST, OrderedSums
from tests import own_metrics
from tests.test_metrics_contract import REFERENCES, VARIANTS, _settings, rows_for

PAGE = Path(__file__).resolve().parents[1] / "docs" / "metrics.md"

quick = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])

WEIGHTS = st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.0, 3.0, 1024.0])


def cut(metric: Any, y: Any, p: Any, weight: Any, cuts: list[int]) -> float:
    """The value from blocks cut at these rows, merged from the last to the first."""
    places = sorted(place % (len(y) + 1) for place in cuts)
    blocks = zip(*(np.split(values, places) for values in (y, p, weight)), strict=True)
    return float(metric.value(reduce(lambda left, right: metric.merge(right, left), [metric.of(*b) for b in blocks])))


def agrees(found: float, expected: float) -> bool:
    """Whether both are the same to 1e-9, or neither is defined."""
    return bool(np.isnan(found) and np.isnan(expected)) or found == pytest.approx(expected, rel=1e-9, abs=1e-9)


def expected_of(function: Callable[..., Any], *arguments: Any, **options: Any) -> float:
    """What scikit-learn says; nan where it refuses or warns that it is not defined and says nothing of use."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return float(function(*arguments, **options))
        except ValueError:
            return float("nan")


@st.composite
def labelled(draw: Any, n_classes: int) -> tuple[Any, Any, Any, list[int]]:
    """Codes, often of few classes or one, weights, and cuts."""
    n = draw(st.integers(1, 30))
    codes = st.lists(st.integers(0, draw(st.integers(0, n_classes - 1))), min_size=n, max_size=n)
    y, p = np.array(draw(codes)), np.array(draw(codes))
    weight = np.array(draw(st.lists(WEIGHTS, min_size=n, max_size=n)))
    return y, p, weight, draw(st.lists(st.integers(0, 60), max_size=4))


BY_LABEL = {
    "accuracy": reference.accuracy_score,
    "balanced_accuracy": reference.balanced_accuracy_score,
    "matthews_corrcoef": reference.matthews_corrcoef,
    "cohen_kappa": reference.cohen_kappa_score,
    "cohen_kappa_linear": lambda y, p, **o: reference.cohen_kappa_score(y, p, weights="linear", **o),
    "cohen_kappa_quadratic": lambda y, p, **o: reference.cohen_kappa_score(y, p, weights="quadratic", **o),
    **{
        f"{name}_{average}": lambda y, p, f=function, a=average, **o: f(y, p, average=a, zero_division=0, **o)
        for name, function in {
            "precision": reference.precision_score,
            "recall": reference.recall_score,
            "f1": reference.f1_score,
            "jaccard": reference.jaccard_score,
        }.items()
        for average in ("macro", "micro", "weighted")
    },
    "fbeta_0.5_macro": lambda y, p, **o: reference.fbeta_score(y, p, beta=0.5, average="macro", zero_division=0, **o),
    "fbeta_3_weighted": lambda y, p, **o: reference.fbeta_score(y, p, beta=3, average="weighted", zero_division=0, **o),
}


@pytest.mark.parametrize("name", BY_LABEL)
@given(rows=labelled(4))
@quick
def test_metrics_of_labels_are_scikit_learns_for_missing_classes_and_rows_without_weight(name: str, rows: Any) -> None:
    y, p, weight, cuts = rows
    metric = metrics.parse(name).for_task("multiclass", 4)
    used = weight > 0
    # scikit-learn's kappa measures between the classes at hand unless it is told of all
    options = {"labels": range(4)} if "kappa" in name else {}

    expected = float("nan")
    if used.any():
        expected = expected_of(BY_LABEL[name], y[used], p[used], sample_weight=weight[used], **options)

    assert agrees(metric.score(y, p, weight), expected)
    assert agrees(cut(metric, y, p, weight, cuts), expected)


@st.composite
def scored(draw: Any) -> tuple[Any, Any, Any, list[int]]:
    """Two classes, or one, with scores that tie and reach 0 and 1."""
    n = draw(st.integers(1, 40))
    y = np.array(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    values = st.sampled_from([0.0, 1e-300, 1e-12, 0.25, 0.5, 0.5, 0.75, 1 - 2**-53, 1.0])
    p = np.array(draw(st.lists(values, min_size=n, max_size=n)))
    weight = np.array(draw(st.lists(WEIGHTS, min_size=n, max_size=n)))
    return y, p, weight, draw(st.lists(st.integers(0, 60), max_size=4))


def brute_gain(share: float) -> Callable[..., float]:
    """Share of positive weight among the first rows, averaged over orders of tied rows by taking parts of ties."""

    def score(y: Any, p: Any, sample_weight: Any) -> float:
        left, found = share * sample_weight.sum(), 0.0
        for value in np.unique(p)[::-1]:
            tied = sample_weight[p == value].sum()
            part = min(1.0, left / tied)
            found += part * sample_weight[(p == value) & (y == 1)].sum()
            left = max(0.0, left - tied)
        total = sample_weight[y == 1].sum()
        return float(found / total) if total else float("nan")

    return score


def brute_distance(y: Any, p: Any, sample_weight: Any) -> float:
    """Distance of two weighted distribution functions, at every value."""
    if len(set(y)) < 2:
        return float("nan")
    shares = [
        [sample_weight[(y == code) & (p <= value)].sum() / sample_weight[y == code].sum() for value in p]
        for code in (0, 1)
    ]
    return float(np.abs(np.subtract(*shares)).max())


BY_SCORE: dict[str, Callable[..., float]] = {
    "roc_auc": lambda y, p, sample_weight: (
        expected_of(reference.roc_auc_score, y, p, sample_weight=sample_weight) if len(set(y)) == 2 else float("nan")
    ),
    "average_precision": lambda y, p, sample_weight: (
        expected_of(reference.average_precision_score, y, p, sample_weight=sample_weight) if y.any() else float("nan")
    ),
    "log_loss": lambda y, p, sample_weight: expected_of(
        reference.log_loss, y, p, sample_weight=sample_weight, labels=[0, 1]
    ),
    "brier": lambda y, p, sample_weight: expected_of(
        reference.brier_score_loss, y, p, sample_weight=sample_weight, labels=[0, 1]
    ),
    "gain_0.1": brute_gain(0.1),
    "gain_0.5": brute_gain(0.5),
    "lift_0.25": lambda y, p, sample_weight: brute_gain(0.25)(y, p, sample_weight) / 0.25,
    "ks": brute_distance,
}


@pytest.mark.parametrize("name", BY_SCORE)
@given(rows=scored())
@quick
def test_metrics_of_scores_are_the_references_for_ties_single_classes_and_certain_probabilities(
    name: str, rows: Any
) -> None:
    y, p, weight, cuts = rows
    metric = metrics.parse(name).for_task("binary", 2)
    used = weight > 0

    expected = BY_SCORE[name](y[used], p[used], sample_weight=weight[used]) if used.any() else float("nan")

    assert agrees(metric.score(y, p, weight), expected)
    assert agrees(cut(metric, y, p, weight, cuts), expected)


@st.composite
def numbers(draw: Any) -> tuple[Any, Any, Any, list[int]]:
    """Numbers above 0 of many sizes, some equal, some predicted exactly."""
    n = draw(st.integers(2, 30))
    values = st.one_of(st.sampled_from([1.0, 2.0, 1000.0]), st.floats(1e-3, 1e6))
    y, p = (np.array(draw(st.lists(values, min_size=n, max_size=n))) for _ in range(2))
    p = np.where(np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n))), y, p)
    weight = np.array(draw(st.lists(WEIGHTS, min_size=n, max_size=n)))
    return y, p, weight, draw(st.lists(st.integers(0, 60), max_size=4))


NUMBERS = [
    metric
    for metric in _settings()
    if metric.kind in REFERENCES and "regression" in metric.tasks and metric.kind not in ("smape", "max_error")
    if metric.name
    != "tweedie_deviance_-1"  # a difference of numbers to the third power, which differs by their rounding
]


@pytest.mark.parametrize("metric", NUMBERS, ids=lambda metric: metric.name)
@given(rows=numbers())
@quick
def test_metrics_of_numbers_are_scikit_learns_in_any_cut(metric: Any, rows: Any) -> None:
    y, p, weight, cuts = rows
    used = weight > 0

    expected = float("nan")
    if used.sum() > 1 or (used.any() and metric.kind not in ("r2", "explained_variance")):
        expected = expected_of(REFERENCES[metric.kind], metric, y[used], p[used], weight[used])

    assert agrees(metric.score(y, p, weight), expected)
    assert agrees(cut(metric, y, p, weight, cuts), expected)


OUTSIDE = {
    "poisson_deviance": [([1.0, -1.0], [1.0, 1.0]), ([1.0, 1.0], [1.0, 0.0])],
    "gamma_deviance": [([1.0, 0.0], [1.0, 1.0]), ([1.0, 1.0], [1.0, -1.0])],
    "tweedie_deviance_1.5": [([1.0, -1.0], [1.0, 1.0]), ([1.0, 1.0], [1.0, 0.0])],
    "tweedie_deviance_3": [([1.0, 0.0], [1.0, 1.0]), ([1.0, 1.0], [1.0, 0.0])],
    "tweedie_deviance_-1": [([1.0, -1.0], [1.0, 0.0])],
    "msle": [([1.0, -1.0], [1.0, 1.0]), ([1.0, 1.0], [1.0, -2.0])],
    "rmsle": [([1.0, -1.0], [1.0, 1.0])],
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_numbers_outside_of_what_a_metric_is_defined_for_give_nan_where_scikit_learn_refuses(name: str) -> None:
    metric = metrics.parse(name)
    assert metric.undefined.startswith("a truth or a prediction is")
    for y, p in OUTSIDE[name]:
        assert np.isnan(expected_of(REFERENCES[metric.kind], metric, np.array(y), np.array(p), None))
        assert np.isnan(metric.score(y, p))
        # unless they have no weight
        assert metric.score(y, p, [1.0, 0.0]) == 0.0


@pytest.mark.parametrize("metric", _settings(), ids=lambda metric: metric.name)
@pytest.mark.filterwarnings("error")
def test_no_metric_warns_whatever_it_is_given(metric: Any) -> None:
    # given rows of one class or value, of no weight, none at all, and predictions that are not numbers or infinite
    task = next(task for task in ("binary", "multiclass", "regression", "multilabel") if not metric.misfit(task))
    if metric.kind == "function":
        return
    settled = metric.for_task(task, {"binary": 2, "multiclass": 4, "multilabel": 3}.get(task, 0))
    y, p, weight = rows_for(metric, task)
    resample = Resample(len(y), 5, seed=1)
    one = np.zeros_like(y)

    odd = p.astype(float)
    if metric.needs != "labels":
        odd[::5], odd[1::5], odd[2::5] = np.nan, np.inf, -np.inf
        settled.score(y, odd)
        settled.score(y, np.full_like(odd, np.inf))
    for truth in (y, one):
        for weights in (weight, np.zeros(len(y)), np.full(len(y), 1e-300), np.full(len(y), 1e150)):
            settled.score(truth, p, weights)
            settled.replicates(truth, p, weights, resample)
    settled.score(y[:0], p[:0])


def test_rows_of_several_labels_are_judged_as_scikit_learn_judges_them() -> None:
    generator = np.random.default_rng(2)
    y = (generator.random((200, 4)) < [0.05, 0.3, 0.5, 0.9]).astype(int)
    score = np.clip(y * 0.3 + generator.random((200, 4)) * 0.7, 0, 1)
    p, weight = (score > 0.5).astype(int), generator.integers(0, 4, 200) / 2
    y[::7] = 0  # rows without any label

    for name, function in {"precision": "precision_score", "recall": "recall_score", "f1": "f1_score"}.items():
        for average in ("micro", "macro", "weighted", "samples"):
            expected = getattr(reference, function)(y, p, average=average, sample_weight=weight, zero_division=0)
            assert metrics.parse(f"{name}_{average}").score(y, p, weight) == pytest.approx(expected, rel=1e-12)
    assert metrics.parse("f1").score(y, p) == metrics.parse("f1_macro").score(y, p)
    assert metrics.parse("accuracy").score(y, p, weight) == pytest.approx(
        reference.accuracy_score(y, p, sample_weight=weight)
    )
    assert metrics.parse("roc_auc").score(y, score, weight) == pytest.approx(
        reference.roc_auc_score(y, score, average="macro", sample_weight=weight)
    )


def test_a_label_that_never_occurs_is_left_out_of_a_mean_of_rankings_but_counts_in_f1_as_in_scikit_learn() -> None:
    y = np.array([[1, 0], [0, 0], [1, 0]])
    score = np.array([[0.9, 0.1], [0.2, 0.2], [0.8, 0.3]])

    assert metrics.parse("roc_auc").score(y, score) == 1.0
    assert metrics.parse("f1").score(y, (score > 0.5).astype(int)) == 0.5
    assert np.isnan(metrics.parse("roc_auc").score(y * 0, score))


def test_scores_in_the_place_of_labels_are_refused() -> None:
    with pytest.raises(DataError, match=r"y_pred has 0\.3 where a label is 0 or 1\. Cut scores at a threshold first"):
        metrics.parse("f1").score([[0, 1]], [[0.3, 1.0]])
    with pytest.raises(DataError, match=r"matthews_corrcoef is for one label per row \(found 2\)"):
        metrics.parse("mcc").score([[0, 1]], [[0, 1]])


def test_specificity_is_the_recall_of_the_other_rows() -> None:
    generator = np.random.default_rng(3)
    y, p, weight = generator.integers(0, 3, 300), generator.integers(0, 3, 300), generator.gamma(1.0, size=300)

    each = [reference.recall_score(y != code, p != code, sample_weight=weight) for code in range(3)]

    assert metrics.parse("specificity").score(y, p, weight) == pytest.approx(np.mean(each))
    assert metrics.parse("specificity").score(y == 1, p == 1, weight) == pytest.approx(each[1])
    counts = np.bincount(y, weight)
    assert metrics.parse("specificity_weighted").score(y, p, weight) == pytest.approx(np.average(each, weights=counts))


def test_ties_at_the_border_of_the_top_k_fall_as_in_scikit_learn() -> None:
    generator = np.random.default_rng(4)
    y, score = generator.integers(0, 5, 500), generator.integers(0, 3, (500, 5)).astype(float)

    for k in (1, 2, 3, 4):
        expected = reference.top_k_accuracy_score(y, score, k=k, labels=range(5))
        assert metrics.parse(f"top_k_accuracy_{k}").score(y, score) == pytest.approx(expected)
    assert metrics.parse("top_k_accuracy_5").score(y, score) == 1.0


@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
def test_bins_of_equal_weight_are_those_of_scikit_learns_calibration_curve(norm: str) -> None:
    # given as many distinct probabilities as fill every bin equally
    generator = np.random.default_rng(5)
    p = generator.permutation(np.linspace(0.01, 0.99, 500) ** 2)
    y = (generator.random(500) < p**1.5).astype(int)
    observed, predicted = calibration_curve(y, p, n_bins=10, strategy="quantile")
    apart = np.abs(observed - predicted)

    found = ExpectedCalibrationError(strategy="quantile", norm=norm).score(y, p)

    expected = {"l1": apart.mean(), "l2": np.sqrt((apart**2).mean()), "max": apart.max()}[norm]
    assert found == pytest.approx(expected, rel=1e-12)


def test_equal_probabilities_share_a_bin_of_equal_weight() -> None:
    y, p = np.array([1, 0, 0, 0, 1, 1]), np.array([0.2, 0.2, 0.2, 0.2, 0.9, 0.9])

    found = ExpectedCalibrationError(strategy="quantile", n_bins=3).score(y, p)

    assert found == pytest.approx((abs(0.25 - 0.2) * 4 + 0.1 * 2) / 6)


@given(
    values=st.lists(st.floats(0, 1e300, allow_subnormal=False), min_size=1, max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=5),
)
@quick
def test_what_is_ordered_in_bins_is_off_by_no_more_than_its_bound_however_it_was_cut(
    values: list[float], cuts: list[int]
) -> None:
    # given more keys than may be told apart
    keys, weight = np.array(values), 1.0 + np.arange(len(values)) % 3
    places = sorted(place % (len(keys) + 1) for place in cuts)
    blocks = zip(np.split(keys, places), np.split(weight[:, None], places), strict=True)

    whole = OrderedSums.of(keys, weight[:, None], most=0)
    cut = reduce(lambda a, b: a.merge(b, most=0), [OrderedSums.of(k, w, most=0) for k, w in blocks])

    assert not whole.is_exact
    assert np.array_equal(whole.keys, cut.keys)
    assert np.array_equal(whole.sums, cut.sums)
    order = np.argsort(keys)
    exact = median(keys[order], weight[order])
    assert abs(median(whole.keys, whole.sums[:, 0]) - exact) <= BOUND * exact * (1 + 1e-12) + 1e-300


def test_the_median_of_many_errors_is_within_the_bound_and_of_few_exact() -> None:
    generator = np.random.default_rng(6)
    y = np.zeros(5 * MOST)  # which are counted without sorting; each of the blocks is sorted
    p = generator.gamma(2.0, 10.0, len(y))
    metric = MedianAbsoluteError()
    few = slice(0, MOST)

    blocks = [metric.of(y[i::5], p[i::5], np.ones(MOST)) for i in range(5)]
    merged = reduce(metric.merge, blocks)

    exact = reference.median_absolute_error(y, p)
    assert metric.score(y[few], p[few]) == reference.median_absolute_error(y[few], p[few])
    assert merged is not None
    assert not merged.is_exact
    assert metric.value(merged) == metric.score(y, p)
    assert abs(metric.value(merged) - exact) <= BOUND * exact


def test_quick_resamples_of_medians_and_largest_errors_are_those_of_all_rows() -> None:
    # given too many rows for every resample to be taken as it is
    generator = np.random.default_rng(7)
    n = 200_000
    y, p = np.zeros(n), generator.gamma(2.0, 10.0, n)
    weight = generator.integers(0, 3, n).astype(float)
    resample = Resample(n, 40, seed=5)

    for metric, tolerance in ((MedianAbsoluteError(), 1e-4), (MaxError(), 0.0)):
        found = metric.replicates(y, p, weight, resample)
        slow = metrics.Metric.replicates(metric, y, p, weight, resample)
        assert len(set(found)) > 1
        assert found == pytest.approx(slow, rel=tolerance, abs=0)


def test_sums_keep_their_digits_when_a_block_of_one_row_lies_far_from_all_others() -> None:
    generator = np.random.default_rng(8)
    y = np.append(1e12, 1e9 + generator.normal(size=20_000))
    p = y + generator.normal(size=len(y)) / 3
    metric = metrics.parse("explained_variance")

    ends = [
        metric.of(y[:1], p[:1], np.ones(1)),
        *(metric.of(y[i::7], p[i::7], np.ones(len(y[i::7]))) for i in range(1, 7)),
    ]
    tail = slice(7, None, 7)
    merged = reduce(metric.merge, [*ends, metric.of(y[tail], p[tail], np.ones(len(y[tail])))])

    assert metric.value(merged) == pytest.approx(reference.explained_variance_score(y, p), rel=1e-12)


# A user's own metric


def test_a_function_is_given_rows_as_often_as_they_weigh_unless_it_takes_weights() -> None:
    y, p, weight = np.array([0, 1, 1, 0]), np.array([1, 1, 0, 0]), np.array([2.0, 3.0, 1.0, 0.0])
    metric = Function(function=own_metrics.profit, params={"gain": 20.0})

    assert metric.name == "profit"
    assert metric.score(y, p, weight) == 3 * 20 - 5
    assert metric.score(y, p) == 20 - 2
    with pytest.raises(DataError, match=r"Metric profit met weights that are no whole numbers\b"):
        metric.score(y, p, weight / 2)


def test_a_class_that_merges_is_never_given_all_rows() -> None:
    metric = metrics.parse({"kind": "function", "function": "tests.own_metrics:Bias", "tasks": ["regression"]})
    y, p = np.arange(10.0), np.arange(10.0) + 0.5

    states = [metric.of(y[i::3], p[i::3], np.ones(len(y[i::3]))) for i in range(3)]

    assert [len(state) for state in states] == [2, 2, 2]
    assert metric.value(reduce(metric.merge, states)) == pytest.approx(0.5)
    assert metric.misfit("binary") == "Bias is for regression, and the task is binary"


def test_a_function_that_is_not_defined_gives_nan_and_one_that_fails_is_named() -> None:
    one_class = Function(function="sklearn.metrics:d2_log_loss_score", needs="probabilities", name="d2")

    assert np.isnan(one_class.score([], []))
    assert one_class.name == "d2"
    with pytest.raises(DataError, match="Metric failing failed: KeyError: 'nothing'"):
        Function(function=own_metrics.failing).score([0, 1], [0, 1])
    with pytest.raises(DataError, match="Metric wordy should return a number \\(found str: 'good'\\)"):
        Function(function=own_metrics.wordy).score([0, 1], [0, 1])


def test_what_cannot_be_a_function_is_told_when_the_settings_are_read() -> None:
    refused = {
        "tests.own_metrics:profitt": "module 'tests.own_metrics' has no 'profitt'; did you mean 'profit'?",
        "nowhere:f": "cannot be imported: ModuleNotFoundError: No module named 'nowhere'.",
        "profit": "should read 'package.module:name'",
        "tests.own_metrics:__doc__": "can neither be called nor has it of, merge and value",
    }
    for path, message in refused.items():
        with pytest.raises(SettingsError, match=re.escape(message)):
            metrics.parse({"kind": "function", "function": path})
    with pytest.raises(SettingsError, match="is a lambda, which cannot be named again"):
        Function(function=lambda y, p: 0.0)
    with pytest.raises(SettingsError, match="profit should have of, merge, value, since mergeable = true"):
        Function(function=own_metrics.profit, mergeable=True)
    with pytest.raises(SettingsError, match="is required"):
        metrics.parse("function")


def test_a_search_may_rank_by_any_of_the_metrics_by_its_name() -> None:
    own = {"kind": "function", "function": "tests.own_metrics:profit", "name": "earned"}

    def workflow(metric: str) -> Any:
        data = daskflow.sources.Generated(rows=400)
        search = {"kind": "grid", "space": {"C": [0.1, 1.0]}, "metric": metric}
        return daskflow.Workflow(data=data, model="logistic", metrics=["f1", own], search=search)

    assert workflow("earned").plan().stages
    with pytest.raises(SettingsError, match=r"search\.metric: no such metric: 'earnt'"):
        workflow("earnt")


@pytest.mark.slow
def test_a_function_of_a_script_judges_a_run(tmp_path: Path) -> None:
    script = """
import json
import daskflow as flow

def missed(y_true, y_pred, sample_weight=None):
    return float(((y_true == 1) & (y_pred == 0)).sum())

if __name__ == "__main__":
    run = flow.Workflow(
        name="own",
        data=flow.sources.Generated(rows=400),
        model="logistic",
        split=flow.Split(test=0.25, folds=2),
        search={"kind": "grid", "space": {"C": [0.01, 1.0]}, "metric": "missed"},
        metrics=["recall", flow.metrics.Function(function=missed, greater_is_better=False)],
        cluster={"kind": "local", "workers": 1},
        seed=7,
    ).run()
    print(json.dumps({name: score.value for name, score in run.metrics.items()}))
"""
    (tmp_path / "script.py").write_text(script)

    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout.splitlines()[-1])) == {"recall", "missed"}


# Names


def test_every_scorer_of_scikit_learn_is_understood_or_known_not_to_be() -> None:
    other = {"d2_absolute_error_score", "roc_auc_ovo", "roc_auc_ovo_weighted", "roc_auc_ovr_weighted"}
    other |= {"neg_negative_likelihood_ratio", "positive_likelihood_ratio"}
    clusterings = {
        name for name in reference.get_scorer_names() if re.search("rand|mutual|v_meas|fowl|homog|compl", name)
    }

    for name in set(reference.get_scorer_names()) - other - clusterings:
        metric = metrics.parse(name)
        assert metric.greater_is_better != name.startswith("neg_"), name
    for name in other:
        with pytest.raises(SettingsError):
            metrics.parse(name)


def test_names_carry_options_and_are_read_back() -> None:
    names = {
        "pinball_0.9": {"kind": "pinball", "alpha": 0.9},
        "top_k_accuracy_3": {"kind": "top_k_accuracy", "k": 3},
        "fbeta_2_macro": {"kind": "fbeta", "beta": 2, "average": "macro"},
        "expected_calibration_error_15_quantile_max": {
            "kind": "ece",
            "n_bins": 15,
            "strategy": "quantile",
            "norm": "max",
        },
        "lift_0.05": {"kind": "lift", "share": 0.05},
        "tweedie_deviance_-1": {"kind": "mean_tweedie_deviance", "power": -1},
        "cohen_kappa_quadratic": {"kind": "kappa", "weights": "quadratic"},
    }
    for name, table in names.items():
        assert metrics.parse(table).name == name
        assert metrics.parse(name) == metrics.parse(table)
    for wrong in ("pinball_2", "top_k_accuracy_0", "tweedie_deviance_0.5", "lift_0", "fbeta_-1", "r2_macro", "f1_2"):
        with pytest.raises(SettingsError):
            metrics.parse(wrong)


def test_the_page_has_every_metric_with_its_options_direction_and_tasks() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \|([^|]*)\| (higher|lower|yours) \|([^|]*)\|", PAGE.read_text(encoding="utf-8"), re.M
    )
    page = {kind: (options, direction, tasks) for kind, options, direction, tasks in rows}

    assert set(page) == set(metrics.REGISTRY.kinds)
    assert len(rows) == len(page)
    for kind, (options, direction, tasks) in page.items():
        cls = metrics.REGISTRY.kinds[kind]
        assert set(re.findall(r"`(\w+)`", options)) == {f.alias or n for n, f in cls.model_fields.items()} - {"kind"}
        if kind != "function":
            assert direction == ("higher" if cls.greater_is_better else "lower"), kind
            assert tasks.replace(",", "").split() == [
                {"binary": "two", "multiclass": "more", "multilabel": "labels", "regression": "numbers"}[task]
                for task in cls.tasks
            ], kind


def test_variants_are_tried_of_every_kind_that_has_options_of_its_own() -> None:
    for kind, cls in metrics.REGISTRY.kinds.items():
        assert set(cls.model_fields) <= {"kind", "average"} or kind in VARIANTS, kind
