"""Predictions that are awaited: rows in memory in a thread, dask frames on the cluster of a client."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

from daskflow.core import interruption
from daskflow.core.awaiting import in_thread

LOOK_SECONDS = 0.2
"""How often a thread that waits for a cluster looks whether it is still awaited."""


async def awaited(predict: Callable[[Any], Any], X: Any, client: Any = None, *, priority: float = 0) -> Any:
    """Predict a frame and await the answer, in memory, without stopping the running event loop.

    Parameters
    ----------
    predict : callable
        Takes the frame; lazy for dask.
    X : pandas.DataFrame or dask.dataframe.DataFrame
        Of rows.
    client : distributed.Client, optional
        Computes dask frames; default the current or default client, else threads of this process.
    priority : float
        Dask's, on a client.
    """
    lazy = await in_thread(predict, X)
    if not hasattr(lazy, "__dask_graph__"):
        return lazy
    client = _current() if client is None else client
    if client is None:
        return await in_thread(lazy.compute, scheduler="threads")
    if not client.asynchronous:
        return await in_thread(_gathered, client, lazy, priority)
    future = await in_thread(_computing, client, lazy, priority)
    try:
        return await future
    finally:
        future.release()  # what nobody awaits any more is not computed


def _computing(client: Any, lazy: Any, priority: float) -> Any:
    """Hand the graph in; making it and writing it down takes its time, so it is done in a thread."""
    return client.compute(lazy, priority=priority)


def _gathered(client: Any, lazy: Any, priority: float) -> Any:
    """Compute with a synchronous client, in a thread."""
    future, done = client.compute(lazy, priority=priority), threading.Event()
    future.add_done_callback(lambda _: done.set())
    try:
        while not done.wait(LOOK_SECONDS):
            interruption.check()
        return future.result()
    finally:
        future.release()


def _current() -> Any:
    """The current or default client of this task; None where there is none, or Dask's cluster was never imported."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        return distributed.default_client()
    except ValueError:
        return None
