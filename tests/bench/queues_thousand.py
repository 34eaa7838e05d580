"""A thousand workers on a queue that is made up: what looking at their jobs takes, and what the controller takes.

    python tests/bench/queues_thousand.py status
    python tests/bench/queues_thousand.py controller --seconds 60

The commands of Slurm are scripts that print recorded lines, and note each call. `controller` runs the whole loop that
holds a run's workers, by the real clock: jobs of ten minutes of every age, so that each second one or two come to their
end, are followed by others, begin, get their worker, and leave. Workers are made up, too. What makes them up runs in
the same process and is counted as the controller's; the commands, which are shell scripts here, are told apart.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

from distributed import Status

from daskflow.clusters.fleet_loop import FleetLoop
from daskflow.clusters.fleet_values import FleetPlan
from daskflow.clusters.slurm_commands import SlurmQueue

WALLTIME = 600.0
COMMANDS = {
    "squeue": 'cat "$PLACE/jobs"',
    "scontrol": 'echo "JobId=$4 JobState=COMPLETED Reason=None ExitCode=0:0"',
    "scancel": 'echo "$@" >>"$PLACE/cancelled"',
    "sbatch": """cat >/dev/null; n=$(cat "$PLACE/last" 2>/dev/null || echo 7); n=$((n + 1)); echo $n >"$PLACE/last"
count=1; for word in "$@"; do case $word in --array=0-*) count=$((${word#--array=0-} + 1));; esac; done
echo "$n $count" >>"$PLACE/submitted"; echo $n""",
}
"""Each command of Slurm as a script; PLACE is the folder of the made-up queue."""


def install(place: Path) -> None:
    """Put the commands on the path, before those of the machine."""
    for name, script in COMMANDS.items():
        file = place / name
        file.write_text(f'#!/bin/sh\nPLACE={place}\necho {name} >>"$PLACE/calls"\n{script}\n')
        file.chmod(0o755)
    os.environ["PATH"] = f"{place}{os.pathsep}{os.environ['PATH']}"


@dataclass
class Jobs:
    """The made-up queue and its workers: what its commands print, and what a scheduler would know."""

    place: Path
    scheduler: Any
    random: random.Random = field(default_factory=lambda: random.Random(0))
    began: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    read: int = 0

    def step(self) -> None:
        """Let a moment pass."""
        now = time.time()
        file = self.place / "submitted"
        lines = file.read_text().splitlines() if file.exists() else []
        for line in lines[self.read :]:
            number, count = line.split()
            first = self.read == 0
            for index in range(int(count)):
                id = f"{number}_{index}" if int(count) > 1 else number
                # those of the first submission are of every age
                age = self.random.uniform(0.0, WALLTIME - 60.0) if first else -self.random.uniform(1.0, 20.0)
                self.began[id] = now - age
            self.read += 1
        known = {str(worker.name): address for address, worker in self.scheduler.workers.items()}
        shown = []
        for id, began in self.began.items():
            if id not in self.ended and began + WALLTIME < now:
                self.ended[id] = now
                self.scheduler.workers.pop(known.get(id), None)
            if id in self.ended:
                if now - self.ended[id] < 60:
                    shown.append(f"{id}|COMPLETED|{began:.0f}|{self.ended[id]:.0f}|n1|None")
            elif began > now:
                shown.append(f"{id}|PENDING|N/A|N/A||Priority")
            else:
                shown.append(f"{id}|RUNNING|{began:.0f}|{began + WALLTIME:.0f}|n1|None")
                if began + 5.0 < now and id not in known and id not in self.scheduler.retired:
                    self.scheduler.come(id)
        for id in self.scheduler.retired - self.ended.keys():
            self.ended[id] = now
        temporary = self.place / "jobs.new"
        temporary.write_text("\n".join(shown) + "\n")
        temporary.replace(self.place / "jobs")


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """A task, as a scheduler has it."""

    key: str
    prefix: Any


class MadeUpScheduler:
    """As much of a scheduler as the fleet asks: workers, each of which executes a unit and has two more."""

    def __init__(self) -> None:
        self.came = 0
        self.workers: dict[str, Any] = {}
        self.retired: set[str] = set()
        self.queued: list[Any] = []
        self.unrunnable: list[Any] = []
        self.plugins: list[Any] = []
        self.stream_comms: dict[str, Any] = {}
        self.prefix = SimpleNamespace(name="fit", max_exec_time=20.0, duration_average=15.0)

    def come(self, id: str) -> None:
        """Let a worker come."""
        self.came += 1
        address = f"tls://10.0.{self.came // 250}.{self.came % 250}:40000"
        tasks = [Unit(f"fit-{id}-{place}", self.prefix) for place in range(3)]
        self.workers[address] = SimpleNamespace(
            name=id,
            address=address,
            nthreads=1,
            status=Status.running,
            last_seen=time.time(),
            has_what={"result": None},
            processing=dict.fromkeys(tasks, 1.0),
            executing={tasks[0]: 5.0},
        )
        self.stream_comms[address] = SimpleNamespace(send=lambda message: None)
        for plugin in self.plugins:
            plugin.add_worker(self, address)

    def handle_worker_status_change(self, status: Any, state: Any, stimulus: str) -> None:
        """A worker that begins nothing more has nothing to do soon."""
        state.status, state.last_seen = status, time.time() + 5.0
        state.processing, state.executing = {}, {}

    async def retire_workers(self, workers: list[str], **_: Any) -> None:
        """Let a worker leave."""
        for address in workers:
            self.retired.add(str(self.workers.pop(address).name))

    def transitions(self, *_: Any) -> None:
        """Nothing is handed back here."""

    def add_plugin(self, plugin: Any, name: str) -> None:
        """Tell it of workers."""
        self.plugins.append(plugin)

    def remove_plugin(self, name: str) -> None:
        """Tell nobody."""
        self.plugins.clear()


async def controller(workers: int, seconds: float, place: Path) -> dict[str, Any]:
    """Hold so many workers for a time, and return what that took."""
    scheduler = MadeUpScheduler()
    jobs = Jobs(place, scheduler)
    (place / "jobs").touch()
    plan = FleetPlan(workers=workers, seconds=WALLTIME, retries=3)
    loop = FleetLoop(scheduler, SlurmQueue(), plan, "#!/bin/sh\n")
    took: list[float] = []
    loop._decide = timed(loop._decide, took)  # type: ignore[method-assign]
    await loop.start()
    for _ in range(40):
        jobs.step()
        await asyncio.sleep(0.5)
    took.clear()
    (place / "calls").write_text("")
    own, children = time.process_time(), resource.getrusage(resource.RUSAGE_CHILDREN)
    submitted, began, making = jobs.read, time.monotonic(), 0.0
    least = workers
    while time.monotonic() - began < seconds:
        stepping = time.thread_time()
        jobs.step()
        making += time.thread_time() - stepping
        least = min(least, len(scheduler.workers))
        await asyncio.sleep(0.5)
    passed, cpu = time.monotonic() - began, time.process_time() - own
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    commands = after.ru_utime + after.ru_stime - children.ru_utime - children.ru_stime
    calls = Counter((place / "calls").read_text().split())
    result = {
        "workers": len(scheduler.workers),
        "least": least,
        "followed": jobs.read - submitted,
        "retired": len(scheduler.retired),
        "failure": loop.failure,
        "core_percent": 100 * (cpu - making) / passed,
        "core_percent_with_what_makes_it_up": 100 * cpu / passed,
        "core_percent_of_commands": 100 * commands / passed,
        "decisions": len(took),
        "decision_ms": 1000 * median(took),
        "slowest_ms": 1000 * max(took),
        "commands": dict(calls),
        "load": os.getloadavg()[0],
    }
    await loop.stop()
    return result


def timed(function: Callable[..., Any], took: list[float]) -> Callable[..., Any]:
    """Note the CPU-seconds of each call."""

    def call(*given: Any, **options: Any) -> Any:
        began = time.thread_time()
        try:
            return function(*given, **options)
        finally:
            took.append(time.thread_time() - began)

    return call


def status(workers: int, place: Path) -> dict[str, Any]:
    """Ask for so many jobs once, as the fleet and as `daskflow status` do; count commands and seconds."""
    now = time.time()
    lines = [f"7_{n}|RUNNING|{now:.0f}|{now + 600:.0f}|n1|None" for n in range(workers)]
    (place / "jobs").write_text("\n".join(lines) + "\n")
    (place / "calls").write_text("")
    ids = [f"7_{n}" for n in range(workers)]
    walls, cpus = [], []
    for _ in range(5):
        began, own = time.perf_counter(), time.process_time()
        found = asyncio.run(SlurmQueue().look(ids))
        walls.append(time.perf_counter() - began)
        cpus.append(time.process_time() - own)
        assert len(found) == workers
    calls = Counter((place / "calls").read_text().split())
    return {
        "jobs": workers,
        "commands_each": calls["squeue"] / 5,
        "others": len(calls) - 1,
        "seconds": median(walls),
        "cpu_seconds": median(cpus),
    }


def main() -> None:
    """Measure one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["status", "controller"])
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="queues-") as folder:
        install(Path(folder))
        if options.what == "status":
            found = status(options.workers, Path(folder))
        else:
            found = asyncio.run(controller(options.workers, options.seconds, Path(folder)))
    print(json.dumps(found, indent=1))
    print(f"{os.cpu_count()} processors, Python {sys.version.split()[0]}, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
