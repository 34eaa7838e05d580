"""Commits of a stream: how far its records have been handed on, in a journal that stays short.

A commit is one record of ``journal.jsonl``, on the disk before the source hears of it:

- ``committed``: offsets (mapping of partition to the offset of its newest record), state (of what answers), answered,
  dead (records so far), dead_file, dead_bytes (the file of dead letters, and its length), sink (its mark), at.

Everything up to a commit can be said in one record, and is, now and then: the file is replaced as a whole.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from daskflow.core.errors import JournalError
from daskflow.core.journal import Journal
from daskflow.streams.records import Record

MOST_COMMITS = 2_000
"""So many commits are kept before they become one."""

MOST_BYTES = 16 * 2**20
"""The same, in bytes, beside what one commit takes."""

COMMITTED = "committed"


class Commits:
    """What a stream remembers over its end; one process holds it at a time, and its threads may share it.

    Parameters
    ----------
    path : Path
        The journal; made when it does not exist.

    Attributes
    ----------
    offsets : dict of str to object
        The offset of the newest record that was handed on, by partition.
    state : mapping or None
        What the one who answers wanted to know again.
    answered, dead : int
        Records so far, over all invocations.
    dead_file : str
        File of the dead letters; empty before there is one.
    dead_bytes : int
        Its length at the newest commit.
    sink : object
        The mark of a sink that has one, see `pipeline.Marking`; else None.

    Raises
    ------
    JournalError
        When another process holds the stream, or the journal is damaged.
    """

    def __init__(self, path: Path) -> None:
        """Open, lock, and read what is there."""
        try:
            self._journal = Journal(path)
        except JournalError as error:
            if not isinstance(error.__cause__, OSError):
                raise
            raise JournalError(
                f"{path} is in use: another process runs this stream. End it, or give this one a folder of its own "
                "with --folder."
            ) from error
        self._lock = threading.Lock()
        self.offsets: dict[str, Any] = {}
        self.state: Mapping[str, Any] | None = None
        self.answered = self.dead = self.dead_bytes = 0
        self.dead_file = ""
        self.sink: Any = None
        self._others: list[dict[str, Any]] = []
        for record in self._journal.records:
            if record.get("record") == COMMITTED:
                self._take_in(record)
            else:
                self._others.append(record)
        self._shorten()

    def _take_in(self, record: Mapping[str, Any]) -> None:
        self.offsets.update(record["offsets"])
        self.state = record.get("state")
        self.answered, self.dead = int(record["answered"]), int(record["dead"])
        self.dead_file, self.dead_bytes = str(record["dead_file"]), int(record["dead_bytes"])
        self.sink = record.get("sink")

    @property
    def others(self) -> Sequence[Mapping[str, Any]]:
        """Records of the journal that are no commits, such as swaps of the model, in order."""
        return self._others

    def note(self, record: Mapping[str, Any]) -> None:
        """Write a record that is no commit, such as a swap of the model; it is on the disk on return, and stays."""
        with self._lock:
            self._journal.append(record)
            self._others.append({**record})

    def commit(
        self,
        records: Sequence[Record],
        *,
        state: Mapping[str, Any] | None = None,
        answered: int = 0,
        dead: int = 0,
        dead_file: str | None = None,
        dead_bytes: int | None = None,
        sink: Any = None,
    ) -> None:
        """Note that these records have been handed on; it is on the disk on return.

        Parameters
        ----------
        records : sequence of Record
            In their order.
        state : mapping or None
            Of what answers, after them; None: as before.
        answered, dead : int
            How many of them have a result, and how many have none.
        dead_file, dead_bytes, sink
            As the attributes; None: as before.

        Raises
        ------
        StorageError
            When the disk is full or gone.
        """
        moved = {record.partition: record.offset for record in records}
        with self._lock:
            self._commit(moved, state, answered, dead, dead_file, dead_bytes, sink)

    def _commit(
        self,
        moved: Mapping[str, Any],
        state: Mapping[str, Any] | None,
        answered: int,
        dead: int,
        dead_file: str | None,
        dead_bytes: int | None,
        sink: Any,
    ) -> None:
        told = {
            "record": COMMITTED,
            "at": time.time(),
            "offsets": moved,
            "state": self.state if state is None else state,
            "answered": self.answered + answered,
            "dead": self.dead + dead,
            "dead_file": self.dead_file if dead_file is None else dead_file,
            "dead_bytes": self.dead_bytes if dead_bytes is None else dead_bytes,
            "sink": self.sink if sink is None else sink,
        }
        self._journal.append(told)
        self._take_in(told)
        self._shorten()

    def _shorten(self) -> None:
        """Put one commit in place of all, when they have become many."""
        if len(self._journal.records) - len(self._others) < MOST_COMMITS and self._journal.n_bytes < self._most_bytes:
            return
        whole = {
            "record": COMMITTED,
            "at": time.time(),
            "offsets": self.offsets,
            "state": self.state,
            "answered": self.answered,
            "dead": self.dead,
            "dead_file": self.dead_file,
            "dead_bytes": self.dead_bytes,
            "sink": self.sink,
        }
        self._journal.replace([*self._others, whole])
        self._least_bytes = self._journal.n_bytes

    _least_bytes = 0

    @property
    def _most_bytes(self) -> int:
        return 2 * self._least_bytes + MOST_BYTES

    def close(self) -> None:
        """Let others have it."""
        self._journal.close()
