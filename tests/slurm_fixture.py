"""A real Slurm of four nodes on this machine, for the tests that ask for the fixture ``slurm``."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import lacking

SCRIPTS = Path(__file__).parent / "slurm"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "sinfo", "scancel", "setpriv")
NODES, CPUS, MEMORY_MB = 4, 4, 20_000
"""Of each node, whatever this machine has: partitions ``normal``, ``short`` (one minute), ``closed`` (down)."""


@dataclass(frozen=True)
class TestSlurm:
    """A Slurm that runs from a folder; ``SLURM_CONF`` in the environment leads every command to it."""

    __test__ = False

    folder: Path

    @property
    def conf(self) -> Path:
        """Its configuration."""
        return self.folder / "slurm.conf"

    def ask(self, *command: str) -> str:
        """Run a command of Slurm and return what it prints."""
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def squeue(self, layout: str = "%i %T %r") -> list[str]:
        """Return a line for each job that is pending or running, as squeue's ``layout`` says."""
        return self.ask("squeue", "--noheader", "--array", f"--format={layout}").splitlines()

    def jobs(self) -> Mapping[str, str]:
        """Return the state of each job that is pending or running, by its ID."""
        return dict(line.split(maxsplit=1) for line in self.squeue("%i %T"))

    def kill_node(self, name: str) -> None:
        """End a node and everything on it at once, as a power cut would."""
        self._node("kill", name)

    def start_node(self, name: str) -> None:
        """Bring a node back."""
        self._node("start", name)

    def freeze_node(self, name: str) -> None:
        """Let a node and everything on it fall silent: its connections stay open, as after a cut cable."""
        self._node("freeze", name)

    def thaw_node(self, name: str) -> None:
        """Let a silent node go on."""
        self._node("thaw", name)

    def call_down(self, name: str) -> None:
        """Tell Slurm at once that a node is down, as a health check does; by itself it notices after 27 s."""
        self.ask("scontrol", "update", f"NodeName={name}", "State=DOWN", "Reason=test")

    def until_idle(self, *names: str, seconds: float = 60.0) -> None:
        """Wait until nodes are back and have nothing to do."""
        end = time.monotonic() + seconds
        while not set(names) <= set(self.ask("sinfo", "-hN", "-p", "normal", "-t", "idle", "-o", "%N").split()):
            assert time.monotonic() < end, f"{names} did not come back: {self.ask('sinfo', '-N')}"
            for name in names:  # one that was called down does not return by itself
                command = ["scontrol", "update", f"NodeName={name}", "State=RESUME"]
                subprocess.run(command, check=False, capture_output=True, timeout=60)
            time.sleep(0.2)

    def until_empty(self, seconds: float = 90.0) -> None:
        """End whatever is in the queue, and wait until it is gone and all nodes can be used."""
        end = time.monotonic() + seconds
        while jobs := self.jobs():
            assert time.monotonic() < end, f"jobs did not go: {jobs}"
            subprocess.run(["scancel", "--quiet", *jobs], check=False, capture_output=True, timeout=60)
            time.sleep(0.2)
        self.until_idle(*(f"n{number + 1}" for number in range(NODES)), seconds=seconds)

    def until_stopped(self, *jobs: str, seconds: float = 60.0) -> None:
        """Wait until the signal STOP has come to every process of jobs: Slurm hands signals on behind its answer."""
        end = time.monotonic() + seconds
        names = {name for job in jobs for name in self.ask("squeue", "-h", "--array", "-j", job, "-o", "%A").split()}
        while not (found := _states_of(self.conf, names)) or set(found) != {"T"}:
            assert time.monotonic() < end, f"processes of {jobs} still run: {found}"
            time.sleep(0.05)

    def node_of(self, job: str) -> str:
        """Return where a job runs."""
        return self.ask("squeue", "-h", "--array", "-j", job, "-o", "%N").strip()

    def stop_controller(self, number: int = signal.SIGTERM) -> None:
        """End slurmctld: jobs run on, and nothing can be asked. Killed, it forgets what came in its last seconds."""
        process = int((self.folder / "run" / "slurmctld.pid").read_text())
        os.kill(process, number)
        end = time.monotonic() + 60
        while Path(f"/proc/{process}/exe").exists():
            assert time.monotonic() < end, "slurmctld did not end"
            time.sleep(0.1)

    def start_controller(self) -> None:
        """Bring slurmctld back, with the jobs that it knew."""
        subprocess.run(["slurmctld", "-f", self.conf], check=True, timeout=60, stdin=subprocess.DEVNULL)

    def _node(self, command: str, name: str) -> None:
        subprocess.run([SCRIPTS / "slurm-node.sh", command, name, self.folder], check=True, timeout=60)

    def log(self, name: str = "slurmctld") -> str:
        """Return what a daemon has written."""
        return (self.folder / "log" / f"{name}.log").read_text()


@contextmanager
def running_slurm() -> Iterator[TestSlurm]:
    """Bring up a Slurm of this process's own, on ports that are free, and take it down at the end.

    The folder is one that every user may enter, since Slurm's daemons have users of their own.
    """
    missing = [program for program in PROGRAMS if shutil.which(program, path=_path()) is None]
    if missing:
        lacking(f"Slurm ({', '.join(missing)})")
    if os.geteuid() != 0:
        lacking("the right of root to start Slurm's daemons")
    folder = Path(tempfile.mkdtemp(prefix="daskflow-slurm-"))
    folder.chmod(0o755)
    with ExitStack() as closing:
        closing.callback(_take_down, folder)
        closing.enter_context(_taken_down_if_this_process_dies(folder))
        environment = {**os.environ, "PATH": _path(), "SLURM_UP_PORT": str(free_base_port(NODES + 1))}
        done = subprocess.run(
            [SCRIPTS / "slurm-up.sh", folder, str(NODES), str(CPUS), str(MEMORY_MB)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(folder / "up.err").open("w"),  # a pipe would stay open for as long as the daemons live
            timeout=240,
            check=False,
        )
        if done.returncode != 0:
            pytest.fail(f"Slurm did not start: {(folder / 'up.err').read_text()}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
            yield TestSlurm(folder)


def _states_of(conf: Path, jobs: Collection[str]) -> list[str]:
    """Return the states of the processes that run in jobs, given by their numbers, of the Slurm of a configuration."""
    wanted = {f"SLURM_JOB_ID={job}".encode() for job in jobs}
    states = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile, or is somebody else's
            environment = set((process / "environ").read_bytes().split(b"\0"))
            if f"SLURM_CONF={conf}".encode() in environment and environment & wanted:
                states.append((process / "stat").read_text().rpartition(")")[2].split()[0])
    return states


def free_base_port(count: int) -> int:
    """Find a port from which ``count`` in a row are free, below those the system hands out by itself."""
    drawn = random.Random(os.getpid())
    for _ in range(200):
        base = drawn.randrange(17_000, 30_000, 10)
        with ExitStack() as held:
            try:
                for port in range(base, base + count):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return base
    raise RuntimeError(f"no {count} ports in a row are free")


def _path() -> str:
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def _take_down(folder: Path) -> None:
    subprocess.run([SCRIPTS / "slurm-down.sh", folder, "--purge"], check=False, timeout=90)
    shutil.rmtree(folder, ignore_errors=True)


class _taken_down_if_this_process_dies:  # noqa: N801 - reads as a sentence where it is used
    """A process of its own that waits for this one's end: daemons have no parent that could end them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> None:
        down = SCRIPTS / "slurm-down.sh"
        waits = f'while kill -0 {os.getpid()} 2>/dev/null; do sleep 2; done; "{down}" "{self.folder}" --purge'
        self.guard = subprocess.Popen(["bash", "-c", waits], start_new_session=True, stdin=subprocess.DEVNULL)

    def __exit__(self, *_: object) -> None:
        self.guard.kill()
        self.guard.wait()
