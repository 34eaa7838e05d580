"""Jobs that are processes of this machine, kept in a folder: what every stand-in for a batch system is made of.

Started as ``python queue_of_processes.py FOLDER ID`` it is a job's keeper: it runs the job to its end and writes that.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = "DASKFLOW_STAND_IN"
"""Variable that names the folder of a stand-in's jobs."""


class Jobs:
    """The jobs of a folder, each a JSON file; what the system says of a job's end is in its ``why``."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or Path(os.environ[FOLDER])
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def site(self) -> dict[str, Any]:
        """How the stand-in's site is set up: slots, and whatever a test says."""
        with contextlib.suppress(OSError):
            return dict(json.loads((self.folder / "site.json").read_text()))
        return {}

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One command at a time changes jobs."""
        with open(self.folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def all(self) -> list[dict[str, Any]]:
        """Every job, as it is now; those that may begin are begun first."""
        with self.locked():
            jobs = self._read()
            free = self.site.get("slots", 8) - sum(job["state"] == "running" for job in jobs)
            for job in jobs:
                if job["state"] == "pending" and free > 0 and not self.site.get("is_busy"):
                    self._begin(job)
                    free -= 1
            return self._read()

    def _read(self) -> list[dict[str, Any]]:
        jobs = [json.loads(file.read_text()) for file in self.folder.glob("job-*.json")]
        return sorted(jobs, key=lambda job: (job["number"], job["index"]))

    def write(self, job: dict[str, Any]) -> None:
        """Replace a job's file."""
        path = self.folder / f"job-{job['number']}-{job['index']}.json"
        path.with_suffix(".new").write_text(json.dumps(job))
        path.with_suffix(".new").replace(path)

    def number(self) -> int:
        """Return the number of the next submission."""
        with self.locked():
            counter = self.folder / "counter"
            number = int(counter.read_text()) + 1 if counter.exists() else 101
            counter.write_text(str(number))
        return number

    def add(self, number: int, index: int, **fields: Any) -> None:
        """Take a job in: ``id``, ``command``, ``output`` and ``environment``, ``seconds``, ``user``, ``mark``."""
        with self.locked():
            self.write({"number": number, "index": index, "state": "pending", "submitted": time.time(), **fields})

    def _begin(self, job: dict[str, Any]) -> None:
        job.update(state="running", began=time.time(), node=os.uname().nodename)
        self.write(job)
        subprocess.Popen(
            [sys.executable, "-S", "-E", __file__, str(self.folder), f"job-{job['number']}-{job['index']}"],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def end(self, id: str, why: str) -> bool:
        """End a job, as its owner or the system does; False for one that has ended or is unknown."""
        with self.locked():
            job = next((job for job in self._read() if job["id"] == id), None)
            if job is None or job["state"] == "ended":
                return False
            job.update(why=why)
            if job["state"] == "pending":
                job.update(state="ended", ended=time.time(), status=None)
            self.write(job)
            if "process" in job:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(job["process"], signal.SIGTERM if why == "cancelled" else signal.SIGKILL)
        return True

    def keep(self, name: str) -> None:
        """Run a job to its end."""
        path = self.folder / f"{name}.json"
        with self.locked():
            job = json.loads(path.read_text())
            with open(job["output"], "ab") as output:
                process = subprocess.Popen(
                    job["command"], env=job["environment"], stdout=output, stderr=output, start_new_session=True
                )
            job["process"] = process.pid
            self.write(job)
        if job.get("why"):  # cancelled before it had a process
            os.killpg(process.pid, signal.SIGKILL)
        why = ""
        try:
            process.wait(job["seconds"])
        except subprocess.TimeoutExpired:
            why = "walltime"
        with contextlib.suppress(ProcessLookupError):  # children of a job go with it
            os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
        with self.locked():
            job = json.loads(path.read_text())
            job.update(state="ended", ended=time.time(), status=status, why=job.get("why") or why)
            self.write(job)


if __name__ == "__main__":
    Jobs(Path(sys.argv[1])).keep(sys.argv[2])
