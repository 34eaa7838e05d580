"""The doctor on a real Slurm: a good set-up is well, and each broken one is told by what is wrong with it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from daskflow.cli import main
from daskflow.clusters.slurm import Slurm
from daskflow.workflow.doctor import Finding, Level
from daskflow.workflow.doctor_queue import examine_queue
from tests.slurm_fixture import TestSlurm

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("slurm"), pytest.mark.timeout(900)]


@pytest.fixture
def runs(tmp_path: Path, slurm: TestSlurm) -> Path:
    """A folder of runs with a hostile name, in which nothing and of which no job is left."""
    folder = tmp_path / "my runs; $(touch pwned) 'ü'"
    folder.mkdir()
    yield folder
    assert list(folder.iterdir()) == []
    assert not list(tmp_path.rglob("pwned"))
    end = time.monotonic() + 90
    while slurm.jobs():
        assert time.monotonic() < end, slurm.jobs()
        time.sleep(0.1)


def wrong(runs: Path, *, wait: float = 240, **settings: Any) -> list[Finding]:
    """What is not well with a queue."""
    cluster = Slurm(**{"memory": "1 GiB", "walltime": "10 min", **settings})
    return [finding for finding in examine_queue(cluster, runs, wait_seconds=wait) if finding.level is not Level.OK]


def test_a_good_set_up_is_well(runs: Path, tmp_path: Path) -> None:
    # given
    given = ["queue=normal", "memory=1 GiB", f"scratch={tmp_path}/scratch", "walltime=1 h"]
    options = [part for option in given for part in ("--set", f"cluster.{option}")]

    # when
    result = CliRunner().invoke(main, ["doctor", "--on", "slurm", *options, "--runs", str(runs), "--json"])

    # then
    told = json.loads(result.output)
    assert result.exit_code == 0, told
    levels = {finding["subject"]: finding["level"] for finding in told["findings"]}
    for subject in ("partitions", "request", "shared folder", "Python there", "network", "scratch", "clock", "limits"):
        assert levels[subject] == "ok", told


@pytest.mark.parametrize(
    ("settings", "subject", "said"),
    [
        ({"queue": "nornal"}, "request", "did you mean 'normal'?"),
        ({"queue": "short"}, "request", "over the 1 min that partition 'short' allows"),
        ({"queue": "closed"}, "request", "Partition 'closed' is down"),
        ({"cores": 64}, "request", "64 cores are asked for each worker"),
        ({"interface": "ib7"}, "interface", "ib7"),
    ],
)
def test_what_would_be_refused_is_told_before_a_job_is_sent(
    runs: Path, settings: dict[str, Any], subject: str, said: str
) -> None:
    first = wrong(runs, **settings)[0]

    assert (first.level, first.subject) == (Level.FAIL, subject)
    assert said in first.words


def test_without_slurms_commands_that_is_all_that_is_told(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = "/nowhere"
    with monkeypatch.context() as patch:
        patch.setenv("PATH", path)
        (finding,) = wrong(runs)

    assert finding.level is Level.FAIL
    assert "There is no command 's" in finding.words


def test_a_python_that_is_not_on_the_node(runs: Path) -> None:
    (finding,) = wrong(runs, python="/no/such/python")

    assert (finding.level, finding.subject) == (Level.FAIL, "Python there")
    assert "/no/such/python" in finding.words
    assert "No such file or directory" in finding.words or "not found" in finding.words


def test_a_python_on_the_node_that_has_no_daskflow(runs: Path, tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)

    (finding,) = wrong(runs, python=str(bare))

    assert (finding.level, finding.subject) == (Level.FAIL, "Python there")
    assert "has no daskflow. Install it there" in finding.words


def test_a_folder_that_nodes_do_not_share(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job gets a view of the disk of its own, in which another file system lies over the folder of runs."""
    monkeypatch.setattr("daskflow.workflow.doctor_queue.SHARED_SECONDS", 1.0)
    hide = tmp_path / "hide"
    hide.write_text('mount -t tmpfs none "$1" && exec bash "$2"\n')
    line = f'[ -n "$HIDDEN" ] || HIDDEN=1 exec unshare --mount sh {hide} \'{tmp_path!s}\' "$0"'

    (finding,) = wrong(runs, prologue=[line])

    assert (finding.level, finding.subject) == (Level.FAIL, "shared folder")
    assert "Use a folder that all nodes share, with --runs or cluster.shared." in finding.words


def test_a_block_store_that_nodes_do_not_share(runs: Path, tmp_path: Path) -> None:
    """The folder of runs is shared, and the one of blocks is this machine's own."""
    store = tmp_path / "store"
    store.mkdir()
    line = f'[ -n "$HIDDEN" ] || HIDDEN=1 exec unshare --mount sh -c "mount -t tmpfs none {store} && exec bash $0"'
    cluster = Slurm(memory="1 GiB", walltime="10 min", prologue=[line])

    found = list(examine_queue(cluster, runs, store))

    (finding,) = [finding for finding in found if finding.level is not Level.OK]
    assert (finding.level, finding.subject) == (Level.FAIL, "shared folder")
    assert f"does not read and write {store}: No such file or directory" in finding.words
    assert any(f.subject == "shared folder" and f.level is Level.OK and f.words.endswith(str(runs)) for f in found)
    assert list(store.iterdir()) == []


def test_a_queue_that_is_full_says_why_it_waits(runs: Path, slurm: TestSlurm) -> None:
    # given
    blocker = slurm.ask(
        "sbatch", "--parsable", "-N4", "--exclusive", "-t5", "-o/dev/null", "--wrap", "sleep 300"
    ).strip()
    end = time.monotonic() + 90
    while slurm.jobs().get(blocker) != "RUNNING":
        assert time.monotonic() < end
        time.sleep(0.1)

    # when
    try:
        (finding,) = wrong(runs, wait=6)
    finally:
        slurm.ask("scancel", blocker)

    # then
    assert (finding.level, finding.subject) == (Level.WARN, "node")
    assert "(Resources" in finding.words or "(Priority" in finding.words
