"""Dask clusters of this machine that listen on the loopback address only, and close without hanging."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import dask
from distributed import Client, LocalCluster, Nanny, Scheduler, Worker

from daskflow.clusters.guard import SEAL, guarded
from daskflow.core.access import new_token, seal_of
from daskflow.core.errors import ClusterError
from daskflow.core.held import Held

HOST = "127.0.0.1"
CLOSE_SECONDS = 15
"""A cluster that has not closed by then is left behind: its processes end with this one."""

CONFIG = {
    # Empty means the page's own address, localhost and the port that was bound. Dask's default "*" lets any web page
    # that the user's browser shows read the dashboard through a websocket.
    "distributed.scheduler.dashboard.bokeh-application.allow_websocket_origin": [],
    # Dask closes the nanny of a worker that is away for 15 s, and starts no other; on a busy machine a worker that
    # was killed takes longer to come back, and the cluster would end without workers.
    "distributed.deploy.lost-worker-timeout": "1 day",
    # Two idle workers, their nannies and the scheduler take 0.11 CPU-seconds a second with Dask's defaults (20, 10 and
    # 500 ms), and 0.03 with these; the profile and the system's curves on the dashboard get coarser.
    "distributed.admin.tick.interval": "500ms",
    "distributed.worker.profile.interval": "100ms",
    "distributed.admin.system-monitor.interval": "1s",
    # Libraries read these when they are loaded, so they must stand before the worker's interpreter starts. A variable
    # of the user's own environment wins, as always with Dask.
    "distributed.nanny.pre-spawn-environ": {
        "OMP_NUM_THREADS": 1,
        "OMP_WAIT_POLICY": "passive",
        "MKL_NUM_THREADS": 1,
        "OPENBLAS_NUM_THREADS": 1,
        "MALLOC_TRIM_THRESHOLD_": 65536,
    },
}


CONFIGURED = Held(lambda: dask.config.set(CONFIG))
"""Dask's configuration while clusters are open, which is that of the whole process."""


@contextmanager
def in_process(*, threads: int) -> Iterator[Client]:
    """Yield the client of one Dask worker in this process; ClusterError when it does not start."""
    token = new_token()
    with _opened(
        token,
        processes=False,
        worker_class=guarded(Worker, seal_of(token)),
        n_workers=1,
        threads_per_worker=threads,
        memory_limit=0,
        # A worker without a port of its own has no host to copy either: its pages would listen on every interface.
        worker_dashboard_address=f"{HOST}:0",
    ) as client:
        yield client


@contextmanager
def in_processes(*, workers: int, cores: int, memory_bytes: int) -> Iterator[Client]:
    """Yield the client of worker processes that end with this one; ClusterError when they do not start."""
    token = new_token()
    with _opened(
        token,
        processes=True,
        worker_class=Nanny,
        config={SEAL: seal_of(token)},  # what a nanny hands to its worker through a pipe, see `preload`
        n_workers=workers,
        threads_per_worker=cores,
        memory_limit=memory_bytes,
        host=HOST,
        preload=["daskflow.clusters.preload"],
    ) as client:
        yield client


class GuardedCluster(LocalCluster):  # type: ignore[misc]  # distributed has no types
    """Dask's cluster of this machine, with a scheduler whose pages are behind a token.

    Attributes
    ----------
    token : str
        What opens them.
    """

    def __init__(self, token: str, **options: Any) -> None:
        """Start it."""
        self.token = token
        super().__init__(**options)

    async def _start(self) -> None:
        self.scheduler_spec["cls"] = guarded(Scheduler, seal_of(self.token))
        await super()._start()

    @property
    def dashboard_link(self) -> str:
        """Address of Dask's dashboard with the token, for the one who holds the cluster."""
        link = dashboard_of(self)
        return f"{link}?token={self.token}" if link else ""


@contextmanager
def _opened(token: str, **options: Any) -> Iterator[Client]:
    """Start a cluster, yield its client, and close both."""
    with CONFIGURED:
        try:
            cluster = GuardedCluster(token, dashboard_address=f"{HOST}:0", silence_logs=logging.ERROR, **options)
        except (OSError, RuntimeError, TimeoutError) as error:
            raise ClusterError(
                f"No cluster could be started on this machine: {error}. "
                "With --on inline everything runs in this process, without a cluster."
            ) from error
        try:
            client = Client(cluster, set_as_default=False)
            try:
                yield client
            finally:
                with suppress(TimeoutError, OSError):
                    client.close(timeout=CLOSE_SECONDS)
        finally:
            with suppress(TimeoutError, OSError):
                for worker in cluster.workers.values():
                    if isinstance(worker, Worker):  # in this process: a unit that still runs cannot be ended
                        cluster.sync(worker.close, executor_wait=False, callback_timeout=CLOSE_SECONDS)
                cluster.close(timeout=CLOSE_SECONDS)


def dashboard_of(cluster: Any) -> str | None:
    """Return the address of Dask's dashboard, without the token; None when there is none."""
    services = getattr(getattr(cluster, "scheduler", None), "services", None) or {}
    server = services.get("dashboard")
    return f"http://{HOST}:{server.port}/status" if server is not None else None
