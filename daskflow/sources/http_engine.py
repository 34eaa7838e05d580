"""One thread with an event loop for all downloads of a process, while there are any."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakSet

from daskflow.core.seeds import digest
from daskflow.data.http_client import Client
from daskflow.data.http_settings import Access, Limits


@dataclass(frozen=True)
class Reach:
    """How servers are reached: what one session of connections has in common.

    Attributes
    ----------
    limits : Limits
        For all downloads of a process with these settings together.
    access : Access
        Names of the credentials; they are looked up where the download runs.
    allow_hosts : tuple of str
        Hosts beyond the own one.
    """

    limits: Limits
    access: Access
    allow_hosts: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Equal for equal settings."""
        return digest([self.limits.dump(), self.access.dump(), self.allow_hosts])


Job = Callable[[Client], Awaitable[Any]]


class Engine:
    """Runs jobs on a thread of its own, which begins with the first and ends with the last.

    Jobs may be started from any thread, whether or not an event loop runs there (as it does in notebooks).
    """

    def __init__(self) -> None:
        """Nothing runs."""
        self._lock = threading.Lock()
        self._jobs: deque[tuple[Future[Any], Reach, Job]] = deque()
        self._running: dict[str, Future[Any]] = {}
        self._thread: threading.Thread | None = None
        self._threads: WeakSet[threading.Thread] = WeakSet()  # those that close their connections, too
        self._wake: Callable[[], object] | None = None

    def start(self, key: str, reach: Reach, job: Job) -> Future[Any]:
        """Start a job, or join the one of the same key that runs; return what will be its result."""
        with self._lock:
            running = self._running.get(key)
            if running is not None and not running.done():
                return running
            future: Future[Any] = Future()
            self._running[key] = future
            future.add_done_callback(partial(self._forget, key))
            self._jobs.append((future, reach, job))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="daskflow-http", daemon=True)
                self._threads.add(self._thread)
                self._thread.start()
            elif self._wake is not None:
                self._wake()
        return future

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until no job runs and no thread is left; return whether that came, of each within the time."""
        for thread in list(self._threads):
            thread.join(timeout)
        return not any(thread.is_alive() for thread in self._threads)

    def _forget(self, key: str, future: Future[Any]) -> None:
        with self._lock:
            if self._running.get(key) is future:
                del self._running[key]

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        """Run jobs until there are none; a job that is started later begins another thread."""
        loop, event, opening = asyncio.get_running_loop(), asyncio.Event(), asyncio.Lock()
        tasks: set[asyncio.Task[None]] = set()
        async with AsyncExitStack() as stack:
            clients: dict[str, Client] = {}

            async def client_of(reach: Reach) -> Client:
                async with opening:
                    if reach.key not in clients:
                        client = Client(reach.limits, reach.access, reach.allow_hosts)
                        clients[reach.key] = await stack.enter_async_context(client)
                return clients[reach.key]

            while True:
                with self._lock:
                    jobs = list(self._jobs)
                    self._jobs.clear()
                    event.clear()
                    self._wake = lambda: loop.call_soon_threadsafe(event.set)
                    if not jobs and not tasks:
                        self._thread = self._wake = None
                        return
                for future, reach, job in jobs:
                    task = asyncio.create_task(_do(future, job, partial(client_of, reach)))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                    task.add_done_callback(lambda _: event.set())
                await event.wait()


async def _do(future: Future[Any], job: Job, client: Callable[[], Awaitable[Client]]) -> None:
    """One job; an error is its result."""
    try:
        result = await job(await client())
    except BaseException as error:
        future.set_exception(error)
        if not isinstance(error, Exception):
            raise
    else:
        future.set_result(result)


ENGINE = Engine()
