"""Ranks: the processes of a cluster that train one model together, and the watch that ends all when one is lost."""

from __future__ import annotations

import math
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from distributed import get_worker
from distributed.comm import get_address_host, parse_address

from daskflow.core import interruption
from daskflow.core.errors import ClusterError
from daskflow.core.protocols import Call, Death, Limits, Outcome, Unit
from daskflow.data.client_executor import ranked
from daskflow.data.execution import perform
from daskflow.data.seats import SEATS, run_in_seat, share_of_worker
from daskflow.search.boosters import Seat
from daskflow.search.networks import Network, Place

Spread = Literal["machines", "workers"]
"""One rank for each machine that runs workers on its loopback address, else for each worker; or always the latter."""

LOOPBACK = ("127.0.0.1", "::1", "localhost")
LOOK_SECONDS = 0.5
"""How often the list of workers is asked for, and progress is told."""
GRACE_SECONDS, ANSWER_SECONDS = 2.0, 10.0
"""How long the others may take to fail by themselves, so that the cause can be told from its effects."""

OTHERS = ("rabit", "Rabit", "ocket", "onnection", "racker", "ollective", "etwork")
"""Words of errors that say that the others cannot be reached."""


class RankLostError(Exception):
    """A rank's process is gone, or lost the others; the text says which, as the beginning of a sentence."""


class RankFailedError(Exception):
    """The fit itself raised; the text is ``TypeName: message``."""


def places_of(nthreads: Mapping[str, int], *, spread: Spread = "machines") -> list[Place]:
    """Return where ranks run, in the order of their addresses.

    Workers on a loopback address are of one machine and one owner, and see the same memory map: one rank with all
    their threads does the work of many that would talk to each other (1.6 times the CPU for two, measured). Workers
    elsewhere may be held to their own share of a node, so each is a rank.

    Examples
    --------
    >>> places_of({"tcp://127.0.0.1:4001": 1, "tcp://127.0.0.1:4002": 1})
    [Place(worker='tcp://127.0.0.1:4001', host='127.0.0.1', threads=2)]
    >>> len(places_of({"tcp://10.0.0.1:4001": 8, "tcp://10.0.0.2:4001": 8}))
    2
    """
    found: dict[str, Place] = {}
    for address, threads in sorted(nthreads.items()):
        scheme = parse_address(address, strict=False)[0]
        host = "127.0.0.1" if scheme == "inproc" else get_address_host(address)
        owner = host if spread == "machines" and host in LOOPBACK else address
        if owner in found:
            found[owner] = replace(found[owner], threads=found[owner].threads + threads)
        else:
            found[owner] = Place(address, host, threads)
    return list(found.values())


@dataclass
class Gang:
    """All ranks of one attempt; each runs in a process of its own beside a worker.

    Parameters
    ----------
    client : distributed.Client
        Of the cluster.
    places : sequence of Place
        Where they run; the first one is rank 0.
    key : str
        Unique to the attempt.
    priority : float
        Dask's, of the run.
    """

    client: Any
    places: Sequence[Place]
    key: str
    priority: float = 0
    _futures: list[Any] = field(default_factory=list, repr=False)

    def run(
        self,
        function: Callable[..., Any],
        arguments: Sequence[Any],
        network: Network,
        glance: Callable[[], None],
    ) -> None:
        """Call ``function(*arguments, seat)`` for every rank at once and wait until all have returned.

        Parameters
        ----------
        function : callable
            Module-level.
        arguments : sequence
            Picklable and small.
        network : callable
            Of `search.networks`: makes, for the time of the call, what each rank needs to find the others.
        glance : callable
            Called about twice a second while they run.

        Raises
        ------
        RankLostError
            When a process or a worker is gone; the others have been ended.
        RankFailedError
            When the function raised; the others have been ended.
        ClusterError
            When the scheduler is gone.
        """
        done: queue.SimpleQueue[int] = queue.SimpleQueue()
        try:
            with network(self.client, self.places, self.key) as told:
                for rank, place in enumerate(self.places):
                    self._submit(function, arguments, Seat(rank, len(self.places), place.threads, told[rank]), done)
                self._watch(done, glance)
        except BaseException:
            self.end()
            raise

    def _submit(
        self, function: Callable[..., Any], arguments: Sequence[Any], seat: Seat, done: queue.SimpleQueue[int]
    ) -> None:
        key, rank = self._key(seat.rank), seat.rank
        future = self.client.submit(
            run_rank,
            function,
            tuple(arguments),
            seat,
            key,
            key=key,
            workers=[self.places[rank].worker],
            allow_other_workers=False,
            pure=False,
            priority=ranked(self.priority, 10),
        )
        self._futures.append(future)
        future.add_done_callback(lambda _: done.put(rank))

    def _key(self, rank: int) -> str:
        return f"{self.key}-{rank}"

    def _watch(self, done: queue.SimpleQueue[int], glance: Callable[[], None]) -> None:
        """Wait for all ranks; raise what the first that ends badly says, or the one that caused it."""
        waiting = set(range(len(self.places)))
        bad: list[Exception] = []
        until = math.inf
        while waiting and time.monotonic() < until:
            with suppress(queue.Empty):
                rank = done.get(timeout=LOOK_SECONDS)
                waiting.discard(rank)
                problem = self._problem(rank)
                bad += [problem] if problem else []
            interruption.check()
            glance()
            gone = self._gone(waiting)
            waiting -= set(gone)
            bad += [RankLostError(f"worker {self.places[rank].worker} is gone") for rank in gone]
            if bad:
                until = min(until, time.monotonic() + GRACE_SECONDS)
            if any(isinstance(problem, RankLostError) for problem in bad):
                break
        if bad:
            # A lost process makes the others fail: what they say is its effect.
            raise next((problem for problem in bad if isinstance(problem, RankLostError)), bad[0])

    def _gone(self, waiting: set[int]) -> list[int]:
        """Ranks whose worker has left the cluster."""
        alive = self._alive() if waiting else {}
        return [rank for rank in sorted(waiting) if self.places[rank].worker not in alive]

    def _alive(self) -> Mapping[str, int]:
        try:
            found: Mapping[str, int] = self.client.nthreads()
        except (OSError, TimeoutError, ValueError) as error:
            raise _lost_scheduler() from error
        return found

    def _problem(self, rank: int) -> Exception | None:
        """What is wrong with a rank that has ended."""
        future = self._futures[rank]
        if self.client.status != "running":
            raise _lost_scheduler()
        if future.status != "finished":
            return RankLostError(f"worker {self.places[rank].worker} is gone")
        outcome: Outcome = future.result()
        if outcome.error is None:
            return None
        if outcome.death is Death.MEMORY:
            return RankFailedError(outcome.error)
        if outcome.death is not None:
            return RankLostError(f"the process beside worker {outcome.worker} ended: {outcome.error}")
        if any(word in outcome.error for word in OTHERS):
            return RankLostError(f"worker {outcome.worker} lost the others: {outcome.error.splitlines()[0]:.200}")
        return RankFailedError(outcome.error)

    def end(self) -> None:
        """End the processes of all ranks, and forget them."""
        if self.client.status != "running":
            return
        keys = [self._key(rank) for rank in range(len(self.places))]
        self._on_workers(drop_ranks, keys)
        self.client.cancel(self._futures)
        self._on_workers(vacate)  # a process that failed may hold a broken connection: the next attempt gets new ones

    def _on_workers(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Run something small on every worker; a silent one does not hold the others back for long."""
        with suppress(TimeoutError, OSError):
            self.client.sync(self.client._run, function, *arguments, on_error="ignore", callback_timeout=ANSWER_SECONDS)


def run_rank(function: Callable[..., Any], arguments: Sequence[Any], seat: Seat, key: str) -> Outcome:
    """Run one rank in a process beside this worker; where the worker is a thread of the user's own process, there."""
    worker = get_worker()
    unit = Unit(key, function, (*arguments, seat))
    if worker.address.startswith("inproc"):
        return perform(unit, unit.arguments)[1]
    share = share_of_worker(worker) or 0
    limits = Limits(seconds=math.inf, memory_bytes=share * seat.threads)
    (outcome,) = run_in_seat(function, arguments, [Call(key, (seat,))], limits)
    return replace(outcome, value=None, worker=str(worker.name))


def drop_ranks(keys: Sequence[str]) -> None:
    """End the ranks that run on this worker."""
    SEATS.drop(keys)


def vacate() -> None:
    """End the processes of this worker that run nothing."""
    SEATS.vacate()


def _lost_scheduler() -> ClusterError:
    return ClusterError(
        "The connection to the scheduler was lost. Run the same command again: it continues from what is on disk."
    )
