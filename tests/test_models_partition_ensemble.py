"""One model per part of the rows: how parts are cut, members weighed, and strange parts told."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import skops.io
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Perceptron, Ridge
from sklearn.metrics import log_loss, r2_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsRegressor
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

from daskflow import models
from daskflow.bundle import trust
from daskflow.core.errors import DataError, SettingsError
from daskflow.core.protocols import PartitionedEstimator
from daskflow.models.parts.estimators import PartitionEnsembleClassifier, PartitionEnsembleRegressor
from daskflow.models.parts.notes import PartitionWarning

WEIGHTS_ARE_NO_COPIES = "the parts are cut by rows, so a row of weight 2 is in one part, and its two copies may not be"


@parametrize_with_checks(
    [
        PartitionEnsembleClassifier(LogisticRegression()),
        PartitionEnsembleRegressor(Ridge(), combine="weighted"),
    ],
    expected_failed_checks=lambda estimator: {
        "check_sample_weight_equivalence_on_dense_data": WEIGHTS_ARE_NO_COPIES,
        "check_sample_weight_equivalence_on_sparse_data": WEIGHTS_ARE_NO_COPIES,
    },
)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_own_checks_hold(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def rows() -> tuple[Any, Any]:
    """Three classes, sorted, as files by class are."""
    X, y = make_classification(3000, 8, n_informative=6, n_classes=3, class_sep=1.5, random_state=0)
    order = np.argsort(y, kind="stable")
    return X[order], y[order]


def test_a_class_that_a_part_lacks_gets_no_probability_from_its_member(rows: Any) -> None:
    # given rows in the order of their classes, and a part for each half
    X, y = rows
    model = PartitionEnsembleClassifier(GaussianNB(), n_parts=2, partitions="source")

    # when it is fitted
    with pytest.warns(PartitionWarning) as told:
        model.fit(X, y)

    # then each member knows two classes, the ensemble all, and probabilities sum to one
    assert "2 of 2 parts (0, 1) lack classes (the fewest: 2 of 3)" in str(told[0].message)
    assert [list(each.classes_) for each in model.estimators_] == [[0, 1], [1, 2]]
    first = model.estimators_[0].predict_proba(X[:5])
    second = model.estimators_[1].predict_proba(X[:5])
    expected = (np.column_stack([first, np.zeros(5)]) + np.column_stack([np.zeros(5), second])) / 2
    assert np.allclose(model.predict_proba(X[:5]), expected)
    assert np.allclose(model.predict_proba(X).sum(axis=1), 1)


def test_a_part_of_one_class_is_told_and_its_member_says_nothing_else(rows: Any) -> None:
    X, y = rows

    with pytest.warns(PartitionWarning) as told:
        model = PartitionEnsembleClassifier(GaussianNB(), n_parts=6, partitions="source").fit(X, y)

    assert "have rows of a single class" in str(told[0].message)
    assert "partitions = 'shuffled'" in str(told[0].message)
    assert model.estimators_[0].predict_proba(X[:1]).tolist() == [[1.0]]


def test_silent_error_5_parts_in_file_order_are_told_and_shuffled_ones_are_as_good_as_one_model(rows: Any) -> None:
    # given rows in the order of their classes
    X, y = rows
    whole = GaussianNB().fit(X, y).score(X, y)

    # when parts are as they come, and when they are shuffled, which is the default
    with pytest.warns(PartitionWarning) as told:
        sorted_parts = PartitionEnsembleClassifier(GaussianNB(), n_parts=6, partitions="source").fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shuffled = PartitionEnsembleClassifier(GaussianNB(), n_parts=6, random_state=0).fit(X, y)

    # then the first is told and bad, the second silent and good
    assert any("other rows than the rest" in str(each.message) for each in told)
    assert sorted_parts.score(X, y) < whole - 0.05
    assert shuffled.score(X, y) > whole - 0.02


def test_a_drifting_column_is_told_with_its_name_and_its_part() -> None:
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(4000, 3)), columns=["a", "b", "c"])
    X.loc[3000:, "b"] += 3.0
    y = (X["a"] > 0).to_numpy()

    with pytest.warns(PartitionWarning, match=r"Part 3 of 4 holds other rows than the rest: in part 3 column 'b'"):
        PartitionEnsembleClassifier(GaussianNB(), n_parts=4, partitions="source").fit(X, y)


def test_a_drifting_target_is_told() -> None:
    X = np.random.default_rng(0).normal(size=(4000, 3))
    y = X[:, 0] + np.where(np.arange(4000) < 1000, 5.0, 0.0)

    with pytest.warns(PartitionWarning, match="in part 0 the target lies"):
        PartitionEnsembleRegressor(Ridge(), n_parts=4, partitions="source").fit(X, y)


@pytest.mark.parametrize("seed", range(5))
def test_samples_of_one_population_are_not_told(seed: int) -> None:
    X, y = make_classification(4000, 40, n_informative=6, weights=[0.97], random_state=seed)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PartitionEnsembleClassifier(GaussianNB(), n_parts=16, random_state=seed).fit(X, y)


def spoilt(X: Any, y: Any) -> tuple[Any, Any]:
    """Rows whose last quarter has labels that mean nothing."""
    random = np.random.default_rng(0)
    y = y.copy()
    y[3 * len(y) // 4 :] = random.permutation(y[3 * len(y) // 4 :])
    return X, y


@pytest.mark.parametrize("combine", ["weighted", "stacked"])
def test_weights_and_stacking_beat_the_worst_member_and_the_mean(combine: Any) -> None:
    # given four parts of which one has labels that mean nothing
    X, y = make_classification(6000, 10, n_informative=6, random_state=3)
    X, y, X_new, y_new = *spoilt(X[:4000], y[:4000]), X[4000:], y[4000:]
    mean = PartitionEnsembleClassifier(LogisticRegression(), n_parts=4, partitions="source").fit(X, y)

    # when weights come from rows of other parts
    model = clone(mean).set_params(combine=combine).fit(X, y)

    # then new rows are predicted better than by any of the bad, and than by the mean
    alone = [log_loss(y_new, each.predict_proba(X_new)) for each in model.estimators_]
    assert log_loss(y_new, model.predict_proba(X_new)) < max(alone)
    assert log_loss(y_new, model.predict_proba(X_new)) < log_loss(y_new, mean.predict_proba(X_new))
    if combine == "weighted":
        assert model.weights_.argmin() == 3
        assert model.weights_.sum() == pytest.approx(1)


@pytest.mark.parametrize("combine", ["weighted", "stacked"])
def test_the_same_for_numbers(combine: Any) -> None:
    X, y = make_regression(6000, 10, noise=5.0, random_state=3)
    X, y, X_new, y_new = *spoilt(X[:4000], y[:4000]), X[4000:], y[4000:]

    model = PartitionEnsembleRegressor(LinearRegression(), n_parts=4, partitions="source", combine=combine).fit(X, y)

    alone = [r2_score(y_new, each.predict(X_new)) for each in model.estimators_]
    mean = np.mean([each.predict(X_new) for each in model.estimators_], axis=0)
    assert model.score(X_new, y_new) > max(min(alone), r2_score(y_new, mean))


def test_a_member_is_not_weighed_by_rows_it_was_fitted_on() -> None:
    # given members that know their own rows by heart, and nothing of the others where labels mean nothing
    random = np.random.default_rng(0)
    X = random.normal(size=(2000, 4))
    y = np.where(np.arange(2000) < 1000, X[:, 0] * 3, random.normal(size=2000) * 3)

    model = PartitionEnsembleRegressor(DecisionTreeRegressor(), n_parts=2, partitions="source", combine="weighted").fit(
        X, y
    )

    # then the one that learned noise by heart, perfect on its own rows, has nothing to say of the other part's
    assert r2_score(y[1000:], model.estimators_[1].predict(X[1000:])) == 1.0
    assert model.weights_[1] == pytest.approx(0.5) or model.weights_[1] < 0.5


def test_members_without_probabilities_vote() -> None:
    X, y = make_classification(600, 6, random_state=0)

    model = PartitionEnsembleClassifier(Perceptron(), n_parts=3, random_state=0).fit(X, y)

    assert set(np.round(model.predict_proba(X)[:, 1] * 3).astype(int)) <= {0, 1, 2, 3}
    assert model.score(X, y) > 0.7


def test_weights_of_rows_count_in_fits_and_are_said_not_to_where_they_cannot() -> None:
    X, y = make_regression(400, 3, noise=1.0, random_state=0)
    weight = np.r_[np.ones(200), np.zeros(200)]
    y_other = y.copy()
    y_other[200:] = 0.0

    weighed = PartitionEnsembleRegressor(Ridge(), n_parts=2, random_state=0).fit(X, y_other, sample_weight=weight)

    assert weighed.score(X[:200], y[:200]) > 0.99
    with pytest.warns(UserWarning, match="KNeighborsRegressor takes no weights"):
        PartitionEnsembleRegressor(KNeighborsRegressor(), n_parts=2).fit(X, y, sample_weight=weight)


def test_parts_can_be_given_row_by_row() -> None:
    X, y = make_classification(900, 5, random_state=0)
    site = np.array(["north", "south", "west"])[np.arange(900) % 3]

    model = PartitionEnsembleClassifier(LogisticRegression()).fit(X, y, parts=site)

    alone = LogisticRegression().fit(X[site == "south"], y[site == "south"])
    assert model.part_rows_.tolist() == [300, 300, 300]
    assert np.allclose(model.estimators_[1].coef_, alone.coef_)


def test_more_parts_than_rows_are_refused() -> None:
    with pytest.raises(DataError, match="3 rows cannot be cut into n_parts = 5 parts"):
        PartitionEnsembleRegressor(Ridge(), n_parts=5).fit(np.zeros((3, 1)), np.zeros(3))


def test_sparse_rows_are_cut_too() -> None:
    X, y = make_classification(400, 6, random_state=0)

    dense, thin = (
        PartitionEnsembleClassifier(LogisticRegression(), n_parts=3, random_state=1).fit(rows, y)
        for rows in (X, sparse.csr_matrix(X))
    )

    assert np.allclose(dense.predict_proba(X), thin.predict_proba(sparse.csr_matrix(X)), atol=1e-3)


def test_the_same_seed_gives_the_same_members_and_another_others() -> None:
    X, y = make_classification(400, 6, random_state=0)
    forest = RandomForestClassifier(5)

    one, same, other = (
        PartitionEnsembleClassifier(forest, n_parts=2, random_state=seed).fit(X, y).predict_proba(X)
        for seed in (1, 1, 2)
    )

    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("partitions", ["source", "shuffled"])
@pytest.mark.parametrize("combine", ["soft", "weighted", "stacked"])
def test_partitions_of_a_dask_frame_are_parts(partitions: Any, combine: Any) -> None:
    X, y = make_classification(1200, 5, random_state=0)
    frame = pd.DataFrame(X, columns=list("abcde")).assign(late=y)
    lazy = dd.from_pandas(frame, npartitions=4)

    model = PartitionEnsembleClassifier(LogisticRegression(), combine=combine, partitions=partitions, random_state=0)
    model.fit(lazy[list("abcde")], lazy["late"])

    assert len(model.estimators_) == 4
    assert model.part_rows_.sum() == 1200
    assert list(model.feature_names_in_) == list("abcde")
    here = model.predict_proba(frame[list("abcde")])
    assert np.allclose(model.predict_proba(lazy[list("abcde")]).compute(), here)
    assert model.score(frame[list("abcde")], y) > 0.8


def test_partitions_of_a_frame_as_they_are_have_the_members_of_their_rows() -> None:
    X, y = make_classification(900, 4, random_state=0)
    model = PartitionEnsembleClassifier(LogisticRegression(), partitions="source")

    model.fit(da.from_array(X, chunks=(300, 2)), da.from_array(y, chunks=450))

    alone = LogisticRegression().fit(X[300:600], y[300:600])
    assert np.allclose(model.estimators_[1].coef_, alone.coef_)
    labels = model.predict(da.from_array(X, chunks=(100, 2)))
    assert np.array_equal(labels.compute(), model.predict(X))


def test_an_empty_partition_has_no_member() -> None:
    X, y = make_regression(300, 3, random_state=0)
    frame = dd.from_pandas(pd.DataFrame(X, columns=list("abc")).assign(y=y, k=np.arange(300) // 100), npartitions=3)
    kept = frame[frame["k"] != 1]

    model = PartitionEnsembleRegressor(Ridge(), partitions="source", combine="weighted").fit(
        kept[list("abc")], kept["y"]
    )

    assert model.part_rows_.tolist() == [100, 100]


def test_collections_that_are_cut_in_other_numbers_are_refused() -> None:
    X = dd.from_pandas(pd.DataFrame({"a": range(40)}), npartitions=4)

    with pytest.raises(DataError, match="X has 4, y has 2"):
        PartitionEnsembleRegressor(Ridge()).fit(X, da.zeros(40, chunks=20))


@pytest.mark.parametrize("combine", ["soft", "weighted", "stacked"])
def test_a_model_folder_needs_no_trust_for_an_ensemble(combine: Any) -> None:
    X, y = make_classification(600, 5, random_state=0)
    model = PartitionEnsembleClassifier(RandomForestClassifier(3), n_parts=2, combine=combine, random_state=0).fit(X, y)

    read = trust.build(skops.io.dumps(model), (), "model.skops")

    assert np.array_equal(read.predict_proba(X), model.predict_proba(X))


def test_the_kind_reads_its_family_as_any_model_is_read() -> None:
    model = models.parse(
        {"kind": "partition_ensemble", "base": {"kind": "sgd", "params": {"alpha": 0.01}}, "n_parts": 3}
    )

    made = model.estimator("regression", {"estimator__penalty": "l1"}, seed=1)

    assert isinstance(made, PartitionedEstimator)
    assert (made.n_parts, made.estimator.alpha, made.estimator.penalty) == (3, 0.01, "l1")
    assert models.parse(model.dump()).dump() == model.dump()
    assert set(model.space("binary")) == {f"estimator__{name}" for name in model.base.space("binary")}


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({"base": "sgdd"}, r"model\.base: no such model: 'sgdd'; did you mean 'sgd'"),
        ({"base": "partition_ensemble"}, r"model\.base: .*another family"),
        ({"combine": "softt"}, r"model\.combine: "),
        ({"n_parts": 0}, r"model\.n_parts: "),
        ({"partitions": "source"}, r"model\.partitions: should be 'shuffled': .* on a dask DataFrame"),
    ],
)
def test_mistakes_of_the_kind_are_told_with_their_place(table: dict[str, Any], text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        models.parse({"kind": "partition_ensemble", **table})


def test_a_family_that_cannot_do_the_task_is_told_as_the_base() -> None:
    found = models.parse({"kind": "partition_ensemble", "base": "logistic"}).check("regression")

    assert [problem.where for problem in found] == ["model.base.kind"]


def test_real_rows_of_four_parts_are_nearly_as_good_as_of_one(shared_data: Path) -> None:
    # given real rows in the order of the file
    table = pd.read_csv(next((shared_data / "credit_default").glob("*.csv.gz")), nrows=12_000)
    y = table.pop("default.payment.next.month").to_numpy()
    X = table.drop(columns="ID").to_numpy(np.float32)
    train, test = slice(0, 9000), slice(9000, None)
    base = models.parse("hist_gradient_boosting").estimator("binary", {"max_iter": 40}, 0)

    with threadpool_limits(1):
        whole = clone(base).fit(X[train], y[train])
        parts = PartitionEnsembleClassifier(base, n_parts=4, random_state=0).fit(X[train], y[train])

    assert log_loss(y[test], parts.predict_proba(X[test])) < log_loss(y[test], whole.predict_proba(X[test])) + 0.01
