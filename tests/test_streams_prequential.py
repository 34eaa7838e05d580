"""Prequential metrics are those of the same rows recomputed, and their intervals hold what they say."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from daskflow import metrics
from daskflow.core.errors import DataError
from daskflow.data.predictions import Predictions
from daskflow.streams import prequential_terms as terms
from daskflow.streams.meter import Meter
from daskflow.streams.prequential import Prequential, View

LABELS = {"binary": ["no", "yes"], "multiclass": ["a", "b", "c"], "regression": []}
WINDOW, FADING = 300, 0.99


def answers(task: str, n_rows: int, seed: int = 0) -> tuple[list[Any], Predictions]:
    """True values, and predictions that are right more often than not."""
    draw = np.random.default_rng(seed)
    if task == "regression":
        numbers = draw.normal(100, 20, n_rows)
        return numbers.tolist(), Predictions(numbers + draw.standard_t(4, n_rows))
    shares = draw.dirichlet(np.ones(len(LABELS[task])), n_rows)
    codes = [int(draw.choice(len(row), p=row)) for row in shares]
    said = shares[:, 1] if task == "binary" else shares
    return [LABELS[task][code] for code in codes], Predictions(shares.argmax(axis=1), said)


def part_of(said: Predictions, part: slice) -> Predictions:
    shares = said.probabilities
    return Predictions(said.of("labels")[part], None if shares is None else shares[part])


def recomputed(task: str, truths: Any, said: Predictions, weight: Any) -> dict[str, float]:
    """Scikit-learn's metrics of the rows, weighted."""
    labels = said.of("labels")
    if task == "regression":
        return {
            "mae": float(sk.mean_absolute_error(truths, labels, sample_weight=weight)),
            "rmse": float(sk.root_mean_squared_error(truths, labels, sample_weight=weight)),
            "bias": float(np.average(labels - np.asarray(truths), weights=weight)),
        }
    codes, shares = np.array([LABELS[task].index(label) for label in truths]), said.of("probabilities")
    every = range(len(LABELS[task]))
    found = {
        "accuracy": sk.accuracy_score(codes, labels, sample_weight=weight),
        "log_loss": sk.log_loss(codes, shares, sample_weight=weight, labels=list(every)),
    }
    if task == "binary":
        found["f1"] = sk.f1_score(codes, labels, sample_weight=weight)
        found["brier"] = sk.brier_score_loss(codes, shares, sample_weight=weight)
        found["roc_auc"] = sk.roc_auc_score(codes, shares, sample_weight=weight)
    else:
        found["brier"] = np.average(np.square(np.eye(len(every))[codes] - shares).sum(axis=1), weights=weight)
    return {name: float(value) for name, value in found.items()}


@pytest.mark.parametrize("task", LABELS)
def test_all_views_are_what_a_recomputation_gives(task: str) -> None:
    # given a thousand rows in uneven pieces
    truths, said = answers(task, 1_000)
    found = Prequential(task, LABELS[task], window=WINDOW, fading=FADING)
    for start in range(0, 1_000, 37):
        found.learned(truths[start : start + 37], part_of(said, slice(start, start + 37)))
    # then each view is scikit-learn's metric of its rows with its weights
    newest = slice(1_000 - WINDOW, None)
    whole: dict[View, tuple[slice, Any]] = {
        "window": (newest, np.ones(WINDOW)),
        "start": (slice(None), np.ones(1_000)),
        "fading": (slice(None), FADING ** np.arange(999, -1, -1.0)),
    }
    for view, (part, weight) in whole.items():
        expected = recomputed(task, truths[part], part_of(said, part), weight)
        if view != "window":
            expected.pop("roc_auc", None)
        scores = found.scores(view)
        assert {name: score.value for name, score in scores.items()} == pytest.approx(expected, rel=1e-9, abs=1e-12)
        assert all(score.low <= score.value <= score.high for score in scores.values())
    assert (found.rows("window"), found.rows("start")) == (WINDOW, 1_000)
    assert found.rows("fading") == pytest.approx((1 + FADING) / (1 - FADING), abs=2)


@pytest.mark.parametrize("task", LABELS)
def test_pieces_and_restarts_do_not_change_a_bit(task: str) -> None:
    truths, said = answers(task, 500)
    whole, pieces = (Prequential(task, LABELS[task], window=WINDOW) for _ in range(2))
    errors = whole.learned(truths, said)
    found = []
    for start in range(0, 500, 61):
        again = Prequential(task, LABELS[task], window=WINDOW)
        again.load(json.loads(json.dumps(pieces.dump())))
        pieces = again
        found.append(pieces.learned(truths[start : start + 61], part_of(said, slice(start, start + 61))))
    assert np.array_equal(np.concatenate(found), errors)
    assert json.dumps(whole.dump()) == json.dumps(pieces.dump())
    assert whole.scores() == pieces.scores()
    assert len(json.dumps(whole.dump())) < 60 * WINDOW


COVERED = 0.92, 0.98
"""Shares of 500 intervals of 95 % that may hold the truth: three standard errors, which are 0.0097, either side."""


@pytest.mark.parametrize(("view", "n_rows"), [("window", 300), ("fading", 600)], ids=["window", "fading"])
def test_intervals_hold_the_truth_in_about_95_of_100_streams(view: View, n_rows: int) -> None:
    draw, held = np.random.default_rng(5), []
    # given streams of known accuracy 0.9, F1, area, mean absolute error and root mean squared error
    p_both, p_one = 0.2, 0.1
    true = {"accuracy": 1 - p_one, "f1": 2 * p_both / (2 * p_both + p_one), "roc_auc": 0.760_25}
    true |= {"mae": math.sqrt(2 / math.pi), "rmse": 1.0}
    for _ in range(500):
        labels = Prequential("binary", [0, 1], window=n_rows, fading=0.99)
        cell = draw.choice(4, n_rows, p=[p_both, p_one / 2, p_one / 2, 1 - p_both - p_one])
        truths, said = np.isin(cell, [0, 1]), np.isin(cell, [0, 2])
        scores = draw.normal(truths * 1.0, 1.0)
        labels.learned(truths.astype(int), Predictions(said.astype(np.int64), 1 / (1 + np.exp(-scores))))
        numbers = Prequential("regression", window=n_rows, fading=0.99)
        numbers.learned(np.zeros(n_rows), Predictions(draw.normal(size=n_rows)))
        found = labels.scores(view) | numbers.scores(view)
        held.append({name: found[name].low <= true[name] <= found[name].high for name in true if name in found})
    # then their intervals hold it as often as they say
    shares = {name: np.mean([row[name] for row in held]) for name in held[0]}
    assert len(shares) == (5 if view == "window" else 4)
    assert all(COVERED[0] <= share <= COVERED[1] for share in shares.values()), shares


def test_the_caller_s_metrics_are_of_the_window_with_a_bootstrap_interval() -> None:
    truths, said = answers("multiclass", 400)
    asked = [metrics.parse("f1_macro"), metrics.parse("log_loss")]
    found = Prequential("multiclass", LABELS["multiclass"], window=WINDOW, metrics=asked)
    found.learned(truths, said)
    codes = [LABELS["multiclass"].index(label) for label in truths[100:]]
    scores = found.scores()
    f1 = scores["f1_macro"]
    assert f1.value == pytest.approx(sk.f1_score(codes, said.of("labels")[100:], average="macro"))
    assert f1.low < f1.value < f1.high < f1.low + 0.2
    assert found.scores() == scores


def test_true_values_that_are_missing_or_unknown_have_their_answers() -> None:
    found = Prequential("binary", ["no", "yes"])
    said = Predictions(np.array([1, 0, 1, 0, 1]), np.array([0.9, 0.1, 0.8, 0.3, 1.0]))
    # given a right one, a missing one, one that is no class, one that is a list, and a nan
    errors = found.learned(["yes", None, "perhaps", ["no"], float("nan")], said)
    # then the strange ones are wrong and counted, and the missing ones passed over
    assert np.array_equal(errors, [0, np.nan, 1, 1, np.nan], equal_nan=True)
    assert found.n_unknown == 2
    assert found.rows("start") == 3
    assert found.scores("start")["brier"].value == pytest.approx((0.01 + 1 + 1) / 3)
    assert math.isnan(found.scores()["roc_auc"].value)
    with pytest.raises(DataError, match="2 true values of 5 predictions"):
        found.learned(["yes", "no"], said)
    with pytest.raises(DataError, match="do not mix"):
        found.learned(["yes"] * 5, Predictions(np.ones(5, np.int64)))


@pytest.mark.parametrize("bad", ["12", True, float("inf"), {}])
def test_a_regression_s_true_value_that_is_no_number_is_refused(bad: Any) -> None:
    found = Prequential("regression")
    with pytest.raises(DataError, match="finite number"):
        found.learned([1.0, bad], Predictions(np.zeros(2)))
    assert found.rows("start") == 0


def test_a_model_that_diverged_is_told_and_does_not_spoil_the_window_for_ever() -> None:
    found = Prequential("regression", window=10)
    found.learned(np.zeros(3), Predictions(np.array([np.nan, np.inf, -np.inf])))
    assert found.scores()["mae"].value == terms.MOST
    found.learned(np.zeros(10), Predictions(np.ones(10)))
    assert found.scores()["mae"].value == 1.0
    assert math.isfinite(found.scores("start")["rmse"].value)
    json.dumps(found.dump(), allow_nan=False)


@pytest.mark.parametrize("task", LABELS)
def test_no_rows_and_one_row_give_no_interval_from_nowhere(task: str) -> None:
    found, meter = Prequential(task, LABELS[task]), Meter()
    found.tell(meter)
    assert meter.record()["score"] is None
    assert all(math.isnan(score.value) for score in found.scores().values())
    truths, said = answers(task, 1)
    found.learned(truths, said)
    main = found.scores()[found.main]
    assert task != "regression" or math.isnan(main.low)
    assert task == "regression" or main.low < main.value + 1e-12
    found.tell(meter)
    told = meter.record()["score"]
    assert (told["metric"], told["value"], told["rows"]) == (found.main, main.value, 1)


@pytest.mark.parametrize("state", [{}, {"start": {}}, {"start": {"n": "x"}}])
def test_a_damaged_state_is_refused(state: dict[str, Any]) -> None:
    found = Prequential("regression")
    found.learned([1.0], Predictions(np.zeros(1)))
    before = found.dump()
    with pytest.raises(DataError, match="damaged"):
        found.load(state)
    assert found.dump() == before


def test_areas_of_separated_scores_are_no_certainty() -> None:
    area = terms.roc_auc(np.arange(20) >= 10, np.arange(20.0))
    assert area.value == 1.0
    assert area.low < 0.8
    assert math.isnan(terms.roc_auc(np.ones(5, bool), np.arange(5.0)).value)
