"""Made-up runs as a source that pages are served from, and plain pages for tests that look at none."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from typing import Any

from daskflow.core.control import Command
from daskflow.dashboard.slots import Columns, Look, Screen, Slot, Value
from daskflow.dashboard.state import RunState

Record = dict[str, Any]


class Told:
    """A source that has told some records, and tells what it is given."""

    def __init__(self, records: Sequence[Record], *, name: str = "late-flights", id: str = "a1b2c3d4e5") -> None:
        """Begin with these."""
        self.name, self.id, self.is_running = name, id, True
        self.asked: list[Command] = []
        self._waiting = list(records)
        self._restarts = False
        self._lock = threading.Lock()  # servers ask in a thread of their own

    def new(self) -> list[Record]:
        """Hand out what was told since the last call."""
        with self._lock:
            if self._restarts:
                self._restarts = False
                error = RuntimeError("The journal is shorter than it was.")
                error.restarted = True  # type: ignore[attr-defined]
                raise error
            found, self._waiting = self._waiting, []
        return found

    def tell(self, *records: Record) -> None:
        """Have more to say."""
        with self._lock:
            self._waiting = [*self._waiting, *records]

    def begin_anew(self, *records: Record) -> None:
        """Forget everything, as a run that is started with --fresh does."""
        with self._lock:
            self._waiting, self._restarts = list(records), True

    def act(self, command: Command) -> str:
        """Do as a run does: the command becomes a record."""
        self.asked.append(command)
        self.tell({"record": "control", "at": time.time(), **command.dump()})
        return f"{command.word} was asked for."


def until_now(records: Sequence[Record]) -> list[Record]:
    """Move a run to where its last record is of this moment."""
    shift = time.time() - max(each["at"] for each in records)
    return [moved(each, shift) for each in records]


def moved(record: Record, seconds: float) -> Record:
    """Return a record of so many seconds later."""
    later = {**record, **{word: record[word] + seconds for word in ("at", "began") if word in record}}
    if record["record"] == "history":
        later["runs"] = [{**run, "started": run["started"] + seconds} for run in record["runs"]]
    return later


class Plain:
    """A page that shows every kind of slot, drawn by nobody."""

    def __init__(self, key: str = "overview") -> None:
        """Take the key."""
        self.key, self.title = key, key.capitalize()

    def rows(self) -> Sequence[Any]:
        """Nothing is drawn."""
        return ()

    def slots(self, state: RunState, now: float) -> Sequence[Slot]:
        """Scores as rows that are only added to, numbers as values, the axis as a look."""
        scores = state.search.scores
        data = {
            "trial": [each.trial for each in scores],
            "score": [each.score for each in scores],
        }
        return [
            Columns("scores_data", data),
            Value("status", state.status),
            Value("trials", len(state.search.trials)),
            Value("params", [str(name) for trial in state.search.trials.values() for name in trial.params][:4]),
            Look("scores_x", {"start": 0, "end": len(scores)}),
        ]


def plain_screens() -> Sequence[Screen]:
    """Two pages."""
    return [Plain(), Plain("search")]


def plain_page(screen: Screen, screens: Sequence[Screen]) -> bytes:
    """HTML that names the pages."""
    named = json.dumps([each.key for each in screens])
    return f"<!DOCTYPE html><title>{screen.title}</title><pre>{named}</pre>".encode()
