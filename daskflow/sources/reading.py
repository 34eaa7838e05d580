"""Files as they were planned: read whole or in part, refused when they changed, and hashed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from daskflow.core.errors import ChangedDataError, DataError
from daskflow.core.seeds import digest
from daskflow.data.table import Fingerprint

HASH_BYTES = 16
"""Length of content hashes: 128 bits tell any two files apart."""

CHUNK_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file of a source.

    Attributes
    ----------
    path : str
        Absolute.
    name : str
        Relative to the folder that all files of the source have in common; with slashes.
    size_bytes, modified_ns : int
        As it was when it was found.
    """

    path: str
    name: str
    size_bytes: int
    modified_ns: int

    @property
    def place(self) -> str:
        """Hash of its path, which itself stays out of everything that is written."""
        return digest(str(self.path), 16)

    @property
    def fingerprint(self) -> Fingerprint:
        """The fingerprint of the whole file."""
        return Fingerprint(self.name, self.size_bytes, self.modified_ns, self.place)


def reason(error: OSError) -> str:
    """Return why the system refused, as a sentence."""
    if isinstance(error, PermissionError):
        return "no permission to read it. Ask its owner, or change its mode (chmod +r; folders need +x)."
    return f"it cannot be read: {error.strerror or error}."


def open_file(file: FoundFile) -> Any:
    """Open a file for reading bytes; DataError when it cannot be."""
    try:
        return open(file.path, "rb")
    except FileNotFoundError as error:
        raise ChangedDataError(f"{file.name} was there when it was planned, and is gone. Put it back.") from error
    except OSError as error:
        raise DataError(f"{file.name}: {reason(error)}") from error


def read_bytes(file: FoundFile, n_bytes: int = -1) -> bytes:
    """Return the first bytes of a file, or all; DataError when it cannot be read."""
    with open_file(file) as opened:
        try:
            data: bytes = opened.read(n_bytes)
        except OSError as error:
            raise DataError(f"{file.name}: {reason(error)}") from error
    return data


def check_unchanged(file: FoundFile) -> None:
    """Raise ChangedDataError when a file is gone, or its size or time is not what it was."""
    try:
        seen = os.stat(file.path)
    except FileNotFoundError as error:
        raise ChangedDataError(f"{file.name} was there when it was planned, and is gone. Put it back.") from error
    except OSError as error:
        raise DataError(f"{file.name}: {reason(error)}") from error
    if (seen.st_size, seen.st_mtime_ns) != (file.size_bytes, file.modified_ns):
        raise ChangedDataError(
            f"{file.name} changed since it was planned: it had {file.size_bytes} bytes, now {seen.st_size}"
            + (" and another modification time" if seen.st_mtime_ns != file.modified_ns else "")
            + ". Let the writer finish, then start again."
        )


def hash_bytes(data: bytes) -> str:
    """Return the content hash of bytes."""
    return hashlib.blake2b(data, digest_size=HASH_BYTES).hexdigest()


def hash_ranges(file: FoundFile, ranges: Iterable[tuple[int, int]]) -> str:
    """Return the content hash of parts of a file.

    Parameters
    ----------
    file : FoundFile
        The file.
    ranges : iterable of (int, int)
        Offset and length of each part.
    """
    state = hashlib.blake2b(digest_size=HASH_BYTES)
    with open_file(file) as opened:
        for start, length in ranges:
            opened.seek(start)
            while length > 0:
                data = opened.read(min(length, CHUNK_BYTES))
                if not data:
                    break
                state.update(data)
                length -= len(data)
    return state.hexdigest()


def paths(value: Any) -> Any:
    """Return one path or several as text, whatever kind of path they are."""
    if isinstance(value, str | os.PathLike):
        return os.fspath(value)
    return tuple(os.fspath(item) for item in value) if isinstance(value, list | tuple | set | frozenset) else value
