"""Row groups of one parquet file: their bytes are read once, hashed and decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from daskflow.core.errors import DataError
from daskflow.data.schema import Schema
from daskflow.data.table import Decoded, Fingerprint
from daskflow.sources.ahead import expect, soon
from daskflow.sources.columns import cast_rows
from daskflow.sources.filters import Filters, mask
from daskflow.sources.parquet_footer import REWRITE, parsed
from daskflow.sources.path_columns import with_constants
from daskflow.sources.reading import FoundFile, check_unchanged, hash_parts, read_ranges

LARGEST_DICTIONARY = 2 << 20
CODE_BYTES = 4
"""A text column of more bytes than these, the latter per row, was not written as a dictionary to its end."""


@dataclass(frozen=True, slots=True)
class ParquetPiece:
    """Consecutive row groups of one file.

    Attributes
    ----------
    file : FoundFile
        As it was when it was planned.
    row_groups : tuple of int
        Which ones.
    footer : int
        Where the footer begins.
    is_whole : bool
        Whether all row groups and all columns are read, and so all bytes.
    names : tuple of str
        Columns that are read from the file.
    full : Schema
        All columns: those read, those that stand in the path, and those that only filters look at.
    schema : Schema
        What is handed out.
    constants : tuple of (str, object)
        Columns that stand in the path, and their values.
    filters : Filters
        Which rows are kept.
    fingerprint : Fingerprint
        The file's; its name ends in ``#2`` for the third piece of a file with several.
    n_bytes : int
        Estimated size of the rows in memory.
    """

    file: FoundFile
    row_groups: tuple[int, ...]
    footer: int
    is_whole: bool
    names: tuple[str, ...]
    full: Schema
    schema: Schema
    constants: tuple[tuple[str, Any], ...]
    filters: Filters
    fingerprint: Fingerprint
    n_bytes: int

    @property
    def graph(self) -> None:
        """None: files have no graph."""
        return None

    @property
    def is_far(self) -> bool:
        """Whether it is in a store."""
        return self.file.storage is not None

    def expect(self) -> None:
        """Ask for the bytes of the columns; those of a part of a file are found by its footer, in a thread."""
        if self.is_whole:
            expect(self.file, [(0, self.file.size_bytes)])
        else:
            soon(self._expect_columns)

    def _expect_columns(self) -> None:
        (tail,) = read_ranges(self.file, [(self.footer, self.file.size_bytes - self.footer)])
        expect(self.file, _spans(parsed(tail), self.row_groups, self.names))

    def read(self, frame: Any = None) -> Decoded:
        """Decode the row groups; texts that the file keeps as dictionaries stay dictionaries.

        Raises
        ------
        ChangedDataError
            When the file's size or time is not as planned, before or after reading.
        DataError
            For damaged pages and for values that do not fit ``dtypes``; names file, row group and column.
        """
        check_unchanged(self.file)
        source, metadata, content_hash = self._fetched()
        rows = self.finished(self._decoded(source, metadata))
        check_unchanged(self.file)
        kept = rows
        if self.filters:
            kept = rows.filter(mask(rows, self.filters))
        return Decoded(kept.select(list(self.schema.names)), (), content_hash, rows.num_rows - kept.num_rows)

    def finished(self, rows: pa.Table) -> pa.Table:
        """Return decoded rows with the path's columns, in the types of `full`."""
        if self.constants:
            types = {column.name: column.arrow_type for column in self.full.columns}
            rows = with_constants(rows, self.constants, types)
        return cast_rows(rows, self.full, self.fingerprint.name)

    def _fetched(self) -> tuple[Any, Any, str]:
        """The bytes as a file, the footer, and the content hash over exactly the bytes that are decoded."""
        end = (self.footer, self.file.size_bytes - self.footer)
        try:
            if self.is_whole:
                (whole,) = read_ranges(self.file, [(0, self.file.size_bytes)])
                metadata = parsed(whole.slice(self.footer))
                return pa.BufferReader(whole), metadata, hash_parts([whole])
            (tail,) = read_ranges(self.file, [end])
            metadata = parsed(tail)
        except (pa.ArrowException, OSError) as error:
            check_unchanged(self.file)
            raise DataError(f"{self.file.name}: its footer cannot be read: {error}. {REWRITE}") from error
        spans = _spans(metadata, self.row_groups, self.names)
        parts = read_ranges(self.file, spans)
        pieces = [(start, part) for (start, _), part in zip([*spans, end], [*parts, tail], strict=True)]
        return pa.PythonFile(_Patchwork(pieces), mode="r"), metadata, hash_parts([tail, *parts])

    def _decoded(self, source: Any, metadata: Any) -> pa.Table:
        """Read the row groups; when that fails, read column by column to say where."""
        names = list(self.names)
        try:
            parquet = pq.ParquetFile(
                source,
                metadata=metadata,
                read_dictionary=_dictionaries(metadata, self.row_groups, names),
                pre_buffer=False,  # it reads gaps between columns too, and the bytes are in memory already
                page_checksum_verification=True,
            )
            if not names:  # all columns stand in the path
                n_rows = sum(metadata.row_group(place).num_rows for place in self.row_groups)
                return pa.table({"": pa.nulls(n_rows)})
            rows = parquet.read_row_groups(list(self.row_groups), columns=names, use_threads=False)
            return rows.select(names)
        except (pa.ArrowException, OSError, KeyError) as error:
            check_unchanged(self.file)
            where = _place(source, metadata, self.row_groups, names)
            raise DataError(f"{self.file.name}{where}: {error}. {REWRITE}") from error


class _Patchwork:
    """Parts of a file, served as if it were there whole."""

    closed = False

    def __init__(self, parts: Sequence[tuple[int, pa.Buffer]]) -> None:
        """Take the parts with their places; the last one ends the file."""
        self.parts = parts
        self.place = 0

    def read(self, n_bytes: int = -1) -> pa.Buffer:
        """Return bytes of the part that holds the current place."""
        for start, part in self.parts:
            within = self.place - start
            if within >= 0 and within + n_bytes <= part.size:
                self.place += n_bytes
                return part.slice(within, n_bytes)
        raise OSError(f"{n_bytes} bytes from byte {self.place} on are beyond the columns that the footer lists")

    def read_buffer(self, n_bytes: int) -> pa.Buffer:
        """Return the same without a copy."""
        return self.read(n_bytes)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place."""
        start, last = self.parts[-1]
        self.place = offset + (0, self.place, start + last.size)[whence]
        return self.place

    def tell(self) -> int:
        """Return the place."""
        return self.place

    def close(self) -> None:
        """Keep the parts: they are memory."""


def _spans(metadata: Any, row_groups: Sequence[int], names: Sequence[str]) -> list[tuple[int, int]]:
    """Offsets and lengths of the pages of some columns; neighbours are one."""
    wanted = set(names)
    found: list[tuple[int, int]] = []
    for place in row_groups:
        group = metadata.row_group(place)
        for column in (group.column(leaf) for leaf in range(group.num_columns)):
            if column.path_in_schema not in wanted and column.path_in_schema.partition(".")[0] not in wanted:
                continue
            start = column.data_page_offset
            if column.has_dictionary_page and column.dictionary_page_offset:
                start = min(start, column.dictionary_page_offset)
            found.append((start, start + column.total_compressed_size))
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(found):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return [(start, stop - start) for start, stop in merged]


def _dictionaries(metadata: Any, row_groups: Sequence[int], names: Sequence[str]) -> list[str]:
    """Columns that the file keeps as a dictionary throughout.

    Blocks keep texts as dictionaries too: reading them so and not encoding them again makes decoding and encoding the
    30-column table of the benchmarks twice as fast (2.2 against 1.1 million rows per CPU-second). A writer gives up the
    dictionary where it grows beyond a limit (1 MB by default), which shows in the column's size.
    """
    found: list[str] = []
    groups = [metadata.row_group(place) for place in row_groups]
    for leaf in range(metadata.num_columns):
        described = metadata.schema.column(leaf)
        if described.path not in names or described.logical_type.type != "STRING":
            continue
        chunks = [group.column(leaf) for group in groups]
        if chunks and all(
            chunk.has_dictionary_page
            and chunk.total_uncompressed_size <= LARGEST_DICTIONARY + CODE_BYTES * chunk.num_values
            for chunk in chunks
        ):
            found.append(described.path)
    return found


def _place(source: Any, metadata: Any, row_groups: Sequence[int], names: Sequence[str]) -> str:
    """Say in which row group and column reading fails."""
    parquet = pq.ParquetFile(source, metadata=metadata, pre_buffer=False, page_checksum_verification=True)
    for group in row_groups:
        for name in names:
            try:
                parquet.read_row_group(group, columns=[name], use_threads=False)
            except (pa.ArrowException, OSError):
                return f", row group {group}, column '{name}'"
    return ""
