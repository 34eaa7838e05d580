"""Tools side by side: each run in a process of its own, in turns, timed with all processes below it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import psutil

LIBRARIES = ("scikit-learn", "numpy", "pandas", "dask", "distributed", "dask-ml", "optuna", "ray", "joblib")


_seen: dict[tuple[int, float], float] = {}
"""Own CPU-seconds of every process that was ever below this one, when it was last looked at."""


def cpu() -> float:
    """CPU-seconds of this process and all below it, those that have ended included.

    A process adds those of the children that it has waited for. Where nobody waits, `watch` sees more.
    """
    total = 0.0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            times = process.cpu_times()
            _seen[process.pid, process.create_time()] = times.user + times.system
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return max(total, sum(_seen.values()))


def watch(seconds: float = 0.2) -> None:
    """Look at all processes from now on, for a tool whose processes end without anybody waiting for them."""

    def look() -> None:
        while True:
            cpu()
            time.sleep(seconds)

    threading.Thread(target=look, daemon=True).start()


class Clock:
    """Wall and CPU-seconds of a ``with`` block."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.wall = self.cpu = 0.0

    def __enter__(self) -> Clock:
        """Start."""
        self._begun = time.perf_counter(), cpu()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        wall, used = self._begun
        self.wall, self.cpu = time.perf_counter() - wall, cpu() - used


class Stopwatch:
    """Wall and CPU-seconds of this process alone, summed over many short ``with`` blocks, to the nanosecond."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.wall = self.cpu = 0.0

    def __enter__(self) -> Stopwatch:
        """Start."""
        self._begun = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and add."""
        wall, used = self._begun
        self.wall += time.perf_counter() - wall
        self.cpu += time.process_time() - used


def answer(tool: Callable[[Clock], Mapping[str, Any]]) -> None:
    """Run a tool in this process, and print what it found and took as the last line of the output."""
    clock = Clock()
    found = dict(tool(clock))
    known = {}
    for name in LIBRARIES:
        try:
            known[name] = version(name)
        except PackageNotFoundError:
            continue
    print(json.dumps({**found, "wall": clock.wall, "cpu": clock.cpu, "whole": cpu(), "versions": known}))


def once(
    script: str, arguments: Sequence[str], *, python: str = sys.executable, environment: Mapping[str, str] = {}
) -> dict[str, Any]:
    """Run a script in a process of its own, with one native thread unless the environment says otherwise.

    A value of "" removes a variable. Another Python does not see this one's search path.
    """
    given = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    left_out = {"PYTHONDONTWRITEBYTECODE", *(["PYTHONPATH"] if python != sys.executable else [])}
    kept = {name: value for name, value in given.items() if name not in left_out and value}
    done = subprocess.run([python, script, *arguments], capture_output=True, text=True, env=kept, check=False)
    if done.returncode:
        raise SystemExit(f"{script} {' '.join(arguments)} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def in_turns(
    names: Sequence[str], repeats: int, run: Callable[[str], dict[str, Any]], shown: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    """Run every tool once, then every tool again, `repeats` times; print each run."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for turn in range(repeats):
        for name, found in runs.items():
            found.append(run(name))
            cells = "  ".join(f"{key} {found[-1][key]:.6g}" for key in ("cpu", "wall", "whole", *shown))
            print(f"{turn + 1}  {name:<28} {cells}", flush=True)
    return runs


def middle(runs: Sequence[Mapping[str, Any]], key: str, digits: int = 2) -> str:
    """Return the median, and the range where there are several."""
    values = [run[key] for run in runs]
    text = f"{median(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def table(runs: Mapping[str, Sequence[Mapping[str, Any]]], columns: Mapping[str, tuple[str, int]]) -> str:
    """Return a table in Markdown: times, and of each further column its key and digits."""
    lines = [" | ".join(["| tool", "CPU-s", "wall s", "CPU-s with start", *columns]) + " |"]
    lines.append("|---" * (4 + len(columns)) + "|")
    for name, found in runs.items():
        cells = [middle(found, key) for key in ("cpu", "wall", "whole")]
        cells += [f"{median(run[key] for run in found):.{digits}f}" for key, digits in columns.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def about(runs: Mapping[str, Sequence[Mapping[str, Any]]], repeats: int) -> str:
    """Return when, on what, and with which versions; those of a tool that differ from the first one's are told."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
    first: Mapping[str, str] = next(iter(runs.values()))[0]["versions"]
    others = {name: found[0]["versions"] for name, found in runs.items()}
    different = {
        name: {key: value for key, value in own.items() if first.get(key) != value} for name, own in others.items()
    }
    said = "; ".join(f"{name}: {written(own)}" for name, own in different.items() if own)
    load = f"load {os.getloadavg()[0]:.1f}"
    return (
        f"{date.today()}, {os.cpu_count()} x {model}, Python {platform.python_version()}, {written(first)}"
        f"{f'; {said}' if said else ''}; medians of {repeats} runs in turns (ranges in brackets), {load}"
    )


def written(versions: Mapping[str, str]) -> str:
    """Return versions as text."""
    return ", ".join(f"{name} {value}" for name, value in versions.items())


def add_options(parser: argparse.ArgumentParser, tools: Sequence[str], repeats: int) -> None:
    """Add the options that every comparison has."""
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--tools", nargs="*", default=list(tools), choices=list(tools))
    parser.add_argument(
        "--python",
        nargs="*",
        default=[],
        metavar="TOOL=PATH",
        help="another Python for a tool, such as one whose environment has it",
    )
    parser.add_argument("--one", choices=list(tools), help="run one tool once in this process, and print JSON")


def pythons(options: argparse.Namespace) -> dict[str, str]:
    """Return the Python of each tool that has its own."""
    return {name: path for name, _, path in (each.partition("=") for each in options.python)}
