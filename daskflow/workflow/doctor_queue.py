"""What is wrong with a batch queue as a workflow would use it: commands, limits, and what a node says of itself."""

from __future__ import annotations

import asyncio
import json
import secrets
import shlex
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from daskflow.clusters.address import LIBRARIES
from daskflow.clusters.batch import Batch
from daskflow.clusters.batch_jobs import Job, JobState, Queue, QueueError
from daskflow.clusters.batch_open import host_of
from daskflow.clusters.batch_places import in_words, named
from daskflow.clusters.batch_scripts import quoted
from daskflow.clusters.shipping_python import relocatable
from daskflow.core.errors import ClusterError
from daskflow.data.store import existing
from daskflow.workflow import doctor_probe
from daskflow.workflow.doctor import Finding, Level
from daskflow.workflow.doctor_node import of_node

GLANCE_SECONDS = 0.5
"""How often the shared folder and the queue are looked at."""

SHARED_SECONDS = 20.0
"""How long a file that a node wrote may take to be seen here: file systems of networks remember what they saw."""


def examine_queue(
    cluster: Batch, runs: Path, store: Path | None = None, *, wait_seconds: float = 120.0
) -> Iterator[Finding]:
    """Look at a batch system; each finding comes as soon as it is known, and no job is left.

    Parameters
    ----------
    cluster : Batch
        The settings with which a workflow would run.
    runs : Path
        Folder of runs.
    store : Path, optional
        Folder of blocks. In all that nodes must see, folders are made for the job that looks at a node, and removed.
    wait_seconds : float
        How long that job may take to start and to answer.
    """
    with asyncio.Runner() as runner:
        try:
            queue = cluster.commands()
            places = runner.run(queue.places())
        except ClusterError as error:
            yield Finding(Level.FAIL, "commands", str(error))
            return
        yield Finding(Level.OK, "commands", f"{cluster.system} answers")
        yield Finding(Level.OK, f"{cluster.place_word}s", named(places) or "none is told")
        refused = runner.run(_refusals(queue, cluster))
        for sentence in refused:
            yield Finding(Level.FAIL, "request", sentence)
        if not refused:
            yield of_request(cluster)
        if cluster.ship == "python":
            try:
                relocatable(sys.executable)
            except ClusterError as error:
                yield Finding(Level.FAIL, "Python here", str(error))
        try:
            address = host_of(cluster.interface)
        except ClusterError as error:
            yield Finding(Level.FAIL, "interface", str(error))
            return
        yield of_address(address, cluster.interface)
        if refused:
            yield Finding(Level.WARN, "node", "was not looked at: the queue would not start the job.")
            return
        # The first is where jobs find their keys and write their logs.
        folders = [Path(folder).expanduser() for folder in (cluster.shared, runs, store) if folder is not None]
        yield from _of_a_node(runner, queue, cluster, folders, address, wait_seconds)


async def _refusals(queue: Queue, cluster: Batch) -> list[str]:
    try:
        return await queue.refusals(cluster.job_script(), cluster.request)
    except QueueError as error:
        return [str(error)]


def of_request(cluster: Batch) -> Finding:
    """Say what was asked for and would be accepted."""
    request = cluster.request
    where = f" in {request.place}" if request.place else ""
    cores = "1 core" if request.cores == 1 else f"{request.cores} cores"
    words = f"{request.workers} x {cores}, {cluster.memory}, {in_words(request.seconds)}{where} would be accepted"
    return Finding(Level.OK, "request", words)


def of_address(address: str, interface: str | None) -> Finding:
    """Say where the scheduler would listen."""
    name = f" of interface {interface}" if interface else ""
    if address.startswith("127.") or address == "::1":
        words = (
            f"the scheduler would listen on {address}{name}, which other machines cannot reach. Set cluster.interface "
            "to the network of the nodes (`ip -br addr` lists them)."
        )
        return Finding(Level.WARN, "address", words)
    return Finding(Level.OK, "address", f"the scheduler would listen on {address}{name}")


@dataclass
class Probe:
    """Folders that a node is asked to look at, and a port that it is asked to call.

    Attributes
    ----------
    places : dict
        One in each folder that nodes must see, by that folder; the first holds the job's own files. Removed afterwards.
    door : socket
        Listens on the scheduler's address.
    token : str
        What the node must have read to write or to call.
    """

    places: dict[Path, Path]
    door: socket.socket
    token: str

    @property
    def folder(self) -> Path:
        """Where the job's files are: it is named after the folder around them, as that of a run."""
        first = next(iter(self.places.values()))
        return first / "doctor" / first.name.lstrip(".")

    @classmethod
    def prepare(cls, folders: Sequence[Path], address: str, scratch: str | None) -> Probe:
        """Make the folders and open the port; OSError when that cannot be done."""
        token = secrets.token_hex(16)
        door = socket.create_server((address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
        # What is not there yet will be made in the nearest folder above it.
        places = {folder.absolute(): existing(folder.absolute()) / f".doctor-{token[:8]}" for folder in folders}
        prepared = cls(places, door, token)
        asked = {
            "token": token,
            "address": address,
            "port": door.getsockname()[1],
            "scratch": scratch,
            "libraries": LIBRARIES,
            "folders": {str(folder): str(place) for folder, place in places.items()},
        }
        try:
            for place in places.values():
                place.mkdir(exist_ok=True)
                (place / "token").write_text(token)
            (prepared.folder / "logs").mkdir(parents=True)
            (prepared.folder / "asked.json").write_text(json.dumps(asked))
            shutil.copyfile(str(doctor_probe.__file__), prepared.folder / "look.py")
        except OSError:
            prepared.close()
            raise
        return prepared

    def script(self, cluster: Batch) -> str:
        """Return a job like a worker's, but short, that says its node's name first and then starts Python."""
        python = quoted(cluster.python) if cluster.python else shlex.quote(sys.executable)
        place = shlex.quote(str(self.folder))
        command = (
            f"hostname > {place}/node.part && mv {place}/node.part {place}/node; exec {python} {place}/look.py {place}"
        )
        short = cluster.model_copy(update={"walltime": "2 min", "log_folder": None, "shared": None}).within(
            self.folder, self.folder.name
        )
        return short.controller_script(["sh", "-c", command])

    def node(self) -> str:
        """Return the name of the node that wrote to the folder; empty for none so far."""
        self.look_again()
        with suppress(OSError):
            return (self.folder / "node").read_text().strip() or "?"
        return ""

    def found(self) -> dict[str, Any]:
        """Return what the node said; empty so far."""
        with suppress(OSError, ValueError):
            found: dict[str, Any] = json.loads((self.folder / "found.json").read_text())
            if found.get("token") == self.token:
                return {
                    **found,
                    "folders": {path: self.arrived(path, words) for path, words in found["folders"].items()},
                }
        return {}

    def arrived(self, folder: str, words: str) -> str:
        """Return what is wrong with a folder: what the node says, or that what it wrote is not here."""
        place = self.places[Path(folder)]
        with suppress(OSError):
            list(place.iterdir())
        return words or ("" if (place / "answer").exists() else "what it writes there does not arrive here")

    def look_again(self) -> None:
        """List the folder, which makes file systems of networks ask their server."""
        with suppress(OSError):
            list(self.folder.iterdir())

    def close(self) -> None:
        """Leave nothing."""
        self.door.close()
        for place in self.places.values():
            shutil.rmtree(place, ignore_errors=True)


def _of_a_node(
    runner: asyncio.Runner, queue: Queue, cluster: Batch, folders: Sequence[Path], address: str, wait_seconds: float
) -> Iterator[Finding]:
    """Send a job that looks around on its node."""
    try:
        probe_ = Probe.prepare(folders, address, cluster.scratch)
    except OSError as error:
        what = error.filename or address
        yield Finding(Level.FAIL, "node", f"was not looked at, since {what} cannot be used: {error.strerror or error}.")
        return
    ids: list[str] = []
    try:
        try:
            ids = runner.run(queue.submit(probe_.script(cluster)))
            words = f"{ids[0]} is sent to look at a node; it may take {wait_seconds:.0f} s"
            yield Finding(Level.OK, "job", words)
            yield from runner.run(_watched(queue, probe_, ids[0], cluster, wait_seconds))
        except QueueError as error:
            yield Finding(Level.FAIL, "node", str(error))
    finally:
        if ids:
            with suppress(QueueError):
                runner.run(queue.cancel(ids))
        probe_.close()


async def _watched(queue: Queue, probe_: Probe, id: str, cluster: Batch, wait_seconds: float) -> list[Finding]:
    """Wait for the job's answer, or for its end, or until it has taken too long."""
    started = time.monotonic()
    over_at: float | None = None
    job: Job | None = None
    while True:
        found = await asyncio.to_thread(probe_.found)
        if found:
            return of_node(found, cluster, arrived_at=time.time())
        job = (await queue.look([id])).get(id)
        now = time.monotonic()
        if job is None or job.state is JobState.ENDED:
            over_at = over_at or now
            node = await asyncio.to_thread(probe_.node)
            if now - over_at > (2 * GLANCE_SECONDS if node else SHARED_SECONDS):
                return [await _of_failure(queue, probe_, id, node, job, cluster)]
        elif now - started > wait_seconds:
            return [of_waiting(job, wait_seconds)]
        await asyncio.sleep(GLANCE_SECONDS)


async def _of_failure(queue: Queue, probe_: Probe, id: str, node: str, job: Job | None, cluster: Batch) -> Finding:
    """Say why a job ended without an answer."""
    ending = await queue.ending(id)
    tail = f" Its log ends: {ending.tail.splitlines()[-1].rstrip('.')}." if ending.tail else ""
    where = node or (job.node if job else "") or "a node"
    if node:  # the folder was written to, so what did not start is Python
        python = cluster.python or sys.executable
        words = f"{python} does not run on {where}: {ending.words}{tail} Set cluster.python."
        if cluster.ship == "python":
            words = f"{where} was looked at no further, for {python} is not there. A run brings its own Python along."
            return Finding(Level.WARN, "Python there", words)
        return Finding(Level.FAIL, "Python there", words)
    words = (
        f"the job ran on {where}, and what it wrote to {next(iter(probe_.places))} is not here: {ending.words}{tail} "
        "Use a folder that all nodes share, with --runs or cluster.shared."
    )
    return Finding(Level.FAIL, "shared folder", words)


def of_waiting(job: Job, wait_seconds: float) -> Finding:
    """Say why a job has not answered in time."""
    if job.state is JobState.RUNNING:
        words = f"job {job.id} runs on {job.node or 'a node'} and has not answered within {wait_seconds:.0f} s"
        return Finding(Level.FAIL, "node", f"{words}: is the shared file system slow, or the Python on it?")
    why = job.reason or "the queue gives no reason"
    begins = f", expected to start at {datetime.fromtimestamp(job.starts_at):%Y-%m-%d %H:%M}" if job.starts_at else ""
    words = f"no node was looked at: the job has waited {wait_seconds:.0f} s ({why}{begins}). Give --wait more seconds."
    return Finding(Level.WARN, "node", words)
