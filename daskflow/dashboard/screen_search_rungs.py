"""Brackets and rungs: how many candidates each step was planned for, and how far they are."""

from __future__ import annotations

from collections import Counter
from typing import Any

from daskflow.dashboard.screen_search_standing import Standing
from daskflow.dashboard.slots import Slot, Value, Widget

Place = tuple[int | None, int]
"""Bracket and resource of a rung."""

MOST_RUNGS = 12
"""Rungs of a bracket that are shown; of a search with more the first, the last and an even part between."""


def panel() -> Widget:
    """Return the panel."""
    return Widget(
        "search_rungs",
        "Brackets and rungs",
        "rungs",
        empty="The plan comes with the first candidates: how many of them are brought to which resource.",
        caption="Candidates that are brought to each amount of the resource; the best of a rung go on to the next.",
    )


class Rungs:
    """Counts trials by rung, each score once."""

    def __init__(self) -> None:
        """Begin with nothing counted."""
        self._n_failed = self._n_met = 0
        self._done: Counter[Place] = Counter()
        self._failed: Counter[Place] = Counter()
        self._counted: dict[str, tuple[int, int]] = {}
        self._failures: set[str] = set()
        self._promoted: Counter[Place] = Counter()
        self._met: Counter[int | None] = Counter()

    def slots(self, standing: Standing) -> list[Slot]:
        """Return what is shown now."""
        self._count(standing)
        search, trials = standing.search, standing.search.trials
        running: Counter[Place] = Counter()
        for trial, resource in {(trial, resource) for trial, _, resource in search.running}:
            known = trials.get(trial)
            if known is not None and trial not in self._failures:
                running[known.bracket, resource] += 1
        planned: Counter[Place] = Counter()
        for step in search.plan:
            planned[step.bracket, step.resource] += step.trials
        places = set(planned) | set(self._done) | set(self._failed) | set(running)
        if not search.plan and search.trials:
            self._plan_of(places, planned, running)
        brackets: dict[int | None, list[dict[str, Any]]] = {}
        for bracket, resource in sorted(places, key=_order):
            place = bracket, resource
            done, failed, now = self._done[place], self._failed[place], running[place]
            meant = max(planned[place], done + failed + now)
            brackets.setdefault(bracket, []).append(
                {
                    "resource": resource,
                    "planned": meant,
                    "waiting": 0 if standing.is_settled else meant - done - failed - now,
                    "running": now,
                    "done": done,
                    "failed": failed,
                    "promoted": self._promoted[place],
                }
            )
        told = [{"bracket": bracket, "rungs": _some(rungs)} for bracket, rungs in brackets.items()]
        return [Value("search_rungs", {"brackets": told} if told else None)]

    def _count(self, standing: Standing) -> None:
        """Count what came since the call before."""
        trials = standing.search.trials
        done: list[Place] = []
        promoted: list[Place] = []
        counted, asked = self._counted, standing.asked
        for name in standing.changed | standing.advanced:
            trial = trials.get(name)
            if trial is None or not trial.curve:
                continue
            curve, bracket = trial.curve, trial.bracket
            n_counted, n_risen = counted.get(name, (0, 0))
            above = len(curve) - (curve[-1][0] >= asked.get(name, 0))
            counted[name] = len(curve), above
            for place in range(n_risen, len(curve)):
                if place >= n_counted:
                    done.append((bracket, curve[place][0]))
                if place < above:
                    promoted.append((bracket, curve[place][0]))
        self._done.update(done)
        self._promoted.update(promoted)
        for trial in standing.failed[self._n_failed :]:
            self._failures.add(trial.id)
            self._failed[trial.bracket, next(reversed(trial.folds))[0]] += 1
        for known in standing.trials[self._n_met :]:
            self._met[known.bracket] += 1
        self._n_failed, self._n_met = len(standing.failed), len(standing.trials)

    def _plan_of(self, places: set[Place], planned: Counter[Place], running: Counter[Place]) -> None:
        """What was meant, where nobody told: a bracket's first rung is for all of its candidates."""
        for bracket, number in self._met.items():
            resources = sorted(resource for other, resource in places if other == bracket)
            first = bracket, resources[0] if resources else 1
            places.add(first)
            planned[first] = number


def _order(place: Place) -> tuple[int, int]:
    """Brackets with most candidates first, as they are run; resources upwards."""
    bracket, resource = place
    return (-bracket if bracket is not None else 0), resource


def _some(rungs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if len(rungs) <= MOST_RUNGS:
        return rungs
    last = len(rungs) - 1
    return [rungs[place] for place in sorted({round(at * last / (MOST_RUNGS - 1)) for at in range(MOST_RUNGS)})]
