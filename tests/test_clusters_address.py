"""A scheduler that runs already is joined with care, and left as it was."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster
from distributed.security import Security

import daskflow as flow
from daskflow.clusters import address
from daskflow.clusters.address import difference
from daskflow.core.errors import ClusterError
from daskflow.core.protocols import Unit
from daskflow.data.execution import run_all
from tests.conftest import lacking


def square(number: int) -> int:
    return number * number


def test_a_running_cluster_is_joined_and_outlives_the_run(client: Any) -> None:
    # given a cluster of two workers that somebody else started
    cluster = flow.clusters.Address(address=client.scheduler.address)
    # when
    with cluster.open() as connection:
        answers = run_all(connection.executor, [Unit(f"square-{n}", square, (n,)) for n in range(8)])
    # then
    assert answers == {f"square-{n}": n * n for n in range(8)}
    assert connection.description == f"address: {client.scheduler.address}, 2 workers, 2 threads"
    assert client.submit(square, 5).result() == 25


def test_connect_joins_an_address(client: Any) -> None:
    with flow.connect("address", address=client.scheduler.address) as mine:
        assert mine.submit(square, 6).result() == 36


def test_an_address_where_nothing_answers_is_a_sentence_in_time() -> None:
    # given a port that nobody else can take, and where nobody listens
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        begun = time.monotonic()
        # when
        with (
            pytest.raises(ClusterError, match=f"No scheduler answers at tcp://127.0.0.1:{port} within 1 s"),
            flow.clusters.Address(address=f"tcp://127.0.0.1:{port}", timeout_seconds=1).open(),
        ):
            pass
    # then: 30 s without the option
    assert time.monotonic() - begun < 25


def test_a_scheduler_without_workers_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a scheduler that answers, however long that takes
    monkeypatch.setattr(address, "Client", lambda *where, timeout, **more: Client(*where, timeout=60, **more))
    with (
        LocalCluster(n_workers=0, processes=False, protocol="tcp://", dashboard_address="127.0.0.1:0") as empty,
        # when, then
        pytest.raises(ClusterError, match="has no worker, 3 s after it answered"),
        flow.clusters.Address(address=empty.scheduler_address, timeout_seconds=3).open(),  # of which it needs little
    ):
        pass


def test_tls_without_certificates_is_a_sentence() -> None:
    with (
        pytest.raises(ClusterError, match=r"needs certificates: set cluster.tls_ca"),
        flow.clusters.Address(address="tls://127.0.0.1:1").open(),
    ):
        pass


def test_tls_files_that_do_not_exist_are_named() -> None:
    files = {"tls_ca": "no/ca.pem", "tls_cert": "no/cert.pem", "tls_key": "no/key.pem"}
    with (
        pytest.raises(ClusterError, match=r"There is no file no/ca.pem, no/cert.pem, no/key.pem"),
        flow.clusters.Address(address="tls://127.0.0.1:1", **files).open(),
    ):
        pass


def test_workers_with_another_version_are_refused_by_name(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # given workers that have another numpy than this process (and the scheduler in it)
    here = os.getpid()

    def versions(names: tuple[str, ...]) -> dict[str, str]:
        return {"python": "3.11", "daskflow": "1", "numpy": "2.1" if os.getpid() == here else "2.2"}

    monkeypatch.setattr(address, "probe", lambda: versions)
    # when
    with (
        pytest.raises(ClusterError, match=r"worker tcp://.* has other versions than this process: numpy 2.2"),
        flow.clusters.Address(address=client.scheduler.address).open(),
    ):
        pass


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, str]:
    """A certificate that signs itself, as the three files of ``tls://``."""
    if shutil.which("openssl") is None:
        lacking("openssl")
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-days", "1"]
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return {"tls_ca": certificate, "tls_cert": certificate, "tls_key": key}


def test_a_scheduler_with_tls_is_joined_by_its_certificates_and_by_nothing_else(certificate: dict[str, str]) -> None:
    # given
    security = Security(
        require_encryption=True,
        tls_ca_file=certificate["tls_ca"],
        **{
            f"tls_{who}_{what}": certificate[f"tls_{what}"]
            for who in ("scheduler", "worker", "client")
            for what in ("cert", "key")
        },
    )
    with LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        protocol="tls://",
        security=security,
        dashboard_address="127.0.0.1:0",
        worker_dashboard_address="127.0.0.1:0",
    ) as cluster:
        place = cluster.scheduler_address
        # when, then
        with flow.connect("address", address=place, **certificate) as client:
            assert client.submit(square, 9).result() == 81
        plain = flow.clusters.Address(address=place.replace("tls://", "tcp://"), timeout_seconds=2)
        with pytest.raises(ClusterError, match=r"does it use the same protocol \(tcp or tls\)"), plain.open():
            pass


OTHERS = """
import time
from distributed import LocalCluster
from distributed.security import Security

with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, protocol="tcp://", host="127.0.0.1",
                  dashboard_address="127.0.0.1:0", worker_dashboard_address="127.0.0.1:0") as cluster:
    print(cluster.scheduler_address, flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_a_scheduler_that_is_lost_is_a_sentence_and_nothing_else_is_printed(tmp_path: Path) -> None:
    # given a cluster in a process of somebody else, and a run on it
    others = subprocess.Popen([sys.executable, "-c", OTHERS], stdout=subprocess.PIPE, text=True)
    try:
        assert others.stdout is not None
        place = others.stdout.readline().strip()
        code = (
            "import sys, time, daskflow as flow\n"
            "from daskflow.core.protocols import Unit\n"
            f"with flow.clusters.Address(address={place!r}).open() as connection:\n"
            "    connection.executor.submit(Unit('slow', time.sleep, (600,)))\n"
            "    print('ready', flush=True)\n"
            "    try:\n"
            "        connection.executor.next()\n"
            "    except flow.DaskflowError as error:\n"
            "        print(error, flush=True)\n"
        )
        mine = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert mine.stdout is not None
        assert mine.stdout.readline() == "ready\n"
    finally:
        # when
        others.kill()
        others.wait()
    # then
    output, noise = mine.communicate(timeout=200)
    assert output.startswith("The connection to the scheduler was lost. Run the same command again")
    assert noise == ""
    assert mine.returncode == 0


@pytest.mark.parametrize(
    ("there", "sentence"),
    [
        ({"python": "3.11", "daskflow": "1", "numpy": "2.1"}, ""),
        ({"python": "3.11", "numpy": "2.1"}, "has no daskflow. Install daskflow 1 there."),
        ({"python": "3.12", "daskflow": "1", "numpy": "2.1"}, "python 3.12 (here 3.11)"),
        ({"python": "3.11", "daskflow": "1"}, "numpy missing (here 2.1)"),
    ],
)
def test_what_another_process_lacks_is_said(there: dict[str, str], sentence: str) -> None:
    found = difference({"python": "3.11", "daskflow": "1", "numpy": "2.1"}, there)
    assert (sentence in found) if sentence else found == ""
