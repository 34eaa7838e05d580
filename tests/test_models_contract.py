"""Every model family of the registry keeps what a family promises; a new kind is tested the day it is added."""

from __future__ import annotations

import pickle
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tomli_w
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from daskflow import metrics, models
from daskflow.core.errors import SettingsError
from daskflow.data.predictions import predict
from daskflow.models import Model

TASKS = ("binary", "multiclass", "regression")

NAMED = {"binary": "sklearn.naive_bayes:GaussianNB", "regression": "sklearn.linear_model:BayesianRidge"}
"""What `estimator`, the one family that is nothing without an option, is tested with."""


def _settings(kind: str, task: str) -> Model:
    cls = models.REGISTRY.get(kind)
    if kind == "estimator":
        return cls(estimator=NAMED.get(task, NAMED["binary"]))
    return cls()


CASES = [
    pytest.param(_settings(kind, task), task, id=f"{kind}-{task}")
    for kind, cls in models.REGISTRY.kinds.items()
    for task in TASKS
    if task in cls.tasks and kind != "families"  # its candidates are those of other families: test_models_families.py
]


def few(model: Model, task: str, number: int) -> dict[str, int]:
    """So many trees or rounds, for families that have them."""
    names = [*model.template(task).get_params(), *model.further_names]
    wanted = {"n_estimators": number, "iterations": number}
    return {name: value for name, value in wanted.items() if name in names}


@pytest.fixture(autouse=True)
def one_native_thread() -> Iterator[None]:
    """Fit as the engine does: OpenMP threads that wait for each other burn a busy machine's time."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def credit(shared_data: Path) -> dict[str, tuple[Any, Any]]:
    """Real rows, standardised, in float32, with a target for each task."""
    table = pd.read_csv(next((shared_data / "credit_default").glob("*.csv.gz")), nrows=1500)
    targets = {
        "binary": table["default.payment.next.month"].to_numpy(),
        "multiclass": np.digitize(table["PAY_0"], [0, 1]),
        "regression": np.log(table["LIMIT_BAL"].to_numpy(float)),
    }
    features = table.drop(columns=["ID", "default.payment.next.month"]).to_numpy(float)
    X = StandardScaler().fit_transform(features).astype(np.float32)
    return {task: (X, y) for task, y in targets.items()}


def draw(space: Any, seed: int) -> dict[str, Any]:
    """One candidate, as a random search draws it."""
    state = np.random.RandomState(seed)
    return {
        name: values.rvs(random_state=state) if hasattr(values, "rvs") else values[state.randint(len(values))]
        for name, values in space.items()
    }


@pytest.mark.parametrize(("model", "task"), CASES)
def test_a_family_beats_the_guess_on_real_rows(model: Model, task: str, credit: Any) -> None:
    X, y = credit[task]
    params = few(model, task, 20)

    estimator = model.estimator(task, params, seed=3).fit(X[:1000], y[:1000])

    predicted = predict(estimator, X[1000:], 0 if task == "regression" else len(np.unique(y)))
    name, least = ("r2", 0.1) if task == "regression" else ("roc_auc", 0.6)
    assert metrics.parse(name).score(y[1000:], predicted.labels if name == "r2" else predicted.scores) > least


@pytest.mark.parametrize(("model", "task"), CASES)
def test_the_same_seed_gives_the_same_predictions(model: Model, task: str, credit: Any) -> None:
    X, y = credit[task]
    params = few(model, task, 5)

    first, again = (model.estimator(task, params, seed=3).fit(X[:500], y[:500]).predict(X) for _ in range(2))

    assert np.array_equal(first, again)


@pytest.mark.parametrize(("model", "task"), CASES)
def test_every_draw_of_the_default_space_is_valid(model: Model, task: str) -> None:
    space = model.space(task)

    assert model.check(task, space) == []
    for seed in range(20):
        params = draw(space, seed)
        estimator = model.estimator(task, params, seed=seed)
        if hasattr(estimator, "_parameter_constraints"):
            estimator._validate_params()
        assert {name: estimator.get_params()[name] for name in params} == params


@pytest.mark.parametrize(("model", "task"), CASES)
def test_what_a_family_says_of_sparse_matrices_and_blocks_is_so(model: Model, task: str, credit: Any) -> None:
    X, y = credit[task]
    params = few(model, task, 5)
    estimator = model.estimator(task, params, seed=3)

    if model.takes_sparse(task):
        estimator.fit(csr_matrix(X[:300]), y[:300])
    else:
        with pytest.raises(TypeError, match=r"[Ss]parse"):
            estimator.fit(csr_matrix(X[:300]), y[:300])
    assert model.is_incremental(task) == hasattr(estimator, "partial_fit")
    if model.is_incremental(task):
        classes = {} if task == "regression" else {"classes": np.unique(y)}
        block_by_block = clone(estimator).partial_fit(X[:300], y[:300], **classes).partial_fit(X[300:600], y[300:600])
        assert len(block_by_block.predict(X)) == len(X)


@pytest.mark.parametrize(("model", "task"), CASES)
def test_settings_survive_pickling_cloning_and_a_toml_file(model: Model, task: str) -> None:
    params = draw(model.space(task), 1)
    estimator = model.estimator(task, params, seed=3)

    written = tomli_w.dumps(model.dump())

    assert repr(models.parse(tomllib.loads(written))) == repr(model)
    assert repr(pickle.loads(pickle.dumps(model)).estimator(task, params, seed=3)) == repr(estimator)
    assert repr(clone(estimator)) == repr(estimator)


@pytest.mark.parametrize(("model", "task"), CASES)
def test_a_misspelt_parameter_is_told_the_nearest_name_before_any_fit(model: Model, task: str) -> None:
    name = sorted(model.template(task).get_params())[0]
    misspelt = name[:-1] + name[-1] * 2
    wrong = type(model)(**{**model.dump(), "params": {misspelt: 1}})

    problems = wrong.check(task, ["nonsense"])

    assert [str(p).split(":")[0] for p in problems] == [f"model.params.{misspelt}", "search.space.nonsense"]
    assert f"no such option; did you mean '{name}'?" in str(problems[0])
    with pytest.raises(SettingsError, match=f"did you mean '{name}'"):
        wrong.estimator(task, {}, seed=1)


@pytest.mark.parametrize(("model", "task"), CASES)
def test_a_family_takes_its_seed_and_keeps_to_one_thread(model: Model, task: str) -> None:
    params = model.estimator(task, {}, seed=11).get_params()

    assert params.get("random_state", 11) == 11
    assert params.get("n_jobs") in (None, 1)
    assert model.estimator(task, {}, seed=None).get_params().get("random_state") is None


@pytest.mark.parametrize("kind", sorted(models.REGISTRY.kinds))
def test_a_task_without_an_estimator_is_answered_with_the_families_that_have_one(kind: str) -> None:
    for task in set(TASKS) - set(models.REGISTRY.get(kind).tasks):
        (problem,) = _settings(kind, task).check(task)

        assert str(problem).startswith(f"model.kind: {kind} has no estimator for {task}; there is: ")
        assert "ridge" in str(problem)
