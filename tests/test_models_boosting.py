"""Boosting that goes on ends as boosting at once, candidates share binned rows, and what cannot go on begins anew."""

from __future__ import annotations

import itertools
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from daskflow import models
from daskflow.core.errors import SettingsError
from daskflow.models.boosting import boosting_of, catboost_rounds, lightgbm_rounds, xgboost_rounds
from daskflow.models.boosting.shared import COPIES, SHELF, Shelf, identity

TASKS = ("binary", "multiclass", "regression")
KINDS = ("hist_gradient_boosting", "xgboost", "lightgbm", "catboost")
ROUNDS = {"hist_gradient_boosting": "max_iter", "catboost": "iterations"}
SAMPLED = {
    "hist_gradient_boosting": {"max_features": 0.5},
    "xgboost": {"colsample_bytree": 0.5, "subsample": 0.7},
    "lightgbm": {"colsample_bytree": 0.5},
    "catboost": {"rsm": 0.5},
}
"""What draws columns (of xgboost also rows) at random: the default spaces do."""


@pytest.fixture(autouse=True)
def one_thread_and_an_empty_shelf() -> Iterator[None]:
    """Fit as the engine does; leave nothing to other tests."""
    SHELF.clear()
    with threadpool_limits(1):
        yield
    SHELF.clear()


def rows(task: str, n_rows: int = 500, seed: int = 0) -> tuple[Any, Any, Any]:
    """Rows, a target and weights."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 7)).astype(np.float32)
    score = X @ rng.normal(size=7) + rng.normal(size=n_rows)
    y = {"binary": (score > 0).astype(int), "multiclass": np.digitize(score, [-2, 0, 2]), "regression": score}[task]
    return X, y, rng.uniform(0.1, 3.0, n_rows)


def mapped(folder: Path, *arrays: Any) -> list[Any]:
    """The arrays as the engine gives them: files that are mapped into memory."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for number, array in enumerate(arrays):
        np.save(folder / f"{number}.npy", array)
        found.append(np.asarray(np.load(folder / f"{number}.npy", mmap_mode="r")))
    return found


def said(estimator: Any, X: Any) -> Any:
    """All that a model says of rows."""
    return estimator.predict_proba(X) if hasattr(estimator, "predict_proba") else estimator.predict(X)


def brought(kind: str, task: str, stops: tuple[int, ...], X: Any, y: Any, weight: Any = None, **options: Any) -> Any:
    """An estimator that was brought to these rounds one after the other, pickled in between."""
    model = models.parse(kind)
    estimator = model.estimator(task, options, seed=3)
    for stop in stops:
        estimator = pickle.loads(pickle.dumps(estimator))
        model.continue_fit(estimator, X, y, stop, weight)
    return estimator


# going on


@pytest.mark.parametrize(
    ("kind", "task", "is_weighted", "is_sampled"),
    [
        *itertools.product(KINDS[:3], TASKS, [False, True], [False, True]),
        ("catboost", "binary", True, True),
        ("catboost", "regression", False, False),
    ],
)
def test_rounds_in_steps_are_bit_by_bit_the_rounds_at_once(
    kind: str, task: str, is_weighted: bool, is_sampled: bool, tmp_path: Path
) -> None:
    X, y, weight = mapped(tmp_path, *rows(task))
    given = weight if is_weighted else None
    options = SAMPLED[kind] if is_sampled else {}

    at_once = brought(kind, task, (12,), X, y, given, **options)
    in_steps = brought(kind, task, (1, 4, 12), X, y, given, **options)

    assert np.array_equal(said(at_once, X), said(in_steps, X))
    fewer = brought(kind, task, (4,), X, y, given, **options)
    assert not np.array_equal(said(at_once, X), said(fewer, X)), "rounds make a difference here"
    assert at_once.get_params()[ROUNDS.get(kind, "n_estimators")] == 12


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_boosted_model_is_what_the_estimators_own_fit_gives(kind: str, task: str, tmp_path: Path) -> None:
    X, y, weight = mapped(tmp_path, *rows(task))

    ours = brought(kind, task, (10,), X, y, weight)

    own = models.parse(kind).estimator(task, {ROUNDS.get(kind, "n_estimators"): 10}, seed=3)
    own.fit(X, y, sample_weight=weight)
    assert said(ours, X) == pytest.approx(said(own, X), rel=1e-5, abs=1e-6)
    assert type(ours) is type(own)
    assert sorted(map(repr, ours.get_params().items())) == sorted(map(repr, own.get_params().items()))
    assert list(getattr(ours, "classes_", [])) == list(getattr(own, "classes_", []))
    assert ours.n_features_in_ == 7


@pytest.mark.parametrize("kind", KINDS[1:])
def test_sparse_rows_are_boosted_where_the_family_takes_them(kind: str) -> None:
    X, y, _ = rows("binary")
    at_once = brought(kind, "binary", (6,), csr_matrix(X), y)
    in_steps = brought(kind, "binary", (2, 6), csr_matrix(X), y)

    assert np.array_equal(said(at_once, X), said(in_steps, X))
    assert models.parse(kind).takes_sparse("binary")
    assert len(SHELF) == 0, "what cannot be told from other rows is not kept"


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        ("xgboost", {"subsample": 0.5}, "subsample samples at random"),
        ("xgboost", {"colsample_bylevel": 0.5}, "colsample_bylevel samples at random"),
        ("xgboost", {"num_parallel_tree": 3}, "starts from a forest"),
        ("xgboost", {"booster": "gblinear"}, "only trees on histograms"),
        ("xgboost", {"tree_method": "exact"}, "only trees on histograms"),
        ("lightgbm", {"subsample": 0.5, "subsample_freq": 1}, "draws rows at random"),
        ("lightgbm", {"boosting_type": "dart"}, "earlier trees change"),
        ("lightgbm", {"data_sample_strategy": "goss"}, "rows are drawn at random"),
    ],
)
def test_what_cannot_go_on_begins_anew_and_ends_alike(
    kind: str, options: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    X, y, _ = mapped(tmp_path, *rows("binary"))
    library = {"xgboost": xgboost_rounds, "lightgbm": lightgbm_rounds}[kind]

    assert reason in library.why_anew(models.parse(kind).estimator("binary", options, seed=3))
    at_once = brought(kind, "binary", (9,), X, y, **options)
    in_steps = brought(kind, "binary", (3, 9), X, y, **options)

    assert np.array_equal(said(at_once, X), said(in_steps, X))


@pytest.mark.parametrize("kind", ["xgboost", "lightgbm"])
def test_what_the_default_parameters_make_goes_on(kind: str) -> None:
    library = {"xgboost": xgboost_rounds, "lightgbm": lightgbm_rounds}[kind]

    assert library.why_anew(models.parse(kind).estimator("binary", {}, seed=3)) == ""


def test_going_on_grows_only_the_rounds_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import lightgbm
    import xgboost

    X, y, _ = mapped(tmp_path, *rows("binary"))
    asked: list[int] = []

    for library in (xgboost, lightgbm):
        train = library.train

        def counted(params: Any, data: Any, rounds: int, _train: Any = train, **options: Any) -> Any:
            asked.append(rounds)
            return _train(params, data, rounds, **options)

        monkeypatch.setattr(library, "train", counted)
    for kind in ("xgboost", "lightgbm"):
        brought(kind, "binary", (2, 5, 12), X, y)

    assert asked == [2, 3, 7, 2, 3, 7]


def test_histogram_boosting_that_stops_by_itself_begins_anew() -> None:
    X, y, _ = rows("binary")
    model = models.parse("hist_gradient_boosting")
    stopping = model.estimator("binary", {"early_stopping": True, "n_iter_no_change": 2}, seed=3)

    for stop in (5, 60):
        model.continue_fit(stopping, X, y, stop)

    alone = model.estimator("binary", {"early_stopping": True, "n_iter_no_change": 2, "max_iter": 60}, seed=3).fit(X, y)
    assert stopping.n_iter_ == alone.n_iter_ < 60
    assert not stopping.warm_start


def test_catboost_says_why_it_begins_anew() -> None:
    assert catboost_rounds.ROUNDS == "iterations"
    assert models.parse("catboost").rounds("binary") == "iterations"


def test_boosting_is_known_by_the_class_also_of_subclasses() -> None:
    class Own(HistGradientBoostingClassifier):
        """Of somebody's own."""

    assert boosting_of(Own()) is boosting_of(HistGradientBoostingClassifier())
    assert models.parse("ridge").rounds("binary") is None
    assert models.parse("sklearn.ensemble:HistGradientBoostingRegressor").rounds("regression") == "max_iter"
    ridge = models.parse("ridge")
    X, y, _ = rows("regression")
    with pytest.raises(SettingsError, match="Ridge has no boosting rounds"):
        ridge.continue_fit(ridge.estimator("regression", {}, 1), X, y, 3)


# shared bins


@pytest.fixture
def binned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Libraries whose bins were made, in order."""
    import lightgbm
    import xgboost

    made: list[str] = []
    matrix, construct = xgboost.QuantileDMatrix, lightgbm.Dataset.construct

    class Counted(matrix):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            made.append("xgboost")
            super().__init__(*arguments, **options)

    def counted(self: Any) -> Any:
        if self._handle is None and self.reference is None and len(self.data) > 10:  # not the rows of each class
            made.append("lightgbm")
        return construct(self)

    monkeypatch.setattr(xgboost, "QuantileDMatrix", Counted)
    monkeypatch.setattr(lightgbm.Dataset, "construct", counted)
    return made


CANDIDATES = {
    "xgboost": [{"max_depth": 3}, {"max_depth": 5, "reg_lambda": 3.0}, {"colsample_bytree": 0.6}],
    "lightgbm": [{"num_leaves": 5}, {"min_child_samples": 40, "reg_lambda": 3.0}, {"colsample_bytree": 0.6}],
}


@pytest.mark.parametrize("kind", CANDIDATES)
@pytest.mark.parametrize("task", TASKS)
def test_candidates_share_the_bins_of_mapped_rows_and_become_what_they_are_alone(
    kind: str, task: str, tmp_path: Path, binned: list[str]
) -> None:
    X, y, weight = mapped(tmp_path, *rows(task))

    together = [said(brought(kind, task, (3, 6), X, y, weight, **own), X) for own in CANDIDATES[kind]]

    assert binned == [kind]
    for own, ours in zip(CANDIDATES[kind], together, strict=True):
        SHELF.clear()
        assert np.array_equal(said(brought(kind, task, (6,), X, y, weight, **own), X), ours)


@pytest.mark.parametrize("kind", CANDIDATES)
def test_candidates_that_bin_otherwise_do_not_share(kind: str, tmp_path: Path, binned: list[str]) -> None:
    X, y, _ = mapped(tmp_path, *rows("binary"))

    for bins in (63, 255, 63):
        brought(kind, "binary", (2,), X, y, max_bin=bins)

    assert len(binned) == 2


@pytest.mark.parametrize("kind", CANDIDATES)
def test_other_rows_targets_and_weights_are_not_mixed_up(kind: str, tmp_path: Path) -> None:
    X, y, weight = mapped(tmp_path / "a", *rows("regression"))
    others = mapped(tmp_path / "b", *rows("regression", seed=1))
    cases = [(X, y, None), (X, y, weight), (others[0], others[1], None), (X, others[1], None), (X[:300], y[:300], None)]

    shared = [said(brought(kind, "regression", (4,), *case), X) for case in cases + cases]

    for case, first, again in zip(cases, shared[:5], shared[5:], strict=True):
        SHELF.clear()
        alone = said(brought(kind, "regression", (4,), *case), X)
        assert np.array_equal(alone, first)
        assert np.array_equal(alone, again)


@pytest.mark.parametrize("kind", CANDIDATES)
def test_rows_in_memory_are_binned_each_time(kind: str, binned: list[str]) -> None:
    X, y, _ = rows("binary")

    brought(kind, "binary", (2,), X, y)
    brought(kind, "binary", (2,), X, y)

    assert len(binned) == 2
    assert len(SHELF) == 0


def test_an_identity_is_of_the_place_in_a_file(tmp_path: Path) -> None:
    (X,) = mapped(tmp_path, np.arange(60.0).reshape(20, 3))
    (again,) = [np.asarray(np.load(tmp_path / "0.npy", mmap_mode="r"))]

    assert identity(X) == identity(again)
    assert identity(X[:10]) == identity(again[:10])
    views = [X, X[:10], X[10:], X[::2], X[:, :2], X.T, X.reshape(-1)]
    assert len({identity(view) for view in views}) == len(views)
    assert identity(X.copy()) is None
    assert identity(X, np.arange(3)) is None
    assert identity(X, None) == identity(again, None) != identity(X)
    assert identity(csr_matrix(np.eye(3))) is None


def test_a_file_that_was_written_anew_is_another(tmp_path: Path) -> None:
    (X,) = mapped(tmp_path, np.arange(60.0))
    before = identity(X)

    np.save(tmp_path / "new.npy", np.arange(60.0) + 1)
    (tmp_path / "new.npy").replace(tmp_path / "0.npy")

    assert identity(np.asarray(np.load(tmp_path / "0.npy", mmap_mode="r"))) != before


def test_a_shelf_keeps_the_last_used_within_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daskflow.models.boosting.shared.MOST_BYTES", 10 * COPIES)
    shelf, made = Shelf(), []

    def take(key: str, n_values: int = 4) -> None:
        def make() -> str:
            made.append(key)
            return key

        with shelf.rows(key, n_values, make) as found:
            assert found == key

    for key in ("a", "b", "a", "c", "a", "b"):
        take(key)

    assert made == ["a", "b", "c", "b"], "c took the place of b, which was used less lately than a"
    assert len(shelf) == 2
    take("large", n_values=11)
    take("large", n_values=11)
    assert made[-2:] == ["large", "large"], "what is larger than the bound is not kept"
    assert len(shelf) == 2


def test_threads_that_want_the_same_rows_at_once_do_not_share_them() -> None:
    shelf, made = Shelf(), []

    def make() -> object:
        made.append(object())
        return made[-1]

    with shelf.rows("a", 4, make) as first:
        thread_got: list[object] = []

        def other() -> None:
            with shelf.rows("a", 4, make) as second:
                thread_got.append(second)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    with shelf.rows("a", 4, make) as later:
        assert later is first

    assert thread_got[0] is not first
    assert len(made) == 2
