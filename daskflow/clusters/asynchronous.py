"""Connecting from an event loop: a cluster opened beside it, and a client whose methods are awaited."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Any

from distributed import Client
from distributed.client import _current_client

from daskflow.clusters import Cluster
from daskflow.clusters.batch import Batch
from daskflow.clusters.batch_signals import ended_by_signals
from daskflow.clusters.given import remember
from daskflow.core.awaiting import in_thread
from daskflow.core.protocols import Connection


class AsynchronousClient(Client):  # type: ignore[misc]  # distributed has no types
    """Dask's asynchronous client of a cluster that daskflow opened.

    Attributes
    ----------
    driver : distributed.Client
        The synchronous one, which workflows and searches use in threads of their own.
    """

    driver: Client
    link = ""

    @property
    def dashboard_link(self) -> str:
        """Address of Dask's dashboard with the token, for the one who holds the client."""
        return self.link


class Connecting:
    """What ``async with`` opens and closes without stopping the event loop.

    Parameters
    ----------
    cluster : Cluster
        Where the work runs.
    """

    def __init__(self, cluster: Cluster) -> None:
        """Start nothing."""
        self._cluster = cluster
        self._opened: AbstractContextManager[Connection] | None = None
        self._signals = ExitStack()
        self._client: AsynchronousClient | None = None
        self._token: Any = None

    async def __aenter__(self) -> AsynchronousClient:
        """Open the cluster in a thread, and connect a client of the running loop to it; the current one from now on."""
        if isinstance(self._cluster, Batch):  # jobs must not be left behind by a process that is told to end
            self._signals.enter_context(ended_by_signals())
        try:
            connection: Connection = await in_thread(self._open)
            driver = connection.client
            client = AsynchronousClient(
                driver.scheduler.address, security=driver.security, asynchronous=True, set_as_default=False
            )
            self._client = client
            client.driver, client.link = driver, str(driver.dashboard_link or "")
            await client
        except BaseException:
            await self._close()
            raise
        remember(client, self._cluster, connection)
        # Of this task and those that it makes; Dask's default client would be that of all threads, and a synchronous
        # call in one of them would stumble over it.
        self._token = _current_client.set(client)
        return client

    def _open(self) -> Connection:
        opened = self._cluster.with_client()
        connection = opened.__enter__()
        self._opened = opened
        return connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close what was opened."""
        _current_client.reset(self._token)
        await self._close()

    async def _close(self) -> None:
        try:
            client, self._client = self._client, None
            if client is not None and client.status != "closed":
                await client._close(fast=True)
        finally:
            opened, self._opened = self._opened, None
            try:
                if opened is not None:
                    await in_thread(opened.__exit__, None, None, None)
            finally:
                self._signals.close()
