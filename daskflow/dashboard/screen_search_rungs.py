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
    """Counts trials by rung, each fit and score once."""

    def __init__(self) -> None:
        """Begin with nothing counted."""
        self._n_scores = self._n_fits = 0
        self._done: Counter[Place] = Counter()
        self._failed: Counter[Place] = Counter()
        self._scored: set[tuple[str, int]] = set()
        self._failures: set[str] = set()
        self._promoted: Counter[Place] = Counter()
        self._risen: set[tuple[str, int]] = set()
        self._met: Counter[int | None] = Counter()
        self._n_met = 0

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
        search, trials = standing.search, standing.search.trials
        new = {(each[0], each[1]) for each in search.scores[self._n_scores :]} - self._scored
        self._scored |= new
        self._done.update([(trials[name].bracket, resource) for name, resource in new])
        for fit in search.fits[self._n_fits :]:
            if fit[7] and fit[0] not in self._failures:
                self._failures.add(fit[0])
                known = trials.get(fit[0])
                self._failed[known.bracket if known else None, fit[2]] += 1
        self._promote(standing, standing.changed | standing.advanced)
        for known in standing.trials[self._n_met :]:
            self._met[known.bracket] += 1
        self._n_scores, self._n_fits, self._n_met = len(search.scores), len(search.fits), len(standing.trials)

    def _promote(self, standing: Standing, changed: set[str]) -> None:
        """Count trials with a score at a rung that were handed in for a higher one."""
        for name in changed:
            trial = standing.search.trials.get(name)
            highest = standing.asked.get(name, 0)
            if trial is None or highest <= 1:
                continue
            for resource, _ in trial.curve:
                if resource < highest and (name, resource) not in self._risen:
                    self._risen.add((name, resource))
                    self._promoted[trial.bracket, resource] += 1

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
