"""Parquet files: every footer is read before anything is computed, every page's checksum when it is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import AfterValidator, Field

from daskflow.core.errors import DataError
from daskflow.data.schema import Schema
from daskflow.data.table import Fingerprint, Table
from daskflow.sources.columns import is_left_out, wanted
from daskflow.sources.file_source import FileSource, note_on_size
from daskflow.sources.filters import Filters, FilterSetting, check, columns_of, may_keep, parsed
from daskflow.sources.opening import SAMPLE_ROWS, open_table, unknown
from daskflow.sources.parquet_footer import REWRITE, Footer, footers
from daskflow.sources.parquet_piece import ParquetPiece
from daskflow.sources.parquet_schema import grouped, unify
from daskflow.sources.path_columns import PathColumns, path_columns, with_constants
from daskflow.sources.reading import FoundFile, open_file
from daskflow.sources.type_words import checked_words, type_of_word

SHOWN_GROUPS = 3


class Parquet(FileSource):
    """Parquet files, cut at row groups into partitions of about ``partition_bytes``.

    The footers of all files are read when the table is opened. Differences that cost nothing are unified (widths of
    integers and of floats, units of time, plain and dictionary-encoded strings, columns without a single value in some
    files); any other difference is an error that lists it by file. Unnamed index columns that pandas and dask write
    (``__index_level_0__``, ``__null_dask_index__``) are not read. Page checksums are verified where the file has them.

    Attributes
    ----------
    path : str or list of str
        Files, globs, or folders of parquet files; also addresses that fsspec knows, such as ``s3://bucket/folder``, and
        ``env:NAME`` for the value of an environment variable. A folder also stands for the files below its subfolders
        named ``key=value``.
    storage_options : mapping
        What the store of the addresses takes, as in pandas and Dask. Texts in it are never printed or written; say
        ``env:NAME`` for what is to be looked up in the environment.
    columns : list of str or None
        Only these are read; None for all. They are then the table's columns: row hashes cover these alone. (A column in
        ``drop`` is read, and is part of the row hash.)
    filters : list or None
        Rows to keep, as in pyarrow and Dask: ``[["age", ">", 3], ["sex", "in", ["f", "m"]]]`` where all conditions
        hold, or a list of such lists where one of them does. Operators are ==, !=, <, <=, >, >=, in, not in, and
        ``["age", "is", "null"]`` or ``"is not"``; a missing value fulfils no other. Folder names and statistics rule
        out files and row groups, the rows of the rest are tested one by one. The other rows count neither as used nor
        as rejected.
    hive : bool or None
        Whether folders named ``key=value`` directly above the files are columns: whole numbers as int64, dates as date,
        else text, or as ``dtypes`` says. True requires them, False leaves them out, None takes them where they are.
    file_column : str or None
        Name of a column to add that holds each row's file name, relative to the folder that all files share.
    dtypes : mapping of str to str
        Types that columns are cast to, such as ``{"zip": "string"}``; a value that does not fit is an error.
    partition_bytes : int
        Memory of a partition's rows to aim at; 128 MiB keeps a few partitions in a worker of 2 GiB. A row group is
        never cut.

    Examples
    --------
    >>> import tempfile, pyarrow.parquet
    >>> folder = tempfile.mkdtemp()
    >>> pyarrow.parquet.write_table(pa.table({"x": [1, 2], "y": [True, False]}), f"{folder}/part.0.parquet")
    >>> table = Parquet(path=folder, target="y").table()
    >>> table.schema.names, len(table.partitions)
    (('x', 'y'), 1)
    """

    kind: Literal["parquet"] = "parquet"
    columns: tuple[str, ...] | None = None
    filters: FilterSetting = None
    dtypes: Annotated[Mapping[str, str], AfterValidator(checked_words)] = Field(default_factory=dict)
    partition_bytes: int = Field(default=128 << 20, gt=0)

    def table(self, base: Path = Path()) -> Table:
        """Read the footers of all files and return the lazy table.

        Raises
        ------
        DataError
            For files that are missing, empty, cut short or no parquet, for files whose columns differ, and for filters
            that rule out every row.
        """
        casts = {name: type_of_word(word) for name, word in self.dtypes.items()}
        filters = parsed(self.filters or ())
        asked = None if self.columns is None else {*self.columns, *columns_of(filters)}
        files = self.found(base)
        beside = path_columns(files, hive=self.hive, file_column=self.file_column, columns=asked, casts=casts)
        kept = [file for file in files if _may_keep(filters, beside, file)]
        read = footers(kept or files[:1], asked, filters, casts)
        full, schema = self._schemas(read, beside, casts, filters)
        planned = _Planned(self.partition_bytes, full, schema, beside, filters, self.columns is None)
        pieces = [piece for footer in read for piece in planned.pieces(footer)] if kept else []
        if not pieces:
            raise DataError(
                f"filters rule out every row group of {len(files)} files by their statistics and folder names: no row "
                "is left. Check the values and their types."
            )
        notes = [*beside.notes, *note_on_size(files), *planned.notes(read), *_ruled_out(files, kept, read)]
        sample = _sample(pieces[0]) if self.derive else None
        unread = {field.name for field in read[0].schema if is_left_out(field, self.drop)}
        return open_table(self, schema, pieces, sample, unread, notes, base)

    def _schemas(
        self, read: Sequence[Footer], beside: PathColumns, casts: Mapping[str, pa.DataType], filters: Filters
    ) -> tuple[Schema, Schema]:
        """All columns that are needed, and those that are handed out."""
        asked = None if self.columns is None else [*self.columns, *columns_of(filters)]
        schemas: list[tuple[pa.Schema, list[str]]] = []
        for schema, names in grouped((footer.file.name, footer.schema) for footer in read):
            own = wanted(schema, names[0], asked, self.drop, elsewhere=list(beside.types))
            beside.refuse(own.names, names[0])
            schemas.append((own, names))
        common = unify(schemas, casts)
        everything = pa.schema([*common, *(pa.field(name, kind) for name, kind in beside.types.items())])
        if problem := unknown("dtypes", list(self.dtypes), everything.names):
            raise DataError(problem)
        check(filters, everything)
        full = Schema.of(everything)
        if self.columns is None:
            return full, full
        only_filtered = set(columns_of(filters)) - set(self.columns)
        return full, full.without(only_filtered - {self.file_column})


def _may_keep(filters: Filters, beside: PathColumns, file: FoundFile) -> bool:
    """Whether a file's folder and name leave it open that some of its rows are kept."""
    if not filters or not beside.types:
        return True
    return may_keep(filters, with_constants(_one_row(), beside.of(file), beside.types), set(beside.types))


def _one_row() -> pa.Table:
    return pa.table({"": pa.nulls(1)})


def _ruled_out(files: Sequence[FoundFile], kept: Sequence[FoundFile], read: Sequence[Footer]) -> Iterator[str]:
    """Say what filters leave out unread."""
    if len(kept) < len(files):
        yield f"filters leave out {len(files) - len(kept)} of {len(files)} files by their folders' names"
    groups = [group for footer in read for group in footer.row_groups]
    out = [group.n_rows for group in groups if not group.may_match]
    if out:
        yield f"filters leave out {len(out)} of {len(groups)} row groups ({sum(out)} rows) by their statistics"


class _Planned:
    """How files are cut into partitions."""

    def __init__(
        self, partition_bytes: int, full: Schema, schema: Schema, beside: PathColumns, filters: Filters, is_all: bool
    ) -> None:
        """Take what all files have in common."""
        self.partition_bytes = partition_bytes
        self.full, self.schema = full, schema
        self.beside = beside
        self.filters = filters
        self.is_all = is_all
        self.names = tuple(name for name in full.names if name not in beside.types)

    def pieces(self, footer: Footer) -> Iterator[ParquetPiece]:
        """Cut a file at row groups; those that filters rule out are left out."""
        file = footer.file
        cuts = self._cuts(footer)
        for place, groups in enumerate(cuts):
            is_only = len(groups) == len(footer.row_groups)
            name = file.name if is_only or len(cuts) == 1 else f"{file.name}#{place}"
            yield ParquetPiece(
                file=file,
                row_groups=tuple(groups),
                footer=footer.start,
                is_whole=is_only and self.is_all,
                names=self.names,
                full=self.full,
                schema=self.schema,
                constants=self.beside.of(file),
                filters=self.filters,
                fingerprint=Fingerprint(name, file.size_bytes, file.modified_ns, file.place),
                n_bytes=sum(footer.row_groups[group].n_bytes for group in groups),
            )

    def _cuts(self, footer: Footer) -> list[list[int]]:
        """Consecutive row groups by partition."""
        if not footer.row_groups:
            return [[]]  # a file without rows is a partition without rows
        cuts: list[list[int]] = []
        filled = 0
        for place, group in enumerate(footer.row_groups):
            if not group.may_match:
                continue
            if not cuts or filled + group.n_bytes > self.partition_bytes:
                cuts.append([])
                filled = 0
            cuts[-1].append(place)
            filled += group.n_bytes
        return cuts

    def notes(self, read: Sequence[Footer]) -> list[str]:
        """Name row groups that are much larger than a partition should be."""
        large = [
            (footer.file.name, place, group.n_bytes)
            for footer in read
            for place, group in enumerate(footer.row_groups)
            if group.n_bytes > 2 * self.partition_bytes and group.may_match
        ]
        said = [
            f"{name}: row group {place} takes about {n_bytes >> 20} MiB in memory and cannot be cut, so it is one "
            f"partition; written with smaller row groups (row_group_size) it takes less memory"
            for name, place, n_bytes in large[:SHOWN_GROUPS]
        ]
        more = len(large) - SHOWN_GROUPS
        return said + ([f"{more} more row groups are that large"] if more > 0 else [])


def _sample(piece: ParquetPiece) -> pa.Table:
    """A few rows of the first partition."""
    with open_file(piece.file) as opened:
        batches = pq.ParquetFile(opened, page_checksum_verification=True).iter_batches(
            batch_size=SAMPLE_ROWS, row_groups=list(piece.row_groups), columns=list(piece.names)
        )
        try:
            first = next(iter(batches), None)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{piece.file.name} is damaged: {error}. {REWRITE}") from error
    if first is None:
        return piece.schema.arrow.empty_table()
    rows = piece.finished(pa.Table.from_batches([first]))
    return rows.select(list(piece.schema.names)).cast(piece.schema.arrow)
