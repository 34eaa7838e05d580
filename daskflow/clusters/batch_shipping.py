"""A run's environment on its way to the nodes: packed when the jobs begin, and let go when none needs it any more."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dask.utils import format_bytes
from distributed.protocol.pickle import dumps

from daskflow.clusters.shipped_start import leave_early
from daskflow.clusters.shipping import Contents, contents
from daskflow.clusters.shipping_archive import ARCHIVE, Archive, archive_of
from daskflow.clusters.shipping_python import relocatable
from daskflow.core.events import Listener, nobody, tell

if TYPE_CHECKING:
    from daskflow.clusters.batch import Batch


def packed(batch: Batch, listener: Listener = nobody) -> Archive | None:
    """Pack the environment that a run asks for, or find it packed; None when none is shipped.

    Parameters
    ----------
    batch : Batch
        Within a run.
    listener : callable
        Hears what was packed.

    Raises
    ------
    ClusterError
        When the interpreter, or a package that is asked for, cannot be shipped.
    StorageError
        When there is no room.
    """
    if batch.ship == "nothing":
        return None

    def asked() -> Contents:
        return contents(batch.ship_packages, relocatable(sys.executable) if batch.ship == "python" else None)

    began = time.perf_counter()
    archive, is_new = archive_of(asked, batch.environments, batch.environment_link, listener)
    if is_new:
        size, seconds = format_bytes(archive.path.stat().st_size), time.perf_counter() - began
        text = f"The environment is packed for the nodes in {seconds:.0f} s: {batch.environments}, {size}."
        tell(listener, "note", text=text)
    return archive


def shipped(batch: Batch, listener: Listener = nobody) -> Batch:
    """Return the cluster with jobs that unpack its environment; see `packed`."""
    return batch.shipping(packed(batch, listener))


async def leave(scheduler: Any) -> None:
    """Have the jobs of a scheduler remove their copies from the nodes: a queue that ends them may leave no time for it.

    Each job lets its lock go, and the last one on a node removes what it runs in, which nothing needs any more.
    """
    await scheduler.broadcast(
        msg={"op": "run", "function": dumps(leave_early), "args": dumps(()), "kwargs": dumps({}), "wait": True},
        nanny=True,
        on_error="ignore",
    )


def forget_unless_job(batch: Batch) -> None:
    """Let a run's environment go when its workers are gone, unless the job that this process is came with it."""
    if ARCHIVE not in os.environ:
        forget(batch)


def forget(batch: Batch) -> None:
    """Let a run's environment go; the archive stays among those of all runs, as long as it is one of the last used."""
    with suppress(OSError):
        batch.environment_link.unlink(missing_ok=True)
