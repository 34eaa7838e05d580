"""Boosters: what xgboost and lightgbm need of us to train one model over several processes, and go on with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from sklearn.base import clone, is_classifier

from daskflow.data.matrices import Batch

SILENT_SECONDS = 1800
"""A process that hears nothing of the others for so long gives up; whose death is seen, nobody waits for."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides a boosting fit besides the rows; plain values.

    Attributes
    ----------
    library : str
        xgboost or lightgbm.
    params : mapping
        By the names of the library's own ``train``.
    rounds : int
        Boosting rounds in total.
    options : mapping
        What building the library's matrix needs: the value that stands for missing, the number of bins.
    class_weights : tuple of float
        Factor of each class on the rows' weights; empty for none.
    """

    library: str
    params: Mapping[str, Any]
    rounds: int
    options: Mapping[str, Any] = field(default_factory=dict)
    class_weights: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Seat:
    """One process's place among those that train a model together.

    Attributes
    ----------
    rank, n_ranks : int
        Its number, and how many there are; one alone talks to nobody.
    threads : int
        Native threads it may use.
    network : mapping
        How it finds the others.
    """

    rank: int
    n_ranks: int
    threads: int
    network: Mapping[str, Any] = field(default_factory=dict)


AfterRound = Callable[[int, Callable[[], bytes]], None]
"""Hears, after a round, how many are made, and gets a function that writes the model down."""


class Booster(Protocol):
    """A boosting library."""

    def why_not(self, estimator: Any) -> str:
        """Say why an estimator cannot be fitted by several processes; empty when it can."""

    def recipe(self, estimator: Any, counts: Sequence[int], n_classes: int) -> Recipe:
        """Translate a scikit-learn style estimator; `counts` are the rows of each class."""

    def train(self, recipe: Recipe, batch: Batch, seat: Seat, *, done: int, model: bytes, after: AfterRound) -> bytes:
        """Bring a model of `done` rounds (empty bytes for none) to all of the recipe's, over this process's rows."""

    def assemble(self, estimator: Any, recipe: Recipe, model: bytes, n_features: int, n_classes: int) -> Any:
        """Return the estimator as its own ``fit`` would leave it, with this model."""


class XGBoost:
    """xgboost by its own ``train`` within its collective, which is what ``xgboost.dask`` calls on its workers too."""

    def why_not(self, estimator: Any) -> str:
        """Callables, early stopping, rankers, and boosters whose earlier trees change, are left to ``fit``."""
        name = type(estimator).__name__
        if "Ranker" in name:
            return f"{name} needs whole groups of rows on one worker"
        if estimator.booster not in (None, "gbtree"):
            return f"booster = '{estimator.booster}' does not continue from a checkpoint to the same model"
        if any(callable(getattr(estimator, option)) for option in ("objective", "eval_metric")):
            return "an objective or a metric that is a function stays in one process"
        if estimator.early_stopping_rounds or estimator.callbacks:
            return "early stopping and callbacks need a validation set, which the final fit does not have"
        return ""

    def recipe(self, estimator: Any, counts: Sequence[int], n_classes: int) -> Recipe:
        """Take what ``get_xgb_params`` says; with more than two classes the objective is of many classes."""
        params = {name: value for name, value in estimator.get_xgb_params().items() if value is not None}
        for name in ("n_jobs", "nthread", "missing"):
            params.pop(name, None)
        if n_classes > 2:
            if params.get("objective") != "multi:softmax":
                params["objective"] = "multi:softprob"
            params["num_class"] = n_classes
        # Otherwise rows are sampled by a generator that a restart would set back.
        params.setdefault("seed_per_iteration", True)
        is_binned = estimator.tree_method in ("hist", "auto", None)
        return Recipe(
            "xgboost",
            params,
            int(estimator.get_num_boosting_rounds()),
            {"missing": float(estimator.missing), "bins": (estimator.max_bin or 256) if is_binned else 0},
        )

    def train(self, recipe: Recipe, batch: Batch, seat: Seat, *, done: int, model: bytes, after: AfterRound) -> bytes:
        """Train within a communicator, alone without one."""
        import xgboost

        class Watch(xgboost.callback.TrainingCallback):  # type: ignore[misc]  # a class of Any: xgboost may be absent
            def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
                after(int(model.num_boosted_rounds()), lambda: bytes(model.save_raw("ubj")))
                return False

        network = {**seat.network, "dmlc_task_id": f"{seat.rank:06d}", "dmlc_timeout": SILENT_SECONDS}
        alone = seat.n_ranks == 1
        with nullcontext() if alone else xgboost.collective.CommunicatorContext(**network):
            options: dict[str, Any] = {"missing": recipe.options["missing"], "nthread": seat.threads}
            given = {"label": batch.y, "weight": batch.weight, **options}
            rows: Any
            if recipe.options["bins"]:
                rows = xgboost.QuantileDMatrix(batch.X, max_bin=recipe.options["bins"], **given)
            else:
                rows = xgboost.DMatrix(batch.X, **given)
            booster = xgboost.train(
                {**recipe.params, "nthread": seat.threads},
                rows,
                recipe.rounds - done,
                xgb_model=xgboost.Booster(model_file=bytearray(model)) if model else None,
                callbacks=[Watch()],
                verbose_eval=False,
            )
            return bytes(booster.save_raw("ubj"))

    def assemble(self, estimator: Any, recipe: Recipe, model: bytes, n_features: int, n_classes: int) -> Any:
        """Load the model, and set back the parameters that loading writes over."""
        given = estimator.get_params()
        estimator.load_model(bytearray(model))
        del given["objective"]
        return estimator.set_params(**given)


class LightGBM:
    """lightgbm by its own ``train`` with a list of machines, which is what ``lightgbm.dask`` does too."""

    def why_not(self, estimator: Any) -> str:
        """Callables, rankers, and boosters whose earlier trees change, are left to ``fit``."""
        name = type(estimator).__name__
        if "Ranker" in name:
            return f"{name} needs whole groups of rows on one worker"
        if estimator.boosting_type in ("dart", "rf"):
            return f"boosting_type = '{estimator.boosting_type}' does not continue from a checkpoint to the same model"
        if callable(estimator.objective):
            return "an objective that is a function stays in one process"
        return ""

    def recipe(self, estimator: Any, counts: Sequence[int], n_classes: int) -> Recipe:
        """Take what lightgbm itself makes of the estimator when it fits a few rows."""
        params = dict(_tiny(estimator, 1, n_classes).booster_.params)
        rounds = int(estimator.n_estimators)
        for name in ("num_iterations", "num_threads"):
            params.pop(name, None)
        weights: tuple[float, ...] = ()
        if is_classifier(estimator) and estimator.class_weight is not None:
            weights = factors_of(estimator.class_weight, counts)
        return Recipe("lightgbm", params, rounds, class_weights=weights)

    def train(self, recipe: Recipe, batch: Batch, seat: Seat, *, done: int, model: bytes, after: AfterRound) -> bytes:
        """Train with the machines of the network, alone without one."""
        import lightgbm

        def watch(env: Any) -> None:
            after(int(env.iteration) + 1, lambda: env.model.model_to_string(num_iteration=-1).encode())

        params = {**recipe.params, "num_threads": seat.threads}
        if seat.n_ranks > 1:
            learner = str(params.get("tree_learner", "data"))
            params |= {
                **seat.network,
                "num_machines": seat.n_ranks,
                "time_out": SILENT_SECONDS // 60,
                "pre_partition": True,
                "tree_learner": "data" if learner == "serial" else learner,
            }
        rows = lightgbm.Dataset(batch.X, batch.y, weight=batch.weight, params=params, free_raw_data=False)
        booster = lightgbm.train(
            params,
            rows,
            recipe.rounds - done,
            init_model=lightgbm.Booster(model_str=model.decode()) if model else None,
            callbacks=[watch],
        )
        content: bytes = booster.model_to_string(num_iteration=-1).encode()
        if seat.n_ranks > 1:
            booster.free_network()
        return content

    def assemble(self, estimator: Any, recipe: Recipe, model: bytes, n_features: int, n_classes: int) -> Any:
        """Let the estimator fit a few rows, which sets all it keeps, and put the model in the place of theirs."""
        import lightgbm

        fitted = _tiny(estimator, n_features, n_classes)
        fitted._Booster = lightgbm.Booster(model_str=model.decode())
        return fitted.set_params(n_estimators=estimator.n_estimators, n_jobs=estimator.n_jobs)


def _tiny(estimator: Any, n_features: int, n_classes: int) -> Any:
    """A copy of a lightgbm estimator, fitted on a few made-up rows of all classes; quiet unless it says otherwise."""
    rows = max(2, n_classes)
    quiet = {"verbose": estimator.get_params().get("verbose", -1)}
    y = np.arange(rows) if n_classes else np.arange(rows, dtype=float)
    copied = clone(estimator).set_params(n_estimators=1, n_jobs=1, **quiet)
    return copied.fit(np.zeros((rows, n_features), dtype=np.float32), y)


BOOSTERS: Mapping[str, Booster] = {"xgboost": XGBoost(), "lightgbm": LightGBM()}
"""The libraries that can, by the name of their package."""


def booster_of(estimator: Any) -> Booster | None:
    """Return the library of an estimator, by its class's package; None for all others."""
    for cls in type(estimator).__mro__:
        package, _, rest = cls.__module__.partition(".")
        if package in BOOSTERS and rest == "sklearn":
            return BOOSTERS[package]
    return None


def factors_of(class_weight: Any, counts: Sequence[int]) -> tuple[float, ...]:
    """Return the factor of each class on its rows' weights, as scikit-learn reads ``class_weight``.

    Examples
    --------
    >>> factors_of("balanced", [30, 10])
    (0.6666666666666666, 2.0)
    >>> factors_of({1: 5.0}, [30, 10])
    (1.0, 5.0)
    """
    if class_weight == "balanced":
        return tuple(sum(counts) / (len(counts) * max(count, 1)) for count in counts)
    return tuple(float(class_weight.get(code, 1.0)) for code in range(len(counts)))


def weights_of(batch: Batch, factors: Sequence[float]) -> Any:
    """Return the rows' weights times those of their classes; None where every row counts the same."""
    if not factors:
        return None if batch.weight is None else np.asarray(batch.weight)
    own = np.asarray(factors)[np.asarray(batch.y, dtype=np.int64)]
    return own if batch.weight is None else own * batch.weight
