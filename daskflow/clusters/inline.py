"""Everything in the calling thread: for debuggers, small tables and comparisons."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import ClassVar, Literal

from distributed.system import MEMORY_LIMIT

from daskflow.clusters import Cluster
from daskflow.clusters.loopback import dashboard_of, in_process
from daskflow.core.protocols import Connection
from daskflow.data.client_executor import ClientExecutor
from daskflow.data.execution import InlineExecutor


class Inline(Cluster):
    """No cluster at all: units run one after the other in the calling thread, where a debugger sees them.

    Examples
    --------
    >>> with Inline().open() as connection:
    ...     connection.description, connection.client
    ('inline: one unit after the other, in this thread', None)
    """

    is_one_machine: ClassVar[bool] = True

    kind: Literal["inline"] = "inline"

    @property
    def fit_bytes(self) -> int:
        """This machine's memory."""
        return int(MEMORY_LIMIT)

    def open(self) -> AbstractContextManager[Connection]:
        """Yield an executor of this thread; there is nothing to start or to close."""
        return self._open()

    @contextmanager
    def _open(self) -> Iterator[Connection]:
        executor = InlineExecutor()
        try:
            yield Connection(executor, description="inline: one unit after the other, in this thread")
        finally:
            executor.cancel()

    def with_client(self) -> AbstractContextManager[Connection]:
        """Open one Dask worker of one thread in this process, for code that wants a client."""
        return self._with_client()

    @contextmanager
    def _with_client(self) -> Iterator[Connection]:
        with in_process(threads=1) as client:
            description = "inline: one thread in this process"
            yield Connection(
                ClientExecutor(client), client, dashboard_of(client.cluster), description, client.cluster.token
            )
