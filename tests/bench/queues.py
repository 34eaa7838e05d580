"""A real Slurm, daskflow beside plain dask-jobqueue: the first fit, the end of walltimes, a killed worker.

    tests/slurm/slurm-up.sh /tmp/slurm && . /tmp/slurm/env.sh    # as root: a Slurm of four nodes on this machine
    python tests/bench/queues.py first-fit --repeats 5
    python tests/bench/queues.py walltime
    python tests/bench/queues.py replaced --repeats 3

`first-fit` starts each program in turn, all of them again and again, on an idle queue, and takes the seconds from the
start of the process to the first finished fit; and the CPU-seconds until then, those of all jobs included. What plain
dask-jobqueue runs is in `faults/first_fit.py`. `walltime` gives both the 70 tasks of 2.5 s on two jobs of a minute, one
after the other. `replaced` cancels one of two workers.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from turns import middle

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "faults"))

from plain import begin, jobs, slow, until  # noqa: E402
from walltime import watched  # noqa: E402

WORKFLOW = """
name = "first"
seed = 7
[data]
kind = "csv"
path = "cars/*.csv"
target = "price"
[model]
kind = "sgd"
[search]
kind = "random"
trials = 4
[cluster]
kind = "slurm"
workers = 1
memory = "700 MB"
walltime = "10 min"
interface = "lo"
scratch = "scratch"
"""


@dataclass
class Used:
    """CPU-seconds of this Slurm's jobs and of a process with all below it, as far as they were seen."""

    process: psutil.Process
    seconds: dict[tuple[int, float], float] = field(default_factory=dict)
    others: set[tuple[int, float]] = field(default_factory=set)

    def look(self) -> float:
        """Look at all processes, and return the sum."""
        below = {self.process.pid, *(each.pid for each in self._below())}
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                who = process.pid, process.create_time()
                if who in self.others:
                    continue
                if who not in self.seconds and process.pid not in below and not self._is_job(process):
                    self.others.add(who)
                    continue
                times = process.cpu_times()
                self.seconds[who] = times.user + times.system
        return sum(self.seconds.values())

    def _below(self) -> list[psutil.Process]:
        with suppress(psutil.Error):
            return list(self.process.children(recursive=True))
        return []

    def _is_job(self, process: psutil.Process) -> bool:
        environment = process.environ()
        return "SLURM_JOB_ID" in environment and environment.get("SLURM_CONF") == os.environ["SLURM_CONF"]


@contextmanager
def started(command: list[str], place: Path, output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program, and see that it ends."""
    left_out = ("PYTHONDONTWRITEBYTECODE",)
    environment = {name: text for name, text in os.environ.items() if name not in left_out}
    environment["DASKFLOW_CACHE_DIR"] = str(place / "cache")
    with output.open("wb") as file:
        process = subprocess.Popen(command, cwd=place, env=environment, stdout=file, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


def first_fit(command: list[str], place: Path, at: Callable[[Path], float | None]) -> dict[str, Any]:
    """Run a program until its first fit is done."""
    output = place / "output"
    output.unlink(missing_ok=True)
    shutil.rmtree(place / "cache", ignore_errors=True)
    shutil.rmtree(place / "runs", ignore_errors=True)
    began, load = time.time(), os.getloadavg()[0]
    with started(command, place, output) as process:
        used = Used(psutil.Process(process.pid))
        while (done := at(place)) is None:
            if time.time() - began > 120 or process.poll() not in (None, 0):
                raise SystemExit(f"{command}: no fit\n{output.read_text()[-3000:]}")
            used.look()
            time.sleep(0.1)
        cpu = used.look()
    return {"wall": done - began, "cpu": cpu, "load": load}


def printed(place: Path) -> float | None:
    """When the first fit was done, as the program says in its last line."""
    for file in (place / "output", *place.glob("slurm-*.out")):
        for line in file.read_text().splitlines() if file.exists() else ():
            with suppress(ValueError):
                if float(line) > 1e9:
                    return float(line)
    return None


def journalled(place: Path) -> float | None:
    """When the first fit was recorded."""
    from daskflow.core.journal import read

    for file in place.glob("runs/first/*/journal.jsonl"):
        for record in read(file):
            if record["record"] == "unit":
                return float(record["at"])
    return None


def programs() -> dict[str, tuple[list[str], Callable[[Path], float | None]]]:
    """Return what is compared: each program, and how its first fit is seen."""
    python, plain = sys.executable, str(HERE / "faults" / "first_fit.py")
    connect = (
        "import daskflow as flow; from first_fit import one_fit\n"
        "with flow.connect('slurm', workers=1, memory='700 MB', walltime='10 min', interface='lo', scratch='scratch')"
        " as client: print(client.submit(one_fit, 1e-4).result(), flush=True)"
    )
    in_a_job = ["sbatch", "--parsable", "--mem=700M", "-t", "10", "--wrap"]
    by_hand = [python, plain, "cars/*.csv"]
    return {
        "one task: plain": ([python, plain, "--task"], printed),
        "one task: plain, TLS": ([python, plain, "--task", "--tls"], printed),
        "one task: daskflow.connect": ([python, "-c", connect], printed),
        "workflow: plain": (by_hand, printed),
        "workflow: plain, TLS": ([*by_hand, "--tls"], printed),
        "workflow: daskflow run": ([python, "-m", "daskflow", "run", "first.toml"], journalled),
        "in a job: plain, TLS": ([*in_a_job, f"exec {python} -u {plain} 'cars/*.csv' --tls"], printed),
        "in a job: daskflow submit": ([python, "-m", "daskflow", "submit", "first.toml"], journalled),
        "in a job: daskflow submit --json": ([python, "-m", "daskflow", "submit", "first.toml", "--json"], journalled),
    }


def compare_first_fit(repeats: int, chosen: list[str]) -> None:
    """Time all programs in turn, and print medians and ratios."""
    place = Path(tempfile.mkdtemp(prefix="queues-"))
    found: dict[str, list[dict[str, Any]]] = {}
    try:
        prepare(place)
        for turn in range(repeats + 1):  # the first one compiles and fills the page cache
            for name, (command, at) in programs().items():
                if chosen and not any(word in name for word in chosen):
                    continue
                once = first_fit(command, place, at)
                subprocess.run(["scancel", "--me", "--quiet"], check=False)
                until(lambda: not jobs(), 60)
                for file in place.glob("slurm-*.out"):
                    file.unlink()
                if turn:
                    found.setdefault(name, []).append(once)
                cells = f"{once['wall']:6.2f} s  {once['cpu']:6.2f} CPU-s  load {once['load']:.1f}"
                print(f"{turn}  {name:<28} {cells}", flush=True)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    print("\n| program | seconds to the first fit | CPU-seconds | times plain with TLS |\n|---|---|---|---|")
    for name, runs in found.items():
        base = found.get(f"{name.partition(':')[0]}: plain, TLS", runs)
        ratio = median(run["wall"] / other["wall"] for run, other in zip(runs, base, strict=True))
        print(f"| {name} | {middle(runs, 'wall')} | {middle(runs, 'cpu')} | {ratio:.2f} |")


def prepare(place: Path) -> None:
    """Write the table of used cars in two files, and the workflow."""
    import numpy as np
    import pandas as pd

    rng, n = np.random.default_rng(0), 20_000
    table = pd.DataFrame(
        {
            "make": rng.choice(["audi", "ford", "skoda"], n),
            "year": rng.integers(2005, 2021, n),
            "mileage": rng.integers(0, 120_000, n),
            "engine": rng.choice([1.0, 1.2, 1.6, 2.0], n),
        }
    )
    table["price"] = 900 * (table["year"] - 2000) - 0.05 * table["mileage"] + 3000 * table["engine"]
    (place / "cars").mkdir()
    table.iloc[: n // 2].to_csv(place / "cars" / "a.csv", index=False)
    table.iloc[n // 2 :].to_csv(place / "cars" / "b.csv", index=False)
    (place / "first.toml").write_text(WORKFLOW)


def marked(folder: str, number: int, seconds: float) -> int:
    """A task that leaves a line each time it begins."""
    with Path(folder, f"{number}").open("a") as file:
        file.write("begun\n")
    return slow(number, seconds)


def compare_walltime(tasks: int, seconds: float, patience: float) -> None:
    """Give daskflow, and then plain dask-jobqueue in both its ways, more work than one walltime holds."""
    import daskflow as flow

    place = Path(tempfile.mkdtemp(prefix="queues-"))
    marks = place / "marks"
    marks.mkdir()
    try:
        os.chdir(place)
        began = time.monotonic()
        with flow.connect(
            "slurm", workers=2, memory="700 MB", walltime="1 min", queue="short", interface="lo"
        ) as client:
            client.gather(client.map(marked, [str(marks)] * tasks, range(tasks), [seconds] * tasks, pure=False))
        took = time.monotonic() - began
        times = sum(len(file.read_text().splitlines()) for file in marks.iterdir())
        print(
            f"daskflow: {tasks} of {tasks} in {took:.0f} s, {times - tasks} begun again ({times / tasks - 1:.1%})",
            flush=True,
        )
    finally:
        os.chdir(HERE)
        shutil.rmtree(place, ignore_errors=True)
    for stagger in ("", "5s"):
        until(lambda: not jobs(), 60)
        print(f"plain, {'lifetime, stagger 5 s, adapt(2, 2)' if stagger else 'scale(2)'}: ", flush=True)
        print(watched(tasks, seconds, patience, stagger), flush=True)


def time_replacement(repeats: int) -> None:
    """Cancel a worker; time until its successor's job is there, and until its worker is."""
    import daskflow as flow

    place = Path(tempfile.mkdtemp(prefix="queues-"))
    found: list[dict[str, float]] = []
    try:
        os.chdir(place)
        with flow.connect("slurm", workers=2, memory="700 MB", walltime="10 min", interface="lo") as client:
            names = lambda: {str(each["name"]) for each in client.scheduler_info(n_workers=-1)["workers"].values()}  # noqa: E731
            for _ in range(repeats):
                until(lambda: len(names()) == 2, 120)
                time.sleep(12.0)  # the queue is asked seldom again
                before, load = names(), os.getloadavg()[0]
                victim = sorted(before)[0]
                known = set(jobs("--array"))
                subprocess.run(["scancel", victim], check=True)
                began = time.monotonic()
                until(lambda known=known: set(jobs("--array")) - known, 60, 0.1)
                job = time.monotonic() - began
                until(lambda before=before: names() - before, 120, 0.1)
                found.append({"job": job, "worker": time.monotonic() - began})
                print(
                    f"successor's job after {job:.1f} s, its worker after {found[-1]['worker']:.1f} s, load {load:.1f}",
                    flush=True,
                )
    finally:
        os.chdir(HERE)
        shutil.rmtree(place, ignore_errors=True)
    print(f"medians: job {middle(found, 'job', 1)} s, worker {middle(found, 'worker', 1)} s")


def main() -> None:
    """Measure one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["first-fit", "walltime", "replaced"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[], help="words of the programs of `first-fit` to run")
    parser.add_argument(
        "--patience", type=float, default=240.0, help="seconds after which plain dask-jobqueue is given up"
    )
    options = parser.parse_args()
    begin(f"{options.what}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    if options.what == "first-fit":
        compare_first_fit(options.repeats, options.only)
    elif options.what == "walltime":
        compare_walltime(70, 2.5, options.patience)
    else:
        time_replacement(options.repeats)


if __name__ == "__main__":
    main()
