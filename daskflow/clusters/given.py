"""A cluster that is open already, for one run more: its workers are shared, and it is left open."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from distributed import Client
from distributed.client import _current_client

from daskflow.clusters import Cluster
from daskflow.core.errors import ClusterError, Problem, SettingsError
from daskflow.core.protocols import Connection
from daskflow.data.client_executor import ClientExecutor

_opened: weakref.WeakKeyDictionary[Client, tuple[Cluster, Connection]] = weakref.WeakKeyDictionary()
"""Clients that `connect` has yielded, and what they are clients of."""

CLOSE_SECONDS = 10


@dataclass(frozen=True)
class Given:
    """An open cluster, and the priority that a run has on it.

    Attributes
    ----------
    settings : Cluster
        What it is; of a client that daskflow did not make, its scheduler's address.
    client : distributed.Client
        Anybody's, also an asynchronous one: then a synchronous client of the same scheduler is used.
    connection : Connection or None
        What daskflow knows of it beyond the client.
    priority : float
        Dask's; higher first.
    """

    settings: Cluster
    client: Client
    connection: Connection | None = None
    priority: float = 0

    def open(self) -> AbstractContextManager[Connection]:
        """Yield a connection with an executor of its own; on leaving, its units are dropped and nothing is closed.

        Raises
        ------
        ClusterError
            When the client is closed, or workers have other versions than this process.
        """
        return self._open()

    @contextmanager
    def _open(self) -> Iterator[Connection]:
        if self.client.status != "running":
            raise ClusterError(
                f"The client is {self.client.status}, so nothing can run on its cluster. Run while it is open: inside "
                "the with block."
            )
        with self._synchronous() as client:
            known = self.connection or _connection_of(client)
            executor = known.executor.beside(self.priority)
            token = _current_client.set(client)  # `as_current` would change the configuration of all threads, too
            try:
                yield replace(known, executor=executor, priority=self.priority)
            finally:
                _current_client.reset(token)
                executor.cancel()

    def _synchronous(self) -> AbstractContextManager[Client]:
        if self.connection is not None:
            return nullcontext(self.connection.client)
        if not is_asynchronous(self.client):
            return nullcontext(self.client)
        return synchronous(self.client)


def is_asynchronous(client: Client) -> bool:
    """Whether a client was made for an event loop; ``client.asynchronous`` says no in any thread but the loop's."""
    return bool(client.asynchronous or getattr(client, "_asynchronous", False))


@contextmanager
def synchronous(client: Client) -> Iterator[Client]:
    """Yield a synchronous client of an asynchronous one's scheduler; not for the thread of an event loop.

    Raises
    ------
    ClusterError
        When the scheduler does not answer.
    """
    try:
        own = Client(client.scheduler.address, security=client.security, set_as_default=False)
    except (OSError, TimeoutError, RuntimeError, ValueError) as error:
        raise ClusterError(f"The scheduler at {client.scheduler.address} does not answer: {error}.") from error
    try:
        yield own
    finally:
        own.close(timeout=CLOSE_SECONDS)


def remember(client: Client, settings: Cluster, connection: Connection) -> None:
    """Remember what a client is a client of, as long as it lives."""
    _opened[client] = settings, connection


def given_cluster(cluster: Any, priority: float = 0) -> Given:
    """Return the open cluster that a user means.

    Parameters
    ----------
    cluster : distributed.Client
        Of `connect` or anybody's, synchronous or asynchronous.
    priority : float
        Dask's, such as 10 or -1; higher first.

    Raises
    ------
    SettingsError
        For anything else, and for priorities that are no finite numbers.
    """
    if not isinstance(cluster, Client):
        raise SettingsError([Problem("cluster", f"should be a distributed.Client (found {cluster!r:.80})")])
    check_priority(priority)
    known = _opened.get(cluster)
    if known is not None:
        return Given(known[0], cluster, known[1], priority)
    from daskflow.clusters.address import Address

    address = str(cluster.scheduler.address) if cluster.scheduler is not None else ""
    return Given(Address.model_construct(kind="address", address=address), cluster, None, priority)


def check_priority(priority: Any) -> None:
    """Raise SettingsError for what Dask could not rank by."""
    if isinstance(priority, bool) or not isinstance(priority, int | float) or not math.isfinite(priority):
        raise SettingsError([Problem("priority", f"should be a number; higher runs first (found {priority!r:.80})")])


def _connection_of(client: Client) -> Connection:
    """What can be known of anybody's client; ClusterError where its workers would not do."""
    from daskflow.clusters.address import compare_versions

    address = str(client.scheduler.address)
    if not address.startswith("inproc"):
        compare_versions(client, address)
    threads = client.nthreads()
    workers = f"{len(threads)} worker{'s' if len(threads) != 1 else ''}"
    description = f"the client's: {address}, {workers}, {sum(threads.values())} threads"
    return Connection(ClientExecutor(client), client, client.dashboard_link or None, description)
