"""Keys, leases and signals of a cluster of batch jobs: who may read what, which jobs leave, what ends a process."""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from distributed.comm.tcp import TCPListener

from daskflow.clusters.address import LIBRARIES, probe
from daskflow.clusters.batch_keys import Keys, read_told
from daskflow.clusters.batch_lease import STALE_SECONDS, Lease, check_lines, read_lease
from daskflow.clusters.batch_open import host_of
from daskflow.clusters.batch_remedies import with_remedy
from daskflow.clusters.batch_signals import ended_by_signals, undisturbed
from daskflow.clusters.batch_worker import is_worth_a_line, remove_left_behind, unfit
from daskflow.core.errors import ClusterError, StorageError
from daskflow.data import client_executor
from daskflow.data.client_executor import ClientExecutor

AFTER = "echo the worker starts"


@pytest.fixture
def door() -> Iterator[str]:
    """The address of something that listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"tls://127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def refused() -> Iterator[str]:
    """The address of somebody who was killed: nobody listens there, and nobody else can take it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"tls://127.0.0.1:{taken.getsockname()[1]}"


def started(lease: Path, address: str) -> tuple[int, str]:
    """Run what a job does before its worker; return the exit code and what it said."""
    script = "\n".join([*check_lines(shlex.quote(str(lease)), address), AFTER])
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout.strip()


def test_keys_are_new_each_time_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    # given
    keys, before = Keys(tmp_path / "keys"), os.umask(0)
    try:
        # when
        keys.write({"seal": "abc"})
        first = (keys.folder / "key.pem").read_text()
        keys.write({"seal": "def"})
    finally:
        os.umask(before)
    # then
    assert (keys.folder / "key.pem").read_text() != first
    assert stat.S_IMODE(keys.folder.stat().st_mode) == 0o700
    assert {file.name: stat.S_IMODE(file.stat().st_mode) for file in keys.folder.iterdir()} == dict.fromkeys(
        ("cert.pem", "key.pem", "worker.json"), 0o600
    )
    assert read_told(keys.folder) == {"seal": "def"}
    keys.remove()
    assert not keys.folder.exists()
    assert read_told(keys.folder) == {}


def test_a_folder_of_keys_that_is_somebodys_own_is_left_as_it_is(tmp_path: Path) -> None:
    # given a folder of the same name with something in it
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "mine.txt").write_text("mine")
    keys = Keys(tmp_path / "keys")
    # when, then
    with pytest.raises(StorageError, match=r"keys.* cannot be written to .*cluster\.shared"):
        keys.write({})
    keys.remove()
    assert [file.name for file in (tmp_path / "keys").iterdir()] == ["mine.txt"]


def test_a_job_starts_its_worker_only_while_its_own_scheduler_lives(tmp_path: Path, door: str) -> None:
    # given a lease, in a folder whose name a shell would act on
    folder = tmp_path / "it's $HOME `here`"
    folder.mkdir()
    lease = Lease(folder / "lease")
    assert started(lease.path, door)[0] == 0
    assert "this job is not needed" in started(lease.path, door)[1]
    # when
    lease.take(door)
    # then
    assert started(lease.path, door) == (0, "the worker starts")
    # and a job of an earlier scheduler leaves
    code, said = started(lease.path, door.replace("127.0.0.1:", "127.0.0.1:1"))
    assert (code, "no lease of" in said) == (0, True)
    # and one whose scheduler was killed long ago
    longer = time.time() - STALE_SECONDS - 5
    os.utime(lease.path, (longer, longer))
    code, said = started(lease.path, door)
    assert code == 0
    assert re.search(r"its scheduler was killed \d{2,3} s ago", said), said
    assert read_lease(lease.path) is not None
    assert read_lease(lease.path)["is_live"] is False  # type: ignore[index]
    # and nothing is left beside the lease
    assert [file.name for file in folder.iterdir()] == ["lease"]
    lease.give_up()
    assert list(folder.iterdir()) == []
    assert read_lease(lease.path) is None


def test_a_job_that_cannot_reach_its_scheduler_says_so_and_fails(tmp_path: Path) -> None:
    # given a scheduler that was killed a moment ago
    with refused() as address:
        lease = Lease(tmp_path / "lease")
        lease.take(address)
        # when
        code, said = started(lease.path, address)
        lease.give_up()
    # then
    assert code == 1
    assert f"{socket.gethostname()} does not reach the scheduler at {address}" in said
    assert "cluster.interface" in said


def test_a_lease_is_touched_while_its_process_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    monkeypatch.setattr("daskflow.clusters.batch_lease.BEAT_SECONDS", 0.01)
    lease = Lease(tmp_path / "lease")
    lease.take("tls://10.0.0.1:1")
    os.utime(lease.path, (1.0, 1.0))
    # when, then
    until = time.monotonic() + 60
    while lease.path.stat().st_mtime < 2:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert read_lease(lease.path) == {**json.loads(lease.path.read_text()), "is_live": True}
    lease.give_up()
    time.sleep(0.05)
    assert not lease.path.exists()  # a touch does not make it anew


def test_keys_of_a_scheduler_that_was_killed_are_removed_and_no_others(tmp_path: Path, door: str) -> None:
    # given the keys and the lease of one that lives
    keys, lease = Keys(tmp_path / "keys"), Lease(tmp_path / "lease")
    keys.write({})
    lease.take(door)
    assert not remove_left_behind(keys.folder, door)
    # and those of another one than the worker's
    with refused() as killed:
        assert not remove_left_behind(keys.folder, killed)
        assert keys.folder.exists()
        # when it is its own that was killed
        lease.give_up()
        other = Lease(lease.path)
        other.take(killed)
        # then
        assert remove_left_behind(keys.folder, killed)
        assert list(tmp_path.iterdir()) == []
        other.give_up()
        # and where it ended by itself there is nothing to do
        keys.write({})
        assert not remove_left_behind(keys.folder, killed)
        assert keys.folder.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_the_process_unwinds_it_like_ctrl_c(number: int) -> None:
    with pytest.raises(KeyboardInterrupt, match=signal.Signals(number).name), as_by_default(), ended_by_signals():
        signal.raise_signal(number)


def test_a_signal_that_is_to_be_ignored_stays_ignored() -> None:
    with as_by_default():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what nohup does
        with ended_by_signals(), undisturbed():
            signal.raise_signal(signal.SIGHUP)


def test_what_must_come_to_its_end_is_interrupted_after_it() -> None:
    # given
    done: list[str] = []

    def close() -> None:
        with as_by_default(), ended_by_signals(), undisturbed():
            signal.raise_signal(signal.SIGTERM)
            done.append("keys removed")

    # when
    with pytest.raises(KeyboardInterrupt):
        close()
    # then
    assert done == ["keys removed"]


def test_signals_are_left_alone_in_other_threads() -> None:
    failed: list[BaseException] = []

    def run() -> None:
        try:
            with ended_by_signals(), undisturbed():
                pass
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert failed == []


@contextmanager
def as_by_default() -> Iterator[None]:
    """Signals as a new process has them."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number in before:
        signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_python_that_cannot_work_with_the_runs_is_told_with_both_versions() -> None:
    here = probe()(LIBRARIES)
    assert unfit({"host": "login1", "versions": here}, here) == ""
    sentence = unfit({"host": "login1", "versions": {**here, "numpy": "9.9"}}, here)
    assert f"numpy {here['numpy']} (there 9.9)" in sentence
    assert "login1" in sentence
    without = {name: value for name, value in here.items() if name != "daskflow"}
    assert f"daskflow missing (there {here['daskflow']})" in unfit({"host": "login1", "versions": here}, without)


def test_a_workers_log_has_no_traceback_of_a_connection_that_came_as_it_closed() -> None:
    # given what tornado logs of a listener that is closed while somebody connects, and of anything else
    def record(error: Exception) -> logging.LogRecord:
        try:
            raise error
        except Exception:
            return logging.LogRecord("tornado.application", logging.ERROR, "", 0, "text", (), sys.exc_info())

    listener = TCPListener("tcp://127.0.0.1:0", lambda comm: None)
    with pytest.raises(ValueError, match="TCPListener") as closed:
        listener.get_host_port()
    # then only the first is left out
    assert not is_worth_a_line(record(closed.value))
    assert is_worth_a_line(record(ValueError("a mistake")))
    assert is_worth_a_line(logging.LogRecord("tornado.application", logging.ERROR, "", 0, "text", (), None))


def test_an_interface_that_is_not_there_is_told_with_those_that_are() -> None:
    assert host_of("lo") == "127.0.0.1"
    with pytest.raises(ClusterError, match=r"no network interface 'ib7' here.*lo"):
        host_of("ib7")


@pytest.mark.parametrize(
    ("tail", "remedy"),
    [
        ("python3: No module named distributed.cli", "lacks distributed; the run's is Python"),
        ("ModuleNotFoundError: No module named 'daskflow'", "lacks daskflow; the run's is Python"),
        ("script: line 9: /opt/env/bin/python: No such file or directory", "do not have that Python"),
        ("Segmentation fault", ""),
    ],
)
def test_what_a_node_lacks_is_told_with_what_to_do(tail: str, remedy: str) -> None:
    told = with_remedy(f"Job 7 failed. The end of its log:\n    {tail}")
    assert tail in told
    assert (remedy in told) if remedy else told.endswith(tail)


class Answering:
    """A client whose scheduler says how its workers are."""

    status = "running"

    def __init__(self, workers: list[tuple[str, float, str]]) -> None:
        self.workers = workers

    def sync(self, function: Any, *arguments: Any, **options: Any) -> Any:
        return self.workers if function == self._run_on_scheduler else {}

    async def _run_on_scheduler(self) -> None: ...

    async def _run(self) -> None: ...


def test_workers_that_end_by_plan_are_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    # given two workers that are paused since they end soon, one of them silent too
    monkeypatch.setattr(client_executor, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(client_executor, "PAUSED_SECONDS", 0.0)
    client = Answering([("17", 99.0, "paused"), ("18", 0.0, "paused")])
    leaving = {"17", "18"}
    executor = ClientExecutor(client, leaving=lambda: leaving)
    # when, then
    assert executor.troubles() == []
    # and those that stay are told of as ever
    client.workers += [("19", 99.0, "running")]
    assert [text[:26] for text in executor.troubles()] == ["Worker 19 has been silent "]
    client.workers = client.workers[1:2]
    assert [text[:20] for text in executor.troubles()] == ["Worker 19 has gone: "]
    # and without the plan the run ends, for nothing goes on
    leaving.clear()
    with pytest.raises(ClusterError, match="All workers are paused"):
        executor.troubles()
