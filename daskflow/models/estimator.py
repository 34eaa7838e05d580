"""Any scikit-learn estimator: by its import path, or the object itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_serializer, field_validator, model_serializer
from sklearn.base import clone

from daskflow.core.errors import Problem, SettingsError
from daskflow.fused import sgd as fused_sgd
from daskflow.models import Model, construction
from daskflow.models.fusing import fuses
from daskflow.models.plain import blank, changed_params, encode, import_path, missing_methods, resolve


class Estimator(Model):
    """An estimator that is not a family: named by import path in a file, or given as an object from Python.

    Attributes
    ----------
    given : str or estimator
        Written ``estimator``: ``"package.module:Class"`` (or with a point), or an unfitted estimator, whose own
        parameters are kept under `params`. Written out, an object is its import path with the parameters that are not
        the default.

    Examples
    --------
    >>> from sklearn.naive_bayes import GaussianNB
    >>> model = Estimator(estimator=GaussianNB(var_smoothing=1e-8))
    >>> model.dump()
    {'kind': 'estimator', 'params': {'var_smoothing': 1e-08}, 'estimator': 'sklearn.naive_bayes:GaussianNB'}
    >>> model.estimator("binary", {"var_smoothing": 0.1}, seed=None)
    GaussianNB(var_smoothing=0.1)
    """

    kind: Literal["estimator"] = "estimator"
    given: Any = Field(alias="estimator")

    @field_validator("given")
    @classmethod
    def _can_be_used(cls, given: Any) -> Any:
        """Import the path, or look at the object, now: at the door."""
        if isinstance(given, str):
            resolve(given)
            return given
        if isinstance(given, type):
            path = import_path(given)
            return cls._can_be_used(path) if path else cls._can_be_used(blank(given, {}))
        lacking = missing_methods(type(given))
        if lacking:
            raise SettingsError(
                f"should be 'package.module:Class' or a scikit-learn estimator (found {given!r:.80}, "
                f"which has no {' and no '.join(lacking)})"
            )
        return clone(given)

    @field_serializer("given")
    def _plain_given(self, given: Any) -> Any:
        """Write an object as its import path, or as its text when its class cannot be imported elsewhere."""
        if isinstance(given, str):
            return given
        return import_path(type(given)) or encode(given)

    @model_serializer(mode="wrap")
    def _with_own_params(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write an object's own parameters among the fixed ones."""
        plain: dict[str, Any] = handler(self)
        if not isinstance(self.given, str):
            plain["params"] = {**encode(changed_params(self.given)), **plain["params"]}
        return plain

    def template(self, task: str) -> Any:
        """Return the estimator; SettingsError when it is of the other sort, or lacks a required parameter."""
        try:
            made = clone(self.given) if not isinstance(self.given, str) else blank(resolve(self.given), self.params)
        except SettingsError as error:
            (problem,) = error.problems
            raise SettingsError([Problem(f"model.{problem.where or 'estimator'}", problem.message)]) from None
        wrong = construction.misfit(made, task)
        if wrong:
            raise SettingsError([Problem("model.estimator", wrong)])
        return made

    def default_space(self, task: str) -> Mapping[str, Any]:
        """Nothing: say what to search under ``[search.space]``."""
        return {}

    def fuses(self, task: str, params: Mapping[str, Any]) -> bool:
        """Return whether candidates are trained together: of SGDClassifier and SGDRegressor; see `daskflow.fused`."""
        kind = resolve(self.given) if isinstance(self.given, str) else type(self.given)
        return kind in fused_sgd.KINDS and fuses(self.template(task), {**self.params, **params})

    def partial_fit_many(
        self,
        estimators: Sequence[Any],
        X: Any,
        y: Any,
        *,
        n_classes: int,
        sample_weight: Any = None,
        order_seed: int = 0,
    ) -> None:
        """Bring estimators over one block of rows: together where they are SGD's, else one after the other."""
        if any(type(estimator) in fused_sgd.KINDS for estimator in estimators):
            fused_sgd.partial_fit_many(
                estimators, X, y, n_classes=n_classes, sample_weight=sample_weight, order_seed=order_seed
            )
        else:
            super().partial_fit_many(estimators, X, y, n_classes=n_classes, sample_weight=sample_weight)
