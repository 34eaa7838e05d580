"""Real clusters and real processes: what they serve is for the owner alone, and pages outlive what may happen."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

import daskflow as flow
from daskflow.core.access import cookie_name, seal_of
from daskflow.core.protocols import Connection
from daskflow.dashboard.feed import TICK_SECONDS
from daskflow.dashboard.mounting import Mounted, mount
from tests.conftest import lacking
from tests.open_ports import open_port
from tests.site_client import Viewer, ask, ask_dask, ask_for_socket
from tests.told_runs import told_run, until
from tests.told_source import until_now

pytestmark = pytest.mark.slow

TOKEN = "a-token-of-the-tests"


@pytest.fixture(scope="module")
def watched() -> Iterator[tuple[Connection, Mounted]]:
    """A local cluster with the pages of a run that goes on."""
    with flow.clusters.Local(workers=2, memory="1 GiB").open() as connection:
        mounted = mount(connection.client, name="late-flights", id="a1b2c3d4e5", token=connection.token)
        mounted.send(until_now(until(told_run(), 0.6)))
        yield connection, mounted


def places(connection: Connection) -> list[str]:
    """Host and port of each web server: the scheduler's, then each worker's."""
    told = connection.client.scheduler_info(n_workers=-1)
    ports = [told["services"]["dashboard"], *(worker["services"]["dashboard"] for worker in told["workers"].values())]
    return [f"127.0.0.1:{port}" for port in ports]


def paths(connection: Connection) -> list[str]:
    """Every path that the scheduler's web server knows, with something in the place of what varies."""
    found = {"/", "/nothing/there", "/daskflow", "/daskflow-search", "/daskflow-static/page.js"}
    served = connection.client.cluster.scheduler.http_application

    def look(router: Any) -> None:
        for rule in router.rules:
            pattern = getattr(getattr(rule.matcher, "regex", None), "pattern", "")
            if hasattr(rule.target, "rules"):
                look(rule.target)
            elif pattern:
                found.add(re.sub(r"\((\?:)?[^()]*\)", "1", pattern.rstrip("$").replace("\\", "")).replace("?", ""))

    for application in (served, *served.applications):
        look(application.wildcard_router)
        look(application.default_router)
        for path in getattr(application, "app_paths", ()):
            found |= {path, f"{path}/ws", f"{path}/autoload.js", f"{path}/metadata"}
    return sorted(found)


def test_every_path_of_every_process_refuses_whoever_shows_no_token(watched: tuple[Connection, Mounted]) -> None:
    # given
    connection, _ = watched
    known = paths(connection)
    for each in (
        "/status",
        "/info/main/workers.html",
        "/metrics",
        "/json/counts.json",
        "/health",
        "/daskflow",
        "/daskflow-do",
        "/status/ws",
    ):
        assert each in known
    assert len(known) > 100
    # when
    scheduler, *workers = places(connection)
    refused = {path: ask(scheduler, path).status for path in known}
    refused |= {f"POST {path}": ask(scheduler, path, "POST", b"{}").status for path in known}
    for worker in workers:
        some = ("/", "/status", "/metrics", "/health", "/sitemap.json", "/statics/css/base.css", "/nothing")
        refused |= {f"{worker}{path}": ask(worker, path).status for path in some}
    # then
    assert set(refused.values()) == {403}
    assert ask_dask(scheduler, "/status", Authorization=f"Bearer {connection.token}").status == 200
    assert ask(workers[0], "/metrics", Authorization=f"Bearer {connection.token}").status == 200


def test_a_worker_that_was_started_again_is_guarded_too(watched: tuple[Connection, Mounted]) -> None:
    # given
    connection, _ = watched
    before = set(places(connection))
    pids = connection.client.run(os.getpid)
    # when a worker is killed
    os.kill(next(iter(pids.values())), signal.SIGKILL)
    until_then = time.monotonic() + 60
    while len(now := set(places(connection))) < 3 or now == before:
        assert time.monotonic() < until_then
        time.sleep(0.1)
    # then
    (new,) = now - before
    assert ask(new, "/metrics").status == 403
    assert ask(new, "/metrics", Authorization=f"Bearer {connection.token}").status == 200


def test_web_servers_are_bound_to_the_loopback_address(watched: tuple[Connection, Mounted]) -> None:
    # given
    connection, mounted = watched
    ports = {int(place.split(":")[1]) for place in places(connection)}
    # when
    me = psutil.Process()
    found = {
        connected.laddr.port: connected.laddr.ip
        for process in [me, *me.children(recursive=True)]
        for connected in process.net_connections("inet")
        if connected.status == psutil.CONN_LISTEN
    }
    # then
    assert {found[port] for port in ports} == {"127.0.0.1"}
    assert connection.client.cluster.scheduler.http_server.address == "127.0.0.1"
    assert mounted.address is not None
    assert mounted.address.startswith(f"http://{places(connection)[0]}/")


def test_bokehs_websocket_is_for_pages_of_the_same_origin_alone(watched: tuple[Connection, Mounted]) -> None:
    # given a browser with the cookie, and a page's own session
    connection, _ = watched
    place = places(connection)[0]
    cookie = f"{cookie_name(seal_of(connection.token))}={connection.token}"
    page = ask_dask(place, "/status", Cookie=cookie).text
    found = re.search(r'"token":"([^"]+)"', page)
    assert found is not None
    # when
    status = {
        origin: ask_for_socket(place, "/status/ws", origin, protocol=f"bokeh, {found[1]}", Cookie=cookie)
        for origin in (f"http://{place}", f"http://localhost:{place.split(':')[1]}", "http://127.0.0.1:9", "null")
    }
    # then: a name counts as an origin of its own
    assert list(status.values()) == [101, 403, 403, 403]
    assert ask_for_socket(place, "/status/ws", f"http://{place}", protocol=f"bokeh, {found[1]}") == 403


STRANGER = r"""
import http.client, json, os, sys

told = json.loads(sys.stdin.read())
token, found = told["token"].encode(), {"uid": os.getuid(), "status": {}, "seen": [], "looked_at": 0}
for place in told["places"]:
    for path in ("/status", "/daskflow", "/daskflow.json", "/info/main/workers.html"):
        connection = http.client.HTTPConnection(place, timeout=60)
        connection.request("GET", path)
        found["status"][place + path] = connection.getresponse().status
        connection.close()

def look(path):
    try:
        with open(path, "rb") as file:
            content = file.read(2_000_000)
    except OSError:
        return
    found["looked_at"] += 1
    if token in content:
        found["seen"].append(path)

for pid in filter(str.isdigit, os.listdir("/proc")):
    for name in ("cmdline", "environ", "comm", "status", "maps"):
        look(f"/proc/{pid}/{name}")
for folder in told["folders"]:
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            try:
                is_new = os.path.isfile(path) and os.stat(path).st_mtime > told["since"]
            except OSError:
                continue
            if is_new:
                look(path)
print(json.dumps(found))
"""


def as_a_stranger(command: Sequence[str], told: str) -> str:
    """Run a command as another user of this machine; skip where there is no way to be one."""
    common: dict[str, Any] = {"input": told, "stdout": subprocess.PIPE, "text": True, "check": True, "cwd": "/"}
    if os.geteuid() == 0:
        return subprocess.run(command, user=65534, group=65534, extra_groups=[], env={}, **common).stdout
    sudo = ["sudo", "-n", "-u", "nobody"]
    if shutil.which("sudo") is None or subprocess.run([*sudo, "true"], capture_output=True).returncode != 0:
        lacking("a second user to be")
    return subprocess.run([*sudo, *command], **common).stdout


def test_another_user_of_the_machine_is_refused_and_finds_no_token(
    watched: tuple[Connection, Mounted], tmp_path: Path
) -> None:
    # given what the owner's processes leave on the machine: scratch folders, shared memory, files of the run
    connection, _ = watched
    with open("/proc/self/stat") as file:
        ticks = int(file.read().rpartition(")")[2].split()[19])
    since = psutil.boot_time() + ticks / os.sysconf("SC_CLK_TCK") - 5
    folders = ["/tmp", "/dev/shm", str(Path.cwd()), str(tmp_path)]
    interpreter = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable
    told = {"token": connection.token, "places": places(connection), "folders": folders, "since": since}
    decoy = f"decoy-{os.urandom(8).hex()}"
    with tempfile.NamedTemporaryFile("w", dir="/tmp") as file:
        file.write(decoy)
        file.flush()
        os.chmod(file.name, 0o644)
        # when
        found, control = (
            json.loads(as_a_stranger([interpreter, "-c", STRANGER], json.dumps({**told, "token": token})))
            for token in (connection.token, decoy)
        )
        # then the stranger finds what can be found
        assert control["seen"] == [file.name]
    assert found["uid"] != os.getuid()
    assert found["looked_at"] > 20
    # and neither a page nor the token
    assert set(found["status"].values()) == {403}
    assert found["seen"] == []


def test_twenty_viewers_see_a_run_go_on(watched: tuple[Connection, Mounted]) -> None:
    # given a run in its second half, and twenty viewers who wait as pages do
    connection, _ = watched
    place, bearer = places(connection)[0], {"Authorization": f"Bearer {connection.token}"}
    run = until_now(told_run())
    half = until(run, 0.5)
    mounted = mount(connection.client, name="crowd", id="crowd", token=connection.token)
    mounted.send(half)
    viewers = [Viewer(place, run="crowd") for _ in range(20)]
    ends: list[str] = []

    def look(viewer: Viewer) -> None:
        told = viewer.look(**bearer)
        while not told["header"]["over"] and viewer.answers < 200:
            told = viewer.look(wait=True, **bearer)
        ends.append(told["header"]["status"])

    threads = [threading.Thread(target=look, args=(viewer,)) for viewer in viewers]
    for thread in threads:
        thread.start()
    begun = time.monotonic()
    # when it goes on as soon as each has seen that it did
    rest = run[len(half) :]
    step = len(rest) // 6 + 1
    for number, start in enumerate(range(0, len(rest), step)):
        come(lambda told=number: all(viewer.answers > told for viewer in viewers))
        mounted.send(rest[start : start + step])
    for thread in threads:
        thread.join(60)
    # then each saw it change as often as there was something new, and its end
    assert ends == ["done"] * 20
    most = 10 + (time.monotonic() - begun) / TICK_SECONDS
    assert all(5 <= viewer.answers <= most for viewer in viewers)
    assert all(viewer.have == viewers[0].have for viewer in viewers)
    come(lambda: mounted.viewers() == 0)  # nobody has still to fetch the end


def come(what: Callable[[], bool]) -> None:
    """Wait until something is so."""
    until_then = time.monotonic() + 60
    while not what():
        assert time.monotonic() < until_then
        time.sleep(0.02)


@contextmanager
def scheduler(*arguments: str, folder: Path, port: int = 0) -> Iterator[tuple[Any, str]]:
    """A ``dask scheduler`` in a process of its own; yields a client of it and the address of its pages."""
    from distributed import Client

    file = folder / "scheduler.json"
    file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    command += ["--dashboard-address", f"127.0.0.1:{port}", "--scheduler-file", str(file), *arguments]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until_then = time.monotonic() + 120
        while not file.exists() or not file.read_text().endswith("}"):
            assert process.poll() is None
            assert time.monotonic() < until_then
            time.sleep(0.05)
        with Client(scheduler_file=str(file), set_as_default=False) as client:
            yield client, f"127.0.0.1:{client.scheduler_info()['services']['dashboard']}"
    finally:
        process.kill()
        process.wait()


def test_a_page_goes_on_when_the_scheduler_is_another_one(tmp_path: Path) -> None:
    """Below a prefix, as behind a proxy, and on a scheduler that is not ours."""
    # given a viewer of a run on a scheduler
    port, bearer = open_port(), {"Authorization": f"Bearer {TOKEN}"}
    with scheduler("--dashboard-prefix", "/user/x", folder=tmp_path, port=port) as (client, place):
        mounted = mount(client, name="late-flights", id="a", token=TOKEN)
        assert (mounted.address, mounted.why) == (f"http://{place}/user/x/daskflow", "")
        mounted.send(until_now(told_run()[:60]))
        page = ask(place, "/user/x/daskflow", **bearer)
        assert page.status == 200
        assert re.findall(r'(?:href|src)="/', page.text) == [], "links are relative, whatever the prefix"
        assert 'href="daskflow"' in ask_dask(place, "/user/x/status").text
        assert ask(place, "/daskflow", **bearer).status == 404
        feed = "/user/x/daskflow-feed?page=overview"
        before = ask(place, feed, **bearer).json
        assert before["header"]["dask"] is True
    # when the scheduler is gone
    with pytest.raises(OSError, match="refused"):
        ask(place, feed, **bearer)
    # and another one comes in its place, from which the same run is continued
    with scheduler("--dashboard-prefix", "/user/x", folder=tmp_path, port=port) as (client, again):
        assert again == place
        assert ask(place, feed, **bearer).status in (403, 404)
        mount(client, name="late-flights", id="a", token=TOKEN).send(until_now(told_run()[:90]))
        after = ask(place, f"{feed}&boot={before['boot']}", **bearer).json
    # then the viewer begins anew by itself
    assert after["boot"] != before["boot"]
    assert set(after["values"]) == set(before["values"])


def test_a_scheduler_without_daskflow_is_a_sentence(tmp_path: Path) -> None:
    # given a scheduler where daskflow cannot be imported
    (tmp_path / "without.py").write_text("import sys\nsys.modules['daskflow'] = None\n")
    with scheduler("--preload", str(tmp_path / "without.py"), folder=tmp_path) as (client, place):
        # when
        mounted = mount(client, name="a", id="b", token=TOKEN)
        # then
        assert mounted.address is None
        assert mounted.why.startswith(
            "The scheduler lacks daskflow, so it has no pages of this run: install daskflow 0."
        )
        assert ask_dask(place, "/status").status == 200


def test_a_scheduler_that_was_started_with_the_pages_and_without_dasks_own(tmp_path: Path) -> None:
    # given a scheduler with a preload and no dashboard
    arguments = ("--preload", "daskflow.dashboard.plugin", "--no-dashboard")
    with scheduler(*arguments, folder=tmp_path) as (client, place):
        # when
        mounted = mount(client, name="a", id="b", token=TOKEN)
        mounted.send(told_run()[:30])
        # then
        assert mounted.address == f"http://{place}/daskflow"
        told = ask(place, "/daskflow-feed?page=overview", Authorization=f"Bearer {TOKEN}").json
        assert (told["header"]["status"], told["header"]["dask"]) == ("running", False)
