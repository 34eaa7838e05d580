"""Schema: the columns of a table, their kinds and types, and the parts some of them play."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any

import pyarrow as pa

from daskflow.core.errors import DataError
from daskflow.core.settings import nearest


class ColumnKind(StrEnum):
    """What a column's values are to a model."""

    NUMERIC = "numeric"
    BOOLEAN = "boolean"
    CATEGORICAL = "categorical"
    DATETIME = "datetime"


class Task(StrEnum):
    """What is to be learned."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    MULTILABEL = "multilabel"
    REGRESSION = "regression"

    @property
    def is_classification(self) -> bool:
        """Whether the target is a class."""
        return self is not Task.REGRESSION


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, its kind and its Arrow type as a string such as ``"int64"``."""

    name: str
    kind: ColumnKind
    type: str

    @property
    def arrow_type(self) -> pa.DataType:
        """The Arrow type; strings are ``large_string`` or ``string`` as the source gave them."""
        return type_of(self.type)


@dataclass(frozen=True, slots=True)
class Schema:
    """Columns in order; names are unique."""

    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(column.name for column in self.columns)

    def __getitem__(self, name: str) -> Column:
        """A column by name; DataError with the nearest name when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise DataError(f"There is no column '{name}'{nearest(name, self.names)}")

    def __contains__(self, name: object) -> bool:
        """Whether a column has this name."""
        return name in self.names

    def without(self, names: Iterable[str]) -> Schema:
        """The schema less some columns."""
        gone = set(names)
        return Schema(tuple(column for column in self.columns if column.name not in gone))

    @property
    def arrow(self) -> pa.Schema:
        """As Arrow's own schema."""
        return pa.schema([(column.name, column.arrow_type) for column in self.columns])

    def dump(self) -> list[dict[str, str]]:
        """As plain JSON values."""
        return [{"name": c.name, "kind": str(c.kind), "type": c.type} for c in self.columns]

    @classmethod
    def load(cls, values: Iterable[Mapping[str, Any]]) -> Schema:
        """From what `dump` gave."""
        return cls(tuple(Column(v["name"], ColumnKind(v["kind"]), v["type"]) for v in values))

    @classmethod
    def of(cls, schema: pa.Schema) -> Schema:
        """From Arrow's schema; DataError for duplicate names and for types no model can use."""
        repeated = sorted({name for name in schema.names if schema.names.count(name) > 1})
        if repeated:
            raise DataError(
                f"Column names stand twice: {', '.join(repeated)}. Rename them; which one is meant cannot be known."
            )
        return cls(tuple(Column(f.name, kind_of(f.type, f.name), str(_plain(f.type))) for f in schema))


@dataclass(frozen=True, slots=True)
class Roles:
    """The parts that columns play; everything else is a feature.

    Attributes
    ----------
    target : str or None
        What is learned.
    group : str or None
        Rows of equal group never stand on both sides of a split.
    time : str or None
        Orders the rows of a time split.
    weight : str or None
        Sample weight, in fitting and scoring; not a feature.
    fold : str or None
        Says where each row of a predefined split belongs; not a feature.
    key : tuple of str
        Columns that say what a row is; rows of equal key are one row to the split.
    drop : tuple of str
        Columns no model sees.
    keep : tuple of str
        Those among them that are stored all the same, for the evaluation to look at.
    """

    target: str | None = None
    group: str | None = None
    time: str | None = None
    weight: str | None = None
    fold: str | None = None
    key: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()

    def check(self, schema: Schema) -> None:
        """Raise DataError for a role whose column does not exist."""
        for role in ("target", "group", "time", "weight", "fold"):
            name = getattr(self, role)
            if name is not None and name not in schema:
                raise DataError(f"{role} = '{name}': there is no such column{nearest(name, schema.names)}")
        for role in ("key", "drop", "keep"):
            for name in getattr(self, role):
                if name not in schema:
                    raise DataError(f"{role} names '{name}': there is no such column{nearest(name, schema.names)}")

    def features(self, schema: Schema) -> Schema:
        """The columns a model sees: all but target, weight, group, fold and dropped ones; time and key columns stay.

        The group is left out because the groups of the test part are never seen in training.
        """
        gone = {name for name in (self.target, self.weight, self.group, self.fold, *self.drop) if name}
        return schema.without(gone)


@dataclass(frozen=True, slots=True)
class Target:
    """What the target turned out to be, over the whole table.

    Attributes
    ----------
    name : str
        Its column.
    task : Task
        Given, or inferred.
    classes : tuple
        Labels in sorted order, the code of a label being its place; for binary the positive one is last.
        Empty for regression.
    counts : tuple of int
        Rows per class; empty for regression.
    """

    name: str
    task: Task
    classes: tuple[Any, ...] = ()
    counts: tuple[int, ...] = field(default=())


@cache
def type_of(name: str) -> pa.DataType:
    """Return the Arrow type of a name such as ``"timestamp[ns]"``, ``"int64"``, ``"string"``."""
    if name.startswith("timestamp["):
        unit, _, zone = name[len("timestamp[") : -1].partition(", tz=")
        return pa.timestamp(unit, tz=zone or None)
    if name.startswith("decimal128("):
        precision, scale = name[len("decimal128(") : -1].split(",")
        return pa.decimal128(int(precision), int(scale))
    aliases = {
        "double": pa.float64(),
        "float": pa.float32(),
        "halffloat": pa.float16(),
        "date32[day]": pa.date32(),
        "date64[ms]": pa.date64(),
    }
    return aliases.get(name) or pa.type_for_alias(name)


def kind_of(arrow_type: pa.DataType, name: str) -> ColumnKind:
    """Return the kind of an Arrow type; DataError for lists, structs, bytes and other types no model uses."""
    plain = _plain(arrow_type)
    if pa.types.is_boolean(plain):
        return ColumnKind.BOOLEAN
    if pa.types.is_integer(plain) or pa.types.is_floating(plain) or pa.types.is_decimal(plain):
        return ColumnKind.NUMERIC
    if pa.types.is_temporal(plain) and not pa.types.is_time(plain) and not pa.types.is_duration(plain):
        return ColumnKind.DATETIME
    if pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_null(plain):
        return ColumnKind.CATEGORICAL
    raise DataError(
        f"Column '{name}' is {arrow_type}, which no model can use. Convert it, or leave it out with drop = ['{name}']."
    )


def _plain(arrow_type: pa.DataType) -> pa.DataType:
    """The type of a dictionary's values, and one string type for all."""
    if pa.types.is_dictionary(arrow_type):
        arrow_type = arrow_type.value_type
    if pa.types.is_large_string(arrow_type) or pa.types.is_string_view(arrow_type):
        return pa.string()
    return arrow_type
