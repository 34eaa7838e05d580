"""Layout: whether a local cluster's workers are processes or threads, by what the table's first partitions show."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from daskflow.clusters import Cluster
from daskflow.clusters.local import Local
from daskflow.core.protocols import Unit
from daskflow.data.execution import InlineExecutor
from daskflow.data.scan import first_units
from daskflow.workflow.cache import open_store
from daskflow.workflow.workflow import Workflow

WELL = 0.8
"""Threads are taken when each of them does this share of what one alone does: processes cost their start and memory."""

WARM, ALONE = 1, 1
"""Partitions that load libraries and compiled loops, and partitions that one thread decodes alone."""

MOST_THREADS = 8
"""No more threads are measured together."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What was measured.

    Attributes
    ----------
    threads : int
        Threads that worked together.
    alone, together : float
        Rows a second: of one thread by itself, and of all together.
    partitions : int
        Decoded for it; their blocks are in the store.
    """

    threads: int
    alone: float
    together: float
    partitions: int

    @property
    def share(self) -> float:
        """What each of the threads does, as a share of what one does alone."""
        return self.together / (self.threads * self.alone)

    def __str__(self) -> str:
        """Such as ``2 threads together decode 410,000 rows a second, one alone 220,000``."""
        return f"{self.threads} threads together decode {self.together:,.0f} rows a second, one alone {self.alone:,.0f}"


def laid_out(workflow: Workflow, runs: Path) -> tuple[Cluster, str, int]:
    """Return the cluster to open, why, and how many partitions were decoded to know it.

    Only a ``local`` cluster with ``layout = "auto"`` is measured: when it has several workers, its blocks are kept on
    disk, and there are partitions enough that have none yet.

    Raises
    ------
    DataError
        As the scan would, for the first partitions.
    """
    cluster = workflow.cluster
    if not isinstance(cluster, Local) or cluster.layout != "auto":
        return cluster, "", 0
    threads = min(cluster.threads, MOST_THREADS)
    if threads == 1:
        return cluster.laid_out("processes"), "", 0
    if workflow.cache.kind != "disk":
        return cluster.laid_out("processes"), "Workers are processes: only blocks on disk outlive a measurement.", 0
    with open_store(workflow.cache, runs) as store:
        units = first_units(workflow.table(), store, WARM + ALONE + threads, InlineExecutor())
        if len(units) < WARM + ALONE + threads:
            found = f"{len(units)} partitions are to be decoded, too few to measure threads by"
            return cluster.laid_out("processes"), f"Workers are processes: {found}.", 0
        pace = measured(units)
    is_well = pace.share >= WELL
    what = "threads of one process" if is_well else "processes"
    return cluster.laid_out("threads" if is_well else "processes"), f"Workers are {what}: {pace}.", pace.partitions


def measured(units: Sequence[Unit], clock: Callable[[], float] = time.perf_counter) -> Pace:
    """Run the first unit to warm up, the second alone, and the others together in a thread each."""
    _rows(units[0])
    begun = clock()
    n_rows = sum(_rows(unit) for unit in units[WARM : WARM + ALONE])
    alone = n_rows / (clock() - begun)
    rest = units[WARM + ALONE :]
    with ThreadPoolExecutor(len(rest)) as pool:
        begun = clock()
        n_rows = sum(pool.map(_rows, rest))
        together = n_rows / (clock() - begun)
    return Pace(len(rest), alone, together, len(units))


def _rows(unit: Unit) -> int:
    """Scan, and say how many rows there were."""
    import dask

    (*known, frame) = unit.arguments
    frame = dask.compute(frame, scheduler="synchronous")[0] if hasattr(frame, "__dask_graph__") else frame
    return sum(record["n_rows"] for record in unit.function(*known, frame))
