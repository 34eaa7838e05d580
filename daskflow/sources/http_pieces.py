"""Partitions of a table over HTTP: each has its file fetched, and decodes it as the format's own source does."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from daskflow.core.errors import ChangedDataError, DataError, SettingsError
from daskflow.core.seeds import digest
from daskflow.data.schema import Schema
from daskflow.data.table import Decoded, Fingerprint, Partition, Table
from daskflow.sources.columns import cast_rows
from daskflow.sources.file_source import FileSource
from daskflow.sources.http_cache import Cache, Held
from daskflow.sources.http_transfer import Wanted
from daskflow.sources.opening import listed
from daskflow.sources.parquet_piece import ParquetPiece
from daskflow.sources.type_words import WORDS


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file of a table, and those whose fetching begins when it is read.

    Attributes
    ----------
    cache : Cache
        Where the file will be.
    wanted : Wanted
        The file, and its state when it was planned.
    following : tuple of Wanted
        The files after it.
    size_bytes : int
        What the server says of its size; 0 where it says nothing.
    ahead : int
        Files that may come while others are read.
    """

    cache: Cache
    wanted: Wanted
    following: tuple[Wanted, ...]
    size_bytes: int = 0
    ahead: int = 0

    @property
    def key(self) -> str:
        """Equal for partitions of one file."""
        return self.wanted.address.identity

    @property
    def folder(self) -> str:
        """The cache's."""
        return self.cache.folder

    @property
    def room_bytes(self) -> int:
        """The cache's."""
        return self.cache.most_bytes

    def bring(self) -> Future[Held]:
        """Begin to fetch the file, which then stays until it is given back; what is there is not fetched."""
        return self.cache.bring(self.wanted)

    def alone(self) -> Fetched:
        """Return the file without those after it: somebody else sees to them."""
        return replace(self, following=())

    @contextmanager
    def file(self) -> Iterator[Path]:
        """Yield the file's path once it is there; errors within the block name its address."""
        with self.cache.using(self.wanted, self.following) as path:
            try:
                yield path
            except SettingsError as error:
                raise DataError(f"{self.wanted.address}: {error}") from error
            except DataError as error:
                raise type(error)(f"{self.wanted.address}: {error}") from error


@dataclass(frozen=True, slots=True)
class PlannedPiece:
    """A partition that was planned from the footer of its parquet file, before the file was there.

    Attributes
    ----------
    fetched : Fetched
        Its file.
    piece : ParquetPiece
        Its row groups, with the place of the footer in place of the file.
    fingerprint : Fingerprint
        Name and state of the file.
    """

    fetched: Fetched
    piece: ParquetPiece
    fingerprint: Fingerprint

    @property
    def graph(self) -> None:
        """None: files have no graph."""
        return None

    @property
    def n_bytes(self) -> int:
        """Estimated size of the rows in memory."""
        return self.piece.n_bytes

    @property
    def coming(self) -> Fetched:
        """Its file."""
        return self.fetched

    def arrived(self) -> PlannedPiece:
        """Return the same for when its file has come: those after it are not asked for."""
        return replace(self, fetched=self.fetched.alone())

    def read(self, frame: Any = None) -> Decoded:
        """Have the file, begin to fetch those after it, and decode; DataError names the file."""
        with self.fetched.file() as path:
            seen = path.stat()
            if seen.st_size != self.piece.file.size_bytes:
                raise ChangedDataError(
                    f"it has {seen.st_size} bytes; it had {self.piece.file.size_bytes} when it was planned. "
                    "Let the writer finish, then start again."
                )
            file = replace(self.piece.file, path=str(path), modified_ns=seen.st_mtime_ns)
            return replace(self.piece, file=file).read()


@dataclass(frozen=True, slots=True)
class WholeFile:
    """A file as one partition, read in the schema that was found from other files.

    Attributes
    ----------
    fetched : Fetched
        The file.
    format : FileSource
        How it is read.
    name : str
        Its path as the address has it, for columns that stand in it.
    schema : Schema
        What the rows must be.
    fingerprint : Fingerprint
        Name and state of the file.
    n_bytes : int
        Estimated size of the rows in memory.
    learned : object or None
        What the format found out when those files were opened; None where each file is opened by itself.
    """

    fetched: Fetched
    format: FileSource
    name: str
    schema: Schema
    fingerprint: Fingerprint
    n_bytes: int
    learned: Any = None

    @property
    def graph(self) -> None:
        """None: files have no graph."""
        return None

    @property
    def coming(self) -> Fetched:
        """The file."""
        return self.fetched

    def arrived(self) -> WholeFile:
        """Return the same for when the file has come: those after it are not asked for."""
        return replace(self, fetched=self.fetched.alone())

    def read(self, frame: Any = None) -> Decoded:
        """Have the file, begin to fetch those after it, and decode.

        Raises
        ------
        DataError
            When the file cannot be had, or does not fit the table; names it.
        ChangedDataError
            When it is not the file that was planned.
        """
        with self.fetched.file() as path, as_named([(path, self.name)]) as [link]:
            decoded = self._alike(link) or [part.read() for part in self._opened(link).partitions]
            rows = pa.concat_tables([self._fitting(one.rows) for one in decoded], promote_options="none")
        hashes = [one.content_hash for one in decoded]
        return replace(
            decoded[0],
            rows=rows,
            rejects=tuple(replace(reject, file=self.fingerprint.name) for one in decoded for reject in one.rejects),
            content_hash=hashes[0] if len(hashes) == 1 else digest(hashes, 32),
            n_filtered=sum(one.n_filtered for one in decoded),
        )

    def _alike(self, path: Path) -> list[Decoded] | None:
        """The file's rows, read as those that the schema was found from; None where it seems to differ from them.

        Such a file is opened by itself, which takes several times as long, and says what is wrong with it.
        """
        if self.learned is None:
            return None
        try:
            table = at(self.format, [path]).table_like(self.learned)
            if table is None:
                return None
            self._check_kinds(table)
            decoded = [part.read() for part in table.partitions]
        except DataError:
            return None
        return None if any(self.format.has_doubts(one) for one in decoded) else decoded

    def _opened(self, path: Path) -> Table:
        """The table of the file, with its columns in the table's types as far as its format can do that."""
        # A key that all lines of a JSON file lack is missing there; told its type, the format adds the column.
        words = self._words(self.schema.names) if self.format.kind == "json" else {}
        table = self._told(path, words)
        names, wanted = table.source_schema.names, self.schema.names
        if set(names) != set(wanted):
            lacking, extra = ([n for n in a if n not in b] for a, b in ((wanted, names), (names, wanted)))
            parts = [f"lacks {listed(lacking)}" if lacking else "", f"has {listed(extra)}" if extra else ""]
            raise DataError(
                "its columns are not those of the files that the schema was found from: it "
                f"{' and '.join(part for part in parts if part)}. Give all files the same columns, or read them apart."
            )
        if self.format.kind == "csv":
            words = self._words(c.name for c in self.schema.columns if table.source_schema[c.name].type != c.type)
            table = self._told(path, words) if words else table
        self._check_kinds(table)
        return table

    def _check_kinds(self, table: Table) -> None:
        """Raise DataError for a column that is of another kind than the table's."""
        for column in self.schema.columns:
            own = table.source_schema[column.name]
            if own.kind is not column.kind and not pa.types.is_null(own.arrow_type):
                raise DataError(
                    f"column '{column.name}' is {own.type}, and {column.type} in the files that the schema was found "
                    "from. Write it in one type, say which in dtypes of the format, or raise sample_files."
                )

    def _words(self, names: Iterable[str]) -> dict[str, str]:
        """Words for the types of columns, but of those that stand in the file's path."""
        above = {part.partition("=")[0] for part in self.name.split("/")[:-1] if "=" in part}
        inner = [self.schema[name] for name in names if name not in {*above, self.format.file_column}]
        return {column.name: word for column in inner if (word := word_of(column.arrow_type))}

    def _told(self, path: Path, words: Mapping[str, str]) -> Table:
        """The table of the file, with some types said."""
        said = {"dtypes": {**getattr(self.format, "dtypes", {}), **words}} if words else {}
        return at(self.format, [path], **said).table()

    def _fitting(self, rows: pa.Table) -> pa.Table:
        """Rows in the table's own types; the file's name is that of the address."""
        column = self.format.file_column
        if column is not None:
            own = pa.repeat(pa.scalar(self.fingerprint.name), rows.num_rows)
            rows = rows.set_column(rows.column_names.index(column), column, own)
        rows = cast_rows(rows, self.schema, self.fingerprint.name)
        return rows.cast(self.schema.arrow) if rows.schema != self.schema.arrow else rows


def at(format: FileSource, paths: Sequence[Path], **options: Any) -> FileSource:
    """Return the settings of a format, for files of this machine."""
    return format.model_copy(update={"path": tuple(str(path) for path in paths), **options})


@contextmanager
def as_named(files: Sequence[tuple[Path, str]]) -> Iterator[list[Path]]:
    """Yield paths under which files stand in folders of the names that their addresses have."""
    with tempfile.TemporaryDirectory(prefix="daskflow-") as folder:
        links = [Path(folder) / name for _, name in files]
        for (path, _), link in zip(files, links, strict=True):
            link.parent.mkdir(parents=True, exist_ok=True)
            os.symlink(path, link)
        yield links


def word_of(arrow_type: pa.DataType) -> str | None:
    """Return the word for a type in ``dtypes``; None when there is none.

    Examples
    --------
    >>> word_of(pa.float64()), word_of(pa.null())
    ('float', None)
    """
    return next((word for word, known in WORDS.items() if known == arrow_type), None)


def planned_pieces(partitions: Sequence[Partition]) -> list[ParquetPiece]:
    """Return partitions as those of parquet files, which they are."""
    return [piece for piece in partitions if isinstance(piece, ParquetPiece)]
