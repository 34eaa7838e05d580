"""Arriving: files that a scan needs are brought from elsewhere while others are read, as far as there is room."""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from daskflow.core.events import Listener, nobody, tell
from daskflow.core.protocols import Executor, Unit
from daskflow.data.execution import run_all
from daskflow.data.grouping import Group
from daskflow.data.table import Arriving, Coming, Held

STAGE = "download"
"""What the coming of files is called among the stages of a run."""


class Feed:
    """Units in their order, each handed out when its files have come; files come in the order they are needed.

    Back-pressure: the next file is begun only while fewer than `most` files and fewer than `most` units are open
    (their files on the way, or there and not read yet), and while the open files fit into the room there is. One
    unit's files are always brought, however large they are.

    Parameters
    ----------
    units : sequence of Unit
        Those that wait for files.
    needs : mapping of str to sequence of Coming
        By the key of a unit: its files.
    slots : int
        Units that are read at a time; for each of them so many files may wait as the files' own ``ahead`` says.
    listener : callable
        Hears of the stage ``download``: ``stage``, ``progress``, and a ``span`` for each file.
    names : mapping of str to str
        What a file is called, by its key.

    Attributes
    ----------
    idle_slot_seconds : float
        For how long slots had nothing to do while files were on their way, summed over slots.
    """

    def __init__(
        self,
        units: Sequence[Unit],
        needs: Mapping[str, Sequence[Coming]],
        slots: int,
        listener: Listener = nobody,
        names: Mapping[str, str] | None = None,
    ) -> None:
        """Begin nothing yet: the first call of `ready` does."""
        self._listener, self._names = listener, names or {}
        self._units = {unit.key: unit for unit in units}
        self._files = {file.key: file for unit in units for file in needs[unit.key]}
        self._needs = {unit.key: frozenset(file.key for file in needs[unit.key]) for unit in units}
        self._users = Counter(key for needed in self._needs.values() for key in needed)
        self._users_of: dict[str, list[str]] = {}
        for key, needed in self._needs.items():
            for file in needed:
                self._users_of.setdefault(file, []).append(key)
        self._order = {unit.key: list(dict.fromkeys(file.key for file in needs[unit.key])) for unit in units}
        self._unbegun = deque(unit.key for unit in units)
        self._missing = {key: set(needed) for key, needed in self._needs.items()}
        self._open: set[str] = set()
        self._begun: set[str] = set()
        self._held: dict[str, Held] = {}
        self._came: SimpleQueue[tuple[str, Future[Held]]] = SimpleQueue()
        self.most = slots * (1 + max((file.ahead for file in self._files.values()), default=0))
        self.room_bytes = min((file.room_bytes for file in self._files.values()), default=0)
        self.n_came = self.n_fetched = self.n_bytes = 0
        self.idle_slot_seconds = 0.0
        self._idle, self._since = 0, time.monotonic()
        self._is_told = self._is_closed = False

    @property
    def is_awaited(self) -> bool:
        """Whether units wait for files."""
        return bool(self._missing)

    @property
    def open_bytes(self) -> int:
        """Sizes of the files that are on the way, or there and not read yet."""
        return sum(self._files[key].size_bytes for key in self._begun)

    def ready(self, timeout: float) -> list[Unit]:
        """Return the units whose last file has come since the last call; wait up to so many seconds for the first.

        Raises
        ------
        Exception
            Why a file does not come.
        """
        self._begin()
        found = self._taken(0.0)
        if not found and timeout > 0:
            found = self._taken(timeout)
        self._begin()
        return found

    def _taken(self, timeout: float) -> list[Unit]:
        found: list[Unit] = []
        while self._missing:
            try:
                key, future = self._came.get(timeout=timeout) if timeout > 0 else self._came.get_nowait()
            except Empty:
                break
            timeout = 0.0
            found += self._take(key, future)
        return found

    def _take(self, key: str, future: Future[Held]) -> list[Unit]:
        """A file has come, or says why it does not."""
        held = self._held[key] = future.result()
        self.n_came += 1
        if held.n_bytes:
            self.n_fetched += 1
            self.n_bytes += held.n_bytes
            tell(self._listener, "span", **span_of(self._names.get(key, ""), held))
            tell(self._listener, "progress", stage=STAGE, done=self.n_came, bytes=self.n_bytes)
        ready = []
        for user in self._users_of[key]:
            missing = self._missing.get(user)
            if missing is not None:
                missing.discard(key)
                if not missing:
                    del self._missing[user]
                    ready.append(self._units[user])
        return ready

    def _begin(self) -> None:
        """Begin the files of the next units, as far as there is room for them."""
        while self._unbegun and not self._is_closed:
            needed = [key for key in self._order[self._unbegun[0]] if key not in self._begun]
            more = sum(self._files[key].size_bytes for key in needed)
            if self._open and needed:
                if len(self._open) >= self.most and len(self._begun) >= self.most:
                    return
                if self.open_bytes + more > self.room_bytes:
                    return
            self._open.add(self._unbegun.popleft())
            for key in needed:
                self._begun.add(key)
                coming = self._files[key].bring()
                if not coming.done() and not self._is_told:
                    self._is_told = True
                    tell(self._listener, "stage", stage=STAGE, state="started", beside="scan", total=len(self._files))
                coming.add_done_callback(partial(self._arrived, key))

    def _arrived(self, key: str, future: Future[Held]) -> None:
        self._came.put((key, future))
        if self._is_closed:
            self._give_back_what_came()

    def idle(self, slots: int) -> None:
        """Hear how many slots have nothing to do from now on."""
        now = time.monotonic()
        self.idle_slot_seconds += self._idle * (now - self._since)
        self._idle, self._since = max(0, slots) if self._missing else 0, now

    def done(self, key: str) -> None:
        """Hear that a unit has ended: files that no other one needs are given back."""
        if key not in self._open:
            return
        self._open.remove(key)
        for file in self._needs[key]:
            self._users[file] -= 1
            if not self._users[file]:
                self._begun.remove(file)
                self._held.pop(file).close()

    def close(self) -> None:
        """Bring nothing more, and give back what has come; what is on its way is given back when it comes."""
        self._is_closed = True
        for held in self._held.values():
            held.close()
        self._held.clear()
        self._give_back_what_came()
        if self._is_told:
            fields = {"files": self.n_fetched, "bytes": self.n_bytes, "idle_slot_seconds": self.idle_slot_seconds}
            tell(self._listener, "stage", stage=STAGE, state="finished", beside="scan", **fields)

    def _give_back_what_came(self) -> None:
        with suppress(Empty):
            while True:
                _, future = self._came.get_nowait()
                if future.exception() is None:
                    future.result().close()


def span_of(name: str, held: Held) -> dict[str, Any]:
    """Return the fields of the event ``span`` of a file that was fetched."""
    return {"stage": STAGE, "part": name, "began": held.began, "seconds": held.seconds, "bytes": held.n_bytes}


def arriving(groups: Sequence[Group], places: Sequence[int], executor: Executor) -> list[Group] | None:
    """Return the groups with their partitions as they are read when their files have come; None where none come.

    None, too, where workers do not see the folder that files come into: they bring their own then.
    """
    wanted = [partition for place in places for partition in groups[place].partitions]
    if not wanted or not all(isinstance(partition, Arriving) for partition in wanted):
        return None
    folders = {partition.coming.folder for partition in wanted if isinstance(partition, Arriving)}
    if not all(are_seen(executor, Path(folder)) for folder in folders):
        return None
    return [
        replace(
            group,
            partitions=tuple(each.arrived() if isinstance(each, Arriving) else each for each in group.partitions),
        )
        for group in groups
    ]


def needs_of(groups: Sequence[Group]) -> list[Coming]:
    """Return the files that the partitions of some groups are in, in their order."""
    found = [each.coming for group in groups for each in group.partitions if isinstance(each, Arriving)]
    return list({file.key: file for file in found}.values())


def are_seen(executor: Executor, folder: Path) -> bool:
    """Return whether all who run units see what is written into a folder here."""
    token = os.urandom(16).hex()
    place = folder / f".seen-{token[:8]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        place.write_text(token)
        # Twice the slots: the scheduler spreads units over idle workers, so that each gets one.
        units = [Unit(f"sees-{token[:8]}-{n}", sees, (str(place), token)) for n in range(2 * executor.slots)]
        return all(run_all(executor, units).values())
    except OSError:
        return False
    finally:
        with suppress(OSError):
            place.unlink(missing_ok=True)


def sees(place: str, token: str) -> bool:
    """Return whether a file is there and holds a token."""
    try:
        return Path(place).read_text() == token
    except OSError:
        return False


def names_of(groups: Sequence[Group]) -> dict[str, str]:
    """Return what each file is called, by its key."""
    found: dict[str, str] = {}
    for group in groups:
        for partition in group.partitions:
            if isinstance(partition, Arriving):
                found.setdefault(partition.coming.key, partition.fingerprint.name.partition("#")[0])
    return found
