"""The last fit over all workers gives what the estimator's own fit gives, and goes on where it was lost."""

from __future__ import annotations

import itertools
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_classification, make_regression
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score

from daskflow.core.errors import SearchError, SettingsError
from daskflow.core.events import Event
from daskflow.core.protocols import Connection
from daskflow.data.client_executor import ClientExecutor
from daskflow.data.execution import InlineExecutor
from daskflow.models.parts.estimators import PartitionEnsembleClassifier, PartitionEnsembleRegressor
from daskflow.search import checkpoints
from daskflow.search.boosters import Seat, booster_of
from daskflow.search.boosting import class_counts, identity_of, shares_of
from daskflow.search.distributed_fit import distributed_fit, why_not
from daskflow.search.ranks import places_of
from tests.conftest import NOT_INSTALLED_IS_A_FAILURE
from tests.distributed_parts import Family, rounds_on_disk, write_part

if not NOT_INSTALLED_IS_A_FAILURE and not all(find_spec(name) for name in ("xgboost", "lightgbm")):
    pytest.skip("xgboost or lightgbm is missing", allow_module_level=True)

lightgbm = import_module("lightgbm")
xgboost = import_module("xgboost")

LIBRARIES = ("xgboost", "lightgbm")


def boosted(library: str, task: str = "binary", **params: Any) -> Any:
    """An estimator of a library, of thirty small trees."""
    common = {"n_estimators": 30, "max_depth": 4, "n_jobs": 1, **params}
    if library == "xgboost":
        return (xgboost.XGBRegressor if task == "regression" else xgboost.XGBClassifier)(**common)
    family = lightgbm.LGBMRegressor if task == "regression" else lightgbm.LGBMClassifier
    return family(verbose=-1, num_leaves=15, **common)


def fitted(
    estimator: Any, part: Any, folder: Path, *, n_classes: int, connection: Connection | None = None, **options: Any
) -> Any:
    """Fit by the function under test."""
    return distributed_fit(
        connection or Connection(InlineExecutor()),
        part,
        Family(estimator),
        {},
        task="regression" if not n_classes else "binary" if n_classes == 2 else "multiclass",
        n_classes=n_classes,
        seed=None,
        folder=folder,
        **options,
    )


def rows_of(n_classes: int, n_rows: int = 4000) -> tuple[Any, Any]:
    """Rows in float32, and their codes or numbers."""
    if not n_classes:
        X, y = make_regression(n_rows, 8, noise=3.0, random_state=1)
    else:
        X, y = make_classification(n_rows, 8, n_informative=6, n_classes=n_classes, random_state=1)
    return X.astype(np.float32), y


@pytest.mark.parametrize("n_classes", [0, 2, 3])
@pytest.mark.parametrize("library", LIBRARIES)
def test_one_process_gives_the_estimator_that_its_own_fit_gives(library: str, n_classes: int, tmp_path: Path) -> None:
    X, y = rows_of(n_classes)
    own = boosted(library, "binary" if n_classes else "regression").fit(X, y)

    ours = fitted(clone(own), write_part(tmp_path / "p", X, y), tmp_path / "c", n_classes=n_classes)

    assert np.array_equal(ours.predict(X), own.predict(X))
    if n_classes:
        assert np.array_equal(ours.predict_proba(X), own.predict_proba(X))
        assert list(ours.classes_) == list(own.classes_)
    assert repr(ours.get_params()) == repr(own.get_params())
    assert set(vars(ours)) == set(vars(own))


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_fit_that_was_killed_goes_on_from_its_checkpoint_to_the_same_model(library: str, tmp_path: Path) -> None:
    # given a checkpoint after 10 of 30 rounds
    X, y = rows_of(2)
    part, folder = write_part(tmp_path / "p", X, y), tmp_path / "c"
    booster, estimator = booster_of(boosted(library)), boosted(library)
    assert booster is not None
    recipe = booster.recipe(estimator, class_counts(part, 2), 2)
    short = booster.recipe(boosted(library, n_estimators=10), class_counts(part, 2), 2)
    begun = booster.train(short, part.whole(), Seat(0, 1, 1), done=0, model=b"", after=lambda rounds, content: None)
    folder.mkdir()
    checkpoints.save(folder, identity_of(recipe, part), 10, begun)

    # when the fit is called, then it makes the 20 that are missing
    events: list[Event] = []
    ours = fitted(estimator, part, folder, n_classes=2, checkpoint_every=5, listener=events.append)

    assert [e.fields["done"] for e in events if e.name == "progress"] == [30]
    assert np.allclose(ours.predict_proba(X), boosted(library).fit(X, y).predict_proba(X), atol=1e-6)
    assert rounds_on_disk(folder) == 30


def test_a_checkpoint_of_another_fit_or_a_damaged_one_is_not_continued(tmp_path: Path) -> None:
    checkpoints.save(tmp_path, "mine", 10, b"trees")
    assert checkpoints.load(tmp_path, "mine") == (10, b"trees")

    assert checkpoints.load(tmp_path, "other") == (0, b"")
    (tmp_path / "booster-000010.model").write_bytes(b"trees!")
    assert checkpoints.load(tmp_path, "mine") == (0, b"")
    (tmp_path / "booster.json").write_text("{")
    assert checkpoints.load(tmp_path, "mine") == (0, b"")


def test_a_new_checkpoint_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    checkpoints.save(tmp_path, "mine", 10, b"few")
    checkpoints.save(tmp_path, "mine", 20, b"many")

    assert checkpoints.load(tmp_path, "mine") == (20, b"many")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["booster-000020.model", "booster.json"]


@pytest.mark.parametrize("library", LIBRARIES)
def test_weights_and_sparse_rows_are_those_of_the_own_fit(library: str, tmp_path: Path) -> None:
    X, y = rows_of(2)
    thin = sparse.csr_matrix(np.where(np.abs(X) < 0.5, 0, X))
    weight = np.random.default_rng(0).uniform(0.1, 3, len(y))

    ours = fitted(boosted(library), write_part(tmp_path / "p", thin, y, weight=weight), tmp_path / "c", n_classes=2)

    own = boosted(library).fit(thin, y, sample_weight=weight)
    assert np.allclose(ours.predict_proba(thin), own.predict_proba(thin), atol=1e-6)


@pytest.mark.parametrize("class_weight", ["balanced", {0: 1.0, 1: 7.0}])
def test_class_weights_of_lightgbm_count(class_weight: Any, tmp_path: Path) -> None:
    X, y = make_classification(3000, 8, weights=[0.9], random_state=1)
    X = X.astype(np.float32)
    estimator = boosted("lightgbm", class_weight=class_weight)

    ours = fitted(estimator, write_part(tmp_path / "p", X, y), tmp_path / "c", n_classes=2)

    assert np.allclose(ours.predict_proba(X), estimator.fit(X, y).predict_proba(X), atol=1e-6)


@pytest.mark.parametrize(
    ("estimator", "reason"),
    [
        (Ridge(), "fitted in one process"),
        (xgboost.XGBClassifier(booster="dart"), "does not continue"),
        (xgboost.XGBClassifier(early_stopping_rounds=5), "validation set"),
        (xgboost.XGBRegressor(objective=lambda y, p: (p - y, y)), "stays in one process"),
        (xgboost.XGBRanker(), "whole groups"),
        (lightgbm.LGBMClassifier(boosting_type="dart"), "does not continue"),
        (lightgbm.LGBMRegressor(objective=lambda y, p: (p - y, y)), "stays in one process"),
        (lightgbm.LGBMRanker(), "whole groups"),
    ],
)
def test_what_cannot_be_fitted_over_workers_is_said_beforehand(estimator: Any, reason: str, tmp_path: Path) -> None:
    assert reason in why_not(estimator)
    with pytest.raises(SettingsError, match=reason):
        fitted(estimator, None, tmp_path, n_classes=2)


def test_what_the_library_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    X, y = rows_of(2, 200)

    with pytest.raises(SearchError, match=r"xgboost could not fit all rows: .*nonsense"):
        fitted(
            boosted("xgboost", objective="nonsense:logistic"),
            write_part(tmp_path / "p", X, y),
            tmp_path / "c",
            n_classes=2,
        )


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.lists(st.integers(1, 64), min_size=1, max_size=12))
def test_every_block_is_one_ranks_and_every_rank_has_one(sizes: list[int], threads: list[int]) -> None:
    threads = threads[: len(sizes)]
    offsets = [0, *itertools.accumulate(sizes)]

    shares = shares_of(offsets, threads)

    assert [block for first, stop in shares for block in range(first, stop)] == list(range(len(sizes)))
    assert all(stop > first for first, stop in shares)
    assert len(shares) == len(threads)


def test_workers_of_this_machine_are_one_rank_and_others_are_one_each() -> None:
    here = {"tcp://127.0.0.1:41": 2, "tcp://127.0.0.1:42": 2}
    there = {"tls://10.0.0.1:41": 8, "tls://10.0.0.1:42": 8, "tls://10.0.0.2:41": 4}

    assert [place.threads for place in places_of(here)] == [4]
    assert [place.threads for place in places_of(here, spread="workers")] == [2, 2]
    assert [place.threads for place in places_of(there)] == [8, 8, 4]


@pytest.mark.parametrize("combine", ["soft", "weighted", "stacked"])
def test_members_fitted_as_units_are_those_of_a_fit_in_memory(combine: Any, tmp_path: Path) -> None:
    X, y = rows_of(3)
    estimator = PartitionEnsembleClassifier(
        LogisticRegression(), n_parts=3, combine=combine, partitions="source", random_state=4
    )

    ours = fitted(estimator, write_part(tmp_path / "p", X, y, n_blocks=7), tmp_path / "c", n_classes=3)

    own = clone(estimator).fit(X, y)
    assert [each.n_features_in_ for each in (ours, own)] == [8, 8]
    assert ours.predict_proba(X).shape == (4000, 3)
    assert all(len(each.classes_) == 3 for each in ours.estimators_)
    if combine == "soft":
        members = [
            LogisticRegression(random_state=each.random_state).fit(X[a:b], y[a:b])
            for each, (a, b) in zip(ours.estimators_, estimator.bounds(4000), strict=True)
        ]
        assert all(np.array_equal(a.coef_, b.coef_) for a, b in zip(ours.estimators_, members, strict=True))
    assert np.abs(ours.predict_proba(X) - own.predict_proba(X)).max() < 0.05


def test_members_of_sparse_rows_are_cut_between_blocks_too(tmp_path: Path) -> None:
    X, y = rows_of(0)
    thin = sparse.csr_matrix(np.where(np.abs(X) < 0.5, 0, X))
    estimator = PartitionEnsembleRegressor(Ridge(), n_parts=3, partitions="source", random_state=0)

    ours = fitted(estimator, write_part(tmp_path / "p", thin, y, n_blocks=7), tmp_path / "c", n_classes=0)

    first, stop = estimator.bounds(4000)[1]
    assert np.allclose(ours.estimators_[1].coef_, Ridge().fit(thin[first:stop], y[first:stop]).coef_, atol=1e-3)


def test_members_that_are_there_are_not_fitted_again_and_warnings_are_told(tmp_path: Path) -> None:
    # given parts that drift, fitted once
    X, y = rows_of(0)
    X[3000:, 2] += 9
    part = write_part(tmp_path / "p", X, y)
    estimator = PartitionEnsembleRegressor(Ridge(), n_parts=4, partitions="source", random_state=0)
    events: list[Event] = []
    fitted(estimator, part, tmp_path / "c", n_classes=0, listener=events.append)
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "c").iterdir()}

    # when it is asked for again
    fitted(estimator, part, tmp_path / "c", n_classes=0)

    # then the files are the same, and the drift was told
    assert len(times) == 4
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "c").iterdir()} == times
    assert any("column 2 lies" in e.fields.get("text", "") for e in events if e.name == "warning")


@pytest.fixture(scope="module")
def many(tmp_path_factory: Any) -> tuple[Any, Any, Any]:
    """Rows of three classes, the last of which is in the first block alone, and their matrix."""
    X, y = make_classification(12_000, 10, n_informative=8, n_classes=2, random_state=5)
    y[:40] = 2
    X[:40] += 4
    return X.astype(np.float32), y, write_part(tmp_path_factory.mktemp("many") / "p", X, y)


@pytest.mark.parametrize("library", LIBRARIES)
def test_two_processes_are_as_good_as_one_though_one_lacks_a_class(
    library: str, many: Any, client: Any, tmp_path: Path
) -> None:
    X, y, part = many
    connection = Connection(ClientExecutor(client), client)
    own = boosted(library).fit(X, y)

    ours = fitted(boosted(library), part, tmp_path / "c", n_classes=3, connection=connection, spread="workers")

    scores = [roc_auc_score(y, each.predict_proba(X), multi_class="ovr") for each in (ours, own)]
    assert scores[0] == pytest.approx(scores[1], abs=0.002)
    assert list(ours.classes_) == [0, 1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("library", LIBRARIES)
def test_workers_that_share_this_machine_give_exactly_the_own_fit(
    library: str, many: Any, client: Any, tmp_path: Path
) -> None:
    X, y, part = many
    connection = Connection(ClientExecutor(client), client)

    ours = fitted(boosted(library), part, tmp_path / "c", n_classes=3, connection=connection)

    own = boosted(library).set_params(n_jobs=2).fit(X, y)
    assert np.allclose(ours.predict_proba(X), own.predict_proba(X), atol=1e-5)


@pytest.mark.slow
def test_what_the_library_refuses_on_workers_ends_the_fit_at_once(many: Any, client: Any, tmp_path: Path) -> None:
    _, _, part = many
    connection = Connection(ClientExecutor(client), client)

    with pytest.raises(SearchError, match="nonsense"):
        fitted(
            boosted("xgboost", tree_method="nonsense"),
            part,
            tmp_path / "c",
            n_classes=3,
            connection=connection,
            spread="workers",
        )


@pytest.mark.slow
def test_members_are_fitted_on_the_workers_of_a_cluster(many: Any, client: Any, tmp_path: Path) -> None:
    X, _, part = many
    estimator = PartitionEnsembleClassifier(
        LogisticRegression(), n_parts=3, combine="weighted", partitions="source", random_state=0
    )

    there = fitted(estimator, part, tmp_path / "c", n_classes=3, connection=Connection(ClientExecutor(client), client))

    here = fitted(estimator, part, tmp_path / "d", n_classes=3)
    assert np.allclose(there.predict_proba(X), here.predict_proba(X))
