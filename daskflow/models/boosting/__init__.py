"""Boosting, round by round: how an estimator of each library goes on, so that rungs of a search build on each other."""

from __future__ import annotations

import importlib
from typing import Any, Protocol

from daskflow.core.errors import Problem, SettingsError


class Boosting(Protocol):
    """A module of this package: how one library's estimators are brought to a number of rounds."""

    ROUNDS: str
    """Name of the parameter that counts rounds."""

    def continue_fit(self, estimator: Any, X: Any, y: Any, rounds: int, sample_weight: Any = None) -> None:
        """Bring an estimator, unfitted or with fewer rounds, to `rounds` rounds in total."""


_MODULES = {
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting": "histogram",
    "xgboost.sklearn": "xgboost_rounds",
    "lightgbm.sklearn": "lightgbm_rounds",
    "catboost.core": "catboost_rounds",
}
"""The module here for the module that defines an estimator's class."""


def boosting_of(estimator: Any) -> Boosting | None:
    """Return how an estimator is boosted; None for one that is not, and for one that does not say how many rounds.

    Examples
    --------
    >>> from sklearn.ensemble import HistGradientBoostingClassifier
    >>> from sklearn.linear_model import Ridge
    >>> boosting_of(HistGradientBoostingClassifier()).ROUNDS
    'max_iter'
    >>> boosting_of(Ridge()) is None
    True
    """
    for cls in type(estimator).__mro__:
        if cls.__module__ in _MODULES and "Ranker" not in cls.__name__:
            found: Any = importlib.import_module(f"{__name__}.{_MODULES[cls.__module__]}")
            return found if isinstance(estimator.get_params(deep=False).get(found.ROUNDS), int) else None
    return None


def library(name: str, extra: str) -> Any:
    """Import a library that comes with an extra.

    Raises
    ------
    SettingsError
        Naming the extra, when it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        found = f"needs the package {name}, which is not installed: pip install 'daskflow[{extra}]'"
        raise SettingsError([Problem("model.kind", found)]) from None


def fit_anew(estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> None:
    """Fit from the first round, with weights where there are some."""
    estimator.fit(X, y, **({} if sample_weight is None else {"sample_weight": sample_weight}))
