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
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from daskflow.clusters.address import LIBRARIES, probe
from daskflow.clusters.batch import Batch
from daskflow.clusters.batch_jobs import Job, JobState, Queue, QueueError
from daskflow.clusters.batch_open import host_of
from daskflow.clusters.batch_scripts import quoted
from daskflow.clusters.slurm_answers import in_words, named
from daskflow.core.errors import ClusterError
from daskflow.workflow import doctor_probe
from daskflow.workflow.doctor import FEW_FILES, Finding, Level

GLANCE_SECONDS = 0.5
"""How often the shared folder and the queue are looked at."""

SHARED_SECONDS = 20.0
"""How long a file that a node wrote may take to be seen here: file systems of networks remember what they saw."""

CLOCK_WARN_SECONDS, CLOCK_FAIL_SECONDS = 10.0, 300.0
"""Difference of clocks: ends of jobs are planned with some seconds to spare, and minutes would break the plan."""


def examine_queue(cluster: Batch, runs: Path, wait_seconds: float = 120.0) -> Iterator[Finding]:
    """Look at a batch system; each finding comes as soon as it is known, and no job is left.

    Parameters
    ----------
    cluster : Batch
        The settings with which a workflow would run.
    runs : Path
        Folder of runs; a folder is made in it for the job that looks at a node, and removed.
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
        yield Finding(Level.OK, "partitions", named(places))
        refused = runner.run(_refusals(queue, cluster))
        for sentence in refused:
            yield Finding(Level.FAIL, "request", sentence)
        if not refused:
            yield of_request(cluster)
        try:
            address = host_of(cluster.interface)
        except ClusterError as error:
            yield Finding(Level.FAIL, "interface", str(error))
            return
        yield of_address(address, cluster.interface)
        if refused:
            yield Finding(Level.WARN, "node", "was not looked at: the queue would not start the job.")
            return
        yield from _of_a_node(runner, queue, cluster, runs, address, wait_seconds)


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
    """A folder that a node is asked to look at, and a port that it is asked to call.

    Attributes
    ----------
    place : Path
        In the folder of runs; removed afterwards.
    door : socket
        Listens on the scheduler's address.
    token : str
        What the node must have read to write or to call.
    """

    place: Path
    door: socket.socket
    token: str

    @property
    def folder(self) -> Path:
        """Where the files are: the job is named after the folder around it, as that of a run."""
        return self.place / "doctor" / self.place.name.lstrip(".")

    @classmethod
    def prepare(cls, runs: Path, address: str, scratch: str | None) -> Probe:
        """Make the folder and open the port; OSError when that cannot be done."""
        token = secrets.token_hex(16)
        door = socket.create_server((address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
        prepared = cls(runs.absolute() / f".doctor-{token[:8]}", door, token)
        folder = prepared.folder
        try:
            (folder / "logs").mkdir(parents=True)
            asked = {
                "token": token,
                "address": address,
                "port": door.getsockname()[1],
                "scratch": scratch,
                "libraries": LIBRARIES,
            }
            (folder / "asked.json").write_text(json.dumps(asked))
            shutil.copyfile(str(doctor_probe.__file__), folder / "look.py")
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
        short = cluster.model_copy(update={"walltime": "2 min", "log_folder": None}).within(
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
            return found if found.get("token") == self.token else {}
        return {}

    def look_again(self) -> None:
        """List the folder, which makes file systems of networks ask their server."""
        with suppress(OSError):
            list(self.folder.iterdir())

    def close(self) -> None:
        """Leave nothing."""
        self.door.close()
        shutil.rmtree(self.place, ignore_errors=True)


def _of_a_node(
    runner: asyncio.Runner, queue: Queue, cluster: Batch, runs: Path, address: str, wait_seconds: float
) -> Iterator[Finding]:
    """Send a job that looks around on its node."""
    try:
        probe_ = Probe.prepare(runs, address, cluster.scratch)
    except OSError as error:
        yield Finding(Level.FAIL, "runs folder", f"{runs} or {address} cannot be used: {error.strerror or error}.")
        return
    ids: list[str] = []
    try:
        try:
            ids = runner.run(queue.submit(probe_.script(cluster)))
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
                return [await _of_failure(queue, id, node, job, cluster)]
        elif now - started > wait_seconds:
            return [of_waiting(job, wait_seconds)]
        await asyncio.sleep(GLANCE_SECONDS)


async def _of_failure(queue: Queue, id: str, node: str, job: Job | None, cluster: Batch) -> Finding:
    """Say why a job ended without an answer."""
    ending = await queue.ending(id)
    tail = f" Its log ends: {ending.tail.splitlines()[-1]}" if ending.tail else ""
    where = node or (job.node if job else "") or "a node"
    if node:  # the folder was written to, so what did not start is Python
        python = cluster.python or sys.executable
        words = f"{python} does not run on {where}: {ending.words}{tail} Set cluster.python."
        return Finding(Level.FAIL, "Python there", words)
    words = (
        f"the job ran on {where}, and what it wrote to the folder of runs is not here: {ending.words}{tail} "
        "Use a folder that all nodes share, with --runs."
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


def of_node(found: Mapping[str, Any], cluster: Batch, *, arrived_at: float) -> list[Finding]:
    """Judge what a node said of itself.

    Parameters
    ----------
    found : mapping
        What `doctor_probe` wrote there.
    cluster : Batch
        The settings.
    arrived_at : float
        When it was seen here, in seconds since 1970.
    """
    host = str(found["host"])
    findings = [Finding(Level.OK, "shared folder", f"{host} reads and writes it")]
    findings += of_python_there(found)
    if found["reached"]:
        words = f"{host} does not reach this machine's address: {found['reached']}. Set cluster.interface."
        findings.append(Finding(Level.FAIL, "network", words))
    else:
        findings.append(Finding(Level.OK, "network", f"{host} reaches this machine"))
    if cluster.interface and cluster.interface not in found["interfaces"]:
        words = f"{host} has no '{cluster.interface}'; it has {', '.join(found['interfaces'])}. Set cluster.interface."
        findings.append(Finding(Level.FAIL, "interface", words))
    elif cluster.interface:
        findings.append(Finding(Level.OK, "interface", f"{host} has {cluster.interface}"))
    if found["scratch"]:
        words = f"cannot be written on {host}: {found['scratch']}. Set cluster.scratch."
        findings.append(Finding(Level.FAIL, "scratch", words))
    elif cluster.scratch:
        findings.append(Finding(Level.OK, "scratch", f"{cluster.scratch} can be written on {host}"))
    return [*findings, of_clock(host, float(found["time"]), arrived_at), of_limits(host, found, cluster)]


def of_python_there(found: Mapping[str, Any]) -> list[Finding]:
    """Compare Python and the libraries of a node with those here."""
    host, here = found["host"], probe()(LIBRARIES)
    there = {**found["versions"], "python": ".".join(found["python"].split(".")[:2])}
    python = f"{found['python']} ({found['executable']}) on {host}"
    if found["failure"]:
        words = f"{python} cannot load the libraries: {found['failure']}"
        return [Finding(Level.FAIL, "Python there", words)]
    if "daskflow" not in there:
        words = f"{python} has no daskflow. Install it there, or set cluster.python to one that has."
        return [Finding(Level.FAIL, "Python there", words)]
    other = [
        f"{name} {there.get(name, 'is missing')} there, {mine} here"
        for name, mine in here.items()
        if there.get(name) != mine
    ]
    if other:
        words = f"{python} is another one than here: {'; '.join(other)}. Make them equal."
        return [Finding(Level.FAIL, "Python there", words)]
    return [Finding(Level.OK, "Python there", f"{python}, with the same daskflow {there['daskflow']} and libraries")]


def of_clock(host: str, there: float, here: float) -> Finding:
    """Compare clocks; the time that the answer took to be seen counts as difference, so some seconds are none."""
    difference = there - here
    if abs(difference) < CLOCK_WARN_SECONDS:
        return Finding(Level.OK, "clock", f"that of {host} goes like this machine's")
    which = "ahead of" if difference > 0 else "behind"
    words = f"that of {host} is {in_words(abs(difference))} {which} this machine's, so that ends of jobs are missed."
    return Finding(Level.FAIL if abs(difference) > CLOCK_FAIL_SECONDS else Level.WARN, "clock", words)


def of_limits(host: str, found: Mapping[str, Any], cluster: Batch) -> Finding:
    """Say whether a job's limits let a worker live."""
    files, space = int(found["files"]), int(found["address_space"])
    if 0 <= space < 2 * cluster.memory_bytes:
        words = f"jobs on {host} may address {space / 2**30:.2f} GiB, less than libraries map: `ulimit -v unlimited`"
        return Finding(Level.FAIL, "limits", words)
    if 0 <= files < FEW_FILES:
        words = f"jobs on {host} may open {files} files: add `ulimit -n 4096` to cluster.prologue"
        return Finding(Level.WARN, "limits", words)
    return Finding(Level.OK, "limits", f"jobs on {host} may open {'any number of' if files < 0 else files} files")
