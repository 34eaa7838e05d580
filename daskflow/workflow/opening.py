"""Opening: a table whose files are far away is looked at while the cluster starts."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future

from daskflow.core.events import Listener, tell
from daskflow.data.table import Table
from daskflow.workflow.workflow import Workflow


class Opening:
    """The opening of a workflow's table: begun at once where it mostly waits for a network, else when it is asked for.

    Parameters
    ----------
    workflow : Workflow
        Its source says whether it opens early.
    """

    def __init__(self, workflow: Workflow) -> None:
        """Begin, where that is worth something; what goes wrong is raised by `table`."""
        self._workflow = workflow
        self._table: Future[Table] = Future()
        self._began = self._seconds = 0.0
        self._is_begun = workflow.data.opens_early
        if self._is_begun:
            threading.Thread(target=self._open, name="daskflow-opening", daemon=True).start()

    def _open(self) -> None:
        self._began, begun = time.time(), time.perf_counter()
        try:
            table = self._workflow.table()
        except BaseException as error:
            self._table.set_exception(error)
        else:
            self._seconds = time.perf_counter() - begun
            self._table.set_result(table)

    def table(self, listener: Listener) -> Table:
        """Return the open table, and tell how long it took; raises what `Workflow.table` raises."""
        if not self._is_begun:
            self._is_begun = True
            self._open()
        table = self._table.result()
        tell(listener, "span", stage="table", part="", began=self._began, seconds=self._seconds)
        return table
