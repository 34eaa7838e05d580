"""Opening a batch queue: a scheduler in this process, workers as jobs, and nothing left of either afterwards."""

from __future__ import annotations

import atexit
import logging
import os
import socket
import time
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
from dask.utils import format_bytes
from distributed import Client, Scheduler
from distributed.utils import LoopRunner, get_ip, get_ip_interface, silence_logging_cmgr

from daskflow.clusters.address import LIBRARIES, probe
from daskflow.clusters.batch_jobs import QueueError
from daskflow.clusters.batch_keys import Keys
from daskflow.clusters.batch_lease import Lease
from daskflow.clusters.batch_signals import ended_by_signals, undisturbed
from daskflow.clusters.batch_waiting import awaited
from daskflow.clusters.fleet_loop import FleetLoop
from daskflow.clusters.fleet_values import FleetPlan
from daskflow.clusters.guard import guarded
from daskflow.clusters.loopback import CONFIG, HOST
from daskflow.core.access import new_token, seal_of
from daskflow.core.errors import ClusterError
from daskflow.core.events import Listener, nobody, tell
from daskflow.core.protocols import Connection
from daskflow.data.client_executor import WITHOUT_WORKERS, ClientExecutor

if TYPE_CHECKING:
    from daskflow.clusters.batch import Batch

CLOSE_SECONDS, CANCEL_SECONDS, ANSWER_SECONDS = 10.0, 20.0, 60.0
"""How long the client and the scheduler may take to close, the queue to cancel, and to answer before the start."""

GLANCE_SECONDS, AGAIN_SECONDS = 0.2, 300.0
"""How often it is looked for the first worker; after so long what is waited for is said again."""


@contextmanager
def opened(batch: Batch, listener: Listener = nobody) -> Iterator[Connection]:
    """Start a scheduler here and workers as jobs, and yield the connection when the first of them has come.

    Parameters
    ----------
    batch : Batch
        Within a run; see `Cluster.within`.
    listener : callable
        Hears what is waited for.

    Raises
    ------
    QueueError
        When the queue refuses the jobs, or would never start them.
    ClusterError
        When the scheduler cannot be started, or jobs fail one after the other.
    """
    cluster = _Cluster(batch)
    with silence_logging_cmgr(logging.CRITICAL), dask.config.set(CONFIG), ended_by_signals():
        atexit.register(cluster.close)
        try:
            cluster.start()
            cluster.wait_for_a_worker(listener)
            yield cluster.connection()
        finally:
            with undisturbed():
                cluster.close()
            atexit.unregister(cluster.close)
            if cluster.left:
                tell(listener, "warning", text=cluster.left)


class BatchClient(Client):  # type: ignore[misc]  # distributed has no types
    """The client of a cluster of jobs; it knows the address of Dask's dashboard with the token."""

    link = ""

    @property
    def dashboard_link(self) -> str:
        """For the one who holds the client."""
        return self.link


class BatchExecutor(ClientExecutor):
    """Runs units on workers that are jobs, and says what becomes of the jobs.

    Parameters
    ----------
    client : distributed.Client
        Of the cluster.
    fleet : FleetLoop
        Holds the number of its workers.
    """

    def __init__(self, client: Any, fleet: FleetLoop) -> None:
        """Use both."""
        super().__init__(client, leaving=fleet.leaving)
        self._fleet = fleet

    def troubles(self) -> Sequence[str]:
        """Say what `ClientExecutor` says, and what became of jobs; ClusterError when the fleet cannot go on."""
        if self._fleet.failure:
            raise ClusterError(self._fleet.failure)
        found = super().troubles()
        waiting = f"{WITHOUT_WORKERS} {awaited(self._fleet.jobs, time.time())}"
        return [*self._fleet.news(), *(waiting if text == WITHOUT_WORKERS else text for text in found)]


class _Cluster:
    """A scheduler, its client and its fleet; each is None until it is started, and `close` takes whatever there is."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.queue = batch.commands()
        self.keys, self.lease = Keys(batch.folder / "keys"), Lease(batch.folder / "lease")
        self.token = new_token()
        self.left = ""
        self._pid = os.getpid()
        self._runner = LoopRunner(asynchronous=False)
        self._scheduler: Any = None
        self._client: Any = None
        self._fleet: FleetLoop | None = None

    def start(self) -> None:
        """Start everything but wait for nothing; the queue is asked first whether it would take the jobs."""
        batch, host = self.batch, host_of(self.batch.interface)
        batch.folder.mkdir(parents=True, exist_ok=True)
        batch.logs.mkdir(parents=True, exist_ok=True)
        told = {"seal": seal_of(self.token), "versions": probe()(LIBRARIES), "host": socket.gethostname()}
        security = self.keys.write(told)
        self._runner.start()
        try:
            self._scheduler = self._wait(_started, host, security, seal_of(self.token), within=ANSWER_SECONDS)
        except (OSError, RuntimeError, TimeoutError) as error:
            raise ClusterError(
                f"No scheduler could be started on {host}: {error}. "
                "Name another network interface with cluster.interface."
            ) from error
        address = str(self._scheduler.address)
        script = batch.job_script(address, self.keys.folder, batch.run, self.lease.path)
        refusals = self._wait(self.queue.refusals, script, batch.request, within=ANSWER_SECONDS)
        if refusals:
            raise QueueError(" ".join(refusals))
        self.lease.take(address)
        self._client = BatchClient(address, security=security, loop=self._runner.loop, set_as_default=False)
        self._client.link = f"{self.dashboard}?token={self.token}"
        self._fleet = FleetLoop(self._scheduler, self.queue, plan_of(batch), script)
        self._wait(self._fleet.start, within=ANSWER_SECONDS)

    def _wait(self, function: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any, within: float) -> Any:
        """Run a coroutine in the scheduler's loop; TimeoutError when it takes longer than `within` seconds."""
        return self._runner.run_sync(function, *arguments, callback_timeout=within)

    @property
    def dashboard(self) -> str:
        """Address of Dask's dashboard, without the token."""
        return f"http://{HOST}:{self._scheduler.services['dashboard'].port}/status"

    def wait_for_a_worker(self, listener: Listener) -> None:
        """Wait as long as the queue lets jobs wait; say what for whenever that changes."""
        assert self._fleet is not None
        said, said_at = "", time.monotonic()
        while not self._scheduler.workers:
            if self._fleet.failure:
                raise ClusterError(self._fleet.failure)
            for text in self._fleet.news():
                tell(listener, "warning", text=text)
            words = awaited(self._fleet.jobs, time.time())
            if words and (words != said or time.monotonic() - said_at > AGAIN_SECONDS):
                tell(listener, "note", text=words)
                said, said_at = words, time.monotonic()
            time.sleep(GLANCE_SECONDS)

    def connection(self) -> Connection:
        """Return what a run uses."""
        assert self._fleet is not None
        return Connection(
            BatchExecutor(self._client, self._fleet), self._client, self.dashboard, describe(self.batch), self.token
        )

    def close(self) -> None:
        """Take down what was started, in an order in which a kill in between leaves the least; never raises."""
        if os.getpid() != self._pid:
            return
        self.lease.give_up()
        if self._fleet is not None:
            fleet, self._fleet = self._fleet, None
            try:
                self._wait(fleet.stop, within=CANCEL_SECONDS)
            except Exception as error:
                ids = " ".join(sorted(fleet.jobs))
                self.left = (
                    f"The jobs {ids} could not be cancelled ({type(error).__name__}: {error}). "
                    "They end by themselves when they find no scheduler."
                )
        if self._client is not None:
            with suppress(Exception):
                self._client.close(timeout=CLOSE_SECONDS)
            self._client = None
        if self._scheduler is not None:
            scheduler, self._scheduler = self._scheduler, None
            with suppress(Exception):
                self._wait(scheduler.close, within=CLOSE_SECONDS)
        self.keys.remove()
        with suppress(Exception):
            self._runner.stop()


async def _started(host: str, security: Any, seal: str) -> Any:
    """Start a scheduler that speaks TLS only, and whose pages are on the loopback address behind the token."""
    return await guarded(Scheduler, seal)(
        host=host, port=0, protocol="tls", security=security, dashboard=True, dashboard_address=f"{HOST}:0"
    )


def host_of(interface: str | None) -> str:
    """Return the address that a scheduler listens on: that of an interface, else the one of this machine's way out.

    Raises
    ------
    ClusterError
        When there is no such interface, with a list of those there are.
    """
    if interface is None:
        return str(get_ip())
    try:
        return str(get_ip_interface(interface))
    except ValueError as error:
        raise ClusterError(f"cluster.interface: {str(error).rstrip('.')}.") from error


def plan_of(batch: Batch) -> FleetPlan:
    """Return what the fleet holds to."""
    request = batch.request
    return FleetPlan(
        workers=request.workers,
        minimum=batch.minimum,
        maximum=batch.maximum,
        seconds=request.seconds,
        cores=request.cores,
        memory_bytes=request.memory_bytes,
        retries=batch.retries,
    )


def describe(batch: Batch) -> str:
    """Return a line such as ``slurm: 2 workers x 1 core, 4.00 GiB each, 1 h walltime``."""
    plan = plan_of(batch)
    number = f"{plan.lowest} to {plan.highest}" if plan.is_adaptive else plan.first
    workers = "worker" if number == 1 else "workers"
    cores = "core" if batch.cores == 1 else "cores"
    place = f", queue {batch.queue}" if batch.queue else ""
    memory = format_bytes(batch.memory_bytes)
    return f"{batch.kind}: {number} {workers} x {batch.cores} {cores}, {memory} each, {batch.walltime} walltime{place}"
