"""Arrow IPC files and streams, and Feather: record batches grouped into partitions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import AfterValidator, Field

from daskflow.core.errors import DataError
from daskflow.data.schema import Schema
from daskflow.data.table import Decoded, Fingerprint, Table
from daskflow.sources.ahead import expect
from daskflow.sources.arrow_messages import BATCH, END, Layout, Message, layout_of, needed
from daskflow.sources.columns import cast_rows, is_left_out, wanted
from daskflow.sources.file_source import FileSource, note_on_size
from daskflow.sources.opening import SAMPLE_ROWS, open_table, unknown
from daskflow.sources.parquet_schema import grouped, plain_type, unify
from daskflow.sources.path_columns import PathColumns, path_columns, with_constants
from daskflow.sources.reading import FoundFile, check_unchanged, for_each, hash_parts, read_ranges
from daskflow.sources.type_words import checked_words, type_of_word

STRING_BYTES = 16
SHOWN_BATCHES = 3


class Arrow(FileSource):
    """Arrow IPC files and streams (.arrow, .arrows, .feather, .ipc), record batches grouped into partitions.

    Which of both a file is shows in its first bytes; Feather of version 2 is an Arrow file. Differences between files
    are unified or refused as for parquet. Dictionaries count as their values. The format has no checksums: lengths,
    offsets and texts are checked after reading, numbers cannot be.

    Attributes
    ----------
    path : str or list of str
        Files, globs, or folders of Arrow files; also addresses that fsspec knows, such as ``s3://bucket/folder``, and
        ``env:NAME`` for the value of an environment variable. A folder also stands for the files below its subfolders
        named ``key=value``.
    storage_options : mapping
        What the store of the addresses takes, as in pandas and Dask. Texts in it are never printed or written; say
        ``env:NAME`` for what is to be looked up in the environment.
    columns : list of str or None
        Only these are used; None for all. They are then the table's columns: row hashes cover these alone.
    hive : bool or None
        Whether folders named ``key=value`` directly above the files are columns: whole numbers as int64, dates as date,
        else text, or as ``dtypes`` says. True requires them, False leaves them out, None takes them where they are.
    file_column : str or None
        Name of a column to add that holds each row's file name, relative to the folder that all files share.
    dtypes : mapping of str to str
        Types that columns are cast to, such as ``{"zip": "string"}``; a value that does not fit is an error.
    partition_bytes : int
        Memory of a partition's rows to aim at. A record batch is never cut.

    Examples
    --------
    >>> import tempfile, pyarrow.feather
    >>> folder = tempfile.mkdtemp()
    >>> pyarrow.feather.write_feather(pa.table({"x": [1, 2], "y": [True, False]}), f"{folder}/a.feather")
    >>> Arrow(path=folder, target="y").table().schema.names
    ('x', 'y')
    """

    kind: Literal["arrow"] = "arrow"
    columns: tuple[str, ...] | None = None
    dtypes: Annotated[Mapping[str, str], AfterValidator(checked_words)] = Field(default_factory=dict)
    partition_bytes: int = Field(default=128 << 20, gt=0)

    def table(self, base: Path = Path()) -> Table:
        """Read the headers of all messages of all files and return the lazy table.

        Raises
        ------
        DataError
            For files that are missing, empty, cut short or no Arrow, and for files whose columns differ.
        """
        casts = {name: type_of_word(word) for name, word in self.dtypes.items()}
        files = self.found(base)
        beside = path_columns(files, hive=self.hive, file_column=self.file_column, columns=self.columns, casts=casts)
        layouts = _layouts(files)
        schemas: list[tuple[pa.Schema, list[str]]] = []
        for schema, names in grouped((layout.file.name, layout.schema) for layout in layouts):
            own = wanted(schema, names[0], self.columns, self.drop, elsewhere=list(beside.types))
            beside.refuse(own.names, names[0])
            schemas.append((own, names))
        everything = pa.schema([*unify(schemas, casts, "Arrow files"), *beside.types.items()])
        if problem := unknown("dtypes", list(self.dtypes), everything.names):
            raise DataError(problem)
        schema = Schema.of(everything)
        pieces = [piece for layout in layouts for piece in self._pieces(layout, schema, beside)]
        notes = [*beside.notes, *note_on_size(files), *self._notes(layouts)]
        unread = {field.name for layout in layouts for field in layout.schema if is_left_out(field, self.drop)}
        sample = None
        if self.derive:
            first = pieces[0]
            sample = first.decoded()[0].slice(0, SAMPLE_ROWS).cast(schema.arrow)
        return open_table(self, schema, pieces, sample, unread, notes, base)

    def _pieces(self, layout: Layout, schema: Schema, beside: PathColumns) -> Iterator[ArrowPiece]:
        """Group a file's record batches."""
        file = layout.file
        sizes = [_memory(message, layout.schema) for message in layout.messages if message.kind == BATCH]
        cuts: list[list[int]] = [[]]
        filled = 0
        for place, size in enumerate(sizes):
            if cuts[-1] and filled + size > self.partition_bytes:
                cuts.append([])
                filled = 0
            cuts[-1].append(place)
            filled += size
        names = tuple(name for name in schema.names if name not in beside.types)
        for number, batches in enumerate(cuts):
            name = file.name if len(cuts) == 1 else f"{file.name}#{number}"
            yield ArrowPiece(
                file=file,
                ranges=tuple((one.start, one.length) for one in needed(layout, tuple(batches))),
                names=names,
                schema=schema,
                constants=beside.of(file),
                fingerprint=Fingerprint(name, file.size_bytes, file.modified_ns, file.place),
                n_bytes=sum(sizes[place] for place in batches),
            )

    def _notes(self, layouts: Sequence[Layout]) -> list[str]:
        """Name record batches that are much larger than a partition should be."""
        large = [
            f"{layout.file.name}: a record batch of {message.n_rows} rows takes about "
            f"{_memory(message, layout.schema) >> 20} MiB in memory and cannot be cut, so it is one partition"
            for layout in layouts
            for message in layout.messages
            if message.kind == BATCH and _memory(message, layout.schema) > 2 * self.partition_bytes
        ]
        more = len(large) - SHOWN_BATCHES
        return large[:SHOWN_BATCHES] + ([f"{more} more record batches are that large"] if more > 0 else [])


@dataclass(frozen=True, slots=True)
class ArrowPiece:
    """Some record batches of one file.

    Attributes
    ----------
    file : FoundFile
        As it was when it was planned.
    ranges : tuple of (int, int)
        Offset and length of the messages that make a stream of these batches.
    names : tuple of str
        Columns that are taken from the file.
    schema : Schema
        What the rows are cast to.
    constants : tuple of (str, object)
        Columns that stand in the path, and their values.
    fingerprint : Fingerprint
        The file's; its name ends in ``#2`` for the third piece of a file with several.
    n_bytes : int
        Estimated size of the rows in memory.
    """

    file: FoundFile
    ranges: tuple[tuple[int, int], ...]
    names: tuple[str, ...]
    schema: Schema
    constants: tuple[tuple[str, Any], ...]
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
        """Ask for the bytes of the record batches."""
        expect(self.file, self.ranges)

    def read(self, frame: Any = None) -> Decoded:
        """Decode the record batches.

        Raises
        ------
        ChangedDataError
            When the file's size or time is not as planned, before or after reading.
        DataError
            For damaged messages and for values that do not fit ``dtypes``.
        """
        check_unchanged(self.file)
        rows, content_hash = self.decoded()
        check_unchanged(self.file)
        return Decoded(rows, (), content_hash)

    def decoded(self) -> tuple[pa.Table, str]:
        """Return the rows in the schema's types, and the hash of their bytes."""
        parts = read_ranges(self.file, self.ranges)
        stream = pa.allocate_buffer(sum(part.size for part in parts) + len(END))
        view, place = memoryview(stream).cast("B"), 0
        for part in (*parts, END):
            size = len(part)
            view[place : place + size] = memoryview(part).cast("B")
            place += size
        try:
            rows = pa.ipc.open_stream(pa.BufferReader(stream)).read_all()
            rows.validate(full=True)
            rows = rows.select(list(self.names))
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            check_unchanged(self.file)
            raise DataError(f"{self.fingerprint.name} is damaged: {error}. Write or copy it again.") from error
        types = {column.name: column.arrow_type for column in self.schema.columns}
        whole = with_constants(rows, self.constants, types)
        return cast_rows(whole, self.schema, self.fingerprint.name), hash_parts(parts)


def _layouts(files: Sequence[FoundFile]) -> list[Layout]:
    """Find the messages of every file, several at a time; DataError listing all files that have none."""

    def one(file: FoundFile) -> Layout | DataError:
        try:
            return layout_of(file)
        except DataError as error:
            return error

    found = for_each(one, files)
    problems = [str(answer) for answer in found if isinstance(answer, DataError)]
    if problems:
        raise DataError("\n".join(problems))
    return [answer for answer in found if isinstance(answer, Layout)]


def _memory(message: Message, schema: pa.Schema) -> int:
    """Estimated size of a record batch in memory."""
    if not message.is_compressed:
        return message.length
    kinds = [plain_type(field.type) for field in schema]
    width = sum(
        STRING_BYTES * 8 if pa.types.is_string(kind) or pa.types.is_nested(kind) else getattr(kind, "bit_width", 0)
        for kind in kinds
        if not pa.types.is_null(kind) and not pa.types.is_binary(kind)
    )
    return max(message.length, width * message.n_rows // 8)
