"""What a node of a batch system said of itself, held against what this machine is and a workflow asks for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daskflow.clusters.address import LIBRARIES, probe
from daskflow.clusters.batch import Batch
from daskflow.clusters.batch_places import in_words
from daskflow.workflow.doctor import FEW_FILES, Finding, Level

CLOCK_WARN_SECONDS, CLOCK_FAIL_SECONDS = 10.0, 300.0
"""Difference of clocks: ends of jobs are planned with some seconds to spare, and minutes would break the plan."""


SHIP_PYTHON = "cluster.ship = 'python' has this one sent along"


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
    findings = [of_folder_there(host, Path(path), words) for path, words in found["folders"].items()]
    findings += of_python_there(found, cluster)
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


def of_folder_there(host: str, folder: Path, words: str) -> Finding:
    """Say whether a node reads and writes a folder of this machine."""
    if words:
        sentence = f"{host} does not read and write {folder}: {words}. Use a folder that all nodes share."
        return Finding(Level.FAIL, "shared folder", sentence)
    return Finding(Level.OK, "shared folder", f"{host} reads and writes {folder}")


def of_python_there(found: Mapping[str, Any], cluster: Batch) -> list[Finding]:
    """Compare Python and the libraries of a node with those here, as far as they are not sent along."""
    host, here = found["host"], probe()(LIBRARIES)
    there = {**found["versions"], "python": ".".join(found["python"].split(".")[:2])}
    python = f"{found['python']} ({found['executable']}) on {host}"
    ship = "cluster.ship = 'packages' has them sent along" if there["python"] == here["python"] else SHIP_PYTHON
    if cluster.ship == "python":
        return [Finding(Level.OK, "Python there", f"this one is sent to {host}; there is {python}, which is not used")]
    if cluster.ship == "packages":
        if there["python"] == here["python"]:
            return [Finding(Level.OK, "Python there", f"{python}; daskflow and libraries are sent along")]
        words = f"{python} cannot use packages of Python {here['python']}, the one here. Set cluster.python; or {ship}."
        return [Finding(Level.FAIL, "Python there", words)]
    if found["failure"]:
        words = f"{python} cannot load the libraries: {found['failure']}"
        if found["failure"].startswith("ModuleNotFoundError"):
            words += f". Install them there, or set cluster.python to one that has them; or {ship}."
        return [Finding(Level.FAIL, "Python there", words)]
    if "daskflow" not in there:
        words = f"{python} has no daskflow. Install it there, or set cluster.python to one that has; or {ship}."
        return [Finding(Level.FAIL, "Python there", words)]
    other = [
        f"{name} {there.get(name, 'is missing')} there, {mine} here"
        for name, mine in here.items()
        if there.get(name) != mine
    ]
    if other:
        words = f"{python} is another one than here: {'; '.join(other)}. Make them equal; or {ship}."
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
