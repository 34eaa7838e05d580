"""Seats: processes beside a worker that run fits, and are ended when one crashes, takes too much or never returns.

A fit in a seat can cost its candidate and nothing else: the worker, its other threads and what it holds go on, and the
next fit gets a new process. A seat lasts until the search is over, so that libraries are imported once.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from statistics import median
from typing import Any

import cloudpickle
import psutil

from daskflow.core.protocols import Call, Death, Limits, Outcome
from daskflow.data.seat_process import HEAD, send

GLANCE_SECONDS = 0.05
"""How often memory and time are looked at while a call runs."""

LOG_BYTES = 4096
"""The end of what a failed call wrote is kept."""

PATIENCE, LEAST_SECONDS, FIRST_SECONDS, FEW = 30, 120.0, 3600.0, 3
"""A call may take so many times what the median of at least FEW took, at least two minutes; before, an hour."""

LOADING_SECONDS = 600.0
"""A process may take so long to start and import what it needs."""

MEMORY_SHARE, LEAST_MEMORY = 0.9, 256 * 2**20
"""Of a worker's limit; what is left for a fit at least, however much the worker holds."""

NOT_NEEDED = "it is not needed any more"

MOST_PACES = 16
"""Of so many runs a worker remembers how long their calls took: those that ran last."""

MOST_DROPPED = 4096
"""So many calls that were given up are remembered: some of their units may be on their way."""

SEAT = "DASKFLOW_SEAT"
"""Set in a seat's environment: there is one fit at a time."""

QUIET = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
"""Threads of native code that wait shall not burn a processor that others need."""

USED = "daskflow"
"""The name of a worker's metric that tells what its seats take."""

SINGLE = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""What a user set for one process shall not count for many; a fit's own threads are held by ``n_jobs``."""


_LOADING = Limits(seconds=LOADING_SECONDS)


class Seat:
    """One process, started at once; its calls run one after the other.

    Parameters
    ----------
    dropped : collection of str
        Keys of calls that are given up; one that gets there is not begun, or ended.
    modules : sequence of str
        Imported by the process before its first call is there.
    """

    def __init__(self, dropped: Collection[str] = (), modules: Sequence[str] = ()) -> None:
        """Start the process; OSError when the system gives none."""
        self._dropped, self._modules = dropped, modules
        # Appended to: what is written by the process does not depend on where it is read here.
        self._log = tempfile.TemporaryFile("a+b")  # noqa: SIM115  open as long as the seat
        self._told = self._written = 0
        self.running: str | None = None
        self._ending: tuple[Death, str] | None = None
        self._start()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        started, refused = threading.Event(), list[OSError]()

        def keep() -> None:
            # The process dies with the thread that started it, so this thread lasts as long as the process.
            environment = {name: value for name, value in os.environ.items() if name not in SINGLE}
            try:
                with theirs:
                    self.process = subprocess.Popen(
                        [sys.executable, "-m", "daskflow.data.seat_process", str(theirs.fileno()), *self._modules],
                        env={**environment, **QUIET, SEAT: "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                        pass_fds=[theirs.fileno()],
                        stdin=subprocess.DEVNULL,
                        stdout=self._log,
                        stderr=self._log,
                    )
            except OSError as error:
                refused.append(error)
                return
            finally:
                started.set()
            self.process.wait()

        threading.Thread(target=keep, name="daskflow-seat", daemon=True).start()
        started.wait()
        if refused:
            ours.close()
            raise refused[0]
        self._channel = ours

    def run(self, function: Any, arguments: Sequence[Any], calls: Sequence[Call], limits: Limits) -> list[Outcome]:
        """Make the calls and return an outcome for each; one that ends the process costs no other its turn."""
        done: list[Outcome] = []
        while len(done) < len(calls):
            if (key := calls[len(done)].key) in self._dropped:
                done.append(Outcome(key=key, error=f"Dropped: {NOT_NEEDED}", death=Death.DROPPED))
                continue
            done += self._run(function, arguments, calls[len(done) :], limits)
        return done

    def _run(self, function: Any, arguments: Sequence[Any], calls: Sequence[Call], limits: Limits) -> list[Outcome]:
        """Make calls up to the first that ends the process."""
        if self.process.poll() is not None:
            self._start()
        inner = cloudpickle.dumps((function, tuple(arguments), [(call.key, call.arguments) for call in calls]))
        message = pickle.dumps((sys.path, inner))
        self._log.truncate(0)
        self._told = self._written = 0
        # A message larger than the socket's buffer waits until the process has started.
        sender = threading.Thread(target=_send, args=(self._channel, message), daemon=True)
        sender.start()
        done: list[Outcome] = []
        try:
            loaded = self._outcome(calls[0], _LOADING)
            if loaded.death is not None:
                return [loaded]
            if loaded.error is not None:
                return [replace(loaded, key=call.key, log=loaded.traceback) for call in calls]
            for call in calls:
                done.append(self._outcome(call, limits))
                if done[-1].death is not None:
                    break
                PACE.add(done[-1].seconds / call.steps, limits.run)
        finally:
            sender.join()
        return done

    def _outcome(self, call: Call, limits: Limits) -> Outcome:
        """Wait for a call's outcome, or end it."""
        begun, self._ending, self.running = time.monotonic(), None, call.key
        content = self._await(begun, call, limits)
        self.running = None
        if content is None:
            return self._lost(call, begun)
        outcome: Outcome = pickle.loads(content)  # noqa: S301  of our own process
        said = self._said(self._written)
        return replace(outcome, log=said) if said else outcome

    def _await(self, begun: float, call: Call, limits: Limits) -> bytes | None:
        """Return the answer; None when the process is gone, or was ended."""
        head = self._exactly(HEAD.size, begun, call, limits)
        if head is None:
            return None
        length, self._written = HEAD.unpack(head)
        return self._exactly(length, begun, call, limits)

    def _exactly(self, length: int, begun: float, call: Call, limits: Limits) -> bytes | None:
        self._channel.settimeout(GLANCE_SECONDS)
        parts, missing = [], length
        while missing:
            try:
                part = self._channel.recv(min(missing, 1 << 20))
            except TimeoutError:
                self._glance(begun, call, limits)
                continue
            except OSError:
                return None
            if not part:
                return None
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _glance(self, begun: float, call: Call, limits: Limits) -> None:
        """End the process when the running call has taken too long or too much, or is given up."""
        if call.key in self._dropped:
            self.end(Death.DROPPED, NOT_NEEDED)
        lasted = time.monotonic() - begun
        most = limits.seconds or max(PACE.allowed(limits.seconds_per_step, limits.run) * call.steps, LEAST_SECONDS)
        if lasted > most:
            self.end(Death.DEADLINE, f"a fit may take {most:.0f} s here, and it took {lasted:.0f} s")
        if limits.memory_bytes:
            used = own_bytes(self.process.pid)
            if used > limits.memory_bytes:
                may, took = (f"{amount / 2**20:,.0f} MiB" for amount in (limits.memory_bytes, used))
                self.end(Death.MEMORY, f"a fit may hold {may} here, and it held {took}")

    def end(self, death: Death, reason: str) -> None:
        """Kill the process; the running call's outcome says why."""
        self._ending = self._ending or (death, reason)
        self.process.kill()

    def _lost(self, call: Call, begun: float) -> Outcome:
        """What became of a call whose process is gone."""
        code = self.process.wait()
        self._channel.close()
        if self._ending is None:
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            self._ending = Death.CRASH, f"its process died of {how}"
        death, reason = self._ending
        words = {Death.CRASH: "Crashed", Death.MEMORY: "Out of memory", Death.DEADLINE: "Too slow"}
        return Outcome(
            key=call.key,
            error=f"{words.get(death, 'Dropped')}: {reason}",
            death=death,
            log=self._said(self._log.seek(0, os.SEEK_END)),
            seconds=time.monotonic() - begun,
            began=time.time() - (time.monotonic() - begun),
        )

    def _said(self, end: int) -> str:
        """The last of what the process wrote during a call, which the log's first `end` bytes end with.

        The process says how long its output was when a call ended: by the time that is read here, it may have begun the
        next call, and have written more.
        """
        begin, self._told = self._told, end
        if end == begin:
            return ""
        start = max(begin, end - LOG_BYTES)
        self._log.seek(start)
        return self._log.read(end - start).decode(errors="replace")

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        self._channel.close()
        self._log.close()


def _send(channel: socket.socket, message: bytes) -> None:
    try:
        channel.settimeout(None)
        send(channel, message)
    except OSError:
        return  # the process is gone, which the reader notices


def own_bytes(pid: int) -> int:
    """Return the memory that is a process's own: files it maps are shared, and can be dropped."""
    try:
        memory = psutil.Process(pid).memory_info()
    except psutil.Error:
        return 0
    return int(memory.rss - getattr(memory, "shared", 0))


class Pace:
    """What calls took per step on this worker, run by run: a quick run's fits say nothing of a slow one's."""

    def __init__(self) -> None:
        """Know nothing."""
        self._lock = threading.Lock()
        self._recent: dict[str, deque[float]] = {}

    def add(self, seconds_per_step: float, run: str = "") -> None:
        """Learn from a call that came to its end."""
        with self._lock:
            recent = self._recent.pop(run, None) or deque(maxlen=64)
            recent.append(seconds_per_step)
            self._recent[run] = recent
            while len(self._recent) > MOST_PACES:
                del self._recent[next(iter(self._recent))]

    def allowed(self, elsewhere: float, run: str = "") -> float:
        """Return what a step may take, knowing also what it took elsewhere (0 for nothing)."""
        with self._lock:
            recent = list(self._recent.get(run, ()))
        here = median(recent) if len(recent) >= FEW else 0.0
        known = max(here, elsewhere)
        return PATIENCE * known if known else FIRST_SECONDS


PACE = Pace()


class Seats:
    """The seats of a worker process: one for each thread that runs units with limits."""

    def __init__(self) -> None:
        """Have none yet."""
        self._free: list[Seat] = []
        self._busy: list[Seat] = []
        self._dropped: dict[str, None] = {}
        self._lock = threading.Lock()
        self._seen: dict[int, float] = {}
        self._seen_at = time.monotonic()

    def used(self, worker: Any = None) -> dict[str, float]:
        """Return what the processes take: ``cpu`` in percent of one processor since the last call, ``memory`` in bytes.

        Dask asks it with every heartbeat of a worker, see `tell_scheduler`; what it knows itself is the worker alone.
        """
        with self._lock:
            pids = [seat.process.pid for seat in (*self._free, *self._busy)]
        now, seen, memory = time.monotonic(), {}, 0
        for pid in pids:
            try:
                spent = psutil.Process(pid).cpu_times()
            except psutil.Error:
                continue
            seen[pid] = spent.user + spent.system
            memory += own_bytes(pid)
        # A process that is new has spent what it has since the last call.
        spent_since = sum(value - self._seen.get(pid, 0.0) for pid, value in seen.items())
        elapsed, self._seen, self._seen_at = now - self._seen_at, seen, now
        return {"cpu": 100 * spent_since / elapsed if elapsed > 0 else 0.0, "memory": float(memory)}

    def tell_scheduler(self, worker: Any) -> None:
        """Let a worker's heartbeats carry what the processes beside it take."""
        if USED not in worker.metrics:
            worker.loop.add_callback(worker.metrics.setdefault, USED, self.used)

    @contextmanager
    def taken(self) -> Iterator[Seat]:
        """A seat for the time of a unit."""
        with self._lock:
            seat = self._free.pop() if self._free else None
        seat = seat or Seat(self._dropped)
        with self._lock:
            self._busy.append(seat)
        try:
            yield seat
        finally:
            with self._lock:
                self._busy.remove(seat)
                self._free.append(seat)

    def prepare(self, modules: Sequence[str]) -> None:
        """Start one process before a call needs it: it imports these modules while the worker does other things."""
        seat = Seat(self._dropped, modules)
        with self._lock:
            self._free.append(seat)

    def drop(self, keys: Collection[str]) -> None:
        """End the calls that run under these keys, and those that would begin later."""
        with self._lock:
            self._dropped |= dict.fromkeys(keys)
            for key in list(self._dropped)[:-MOST_DROPPED]:
                del self._dropped[key]
            for seat in self._busy:
                if seat.running in keys:
                    seat.end(Death.DROPPED, NOT_NEEDED)

    def vacate(self) -> None:
        """End the processes that run nothing."""
        with self._lock:
            free, self._free = self._free, []
        for seat in free:
            seat.close()


SEATS = Seats()
"""This process's."""


def run_in_seat(function: Any, arguments: Sequence[Any], calls: Sequence[Call], limits: Limits) -> list[Outcome]:
    """Make calls in a process of their own, under limits."""
    with SEATS.taken() as seat:
        return seat.run(function, arguments, calls, limits)


def share_of_worker(worker: Any) -> int | None:
    """Return what a fit may hold on a Dask worker: an equal share of its limit; None without a limit."""
    limit = worker.memory_manager.memory_limit
    if not limit:
        return None
    left = MEMORY_SHARE * limit - own_bytes(os.getpid())
    return max(LEAST_MEMORY, int(left / worker.state.nthreads))
