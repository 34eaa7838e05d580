"""Looks at a folder: which files are complete, and were not read yet."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daskflow.core.errors import DataError

UNFINISHED = (".tmp", ".temp", ".part", ".partial", ".crdownload", ".swp", "~")
"""Endings of files that are being written."""


@dataclass(frozen=True, slots=True)
class Complete:
    """A file to be read.

    Attributes
    ----------
    path : Path
        Where it stands.
    name : str
        Below the folder.
    size, modified_ns : int
        As it looked when it was found complete.
    done : int
        Records of it that were handed on before.
    changed : str
        Why it is not to be read, when it changed after it was read, in whole or in part; else empty.
    """

    path: Path
    name: str
    size: int
    modified_ns: int
    done: int = 0
    changed: str = ""


class Look:
    """What is known of a folder's files.

    Parameters
    ----------
    folder : Path
        It.
    pattern : str
        Names that count.
    settle_seconds : float
        A file is complete when it has looked the same for so long.
    positions : mapping
        By name: records done, whether these are all, size and time of change, as `folder_reading` makes offsets.
    clock : callable
        Seconds since 1970.
    """

    def __init__(
        self,
        folder: Path,
        pattern: str,
        settle_seconds: float,
        positions: Mapping[str, Any],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Begin with nothing seen."""
        self._folder, self._pattern, self._settle_seconds, self._clock = folder, pattern, settle_seconds, clock
        self._positions = dict(positions)
        self._given: dict[str, tuple[int, int]] = {}
        self._unsettled: dict[str, tuple[tuple[int, int], float]] = {}

    def files(self) -> tuple[list[Complete], bool]:
        """Return files that are complete and new, in natural order, and whether others are not complete yet.

        Raises
        ------
        DataError
            When the folder cannot be listed.
        """
        found: list[Complete] = []
        unsettled: dict[str, tuple[tuple[int, int], float]] = {}
        now = self._clock()
        for name, path, looks in self._listed():
            if self._given.get(name) == looks:
                continue
            before = self._unsettled.get(name)
            since = before[1] if before is not None and before[0] == looks else now
            is_old = now - looks[1] / 1e9 >= self._settle_seconds
            if not is_old and now - since < self._settle_seconds:
                unsettled[name] = (looks, since)
                continue
            file = self._judged(name, path, looks)
            self._given[name] = looks
            if file is not None:
                found.append(file)
        self._unsettled = unsettled
        return sorted(found, key=lambda file: natural(file.name)), bool(unsettled)

    def _listed(self) -> list[tuple[str, Path, tuple[int, int]]]:
        """Return files with their names below the folder, and length and time of change; empty ones do not count."""
        listed = []
        if not self._folder.is_dir():
            raise DataError(f"{self._folder} is gone. Make it again; the same command goes on.")
        for path in self._folder.glob(self._pattern):
            name = path.relative_to(self._folder).as_posix()
            if any(part.startswith((".", "_")) for part in name.split("/")) or name.lower().endswith(UNFINISHED):
                continue
            try:
                status = path.stat()
            except OSError:  # it was renamed meanwhile
                continue
            if path.is_file() and status.st_size:
                listed.append((name, path, (status.st_size, status.st_mtime_ns)))
        return listed

    def _judged(self, name: str, path: Path, looks: tuple[int, int]) -> Complete | None:
        """Return what is to be done with a complete file; None for one that was read to its end."""
        given = self._given.get(name)
        if given is not None:
            return Complete(path, name, *looks, changed="it has changed after it was read")
        if name not in self._positions:
            return Complete(path, name, *looks)
        done, is_all, *before = self._positions[name]
        if tuple(before) == looks:
            return None if is_all else Complete(path, name, *looks, done=int(done))
        words = (
            "it has changed after it was read" if is_all else f"it has changed after {done:,} of its records were read"
        )
        return Complete(path, name, *looks, done=int(done), changed=words)


def natural(name: str) -> list[tuple[int, str]]:
    """Return what sorts names as people do: ``a9`` before ``a10``.

    Examples
    --------
    >>> sorted(["a10.csv", "a9.csv"], key=natural)
    ['a9.csv', 'a10.csv']
    """
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
