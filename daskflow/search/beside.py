"""Searching beside an event loop: in a thread, on a synchronous client, awaited."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from distributed import Client
from distributed.client import _current_client

from daskflow.core.awaiting import in_thread
from daskflow.search.places import Place, client_for, is_asynchronous, place_for


def awaited_client(scheduler: Any = None) -> Client | None:
    """Return the client that a ``scheduler`` argument means, when it is an asynchronous one; else None."""
    client = client_for(scheduler)
    return client if client is not None and is_asynchronous(client) else None


async def beside(client: Client, work: Callable[[Place], Any]) -> Any:
    """Do work in a thread, with a place on the cluster of an asynchronous client, and await its answer."""

    def search() -> Any:
        with _synchronous(client) as own:
            token = _current_client.set(own)
            try:
                return work(place_for(own))
            finally:
                _current_client.reset(token)

    return await in_thread(search)


@contextmanager
def _synchronous(client: Client) -> Iterator[Client]:
    """The synchronous client of the same cluster: the one that there is, else one for this time."""
    driver = getattr(client, "driver", None)
    if driver is not None:
        yield driver
        return
    with Client(client.scheduler.address, security=client.security, set_as_default=False) as own:
        yield own
