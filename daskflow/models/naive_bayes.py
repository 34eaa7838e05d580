"""Naive Bayes: one pass over the rows, and nothing to converge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from daskflow.core.space import LogUniform
from daskflow.models import Model


class NaiveBayes(Model):
    """scikit-learn's GaussianNB or BernoulliNB; classification only. Learns block by block.

    Its ranking is often better than its probabilities, which are too near to 0 and 1 where columns go together.

    Attributes
    ----------
    distribution : {"gaussian", "bernoulli"}
        Of a column within a class: normal, for numbers; or whether it is above 0, which after standardising is the
        mean: for indicators, words and other sparse columns, and for numbers with long tails.

    Examples
    --------
    >>> NaiveBayes().estimator("binary", {"var_smoothing": 1e-3}, seed=7)
    GaussianNB(var_smoothing=0.001)
    >>> NaiveBayes(distribution="bernoulli").takes_sparse("binary")
    True
    """

    kind: Literal["naive_bayes"] = "naive_bayes"
    distribution: Literal["gaussian", "bernoulli"] = "gaussian"

    copies: ClassVar[float] = 1.1
    libraries: ClassVar[tuple[str, ...]] = ("sklearn.naive_bayes",)
    tasks: ClassVar[tuple[str, ...]] = ("binary", "multiclass")

    def template(self, task: str) -> Any:
        """Return the classifier."""
        from sklearn.naive_bayes import BernoulliNB, GaussianNB

        return GaussianNB() if self.distribution == "gaussian" else BernoulliNB()

    def default_space(self, task: str) -> Mapping[str, Any]:
        """How much is added to every variance: up to the largest one, which indicators of rare levels need."""
        if self.distribution == "gaussian":
            return {"var_smoothing": LogUniform(1e-9, 1.0)}
        return {"alpha": LogUniform(1e-3, 1e2), "fit_prior": [True, False]}
