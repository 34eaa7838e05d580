"""Budgets: a search ends after so many trials, so much time, or so long without an improvement, and says why."""

from __future__ import annotations

import math
import re
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from dask.utils import parse_timedelta
from pydantic import Field, field_validator

from daskflow.core.estimates import amount
from daskflow.core.settings import Settings

if TYPE_CHECKING:
    from daskflow.search.policies import Candidate, Policy, Request

STOCK = 8
"""Requests without an answer, as long as nobody says how many there may be."""

TIMES = ("wall_time", "cpu_hours")
"""Limits that are no part of a run's ID: with a higher one the same run goes on."""


def seconds_of(text: str) -> float:
    """Return a length of time in seconds; 0 for what is none.

    Examples
    --------
    >>> seconds_of("2 h"), seconds_of("10 min"), seconds_of("soon")
    (7200.0, 600.0, 0.0)
    """
    words = re.sub(r"(?<![a-z])(min|sec|hr)s?$", lambda found: found[1][0], text.strip())  # Dask knows m, s and h
    try:
        return float(parse_timedelta(words))
    except (ValueError, KeyError):
        return 0.0


class Budget(Settings):
    """When a search ends before it has nothing more to try; several limits can be set, and the first one met counts.

    Attributes
    ----------
    trials : int or None
        No more candidates than so many: the first that the search draws. Those go on as the search's schedule says.
    wall_time : str or None
        From the first fit, such as ``"2 h"``; summed over the invocations of a run that is continued.
    cpu_hours : float or None
        Processor time of all fits that have ended, in hours; summed over invocations.
    patience : int or None
        So many candidates in a row, in the order in which their first scores came, without an improvement of the best
        score.
    tolerance : float
        What is less than this above the best score is no improvement.
    running : str
        What happens to fits that run when a limit is met: ``finish``, they count; ``drop``, they are given up.
    """

    trials: int | None = Field(default=None, ge=1)
    wall_time: str | None = None
    cpu_hours: float | None = Field(default=None, gt=0)
    patience: int | None = Field(default=None, ge=1)
    tolerance: float = Field(default=0.0, ge=0)
    running: Literal["finish", "drop"] = "finish"

    @field_validator("wall_time")
    @classmethod
    def _can_be_read(cls, value: str | None) -> str | None:
        """Refuse what is no time."""
        if value is not None and not seconds_of(value) > 0:
            raise ValueError("should be a time such as 2 h")
        return value

    def identity(self) -> dict[str, Any]:
        """Return what says which candidates there are; without the limits of time, of which a run may get more.

        Examples
        --------
        >>> Budget(wall_time="2 h", cpu_hours=8).identity(), Budget(wall_time="2 h", trials=9).identity()
        ({}, {'trials': 9, 'tolerance': 0.0, 'running': 'finish'})
        """
        if self.trials is None and self.patience is None:
            return {}
        return {word: value for word, value in self.dump().items() if word not in TIMES}

    @property
    def wall_seconds(self) -> float:
        """`wall_time` in seconds; infinite without it."""
        return math.inf if self.wall_time is None else seconds_of(self.wall_time)

    @property
    def holds_back(self) -> bool:
        """Whether it can end a search between two requests."""
        return self.wall_time is not None or self.cpu_hours is not None or self.patience is not None


def earlier_seconds(records: Iterable[Mapping[str, Any]]) -> float:
    """Return how long earlier invocations searched, by a journal's records: from their first fit to their last word.

    Examples
    --------
    >>> earlier_seconds([
    ...     {"record": "invocation", "at": 0.0}, {"record": "start", "at": 5.0}, {"record": "unit", "at": 7.0},
    ...     {"record": "invocation", "at": 90.0}, {"record": "start", "at": 91.0}, {"record": "unit", "at": 94.0},
    ... ])
    5.0

    While the search was paused no time passed.

    >>> earlier_seconds([
    ...     {"record": "start", "at": 5.0}, {"record": "control", "command": "pause", "at": 6.0},
    ...     {"record": "unit", "at": 7.0}, {"record": "control", "command": "resume", "at": 90.0},
    ...     {"record": "unit", "at": 93.0},
    ... ])
    4.0
    """
    total = 0.0
    begun = last = paused = None
    rested = 0.0
    for record in records:
        kind, word = record.get("record"), record.get("command")
        if kind == "invocation":
            total += last - begun if begun is not None and last is not None else 0.0
            begun = last = paused = None
            rested = 0.0
        elif "at" not in record:
            continue
        elif kind in ("start", "unit"):
            last = (record["at"] if paused is None else paused) - rested
            begun = last if begun is None else begun
        elif kind == "control" and word == "pause" and paused is None:
            paused = record["at"]
        elif kind == "control" and word == "resume" and paused is not None:
            rested += record["at"] - paused
            paused = None
    return total + (last - begun if begun is not None and last is not None else 0.0)


def is_longer(budget: Budget | None, records: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a search that a limit of time ended, by its journal's records, has a higher one now, and room.

    Examples
    --------
    >>> ended = [
    ...     {"record": "start", "at": 0.0}, {"record": "unit", "at": 61.0, "cpu_seconds": 60.0},
    ...     {"record": "stage", "stage": "search", "limit": {"wall_time": 60.0}},
    ... ]
    >>> [is_longer(Budget(wall_time=time), ended) for time in ("1 min", "30 s", "61 s", "2 min")]
    [False, False, False, True]
    >>> is_longer(None, ended), is_longer(None, ended[:2])
    (True, False)
    """
    searched = [r for r in records if r.get("record") == "stage" and r.get("stage") == "search"]
    known = searched[-1].get("limit") if searched else None
    if not known:
        return False
    extended = [r for r in records if r.get("record") == "control" and r.get("command") == "extend"]
    more = {name: sum(float(r.get(name) or 0.0) for r in extended) for name in ("wall_seconds", "cpu_hours")}
    if "wall_time" in known:
        limit = math.inf if budget is None else budget.wall_seconds + more["wall_seconds"]
        return limit > max(float(known["wall_time"]), earlier_seconds(records))
    hours = None if budget is None else budget.cpu_hours
    limit = math.inf if hours is None else hours + more["cpu_hours"]
    spent = sum(float(r.get("cpu_seconds") or 0.0) for r in records if r.get("record") == "unit")
    return limit > max(float(known["cpu_hours"]), spent / 3600)


@dataclass
class Budgeted:
    """A policy held to a budget: once a limit is met it gives no further request. The budget can be extended.

    Parameters
    ----------
    policy : Policy
        Decides within the budget. For a budget with `trials` it has ``limit``.
    budget : Budget
        The limits.
    clock : callable
        Seconds, for the wall time.
    stock : int
        Requests without an answer at a time: what is given cannot be taken back.

    Examples
    --------
    >>> from daskflow.search.candidates import named
    >>> from daskflow.search.policies import AllAtOnce
    >>> policy = Budgeted(AllAtOnce(named([{"C": 1}, {"C": 2}, {"C": 3}])), Budget(cpu_hours=1), stock=1)
    >>> first = policy.ask()[0]
    >>> policy.tell(first, 0.5, seconds=4000, cpu_seconds=3700)
    >>> list(policy.ask()), policy.ended()
    ([], 'the budget of 1 CPU-hour was spent')
    """

    policy: Policy
    budget: Budget
    clock: Callable[[], float] = time.monotonic
    stock: int = STOCK
    _is_cut: bool = False
    _why: str = ""
    _limit: Mapping[str, float] = field(default_factory=dict)
    _started: float | None = None
    _earlier_seconds: float = 0.0
    _cpu_seconds: float = 0.0
    _best: float = -math.inf
    _without: int = 0
    _judged: set[str] = field(default_factory=set)
    _waiting: deque[Request] = field(default_factory=deque)
    _awaited: dict[str, int] = field(default_factory=dict)
    _begun_before: set[tuple[str, int]] = field(default_factory=set)
    _shown: list[Candidate] = field(default_factory=list)
    _names: set[str] = field(default_factory=set)
    _more: dict[str, float] = field(default_factory=lambda: {"wall_seconds": 0.0, "cpu_hours": 0.0, "trials": 0})
    _held_at: float | None = None
    _held_seconds: float = 0.0

    def __post_init__(self) -> None:
        """Cut the candidates."""
        if self.budget.trials is not None:
            self._is_cut = self.policy.limit(self.budget.trials)  # type: ignore[attr-defined]  # see Policy
        self._shown = list(self.policy.candidates)
        self._names = {candidate.trial for candidate in self._shown}

    @property
    def candidates(self) -> Sequence[Candidate]:
        """Those that were drawn before the first request, and of the others those that had one."""
        return self._shown

    def wants(self, number: int) -> None:
        """Let so many requests be without an answer at a time."""
        self.stock = max(1, number)
        if hasattr(self.policy, "wants"):
            self.policy.wants(number)

    def remember(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Count the time of earlier invocations, and go on with what they had begun even if nothing new may begin."""
        known = list(records)
        self._earlier_seconds = earlier_seconds(known)
        kinds = ("start", "unit") if self.budget.running == "finish" else ("unit",)
        self._begun_before = {(r["trial"], r["resource"]) for r in known if r.get("record") in kinds}

    def ask(self) -> Sequence[Request]:
        """What the policy asks for, until a limit is met; then what an earlier invocation had begun."""
        self._started = self.clock() if self._started is None else self._started
        self._why = self._why or self._met()
        self._waiting.extend(self.policy.ask())
        given: list[Request] = []
        if self._why:  # the others are kept: the budget may be extended
            given = [each for each in self._waiting if (each.trial, each.resource) in self._begun_before]
            self._waiting = deque(
                each for each in self._waiting if (each.trial, each.resource) not in self._begun_before
            )
        has_room = not self.budget.holds_back
        while not self._why and self._waiting and (has_room or len(self._awaited) + len(given) < self.stock):
            given.append(self._waiting.popleft())
        self._awaited |= {request.trial: request.resource for request in given}
        if begun := {request.trial for request in given} - self._names:
            self._names |= begun
            self._shown += [candidate for candidate in self.policy.candidates if candidate.trial in begun]
        return given

    def tell(self, request: Request, score: float, seconds: float = 0.0, cpu_seconds: float | None = None) -> None:
        """Count the cost, and pass the answer on; processor time that nobody tells is taken to be the wall time."""
        self._awaited.pop(request.trial, None)
        self._cpu_seconds += seconds if cpu_seconds is None else cpu_seconds
        if score > self._best and score - self._best >= self.budget.tolerance:
            self._best, self._without = score, 0
        elif request.trial not in self._judged:
            self._without += 1
        self._judged.add(request.trial)
        self.policy.tell(request, score, seconds, cpu_seconds)

    def dropped(self) -> Collection[str]:
        """What runs, when a limit was met and it shall not be finished; and what the policy drops itself."""
        self._why = self._why or (self._met() if self._started is not None else "")
        own = set(self._awaited) if self._why and self.budget.running == "drop" else set()
        return own | set(self.policy.dropped() if hasattr(self.policy, "dropped") else ())

    def ended(self) -> str:
        """Which limit ended the search; empty when it came to its own end."""
        if self._why:
            return self._why
        trials = (self.budget.trials or 0) + self._more["trials"]
        return f"the budget of {_count(trials, 'trial')} was spent" if self._is_cut else ""

    @property
    def limit(self) -> dict[str, float]:
        """The limit of time that ended the search, by its name: in seconds, or in CPU-hours; empty when none did."""
        return dict(self._limit) if self._why else {}

    @property
    def is_spent(self) -> bool:
        """Whether a limit is met, so that nothing new begins."""
        return bool(self._why)

    def goes_on(self, trial: str) -> bool:
        """Whether the policy may ask for a trial again, and the budget has room for it."""
        return not self._why and hasattr(self.policy, "goes_on") and bool(self.policy.goes_on(trial))

    @property
    def left_out(self) -> Sequence[Candidate]:
        """Candidates that are drawn and that the budget has no room for."""
        return tuple(getattr(self.policy, "left_out", ()))

    def hold(self) -> None:
        """Stop the clock of the wall time."""
        self._held_at = self.clock() if self._held_at is None else self._held_at

    def go_on(self) -> None:
        """Let the clock go on from where it was."""
        if self._held_at is not None and self._started is not None:
            self._held_seconds += self.clock() - max(self._held_at, self._started)
        self._held_at = None

    def cannot_extend(self, *, wall_seconds: float = 0.0, cpu_hours: float = 0.0, trials: int = 0) -> str:
        """Say why the budget cannot be extended by so much; empty when it can."""
        budget, spare = self.budget, int(getattr(self.policy, "spare", 0))
        if self._why and budget.running == "drop":
            return f"The search is ending, because {self._why}."
        if wall_seconds and budget.wall_time is None:
            return "The search has no limit of wall time (search.budget.wall_time): there is nothing to extend."
        if cpu_hours and budget.cpu_hours is None:
            return "The search has no limit of CPU-hours (search.budget.cpu_hours): there is nothing to extend."
        if trials and budget.trials is None:
            return "The search has no limit of trials (search.budget.trials): there is nothing to extend."
        if trials and not hasattr(self.policy, "more"):
            return "The rungs of this search were laid out for the trials it has: it can take no more of them."
        if trials > spare:
            return (
                f"The search can take {_count(spare, 'more trial') if spare else 'no more trials'}: it draws no others."
            )
        return ""

    def extend(self, *, wall_seconds: float = 0.0, cpu_hours: float = 0.0, trials: int = 0) -> None:
        """Raise the limits by so much; one that was met and is no longer lets the search go on."""
        for name, further in (("wall_seconds", wall_seconds), ("cpu_hours", cpu_hours), ("trials", trials)):
            self._more[name] += further
        if trials:
            self.policy.more(trials)  # type: ignore[attr-defined]  # see Policy
            self._is_cut = int(getattr(self.policy, "spare", 0)) > 0
        self._why = self._met() if self._why else ""

    def _met(self) -> str:
        """Name the first limit that is met."""
        budget, more = self.budget, self._more
        now = self.clock() if self._held_at is None else self._held_at
        wall = self._earlier_seconds + now - (self._started or 0.0) - self._held_seconds
        self._limit = {}
        most = budget.wall_seconds + more["wall_seconds"]
        if wall >= most:
            self._limit = {"wall_time": most}
            return f"the wall time of {amount(most) if more['wall_seconds'] else budget.wall_time} was spent"
        hours = math.inf if budget.cpu_hours is None else budget.cpu_hours + more["cpu_hours"]
        if self._cpu_seconds >= 3600 * hours:
            self._limit = {"cpu_hours": hours}
            return f"the budget of {_count(hours, 'CPU-hour')} was spent"
        if budget.patience is not None and self._without >= budget.patience:
            least = f" by {budget.tolerance:g} or more" if budget.tolerance else ""
            return f"{_count(budget.patience, 'trial')} in a row did not improve the best score{least}"
        return ""


def _count(number: float, noun: str) -> str:
    return f"{number:g} {noun}" if number == 1 else f"{number:g} {noun}s"
