"""Calibrations are scikit-learn's, thresholds are the best there are, and both are judged on rows they did not see."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, f1_score, matthews_corrcoef, precision_score, recall_score
from sklearn.naive_bayes import GaussianNB

from daskflow.core.errors import DataError
from daskflow.data.decision import KINDS, Calibration, Decision
from daskflow.data.predictions import Predictions
from daskflow.metrics.decisions import (
    calibration_report,
    expected_calibration_error,
    fit_calibration,
    fit_decision,
    folds_of,
)
from daskflow.metrics.thresholds import RULES, choose_threshold, cost_matrix, measures, taken, threshold_table


def rows(n: int, n_classes: int = 2, seed: int = 0) -> tuple[Any, Any]:
    """Features of overlapping classes; some features are copies, so that naive Bayes is too sure of itself."""
    rng = np.random.default_rng(seed)
    y = rng.choice(n_classes, n, p=rng.dirichlet(np.full(n_classes, 20.0)))
    X = rng.normal(size=(n, 3)) + np.eye(n_classes, 3)[y] * 1.2
    return np.hstack([X, X + 0.1 * rng.normal(size=(n, 3)), X]), y


def sure(n: int, n_classes: int = 2, seed: int = 0) -> tuple[Any, Any]:
    """Truth and probabilities of a model that is too sure."""
    X, y = rows(3 * n, n_classes, seed)
    p = GaussianNB().fit(X[:n], y[:n]).predict_proba(X[n:])
    return y[n:], p[:, 1] if n_classes == 2 else p


# --- calibrations -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sigmoid", "temperature"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.filterwarnings("ignore:Since FrozenEstimator")
def test_calibrations_of_log_odds_are_those_of_scikit_learn(kind: str, weighted: bool) -> None:
    # given a logistic regression: its decision values are the log-odds of its probabilities
    X, y = rows(1500)
    weight = np.random.default_rng(1).gamma(2.0, size=1000) if weighted else None
    model = LogisticRegression(C=1000).fit(X[:500], y[:500])

    theirs = CalibratedClassifierCV(FrozenEstimator(model), method=kind, ensemble=False)
    theirs.fit(X[500:], y[500:], sample_weight=weight)
    p = model.predict_proba(X[500:])[:, 1]
    ours = fit_calibration(kind, y[500:], p, weight, n_classes=2)

    expected = theirs.predict_proba(X[500:])[:, 1]
    assert ours.apply(p) == pytest.approx(expected, abs=1e-4)


def test_multiclass_temperature_is_that_of_scikit_learn() -> None:
    X, y = rows(3000, 4)
    model = GaussianNB().fit(X[:1000], y[:1000])

    theirs = CalibratedClassifierCV(FrozenEstimator(model), method="temperature", ensemble=False).fit(
        X[1000:], y[1000:]
    )
    p = model.predict_proba(X[1000:])

    ours = fit_calibration("temperature", y[1000:], p, n_classes=4)
    assert ours.apply(p) == pytest.approx(theirs.predict_proba(X[1000:]), abs=1e-5)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_isotonic_calibration_is_that_of_scikit_learn(n_classes: int) -> None:
    X, y = rows(3000, n_classes)
    model = GaussianNB().fit(X[:1000], y[:1000])
    p = model.predict_proba(X[1000:])

    theirs = CalibratedClassifierCV(FrozenEstimator(model), method="isotonic", ensemble=False).fit(X[1000:], y[1000:])
    ours = fit_calibration("isotonic", y[1000:], p, n_classes=n_classes)

    expected = theirs.predict_proba(X[1000:])
    assert ours.apply(p[:, 1] if n_classes == 2 else p) == pytest.approx(
        expected[:, 1] if n_classes == 2 else expected, abs=1e-9
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_model_that_is_too_sure_is_mended_on_rows_that_the_calibration_did_not_see(kind: str, n_classes: int) -> None:
    y, p = sure(2000, n_classes)

    found = calibration_report(kind, y, p, n_classes=n_classes)

    assert (found["kind"], found["rows"]) == (kind, 4000)
    assert found["after"]["log_loss"] < found["before"]["log_loss"]
    assert found["after"]["brier"] < found["before"]["brier"]
    assert found["after"]["ece"] < found["before"]["ece"] / 2
    json.dumps(found, allow_nan=False)


def test_before_and_after_are_cross_fitted_on_the_given_folds() -> None:
    y, p = sure(500, seed=2)
    fold = np.arange(1000) % 4

    found = calibration_report("isotonic", y, p, n_classes=2, fold=fold)

    expected = np.empty(1000)
    for number in range(4):
        fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(p[fold != number], y[fold != number])
        expected[fold == number] = fitted.predict(p[fold == number])
    assert found["after"]["brier"] == pytest.approx(np.mean((expected - y) ** 2))
    fitted_on_all = fit_calibration("isotonic", y, p, n_classes=2).apply(p)
    assert np.mean((fitted_on_all - y) ** 2) < found["after"]["brier"]


def test_folds_keep_classes_and_units_together() -> None:
    y = np.repeat([0, 1, 2], [900, 90, 10])
    units = np.arange(1000).astype(np.uint64) // np.uint64(5)

    plain, by_unit = folds_of(y), folds_of(np.tile([0, 1], 500), unit=units)
    asked, useless = folds_of(y, np.tile([7, 3], 500)), folds_of(y, np.where(y == 2, 0, 1))

    assert all((np.bincount(plain[y == code]) == (y == code).sum() / 5).all() for code in range(3))
    assert all(len(set(by_unit[units == unit])) == 1 for unit in np.unique(units))
    assert asked.tolist() == np.tile([1, 0], 500).tolist()
    # a fold outside which a class is missing cannot judge it
    assert len(np.unique(useless)) == 5


def test_a_calibration_never_turns_an_order_around() -> None:
    # given a model that ranks rows the wrong way
    y, p = sure(500, seed=3)
    for kind in KINDS:
        fitted = fit_calibration(kind, y, 1 - p, n_classes=2)
        grid = fitted.apply(np.linspace(0, 1, 500))
        assert (np.diff(grid) >= -1e-12).all(), kind
        assert np.ptp(grid[5:-5]) < 0.51, kind


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_rows_counted_so_often(kind: str) -> None:
    y, p = sure(300, seed=4)
    weight = np.random.default_rng(4).integers(0, 4, 600)

    weighted = fit_calibration(kind, y, p, weight, n_classes=2)
    repeated = fit_calibration(kind, np.repeat(y, weight), np.repeat(p, weight), n_classes=2)

    grid = np.linspace(0.01, 0.99, 99)
    assert weighted.apply(grid) == pytest.approx(repeated.apply(grid), abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "y", "said"),
    [
        ("isotonic", np.zeros(500, dtype=int), "only class 0 occurs among the 500 rows. Use more rows"),
        (
            "isotonic",
            np.arange(500) % 25 == 0,
            "needs 50 rows of each class; class 1 has 20. Use more rows, use 'sigmoid'",
        ),
        ("sigmoid", np.arange(500) % 100 == 0, "needs 10 rows of each class; class 1 has 5. Use more rows, use 'temp"),
        ("temperature", np.arange(500) % 100 == 0, "needs 10 rows of each class; all classes but the largest has 5"),
        ("sigmoid", np.zeros(0, dtype=int), "no rows"),
        ("platt", np.arange(500) % 2, "'platt' is no calibration"),
    ],
)
def test_rows_that_cannot_carry_a_calibration_are_refused_with_a_remedy(kind: str, y: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        fit_calibration(kind, y.astype(int), np.full(len(y), 0.3), n_classes=2)


def test_probabilities_that_are_none_are_refused() -> None:
    y = np.arange(100) % 2
    with pytest.raises(DataError, match="probabilities of 1 of 100 rows do not lie between 0 and 1"):
        fit_calibration("sigmoid", y, np.where(np.arange(100) == 7, np.nan, 0.5), n_classes=2)
    with pytest.raises(DataError, match=r"3 classes and 100 rows have the shape \(100, 3\); found \(100,\)"):
        fit_calibration("sigmoid", y, np.full(100, 0.5), n_classes=3)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_probabilities_become_the_share_of_the_class(kind: str) -> None:
    y = (np.arange(1000) % 10 == 0).astype(int)

    fitted = fit_calibration(kind, y, np.full(1000, 0.4), n_classes=2)

    # one number, the temperature, can only reach 0.5 and below
    expected = 0.1 if kind != "temperature" else fitted.apply(np.array([0.4]))[0]
    assert fitted.apply(np.array([0.4]))[0] == pytest.approx(expected, abs=2e-3)


def test_expected_calibration_error_is_the_gap_by_bins() -> None:
    p = np.array([0.05, 0.05, 0.95, 0.95])
    assert expected_calibration_error([0, 1, 1, 1], p) == pytest.approx((2 * 0.45 + 2 * 0.05) / 4)
    both = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]])
    assert expected_calibration_error([0, 2], both, [3.0, 1.0]) == pytest.approx(abs(0.8 - 0.75))


# --- what stands in a model folder --------------------------------------------------------------------------------

probabilities = st.floats(0.0, 1.0)


@st.composite
def calibrations(draw: Any) -> Calibration:
    kind = draw(st.sampled_from(KINDS))
    number = st.floats(-50, 50)
    if kind == "temperature":
        return Calibration(kind, (((draw(st.floats(1e-2, 1e2)),),),))
    curves = []
    for _ in range(draw(st.sampled_from([1, 3]))):
        if kind == "sigmoid":
            curves.append(((draw(st.floats(0, 20)), draw(number)),))
        else:
            x = sorted(draw(st.lists(probabilities, min_size=1, max_size=6, unique=True)))
            curves.append((tuple(x), tuple(sorted(draw(st.lists(probabilities, min_size=len(x), max_size=len(x)))))))
    return Calibration(kind, tuple(curves))


@given(calibrations(), st.lists(st.tuples(probabilities, probabilities, probabilities), min_size=1, max_size=20))
@settings(max_examples=150, deadline=None)
def test_a_calibration_gives_probabilities_keeps_order_and_survives_json(
    calibration: Calibration, values: list[tuple[float, float, float]]
) -> None:
    again = Calibration.load(json.loads(json.dumps(calibration.dump())))
    assert again == calibration

    if len(calibration.curves) == 1:
        p = np.sort(np.array(values)[:, 0])
        found = again.apply(p)
        assert found.shape == p.shape
        assert ((found >= 0) & (found <= 1)).all()
        assert (np.diff(found) >= -1e-15).all()
    if len(calibration.curves) == 3 or calibration.kind == "temperature":
        given_ = np.array(values) + 1e-6
        p = given_ / given_.sum(axis=1, keepdims=True)
        found = again.apply(p)
        assert found.shape == p.shape
        assert ((found >= 0) & (found <= 1)).all()
        assert found.sum(axis=1) == pytest.approx(np.ones(len(p)))


@pytest.mark.parametrize(
    "forged",
    [
        {"kind": "magic", "curves": [[[1.0]]]},
        {"kind": "isotonic", "curves": []},
        {"kind": "isotonic", "curves": [[[0.1, 0.2], [0.5]]]},
        {"kind": "isotonic", "curves": [[[0.2, 0.1], [0.5, 0.6]]]},
        {"kind": "isotonic", "curves": [[[0.1, 0.2], [0.6, 0.5]]]},
        {"kind": "isotonic", "curves": [[[0.1, 0.2], [0.6, 1.5]]]},
        {"kind": "isotonic", "curves": [[[], []]]},
        {"kind": "sigmoid", "curves": [[[1.0]]]},
        {"kind": "sigmoid", "curves": [[[-1.0, 0.0]]]},
        {"kind": "sigmoid", "curves": [[[float("nan"), 0.0]]]},
        {"kind": "sigmoid", "curves": [[["1.0", 0.0]]]},
        {"kind": "temperature", "curves": [[[0.0]]]},
        {"kind": "temperature", "curves": [[[1.0]], [[1.0]]]},
        {"kind": "temperature", "curves": [[[True]]]},
        {"kind": "temperature", "curves": 3},
        {"kind": "temperature"},
    ],
)
def test_a_forged_calibration_is_refused(forged: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        Calibration.load(forged)
    with pytest.raises((ValueError, KeyError, TypeError)):
        Decision.load({"calibration": forged, "threshold": 0.5})


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), "0.5", True, [0.5]])
def test_a_forged_threshold_is_refused(threshold: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        Decision.load({"calibration": None, "threshold": threshold})


def test_a_decision_answers_by_calibrated_probability_and_threshold_and_survives_json() -> None:
    p = np.array([0.1, 0.3, 0.5, 0.9])
    decision = Decision(Calibration("temperature", (((2.0,),),)), 0.4)

    found = Decision.load(json.loads(json.dumps(decision.dump()))).apply(Predictions(np.array([0, 0, 1, 1]), p, p))

    assert found.probabilities == pytest.approx([0.25, 0.396, 0.5, 0.75], abs=1e-3)
    assert found.labels.tolist() == [0, 0, 1, 1]
    assert Decision(None, 0.3).apply(Predictions(None, p, p)).labels.tolist() == [0, 1, 1, 1]
    assert Decision().apply(found) is found
    with pytest.raises(DataError, match="threshold is for two classes"):
        Decision(None, 0.3).apply(Predictions(None, np.eye(3), np.eye(3)))
    with pytest.raises(DataError, match="fitted for 3 classes, and there are probabilities of 2"):
        Calibration("sigmoid", (((1.0, 0.0),),) * 3).apply(p)


def test_a_row_that_no_class_wants_is_left_as_it_was() -> None:
    never = ((0.0, 1.0), (0.0, 0.0))
    p = np.array([[0.2, 0.3, 0.5]])

    assert Calibration("isotonic", (never, never, never)).apply(p).tolist() == p.tolist()


# --- thresholds ---------------------------------------------------------------------------------------------------

COSTS = [[0, 1], [10, 0]]


def merit(rule: str, y: Any, answers: Any) -> float:
    """The rule's own measure, by its definition."""
    tp, fp = float((y & answers).sum()), float((~y & answers).sum())
    fn, tn = float((y & ~answers).sum()), float((~y & ~answers).sum())
    if rule == "f1":
        return 2 * tp / (2 * tp + fp + fn)
    if rule == "mcc":
        below = ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)) ** 0.5
        return (tp * tn - fp * fn) / below if below else 0.0
    if rule == "cost":
        return -(fp * COSTS[0][1] + fn * COSTS[1][0]) / len(y)
    return tp / (tp + fn) - fp / (fp + tn)


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.500001, 0.9, 1.0])), min_size=2, max_size=25
    ),
    st.sampled_from(RULES),
)
@settings(max_examples=200, deadline=None)
def test_no_threshold_is_better_than_the_chosen_one(values: list[tuple[bool, float]], rule: str) -> None:
    y, p = np.array([value for value, _ in values]).astype(int), np.array([value for _, value in values])
    if y.min() == y.max():
        with pytest.raises(DataError, match=f"only class {y[0]} occurs among the rows"):
            choose_threshold(rule, y, p, costs=COSTS)
        return

    chosen = choose_threshold(rule, y, p, costs=COSTS)

    assert 0.0 <= chosen <= 1.0
    best = max(merit(rule, y == 1, p >= threshold) for threshold in [0.0, *np.unique(p), min(1.0, p.max() + 1e-9)])
    assert merit(rule, y == 1, p >= chosen) == pytest.approx(best, abs=1e-9)


def test_the_table_holds_what_scikit_learn_says_of_every_threshold() -> None:
    rng = np.random.default_rng(5)
    p = rng.random(5000).round(3)
    y = (rng.random(5000) < p).astype(int)
    weight = rng.gamma(1.0, size=5000)

    table = threshold_table(y, p, weight, costs=COSTS, chosen=0.31, rule="cost")

    assert len(table["threshold"]) <= 200
    assert all(one > other for one, other in pairwise(table["threshold"]))
    assert 0.31 in table["threshold"]
    assert set(table["best"].values()) <= set(table["threshold"])
    for place in range(0, len(table["threshold"]), 17):
        answers = p >= table["threshold"][place]
        if answers.any():
            assert table["precision"][place] == pytest.approx(precision_score(y, answers, sample_weight=weight))
        assert table["recall"][place] == pytest.approx(recall_score(y, answers, sample_weight=weight))
        assert table["f1"][place] == pytest.approx(f1_score(y, answers, sample_weight=weight, zero_division=0))
        assert table["taken"][place] == pytest.approx(weight[answers].sum() / weight.sum())
        costs = np.asarray(COSTS)[y, answers.astype(int)]
        assert table["cost"][place] == pytest.approx(np.average(costs, weights=weight))
        rate = weight[answers & (y == 0)].sum() / weight[y == 0].sum()
        assert table["false_positive_rate"][place] == pytest.approx(rate)
    # probabilities are right here, so the cheapest threshold is the one of the theory
    assert table["cost_if_calibrated"] == pytest.approx(1 / 11)
    assert table["best"]["cost"] == pytest.approx(1 / 11, abs=0.05)
    json.dumps(table, allow_nan=False)


@pytest.mark.parametrize("y", [[0, 0, 0], [1, 1, 1]])
def test_a_table_of_one_class_has_no_best_threshold_and_what_is_defined(y: list[int]) -> None:
    table = threshold_table(y, [0.2, 0.5, 0.5], costs=COSTS)

    assert set(table["best"].values()) == {None}
    assert (table["recall"][-1] is None) == (y[0] == 0)
    assert (table["false_positive_rate"][-1] is None) == (y[0] == 1)
    assert table["precision"][0] is None


def test_equal_probabilities_leave_all_or_nothing() -> None:
    counts = taken([0, 1, 1, 0], [0.4] * 4)

    assert counts.threshold.tolist() == pytest.approx([0.7, 0.0])
    assert counts.at(0.4) == (2, 2)
    assert counts.at(0.41) == (0, 0)
    assert choose_threshold("youden", [0, 1, 1, 0], [0.4] * 4) == pytest.approx(0.7)


def test_a_threshold_lies_between_probabilities_however_near_they_are() -> None:
    low, high = 0.3, np.nextafter(0.3, 1)

    chosen = choose_threshold("f1", [0, 1], [low, high])

    assert low < chosen <= high


def test_benefits_are_negative_costs_and_rows_without_weight_choose_nothing() -> None:
    y, p = np.array([0, 0, 1, 1, 1]), np.array([0.1, 0.4, 0.3, 0.8, 0.2])

    eager = choose_threshold("cost", y, p, costs=[[0, 1], [0, -100]])
    careful = choose_threshold("cost", y, p, costs=[[0, 100], [0, -1]])
    weighted = choose_threshold("cost", y, p, [1, 0, 1, 1, 0], costs=[[0, 100], [0, -1]])

    assert (p >= eager).tolist() == [False, True, True, True, True]
    assert (p >= careful).tolist() == [False, False, False, True, False]
    assert (p >= weighted)[[0, 2, 3]].tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("costs", "said"),
    [
        ([[0, 1]], r"costs should be \[\[tn, fp\], \[fn, tp\]\].*found \[\[0, 1\]\]"),
        ([[0, "a"], [1, 0]], "costs should be"),
        ([[0, float("inf")], [1, 0]], "costs should be"),
        ([[1, 1], [2, 2]], "no answer is better"),
        ([[1, 0], [0, 10]], "the wrong answer is the cheaper one for both"),
    ],
)
def test_cost_matrices_that_cannot_be_meant_are_refused(costs: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        cost_matrix(costs)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("f2", "'f2' is no rule.*There are f1, balanced_accuracy"),
        ("cost", "needs costs = "),
        (1.5, "does not lie between 0 and 1"),
        (None, "neither a rule"),
        (True, "neither a rule"),
    ],
)
def test_rules_that_are_none_are_refused(rule: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        choose_threshold(rule, [0, 1], [0.2, 0.8])


def test_measures_are_those_of_scikit_learn() -> None:
    y, p = sure(300, seed=6)

    found = measures(y, p, 0.7, costs=COSTS)

    answers = p >= 0.7
    assert found["mcc"] == pytest.approx(matthews_corrcoef(y, answers))
    assert found["f1"] == pytest.approx(f1_score(y, answers))
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(y, answers))
    assert found["cost"] == pytest.approx(np.asarray(COSTS)[y, answers.astype(int)].mean())


# --- whole decisions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("calibrate", [None, *KINDS])
def test_a_decision_is_fitted_on_all_rows_and_judged_fold_by_fold(calibrate: str | None) -> None:
    y, p = sure(2000, seed=7)

    decision, details = fit_decision(
        y=y, probabilities=p, n_classes=2, calibrate=calibrate, threshold="cost", costs=COSTS, seed=3
    )

    threshold = details["threshold"]
    assert decision.threshold == threshold["value"]
    assert threshold["after"]["cost"] < threshold["before"]["cost"]
    calibrated = p if calibrate is None else decision.calibration.apply(p)  # type: ignore[union-attr]
    assert decision.threshold == choose_threshold("cost", y, calibrated, costs=COSTS)
    # on the rows that it was fitted on it looks no worse than on others
    assert measures(y, calibrated, decision.threshold, costs=COSTS)["cost"] <= threshold["after"]["cost"] + 1e-12
    if calibrate is not None:
        assert details["calibration"] == calibration_report(calibrate, y, p, n_classes=2, seed=3)
    json.dumps(details, allow_nan=False)


def test_thresholds_of_more_than_two_classes_are_refused_and_given_ones_kept() -> None:
    y, p = sure(200, 3)
    with pytest.raises(DataError, match="is for two classes, and the target has 3"):
        fit_decision(y=y, probabilities=p, n_classes=3, threshold="f1")
    decision, details = fit_decision(y=y % 2, probabilities=p[:, 1], n_classes=2, threshold=0.3)
    assert (decision.calibration, decision.threshold, details["threshold"]["rule"]) == (None, 0.3, "given")


def test_a_threshold_chosen_by_cost_lowers_the_cost_of_real_rows_that_nobody_looked_at(shared_data: Path) -> None:
    frame = pd.read_csv(next((shared_data / "credit_default").glob("*.csv.gz")))
    y = frame.pop("default.payment.next.month").to_numpy()
    X = frame.drop(columns="ID").to_numpy(float)
    model = GaussianNB().fit(X[:10_000], y[:10_000])
    p = model.predict_proba(X[10_000:])[:, 1]
    held, test = slice(0, 10_000), slice(10_000, 20_000)
    costs = [[0, 1], [5, 0]]

    decision, details = fit_decision(
        y=y[10_000:20_000], probabilities=p[held], n_classes=2, calibrate="isotonic", threshold="cost", costs=costs
    )

    calibrated = decision.apply(Predictions(None, p[test], p[test])).probabilities
    kept, natural = (
        measures(y[20_000:], calibrated, threshold, costs=costs)["cost"] for threshold in (decision.threshold, 0.5)
    )
    assert kept < 0.9 * natural
    assert details["threshold"]["after"]["cost"] == pytest.approx(kept, abs=0.05)
    assert details["calibration"]["after"]["ece"] < 0.03 < details["calibration"]["before"]["ece"]
