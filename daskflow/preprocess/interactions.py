"""Interactions: products of numbers and crossed categories, as new columns row by row."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from daskflow.core.errors import Problem, SettingsError
from daskflow.core.settings import Settings
from daskflow.data import arrays
from daskflow.data.arrays import MISSING, Levels
from daskflow.data.schema import Column, ColumnKind, Schema

CROSS = "×"

MOST_COLUMNS = 10_000
"""New columns that one interaction may make."""


class Interaction(Settings):
    """Columns that are multiplied, or whose categories are crossed; a list of names says the same.

    Numbers and truths are multiplied, in float64; categories are crossed, so that ``city`` and ``plan`` have a level
    ``Bonn×basic`` for each pair that occurs. Where one of them is categorical, integers and truths beside it are taken
    as categories; floats and dates are refused. The new column is named ``a:b``, is missing where one of its columns
    is, and gets the steps of its kind.

    Attributes
    ----------
    columns : list of str
        Features, or outputs of functions; at least two, or one with a `degree`.
    degree : int, optional
        All products of the columns up to this total degree (2 to 8) instead of the one of all of them: ``a^2``,
        ``a:b``, ``b^2`` for degree 2. Numbers only.
    cross : bool
        Cross the columns though all are numbers: for categories that are coded by integers. Default False.
    """

    columns: tuple[str, ...] = Field(min_length=1)
    degree: int | None = Field(default=None, ge=2, le=8)
    cross: bool = False

    @model_validator(mode="before")
    @classmethod
    def _list(cls, value: Any) -> Any:
        return {"columns": value} if isinstance(value, list | tuple) else value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        twice = len(set(self.columns)) < len(self.columns)
        if twice or (len(self.columns) == 1 and self.degree is None):
            raise SettingsError(
                [Problem("columns", f"should be at least two different columns (found {list(self.columns)})")]
            )
        if self.degree is not None and self.cross:
            raise SettingsError([Problem("cross", "crossed categories have no degree; leave one of the two out")])
        return self

    def made(self, schema: Schema) -> tuple[Made, ...]:
        """Return the new columns.

        Raises
        ------
        SettingsError
            For columns that are not there or do not go together.
        """
        columns = [schema[name] for name in self.columns]
        is_cross = self.cross or any(column.kind is ColumnKind.CATEGORICAL for column in columns)
        for column in columns:
            problem = _misfit(column, is_cross)
            if problem:
                raise SettingsError(problem)
        if is_cross and self.degree is not None:
            raise SettingsError("a degree needs numbers; leave it out to cross the categories")
        if is_cross:
            return (Made(":".join(self.columns), self.columns, is_cross=True),)
        if self.degree is None:
            return (Made(":".join(self.columns), self.columns, is_cross=False),)
        made = tuple(itertools.islice(self._powers(self.degree), MOST_COLUMNS + 1))
        if len(made) > MOST_COLUMNS:
            raise SettingsError(f"more than {MOST_COLUMNS:,} new columns; name fewer columns, or a lower degree")
        return made

    def _powers(self, degree: int) -> Iterator[Made]:
        """Products of each total degree from 2 on."""
        for total in range(2, degree + 1):
            for factors in itertools.combinations_with_replacement(self.columns, total):
                powers = {name: factors.count(name) for name in factors}
                name = ":".join(name if power == 1 else f"{name}^{power}" for name, power in powers.items())
                yield Made(name, factors, is_cross=False)


@dataclass(frozen=True, slots=True)
class Made:
    """A new column of others.

    Attributes
    ----------
    name : str
        Its name.
    factors : tuple of str
        Columns that are multiplied, one that is squared twice; or crossed.
    is_cross : bool
        Whether it is made of categories.
    """

    name: str
    factors: tuple[str, ...]
    is_cross: bool

    @property
    def column(self) -> Column:
        """Name, kind and type."""
        if self.is_cross:
            return Column(self.name, ColumnKind.CATEGORICAL, "string")
        return Column(self.name, ColumnKind.NUMERIC, "double")

    def apply(self, table: pa.Table) -> pa.Array:
        """Return the column of a table's rows; without rows for none."""
        found = [table.column(name) for name in self.factors]
        return crossed([arrays.levels(column) for column in found]) if self.is_cross else product(found)

    def words(self) -> str:
        """Say what it is."""
        return (" crossed with " if self.is_cross else " times ").join(f"'{name}'" for name in self.factors)

    def dump(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"name": self.name, "factors": list(self.factors), "is_cross": self.is_cross}

    @classmethod
    def load(cls, values: Mapping[str, Any]) -> Made:
        """Return what `dump` gave."""
        return cls(values["name"], tuple(values["factors"]), bool(values["is_cross"]))


def product(columns: Sequence[pa.ChunkedArray | pa.Array]) -> pa.Array:
    """Multiply numeric columns in float64; missing where one is, infinite where one is.

    Examples
    --------
    >>> product([pa.array([2, None]), pa.array([1.5, 1.0])]).to_pylist()
    [3.0, None]
    """
    factors = [arrays.numbers(column) for column in columns]
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.prod(factors, axis=0)
    is_lost = np.isnan(found) & ~np.isnan(factors).any(axis=0)  # 0 times infinity: the infinity is refused later
    return pa.array(np.where(is_lost, np.inf, found), from_pandas=True)


def crossed(columns: Sequence[Levels]) -> pa.Array:
    """Cross categorical columns to a dictionary column; missing where one is.

    Levels are joined by ``×``; a ``×`` or a backslash within a level gets a backslash before it, so that different
    pairs never look the same.

    Examples
    --------
    >>> crossed([Levels(np.array([0, 1, -1]), ["a", "b"]), Levels(np.array([0, 0, 0]), [5])]).to_pylist()
    ['a×5', 'b×5', None]
    """
    codes, texts = columns[0].codes, [_text(value) for value in columns[0].values]
    for column in columns[1:]:
        right = [_text(value) for value in column.values]
        is_there = (codes != MISSING) & (column.codes != MISSING)
        pairs, places = np.unique((codes * len(right) + column.codes)[is_there], return_inverse=True)
        texts = [f"{texts[pair // len(right)]}{CROSS}{right[pair % len(right)]}" for pair in pairs.tolist()]
        codes = np.full(len(codes), MISSING, dtype=np.int64)
        codes[is_there] = places
    indices = pa.array(codes, mask=codes == MISSING)
    return pa.DictionaryArray.from_arrays(indices.cast(pa.int32()), pa.array(texts, pa.string()))


def _text(value: Any) -> str:
    """A level as it stands in a crossed one."""
    return str(value).replace("\\", "\\\\").replace(CROSS, f"\\{CROSS}")


def _misfit(column: Column, is_cross: bool) -> str | None:
    """Say why a column cannot be a factor."""
    if column.kind is ColumnKind.DATETIME:
        return f"'{column.name}' holds dates, which cannot be multiplied or crossed; derive a number from it"
    if is_cross and column.kind is ColumnKind.NUMERIC and not pa.types.is_integer(column.arrow_type):
        return (
            f"'{column.name}' is {column.type} and stands beside categories: only categories, integers and truths can "
            "be crossed. Derive a coarser column from it, or multiply it with numbers"
        )
    return None
