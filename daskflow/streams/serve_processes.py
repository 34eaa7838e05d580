"""Processes of a server: workers that share a socket, are started again when they die, and change models together."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from daskflow.bundle import files
from daskflow.core.errors import BundleError, ClusterError, DaskflowError
from daskflow.streams.serve_counts import Counts, Values, total
from daskflow.streams.serve_limits import Limits
from daskflow.streams.serve_watching import ServeWatch
from daskflow.streams.serve_wire import Wire

logger = logging.getLogger(__name__)

START_SECONDS = 120.0
"""A worker that is not ready after so long is told as one that cannot be started."""

AGAIN_SECONDS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
"""A worker that died is started again after so long, by how many died since one has lived for a minute."""

LIVED_SECONDS = 60.0

LOOK_SECONDS = 1.0
"""How often it is looked for workers that are stuck; they tell of themselves as often."""

LEAST_SILENCE = 5.0
"""A worker on a busy machine may well say nothing for so long."""

GIVE_UP_SECONDS = 2.0
"""A worker that is stuck has so long to tell those who wait, before it is killed."""

MARGIN_SECONDS = 2.0
"""Beyond the time of the drain, before a worker is killed."""


@dataclass(frozen=True)
class Orders:
    """What a server does.

    Attributes
    ----------
    model : Path
        Folder of the model, or of a run.
    trusted : tuple of str
        As for `load_model`.
    workers : int
        Processes.
    limits : Limits
        Of each process.
    seal, swap_seal : str
        See `App`.
    is_local : bool
        See `App`.
    is_strict, probabilities : bool
        See `App`.
    drain_seconds : float
        What is in flight may take so long at the end.
    tls : tuple of str, or None
        Paths of certificate and key.
    stuck_seconds : float
        A worker whose model computes for longer, or that says nothing for longer, is replaced.
    """

    model: Path
    trusted: tuple[str, ...] = ()
    workers: int = 1
    limits: Limits = field(default_factory=Limits)
    seal: str = ""
    swap_seal: str = ""
    is_strict: bool = False
    probabilities: bool = True
    drain_seconds: float = 30.0
    tls: tuple[str, str] | None = None
    is_local: bool = False
    stuck_seconds: float = 20.0


class _Process:
    """One worker process, as the server sees it."""

    def __init__(self) -> None:
        self.popen: subprocess.Popen[bytes] | None = None
        self.wire: Wire | None = None
        self.counts: Values = {}
        self.identity = ""
        self.watched: Mapping[str, Any] = {}
        self.words = ""
        self.ready = asyncio.Event()
        self.began = time.monotonic()
        self.computing = 0.0
        self.silent = 0.0
        self.is_given_up = False


class Processes:
    """Starts workers, watches over them, sums their counts, swaps their model and drains them; of one event loop.

    Parameters
    ----------
    orders : Orders
        What to do.
    listener : socket
        Bound and listening; it stays the caller's.
    folder : Path
        For copies of the models that are served, so that a worker that starts again has the same.
    say : callable
        Takes a record of what happens: ``started``, ``died``, ``swapped``, ``refused``, ``warning``.
    watch : ServeWatch
        Told of the model, and given samples of the rows that were answered.

    Attributes
    ----------
    identity : str
        Of the model that answers.
    """

    def __init__(
        self,
        orders: Orders,
        listener: socket.socket,
        folder: Path,
        *,
        say: Callable[[Mapping[str, Any]], None],
        watch: ServeWatch,
    ) -> None:
        """Nothing runs yet."""
        self.orders, self._listener, self._folder, self._say, self._watch = orders, listener, folder, say, watch
        self.identity = ""
        self.started = time.time()
        self._model = orders.model
        self._n_copies = 0
        self._processes: list[_Process] = []
        self._guarding: list[asyncio.Task[None]] = []
        self._gone: Values = {**Counts().dump(), "processes": 0}
        self._recent: list[Values] = []
        self._swapping = asyncio.Lock()
        self._is_ending = False

    async def start(self) -> None:
        """Start all workers, and return when they answer.

        Raises
        ------
        DaskflowError
            When the model cannot be loaded.
        """
        self._model = self._copy(self.orders.model)
        await asyncio.gather(*[self._start() for _ in range(self.orders.workers)], return_exceptions=True)
        failed = [each for each in self._processes if not each.ready.is_set()]
        if failed or len(self._processes) < self.orders.workers:
            await self.drain(0.0)
            words = next((each.words for each in failed if each.words), "A worker process could not be started.")
            error = BundleError(words) if any(each.words for each in failed) else ClusterError(words)
            raise error
        self.identity = self._processes[0].identity
        await asyncio.to_thread(self._watch.begin, self._processes[0].watched, self.identity)
        self._guarding = [asyncio.create_task(self._guard(each)) for each in self._processes]
        self._guarding.append(asyncio.create_task(self._look_for_stuck()))

    def _copy(self, given: Path) -> Path:
        """Copy a model's folder, so that nobody changes or removes it meanwhile."""
        source = files.find(given)
        self._n_copies += 1
        place = self._folder / "models" / f"{os.getpid()}-{self._n_copies}"
        shutil.rmtree(place, ignore_errors=True)
        try:
            shutil.copytree(source, place)
        except (OSError, shutil.Error) as error:
            raise BundleError(f"The model at {source} cannot be copied to {place}: {error}.") from error
        return place

    async def _start(self) -> _Process:
        """Start one process, and return it when it is ready or has failed."""
        process = _Process()
        self._processes.append(process)
        ours, theirs = socket.socketpair()
        with theirs:
            fds = [theirs.fileno(), self._listener.fileno()]
            command = [sys.executable, "-m", "daskflow.streams.serve_worker", str(fds[0])]
            # A group of its own: Ctrl-C in a terminal is for the server, which lets its workers finish.
            process.popen = subprocess.Popen(command, pass_fds=fds, start_new_session=True, stdin=subprocess.DEVNULL)
        process.wire = Wire(lambda word, fields: self._answer(process, word, fields))
        await process.wire.open(ours)
        orders = {name: value for name, value in asdict(self.orders).items() if name != "model"}
        given = {**orders, "model": str(self._model), "fd": self._listener.fileno(), "started": self.started}
        process.wire.tell("begin", **given)
        ready, closed = asyncio.create_task(process.ready.wait()), asyncio.create_task(process.wire.closed.wait())
        await asyncio.wait([ready, closed], timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        closed.cancel()
        return process

    async def _answer(self, process: _Process, word: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Heed what a worker says."""
        process.silent = 0.0
        if word in ("counts", "ended"):
            process.counts = dict(fields["counts"])
            process.computing = fields["computing"]
            self._recent.append(dict(fields["recent"]))
            if fields["sample"]:
                self._watch.take(fields["sample"])
        elif word == "totals":
            process.counts = dict(fields["counts"])
            return {"counts": {**self.counted(), "drift": self._watch.values()}}
        elif word == "ready":
            process.identity, process.counts = fields["identity"], Counts().dump()
            process.watched = fields["watched"]
            for text in fields["warnings"]:
                self._say({"what": "warning", "text": text})
            process.ready.set()
        elif word == "failed":
            process.words = fields["words"]
        elif word == "swap":
            try:
                identity = await self.swap(None if fields["path"] is None else Path(fields["path"]), by="request")
            except (DaskflowError, OSError, ValueError) as error:  # a path may be none, such as one with a zero byte
                return {"words": str(error)}
            return {"words": "", "identity": identity}
        return {}

    async def _guard(self, process: _Process) -> None:
        """Start a worker again whenever it dies."""
        n_died = 0
        while True:
            assert process.popen is not None
            assert process.wire is not None
            await process.wire.closed.wait()
            code = await asyncio.to_thread(process.popen.wait)
            self._bury(process)
            if self._has_to_end():
                return
            n_died = 1 if time.monotonic() - process.began > LIVED_SECONDS else n_died + 1
            self._say({"what": "died", "code": code, "text": process.words})
            logger.warning("A worker process ended (%s) and is started again. %s", code, process.words)
            await asyncio.sleep(AGAIN_SECONDS[min(n_died, len(AGAIN_SECONDS)) - 1])
            if self._has_to_end():
                return
            async with self._swapping:  # it begins with the model that is there when a swap is over
                process = await self._start()
            if process.ready.is_set():
                self._say({"what": "started", "identity": process.identity})

    async def _look_for_stuck(self) -> None:
        """Replace workers that are stuck, for ever.

        Silence is added up by looks, so that a server that was asleep itself blames nobody.
        """
        ending: set[asyncio.Task[None]] = set()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for process in self._processes:
                if not process.ready.is_set() or process.is_given_up:
                    continue
                process.silent += LOOK_SECONDS
                words = stuck_words(process.computing, process.silent, self.orders.stuck_seconds)
                if words:
                    process.is_given_up, process.words = True, words
                    task = asyncio.create_task(self._give_up(process))
                    ending.add(task)
                    task.add_done_callback(ending.discard)

    async def _give_up(self, process: _Process) -> None:
        """Let a worker tell those who wait, and kill it where it does not end by itself; its guard starts another."""
        assert process.popen is not None
        assert process.wire is not None
        process.wire.tell("give up")
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(process.wire.closed.wait(), GIVE_UP_SECONDS)
        process.popen.kill()

    def _has_to_end(self) -> bool:
        return self._is_ending

    def _bury(self, process: _Process) -> None:
        """Keep what a worker that ended has counted."""
        if process in self._processes:
            self._processes.remove(process)
            self._gone = total([self._gone, {**process.counts, "processes": 0, "queue": 0}])

    def counted(self) -> Values:
        """Return the counts of all processes, also of those that ended."""
        return total([self._gone, *(each.counts for each in self._processes if each.counts)])

    def recent(self) -> Sequence[Values]:
        """Return what the processes have counted since the last call."""
        found, self._recent = self._recent, []
        return found

    async def swap(self, path: Path | None, *, by: str) -> str:
        """Put another model in the place of the one that answers, in all processes or in none; return its identity.

        Each loads it beside the old one and tries it; when all have, all take it. No request is lost or waits.

        Parameters
        ----------
        path : Path or None
            Its folder or that of a run; None for where the first one came from, as it is now.
        by : str
            Who asks, for the record.

        Raises
        ------
        BundleError
            When it cannot be read or cannot take the old one's place; the old one goes on.
        """
        async with self._swapping:
            before, place = self.identity, None
            try:
                place = await asyncio.to_thread(self._copy, path or self.orders.model)
                wires = [each.wire for each in self._processes if each.ready.is_set() and each.wire is not None]
                found = await asyncio.gather(*[_asked(wire, "load", path=str(place)) for wire in wires])
                wrong = [answer["words"] for answer in found if answer.get("words")]
                if wrong:
                    for wire in wires:
                        wire.tell("forget")
                    raise BundleError(wrong[0].replace(str(place), str(path or self.orders.model)))
            except BundleError as error:
                if place is not None:
                    shutil.rmtree(place, ignore_errors=True)
                self._say({"what": "refused", "by": by, "text": str(error), "identity": before})
                raise
            old, self._model = self._model, place
            await asyncio.gather(*[_asked(wire, "use") for wire in wires])
            taken = [answer for answer in found if answer.get("identity")]
            if taken:
                self.identity = taken[0]["identity"]
                await asyncio.to_thread(self._watch.begin, taken[0]["watched"], self.identity)
            shutil.rmtree(old, ignore_errors=True)
            self._say({"what": "swapped", "by": by, "before": before, "identity": self.identity})
            return self.identity

    async def drain(self, seconds: float | None = None) -> None:
        """Let the workers finish what is in flight; kill those that do not end in time."""
        self._is_ending = True
        seconds = self.orders.drain_seconds if seconds is None else seconds
        for each in self._processes:
            if each.wire is not None:
                each.wire.tell("drain")
        for each in list(self._processes):
            if each.popen is not None:
                await asyncio.to_thread(_ended, each.popen, seconds + MARGIN_SECONDS)
        for task in self._guarding:
            task.cancel()
        for each in list(self._processes):
            if each.wire is not None:
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(each.wire.closed.wait(), 1)
                await each.wire.close()
            self._bury(each)
        shutil.rmtree(self._folder / "models", ignore_errors=True)


def stuck_words(computing: float, silent: float, most: float) -> str:
    """Say why a worker is stuck; empty when it is not.

    Parameters
    ----------
    computing : float
        Seconds that its model had computed when it last said so.
    silent : float
        Seconds since it has said anything.
    most : float
        Seconds that are allowed.

    Examples
    --------
    >>> stuck_words(21.0, 0.5, 20.0)
    'Its model had computed for 21 s without an answer.'
    >>> stuck_words(0.0, 4.0, 2.0)
    ''
    """
    if computing > most:
        return f"Its model had computed for {computing:.0f} s without an answer."
    if silent > max(most, LEAST_SILENCE):
        return f"It had said nothing for {silent:.0f} s: its model holds the interpreter or the event loop."
    return ""


async def _asked(wire: Wire, word: str, **fields: Any) -> Mapping[str, Any]:
    """Ask a worker; one that dies meanwhile starts again with what counts then."""
    with suppress(ConnectionError):
        return await wire.ask(word, **fields)
    return {}


def _ended(popen: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait for a process, and kill it when it takes too long."""
    try:
        popen.wait(max(seconds, 0.1))
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.wait()
