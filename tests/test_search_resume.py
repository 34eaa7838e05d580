"""A search killed at random moments ends as one left alone, and repeats only what was in flight."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from daskflow.core.journal import read
from daskflow.core.results import SearchResult
from daskflow.data.matrices import Matrices
from tests import killed_search
from tests.small_matrices import classes, matrices_of


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


def audit(folder: Path) -> list[str]:
    """Keys of the units that began, in order."""
    return (folder / "audit").read_text().split() if (folder / "audit").exists() else []


def kill_at_random(kind: str, folder: Path, matrices: Matrices, *, kills: int, rng: random.Random) -> int:
    """Run the search until it ends, killing it `kills` times; return how often it was killed in fact."""
    processes = multiprocessing.get_context("forkserver")  # imports are done once, so a start takes little
    processes.set_forkserver_preload(["tests.killed_search"])
    journal, killed = folder / "journal.jsonl", 0
    for invocation in itertools.count():
        done, begun = set(finished(folder)), len(audit(folder))
        size = journal.stat().st_size if journal.exists() else 0
        process = processes.Process(target=killed_search.search, args=(kind, folder, matrices))
        process.start()
        more = rng.randrange(0, 40_000 // kills)  # bytes of journal until the kill; a unit writes about 600
        moment = rng.random() * 0.004
        while killed < kills and process.is_alive():
            process.join(0.001)
            if journal.exists() and journal.stat().st_size >= size + more:
                process.join(moment)
                if process.is_alive():
                    os.kill(process.pid or 0, signal.SIGKILL)
                    killed += 1
                break
        process.join()
        # then nothing that was on record began again
        assert not done & set(audit(folder)[begun:])
        if process.exitcode == 0:
            return killed
        assert process.exitcode == -signal.SIGKILL
        assert invocation < 3 * kills
    return killed


def check_killed(kind: str, folder: Path, matrices: Matrices, *, kills: int, seed: int) -> None:
    """Compare a search killed so often with one left alone."""
    (folder / "whole").mkdir()
    (folder / "killed").mkdir()
    whole = killed_search.search(kind, folder / "whole", matrices)
    # when
    killed = kill_at_random(kind, folder / "killed", matrices, kills=kills, rng=random.Random(seed))
    # then it was killed in fact, and ends the same
    assert killed >= 0.7 * kills
    before = len(audit(folder / "killed"))
    result = killed_search.search(kind, folder / "killed", matrices)
    assert len(audit(folder / "killed")) == before
    assert gist(result) == gist(whole)
    # and no candidate was drawn a second time in place of another
    if kind == "random":
        assert len({repr(sorted(trial.params.items())) for trial in result.trials}) == len(result.trials) == 30
    # and each unit is on record once; what ran twice was in flight at a kill, one batch at a time
    records = finished(folder / "killed")
    assert sorted(records) == sorted(finished(folder / "whole"))
    assert len(records) == len(set(records)) == 60
    starts = Counter(audit(folder / "killed"))
    assert sum(starts.values()) - len(starts) <= killed * killed_search.BATCH
    assert len(starts) == 60


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(killed_search.SEARCHES))
def test_twelve_kills_change_nothing(tmp_path: Path, matrices: Matrices, kind: str) -> None:
    check_killed(kind, tmp_path, matrices, kills=12, seed=5)


def test_three_kills_change_nothing(tmp_path: Path, matrices: Matrices) -> None:
    check_killed("hyperband", tmp_path, matrices, kills=3, seed=6)


@pytest.mark.endurance
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", sorted(killed_search.SEARCHES))
def test_hundreds_of_kills_change_nothing(tmp_path: Path, matrices: Matrices, kind: str, seed: int) -> None:
    check_killed(kind, tmp_path, matrices, kills=20, seed=seed)
