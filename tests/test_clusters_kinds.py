"""Every kind of cluster runs the same units, listens on the loopback address only, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

import daskflow as flow
from daskflow.clusters import REGISTRY, Cluster
from daskflow.clusters.address import check_folder
from daskflow.clusters.batch import Batch
from daskflow.core.access import cookie_name, seal_of
from daskflow.core.errors import ClusterError, SettingsError, StorageError
from daskflow.core.protocols import Unit
from daskflow.data.execution import InlineExecutor, run_all
from tests.site_client import ask_dask

OPTIONS: dict[str, dict[str, Any]] = {
    "threads": {"workers": 2},
    "local": {"workers": 2, "memory": "1 GiB"},
}
OPENED_HERE = sorted(name for name, cls in REGISTRY.kinds.items() if name != "address" and not issubclass(cls, Batch))


@pytest.fixture(scope="module", params=OPENED_HERE)
def opened(request: pytest.FixtureRequest) -> Iterator[tuple[Cluster, Any]]:
    """Each kind that starts something itself, open."""
    cluster = REGISTRY.parse({"kind": request.param, **OPTIONS.get(request.param, {})})
    with cluster.open() as connection:
        yield cluster, connection


def square(number: int) -> int:
    return number * number


def test_the_same_units_have_the_same_answers_on_every_kind(opened: tuple[Cluster, Any]) -> None:
    # given
    _, connection = opened
    units = [Unit(f"square-{n}", square, (n,)) for n in range(20)]
    # when
    answers = run_all(connection.executor, units)
    # then
    assert answers == {f"square-{n}": n * n for n in range(20)}


def test_every_kind_says_in_a_line_what_it_is(opened: tuple[Cluster, Any]) -> None:
    cluster, connection = opened
    assert connection.description.startswith(f"{cluster.kind}: ")
    assert "\n" not in connection.description


def listening() -> list[tuple[int, str]]:
    """Ports and addresses that this process and its children listen on."""
    me = psutil.Process()
    found = []
    for process in [me, *me.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):  # one of another test's that ends just now
            found += [each for each in process.net_connections("inet") if each.status == psutil.CONN_LISTEN]
    return [(socket.laddr.port, socket.laddr.ip) for socket in found]


@pytest.mark.parametrize("kind", OPENED_HERE)
def test_no_process_listens_beyond_the_loopback_address(kind: str) -> None:
    # given what other tests have open in this process
    before = listening()
    # when
    with REGISTRY.parse({"kind": kind, **OPTIONS.get(kind, {})}).open():
        new = [place for place in listening() if place not in before]
    # then
    assert bool(new) == (kind != "inline"), "a test that sees no socket proves nothing"
    assert {address for _, address in new} <= {"127.0.0.1", "::1"}


def test_every_cluster_with_a_dashboard_serves_it_under_the_address_it_names(opened: tuple[Cluster, Any]) -> None:
    cluster, connection = opened
    if cluster.kind == "inline":
        assert connection.dashboard is None
        return
    assert connection.client.dashboard_link == f"{connection.dashboard}?token={connection.token}"
    place, path = connection.client.dashboard_link.removeprefix("http://").split("/", 1)
    page = ask_dask(place, f"/{path}")
    assert (page.status, "bokeh" in page.text.lower()) == (200, True)


def test_no_web_server_of_a_cluster_answers_without_the_token(opened: tuple[Cluster, Any]) -> None:
    # given every port that speaks HTTP: the scheduler's and each worker's
    cluster, connection = opened
    if cluster.kind == "inline":
        return
    told = connection.client.scheduler_info()
    ports = [told["services"]["dashboard"], *(worker["services"]["dashboard"] for worker in told["workers"].values())]
    assert len(ports) == 1 + (2 if cluster.kind == "local" else 1)
    # when, then
    for port in ports:
        assert status_of(f"http://127.0.0.1:{port}/health") == 403
        assert status_of(f"http://127.0.0.1:{port}/health", Authorization=f"Bearer {connection.token}") == 200


def test_the_token_stands_in_no_repr_and_no_argument_list(opened: tuple[Cluster, Any]) -> None:
    _, connection = opened
    shown = [repr(connection), repr(connection.client), repr(connection.executor)]
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):  # one of another test's that ends just now
            shown.append(" ".join(process.cmdline()))
    assert bool(connection.token) == (connection.client is not None)
    assert not any(connection.token in text for text in shown if connection.token)


def status_of(address: str, **headers: str) -> int:
    """Ask, and return the HTTP status."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize(
    ("host", "status"), [("own", 101), ("https://elsewhere.example", 403), ("http://127.0.0.1:9", 403)]
)
def test_a_web_page_of_another_origin_cannot_read_the_dashboard(
    opened: tuple[Cluster, Any], host: str, status: int
) -> None:
    # given a dashboard
    _, connection = opened
    if connection.dashboard is None:
        return
    base = connection.dashboard.removesuffix("/status")
    # when a page asks for its websocket
    assert websocket_status(base, base if host == "own" else host, connection.token) == status


def websocket_status(base: str, origin: str, token: str) -> int:
    """Ask for the websocket of the status page as a browser with the cookie does, and return the HTTP status."""
    import http.client

    place = base.removeprefix("http://")
    cookie = f"{cookie_name(seal_of(token))}={token}"
    found = re.search(r'"token":"([^"]+)"', ask_dask(place, "/status", Cookie=cookie).text)
    assert found is not None
    connection = http.client.HTTPConnection(place, timeout=30)
    connection.request(
        "GET",
        "/status/ws",
        headers={
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
            "Sec-WebSocket-Protocol": f"bokeh, {found.group(1)}",
            "Origin": origin,
            "Cookie": cookie,
        },
    )
    try:
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("kind", OPENED_HERE)
def test_connect_yields_a_client_that_computes(kind: str) -> None:
    # when
    with flow.connect(kind, **OPTIONS.get(kind, {})) as client:
        answer = client.submit(square, 7).result()
        slots = sum(client.nthreads().values())
    # then
    assert answer == 49
    assert slots == (1 if kind == "inline" else 2)
    assert client.status == "closed"


def test_workers_of_local_run_one_native_thread_per_fit() -> None:
    # given no wish of the user's own
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            patch.setenv(name, "0")
            patch.delenv(name)
        # when
        with flow.connect("local", workers=1) as client:
            found = client.submit(lambda: dict(os.environ)).result()
    # then
    assert found["OMP_NUM_THREADS"] == found["OPENBLAS_NUM_THREADS"] == found["MKL_NUM_THREADS"] == "1"
    assert found["OMP_WAIT_POLICY"] == "passive"


DRIVER = """
import re, sys, time
import psutil
import daskflow as flow

def hold_the_interpreter_lock():
    re.match("(a+)+$", "a" * 60 + "b")

if __name__ == "__main__":
    with flow.connect("local", workers=2) as client:
        stuck = client.submit(hold_the_interpreter_lock)
        waiting = client.submit(time.sleep, 600)
        while sum(len(keys) for keys in client.processing().values()) < 2:
            time.sleep(0.05)
        print(*[p.pid for p in psutil.Process().children(recursive=True)], flush=True)
        if sys.argv[1] == "stay":
            time.sleep(600)
    print("closed", flush=True)
"""


def started(tmp_path: Path, what: str) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """Start a driver with two busy workers; return it and its children."""
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    driver = subprocess.Popen([sys.executable, str(script), what], stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    numbers, children = driver.stdout.readline().split(), []
    assert len(numbers) >= 2
    for number in numbers:
        with suppress(psutil.NoSuchProcess):  # the driver leaves already
            children.append(psutil.Process(int(number)))
    return driver, children


@pytest.mark.slow
def test_no_worker_outlives_a_killed_driver_even_one_stuck_in_native_code(tmp_path: Path) -> None:
    # given a driver whose workers are busy, one of them without ever giving up the interpreter lock
    driver, children = started(tmp_path, "stay")
    assert len(children) >= 2
    # when
    driver.kill()
    driver.wait()
    # then
    _, alive = psutil.wait_procs(children, timeout=60)
    for process in alive:
        process.kill()
    assert alive == []


@pytest.mark.slow
def test_closing_ends_workers_that_are_stuck(tmp_path: Path) -> None:
    # given, when: a driver that leaves the cluster while both workers are busy
    driver, children = started(tmp_path, "leave")
    output, _ = driver.communicate(timeout=120)
    # then
    _, alive = psutil.wait_procs(children, timeout=60)
    for process in alive:
        process.kill()
    assert alive == []
    assert output == "closed\n"
    assert driver.returncode == 0


RUNNING, RELEASE = threading.Event(), threading.Event()


def wait_for_release() -> None:
    RUNNING.set()
    RELEASE.wait()


def test_closing_threads_does_not_wait_for_a_unit_that_runs() -> None:
    # given a unit that never ends by itself
    begun = 0.0
    try:
        with flow.connect("threads", workers=1) as client:
            future = client.submit(wait_for_release)
            assert RUNNING.wait(60)
            # when
            begun = time.monotonic()
        # then
        assert time.monotonic() - begun < 60
        assert future.status != "finished"
    finally:
        RELEASE.set()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_unit_that_kills_its_workers_is_a_sentence_and_the_workers_come_back() -> None:
    # given
    with flow.clusters.Local(workers=2, memory="1 GiB").open() as connection:
        # when
        with pytest.raises(ClusterError) as caught:
            run_all(connection.executor, [Unit("deadly", die)])
        # then
        assert str(caught.value).startswith("deadly: KilledWorker: the workers that ran it died")
        assert run_all(connection.executor, [Unit(f"after-{n}", square, (n,)) for n in range(4)])["after-3"] == 9


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"kind": "local", "workers": 0}, "cluster.workers: input should be greater than or equal to 1"),
        ({"kind": "local", "memory": "4 apples"}, "cluster.memory: should be a size of at least 1 MiB such as '4 GiB'"),
        ({"kind": "local", "core": 2}, "cluster.core: no such option; did you mean 'cores'?"),
        ({"kind": "inline", "workers": 2}, "cluster.workers: no such option"),
        ({"kind": "lokal"}, "cluster.kind: no such cluster: 'lokal'; did you mean 'local'?"),
        ({"kind": "address"}, "cluster.address: is required"),
        ({"kind": "address", "address": "localhost"}, "cluster.address: should be an address such as"),
        (
            {"kind": "address", "address": "tls://a:1", "tls_ca": "ca.pem"},
            "cluster: tls_ca, tls_cert and tls_key belong",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused_with_a_sentence(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        REGISTRY.parse(settings, where="cluster")
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("memory", "n_bytes"), [("4 GiB", 4 * 2**30), (2**30, 2**30), ("none", 0), (None, 0), ("1.5GB", 1_500_000_000)]
)
def test_memory_is_a_size_in_words_or_bytes(memory: Any, n_bytes: int) -> None:
    cluster = flow.clusters.Local(memory=memory)
    assert cluster.memory_bytes == n_bytes
    assert REGISTRY.parse(json.loads(json.dumps(cluster.dump()))) == cluster


def test_auto_memory_is_an_equal_share() -> None:
    assert flow.clusters.Local(workers=4).memory_bytes * 4 == pytest.approx(
        flow.clusters.Local(workers=1).memory_bytes, rel=1e-6
    )


def test_a_folder_that_workers_see_passes_and_is_left_as_it_was(opened: tuple[Cluster, Any], tmp_path: Path) -> None:
    # when
    check_folder(opened[1].executor, tmp_path)
    # then
    assert list(tmp_path.iterdir()) == []


class Elsewhere:
    """An executor whose units run in another place: paths below `here` mean paths below `there`."""

    slots = 1

    def __init__(self, here: Path, there: Path) -> None:
        self.here, self.there = here, there
        self._executor = InlineExecutor()

    @property
    def pending(self) -> int:
        return self._executor.pending

    def submit(self, unit: Unit) -> None:
        place, *rest = unit.arguments
        moved = self.there / Path(place).relative_to(self.here)
        self._executor.submit(Unit(unit.key, unit.function, (moved, *rest)))

    def next(self, timeout: float | None = None) -> Any:
        return self._executor.next(timeout)

    def troubles(self) -> Any:
        return self._executor.troubles()

    def cancel(self) -> None:
        self._executor.cancel()

    def release(self, keys: Any) -> None:
        self._executor.release(keys)


def test_workers_that_do_not_see_the_folder_are_a_sentence(tmp_path: Path) -> None:
    # given workers on a machine where the run's folder is not
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    # when
    with pytest.raises(StorageError) as caught:
        check_folder(Elsewhere(here, there), here)
    # then
    assert "cannot read and write" in str(caught.value)
    assert "--runs" in str(caught.value)
    assert list(here.iterdir()) == []


def test_workers_that_see_a_folder_of_that_name_of_their_own_are_a_sentence(tmp_path: Path) -> None:
    # given another machine whose folder of that name even holds the same files
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()

    class Copied(Elsewhere):
        def submit(self, unit: Unit) -> None:
            import shutil

            shutil.copytree(self.here, self.there, dirs_exist_ok=True)
            super().submit(unit)

    # when
    with pytest.raises(StorageError, match="does not arrive here"):
        check_folder(Copied(here, there), here)
    # then
    assert list(here.iterdir()) == []
