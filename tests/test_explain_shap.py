"""SHAP values on source columns: exact for linear models and trees, sampled for others, and they always add up."""

from __future__ import annotations

import importlib
import itertools
import json
import math
import sys
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    VotingRegressor,
)
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge, SGDClassifier
from sklearn.naive_bayes import GaussianNB

from daskflow.core.errors import DataError, SettingsError
from daskflow.data.client_executor import ClientExecutor
from daskflow.data.execution import InlineExecutor
from daskflow.data.predictions import predict
from daskflow.explain import shap_values
from daskflow.explain.attributions import Attributions, attributions
from daskflow.preprocess.functions import Function
from daskflow.preprocess.interactions import Interaction
from tests.conftest import lacking
from tests.explained import Formula, double_a_plus_b, fitted_model, mixed_frame, normal_rows, numbers

COLUMNS = ("size", "city", "rooms", "is_new", "since", "idle")


def rows_of(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame.drop(columns="y"), preserve_index=False)


def explained(predictor: Any, rows: pa.Table, **options: Any) -> Attributions:
    return attributions(predictor, rows, **{"seed": 7, "executor": InlineExecutor(), **options})


def sums(found: Attributions) -> Any:
    return found.values.sum(axis=1) + found.base


def log_odds(p: Any) -> Any:
    return np.log(p / (1 - p))


def shap_is_installed() -> None:
    try:
        import shap  # noqa: F401
    except ImportError:
        lacking("the package shap")


def test_a_linear_model_s_values_are_coefficients_times_the_distance_from_the_mean() -> None:
    # given
    frame = mixed_frame(200, n_classes=0)
    model = fitted_model(Ridge(), frame, "y")
    rows = rows_of(frame)
    # when
    found = explained(model, rows)
    # then they are summed over what preprocessing makes of a column
    matrix = np.asarray(model.transformer.matrix(rows), dtype=float)
    each = (matrix - matrix.mean(axis=0)) * model.estimator.coef_
    names = np.array([name.partition("_")[0] for name in model.feature_names])
    assert found.columns == COLUMNS
    assert np.allclose(found.values[:, COLUMNS.index("city")], each[:, names == "city"].sum(axis=1))
    assert (found.method, found.output) == ("linear", "prediction")
    assert np.allclose(sums(found), model.predictions(rows).labels, atol=1e-5)


@pytest.mark.parametrize(
    ("estimator", "n_classes", "output"),
    [
        (LogisticRegression(max_iter=500), 2, "log-odds of class 1"),
        (SGDClassifier(loss="hinge", random_state=0), 2, "score of class 1"),
        (LogisticRegression(max_iter=500), 3, "score of class 2"),
    ],
)
def test_linear_classifiers_add_up_to_what_they_decide_by(estimator: Any, n_classes: int, output: str) -> None:
    model = fitted_model(estimator, mixed_frame(n_classes=n_classes), "y")
    rows = rows_of(mixed_frame(seed=1))
    found = explained(model, rows, label=f"class {n_classes - 1}", most_rows=100)
    taken = rows.take(pa.array(found.places))
    decided = model.estimator.decision_function(model.transformer.matrix(taken))
    assert np.allclose(sums(found), decided if n_classes == 2 else decided[:, -1], atol=1e-4)
    assert (found.method, found.output) == ("linear", output)


def library(name: str, cls: str, **options: Any) -> Any:
    try:
        module = importlib.import_module(name)
    except ImportError:
        lacking(name)
    return getattr(module, cls)(**options)


TREES: list[tuple[str, Any, int, str]] = [
    ("forest", lambda: RandomForestClassifier(10, random_state=0), 2, "probability of"),
    ("forest of three", lambda: RandomForestClassifier(10, random_state=0), 3, "probability of"),
    ("extra trees", lambda: ExtraTreesRegressor(10, random_state=0), 0, "prediction"),
    ("gradient boosting", lambda: GradientBoostingClassifier(n_estimators=10), 2, "log-odds of"),
    ("histograms", lambda: HistGradientBoostingClassifier(max_iter=10), 2, "log-odds of"),
    ("histograms of three", lambda: HistGradientBoostingClassifier(max_iter=10), 3, "score of"),
    ("histograms of numbers", lambda: HistGradientBoostingRegressor(max_iter=10), 0, "prediction"),
    ("xgboost", lambda: library("xgboost", "XGBClassifier", n_estimators=10), 2, "log-odds of"),
    ("xgboost of numbers", lambda: library("xgboost", "XGBRegressor", n_estimators=10), 0, "prediction"),
    ("lightgbm", lambda: library("lightgbm", "LGBMClassifier", n_estimators=10, verbose=-1), 2, "log-odds of"),
    ("lightgbm of three", lambda: library("lightgbm", "LGBMClassifier", n_estimators=10, verbose=-1), 3, "score of"),
    ("catboost", lambda: library("catboost", "CatBoostClassifier", n_estimators=10, verbose=0), 2, "log-odds of"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("estimator", "n_classes", "word"), [row[1:] for row in TREES], ids=[row[0] for row in TREES])
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_values_of_trees_add_up_to_what_they_say(estimator: Any, n_classes: int, word: str) -> None:
    # given
    shap_is_installed()
    model = fitted_model(estimator(), mixed_frame(300, n_classes=n_classes), "y")
    rows = rows_of(mixed_frame(60, seed=1))
    # when
    found = explained(model, rows)
    # then
    matrix = model.transformer.matrix(rows)
    predictions = predict(model.estimator, matrix, n_classes)
    assert found.method == "tree"
    assert found.output.startswith(word)
    if n_classes == 0:
        expected = predictions.labels
    else:
        code = model.classes.index(found.output[len(word) + 1 :])
        p = predictions.probabilities if n_classes == 2 else predictions.probabilities[:, code]
        if word == "score of":  # one class's part of a softmax is known up to what all have in common
            others = [explained(model, rows, label=label) for label in model.classes]
            softmax = np.exp([sums(other) for other in others])
            assert np.allclose(softmax[code] / softmax.sum(axis=0), p, atol=1e-4)
            return
        expected = p if word == "probability of" else log_odds(p)
    assert np.allclose(sums(found), expected, atol=1e-3)
    # and what matters is what the target was made of
    size = dict(zip(found.columns, np.abs(found.values).mean(axis=0), strict=True))
    assert size["size"] > size["idle"]


def test_a_forest_is_explained_by_its_trees() -> None:
    shap_is_installed()
    frame = mixed_frame(200)
    model = fitted_model(RandomForestClassifier(8, max_depth=4, random_state=0), frame, "y")
    found = explained(model, rows_of(frame))
    assert found.method == "tree"
    assert np.allclose(sums(found), model.predictions(rows_of(frame)).probabilities, atol=1e-9)


@pytest.mark.slow
def test_it_is_the_same_on_a_cluster(client: Any) -> None:
    shap_is_installed()
    frame = mixed_frame(200)
    for estimator in (HistGradientBoostingClassifier(max_iter=5), GaussianNB()):
        model = fitted_model(estimator, frame, "y")
        here = explained(model, rows_of(frame), most_rows=60)
        there = explained(model, rows_of(frame), most_rows=60, executor=ClientExecutor(client))
        assert np.array_equal(here.values, there.values)


def shapley(answer: Any, n_columns: int) -> Any:
    """By the definition: over all subsets of the columns."""
    values = np.zeros(n_columns)
    for column in range(n_columns):
        others = [other for other in range(n_columns) if other != column]
        for size in range(n_columns):
            for known in itertools.combinations(others, size):
                factor = math.factorial(size) * math.factorial(n_columns - size - 1) / math.factorial(n_columns)
                values[column] += factor * (answer({*known, column}) - answer({*known}))
    return values


def test_asking_the_model_comes_to_shapley_s_definition() -> None:
    # given a model whose columns act on each other, on 20 rows
    rows = normal_rows(20, "a", "b", "c")

    def acts(a: Any, b: Any, c: Any) -> Any:
        return a * b + np.maximum(c, 0) * a + b

    predictor = Formula(lambda table: acts(*(numbers(table, name) for name in "abc")))
    table = np.column_stack([numbers(rows, name) for name in "abc"])

    def answer(row: int, known: set[int]) -> float:
        mixed = table.copy()
        mixed[:, list(known)] = table[row, list(known)]
        return float(acts(*mixed.T).mean())

    exact = np.array([shapley(lambda known, row=row: answer(row, known), 3) for row in range(20)])
    # when every row is asked about with the columns in many orders
    found = explained(predictor, rows, repeats=80)
    # then (all rows are the ground: there are fewer than it takes)
    assert found.method == "permutation"
    assert np.allclose(sums(found), predictor.predictions(rows).labels)
    assert np.abs(found.values - exact).max() < 0.2
    assert np.abs(found.values - exact).mean() < 0.03


def test_where_two_orders_say_it_all_one_is_enough() -> None:
    # given two columns: there and back are both orders
    rows = normal_rows(25, "a", "b")
    found = explained(Formula(double_a_plus_b), rows)
    centred = np.column_stack([2 * numbers(rows, "a"), numbers(rows, "b")])
    assert np.allclose(found.values, centred - centred.mean(axis=0))


def test_columns_of_every_kind_can_be_asked_about() -> None:
    model = fitted_model(GaussianNB(), mixed_frame(300), "y")
    rows = rows_of(mixed_frame(30, seed=2))
    found = explained(model, rows)
    assert (found.method, found.output) == ("permutation", "probability of class 1")
    assert np.allclose(sums(found), model.predictions(rows).probabilities, atol=1e-6)
    size = dict(zip(found.columns, np.abs(found.values).mean(axis=0), strict=True))
    assert size["size"] > size["idle"]


def test_an_estimator_whose_answer_is_not_linear_in_its_coefficients_is_asked() -> None:
    frame = mixed_frame(200, n_classes=0)
    frame["y"] = np.exp(frame["y"] / 4)
    model = fitted_model(PoissonRegressor(), frame, "y")
    found = explained(model, rows_of(frame), most_rows=20)
    assert found.method == "permutation"
    assert found.output == "prediction"


def test_an_ensemble_that_shap_does_not_know_is_asked_and_a_sentence_says_so() -> None:
    shap_is_installed()
    frame = mixed_frame(100, n_classes=0)
    model = fitted_model(VotingRegressor([("r", Ridge())]), frame, "y")
    found = explained(model, rows_of(frame), most_rows=10)
    assert found.method == "permutation"
    assert "does not know VotingRegressor" in found.notes[0]


def test_without_the_package_trees_say_what_to_install_and_can_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    monkeypatch.setitem(sys.modules, "shap", None)
    frame = mixed_frame(80)
    model = fitted_model(RandomForestClassifier(3, random_state=0), frame, "y")
    # when, then
    with pytest.raises(SettingsError, match=r"pip install 'daskflow\[shap\]'"):
        explained(model, rows_of(frame))
    assert explained(model, rows_of(frame), method="permutation", most_rows=10).method == "permutation"


def doubled(frame: pd.DataFrame) -> pd.DataFrame:
    """A new column of one."""
    return pd.DataFrame({"twice": frame["rooms"] * 2.0})


def test_a_new_column_s_value_is_shared_by_the_columns_it_is_made_of() -> None:
    # given a product of two columns, and a function of one
    frame = mixed_frame(300, n_classes=0)
    frame["size"] = frame["size"].fillna(1.0)
    model = fitted_model(
        Ridge(),
        frame,
        "y",
        interactions=[Interaction(columns=("size", "idle"))],
        functions=[Function(function=f"{__name__}:doubled", columns=("rooms",), outputs={"twice": "float64"})],
    )
    sources = dict(zip(model.feature_names, model.transformer.sources, strict=True))
    assert sources["size:idle"] == ("size", "idle")
    assert sources["twice"] == ("rooms",)
    # when
    found = explained(model, rows_of(frame))
    # then
    matrix = np.asarray(model.transformer.matrix(rows_of(frame)), dtype=float)
    each = dict(zip(model.feature_names, ((matrix - matrix.mean(axis=0)) * model.estimator.coef_).T, strict=True))
    assert np.allclose(found.values[:, COLUMNS.index("idle")], each["idle"] + each["size:idle"] / 2)
    assert np.allclose(found.values[:, COLUMNS.index("rooms")], each["rooms"] + each["twice"])
    assert np.allclose(sums(found), model.predictions(rows_of(frame)).labels, atol=1e-4)


def test_the_summary_is_plain_and_ordered_and_places_each_row_s_value() -> None:
    frame = mixed_frame(200)
    model = fitted_model(LogisticRegression(max_iter=500), frame, "y")
    found = shap_values(model, rows_of(frame), seed=7, executor=InlineExecutor(), most_rows=50)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    sizes = [each["value"] for each in found["columns"]]
    assert sizes == sorted(sizes, reverse=True)
    assert all(each["low"] <= each["value"] <= each["high"] for each in found["columns"])
    assert found["rows"] == 50
    points = {point["column"]: point for point in found["points"]}
    assert {len(point["shap"]) for point in points.values()} == {50}
    assert set(points["city"]["value"]) == {None}
    assert max(value for value in points["rooms"]["value"] if value is not None) == 1.0
    # more rooms, more chance: the model is linear
    assert np.corrcoef(points["rooms"]["value"], points["rooms"]["shap"])[0, 1] > 0.9


def test_rows_that_have_a_record_are_not_explained_again() -> None:
    # given 120 rows, of which the first 50 were explained before a kill
    rows, kept = normal_rows(120, "a", "b"), {}

    def record(each: Any) -> None:
        kept[each["column"]] = each
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explained(Formula(double_a_plus_b), rows, record=record)
    # when
    predictor = Formula(double_a_plus_b)
    found = explained(predictor, rows, earlier=kept)
    # then
    undisturbed = Formula(double_a_plus_b)
    assert np.array_equal(found.values, explained(undisturbed, rows).values)
    assert sum(predictor.asked) < sum(undisturbed.asked)


def test_when_there_is_no_time_fewer_rows_are_explained_and_that_is_said() -> None:
    found = explained(Formula(double_a_plus_b), normal_rows(100, "a", "b"), seconds=0.0)
    assert found.values.shape == (0, 2)
    assert "0 of 100 rows" in found.notes[-1]
    summary = shap_values(
        Formula(double_a_plus_b), normal_rows(100, "a", "b"), seed=7, executor=InlineExecutor(), seconds=0.0
    )
    assert summary["rows"] == 0


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"label": "maybe"}, DataError, "There is no class 'maybe'"),
        ({"label": "no"}, DataError, "Of two classes 'yes' is explained"),
        ({"method": "tree"}, SettingsError, "method = 'tree' does not fit Formula"),
        ({"most_rows": 0}, DataError, "most_rows"),
    ],
)
def test_what_is_wrong_is_said(options: dict[str, Any], error: type[Exception], sentence: str) -> None:
    predictor = Formula(lambda table: 1 / (1 + np.exp(-double_a_plus_b(table))), ("no", "yes"))
    with pytest.raises(error, match=sentence):
        explained(predictor, normal_rows(20, "a", "b"), **options)
