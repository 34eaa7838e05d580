"""The search estimators do no work that decides nothing, and judge all candidates alike, where dask-ml's do not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
from dask_ml._utils import ConstantFunction
from sklearn.model_selection import PredefinedSplit
from sklearn.svm import SVC

from daskflow.search import GridSearchCV, HyperbandSearchCV


@pytest.fixture(autouse=True)
def in_this_process() -> Iterator[None]:
    """So that what an estimator counts is seen here."""
    with dask.config.set(scheduler="synchronous"):
        yield


class Counting(ConstantFunction):
    """Scores its parameter; counts the blocks it saw, and keeps the rows it was judged by."""

    calls = 0
    judged: set[tuple[float, ...]]

    def partial_fit(self, X: Any, y: Any, **kwargs: Any) -> Counting:
        Counting.calls += 1
        return self

    def score(self, X: Any, y: Any, **kwargs: Any) -> float:
        Counting.judged.add(tuple(X[:, 0]))
        return float(self.value)


def counted() -> HyperbandSearchCV:
    """A search with three brackets."""
    Counting.calls, Counting.judged = 0, set()
    X = da.from_array(np.arange(80.0).reshape(40, 2), chunks=(10, 2))
    y = da.from_array(np.arange(40) % 2, chunks=10)
    return HyperbandSearchCV(Counting(), {"value": np.linspace(0, 1, 100)}, max_iter=9, random_state=0).fit(X, y)


def test_no_block_is_seen_before_it_is_decided_that_a_candidate_goes_on() -> None:
    search = counted()
    assert Counting.calls == search.metadata["partial_fit_calls"] == 69


def test_all_brackets_are_judged_by_the_same_rows() -> None:
    search = counted()
    assert len(search.metadata["brackets"]) == 3
    assert len(Counting.judged) == 1


def test_folds_of_unequal_size_count_equally() -> None:
    # given a fold of 40 rows and one of 10, in which half of the labels are wrong
    X = np.arange(50.0)[:, None] % 10
    y = (X[:, 0] >= 5).astype(int)
    y[40:] = np.arange(10) % 2
    # when
    found = GridSearchCV(SVC(), {"C": [1.0]}, cv=PredefinedSplit(np.repeat([0, 1], [40, 10]))).fit(X, y).cv_results_
    # then
    first, second = found["split0_test_score"][0], found["split1_test_score"][0]
    assert first != second
    assert found["mean_test_score"][0] == pytest.approx((first + second) / 2)
    assert found["mean_test_score"][0] != pytest.approx((40 * first + 10 * second) / 50)
