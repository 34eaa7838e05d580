"""On a real cluster: whichever process is killed, at whatever moment, the search ends as one left alone."""

from __future__ import annotations

import json
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from daskflow.data.matrices import Matrices
from tests import killed_search
from tests.small_matrices import classes, matrices_of
from tests.test_search_resume import audit, finished, gist

ROOT = Path(__file__).resolve().parents[1]
WORKERS = 2


@pytest.fixture(scope="module")
def matrices(tmp_path_factory: pytest.TempPathFactory) -> Matrices:
    """Rows for all searches of this file."""
    X, y = classes(n_rows=20_000, n_features=20)
    return matrices_of(tmp_path_factory.mktemp("rows") / "matrices", X, y)


PROGRAM = """
import pickle, sys
from pathlib import Path
from tests import killed_search
if __name__ == "__main__":
    matrices = pickle.loads(Path(sys.argv[3]).read_bytes())
    killed_search.search(sys.argv[1], Path(sys.argv[2]), matrices, workers=int(sys.argv[4]))
"""


def targets(driver: psutil.Process) -> dict[str, list[psutil.Process]]:
    """Processes of a running search by what they are."""
    found: dict[str, list[psutil.Process]] = {"worker": [], "seat": []}
    for process in driver.children(recursive=True):
        try:
            words = " ".join(process.cmdline())
            if "seat_process" in words:
                found["seat"].append(process)
            elif "spawn_main" in words:
                found["worker"].append(process)
        except psutil.Error:
            continue
    return found


def strike(driver: psutil.Process, what: str, rng: random.Random) -> bool:
    """Kill something of a running search; False when there is no such process now."""
    if what in ("driver", "group"):
        victims = [driver] if what == "driver" else [driver, *driver.children(recursive=True)]
    else:
        some = targets(driver)[what]
        victims = [rng.choice(some)] if some else []
    for victim in victims:
        try:
            victim.send_signal(signal.SIGKILL)
        except psutil.Error:
            continue
    return bool(victims)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", sorted(killed_search.SEARCHES))
def test_killed_processes_of_a_cluster_change_nothing(kind: str, tmp_path: Path, matrices: Matrices) -> None:
    # given a search left alone
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole = killed_search.search(kind, tmp_path / "whole", matrices)
    # when workers, the processes of fits, the driver with the scheduler, and all of them are killed
    rng = random.Random(11)
    strikes = ["worker", "seat", "driver", "group"]
    rng.shuffle(strikes)
    struck: list[str] = []

    (tmp_path / "matrices.pkl").write_bytes(pickle.dumps(matrices))
    command = [sys.executable, "-c", PROGRAM, kind, str(tmp_path / "killed"), str(tmp_path / "matrices.pkl")]
    for _ in range(12):
        done, begun = set(finished(tmp_path / "killed")), len(audit(tmp_path / "killed"))
        running = subprocess.Popen([*command, str(WORKERS)], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        driver = psutil.Process(running.pid)
        more = rng.randrange(1, 12)
        while running.poll() is None:
            if strikes and len(finished(tmp_path / "killed")) >= len(done) + more:
                time.sleep(rng.random() * 0.05)
                if running.poll() is None and strike(driver, strikes[0], rng):
                    struck.append(strikes.pop(0))
                    more += rng.randrange(1, 12)
            time.sleep(0.005)
        _, said = running.communicate()
        # then nothing that was on record when it started began again
        assert not done & set(audit(tmp_path / "killed")[begun:])
        if running.returncode == 0:
            break
        assert running.returncode == -signal.SIGKILL, said
    # and it ends as the one left alone
    assert running.returncode == 0
    assert len(struck) >= 3, struck
    result = killed_search.search(kind, tmp_path / "killed", matrices)
    assert gist(result) == gist(whole)
    records = finished(tmp_path / "killed")
    assert sorted(records) == sorted(finished(tmp_path / "whole"))
    starts = Counter(audit(tmp_path / "killed"))
    assert sum(starts.values()) - len(starts) <= len(struck) * WORKERS * killed_search.BATCH, json.dumps(struck)
    # and no process of it is left
    left = [p for p in psutil.process_iter() if str(tmp_path) in " ".join(_words(p)) and p.pid != os.getpid()]
    assert left == []


def _words(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []
