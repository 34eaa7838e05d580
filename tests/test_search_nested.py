"""Nested cross-validation: no outer test row reaches the inner search, for every search and form of input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_iris, make_classification
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import GridSearchCV as SklearnGridSearchCV
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, cross_val_score
from sklearn.svm import SVC

import daskflow.search
from daskflow.core.errors import DataError, SettingsError
from daskflow.search import GridSearchCV, NestedScores, RandomizedSearchCV, nested_cross_validate


@pytest.fixture(autouse=True)
def in_this_process() -> Iterator[None]:
    """Whatever client another test file opened, these searches do not use it."""
    with dask.config.set(scheduler="synchronous"):
        yield


SEEN: list[tuple[str, frozenset[int]]] = []
"""Rows that fits and predictions were given, by the number in their first column."""


class Watching(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Notes the rows it is given."""

    def __init__(self, strength: float = 1.0) -> None:
        self.strength = strength

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Watching:
        self.classes_ = np.unique(y)
        SEEN.append(("fit", _rows(X)))
        if sample_weight is not None:
            assert [int(w) for w in sample_weight] == [int(row) for row in np.asarray(X)[:, 0]]
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Watching:
        self.classes_ = np.array([0, 1])
        SEEN.append(("fit", _rows(X)))
        return self

    def predict(self, X: Any) -> Any:
        SEEN.append(("predict", _rows(X)))
        return (np.asarray(X)[:, 1] > 0).astype(int)


def _rows(X: Any) -> frozenset[int]:
    return frozenset(int(row) for row in np.asarray(X)[:, 0])


STRENGTHS = {"strength": [1.0, 2.0, 3.0]}
SEARCHES: dict[str, dict[str, Any]] = {
    "GridSearchCV": {},
    "RandomizedSearchCV": {"n_iter": 3, "random_state": 0},
    "TPESearchCV": {"n_iter": 3, "startup": 2, "lag": 1, "random_state": 0},
    "IncrementalSearchCV": {"n_initial_parameters": 3, "max_iter": 2, "decay_rate": None, "random_state": 0},
    "InverseDecaySearchCV": {"n_initial_parameters": 3, "max_iter": 2, "random_state": 0},
    "SuccessiveHalvingSearchCV": {"n_initial_parameters": 3, "n_initial_iter": 1, "max_iter": 3, "random_state": 0},
    "HyperbandSearchCV": {"max_iter": 3, "random_state": 0},
    "ASHASearchCV": {"n_initial_parameters": 3, "max_iter": 3, "random_state": 0},
    "TPEHyperbandSearchCV": {"max_iter": 3, "startup": 2, "lag": 1, "random_state": 0},
}


def numbered(n_rows: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Rows with their number in the first column."""
    rng = np.random.default_rng(0)
    X = np.column_stack([np.arange(n_rows), rng.normal(size=n_rows)])
    return X, (X[:, 1] + rng.normal(size=n_rows) > 0).astype(int)


def test_every_search_of_the_room_is_among_those_tested() -> None:
    assert SEARCHES.keys() == {name for name in daskflow.search.ESTIMATORS if name.endswith("SearchCV")}


@pytest.mark.parametrize("lazy", [False, True], ids=["in memory", "lazy"])
@pytest.mark.parametrize("name", sorted(SEARCHES))
@pytest.mark.filterwarnings("ignore:The total space of parameters")
def test_no_outer_test_row_reaches_the_search(name: str, lazy: bool) -> None:
    # given
    X, y = numbered()
    search = getattr(daskflow.search, name)(Watching(), STRENGTHS, **SEARCHES[name])
    is_incremental = "cv" not in search.get_params()
    outer = list(KFold(3, shuffle=True, random_state=1).split(X))
    inputs = (da.from_array(X, chunks=(30, 2)), da.from_array(y, chunks=30)) if lazy else (X, y)
    SEEN.clear()
    # when
    found = nested_cross_validate(
        search,
        *inputs,
        cv=outer,
        scoring="accuracy",
        fit_params={"classes": [0, 1]} if is_incremental else None,
    )
    # then each outer fold's search saw its training rows alone
    log, position = list(SEEN), 0
    for fold, (train, test) in enumerate(outer):
        inside: set[int] = set()
        while not (log[position][0] == "predict" and log[position][1] == frozenset(test)):
            inside |= log[position][1]
            position += 1
        position += 1
        assert inside <= set(train), f"fold {fold}"
        assert inside == set(train) or is_incremental  # those may stop before they saw every block
        assert inside
    assert position == len(log)
    assert found.n_train == (60, 60, 60)
    assert found.n_test == (30, 30, 30)
    assert len(found.params) == 3
    assert set(found.params[0]) == {"strength"}


def test_scores_are_those_of_scikit_learns_nested_cross_validation() -> None:
    X, y = load_iris(return_X_y=True)
    space = {"C": [0.01, 1.0, 100.0], "gamma": [0.01, 0.1]}
    inner, outer = KFold(3, shuffle=True, random_state=0), StratifiedKFold(4, shuffle=True, random_state=1)
    found = nested_cross_validate(GridSearchCV(SVC(), space, cv=inner), X, y, cv=outer)
    expected = cross_val_score(SklearnGridSearchCV(SVC(), space, cv=inner), X, y, cv=outer)
    assert found.scores["score"].tolist() == expected.tolist()
    assert found.mean() == pytest.approx(expected.mean())
    assert found.std() == pytest.approx(expected.std(ddof=1))


def test_every_form_of_input_gives_the_same_scores() -> None:
    X, y = make_classification(120, 4, random_state=0)
    frame, series = pd.DataFrame(X, columns=list("abcd"), index=np.arange(500, 620)), pd.Series(y, name="y")
    lazy = dd.from_pandas(frame.reset_index(drop=True).assign(y=y), npartitions=3)
    forms = {
        "numpy": (X, y),
        "lists": (X.tolist(), y.tolist()),
        "pandas": (frame, series),
        "dask arrays": (da.from_array(X, chunks=(50, 2)), da.from_array(y, chunks=50)),
        "a dask array and numpy": (da.from_array(X, chunks=(50, 4)), y),
        "dask frames": (lazy[list("abcd")], lazy["y"]),
        "of unknown lengths": (lazy[list("abcd")].to_dask_array(), lazy["y"].to_dask_array()),
    }
    search = RandomizedSearchCV(SVC(), {"C": scipy.stats.loguniform(1e-2, 1e2)}, n_iter=3, random_state=0)
    scores = {
        form: nested_cross_validate(search, *given, cv=3).scores["score"].tolist() for form, given in forms.items()
    }
    assert {form: each for form, each in scores.items() if each != scores["numpy"]} == {}


def test_the_luckiest_of_many_settings_is_found_out() -> None:
    # given noise, and settings that only differ in luck
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 2)), rng.integers(0, 2, 60)
    search = GridSearchCV(DummyClassifier(strategy="uniform"), {"random_state": list(range(60))}, cv=2)
    # when
    found = nested_cross_validate(search, X, y, cv=4)
    # then the search believes what the outer rows deny
    assert found.inner_scores.mean() > 0.62
    assert found.mean() < found.inner_scores.mean() - 0.05
    low, high = found.interval()
    assert low < 0.5 < high


def test_groups_stay_together_outside_and_inside() -> None:
    # given
    X, y = numbered()
    groups = np.arange(90) // 6
    SEEN.clear()
    # when
    found = nested_cross_validate(
        GridSearchCV(Watching(), STRENGTHS, cv=GroupKFold(2)), X, y, cv=GroupKFold(3), groups=groups
    )
    # then no fit has a part of a group
    for what, rows in SEEN:
        if what == "fit":
            assert all(sum(row // 6 == group for row in rows) in (0, 6) for group in range(15))
    assert sum(found.n_test) == 90
    # and an int draws folds by group
    again = nested_cross_validate(GridSearchCV(Watching(), STRENGTHS, cv=GroupKFold(2)), X, y, cv=3, groups=groups)
    assert all(n % 6 == 0 for n in again.n_test)


def test_a_search_that_cannot_heed_groups_says_so() -> None:
    X, y = numbered()
    search = daskflow.search.ASHASearchCV(Watching(), STRENGTHS, n_initial_parameters=3, max_iter=3, random_state=0)
    with pytest.warns(UserWarning, match="ASHASearchCV takes no groups: outer folds keep them together"):
        nested_cross_validate(search, X, y, cv=3, groups=np.arange(90) // 6, fit_params={"classes": [0, 1]})


def test_weights_follow_their_rows_and_other_parameters_pass_as_they_are() -> None:
    X, y = numbered()
    SEEN.clear()
    nested_cross_validate(GridSearchCV(Watching(), STRENGTHS), X, y, cv=3, fit_params={"sample_weight": X[:, 0] + 0.5})
    assert SEEN  # the estimator compares each weight with its row


def test_several_metrics_are_scored_and_the_table_has_a_row_per_fold() -> None:
    X, y = make_classification(120, 4, random_state=0)
    search = GridSearchCV(SGDClassifier(random_state=0), {"alpha": [1e-4, 1e-1]})
    found = nested_cross_validate(search, X, y, cv=4, scoring=["accuracy", "roc_auc"], return_searches=True)
    assert list(found.scores) == ["accuracy", "roc_auc"]
    assert found.frame().shape == (4, 6)
    assert found.mean("roc_auc") != found.mean()
    assert [search.best_params_ for search in found.searches] == list(found.params)
    low, high = found.interval("roc_auc")
    assert low < found.mean("roc_auc") < high
    wide = found.interval("roc_auc", level=0.99)
    assert wide[0] < low < high < wide[1]


def test_the_interval_is_nadeau_and_bengios() -> None:
    found = NestedScores({"score": np.array([0.7, 0.8, 0.9])}, "score", ({}, {}, {}), np.zeros(3), (60,) * 3, (30,) * 3)
    half = scipy.stats.t.ppf(0.975, 2) * 0.1 * np.sqrt(1 / 3 + 1 / 2)
    assert found.interval() == pytest.approx((0.8 - half, 0.8 + half))


def test_what_cannot_work_is_refused_in_words() -> None:
    X, y = numbered()
    search = GridSearchCV(Watching(), STRENGTHS)
    with pytest.raises(DataError, match="X has 90 rows and y has 80"):
        nested_cross_validate(search, X, y[:80])
    with pytest.raises(DataError, match="X has 90 rows and groups has 3"):
        nested_cross_validate(search, X, y, groups=[1, 2, 3])
    with pytest.raises(DataError, match=r"blocks of X have 45, 45 rows and those of y 30, 30, 30"):
        nested_cross_validate(search, da.from_array(X, chunks=(45, 2)), da.from_array(y, chunks=30))
    with pytest.raises(DataError, match="y is a dask collection and X is not"):
        nested_cross_validate(search, X, da.from_array(y, chunks=30))
    with pytest.raises(SettingsError, match="refit=False leaves no model"):
        nested_cross_validate(GridSearchCV(Watching(), STRENGTHS, refit=False), X, y)
