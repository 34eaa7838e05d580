"""What a page is told: only what changed, worked out once for all who look, of a run that goes on or is told again."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from daskflow.dashboard import serving, watched
from daskflow.dashboard.feed import Feed
from daskflow.dashboard.replay import Replay
from daskflow.dashboard.serving import Server
from daskflow.dashboard.slots import Columns, Slot, Value
from daskflow.dashboard.state import RunState
from daskflow.dashboard.watched import Watched
from tests.served_run import BEARER, TOKEN, ask, feed, post, served, wait_until_heard
from tests.site_client import Viewer, had
from tests.told_runs import HOSTILE, START, told_run, until
from tests.told_source import Plain, Told, plain_page, plain_screens, until_now


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A run in the middle of its search whose names try to break the page."""
    with served(Told(until_now(until(told_run(hostile=True), 0.6)))) as made:
        wait_until_heard(made)
        yield made


# The feed


def test_a_viewer_gets_everything_once_and_then_only_what_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a run whose first half was told
    monkeypatch.setattr(serving, "POLL_SECONDS", 0.05)
    run = told_run()
    half = until(run, 0.5)
    source = Told(half)
    with served(source) as server:
        wait_until_heard(server)
        # when
        first = feed(server)
        have = had(first)
        again = feed(server, have, first["boot"])
        # then
        assert first["columns"]["scores_data"]["from"] == 0
        assert again["columns"] == again["values"] == again["looks"] == {}
        # when more is told while the viewer waits
        source.tell(*run[len(half) :])
        more = feed(server, have, first["boot"], wait="1")
        # then only new rows are sent, and together they are what the state has
        start, columns = more["columns"]["scores_data"]["from"], more["columns"]["scores_data"]["data"]
        assert start == len(first["columns"]["scores_data"]["data"]["trial"]) > 0
        whole = first["columns"]["scores_data"]["data"]["trial"] + columns["trial"]
        assert whole == [scored.trial for scored in server.watched.state.search.scores]
        assert more["values"]["status"] == {"v": 2, "value": "done"}
        assert "trials" not in more["values"], "46 trials before, 46 now"
        assert more["looks"]["scores_x"]["attributes"]["end"] == len(whole)
        assert more["header"]["over"] is True


def test_the_answer_that_says_that_a_run_is_over_has_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages ask no more after it."""
    # given viewers who wait, and a run whose last records come at once after others
    monkeypatch.setattr(serving, "POLL_SECONDS", 0.05)
    run = told_run()
    source = Told(run[:-40])
    with served(source) as server:
        wait_until_heard(server)
        viewer = Viewer(server.address.split("/")[2])
        viewer.look(**BEARER)
        answers: list[Any] = []

        def look() -> None:
            while not answers or not answers[-1]["header"]["over"]:
                answers.append(viewer.look(wait=True, **BEARER))

        waiting = threading.Thread(target=look)
        waiting.start()
        # when
        for start in range(len(run) - 40, len(run), 10):
            source.tell(*run[start : start + 10])
            time.sleep(0.08)
        waiting.join(100)
    # then
    assert answers[-1]["values"]["status"]["value"] == "done"


def test_a_run_of_which_nothing_was_heard_is_not_over() -> None:
    """A page that looked too soon would never ask again."""
    with served(Told([])) as server:
        header = feed(server)["header"]
    assert (header["status"], header["over"], header["can_act"]) == ("waiting", False, False)


@pytest.mark.parametrize(
    "have",
    [
        {"columns": {"scores_data": ["another", 3]}},
        {"columns": {"scores_data": ["", 10**6]}},
        {"columns": {"scores_data": "nonsense"}},
        {"columns": {"scores_data": ["", None]}},
        {"columns": 3, "values": [], "looks": None},
        [1, 2],
        None,
    ],
)
def test_a_viewer_that_has_something_else_gets_all_rows(server: Server, have: Any) -> None:
    boot = feed(server)["boot"]
    told = feed(server, have, boot)
    assert told["columns"]["scores_data"]["from"] == 0
    assert len(told["columns"]["scores_data"]["data"]["trial"]) == len(server.watched.state.search.scores)


def test_what_is_had_of_another_server_does_not_count(server: Server) -> None:
    have = had(feed(server))
    assert feed(server, have, "another")["values"] != {}
    assert "have" not in ask(server, "/daskflow-feed?page=overview&have={{{", **BEARER).json


def test_a_viewer_that_waits_is_answered_after_a_while_when_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a run that is over
    monkeypatch.setattr("daskflow.dashboard.site.WAIT_SECONDS", 0.3)
    with served(Told(told_run())) as server:
        wait_until_heard(server)
        first = feed(server)
        # when
        begun = time.monotonic()
        told = feed(server, had(first), first["boot"], wait="1")
    # then
    assert 0.25 < time.monotonic() - begun < 60
    assert told["columns"] == told["values"] == {}


class Counting(Plain):
    """A page that counts how often it is asked."""

    asked = 0
    error = ""
    data: Mapping[str, Any] = MappingProxyType({"x": [1, 2]})
    epoch = ""

    def slots(self, state: RunState, now: float) -> Sequence[Slot]:
        self.asked += 1
        if self.error:
            raise ValueError(self.error)
        return [Columns("a_data", self.data, self.epoch), Value("version", state.version)]


def of(page: Counting, state: RunState | None = None) -> tuple[Feed, list[float]]:
    """A feed of one page, and its clock."""
    ticks = [100.0]
    return Feed(state or RunState(), [page], clock=lambda: START, ticks=lambda: ticks[0]), ticks


def test_a_screen_is_asked_once_for_all_viewers_and_not_at_all_without_news() -> None:
    # given a run that goes on
    page, state = Counting(), RunState()
    state.hear(told_run()[:3])
    made, ticks = of(page, state)
    # when twenty look within one tick
    answers = {made.answer("overview", {}, {}) for _ in range(20)}
    # then
    assert (page.asked, len(answers)) == (1, 1)
    # when nothing is heard, clocks go on all the same, seldom
    ticks[0] += 1.0
    made.answer("overview", {}, {})
    assert page.asked == 1
    ticks[0] += 1.1
    made.answer("overview", {}, {})
    assert page.asked == 2
    # when the run is over
    state.hear([{"record": "end", "at": START + 9, "status": "done"}])
    for _ in range(3):
        ticks[0] += 60.0
        made.answer("overview", {}, {})
    assert page.asked == 3


def test_a_slow_screen_is_asked_less_often() -> None:
    # given a page that takes 10 ms of the processor
    class Slow(Counting):
        def slots(self, state: RunState, now: float) -> Sequence[Slot]:
            until = time.thread_time() + 0.01
            while time.thread_time() < until:
                pass
            return super().slots(state, now)

    page, state = Slow(), RunState()
    made, ticks = of(page, state)
    for step in range(300):  # ten records a second for half a minute
        state.hear([{"record": "invocation", "at": START + step / 10, "id": "a"}])
        ticks[0] += 0.1
        made.answer("overview", {}, {})
    assert 15 <= page.asked <= 23


def test_numbers_of_numpy_and_what_is_no_number_are_sent_as_json() -> None:
    page = Counting()
    page.data = {
        "x": np.array([1.5, math.nan, math.inf]),
        "n": [np.int64(1), np.float32("nan"), None],
        "name": ("a", HOSTILE, "\ud800"),
    }
    made, _ = of(page)
    told = json.loads(made.answer("overview", {}, {"status": math.nan}))
    assert told["columns"]["a_data"]["data"]["x"] == [1.5, None, None]
    assert told["columns"]["a_data"]["data"]["n"] == [1, None, None]
    assert told["columns"]["a_data"]["data"]["name"] == ["a", HOSTILE, "\ud800"]
    assert told["header"]["status"] is None


def test_rows_are_replaced_when_a_screen_says_so_or_has_fewer() -> None:
    # given
    page, state = Counting(), RunState()
    made, ticks = of(page, state)
    first = json.loads(made.answer("overview", {}, {}))

    def next_answer(number: int) -> Any:
        state.hear([{"record": "invocation", "at": START + number, "id": "a"}])
        ticks[0] += 1.0
        return json.loads(made.answer("overview", had(first), {}, boot=made.boot))["columns"]["a_data"]

    # when, then
    page.data = {"x": [1, 2, 3]}
    assert next_answer(1) == {"epoch": "", "from": 2, "data": {"x": [3]}}
    page.data, page.epoch = {"x": [7, 8]}, "2"
    assert next_answer(2) == {"epoch": "2", "from": 0, "data": {"x": [7, 8]}}
    page.data, page.epoch = {"x": [1]}, ""
    assert next_answer(3) == {"epoch": "", "from": 0, "data": {"x": [1]}}


def test_a_page_that_fails_says_why_and_goes_on_when_it_can(caplog: pytest.LogCaptureFixture) -> None:
    # given
    page, state = Counting(), RunState()
    made, ticks = of(page, state)
    made.answer("overview", {}, {})
    told: list[Any] = []
    # when it fails three times, then no more
    for step, error in enumerate([HOSTILE, HOSTILE, HOSTILE, ""]):
        page.error = error
        state.hear([{"record": "invocation", "at": START + step, "id": "a"}])
        ticks[0] += 1.0
        told.append(json.loads(made.answer("overview", {}, {})))
    # then what stood there stands still
    assert told[0]["values"]["error"]["value"] == f"This page stands still: ValueError: {HOSTILE}"
    assert told[2]["values"]["version"]["value"] == 0
    assert told[3]["values"]["error"]["value"] == ""
    assert told[3]["values"]["version"]["value"] == 4
    assert len([record for record in caplog.records if "cannot be drawn" in record.message]) == 1


def test_a_page_that_cannot_be_made_costs_itself_alone() -> None:
    # given
    def build(screen: Any, screens: Any) -> bytes:
        if screen.key == "search":
            raise KeyError(HOSTILE)
        return plain_page(screen, screens)

    source = Told(told_run()[:50])
    with Server(source, token=TOKEN, make_screens=plain_screens, build=build) as server:
        # when
        broken, whole = ask(server, "/daskflow-search", **BEARER), ask(server, "/daskflow", **BEARER)
        # then
        assert (broken.status, whole.status) == (500, 200)
        assert broken.content == b"500: Internal Server Error. The run is not touched by this."


def test_records_that_are_not_understood_are_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    # given records of another version among good ones
    run: list[Any] = told_run()
    bad = [{"record": "unit", "at": run[0]["at"]}, {"record": "candidates"}, {}, "nonsense", None]
    watched = Watched(name="a", id="b", seal="c")
    # when
    watched.hear([*bad, *run[:20], *bad, *run[20:]])
    # then
    assert watched.state.status == "done"
    assert len(watched.state.search.trials) == 46
    assert len(caplog.records) == 5, "each kind is logged once"


@pytest.mark.parametrize("kind", ["say", "before", "failed", "complete", "sums", "_init__", "nothing"])
def test_a_record_of_an_unknown_kind_changes_nothing(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    # given
    run, same = (Watched(name="a", id="b", seal="c") for _ in range(2))
    for each in (run, same):
        each.hear(told_run()[:60])
    # when
    run.hear([{"record": kind, "at": START}])
    same.hear([{"record": "another", "at": START}])
    # then
    assert run.state == same.state
    assert run.state.spans.overlap() == same.state.spans.overlap()
    assert not caplog.records


def test_a_run_that_begins_anew_is_shown_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    monkeypatch.setattr(serving, "POLL_SECONDS", 0.05)
    source = Told(told_run())
    with served(source) as server:
        wait_until_heard(server)
        first = feed(server)
        assert first["header"]["status"] == "done"
        # when
        source.begin_anew(*told_run()[:30])
        waiting = time.monotonic()
        while (now := feed(server, had(first), first["boot"]))["header"]["status"] != "running":
            assert time.monotonic() - waiting < 60
        # then
        assert now["boot"] != first["boot"]
        assert now["columns"]["scores_data"]["from"] == 0
        assert now["values"]["trials"]["value"] == 0


def test_many_viewers_wait_at_once_and_all_get_the_news(monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    monkeypatch.setattr(serving, "POLL_SECONDS", 0.05)
    run = told_run()
    half = until(run, 0.5)
    source = Told(half)
    with served(source) as server:
        wait_until_heard(server)
        first = feed(server)
        got: list[Any] = []
        viewers = [
            threading.Thread(target=lambda: got.append(feed(server, had(first), first["boot"], wait="1")))
            for _ in range(20)
        ]
        for viewer in viewers:
            viewer.start()
        # when
        deadline = time.monotonic() + 60
        while server.watched.viewers < 20 and time.monotonic() < deadline:
            time.sleep(0.01)
        source.tell(*run[len(half) :])
        for viewer in viewers:
            viewer.join(100)
    # then
    assert len(got) == 20
    assert all(each["values"]["status"]["value"] == "done" for each in got)


def test_of_those_who_looked_only_the_last_moments_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a run of which nobody asks how many look
    run = Watched(name="a", id="b", seal="c")
    monkeypatch.setattr(watched, "AWAY_SECONDS", 0.0)
    # when somebody looks again and again
    for _ in range(100):
        with run.looking():
            pass
        time.sleep(0.0001)
    # then
    assert len(run._seen) < 10


# A run told again


def test_a_replay_tells_the_run_at_its_speed_pauses_and_jumps() -> None:
    # given a clock in our hands
    run = told_run()
    now = [0.0]
    replay = Replay(run, speed=10.0, clock=lambda: now[0])
    length = replay.last - replay.first
    # when, then: it begins with the first moment
    heard = replay.new()
    assert [each["at"] for each in heard] == [START]
    now[0] = 2.0
    heard += replay.new()
    assert replay.at == START + 20
    assert heard == [each for each in run if each["at"] <= START + 20]
    # when paused
    replay.set(paused=True)
    now[0] = 500.0
    assert (replay.at, replay.new()) == (START + 20, [])
    # when it jumps on, nothing is told twice
    replay.set(at=replay.last, paused=False)
    heard += replay.new()
    assert heard == run
    assert (replay.restarted, replay.is_over, replay.at) == (False, True, replay.last)
    # when it goes back, all is told anew
    replay.set(at=START + length / 2)
    assert replay.restarted
    assert replay.new() == until(run, 0.5)
    assert not replay.restarted


@pytest.mark.parametrize("wrong", [{"speed": 0.0}, {"speed": -1.0}, {"speed": math.nan}, {"at": math.inf}])
def test_a_replay_refuses_what_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="is no"):
        Replay(told_run()).set(**wrong)


def test_a_replay_does_not_wait_for_nights_between_two_invocations() -> None:
    # given a run that was continued the next day
    night = 40_000.0
    run = [*told_run(), *({**each, "at": each["at"] + night} for each in told_run())]
    now = [0.0]
    replay = Replay(run, speed=100.0, clock=lambda: now[0])
    # when
    for step in range(50):
        now[0] = step / 5
        replay.new()
    # then
    assert replay.is_over


@pytest.mark.parametrize(
    "at", ["soon", None, math.nan, math.inf, 10**400, [1], START - 900.0], ids=lambda at: str(at)[:9]
)
def test_a_record_of_no_time_or_of_an_earlier_one_is_told_with_its_neighbour(at: Any) -> None:
    """A clock that was set back, or a damaged line, takes nothing of the rest away."""
    # given
    run = told_run()[:60]
    odd = {"record": "note", "text": "odd", "at": at}
    now = [0.0]
    replay = Replay([*run[:30], odd, *run[30:]], clock=lambda: now[0])
    state = RunState()
    # when
    now[0] = run[29]["at"] - START
    heard = replay.new()
    state.hear(heard)
    # then
    assert heard[:31] == [*run[:30], odd]
    assert state.notes[-1].text == "odd"
    assert (replay.first, replay.last) == (START, run[-1]["at"])
    assert state.last == run[29]["at"]


def test_a_replay_of_nothing_stands_still() -> None:
    replay = Replay([])
    assert replay.new() == []
    assert replay.is_over


def test_viewers_move_a_replay_and_see_the_state_of_that_moment() -> None:
    # given
    run = told_run()
    with served(Told(run), replay_speed=0.001) as server:
        first = feed(server)
        assert first["header"]["replay"]["first"] == START
        # when it jumps to the end
        said = post(server, "/daskflow-replay", {"at": run[-1]["at"], "speed": 60, "paused": True})
        end = feed(server, had(first), first["boot"], wait="1")
        # then
        assert said.json == {"told": "The replay was changed."}
        assert end["header"]["status"] == "done"
        assert end["header"]["now"] == run[-1]["at"]
        assert (end["header"]["replay"]["speed"], end["header"]["replay"]["paused"]) == (60.0, True)
        assert end["boot"] == first["boot"]
        # when it goes back
        post(server, "/daskflow-replay", {"at": START + 0.3 * (run[-1]["at"] - START)})
        back = feed(server, had(end), end["boot"])
        # then
        assert back["boot"] != end["boot"]
        assert back["header"]["status"] == "running"
        assert (
            0
            < len(back["columns"]["scores_data"]["data"]["trial"])
            < len(end["columns"]["scores_data"]["data"]["trial"])
            + len(first["columns"]["scores_data"]["data"]["trial"])
        )
        # when it cannot be
        assert post(server, "/daskflow-replay", {"speed": 0}).status == 400
        assert post(server, "/daskflow-replay", {"speed": "fast"}).status == 400
        assert post(server, "/daskflow-replay", {"at": 10**400}).json == {"error": "at should be a number."}


def test_a_run_that_goes_on_cannot_be_told_again(server: Server) -> None:
    assert post(server, "/daskflow-replay", {"speed": 2}).status == 409
