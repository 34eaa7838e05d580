"""Mail: small files put into a folder by whoever may write it, and taken out by the process that looks there."""

from __future__ import annotations

import json
import os
import secrets
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from daskflow.core.errors import StorageError

Content = TypeVar("Content")

MOST_BYTES = 4096
"""No file is longer."""


def post(place: Path, content: bytes, *, owner: int) -> None:
    """Put a file into a folder, whole or not at all.

    It is readable by who writes it alone, and where the one who looks there is somebody else by everybody.

    Parameters
    ----------
    place : Path
        The folder; made when it does not exist.
    content : bytes
        One JSON value.
    owner : int
        User ID of the one who looks there.

    Raises
    ------
    OSError
        When it cannot be written.
    """
    name = f"{time.time_ns():020d}-{secrets.token_hex(4)}.json"
    temporary = place / f".{name}"
    try:
        place.mkdir(exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600 if owner == os.getuid() else 0o644)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, place / name)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def collect(place: Path, read: Callable[[Any], Content], warn: Callable[[str], None], *, most: int) -> list[Content]:
    """Take files out of a folder, oldest first, at most so many.

    A file is removed before its content is handed on; one that cannot be removed is not heard, for it would be heard
    again and again. What `read` refuses is removed, and `warn` is told of it in a sentence.

    Parameters
    ----------
    place : Path
        The folder; a link in its place is not followed.
    read : callable
        Makes of a file's JSON value what is handed on; ValueError for what it does not know.
    warn : callable
        As above.
    most : int
        As above.
    """
    try:
        descriptor = opened(place)
    except OSError:
        return []
    found: list[Content] = []
    taken = 0
    try:
        for name in sorted(name for name in os.listdir(descriptor) if not name.startswith(".")):
            if taken == most:
                break
            made: list[Content] = []
            problem = ""
            try:
                made.append(read(json.loads(_content(name, descriptor))))
            except FileNotFoundError:
                continue
            except (OSError, ValueError, RecursionError, StorageError) as error:
                problem = getattr(error, "strerror", None) or str(error)
            try:
                os.unlink(name, dir_fd=descriptor)
            except OSError:
                continue
            taken += 1
            if made:
                found += made
            else:
                warn(f"{place.name}/{name[:60]} was no command, and was removed: {problem[:300]}")
    finally:
        os.close(descriptor)
    return found


def opened(place: Path) -> int:
    """Open a folder itself, never what a link in its place leads to."""
    return os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _content(name: str, place: int) -> bytes:
    """Read a small regular file; never wait for a pipe, and follow no link."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise StorageError("it is no file.")
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise StorageError(f"it is longer than {MOST_BYTES:,} bytes.")
    return content
