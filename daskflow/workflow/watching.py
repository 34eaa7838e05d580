"""Watching: a run's folder read as the records that the run tells, while it grows and when it has long ended."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

from daskflow.core.folder import RunFolder
from daskflow.core.journal import Record, decode
from daskflow.core.live import merged, time_of
from daskflow.core.mounts import about_locks
from daskflow.workflow.acting import is_held
from daskflow.workflow.filling import Filling

HEAD_BYTES = 64
"""The beginning of a file, by which one that was begun anew is known."""

QUIET_SECONDS = 2.0
"""After so long without a word it is looked whether the run still goes on."""

GRACE_SECONDS = 60.0
"""Where locks say nothing, a run goes on as long as its files have grown within this time."""


class Restarted(Exception):  # noqa: N818  nothing is wrong: it says what happened
    """The run was begun anew: what was heard of it is no longer so, and `FolderSource.new` begins from the start."""

    restarted = True
    """By which pages know it, whose room cannot import this one."""


def _name_of(folder: RunFolder) -> str:
    """The workflow's name, also where the run's folder was copied elsewhere."""
    try:
        name = tomllib.loads(folder.workflow.read_text(encoding="utf-8")).get("name")
    except (OSError, ValueError):
        name = None
    return name if isinstance(name, str) and name else folder.name


class FolderSource:
    """The records of a run, from its folder.

    Parameters
    ----------
    folder : RunFolder
        Of a run that goes on, has ended or was killed.

    Attributes
    ----------
    name, id : str
        The run's.

    Notes
    -----
    What no record says is filled in from the folder's other files, see `filling`. A run that was killed ends with a
    record ``end`` of status ``interrupted`` that is in no file. Nothing in the folder is changed.
    """

    def __init__(self, folder: RunFolder) -> None:
        """Read nothing yet."""
        self.folder = folder
        self.name, self.id = _name_of(folder), folder.id
        self._begin()

    def _begin(self) -> None:
        self._journal, self._events = Tail(self.folder.journal), Tail(self.folder.events)
        self._filling = Filling(self.folder)
        self._is_open = self._was_told_to_end = False
        self._at = 0.0
        self._looked = self._heard = time.monotonic() - QUIET_SECONDS

    @property
    def is_running(self) -> bool:
        """Whether a process holds the journal."""
        try:
            if is_held(self.folder.journal):
                return True
            if not about_locks(self.folder.journal.absolute()):
                return False
            grown = max(path.stat().st_mtime for path in (self.folder.journal, self.folder.events) if path.exists())
        except OSError:
            return False
        return time.time() - grown < GRACE_SECONDS

    def new(self) -> list[Record]:
        """Return what came since the last call, in the order of time.

        A file that has not grown is not opened; the last line of a file waits until it is whole; damaged lines are
        skipped.

        Raises
        ------
        Restarted
            When the journal was cleared; the next call returns everything anew.
        """
        now = time.monotonic()
        has_ended = self._is_open and now - max(self._heard, self._looked) >= QUIET_SECONDS and not self.is_running
        if self._is_open:
            self._looked = now if now - max(self._heard, self._looked) >= QUIET_SECONDS else self._looked
        journal = self._journal.new()
        is_anew = self._journal.was_begun_anew or (
            self._was_told_to_end and bool(journal) and journal[0].get("record") != "invocation"
        )
        if is_anew:
            self._begin()
            raise Restarted(f"{self.folder.path} was begun anew.")
        if not self._journal.has_begun:
            return []
        records = merged(journal, self._events.new())
        if records:
            self._heard = now
        self._follow(journal)
        if records and self._is_open and self._at == 0.0:
            has_ended = not self.is_running  # the first look: a run that was killed long ago does not seem to go on
        self._at = max([self._at, *map(time_of, records)])
        found = self._filling.filled(records, is_live=self._is_open and not has_ended)
        if has_ended and self._is_open:
            self._is_open, self._was_told_to_end = False, True
            end = {"record": "end", "status": "interrupted", "error": "", "at": self._at}
            found += self._filling.filled([end], is_live=False)
        return found

    def _follow(self, journal: Sequence[Record]) -> None:
        """See by the journal whether an invocation goes on."""
        for record in journal:
            if record.get("record") == "invocation":
                self._is_open, self._was_told_to_end = True, False
            elif record.get("record") == "end":
                self._is_open = False


class Tail:
    """The whole lines that a growing file gets, as records.

    Attributes
    ----------
    was_begun_anew : bool
        Whether the file is no longer the one that was read before: it begins otherwise, or is shorter.
    has_begun : bool
        Whether anything was read.
    """

    def __init__(self, path: Path) -> None:
        """Begin at its beginning."""
        self.path = path
        self.was_begun_anew = False
        self._head = b""
        self._place = 0
        self._size = -1

    @property
    def has_begun(self) -> bool:
        """Whether a line was read."""
        return self._place > 0

    def new(self) -> list[Record]:
        """Return the records of the lines that are new and whole."""
        try:
            size = self.path.stat().st_size
            if size == self._size:
                return []
            with open(self.path, "rb") as file:
                if size < self._place or file.read(len(self._head)) != self._head:
                    self.was_begun_anew = True
                    self._place, self._head = 0, b""
                file.seek(self._place)
                content = file.read()
        except OSError:  # it is not there yet, or not any more
            self.was_begun_anew = self.was_begun_anew or self._place > 0
            self._place, self._head, self._size = 0, b"", -1
            return []
        self._size = self._place + len(content)
        whole = content[: content.rfind(b"\n") + 1]
        if not self._place:
            self._head = whole[:HEAD_BYTES]
        self._place += len(whole)
        return [record for line in whole.splitlines(keepends=True) if (record := decode(line)) and "record" in record]


def records_of(folder: RunFolder) -> list[Record]:
    """Return everything that a run has told so far, for replays."""
    return FolderSource(folder).new()
