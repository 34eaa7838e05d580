"""Threads of this process: no start-up cost and no copies, for work that releases the interpreter lock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import ClassVar, Literal

from dask.system import CPU_COUNT
from distributed.system import MEMORY_LIMIT
from pydantic import Field

from daskflow.clusters import Cluster
from daskflow.clusters.loopback import dashboard_of, in_process
from daskflow.core.protocols import Connection
from daskflow.data.client_executor import ClientExecutor


class Threads(Cluster):
    """One Dask worker in this process, with a thread for every core of every worker.

    A fit that never returns cannot be ended here, and memory is not limited: use ``local`` where that matters.

    Attributes
    ----------
    workers : int
        Default: the processors this process may use.
    cores : int
        Threads per worker; there are ``workers`` times ``cores`` threads, as many units at once as with ``local``.
    """

    is_one_machine: ClassVar[bool] = True

    kind: Literal["threads"] = "threads"
    workers: int = Field(default=CPU_COUNT, ge=1)
    cores: int = Field(default=1, ge=1)

    @property
    def threads(self) -> int:
        """Units at once."""
        return self.workers * self.cores

    @property
    def fit_bytes(self) -> int:
        """An equal share of this machine's memory for each thread."""
        return int(MEMORY_LIMIT) // self.threads

    def open(self) -> AbstractContextManager[Connection]:
        """Start the threads; ClusterError when they cannot be had."""
        return self._open()

    @contextmanager
    def _open(self) -> Iterator[Connection]:
        threads = self.threads
        with in_process(threads=threads) as client:
            yield Connection(
                ClientExecutor(client),
                client,
                dashboard_of(client.cluster),
                f"threads: {threads} thread{'s' if threads > 1 else ''} in this process",
                client.cluster.token,
            )
