"""Join: a small table whose columns are looked up by key for every row of the source, before anything else is done."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import dask
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, SerializeAsAny, field_serializer, field_validator, model_validator

from daskflow.core.errors import DataError, Problem, SettingsError
from daskflow.core.settings import Settings, nearest
from daskflow.data import joins
from daskflow.data.conforming import conform
from daskflow.data.derive import derive
from daskflow.data.schema import Schema
from daskflow.data.table import Table
from daskflow.sources import REGISTRY, Source
from daskflow.sources.files import SUFFIXES
from daskflow.sources.opening import listed

MOST_BYTES = 256 << 20
"""Every worker process maps a joined table, and a wider net than this is no lookup any more."""

ROLES = ("target", "task", "positive", "group", "time", "weight", "fold", "key", "joins")
"""Words of a source that mean nothing for a small table."""


class Join(Settings):
    """A small table, looked up by key for every row: ``[[data.joins]]``.

    It is read once, when the workflow is opened, and its keys must be unique, so a join never makes two rows of one.
    It is applied where a partition is decoded, before ``derive``: derived columns and roles may use what it adds. A row
    whose key has a gap, or is not in the small table, has no match; how many there are is reported. The split does not
    look at joined columns unless a role names them: a row is what the source says of it.

    Attributes
    ----------
    source : Source
        The small table: any kind of source. Its options may stand in the join's own table, as ``path`` and ``kind``
        do; ``kind`` may be left out where the file's suffix tells it. Its ``derive`` makes keys and columns.
    on : list of str
        Key columns that have one name in both tables.
    left_on, right_on : list of str
        Instead of ``on``: key columns in the rows, and in the small table. Later joins may use columns of earlier ones.
    how : str
        ``"left"`` keeps rows without a match, their new columns missing; ``"inner"`` leaves them out of the run.
    columns : list of str or None
        What to take from the small table; None for all but its keys.
    prefix, suffix : str
        Put before and after the name of every column taken. A name that is there already is an error.
    duplicate_keys : str
        ``"fail"``, or which row counts where several have one key: ``"first"`` or ``"last"``.
    null_keys : str
        ``"fail"`` to refuse keys with gaps, in rows and in the small table; ``"unmatched"`` to take such rows for rows
        without a match, and to leave them out of the small table.
    unmatched : str
        ``"keep"``, or ``"fail"`` to refuse the first row without a match.
    most_bytes : int
        Largest size in memory; larger tables are refused, since every worker holds the whole of it.
    name : str or None
        What messages and ``daskflow predict --join`` call it; None for the file's name up to its first point.

    Examples
    --------
    >>> import pandas as pd
    >>> from daskflow.sources.frame import Frame
    >>> cities = pd.DataFrame({"city": ["Ulm", "Rom"], "height": [478, 21]})
    >>> trips = pd.DataFrame({"to": ["Rom", "Ulm"], "late": [True, False]})
    >>> table = Frame(
    ...     frame=trips, target="late", joins=[Join(source=Frame(frame=cities), left_on=["to"], right_on=["city"])]
    ... ).table()
    >>> table.schema.names
    ('to', 'late', 'height')
    """

    source: SerializeAsAny[Source]
    on: tuple[str, ...] = ()
    left_on: tuple[str, ...] = ()
    right_on: tuple[str, ...] = ()
    how: Literal["left", "inner"] = "left"
    columns: tuple[str, ...] | None = None
    prefix: str = ""
    suffix: str = ""
    duplicate_keys: Literal["fail", "first", "last"] = "fail"
    null_keys: Literal["fail", "unmatched"] = "fail"
    unmatched: Literal["keep", "fail"] = "keep"
    most_bytes: int = Field(default=MOST_BYTES, ge=1)
    name: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _source_may_stand_here(cls, values: Any) -> Any:
        """Gather the small table's own options, and say what kind it is."""
        if not isinstance(values, Mapping) or ("source" in values and not isinstance(values["source"], Mapping)):
            return values
        own = {word: value for word, value in values.items() if word in cls.model_fields and word != "source"}
        rest = {word: value for word, value in values.items() if word not in cls.model_fields}
        table = {**values.get("source", {}), **rest}
        if "kind" not in table and "path" in table:
            table["kind"] = _kind_of(table["path"])
        return {**own, "source": REGISTRY.parse(table)}

    @field_validator("on", "left_on", "right_on", "columns", mode="before")
    @classmethod
    def _one_name_is_a_list(cls, value: Any) -> Any:
        """Take a column's name for the list of it."""
        return (value,) if isinstance(value, str) else value

    @field_validator("source")
    @classmethod
    def _has_no_roles(cls, source: Source) -> Source:
        """Refuse words that only the main table can have."""
        said = [word for word in ROLES if getattr(source, word, None)]
        if said:
            raise SettingsError([Problem(word, "means nothing for a joined table; leave it out") for word in said])
        return source

    @field_serializer("source")
    def _source_as_it_dumps(self, source: Source) -> dict[str, Any]:
        """Write the small table as its own kind does."""
        return source.dump()

    @model_validator(mode="after")
    def _keys_are_said_once(self) -> Self:
        """Refuse keys said twice, or of other numbers."""
        if bool(self.on) == bool(self.left_on or self.right_on):
            raise ValueError("name the keys by on = [...], or else by left_on and right_on")
        if len(self.left_on) != len(self.right_on):
            raise ValueError("left_on and right_on name as many columns as each other")
        twice = sorted({name for keys in self.keys for name in keys if keys.count(name) > 1})
        if twice:
            raise ValueError(f"the key {listed(twice)} stands twice")
        return self

    @property
    def keys(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Key columns in the rows, and in the small table."""
        return (self.on, self.on) if self.on else (self.left_on, self.right_on)

    @property
    def label(self) -> str:
        """What messages call it."""
        path = getattr(self.source, "path", None)
        if self.name or path is None:
            return self.name or self.source.kind
        return os.path.basename(str(path if isinstance(path, str) else path[0])).partition(".")[0]

    def identity(self) -> dict[str, Any]:
        """Return what decides the columns it adds: not where the small table stands."""
        said = self.dump()
        return {**said, "source": {word: value for word, value in self.source.identity().items() if word != "path"}}

    def open(self, rows: Schema, base: Path) -> joins.Join:
        """Read the small table.

        Parameters
        ----------
        rows : Schema
            Columns of the rows it is joined to.
        base : Path
            Folder that relative paths start from.

        Raises
        ------
        DataError
            For keys that are not there, differ in type, repeat or have gaps; for columns of names that are there; for
            a table that is too large or cannot be read.
        """
        table = self.source.table(base)
        self._check_size(sum(partition.n_bytes for partition in table.partitions), "about ")
        small = _read(table, self.label)
        self._check_size(small.nbytes, "")
        left, right = self.keys
        self._check_names(rows, small.column_names)
        keys = self._keys(rows, small.select(list(right)).rename_columns(list(left)))
        taken = [n for n in small.column_names if n not in right] if self.columns is None else list(self.columns)
        values = small.select(taken).rename_columns([f"{self.prefix}{name}{self.suffix}" for name in taken])
        there = [name for name in values.column_names if name in rows]
        if there:
            raise DataError(
                f"The join '{self.label}' adds {listed(there)}, which the rows have already. "
                'Say prefix or suffix for its columns, or name the ones to take with columns = ["..."].'
            )
        chosen = self._chosen(keys)
        return joins.Join(self.label, keys.take(chosen), values.take(chosen), self.how, self.unmatched, self.null_keys)

    def _check_size(self, n_bytes: int, about: str) -> None:
        """Refuse what is not small."""
        if n_bytes > self.most_bytes:
            raise DataError(
                f"The join '{self.label}' has {about}{n_bytes:,} bytes in memory, more than most_bytes = "
                f"{self.most_bytes:,}. Every worker holds all of it: take fewer columns with the source's own options, "
                "raise most_bytes, or join the tables before."
            )

    def _check_names(self, rows: Schema, small: list[str]) -> None:
        """Refuse columns that are not there."""
        left, right = self.keys
        for option, wanted, names, where in (
            ("on" if self.on else "left_on", left, list(rows.names), "rows"),
            ("on" if self.on else "right_on", right, small, "small table"),
            ("columns", self.columns or (), small, "small table"),
        ):
            for name in wanted:
                if name not in names:
                    raise DataError(
                        f"The join '{self.label}': {option} names '{name}', which is no column of the {where}"
                        f"{nearest(name, names)}"
                    )

    def _keys(self, rows: Schema, keys: pa.Table) -> pa.Table:
        """The keys in the types of the rows' columns."""
        columns = []
        for name, own in zip(keys.column_names, self.keys[1], strict=True):
            column, wanted = keys.column(name), rows[name].arrow_type
            if pa.types.is_null(wanted) or pa.types.is_null(column.type):
                wanted = column.type if pa.types.is_null(wanted) else wanted
            elif not joins.comparable(wanted, column.type):
                raise DataError(
                    f"The join '{self.label}': the key '{name}' is {rows[name].type} in the rows, and '{own}' is "
                    f"{column.type} in the small table; they are never equal. Say the type of one of them in dtypes, "
                    "or make a key of the right type with derive."
                )
            columns.append(self._cast(column, wanted, name, own))
        return pa.table(columns, names=keys.column_names)

    def _cast(self, column: Any, wanted: pa.DataType, name: str, own: str) -> Any:
        """One key column in another type, every value as it was."""
        try:
            cast = column.cast(wanted)
            if cast.cast(column.type).equals(column):
                return cast
        except pa.ArrowInvalid:
            pass
        raise DataError(
            f"The join '{self.label}': the key '{own}' ({column.type}) has values that '{name}' of the rows ({wanted}) "
            "cannot have. Correct them, or make a key of the right type with derive."
        )

    def _chosen(self, keys: pa.Table) -> pa.Array:
        """Places of the rows that count: those without gaps, one of each key."""
        names = keys.column_names
        numbered = keys.append_column("__place", pa.array(range(keys.num_rows), pa.int64()))
        whole = numbered.drop_null()
        gaps = keys.num_rows - whole.num_rows
        if gaps and self.null_keys == "fail":
            raise DataError(
                f"The join '{self.label}': {gaps} of {keys.num_rows} rows of the small table have no value in a key "
                f'({listed(names)}). Complete them; null_keys = "unmatched" leaves them out.'
            )
        if not whole.num_rows:
            raise DataError(f"The join '{self.label}': the small table has no row with a key.")
        which = "max" if self.duplicate_keys == "last" else "min"
        groups = whole.group_by(names).aggregate([("__place", "count"), ("__place", which)])
        if self.duplicate_keys == "fail" and groups.num_rows < whole.num_rows:
            repeated = groups.filter(pc.greater(groups["__place_count"], 1)).sort_by("__place_min")
            own = dict(zip(names, self.keys[1], strict=True))
            first = [", ".join(f"{own[n]} = {row[n]!r:.60}" for n in names) for row in repeated[:3].to_pylist()]
            keys_stand = "1 key stands" if repeated.num_rows == 1 else f"{repeated.num_rows} keys stand"
            raise DataError(
                f"The join '{self.label}': {keys_stand} in several rows of the small table: "
                f"{'; '.join(first)}. Which row is meant? Make them unique, add a key column, or say duplicate_keys = "
                '"first" or "last".'
            )
        return groups.sort_by(f"__place_{which}")[f"__place_{which}"]


def _kind_of(path: Any) -> str:
    """The kind of source that a path's suffix tells."""
    first = str(path if isinstance(path, str | os.PathLike) else next(iter(path), "")).lower()
    for kind, suffixes in SUFFIXES.items():
        if first.endswith(tuple(suffixes)):
            return kind
    raise SettingsError([Problem("kind", f"is required: '{first}' has a suffix that tells no kind of source")])


def _read(table: Table, label: str) -> pa.Table:
    """All rows of a small table, derived columns included."""
    pieces = []
    for partition in table.partitions:
        frame = None if partition.graph is None else dask.compute(partition.graph, scheduler="synchronous")[0]
        decoded = partition.read(frame)
        if decoded.rejects:
            first = decoded.rejects[0]
            raise DataError(
                f"The join '{label}': {len(decoded.rejects)} rows of the small table do not fit, the first in "
                f"{first.file}, line {first.line}: {first.reason}. Correct them."
            )
        rows = conform(decoded.rows, table.source_schema, partition.fingerprint.name)
        pieces.append(derive(rows, table.derive, table.schema).select(list(table.schema.names)))
    whole = pa.concat_tables([_plain(piece) for piece in pieces])
    return whole.drop_columns(list(table.roles.drop)).combine_chunks()


def _plain(rows: pa.Table) -> pa.Table:
    """Rows with texts as texts, so that pieces fit together."""
    for place, column in enumerate(rows.schema):
        if pa.types.is_dictionary(column.type):
            rows = rows.set_column(place, column.name, rows.column(place).cast(pa.string()))
    return rows
