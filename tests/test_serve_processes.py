"""A real server: processes that share a socket, die, swap models and drain without a lost request."""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from sklearn.base import clone

import daskflow as flow
from daskflow import bundle
from daskflow.core.errors import BundleError, SettingsError
from tests.serving_client import JSON, rows_body
from tests.test_serve_answers import TOKEN, written
from tests.test_streams_scoring import FRAME, MODELS, ROWS, bits

MODEL = MODELS["binary"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders: a model, another one of the same columns, and one that is damaged."""
    folder = tmp_path_factory.mktemp("models")
    other = clone(MODEL.estimator)
    other.__dict__.update({**MODEL.estimator.__dict__, "intercept_": MODEL.estimator.intercept_ + 1.0})
    damaged = written(folder / "damaged")
    (damaged / "card.json").write_text("{}")
    return {
        "first": written(folder / "first"),
        "second": written(folder / "second", estimator=other),
        "damaged": damaged,
    }


def asked(url: str, method: str = "POST", path: str = "/predict", body: bytes = b"", **headers: str) -> tuple[int, Any]:
    """Ask a server over a new connection."""
    host = url.partition("://")[2]
    connection = http.client.HTTPConnection(host, timeout=100)
    try:
        connection.request(method, path, body, {**JSON, **headers})
        reply = connection.getresponse()
        text = reply.read()
        return reply.status, json.loads(text) if reply.getheader(
            "content-type"
        ) == "application/json" else text.decode()
    finally:
        connection.close()


class Load(threading.Thread):
    """A client that asks all the time over one connection, and again over a new one when the server closes it."""

    def __init__(self, url: str) -> None:
        """Not begun."""
        super().__init__()
        self.url, self.seen, self.lost, self.stop = url, [], [], False  # type: ignore[var-annotated]

    def run(self) -> None:
        """Ask."""
        connection = http.client.HTTPConnection(self.url.partition("://")[2], timeout=100)
        while not self.stop:
            try:
                connection.request("POST", "/predict", rows_body(ROWS[:1]), JSON)
                reply = connection.getresponse()
                self.seen.append((reply.status, json.loads(reply.read())))
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(error)
                connection.close()
        connection.close()


@contextmanager
def under_load(url: str, n: int = 4) -> Iterator[list[Load]]:
    """Clients that ask all the time."""
    clients = [Load(url) for _ in range(n)]
    for client in clients:
        client.start()
    try:
        yield clients
    finally:
        for client in clients:
            client.stop = True
        for client in clients:
            client.join(120)


def until(holds: Callable[[], Any], seconds: float = 120) -> Any:
    """Wait for something to be so."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := holds():
            return found
        time.sleep(0.02)
    raise AssertionError("it was never so")


def workers_of(pid: int) -> list[psutil.Process]:
    """Worker processes of a server that live."""
    found = []
    for each in psutil.Process(pid).children():
        with suppress(psutil.Error):
            found += [each] if "serve_worker" in " ".join(each.cmdline()) else []
    return found


@contextmanager
def command(*words: str, folder: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """``daskflow serve`` as a process, when it has said where it listens."""
    line = [sys.executable, "-m", "daskflow", "serve", *words, "--port", "0", "--json", "--folder", str(folder)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            first = process.stdout.readline()
            assert first, process.stderr.read() if process.stderr else ""
            yield process, json.loads(first)
        finally:
            if process.poll() is None:
                process.kill()


@pytest.mark.slow
def test_workers_share_the_work_are_replaced_swap_together_and_drain(models: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "served"
    with command(str(models["first"]), "--workers", "2", "--drain", "60s", "--timeout", "60s", folder=folder) as (
        process,
        told,
    ):
        url = told["url"]
        access = json.loads((folder / "access.json").read_text())
        shown = {"Authorization": f"Bearer {access['swap_token']}"}
        # the tokens are the owner's only, and stand nowhere else
        assert stat.S_IMODE((folder / "access.json").stat().st_mode) == 0o600
        assert access["swap_token"] not in json.dumps(told)
        assert asked(url, body=rows_body(ROWS[:5]))[1]["predictions"] == bits(MODEL, FRAME[:5])
        with under_load(url) as clients:
            # when a damaged model is named: told, and the old one goes on in both
            body = json.dumps({"path": str(models["damaged"])}).encode()
            status, answer = asked(url, "POST", "/swap", body, **shown)
            assert (status, "card.json was changed" in answer["error"]["message"]) == (409, True)
            # when a good one is: both take it, and no request is lost
            body = json.dumps({"path": str(models["second"])}).encode()
            status, answer = asked(url, "POST", "/swap", body, **shown)
            assert (status, answer["before"]) == (200, told["model"])
            second = answer["model"]
            assert {asked(url, "GET", "/ready")[1]["model"] for _ in range(20)} == {second}
            assert asked(url, body=rows_body(ROWS[:5]))[1]["predictions"] == bits(
                bundle.load_model(models["second"]), FRAME[:5]
            )
            assert sum(len(client.lost) for client in clients) == 0
            # when a worker is killed, the other answers, and another takes its place with the model of now
            victim = workers_of(process.pid)[0]
            victim.kill()
            until(lambda: len([w for w in workers_of(process.pid) if w.pid != victim.pid]) == 2)
            until(lambda: '"started"' in (folder / "journal.jsonl").read_text().split("died")[-1])
            assert {asked(url, "GET", "/ready")[1]["model"] for _ in range(20)} == {second}
        seen = [reply for client in clients for reply in client.seen]
        assert {status for status, _ in seen} == {200}
        # only what the killed one had in its hands is lost: a request of each client, another where it was asked again
        # over a connection that waits at the same socket
        assert all(len(client.lost) <= 2 for client in clients)
        # the metrics are the sums of both, and of the one that died up to its last second
        metrics = asked(url, "GET", "/metrics")[1]
        assert "daskflow_serve_processes 2" in metrics
        count = next(
            line for line in metrics.splitlines() if line.startswith('daskflow_serve_requests_total{code="200"}')
        )
        assert 0 < float(count.split()[1]) <= len(seen) + 20
        # when it is told to end: what is in flight is answered, nothing is left
        with under_load(url) as clients:
            until(lambda: all(client.seen for client in clients))
            process.send_signal(signal.SIGTERM)
            assert process.wait(100) == 0
            for client in clients:
                client.stop = True
        assert {status for client in clients for status, _ in client.seen} == {200}
        assert all(
            isinstance(error, ConnectionError | http.client.RemoteDisconnected) for c in clients for error in c.lost
        )
        assert not (folder / "access.json").exists()
        assert not (folder / "models").exists()
        records = [json.loads(line[9:]) for line in (folder / "events.jsonl").read_text().splitlines()]
        assert sum(record.get("requests", 0) for record in records) > 50
        assert records[-1]["record"] == "end"
        assert {record.get("champion") for record in records if record["record"] == "swap"} == {second}


@pytest.mark.slow
def test_a_folder_that_is_watched_and_a_hang_up_bring_newer_models(models: dict[str, Path], tmp_path: Path) -> None:
    place = tmp_path / "model"
    subprocess.run(["cp", "-r", str(models["first"]), str(place)], check=True)
    with command(str(place), "--watch", str(tmp_path / "newer"), folder=tmp_path / "served") as (process, told):
        url = told["url"]

        def identity() -> str:
            return str(asked(url, "GET", "/ready")[1]["model"])

        # the model that is served is a copy: its folder may go
        subprocess.run(["rm", "-r", str(place)], check=True)
        assert asked(url, body=rows_body(ROWS[:2]))[1]["predictions"] == bits(MODEL, FRAME[:2])
        (tmp_path / "newer").mkdir()
        subprocess.run(["cp", "-r", str(models["second"]), str(tmp_path / "newer" / "b")], check=True)
        until(lambda: identity() != told["model"])
        # SIGHUP: where the first one came from, as it is now
        subprocess.run(["cp", "-r", str(models["first"]), str(place)], check=True)
        process.send_signal(signal.SIGHUP)
        until(lambda: identity() == told["model"])
        process.send_signal(signal.SIGINT)
        assert process.wait(100) == 0


@pytest.mark.slow
def test_beyond_this_machine_there_are_tls_and_a_token(models: dict[str, Path], tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    made += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(made, check=True, capture_output=True)
    with flow.Server(
        models["first"], host="0.0.0.0", port=0, tls_cert=str(certificate), tls_key=str(key), folder=str(tmp_path / "f")
    ) as server:
        port = int(server.url.rpartition(":")[2])
        assert server.url.startswith("https://")
        assert server.token
        context = ssl.create_default_context(cafile=certificate)
        for headers, status in ((JSON, 401), ({**JSON, "Authorization": f"Bearer {server.token}"}, 200)):
            connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=100)
            connection.request("POST", "/predict", rows_body(ROWS[:1]), headers)
            assert connection.getresponse().status == status
            connection.close()
        # who speaks without TLS gets nothing
        with pytest.raises((OSError, http.client.HTTPException)):
            asked(f"http://127.0.0.1:{port}", "GET", "/health")
        if os.getuid() == 0:  # another user of the machine reads no token
            read = subprocess.run(["cat", str(server.folder / "access.json")], user=65534, capture_output=True)
            assert read.returncode != 0
    assert server.token not in (server.folder / "events.jsonl").read_text()


@pytest.mark.slow
def test_a_model_of_this_program_is_served_and_a_bad_one_is_one_sentence(tmp_path: Path) -> None:
    with flow.Server(MODEL, port=0, folder=str(tmp_path / "a")) as server:
        assert asked(server.url, body=rows_body(ROWS[:3]))[1]["predictions"] == bits(MODEL, FRAME[:3])
        # the same place, or the same port, is not taken twice
        with pytest.raises(SettingsError, match="cannot be listened on"):
            flow.Server(MODEL, port=int(server.url.rpartition(":")[2]), folder=str(tmp_path / "b")).__enter__()
    folder = written(tmp_path / "trust")
    (folder / "model.skops").write_bytes(b"no")
    with pytest.raises(BundleError, match=r"model\.skops was changed"):
        flow.Server(folder, port=0, folder=str(tmp_path / "c")).__enter__()
    assert not (tmp_path / "c" / "access.json").exists()


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "beyond without TLS": ({"host": "0.0.0.0"}, "would travel in the clear"),
    "half of a pair": ({"tls_cert": __file__}, "go together"),
    "no such file": ({"token_file": "/no/such"}, "there is no file /no/such"),
    "a size that is none": ({"max_bytes": "much"}, "should be a size"),
    "a time that is none": ({"timeout": "soon"}, "should be a time"),
    "no time": ({"timeout": 0}, "greater than 0"),
    "no worker": ({"workers": 0}, "greater than or equal to 1"),
    "a word that is none": ({"worker": 2}, "did you mean 'workers'"),
    "no address": ({"host": "no.such.host.invalid", "insecure_behind_proxy": True, "port": 0}, "no address of this"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_asked_for_is_one_sentence(name: str, tmp_path: Path) -> None:
    words, said = WRONG[name]
    with pytest.raises(SettingsError, match=said):
        flow.Server(replace(MODEL), folder=str(tmp_path / "f"), **words).__enter__()


def test_a_token_file_is_for_its_owner_and_holds_a_token(tmp_path: Path) -> None:
    path = tmp_path / "token"
    for text, mode, said in (
        (TOKEN, 0o644, "can be read by others"),
        ("short", 0o600, "letters and digits or more"),
        ("", 0o600, "letters and digits or more"),
        ("with a blank in the middle", 0o600, "without blanks"),
    ):
        path.write_text(text)
        path.chmod(mode)
        with pytest.raises(SettingsError, match=said):
            flow.Server(MODEL, token_file=str(path))
    path.write_text(f"{TOKEN}\n")
    assert flow.Server(MODEL, token_file=str(path)).token == TOKEN
