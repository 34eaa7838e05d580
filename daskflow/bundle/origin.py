"""Origin of a model's columns: those of the source, small tables joined to them, and columns derived from both."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from daskflow.data.schema import Schema

if TYPE_CHECKING:
    from daskflow.bundle.model import Model
    from daskflow.data.joins import Join


@dataclass(frozen=True)
class Origin:
    """What a row of the source must have for a model, and how the model's columns are made of it.

    Attributes
    ----------
    columns : Schema
        Columns that a row must have, in the types that training saw.
    joins : tuple of Join
        Small tables that it is joined to; no row is left out.
    derive : mapping of str to str
        Expressions of further columns, in order.
    """

    columns: Schema
    joins: tuple[Join, ...]
    derive: Mapping[str, str]

    @classmethod
    def of(cls, model: Model) -> Origin:
        """Find it by what the model's card says of its training."""
        source = model.card.get("source", {})
        expressions = needed_expressions(source.get("derive", {}), model.schema.names)
        joins = needed_joins(model, expressions)
        known = Schema.load(source["columns"]) if "columns" in source else model.schema
        made = {*expressions, *(name for join in joins for name in join.values.column_names)}
        wanted = {*model.schema.names, *(name for join in joins for name in join.keys.column_names)}
        wanted |= {name for text in expressions.values() for name in names_in(text) if name in known}
        of_source = [column for column in known.columns if column.name in wanted - made]
        extra = [column for column in model.schema.columns if column.name not in made and column.name not in known]
        return cls(Schema((*of_source, *extra)), tuple(join.every_row() for join in joins), expressions)

    @property
    def is_plain(self) -> bool:
        """Whether the source's columns are the model's."""
        return not self.joins and not self.derive

    def rows(self, table: pa.Table, place: str = "the rows") -> pa.Table:
        """Return the rows with the joined and the derived columns.

        Raises
        ------
        DataError
            For a key that a join refuses, or an expression that does not give one value per row.
        """
        if self.joins:
            from daskflow.data.joins import join_all

            table, _, _ = join_all(table, self.joins, place)
        if self.derive:
            from daskflow.data.derive import derive

            table = derive(table, self.derive)
        return table


def needed_expressions(expressions: Mapping[str, str], columns: Iterable[str]) -> dict[str, str]:
    """Return the derived columns that some columns need, in their order.

    Examples
    --------
    >>> needed_expressions({"late": "delay > 15", "speed": "miles / hours", "fast": "speed > 60"}, ["fast"])
    {'speed': 'miles / hours', 'fast': 'speed > 60'}
    """
    needed, wanted = set(columns), []
    for name, expression in reversed(list(expressions.items())):
        if name in needed:
            wanted.append(name)
            needed |= names_in(expression)
    return {name: expressions[name] for name in reversed(wanted)}


def needed_joins(model: Model, expressions: Mapping[str, str]) -> list[Join]:
    """Return the joins whose columns the model, its derived columns or later joins need, in their order."""
    needed = set(model.schema.names).union(*map(names_in, expressions.values()))
    wanted: list[Join] = []
    for join in reversed(model.joins):
        if needed & set(join.values.column_names):
            wanted.append(join)
            needed |= set(join.keys.column_names)
    return wanted[::-1]


def names_in(expression: str) -> set[str]:
    """Return what may be column names in an expression.

    Examples
    --------
    >>> sorted(names_in("delay > 15 and `air time` < 3"))
    ['15', '3', 'air', 'air time', 'and', 'delay', 'time']
    """
    return set(re.findall(r"\w+", expression)) | set(re.findall(r"`([^`]*)`", expression))
