"""The incremental searches in this process: dask-ml's interface and schedules, and what dask-ml gets wrong."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import scipy.stats
from dask_ml._utils import ConstantFunction
from dask_ml.model_selection._incremental import BaseIncrementalSearchCV
from dask_ml.model_selection.utils_test import LinearFunction, _MaybeLinearFunction
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import MiniBatchKMeans
from sklearn.datasets import make_classification
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import ParameterGrid
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from daskflow.core.errors import DataError, SearchError, SettingsError
from daskflow.search import (
    HyperbandSearchCV,
    IncrementalSearchCV,
    InverseDecaySearchCV,
    SuccessiveHalvingSearchCV,
    array_work,
)

ALPHAS = {"alpha": np.logspace(-5, 0, 100), "penalty": ["l2", "l1"], "average": [True, False]}
HISTORY = {"model_id", "params", "partial_fit_calls", "partial_fit_time", "score", "score_time", "elapsed_wall_time"}


@pytest.fixture(autouse=True)
def in_this_process() -> Iterator[None]:
    """Whatever client another test file opened, these searches do not use it."""
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture
def arrays() -> tuple[np.ndarray, np.ndarray]:
    X, y = make_classification(400, 6, random_state=0, flip_y=0.1)
    return X, y


@pytest.fixture
def chunked(arrays: Any) -> tuple[da.Array, da.Array]:
    return da.from_array(arrays[0], chunks=(50, 6)), da.from_array(arrays[1], chunks=50)


def sgd() -> SGDClassifier:
    return SGDClassifier(random_state=0)


def incremental(estimator: Any, parameters: Any, **settings: Any) -> IncrementalSearchCV:
    return IncrementalSearchCV(estimator, parameters, decay_rate=None, random_state=0, **settings)


def tiny() -> tuple[da.Array, da.Array]:
    return da.from_array(np.arange(40.0).reshape(20, 2), chunks=(10, 2)), da.from_array(np.arange(20) % 2, chunks=10)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("IncrementalSearchCV", {"max_iter": 3, "decay_rate": None}),
        ("InverseDecaySearchCV", {"max_iter": 3}),
        ("SuccessiveHalvingSearchCV", {"n_initial_iter": 1, "max_iter": 3}),
        ("HyperbandSearchCV", {"max_iter": 3}),
    ],
)
def test_each_search_is_a_dask_ml_search_with_its_arguments_and_attributes(
    name: str, settings: dict[str, Any], chunked: Any
) -> None:
    import dask_ml.model_selection

    import daskflow.search

    ours, theirs = getattr(daskflow.search, name), getattr(dask_ml.model_selection, name)
    search = ours(sgd(), ALPHAS, random_state=0, **settings)

    assert isinstance(search, theirs)
    assert search.get_params().keys() == theirs(sgd(), ALPHAS).get_params().keys()
    assert clone(search).get_params(deep=False).keys() == search.get_params(deep=False).keys()
    assert search.fit(*chunked, classes=[0, 1]) is search

    assert isinstance(search.best_estimator_, SGDClassifier)
    assert 0.5 < search.best_score_ <= 1
    assert search.best_params_ == search.cv_results_["params"][search.best_index_]
    assert search.best_score_ == search.cv_results_["test_score"][search.best_index_]
    assert (search.n_splits_, search.multimetric_) == (1, False)
    assert all(isinstance(values, np.ndarray) for values in search.cv_results_.values())
    expected = HISTORY | ({"bracket"} if name == "HyperbandSearchCV" else set())
    assert all(entry.keys() == expected for entry in search.history_)
    assert all(np.diff([entry["elapsed_wall_time"] for entry in search.history_]) >= 0)
    for history in search.model_history_.values():
        assert all(entry in search.history_ for entry in history)
        assert all(np.diff([entry["partial_fit_calls"] for entry in history]) >= 1)


@pytest.mark.parametrize(("max_iter", "models", "calls"), [(9, 17, 69), (15, 17, 101), (20, 17, 144), (27, 49, 357)])
def test_hyperband_makes_as_many_models_and_calls_as_the_paper(max_iter: int, models: int, calls: int) -> None:
    search = HyperbandSearchCV(
        ConstantFunction(), {"value": np.linspace(0, 1, 1000)}, max_iter=max_iter, random_state=42
    )

    search.fit(*tiny())

    assert len(search.cv_results_["model_id"]) == models
    assert sum(history[-1]["partial_fit_calls"] for history in search.model_history_.values()) == calls
    assert search.best_score_ == max(search.cv_results_["test_score"])


@pytest.mark.parametrize(("max_iter", "aggressiveness"), [(27, 3), (30, 4)])
def test_metadata_before_the_fit_is_metadata_after_it(max_iter: int, aggressiveness: int) -> None:
    search = HyperbandSearchCV(
        ConstantFunction(),
        {"value": np.random.RandomState(0).rand(max_iter)},
        max_iter=max_iter,
        aggressiveness=aggressiveness,
        random_state=0,
    )

    search.fit(*tiny())

    assert search.metadata == search.metadata_
    assert search.cv_results_["model_id"].dtype.kind == "U"
    assert all(search.estimator is halving.estimator for halving in search._SuccessiveHalvings_.values())


def test_successive_halving_with_hyperbands_parameters_does_what_its_bracket_does() -> None:
    params = {"value": scipy.stats.uniform(0, 1)}
    hyperband = HyperbandSearchCV(ConstantFunction(), params, max_iter=9, random_state=42)

    for bracket in hyperband.metadata["brackets"]:
        halving = SuccessiveHalvingSearchCV(ConstantFunction(), params, **bracket["SuccessiveHalvingSearchCV params"])
        halving.fit(*tiny())
        assert len(halving.model_history_) == bracket["n_models"]
        assert halving.metadata == halving.metadata_
        assert halving.metadata_["partial_fit_calls"] == bracket["partial_fit_calls"]


def test_the_same_random_state_gives_the_same_search_twice(chunked: Any) -> None:
    first, second = (
        HyperbandSearchCV(sgd(), ALPHAS, max_iter=9, random_state=3).fit(*chunked, classes=[0, 1]) for _ in range(2)
    )

    assert first.best_params_ == second.best_params_
    np.testing.assert_array_equal(first.cv_results_["test_score"], second.cv_results_["test_score"])
    np.testing.assert_array_equal(first.best_estimator_.coef_, second.best_estimator_.coef_)


def test_a_first_bracket_draws_what_a_passive_search_with_the_same_seed_draws() -> None:
    params = {"value": scipy.stats.uniform(0, 1)}
    hyperband = HyperbandSearchCV(ConstantFunction(), params, random_state=0, max_iter=9).fit(*tiny())
    passive = incremental(ConstantFunction(), params, max_iter=2, n_initial_parameters=17).fit(*tiny())

    same = set(passive.cv_results_["param_value"]) & set(hyperband.cv_results_["param_value"])

    assert len(same) == hyperband.metadata["brackets"][0]["n_models"]


def test_patience_stops_what_does_not_improve() -> None:
    constant = incremental(ConstantFunction(), {"value": np.linspace(0, 1, 10)}, patience=5, tol=0, max_iter=10)
    improving = incremental(LinearFunction(slope=1), {"foo": np.linspace(0, 1)}, patience=3, tol=1, max_iter=10)
    too_slow = incremental(LinearFunction(slope=1), {"foo": np.linspace(0, 1)}, patience=3, tol=4, max_iter=10)

    for search in (constant, improving, too_slow):
        search.fit(*tiny())

    assert max(entry["partial_fit_calls"] for entry in constant.history_) <= 5
    assert constant.best_score_ == constant.best_estimator_.value == 1.0
    assert set(improving.cv_results_["partial_fit_calls"]) == {10}
    assert set(too_slow.cv_results_["partial_fit_calls"]) == {3}


def test_hyperband_with_patience_calls_less_and_warns_of_little_patience() -> None:
    params = {"value": scipy.stats.uniform(0, 1)}
    search = HyperbandSearchCV(ConstantFunction(), params, max_iter=27, patience=True, random_state=0).fit(*tiny())
    impatient = HyperbandSearchCV(ConstantFunction(), params, max_iter=6, aggressiveness=2, patience=2)
    always = HyperbandSearchCV(ConstantFunction(), params, max_iter=6, aggressiveness=2, patience=1, tol=None)

    assert search.metadata_["partial_fit_calls"] <= search.metadata["partial_fit_calls"]
    assert max(entry["partial_fit_calls"] for entry in search.history_) <= 27 // 3 + 1
    with pytest.warns(UserWarning, match="The goal of `patience`"):
        impatient.fit(*tiny())
    with pytest.raises(ValueError, match="always detect a plateau"):
        always.fit(*tiny())


def test_a_plateaued_model_stays_in_the_race() -> None:
    def drop_the_worst(info: dict[int, list[dict[str, Any]]]) -> dict[int, int]:
        calls = max(history[-1]["partial_fit_calls"] for history in info.values())
        if calls == 5:
            return dict.fromkeys(info, 0)
        scores = {n: h[-1]["score"] for n, h in info.items() if h[-1]["partial_fit_calls"] == calls}
        return {number: 1 for number, score in scores.items() if score > min(scores.values())}

    search = incremental(
        _MaybeLinearFunction(), {"final_score": [1, 2, 3, 4, 5]}, patience=2, n_initial_parameters="grid", max_iter=20
    )
    search._adapt = drop_the_worst

    search.fit(*tiny())

    assert search.best_params_ == {"final_score": 5}


def test_inverse_decay_keeps_an_inverse_share_of_the_models(chunked: Any) -> None:
    search = InverseDecaySearchCV(sgd(), ALPHAS, n_initial_parameters=10, random_state=0)

    search.fit(*chunked, classes=[0, 1])

    assert sorted(search.cv_results_["partial_fit_calls"]) == [1] * 8 + [2] * 2


def test_a_grid_is_tried_completely_and_max_iter_is_a_limit(chunked: Any) -> None:
    params = {"alpha": [1e-4, 1e-2], "penalty": ["l1", "l2"]}
    search = incremental(sgd(), params, n_initial_parameters="grid", max_iter=1)

    search.fit(*chunked, classes=[0, 1])

    assert list(search.cv_results_["params"]) == list(ParameterGrid(params))
    assert set(search.cv_results_["partial_fit_calls"]) == {1}
    assert search.cv_results_["rank_test_score"][search.best_index_] == 1


def inputs(arrays: Any) -> dict[str, tuple[Any, Any]]:
    """The same 400 rows in every form that is accepted."""
    X, y = arrays
    frame = pd.DataFrame(X).add_prefix("c").assign(y=y)
    lazy = dd.from_pandas(frame, npartitions=5)
    columns = [f"c{n}" for n in range(6)]
    chunked_X, chunked_y = da.from_array(X, chunks=(80, 3)), da.from_array(y, chunks=100)
    return {
        "numpy": (X, y),
        "lists": (X.tolist(), y.tolist()),
        "pandas": (frame[columns], frame["y"]),
        "sparse": (sp.csr_matrix(X), y),
        "array with other chunks": (chunked_X, chunked_y),
        "array and numpy": (chunked_X, y),
        "numpy and array": (X, chunked_y),
        "frame and series": (lazy[columns], lazy["y"]),
        "frame and column": (lazy[columns], lazy[["y"]]),
        "arrays of unknown length": (lazy[columns].values, lazy["y"].values),
        "frame and array": (lazy[columns], lazy["y"].values),
        "filtered frame": (lazy[lazy.c0 > -9][columns], lazy[lazy.c0 > -9]["y"]),
    }


FORMS = list(inputs((np.zeros((400, 6)), np.zeros(400))))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_input_is_searched(form: str, arrays: Any) -> None:
    X, y = inputs(arrays)[form]
    search = incremental(sgd(), {"alpha": [1e-4, 1e-2]}, n_initial_parameters="grid", max_iter=4)

    search.fit(X, y, classes=da.unique(da.from_array(arrays[1])))

    assert search.best_score_ > 0.7


def test_named_columns_reach_the_model_and_dask_input_is_predicted_lazily(arrays: Any) -> None:
    X, y = inputs(arrays)["frame and series"]
    search = HyperbandSearchCV(SGDClassifier(random_state=0, loss="log_loss"), {"alpha": [1e-4, 1e-2]}, max_iter=3)

    search.fit(X, y, classes=[0, 1])

    assert list(search.best_estimator_.feature_names_in_) == [f"c{n}" for n in range(6)]
    memory = X.compute()
    for method in ("predict", "predict_proba", "decision_function"):
        lazy = getattr(search, method)(X)
        assert dask.is_dask_collection(lazy)
        np.testing.assert_allclose(lazy.compute(), getattr(search.best_estimator_, method)(memory))
    assert search.score(X, y) == search.best_estimator_.score(memory, y.compute())


def test_clusterings_transform_and_need_no_target(chunked: Any) -> None:
    search = incremental(
        MiniBatchKMeans(random_state=0, n_init=1), {"n_clusters": [3, 4]}, n_initial_parameters="grid", max_iter=2
    )

    search.fit(chunked[0])

    transformed = search.transform(chunked[0])
    assert dask.is_dask_collection(transformed)
    assert transformed.compute().shape == (400, search.best_estimator_.n_clusters)


def test_x_and_y_of_one_raw_parquet_folder_stay_paired(tmp_path: Path) -> None:
    """Dask fuses the files of y, one column, and not those of X, so that dask-ml finds 4 and 2 blocks."""
    for part in range(4):
        label = np.random.RandomState(part).permutation(np.arange(100 + part) % 2)
        columns = {f"c{n}": label + 0.01 * n for n in range(12)}
        pd.DataFrame({**columns, "label": label}).to_parquet(tmp_path / f"part{part}.parquet")
    raw = dd.read_parquet(tmp_path)
    X, y = raw[[f"c{n}" for n in range(12)]], raw["label"]
    search = incremental(sgd(), {"alpha": [1e-4]}, n_initial_parameters="grid", max_iter=8)

    search.fit(X, y, classes=[0, 1])

    assert len(y.to_delayed()) != len(X.to_delayed())
    assert search.best_score_ == 1.0


def test_blocks_that_do_not_pair_are_refused_with_both_counts(arrays: Any) -> None:
    X, y = arrays
    frame = dd.from_pandas(pd.DataFrame(X), npartitions=4)
    search = incremental(sgd(), ALPHAS, max_iter=1)

    with pytest.raises(DataError, match="X has 4 blocks and y has 2"):
        search.fit(frame, dd.from_pandas(pd.Series(y), npartitions=2))
    with pytest.raises(DataError, match="X has 400 rows and y has 399"):
        search.fit(da.from_array(X, chunks=(100, 6)), y[:-1])
    with pytest.raises(DataError, match=r"Block \d: X has \d+ rows and y has \d+"):
        search.fit(frame, dd.from_pandas(pd.Series(y[:100]), npartitions=4))
    with pytest.raises(DataError, match="cannot be paired"):
        search.fit(frame, y)


def test_candidates_that_fail_rank_last_and_the_others_go_on(chunked: Any) -> None:
    params = {"alpha": np.logspace(-5, 0, 100), "penalty": ["l2", "no such penalty"]}
    search = HyperbandSearchCV(sgd(), params, max_iter=9, random_state=0)

    with pytest.warns(FitFailedWarning, match=r"of 17 candidates failed and rank last.*no such penalty"):
        search.fit(*chunked, classes=[0, 1])

    results = pd.DataFrame(search.cv_results_)
    bad = results["param_penalty"] == "no such penalty"
    assert 0 < bad.sum() < 17
    assert results[bad]["test_score"].isna().all()
    assert results[bad]["rank_test_score"].min() > results[~bad]["rank_test_score"].max()
    assert set(results[bad]["partial_fit_calls"]) == {0}
    assert search.best_params_["penalty"] == "l2"
    assert results[~bad]["partial_fit_calls"].max() == 9


class Moody(BaseEstimator):
    """Scores its value, but nan or an error from a given call on."""

    def __init__(self, value: float = 0.0, nan_from: float = math.inf, raise_from: float = math.inf) -> None:
        self.value, self.nan_from, self.raise_from = value, nan_from, raise_from

    def partial_fit(self, X: Any, y: Any = None) -> Moody:
        self.calls_ = getattr(self, "calls_", 0) + 1
        if self.calls_ >= self.raise_from:
            raise RuntimeError("enough")
        return self

    def fit(self, X: Any, y: Any = None) -> Moody:
        return self

    def score(self, X: Any, y: Any = None) -> float:
        return math.nan if self.calls_ >= self.nan_from else self.value


def test_a_nan_score_ranks_last() -> None:
    search = incremental(Moody(), [{"value": [0.5]}, {"nan_from": [1]}], n_initial_parameters="grid", max_iter=2)

    with pytest.warns(FitFailedWarning, match="score is not a finite number"):
        search.fit(*tiny())

    assert search.cv_results_["rank_test_score"].tolist() == [1, 2]
    assert search.best_params_ == {"value": 0.5}


def test_when_the_last_survivor_fails_the_best_of_the_others_is_trained_again() -> None:
    params = [{"value": [0.9], "raise_from": [2]}, {"value": [0.1, 0.2]}]
    search = SuccessiveHalvingSearchCV(
        Moody(), params, n_initial_parameters=3, n_initial_iter=1, random_state=0, max_iter=3
    )
    search._get_params = lambda: ParameterGrid(params)

    with pytest.warns(FitFailedWarning, match="enough"):
        search.fit(*tiny())

    assert search.best_params_ == {"value": 0.2}
    assert search.best_estimator_.calls_ == 1


def test_when_all_candidates_fail_the_reasons_are_told(chunked: Any) -> None:
    with pytest.raises(SearchError, match=r"All 10 candidates failed.*classes must be passed"):
        incremental(sgd(), ALPHAS, max_iter=2).fit(*chunked)


class Interrupting(ConstantFunction):
    """Interrupts the search at its third call."""

    def partial_fit(self, X: Any, y: Any = None) -> Any:
        self.calls_ = getattr(self, "calls_", 0) + 1
        if self.calls_ == 3 and self.value == 2:
            raise KeyboardInterrupt
        return super().partial_fit(X, y)


def test_an_interrupt_leaves_the_best_so_far() -> None:
    search = incremental(Interrupting(), {"value": [1, 3, 2]}, n_initial_parameters="grid", max_iter=9)

    with pytest.raises(KeyboardInterrupt):
        search.fit(*tiny())

    assert search.best_params_ == {"value": 3}
    assert search.best_score_ == 3
    assert search.best_estimator_.calls_ == 3
    assert search.cv_results_["partial_fit_calls"].tolist() == [3, 3, 2]


def test_parameters_that_are_sequences_or_of_mixed_types_keep_their_values(chunked: Any) -> None:
    params = {"hidden_layer_sizes": [(4,), (4, 2)], "solver": ["sgd"], "learning_rate_init": [0.1]}
    search = incremental(MLPClassifier(random_state=0), params, n_initial_parameters="grid", max_iter=1)

    search.fit(*chunked, classes=[0, 1])

    assert list(search.cv_results_["param_hidden_layer_sizes"]) == [(4,), (4, 2)]
    assert search.cv_results_["param_learning_rate_init"].dtype == float


def test_large_blocks_are_read_few_at_a_time_with_the_same_result(chunked: Any, monkeypatch: Any) -> None:
    def search() -> HyperbandSearchCV:
        return HyperbandSearchCV(sgd(), ALPHAS, max_iter=9, random_state=1).fit(*chunked, classes=[0, 1])

    whole = search()
    monkeypatch.setattr(array_work, "UNIT_BYTES", 1)
    pieces = search()

    np.testing.assert_array_equal(whole.cv_results_["test_score"], pieces.cv_results_["test_score"])
    np.testing.assert_array_equal(whole.best_estimator_.coef_, pieces.best_estimator_.coef_)


def test_a_failure_in_an_early_piece_is_the_candidates_failure(monkeypatch: Any) -> None:
    monkeypatch.setattr(array_work, "UNIT_BYTES", 1)
    search = incremental(
        Moody(), [{"value": [0.5]}, {"raise_from": [3]}], n_initial_parameters="grid", fits_per_score=4, max_iter=5
    )

    with pytest.warns(FitFailedWarning, match="RuntimeError: enough"):
        search.fit(*tiny())

    assert search.cv_results_["partial_fit_calls"].tolist() == [5, 1]


@pytest.mark.parametrize(
    ("problem", "says", "error"),
    [
        (lambda: incremental(sgd(), ALPHAS, max_iter=0), "max_iter < 1 is not supported", ValueError),
        (lambda: incremental(sgd(), ALPHAS, verbose=1.2), "0 <= verbose <= 1", ValueError),
        (lambda: incremental(sgd(), ALPHAS, verbose=-1.0), "0 <= verbose <= 1", ValueError),
        (lambda: incremental(sgd(), ALPHAS, patience=1), "patience >= 2", ValueError),
        (lambda: incremental(sgd(), ALPHAS, patience=2.0), "patience must be an integer", ValueError),
        (
            lambda: incremental(sgd(), ALPHAS, scoring=["accuracy", "f1"]),
            "ranks candidates by one number",
            SettingsError,
        ),
        (lambda: incremental(sgd(), ALPHAS, test_size=10), "does not support absolute sizes", ValueError),
        (lambda: SuccessiveHalvingSearchCV(sgd(), ALPHAS), "needs n_initial_iter", SettingsError),
        (
            lambda: HyperbandSearchCV(make_pipeline(StandardScaler(), sgd()), {"sgdclassifier__alpha": [1]}),
            "Pipeline has no partial_fit.*over the last step alone",
            SettingsError,
        ),
    ],
)
def test_settings_that_cannot_work_are_refused_in_words(problem: Any, says: str, error: type, chunked: Any) -> None:
    with pytest.raises(error, match=says):
        problem().fit(*chunked, classes=[0, 1])


def test_sample_weight_is_refused_instead_of_going_to_the_wrong_rows(chunked: Any) -> None:
    with pytest.raises(SettingsError, match="sample_weight cannot follow the blocks"):
        incremental(sgd(), ALPHAS).fit(*chunked, classes=[0, 1], sample_weight=np.ones(400))


def test_a_test_part_without_rows_is_refused() -> None:
    X = dd.from_pandas(pd.DataFrame({"a": [1.0, 2.0]}), npartitions=2)

    with pytest.raises(DataError, match="The test part is empty"):
        incremental(ConstantFunction(), {"value": [1]}, n_initial_parameters="grid").fit(X)


def test_dask_mls_own_warnings_stay() -> None:
    params = {"value": [0.1, 0.2]}

    with pytest.warns(FutureWarning, match="deprecated since Dask-ML"):
        IncrementalSearchCV(ConstantFunction(), params, n_initial_parameters="grid", max_iter=1).fit(*tiny())
    with pytest.warns(UserWarning, match="deprecated since Dask-ML"):
        incremental(ConstantFunction(), params, n_initial_parameters="grid", max_iter=2, scores_per_fit=2).fit(*tiny())


def test_progress_goes_to_dask_mls_logger_and_on_demand_to_stdout(caplog: Any, capsys: Any) -> None:
    with caplog.at_level(logging.INFO, logger="dask_ml.model_selection"):
        HyperbandSearchCV(ConstantFunction(), {"value": [0.1, 0.2] * 5}, max_iter=9, random_state=0).fit(*tiny())
    messages = [record.getMessage() for record in caplog.records]

    assert all("[CV, bracket=" in message for message in messages)
    assert sum("creating" in message for message in messages) == 3
    assert sum("examples in each chunk" in message for message in messages) == 3
    assert any("validation score of 0.2000 received after 9 partial_fit calls" in message for message in messages)
    assert capsys.readouterr().out == ""
    incremental(ConstantFunction(), {"value": [0.1]}, n_initial_parameters="grid", max_iter=2, verbose=True).fit(
        *tiny()
    )
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("[CV]") for line in lines)


def test_dask_mls_array_split_is_ours_row_for_row(arrays: Any) -> None:
    from dask_ml.model_selection import train_test_split

    from daskflow.search.array_blocks import split_blocks
    from daskflow.search.places import place_for

    X, y = da.from_array(arrays[0], chunks=(70, 6)), da.from_array(arrays[1], chunks=70)
    X_train, X_test, y_train, y_test = dask.compute(
        *train_test_split(X, y, test_size=0.15, random_state=5, shuffle=True)
    )

    blocks = split_blocks(X, y, place_for(), test_size=0.15, random_state=5)

    np.testing.assert_array_equal(np.concatenate([block for block, _ in blocks.train]), X_train)
    np.testing.assert_array_equal(np.concatenate([block for _, block in blocks.train]), y_train)
    np.testing.assert_array_equal(blocks.test[0], X_test)
    np.testing.assert_array_equal(blocks.test[1], y_test)


def test_real_rows_are_searched_from_a_lazy_frame(shared_data: Path) -> None:
    frame = dd.read_csv(
        str(shared_data / "credit_default" / "*.csv.gz"), blocksize=None, assume_missing=True
    ).repartition(npartitions=6)
    numbers = ["LIMIT_BAL", "AGE", "PAY_0", "PAY_2", "BILL_AMT1", "PAY_AMT1"]
    X = (frame[numbers] - frame[numbers].mean()) / frame[numbers].std()
    search = HyperbandSearchCV(
        SGDClassifier(random_state=0, loss="log_loss"), ALPHAS, max_iter=3, scoring="roc_auc", random_state=0
    )

    search.fit(X, frame["default.payment.next.month"], classes=[0, 1])

    assert 0.65 < search.best_score_ < 0.8
    assert list(search.best_estimator_.feature_names_in_) == numbers


def test_every_search_stands_on_dask_mls_base_class() -> None:
    for search in (HyperbandSearchCV, IncrementalSearchCV, InverseDecaySearchCV, SuccessiveHalvingSearchCV):
        assert issubclass(search, BaseIncrementalSearchCV)
