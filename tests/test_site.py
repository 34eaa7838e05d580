"""The pages' server: who may see, what may change, and what other tools are told."""

from __future__ import annotations

import logging
import re
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from daskflow.core.control import Command
from daskflow.core.errors import ClusterError, StorageError
from daskflow.dashboard import serving
from daskflow.dashboard.prometheus import metrics_of
from daskflow.dashboard.serving import Server
from daskflow.dashboard.state import RunState
from daskflow.dashboard.summary import summary_of
from daskflow.dashboard.watched import Watched
from tests.served_run import BEARER, COOKIE, TOKEN, ask, feed, post, served, wait_until_heard
from tests.site_client import begin
from tests.told_runs import HOSTILE, START, told_run, until
from tests.told_source import Told, until_now

EVERY_PATH = [
    "/daskflow",
    "/daskflow/",
    *(f"/daskflow-{page}" for page in ("data", "search", "evaluation", "stream", "history")),
    "/daskflow-static/bokeh.min.js",
    "/daskflow-feed?page=overview",
    "/daskflow-trial?trial=2-0",
    "/daskflow.json",
    "/daskflow-metrics",
]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A run in the middle of its search whose names try to break the page."""
    with served(Told(until_now(until(told_run(hostile=True), 0.6)))) as made:
        wait_until_heard(made)
        yield made


# Who may see


@pytest.mark.parametrize("path", EVERY_PATH)
@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer nonsense"}, {"Authorization": TOKEN}, {"Cookie": COOKIE.replace(TOKEN, "nonsense")}],
    ids=["nothing", "a wrong one", "no Bearer", "a wrong cookie"],
)
def test_nothing_is_answered_without_the_token(server: Server, path: str, headers: dict[str, str]) -> None:
    # when
    answer = ask(server, path, **headers)
    # then
    assert answer.status == 403
    assert b"link with a token that the run printed" in answer.content
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("shown", [{"Cookie": f"{COOKIE}; other=1"}, BEARER], ids=["cookie", "bearer"])
def test_the_token_opens_every_path(server: Server, shown: dict[str, str]) -> None:
    answers = {path: ask(server, path, **shown).status for path in EVERY_PATH}
    assert answers.pop("/daskflow/") == 302
    missing = {f"/daskflow-{page}" for page in ("data", "evaluation", "stream", "history")}  # there are two plain pages
    assert {path for path, status in answers.items() if status == 404} == missing
    assert {status for path, status in answers.items() if path not in missing} == {200}


def test_a_link_with_the_token_becomes_a_cookie_and_a_clean_address(server: Server) -> None:
    # when
    answer = ask(server, f"/daskflow-search?run=a1b2c3d4e5&token={TOKEN}")
    # then
    assert (answer.status, answer.headers["Location"]) == (302, "./daskflow-search?run=a1b2c3d4e5")
    name, *flags = answer.headers["Set-Cookie"].split("; ")
    assert name == COOKIE
    assert set(flags) == {"HttpOnly", "Path=/", "SameSite=Strict"}
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert server.address.endswith(f"/daskflow?token={TOKEN}")


def test_a_link_followed_from_another_site_goes_on_by_itself(server: Server) -> None:
    """A redirect would be asked for without the cookie, which is for this site's own requests."""
    answer = ask(server, f"/daskflow?token={TOKEN}", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")
    assert (answer.status, answer.headers["Refresh"]) == (200, "0; url=./daskflow")
    assert COOKIE in answer.headers["Set-Cookie"]


def test_a_refusal_is_a_page_for_a_browser_and_says_nothing_of_what_was_asked(server: Server) -> None:
    answer = ask(server, f"/daskflow?run={quote(HOSTILE)}", Accept="text/html")
    assert (answer.status, answer.headers["Content-Type"]) == (403, "text/html; charset=utf-8")
    assert b"<h1>" in answer.content
    assert b"onerror" not in answer.content


def test_every_answer_says_what_a_browser_may_do_with_it(server: Server) -> None:
    for path, headers in (
        ("/daskflow", BEARER),
        ("/daskflow.json", BEARER),
        ("/daskflow", {}),
        ("/nothing", BEARER),
    ):
        found = ask(server, path, **headers).headers
        assert "script-src 'self';" in found["Content-Security-Policy"]
        assert "frame-ancestors 'self'" in found["Content-Security-Policy"]
        assert found["X-Content-Type-Options"] == "nosniff"
        assert found["Cache-Control"] == "no-store"
        assert "Server" not in found


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://{place}"}, 200),
        ({"Origin": "http://localhost:1"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "https://{place}"}, 200),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://elsewhere.example"}, 403),
        ({"Origin": "https://hub.example", "X-Forwarded-Host": "hub.example"}, 200),
        ({"Origin": "https://hub.example", "X-Forwarded-Host": "other.example"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://hub.example"}, 200),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:1"}, 403),
    ],
)
def test_pages_of_other_places_and_other_ports_are_refused_even_with_the_cookie(
    server: Server, headers: dict[str, str], status: int
) -> None:
    place = server.address.split("/")[2]
    told = {name: value.replace("{place}", place) for name, value in headers.items()}
    assert ask(server, "/daskflow-feed?page=overview", Cookie=COOKIE, **told).status == status


def test_no_log_holds_the_token(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    # given
    caplog.set_level(logging.DEBUG)
    # when: answered, refused, unknown, failing
    for path in (f"/daskflow?token={TOKEN}", f"/nothing?token={TOKEN}", f"/daskflow-do?token={TOKEN}"):
        ask(server, path, Cookie=COOKIE)
    ask(server, f"/daskflow-trial?token={TOKEN}&trial=%ff", **BEARER)
    # then
    assert TOKEN not in caplog.text
    assert TOKEN not in repr(server.watched.__dict__)


# What may change


def test_a_command_reaches_the_run_and_its_effect_the_page() -> None:
    # given
    source = Told(until_now(until(told_run(), 0.6)))
    with served(source) as server:
        wait_until_heard(server)
        assert feed(server)["header"]["can_act"] is True
        # when
        said = post(server, "/daskflow-do", {"run": source.id, "command": "extend", "wall_seconds": 600}).json
        # then
        assert said == {"told": "extend was asked for."}
        (asked,) = source.asked
        assert (asked.word, asked.dump()["wall_seconds"], asked.by) == ("extend", 600.0, "page")


@pytest.mark.parametrize(
    ("told", "headers", "status", "sentence"),
    [
        ({"command": "pause"}, {"X-Daskflow": ""}, 403, "X-Daskflow is missing"),
        ({"command": "pause"}, {"Origin": "http://localhost:1"}, 403, "Another web page"),
        ({"command": "pause"}, {"Cookie": ""}, 403, "link with a token"),
        (b"command=pause", {}, 400, "small JSON object"),
        (b"[" * 9000, {}, 400, "small JSON object"),
        (["pause"], {}, 400, "small JSON object"),
        ({"command": "explode"}, {}, 400, "There is no command 'explode'; there is: pause, resume"),
        ({"command": ["pause"]}, {}, 400, "There is no command"),
        ({"command": "cancel", "trial": "<b>"}, {}, 400, "There is no such trial"),
        ({"command": "extend"}, {}, 400, "extend needs at least one of wall time, CPU-hours and trials"),
        ({"command": "extend", "trials": -3}, {}, 400, "give a whole number above 0"),
        ({"command": "extend", "trials": "many"}, {}, 400, "give a whole number above 0"),
        ({"command": "extend", "trials": 2**64 + 1}, {}, 400, "give a whole number above 0 and at most 1,000,000."),
        ({"command": "extend", "trials": 10**400}, {}, 400, "give a whole number above 0 and at most 1,000,000."),
        ({"command": "extend", "cpu_hours": 10**400}, {}, 400, "give a number above 0 and at most 1,000,000,000."),
        (b'{"command": "extend", "wall_seconds": 1e999}', {}, 400, "give a number above 0 and at most 1,000,000,000."),
        ({"command": "pause", "run": "another"}, {}, 404, "There is no such run"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_sentence(
    server: Server, told: Any, headers: dict[str, str], status: int, sentence: str
) -> None:
    answer = post(server, "/daskflow-do", told, **headers)
    assert answer.status == status
    assert sentence in answer.content.decode()


@pytest.mark.parametrize(
    ("length", "headers", "status"),
    [(5000, {}, 403), (50_000_000, {}, 403), (50_000_000, {**BEARER, "X-Daskflow": "1"}, 400)],
)
def test_a_body_is_not_waited_for_without_the_token_and_never_when_it_is_long(
    server: Server, length: int, headers: dict[str, str], status: int
) -> None:
    assert begin(server.address.split("/")[2], "/daskflow-do", length, **headers) == status


def test_after_the_search_there_is_nothing_to_change_until_another_begins() -> None:
    # given a run on its way to the refit
    run = told_run()
    after = next(place for place, each in enumerate(run) if each["record"] == "stage" and each["stage"] == "search")
    asked: list[Command] = []
    watched = Watched(name="late-flights", id="a1b2", seal="c", act=lambda command: asked.append(command) or "Asked.")
    watched.hear(run[:after])
    assert watched.can_act
    watched.hear(run[after : after + 1])
    # when, then
    assert (watched.can_act, watched.header([], dask=False)["too_late"]) == (False, True)
    with pytest.raises(PermissionError, match=r"The search of run late-flights/a1b2 is over: .* nothing left to stop"):
        watched.act(Command("stop"))
    # when the run is continued
    watched.hear([{"record": "invocation", "id": "a1b2", "at": run[after]["at"] + 1}])
    # then
    assert watched.act(Command("stop")) == "Asked."
    assert len(asked) == 1
    # and nobody is told so of a run that these pages only show
    shown = Watched(name="late-flights", id="a1b2", seal="c")
    shown.hear(run[: after + 1])
    assert shown.header([], dask=False)["too_late"] is False


def test_what_the_run_cannot_do_is_said_as_it_says_it() -> None:
    # given a run whose folder is full
    def act(command: Command) -> str:
        raise StorageError("The folder cannot be written: No space left on device.")

    source = Told(until_now(until(told_run(), 0.6)))
    with served(source, act=act) as server:
        wait_until_heard(server)
        # when
        answer = post(server, "/daskflow-do", {"command": "pause"})
    # then
    assert (answer.status, answer.json["error"]) == (409, "The folder cannot be written: No space left on device.")


def test_commands_are_not_asked_by_get(server: Server) -> None:
    assert ask(server, "/daskflow-do?command=pause", **BEARER, **{"X-Daskflow": "1"}).status == 405


@pytest.mark.parametrize("options", [{"read_only": True}, {"replay_speed": 1.0}])
def test_pages_that_only_show_have_no_buttons_and_take_no_commands(options: dict[str, Any]) -> None:
    with served(Told(until_now(until(told_run(), 0.6))), **options) as server:
        assert feed(server)["header"]["can_act"] is False
        assert feed(server)["header"]["is_read_only"] is ("read_only" in options)
        answer = post(server, "/daskflow-do", {"command": "pause"})
        assert answer.status == 409
        assert "cannot change it" in answer.json["error"]


# Other tools


def test_the_summary_tells_the_run_in_numbers(server: Server) -> None:
    # when
    answer = ask(server, "/daskflow.json", **BEARER)
    told = answer.json
    # then
    assert answer.headers["Content-Type"] == "application/json"
    assert (told["format"], told["id"], told["status"]) == (1, "a1b2c3d4e5", "running")
    assert told["trials"]["all"] == 46 == sum(told["trials"].values()) - 46
    search = next(stage for stage in told["stages"] if stage["name"] == "search")
    middle, low, high = search["left"]
    assert 0 <= low <= middle <= high
    assert 0 < search["share"] < 1
    assert told["best"]["low"] < told["best"]["score"] < told["best"]["high"]
    assert told["rows"] == 200_000
    assert told["workers"] == {"running": 4}
    assert told["cost"]["forecast"]["cpu_low"] < told["cost"]["forecast"]["cpu_high"]
    assert HOSTILE in told["notes"][-1]["text"]


@pytest.mark.parametrize(
    ("path", "sign"), [("/daskflow.json", b'"status":"done"'), ("/daskflow-metrics", b'status="done"} 1\n')]
)
def test_a_tool_that_asks_has_the_source_asked_as_somebody_who_looks_does(
    path: str, sign: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a source that is asked seldom while nobody looks
    monkeypatch.setattr(serving, "POLL_SECONDS", 0.02)
    source = Told(told_run()[:30])
    with served(source) as server:
        wait_until_heard(server)
        source.tell(*told_run()[30:])
        # when
        answers = [ask(server, path, **BEARER).content]
        until_then = time.monotonic() + 60
        while sign not in answers[-1] and time.monotonic() < until_then:
            time.sleep(0.01)
            answers.append(ask(server, path, **BEARER).content)
    # then
    assert sign not in answers[0]
    assert sign in answers[-1]


def test_the_summary_of_nothing_is_whole() -> None:
    told = summary_of(RunState(), START)
    assert told["best"] is None
    assert told["status"] == "waiting"
    assert told["trials"]["all"] == told["rows"] == told["seconds"] == 0


LINE = re.compile(r'[a-z_]+\{([a-z]+="(?:[^"\\\n]|\\["\\n])*",?)+\} (-?[0-9.e+-]+|[+-]Inf)')


def test_metrics_are_in_prometheus_format_whatever_names_there_are(server: Server) -> None:
    # given a name with everything that must be escaped, beside that of the server
    state = RunState(name='a"b\\c\nd')
    state.hear(told_run(hostile=True, metric='m"\\\n'))
    # when
    texts = [ask(server, "/daskflow-metrics", **BEARER).content.decode(), metrics_of([(state, START)]), metrics_of([])]
    # then
    for text in texts:
        families = text.split("# HELP ")[1:]
        names = [family.split(" ")[0] for family in families]
        assert len(names) == len(set(names))
        for name, family in zip(names, families, strict=True):
            kind, *samples = family.rstrip("\n").split("\n")[1:]
            assert kind in (f"# TYPE {name} gauge", f"# TYPE {name} counter")
            assert kind.endswith("counter") == name.endswith("_total")
            assert samples
            for sample in samples:
                assert sample.startswith(f"{name}{{")
                assert LINE.fullmatch(sample), sample
    assert 'daskflow_run_status{name="late-flights",run="a1b2c3d4e5",status="running"} 1\n' in texts[0]
    assert r'name="a\"b\\c\nd"' in texts[1]
    assert 'daskflow_trials{name="late-flights",run="a1b2c3d4e5",state="all"}' not in texts[0]
    assert texts[2] == ""


def test_everything_of_a_trial_is_told_as_text(server: Server) -> None:
    # when
    failed = ask(server, "/daskflow-trial?trial=2-5", **BEARER)
    scored = ask(server, "/daskflow-trial?trial=2-0", **BEARER).json
    # then
    assert failed.headers["Content-Type"] == "application/json"
    assert failed.json["state"] == "failed"
    assert failed.json["score"] is None
    assert failed.json["log"].startswith("Traceback")
    assert HOSTILE in failed.json["error"]
    assert f"class_weight{HOSTILE}" in failed.json["params"]
    assert scored["curve"][0][1] == pytest.approx(sum(fold["score"] for fold in scored["folds"][:3]) / 3)
    assert ask(server, "/daskflow-trial?trial=nothing", **BEARER).status == 404


def test_scripts_come_from_the_server_itself_and_may_be_kept_by_their_version(server: Server) -> None:
    # when
    path = "/daskflow-static/bokeh.min.js"
    plain, packed = ask(server, path, **BEARER), ask(server, path, **BEARER, Accept_Encoding="gzip")
    version = plain.headers["Etag"].strip('"')
    # then
    assert plain.content == packed.content
    assert plain.content.startswith(b"'use strict'")
    assert int(packed.headers["Content-Length"]) < len(plain.content) / 2
    assert plain.headers["Cache-Control"] == "no-cache"
    assert "immutable" in ask(server, f"{path}?v={version}", **BEARER).headers["Cache-Control"]
    assert ask(server, path, **BEARER, If_None_Match=f'"{version}"').status == 304
    for name in ("../site.py", "site.py", "..%2fsite.py", "bokeh.js", "page.html"):
        assert ask(server, f"/daskflow-static/{name}", **BEARER).status == 404


def test_a_server_that_listens_elsewhere_does_so_only_when_told() -> None:
    with served(Told([])) as server:
        port = int(server.address.split(":")[2].split("/")[0])
        assert server.address.startswith("http://127.0.0.1:")
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.2", port)) != 0
        second = served(Told([]), port=port)
        with pytest.raises(ClusterError, match=f"cannot be served on 127.0.0.1:{port}: .*in use.*Choose another port"):
            second.__enter__()
