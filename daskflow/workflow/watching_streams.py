"""Watching of streams: the folder of a served or streaming model read as what it tells, alone or within its run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from daskflow.core.folder import RunFolder
from daskflow.core.journal import Record, decode
from daskflow.core.live import merged, time_of
from daskflow.core.mounts import about_locks
from daskflow.workflow.acting import is_held
from daskflow.workflow.watching import GRACE_SECONDS, QUIET_SECONDS, FolderSource, Tail

HEAD_BYTES = 4096
"""Of a file of events, to see whose it is."""

STREAMS = "streams"
"""Folder within a run's, of the streams that its model answers."""

OF_A_RUN = {"invocation": "stream_begun", "end": "stream_ended"}
"""What records of a stream are called among those of its run, which has such records, too."""


def is_stream(path: Path) -> bool:
    """Return whether a folder is that of a stream or a server."""
    events = path / "events.jsonl"
    if not events.is_file() or (path / "workflow.toml").exists():
        return False
    if (path / "stream.toml").exists():
        return True
    with open(events, "rb") as file:
        first = next((found for line in file.read(HEAD_BYTES).splitlines(keepends=True) if (found := decode(line))), {})
    return first.get("record") == "stream" or (first.get("record") == "invocation" and "verb" in first)


def streams_in(path: Path) -> list[Path]:
    """Return the folders of streams in a run's folder, or in the folder ``streams`` beside the runs; sorted by name."""
    folder = path if path.name == STREAMS else path / STREAMS
    return sorted(each for each in folder.iterdir() if is_stream(each)) if folder.is_dir() else []


class StreamSource:
    """The records of a stream, from its folder.

    Parameters
    ----------
    path : Path
        Of the stream's folder.

    Attributes
    ----------
    name, id : str
        That of the model's run, where it has one, and the folder's.

    Notes
    -----
    A file that was thinned while it was read is read again, and only what is new is told. A stream that was killed ends
    with a record ``end`` of status ``interrupted`` that is in no file. Nothing in the folder is changed.
    """

    def __init__(self, path: Path) -> None:
        """Read nothing yet."""
        self.path = path.resolve()
        run = self.path.parent.parent
        is_of_run = self.path.parent.name == STREAMS and (run / "workflow.toml").exists()
        self.name, self.id = (run.parent.name if is_of_run else self.path.parent.name), self.path.name
        self._tail = Tail(self.path / "events.jsonl")
        self._at = 0.0
        self._is_open = False
        self._looked = time.monotonic() - QUIET_SECONDS

    @property
    def is_running(self) -> bool:
        """Whether a process tells of it."""
        events = self.path / "events.jsonl"
        try:
            if is_held(events):
                return True
            if not about_locks(events):
                return False
            return time.time() - events.stat().st_mtime < GRACE_SECONDS
        except OSError:
            return False

    def new(self) -> list[Record]:
        """Return what came since the last call, in the order of time."""
        now = time.monotonic()
        is_due = now - self._looked >= QUIET_SECONDS
        is_gone = is_due and not self.is_running  # asked first: what was written before the end is told before it
        self._looked = now if is_due else self._looked
        self._tail.was_begun_anew = False
        records = [record for record in self._tail.new() if time_of(record) > self._at]
        if records:
            self._at = time_of(records[-1], self._at)
        for record in records:
            if record["record"] in ("invocation", "end"):
                self._is_open = record["record"] == "invocation"
        if is_gone and self._is_open:
            self._is_open = False
            records.append({"record": "end", "status": "interrupted", "error": "", "at": self._at})
        return records


class RunWithStreams(FolderSource):
    """The records of a run, and of the streams that its model answers."""

    def __init__(self, folder: RunFolder) -> None:
        """Read nothing yet."""
        super().__init__(folder)
        self._streams: dict[str, StreamSource] = {}

    @property
    def streams(self) -> Sequence[StreamSource]:
        """Those there are now."""
        for path in streams_in(self.folder.path):
            if path.name not in self._streams:
                self._streams[path.name] = StreamSource(path)
        return list(self._streams.values())

    @property
    def is_running(self) -> bool:
        """Whether a process works on the run, or tells of a stream of it."""
        return super().is_running or any(stream.is_running for stream in self.streams)

    def _begin(self) -> None:
        super()._begin()
        self._streams = {}

    def new(self) -> list[Record]:
        """Return what came since the last call, in the order of time; see `FolderSource.new`."""
        return merged(super().new(), *([_within(record, one.id) for record in one.new()] for one in self.streams))


def _within(record: Record, stream: str) -> Record:
    """Return a stream's record as one among those of its run."""
    kind = record["record"]
    return {**record, "record": OF_A_RUN.get(kind, kind), "stream": stream}
