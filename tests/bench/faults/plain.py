"""Plain dask-jobqueue, set up as its own documentation says, for the scripts that show where it loses work.

    tests/slurm/slurm-up.sh /tmp/slurm && . /tmp/slurm/env.sh      # as root: a Slurm of four nodes on this machine
    python tests/bench/faults/walltime.py                          # and the others of this folder

What is set: the interface, a log folder, a local folder on the node's own disk and a walltime below the partition's.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

warnings.filterwarnings("ignore", message="Port 8787")

_began = time.monotonic()

_folders: list[Path] = []

os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
"""Jobs inherit it: their workers find the tasks of this folder."""


@atexit.register  # at once, so that it comes last: keys in such a folder are removed by who made them
def _remove() -> None:
    for path in _folders:
        shutil.rmtree(path, ignore_errors=True)


def say(*words: object) -> None:
    """Print a line behind the seconds since the script began."""
    print(f"[{time.monotonic() - _began:6.1f}]", *words, flush=True)


def folder() -> Path:
    """Return a folder that is removed at the end, and which other users may enter, as shared disks are."""
    path = Path(tempfile.mkdtemp(prefix="plain-jobqueue-"))
    path.chmod(0o755)
    _folders.append(path)
    return path


def cluster(place: Path, **options: Any) -> Any:
    """Return a `SLURMCluster` of one-core workers with 700 MB, on the loopback interface."""
    from dask_jobqueue import SLURMCluster

    given = {
        "cores": 1,
        "processes": 1,
        "memory": "700MB",
        "walltime": "00:10:00",
        "interface": "lo",
        "log_directory": str(place / "logs"),
        "local_directory": str(place / "scratch"),
    }
    return SLURMCluster(**{**given, **options})


@contextmanager
def opened(place: Path, **options: Any) -> Iterator[tuple[Any, Any]]:
    """Open a cluster and a client, and close both; what closing complains of is told in a line."""
    from distributed import Client

    jobqueue = cluster(place, **options)
    client = Client(jobqueue)
    try:
        yield jobqueue, client
    finally:
        for each in (client, jobqueue):
            try:
                each.close()
            except AssertionError as error:
                say(f"closing the {type(each).__name__} raised AssertionError: {error}")


def jobs(*more: str) -> dict[str, str]:
    """Return the state of each job of this user that waits or runs, by its number."""
    command = ["squeue", "--noheader", "--me", "--format=%i %T", *more]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return dict(line.split() for line in lines)


def until(condition: Any, seconds: float, every: float = 0.2) -> bool:
    """Wait for something; say whether it came in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(every)
    return True


def finished(futures: Sequence[Any]) -> int:
    """Return how many are done."""
    return sum(future.status == "finished" for future in futures)


def slow(number: int, seconds: float) -> int:
    """A task of some seconds."""
    time.sleep(seconds)
    return number


def begin(title: str) -> None:
    """Print what is shown, and with which versions; end where there is no Slurm."""
    if "SLURM_CONF" not in os.environ or shutil.which("sbatch") is None:
        raise SystemExit("There is no Slurm: tests/slurm/slurm-up.sh FOLDER, then . FOLDER/env.sh")
    slurm = subprocess.run(["sinfo", "--version"], capture_output=True, text=True, check=False).stdout.strip()
    known = {name: version(name) for name in ("dask-jobqueue", "distributed")}
    versions = ", ".join(f"{name} {value}" for name, value in known.items())
    print(f"{title}\n{versions}, {slurm}, Python {sys.version.split()[0]}")
    if left := jobs():
        raise SystemExit(f"The queue is to be empty at the start; there are {', '.join(left)}.")
