"""Job scripts: written by dask-jobqueue's job classes, which know each system's dialect, from our settings."""

from __future__ import annotations

import importlib
import re
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import dask

from daskflow.clusters.batch_jobs import JOB
from daskflow.clusters.batch_keys import CERT_FILE, KEY_FILE
from daskflow.clusters.batch_lease import check_lines
from daskflow.clusters.loopback import CONFIG, HOST
from daskflow.clusters.shipping_archive import SHOWN
from daskflow.clusters.shipping_lines import START, beginning, checking, checking_shipped, shipped_command, unpacking

if TYPE_CHECKING:
    from daskflow.clusters.batch import Batch

ADDRESS = "tls://HOST:PORT"
"""Stands in scripts that are only shown: the scheduler's address is known when it runs."""

PRELOAD = "daskflow.clusters.batch_worker"

SECTION = "daskflow"
"""Section of dask-jobqueue's configuration that its classes look into here: nothing but defaults, for what the user's
sections say stands in our settings already, and would be refused or warned of twice."""


@dataclass(frozen=True, slots=True)
class JobText:
    """What a script says of its run.

    Attributes
    ----------
    run : str
        The run's ID; empty for none.
    name : str
        The job's name.
    lease : Path or None
        A job that does not find this file ends at once; None for a job that needs none.
    """

    run: str
    name: str
    lease: Path | None


@dataclass(frozen=True, slots=True)
class WorkerKeys:
    """The files of a worker's TLS, as dask-jobqueue asks for them."""

    folder: Path

    def get_tls_config_for_role(self, role: str) -> dict[str, str]:
        """Return the files of a role: of a worker, the only one that has a script."""
        files = {"ca_file": CERT_FILE, "cert": CERT_FILE, "key": KEY_FILE}
        return {word: shlex.quote(str(self.folder / file)) for word, file in files.items()}


@cache
def job_class(module: str, name: str) -> Any:
    """Import a job class of dask-jobqueue, which else leaves a file of comments in ~/.config/dask, and takes Ctrl-C.

    As it is loaded it lets SIGINT end the process by ``sys.exit()``: with exit code 0, and no KeyboardInterrupt.
    """
    with mock.patch.object(dask.config, "ensure_file"), mock.patch.object(signal, "signal"):
        return getattr(importlib.import_module(f"dask_jobqueue.{module}"), name)


def quoted(path: Path | str) -> str:
    """Return a path for a shell line: variables such as ``$USER`` stay variables, everything else is taken as it is.

    Examples
    --------
    >>> quoted("/runs/a"), quoted("/my runs/a"), quoted("$TMPDIR/x y")
    ('/runs/a', "'/my runs/a'", '"$TMPDIR/x y"')
    >>> quoted("/a'; rm -rf b"), quoted('$HOME/$(reboot)`x`"')
    ('\\'/a\\'"\\'"\\'; rm -rf b\\'', '"$HOME/\\\\$(reboot)\\\\`x\\\\`\\\\""')
    """
    text = str(path)
    if text.startswith("~/"):
        text = "$HOME" + text[1:]
    if not re.search(r"\$(\w+|\{\w+\})", text):
        return shlex.quote(text)
    escaped = re.sub(r'([\\`"]|\$(?!\w|\{\w+\}))', r"\\\1", text)
    return f'"{escaped}"'


def in_directive(path: Path | str) -> str:
    """Return a path for a directive's line, in quotes where it has blanks.

    Examples
    --------
    >>> in_directive("/runs/a"), in_directive("/my runs/a")
    ('/runs/a', '"/my runs/a"')
    """
    text = str(path)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' if re.search(r"[\s'\"\\]", text) else text


def worker_script(cluster: Batch, text: JobText, address: str, keys: Path) -> str:
    """Return the script of a worker's job."""
    job = _job(cluster, text, address=address, security=WorkerKeys(keys))
    return str(job.job_script())


def controller_script(cluster: Batch, text: JobText, command: Sequence[str], directives: Sequence[str]) -> str:
    """Return the script of a job whose shell becomes a command."""
    job = _job(cluster, text, directives=directives)
    line = f"exec {shlex.join(command) if cluster.ship == 'nothing' else shipped_command(command)}"
    # The class knows no job but a worker's, so its command is replaced; what stands before it in one line stays.
    before, _, _ = job._command_template.rpartition("exec ")
    job._command_template = before + line
    return str(job.job_script())


def _job(
    cluster: Batch, text: JobText, *, address: str = ADDRESS, security: Any = None, directives: Sequence[str] = ()
) -> Any:
    """Make dask-jobqueue's job."""
    skipped = cluster.directives_skip
    own = [line for line in cluster.own_directives(text) if not any(skip in line for skip in skipped)]
    options: dict[str, Any] = {
        "scheduler": address,
        "name": f'"${JOB}"',
        "cores": cluster.cores,
        "memory": cluster.memory_bytes,
        "processes": 1,
        "interface": cluster.interface,
        "death_timeout": f"{cluster.death_timeout:g}",
        "local_directory": None if cluster.scratch is None else quoted(cluster.scratch),
        "worker_extra_args": [
            "--preload",
            PRELOAD,
            "--preload-nanny",
            PRELOAD,
            "--dashboard-address",
            f"{HOST}:0",
            *cluster.worker_arguments,
        ],
        "job_extra_directives": [*own, *cluster.directives, *directives],
        "job_script_prologue": prologue(cluster, text, address),
        "job_directives_skip": list(skipped),
        "python": f"exec {python_of(cluster) if cluster.ship == 'nothing' else START}",
        "job_name": cluster.name_of(text),
        "config_name": SECTION,
        "security": security,
    }
    if cluster.shebang is not None:
        options["shebang"] = cluster.shebang
    with dask.config.set({f"jobqueue.{SECTION}": defaults(cluster.kind)}):
        return cluster.job(options)


def prologue(cluster: Batch, text: JobText, address: str) -> list[str]:
    """Return the shell lines before the command: a job of a run that is over ends before anything else."""
    number, opening = f"export {JOB}={cluster.job_id}", cluster.opening_lines(text)
    lines = [number, *opening] if opening else []
    if text.lease is not None:
        lines += check_lines(shlex.quote(str(text.lease)), address)
    lines += [] if opening else [number]
    variables = {**CONFIG["distributed.nanny.pre-spawn-environ"], **cluster.environment}  # type: ignore[dict-item]
    lines += [f"export {name}={quoted(str(value))}" for name, value in variables.items()]
    return [*lines, *cluster.prologue, *shipping(cluster)]


def shipping(cluster: Batch) -> list[str]:
    """Return the shell lines that bring the environment to the node and see that its Python fits; none without one."""
    if cluster.ship == "nothing":
        return []
    lines = unpacking(cluster.shipped or SHOWN, None if cluster.scratch is None else quoted(cluster.scratch))
    if cluster.ship == "python":
        return [*beginning(), *lines, *checking_shipped()]
    return [*beginning(), *checking(python_of(cluster)), *lines]


def python_of(cluster: Batch) -> str:
    """Return the Python of the nodes, as a shell line has it."""
    return quoted(cluster.python) if cluster.python else shlex.quote(sys.executable)


def defaults(kind: str) -> Mapping[str, Any]:
    """Return the values that dask-jobqueue ships for a kind."""
    module = job_class("core", "Job").__module__
    file = Path(str(importlib.import_module(module).__file__)).with_name("jobqueue.yaml")
    return _shipped(file)[kind]


@cache
def _shipped(file: Path) -> dict[str, dict[str, Any]]:
    """The file of defaults in the package."""
    found: dict[str, dict[str, Any]] = dask.config.collect(paths=[str(file)], env={})["jobqueue"]
    return found
