"""Opening: a table is looked at while jobs wait in a queue, or its files are far away, and those come already."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from daskflow.core import interruption
from daskflow.core.errors import DaskflowError
from daskflow.core.events import Listener, tell
from daskflow.data.arriving import span_of
from daskflow.data.recipe import without_block
from daskflow.data.table import Arriving, Held, Table
from daskflow.workflow.cache import block_folder
from daskflow.workflow.loading import compiled_loops, load
from daskflow.workflow.workflow import Workflow

AGAIN_SECONDS = 0.2
"""How often a run that waits for its table looks whether it is to end."""


class Opening:
    """The opening of a workflow's table: begun at once where it mostly waits for a network, else by who has the time.

    Parameters
    ----------
    workflow : Workflow
        Its source says whether it opens early.
    runs : Path
        The folder of runs.
    """

    def __init__(self, workflow: Workflow, runs: Path) -> None:
        """Begin nothing yet."""
        self._workflow, self._runs = workflow, runs
        self._table: Future[Table] = Future()
        self._began = self._seconds = 0.0
        self._is_begun = self._is_closed = False
        self._lock = threading.Lock()
        self._coming: list[tuple[str, Future[Held]]] = []
        self._has_first: threading.Event | None = None
        self._told: set[str] = set()

    def __enter__(self) -> Opening:
        """Begin, where that is worth something; what goes wrong is raised by `table`."""
        if self._workflow.data.opens_early:
            self._is_begun = True
            threading.Thread(target=self._open, name="daskflow-opening", daemon=True).start()
        return self

    def begin(self, first: str = "", then: Sequence[str] = ()) -> None:
        """Open the table in a thread, unless that is begun, and import modules behind it; else `table` opens it.

        Parameters
        ----------
        first : str
            A module for which `wait` waits.
        then : sequence of str
            Modules that are imported afterwards.
        """
        if self._has_first is None:
            is_opening, self._is_begun = self._is_begun, True
            self._has_first = threading.Event()
            loads = partial(self._load, first, then, is_opening=is_opening)
            threading.Thread(target=loads, name="daskflow-loading", daemon=True).start()

    def _load(self, first: str, then: Sequence[str], *, is_opening: bool) -> None:
        if not is_opening:
            self._open()
        is_open = self._table.exception() is None  # waits for it
        if is_open and first:
            load([first]).join()
        if self._has_first is not None:
            self._has_first.set()
        if is_open:
            load(then, compiled_loops)

    def wait(self) -> None:
        """Wait for what `begin` imports first, if it has begun anything."""
        while self._has_first is not None and not self._has_first.wait(AGAIN_SECONDS):
            interruption.check()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give back what came."""
        self.close()

    def _open(self) -> None:
        self._began, begun = time.time(), time.perf_counter()
        try:
            self._workflow.check_parameters()
            table = self._workflow.table()
        except BaseException as error:
            self._table.set_exception(error)
            return
        self._seconds = time.perf_counter() - begun
        with suppress(DaskflowError, OSError):  # the scan meets it again, and says what it was
            self._fetch_first(table)
        self._table.set_result(table)

    def _fetch_first(self, table: Table) -> None:
        """Begin to fetch the first files that the scan will need, as many as may be on their way or there at a time."""
        if not self._workflow.cluster.is_one_machine:
            return  # workers elsewhere may not see what comes here
        missing = without_block(table, block_folder(self._workflow.cache, self._runs))
        wanted = {each.coming.key: each for each in missing if isinstance(each, Arriving)}
        most = self._workflow.cluster.threads * (1 + max((each.coming.ahead for each in wanted.values()), default=0))
        n_bytes = 0
        for partition in list(wanted.values())[:most]:
            n_bytes += partition.coming.size_bytes
            with self._lock:
                if self._is_closed or n_bytes > partition.coming.room_bytes:
                    return
                name = partition.fingerprint.name.partition("#")[0]
                self._coming.append((name, partition.coming.bring()))

    def table(self, listener: Listener) -> Table:
        """Return the open table, and tell how long it took; raises what `Workflow.table` raises."""
        if not self._is_begun:
            self._is_begun = True
            self._open()
        while not self._table.done():
            interruption.check()
            wait([self._table], AGAIN_SECONDS)
        table = self._table.result()
        tell(listener, "span", stage="table", part="", began=self._began, seconds=self._seconds)
        return table

    def came(self) -> list[dict[str, Any]]:
        """Return the fields of the events ``span`` of files that have come since the last call."""
        with self._lock:
            done = [(name, future) for name, future in self._coming if future.done() and future.exception() is None]
            came = [(name, future.result()) for name, future in done if name not in self._told]
            self._told.update(name for name, _ in came)
        return [span_of(name, held) for name, held in came if held.n_bytes]

    def close(self) -> None:
        """Give back the files that came, now or when they come."""
        with self._lock:
            self._is_closed = True
            coming, self._coming = self._coming, []
        for _, future in coming:
            future.add_done_callback(_give_back)


def _give_back(future: Future[Held]) -> None:
    if future.exception() is None:
        future.result().close()
