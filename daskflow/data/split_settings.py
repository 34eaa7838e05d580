"""Settings of a split: the ``[split]`` table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from daskflow.core.settings import Settings
from daskflow.data.spans import Span, written

MOST_FOLDS = 100
MOST_SEGMENTS = 254
"""A row's segment is one byte, and one value of it means test."""

FOLDS, VALIDATION, MANY_ROWS = 3, 0.1, 1_000_000
"""What a split that names neither has: folds; a validation part for early stopping and for large tables."""


class Split(Settings):
    """How rows are split.

    Attributes
    ----------
    kind : str
        ``random``; ``stratified``: every class has the asked shares, with a group or key by the groups' classes;
        ``group``: random, by the column that ``data.group`` names; ``time``: the last rows are the test;
        ``predefined``: as the column says that ``data.fold`` names. In ``random``, ``stratified`` and ``group`` equal
        rows, rows of equal key and rows of equal group stand on one side.
    test : float
        Share of all rows that is kept for the final evaluation; 0 for none. With ``predefined`` the column says it.
    folds : int or None
        Number of folds; with ``time`` fold k trains on the pieces before piece k+1 and validates on that. With
        ``predefined`` only where the column names nothing but train and test: the rows of train have random folds.
    validation : float or None
        Share of all rows that is kept for scoring during the search, instead of folds.
    repeats : int
        The folds, or the validation part, are drawn so many times, each time with another salt: every candidate is
        fitted folds x repeats times. The test part is drawn once. Not for ``time``.
    window : str, int or None
        With ``time``: how far back a fold trains, instead of from the beginning: a number of pieces (``2`` or
        ``"2 pieces"``), a duration (``"90 days"``), a number of rows (``"10000 rows"``) or, of a numeric time, of its
        units (``"90 units"``). It ends where the gap begins. The winner is refitted on the last window before the test.
    gap : str, float or None
        With ``time``: training rows are older than the first validation row by more than this, and older than the first
        test row in the refit: a duration (``"7 days"``), a number of rows (``"24 rows"``), or a number in the units of
        a numeric time. Rows in a gap are in no part of that fold. Days have 24 hours, in every time zone.
    sample : float, int or None
        Of the rows that are not test, so many are used, by the search and by the last fit: a share between 0 and 1, or
        a number of rows. For models that need their rows in memory. They are drawn by hash like everything else, so
        equal rows, keys and groups stay or go together; with ``stratified`` each class keeps its share. The test part
        is whole. A run says how many rows were left out.
    salt : str
        Another salt is another draw.

    Examples
    --------
    >>> Split().resolve(5_000, stops_early=False).folds
    3
    >>> Split().resolve(5_000_000, stops_early=False).validation
    0.1
    >>> Split(folds=5, repeats=3).n_fits
    15
    """

    kind: Literal["random", "stratified", "group", "time", "predefined"] = "random"
    test: float = Field(default=0.2, ge=0, lt=1)
    folds: int | None = Field(default=None, ge=2, le=MOST_FOLDS)
    validation: float | None = Field(default=None, gt=0, lt=1)
    repeats: int = Field(default=1, ge=1)
    window: int | str | None = None
    gap: int | float | str | None = None
    sample: int | float | None = None
    salt: str = "daskflow"

    @model_validator(mode="before")
    @classmethod
    def _column_says_the_test(cls, values: Any) -> Any:
        """With a predefined split the test is not a share."""
        if isinstance(values, Mapping) and values.get("kind") == "predefined":
            return {"test": 0.0, **values}
        return values

    @field_validator("window", "gap", mode="before")
    @classmethod
    def _is_a_length(cls, value: Any) -> Any:
        """Refuse what is no length."""
        value = written(value)
        if value is not None:
            Span.parse(value)
        return value

    @field_validator("sample", mode="before")
    @classmethod
    def _is_a_part(cls, value: Any) -> Any:
        """Refuse what is neither a share nor a number of rows."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        is_share = is_number and 0 < value < 1
        if value is not None and not is_share and not (is_number and value >= 2 and value == int(value)):
            raise ValueError("should be a share between 0 and 1, or a number of rows")
        return value if value is None or is_share else int(value)

    @model_validator(mode="after")
    def _one_way(self) -> Split:
        """Refuse what excludes each other, and shares that leave nothing to train on."""
        if self.folds is not None and self.validation is not None:
            raise ValueError("folds and validation exclude each other: keep one of them")
        if self.validation is not None and self.test + self.validation >= 1:
            raise ValueError("test and validation together leave no rows to train on: their sum must be below 1")
        for name in ("window", "gap"):
            if getattr(self, name) is not None and self.kind != "time":
                raise ValueError(f"{name} is for kind = 'time'; rows of other kinds have no order")
        if self.gap_span is not None and self.gap_span.unit == "piece":
            raise ValueError("a gap is a duration or a number of rows, not of pieces")
        if self.repeats > 1 and self.kind == "time":
            raise ValueError("repeats are other draws, and a split by time draws nothing")
        if self.kind == "predefined" and self.test:
            raise ValueError("with kind = 'predefined' the column says which rows are test: leave test out")
        if self.repeats > 1:
            _check_repeats(self.folds or (2 if self.validation else FOLDS), self.repeats)
        return self

    @property
    def window_span(self) -> Span | None:
        """How far back a fold trains; a bare number means pieces."""
        if isinstance(self.window, int):
            return Span.parse(f"{self.window} pieces")
        return None if self.window is None else Span.parse(self.window)

    @property
    def gap_span(self) -> Span | None:
        """How much stands between training and validation rows."""
        return None if self.gap is None else Span.parse(self.gap)

    @property
    def n_fits(self) -> int:
        """How many times a candidate is fitted; a guess where the column of a predefined split says it."""
        return (self.folds or (1 if self.validation else FOLDS)) * self.repeats

    def sample_share(self, n_rows: int) -> float:
        """Return the share of so many rows that are not test which are used: 1 without a sample.

        Examples
        --------
        >>> Split(sample=50_000).sample_share(200_000)
        0.25
        """
        if self.sample is None:
            return 1.0
        return float(self.sample) if self.sample < 1 else min(1.0, self.sample / max(1, n_rows))

    def resolve(self, n_rows: int, stops_early: bool) -> Split:
        """Return the split with its default filled in.

        Parameters
        ----------
        n_rows : int
            Rows of the table.
        stops_early : bool
            Whether the search stops trials early.
        """
        if self.folds is not None or self.validation is not None:
            return self
        if stops_early or n_rows * self.sample_share(round(n_rows * (1 - self.test))) > MANY_ROWS:
            return self.model_copy(update={"validation": min(VALIDATION, (1 - self.test) / 2)})
        return self.model_copy(update={"folds": FOLDS})


def _check_repeats(parts: int, repeats: int) -> None:
    """Refuse more combinations of folds than segments can be told apart."""
    if parts**repeats > MOST_SEGMENTS:
        most = next(r for r in range(repeats, 0, -1) if parts**r <= MOST_SEGMENTS)
        raise ValueError(
            f"{parts} folds in {repeats} repeats cut the rows into {parts**repeats:,} combinations, and at most "
            f"{MOST_SEGMENTS} can be told apart: {parts} folds may have {most} repeats (5 folds 3, 3 folds 5)"
        )
