"""What people ask of a search takes effect, is on record before it does, and holds when the search is continued."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from daskflow.core.control import Command, Control
from daskflow.core.errors import StorageError
from daskflow.core.events import Event, nobody
from daskflow.core.protocols import Outcome, Unit
from daskflow.dashboard.state import RunState
from daskflow.dashboard.state_stages import Stages
from daskflow.data.execution import InlineExecutor
from daskflow.search import engine
from daskflow.search.budgets import Budget, Budgeted, earlier_seconds
from daskflow.search.candidates import named
from daskflow.search.costs import Step
from daskflow.search.forecast import Forecast
from daskflow.search.foreseeing import Foreseeing
from daskflow.search.policies import AllAtOnce, Candidate
from daskflow.search.schedules import Rung
from daskflow.workflow.trials import search_of
from tests.steered_search import SEARCHES, Batches, Quick, Script, Timed, cancelled, gist, policy_of, steered

PAUSE, RESUME, STOP = Command("pause"), Command("resume"), Command("stop")
KINDS = sorted(SEARCHES)


def cancel(trial: str) -> Command:
    return Command("cancel", trial=trial)


class Patient(Control):
    """A control that asks for something after so many waits, and notes what had been asked of the work by then."""

    def __init__(self, work: Quick, waits: int, then: Command) -> None:
        super().__init__()
        self.work, self.waits, self.then = work, waits, then
        self.waited: list[float] = []
        self.asked: list[int] = []

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.asked.append(len(self.work.asked))
        if len(self.waited) == self.waits:
            self.put(self.then)


class Troubled(InlineExecutor):
    """An executor that counts how often it is asked for troubles."""

    looks = 0

    def troubles(self) -> Sequence[str]:
        self.looks += 1
        return ("Worker 3 has gone: it ended.",) if self.looks > 8 else ()


@pytest.mark.parametrize("kind", KINDS)
def test_a_paused_search_finishes_what_was_handed_in_and_goes_on_as_if_nothing_had_been(kind: str) -> None:
    # given
    whole = engine.run(policy_of(kind), Quick(), InlineExecutor())
    work, executor = Quick(), Troubled()
    control = Patient(work, 5, RESUME)
    # when it is paused after four fits, and resumed after five looks
    result, journal, script = steered(policy_of(kind), {4: [PAUSE]}, work=work, executor=executor, control=control)
    # then nothing new was handed in, and what had been was recorded
    begun = control.asked[0]
    assert control.asked == [begun] * 5
    assert 4 <= begun <= 4 + 2 * executor.slots
    paused = next(n for n, record in enumerate(journal.records) if record.get("command") == "pause")
    resumed = next(n for n, record in enumerate(journal.records) if record.get("command") == "resume")
    units = [n for n, record in enumerate(journal.records) if record["record"] == "unit"]
    assert sum(n < resumed for n in units) == begun
    assert not any(record["record"] == "start" for record in journal.records[paused:resumed])
    # and it looked at the cluster as often as it waited, no longer than half a second each time
    assert set(control.waited) == {engine.HEED_SECONDS}
    assert executor.looks >= 9
    assert script.texts("warning") == ["Worker 3 has gone: it ended."]
    # and it ends as if nothing had been
    assert gist(result) == gist(whole)
    assert not control.paused


def test_commands_are_durable_before_they_act_and_are_told() -> None:
    _, journal, script = steered(policy_of("random"), {2: [cancel("5")], 6: [STOP]})
    controls = journal.of("control")
    assert [(record["command"], record["by"], record["durable"]) for record in controls] == [
        ("cancel", "python", True),
        ("stop", "python", True),
    ]
    told = [dict(event.fields) for event in script.heard if event.name == "control"]
    assert told == [{"command": "cancel", "by": "python", "trial": "5"}, {"command": "stop", "by": "python"}]
    failed = next(n for n, record in enumerate(journal.records) if record.get("cancelled"))
    assert journal.records.index(controls[0]) < failed
    assert script.control.stopped


def test_a_command_that_cannot_be_written_down_does_not_act() -> None:
    # given a disk that is full when a pause is to be recorded
    class Full(Timed):
        def extend(self, records: Sequence[Mapping[str, Any]], *, durable: bool = True) -> None:
            if any(record["record"] == "control" for record in records):
                raise StorageError("no room")
            super().extend(records, durable=durable)

    control = Control()
    control.put(PAUSE)
    with pytest.raises(StorageError, match="no room"):
        engine.run(policy_of("random"), Quick(), InlineExecutor(), recorder=Full(), control=control)
    assert not control.paused


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_search_keeps_the_best_so_far(kind: str) -> None:
    result, journal, script = steered(policy_of(kind), {6: [STOP]})
    assert result.ended == "it was stopped by hand"
    assert len(journal.of("unit")) == 6
    scored = [trial for trial in result.trials if not math.isnan(trial.score)]
    assert 1 <= len(scored) < len(result.trials)
    assert result.best.score == max(trial.score for trial in scored)
    assert {str(trial.state) for trial in result.trials if trial not in scored} == {"stopped"}
    assert script.texts() == []


class Backwards(InlineExecutor):
    """An executor that does what it was given last first."""

    slots = 3

    def next(self, timeout: float | None = None) -> Outcome | None:
        self._waiting.rotate(1)
        return super().next(timeout)


def test_a_stopped_search_ends_as_its_journal_tells_it() -> None:
    # given trials that have scores, and one of which the second fold has failed, and the first has no answer yet
    work = Quick(bad=[("1", 1)])
    heard: list[tuple[str, int]] = []
    script, journal = Script({}), Timed()

    def hear(event: Event) -> None:
        script(event)
        if event.name == "unit":
            heard.append((event.fields["trial"], event.fields["fold"]))
            if heard[-1] == ("1", 1):
                script.control.put(STOP)

    candidates = [{"alpha": 3.0}, {"alpha": 4.0}, {"alpha": 5.0}]
    policy = AllAtOnce(named(candidates))
    result = engine.run(policy, work, Backwards(), recorder=journal, listener=hear, control=script.control)
    assert heard == [("2", 1), ("2", 0), ("1", 1)]
    # when
    head = {"record": "candidates", "metric": "score", "greater_is_better": True, "n_folds": 2}
    drawn = [{"trial": str(n), "params": params, "bracket": None} for n, params in enumerate(candidates)]
    told = search_of([{**head, "candidates": drawn}, *journal.records, {"record": "stage", "stage": "search"}])
    # then
    assert told is not None
    assert [(t.id, repr(t.score), t.error) for t in told.trials] == [
        (t.id, repr(t.score), t.error) for t in result.trials
    ]
    assert told.best.id == result.best.id


def test_a_stop_before_the_first_score_waits_for_it() -> None:
    # given a search whose first three trials fail
    work = Quick(bad=[("0", 1), ("1", 1), ("2", 1)])
    # when it is stopped before it begins
    result, journal, _ = steered(policy_of("random"), {0: [STOP]}, work=work)
    # then it ends with the first score
    assert [trial.id for trial in result.trials if not math.isnan(trial.score)] == ["3"]
    assert result.best.id == "3"
    assert journal.records[0]["command"] == "stop"


def test_a_stop_sets_a_paused_search_free() -> None:
    work = Quick()
    control = Patient(work, 2, STOP)
    result, _, _ = steered(policy_of("random"), {0: [PAUSE]}, work=work, control=control)
    assert control.asked == [0, 0]
    assert result.ended == "it was stopped by hand"
    assert result.best.id == "0"


@pytest.mark.parametrize("kind", KINDS)
def test_a_cancelled_trial_is_to_the_search_one_that_failed_at_that_place(kind: str) -> None:
    # given a trial of which one fold is done and the other waits or runs
    result, journal, _ = steered(policy_of(kind), {1: [cancel(policy_of(kind).ask()[0].trial)]})
    (record,) = [record for record in journal.of("unit") if record.get("cancelled")]
    assert record["error"] == "cancelled by hand"
    assert record["fold"] == 1
    # when a search is left alone in which it fails there
    place = (record["trial"], record["resource"])
    expected = engine.run(policy_of(kind), Quick(bad=[place]), InlineExecutor())
    # then both are the same
    assert gist(result) == gist(expected)
    assert cancelled(result) == [record["trial"]]
    assert result.ranked()[-1].id == record["trial"]
    units = [(unit["trial"], unit["fold"], unit["resource"]) for unit in journal.of("unit")]
    assert len(units) == len(set(units))


@pytest.mark.parametrize("kind", ["hyperband", "tpe-hyperband", "asha"])
def test_a_trial_that_rests_between_two_rungs_fails_when_it_would_go_on(kind: str) -> None:
    # given the trial that is taken furthest
    whole = engine.run(policy_of(kind), Quick(), InlineExecutor())
    first = policy_of(kind).ask()[0].trial
    furthest = max(
        (t for t in whole.trials if t.id.partition("-")[0] == first.partition("-")[0]), key=lambda t: t.resource
    )
    steps = [point.resource for point in furthest.curve]

    class Resting(Script):
        """Cancels it right after it has its first score."""

        def __call__(self, event: Any) -> None:
            super().__call__(event)
            if event.name == "trial" and event.fields["trial"] == furthest.id and event.fields["resource"] == steps[0]:
                self.control.put(cancel(furthest.id))

    script, journal = Resting({}), Timed()
    # when
    result = engine.run(
        policy_of(kind), Quick(), InlineExecutor(), recorder=journal, listener=script, control=script.control
    )
    # then it is as if it had failed at its next rung
    expected = engine.run(policy_of(kind), Quick(bad=[(furthest.id, steps[1])]), InlineExecutor())
    assert cancelled(result) == [furthest.id]
    assert gist(result) == gist(expected)
    assert (furthest.id, 0, steps[1]) not in [(u["trial"], u["fold"], u["resource"]) for u in journal.of("start")]


class Flat(Quick):
    """Work in which more resource makes no better score."""

    def unit(self, candidate: Candidate, fold: int, start: int, stop: int) -> Unit:
        made = super().unit(candidate, fold, start, stop)
        return replace(made, arguments=(candidate.params["alpha"], fold, 1))


def test_when_the_best_is_cancelled_another_is_named() -> None:
    # given a search in rungs, whose best so far is cancelled before its second
    leading = max(policy_of("asha").candidates, key=lambda candidate: candidate.params["alpha"]).trial
    script, journal = Script({}), Timed()

    def hear(event: Event) -> None:
        script(event)
        if event.name == "best" and event.fields["trial"] == leading:
            script.control.put(cancel(leading))

    result = engine.run(
        policy_of("asha"), Flat(), InlineExecutor(), recorder=journal, listener=hear, control=script.control
    )
    # then
    assert cancelled(result) == [leading]
    named_best = [event.fields["trial"] for event in script.heard if event.name == "best"]
    assert named_best[named_best.index(leading) + 1] != leading
    assert named_best[-1] == result.best.id


@pytest.mark.parametrize("budget", [None, {"cpu_hours": 1}])
@pytest.mark.parametrize("kind", KINDS)
def test_a_search_knows_which_trials_may_go_on(kind: str, budget: dict[str, Any] | None) -> None:
    # given a search that is played to its end, and what it said of each trial at rest
    policy = policy_of(kind, budget)
    has_rungs = kind not in ("random", "tpe")
    assert hasattr(policy, "goes_on") == (has_rungs or budget is not None)
    reached, rested = dict[str, int](), dict[str, set[str]]()
    while requests := policy.ask():
        for request in requests:
            went_on = {trial for trial in reached if hasattr(policy, "goes_on") and policy.goes_on(trial)}
            rested.setdefault(request.trial, set()).update(went_on)
            # then whoever goes on was among those that may
            assert request.trial not in reached or request.trial in went_on or reached[request.trial] == 0
        for request in requests:
            reached[request.trial] = request.resource
            policy.tell(request, float(request.resource) + len(reached) % 7)
    # and at the end nobody is, nor who came to the last rung
    assert bool(set().union(*rested.values())) == has_rungs
    if kind != "asha":
        assert not any(policy.goes_on(trial) for trial in reached if has_rungs)
    assert not any(policy.goes_on(trial) for trial, resource in reached.items() if has_rungs and resource == 9)
    assert not (has_rungs and policy.goes_on("nobody"))


def test_what_cannot_be_cancelled_is_refused_with_a_sentence() -> None:
    work = Quick(bad=[("1", 1)])
    lines = {
        2: [cancel("0"), cancel("17"), cancel("../../etc/passwd")],
        4: [cancel("1")],
        5: [cancel("4"), cancel("4")],
        6: [cancel(str(trial)) for trial in (2, 3, 5, 6, 7, 8)],
    }
    result, journal, script = steered(policy_of("random"), lines, work=work)
    assert script.texts()[:5] == [
        "Trial 0 is finished: there is nothing left of it to cancel.",
        "There is no trial 17 in this search so far.",
        "There is no trial ../../etc/passwd in this search so far.",
        "Trial 1 has failed already.",
        "Trial 4 has failed already.",
    ]
    assert [record["text"] for record in journal.of("refused")] == script.texts()
    assert "4" in cancelled(result)
    assert result.best.id in {"0", "2"}


def test_who_watches_sees_that_a_cancelled_trial_runs_no_more() -> None:
    # given two folds of a trial that run, of which one has its record when it is cancelled
    starts = [{"record": "start", "trial": "0", "fold": fold, "resource": 1, "at": 1.0} for fold in (0, 1)]
    state = RunState()
    state.hear([{"record": "candidates", "candidates": [{"trial": "0", "params": {}}], "n_folds": 2, "at": 0.0}])
    state.hear([{"record": "start", "trial": "1", "fold": 0, "resource": 1, "at": 1.0}, *starts])
    # when
    _, journal, _ = steered(policy_of("random"), {0: [cancel("0")]})
    state.hear(record for record in journal.records if record.get("trial") == "0" and record["record"] != "start")
    # then
    assert state.search.trials["0"].state == "cancelled"
    assert list(state.search.running) == [("1", 0, 1)]
    assert state.search.fits == []
    assert [note.text for note in state.notes] == [
        "Trial 0 was cancelled (python).",
        "Trial 0 failed: cancelled by hand",
    ]


def test_who_watches_sees_that_the_time_left_stands_still_while_it_is_paused() -> None:
    stages = Stages()
    stages.hear({"record": "begun", "stage": "search"}, 0.0)
    stages.hear({"record": "forecast", "stage": "search", "seconds": 100.0, "low": 80.0, "high": 120.0}, 10.0)
    stages.hear({"record": "control", "command": "pause"}, 30.0)
    assert stages.known["search"].left(4000.0) == (80.0, 60.0, 100.0)
    # and with the resume comes a forecast
    script, journal = Script({}), Timed()
    forecast = Forecast([Rung(None, Step(0, 1), 30, 30)], params={str(n): {} for n in range(30)})
    seer = Foreseeing(script, forecast, journal, clock=lambda: 5000.0)
    seer(
        Event("unit", {"trial": "0", "fold": 0, "start": 0, "resource": 1, "seconds": 1.0, "cpu_seconds": 1.0}, at=1.0)
    )
    n_forecasts = len(journal.of("forecast"))
    seer.extend([{"record": "control", "command": "pause"}, {"record": "control", "command": "resume"}])
    assert len(journal.of("forecast")) == n_forecasts + 2
    stages.hear({"record": "control", "command": "resume"}, 4000.0)
    stages.hear({**journal.of("forecast")[-1], "at": 4000.0}, 4000.0)
    assert stages.known["search"].left(4001.0)[0] > 20.0


def test_the_last_trial_that_can_have_a_score_is_not_cancelled() -> None:
    policy = AllAtOnce(named([{"alpha": 1.0}, {"alpha": 2.0}, {"alpha": 3.0}]))
    result, _, script = steered(policy, {0: [cancel("2"), cancel("0"), cancel("1")]})
    assert script.texts() == ["Trial 1 is the only one left that can have a score: stop the search instead."]
    assert cancelled(result) == ["0", "2"]
    assert result.best.id == "1"


def test_a_trial_that_a_spent_budget_never_begins_counts_for_nothing() -> None:
    policy = Budgeted(AllAtOnce(named({"alpha": float(n)} for n in range(5))), Budget(cpu_hours=1e-12), stock=2)
    work = Quick(bad=[("0", 1)])
    # when the first has failed and the second runs, all that the budget has room for
    result, _, script = steered(policy, {3: [cancel("1")]}, work=work)
    # then the second is not given up
    assert script.texts() == ["Trial 1 is the only one left that can have a score: stop the search instead."]
    assert result.best.id == "1"


def test_what_makes_no_sense_now_is_refused() -> None:
    lines = {1: [RESUME, PAUSE, PAUSE, RESUME, Command("extend", trials=3), STOP, STOP, PAUSE, RESUME]}
    result, _, script = steered(policy_of("random"), lines)
    assert script.texts() == [
        "The search is not paused.",
        "The search is paused already.",
        "The search has no budget (search.budget): there is nothing to extend.",
        "The search is being stopped already.",
        "The search is being stopped already.",
        "The search is being stopped already.",
    ]
    assert result.ended


def test_a_command_that_makes_no_sense_is_refused_wherever_it_came_from() -> None:
    lines = {1: [Command("cancel"), Command("xyz"), Command("extend", trials=-1), Command("pause", trial="0")]}
    result, journal, script = steered(policy_of("random", {"trials": 5}), lines)
    assert script.texts() == [
        "cancel needs a trial: name the one to give up.",
        "There is no command 'xyz'; there is: pause, resume, stop, cancel, extend.",
        "trials = -1 does not extend a budget: give a whole number above 0.",
        "pause takes no trial: it concerns the whole search.",
    ]
    assert journal.of("control") == []
    assert result.ended == "the budget of 5 trials was spent"


STEERED = {2: [cancel("first")], 5: [PAUSE, RESUME], 6: [Command("extend", trials=2)], 14: [STOP]}


@pytest.mark.parametrize("work", [Quick, Batches])
@pytest.mark.parametrize("kind", KINDS)
def test_a_search_killed_after_any_record_goes_on_as_steered(kind: str, work: type[Quick]) -> None:
    # given a search that was steered and came to its end, and what it comes to with the first of the commands only
    first = policy_of(kind).ask()[0].trial
    budget = {"trials": 7, "wall_time": "1 h"}
    lines = {n: [cancel(first) if c.trial else c for c in commands] for n, commands in STEERED.items()}
    script = [(n, command) for n, commands in lines.items() for command in commands]
    expected, journal = [], Timed()
    for length in range(len(script) + 1):
        shorter: dict[int, list[Command]] = {}
        for n, command in script[:length]:
            shorter.setdefault(n, []).append(command)
        if length and script[length - 1][1] is PAUSE:  # which a search that is continued does not keep to
            shorter[script[length - 1][0]].append(RESUME)
        result, journal, _ = steered(policy_of(kind, budget), shorter, work=work(n_folds=3))
        if len(journal.of("control")) >= len(expected):
            expected.append(gist(result))
    words = [record["command"] for record in journal.of("control")]
    can_draw_more = kind not in ("hyperband", "tpe-hyperband")
    assert words == ["cancel", "pause", "resume", *(["extend"] if can_draw_more else []), "stop"]
    for cut in range(1, len(journal.records) + 1):
        if cut < len(journal.records) and journal.records[cut]["at"] == journal.records[cut - 1]["at"]:
            continue  # written at once
        # when it is killed there, and continued
        before = journal.records[:cut]
        again, after, _ = steered(policy_of(kind, budget), {}, work=work(n_folds=3), earlier=before)
        # then what was on record holds, and nothing else
        known = [record["command"] for record in before if record["record"] == "control"]
        assert gist(again) == expected[len(known)], cut
        assert not (known == words and after.of("unit"))
        # and a search that was paused is not any more, which is on record
        is_paused = known[-1:] == ["pause"]
        assert [record["by"] for record in after.of("control")] == ["a new start"] * is_paused
        # and each unit is on record once
        units = [(r["trial"], r["fold"], r["resource"]) for r in [*before, *after.records] if r["record"] == "unit"]
        assert len(units) == len(set(units))


class Clock:
    """A clock that is turned by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_time_spent_paused_is_no_wall_time() -> None:
    # given ten minutes, of which a pause of an hour takes none
    clock = Clock()
    policy = Budgeted(
        AllAtOnce(named({"alpha": n} for n in range(9))), Budget(wall_time="10 min"), clock=clock, stock=1
    )
    policy.hold()  # before it has begun
    clock.now = 5000.0
    policy.go_on()
    (first,) = policy.ask()
    clock.now += 300.0
    policy.hold()
    clock.now += 3600.0
    policy.tell(first, 0.5)
    assert not policy.dropped()
    policy.go_on()
    # when, then
    (second,) = policy.ask()
    clock.now += 299.0
    policy.tell(second, 0.5)
    (third,) = policy.ask()
    clock.now += 1.0
    policy.tell(third, 0.5)
    assert policy.ask() == []
    assert policy.ended() == "the wall time of 10 min was spent"


def test_pauses_of_earlier_invocations_are_no_wall_time_either() -> None:
    def unit(at: float) -> dict[str, Any]:
        return {"record": "unit", "trial": "0", "fold": 0, "resource": 1, "at": at}

    records = [
        {"record": "invocation", "at": 0.0},
        {"record": "control", "command": "pause", "at": 10.0},
        {"record": "control", "command": "resume", "at": 90.0},
        {"record": "start", "trial": "0", "fold": 0, "resource": 1, "at": 100.0},
        unit(160.0),
        {"record": "control", "command": "pause", "at": 200.0},
        unit(250.0),  # was on its way: the clock stood at 200
        {"record": "control", "command": "resume", "at": 1000.0},
        unit(1020.0),
        {"record": "control", "command": "pause", "at": 1030.0},
        {"record": "invocation", "at": 9000.0},
        {"record": "control", "command": "resume", "at": 9001.0},
        {"record": "start", "trial": "0", "fold": 0, "resource": 1, "at": 9010.0},
        unit(9015.0),
    ]
    assert earlier_seconds(records) == 100.0 + 20.0 + 5.0


@pytest.mark.parametrize("kind", ["random", "tpe", "asha"])
def test_trials_that_a_budget_left_out_can_be_taken_after_all(kind: str) -> None:
    # given searches of as many trials as a budget has room for in the end
    budget = {"trials": 4}
    expected = engine.run(policy_of(kind, {"trials": 7}), Quick(), InlineExecutor())
    # when
    result, journal, script = steered(policy_of(kind, budget), {3: [Command("extend", trials=3)]})
    # then they are the candidates that would have been drawn
    assert [t.params for t in result.trials if t.curve] == [t.params for t in expected.trials if t.curve]
    assert result.ended == "the budget of 7 trials was spent"
    assert len({r["trial"] for r in journal.of("unit")}) == 7
    # and no more than there are
    _, _, script = steered(policy_of(kind, budget), {3: [Command("extend", trials=6), Command("extend", trials=60)]})
    most = {"random": 5, "tpe": 5, "asha": 8}[kind]
    words = [f"The search can take {most} more trials: it draws no others."] if most < 6 else []
    left = most if words else most - 6
    assert script.texts() == [*words, f"The search can take {left} more trials: it draws no others."]


@pytest.mark.parametrize("kind", ["hyperband", "tpe-hyperband"])
def test_brackets_take_no_more_trials(kind: str) -> None:
    _, _, script = steered(policy_of(kind, {"trials": 5}), {3: [Command("extend", trials=1)]})
    assert script.texts() == [
        "The rungs of this search were laid out for the trials it has: it can take no more of them."
    ]


def test_a_limit_that_the_budget_lacks_cannot_be_extended() -> None:
    lines = {1: [Command("extend", wall_seconds=60), Command("extend", cpu_hours=1), Command("extend", trials=1)]}
    _, _, script = steered(policy_of("random", {"patience": 50}), lines)
    assert script.texts() == [
        f"The search has no limit of {words}: there is nothing to extend."
        for words in (
            "wall time (search.budget.wall_time)",
            "CPU-hours (search.budget.cpu_hours)",
            "trials (search.budget.trials)",
        )
    ]


@pytest.mark.parametrize(
    ("limit", "further", "ended"),
    [
        ({"cpu_hours": 1}, {"cpu_hours": 1.5}, "the budget of 2.5 CPU-hours was spent"),
        ({"wall_time": "1 h"}, {"wall_seconds": 5400.0}, "the wall time of 2.5 h was spent"),
    ],
)
def test_a_limit_that_was_met_and_extended_lets_the_search_go_on(
    limit: dict[str, Any], further: dict[str, float], ended: str
) -> None:
    # given a search that ran out of budget while something of it still runs
    clock = Clock()
    policy = Budgeted(AllAtOnce(named({"alpha": n} for n in range(9))), Budget(**limit), clock=clock, stock=2)
    first, second = policy.ask()
    clock.now += 3600.0
    policy.tell(first, 0.5, cpu_seconds=3600.0)
    assert policy.ask() == []
    assert policy.is_spent
    # when
    assert policy.cannot_extend(**further) == ""
    policy.extend(**further)
    # then it goes on where it was
    assert not policy.is_spent
    assert [request.trial for request in policy.ask()] == ["2"]
    clock.now += 5400.0
    policy.tell(second, 0.5, cpu_seconds=5400.0)
    assert policy.ask() == []
    assert policy.ended() == ended


def test_a_budget_that_drops_what_runs_cannot_be_extended_once_it_is_met() -> None:
    budget = Budget(cpu_hours=1, running="drop")
    policy = Budgeted(AllAtOnce(named({"alpha": n} for n in range(9))), budget, stock=2)
    policy.tell(policy.ask()[0], 0.5, cpu_seconds=3600.0)
    assert list(policy.dropped()) == ["1"]
    assert policy.cannot_extend(cpu_hours=1) == "The search is ending, because the budget of 1 CPU-hour was spent."


def test_patience_that_ran_out_is_not_extended() -> None:
    policy = Budgeted(AllAtOnce(named({"alpha": n} for n in range(9))), Budget(cpu_hours=1, patience=1), stock=1)
    policy.tell(policy.ask()[0], 0.5)
    policy.tell(policy.ask()[0], 0.4)
    assert policy.ask() == []
    policy.extend(cpu_hours=5)
    assert policy.ask() == []
    assert policy.ended() == "1 trial in a row did not improve the best score"


def test_a_forecast_follows_what_is_asked() -> None:
    # given a search of forty fits of one second, one at a time, with a budget of twenty seconds and thirty trials
    clock = Clock()
    forecast = Forecast(
        [Rung(None, Step(0, 1), 30, 30)],
        params={str(n): {} for n in range(40)},
        most_seconds=20.0,
        most_cpu_seconds=1e6,
    )

    def rungs_of(more: int) -> list[Rung]:
        return [Rung(None, Step(0, 1), 30 + more, 30 + more)]

    seer = Foreseeing(nobody, forecast, clock=clock, rungs_of=rungs_of)

    def fit(trial: int) -> None:
        seer.extend([{"record": "start", "trial": str(trial), "fold": 0, "resource": 1}])
        clock.now += 1.0
        cost = {"seconds": 1.0, "cpu_seconds": 1.0}
        fields = {"trial": str(trial), "fold": 0, "start": 0, "resource": 1, **cost, "done": 0}
        seer(Event("unit", fields, at=clock.now))

    def left() -> float:
        estimate = forecast.remaining(seer._moment())
        assert estimate is not None
        return estimate.seconds

    for trial in range(10):
        fit(trial)
    assert left() == pytest.approx(10.0)
    # when a pause of an hour passes, then nothing has changed
    seer.extend([{"record": "control", "command": "pause"}])
    clock.now += 3600.0
    assert left() == pytest.approx(10.0)
    seer.extend([{"record": "control", "command": "resume"}])
    fit(10)
    assert left() == pytest.approx(9.0)
    # when the time is extended, then the trials are the limit, and so on
    seer.extend([{"record": "control", "command": "extend", "wall_seconds": 100.0}])
    assert left() == pytest.approx(19.0, rel=0.2)
    seer.extend([{"record": "control", "command": "extend", "trials": 10}])
    assert left() == pytest.approx(29.0, rel=0.2)
    # when trials are cancelled, one of which runs, then their fits are not to come
    seer.extend([{"record": "start", "trial": "11", "fold": 0, "resource": 1}])
    for trial in ("11", "12", "13", "14"):
        seer.extend([{"record": "unit", "trial": trial, "fold": 0, "resource": 1, "cancelled": True, "error": "x"}])
    assert left() == pytest.approx(25.0, rel=0.2)
    # and a continued search knows all of it
    again = Forecast([Rung(None, Step(0, 1), 30, 30)], most_seconds=20.0, most_cpu_seconds=1e6)
    Foreseeing(nobody, again, rungs_of=rungs_of).remember(
        [
            {
                "record": "control",
                "command": "extend",
                "wall_seconds": 100.0,
                "trials": 10,
                "cpu_hours": 1.0,
                "at": 1.0,
            },
            {"record": "unit", "trial": "3", "fold": 0, "resource": 1, "seconds": 0.0, "cpu_seconds": 0.0, "at": 2.0}
            | {"cancelled": True, "error": "x"},
        ]
    )
    assert (again.most_seconds, again.most_cpu_seconds) == (120.0, 1e6 + 3600)
    assert again.rungs[0].most == 40
    assert not again.costs
