"""Lease: a file that says that a run's scheduler lives, so that jobs which start after its end leave at once.

It names the scheduler's address, so that a job of an earlier scheduler does not take the lease of a later one for its
own, and is touched every few seconds, so that it is worth nothing soon after its writer was killed.

A scheduler that ends because another one goes on hands its jobs over: the lease then names no address, but the jobs,
and their workers wait for the next one. Its lease names the schedulers whose jobs it has taken.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daskflow.core.journal import write_atomically

BEAT_SECONDS, STALE_SECONDS = 5.0, 60.0
"""How often the file is touched; after so long without that its writer is dead."""

REACH_SECONDS = 20.0
"""How long a node tries to reach the scheduler."""

FOLLOW_SECONDS = 300.0
"""How long a job that was handed over waits for the next scheduler: it has its cores all the while."""

MOST_FORMER = 200
"""So many former schedulers are named: a job that has waited for longer is not needed."""


@dataclass(frozen=True, slots=True)
class HandedOver:
    """What a scheduler has left to the next one.

    Attributes
    ----------
    jobs : tuple of str
        Numbers of the jobs.
    former : tuple of str
        Addresses of the schedulers that they have had.
    since : float
        When it was, in seconds since 1970.
    shape : str
        What the jobs' script says, without the address; jobs of another shape are not taken.
    """

    jobs: tuple[str, ...] = ()
    former: tuple[str, ...] = ()
    since: float = 0.0
    shape: str = ""


class Lease:
    """The lease of this process.

    Parameters
    ----------
    path : Path
        The file.
    """

    def __init__(self, path: Path) -> None:
        """Write nothing yet."""
        self.path = path
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="daskflow-lease", daemon=True)

    def take(self, address: str, handed: HandedOver | None = None) -> None:
        """Write the file, and touch it from now on in a thread of its own, however busy the scheduler is.

        Parameters
        ----------
        address : str
            Of the scheduler.
        handed : HandedOver, optional
            Jobs that it takes from a former one.
        """
        handed = handed or HandedOver()
        self._write({"address": address, "former": handed.former, "jobs": handed.jobs})
        self._thread.start()

    def hand_over(self, address: str, jobs: Collection[str], shape: str) -> None:
        """Leave jobs to whoever takes the lease next; nothing is touched any more."""
        self._over.set()
        former = (*_texts(read_lease(self.path) or {}, "former"), address)[-MOST_FORMER:]
        self._write({"address": "", "former": former, "jobs": tuple(jobs), "shape": shape})

    def _write(self, said: dict[str, Any]) -> None:
        known = {**said, "host": socket.gethostname(), "pid": os.getpid(), "since": time.time()}
        write_atomically(self.path, (json.dumps(known) + "\n").encode())

    def _beat(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            with suppress(OSError):  # a file server that does not answer now; one that was removed is not made anew
                os.utime(self.path)

    def give_up(self) -> None:
        """Remove the file."""
        self._over.set()
        self.remove()

    def remove(self) -> None:
        """Remove the file of whoever wrote it."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def read_lease(path: Path) -> dict[str, Any] | None:
    """Return what a lease says: address, host, pid, since, and ``is_live``; None where there is none.

    Its age is measured by the file system's own clock, as `check_lines` does.
    """
    try:
        known = dict(json.loads(_text_of(path)))
        age = _now_of(path.parent) - path.stat().st_mtime
    except (OSError, ValueError):
        return None
    return {**known, "is_live": age < STALE_SECONDS}


def _text_of(path: Path) -> str:
    """Read a file that another node may replace meanwhile: over NFS the old one is gone then."""
    try:
        return path.read_text()
    except FileNotFoundError:
        raise
    except OSError:
        return path.read_text()


def read_handed_over(path: Path) -> HandedOver | None:
    """Return what was left to the next scheduler; None where nothing was."""
    known = read_lease(path)
    if known is None or known.get("address") != "" or not isinstance(known.get("since"), int | float):
        return None
    return HandedOver(_texts(known, "jobs"), _texts(known, "former"), float(known["since"]), str(known.get("shape")))


def address_for(known: dict[str, Any] | None, address: str, job: str) -> str | None:
    """Return which scheduler a job of a former one belongs to now.

    Parameters
    ----------
    known : mapping or None
        What the lease says, see `read_lease`.
    address : str
        Of the former scheduler.
    job : str
        Number of the job.

    Returns
    -------
    str or None
        An address; empty while the next one has not come; None for a job that is not needed.

    Examples
    --------
    >>> address_for({"address": "tls://b:1", "former": ["tls://a:1"], "jobs": ["7"]}, "tls://a:1", "7")
    'tls://b:1'
    >>> address_for({"address": "", "former": ["tls://a:1"], "jobs": ["7"]}, "tls://a:1", "8")
    >>> address_for({"address": "tls://a:1", "former": [], "jobs": []}, "tls://a:1", "8")
    'tls://a:1'
    """
    if known is None:
        return None
    if known.get("address") == address:
        return address
    if address in _texts(known, "former") and job in _texts(known, "jobs"):
        return str(known.get("address"))
    return None


def _texts(known: dict[str, Any], name: str) -> tuple[str, ...]:
    found = known.get(name)
    return tuple(map(str, found)) if isinstance(found, list | tuple) else ()


def _now_of(folder: Path) -> float:
    """Return the time by the clock of a folder's file server; by this machine's where nothing can be written."""
    probe = folder / f".now-{os.getpid()}-{threading.get_ident()}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def check_lines(lease: str, address: str) -> list[str]:
    """Return the lines of a job script that end it, with a sentence, where its scheduler is gone or out of reach.

    Two files' times are compared, both given by the file server: the clocks of nodes may differ from each other. Then
    the scheduler's port is tried, for one that was killed a moment ago.

    Parameters
    ----------
    lease : str
        The file's path, as a shell line has it.
    address : str
        Of the scheduler that the job belongs to.
    """
    return [
        f"daskflow_lease={lease} daskflow_address={shlex.quote(address)}",
        'if ! grep -qsF -- "\\"$daskflow_address\\"" "$daskflow_lease"; then',
        '    echo "daskflow: this job is not needed, or its node does not see the folder of the run: no lease of"',
        '    echo "$daskflow_address is in $daskflow_lease."',
        "    exit 0",
        "fi",
        "daskflow_waited=0",
        'while grep -qsF -- "\\"address\\": \\"\\"" "$daskflow_lease" && '
        f'[ "$daskflow_waited" -lt {FOLLOW_SECONDS:.0f} ]; do',
        "    sleep 2",
        "    daskflow_waited=$((daskflow_waited + 2))",
        "done",
        'daskflow_said=$(cat "$daskflow_lease")',
        'daskflow_said=${daskflow_said#*\\"address\\": \\"}',
        'daskflow_address=${daskflow_said%%\\"*}',
        'if [ -z "$daskflow_address" ]; then',
        '    echo "daskflow: this job is not needed: no controller has come that goes on with the run."',
        "    exit 0",
        "fi",
        'daskflow_now="$daskflow_lease-$(hostname)-$$"',
        'if : > "$daskflow_now"; then',
        '    daskflow_age=$(( $(stat -c %Y "$daskflow_now") - $(stat -c %Y "$daskflow_lease") ))',
        '    rm -f "$daskflow_now"',
        f'    if [ "$daskflow_age" -gt {STALE_SECONDS:.0f} ]; then',
        '        echo "daskflow: this job is not needed: its scheduler was killed $daskflow_age s ago."',
        "        exit 0",
        "    fi",
        "fi",
        "daskflow_place=${daskflow_address#*://}",
        f'if ! timeout {REACH_SECONDS:.0f} bash -c ": < /dev/tcp/${{daskflow_place%:*}}/${{daskflow_place##*:}}"; then',
        '    echo "daskflow: node $(hostname) does not reach the scheduler at $daskflow_address: it was killed, or"',
        '    echo "listens on a network that this node is not in (cluster.interface names another)."',
        "    exit 1",
        "fi",
    ]
