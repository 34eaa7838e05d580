"""What a worker in a batch job does first: it compares versions with the run's, takes its job's number, and is guarded.

A script loads it with ``--preload`` and ``--preload-nanny``. A job whose scheduler hands it over begins anew with the
next one.
"""

from __future__ import annotations

import atexit
import importlib
import logging
import os
import platform
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Nanny

from daskflow.clusters.address import LIBRARIES, probe
from daskflow.clusters.batch_jobs import JOB
from daskflow.clusters.batch_keys import Keys, read_told
from daskflow.clusters.batch_lease import FOLLOW_SECONDS, Lease, address_for, read_lease
from daskflow.clusters.batch_remedies import SHIP
from daskflow.clusters.guard import guard
from daskflow.core.processes import die_with_parent
from daskflow.data.seats import SEATS

REACH_SECONDS = 5.0
"""So long a worker that ends tries whether its scheduler is there."""

GLANCE_SECONDS = 1.0
"""How often a job that was handed over looks for the next scheduler."""

STAGES = ("daskflow.data.counts", "daskflow.data.passes", "daskflow.data.matrices")
"""What splits, collects statistics and writes matrices."""

UNFIT = 78
"""Exit code of a job whose Python cannot work with the run's."""


def dask_setup(process: Any) -> None:
    """Make a process one of the run's, or end it with a sentence in the job's log.

    Parameters
    ----------
    process : distributed.Nanny or distributed.Worker
        Of this process; started with the run's keys, so their folder is known. The nanny is the job's first process:
        what it says last is the end of the log.
    """
    logging.getLogger("tornado.application").addFilter(is_worth_a_line)
    folder = Path(process.security.tls_ca_file or "").parent
    is_first = isinstance(process, Nanny) or process.nanny is None
    if isinstance(process, Nanny):
        own = str(process.scheduler_addr)
        follow(folder, own)  # it may have been handed over while Python was loaded, and then there are no keys now
        atexit.register(follow, folder, own)
    told = read_told(folder)
    sentence = _without_keys(folder) if not told else unfit(told, probe()(LIBRARIES)) if is_first else ""
    if sentence:
        # Dask logs what a preload raises, and goes on.
        sys.stderr.write(f"daskflow: {sentence}\n")
        sys.stderr.flush()
        os._exit(UNFIT)
    if isinstance(process, Nanny):
        return
    if process.nanny is not None:
        die_with_parent()  # the kernel sees to it while native code holds the interpreter lock, too
    guard(process, str(told["seal"]))
    if job := os.environ.get(JOB):
        process.name = job  # Dask makes a number of what looks like one, and reads 17_2 as 172
    if modules := told.get("modules"):
        process.executors["default"].submit(load)
        with suppress(OSError):  # no process is to be had now: the first fit asks again, and says so
            SEATS.prepare(modules)


def is_worth_a_line(record: logging.LogRecord) -> bool:
    """Leave out what Dask's listener logs with a traceback when somebody connects as it closes: no end is without it.

    Parameters
    ----------
    record : logging.LogRecord
        Of ``tornado.application``.
    """
    return not record.exc_info or "on non-started TCPListener" not in str(record.exc_info[1])


def load() -> None:
    """Import what the first stages need, compiled loops too, while the run's own process opens the table."""
    for module in STAGES:
        importlib.import_module(module)
    mix = importlib.import_module("daskflow.data.hashing").mix
    mix(np.zeros(1, dtype=np.uint64))


def follow(folder: Path, address: str, seconds: float = FOLLOW_SECONDS) -> None:
    """Begin this process anew with the next scheduler, where its own has handed it over; else return.

    Parameters
    ----------
    folder : Path
        Of the keys; the lease is beside it.
    address : str
        Of its own scheduler.
    seconds : float
        How long to wait for the next one.
    """
    until = time.monotonic() + seconds
    while (now := _address_now(folder, address)) == "" and time.monotonic() < until:
        time.sleep(GLANCE_SECONDS)
    if now and now != address:
        _begin_anew(address, now)


def _address_now(folder: Path, address: str) -> str | None:
    """Return which scheduler this job belongs to; see `address_for`."""
    return address_for(read_lease(folder.parent / "lease"), address, os.environ.get(JOB, ""))


def _begin_anew(address: str, now: str) -> None:
    """Become the same program with another scheduler's address: the process stays, and gets the queue's signals."""
    arguments = [now if word == address else word for word in sys.orig_argv]
    sys.stderr.write(f"daskflow: the run goes on with another controller; this job works for it at {now}.\n")
    sys.stderr.flush()
    os.execv(sys.executable, arguments)


def dask_teardown(process: Any) -> None:
    """Remove the keys when the scheduler was killed, and could not do it itself.

    Parameters
    ----------
    process : distributed.Nanny or distributed.Worker
        That ends.
    """
    address = process.scheduler_addr if isinstance(process, Nanny) else process.scheduler.address
    remove_left_behind(Path(process.security.tls_ca_file or "").parent, str(address))


def remove_left_behind(folder: Path, address: str) -> bool:
    """Remove keys and lease of a scheduler that nobody listens for any more; return whether they were removed.

    A lease that is there says that the scheduler did not end by itself, and one with another address that there is
    another by now. A scheduler that cannot be reached may live: only a refused connection shows that it does not.

    Parameters
    ----------
    folder : Path
        Of the keys; the lease is beside it.
    address : str
        Of the scheduler.
    """
    lease = Lease(folder.parent / "lease")
    known = read_lease(lease.path)
    if known is None or known.get("address") != address:
        return False
    host, _, port = address.partition("://")[2].rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS):
            return False
    except ConnectionRefusedError:
        lease.remove()
        Keys(folder).remove()
        return True
    except OSError:
        return False


def unfit(told: Mapping[str, Any], here: Mapping[str, str]) -> str:
    """Return why a Python cannot work with the run's, as a sentence; empty when it can.

    Parameters
    ----------
    told : mapping
        Of the driver: ``host`` and ``versions``.
    here : mapping
        Versions of this process.

    Examples
    --------
    >>> unfit({"host": "login1", "versions": {"numpy": "2.1"}}, {"numpy": "2.2"})
    "The Python of node ... has other versions than the run's on login1: numpy 2.2 (there 2.1). ..."
    >>> unfit({"host": "login1", "versions": {"numpy": "2.1"}}, {"numpy": "2.1", "python": "3.11"})
    ''
    """
    there: Mapping[str, str] = told["versions"]
    other = [
        f"{name} {here.get(name, 'missing')} (there {there[name]})" for name in there if here.get(name) != there[name]
    ]
    if not other:
        return ""
    remedy = SHIP if here.get("python") == there.get("python") else "send this one along with cluster.ship = 'python'"
    return (
        f"The Python of node {socket.gethostname()}, {sys.executable} ({platform.python_version()}), has other "
        f"versions than the run's on {told['host']}: {', '.join(other)}. Make them equal, name another Python with "
        f"cluster.python or lines of cluster.prologue, or {remedy}."
    )


def _without_keys(folder: Path) -> str:
    return (
        f"Node {socket.gethostname()} finds no keys in {folder}: the run is over, or the node does not see that "
        "folder. Name a folder that all nodes see with cluster.shared."
    )
