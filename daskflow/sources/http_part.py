"""A file on its way: written under a temporary name, hashed as it grows, and named when it is whole."""

from __future__ import annotations

import os
import shutil
import zlib
from pathlib import Path
from typing import Any

from daskflow.core.errors import DataError, StorageError
from daskflow.data.blocks import storing_in
from daskflow.data.http_policy import TryAgainError
from daskflow.data.http_settings import CHUNK_BYTES
from daskflow.sources.http_checks import Digests

READ_BYTES = 1 << 20

OPTION = "--to, or cache under [data]"


class Part:
    """The temporary file of a file that is being fetched; call from one thread at a time.

    Parameters
    ----------
    path : Path
        Of the whole file.
    start : int
        Bytes that are kept of an earlier try; 0 to begin anew.
    digests : Digests
        Of the file's bytes; what is kept is counted in.
    raw : Digests
        Of the bytes as they were sent.
    most_bytes : int
        Size above which the file is refused.
    is_compressed : bool
        Whether what comes is to be decompressed (``Content-Encoding: gzip``).
    """

    def __init__(
        self, path: Path, start: int, digests: Digests, raw: Digests, most_bytes: int, *, is_compressed: bool
    ) -> None:
        """Open the temporary file, and read what is kept of it."""
        self.path, self.temporary = path, temporary_of(path)
        self._digests, self._raw, self._most = digests, raw, most_bytes
        self._packed = zlib.decompressobj(31) if is_compressed else None
        with storing_in(path.parent, option=OPTION):
            self._file: Any = open(self.temporary, "r+b" if start else "w+b")  # noqa: SIM115  held while it grows
            self._file.truncate(start)
        self.n_bytes = start
        while start > 0:
            data = self._file.read(min(READ_BYTES, start))
            start -= len(data)
            digests.update(data)
            raw.update(data)

    def write(self, data: bytes) -> None:
        """Add what came.

        Raises
        ------
        StorageError
            When the disk is full.
        DataError
            When the file gets too large.
        TryAgainError
            When what came cannot be decompressed.
        """
        self._raw.update(data)
        if self._packed is None:
            self._store(data)
            return
        while data and not self._packed.eof:
            try:
                self._store(self._packed.decompress(data, CHUNK_BYTES))
            except zlib.error:
                raise TryAgainError("its compressed body (Content-Encoding: gzip) is damaged") from None
            data = self._packed.unconsumed_tail

    def _store(self, data: bytes) -> None:
        self.n_bytes += len(data)
        if self.n_bytes > self._most:
            raise DataError(f"it is larger than limits.max_file_bytes = {self._most}.")
        self._digests.update(data)
        with storing_in(self.path.parent, option=OPTION):
            self._file.write(data)

    @property
    def is_complete(self) -> bool:
        """False when a compressed body has not come to its end."""
        return self._packed is None or self._packed.eof

    def flush(self) -> None:
        """Let others that open the temporary file see all of it."""
        with storing_in(self.path.parent, option=OPTION):
            self._file.flush()

    def close(self) -> None:
        """Leave the temporary file as it is, for another try."""
        self._file.close()

    def finish(self) -> int:
        """Give the file its name, safe against a crash; return its modification time in nanoseconds."""
        with storing_in(self.path.parent, option=OPTION):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self.temporary, self.path)
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        return self.path.stat().st_mtime_ns


def temporary_of(path: Path) -> Path:
    """Return the temporary name of a file: hidden, beside it."""
    return path.with_name(f".{path.name}.part")


def size_of_part(path: Path) -> int:
    """Return how much there is of a file that was begun."""
    try:
        return temporary_of(path).stat().st_size
    except OSError:
        return 0


def check_space(folder: Path, n_bytes: int) -> None:
    """Raise StorageError when a folder has no space for so many bytes."""
    free = shutil.disk_usage(folder).free
    if n_bytes > free:
        raise StorageError(f"There are {free:,} bytes free in {folder}; {n_bytes:,} are needed. Make room there.")
