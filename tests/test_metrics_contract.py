"""Every metric of the registry keeps what a metric promises; a new kind is tested the day it is added."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as reference
from scipy.stats import gmean, ks_2samp
from sklearn.calibration import calibration_curve

from daskflow import metrics
from daskflow.core.errors import SettingsError
from daskflow.metrics import Metric
from daskflow.metrics.bootstrap import Resample

CLASSES = {"binary": 2, "multiclass": 4, "multilabel": 3, "regression": 0}

AVERAGES = ("binary", "macro", "micro", "weighted", "samples")

VARIANTS: dict[str, list[dict[str, Any]]] = {
    "balanced_accuracy": [{"adjusted": True}],
    "cohen_kappa": [{"weights": "linear"}, {"weights": "quadratic"}],
    "expected_calibration_error": [{"n_bins": 15, "norm": "l2"}, {"norm": "max"}, {"strategy": "quantile"}],
    "fbeta": [{"beta": 0.5}],
    "function": [
        {"function": "sklearn.metrics:zero_one_loss", "greater_is_better": False, "tasks": ["binary", "multiclass"]},
        {"function": "sklearn.metrics:brier_score_loss", "needs": "probabilities", "tasks": ["binary"]}
        | {"greater_is_better": False, "name": "own_brier"},
        {"function": "tests.own_metrics:Bias", "greater_is_better": False, "tasks": ["regression"]}
        | {"params": {"power": 2.0}},
    ],
    "gain": [{"share": 0.6}],
    "lift": [{"share": 0.6}],
    "pinball": [{"alpha": 0.9}],
    "top_k_accuracy": [{"k": 1}, {"k": 3}],
    "tweedie_deviance": [{"power": power} for power in (-1.0, 0.0, 1.0, 2.0, 3.0)],
}
"""Options besides the defaults; a kind that cannot do without is only tried with these."""


def _settings() -> list[Metric]:
    """Every kind as it is, with each average where it has one, and with the options above."""
    found = []
    for kind, cls in metrics.REGISTRY.kinds.items():
        options = [{"average": average} for average in AVERAGES] if "average" in cls.model_fields else []
        alone = [] if any(field.is_required() for field in cls.model_fields.values()) else [{}]
        found += [metrics.parse({"kind": kind, **each}) for each in (*alone, *options, *VARIANTS.get(kind, []))]
    return found


CASES = [
    pytest.param(metric.for_task(task, n_classes), task, id=f"{metric.name}-{task}")
    for metric in _settings()
    for task, n_classes in CLASSES.items()
    if not metric.misfit(task)
]


def rows_for(metric: Metric, task: str, n: int = 400, seed: int = 0) -> tuple[Any, Any, Any]:
    """Truth, predictions of the sort the metric needs (with ties), and weights (some zero)."""
    generator = np.random.default_rng(seed)
    weight = np.round(generator.gamma(1.0, size=n), 1)
    if task == "regression":
        y = generator.normal(1000.0, 5.0, n)
        return y, y + generator.normal(0.5, 2.0, n), weight
    k = CLASSES[task]
    if task == "multilabel":
        y = (generator.random((n, k)) < [0.2, 0.5, 0.7]).astype(int)
        probabilities = np.round(np.clip(0.25 + y / 2 + generator.normal(0, 0.3, (n, k)), 0.02, 0.98), 2)
        return y, (probabilities > 0.5).astype(int) if metric.needs == "labels" else probabilities, weight
    y = generator.choice(k, n, p=generator.dirichlet(np.full(k, 5.0)))
    noisy = np.round(np.eye(k)[y] + generator.gamma(0.5, size=(n, k)), 1) + 0.05
    probabilities = noisy / noisy.sum(axis=1, keepdims=True)
    if metric.needs == "labels":
        return y, probabilities.argmax(axis=1), weight
    return y, probabilities[:, 1] if k == 2 else probabilities, weight


def _averaged(function: Callable[..., Any]) -> Callable[..., float]:
    def score(metric: Metric, y: Any, p: Any, weight: Any) -> float:
        average = getattr(metric, "average", None) or ("binary" if y.ndim == 1 and y.max() <= 1 else "macro")
        beta = {"beta": metric.beta} if isinstance(metric, metrics.FBeta) else {}
        return float(function(y, p, sample_weight=weight, average=average, zero_division=0, **beta))

    return score


def _one_hot_average(metric: Metric, y: Any, p: Any, weight: Any) -> float:
    truth = y if p.ndim == y.ndim else np.eye(p.shape[1])[y]
    return float(reference.average_precision_score(truth, p, sample_weight=weight))


def _plain(function: Callable[..., Any], *settings: str, **options: Any) -> Callable[..., float]:
    """A function of scikit-learn, given these settings of the metric."""

    def score(metric: Metric, y: Any, p: Any, weight: Any) -> float:
        given = {word: getattr(metric, word) for word in settings}
        return float(function(y, p, sample_weight=weight, **given, **options))

    return score


def _by_label(function: Callable[..., Any], **options: Any) -> Callable[..., float]:
    """A function of scikit-learn; of several labels the mean over them."""

    def score(metric: Metric, y: Any, p: Any, weight: Any) -> float:
        labels = [(y, p)] if y.ndim == 1 else list(zip(y.T, p.T, strict=True))
        return float(np.mean([function(true, said, sample_weight=weight, **options) for true, said in labels]))

    return score


def _unweighted(function: Callable[..., Any], seen: Callable[..., Any] = lambda y, p: (y, p)) -> Callable[..., float]:
    """A function that takes no weights, of the rows as often as they weigh (in tenths)."""

    def score(metric: Metric, y: Any, p: Any, weight: Any) -> float:
        times = np.ones(len(y), dtype=int) if weight is None else np.round(10 * weight).astype(int)
        return float(function(metric, *seen(np.repeat(y, times, axis=0), np.repeat(p, times, axis=0))))

    return score


def _smape(metric: Metric, y: Any, p: Any) -> float:
    return float(np.mean(2 * np.abs(y - p) / (np.abs(y) + np.abs(p))))


def _ks(metric: Metric, y: Any, p: Any) -> float:
    classes = [(y, p)] if p.ndim == 1 else [((y == code).astype(int), p[:, code]) for code in range(p.shape[1])]
    return float(np.mean([ks_2samp(score[true == 1], score[true == 0]).statistic for true, score in classes]))


def _gmean(metric: Metric, y: Any, p: Any) -> float:
    return float(gmean(reference.recall_score(y, p, average=None)))


def _calibration_curve(metric: Any, y: Any, p: Any) -> float:
    """Of the bins of scikit-learn's calibration curve, with their weights."""
    true, said = (y, p) if p.ndim == 1 else ((p.argmax(axis=1) == y).astype(int), p.max(axis=1))
    observed, predicted = calibration_curve(true, said, n_bins=metric.n_bins, strategy=metric.strategy)
    place = np.searchsorted(np.linspace(0, 1, metric.n_bins + 1)[1:-1], said)
    share = np.bincount(place, minlength=metric.n_bins) / len(y)
    apart = np.abs(observed - predicted)
    if metric.norm == "max":
        return float(apart.max())
    power = {"l1": 1, "l2": 2}[metric.norm]
    return float((share[share > 0] * apart**power).sum() ** (1 / power))


REFERENCES: dict[str, Callable[..., float]] = {
    "accuracy": _plain(reference.accuracy_score),
    "balanced_accuracy": _plain(reference.balanced_accuracy_score, "adjusted"),
    "precision": _averaged(reference.precision_score),
    "recall": _averaged(reference.recall_score),
    "f1": _averaged(reference.f1_score),
    "roc_auc": _plain(reference.roc_auc_score, multi_class="ovr"),
    "average_precision": _one_hot_average,
    "log_loss": _by_label(reference.log_loss),
    "brier": _by_label(reference.brier_score_loss),
    "rmse": _plain(reference.root_mean_squared_error),
    "mae": _plain(reference.mean_absolute_error),
    "r2": _plain(reference.r2_score),
    "explained_variance": _plain(reference.explained_variance_score),
    "mse": _plain(reference.mean_squared_error),
    "mape": _plain(reference.mean_absolute_percentage_error),
    "smape": _unweighted(_smape),
    "msle": _plain(reference.mean_squared_log_error),
    "rmsle": _plain(reference.root_mean_squared_log_error),
    "pinball": _plain(reference.mean_pinball_loss, "alpha"),
    "median_absolute_error": _plain(reference.median_absolute_error),
    "max_error": _unweighted(lambda metric, y, p: reference.max_error(y, p)),
    "poisson_deviance": _plain(reference.mean_poisson_deviance),
    "gamma_deviance": _plain(reference.mean_gamma_deviance),
    "tweedie_deviance": _plain(reference.mean_tweedie_deviance, "power"),
    "fbeta": _averaged(reference.fbeta_score),
    "jaccard": _averaged(reference.jaccard_score),
    "matthews_corrcoef": _plain(reference.matthews_corrcoef),
    "cohen_kappa": _plain(reference.cohen_kappa_score, "weights"),
    "geometric_mean": _unweighted(_gmean),
    "hamming_loss": _plain(reference.hamming_loss),
    "top_k_accuracy": _plain(reference.top_k_accuracy_score, "k"),
    "ks": _unweighted(_ks),
    "d2_log_loss": _plain(reference.d2_log_loss_score),
    "d2_brier": _plain(reference.d2_brier_score),
    "expected_calibration_error": _unweighted(_calibration_curve),
}
KNOWN_ELSEWHERE = {*REFERENCES, *reference.get_scorer_names()}
"""Kinds that must be compared: those named above, and any that scikit-learn has under the same name."""


def is_compared(metric: Any) -> bool:
    """Whether another library has it; bins of equal weight are compared in the catalog's own tests."""
    return metric.kind in KNOWN_ELSEWHERE and "quantile" not in metric.name


@pytest.mark.parametrize(("metric", "task"), [case for case in CASES if is_compared(case.values[0])])
@pytest.mark.parametrize("seed", range(3))
def test_a_metric_equals_scikit_learns(metric: Metric, task: str, seed: int) -> None:
    y, p, weight = rows_for(metric, task, seed=seed)
    expected = REFERENCES[metric.kind]

    assert metric.score(y, p) == pytest.approx(expected(metric, y, p, None), rel=1e-9, abs=1e-9)
    assert metric.score(y, p, weight) == pytest.approx(expected(metric, y, p, weight), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("metric", "task"), CASES)
@pytest.mark.parametrize("seed", range(3))
def test_blocks_of_any_size_in_any_order_give_the_value_of_the_whole(metric: Metric, task: str, seed: int) -> None:
    y, p, weight = rows_for(metric, task, seed=seed)
    whole = metric.value(metric.of(y, p, weight))
    generator = np.random.default_rng(seed)
    cuts = np.sort(generator.integers(0, len(y) + 1, 7))
    # a block without rows, and one with few classes, are among these
    blocks = [metric.of(*block) for block in zip(*(np.split(values, cuts) for values in (y, p, weight)), strict=True)]

    forward = metric.value(reduce(metric.merge, blocks))
    shuffled = metric.value(reduce(metric.merge, [blocks[i] for i in generator.permutation(len(blocks))]))
    by_pairs = metric.value(metric.merge(reduce(metric.merge, blocks[:3]), reduce(metric.merge, blocks[3:])))

    assert [forward, shuffled, by_pairs] == pytest.approx([whole] * 3, rel=1e-10)


@pytest.mark.parametrize(("metric", "task"), CASES)
def test_a_weight_of_two_is_a_row_that_stands_there_twice_and_a_weight_of_zero_none(metric: Metric, task: str) -> None:
    y, p, _ = rows_for(metric, task)
    weight = np.arange(len(y)) % 3

    weighted = metric.score(y, p, weight)

    assert weighted == pytest.approx(metric.score(np.repeat(y, weight, axis=0), np.repeat(p, weight, axis=0)), rel=1e-9)


@pytest.mark.parametrize(("metric", "task"), CASES)
def test_a_better_prediction_scores_better_in_the_metrics_own_direction(metric: Metric, task: str) -> None:
    y, p, weight = rows_for(metric, task)
    perfect = y if p.ndim == y.ndim else np.eye(p.shape[1])[y]
    worse = p[::-1] if hasattr(metric, "share") else p  # the rows that score highest were all right already
    sign = 1 if metric.greater_is_better else -1

    assert sign * metric.score(y, perfect, weight) > sign * metric.score(y, worse, weight)


@pytest.mark.parametrize(("metric", "task"), CASES)
def test_no_rows_and_rows_without_weight_have_no_value(metric: Metric, task: str) -> None:
    y, p, _ = rows_for(metric, task)

    assert np.isnan(metric.score(y[:0], p[:0]))
    assert np.isnan(metric.score(y, p, np.zeros(len(y))))


@pytest.mark.parametrize(("metric", "task"), CASES)
def test_a_prediction_that_is_not_a_number_gives_no_value_instead_of_a_wrong_one(metric: Metric, task: str) -> None:
    y, p, weight = rows_for(metric, task)
    if metric.needs == "labels":
        return
    p = p.astype(float)
    p[np.flatnonzero(weight)[3]] = np.nan

    assert np.isnan(metric.score(y, p, weight))


@pytest.mark.parametrize(("metric", "task"), CASES)
def test_quick_replicates_are_those_of_weighting_every_row_by_its_count(metric: Metric, task: str) -> None:
    y, p, weight = rows_for(metric, task)
    resample = Resample(len(y), 20, seed=5)

    quick = metric.replicates(y, p, weight, resample)

    assert quick == pytest.approx(Metric.replicates(metric, y, p, weight, resample), rel=1e-9)


@pytest.mark.parametrize(("metric", "task"), CASES)
def test_parts_of_the_rows_are_scored_as_they_are_alone(metric: Metric, task: str) -> None:
    y, p, weight = rows_for(metric, task)
    part = np.random.default_rng(1).integers(0, 3, len(y))

    found = metric.on_parts(y, p, weight, part, 3)

    alone = [metric.score(y[part == k], p[part == k], weight[part == k]) for k in range(3)]
    assert found == pytest.approx(alone, rel=1e-9)


@pytest.mark.parametrize(("metric", "task"), CASES)
def test_settings_survive_pickling_and_writing_down(metric: Metric, task: str) -> None:
    y, p, weight = rows_for(metric, task)

    assert repr(metrics.parse(metric.dump())) == repr(metric)
    assert metric.kind == "function" or metrics.parse(metric.name).name == metric.name
    assert pickle.loads(pickle.dumps(metric)).score(y, p, weight) == metric.score(y, p, weight)


@pytest.mark.parametrize("task", metrics.DEFAULTS)
def test_every_task_has_defaults_that_fit_it(task: str) -> None:
    names = metrics.defaults(task)

    assert metrics.default_for_ranking(task) in names
    assert [metrics.check(metrics.parse(name), task) for name in names] == [None] * len(names)


def test_a_metric_that_does_not_fit_the_task_is_a_sentence_with_those_that_do() -> None:
    problem = metrics.check(metrics.parse("rmse"), "binary", where="search.metric")

    assert str(problem).startswith(
        "search.metric: rmse is for regression, and the task is binary; for binary there is: "
    )
    assert "roc_auc" in str(problem)
    assert metrics.check(metrics.parse("f1_binary"), "multiclass") is not None


def test_a_misspelt_metric_is_told_the_nearest_name() -> None:
    with pytest.raises(SettingsError, match=r"metrics: no such metric: 'roc_acu'; did you mean 'roc_auc'\?"):
        metrics.parse("roc_acu")
    with pytest.raises(SettingsError, match=r"metrics\.average: input should be 'binary', 'macro'"):
        metrics.parse("f1_makro")


def test_classes_that_a_block_lacks_are_known_from_the_task() -> None:
    # given two of four classes, which alone would look like a binary task
    y, p = np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0])
    alone, settled = metrics.parse("f1"), metrics.parse("f1").for_task("multiclass", 4)

    assert alone.score(y, p) == pytest.approx(reference.f1_score(y, p))
    assert settled.score(y, p) == pytest.approx(reference.f1_score(y, p, average="macro"))


@pytest.mark.parametrize("name", ["roc_auc", "average_precision"])
def test_a_class_that_does_not_occur_is_left_out_of_the_mean_over_classes(name: str) -> None:
    metric = metrics.parse(name)
    y, p, weight = rows_for(metric, "multiclass")
    kept = y != 2
    y, p, weight = y[kept], p[kept], weight[kept]

    found = metric.score(y, p, weight)

    each = [metric.score((y == code).astype(int), p[:, code], weight) for code in (0, 1, 3)]
    assert found == pytest.approx(np.mean(each), rel=1e-12)


@pytest.mark.parametrize("code", [0, 1])
def test_the_area_under_the_curve_of_one_class_is_not_defined(code: int) -> None:
    assert np.isnan(metrics.parse("roc_auc").score(np.full(5, code), np.linspace(0, 1, 5)))


def test_a_class_code_outside_the_table_is_an_error_not_another_class() -> None:
    with pytest.raises(ValueError, match="Class code 3 was found where there are the codes 0 to 2"):
        metrics.parse("accuracy").for_task("multiclass", 3).score([0, 1], [0, 3])


def test_scores_of_minus_infinity_are_the_lowest_and_tie() -> None:
    y, score = np.array([0, 1, 0, 1]), np.array([-np.inf, -np.inf, 0.0, 1.0])

    assert metrics.parse("roc_auc").score(y, score) == pytest.approx((0.5 + 0 + 1 + 1) / 4)


def test_r2_keeps_its_digits_when_the_mean_is_large_beside_the_spread() -> None:
    generator = np.random.default_rng(3)
    y = 1e9 + generator.normal(size=1000)
    p = y + generator.normal(size=1000) / 3
    metric = metrics.parse("r2")
    blocks = [metric.of(y[i::7], p[i::7], np.ones(len(y[i::7]))) for i in range(7)]

    assert metric.value(reduce(metric.merge, blocks)) == pytest.approx(reference.r2_score(y, p), rel=1e-9)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_r2_of_a_constant_target_is_scikit_learns(shift: float) -> None:
    y = np.full(10, 0.1)

    assert metrics.parse("r2").score(y, y + shift) == reference.r2_score(y, y + shift)


@pytest.mark.parametrize("kind", ["rmse", "mae", "r2"])
@pytest.mark.parametrize("places", [[-2.0, -1.0, 1.0, 2.0], [0.0, 0.0, 3.0, -3.0], [-5.0, -4.0, -3.0, -1.0]])
def test_negative_and_zero_targets_score_as_scikit_learn_scores_them(kind: str, places: list[float]) -> None:
    y = np.array(places)
    p = y * 1.05 + 0.05
    weight = np.array([1.0, 0.0, 2.5, 0.1])
    metric, expected = metrics.parse(kind), REFERENCES[kind]

    assert metric.score(y, p) == pytest.approx(expected(metric, y, p, None), rel=1e-12)
    assert metric.score(y, p, weight) == pytest.approx(expected(metric, y, p, weight), rel=1e-12)
