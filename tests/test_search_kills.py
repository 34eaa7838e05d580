"""On a real cluster: whichever process is killed, at whatever moment, the search ends as one left alone."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from daskflow.core.errors import DaskflowError
from daskflow.data.matrices import Matrices
from tests import killed_run, killed_search
from tests.killed_search import hold_up, n_finished
from tests.slurm_fixture import free_base_port
from tests.small_matrices import classes, matrices_of
from tests.test_search_resume import SLACK, audit, finished, gist, models

ROOT = Path(__file__).resolve().parents[1]
WORKERS = 2


@pytest.fixture(scope="module")
def matrices(tmp_path_factory: pytest.TempPathFactory) -> Matrices:
    """Rows for all searches of this file."""
    X, y = classes(n_rows=20_000, n_features=20)
    return matrices_of(tmp_path_factory.mktemp("rows") / "matrices", X, y)


def drive(kind: str, folder: Path, rows: Path, said: Path, on: str) -> None:
    """Run the search in a process that can be killed; what it says of a cluster it lost goes into a file."""
    words = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(words, 2)
    try:
        killed_search.search(kind, folder, pickle.loads(rows.read_bytes()), on=on)
    except DaskflowError as error:
        sys.exit(str(error))


LOST = "The connection to the scheduler was lost. Run the same command again: it continues from what is on disk."


def kill(victims: Sequence[psutil.Process]) -> bool:
    """Kill processes; False when none is there any more."""
    alive = 0
    for victim in victims:
        try:
            victim.send_signal(signal.SIGKILL)
            alive += 1
        except psutil.Error:
            continue
    return alive > 0


def called(processes: Sequence[psutil.Process], word: str) -> list[psutil.Process]:
    """Those with a word in their command line."""
    return [process for process in processes if word in " ".join(_words(process))]


def family(*processes: psutil.Process) -> list[psutil.Process]:
    """Processes and all they started."""
    found: list[psutil.Process] = []
    for process in processes:
        try:
            found += [process, *process.children(recursive=True)]
        except psutil.Error:
            continue
    return found


Killing = Callable[[str, psutil.Process], bool]
"""Kills something, given what it is and the driver; False when there is no such thing now."""


def disturbed(
    kind: str, folder: Path, matrices: Matrices, on: Callable[[], str], kill_one: Killing, strikes: list[str]
) -> None:
    """Compare a search left alone with one that is struck, started again as often as it dies, until it ends."""
    (folder / "whole").mkdir()
    (folder / "killed").mkdir()
    whole, model = killed_search.search(kind, folder / "whole", matrices)
    # when
    rng, left, struck = random.Random(11), list(strikes), list[str]()
    total = len(finished(folder / "whole"))
    # One strike after the other: a fit that is tried alone, and is killed by the next, would be blamed for its death.
    step = max(1, int(0.8 * total) // len(strikes))
    moments = [1 + step * place + rng.randrange(max(1, step // 2)) for place in range(len(strikes))]
    (folder / "matrices.pkl").write_bytes(pickle.dumps(matrices))
    processes = multiprocessing.get_context("forkserver")  # imports are done once, so a start takes little
    processes.set_forkserver_preload(killed_run.PRELOAD)
    files = folder / "killed", folder / "matrices.pkl", folder / "said"
    hold_up(folder / "killed", moments[0] + SLACK)
    for _ in range(2 * len(strikes)):
        done, begun = set(finished(folder / "killed")), len(audit(folder / "killed"))
        running = processes.Process(target=drive, args=(kind, *files, on()))
        running.start()
        driver = psutil.Process(running.pid)
        while running.is_alive():
            running.join(0.005)
            at_work = len(audit(folder / "killed")) > begun
            if left and at_work and n_finished(folder / "killed") >= moments[len(struck)]:
                time.sleep(rng.random() * 0.05)
                if running.is_alive() and kill_one(left[0], driver):
                    struck.append(left.pop(0))
                    hold_up(folder / "killed", moments[len(struck)] + SLACK if left else None)
        running.join()
        said = (folder / "said").read_text() if (folder / "said").exists() else ""
        # then nothing that was on record when it started began again
        assert not done & set(audit(folder / "killed")[begun:])
        if running.exitcode == 0:
            break
        # and the driver was killed, or says in a sentence that it lost its scheduler
        assert running.exitcode == -signal.SIGKILL or said.strip() == LOST, said
    # and it ends as the one left alone, with the same models
    assert running.exitcode == 0
    assert struck == strikes
    result, same_model = killed_search.search(kind, folder / "killed", matrices)
    assert gist(result) == gist(whole)
    assert same_model == model
    assert models(folder / "killed") == models(folder / "whole")
    records = finished(folder / "killed")
    assert sorted(records) == sorted(finished(folder / "whole"))
    starts = Counter(audit(folder / "killed"))
    assert starts.total() - len(starts) <= len(struck) * WORKERS * killed_search.BATCH, json.dumps(struck)
    # and no process of it is left
    gone = time.monotonic() + 60
    while (left_over := _those_of(folder)) and time.monotonic() < gone:
        time.sleep(0.1)
    assert left_over == []


def _those_of(folder: Path) -> list[psutil.Process]:
    return [p for p in psutil.process_iter() if str(folder) in " ".join(_words(p)) and p.pid != os.getpid()]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", sorted(killed_search.SEARCHES))
def test_guarantees_1_2_3_killed_processes_of_a_local_cluster_change_nothing(
    kind: str, tmp_path: Path, matrices: Matrices
) -> None:
    # given that workers, the processes of fits, the driver (with scheduler and nannies), and all of them are killed
    rng = random.Random(3)

    def kill_one(what: str, driver: psutil.Process) -> bool:
        everything = family(driver)
        some = called(everything, {"worker": "spawn_main", "seat": "seat_process"}.get(what, what))
        victims = {"driver": [driver], "group": everything}.get(what, rng.sample(some, min(1, len(some))))
        return kill(victims)

    disturbed(kind, tmp_path, matrices, lambda: "local", kill_one, ["worker", "seat", "driver", "group"])


class Processes:
    """A scheduler and nannies in processes of their own, as on several machines; who died is started again."""

    def __init__(self) -> None:
        """Start nothing yet."""
        # Not one of those that the system gives to whoever connects: a scheduler comes back to it after its death.
        self.address = f"tcp://127.0.0.1:{free_base_port(1)}"
        self.scheduler: subprocess.Popen[str] | None = None
        self.nannies: list[subprocess.Popen[str]] = []

    def ready(self) -> str:
        """Start what is not there; return the address."""
        self.nannies = [nanny for nanny in self.nannies if nanny.poll() is None]
        if self.scheduler is None or self.scheduler.poll() is not None:
            for nanny in self.nannies:  # of a scheduler that was killed: on their way out
                kill(family(psutil.Process(nanny.pid)))
                nanny.wait()
            self.nannies = []
            port = self.address.rpartition(":")[2]
            self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")
        while len(self.nannies) < WORKERS:
            limits = ["--nthreads", "1", "--memory-limit", "1GiB", "--no-dashboard", "--death-timeout", "120"]
            self.nannies.append(self._start("worker", self.address, "--nanny", *limits))
        return self.address

    def _start(self, *words: str) -> subprocess.Popen[str]:
        # Quiet: what they have to say of killed neighbours is no part of the test.
        return subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_" + words[0], *words[1:]],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def kill_one(self, what: str, driver: psutil.Process) -> bool:
        """Kill what the words say; another nanny takes the place of one that was killed."""
        scheduler, *nannies = [each for each in [self.scheduler, *self.nannies] if each and each.poll() is None]
        own = [psutil.Process(each.pid) for each in nannies]
        workers = called(family(*own), "spawn_main")
        victims = {
            "driver": [driver],
            "nanny": own[:1],
            "scheduler": [psutil.Process(scheduler.pid)],
            "scheduler and worker": [psutil.Process(scheduler.pid), *workers[:1]],
            "both workers": workers,
            "group": [driver, psutil.Process(scheduler.pid), *family(*own)],
        }
        was_there = kill(victims[what])
        if what == "nanny":
            nannies[0].wait()
            self.ready()
        return was_there

    def close(self) -> None:
        """End them all."""
        for process in [*self.nannies, *filter(None, [self.scheduler])]:
            if process.poll() is None:
                kill(family(psutil.Process(process.pid)))
            process.wait()


@pytest.fixture
def processes() -> Iterator[Processes]:
    """Ended with the test."""
    started = Processes()
    yield started
    started.close()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_guarantee_11_a_killed_scheduler_nanny_or_both_at_once_change_nothing(
    tmp_path: Path, matrices: Matrices, processes: Processes
) -> None:
    strikes = ["nanny", "scheduler", "driver", "both workers", "scheduler and worker"]
    disturbed("hyperband", tmp_path, matrices, processes.ready, processes.kill_one, strikes)


@pytest.mark.endurance
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", sorted(killed_search.SEARCHES))
@pytest.mark.parametrize("seed", range(3))
def test_two_hundred_kills_of_separate_processes_change_nothing(
    kind: str, seed: int, tmp_path: Path, matrices: Matrices, processes: Processes
) -> None:
    what = ["nanny", "scheduler", "driver", "both workers", "scheduler and worker", "group"]
    strikes = random.Random(seed).choices(what, k=23)
    disturbed(kind, tmp_path, matrices, processes.ready, processes.kill_one, strikes)


def _words(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []
