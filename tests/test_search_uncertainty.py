"""Scores have intervals that cover the truth, and the truly best candidate is among those that are marked."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

import daskflow.metrics
from daskflow.core.results import Point, SearchResult, Trial, TrialState
from daskflow.search.uncertainty import fold_interval, group_scores, row_interval, with_intervals

Draw = Callable[[np.random.Generator, int], tuple[Any, Any]]


def binary_labels(rng: np.random.Generator, n_rows: int) -> tuple[Any, Any]:
    """A classifier that is right 8 times of 10."""
    y = rng.integers(0, 2, n_rows)
    return y, np.where(rng.random(n_rows) < 0.8, y, 1 - y)


def binary_scores(rng: np.random.Generator, n_rows: int) -> tuple[Any, Any]:
    """Scores that are higher by one deviation for positive rows, which are one in four."""
    y = (rng.random(n_rows) < 0.25).astype(np.int64)
    return y, rng.normal(size=n_rows) + y


def three_probabilities(rng: np.random.Generator, n_rows: int) -> tuple[Any, Any]:
    """Probabilities of three classes, which are what they say."""
    probabilities = rng.dirichlet([1.0, 2.0, 3.0], n_rows)
    return (rng.random((n_rows, 1)) > probabilities.cumsum(axis=1)).sum(axis=1), probabilities


def three_labels(rng: np.random.Generator, n_rows: int) -> tuple[Any, Any]:
    """Three classes, guessed right 7 times of 10."""
    y = rng.choice(3, n_rows, p=[0.2, 0.3, 0.5])
    return y, np.where(rng.random(n_rows) < 0.7, y, rng.integers(0, 3, n_rows))


def numbers(rng: np.random.Generator, n_rows: int) -> tuple[Any, Any]:
    """Numbers predicted with an error of deviation 2."""
    y = rng.normal(size=n_rows)
    return y, y + rng.normal(scale=2.0, size=n_rows)


ROWS: dict[str, tuple[str, str, int, Draw]] = {
    "accuracy": ("accuracy", "binary", 2, binary_labels),
    "roc_auc": ("roc_auc", "binary", 2, binary_scores),
    "log_loss of three": ("log_loss", "multiclass", 3, three_probabilities),
    "f1 of three": ("f1", "multiclass", 3, three_labels),
    "rmse": ("rmse", "regression", 0, numbers),
}


@pytest.mark.parametrize("case", ROWS)
@pytest.mark.parametrize("is_weighted", [False, True], ids=["unweighted", "weighted"])
def test_an_interval_over_rows_covers_the_true_score_95_times_of_100(case: str, is_weighted: bool) -> None:
    # given 300 validation parts of one distribution, whose true score is that of very many rows
    name, task, n_classes, draw = ROWS[case]
    metric = daskflow.metrics.parse(name).for_task(task, n_classes)
    rng = np.random.default_rng(7)
    truth = metric.score(*draw(rng, 400_000))
    # when
    covered = 0
    for number in range(300):
        y, said = draw(rng, 1200)
        weight = rng.integers(1, 4, len(y)).astype(float) if is_weighted else None
        score = metric.score(y, said, weight)
        low, high = row_interval(score, group_scores(metric, y, said, weight, score=score, seed=number))
        covered += low <= truth <= high
    # then: of 300, 95 % and three deviations of that number less
    assert 273 <= covered <= 298


def test_groups_are_those_of_the_metric_by_itself_and_the_same_for_every_candidate() -> None:
    # given
    rng = np.random.default_rng(0)
    y, said = binary_scores(rng, 1600)
    metric = daskflow.metrics.parse("roc_auc").for_task("binary", 2)
    score = metric.score(y, said)
    # when one candidate is the other with its scores turned round
    groups = group_scores(metric, y, said, None, score=score, seed=3)
    turned = group_scores(metric, y, -said, None, score=1 - score, seed=3)
    # then, group by group, the area is the other side of it
    np.testing.assert_allclose(groups - score, (1 - score) - turned, atol=1e-12)
    assert len(groups) == 16
    # and parts are scored as the metric scores rows by themselves
    part = np.arange(1600) % 16
    by_itself = [metric.score(y[part == k], said[part == k]) for k in range(16)]
    np.testing.assert_allclose(metric.on_parts(y, said, None, part, 16), by_itself, atol=1e-12)


@pytest.mark.parametrize(
    "name", [name for name, cls in daskflow.metrics.REGISTRY.kinds.items() if {"binary", "regression"} & {*cls.tasks}]
)
def test_every_metric_scores_parts_as_it_scores_their_rows(name: str) -> None:
    # given rows of a task that the metric has, with weights
    metric = daskflow.metrics.parse(name)
    task = metric.tasks[0]
    metric = metric.for_task(task, 2 if task == "binary" else 3 if task == "multiclass" else 0)
    rng = np.random.default_rng(1)
    y, labels = binary_labels(rng, 640)
    said = {"labels": labels, "scores": rng.normal(size=640) + y, "probabilities": rng.random(640)}.get(metric.needs)
    if task == "regression":
        y, said = numbers(rng, 640)
        y, said = y - y.min() + 1, np.abs(said) + 1
    weight = rng.integers(1, 5, 640).astype(float)
    part = rng.integers(0, 8, 640)
    # when
    found = metric.on_parts(y, said, weight, part, 8)
    # then
    alone = [metric.score(y[part == k], said[part == k], weight[part == k]) for k in range(8)]
    np.testing.assert_allclose(found, alone, rtol=1e-9)


def test_an_interval_of_very_many_rows_is_as_narrow_as_so_many_make_it() -> None:
    # given 128 times as many rows as are looked at in groups
    rng = np.random.default_rng(0)
    metric = daskflow.metrics.parse("accuracy").for_task("binary", 2)
    y, said = binary_labels(rng, 2**20)
    score = metric.score(y, said)
    # when
    widths = [np.std(group_scores(metric, y, said, None, score=score, seed=seed), ddof=1) / 4 for seed in range(30)]
    # then it is the binomial error of all rows, not of those looked at
    assert np.mean(widths) == pytest.approx(math.sqrt(0.8 * 0.2 / 2**20), rel=0.15)


@pytest.mark.parametrize("n_rows", [0, 1, 127])
def test_too_few_rows_have_no_interval(n_rows: int) -> None:
    metric = daskflow.metrics.parse("accuracy").for_task("binary", 2)
    y = np.arange(n_rows) % 2
    groups = group_scores(metric, y, y, None, score=1.0, seed=0)
    assert len(groups) == 0
    assert all(math.isnan(end) for end in row_interval(1.0, groups))


def test_a_metric_that_some_group_does_not_define_has_no_interval() -> None:
    # given 3 positive rows, which cannot be in each of 16 groups
    y = np.zeros(1600, dtype=np.int64)
    y[:3] = 1
    metric = daskflow.metrics.parse("roc_auc").for_task("binary", 2)
    assert len(group_scores(metric, y, np.arange(1600.0), None, score=0.5, seed=0)) == 0


def test_the_interval_over_folds_is_the_corrected_t_interval_by_hand() -> None:
    # given the scores of 5 folds, whose validation rows are a quarter of their training rows
    scores = [0.80, 0.82, 0.81, 0.79, 0.83]
    # when
    low, high = fold_interval(scores, ratio=0.25)
    # then: mean 0.81, variance 0.00025, t of 4 degrees of freedom 2.776, error sqrt((1/5 + 1/4) * 0.00025) = 0.010607
    assert low == pytest.approx(0.81 - 2.7764451 * 0.0106066, abs=1e-7)
    assert high == pytest.approx(0.81 + 2.7764451 * 0.0106066, abs=1e-7)
    # and it is wider than if the folds had nothing in common
    assert high - low > 2 * stats.sem(scores) * 2.7764451


@pytest.mark.parametrize("scores", [[], [0.8], [0.8, math.nan]])
def test_fewer_than_two_folds_have_no_interval(scores: list[float]) -> None:
    assert all(math.isnan(end) for end in fold_interval(scores, 0.25))


def errors_of_folds(rng: np.random.Generator, n_rows: int, n_folds: int, n_columns: int = 5) -> list[float]:
    """Mean squared errors of least squares over folds of one table."""
    X = rng.normal(size=(n_rows, n_columns))
    y = X.sum(axis=1) + rng.normal(size=n_rows)
    fold = rng.permutation(n_rows) % n_folds
    found = []
    for k in range(n_folds):
        slopes = np.linalg.lstsq(X[fold != k], y[fold != k], rcond=None)[0]
        found.append(float(np.mean((y[fold == k] - X[fold == k] @ slopes) ** 2)))
    return found


@pytest.mark.parametrize("n_folds", [3, 5, 10])
def test_an_interval_over_folds_of_real_fits_covers_what_is_scored_on_other_tables(n_folds: int) -> None:
    # given least squares on 400 tables; the truth is what it scores on the mean, over 2,000 others
    rng = np.random.default_rng(n_folds)
    truth = np.mean([errors_of_folds(rng, 100, n_folds) for _ in range(2000)])
    # when
    ends = [fold_interval(errors_of_folds(rng, 100, n_folds), 1 / (n_folds - 1)) for _ in range(400)]
    # then it covers 95 % within noise; the correction is known to be careful where folds have little in common
    covered = np.mean([low <= truth <= high for low, high in ends])
    assert 0.925 <= covered <= 0.999


def searched(scores: Any, *, greater_is_better: bool = True, rows: bool = False, ratio: float = math.nan) -> Any:
    """A search's result: scores of shape (n_candidates, n_folds or n_groups), nan for a failure."""
    trials = []
    for number, values in enumerate(scores):
        mean = float(np.mean(values))
        parts = {"row_scores": tuple(values), "fold_scores": (mean,)} if rows else {"fold_scores": tuple(values)}
        curve = () if math.isnan(mean) else (Point(1, mean, **parts),)
        state = TrialState.FAILED if math.isnan(mean) else TrialState.FINISHED
        trials.append(Trial(str(number), {}, state, mean, 1, curve))
    n_folds = 1 if rows else len(scores[0])
    result = SearchResult(tuple(trials), trials[0], "metric", greater_is_better, n_folds, validation_ratio=ratio)
    best = result.ranked()[0]
    return with_intervals(SearchResult(result.trials, best, "metric", greater_is_better, n_folds, 0, "", ratio))


def folds_of(rng: np.random.Generator, means: Any, n_folds: int) -> Any:
    """Scores of folds: what they have in common by chance is as Nadeau and Bengio take it, 1 / n_folds."""
    easy = rng.normal(scale=0.05, size=(1, n_folds))  # a fold that is easy is so for all
    shared, own = rng.normal(size=(len(means), 1)), rng.normal(size=(len(means), n_folds))
    return means[:, None] + easy + 0.02 * (math.sqrt(1 / n_folds) * shared + math.sqrt(1 - 1 / n_folds) * own)


@pytest.mark.parametrize("n_folds", [3, 5, 10])
@pytest.mark.parametrize("n_candidates", [2, 20])
@pytest.mark.parametrize("greater_is_better", [True, False])
def test_the_truly_best_is_marked_in_95_of_100_searches(
    n_folds: int, n_candidates: int, greater_is_better: bool
) -> None:
    # given searches whose candidates truly differ, some by less than chance and some by more
    rng = np.random.default_rng(n_folds * n_candidates)
    marked = 0
    for _ in range(200):
        means = rng.normal(0.8, 0.01, n_candidates)
        result = searched(folds_of(rng, means, n_folds), greater_is_better=greater_is_better)
        truly_best = str(int(means.argmax() if greater_is_better else means.argmin()))
        marked += next(trial for trial in result.trials if trial.id == truly_best).is_tied is True
    # then, of 200, 95 % but for two deviations
    assert marked >= 184


def test_the_truly_best_is_marked_by_groups_of_rows_too() -> None:
    # given ten classifiers of one validation part, right in 74 to 80 of 100 rows
    rng = np.random.default_rng(11)
    metric = daskflow.metrics.parse("accuracy").for_task("binary", 2)
    marked = told_apart = 0
    for number in range(150):
        y = rng.integers(0, 2, 1000)
        hardness = rng.random(1000)  # rows that are hard are so for all
        shares = rng.permutation(np.linspace(0.74, 0.80, 10))
        groups = []
        for share in shares:
            right = np.where(rng.random(1000) < 0.5, hardness, rng.random(1000)) < share
            said = np.where(right, y, 1 - y)
            groups.append(group_scores(metric, y, said, None, score=metric.score(y, said), seed=number))
        # when
        result = searched(groups, rows=True)
        # then
        marked += result.trials[int(shares.argmax())].is_tied is True
        told_apart += result.trials[int(shares.argmin())].is_tied is False
    assert marked >= 137
    # and marks say something: the worst, 6 in 100 behind, is often told apart
    assert told_apart >= 30


def test_a_candidate_far_behind_is_told_apart_and_one_alike_is_not() -> None:
    # given
    rng = np.random.default_rng(0)
    result = searched(folds_of(rng, np.array([0.80, 0.80, 0.60]), 10))
    # then
    assert [trial.is_tied for trial in result.trials] == [True, True, False]
    assert result.best.is_tied is True
    assert result.best.low < result.best.score < result.best.high


def test_the_mark_is_paired_folds_that_are_hard_for_all_do_not_blur_it() -> None:
    # given one candidate that is a little worse in every fold, over folds that differ much more
    easy = np.linspace(0.6, 0.9, 10)
    wiggle = 0.001 * np.sin(np.arange(10))
    result = searched([easy, easy - 0.02 + wiggle])
    # then the intervals lie over each other, and it is told apart all the same
    first, second = result.trials
    assert second.high > first.low
    assert second.is_tied is False


def test_failures_and_what_cannot_be_compared_have_no_mark() -> None:
    # given a failure, and a search of one fold without groups
    failed = searched([[0.8, 0.9, 0.7], [math.nan] * 3])
    alone = searched([[0.8], [0.7]])
    # then
    assert failed.trials[1].is_tied is None
    assert math.isnan(failed.trials[1].low)
    assert [trial.is_tied for trial in alone.trials] == [True, None]


def test_the_ratio_of_the_rows_widens_the_interval() -> None:
    scores = [[0.80, 0.82, 0.81, 0.79, 0.83]]
    narrow, wide = (searched(scores, ratio=ratio).best for ratio in (0.1, 0.5))
    assert wide.high - wide.low == pytest.approx((narrow.high - narrow.low) * math.sqrt(0.7 / 0.3))
    # and where nobody says, folds are cut of all rows
    assert searched(scores).best.low == pytest.approx(fold_interval(scores[0], 0.25)[0])
