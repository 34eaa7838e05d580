"""A run's pages on the scheduler of its cluster: put there, told, asked back, and never the run's trouble."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest

import daskflow as flow
from daskflow.core.access import cookie_name, seal_of
from daskflow.core.control import Command
from daskflow.core.errors import ClusterError, SettingsError
from daskflow.core.protocols import Connection
from daskflow.dashboard import mounting, plugin, watched
from daskflow.dashboard.calling import NAME, RECORDS, opened
from daskflow.dashboard.mounting import mount
from daskflow.dashboard.plugin import MOST_RUNS, Pages
from tests.site_client import ask, ask_dask, ask_for_socket, begin
from tests.told_runs import HOSTILE, told_run, until
from tests.told_source import until_now


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    """A cluster of ours in this process."""
    with flow.clusters.Threads(workers=1).open() as opened:
        yield opened


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduler is waited for, however busy the machine is."""
    monkeypatch.setattr(mounting, "ANSWER_SECONDS", 60.0)
    monkeypatch.setattr(mounting, "MOUNT_SECONDS", 120.0)


@pytest.fixture
def place(connection: Connection) -> str:
    """Host and port of the scheduler's web server."""
    assert connection.dashboard is not None
    return connection.dashboard.split("/")[2]


def summary(connection: Connection, address: str | None, run: str = "") -> Any:
    """What the pages know of a run."""
    assert address is not None
    server, path = address.split("/")[2], "/" + address.split("/", 3)[3]
    return ask(server, f"{path}.json?run={run}", Authorization=f"Bearer {connection.token}").json


def test_a_run_is_watched_beside_dasks_own_pages(connection: Connection, place: str) -> None:
    # given
    run = until_now(until(told_run(hostile=True), 0.6))
    # when
    mounted = mount(connection.client, name="late-flights", id="a1b2c3d4e5", token=connection.token)
    mounted.send(run)
    # then
    assert (mounted.address, mounted.why) == (f"http://{place}/daskflow", "")
    assert mounted.host
    told = summary(connection, mounted.address)
    assert (told["status"], told["trials"]["all"], told["name"]) == ("running", 46, "late-flights")
    bearer = {"Authorization": f"Bearer {connection.token}"}
    feed = ask(place, "/daskflow-feed?page=nothing", **bearer)
    assert feed.status == 404
    for path in ("/daskflow", "/daskflow.json", "/daskflow-feed", "/daskflow-metrics", "/daskflow-static/bokeh.min.js"):
        assert ask(place, path).status == 403
    # and the bar of Dask's pages leads there
    assert '<a href="daskflow">' in ask_dask(place, "/status", **bearer).text
    assert '<a href="daskflow">' in ask(place, "/workers", **bearer).text


def test_a_tool_may_show_the_token_in_the_address(connection: Connection, place: str) -> None:
    # given
    mount(connection.client, name="late-flights", id="a1b2c3d4e5", token=connection.token)
    # when, then
    for path in ("/daskflow.json", "/daskflow-metrics", "/daskflow-feed", "/metrics", "/json/counts.json"):
        assert ask(place, f"{path}?token={connection.token}").status == 200
        assert ask(place, f"{path}?token=nonsense").status == 403


def test_a_run_does_not_wait_at_its_end_for_tools_that_read_its_numbers(
    connection: Connection, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "AWAY_SECONDS", 3600.0)  # whoever looked is still there, however slow the machine
    # given a run that a tool reads
    mounted = mount(connection.client, name="a", id="scraped", token=connection.token)
    mounted.send(told_run()[:30])
    bearer = {"Authorization": f"Bearer {connection.token}"}
    for path in ("/daskflow.json?run=scraped", "/daskflow-metrics"):
        assert ask(place, path, **bearer).status == 200
    # when, then
    assert mounted.viewers() == 0
    # and a page that somebody looks at is waited for
    assert ask(place, "/daskflow-feed?run=scraped", **bearer).status == 200
    assert mounted.viewers() == 1


def test_what_viewers_ask_reaches_the_run(connection: Connection, place: str) -> None:
    # given
    mounted = mount(connection.client, name="late-flights", id="asked", token=connection.token)
    mounted.send(until_now(until(told_run(), 0.6)))
    # when
    told = [
        ask(
            place,
            "/daskflow-do",
            "POST",
            json.dumps({"run": "asked", **asked}).encode(),
            X_Daskflow="1",
            Cookie=f"{cookie_name(seal_of(connection.token))}={connection.token}",
            Origin=f"http://{place}",
        )
        for asked in ({"command": "cancel", "trial": "2-7"}, {"command": "extend", "trials": 20})
    ]
    # then
    assert [answer.json for answer in told] == [
        {"told": "The run was asked; the notes tell when it has taken effect."}
    ] * 2
    commands: list[Command] = []
    until_then = time.monotonic() + 60
    while len(commands) < 2 and time.monotonic() < until_then:
        commands += mounted.commands()
    assert [(each.word, each.trial, each.trials, each.by) for each in commands] == [
        ("cancel", "2-7", 0, "page"),
        ("extend", "", 20, "page"),
    ]
    assert mounted.commands() == []
    # when the run is over
    mounted.send([{"record": "end", "at": time.time(), "status": "done"}])
    late = ask(
        place,
        "/daskflow-do",
        "POST",
        b'{"command": "stop"}',
        X_Daskflow="1",
        Authorization=f"Bearer {connection.token}",
    )
    # then
    assert (late.status, late.json["error"]) == (409, "The run does not go on: there is nothing to change.")


def test_a_command_that_no_scheduler_could_pass_on_never_gets_there(connection: Connection) -> None:
    # given a run's pages on its scheduler
    mounted = mount(connection.client, name="a", id="too-much", token=connection.token)
    mounted.send(until_now(until(told_run(), 0.6)))
    run = connection.client.cluster.scheduler.plugins[NAME].runs["too-much"]
    # when more is asked than a message can hold
    with pytest.raises(SettingsError, match="give a whole number above 0 and at most 1,000,000"):
        run.act(Command("extend", trials=2**64 + 1))
    # and something that is no command has come through all the same
    wire: Any = mounted.send.__self__  # type: ignore[attr-defined]
    wire.heard((0.0, {"command": "extend", "trials": "many"}))
    wire.heard((0.0, {"command": "pause", "by": "page"}))
    # then
    assert [each.word for each in mounted.commands()] == ["pause"]


def test_a_run_that_is_continued_begins_anew_and_its_former_process_is_not_heard(connection: Connection) -> None:
    # given a process that told half a run
    former = mount(connection.client, name="a", id="continued", token=connection.token)
    former.send(until_now(until(told_run(), 0.6)))
    # when the same run is continued by another process
    now = mount(connection.client, name="a", id="continued", token=connection.token)
    now.send(until_now(told_run()[:30]))
    former.send(told_run())
    # then
    told = summary(connection, now.address, "continued")
    assert (told["status"], told["trials"]["all"]) == ("running", 0)


def test_a_message_that_arrives_twice_is_heard_once(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a scheduler whose answer to the first message gets lost
    mounted = mount(connection.client, name="a", id="twice", token=connection.token)
    wire: Any = mounted.send.__self__  # type: ignore[attr-defined]
    deliver, lost = wire._deliver, []

    def lose(number: int, records: Any) -> None:
        deliver(number, records)
        if not lost:
            lost.append(number)
            raise TimeoutError("no answer")

    monkeypatch.setattr(wire, "_deliver", lose)
    run = told_run()
    # when
    mounted.send(run[:400])
    mounted.send(run[400:])
    # then
    assert lost == [0]
    fits = sum(record["record"] == "unit" for record in run)
    assert summary(connection, mounted.address, "twice")["fits"]["done"] == fits


def test_a_scheduler_that_is_gone_for_long_is_a_sentence(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    mounted = mount(connection.client, name="a", id="gone", token=connection.token)

    def fail(number: int, records: Any) -> None:
        raise OSError("no route")

    monkeypatch.setattr(mounted.send.__self__, "_deliver", fail)  # type: ignore[attr-defined]
    # when, then: at first records wait
    mounted.send([{"record": "note", "text": "a", "at": 0.0}])
    monkeypatch.setattr(mounting, "LOST_SECONDS", 0.0)
    with pytest.raises(ClusterError, match=r"does not take .*\(OSError: no route\).* 'daskflow watch RUN'"):
        mounted.send([{"record": "note", "text": "b", "at": 0.0}])


def test_pages_are_mounted_once_however_often_dask_starts_them(connection: Connection, place: str) -> None:
    # given a plugin that was mounted
    mounted = mount(connection.client, name="a", id="once", token=connection.token)
    scheduler = connection.client.cluster.scheduler
    before = len(scheduler.http_application.applications)
    pages = scheduler.plugins[NAME]
    # when it is started again, as Dask does with what a preload registers
    connection.client.sync(pages.start, scheduler)
    mount(connection.client, name="b", id="another", token=connection.token)
    # then
    assert scheduler.plugins[NAME] is pages
    assert len(scheduler.http_application.applications) == before
    assert ask_dask(place, "/status", Authorization=f"Bearer {connection.token}").text.count('href="daskflow"') == 1
    assert summary(connection, mounted.address, "once")["id"] == "once"


def test_a_scheduler_keeps_the_last_runs_and_none_of_their_messages(connection: Connection) -> None:
    # when runs have ended, and others go on
    over = {"record": "end", "status": "done", "error": "", "at": told_run()[4]["at"]}
    mount(connection.client, name="a", id="run-0", token=connection.token).send(told_run()[:5])
    pages = connection.client.cluster.scheduler.plugins[NAME]
    for known in [each for each in pages.runs if each != "run-0"]:
        pages.runs.pop(known).close()
    for number in range(1, MOST_RUNS + 2):
        mounted = mount(connection.client, name="a", id=f"run-{number}", token=connection.token)
        mounted.send([*told_run()[:5], over])
    # then
    assert list(pages.runs) == ["run-0", *[f"run-{number}" for number in range(3, MOST_RUNS + 2)]]
    assert connection.client.get_events(RECORDS) == ()


def test_each_run_of_a_scheduler_that_is_not_ours_has_a_token_of_its_own(client: Any) -> None:
    # given two runs on a cluster that somebody else started, and whose own pages are open
    mounted = [mount(client, name=f"{who}'s", id=who, token=f"token-of-{who}") for who in ("ann", "bob")]
    for each in mounted:
        each.send([{"record": "invocation", "at": 1.0, "id": "x"}])
    place = client.dashboard_link.split("/")[2]
    assert mounted[0].address == f"http://{place}/daskflow"
    # when
    ann, bob = ({"Authorization": f"Bearer token-of-{who}"} for who in ("ann", "bob"))
    # then each sees its own, and not that there are others
    assert ask(place, "/daskflow-metrics", **ann).text.count('name="ann\'s"') > 0
    assert "bob" not in ask(place, "/daskflow-metrics", **ann).text
    assert ask(place, "/daskflow.json", **bob).json["name"] == "bob's"
    assert ask(place, "/daskflow.json?run=bob", **ann).status == 403
    assert ask(place, "/daskflow.json?run=carl", **ann).status == 404
    assert ask(place, "/daskflow").status == 403
    # and Dask's own pages are as they were
    assert ask_dask(place, "/status").status == 200


def test_nobody_fills_the_memory_of_a_scheduler_without_the_token(
    connection: Connection, place: str, client: Any
) -> None:
    """Tornado takes 100 MB of a body before it asks who sends it."""
    # given a scheduler of ours, and one that is not
    mount(client, name="a", id="b", token="c")
    # when a long body is announced, then nobody waits for it
    for path in ("/status", "/daskflow", "/daskflow-do", "/nothing"):
        assert begin(place, path, 50_000_000) == 403
    open_place = client.dashboard_link.split("/")[2]
    assert begin(open_place, "/daskflow-do", 50_000_000) == 403
    # and of what an owner sends too much of, little is kept
    said = ask(open_place, "/daskflow-do", "POST", b"[" * 3_000_000, Authorization="Bearer c", X_Daskflow="1")
    assert (said.status, said.json["error"]) == (400, "The body should be a small JSON object.")


def test_tools_of_dask_go_on_working(connection: Connection, tmp_path: Any) -> None:
    """The scheduler and its clients speak another protocol than HTTP with each other, which is not guarded here."""
    from distributed import performance_report

    with connection.client.as_current(), performance_report(filename=str(tmp_path / "report.html")):
        assert connection.client.submit(sum, [1, 2]).result() == 3
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert connection.client.dashboard_link.startswith(f"{connection.dashboard}?token=")


def test_a_websocket_of_a_page_elsewhere_is_refused_even_with_the_cookie(connection: Connection, place: str) -> None:
    cookie = f"{cookie_name(seal_of(connection.token))}={connection.token}"
    for origin, status in ((f"http://{place}", 101), ("http://127.0.0.1:1", 403), ("https://elsewhere.example", 403)):
        assert ask_for_socket(place, "/eventstream", origin, Cookie=cookie) == status
    assert ask_for_socket(place, "/eventstream", f"http://{place}") == 403


@pytest.mark.parametrize("path", ["/status", "/info/main/workers.html", "/daskflow.json"])
def test_no_page_of_elsewhere_shows_these_in_a_frame(connection: Connection, place: str, path: str) -> None:
    # given a browser with the cookie, and a run
    cookie = f"{cookie_name(seal_of(connection.token))}={connection.token}"
    mount(connection.client, name="a", id="framed", token=connection.token)
    for frame in ("iframe", "frame", "embed", "object", "document"):
        status = {
            site: ask_dask(
                place, path, Cookie=cookie, Sec_Fetch_Site=site, Sec_Fetch_Dest=frame, Sec_Fetch_Mode="navigate"
            ).status
            for site in ("same-origin", "same-site", "cross-site")
        }
        # then
        elsewhere = 200 if frame == "document" else 403
        assert status == {"same-origin": 200, "same-site": elsewhere, "cross-site": elsewhere}


# Where there can be no pages


def test_without_a_scheduler_there_are_no_pages_and_a_sentence() -> None:
    mounted = mount(None, name="a", id="b", token="c")
    assert mounted.address is None
    assert (
        mounted.why == "This cluster has no scheduler; 'daskflow watch RUN' shows the same pages from the run's folder."
    )
    mounted.send([{}])
    assert (mounted.commands(), mounted.viewers()) == ([], 0)
    mounted.close()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            ModuleNotFoundError("No module named 'daskflow'", name="daskflow"),
            "The scheduler lacks daskflow, so it has no",
        ),
        (ValueError("Pickle is not allowed"), "takes no code from its clients (distributed.scheduler.pickle is off)"),
        (OSError("timed out"), "The scheduler has no pages of this run (OSError: timed out)."),
    ],
)
def test_a_scheduler_that_takes_no_pages_is_a_sentence(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    # given
    async def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(connection.client, "_run_on_scheduler", fail)
    # when
    mounted = mount(connection.client, name="a", id="b", token="c")
    # then
    assert mounted.address is None
    assert sentence in mounted.why
    assert mounted.why.endswith("'daskflow watch RUN' shows the same pages from the run's folder.")


class BareScheduler:
    """A scheduler of another version: almost nothing of it is as expected."""

    def __init__(self) -> None:
        self.plugins: dict[str, Any] = {}
        self.clients = {"client": None}

    def add_plugin(self, pages: Any, name: str) -> None:
        self.plugins[name] = pages


class StrangeScheduler(BareScheduler):
    """One that has a web server, of another kind."""

    http_application = object()
    http_server = object()


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [(BareScheduler, "This scheduler has no web server."), (StrangeScheduler, "cannot be put on this scheduler's web")],
)
def test_a_scheduler_without_a_web_server_as_expected_is_a_sentence(kind: Any, sentence: str) -> None:
    # given
    scheduler = kind()
    # when
    told = asyncio.run(opened(name="a", id="b", seal="c", boot="d", client="client", dask_scheduler=scheduler))
    # then
    assert sentence in told["why"]
    assert scheduler.plugins[NAME].runs == {}


def test_what_cannot_be_read_touches_nobody(caplog: pytest.LogCaptureFixture) -> None:
    # given
    caplog.set_level(logging.WARNING)
    pages = Pages()
    pages._scheduler = BareScheduler()
    pages.runs["b"] = plugin.Mounted(name="a", id="b", seal="c", boot="d", client="client")
    # when
    for message in (None, {}, {"id": "b", "boot": "d", "number": 0, "records": b"[{"}, {"id": "b", "boot": "d"}):
        pages.log_event(RECORDS, message)
    pages.log_event("another", None)
    pages.log_event(
        RECORDS, {"id": "b", "boot": "d", "number": 1, "records": json.dumps([{"record": "note", "text": HOSTILE}])}
    )
    # then
    assert [note.text for note in pages.runs["b"].state.notes] == [HOSTILE]
    assert len(caplog.records) == 4


def test_a_run_whose_process_is_gone_is_interrupted_unless_it_comes_back() -> None:
    # given
    later: list[Any] = []

    class Loop:
        def call_later(self, seconds: float, function: Any, *arguments: Any) -> None:
            later.append((function, arguments))

    scheduler: Any = BareScheduler()
    scheduler.loop = Loop()
    pages = Pages()
    pages._scheduler = scheduler
    run = pages.runs["b"] = plugin.Mounted(name="a", id="b", seal="c", boot="d", client="client")
    run.hear(told_run()[:30])

    def some_time() -> None:
        function, arguments = later.pop()
        function(*arguments)

    # when the client connects again
    pages.remove_client(scheduler, "client")
    some_time()
    # then
    assert run.state.status == "running"
    # when it does not
    pages.remove_client(scheduler, "client")
    scheduler.clients.clear()
    some_time()
    # then
    assert (run.state.status, run.state.error) == (
        "interrupted",
        "The process that ran it has gone. The same command continues it.",
    )
    pages.remove_client(scheduler, "client")
    assert later == []
