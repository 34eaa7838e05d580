"""Real runs are paused, steered, killed and stopped from the shell, and leave a model that predicts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daskflow.core.journal import read
from daskflow.workflow import open_run
from tests.test_documents import prepare

ROOT = Path(__file__).resolve().parents[1]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

WORKFLOW = """
name = "cars"
metrics = ["rmse", "r2"]

[data]
kind = "csv"
path = "cars/*.csv"
target = "price"

[split]
kind = "random"
folds = 2

[model]
kind = "random_forest"

[search]
kind = "random"
trials = 400

[search.space]
n_estimators = [200, 300, 400]
max_depth = { randint = [3, 30] }

[search.budget]
trials = 300
wall_time = "1 h"

[cluster]
kind = "local"
workers = 2
memory = "1 GiB"

[evaluation]
explain = false
"""
"""A search of minutes."""


class Shell:
    """Commands in a folder, with one run of it that goes on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        prepare(folder)
        (folder / "cars.toml").write_text(WORKFLOW)
        self.environment = {**os.environ, "DASKFLOW_CACHE_DIR": str(folder / "store"), "PYTHONPATH": str(ROOT)}
        self.running: subprocess.Popen[str] | None = None

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "daskflow", *words]

    def run(self) -> None:
        """Start or continue the run."""
        self.running = subprocess.Popen(
            self.command("run", "cars.toml", "--json"),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def control(self, *words: str) -> str:
        """Ask something of it; what is said."""
        done = subprocess.run(
            self.command("control", "runs/cars", *words),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip() if done.returncode == 0 else f"{done.returncode}: {done.stderr.strip()}"

    def kill(self) -> None:
        """Kill the driver; the kernel ends the rest."""
        assert self.running is not None
        self.running.send_signal(signal.SIGKILL)
        self.running.communicate()

    def wait(self) -> dict[str, Any]:
        """Wait until it ends well, and return what it printed."""
        assert self.running is not None
        out, said = self.running.communicate(timeout=300)
        assert self.running.returncode == 0, said
        return dict(json.loads(out))

    def records(self, kind: str = "") -> list[dict[str, Any]]:
        """The journal's, of a kind."""
        found = list(self.folder.glob("runs/cars/*/journal.jsonl"))
        return [r for path in found for r in read(path) if not kind or r["record"] == kind]

    def until(self, holds: Callable[[], bool], seconds: float = 240.0) -> None:
        """Wait for something."""
        end = time.monotonic() + seconds
        while not holds():
            assert self.running is not None
            assert self.running.poll() is None, self.running.communicate()
            assert time.monotonic() < end, self.records()[-5:]
            time.sleep(0.05)

    def units(self) -> int:
        return len(self.records("unit"))


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """Whatever runs ends with the test."""
    opened = Shell(tmp_path)
    yield opened
    if opened.running is not None and opened.running.poll() is None:
        opened.kill()


def test_a_run_is_paused_killed_continued_steered_and_stopped_from_the_shell(shell: Shell) -> None:
    # given a run with a score, that is paused
    shell.run()
    shell.until(lambda: shell.units() >= 2)
    assert shell.control("pause").startswith("No new fits are handed in;")
    assert shell.control("pause") == "1: Error: The search is paused already."
    shell.until(lambda: len(shell.records("start")) == shell.units())
    paused = shell.units()
    time.sleep(1.5)
    assert shell.units() == paused == len(shell.records("start"))
    # when it is killed, and started again, then it goes on
    shell.kill()
    assert shell.control("stop").endswith("does not go on (it is interrupted): there is nothing to stop.")
    shell.run()
    shell.until(lambda: shell.units() > paused)
    assert [(r["command"], r["by"]) for r in shell.records("control")] == [
        ("pause", "command line"),
        ("resume", "a new start"),
    ]
    # when a trial is cancelled, the newest that has not ended by the time that is heard, and the budget extended
    for _ in range(20):
        trial = max((record["trial"] for record in shell.records("start")), key=int)
        said = shell.control("cancel", "--trial", trial)
        if not said.endswith("is finished: there is nothing left of it to cancel."):
            break
    assert said == f"Trial {trial} gets nothing more: its fits are given up, and it ranks last."
    assert "raised by 10 min of wall time and 20 trials" in shell.control(
        "extend", "--wall-time", "10 min", "--trials", "20"
    )
    assert (
        shell.control("extend", "--trials", "90") == "1: Error: The search can take 80 more trials: it draws no others."
    )
    # when it is stopped, and killed before it has come to its end
    assert shell.control("stop").startswith("Fits that run are given up, the best trial so far is kept")
    shell.kill()
    known = shell.records("unit")
    scores: dict[str, list[float]] = {}
    for record in known:
        if "error" not in record:
            scores.setdefault(record["trial"], []).append(record["metrics"]["rmse"])
    best = min((trial for trial in scores if len(scores[trial]) == 2), key=lambda trial: sum(scores[trial]))
    # then it ends where it was stopped when it is continued, with the best so far
    shell.run()
    summary = shell.wait()
    assert shell.records("unit") == known
    assert summary["best"]["trial"] == best
    run = open_run(shell.folder / "runs" / "cars")
    assert run.status == "done"
    assert run.search is not None
    assert run.search.ended == "it was stopped by hand"
    assert "The search did not come to its own end: it was stopped by hand." in run.report_path.read_text()
    assert {t.id for t in run.trials if t.error == "cancelled by hand"} == {trial}
    assert len(run.trials) == 300
    # and the model predicts
    done = subprocess.run(
        shell.command("predict", "runs/cars", "new/2021.csv", "-o", "scored.csv"),
        cwd=shell.folder,
        env=shell.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert len((shell.folder / "scored.csv").read_text().splitlines()) == 51
    # and nothing is left of what it was asked for
    assert not (run.path / "control").exists()
