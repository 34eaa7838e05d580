"""The block store: folders of block files, bounded in size, shared by runs or private to one.

A block file is called ``KEY-CONTENT.arrow`` and its record ``KEY.json``: the key says what the block is made from and
how, the content what was in it, so a name never stands for other rows. The time of the record is the time of last use.
"""

from __future__ import annotations

import mmap
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import xxhash

from daskflow.core.errors import StorageError
from daskflow.core.protocols import Executor, Unit
from daskflow.data.blocks import storing_in
from daskflow.data.execution import run_all
from daskflow.data.leases import Lease, is_held, locked, names_in_use, new_lease

SHARE = 0.2
"""Share of a file system that blocks may fill where the user says no other limit."""

RESERVE_SHARE, RESERVE_BYTES = 0.05, 10 << 30
"""What blocks leave free whatever their limit: a twentieth of the file system, at most 10 GiB."""

STALE_SECONDS = 60
"""A temporary file that nobody has written to for so long, and nobody holds, was left behind."""

CHECK_BYTES = 256 << 20
"""Size of the files that one unit verifies."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A block in the store.

    Attributes
    ----------
    key : str
        What it is made from, hashed.
    n_bytes : int
        Size of its files.
    used_at : float
        When it was last used, in seconds since the epoch.
    files : tuple of str
        Names of its files, the record first.
    """

    key: str
    n_bytes: int
    used_at: float
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a store holds: its blocks and their size, its limit, and the space that its file system has free."""

    entries: tuple[Entry, ...]
    n_bytes: int
    limit_bytes: int
    free_bytes: int


class BlockStore:
    """A folder of block files that nobody bounds or shares.

    Parameters
    ----------
    folder : Path
        Made when it is not there; every worker sees it under this path.

    Attributes
    ----------
    check : callable
        Called with the bytes that are about to be added, once what may go is gone; raises StorageError when there is
        no room for them.
    """

    def __init__(self, folder: Path) -> None:
        """Make the folder; StorageError when that cannot be done."""
        self.check: Callable[[int], None] = lambda n_bytes: None
        self.folder = Path(folder).absolute()
        with storing_in(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)

    def hold(self, keys: Iterable[str]) -> None:
        """Say which keys are in use from now on; call it before looking for their blocks."""

    def wrote(self, n_bytes: int) -> None:
        """Say that a block of so many bytes was written; StorageError when that is more than may be."""

    def make_room(self, n_bytes: int) -> None:
        """Remove what is not in use so that so many bytes can be added within the limit, as far as that goes."""
        self.check(n_bytes)

    def kept_bytes(self) -> int | None:
        """Return how much of the blocks stays when the run has ended; None for no bound."""
        return None

    def close(self) -> None:
        """Give up what is held."""

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


class SharedStore(BlockStore):
    """A store that runs share: bounded, least recently used blocks go first, those of living runs stay.

    Parameters
    ----------
    folder : Path
        Made when it is not there.
    limit : float, int or None
        What blocks may take together: a number of bytes (int), or a share of the file system (float below 1);
        None is a fifth of it. They leave a twentieth of the file system free, at most 10 GiB, whatever the limit.
        A single run may take more while it lasts; when it ends the store is brought within its limit.
    """

    def __init__(self, folder: Path, limit: float | int | None = None) -> None:
        """Take a lease, and sweep away what runs left behind that were killed."""
        super().__init__(folder)
        self.limit = limit
        self._keys: set[str] = set()
        self._lease: Lease | None = None
        with storing_in(self.folder), locked(self.folder):
            self._lease = new_lease(self._leases)
            _sweep(self.folder)

    @property
    def _leases(self) -> Path:
        return self.folder / ".leases"

    def hold(self, keys: Iterable[str]) -> None:
        """Protect these keys' blocks from other runs, and remember that they are used now."""
        new = set(keys) - self._keys
        self._keys |= new
        with storing_in(self.folder), locked(self.folder):
            if self._lease is not None:
                self._lease.write(sorted(self._keys))
            for key in new:
                with suppress(FileNotFoundError):
                    os.utime(self.folder / f"{key}.json")

    def make_room(self, n_bytes: int) -> None:
        """Evict the least recently used blocks until so many bytes can be added within the limit."""
        with storing_in(self.folder), locked(self.folder):
            _evict(self.folder, self.limit, n_bytes, names_in_use(self._leases))
        super().make_room(n_bytes)

    def kept_bytes(self) -> int | None:
        """Return what the blocks of all runs may take together."""
        return usage(self.folder, self.limit).limit_bytes

    def close(self) -> None:
        """Give the lease up, and bring the store within its limit."""
        if self._lease is None:
            return
        with storing_in(self.folder), locked(self.folder):
            self._lease.close()
            self._lease = None
            _evict(self.folder, self.limit, 0, names_in_use(self._leases))


class PrivateStore(BlockStore):
    """A store of one run, removed when the run is done with its blocks, or by the next one when it was killed.

    Parameters
    ----------
    parent : Path
        Folder of private stores; made when it is not there, for this user only.
    limit_bytes : int or None
        What the blocks may take together; None for as much as there is.
    """

    def __init__(self, parent: Path, limit_bytes: int | None = None) -> None:
        """Remove the stores of runs that ended without doing so, and make this one's."""
        own_folder(parent)
        self.limit_bytes = limit_bytes
        self.n_bytes = 0
        self._lease: Lease | None = None
        with storing_in(parent), locked(parent):
            _remove_void(parent)
            super().__init__(parent / uuid.uuid4().hex)
            self._lease = Lease(self.folder / ".lease")

    def wrote(self, n_bytes: int) -> None:
        """Add up; StorageError above the limit."""
        self.n_bytes += n_bytes
        if self.limit_bytes is not None and self.n_bytes > self.limit_bytes:
            raise StorageError(
                f"The blocks in {self.folder.parent} have grown to {size(self.n_bytes)}, more than cache.limit "
                f'({size(self.limit_bytes)}) allows. Raise it, use cache = "disk", or a smaller table.'
            )

    def close(self) -> None:
        """Remove the folder and all in it."""
        if self._lease is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._lease.close()
            self._lease = None


def remove_void(parent: Path) -> None:
    """Remove the private stores of runs that were killed; does nothing where there is no such folder."""
    if parent.is_dir() and parent.stat().st_uid == os.getuid():
        with storing_in(parent), locked(parent):
            _remove_void(parent)


def own_folder(folder: Path) -> None:
    """Make a folder that only this user reads; StorageError when it is somebody else's."""
    with storing_in(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        seen = os.lstat(folder)
    if seen.st_uid != os.getuid() or not folder.is_dir() or folder.is_symlink():
        raise StorageError(f"{folder} belongs to another user. Choose another folder with cache.folder.")


def usage(folder: Path, limit: float | int | None = None) -> Usage:
    """Return what a shared store holds; a folder that is not there holds nothing."""
    found = _entries(folder)
    used = sum(entry.n_bytes for entry in found)
    place = existing(folder)
    return Usage(tuple(found), used, _ceiling(place, limit, used), shutil.disk_usage(place).free)


def clear(folder: Path) -> tuple[int, int]:
    """Remove every block that no living run uses; return how many, and their bytes."""
    if not folder.is_dir():
        return 0, 0
    with storing_in(folder), locked(folder):
        _sweep(folder)
        used = names_in_use(folder / ".leases")
        gone = [entry for entry in _entries(folder) if entry.key not in used]
        for entry in gone:
            _remove(folder, entry)
    return len(gone), sum(entry.n_bytes for entry in gone)


def damaged(folder: Path, files: Sequence[tuple[str, int, str]], executor: Executor) -> set[str]:
    """Read block files through once and remove those that are not as they were written.

    Parameters
    ----------
    folder : Path
        The store.
    files : sequence of (str, int, str)
        Name, size in bytes and checksum of each.
    executor : Executor
        Runs one unit per 256 MiB.

    Returns
    -------
    set of str
        Names of the files that were removed.
    """
    groups: list[list[tuple[str, int, str]]] = [[]]
    filled = 0
    for file in files:
        if groups[-1] and filled + file[1] > CHECK_BYTES:
            groups.append([])
            filled = 0
        groups[-1].append(file)
        filled += file[1]
    units = [Unit(f"check-blocks-{n}", _damaged, (str(folder), group)) for n, group in enumerate(groups) if group]
    return {name for found in run_all(executor, units).values() for name in found}


def checksum(path: Path) -> str:
    """Return the checksum of a file: XXH3, 64 bits; it finds damage, and is no protection from people.

    Mapped, it takes 0.11 s of processor per GB; copied through a buffer it would take half as much again.
    """
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size == 0:  # nothing to map
            return str(xxhash.xxh3_64().hexdigest())
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as content:
            return str(xxhash.xxh3_64(content).hexdigest())


def existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())


def size(n_bytes: float) -> str:
    """Return a size in words.

    Examples
    --------
    >>> size(3_500_000)
    '3.34 MiB'
    """
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if n_bytes < 1024:
            return f"{n_bytes:{'.4g' if n_bytes >= 1000 else '.3g'}} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.3g} TiB"


def _damaged(folder: str, files: Sequence[tuple[str, int, str]]) -> list[str]:
    """Verify some files; remove the bad ones, so that they are made anew. Those who have one open keep it."""
    bad = []
    for name, n_bytes, expected in files:
        path = Path(folder) / name
        try:
            whole = path.stat().st_size == n_bytes and checksum(path) == expected
        except OSError:
            whole = False
        if not whole:
            path.unlink(missing_ok=True)
            bad.append(name)
    return bad


def _entries(folder: Path) -> list[Entry]:
    """The blocks of a folder, least recently used first."""
    found: dict[str, list[tuple[str, Any]]] = {}
    for item in os.scandir(folder) if folder.is_dir() else ():
        if item.name.startswith(".") or not item.name.endswith((".json", ".arrow")):
            continue
        with suppress(FileNotFoundError):
            found.setdefault(item.name.partition(".")[0].partition("-")[0], []).append((item.name, item.stat()))
    entries = [
        Entry(
            key,
            sum(seen.st_size for _, seen in files),
            max(seen.st_mtime for _, seen in files),
            tuple(sorted((name for name, _ in files), key=lambda name: (name.endswith(".arrow"), name))),
        )
        for key, files in found.items()
    ]
    return sorted(entries, key=lambda entry: (entry.used_at, entry.key))


def _ceiling(folder: Path, limit: float | int | None, used: int) -> int:
    """What blocks may take together here: their limit, and no more than what leaves the reserve free."""
    disk = shutil.disk_usage(folder)
    share = SHARE if limit is None else limit
    wanted = share if isinstance(share, int) else round(share * disk.total)
    reserve = min(RESERVE_BYTES, round(RESERVE_SHARE * disk.total))
    return max(0, min(wanted, used + disk.free - reserve))


def _evict(folder: Path, limit: float | int | None, n_bytes: int, in_use: set[str]) -> None:
    """Remove blocks, the least recently used first, until so many bytes can be added; call while holding the lock."""
    entries = _entries(folder)
    used = sum(entry.n_bytes for entry in entries)
    ceiling = _ceiling(folder, limit, used)
    for entry in entries:
        if used + n_bytes <= ceiling:
            return
        if entry.key not in in_use:
            _remove(folder, entry)
            used -= entry.n_bytes


def _remove(folder: Path, entry: Entry) -> None:
    """Remove a block's files, the record first."""
    for name in entry.files:
        (folder / name).unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove temporary files that killed processes left behind; call while holding the lock."""
    now = time.time()
    for item in list(os.scandir(folder)):
        if not item.name.startswith(".") or item.name in (".lock", ".leases"):
            continue
        with suppress(FileNotFoundError):
            path = Path(item.path)
            if now - item.stat().st_mtime < STALE_SECONDS or (item.is_file() and is_held(path)):
                continue
            if item.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _remove_void(parent: Path) -> None:
    """Remove the private stores whose run is no more; call while holding the lock."""
    for folder in parent.iterdir():
        if folder.is_dir() and not is_held(folder / ".lease"):
            shutil.rmtree(folder, ignore_errors=True)
