"""Schedules: how many fits a search will make at each rung, found by playing its policy, and how long they take."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from daskflow.core.seeds import seed_of
from daskflow.core.warned import ignored
from daskflow.search import Search
from daskflow.search.costs import Step
from daskflow.search.hyperband import Hyperband
from daskflow.search.policies import Policy, Request

ORDERS = 6
"""In so many orders of answers a search is played whose order counts."""

CHUNKED = 16
"""A rung of more fits per slot is played in larger pieces, but for its last fits."""


@dataclass(frozen=True, slots=True)
class Rung:
    """What a search will do at one step of one bracket.

    Attributes
    ----------
    bracket : int or None
        Of Hyperband.
    step : Step
        From which resource to which.
    least, most : int
        Candidates that will come so far; about, where the order of answers counts.
    waits : bool
        Whether it begins when the bracket's rung before is done.
    """

    bracket: int | None
    step: Step
    least: int
    most: int
    waits: bool = False


def schedule(search: Search, space: Mapping[str, Any], *, seed: int) -> list[Rung]:
    """Return a search's rungs in the order they begin.

    A search that stops early is played by its own policy with made-up scores: some that always rise, and some that
    never do. Where candidates go on while others of their rung are awaited, the order of answers counts, and it is
    played in several. The least and the most of these plays is what can come.

    Parameters
    ----------
    search : Search
        Its settings.
    space : mapping
        Parameters as lists or distributions.
    seed : int
        The workflow's.

    Examples
    --------
    >>> from daskflow.core.space import LogUniform
    >>> from daskflow.search.hyperband import Hyperband
    >>> [(rung.bracket, tuple(rung.step), rung.most) for rung in schedule(
    ...     Hyperband(max_iter=3), {"alpha": LogUniform(1e-6, 1e-1)}, seed=0)]
    [(1, (0, 1), 3), (1, (1, 3), 1), (0, (0, 1), 2), (0, (1, 3), 2)]
    """
    if not search.stops_early:
        units = search.fits(space, seed=seed)["units"]
        return [Rung(None, Step(0, search.resource), units, units)]
    plays = [_play_of(search, space, seed, gain, 0) for gain in (1.0, 0.0)]
    if plays[0].asynchronous:
        plays += [_play_of(search, space, seed, 1.0, draw) for draw in range(1, ORDERS)]
    places = list(dict.fromkeys(place for one in plays for place in one.counts))
    order = {bracket: number for number, (bracket, _) in reversed(list(enumerate(places)))}
    places.sort(key=lambda place: (order[place[0]], place[1]))
    return [
        Rung(
            bracket,
            step,
            min(one.counts[bracket, step] for one in plays),
            max(one.counts[bracket, step] for one in plays),
            waits=bracket not in plays[0].asynchronous,
        )
        for bracket, step in places
    ]


@dataclass
class _Played:
    """Candidates by bracket and step, and the brackets where some went on while others of their rung were awaited."""

    counts: Counter[tuple[int | None, Step]] = field(default_factory=Counter)
    asynchronous: set[int | None] = field(default_factory=set)


def _play_of(search: Search, space: Mapping[str, Any], seed: int, gain: float, draw: int) -> _Played:
    """Play a search; of one that proposes candidates as it goes, the same search over candidates drawn before."""
    if not search.draws_first:
        own = {name: getattr(search, name) for name in Hyperband.model_fields if name not in ("kind", "space")}
        search, space = Hyperband(**own), {"number": range(10**9)}
    with ignored():
        policy = search.unlimited(space, seed=seed)
    if hasattr(policy, "limit"):
        policy.limit(search.capped(len(policy.candidates)))
    return _played(policy, gain, draw)


def _played(policy: Policy, gain: float, draw: int) -> _Played:
    """Answer a policy's requests one by one: each candidate by a quality of its own, and a gain for its resource."""
    found = _Played()
    seen: dict[str, int] = {}
    brackets: dict[str, int | None] = {}
    waiting: deque[Request] = deque()
    awaited: Counter[tuple[int | None, int]] = Counter()

    def take(requests: Sequence[Request]) -> None:
        brackets.update({one.trial: one.bracket for one in policy.candidates[len(brackets) :]})
        for one in requests:
            bracket, start = brackets[one.trial], seen.get(one.trial, 0)
            if start and awaited[bracket, start]:
                found.asynchronous.add(bracket)
            found.counts[bracket, Step(start, one.resource)] += 1
        for one in requests:
            awaited[brackets[one.trial], one.resource] += 1
        waiting.extend(requests)

    take(policy.ask())
    while waiting:
        request = waiting.popleft()
        seen[request.trial] = request.resource
        awaited[brackets[request.trial], request.resource] -= 1
        policy.tell(request, gain * request.resource + seed_of(draw, request.trial) / 2**32)
        take(policy.ask())
    return found


def play(
    rungs: Sequence[tuple[int | None, bool, Sequence[float]]], slots: int, running: Sequence[tuple[int, float]] = ()
) -> float:
    """Return how long work takes on some slots: first come, first served; a rung waits for the one before.

    Parameters
    ----------
    rungs : sequence of (bracket, waits, seconds)
        In the order they begin, with the seconds of each of their fits.
    slots : int
        Fits at once.
    running : sequence of (rung, seconds)
        Fits that have begun, with the seconds they still take; not among those of `rungs`.

    Examples
    --------
    >>> play([(0, True, [1.0, 1.0, 2.0]), (0, True, [5.0])], slots=2)
    8.0
    >>> play([(0, False, [1.0, 1.0, 2.0]), (0, False, [5.0])], slots=2)
    6.0
    """
    pieces = [_pieces(seconds, slots) for _, _, seconds in rungs]
    left = [len(some) for some in pieces]
    for number, _ in running:
        left[number] += 1
    followers = _followers(rungs)
    ready: deque[tuple[int, float]] = deque()

    def begin(number: int | None) -> None:
        while number is not None:
            ready.extend((number, seconds) for seconds in pieces[number])
            number = followers.get(number) if not left[number] else None

    firsts = set(range(len(rungs))) - set(followers.values())
    for number in sorted(firsts):
        begin(number)
    now = 0.0
    ends = [(seconds, number) for number, seconds in running]
    heapq.heapify(ends)
    while ready or ends:
        while ready and len(ends) < slots:
            number, seconds = ready.popleft()
            heapq.heappush(ends, (now + seconds, number))
        now, number = heapq.heappop(ends)
        left[number] -= 1
        if not left[number]:
            begin(followers.get(number))
    return now


def _followers(rungs: Sequence[tuple[int | None, bool, Sequence[float]]]) -> dict[int, int]:
    """Which rung begins when which is done."""
    last: dict[int | None, int] = {}
    found = {}
    for number, (bracket, waits, _) in enumerate(rungs):
        if waits and bracket in last:
            found[last[bracket]] = number
        last[bracket] = number
    return found


def _pieces(seconds: Sequence[float], slots: int) -> list[float]:
    """Fits as they are, or most of them in one piece per slot."""
    if len(seconds) <= CHUNKED * slots:
        return [float(one) for one in seconds]
    cut = len(seconds) - CHUNKED // 2 * slots
    whole = float(sum(seconds[:cut]))
    return [whole / slots] * slots + [float(one) for one in seconds[cut:]]
