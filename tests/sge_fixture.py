"""A real Grid Engine of one host on this machine, for the tests that ask for the fixture ``sge``."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.conftest import lacking
from tests.slurm_fixture import free_base_port

PACKAGES = Path(os.environ.get("DASKFLOW_TEST_BATCH_PACKAGES", "/var/cache/daskflow-tests"))
"""Where ``tests/batch_packages.sh`` has unpacked what is run here."""

SCRIPTS = Path(__file__).parent / "sge"
SLOTS = 8
"""Of each queue: ``all.q``, ``short.q`` (one minute), ``closed.q`` (disabled)."""


class TestQueue:
    """A batch system whose commands are in a folder, which a test puts first in its PATH: two have the same names."""

    __test__ = False

    def __init__(self, kind: str, commands: Path, options: dict[str, object], listing: list[str]) -> None:
        """Take the kind, the folder of its commands, a workflow's options for it, and what lists IDs first."""
        self.kind, self.commands, self.options, self._listing = kind, commands, options, listing

    def ask(self, *command: str) -> str:
        """Run a command of it and return what it prints."""
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        is_empty = not done.stdout + done.stderr  # Slurm's qstat fails without a word where there is no job
        assert done.returncode == 0 or is_empty, f"{command}: {done.stdout} {done.stderr}"
        return done.stdout

    def jobs(self) -> list[str]:
        """Return the lines of the jobs that wait or run."""
        lines = self.ask(*self._listing).splitlines()
        return [line for line in lines if line[:8].strip().split(".")[0].isdigit() and " C " not in line]

    def delete(self, id: str) -> None:
        """End a job."""
        self.ask("qdel", id)


@contextmanager
def running_sge() -> Iterator[TestQueue]:
    """Bring up a Grid Engine of this process's own, on ports that are free, and take it down at the end."""
    if not (PACKAGES / "sge" / "complete").exists():
        lacking(f"Grid Engine (tests/batch_packages.sh {PACKAGES})")
    if os.geteuid() != 0:
        lacking("the right of root to start Grid Engine's daemons")
    folder = Path(tempfile.mkdtemp(prefix="daskflow-sge-"))
    folder.chmod(0o755)
    with ExitStack() as closing:
        closing.callback(shutil.rmtree, folder, ignore_errors=True)
        closing.callback(subprocess.run, [SCRIPTS / "sge-down.sh", folder, "--purge"], check=False, timeout=90)
        closing.enter_context(taken_down_if_this_process_dies([str(SCRIPTS / "sge-down.sh"), str(folder), "--purge"]))
        started([SCRIPTS / "sge-up.sh", folder, PACKAGES / "sge", str(SLOTS)], folder, "SGE_UP_PORT", 2)
        yield TestQueue("sge", folder / "bin", {"memory": "700 MiB"}, ["qstat", "-g", "d"])


def started(command: list[object], folder: Path, port: str, ports: int) -> None:
    """Run a script that starts daemons, and fail with its words."""
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", port: str(free_base_port(ports))}
    done = subprocess.run(
        [str(word) for word in command],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=(folder / "up.err").open("w"),  # a pipe would stay open for as long as the daemons live
        timeout=240,
        check=False,
    )
    if done.returncode != 0:
        pytest.fail(f"{command[0]} failed: {(folder / 'up.err').read_text()}")


@contextmanager
def taken_down_if_this_process_dies(command: list[str]) -> Iterator[None]:
    """Keep a process that waits for this one's end: daemons have no parent that could end them."""
    waits = f'while kill -0 {os.getpid()} 2>/dev/null; do sleep 2; done; exec "$@"'
    guard = subprocess.Popen(["bash", "-c", waits, "bash", *command], start_new_session=True, stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        guard.kill()
        guard.wait()
