"""One pass over blocks of predictions: its results do not depend on the blocks, and its intervals hold the truth."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binomtest, poisson

from daskflow import metrics
from daskflow.core.errors import DataError
from daskflow.core.results import Evaluation
from daskflow.data.predictions import Predictions
from daskflow.metrics import Metric
from daskflow.metrics.asked import Asked
from daskflow.metrics.bootstrap import BUCKETS, Resample, draw, places
from daskflow.metrics.calibration import wilson
from daskflow.metrics.evaluation import evaluate
from daskflow.metrics.ordering import SMALL, sort_scores
from daskflow.metrics.paired import Difference, compare, paired
from daskflow.metrics.ranking import AveragePrecision, RocAuc
from daskflow.metrics.rows import Rows
from daskflow.metrics.tally import Tally

CLASSES = {"binary": ["no", "yes"], "multiclass": ["a", "b", "c", "d"], "regression": []}


def every(task: str) -> list[Metric]:
    return [cls() for cls in metrics.REGISTRY.kinds.values() if task in cls.tasks]


def rows(task: str, n: int, seed: int = 0) -> tuple[Any, Predictions]:
    """Truth and predictions, with ties among the scores."""
    rng = np.random.default_rng(seed)
    if task == "regression":
        y = rng.gamma(2.0, 2.0, n)
        return y, Predictions(y * rng.gamma(20.0, 1 / 20, n))
    k = len(CLASSES[task])
    y = rng.choice(k, n, p=rng.dirichlet(np.full(k, 5.0)))
    noisy = np.round(np.eye(k)[y] + rng.gamma(0.5, size=(n, k)), 2) + 0.05
    p = noisy / noisy.sum(axis=1, keepdims=True)
    scores = p[:, 1] if k == 2 else p
    return y, Predictions(p.argmax(axis=1), scores, scores)


def taken(predictions: Predictions, chosen: Any) -> Predictions:
    """Some rows' predictions; probabilities and scores stay one array."""
    p = None if predictions.probabilities is None else predictions.probabilities[chosen]
    return Predictions(predictions.of("labels")[chosen], p, p)


def merged(
    asked: Asked, y: Any, predictions: Predictions, weight: Any, unit: Any, cuts: Sequence[int], order: Sequence[int]
) -> Tally:
    """The tally of blocks put together in some order."""
    edges = [0, *cuts, len(y)]
    found = []
    for first, last in pairwise(edges):
        own = slice(first, last)
        given = (None if weight is None else weight[own], None if unit is None else unit[own])
        found.append(Tally.of(asked, y[own], taken(predictions, own), *given, start=first))
    return reduce(Tally.merge, [found[number] for number in order])


def assert_same(one: Any, other: Any, tolerance: float = 1e-12) -> None:
    """Compare nested plain values, numbers by a relative tolerance."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key], tolerance)
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for each, twin in zip(one, other, strict=True):
            assert_same(each, twin, tolerance)
    elif isinstance(one, str) or one is None:
        assert one == other
    else:
        assert one == pytest.approx(other, rel=tolerance, abs=tolerance, nan_ok=True)


def numbers(found: Evaluation) -> dict[str, Any]:
    """All numbers of an evaluation."""
    scores = {name: [score.value, score.low, score.high] for name, score in found.metrics.items()}
    return {"metrics": scores, "details": dict(found.details), "n_rows": found.n_rows}


@pytest.mark.parametrize("has_weight", [False, True])
@pytest.mark.parametrize("has_unit", [False, True])
@pytest.mark.parametrize("task", CLASSES)
def test_blocks_of_any_cut_merged_in_any_order_give_the_same_evaluation(
    task: str, has_unit: bool, has_weight: bool
) -> None:
    # given rows of several blocks, some of weight zero, and units that straddle blocks
    n, rng = 3000, np.random.default_rng(1)
    y, predictions = rows(task, n)
    weight = np.round(rng.gamma(1.0, size=n), 1) if has_weight else None
    unit = rng.integers(0, 400, n).astype(np.uint64) * np.uint64(2**40) if has_unit else None
    asked = Asked(every(task), task, CLASSES[task], seed=7, replicates=40)

    # when they are cut in three ways and merged in order, backwards and at random
    whole = merged(asked, y, predictions, weight, unit, [], [0])
    cuts = [1, 2, 900, 900, 2000]
    others = [
        merged(asked, y, predictions, weight, unit, cuts, order) for order in ([*range(6)], [5, 4, 3, 2, 1, 0])
    ] + [merged(asked, y, predictions, weight, unit, [1500], [1, 0])]

    # then every value, interval and picture is the same
    expected = numbers(whole.evaluation())
    assert all(score.low < score.high for score in whole.evaluation().metrics.values())
    for other in others:
        assert_same(numbers(other.evaluation()), expected)
        assert_same(numbers(pickle.loads(pickle.dumps(other)).evaluation()), expected)


@pytest.mark.parametrize("task", [*CLASSES])
def test_the_pass_gives_what_each_metric_gives_of_whole_arrays(task: str) -> None:
    y, predictions = rows(task, 2500)
    weight = np.random.default_rng(2).gamma(1.0, size=2500)

    for given_weight in (None, weight):
        for replicates in (0, 3):
            found = evaluate(
                every(task), task, predictions, y, given_weight, classes=CLASSES[task], seed=7, replicates=replicates
            )
            for metric in every(task):
                settled = metric.for_task(task, len(CLASSES[task]))
                expected = settled.score(y, predictions.of(settled.needs), given_weight)
                assert found.metrics[metric.name].value == pytest.approx(expected, rel=1e-9), metric.name


def test_exact_ranking_equals_scikit_learns_for_more_rows_than_fit_into_a_cache() -> None:
    # given more rows than are sorted in one piece, with and without ties, as float64 and as float32 numbers
    n, rng = 3 * SMALL, np.random.default_rng(3)
    p = rng.beta(0.4, 3.0, n)
    y = (rng.random(n) < p).astype(np.int64)
    for score in (p, np.round(p, 3), p.astype(np.float32).astype(np.float64)):
        for replicates in (0, 1):
            found = evaluate(
                [RocAuc(), AveragePrecision(), metrics.parse("log_loss")],
                "binary",
                Predictions(None, score, score),
                y,
                classes=["no", "yes"],
                seed=7,
                replicates=replicates,
            )
            assert found.metrics["roc_auc"].value == pytest.approx(reference.roc_auc_score(y, score), rel=1e-9)
            expected = reference.average_precision_score(y, score)
            assert found.metrics["average_precision"].value == pytest.approx(expected, rel=1e-9)
            assert found.metrics["log_loss"].value == pytest.approx(reference.log_loss(y, score), rel=1e-9)


def test_one_visit_without_resampling_sees_what_the_states_see_one_by_one() -> None:
    y, predictions = rows("binary", 5000)
    asked = Asked(every("binary"), "binary", ["no", "yes"], seed=7, replicates=0)

    quick = Tally.of(asked, y, predictions).evaluation()
    # scores that are another array than the probabilities are looked at state by state
    apart = Predictions(predictions.labels, predictions.probabilities, predictions.of("scores").copy())
    slow = Tally.of(asked, y, apart).evaluation()

    assert_same(numbers(quick), numbers(slow), 1e-11)
    blocks = merged(asked, y, predictions, None, None, [1, 700, 3000], [2, 0, 3, 1]).evaluation()
    assert_same(numbers(blocks), numbers(quick))
    assert all(math.isnan(score.low) and math.isnan(score.high) for score in quick.metrics.values())
    assert "notes" not in quick.details


@pytest.mark.parametrize("task", [*CLASSES])
def test_intervals_of_the_pass_are_those_of_resampling_each_metric_alone(task: str) -> None:
    y, predictions = rows(task, 1500)
    unit = (np.arange(1500) // 3).astype(np.uint64)
    asked = Asked(every(task), task, CLASSES[task], seed=7, replicates=30)

    found = Tally.of(asked, y, predictions, unit=unit).evaluation()

    resample = Resample(1500, 30, asked.draw_seed, unit)
    for metric in every(task):
        settled = metric.for_task(task, len(CLASSES[task]))
        drawn = Metric.replicates(settled, y, predictions.of(settled.needs), np.ones(1500), resample)
        expected = np.quantile(drawn, [0.025, 0.975], method="weibull")
        score = found.metrics[metric.name]
        assert [score.low, score.high] == pytest.approx(list(expected), rel=1e-9), metric.name


def test_blocks_whose_scores_float32_holds_and_others_are_ranked_together() -> None:
    rng = np.random.default_rng(11)
    p = np.concatenate([np.round(rng.random(1000), 1).astype(np.float32), np.round(rng.random(1000), 1)])
    y = (rng.random(2000) < p).astype(np.int64)
    for replicates in (0, 3):
        asked = Asked([RocAuc(), metrics.parse("gain")], "binary", ["no", "yes"], 7, replicates)
        found = merged(asked, y, Predictions(y, p, p), None, None, [1000], [1, 0]).evaluation()
        assert found.metrics["roc_auc"].value == pytest.approx(reference.roc_auc_score(y, p), rel=1e-9)
        assert found.metrics["gain_0.1"].value == pytest.approx(metrics.parse("gain").score(y, p), rel=1e-9)


def test_labels_left_out_are_the_more_probable_class() -> None:
    for task in ("binary", "multiclass"):
        y, predictions = rows(task, 400)
        bare = Predictions(None, predictions.probabilities, predictions.scores)
        found, expected = (
            evaluate(every(task), task, each, y, classes=CLASSES[task], seed=7, replicates=5)
            for each in (bare, predictions)
        )
        assert_same(numbers(found), numbers(expected))


# ---- more scores than are held


def held(most: int, n: int = 20_000, replicates: int = 200) -> tuple[Asked, Any, Predictions]:
    """A question that holds so many scores, and rows of a model that is good at what is rare."""
    rng = np.random.default_rng(4)
    p = rng.beta(0.5, 8.0, n)
    y = (rng.random(n) < p).astype(np.int64)
    names = ("roc_auc", "average_precision", "ks", "gain", "lift")
    asked = Asked([metrics.parse(name) for name in names], "binary", ["no", "yes"], 7, replicates, most_scores=most)
    return asked, y, Predictions((p > 0.5).astype(np.int64), p, p)


def test_beyond_the_scores_that_are_held_values_stay_within_the_bound_that_is_said() -> None:
    asked, y, predictions = held(most=3000)
    exact = Tally.of(replace_most(asked, 10**6), y, predictions).evaluation()

    found = merged(asked, y, predictions, None, None, [5000, 9000], [2, 0, 1]).evaluation()

    notes = {note.split()[0]: float(note.split("at most ")[1].split()[0]) for note in found.details["notes"]}
    assert {"roc_auc", "average_precision", "ks"} <= notes.keys() <= found.metrics.keys()
    for name, score in found.metrics.items():
        bound = notes.get(name, 0.0)  # the share of a gain may end where no bin has both classes
        assert abs(score.value - exact.metrics[name].value) <= 1.01 * bound + 1e-12, name
        assert bound < 0.005, name
        # and the interval is about as wide as that of all rows
        width = exact.metrics[name].high - exact.metrics[name].low
        assert score.high - score.low - 2 * bound == pytest.approx(width, rel=0.35), name
    roc = found.details["roc"]
    assert reference.auc(roc["fpr"], roc["tpr"]) == pytest.approx(
        reference.roc_auc_score(y, predictions.scores), abs=1e-3
    )


def replace_most(asked: Asked, most: int) -> Asked:
    return Asked(asked.metrics, asked.task, asked.classes, asked.seed, asked.replicates, most)


def test_beyond_the_scores_that_are_held_blocks_and_order_do_not_matter_either() -> None:
    asked, y, predictions = held(most=1000, n=6000)
    expected = merged(asked, y, predictions, None, None, [], [0]).evaluation()

    for cuts, order in (([100, 3000], [2, 0, 1]), ([500, 900, 2000, 4000], [4, 2, 0, 1, 3])):
        assert_same(numbers(merged(asked, y, predictions, None, None, cuts, order).evaluation()), numbers(expected))


def test_without_resampling_no_score_is_held_beyond_the_limit() -> None:
    asked, y, predictions = held(most=3000, replicates=0)

    tally = merged(asked, y, predictions, None, None, [4000], [0, 1])

    assert tally.scores is not None
    assert tally.scores.n_held == 0
    exact = reference.roc_auc_score(y, predictions.scores)
    assert tally.evaluation().metrics["roc_auc"].value == pytest.approx(exact, abs=1e-4)


@pytest.mark.parametrize("metric", [RocAuc(), AveragePrecision(), metrics.parse("ks"), metrics.parse("gain")])
def test_the_bound_holds_for_the_worst_order_within_bins(metric: Any) -> None:
    # given scores of which only the first digit is known, in the best, the worst and any order below it
    rng = np.random.default_rng(5)
    for _ in range(30):
        n_bins, n = int(rng.integers(2, 8)), 60
        bins, y = rng.integers(0, n_bins, n), rng.integers(0, 2, n)
        above, below = (np.bincount(bins[y == code], minlength=n_bins)[::-1].astype(float) for code in (1, 0))

        low, high = metric.within(above, below)

        for within in (y * 0.5, -y * 0.5, rng.random(n) * 0.9, y * 0.5 + rng.random(n) * 0.1, rng.random(n) * 0.1 - y):
            value = metric.score(y, bins + 0.2 * within)
            assert low - 1e-12 <= value <= high + 1e-12


# ---- the draws


def test_counts_are_drawn_from_the_poisson_distribution_whatever_else_is_drawn() -> None:
    buckets = np.arange(BUCKETS)

    counts = draw(buckets, seed=1, n_replicates=60)

    seen = np.bincount(counts.ravel(), minlength=8)[:8] / counts.size
    assert seen == pytest.approx(poisson(1).pmf(np.arange(8)), abs=4 * math.sqrt(0.25 / counts.size))
    assert np.array_equal(draw(buckets[5:900:7], 1, 20, first=30), counts[5:900:7, 30:50])
    assert not np.array_equal(draw(buckets, 2, 60), counts)
    # neither replicates nor buckets go along with their neighbours
    numbers = counts.astype(float)
    assert abs(np.corrcoef(numbers[:, 0], numbers[:, 1])[0, 1]) < 0.04
    assert abs(np.corrcoef(numbers[0], numbers[1])[0, 1]) < 0.6


def test_rows_of_a_unit_share_a_bucket_and_others_are_dealt_evenly() -> None:
    unit = np.repeat(np.arange(50_000, dtype=np.uint64), 2)

    bucket = places(len(unit), 7, unit) >> np.uint32(18)

    assert np.array_equal(bucket[::2], bucket[1::2])
    dealt = np.bincount(bucket[::2], minlength=BUCKETS)
    assert dealt.var() == pytest.approx(dealt.mean(), rel=0.06)
    assert not np.array_equal(bucket, places(len(unit), 8, unit) >> np.uint32(18))


def test_the_width_does_not_depend_on_buckets_being_shared() -> None:
    # given ten times as many rows as there are buckets
    n, rng = 10 * BUCKETS, np.random.default_rng(6)
    y = (rng.random(n) < 0.3).astype(np.int64)

    found = evaluate(
        [metrics.parse("accuracy")], "binary", Predictions(np.zeros(n, dtype=int)), y, classes=["0", "1"], seed=7
    )

    score = found.metrics["accuracy"]
    width = 2 * 1.96 * math.sqrt(0.21 / n)
    assert score.high - score.low == pytest.approx(width, rel=0.12)


# ---- coverage


Case = Callable[[int], tuple[str, Predictions, Any, Any, dict[str, float]]]


def independent_rows(seed: int) -> tuple[str, Predictions, Any, Any, dict[str, float]]:
    """Two normals one and a half standard deviations apart, and the truth about a model that knows it."""
    rng = np.random.default_rng(seed)
    y = (rng.random(400) < 0.4).astype(np.int64)
    return *_two_normals(rng.normal(1.5 * y, 1.0), y), None, TWO_NORMALS


def _two_normals(x: Any, y: Any) -> tuple[str, Predictions, Any]:
    p = 1 / (1 + 1.5 * np.exp(1.5 * (0.75 - x)))
    return "binary", Predictions((p > 0.5).astype(np.int64), p, p), y


def _truth(n: int = 2_000_000) -> dict[str, float]:
    rng = np.random.default_rng(999)
    y = (rng.random(n) < 0.4).astype(np.int64)
    _, predictions, _ = _two_normals(rng.normal(1.5 * y, 1.0), y)
    names = [metrics.parse(name) for name in ("accuracy", "roc_auc", "log_loss", "f1")]
    found = evaluate(names, "binary", predictions, y, classes=["0", "1"], seed=0, replicates=0)
    return {name: score.value for name, score in found.metrics.items()}


TWO_NORMALS = _truth(400_000)


def independent_numbers(seed: int) -> tuple[str, Predictions, Any, Any, dict[str, float]]:
    y = np.random.default_rng(seed).normal(0.0, 2.0, 400)
    return "regression", Predictions(np.zeros(400)), y, None, {"rmse": 2.0}


def grouped_rows(seed: int) -> tuple[str, Predictions, Any, Any, dict[str, float]]:
    """150 groups of 8 rows that are alike: in class, and in where they stand."""
    rng = np.random.default_rng(seed)
    y = np.repeat((rng.random(150) < 0.4).astype(np.int64), 8)
    shared = np.repeat(rng.normal(0.0, math.sqrt(0.8), 150), 8)
    x = 1.5 * y + shared + rng.normal(0.0, math.sqrt(0.2), len(y))
    return *_two_normals(x, y), np.repeat(rng.integers(0, 2**62, 150), 8).astype(np.uint64), TWO_NORMALS


def grouped_numbers(seed: int) -> tuple[str, Predictions, Any, Any, dict[str, float]]:
    rng = np.random.default_rng(seed)
    spread = np.repeat(rng.choice([1.0, 3.0], 150), 8)
    return (
        "regression",
        Predictions(np.zeros(1200)),
        rng.normal(0.0, spread),
        np.repeat(rng.integers(0, 2**62, 150), 8).astype(np.uint64),
        {"rmse": math.sqrt(5.0)},
    )


def covered(case: Case, n_tables: int, *, ignoring_units: bool = False) -> dict[str, float]:
    """How often intervals of tables drawn from a known law hold the truth."""
    hits: dict[str, list[bool]] = {}
    for seed in range(n_tables):
        task, predictions, y, unit, truth = case(seed)
        found = evaluate(
            [metrics.parse(name) for name in truth],
            task,
            predictions,
            y,
            classes=["0", "1"] if task == "binary" else [],
            seed=seed,
            replicates=200,
            unit=None if ignoring_units else unit,
        )
        for name, score in found.metrics.items():
            hits.setdefault(name, []).append(score.low <= truth[name] <= score.high)
    return {name: float(np.mean(each)) for name, each in hits.items()}


@pytest.mark.slow
@pytest.mark.parametrize("case", [independent_rows, independent_numbers, grouped_rows, grouped_numbers])
def test_the_interval_holds_the_true_value_in_95_of_100_tables(case: Case) -> None:
    shares = covered(case, 600)

    # then the share lies where 600 trials put it in 999 of 1000 cases for a method that is off by one percent at most
    for name, share in shares.items():
        assert 0.94 - 3.3 * 0.0097 <= share <= 0.96 + 3.3 * 0.008, name


@pytest.mark.parametrize("case", [independent_numbers, grouped_numbers])
def test_the_interval_holds_the_true_value_in_about_95_of_100_tables_cheaply(case: Case) -> None:
    assert covered(case, 200)["rmse"] == pytest.approx(0.95, abs=3.3 * math.sqrt(0.95 * 0.05 / 200))


@pytest.mark.parametrize("case", [grouped_rows, grouped_numbers])
def test_forgetting_that_rows_belong_together_would_make_intervals_too_narrow(case: Case) -> None:
    for name, share in covered(case, 60, ignoring_units=True).items():
        assert share < 0.85, name


# ---- comparing two models


def compared(seed: int, gain: float, *, grouped: bool = False) -> dict[str, Difference]:
    """Two models that see the truth through noise of their own and noise they share."""
    rng = np.random.default_rng(seed)
    n_units, size = (100, 6) if grouped else (400, 1)
    y = np.repeat((rng.random(n_units) < 0.5).astype(np.int64), size)
    shared = np.repeat(rng.normal(0.0, 0.8, n_units), size)
    own = [np.repeat(rng.normal(0.0, 0.6, n_units), size) for _ in range(2)]
    x = [y * (1.5 + extra) + shared + noise for extra, noise in zip((0.0, gain), own, strict=True)]
    first, second = (Predictions((each > 0.75).astype(np.int64), p, p) for each in x for p in [1 / (1 + np.exp(-each))])
    unit = np.repeat(rng.integers(0, 2**62, n_units), size).astype(np.uint64)
    names = [metrics.parse(name) for name in ("accuracy", "roc_auc", "log_loss")]
    return paired(names, "binary", first, second, y, classes=["0", "1"], seed=seed, replicates=200, unit=unit)


def test_a_model_against_itself_differs_by_exactly_nothing() -> None:
    for task in CLASSES:
        y, predictions = rows(task, 6000)
        found = paired(every(task), task, predictions, predictions, y, classes=CLASSES[task], seed=7, replicates=50)
        for name, difference in found.items():
            assert (difference.value, difference.low, difference.high) == (0.0, 0.0, 0.0), name
            assert difference.first == difference.second
            assert not difference.is_clear


def test_a_change_of_scale_changes_nothing_in_the_order() -> None:
    y, predictions = rows("binary", 30_000)
    p = predictions.of("scores") + np.random.default_rng(7).normal(0.0, 0.1, 30_000)
    first, second = (Predictions(predictions.labels, None, scores) for scores in (p, np.exp(3 * p)))

    found = paired([RocAuc(), AveragePrecision()], "binary", first, second, y, classes=["0", "1"], seed=7)

    for difference in found.values():
        assert difference.value == pytest.approx(0.0, abs=1e-12)
        assert max(abs(difference.low), abs(difference.high)) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("grouped", [False, True])
def test_of_two_equally_good_models_the_interval_of_the_difference_holds_0_in_95_of_100_tables(grouped: bool) -> None:
    found = [compared(seed, gain=0.0, grouped=grouped) for seed in range(400)]

    for name in found[0]:
        share = np.mean([difference[name].low <= 0 <= difference[name].high for difference in found])
        assert share == pytest.approx(0.95, abs=3.3 * 0.011 + 0.01), name


def test_a_truly_better_model_is_found_and_its_interval_is_narrower_than_that_of_two_separate_ones() -> None:
    found = [compared(seed, gain=0.6) for seed in range(40)]

    for name, sign in (("roc_auc", 1), ("log_loss", -1)):
        clear = [each[name].is_clear and sign * each[name].value > 0 for each in found]
        assert np.mean(clear) > 0.7, name
        apart = [
            math.hypot(each[name].first.high - each[name].first.low, each[name].second.high - each[name].second.low)
            for each in found
        ]
        assert np.mean([each[name].high - each[name].low for each in found]) < 0.9 * np.mean(apart), name


def test_tallies_made_block_by_block_compare_as_whole_arrays_do() -> None:
    y, predictions = rows("multiclass", 2000)
    _, other = rows("multiclass", 2000, seed=0)
    p = np.sqrt(other.probabilities)
    other = Predictions(p.argmax(axis=1), p, p)
    asked = Asked(every("multiclass"), "multiclass", CLASSES["multiclass"], 7, 30)

    whole = paired(asked.metrics, "multiclass", predictions, other, y, classes=asked.classes, seed=7, replicates=30)
    blocks = compare(*(merged(asked, y, each, None, None, [700, 1200], [2, 0, 1]) for each in (predictions, other)))

    for name, difference in whole.items():
        assert blocks[name].value == pytest.approx(difference.value, abs=1e-12)
        assert [blocks[name].low, blocks[name].high] == pytest.approx([difference.low, difference.high], abs=1e-12)


def test_tallies_of_other_rows_or_other_questions_are_refused() -> None:
    y, predictions = rows("binary", 100)
    asked = Asked([RocAuc()], "binary", ["no", "yes"], 7, 10)
    tally = Tally.of(asked, y, predictions)

    with pytest.raises(DataError, match="cannot be merged: metrics, task, classes, seed"):
        tally.merge(Tally.of(replace_seed(asked), y, predictions))
    with pytest.raises(DataError, match="cannot be compared"):
        compare(tally, Tally.of(replace_seed(asked), y, predictions))
    with pytest.raises(DataError, match="different rows: 100 and 99"):
        compare(tally, Tally.of(asked, y[1:], taken(predictions, slice(1, None))))
    with pytest.raises(DataError, match="lack different things: nothing and probabilities"):
        tally.merge(Tally.of(asked, y, replace(predictions, probabilities=None)))


def replace_seed(asked: Asked) -> Asked:
    return Asked(asked.metrics, asked.task, asked.classes, 8, asked.replicates)


# ---- what is not as it should be


def test_rows_of_weight_zero_count_for_nothing_whatever_is_predicted_for_them() -> None:
    for task in CLASSES:
        y, predictions = rows(task, 500)
        weight = (np.arange(500) % 3 > 0).astype(float)
        spoilt = {}
        for need in ("labels", "probabilities"):
            values = getattr(predictions, need)
            spoilt[need] = None if values is None else values.copy()
        broken = "labels" if task == "regression" else "probabilities"
        spoilt[broken][weight == 0] = np.nan
        given = Predictions(spoilt["labels"], spoilt["probabilities"], spoilt["probabilities"])

        found = evaluate(every(task), task, given, y, weight, classes=CLASSES[task], seed=7, replicates=20)
        expected = evaluate(every(task), task, predictions, y, weight, classes=CLASSES[task], seed=7, replicates=20)

        assert_same(numbers(found), numbers(expected))
        assert found.n_rows == 500
        assert "notes" not in found.details


def test_a_prediction_that_is_nan_makes_its_metrics_nan_and_is_counted_in_a_note() -> None:
    y, predictions = rows("binary", 300)
    p = predictions.probabilities.copy()
    p[[5, 250]] = np.nan
    asked = Asked(every("binary"), "binary", ["no", "yes"], 7, 10)

    found = merged(asked, y, Predictions(predictions.labels, p, p), None, None, [100, 200], [1, 2, 0]).evaluation()

    assert math.isnan(found.metrics["roc_auc"].value)
    assert math.isnan(found.metrics["log_loss"].value)
    assert found.metrics["accuracy"].value == pytest.approx(np.mean(y == predictions.labels))
    assert "roc_auc is not defined: the prediction of 2 of 300 rows is not a number." in found.details["notes"]
    assert "roc" not in found.details
    assert "calibration" not in found.details
    json.dumps(dict(found.details), allow_nan=False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weight": np.array([1.0, -1.0, 1.0])}, "weight of row 1 is -1.0"),
        ({"weight": np.array([1.0, 1.0, np.nan])}, "weight of row 2 is nan"),
        ({"weight": np.ones(2)}, "y has 3 rows, and these have another number: weight 2"),
        ({"unit": np.ones(4, dtype=np.uint64)}, "unit 4"),
        ({"y": np.array([0, 1, 2])}, "Class code 2 was found where there are the codes 0 to 1"),
        ({"y": np.array([0, 1, -1])}, "Class code -1"),
    ],
)
def test_what_does_not_fit_together_is_refused(change: dict[str, Any], said: str) -> None:
    given = {"y": np.array([0, 1, 1]), "weight": None, "unit": None, **change}
    p = np.array([0.2, 0.6, 0.7])
    for replicates in (0, 10):
        with pytest.raises(DataError, match=said):
            Tally.of(
                Asked([RocAuc()], "binary", ["no", "yes"], 7, replicates),
                given["y"],
                Predictions((p > 0.5).astype(int), p, p),
                given["weight"],
                given["unit"],
            )


# ---- nothing went wrong


def test_where_no_row_went_wrong_the_interval_is_by_the_rule_of_three() -> None:
    y = np.arange(300) % 2
    given = Predictions(y.copy())
    names = [metrics.parse(name) for name in ("accuracy", "recall", "precision", "f1", "balanced_accuracy")]

    found = evaluate(names, "binary", given, y, classes=["no", "yes"], seed=7)

    assert found.metrics["accuracy"].low == pytest.approx(0.05 ** (1 / 300))
    assert found.metrics["accuracy"].high == 1.0
    # half of the rows are of class 1: three of 150
    assert found.metrics["recall"].low == pytest.approx(1 - 3 / 150, abs=1e-3)
    assert found.metrics["precision"].low == pytest.approx(150 / 153, abs=1e-3)
    assert all(0.9 < score.low < score.high == 1.0 for score in found.metrics.values())
    assert "accuracy is the same in every resample; its interval is by the rule of three." in found.details["notes"]


def test_where_no_row_went_wrong_rows_of_a_unit_count_once_and_weights_by_their_effective_number() -> None:
    y = np.arange(1200) % 2
    accuracy = [metrics.parse("accuracy")]
    unit = (np.arange(1200) // 20).astype(np.uint64)
    weight = np.where(np.arange(1200) < 200, 1.0, 1e-9)

    grouped = evaluate(accuracy, "binary", Predictions(y), y, classes=["0", "1"], seed=7, unit=unit)
    weighted = evaluate(accuracy, "binary", Predictions(y), y, weight, classes=["0", "1"], seed=7)

    assert grouped.metrics["accuracy"].low == pytest.approx(0.05 ** (1 / 60), abs=1e-3)
    assert weighted.metrics["accuracy"].low == pytest.approx(0.05 ** (1 / 200), abs=1e-3)


def test_where_every_row_went_wrong_the_interval_opens_upwards() -> None:
    y = np.arange(100) % 2

    found = evaluate([metrics.parse("accuracy")], "binary", Predictions(1 - y), y, classes=["0", "1"], seed=7)

    score = found.metrics["accuracy"]
    assert (score.value, score.low) == (0.0, 0.0)
    assert score.high == pytest.approx(1 - 0.05 ** (1 / 100))


def test_the_rule_of_three_is_sound() -> None:
    # given tables of 60 rows of a model that is right in 98 of 100 cases: three of ten show no mistake
    held_truth = []
    for seed in range(300):
        y = np.arange(60) % 2
        wrong = np.random.default_rng(seed).random(60) < 0.02
        given = Predictions(np.where(wrong, 1 - y, y))
        if not wrong.any():
            score = evaluate(
                [metrics.parse("accuracy")], "binary", given, y, classes=["0", "1"], seed=7, replicates=20
            ).metrics["accuracy"]
            held_truth.append(score.low <= 0.98 <= score.high)
    assert len(held_truth) > 50
    assert all(held_truth)


def test_another_metric_without_spread_says_so() -> None:
    y = np.arange(50.0)

    found = evaluate([metrics.parse("rmse")], "regression", Predictions(y), y, classes=[], seed=7)

    score = found.metrics["rmse"]
    assert (score.value, score.low, score.high) == (0.0, 0.0, 0.0)
    assert found.details["notes"] == [
        "The interval of rmse has no width: every resample of the rows gives the same value."
    ]


# ---- parts


def test_bounds_of_observed_shares_are_wilsons() -> None:
    for successes, n in ((0, 10), (3, 10), (10, 10), (120, 1000)):
        expected = binomtest(successes, n).proportion_ci(method="wilson")
        low, high = wilson(successes / n, n)
        assert (float(low), float(high)) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_thresholds_of_curves_take_the_rows_that_the_points_say() -> None:
    y, predictions = rows("binary", 4000)
    p = predictions.of("scores")

    details = evaluate([RocAuc()], "binary", predictions, y, classes=["no", "yes"], seed=7, replicates=0).details

    roc, gain = details["roc"], details["gain"]
    assert roc["threshold"][0] is None
    for place in (1, 57, 200, len(roc["fpr"]) - 1):
        is_taken = p >= roc["threshold"][place]
        assert roc["tpr"][place] == pytest.approx(is_taken[y == 1].mean())
        assert roc["fpr"][place] == pytest.approx(is_taken[y == 0].mean())
        assert gain["share"][place] == pytest.approx(is_taken.mean())
        precision = details["precision_recall"]
        assert precision["precision"][place - 1] == pytest.approx(y[is_taken].mean())


def test_the_histogram_of_residuals_counts_every_row_between_its_edges() -> None:
    rng = np.random.default_rng(8)
    for residual in (
        rng.normal(size=9000),
        rng.normal(50.0, 3.0, 9000),
        np.zeros(9000),
        rng.integers(-2, 3, 9000) * 1.0,
    ):
        asked = Asked([metrics.parse("rmse")], "regression", [], 7, 0)
        y = np.zeros(9000)
        found = merged(asked, y, Predictions(-residual), None, None, [4000], [1, 0]).evaluation().details

        edges, counts = np.array(found["residual_histogram"]["edges"]), found["residual_histogram"]["counts"]
        inner = np.clip(residual, edges[0], np.nextafter(edges[-1], -np.inf))
        assert counts == np.histogram(inner, edges)[0].tolist()
        assert len(counts) <= 40
        assert len(found["residuals"]["y_true"]) == 2000


def test_metrics_that_share_no_state_are_resampled_on_a_sample_of_units_when_rows_are_many() -> None:
    n, rng = 40_000, np.random.default_rng(9)
    place = places(n, 7)
    whole = Rows({"y": rng.normal(size=n)}, place, np.ones(n), n)

    sample = whole.thinned(5000)

    assert 2000 < len(sample.place) <= 5000
    assert sample.level in (3, 4)
    halves = (slice(0, n // 2), slice(n // 2, n))
    parts = [Rows({"y": whole.columns["y"][own]}, place[own], np.ones(n // 2), n // 2) for own in halves]
    again = parts[1].merged(parts[0]).thinned(5000)
    assert sorted(again.columns["y"]) == sorted(sample.columns["y"])


def test_the_state_of_sums_and_tables_is_small() -> None:
    y, predictions = rows("binary", 200_000)
    names = [metrics.parse(name) for name in ("accuracy", "log_loss", "f1")]
    asked = Asked(names, "binary", ["no", "yes"], 7, 500)

    tally = Tally.of(asked, y, Predictions(predictions.labels, predictions.probabilities))

    assert tally.scores is None
    assert len(pickle.dumps(tally)) < 2_000_000


@given(
    arrays(
        st.sampled_from([np.float64, np.float32]),
        st.integers(0, 60),
        elements=st.floats(allow_nan=False, width=32),
    )
)
@settings(max_examples=60, deadline=None)
def test_scores_are_sorted_as_numpy_sorts_them(few: Any) -> None:
    assert np.array_equal(sort_scores(few), np.sort(few))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_many_scores_are_sorted_as_numpy_sorts_them_however_they_are_spread(dtype: Any) -> None:
    rng, n = np.random.default_rng(10), 2 * SMALL
    for scores in (
        rng.random(n),
        rng.normal(size=n),
        np.exp(rng.normal(-8.0, 4.0, n)),
        rng.integers(0, 5, n) / 5,
        np.concatenate([rng.random(n) * 1e-9, [1e9, -1e9, np.inf, -np.inf, -0.0]]),
        np.full(n, 0.25),
    ):
        given = scores.astype(dtype)
        assert np.array_equal(sort_scores(given.copy()), np.sort(given))
