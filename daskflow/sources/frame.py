"""A pandas or dask DataFrame the user already has, as a table."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
from dask.base import tokenize
from pandas.api.types import is_object_dtype
from pydantic import Field, field_validator, model_validator

from daskflow.core.errors import DataError
from daskflow.data.schema import Schema, kind_of
from daskflow.data.table import Decoded, Fingerprint, Table
from daskflow.sources import Source
from daskflow.sources.converting import cast_all, misfits
from daskflow.sources.opening import SAMPLE_ROWS, listed, open_table
from daskflow.sources.parquet_schema import plain_type

PARTITION_BYTES = 128 << 20
"""Rows of a pandas frame are cut into pieces of about this size when `npartitions` is not given."""


class Frame(Source):
    """A DataFrame as it is: pandas, cut by rows, or dask, with its partitions and its own lazy graph.

    The index is not part of the table; ``reset_index()`` makes it a column. Categories count as their values, nan and
    None are missing, and columns are named by ``str``. A dask DataFrame is computed on the run's cluster, partition by
    partition; object columns in it are taken to be text.

    Attributes
    ----------
    frame : pandas.DataFrame or dask.dataframe.DataFrame
        The rows.
    npartitions : int or None
        Pieces a pandas frame is cut into (default: of about 128 MiB), or a dask frame is repartitioned to
        (default: as it is).

    Examples
    --------
    >>> import pandas as pd
    >>> table = Frame(frame=pd.DataFrame({"x": [1.0, None], "y": ["a", "b"]}), target="y", npartitions=2).table()
    >>> [partition.read().rows["x"].to_pylist() for partition in table.partitions]
    [[1.0], [None]]
    """

    kind: Literal["frame"] = "frame"
    frame: Any = Field(exclude=True, repr=False)
    npartitions: int | None = Field(default=None, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _is_given_in_python(cls, values: Any) -> Any:
        """Say why a workflow file cannot name a frame."""
        if isinstance(values, Mapping) and "frame" not in values:
            raise ValueError(
                "a frame is an object of a Python script, Workflow(data=flow.sources.Frame(frame=...)); "
                "in a file, name files of another kind (parquet, csv)"
            )
        return values

    @field_validator("frame")
    @classmethod
    def _is_a_frame(cls, frame: Any) -> Any:
        """Refuse what is no DataFrame."""
        if isinstance(frame, pd.DataFrame) or _is_dask(frame):
            return frame
        raise ValueError("should be a pandas or dask DataFrame; make one with pd.DataFrame(...)")

    @cached_property
    def token(self) -> str:
        """Hash of the rows (pandas) or of the graph (dask), in place of the data."""
        return str(tokenize(self.frame))

    def dump(self) -> dict[str, Any]:
        """Return the settings with the frame's token instead of its rows."""
        return {**super().dump(), "token": self.token}

    def table(self, base: Path = Path()) -> Table:
        """Return the lazy table; `base` is where joined tables are. A dask frame is not computed.

        Raises
        ------
        DataError
            For columns that stand twice, have names in levels, or hold values of several types.
        """
        _check_columns(self.frame)
        if _is_dask(self.frame):
            return self._of_dask(base)
        frame = self.frame.set_axis([str(name) for name in self.frame.columns], axis=1)
        schema = _schema_of(frame, self.drop)
        unread = set(frame.columns) - set(schema.names)
        frame = frame[list(schema.names)]
        size = int(frame.memory_usage(index=False, deep=False).sum())
        pieces = self.npartitions or max(1, -(-size // PARTITION_BYTES))
        cuts = [len(frame) * place // pieces for place in range(pieces + 1)]
        partitions = [
            FramePiece(place, schema, size // pieces, piece=frame.iloc[start:stop])
            for place, (start, stop) in enumerate(pairwise(cuts))
        ]
        sample = partitions[0].rows_of(frame.head(SAMPLE_ROWS)) if self.derive else None
        return open_table(self, schema, partitions, sample, unread, base=base)

    def _of_dask(self, base: Path) -> Table:
        """The table of a dask frame: one delayed partition each, their number fixed here."""
        lazy = self.frame if self.npartitions is None else self.frame.repartition(npartitions=self.npartitions)
        meta = lazy._meta.set_axis([str(name) for name in lazy.columns], axis=1)
        schema = _schema_of(meta.astype(_texts(meta)), self.drop)
        unread = set(meta.columns) - set(schema.names)
        lazy = lazy[[name for name in lazy.columns if str(name) in schema]]
        # one optimised graph for all partitions: a fused frame may have fewer, so their number is read off the result
        delayed = lazy.to_delayed(optimize_graph=True)
        partitions = [FramePiece(place, schema, 0, graph=one) for place, one in enumerate(delayed)]
        return open_table(self, schema, partitions, unread=unread, base=base)


@dataclass(frozen=True, slots=True)
class FramePiece:
    """Some rows of a DataFrame: at hand for pandas, as a graph for dask.

    Attributes
    ----------
    place : int
        Which piece.
    schema : Schema
        What the rows are turned into.
    n_bytes : int
        Size in memory; 0 for dask, where nobody knows before computing.
    piece : pandas.DataFrame or None
        The rows.
    graph : dask.delayed.Delayed or None
        What computes them.
    """

    place: int
    schema: Schema
    n_bytes: int
    piece: pd.DataFrame | None = None
    graph: Any = None

    @property
    def fingerprint(self) -> Fingerprint:
        """Its place; a frame has neither size nor time on disk, so its content hash decides."""
        return Fingerprint(f"frame#{self.place}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel without the graph, which the executor computes and hands to `read`."""
        return FramePiece, (self.place, self.schema, self.n_bytes, self.piece, None)

    def read(self, frame: Any = None) -> Decoded:
        """Turn the rows, or the computed `frame`, into Arrow.

        Raises
        ------
        DataError
            For columns other than planned and for values that do not fit the column's type.
        """
        found = self.piece if frame is None else frame
        if found is None:
            raise DataError(f"{self.fingerprint.name}: its graph was not computed; pass what it gives to read().")
        return Decoded(self.rows_of(found))  # without bytes there is only the hash of the rows, which the scan takes

    def rows_of(self, frame: pd.DataFrame) -> pa.Table:
        """Return a pandas frame in the schema's columns and types."""
        names = [str(name) for name in frame.columns]
        if names != list(self.schema.names):
            lacking = [name for name in self.schema.names if name not in names]
            extra = [name for name in names if name not in self.schema]
            raise DataError(
                f"{self.fingerprint.name}: the graph gives other columns than its meta promised"
                + (f"; missing: {listed(lacking)}" if lacking else "")
                + (f"; not expected: {listed(extra)}" if extra else "")
                + ("; in another order" if not (lacking or extra) else "")
                + ". Give map_partitions the right meta."
            )
        columns = [
            self._column(frame.iloc[:, place], column.name, column.arrow_type)
            for place, column in enumerate(self.schema.columns)
        ]
        return pa.table(columns, names=names)

    def _column(self, series: pd.Series[Any], name: str, wanted: pa.DataType) -> Any:
        """One column in its type."""
        values = _arrow(series, name)
        if values.type == wanted:
            return values
        cast = cast_all(values, wanted) if _may_become(values.type, wanted) else None
        if cast is None:
            bad = misfits(values, wanted) if _may_become(values.type, wanted) else values.drop_null()
            raise DataError(
                f"{self.fingerprint.name}: column '{name}' is {values.type} here, such as {bad[0].as_py()!r:.60}; the "
                f"frame's meta says {wanted}. Convert it before: frame.astype({{'{name}': ...}})."
            )
        return cast


def _is_dask(frame: Any) -> bool:
    """Whether this is a dask DataFrame; dask.dataframe is not imported for it."""
    module = sys.modules.get("dask.dataframe")
    return module is not None and isinstance(frame, module.DataFrame)


def _check_columns(frame: Any) -> None:
    """Refuse column names that cannot name columns."""
    if frame.columns.nlevels > 1:
        raise DataError(
            "The frame's columns have several levels. Make them plain: frame.columns = ['_'.join(c) for ...]."
        )
    names = [str(name) for name in frame.columns]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"These columns stand twice in the frame: {listed(repeated)}. Rename or drop one of each.")
    if not names:
        raise DataError("The frame has no columns.")


def _texts(meta: pd.DataFrame) -> dict[str, str]:
    """Object columns of a dask frame, and categories that are not known yet: text."""
    return {
        str(name): "str"
        for name, dtype in meta.dtypes.items()
        if is_object_dtype(dtype)
        or (isinstance(dtype, pd.CategoricalDtype) and is_object_dtype(dtype.categories.dtype))
    }


def _schema_of(frame: pd.DataFrame, drop: Sequence[str]) -> Schema:
    """The schema of a pandas frame: by dtype, and by the values where the dtype says nothing.

    Dropped columns of types that cannot be hashed are left out of it.
    """
    fields = []
    problems: list[str] = []
    for place, name in enumerate(frame.columns):
        series = frame.iloc[:, place]
        try:
            values = _arrow(series if is_object_dtype(series.dtype) else series.head(0), str(name))
            kind_of(values.type, str(name))
            fields.append(pa.field(str(name), values.type))
        except DataError as error:
            if name not in drop:
                problems.append(str(error))
    if problems:
        raise DataError("\n".join(problems))
    return Schema.of(pa.schema(fields))


def _arrow(series: pd.Series[Any], name: str) -> Any:
    """A column as a plain Arrow array; nan is missing."""
    try:
        values = pa.Array.from_pandas(series)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        kinds = sorted({type(value).__name__ for value in series.dropna()}) or [str(series.dtype)]
        raise DataError(
            f"Column '{name}' ({series.dtype}) holds {' and '.join(kinds[:4])}, which make no column of one usable "
            f"type. Convert it: frame['{name}'].astype('str'), or pd.to_numeric."
        ) from error
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if plain_type(values.type) != values.type:
        values = values.cast(plain_type(values.type))
    return values


def _may_become(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a cast is one of width or unit, or of a column without values, and not of kind."""
    same: Sequence[Any] = (
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_decimal,
        lambda kind: pa.types.is_timestamp(kind) and kind.tz == getattr(wanted, "tz", None),
    )
    return (
        pa.types.is_null(found)
        or any(test(found) and test(wanted) for test in same)
        or (pa.types.is_integer(found) and pa.types.is_floating(wanted))
    )
