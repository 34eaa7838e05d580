"""How much better probabilities are than those of knowing only how often each class occurs."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from daskflow.metrics.probability import Brier, LogLoss
from daskflow.metrics.sums import EPS, Moments, SumsMetric

Floats = NDArray[np.float64]


class SkillMetric(SumsMetric):
    """One minus a loss over that of predicting every class by its share of these rows; 0 as that, 1 for no loss."""

    needs: ClassVar[str] = "probabilities"
    undefined: ClassVar[str] = "all rows are of one class"

    def losses(self, y_true: Any, y_pred: Any) -> Floats:
        """Return each row's loss, shape (n_rows,)."""
        raise NotImplementedError

    def by_share(self, share: Floats) -> Floats:
        """Return the loss of predicting shares, shape (n, n_classes), on rows that have them."""
        raise NotImplementedError

    def quantities(self, y_true: Any, y_pred: Any) -> Floats:
        """The loss, and for each class whether the row is of it."""
        codes = y_true.astype(np.int64)
        n_classes = 2 if y_pred.ndim == 1 else y_pred.shape[1]
        return np.column_stack([self.losses(y_true, y_pred), codes[:, None] == np.arange(n_classes)])

    def of_moments(self, moments: Moments) -> Floats:
        """One minus the ratio; nan for one class."""
        share = moments.mean[:, 1:]
        found = 1.0 - moments.mean[:, 0] / self.by_share(share)
        return np.where((share > 0).sum(axis=1) > 1, found, np.nan)


class D2LogLoss(SkillMetric):
    """Share of the log loss of knowing only how often each class occurs that is explained; McFadden's pseudo R².

    McFadden, "Conditional logit analysis of qualitative choice behavior" (1974). At most 1, below 0 when worse than the
    shares of the classes; nan for rows of one class.

    Examples
    --------
    >>> round(D2LogLoss().score([0, 0, 1, 1], [0.1, 0.3, 0.6, 0.9]), 4)
    0.6111
    """

    kind: Literal["d2_log_loss"] = "d2_log_loss"

    def losses(self, y_true: Any, y_pred: Any) -> Floats:
        """Minus the logarithm of the true class's probability."""
        return LogLoss().losses(y_true, y_pred)

    def by_share(self, share: Floats) -> Floats:
        """Entropy."""
        return np.asarray(-(share * np.log(np.clip(share, EPS, 1.0))).sum(axis=1))


class D2Brier(SkillMetric):
    """Share of the Brier score of knowing only how often each class occurs that is explained: the Brier skill score.

    At most 1, below 0 when worse than the shares of the classes; nan for rows of one class.

    Examples
    --------
    >>> round(D2Brier().score([0, 0, 1, 1], [0.1, 0.3, 0.6, 0.9]), 4)
    0.73
    """

    kind: Literal["d2_brier"] = "d2_brier"

    def losses(self, y_true: Any, y_pred: Any) -> Floats:
        """Squared distance, of two classes that of class 1."""
        return Brier().losses(y_true, y_pred)

    def by_share(self, share: Floats) -> Floats:
        """Variance of the classes; of two that of class 1."""
        spread = (share * (1.0 - share)).sum(axis=1)
        return np.asarray(spread / 2 if share.shape[1] == 2 else spread)
