"""Every splitter of scikit-learn gives a search its own folds, whatever kind of collection the rows come in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from sklearn import model_selection as theirs
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from daskflow.core.errors import DataError
from daskflow.search import GridSearchCV

N = 120
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3))
y = (X[:, 0] + RNG.normal(size=N) > 0).astype(int)
GROUPS = RNG.permutation(np.arange(N) // 24)

SPLITTERS = {
    "StratifiedKFold": lambda: theirs.StratifiedKFold(4, shuffle=True, random_state=0),
    "GroupKFold": lambda: theirs.GroupKFold(4),
    "StratifiedGroupKFold": lambda: theirs.StratifiedGroupKFold(3),
    "TimeSeriesSplit": lambda: theirs.TimeSeriesSplit(3, gap=5, max_train_size=40),
    "PredefinedSplit": lambda: theirs.PredefinedSplit(np.arange(N) % 4 - 1),
    "RepeatedKFold": lambda: theirs.RepeatedKFold(n_splits=3, n_repeats=2, random_state=0),
    "RepeatedStratifiedKFold": lambda: theirs.RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=0),
    "LeaveOneGroupOut": lambda: theirs.LeaveOneGroupOut(),
    "LeavePGroupsOut": lambda: theirs.LeavePGroupsOut(2),
    "GroupShuffleSplit": lambda: theirs.GroupShuffleSplit(3, random_state=0),
    "StratifiedShuffleSplit": lambda: theirs.StratifiedShuffleSplit(3, random_state=0),
    "a list of rows": lambda: list(theirs.KFold(3).split(X)),
    "a generator of rows": lambda: theirs.KFold(3).split(X),
}

INDEX = np.arange(N)[::-1] * 3
INPUTS = {
    "numpy": lambda: (X, y, GROUPS),
    "pandas": lambda: (pd.DataFrame(X, columns=list("abc"), index=INDEX), pd.Series(y, index=INDEX), pd.Series(GROUPS)),
    "dask arrays": lambda: (
        da.from_array(X, chunks=(37, 3)),
        da.from_array(y, chunks=37),
        da.from_array(GROUPS, chunks=37),
    ),
    "dask frames": lambda: tuple(
        dd.from_pandas(each, npartitions=3)
        for each in (pd.DataFrame(X, columns=list("abc")), pd.Series(y), pd.Series(GROUPS))
    ),
}


@pytest.fixture(autouse=True)
def in_this_process() -> Iterator[None]:
    """Whatever client another test file opened, these searches do not use it."""
    with dask.config.set(scheduler="synchronous"), threadpool_limits(1):
        yield


@pytest.mark.filterwarnings("ignore:The groups parameter is ignored")
@pytest.mark.parametrize("splitter", SPLITTERS)
def test_the_folds_of_a_splitter_are_its_own_for_every_kind_of_input(splitter: str) -> None:
    # given scikit-learn's scores over arrays
    grid = {"C": [0.01, 1.0]}
    reference = theirs.GridSearchCV(LogisticRegression(), grid, cv=SPLITTERS[splitter](), refit=False)
    reference.fit(X, y, groups=GROUPS)
    expected = {name: values for name, values in reference.cv_results_.items() if name.startswith("split")}
    for kind, rows in INPUTS.items():
        # when the same rows come in as another collection
        ours = GridSearchCV(LogisticRegression(), grid, cv=SPLITTERS[splitter](), refit=False)
        features, target, groups = rows()
        ours.fit(features, target, groups=groups)
        # then every fold of every candidate has the same score
        assert ours.n_splits_ == reference.n_splits_, kind
        for name, values in expected.items():
            np.testing.assert_allclose(ours.cv_results_[name], values, rtol=1e-12, err_msg=f"{kind}: {name}")


def test_groups_that_a_splitter_needs_and_does_not_get_are_an_error_with_their_name() -> None:
    search = GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=theirs.LeaveOneGroupOut())

    with pytest.raises(ValueError, match="'groups' parameter should not be None"):
        search.fit(da.from_array(X, chunks=(37, 3)), da.from_array(y, chunks=37))


@pytest.mark.parametrize(
    ("cv", "said"),
    [
        (theirs.PredefinedSplit(np.arange(N - 20) % 2), "a PredefinedSplit of 100 rows, and there are 120"),
        ([(np.arange(50), np.arange(100, 130))], "cv names row 129 in fold 0, and there are 120 rows"),
    ],
)
def test_folds_of_another_table_are_refused_and_never_cut_short(cv: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=cv).fit(X, y)
