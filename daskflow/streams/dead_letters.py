"""Dead letters: records without an answer, put aside with the reason before the stream goes past them."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from daskflow.core.journal import plain
from daskflow.streams.kept_lines import KeptLines
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
        As the newest commit has them: records that a kill has left in that file behind them come again, and are not
        there twice.

    Attributes
    ----------
    path : Path
        The file.

    Raises
    ------
    StorageError
        When it cannot be written.
    """

    def __init__(self, path: Path, *, name: str = "", n_bytes: int = 0) -> None:
        """Find out what is there."""
        self.path = path
        self._lines: KeptLines | None = None
        if path.exists():
            self._opened().go_back(n_bytes if name == str(path) else self._opened().n_bytes)

    @property
    def n_bytes(self) -> int:
        """Length of the file, of what is on the disk for good and has been seen again after a kill."""
        return 0 if self._lines is None else self._lines.n_bytes

    def append(self, dead: Sequence[Dead]) -> None:
        """Put records aside; they are on the disk on return.

        Raises
        ------
        StorageError
            When the disk is full or gone; nothing of them is left in the file then.
        """
        lines = [json.dumps(letter(each), allow_nan=False).encode() + b"\n" for each in dead]
        self._opened().add([each.record.id for each in dead], lines)

    def _opened(self) -> KeptLines:
        if self._lines is None:
            self._lines = KeptLines(self.path, "Make room, or name another file of dead letters with --dead.")
        return self._lines

    def close(self) -> None:
        """Give the file back."""
        if self._lines is not None:
            self._lines.close()


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
