"""Where a search estimator's units run and where its data lies: this process, or the workers of a client."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import dask
from distributed import Client, default_client, wait

from daskflow.core.errors import ClusterError
from daskflow.core.events import Event
from daskflow.core.protocols import Executor, Outcome, Unit
from daskflow.data.client_executor import ClientExecutor
from daskflow.data.execution import InlineExecutor

SERIAL = ("sync", "synchronous", "single-threaded")
"""Names Dask has for running everything in the calling thread."""

DISTRIBUTED = ("distributed", "dask.distributed")
"""Names for the default client; a client that is the default one sets the latter as Dask's scheduler."""


class Place(Protocol):
    """An executor, and the memory its units read from; a *handle* is what a unit's arguments may hold."""

    @property
    def executor(self) -> Any:
        """Runs units; can also fetch what one kept."""

    def put(self, value: Any) -> Any:
        """Turn an object of this process into a handle."""

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a module-level function on handles and plain values; return a handle of its result."""

    def hold(self, lazy: Sequence[Any]) -> list[Any]:
        """Compute delayed objects together, each source once, and return handles; raises what they raise."""

    def fetch(self, handles: Sequence[Any]) -> list[Any]:
        """Bring the objects behind handles here."""


@dataclass(frozen=True)
class Here:
    """This process: handles are the objects themselves."""

    executor: InlineExecutor
    scheduler: str = "threads"

    def put(self, value: Any) -> Any:
        """The object itself."""
        return value

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run it now."""
        return function(*arguments)

    def hold(self, lazy: Sequence[Any]) -> list[Any]:
        """Compute now, with Dask's local scheduler."""
        return list(dask.compute(*lazy, scheduler=self.scheduler, optimize_graph=False))

    def fetch(self, handles: Sequence[Any]) -> list[Any]:
        """The objects themselves."""
        return list(handles)


@dataclass(frozen=True)
class Cluster:
    """The workers of a client: handles are futures."""

    executor: ClientExecutor
    client: Client

    def put(self, value: Any) -> Any:
        """Send the object to a worker, whole: `scatter` would send the items of a list or dict one by one."""
        return self.client.scatter([value], hash=False)[0]

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run it on a worker."""
        return self.client.submit(function, *arguments, pure=False)

    def hold(self, lazy: Sequence[Any]) -> list[Any]:
        """Compute on the workers and leave the results there."""
        futures = self.client.compute(list(lazy), optimize_graph=False)
        wait(futures)
        for future in futures:
            if future.status != "finished":
                future.result()
        return list(futures)

    def fetch(self, handles: Sequence[Any]) -> list[Any]:
        """Gather them."""
        return list(self.client.gather(list(handles)))


def place_for(scheduler: Any = None) -> Place:
    """Return the place that a ``scheduler`` argument asks for.

    Parameters
    ----------
    scheduler : distributed.Client, str, callable or None
        None takes Dask's own setting (``dask.config.set(scheduler=...)``), else the default client, else this
        process. A local scheduler's name or function means this process. On a client the units have the priority
        that ``dask.annotate(priority=...)`` gives.

    Raises
    ------
    ClusterError
        For ``"distributed"`` without a client, and for an asynchronous client.
    """
    scheduler = dask.config.get("scheduler", None) if scheduler is None else scheduler
    client = client_for(scheduler)
    if client is None:
        return Here(InlineExecutor(), "synchronous" if scheduler in SERIAL else "threads")
    if is_asynchronous(client):
        raise ClusterError(
            "This needs a synchronous client, and the client is an asynchronous one: only fit can be awaited with it. "
            "Create another with Client(..., asynchronous=False), or call this in a thread."
        )
    return Cluster(ClientExecutor(client, priority=dask.get_annotations().get("priority", 0)), client)


def is_asynchronous(client: Client) -> bool:
    """Whether a client was made for an event loop; ``client.asynchronous`` says no in any thread but the loop's."""
    return bool(client.asynchronous or getattr(client, "_asynchronous", False))


def client_for(scheduler: Any = None) -> Client | None:
    """Return the client that a ``scheduler`` argument means; None for this process."""
    scheduler = dask.config.get("scheduler", None) if scheduler is None else scheduler
    client = getattr(scheduler, "__self__", scheduler)
    if isinstance(client, Client):
        return client
    if scheduler is not None and scheduler not in DISTRIBUTED:
        return None
    try:
        return default_client()
    except ValueError:
        if scheduler is None:
            return None
        raise ClusterError("scheduler='distributed' needs a client: create a distributed.Client first.") from None


def warn_of(event: Event) -> None:
    """Make a Python warning of what the engine warns of: what a search listens with that nobody watches."""
    if event.name == "warning":
        warnings.warn(str(event.fields["text"]), stacklevel=2)


class Watched:
    """An executor that shows every outcome to a watcher, and whose kept objects outlive the engine's giving up.

    The engine cancels its executor when it is interrupted; a search that wants the best model so far first takes
    it and then cancels the executor underneath.

    Parameters
    ----------
    executor : Executor
        Does the work.
    watch : callable
        Gets each Outcome before the engine does; what it raises ends the search.
    """

    def __init__(self, executor: Any, watch: Callable[[Outcome], None]) -> None:
        """Stand before an executor."""
        self._executor, self._watch = executor, watch

    @property
    def slots(self) -> int:
        """The executor's."""
        return int(self._executor.slots)

    @property
    def pending(self) -> int:
        """The executor's."""
        return int(self._executor.pending)

    def submit(self, unit: Unit) -> None:
        """Pass a unit on."""
        self._executor.submit(unit)

    def next(self, timeout: float | None = None) -> Outcome | None:
        """Return the next outcome, seen."""
        outcome: Outcome | None = self._executor.next(timeout)
        if outcome is not None:
            self._watch(outcome)
        return outcome

    def cancel(self) -> None:
        """Leave everything as it is."""

    def release(self, keys: Sequence[str]) -> None:
        """Pass it on."""
        self._executor.release(keys)

    def drop(self, keys: Sequence[str]) -> None:
        """Pass it on."""
        self._executor.drop(keys)

    def troubles(self) -> Sequence[str]:
        """Pass it on."""
        found: Sequence[str] = self._executor.troubles()
        return found

    def vacate(self) -> None:
        """Pass it on."""
        self._executor.vacate()

    def beside(self, priority: float = 0) -> Executor:
        """Pass it on."""
        found: Executor = self._executor.beside(priority)
        return found
