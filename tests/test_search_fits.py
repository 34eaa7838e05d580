"""Fits on matrices: what resource means, that snapshots change nothing, and what bad candidates come to."""

from __future__ import annotations

import hashlib
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.metrics import log_loss, roc_auc_score
from threadpoolctl import threadpool_info, threadpool_limits

import daskflow.metrics
from daskflow import models
from daskflow.core.results import Trial, TrialState
from daskflow.core.seeds import seed_of
from daskflow.data.client_executor import ClientExecutor
from daskflow.data.execution import InlineExecutor
from daskflow.data.predictions import predict
from daskflow.search import Search, engine, fits, snapshots
from daskflow.search.engine import Memory
from daskflow.search.fits import MatrixWork, fit, refit
from daskflow.search.grid import Grid
from daskflow.search.hyperband import Hyperband
from daskflow.search.jobs import Answer, Job
from daskflow.search.none import NoSearch
from daskflow.search.policies import Candidate
from daskflow.search.training import Way
from tests.small_matrices import classes, matrices_of, numbers

BINARY = ("roc_auc", "log_loss", "accuracy")


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Forget, as another process would, which models were trained; called before each test."""

    def forget() -> None:
        monkeypatch.setattr(snapshots, "RECENT", snapshots.Recent(snapshots.RECENT_BYTES))

    forget()
    return forget


def work_of(
    tmp_path: Path,
    model: Any,
    X: Any,
    y: Any,
    *,
    task: str = "binary",
    metrics: tuple[str, ...] = BINARY,
    search: Search | None = None,
    **options: Any,
) -> MatrixWork:
    """Work over the rows given."""
    folder = tmp_path / "snapshots"
    folder.mkdir(parents=True, exist_ok=True)
    return MatrixWork(
        model=models.parse(model),
        task=task,
        n_classes=0 if task == "regression" else int(max(y)) + 1,
        matrices=matrices_of(tmp_path / "matrices", X, y, **options),
        metrics=[daskflow.metrics.REGISTRY.parse(name) for name in metrics],
        metric=metrics[0],
        seed=7,
        snapshots=folder,
        search=search or Hyperband(max_iter=9),
    )


def step(work: MatrixWork, candidate: Candidate, start: int, stop: int, fold: int = 0) -> Answer:
    """Run one unit as the engine would, and put it on record."""
    unit = work.unit(candidate, fold, start, stop)
    answer: Answer = unit.function(*unit.arguments)
    work.recorded(candidate.trial, fold, stop, answer.details)
    return answer


def same_model(left: Any, right: Any, X: Any) -> bool:
    """Whether two models say the same of rows, to the last bit."""
    say = "predict_proba" if hasattr(left, "predict_proba") else "predict"
    return bool(np.array_equal(getattr(left, say)(X), getattr(right, say)(X)))


def rows_in_order(seen: int, n_rows: int) -> Any:
    """The order in which all candidates see the rows of a block."""
    return np.random.RandomState(seed_of(7, "rows", seen)).permutation(n_rows)


# what resource means


def test_a_partial_fit_model_sees_blocks_pass_after_pass_in_an_order_of_the_seed(tmp_path: Path) -> None:
    # given
    X, y = classes(n_classes=3)
    work = work_of(tmp_path, {"kind": "sgd", "params": {"alpha": 0.01}}, X, y, task="multiclass", metrics=("log_loss",))
    assert work.training.way is Way.BLOCKS
    # when
    answer = step(work, Candidate("2-4", {"penalty": "l1"}), 0, 7)
    # then a loop by hand gives the same
    by_hand = SGDClassifier(loss="log_loss", alpha=0.01, penalty="l1", shuffle=False)
    train, validation = work.matrices.fold(0).train, work.matrices.fold(0).validation
    passes = [np.random.RandomState(seed_of(7, "order", number)).permutation(4) for number in range(2)]
    assert sorted(passes[0]) == [0, 1, 2, 3]
    for seen, number in enumerate(np.concatenate(passes)[:7]):
        block = train.block(int(number))
        rows = rows_in_order(seen, len(block.y))
        by_hand.partial_fit(block.X[rows], block.y[rows], classes=[0, 1, 2])
    whole = validation.whole()
    assert answer.metrics["log_loss"] == pytest.approx(log_loss(whole.y, by_hand.predict_proba(whole.X)), rel=1e-6)


def test_a_whole_fit_is_scikit_learns(tmp_path: Path) -> None:
    # given
    X, y = classes()
    work = work_of(tmp_path, {"kind": "sgd"}, X, y, search=Grid())
    assert work.training.way is Way.WHOLE
    # when
    answer = step(work, Candidate("3", {"alpha": 0.1}), 0, 1, fold=1)
    # then
    train, validation = work.matrices.fold(1).train.whole(), work.matrices.fold(1).validation.whole()
    seed = seed_of(7, "rows")
    by_hand = SGDClassifier(loss="log_loss", alpha=0.1, random_state=seed).fit(train.X, train.y)
    expected = roc_auc_score(validation.y, by_hand.predict_proba(validation.X)[:, 1])
    assert answer.metrics["roc_auc"] == pytest.approx(expected, abs=1e-12)
    assert set(answer.metrics) == set(BINARY)
    assert "snapshot" not in answer.details


def test_boosting_counts_rounds_and_continued_training_is_fitting_at_once(tmp_path: Path) -> None:
    # given
    X, y = classes(n_rows=300, n_classes=3)
    weight = np.linspace(0.5, 2, len(y))
    model = {"kind": "hist_gradient_boosting", "params": {"max_iter": 18, "max_leaf_nodes": 4}}
    work = work_of(tmp_path, model, X, y, task="multiclass", metrics=("log_loss",), weight=weight)
    assert work.training.way is Way.ROUNDS
    candidate = Candidate("0-0", {"max_features": 0.5, "learning_rate": 0.3})
    # when it is brought on rung by rung
    answers = [step(work, candidate, start, stop) for start, stop in ((0, 1), (1, 3), (3, 9))]
    # then
    assert [answer.details["from"] for answer in answers] == [0, 1, 3]
    train, validation = work.matrices.fold(0).train.whole(), work.matrices.fold(0).validation.whole()
    for answer, rounds in zip(answers, (2, 6, 18), strict=True):
        by_hand = HistGradientBoostingClassifier(
            max_iter=rounds,
            max_leaf_nodes=4,
            max_features=0.5,
            learning_rate=0.3,
            early_stopping=False,
            random_state=seed_of(7, "trial", "0-0"),
        )
        with threadpool_limits(1):
            by_hand.fit(train.X, train.y, sample_weight=train.weight)
        said = by_hand.predict_proba(validation.X)
        expected = log_loss(validation.y, said, sample_weight=validation.weight)
        assert answer.metrics["log_loss"] == pytest.approx(expected, rel=1e-9)


def test_fewer_rounds_than_rungs_are_no_trouble(tmp_path: Path) -> None:
    X, y = classes()
    work = work_of(tmp_path, {"kind": "hist_gradient_boosting", "params": {"max_iter": 2}}, X, y)
    answers = [step(work, Candidate("0", {}), start, stop) for start, stop in ((0, 1), (1, 3), (3, 9))]
    assert answers[0].metrics == answers[1].metrics
    assert answers[1].metrics != answers[2].metrics


def test_any_other_estimator_gets_a_share_of_the_rows_in_training_order(tmp_path: Path) -> None:
    # given
    X, y = classes()
    work = work_of(tmp_path, {"kind": "logistic"}, X, y)
    assert work.training.way is Way.ROWS
    train, validation = work.matrices.fold(0).train.whole(), work.matrices.fold(0).validation.whole()
    for stop, rows in ((1, 13), (3, 40), (9, 120)):
        # when
        answer = step(work, Candidate("0", {"C": 0.5}), 0, stop)
        # then
        seed = seed_of(7, "trial", "0")
        by_hand = work.model.estimator("binary", {"C": 0.5}, seed).fit(train.X[:rows], train.y[:rows])
        expected = roc_auc_score(validation.y, by_hand.predict_proba(validation.X)[:, 1])
        assert answer.metrics["roc_auc"] == pytest.approx(expected, abs=1e-12)


def test_a_share_of_the_rows_reaches_to_the_second_class(tmp_path: Path) -> None:
    X, y = classes()
    y = np.sort(y)
    work = work_of(tmp_path, {"kind": "logistic"}, X, y)
    answer = step(work, Candidate("0", {}), 0, 1)
    assert not math.isnan(answer.metrics["roc_auc"])


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
@pytest.mark.parametrize("model", ["sgd", "ridge", "random_forest", "hist_gradient_boosting"])
@pytest.mark.parametrize("search", [NoSearch(), Hyperband(max_iter=3)], ids=["whole", "early"])
def test_regression_and_sparse_matrices_go_the_same_ways(tmp_path: Path, make: Any, model: str, search: Search) -> None:
    # given
    if make is not np.asarray and model == "hist_gradient_boosting":
        return  # it takes no sparse matrices, and the workflow gives it none
    X, y = numbers()
    work = work_of(tmp_path, model, make(X), y, task="regression", metrics=("rmse", "r2"), search=search)
    assert not work.greater_is_better
    # when
    params = {"n_estimators": 5} if model == "random_forest" else {}
    answer = step(work, Candidate("0", params), 0, search.resource)
    # then it beats the mean
    assert answer.metrics["r2"] > 0.1


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
def test_scores_do_not_depend_on_how_many_rows_are_predicted_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any
) -> None:
    # given
    X, y = classes()
    weight = np.linspace(1, 3, len(y))
    at_once = work_of(tmp_path / "a", "sgd", make(X), y, weight=weight, search=NoSearch())
    pieces = work_of(tmp_path / "b", "sgd", make(X), y, weight=weight, search=NoSearch())
    # when
    expected = step(at_once, Candidate("0", {}), 0, 1).metrics
    monkeypatch.setattr(fits, "SCORE_ROWS", 50)
    found = step(pieces, Candidate("0", {}), 0, 1).metrics
    # then
    assert found == pytest.approx(expected, rel=1e-6)


# snapshots


CONTINUED = [
    ("sgd", {"average": True, "penalty": "elasticnet"}, 2),
    ("sgd", {"average": 40}, 3),
    ("hist_gradient_boosting", {"max_features": 0.5, "max_iter": 9}, 2),
    ("sklearn.neural_network:MLPClassifier", {"hidden_layer_sizes": [4]}, 2),
    ("sklearn.naive_bayes:GaussianNB", {}, 3),
]


@pytest.mark.parametrize(("model", "params", "n_classes"), CONTINUED)
@pytest.mark.parametrize("loss", ["memory", "snapshot", "missing", "damaged", "cut", "unknown"])
def test_a_model_taken_over_in_any_way_ends_the_same(
    tmp_path: Path, new_process: Callable[[], None], model: str, params: dict[str, Any], n_classes: int, loss: str
) -> None:
    # given
    X, y = classes(n_classes=n_classes)
    task = "binary" if n_classes == 2 else "multiclass"
    work = work_of(tmp_path, {**_table(model), "params": params}, X, y, task=task, metrics=("log_loss",))
    candidate = Candidate("1-0", {})
    step(work, candidate, 0, 2)
    path = work.snapshots / "1-0-0-2.pkl"
    # when the rung after it finds this
    if loss != "memory":
        new_process()
    if loss == "missing":
        path.unlink()
    if loss == "damaged":
        path.write_bytes(path.read_bytes()[:-9] + b"\0" * 9)
    if loss == "cut":
        path.write_bytes(path.read_bytes()[:50])
    if loss == "unknown":
        work._hashes.clear()
    answer = step(work, candidate, 2, 5)
    # then it ends as one trained at once
    assert answer.details["from"] == (2 if loss in ("memory", "snapshot") else 0)
    train = work.matrices.fold(0).train
    at_once = work.training.train("1-0", {}, train, 5)
    assert same_model(pickle.loads((work.snapshots / "1-0-0-5.pkl").read_bytes()), at_once, X)
    values = work.matrices.fold(0).validation.whole()
    said = predict(at_once, values.X, n_classes)
    metric = work.metrics[0].for_task(task, n_classes)
    assert answer.metrics["log_loss"] == pytest.approx(metric.score(values.y, said.of("probabilities")), rel=1e-6)


def _table(model: str) -> dict[str, str]:
    return {"kind": "estimator", "estimator": model} if ":" in model else {"kind": model}


def test_a_model_in_memory_is_handed_out_once(tmp_path: Path) -> None:
    # given a model at 2
    X, y = classes()
    work = work_of(tmp_path, "sgd", X, y)
    step(work, Candidate("0", {}), 0, 2)
    unit = work.unit(Candidate("0", {}), 0, 2, 5)
    # when the unit that takes it over runs twice, as after the death of a worker
    first, second = (unit.function(*unit.arguments) for _ in range(2))
    # then
    assert first == second


def test_memory_holds_no_more_than_its_limit() -> None:
    recent = snapshots.Recent(100)
    for number in range(5):
        recent.put(f"hash{number}", object(), 40)
    assert [recent.take(f"hash{number}") is not None for number in range(5)] == [False, False, False, True, True]
    recent.put("large", object(), 101)
    assert recent.take("large") is None


def test_a_snapshot_goes_when_a_newer_one_is_on_record_and_all_at_the_end(tmp_path: Path) -> None:
    # given
    X, y = classes()
    work = work_of(tmp_path, "sgd", X, y)
    kept = lambda: sorted(path.name for path in work.snapshots.iterdir())  # noqa: E731
    step(work, Candidate("0", {}), 0, 1)
    step(work, Candidate("0", {}), 0, 1, fold=1)
    unit = work.unit(Candidate("0", {}), 0, 1, 3)
    answer = unit.function(*unit.arguments)
    assert kept() == ["0-0-1.pkl", "0-0-3.pkl", "0-1-1.pkl"]
    # when
    work.recorded("0", 0, 3, answer.details)
    # then
    assert kept() == ["0-0-3.pkl", "0-1-1.pkl"]
    assert answer.details["sha256"] == hashlib.sha256((work.snapshots / "0-0-3.pkl").read_bytes()).hexdigest()
    # and one that cannot go on leaves none
    step(work, Candidate("0", {}), 3, 9)
    assert kept() == ["0-1-1.pkl"]
    work.clear()
    assert kept() == []


# seeds, weights, threads


def test_seeds_are_of_the_trial_unless_the_estimator_sets_its_own(tmp_path: Path) -> None:
    X, y = classes()
    for name, model in (("a", "extra_trees"), ("b", {"kind": "sgd", "params": {"early_stopping": True}})):
        work = work_of(tmp_path / name, model, X, y, search=NoSearch())
        estimators = [
            work.training.begin(trial, params) for trial, params in (("0", {}), ("1", {}), ("1", {"random_state": 3}))
        ]
        assert [e.random_state for e in estimators] == [seed_of(7, "trial", "0"), seed_of(7, "trial", "1"), 3]


def test_candidates_that_are_fitted_whole_together_have_one_seed_unless_they_set_their_own(tmp_path: Path) -> None:
    X, y = classes()
    work = work_of(tmp_path, "sgd", X, y, search=NoSearch())
    seeds = [
        work.training.begin(trial, params).random_state
        for trial, params in (("0", {}), ("1", {"alpha": 0.1}), ("2", {"random_state": 3}))
    ]
    assert seeds == [seed_of(7, "rows"), seed_of(7, "rows"), 3]


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_whole_fit_is_the_same_alone_together_and_when_one_overflows_beside_it(tmp_path: Path, task: str) -> None:
    # given
    X, y = numbers() if task == "regression" else classes()
    y = np.minimum(y + (X[:, 0] > 1), 2) if task == "multiclass" else y
    metric = "rmse" if task == "regression" else "log_loss"
    model = {"kind": "sgd", "params": {"loss": "squared_error", "learning_rate": "constant"}}
    work = work_of(
        tmp_path, model if task == "regression" else "sgd", X, y, task=task, metrics=(metric,), search=Grid()
    )
    drawn = [{"alpha": 10.0**-n, "penalty": ("l2", "l1")[n % 2], "eta0": 0.001} for n in range(6)]
    jobs = [Job(Candidate(str(n), params), 0, 0, 1) for n, params in enumerate(drawn)]
    wild = Job(Candidate("9", {"eta0": 1e300, "learning_rate": "constant", "loss": "squared_error"}), 0, 0, 1)
    # when
    alone = [step(work, job.candidate, 0, 1) for job in jobs]
    found = []
    for group in (jobs, [*jobs, wild]):
        unit = work.batch("fits-1", [group], 0.0)
        found.append(unit.function(*unit.arguments, *unit.calls[0].arguments))
    # then
    assert len({work.together(job) for job in jobs}) == 1
    assert [answer.metrics for answer in found[0]] == [answer.metrics for answer in alone]
    assert [answer.metrics for answer in found[1][:-1]] == [answer.metrics for answer in alone]
    assert "left the range" in found[1][-1].error


def test_sparse_rows_and_other_estimators_are_fitted_by_themselves(tmp_path: Path) -> None:
    X, y = classes()
    for name, model, rows in (("a", "sgd", sparse.csr_matrix(X)), ("b", "extra_trees", X)):
        work = work_of(tmp_path / name, model, rows, y, search=Grid())
        assert work.together(Job(Candidate("0", {}), 0, 0, 1)) is None


@pytest.mark.parametrize("search", [NoSearch(), Hyperband(max_iter=3)], ids=["whole", "early"])
def test_weights_are_learned_from_and_scored_with(tmp_path: Path, search: Search) -> None:
    # given rows of which one class weighs nothing in training and in scoring
    X, y = classes()
    weight = np.where(y == 1, 1.0, 1e-9)
    work = work_of(tmp_path / "a", "sgd", X, y, metrics=("accuracy",), weight=weight, search=search)
    plain = work_of(tmp_path / "b", "sgd", X, y, metrics=("accuracy",), search=search)
    # when, then
    answers = [step(w, Candidate("0", {}), 0, search.resource) for w in (work, plain)]
    assert answers[0].metrics["accuracy"] > 0.95 > answers[1].metrics["accuracy"]


def test_an_estimator_without_weights_is_told_of(tmp_path: Path) -> None:
    X, y = classes()
    model = "sklearn.neighbors:KNeighborsClassifier"
    with pytest.warns(UserWarning, match="KNeighborsClassifier takes no weights: they count in its scores"):
        work_of(tmp_path, model, X, y, weight=np.ones(len(y)), search=NoSearch())


class Writes(ClassifierMixin, BaseEstimator):
    """Writes on the rows it is given."""

    def fit(self, X: Any, y: Any) -> Writes:
        X -= X.mean()
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: Any) -> Any:
        return (X[:, 0] > 0).astype(int)


def test_an_estimator_that_writes_on_its_rows_gets_a_copy(tmp_path: Path) -> None:
    # given
    X, y = classes()
    work = work_of(tmp_path, models.parse(Writes()), X, y, metrics=("accuracy",), search=NoSearch())
    before = work.matrices.fold(0).train.whole().X.copy()
    # when
    step(work, Candidate("0", {}), 0, 1)
    # then
    assert np.array_equal(work.matrices.fold(0).train.whole().X, before)


class Threads(ClassifierMixin, BaseEstimator):
    """Remembers how many native threads it could use."""

    def __init__(self, n_jobs: Any = None) -> None:
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any) -> Threads:
        self.classes_ = np.unique(y)
        self.threads_ = [pool["num_threads"] for pool in threadpool_info()]
        return self

    def predict(self, X: Any) -> Any:
        return np.zeros(len(X), dtype=int)


@pytest.mark.parametrize(("n_jobs", "threads"), [(None, 1), (1, 1), (2, 2)])
def test_a_fit_has_one_native_thread_unless_the_model_asks_for_more(tmp_path: Path, n_jobs: Any, threads: int) -> None:
    X, y = classes()
    work = work_of(tmp_path, models.parse(Threads(n_jobs)), X, y, metrics=("accuracy",), search=NoSearch())
    made = work.training.train("0", {"n_jobs": n_jobs}, work.matrices.fold(0).train, 1)
    assert set(made.threads_) == {threads}


# bad candidates and rare classes


class Odd(ClassifierMixin, BaseEstimator):
    """Behaves in the way it is told to."""

    def __init__(self, way: str = "good") -> None:
        self.way = way

    def fit(self, X: Any, y: Any) -> Odd:
        if self.way == "raises":
            raise RuntimeError("no convergence")
        self.classes_, self.rate_ = np.unique(y), float(np.mean(y))
        return self

    def predict(self, X: Any) -> Any:
        return np.zeros(len(X), dtype=int)

    def predict_proba(self, X: Any) -> Any:
        given = np.column_stack([1 - X[:, 0], X[:, 0]]) * 0 + [1 - self.rate_, self.rate_]
        given[:, 1] += 0.1 * np.tanh(X[:, 0])
        if self.way == "nan":
            given[:] = np.nan
        return given


@pytest.mark.parametrize("executor", ["inline", "client"])
def test_guarantee_6_one_bad_candidate_of_each_kind_ranks_last_with_its_reason(
    tmp_path: Path, request: pytest.FixtureRequest, executor: str
) -> None:
    # given
    X, y = classes()
    work = work_of(tmp_path, models.parse(Odd()), X, y, search=Grid())
    policy = Grid().policy({"way": ["raises", "nan", "good"]}, seed=0)
    where = InlineExecutor() if executor == "inline" else ClientExecutor(request.getfixturevalue("client"))
    # when
    result = engine.run(policy, work, where)
    # then
    assert result.best.params == {"way": "good"}
    assert [trial.state for trial in result.trials] == [TrialState.FAILED, TrialState.FAILED, TrialState.FINISHED]
    assert result.trials[0].error == "RuntimeError: no convergence"
    assert "roc_auc" in result.trials[1].error or "NaN" in result.trials[1].error


def test_an_invalid_parameter_fails_its_candidate_only(tmp_path: Path) -> None:
    X, y = classes()
    work = work_of(tmp_path, "sgd", X, y, search=Grid())
    result = engine.run(Grid().policy({"penalty": ["l2", "l7"]}, seed=0), work, InlineExecutor())
    assert result.best.params == {"penalty": "l2"}
    assert result.trials[1].error.startswith("InvalidParameterError: The 'penalty' parameter")


def test_without_probabilities_the_ranking_metric_fails_and_others_are_missing(tmp_path: Path) -> None:
    # given models of which one has decision values only
    X, y = classes()
    space = {"loss": ["hinge", "log_loss"]}
    by_auc = work_of(tmp_path / "a", "sgd", X, y, search=Grid())
    by_loss = work_of(tmp_path / "b", "sgd", X, y, metrics=("log_loss", "roc_auc"), search=Grid())
    # when
    auc = engine.run(Grid().policy(space, seed=0), by_auc, InlineExecutor())
    loss = engine.run(Grid().policy(space, seed=0), by_loss, InlineExecutor())
    # then
    assert not math.isnan(auc.trials[0].score)
    assert math.isnan(auc.trials[0].metrics["log_loss"])
    assert loss.best.id == "1"
    assert "gives no probabilities: it has no predict_proba. Choose another metric" in loss.trials[0].error


@pytest.mark.parametrize("search", [NoSearch(), Hyperband(max_iter=3)], ids=["whole", "early"])
@pytest.mark.parametrize("model", ["sgd", "logistic", "hist_gradient_boosting"])
def test_a_class_that_a_fold_lacks_is_no_trouble(tmp_path: Path, search: Search, model: str) -> None:
    # given four classes, one of them in one row: of fold 0's validation
    X, y = classes(n_classes=3)
    y[0] = 3
    work = work_of(tmp_path, model, X, y, task="multiclass", metrics=("log_loss", "accuracy", "f1"), search=search)
    assert 3 not in work.matrices.fold(0).train.whole().y
    # when, then
    answer = step(work, Candidate("0", {}), 0, search.resource)
    assert math.isfinite(answer.metrics["log_loss"])
    assert answer.metrics["accuracy"] > 0.4


def test_inline_and_cluster_find_the_same(tmp_path: Path, client: Any) -> None:
    # given
    X, y = classes()
    policies = [Hyperband(max_iter=9).policy({"alpha": np.logspace(-6, 0, 50).tolist()}, seed=2) for _ in range(2)]
    works = [work_of(tmp_path / name, "sgd", X, y) for name in ("inline", "client")]
    # when
    inline = engine.run(policies[0], works[0], InlineExecutor())
    spread = engine.run(policies[1], works[1], ClientExecutor(client))

    # then
    def gist(result: Any) -> Any:
        return [(t.id, t.params, t.score, t.metrics, [p.fold_scores for p in t.curve]) for t in result.trials]

    assert gist(inline) == gist(spread)
    assert inline.best.id == spread.best.id


# the refit


@pytest.mark.parametrize("model", ["sgd", "hist_gradient_boosting", "logistic"])
def test_the_winner_is_fitted_on_all_rows_with_the_resource_it_ended_with(tmp_path: Path, model: str) -> None:
    # given
    X, y = classes()
    work = work_of(tmp_path, model, X, y, search=Hyperband(max_iter=9))
    best = Trial("2-1", {}, resource=3)
    # when
    sha256 = refit(work, best, work.matrices.final, tmp_path / "fitted.pkl")
    # then
    content = (tmp_path / "fitted.pkl").read_bytes()
    assert hashlib.sha256(content).hexdigest() == sha256
    made, final = pickle.loads(content), work.matrices.final
    seed = seed_of(7, "trial", "2-1")
    by_hand = work.model.estimator("binary", {}, seed)
    if model == "sgd":
        by_hand.set_params(shuffle=False)
        for seen, number in enumerate(np.random.RandomState(seed_of(7, "order", 0)).permutation(final.n_blocks)[:3]):
            rows = rows_in_order(seen, len(final.block(number).y))
            by_hand.partial_fit(final.block(number).X[rows], final.block(number).y[rows], classes=[0, 1])
    elif model == "hist_gradient_boosting":
        with threadpool_limits(1):
            by_hand.set_params(max_iter=33).fit(X, y)
        assert made.get_params()["warm_start"] is False
    else:
        by_hand.fit(X[:80], y[:80])
    assert same_model(made, by_hand, X)


def test_the_refit_of_a_whole_fit_takes_all_rows(tmp_path: Path) -> None:
    X, y = numbers()
    work = work_of(tmp_path, "sgd", X, y, task="regression", metrics=("rmse",), search=NoSearch())
    refit(work, Trial("0", {}, resource=1), work.matrices.final, tmp_path / "fitted.pkl")
    made = pickle.loads((tmp_path / "fitted.pkl").read_bytes())
    by_hand = SGDRegressor(max_iter=100, random_state=seed_of(7, "rows")).fit(X, y)
    assert made.n_iter_ == by_hand.n_iter_
    assert np.allclose(made.predict(X), by_hand.predict(X), rtol=1e-3, atol=1e-3)


def test_what_a_search_left_behind_is_enough_to_go_on(tmp_path: Path, new_process: Callable[[], None]) -> None:
    # given a search whose first half is on record, and a new process
    X, y = classes()
    space = {"alpha": np.logspace(-6, 0, 50).tolist(), "average": [True, False]}
    whole = Memory()
    expected = engine.run(
        Hyperband(max_iter=9).policy(space, seed=2),
        work_of(tmp_path / "a", "sgd", X, y),
        InlineExecutor(),
        recorder=whole,
    )
    half = Memory()
    other = work_of(tmp_path / "b", "sgd", X, y)
    with pytest.raises(KeyboardInterrupt):
        engine.run(Hyperband(max_iter=9).policy(space, seed=2), Stopping(other, 50), InlineExecutor(), recorder=half)
    new_process()
    # when
    rest = Memory()
    other._hashes.clear()
    resumed = engine.run(
        Hyperband(max_iter=9).policy(space, seed=2), other, InlineExecutor(), recorder=rest, earlier=half.records
    )
    # then it goes on from the snapshots and ends the same
    units = [record for record in rest.records if record["record"] == "unit"]
    assert all(record["details"]["from"] == 0 or record["resource"] > 1 for record in units)
    assert any(record["details"]["from"] > 0 for record in units)
    assert [(t.id, t.score) for t in resumed.trials] == [(t.id, t.score) for t in expected.trials]


class Stopping:
    """Work that is interrupted after so many units."""

    def __init__(self, work: MatrixWork, after: int) -> None:
        self.work, self.left = work, after
        self.n_folds, self.metric, self.greater_is_better = work.n_folds, work.metric, work.greater_is_better

    def unit(self, *arguments: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.work.unit(*arguments)

    def recorded(self, *arguments: Any) -> None:
        self.work.recorded(*arguments)


def test_a_unit_carries_little(tmp_path: Path) -> None:
    X, y = classes()
    work = work_of(tmp_path, "sgd", X, y)
    for number in range(200):
        work.recorded(str(number), 0, 1, {"sha256": "0" * 64})
    unit = work.unit(Candidate("0", {"alpha": 1}), 0, 1, 3)
    assert unit.function is fit
    assert len(pickle.dumps(unit)) < 4000
    assert "/" not in unit.key
