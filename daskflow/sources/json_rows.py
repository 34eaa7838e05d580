"""Rows of JSON lines: by Arrow's parser when all fits, else line by line to say what does not and where."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pajson

from daskflow.sources.converting import cast_all, misfits
from daskflow.sources.json_text import BOM, BadLineError, Written, lines_of, objects_in, parsed
from daskflow.sources.json_types import Path, flattened, kind_of_value

BLOCK_BYTES = 1 << 21
"""What Arrow parses at a time, so that it stays in the processor's cache; a longer line goes to the careful path."""

SHOWN_TEXT = 500

TRUTHS = {True: "true", False: "false"}


class BadRow(NamedTuple):
    """A row that does not fit: its line, why, and its text."""

    line: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Reader:
    """How lines become rows.

    Attributes
    ----------
    types : mapping of path to pyarrow.DataType
        By column, in order.
    said : frozenset of str
        Columns whose type the user said: texts of these may be written as numbers or truths.
    left_out : frozenset of str
        Keys that are dropped unread.
    is_open : bool
        Whether keys that are no columns are passed over.
    date_formats : mapping of str to str
        ``strptime`` formats by column; other time columns are ISO 8601.
    """

    types: Mapping[Path, pa.DataType]
    said: frozenset[str] = frozenset()
    left_out: frozenset[str] = frozenset()
    is_open: bool = False
    date_formats: Mapping[str, str] = field(default_factory=dict)

    @property
    def schema(self) -> pa.Schema:
        """The columns by their names."""
        return pa.schema([(".".join(path), kind) for path, kind in self.types.items()])

    def rows_of(self, text: bytes) -> tuple[pa.Table, list[BadRow]]:
        """Return the rows of a text, and those that do not fit; lines count from 1."""
        rows = self.by_arrow(text)
        return self.by_line(text) if rows is None else (rows, [])

    def by_arrow(self, text: bytes) -> pa.Table | None:
        """Parse with Arrow; None when anything does not fit, or might be read otherwise than line by line."""
        text = text.removeprefix(BOM)
        count = objects_in(text)
        if not count or not _is_utf8(text):
            return None
        behaviour = "ignore" if self.is_open else "infer"
        try:
            rows = pajson.read_json(
                pa.BufferReader(text),
                read_options=pajson.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),
                parse_options=pajson.ParseOptions(
                    explicit_schema=_nested(self.types), unexpected_field_behavior=behaviour
                ),
            )
        except pa.ArrowInvalid:
            return None
        flat = dict(_flat(rows))
        extra = {".".join(path) for path in flat if path not in self.types}
        if rows.num_rows != count or not all(self._is_left_out(name) for name in extra):
            return None
        columns = []
        for path, kind in self.types.items():
            values = flat[path]
            if pa.types.is_timestamp(kind):
                values, wrong = self._times(".".join(path), values, kind)
                if len(wrong):
                    return None
            columns.append(values)
        return pa.table(columns, schema=self.schema)

    def by_line(self, text: bytes) -> tuple[pa.Table, list[BadRow]]:
        """Parse line by line, and tell what does not fit."""
        bad: list[BadRow] = []
        columns: dict[Path, list[Any]] = {path: [] for path in self.types}
        lines = []
        for line in lines_of(text):
            try:
                values = self._values(parsed(line.text))
            except BadLineError as error:
                bad.append(BadRow(line.number, str(error), _shown(line.text)))
                continue
            lines.append(line)
            for path, column in columns.items():
                column.append(values.get(path))
        arrays, keep = [], np.ones(len(lines), dtype=bool)
        for path, kind in self.types.items():
            if not pa.types.is_timestamp(kind):
                arrays.append(pa.array(columns[path], kind))
                continue
            values, wrong = self._times(".".join(path), pa.array(columns[path], pa.string()), kind)
            arrays.append(values)
            for place in wrong[keep[wrong]]:
                keep[place] = False
                why = f"'{'.'.join(path)}' is {columns[path][place]!r:.60}, not {self.described(path)}"
                bad.append(BadRow(lines[place].number, why, _shown(lines[place].text)))
        rows = pa.table(arrays, schema=self.schema)
        return (rows if keep.all() else rows.filter(pa.array(keep))), sorted(bad)

    def described(self, path: Path) -> str:
        """Return what a column holds, in words."""
        kind, name = self.types[path], ".".join(path)
        if pa.types.is_timestamp(kind):
            known = self.date_formats.get(name)
            return f"a time of the format {known!r}" if known else f"an ISO 8601 time ({kind})"
        return {"bool": "true or false", "double": "a number (float64)", "string": "text"}.get(str(kind), str(kind))

    def _values(self, row: Mapping[str, Any]) -> dict[Path, Any]:
        """The values of one object by their columns; BadLineError for the first that does not fit."""
        found: dict[Path, Any] = {}
        for path, value in flattened(row):
            if path in self.types:
                found[path] = None if value is None else self._fitted(path, value)
            elif value is not None and not self._passes(path):
                raise BadLineError(
                    f"'{'.'.join(path)}' ({value!r:.40}) is no column of the table; add it with dtypes if it is one"
                )
        for path in self.types:
            if isinstance(_at(row, path), dict):
                raise BadLineError(f"'{'.'.join(path)}' is an object, not {self.described(path)}")
        return found

    def _passes(self, path: Path) -> bool:
        """Whether a key that is no column is passed over."""
        above = any(path[:depth] in self.types for depth in range(1, len(path)))
        return not above and (self.is_open or self._is_left_out(".".join(path)))

    def _is_left_out(self, name: str) -> bool:
        return any(name == other or name.startswith(f"{other}.") for other in self.left_out)

    def _fitted(self, path: Path, value: Any) -> Any:
        """A value as Arrow takes it for its column; BadLineError when it does not fit."""
        kind = self.types[path]
        fitted: Any
        if pa.types.is_string(kind):
            fitted = _text(value, is_said=".".join(path) in self.said)
        elif pa.types.is_timestamp(kind):
            fitted = value if isinstance(value, str) else None
        elif pa.types.is_boolean(kind):
            fitted = value if isinstance(value, bool) else None
        elif isinstance(value, bool) or not isinstance(value, int | float):
            fitted = None
        elif pa.types.is_integer(kind):
            fitted = int(value) if not isinstance(value, float) or value.is_integer() else None
            fitted = fitted if fitted is not None and _holds(kind, fitted) else None
        else:
            fitted = _float(value)
        if fitted is None:
            shown = value.text if isinstance(value, Written) else repr(value)
            wanted = "Unicode" if isinstance(value, str) and pa.types.is_string(kind) else self.described(path)
            raise BadLineError(f"'{'.'.join(path)}' is {shown:.60} ({kind_of_value(value)}), not {wanted}")
        return fitted

    def _times(self, name: str, text: Any, kind: pa.DataType) -> tuple[Any, Any]:
        """Times of texts, missing where they do not fit, and the places of those."""
        known = self.date_formats.get(name)
        if known is not None:
            moments = pd.to_datetime(text.to_pandas(), format=known, errors="coerce", utc=kind.tz is not None)
            values: Any = pa.Array.from_pandas(moments).cast(kind)
        else:
            values = cast_all(text, kind)
            if values is None:
                wrong = pc.is_in(text, value_set=misfits(text, kind))
                values = pc.if_else(wrong, None, text).cast(kind)
        return values, np.flatnonzero(np.asarray(pc.and_(pc.is_valid(text), pc.is_null(values))))


def _nested(types: Mapping[Path, pa.DataType]) -> pa.Schema:
    """The columns as Arrow's parser is told them: objects as structs, times as text."""
    tree: dict[str, Any] = {}
    for path, kind in types.items():
        below = tree
        for name in path[:-1]:
            below = below.setdefault(name, {})
        below[path[-1]] = pa.string() if pa.types.is_timestamp(kind) else kind

    def fields(branch: Mapping[str, Any]) -> list[pa.Field]:
        return [
            pa.field(name, pa.struct(fields(kind)) if isinstance(kind, dict) else kind) for name, kind in branch.items()
        ]

    return pa.schema(fields(tree))


def _flat(rows: pa.Table) -> Iterator[tuple[Path, Any]]:
    """The columns of parsed rows with their paths, structs taken apart."""
    waiting: list[tuple[Path, Any]] = [((name,), rows.column(name)) for name in rows.column_names]
    while waiting:
        path, values = waiting.pop(0)
        if pa.types.is_struct(values.type):
            waiting += [((*path, part.name), inner) for part, inner in zip(values.type, values.flatten(), strict=True)]
        else:
            yield path, values


def _at(row: Any, path: Path) -> Any:
    for name in path:
        row = row.get(name) if isinstance(row, dict) else None
    return row


def _is_utf8(text: bytes) -> bool:
    try:
        return text.isascii() or bool(str(text, "utf-8"))
    except UnicodeDecodeError:
        return False


def _text(value: Any, *, is_said: bool) -> str | None:
    """A value as text: a text, and what the user said is one."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:  # half of a surrogate pair
            return None
        return value
    if not is_said or isinstance(value, list | dict):
        return None
    return TRUTHS[value] if isinstance(value, bool) else value.text if isinstance(value, Written) else str(value)


def _float(value: Any) -> float | None:
    """A number as a float; None when it is beyond all floats."""
    try:
        number = float(value)
    except OverflowError:
        return None
    return None if math.isinf(number) and isinstance(value, Written) else number


def _holds(kind: pa.DataType, value: int) -> bool:
    bits = kind.bit_width - (0 if pa.types.is_unsigned_integer(kind) else 1)
    return bool((0 if pa.types.is_unsigned_integer(kind) else -(1 << bits)) <= value < 1 << bits)


def _shown(text: bytes) -> str:
    return text.decode(errors="replace")[:SHOWN_TEXT]


def names_of(types: Collection[Path]) -> list[str]:
    """Return the names of columns.

    Examples
    --------
    >>> names_of([("a",), ("b", "c")])
    ['a', 'b.c']
    """
    return [".".join(path) for path in types]
