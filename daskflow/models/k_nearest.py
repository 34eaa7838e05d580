"""Nearest neighbours: for small tables, whose rows are the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from daskflow.models import Model

MANY_ROWS = 50_000


class KNearest(Model):
    """scikit-learn's KNeighborsClassifier and KNeighborsRegressor; they take no sample weights.

    The model keeps all its rows, and looks for the nearest among them for every row it is asked about; columns count by
    their scale, so they should be standardised.

    Examples
    --------
    >>> KNearest().estimator("regression", {"n_neighbors": 9}, seed=7)
    KNeighborsRegressor(n_neighbors=9)
    >>> len(KNearest().notes("regression", 2_000_000))
    1
    """

    kind: Literal["k_nearest"] = "k_nearest"

    copies: ClassVar[float] = 2.5
    libraries: ClassVar[tuple[str, ...]] = ("sklearn.neighbors",)

    def template(self, task: str) -> Any:
        """Return the regressor or the classifier."""
        from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

        return KNeighborsRegressor() if task == "regression" else KNeighborsClassifier()

    def default_space(self, task: str) -> Mapping[str, Any]:
        """How many neighbours, whether nearer ones count more, and how distance adds up over columns."""
        return {
            "n_neighbors": [3, 5, 9, 15, 25, 40, 60],
            "weights": ["uniform", "distance"],
            "p": [1, 2],
        }

    def notes(self, task: str, n_rows: int) -> list[str]:
        """Say that it is for small tables."""
        if n_rows <= MANY_ROWS:
            return []
        return [
            f"k_nearest is for small tables: every prediction looks through the {n_rows:,} training rows, which the "
            f"model holds. Beyond {MANY_ROWS:,} rows take another family, or sample = {MANY_ROWS} under [split]"
        ]
