"""What telling of itself costs a run: the same workflow with thousands of fast fits, telling and silent.

    python tests/bench/telling.py --trials 1000 --repeats 5 --cluster threads

Both run in fresh processes, one after the other, again and again; a silent run hands its events on and tells nobody.
CPU-seconds are of the process and of all it started, medians of the repeats. On a machine that others use, two such
numbers differ by more than telling costs; so its own methods are also timed one by one, by the time of their threads.
``--view`` has somebody look at the page all the while.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from daskflow.core.events import Event
from daskflow.dashboard.watched import Watched
from daskflow.workflow import Workflow, execute
from daskflow.workflow.telling import Telling


class Silent:
    """A listener in the place of what tells."""

    control: Any = None

    def __init__(self, folder: Any, recorder: Any, listener: Any, **_: Any) -> None:
        self._listener = listener

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def __call__(self, event: Event) -> None:
        self._listener(event)

    @contextmanager
    def watched(self, connection: Any) -> Iterator[None]:
        yield


OWN: dict[str, float] = {}
"""Processor seconds of what telling does itself: in its thread, in the run's own, and on the pages."""


def count(owner: Any, *names: str) -> None:
    """Add up what methods take of the threads that they run in."""
    for name in names:
        inner = getattr(owner, name)

        def timed(self: Any, *given: Any, _inner: Any = inner, **options: Any) -> Any:
            begun = time.thread_time()
            try:
                return _inner(self, *given, **options)
            finally:
                OWN[_inner.__qualname__] = OWN.get(_inner.__qualname__, 0.0) + time.thread_time() - begun

        setattr(owner, name, timed)


def look(event: Event) -> None:
    """Fetch what the overview shows, as a browser would, until the run is over."""
    if event.name != "address":
        return
    place = event.fields["url"].replace("/daskflow", "/daskflow-feed?page=search&have={}&wait=1")

    def go_on() -> None:
        while True:
            try:
                asked = urllib.request.Request(place, headers={"Authorization": f"Bearer {event.fields['token']}"})
                urllib.request.urlopen(asked, timeout=15).read()
            except OSError:
                return

    threading.Thread(target=go_on, daemon=True).start()


def once(trials: int, cluster: str, views: bool) -> None:
    """Run the workflow, and print what it took."""
    with tempfile.TemporaryDirectory() as folder:
        space = {"alpha": {"loguniform": [1e-6, 1e-1]}, "penalty": ["l2", "l1"], "eta0": [0.1, 0.01]}
        workflow = Workflow(
            name="telling",
            data={"kind": "generated", "rows": 600, "partitions": 2},
            split={"test": 0.3, "folds": 2},
            model="sgd",
            search={"kind": "random", "trials": trials, "metric": "roc_auc", "isolate": False, "space": space},
            evaluation={"explain": False},
            cluster=cluster,
            cache={"folder": str(Path(folder) / "cache")},
            seed=3,
        )
        begun = time.perf_counter()
        run = workflow.run(Path(folder) / "runs", listener=look if views else lambda event: None)
        seconds = time.perf_counter() - begun
        events = run.path / "events.jsonl"
        size = events.stat().st_size if events.exists() else 0
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(each.ru_utime + each.ru_stime for each in spent)
    print(json.dumps({"cpu": cpu, "seconds": seconds, "bytes": size, "own": sum(OWN.values()), "parts": OWN}))


def measured(mode: str, options: Sequence[str]) -> dict[str, Any]:
    """Run once in a process of its own."""
    command = [sys.executable, __file__, "--mode", mode, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ})
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cluster", default="threads")
    parser.add_argument("--view", action="store_true")
    parser.add_argument("--mode", choices=["telling", "silent"])
    given = parser.parse_args()
    if given.mode:
        if given.mode == "silent":
            execute.Telling = Silent  # type: ignore[misc,assignment]
        count(Telling, "_rounds", "_hear", "before", "after", "_connect", "_say_end")
        count(Watched, "hear")
        once(given.trials, given.cluster, given.view and given.mode == "telling")
        return
    options = ["--trials", str(given.trials), "--cluster", given.cluster, *(["--view"] if given.view else [])]
    found: dict[str, list[dict[str, Any]]] = {"telling": [], "silent": []}
    for _ in range(given.repeats):
        for mode, results in found.items():
            results.append(measured(mode, options))
    where = f"{platform.machine()}, Python {platform.python_version()}"
    print(f"{given.trials} trials of 2 fits on {given.cluster}; {where}")
    for mode, results in found.items():
        cpu, seconds = (median(each[word] for each in results) for word in ("cpu", "seconds"))
        print(f"{mode:8} {cpu:7.2f} CPU-s, {seconds:7.2f} s, events.jsonl {results[-1]['bytes'] / 2**10:,.0f} KiB")
    own = median(told["own"] / told["cpu"] for told in found["telling"])
    parts = {name: round(seconds, 3) for name, seconds in found["telling"][-1]["parts"].items()}
    print(f"what telling does itself takes {100 * own:.2f} % of the run's processor time: {parts}")
    pairs = [told["cpu"] / silent["cpu"] - 1 for told, silent in zip(found["telling"], found["silent"], strict=True)]
    each = ", ".join(f"{100 * one:+.1f}" for one in pairs)
    print(f"against a silent run: {100 * median(pairs):+.1f} % (median of pairs; each: {each})")


if __name__ == "__main__":
    main()
