"""Networks: how the processes that train one model together find each other, library by library."""

from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from distributed.comm import get_address_host

from daskflow.core.errors import ClusterError


@dataclass(frozen=True, slots=True)
class Place:
    """Where a rank runs.

    Attributes
    ----------
    worker : str
        Address of the worker beside which its process runs.
    host : str
        Under which other ranks reach it.
    threads : int
        Native threads it may use: those of the worker, or of all workers of the machine.
    """

    worker: str
    host: str
    threads: int


Network = Callable[[Any, Sequence[Place], str], AbstractContextManager[Sequence[Mapping[str, Any]]]]
"""Takes a client, places and a key; yields what each rank needs, in their order."""


@contextmanager
def tracked(client: Any, places: Sequence[Place], key: str) -> Iterator[Sequence[Mapping[str, Any]]]:
    """xgboost: a tracker on the scheduler, which every worker can reach, tells the ranks of each other."""
    if len(places) == 1:
        yield [{}]
        return
    host = get_address_host(client.scheduler.address)
    try:
        found = client.run_on_scheduler(start_tracker, key, len(places), host)
    except ImportError as error:
        raise ClusterError(
            "xgboost cannot be imported on the scheduler, which introduces the workers to each other. "
            "Install it there, too."
        ) from error
    try:
        yield [found] * len(places)
    finally:
        with suppress(OSError, TimeoutError):
            if client.status == "running":
                client.run_on_scheduler(stop_tracker, key)


_trackers: dict[str, Any] = {}
"""Of this scheduler's process."""


def start_tracker(key: str, n_ranks: int, host: str) -> dict[str, Any]:
    """Start a tracker in this process and return how it is reached."""
    from xgboost.tracker import RabitTracker

    tracker = RabitTracker(n_workers=n_ranks, host_ip=host, sortby="task")
    tracker.start()
    _trackers[key] = tracker
    return dict(tracker.worker_args())


def stop_tracker(key: str) -> None:
    """End a tracker of this process."""
    from xgboost.core import XGBoostError

    tracker = _trackers.pop(key, None)
    if tracker is not None:
        with suppress(XGBoostError):  # one that still waits for ranks, because some were killed, complains of its end
            tracker.free()


@contextmanager
def listed(client: Any, places: Sequence[Place], key: str) -> Iterator[Sequence[Mapping[str, Any]]]:
    """lightgbm: a list of all addresses, with a port of each worker that was free a moment ago."""
    if len(places) == 1:
        yield [{}]
        return
    of_host: dict[str, list[int]] = defaultdict(list)
    for rank, place in enumerate(places):
        of_host[place.host].append(rank)
    ports: dict[int, int] = {}
    for ranks in of_host.values():
        asked = places[ranks[0]].worker
        found = client.run(free_ports, len(ranks), workers=[asked])
        ports |= dict(zip(ranks, found[asked], strict=True))
    machines = ",".join(f"{place.host}:{ports[rank]}" for rank, place in enumerate(places))
    yield [{"machines": machines, "local_listen_port": ports[rank]} for rank in range(len(places))]


def free_ports(count: int) -> list[int]:
    """Return ports of this machine that nobody listens on.

    Examples
    --------
    >>> len(set(free_ports(3)))
    3
    """
    opened = [socket.socket() for _ in range(count)]
    try:
        for each in opened:
            each.bind(("", 0))
        return [int(each.getsockname()[1]) for each in opened]
    finally:
        for each in opened:
            each.close()


NETWORKS: Mapping[str, Network] = {"xgboost": tracked, "lightgbm": listed}
"""By the package's name."""
