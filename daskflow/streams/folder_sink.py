"""A folder of results: one file for each batch, as JSON lines or Parquet, there as a whole or not at all."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import pyarrow as pa
import pyarrow.parquet

from daskflow.core.errors import StorageError
from daskflow.core.journal import plain, write_atomically
from daskflow.core.settings import parse
from daskflow.streams import OpenSink, StreamSink
from daskflow.streams.json_records import whole_text
from daskflow.streams.lines_writing import line_of
from daskflow.streams.paths import made
from daskflow.streams.records import Result

FORMATS = ("jsonl", "parquet")


class FolderSink(StreamSink):
    """Files of results, ``part-STREAM-NUMBER.jsonl`` or ``.parquet``: one for each batch, numbered in their order.

    A result has its ``id``, and its answer. A file appears complete. One that a kill has left without its commit is
    replaced when its records come again: no result is there twice. Several streams may share a folder.

    Attributes
    ----------
    path : str
        The folder; made when it does not exist and the one above it does.
    format : str
        ``jsonl`` or ``parquet``.
    """

    schemes: ClassVar[tuple[str, ...]] = ("", "folder")

    kind: Literal["folder"] = "folder"
    path: str
    format: Literal["jsonl", "parquet"] = "jsonl"

    @property
    def is_keyed(self) -> bool:
        """True: see above."""
        return True

    @classmethod
    def of(cls, address: str) -> Self:
        """Make the settings of a folder, or of ``scored/*.parquet``, which says the format."""
        path = address.removeprefix("folder://")
        found = re.fullmatch(rf"(.*?)/?\*\.({'|'.join(FORMATS)})", path)
        return cls(path=path) if found is None else parse(cls, {"path": found[1] or ".", "format": found[2]})

    def open(self, base: Path) -> AbstractAsyncContextManager[OpenSink]:
        """Open it; errors as `StreamSink.open` says."""
        return self._open(base)

    @asynccontextmanager
    async def _open(self, base: Path) -> AsyncIterator[OpenSink]:
        folder = Path(os.path.abspath(base / os.path.expanduser(self.path)))
        yield _Parts(made(folder, "--to"), self.format)


class _Parts:
    """An open folder of results; its mark is the name of the stream's files, and the number of the next."""

    def __init__(self, folder: Path, format_: str) -> None:
        self._folder, self._format = folder, format_
        self._stream, self._next = secrets.token_hex(4), 0

    @property
    def mark(self) -> dict[str, Any]:
        """The folder, the stream and the next number."""
        return {"folder": str(self._folder), "stream": self._stream, "next": self._next}

    async def go_back(self, mark: Any) -> None:
        """Go on as the stream of a mark, with its number; files behind it are removed."""
        if not isinstance(mark, dict) or mark.get("folder") != str(self._folder):
            return
        self._stream, self._next = str(mark["stream"]), int(mark["next"])
        await asyncio.to_thread(self._remove_from, self._next)

    def _remove_from(self, number: int) -> None:
        try:
            for path in self._folder.glob(f"part-{self._stream}-*"):
                if int(path.stem.rpartition("-")[2]) >= number:
                    path.unlink()
        except OSError as error:
            raise StorageError(f"{self._folder} cannot be written: {error.strerror}.") from error

    async def write(self, results: Sequence[Result]) -> None:
        """Write one file; it is on the disk on return."""
        path = self._folder / f"part-{self._stream}-{self._next:08d}.{self._format}"
        await asyncio.to_thread(_write, path, results, self._format)
        self._next += 1


def _write(path: Path, results: Sequence[Result], format_: str) -> None:
    if format_ == "jsonl":
        write_atomically(path, b"".join(map(line_of, results)))
        return
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table_of([plain(result.flat) for result in results]), buffer, compression="zstd")
    write_atomically(path, buffer.getvalue())


def table_of(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return rows as a table of every column that one of them has; values of no one type are JSON texts.

    Examples
    --------
    >>> table_of([{"id": "1"}, {"id": 2, "x": 0.5}]).to_pydict()
    {'id': ['1', '2'], 'x': [None, 0.5]}
    """
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: _column([row.get(name) for row in rows]) for name in names})


def _column(values: Sequence[Any]) -> Any:
    try:
        return pa.array(values)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        texts = [value if isinstance(value, str) or value is None else json.dumps(value) for value in values]
        return pa.array([text if text is None else whole_text(text) for text in texts], pa.string())
