"""Opening a batch queue: a scheduler in this process, workers as jobs, and nothing left of either afterwards."""

from __future__ import annotations

import atexit
import os
import secrets
import socket
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from dask.utils import format_bytes
from distributed import Client, Scheduler
from distributed.utils import LoopRunner, get_ip, get_ip_interface

from daskflow.clusters.address import LIBRARIES, SILENT, probe
from daskflow.clusters.batch_jobs import QueueError
from daskflow.clusters.batch_keys import Keys
from daskflow.clusters.batch_lease import Lease, read_handed_over
from daskflow.clusters.batch_places import in_words
from daskflow.clusters.batch_remedies import with_remedy
from daskflow.clusters.batch_shipping import forget_unless_job, leave, shipped
from daskflow.clusters.batch_signals import ended_by_signals, undisturbed
from daskflow.clusters.fleet_loop import FleetLoop
from daskflow.clusters.fleet_values import FleetPlan, Phase
from daskflow.clusters.guard import guarded
from daskflow.clusters.loopback import CONFIGURED, HOST
from daskflow.core import interruption
from daskflow.core.access import new_token, seal_of
from daskflow.core.errors import ClusterError, StorageError
from daskflow.core.events import Event, Listener, nobody, tell
from daskflow.core.protocols import Connection
from daskflow.core.seeds import digest
from daskflow.data.client_executor import ClientExecutor

if TYPE_CHECKING:
    from daskflow.clusters.batch import Batch

CLOSE_SECONDS, CANCEL_SECONDS, ANSWER_SECONDS = 10.0, 40.0, 60.0
"""How long the client and the scheduler may take to close, the queue to cancel, and to answer before the start."""

LEAVE_SECONDS = 60.0
"""How long nodes may take to remove what was shipped to them: a second, or a minute where their disks are busy."""

GLANCE_SECONDS = 0.1
"""How often it is looked for the first worker."""

SHOWN = 4
"""So many jobs are named at the start."""


@contextmanager
def opened(
    batch: Batch, listener: Listener = nobody, meanwhile: Callable[[], None] = lambda: None
) -> Iterator[Connection]:
    """Start a scheduler here and workers as jobs, and yield the connection when the first of them has come.

    Parameters
    ----------
    batch : Batch
        Within a run, see `Cluster.within`; else its keys and logs are in a new folder of ``daskflow-clusters`` here.
    listener : callable
        Hears what is waited for.
    meanwhile : callable
        Called when the first jobs are handed in, before they are waited for.

    Raises
    ------
    QueueError
        When the queue refuses the jobs, or would never start them.
    ClusterError
        When the scheduler cannot be started, or jobs fail one after the other.
    """
    if not batch.run:
        name = f"daskflow-{secrets.token_hex(4)}"
        batch = batch.within(Path.cwd() / "daskflow-clusters" / name, name, listener)
    cluster = BatchCluster(batch, listener)
    with SILENT, CONFIGURED, ended_by_signals():
        atexit.register(cluster.close)
        try:
            cluster.start()
            meanwhile()
            cluster.wait_for_a_worker()
            yield cluster.connection()
        finally:
            with undisturbed():
                cluster.close()
            atexit.unregister(cluster.close)
            cluster.tell_news()


class BatchClient(Client):  # type: ignore[misc]  # distributed has no types
    """The client of a cluster of jobs; it knows the address of Dask's dashboard with the token."""

    link = ""

    @property
    def dashboard_link(self) -> str:
        """For the one who holds the client."""
        return self.link


class BatchExecutor(ClientExecutor):
    """Runs units on workers that are jobs; what becomes of the jobs is told in between, in the run's own thread.

    Parameters
    ----------
    cluster : BatchCluster
        That is open.
    priority : float
        See `ClientExecutor`.
    """

    def __init__(self, cluster: BatchCluster, *, priority: float = 0) -> None:
        """Use its client and its fleet."""
        super().__init__(cluster.client, leaving=cluster.leaving, priority=priority)
        self._cluster = cluster

    def beside(self, priority: float = 0) -> BatchExecutor:
        """Return another executor of the same workers, for another run."""
        return BatchExecutor(self._cluster, priority=priority)

    def troubles(self) -> Sequence[str]:
        """Say what `ClientExecutor` says; ClusterError when the fleet cannot go on."""
        self._cluster.tell_news()
        return super().troubles()


class BatchCluster:
    """A scheduler, its client and its fleet; each is None until it is started, and `close` takes whatever there is.

    Parameters
    ----------
    batch : Batch
        Within a run.
    listener : callable
        Hears of the jobs, in the thread that calls `tell_news`.
    """

    def __init__(self, batch: Batch, listener: Listener = nobody) -> None:
        """Start nothing."""
        self.batch, self.listener = batch, listener
        self.queue = batch.worker_commands()
        self.keys, self.lease = Keys(batch.keys), Lease(batch.lease)
        self.token = new_token()
        self._news: deque[Event] = deque()
        self._pid = os.getpid()
        self._runner = LoopRunner(asynchronous=False)
        self._scheduler: Any = None
        self.client: Any = None
        self._fleet: FleetLoop | None = None

    def start(self) -> None:
        """Start everything but wait for nothing; the queue is asked first whether it would take the jobs."""
        batch, host = self.batch, host_of(self.batch.interface)
        self._refuse_without_core_hours()
        for folder in (batch.folder, batch.logs):
            _make(folder)
        batch = self.batch = shipped(batch, self.listener)
        told = {"seal": seal_of(self.token), "versions": probe()(LIBRARIES), "host": socket.gethostname()}
        told["modules"] = list(batch.modules)
        handed = read_handed_over(batch.lease)
        if handed is None or handed.shape != shape_of(batch):
            handed = None
            self.lease.remove()  # workers of a scheduler that was killed remove the keys as long as its lease is there
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
        script = batch.job_script(address)
        refusals = self._asked(self.queue.refusals, script, batch.request)
        if refusals:
            raise QueueError(" ".join(refusals))
        self.lease.take(address, handed)
        self.client = BatchClient(address, security=security, loop=self._runner.loop, set_as_default=False)
        self.client.link = f"{self.dashboard}?token={self.token}"
        self._fleet = FleetLoop(
            self._scheduler,
            self.queue,
            plan_of(batch),
            script,
            on_event=self._news.append,
            on_limit=lambda text: self._news.append(Event("limit", {"text": text})),
            max_core_hours=batch.max_core_hours,
            spent=batch.spent,
        )
        self._asked(self._fleet.start, handed)
        jobs = [str(job["id"]) for job in self._fleet.jobs()]
        former = [id for id in jobs if handed is not None and id in handed.jobs]
        new = [id for id in jobs if id not in former]
        parts = [f"{_counted(former)} taken over from the former controller: {_shown(former)}."] if former else []
        parts += [f"{_counted(new)} submitted to {batch.system}: {_shown(new)}."] if new or not former else []
        tell(self.listener, "note", text=" ".join([*parts, f"Logs: {batch.logs}"]))

    def _refuse_without_core_hours(self) -> None:
        """Hand in nothing when all that the run may use is used."""
        most, used = self.batch.max_core_hours, self.batch.spent.core_seconds / 3600
        if most is not None and used >= most:
            raise ClusterError(
                f"The run's jobs have used {used:.3g} core-hours, and may use {most:g} (cluster.max_core_hours). What "
                "is finished is kept: give it more, and run the same command again."
            )

    def _wait(self, function: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any, within: float) -> Any:
        """Run a coroutine in the scheduler's loop; TimeoutError when it takes longer than `within` seconds."""
        return self._runner.run_sync(function, *arguments, callback_timeout=within)

    def _asked(self, function: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> Any:
        """Run what asks the queue; QueueError when it does not answer."""
        try:
            return self._wait(function, *arguments, within=ANSWER_SECONDS)
        except TimeoutError as error:
            raise QueueError(f"{self.batch.system} has not answered for {ANSWER_SECONDS:.0f} s. Try again.") from error

    @property
    def dashboard(self) -> str:
        """Address of Dask's dashboard, without the token."""
        return f"http://{HOST}:{self._scheduler.services['dashboard'].port}/status"

    def wait_for_a_worker(self) -> None:
        """Wait as long as the queue lets jobs wait, and tell what for whenever that changes.

        Raises
        ------
        ClusterError
            When jobs fail one after the other, or none can ever start.
        """
        self._show_pages()
        while not self._scheduler.workers:
            self.tell_news()
            interruption.check()
            time.sleep(GLANCE_SECONDS)
        self.tell_news()

    def _show_pages(self) -> None:
        """Load Dask's own pages here, where the scheduler's loop does not wait for it, and show them."""
        import distributed.dashboard.scheduler  # noqa: F401

        self._wait(_show, self._scheduler, within=ANSWER_SECONDS)

    def tell_news(self) -> None:
        """Hand on what the fleet has said since the last call; ClusterError when it cannot go on."""
        while (event := self._next_news()) is not None:
            self.listener(event)
        if self._fleet is not None and self._fleet.failure:
            raise ClusterError(with_remedy(self._fleet.failure))

    def _next_news(self) -> Event | None:
        try:
            return self._news.popleft()
        except IndexError:  # several runs, in threads of their own, may ask
            return None

    def leaving(self) -> set[str]:
        """Return the names of workers that begin nothing more and end soon."""
        jobs = self._fleet.jobs() if self._fleet is not None else []
        return {str(job["id"]) for job in jobs if job["state"] == Phase.RETIRING}

    def _is_handed_over(self) -> bool:
        """Leave the jobs to a controller that goes on, if there is one; return whether they are left."""
        fleet = self._fleet
        if fleet is None or self._scheduler is None or fleet.failure or not self.batch.hands_over:
            return False
        jobs: list[str] = []
        try:
            jobs = self._wait(fleet.hand_over, within=CANCEL_SECONDS)
            self.lease.hand_over(str(self._scheduler.address), jobs, shape_of(self.batch))
        except Exception as error:
            self._news.append(Event("warning", {"text": f"No job is handed over ({type(error).__name__}: {error})."}))
            if jobs:  # the fleet has let them go
                with suppress(Exception):
                    self._wait(self.queue.cancel, jobs, within=CANCEL_SECONDS)
            return False
        self._fleet = None
        return True

    def connection(self) -> Connection:
        """Return what a run uses."""
        return Connection(BatchExecutor(self), self.client, self.dashboard, describe(self.batch), self.token)

    def close(self) -> None:
        """Take down what was started, in an order in which a kill in between leaves the least; never raises.

        Where another controller goes on, the jobs are left to it.
        """
        if os.getpid() != self._pid:
            return
        if not self._is_handed_over():
            self.lease.give_up()
        if self.batch.ship != "nothing" and self._scheduler is not None:
            with suppress(Exception):
                self._wait(leave, self._scheduler, within=LEAVE_SECONDS)
        if self._fleet is not None:
            fleet, self._fleet = self._fleet, None
            ids = ", ".join(str(job["id"]) for job in fleet.jobs())
            try:
                self._wait(fleet.stop, within=CANCEL_SECONDS)  # it says itself what the queue does not cancel
            except Exception as error:
                text = f"These jobs may still be in the queue: {ids} ({type(error).__name__}: {error})."
                self._news.append(Event("warning", {"text": text}))
        if self.client is not None:
            client, self.client = self.client, None
            with suppress(Exception):
                client.close(timeout=CLOSE_SECONDS)
        if self._scheduler is not None:
            scheduler, self._scheduler = self._scheduler, None
            with suppress(Exception):
                self._wait(scheduler.close, within=CLOSE_SECONDS)
        self.keys.remove()
        forget_unless_job(self.batch)
        with suppress(Exception):
            self._runner.stop()


async def _started(host: str, security: Any, seal: str) -> Any:
    """Start a scheduler that speaks TLS only, whose web server is on the loopback address behind the token.

    Dask's own pages come later, see `_show`: to load them takes a third of a second, and jobs are handed in before.
    """
    return await guarded(Scheduler, seal)(
        host=host, port=0, protocol="tls", security=security, dashboard=False, dashboard_address=f"{HOST}:0"
    )


async def _show(scheduler: Any) -> None:
    """Give a scheduler's web server Dask's own pages."""
    from distributed.dashboard.scheduler import connect

    connect(scheduler.http_application, scheduler.http_server, scheduler, prefix="/")


def shape_of(batch: Batch) -> str:
    """Return what tells jobs of a run apart that ask for something else, or start something else."""
    return digest(batch.job_script(), 16)


def _counted(jobs: Sequence[str]) -> str:
    return f"{len(jobs)} job{'s' if len(jobs) != 1 else ''}"


def _shown(jobs: Sequence[str]) -> str:
    return ", ".join(jobs[:SHOWN]) + (", ..." if len(jobs) > SHOWN else "")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"The folder {folder} cannot be made: {error.strerror}. Jobs write their logs there and read keys beside "
            "them: choose another place with --runs, cluster.shared or cluster.log_folder."
        ) from error


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
        known = ", ".join(sorted(psutil.net_if_addrs()))
        raise ClusterError(
            f"There is no network interface '{interface}' here (cluster.interface); there are: {known}."
        ) from error


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
    memory, walltime = format_bytes(batch.memory_bytes), in_words(batch.seconds)
    return f"{batch.kind}: {number} {workers} x {batch.cores} {cores}, {memory} each, {walltime} walltime{place}"
