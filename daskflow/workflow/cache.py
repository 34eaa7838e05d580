"""The cache: where a run keeps its blocks, how much of them, and whether there is room."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
from dask.utils import parse_bytes
from distributed.system import MEMORY_LIMIT
from pydantic import Field, field_validator

from daskflow.clusters import Cluster
from daskflow.core.errors import Problem, StorageError
from daskflow.core.folder import cache_folder
from daskflow.core.protocols import Executor, Unit
from daskflow.core.settings import Settings
from daskflow.data.blocks import forget_blocks
from daskflow.data.execution import run_all
from daskflow.data.joins import forget_joins
from daskflow.data.store import BlockStore, PrivateStore, SharedStore, existing, remove_void, size

MEMORY_SHARE = 0.4
"""Share of the machine's memory that blocks may take where the user says no other limit; workers need the rest."""

SHARED_MEMORY = Path("/dev/shm")

SURELY = 0.5
"""Forecasts of CSV files can be twice too high: a run is refused when even this share of them does not fit."""


class Cache(Settings):
    """Where blocks are kept.

    Attributes
    ----------
    kind : str
        ``"disk"``: in a store that runs share and later runs find. ``"memory"``: in this machine's shared memory, until
        the matrices are made; for clusters on one machine. ``"none"``: in a temporary folder beside the runs, until the
        matrices are made. With ``"memory"`` and ``"none"`` nothing of the source is kept, and a run that is continued
        reads it again.
    folder : str or None
        The store's place, which all workers must see: None for the environment's ``DASKFLOW_CACHE_DIR``, else the
        user's cache folder (``"disk"``), ``/dev/shm`` (``"memory"``), ``.blocks`` in the folder of runs (``"none"``).
    limit : str or None
        What blocks may take, as a size such as ``"50 GiB"`` or a share such as ``"20 %"`` of the file system or of the
        memory. None is 20 % for ``"disk"``, 40 % for ``"memory"``, and no limit for ``"none"``. On ``"disk"`` it holds
        between runs: the least recently used blocks are removed, never those of a living run.
    block_rows : int or None
        Rows of a training block; None for a 64th of the table, within 1,000 and 65,536.
    """

    kind: Literal["disk", "memory", "none"] = "disk"
    folder: str | None = None
    limit: str | None = None
    block_rows: int | None = Field(default=None, ge=1)

    @field_validator("limit", mode="before")
    @classmethod
    def _limit_is_a_size(cls, value: Any) -> Any:
        """Take sizes in words or bytes, and shares in per cent."""
        if value is None:
            return None
        text = str(value).strip()
        try:
            found = -1.0 if isinstance(value, bool) else _amount(text)
        except ValueError:
            found = -1.0
        if found <= 0 or (text.endswith("%") and found > 1):
            raise ValueError("should be a size such as '50 GiB', or a share such as '20 %'")
        return text

    @property
    def amount(self) -> float | int | None:
        """The limit: bytes (int), or a share (float)."""
        return None if self.limit is None else _amount(self.limit)

    @property
    def shared_folder(self) -> Path:
        """Folder of the store that runs share."""
        return (Path(self.folder) if self.folder else cache_folder()).absolute() / "blocks"


def _amount(text: str) -> float | int:
    """A limit's meaning."""
    if text.endswith("%"):
        return float(text[:-1]) / 100
    return int(parse_bytes(text))


@dataclass(frozen=True)
class Room:
    """What a run will write, and where.

    Attributes
    ----------
    blocks, runs : Path
        Folder of the blocks, and of the runs, whose file system the matrices stand on.
    blocks_bytes, matrices_bytes : int
        Forecasts.
    cache : Cache
        Its kind and limit.
    """

    blocks: Path
    runs: Path
    blocks_bytes: int
    matrices_bytes: int
    cache: Cache

    @property
    def places(self) -> list[tuple[str, Path, int, int]]:
        """By file system: what is written there, the folder, bytes needed, and bytes free."""
        both = [("the blocks", self.blocks, self.blocks_bytes), ("the matrices", self.runs, self.matrices_bytes)]
        there = [(what, existing(folder), n_bytes) for what, folder, n_bytes in both]
        if there[0][1].stat().st_dev == there[1][1].stat().st_dev:
            there = [("blocks and matrices", self.blocks, self.blocks_bytes + self.matrices_bytes)]
        found = []
        for number, (what, folder, n_bytes) in enumerate(there):
            free = shutil.disk_usage(existing(folder)).free
            if self.cache.kind == "memory" and number == 0:
                free = min(free, memory_limit(self.cache))
            found.append((what, folder, n_bytes, free))
        return found

    @property
    def problem(self) -> str:
        """A sentence when the forecast does not fit; empty when it does."""
        return " ".join(
            f"{what[:1].upper()}{what[1:]} need about {size(needed)}, and {size(free)} are free in {folder}."
            for what, folder, needed, free in self.places
            if needed > free
        )

    def check(self) -> None:
        """Raise StorageError when not even half of the forecast fits."""
        short = [what for what, _, needed, free in self.places if SURELY * needed > free]
        if short:
            raise StorageError(f"{self.problem} {self.remedies}")

    @property
    def remedies(self) -> str:
        """What to do about too little room, the surest first."""
        said = []
        memory = min(shutil.disk_usage(existing(SHARED_MEMORY)).free, memory_limit(Cache(kind="memory")))
        if self.cache.kind != "memory" and self.blocks_bytes < memory:
            said.append(f'keep the blocks in memory with cache = "memory" ({size(memory)} may be used)')
        if (
            self.cache.kind == "disk"
            and self.blocks_bytes + self.matrices_bytes < shutil.disk_usage(existing(self.runs)).free
        ):
            said.append('keep them beside the runs, and only for a while, with cache = "none"')
        if self.cache.kind != "disk":
            said.append('use cache = "disk"')
        said += [
            "choose another folder with cache.folder or --runs",
            "or take a smaller table (fewer files, or drop columns)",
        ]
        return f"{said[0][:1].upper()}{said[0][1:]}, {', '.join(said[1:])}."


def memory_limit(cache: Cache) -> int:
    """Bytes that blocks may take in memory: the limit, and no more than is available."""
    amount = MEMORY_SHARE if cache.amount is None else cache.amount
    wanted = amount if isinstance(amount, int) else int(amount * MEMORY_LIMIT)
    return int(min(wanted, psutil.virtual_memory().available))


def block_folder(cache: Cache, runs: Path) -> Path:
    """Return the folder that a run's blocks stand in, or below."""
    if cache.kind == "disk":
        return cache.shared_folder
    if cache.kind == "memory":
        return Path(cache.folder or SHARED_MEMORY).absolute() / f"daskflow-{os.getuid()}"
    return (Path(cache.folder) / "private" if cache.folder else runs / ".blocks").absolute()


def open_store(cache: Cache, runs: Path) -> BlockStore:
    """Open the store of a run's blocks, and remove what killed runs left in the private ones.

    Raises
    ------
    StorageError
        When it cannot be made.
    """
    for kind in ("memory", "none"):
        remove_void(block_folder(Cache(kind=kind, folder=cache.folder if cache.kind == kind else None), runs))
    folder = block_folder(cache, runs)
    if cache.kind == "disk":
        return SharedStore(folder, cache.amount)
    if cache.kind == "memory" and not folder.parent.is_dir():
        raise StorageError(f"There is no {folder.parent} on this machine; name a tmpfs with cache.folder.")
    return PrivateStore(folder, memory_limit(cache) if cache.kind == "memory" else _bytes(cache.amount, folder))


def check_cluster(cache: Cache, cluster: Cluster) -> list[Problem]:
    """Return a problem when blocks in this machine's memory would be out of the workers' sight."""
    if cache.kind == "memory" and not cluster.is_one_machine:
        return [
            Problem(
                "cache.kind",
                f"'memory' is this machine's, which the workers of cluster.kind = '{cluster.kind}' may not share; "
                "use 'disk' or 'none', with a folder that all workers see",
            )
        ]
    return []


def forget(executor: Executor) -> None:
    """Close the maps of blocks here and on the workers, so that removed files give their room back."""
    _forget()
    # Twice the slots: the scheduler spreads units over idle workers, so that each gets one.
    run_all(executor, [Unit(f"forget-blocks-{n}", _forget) for n in range(2 * executor.slots)])


def _forget() -> None:
    """Close the maps of this process."""
    forget_blocks()
    forget_joins()


def _bytes(amount: float | int | None, folder: Path) -> int | None:
    """A limit in bytes."""
    if amount is None or isinstance(amount, int):
        return amount
    return int(amount * shutil.disk_usage(existing(folder)).total)
