"""Estimator that never answers some rows, for tests of servers: worker processes import it."""

from __future__ import annotations

import time
from typing import Any

from sklearn.linear_model import LogisticRegression


class Hanging(LogisticRegression):  # type: ignore[misc]  # scikit-learn has no types
    """Never answers a row whose first number is above `most`.

    Parameters
    ----------
    most : float
        See above.
    is_deaf : bool
        Whether it keeps the interpreter to itself meanwhile, so that nothing else goes on in its process.
    """

    def __init__(self, most: float = 1e3, is_deaf: bool = False) -> None:
        """Otherwise a logistic regression."""
        super().__init__()
        self.most, self.is_deaf = most, is_deaf

    def predict(self, X: Any) -> Any:
        """Predict, or do not."""
        while len(X) and (X[:, 0] > self.most).any():
            if self.is_deaf:
                sum(range(10**15))
            time.sleep(3600)
        return super().predict(X)
