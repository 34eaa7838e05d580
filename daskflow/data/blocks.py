"""Blocks: the decoded rows of partitions, on disk, memory-mapped, sorted into training order.

A block file is an uncompressed Arrow IPC file of one record batch: every column in the narrowest type that holds its
values exactly, strings as a dictionary, and three columns of uint64: ``__content`` (hash of the source row),
``__unit`` (hash of what must not be split) and ``__order`` (place in training order, by which it is sorted). Its
name says what it holds, so a block in use is never replaced by other rows.
"""

from __future__ import annotations

import errno
import fcntl
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import xxhash

from daskflow.core.errors import LostBlockError, StorageError
from daskflow.data.hashing import Hashes
from daskflow.data.maps import map_file
from daskflow.data.profiles import ColumnProfile
from daskflow.data.schema import Column, Roles, Schema
from daskflow.data.table import Reject

if TYPE_CHECKING:
    from daskflow.data.joins import JoinCount

CONTENT, UNIT, ORDER = "__content", "__unit", "__order"
HIDDEN = (CONTENT, UNIT, ORDER)

SHARE = 1024
"""What stands in more than 1/1024 of the rows is heavy: placed by itself in a split, spread in training order."""

TEXT = pa.dictionary(pa.int32(), pa.string())
"""How strings are presented, whatever the narrower type they are stored in."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOENT, errno.EEXIST)


@dataclass(frozen=True, slots=True)
class BlockFile:
    """One partition's rows on disk.

    Attributes
    ----------
    path : str
        The file.
    n_rows, n_bytes : int
        Its rows, and its size.
    name : str
        Its partition: relative file name, with ``#3`` for the third piece; the first of several small ones.
    content_hash : str
        Of what the partition was decoded from.
    """

    path: str
    n_rows: int
    n_bytes: int
    name: str
    content_hash: str


@dataclass(frozen=True, slots=True)
class Heavy:
    """A row content that stands in more than 1/1024 of all rows: its hash, its count and a file that has it."""

    content: int
    count: int
    file: int


@dataclass(frozen=True, slots=True)
class Blocks:
    """A scanned table.

    Attributes
    ----------
    files : tuple of BlockFile
        In the order of the partitions; empty partitions included.
    schema : Schema
        Columns that are stored: all but those that nobody needs.
    features : Schema
        Columns that a model sees.
    roles : Roles
        The parts that columns play.
    n_rows : int
        Rows of all files.
    source_bytes : int
        Size of the files they were decoded from.
    n_partitions : int
        Partitions of the table; several small ones share a block file.
    partition_reads : int
        Partitions that were decoded by this scan; the others were there.
    rejects : tuple of Reject
        Rows refused.
    profile : mapping of str to ColumnProfile
        By stored column.
    fingerprint : str
        Hash over the names and content hashes of all files, in any order.
    heavy : tuple of Heavy
        Largest first.
    joins : tuple of JoinCount
        How many rows found no match in each joined table.
    n_filtered : int
        Rows of the partitions that the source's filters left out; those of files and row groups ruled out unread are
        not counted.
    """

    files: tuple[BlockFile, ...]
    schema: Schema
    features: Schema
    roles: Roles
    n_rows: int
    source_bytes: int = 0
    n_partitions: int = 0
    partition_reads: int = 0
    rejects: tuple[Reject, ...] = ()
    profile: Mapping[str, ColumnProfile] = field(default_factory=dict)
    fingerprint: str = ""
    heavy: tuple[Heavy, ...] = ()
    joins: tuple[JoinCount, ...] = ()
    n_filtered: int = 0

    @property
    def n_bytes(self) -> int:
        """Size of all files."""
        return sum(file.n_bytes for file in self.files)

    def lean(self) -> Blocks:
        """The same without what only people read, to travel with units of work."""
        return replace(self, rejects=(), profile={})


def presented(column: Column) -> pa.DataType:
    """Return the type in which a stored column is read: the schema's own, strings as a dictionary of int32 codes."""
    plain = column.arrow_type
    return TEXT if pa.types.is_string(plain) or pa.types.is_null(plain) else plain


def presented_table(table: pa.Table, schema: Schema) -> pa.Table:
    """Return stored columns in the types in which they are read; those of `schema` alone."""
    return pa.table({name: table.column(name).cast(presented(schema[name])) for name in table.column_names})


@contextmanager
def storing_in(folder: Path, *, option: str = "cache.folder") -> Iterator[None]:
    """Turn a full disk or a missing permission into a StorageError that names the folder."""
    try:
        yield
    except OSError as error:
        if isinstance(error, StorageError) or error.errno not in (*FULL, *FORBIDDEN):
            raise
        what = "There is no space left" if error.errno in FULL else f"Nothing can be written ({error.strerror})"
        raise StorageError(f"{what} in {folder}. Make room there, or choose another folder with {option}.") from error


def write_block(table: pa.Table, path: Path) -> tuple[int, str]:
    """Write a block file so that others see it whole or not at all; return its size in bytes and its checksum.

    It is not forced to the disk: what a power cut takes is found by size or checksum, and made anew.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    batch = table.combine_chunks().to_batches()
    with storing_in(path.parent):
        try:
            with open(temporary, "wb") as file:
                with suppress(OSError):  # held while it grows: who sweeps knows that it is not left behind
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                summed = _Summed(file)
                with pa.ipc.new_file(summed, table.schema) as writer:
                    for piece in batch or [pa.RecordBatch.from_pylist([], schema=table.schema)]:
                        writer.write_batch(piece)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    return summed.n_bytes, str(summed.state.hexdigest())


class _Summed:
    """A file being written, with the checksum of what was written to it."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        """Start with nothing."""
        self.file = file
        self.n_bytes = 0
        self.state = xxhash.xxh3_64()

    def write(self, data: Any) -> int:
        """Write, and add to the sum."""
        self.state.update(data)
        self.n_bytes += len(data)
        return self.file.write(data)

    def tell(self) -> int:
        """Bytes so far."""
        return self.n_bytes

    def flush(self) -> None:
        """Hand on."""
        self.file.flush()

    def close(self) -> None:
        """Leave the file open for whoever opened it."""


def open_block(file: BlockFile) -> pa.Table:
    """Return a block's rows, memory-mapped: nothing is read before it is touched.

    Raises
    ------
    LostBlockError
        When the file is gone, or not as it was written.
    """
    try:
        seen = os.stat(file.path)
    except FileNotFoundError as error:
        raise LostBlockError(
            f"Block {file.path} is gone: it was evicted or deleted, or this worker does not see the folder. {AGAIN}"
        ) from error
    if seen.st_size != file.n_bytes:
        raise LostBlockError(f"Block {file.path} has {seen.st_size} bytes; {file.n_bytes} were written. {AGAIN}")
    return _open(file.path, file.n_rows, seen.st_ino, seen.st_mtime_ns)


AGAIN = "Run the same command again: the block is made anew from its source."


@lru_cache(maxsize=1024)
def _open(path: str, n_rows: int, inode: int, modified_ns: int) -> pa.Table:
    """Keep the maps of recently used blocks; one that was made anew is another file of the same name."""
    try:
        table = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(map_file(path)))).read_all()
    except (pa.ArrowInvalid, pa.ArrowException, OSError, ValueError) as error:
        raise LostBlockError(f"Block {path} is damaged ({error}). {AGAIN}") from error
    if table.num_rows != n_rows:
        raise LostBlockError(f"Block {path} has {table.num_rows} rows; {n_rows} were written. {AGAIN}")
    return table


def forget_blocks() -> None:
    """Close the maps of this process, so that the room of removed blocks is free again."""
    _open.cache_clear()


def hashes_of(table: pa.Table, name: str) -> Hashes:
    """Return one of the hidden columns as an array, without a copy."""
    column = table.column(name)
    if column.num_chunks == 0:
        return np.empty(0, dtype=np.uint64)
    found: Hashes = column.chunk(0).to_numpy()
    return found


def groups_of(files: tuple[BlockFile, ...], *, rows: int, most: int | None = None) -> list[list[int]]:
    """Cut the files, in their order, into groups of at least so many rows (one unit of work each)."""
    total = sum(file.n_rows for file in files)
    least = max(rows, -(-total // most) if most else 0)
    groups: list[list[int]] = [[]]
    held = 0
    for place, file in enumerate(files):
        if held >= least:
            groups.append([])
            held = 0
        groups[-1].append(place)
        held += file.n_rows
    if len(groups) > 1 and held < least:  # a last group that is too small joins the one before
        last = groups.pop()
        groups[-1] += last
    return groups
