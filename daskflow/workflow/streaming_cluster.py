"""Streams on a cluster: opened beside the event loop, and closed with the stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import daskflow.clusters
from daskflow.core.events import Listener, tell
from daskflow.core.protocols import Connection
from daskflow.streams.records import Answerer
from daskflow.streams.scoring import Scorer
from daskflow.streams.scoring_cluster import ClusterAnswerer
from daskflow.streams.scoring_local import LocalAnswerer


@asynccontextmanager
async def answering_on(
    cluster: Any, scorer: Scorer, keep: Sequence[str], folder: Path, listener: Listener
) -> AsyncIterator[Answerer]:
    """Open a cluster, and what answers on it; the event loop goes on meanwhile.

    Raises
    ------
    ClusterError
        When none can be had.
    SettingsError
        For a kind or an option that does not exist.
    """
    chosen = daskflow.clusters.REGISTRY.parse(cluster, where="cluster").within(folder, folder.name, listener)
    opened = chosen.open()
    connection: Connection = await asyncio.to_thread(opened.__enter__)
    try:
        tell(listener, "note", text=f"Cluster: {connection.description}")
        answerer: LocalAnswerer | ClusterAnswerer
        if connection.client is None:
            answerer = LocalAnswerer(scorer, keep=keep)
        else:
            slots = connection.executor.slots
            answerer = await asyncio.to_thread(ClusterAnswerer, scorer, connection.client, slots=slots, keep=keep)
        with closing(answerer):
            yield answerer
    finally:
        await asyncio.to_thread(_close, opened)


def _close(opened: AbstractContextManager[Connection]) -> None:
    opened.__exit__(None, None, None)
