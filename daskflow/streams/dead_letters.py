"""Dead letters: records without an answer, put aside with the reason before the stream goes past them."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from daskflow.core.errors import StorageError
from daskflow.core.journal import plain
from daskflow.streams.records import Dead

MOST_RAW = 64 * 1024
"""Bytes of a record that are kept of one that is longer."""


class DeadLetters:
    """A file of JSON lines, one for each record that has no answer; made with the first.

    Parameters
    ----------
    path : Path
        Added to when it exists.
    name, n_bytes
        As the newest commit has them: what a kill has left in that file behind them is removed, for those records
        come again.

    Attributes
    ----------
    n_bytes : int
        Length of the file, of what is on the disk for good.

    Raises
    ------
    StorageError
        When it cannot be written.
    """

    def __init__(self, path: Path, *, name: str = "", n_bytes: int = 0) -> None:
        """Cut off what was not committed."""
        self.path = path
        self._file: Any = None
        try:
            self.n_bytes = path.stat().st_size if path.exists() else 0
            if name == str(path) and self.n_bytes > n_bytes:
                os.truncate(path, n_bytes)
                self.n_bytes = n_bytes
        except OSError as error:
            raise self._refused(error) from error

    def append(self, dead: Sequence[Dead]) -> None:
        """Put records aside; they are on the disk on return.

        Raises
        ------
        StorageError
            When the disk is full or gone; nothing of them is left in the file then.
        """
        lines = b"".join(json.dumps(letter(each), allow_nan=False).encode() + b"\n" for each in dead)
        try:
            if self._file is None:
                self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115  held open for the life of the stream
            try:
                written = 0
                while written < len(lines):
                    written += self._file.write(lines[written:])
                os.fsync(self._file.fileno())
            except OSError:
                with suppress(OSError):
                    self._file.truncate(self.n_bytes)
                raise
        except OSError as error:
            raise self._refused(error) from error
        self.n_bytes += len(lines)

    def _refused(self, error: OSError) -> StorageError:
        return StorageError(
            f"{self.path}, the file of records without an answer, cannot be written: {error.strerror}. "
            "Make room, or name another with --dead."
        )

    def close(self) -> None:
        """Give the file back."""
        if self._file is not None:
            self._file.close()


def letter(dead: Dead) -> dict[str, Any]:
    """Return a dead record's line as plain values.

    ``raw`` is its text as it came; ``raw_base64`` what is no UTF-8; ``values`` where only those are known. Of a record
    beyond `MOST_RAW` bytes the beginning, with ``raw_bytes``, its length.
    """
    record = dead.record
    told: dict[str, Any] = {
        "at": time.time(),
        "reason": dead.reason,
        "words": dead.words,
        "id": record.id,
        "partition": record.partition,
        "offset": plain(record.offset),
    }
    if not record.raw:
        return {**told, "values": plain(dict(record.values))} if record.values else told
    raw = record.raw[:MOST_RAW]
    if len(raw) < len(record.raw):
        told["raw_bytes"] = len(record.raw)
    try:
        return {**told, "raw": raw.decode()}
    except UnicodeDecodeError:
        return {**told, "raw_base64": base64.b64encode(raw).decode()}
