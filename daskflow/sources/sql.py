"""The rows of an SQL query, cut into ranges of one of its columns."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import AfterValidator, Field, PlainSerializer, field_validator

from daskflow.core.errors import ChangedDataError, DataError
from daskflow.data.schema import Schema
from daskflow.data.table import Decoded, Fingerprint, Table
from daskflow.sources import Source
from daskflow.sources.opening import SAMPLE_ROWS, listed, open_table, unknown
from daskflow.sources.parquet_schema import key
from daskflow.sources.sql_connection import Connection, shown_url
from daskflow.sources.sql_values import column_of, type_of_values
from daskflow.sources.type_words import checked_words, type_of_word

COUNTED_RANGES = 200
"""Partitions counted by one query."""

SAMPLED_RANGES = 8
"""Partitions whose first rows show the types."""


class Sql(Source):
    """The rows of a query, through SQLAlchemy; each partition is a range of one column, read by a query of its own.

    Types are found from the first rows of every partition, and enforced on every row: the integers of a database stay
    exact, its decimals become float64 where that loses nothing, and a value of another kind is an error. Partitions are
    counted when the table is opened: together they have the rows of the query, and each must have as many when it is
    read. A database has no modification time, so it is read on every scan; where the rows are the same, the blocks that
    are there are used. Needs ``pip install 'daskflow[sql]'`` and the database's driver.

    Attributes
    ----------
    url : str
        SQLAlchemy's address, such as ``postgresql://user@host/name`` or ``sqlite:///file.db`` (relative to the workflow
        file), or ``env:NAME`` for the value of an environment variable. A password in it is never printed or written.
    query : str
        A SELECT statement without a closing semicolon, or the name of a table.
    partition_column : str or None
        Column of numbers, dates or times whose ranges are the partitions; None for a single one. Rows where it is
        missing are a partition of their own. An indexed column makes partitions quick to find.
    npartitions : int
        How many ranges of equal width between the least and the greatest value; one query finds both.
    bounds : list or None
        Where ranges begin, beyond the first, instead of `npartitions`: ``[10, 20]`` makes three.
    dtypes : mapping of str to str
        Types by column: string, int64, float64, bool, datetime, category (as text), and their relatives in pandas; also
        for texts that are numbers or ISO 8601 times. A value that does not fit is an error.

    Examples
    --------
    >>> import sqlite3, tempfile
    >>> path = tempfile.mkdtemp() + "/shop.db"
    >>> with sqlite3.connect(path) as database:
    ...     _ = database.execute("CREATE TABLE sales (id INTEGER, price REAL)")
    ...     _ = database.execute("INSERT INTO sales VALUES (1, 9.5), (2, NULL), (3, 4.0)")
    >>> table = Sql(url=f"sqlite:///{path}", query="sales", partition_column="id", npartitions=2).table()
    >>> [partition.read().rows["id"].to_pylist() for partition in table.partitions]
    [[1], [2, 3]]
    """

    kind: Literal["sql"] = "sql"
    url: Annotated[str, PlainSerializer(shown_url)] = Field(repr=False)
    query: str
    partition_column: str | None = None
    npartitions: int = Field(default=1, ge=1)
    bounds: tuple[Any, ...] | None = None
    dtypes: Annotated[Mapping[str, str], AfterValidator(checked_words)] = Field(default_factory=dict)

    @field_validator("query")
    @classmethod
    def _is_one_statement(cls, query: str) -> str:
        query = query.strip().rstrip(";").strip()
        if not query:
            raise ValueError("is empty; write a SELECT statement, or the name of a table")
        return query

    @field_validator("bounds")
    @classmethod
    def _ascend(cls, bounds: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        if bounds is not None and (not bounds or any(not left < right for left, right in pairwise(bounds))):
            raise ValueError("should be values in ascending order")
        return bounds

    def identity(self) -> dict[str, Any]:
        """Return what decides the rows: where the database is reached does not."""
        return {word: value for word, value in super().identity().items() if word != "url"}

    def table(self, base: Path = Path()) -> Table:
        """Count the rows of every partition, look at the first ones, and return the lazy table.

        Raises
        ------
        DataError
            For a database that is not reached, a query it refuses, and columns of several kinds of values.
        """
        connection = Connection.of(_placed(self.url, base))
        # SQLAlchemy takes :word for a value to fill in; a query has none.
        inner = self.query.replace(":", "\\:") if " " in self.query else f"SELECT * FROM {self.query}"
        names, _ = connection.rows(f"SELECT * FROM ({inner}) AS daskflow_rows WHERE 1 = 0")
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise DataError(f"The query gives these columns twice: {listed(repeated)}. Name them apart with AS.")
        if self.partition_column is not None:
            if problem := unknown("partition_column", [self.partition_column], names):
                raise DataError(problem)
        elif self.npartitions > 1 or self.bounds:
            raise DataError("npartitions and bounds need partition_column: the column whose ranges are partitions.")
        if problem := unknown("dtypes", list(self.dtypes), names):
            raise DataError(problem)
        ranges = _ranges(connection, inner, self.partition_column, self.npartitions, self.bounds)
        return self._opened(connection, inner, names, ranges, base)

    def _opened(
        self, connection: Connection, inner: str, names: Sequence[str], ranges: Sequence[Range], base: Path
    ) -> Table:
        """Find the types and make the partitions."""
        casts = {name: type_of_word(word) for name, word in self.dtypes.items()}
        queries = [f"SELECT * FROM ({inner}) AS daskflow_rows" for _ in ranges]
        if self.partition_column is not None:
            column = connection.quoted(self.partition_column)
            queries = [f"{query} WHERE {one.condition(column)}" for query, one in zip(queries, ranges, strict=True)]
        first: list[Sequence[Any]] = []
        for place in sorted({len(ranges) * step // SAMPLED_RANGES for step in range(SAMPLED_RANGES)}):
            first += connection.first(queries[place], ranges[place].values(), SAMPLE_ROWS)
        problems: list[str] = []
        fields = []
        for place, name in enumerate(names):
            try:
                kind = type_of_values([row[place] for row in first]) if name not in casts else casts[name]
                fields.append(pa.field(name, kind))
            except ValueError as error:
                remedy = f"Cast it in the query, or say its type: dtypes = {{{key(name)} = 'string'}}."
                problems.append(f"column '{name}' {error}. {remedy}")
        if problems:
            raise DataError("\n".join(problems))
        schema = Schema.of(pa.schema(fields))
        few = first[:SAMPLE_ROWS]
        sample = pa.table([column_of([row[i] for row in few], f.type, f.name, "") for i, f in enumerate(fields)], names)
        width = sample.nbytes / max(1, sample.num_rows)
        pieces = [
            SqlPiece(connection, query, one, schema, frozenset(casts), int(width * one.n_rows), len(ranges))
            for query, one in zip(queries, ranges, strict=True)
        ]
        total = sum(one.n_rows for one in ranges)
        notes = [f"{total} rows in {len(ranges)} partitions, counted by the database; it is read on every scan"]
        return open_table(self, schema, pieces, sample, notes=notes, base=base)


@dataclass(frozen=True, slots=True)
class Range:
    """Values of the partition column from `low` on and below `high`; None is without end, and both None all of them.

    Attributes
    ----------
    place : int
        Which partition.
    low, high : object or None
        The ends.
    is_missing : bool
        Whether it is the rows where the column is missing instead.
    n_rows : int
        How many rows the database counted.
    """

    place: int
    low: Any = None
    high: Any = None
    is_missing: bool = False
    n_rows: int = 0

    def condition(self, column: str, mark: str = "") -> str:
        """Return the condition in SQL, for a quoted column; `mark` tells the values of several ranges apart."""
        if self.is_missing:
            return f"{column} IS NULL"
        least = [f"{column} >= :low{mark}"] if self.low is not None else []
        most = [f"{column} < :high{mark}"] if self.high is not None else []
        return " AND ".join([*least, *most]) or f"{column} IS NOT NULL"

    def values(self, mark: str = "") -> dict[str, Any]:
        """Return the values of the condition."""
        ends = ((f"low{mark}", self.low), (f"high{mark}", self.high))
        return {name: value for name, value in ends if value is not None}


@dataclass(frozen=True, slots=True)
class SqlPiece:
    """One range of a query's rows.

    Attributes
    ----------
    connection : Connection
        How the database is reached.
    query : str
        Selects the range.
    range : Range
        Its ends and its number of rows.
    schema : Schema
        What the rows are turned into.
    said : frozenset of str
        Columns whose type the user said.
    n_bytes : int
        Estimated size of the rows in memory.
    pieces : int
        How many there are.
    """

    connection: Connection
    query: str
    range: Range
    schema: Schema
    said: frozenset[str]
    n_bytes: int
    pieces: int

    @property
    def fingerprint(self) -> Fingerprint:
        """Its place; a database has no time, so the hash of its rows decides."""
        return Fingerprint(f"query#{self.range.place}", 0, 0, self.connection.place)

    @property
    def graph(self) -> None:
        """None: the worker asks the database."""
        return None

    def read(self, frame: Any = None) -> Decoded:
        """Ask for the rows.

        Raises
        ------
        ChangedDataError
            When there are more or fewer than were counted.
        DataError
            For values that do not fit, and a database that does not answer.
        """
        tables = []
        where = f"{self.fingerprint.name} ({self._described})"
        for _, rows in self.connection.batches(self.query, self.range.values()):
            columns = list(zip(*rows, strict=True)) if rows else [()] * len(self.schema.columns)
            arrays = [
                column_of(values, column.arrow_type, column.name, where, is_said=column.name in self.said)
                for values, column in zip(columns, self.schema.columns, strict=True)
            ]
            tables.append(pa.table(arrays, names=list(self.schema.names)))
        whole = pa.concat_tables(tables)
        if whole.num_rows != self.range.n_rows:
            raise ChangedDataError(
                f"{where} changed since it was planned: the database counted {self.range.n_rows} rows, and now gives "
                f"{whole.num_rows}. Read from a copy, or when nobody writes, and start again."
            )
        return Decoded(whole)  # without bytes there is only the hash of the rows, which the scan takes

    @property
    def _described(self) -> str:
        return "missing" if self.range.is_missing else f"from {self.range.low} to {self.range.high}"


def _placed(url: str, base: Path) -> str:
    """An address with the file of a relative SQLite database below the workflow's folder."""
    scheme = "sqlite:///"
    name = url.removeprefix(scheme)
    if not url.startswith(scheme) or name.startswith(("/", ":memory:", "file:")) or not name:
        return url
    return f"{scheme}{(base / name).absolute()}"


def _ranges(
    connection: Connection, inner: str, column: str | None, count: int, bounds: Sequence[Any] | None
) -> list[Range]:
    """The ranges and their numbers of rows, which together are those of the query."""
    source = f"({inner}) AS daskflow_rows"
    if column is None:
        _, [(total,)] = connection.rows(f"SELECT COUNT(*) FROM {source}")
        return [Range(0, n_rows=int(total))]
    name = connection.quoted(column)
    _, [(total, there, low, high)] = connection.rows(
        f"SELECT COUNT(*), COUNT({name}), MIN({name}), MAX({name}) FROM {source}"
    )
    cuts = list(bounds) if bounds is not None else _cuts(low, high, count, column)
    ends = [None, *cuts, None]
    found = [Range(place, least, most) for place, (least, most) in enumerate(pairwise(ends))]
    if there < total:
        found.append(Range(len(found), is_missing=True))
    counts: list[int] = []
    for start in range(0, len(found), COUNTED_RANGES):
        some = found[start : start + COUNTED_RANGES]
        sums = ", ".join(f"SUM(CASE WHEN {one.condition(name, f'_{one.place}')} THEN 1 ELSE 0 END)" for one in some)
        values = {word: value for one in some for word, value in one.values(f"_{one.place}").items()}
        _, [numbers] = connection.rows(f"SELECT {sums} FROM {source}", values)
        counts += [int(number or 0) for number in numbers]
    if sum(counts) != total:
        raise ChangedDataError(
            f"The partitions have {sum(counts)} rows, and the query has {total}: the table is being written to, or "
            f"'{column}' holds values of several types. Read from a copy, or choose another partition_column."
        )
    return [replace(one, n_rows=n_rows) for one, n_rows in zip(found, counts, strict=True)]


def _cuts(low: Any, high: Any, count: int, column: str) -> list[Any]:
    """Where ranges of equal width begin, beyond the first."""
    if low is None or count == 1 or low == high:
        return []
    if isinstance(low, str):
        try:  # SQLite keeps times as texts, which it compares as such
            first, last = datetime.datetime.fromisoformat(low), datetime.datetime.fromisoformat(high)
        except ValueError:
            raise DataError(
                f"partition_column = '{column}' holds texts such as {low!r:.40}. Choose a column of numbers, dates or "
                "times, or say bounds = [...]."
            ) from None
        step = (last - first) / count
        return [(first + step * place).isoformat(sep=" ")[: max(10, len(low))] for place in range(1, count)]
    if isinstance(low, bool) or not isinstance(low, int | float | Decimal | datetime.date):
        found = type(low).__name__
        raise DataError(f"partition_column = '{column}' holds {found}. Choose one of numbers, dates or times.")
    if isinstance(low, int) and isinstance(high, int):
        return sorted({low + (high - low + 1) * place // count for place in range(1, count)} - {low})
    width = (high - low) / count
    cuts = [low + width * place for place in range(1, count)]
    return [cut for cut in dict.fromkeys(cuts) if low < cut <= high]
