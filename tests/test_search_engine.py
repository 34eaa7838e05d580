"""The engine: finished fits are on record at once, failures rank last, a resumed search ends like a whole one."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field
from typing import Any

import pytest

from daskflow.core.errors import SearchError, StorageError
from daskflow.core.events import Event
from daskflow.core.protocols import Unit
from daskflow.core.results import SearchResult, Trial, TrialState
from daskflow.data.client_executor import ClientExecutor
from daskflow.data.execution import InlineExecutor
from daskflow.search.candidates import named
from daskflow.search.engine import Memory, run
from daskflow.search.hyperband import Hyperband
from daskflow.search.jobs import Answer, unit_key
from daskflow.search.policies import AllAtOnce, Candidate


class UnsendableError(ValueError):
    """An error that holds a lock, as those of some native libraries do."""

    def __init__(self, left: int, right: int) -> None:
        super().__init__("cannot be sent")
        self.lock = threading.Lock()


def answer(params: dict[str, Any], fold: int, stop: int) -> Answer:
    """A score that rises with the resource, or what `params` say shall happen."""
    happens = params.get("happens", "")
    if happens == "raises" and fold >= params.get("from_fold", 0):
        raise ValueError(f"cannot fit {params['alpha']} on fold {fold}")
    if happens == "raises what cannot be sent":
        raise UnsendableError(1, 2)
    if happens == "full disk":
        raise StorageError("no room")
    value = {"nan": math.nan, "infinite": math.inf}.get(happens, params["alpha"] * (1 - 1 / (1 + stop)) + fold / 100)
    return Answer({"score": value, "other": math.inf if happens == "other" else 0.5}, {"at": stop})


@dataclass
class Formula:
    """Work that computes a formula; it says what it was asked for."""

    n_folds: int = 2
    metric: str = "score"
    greater_is_better: bool = True
    asked: list[str] = field(default_factory=list)

    def unit(self, candidate: Candidate, fold: int, start: int, stop: int) -> Unit:
        self.asked.append(f"{candidate.trial}/{fold}: {start}-{stop}")
        return Unit(unit_key(candidate.trial, fold, stop), answer, (dict(candidate.params), fold, stop))


def tries(*params: dict[str, Any]) -> AllAtOnce:
    """A search over these candidates."""
    return AllAtOnce(named(params))


def _curve(trial: Trial) -> list[tuple[Any, ...]]:
    return [(point.resource, repr(point.score), repr(point.fold_scores)) for point in trial.curve]


def gist(result: SearchResult) -> list[tuple[Any, ...]]:
    """All of a result but times and where it ran."""
    return [
        (t.id, t.params, str(t.state), repr(t.score), t.resource, t.error, repr(dict(t.metrics)), _curve(t))
        for t in result.trials
    ]


def test_the_mean_over_folds_ranks_and_the_first_drawn_wins_a_tie() -> None:
    result = run(tries({"alpha": 1}, {"alpha": 3}, {"alpha": 3}, {"alpha": 2}), Formula(), InlineExecutor())
    assert [trial.id for trial in result.ranked()] == ["1", "2", "3", "0"]
    assert result.best.id == "1"
    assert result.best.score == pytest.approx(1.505)
    assert result.best.curve[0].fold_scores == (1.5, 1.51)


def test_a_metric_that_should_be_small_ranks_the_other_way() -> None:
    work = Formula(greater_is_better=False)
    assert run(tries({"alpha": 2}, {"alpha": 1}), work, InlineExecutor()).best.id == "1"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"happens": "raises"}, "ValueError: cannot fit 9 on fold 0"),
        ({"happens": "raises", "from_fold": 1}, "ValueError: cannot fit 9 on fold 1"),
        ({"happens": "nan"}, "score is not a finite number (nan)"),
        ({"happens": "infinite"}, "score is not a finite number (inf)"),
    ],
)
def test_a_candidate_that_fails_ranks_last_with_its_reason(bad: dict[str, Any], reason: str) -> None:
    # given, when
    result = run(tries({"alpha": 1}, {"alpha": 9, **bad}, {"alpha": 2}), Formula(), InlineExecutor())
    # then
    last = result.ranked()[-1]
    assert (last.id, last.state, last.error) == ("1", TrialState.FAILED, reason)
    assert math.isnan(last.score)
    assert result.best.id == "2"


def test_another_metric_may_be_missing() -> None:
    result = run(tries({"alpha": 1, "happens": "other"}), Formula(), InlineExecutor())
    assert math.isnan(result.best.metrics["other"])
    assert result.best.score == pytest.approx(0.505)


def test_when_all_fail_their_reasons_are_told() -> None:
    with pytest.raises(
        SearchError, match=r"All 2 candidates failed. Their reasons: ValueError: cannot fit 1 on fold 0"
    ):
        run(tries({"alpha": 1, "happens": "raises"}, {"alpha": 2, "happens": "nan"}), Formula(), InlineExecutor())


def test_a_search_without_candidates_is_refused() -> None:
    with pytest.raises(SearchError, match="there is no candidate"):
        run(tries(), Formula(), InlineExecutor())


def test_a_full_disk_ends_the_run_and_not_the_candidate() -> None:
    with pytest.raises(StorageError, match="no room"):
        run(tries({"alpha": 1, "happens": "full disk"}, {"alpha": 2}), Formula(), InlineExecutor())


MANY = {"alpha": list(range(1, 30))}
"""A space with more values than Hyperband draws."""

MIXED = [
    {"alpha": 1},
    {"alpha": 2, "happens": "raises", "from_fold": 1},
    {"alpha": 3, "happens": "nan"},
    {"alpha": 4, "happens": "raises"},
    {"alpha": 5},
    {"alpha": 6, "happens": "raises what cannot be sent"},
]


def test_the_executor_makes_no_difference(client: Any) -> None:
    policies = [Hyperband(max_iter=9).policy(MANY, seed=1) for _ in range(2)]
    for first, second in [(tries(*MIXED), tries(*MIXED)), policies]:
        inline = run(first, Formula(n_folds=3), InlineExecutor())
        spread = run(second, Formula(n_folds=3), ClientExecutor(client))
        assert gist(inline) == gist(spread)
        assert inline.best.id == spread.best.id


class Backwards(InlineExecutor):
    """Finishes what was handed in last, first; four at once."""

    slots = 4

    def next(self, timeout: float | None = None) -> Any:
        self._waiting.reverse()
        try:
            return super().next(timeout)
        finally:
            self._waiting.reverse()


def test_the_order_in_which_fits_end_makes_no_difference() -> None:
    inline = run(tries(*MIXED), Formula(n_folds=3), InlineExecutor())
    assert gist(run(tries(*MIXED), Formula(n_folds=3), Backwards())) == gist(inline)


@pytest.mark.parametrize("make", [lambda: tries(*MIXED), lambda: Hyperband(max_iter=9).policy(MANY, seed=1)])
def test_a_search_resumed_from_any_record_ends_like_the_whole_one(make: Any) -> None:
    # given
    whole = Memory()
    expected = run(make(), Formula(n_folds=2), InlineExecutor(), recorder=whole)
    for cut in range(len(whole.records) + 1):
        # when it goes on from its first records
        before, after, work = whole.records[:cut], Memory(), Formula(n_folds=2)
        resumed = run(make(), work, InlineExecutor(), recorder=after, earlier=before)
        # then it ends the same, runs only what was not finished, and counts what was in flight
        assert gist(resumed) == gist(expected)
        finished = {_key(record) for record in before if record["record"] == "unit"}
        begun = {_key(record) for record in before if record["record"] == "start"}
        again = {_key(record) for record in after.records if record["record"] == "start"}
        assert not again & finished
        assert len(work.asked) == len(again)
        assert resumed.repeated_units == len(again & begun) <= 2


def _key(record: dict[str, Any]) -> tuple[Any, ...]:
    return record["trial"], record["fold"], record["resource"]


def test_each_rung_goes_on_from_where_the_last_ended() -> None:
    work = Formula(n_folds=1)
    run(Hyperband(max_iter=9).policy(MANY, seed=1), work, InlineExecutor())
    steps = [asked.split(": ")[1] for asked in work.asked]
    assert {step: steps.count(step) for step in set(steps)} == {
        "0-1": 17,  # every model begins with one block
        "1-3": 3 + 5,
        "3-9": 1 + 1,
        "1-9": 3,
    }


def test_a_failed_candidate_is_asked_for_no_more_and_holds_nobody_up() -> None:
    # given a bracket in which most fail
    space = {"alpha": [1, 2, 3], "happens": ["raises"] * 3 + ["goes well"]}
    work = Formula(n_folds=1)
    # when
    result = run(Hyperband(max_iter=9).policy(space, seed=1), work, InlineExecutor())
    # then
    failed = [trial.id for trial in result.trials if trial.state is TrialState.FAILED]
    assert failed
    for trial in failed:
        assert [asked for asked in work.asked if asked.startswith(f"{trial}/")] == [f"{trial}/0: 0-1"]
    assert result.best.resource == 9


def test_the_listener_hears_of_every_trial_and_of_each_new_best() -> None:
    heard: list[Event] = []
    run(tries({"alpha": 1}, {"alpha": 3}, {"alpha": 2}), Formula(), InlineExecutor(), listener=heard.append)
    assert [event.fields["trial"] for event in heard if event.name == "best"] == ["0", "1"]
    assert {event.fields["trial"] for event in heard if event.name == "trial"} == {"0", "1", "2"}


@dataclass
class Keeper(Formula):
    """Work that hears of what is on record."""

    kept: list[tuple[str, int, int, Any]] = field(default_factory=list)

    def recorded(self, trial: str, fold: int, resource: int, details: Any) -> None:
        self.kept.append((trial, fold, resource, details["at"]))


def test_work_that_leaves_files_hears_of_each_unit_after_its_record_and_again_on_resume() -> None:
    # given
    journal = Memory()
    work = Keeper()
    run(tries({"alpha": 1}, {"alpha": 3, "happens": "raises"}), work, InlineExecutor(), recorder=journal)
    assert work.kept == [("0", 0, 1, 1), ("0", 1, 1, 1)]
    # when
    again = Keeper()
    run(tries({"alpha": 1}, {"alpha": 3, "happens": "raises"}), again, InlineExecutor(), earlier=journal.records)
    # then
    assert again.kept == work.kept
    assert again.asked == []


class Counting:
    """Work of one fold that counts how often it is asked for the number of folds: once per look at a rung."""

    metric, greater_is_better = "score", True

    def __init__(self) -> None:
        self.looks = 0

    @property
    def n_folds(self) -> int:
        self.looks += 1
        return 1

    def unit(self, candidate: Candidate, fold: int, start: int, stop: int) -> Unit:
        return Unit(unit_key(candidate.trial, fold, stop), answer, (dict(candidate.params), fold, stop))


def test_candidates_that_wait_are_not_looked_at_for_each_fit() -> None:
    work = Counting()
    result = run(AllAtOnce(named({"alpha": n} for n in range(1000))), work, InlineExecutor())
    assert result.best.id == "999"
    assert work.looks < 20 * 1000
