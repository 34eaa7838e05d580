"""Select: which columns stay, by their variance or by what they say of the target."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from daskflow.core.errors import DataError, Problem, SettingsError
from daskflow.core.settings import Settings
from daskflow.data.schema import Column, ColumnKind
from daskflow.data.statistics import ColumnStatistics
from daskflow.data.tallies import Tally
from daskflow.preprocess.information import JointCounts, mutual_information

SHOWN = 20
"""Columns that are left out which a sentence names."""


class Select(Settings):
    """Keep the columns that vary, or that say most of the target; of the training rows, for each fold anew.

    Columns are those of the table and the new ones, before their chains; what a column becomes stays or goes with it.
    Names of what is left out are reported.

    Attributes
    ----------
    method : str
        ``variance``: columns above the `threshold`. Of numbers and truths it is the variance of their values as they
        stand in the table; of categories the sum of their indicators' variances, 1 - sum of squared shares. Dates stay.
        ``mutual_information``: the `k` columns, or the `share` of them, or those above the `threshold`, of the largest
        mutual information with the target, in nats (see Notes).
    k : int, optional
        So many columns stay.
    share : float, optional
        This share of the columns stays, rounded up.
    threshold : float, optional
        Columns above it stay; default 0 for ``variance``.

    Notes
    -----
    Mutual information is counted in one pass, exactly for up to 512 distinct numbers (8,192 levels for up to 32
    classes, 2,048 for a regression). Beyond that numbers fall into 257 to 512 bins: those that agree in the leading
    bits of float64, as many bits as that allows; and levels into groups by their hash. From these, bins of about
    equally many rows are made, twice the cube root of the number of rows, 64 at most; levels of fewer than 8 rows, or
    than 1/1024 of them, are one. A missing value is a level of its own. The target of a regression is counted in up to
    128 bins, made to 16. What is counted so is never more than the mutual information of the sample's own values
    (grouping loses, by the data processing inequality), and all of it where nothing was grouped; the expected bias of
    independent columns, (bins - 1) (classes - 1) / (2 rows), is taken off, and nothing is left below 0.

    Counts are integers, and bins depend on the union of the values alone, so the choice is the same however the rows
    are cut.
    """

    method: Literal["variance", "mutual_information"]
    k: int | None = Field(default=None, ge=1)
    share: float | None = Field(default=None, gt=0, le=1)
    threshold: float | None = Field(default=None, ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        given = [name for name in ("k", "share", "threshold") if getattr(self, name) is not None]
        if self.method == "variance" and set(given) - {"threshold"}:
            raise SettingsError(
                [Problem(given[0], "is for 'mutual_information': variances of columns have no common unit to rank by")]
            )
        if len(given) > 1 or (self.method == "mutual_information" and not given):
            found = " and ".join(given) or "none"
            raise SettingsError([Problem("", f"one of k, share and threshold says what stays (found {found})")])
        return self

    @property
    def needs_target(self) -> bool:
        """Whether it looks at the target."""
        return self.method == "mutual_information"

    def statistics(self, column: Column) -> frozenset[str | Tally]:
        """Return what must be counted of a column."""
        if self.needs_target:
            return frozenset({JointCounts()})
        return frozenset({"levels"}) if column.kind is ColumnKind.CATEGORICAL else frozenset()

    def words(self) -> str:
        """Say the rule."""
        if self.method == "variance":
            return f"columns of a variance above {self.threshold or 0:g}"
        if self.threshold is not None:
            return f"columns of a mutual information with the target above {self.threshold:g}"
        how_many = f"{self.k}" if self.k is not None else f"{self.share:.0%} of the"
        return f"the {how_many} columns of the largest mutual information with the target"

    def left_out(
        self, columns: Sequence[Column], statistics: Mapping[str, ColumnStatistics]
    ) -> tuple[frozenset[str], str | None]:
        """Return the names of the columns that do not stay, and a sentence on them.

        Raises
        ------
        DataError
            When no column would stay.
        """
        if not columns:
            return frozenset(), None
        worth = {column.name: self._worth(column, statistics[column.name]) for column in columns}
        ranked = sorted(worth, key=lambda name: -worth[name])  # stable: of equal ones the first in order
        if self.k is not None or self.share is not None:
            kept = self.k if self.k is not None else math.ceil(len(ranked) * (self.share or 1))
            gone = ranked[kept:]
        else:
            gone = [name for name in ranked if worth[name] <= (self.threshold or 0.0)]
        if len(gone) == len(columns):
            raise DataError(
                f"No column is left: select keeps {self.words()}, and the largest is {worth[ranked[0]]:.3g}. "
                "Lower the threshold."
            )
        names = frozenset(gone)
        if not gone:
            return names, None
        measure = "variance" if self.method == "variance" else "mutual information"
        shown = ", ".join(f"'{name}' ({worth[name]:.3g})" for name in gone[:SHOWN])
        more = f" and {len(gone) - SHOWN} more" if len(gone) > SHOWN else ""
        return names, (
            f"Select keeps {len(columns) - len(gone)} of {len(columns)} columns by their {measure}; "
            f"left out: {shown}{more}."
        )

    def _worth(self, column: Column, found: ColumnStatistics) -> float:
        """A column's variance or mutual information."""
        if self.needs_target:
            return mutual_information(
                found.tallies[JointCounts()], is_ordered=column.kind is not ColumnKind.CATEGORICAL
            )
        if column.kind is ColumnKind.DATETIME:
            return math.inf
        if column.kind is not ColumnKind.CATEGORICAL:
            return found.variance
        if found.has_too_many_levels or found.levels is None:
            return 1.0
        return 1.0 - sum((count / found.n_values) ** 2 for count in found.levels.values())
