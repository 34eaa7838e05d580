"""Store of a learner: records that wait for their true value, and rows that were learned since a snapshot, in SQLite.

What is written belongs to a step. A stream commits steps in its journal, a little later than they are written here;
what belongs to steps that were never committed is undone when the store is opened again, and what was taken by them is
there again. So a kill at any moment leaves each true value learned once or still to come.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from daskflow.core.errors import StorageError

RECORD, LABEL, DONE = 0, 1, 2
"""What is kept by key: records without a true value, true values without a record, and keys that had both."""

TABLES = """
CREATE TABLE IF NOT EXISTS kept (
    number INTEGER PRIMARY KEY, what INTEGER, key TEXT, at REAL, body TEXT, added INTEGER, gone INTEGER);
CREATE UNIQUE INDEX IF NOT EXISTS by_key ON kept (what, key) WHERE gone IS NULL;
CREATE INDEX IF NOT EXISTS by_age ON kept (what, number) WHERE gone IS NULL;
CREATE INDEX IF NOT EXISTS by_end ON kept (gone) WHERE gone IS NOT NULL;
CREATE TABLE IF NOT EXISTS learned (number INTEGER PRIMARY KEY, body TEXT, added INTEGER);
"""


class LearningStore:
    """Kept records, kept true values and learned rows; one process and one thread at a time.

    Parameters
    ----------
    path : Path or None
        The file, made when it does not exist; None is memory.
    step : int
        The newest step that was committed: later ones are undone.

    Raises
    ------
    StorageError
        When it cannot be read or written, or another process has it.
    """

    def __init__(self, path: Path | None, step: int = 0) -> None:
        """Open it, and undo what was not committed."""
        self._name = str(path or "memory")
        self._step = step
        try:
            self._file = sqlite3.connect(str(path or ":memory:"), isolation_level=None, check_same_thread=False)
            self._file.execute("PRAGMA locking_mode = EXCLUSIVE")  # without shared memory, which network disks lack
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = FULL")
            self._file.executescript(TABLES)
            self._file.execute("BEGIN IMMEDIATE")
            self._file.execute("DELETE FROM kept WHERE added > ?", (step,))
            self._file.execute("UPDATE kept SET gone = NULL WHERE gone > ?", (step,))
            self._file.execute("DELETE FROM learned WHERE added > ?", (step,))
            self._file.execute("COMMIT")
            counts = self._file.execute("SELECT what, count(*) FROM kept WHERE gone IS NULL GROUP BY what")
            self._counts = dict.fromkeys((RECORD, LABEL, DONE), 0) | dict(counts.fetchall())
        except sqlite3.Error as error:
            raise StorageError(f"{self._name} cannot be used: {error}. Choose another folder with --folder.") from error

    def begin(self, step: int) -> None:
        """Begin a step; `end` or `undo` follows."""
        self._step = step
        self._do("BEGIN IMMEDIATE")

    def end(self) -> None:
        """End the step; it is on the disk on return."""
        self._do("COMMIT")

    def undo(self) -> None:
        """Undo the step that was begun."""
        if self._file.in_transaction:
            self._file.execute("ROLLBACK")

    def count(self, what: int) -> int:
        """Return how many are kept."""
        return self._counts[what]

    def put(self, what: int, key: str, at: float, body: str) -> bool:
        """Keep one by its key; return whether it replaced another of that key."""
        replaced = self.take(what, key) is not None
        self._do(
            "INSERT INTO kept (what, key, at, body, added) VALUES (?, ?, ?, ?, ?)", (what, key, at, body, self._step)
        )
        self._counts[what] += 1
        return replaced

    def has(self, what: int, key: str) -> bool:
        """Whether one of that key is kept."""
        found = self._do("SELECT 1 FROM kept WHERE what = ? AND key = ? AND gone IS NULL", (what, key)).fetchone()
        return found is not None

    def take(self, what: int, key: str) -> str | None:
        """Return what is kept by a key, and keep it no longer; None when there is none."""
        if not self._counts[what]:
            return None
        found = self._do(
            "SELECT number, body, added FROM kept WHERE what = ? AND key = ? AND gone IS NULL", (what, key)
        ).fetchone()
        if found is None:
            return None
        number, body, added = found
        self._remove(number, is_new=added == self._step)
        self._counts[what] -= 1
        return str(body)

    def _remove(self, number: int, *, is_new: bool) -> None:
        if is_new:  # nobody will ever want it back
            self._do("DELETE FROM kept WHERE number = ?", (number,))
        else:
            self._do("UPDATE kept SET gone = ? WHERE number = ?", (self._step, number))

    def drop(self, what: int, *, most: int, before: float) -> tuple[int, int]:
        """Drop the oldest: those beyond a number, and those that came before a time; return how many of each."""
        by_number = by_age = 0
        while self._counts[what]:
            number, at, added = self._do(
                "SELECT number, at, added FROM kept WHERE what = ? AND gone IS NULL ORDER BY number LIMIT 1", (what,)
            ).fetchone()
            is_too_many = self._counts[what] > most
            if not is_too_many and at >= before:
                break
            by_number, by_age = by_number + is_too_many, by_age + (not is_too_many)
            self._remove(number, is_new=added == self._step)
            self._counts[what] -= 1
        return by_number, by_age

    def learn(self, number: int, body: str) -> None:
        """Note a row that has its true value, by its number in the order of learning."""
        self._do("INSERT INTO learned VALUES (?, ?, ?)", (number, body, self._step))

    def learned(self, above: int) -> Iterator[tuple[int, str]]:
        """Return numbers and rows above a number, in order."""
        yield from self._do("SELECT number, body FROM learned WHERE number > ? ORDER BY number", (above,))

    def forget(self, *, step: int, learned: int) -> None:
        """Remove for good what went by a committed step, and learned rows up to a number."""
        self._do("DELETE FROM kept WHERE gone <= ?", (step,))
        self._do("DELETE FROM learned WHERE number <= ?", (learned,))

    def _do(self, words: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        try:
            return self._file.execute(words, values)
        except sqlite3.Error as error:
            raise StorageError(f"{self._name} cannot be written: {error}. Make room, and start again.") from error

    def close(self) -> None:
        """Give the file back."""
        with suppress(sqlite3.ProgrammingError):  # it was closed before
            self.undo()
        self._file.close()
