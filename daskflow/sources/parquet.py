"""Parquet files: every footer is read before anything is computed, every page's checksum when it is read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import AfterValidator, BeforeValidator, Field

from daskflow.core.errors import DataError
from daskflow.data.schema import Schema, kind_of
from daskflow.data.table import Decoded, Fingerprint, Table
from daskflow.sources import Source
from daskflow.sources.converting import cast_all, misfits
from daskflow.sources.files import resolve
from daskflow.sources.opening import SAMPLE_ROWS, listed, open_table, unknown
from daskflow.sources.parquet_schema import plain_type, unify
from daskflow.sources.reading import FoundFile, check_unchanged, hash_ranges, open_file, paths
from daskflow.sources.type_words import checked_words, type_of_word

MAGIC = b"PAR1"

UNNAMED_INDEX = re.compile(r"__index_level_\d+__|__null_dask_index__")

STRING_BYTES = 16
"""What a string is at least taken to need in memory: dictionary pages hide how often each is repeated."""

FOOTER_BYTES = 8


class Parquet(Source):
    """Parquet files, cut at row groups into partitions of about ``partition_bytes``.

    The footers of all files are read when the table is opened. Differences that cost nothing are unified (widths of
    integers and of floats, units of time, plain and dictionary-encoded strings, columns without a single value in some
    files); any other difference is an error that lists it by file. Unnamed index columns that pandas and dask write
    (``__index_level_0__``, ``__null_dask_index__``) are not read.

    Attributes
    ----------
    path : str or list of str
        Files, globs, or folders of parquet files.
    columns : list of str or None
        Only these are read; None for all.
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
    path: Annotated[str | tuple[str, ...], BeforeValidator(paths)]
    columns: tuple[str, ...] | None = None
    dtypes: Annotated[Mapping[str, str], AfterValidator(checked_words)] = Field(default_factory=dict)
    partition_bytes: int = Field(default=128 << 20, gt=0)

    def table(self, base: Path = Path()) -> Table:
        """Read the footers of all files and return the lazy table.

        Raises
        ------
        DataError
            For files that are missing, empty, cut short or no parquet, and for files whose columns differ.
        """
        files = resolve(self.path if isinstance(self.path, str) else list(self.path), "parquet", base)
        footers = _footers(files)
        schemas = {file.name: self._wanted(footer.schema_arrow, file.name) for file, footer in footers.items()}
        casts = {name: type_of_word(word) for name, word in self.dtypes.items()}
        common = unify(schemas, casts)
        if problem := unknown("dtypes", list(self.dtypes), common.names):
            raise DataError(problem)
        schema = Schema.of(common)
        partitions = [
            piece for file, footer in footers.items() for piece in _pieces(file, footer, schema, self.partition_bytes)
        ]
        sample = self._sample(partitions[0]) if self.derive else None
        return open_table(self, schema, partitions, sample, self._unread(footers.values()))

    def _wanted(self, schema: pa.Schema, file: str) -> pa.Schema:
        """The columns of one file that are read, their names checked."""
        repeated = sorted({name for name in schema.names if schema.names.count(name) > 1})
        if repeated:
            raise DataError(
                f"{file}: these columns stand twice: {listed(repeated)}. Rename them when writing the file."
            )
        names = [name for name in schema.names if not UNNAMED_INDEX.fullmatch(name)]
        if self.columns is not None:
            if problem := unknown("columns", self.columns, names):
                raise DataError(f"{file}: {problem}")
            names = [name for name in names if name in self.columns]
        return pa.schema([schema.field(name) for name in names if not self._left_out(schema.field(name))])

    def _unread(self, footers: Iterable[Any]) -> set[str]:
        """Names of the columns that are left out."""
        return {field.name for footer in footers for field in footer.schema_arrow if self._left_out(field)}

    def _left_out(self, field: pa.Field) -> bool:
        """Whether a column is dropped and of a type that could not be hashed; other dropped columns are read."""
        if field.name not in self.drop:
            return False
        try:
            kind_of(field.type, field.name)
        except DataError:
            return True
        return False

    def _sample(self, piece: ParquetPiece) -> pa.Table:
        """A few rows of the first partition."""
        rows = piece.schema.arrow.empty_table()
        with open_file(piece.file) as opened:
            batches = pq.ParquetFile(opened, page_checksum_verification=True).iter_batches(
                batch_size=SAMPLE_ROWS, row_groups=list(piece.row_groups), columns=list(piece.schema.names)
            )
            try:
                first = next(iter(batches), None)
            except (pa.ArrowException, OSError) as error:
                raise DataError(f"{piece.file.name} is damaged: {error}. Write or copy it again.") from error
        return rows if first is None else piece.cast(pa.Table.from_batches([first]))


@dataclass(frozen=True, slots=True)
class ParquetPiece:
    """Consecutive row groups of one file.

    Attributes
    ----------
    file : FoundFile
        As it was when it was planned.
    row_groups : tuple of int
        Which ones.
    ranges : tuple of (int, int)
        Offset and length of the bytes that the content hash covers: the row groups and the footer.
    schema : Schema
        What the rows are cast to.
    fingerprint : Fingerprint
        The file's; its name ends in ``#2`` for the third piece of a file with several.
    n_bytes : int
        Estimated size of the rows in memory.
    """

    file: FoundFile
    row_groups: tuple[int, ...]
    ranges: tuple[tuple[int, int], ...]
    schema: Schema
    fingerprint: Fingerprint
    n_bytes: int

    @property
    def graph(self) -> None:
        """None: files have no graph."""
        return None

    def read(self, frame: Any = None) -> Decoded:
        """Decode the row groups.

        Raises
        ------
        ChangedDataError
            When the file's size or time is not as planned, before or after reading.
        DataError
            For damaged pages and for values that do not fit ``dtypes``; names file, row group and column.
        """
        check_unchanged(self.file)
        with open_file(self.file) as opened:
            rows = self._decode(opened)
        content_hash = hash_ranges(self.file, self.ranges)
        check_unchanged(self.file)
        return Decoded(self.cast(rows), (), content_hash)

    def _decode(self, opened: Any) -> pa.Table:
        """Read the row groups; when that fails, read column by column to say where."""
        names = list(self.schema.names)
        try:
            parquet = pq.ParquetFile(opened, page_checksum_verification=True)
            rows = parquet.read_row_groups(list(self.row_groups), columns=names, use_threads=False)
            return rows.select(names)
        except (pa.ArrowException, OSError, KeyError) as error:
            check_unchanged(self.file)
            raise DataError(f"{self.file.name}{_place(opened, self.row_groups, names)}: {error}. {REWRITE}") from error

    def cast(self, rows: pa.Table) -> pa.Table:
        """Return rows in the schema's types."""
        columns = []
        for column in self.schema.columns:
            values, wanted = rows.column(column.name), column.arrow_type
            if plain_type(values.type) != values.type:
                values = values.cast(plain_type(values.type))
            if pa.types.is_floating(values.type) and not pa.types.is_floating(wanted):
                values = pa.chunked_array([pa.array(chunk, from_pandas=True) for chunk in _without_nan(values)])
            cast = values if values.type == wanted else cast_all(values, wanted)
            if cast is None:
                bad = misfits(values, wanted)
                example = bad[0].as_py() if len(bad) else None
                raise DataError(
                    f"{self.fingerprint.name}: column '{column.name}' ({values.type}) has {len(bad)} distinct values "
                    f"that are not {column.type}, such as {example!r:.60}. Correct them, or say another type in dtypes."
                )
            columns.append(cast)
        return pa.table(columns, names=list(self.schema.names))


REWRITE = "The file is damaged: write or copy it again."


def _without_nan(values: pa.ChunkedArray) -> Iterator[Any]:
    """Chunks as numpy arrays; pandas' rules then make nan missing."""
    for chunk in values.chunks or [pa.array([], values.type)]:
        yield chunk.to_numpy(zero_copy_only=False)


def _place(opened: Any, row_groups: Sequence[int], names: Sequence[str]) -> str:
    """Say in which row group and column reading fails."""
    try:
        parquet = pq.ParquetFile(opened, page_checksum_verification=True)
    except (pa.ArrowException, OSError):
        return ""
    for group in row_groups:
        for name in names:
            try:
                parquet.read_row_group(group, columns=[name], use_threads=False)
            except (pa.ArrowException, OSError):
                return f", row group {group}, column '{name}'"
    return ""


def _footers(files: Sequence[FoundFile]) -> dict[FoundFile, pq.ParquetFile]:
    """Open every file's footer; DataError listing all files that have none."""
    footers: dict[FoundFile, pq.ParquetFile] = {}
    problems: list[str] = []
    for file in files:
        try:
            footers[file] = _footer(file)
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError("\n".join(problems))
    return footers


def _footer(file: FoundFile) -> Any:
    """One file's footer, and a sentence when there is none."""
    with open_file(file) as opened:
        head = opened.read(len(MAGIC))
        opened.seek(max(0, file.size_bytes - len(MAGIC)))
        tail = opened.read(len(MAGIC))
        size = f"({file.size_bytes} bytes)"
        if head != MAGIC:
            hint = " It begins like a compressed file." if head[:2] == b"\x1f\x8b" else ""
            raise DataError(
                f"{file.name} {size} is no parquet file: it does not begin with PAR1.{hint} "
                "Take it out of the path, or use the kind it is."
            )
        if tail != MAGIC or file.size_bytes < 2 * len(MAGIC) + FOOTER_BYTES:
            raise DataError(
                f"{file.name} {size} is cut short: it begins as a parquet file and does not end as one. "
                "Write or copy it again."
            )
        try:
            parquet = pq.ParquetFile(opened, page_checksum_verification=True)
            parquet.schema_arrow  # noqa: B018 - reads the Arrow schema, which may be damaged by itself
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{file.name} {size}: its footer cannot be read: {error}. {REWRITE}") from error
    return parquet


def _pieces(file: FoundFile, parquet: Any, schema: Schema, partition_bytes: int) -> list[ParquetPiece]:
    """Cut a file at row groups."""
    metadata = parquet.metadata
    sizes = [_memory(metadata.row_group(i), schema) for i in range(metadata.num_row_groups)]
    cuts: list[list[int]] = [[]]
    filled = 0
    for group, size in enumerate(sizes):
        if cuts[-1] and filled + size > partition_bytes:
            cuts.append([])
            filled = 0
        cuts[-1].append(group)
        filled += size
    whole = ((0, file.size_bytes),)
    footer = (file.size_bytes - metadata.serialized_size - FOOTER_BYTES, metadata.serialized_size + FOOTER_BYTES)
    return [
        ParquetPiece(
            file=file,
            row_groups=tuple(groups),
            ranges=whole if len(cuts) == 1 else (*(_extent(metadata.row_group(i)) for i in groups), footer),
            schema=schema,
            fingerprint=Fingerprint(
                file.name if len(cuts) == 1 else f"{file.name}#{place}", file.size_bytes, file.modified_ns, file.place
            ),
            n_bytes=sum(sizes[i] for i in groups),
        )
        for place, groups in enumerate(cuts)
    ]


def _extent(group: Any) -> tuple[int, int]:
    """Offset and length of a row group's pages."""
    columns = [group.column(i) for i in range(group.num_columns)]
    starts = [
        min(offset for offset in (c.dictionary_page_offset, c.data_page_offset) if offset is not None) for c in columns
    ]
    ends = [start + column.total_compressed_size for start, column in zip(starts, columns, strict=True)]
    return min(starts), max(ends) - min(starts)


def _memory(group: Any, schema: Schema) -> int:
    """Estimated size of a row group in memory."""
    stored = {group.column(i).path_in_schema: group.column(i).total_uncompressed_size for i in range(group.num_columns)}
    total = 0
    for column in schema.columns:
        if pa.types.is_string(column.arrow_type):
            total += max(stored.get(column.name, 0), STRING_BYTES * group.num_rows)
        elif not pa.types.is_null(column.arrow_type):
            total += column.arrow_type.bit_width * group.num_rows // 8
    return int(total)
