"""A search killed at random moments ends as one left alone, and repeats only what was in flight."""

from __future__ import annotations

import multiprocessing
import pickle
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import joblib
import psutil
import pytest

from daskflow.core.journal import read
from daskflow.core.results import SearchResult
from daskflow.data.matrices import Matrices
from daskflow.workflow.acting import is_held
from tests import killed_run, killed_search
from tests.killed_search import hold_up, n_finished
from tests.small_matrices import classes, matrices_of

SLACK = 3
"""So many more units than at the moment of a kill may be finished before it; then they wait for it."""


@pytest.fixture(scope="module")
def matrices(tmp_path_factory: pytest.TempPathFactory) -> Matrices:
    """Rows for all searches of this file."""
    X, y = classes(n_rows=6000, n_features=20)
    return matrices_of(tmp_path_factory.mktemp("rows") / "matrices", X, y)


def gist(result: SearchResult) -> Any:
    """What must be equal: all but times."""
    trials = [
        (t.id, t.params, str(t.state), t.score, t.resource, t.metrics, [(p.resource, p.fold_scores) for p in t.curve])
        for t in result.trials
    ]
    return trials, result.best.id


def finished(folder: Path) -> list[str]:
    """Keys of the units on record."""
    return [
        f"fit-{record['trial']}-{record['fold']}-{record['resource']}"
        for record in read(folder / "journal.jsonl")
        if record["record"] == "unit"
    ]


def models(folder: Path) -> dict[str, str]:
    """Hash of what each model holds that stands on record between two rungs, by its file."""
    details = [record["details"] for record in read(folder / "journal.jsonl") if record["record"] == "unit"]
    kept = [folder / "snapshots" / detail["snapshot"] for detail in details if "snapshot" in detail]
    # Not the bytes: pickled again, a model that was read has another order of references than one just trained.
    return {path.name: joblib.hash(pickle.loads(path.read_bytes())) for path in kept if path.exists()}


def audit(folder: Path) -> list[str]:
    """Keys of the units that began, in order."""
    return (folder / "audit").read_text().split() if (folder / "audit").exists() else []


def strike(driver: psutil.Process, what: str, rng: random.Random) -> bool:
    """Kill a worker, the driver, or the driver with its workers; False when there is none now."""
    try:
        workers = driver.children() if what != "driver" else []
        victims = {"worker": rng.sample(workers, min(1, len(workers))), "driver": [driver]}.get(what)
        for victim in victims if victims is not None else [driver, *workers]:
            victim.send_signal(signal.SIGKILL)
    except psutil.NoSuchProcess:
        return False
    return victims != []


def kill_at_random(kind: str, folder: Path, matrices: Matrices, moments: list[int], rng: random.Random) -> Counter[str]:
    """Run the search until it ends; each time so many of its units are finished, kill something of it.

    Return how often what was killed.
    """
    processes = multiprocessing.get_context("forkserver")  # imports are done once, so a start takes little
    processes.set_forkserver_preload(killed_run.PRELOAD)
    killed = Counter[str]()
    hold_up(folder, moments[0] + SLACK)
    for _ in range(3 * len(moments)):
        done, begun = set(finished(folder)), len(audit(folder))
        process = processes.Process(target=killed_search.search, args=(kind, folder, matrices, "forks"))
        process.start()
        driver = psutil.Process(process.pid)
        victims = rng.sample(["driver", "group"], 1)
        if rng.random() < 0.4:
            victims.insert(0, "worker")  # one for each driver: a job whose worker dies twice is given up
        while victims and moments and process.is_alive():
            process.join(0.001)
            if n_finished(folder) < moments[0] or not audit(folder)[begun:]:
                continue
            process.join(rng.random() * 0.01)
            if process.is_alive() and strike(driver, victims[0], rng):
                killed[victims.pop(0)] += 1
                moments.pop(0)
                hold_up(folder, moments[0] + SLACK if moments else None)
        process.join()
        # then nothing that was on record began again
        assert not done & set(audit(folder)[begun:])
        if process.exitcode == 0:
            return killed
        assert process.exitcode == -signal.SIGKILL
        until_free(folder / "journal.jsonl")
    raise AssertionError("the search does not come to its end")


def until_free(journal: Path) -> None:
    """Wait until the forks of a killed driver are gone, too, which have its lock on the journal for as long."""
    end = time.monotonic() + 60
    while is_held(journal):
        assert time.monotonic() < end
        time.sleep(0.005)


def check_killed(kind: str, folder: Path, matrices: Matrices, *, kills: int, seed: int) -> None:
    """Compare a search killed so often with one left alone."""
    (folder / "whole").mkdir()
    (folder / "killed").mkdir()
    whole, model = killed_search.search(kind, folder / "whole", matrices)
    # when
    rng, total = random.Random(seed), len(finished(folder / "whole"))
    moments = sorted(int(rng.uniform(0, 0.85) * total) for _ in range(kills))
    killed = kill_at_random(kind, folder / "killed", matrices, moments, rng)
    # then it was killed in fact, and ends the same, with the same models to the last bit
    assert killed.total() == kills
    before = len(audit(folder / "killed"))
    result, same_model = killed_search.search(kind, folder / "killed", matrices)
    assert len(audit(folder / "killed")) == before
    assert gist(result) == gist(whole)
    assert same_model == model
    assert models(folder / "killed") == models(folder / "whole")
    assert bool(models(folder / "whole")) == (kind == "hyperband")
    # and no candidate was drawn a second time in place of another
    if kind == "tpe":
        assert len({repr(sorted(trial.params.items())) for trial in result.trials}) == len(result.trials) == 30
    # and each unit is on record once; what ran twice was in flight at a kill, a batch on each of two workers
    records = finished(folder / "killed")
    assert sorted(records) == sorted(finished(folder / "whole"))
    assert len(records) == len(set(records)) == 60
    starts = Counter(audit(folder / "killed"))
    assert starts.total() - len(starts) <= killed.total() * killed_search.BATCH * killed_search.ForkExecutor.slots
    assert len(starts) == 60


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(killed_search.SEARCHES))
def test_guarantees_1_2_3_a_hundred_kills_of_drivers_and_workers_change_nothing(
    tmp_path: Path, matrices: Matrices, kind: str
) -> None:
    check_killed(kind, tmp_path, matrices, kills=38, seed=5)  # of each of three kinds


def test_three_kills_change_nothing(tmp_path: Path, matrices: Matrices) -> None:
    check_killed("hyperband", tmp_path, matrices, kills=3, seed=6)


@pytest.mark.endurance
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("kind", sorted(killed_search.SEARCHES))
def test_a_thousand_kills_change_nothing(tmp_path: Path, matrices: Matrices, kind: str, seed: int) -> None:
    check_killed(kind, tmp_path, matrices, kills=38, seed=seed)
