"""Foresight: the forecast of a run's search, made from the workflow and told while it goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from daskflow.core.control import AMOUNTS
from daskflow.core.events import Listener
from daskflow.data.matrices import Matrices
from daskflow.search import Search
from daskflow.search.engine import Recorder
from daskflow.search.fits import MatrixWork
from daskflow.search.forecast import Forecast
from daskflow.search.foreseeing import Foreseeing
from daskflow.search.policies import Policy
from daskflow.search.schedules import Rung, schedule

if TYPE_CHECKING:
    from daskflow.workflow.workflow import Workflow


def foreseeing(
    workflow: Workflow,
    space: Mapping[str, Any],
    policy: Policy,
    work: MatrixWork,
    slots: int,
    recorder: Recorder,
    listener: Listener,
) -> Foreseeing:
    """Return what listens to a search, and tells and records what is left of it.

    Parameters
    ----------
    workflow : Workflow
        Its search says how many fits there will be.
    space : mapping
        What is searched.
    policy : Policy
        Its candidates so far: their parameters say what they cost.
    work : MatrixWork
        Folds, and whether fits go on from where they were.
    slots : int
        Fits at once.
    recorder, listener : Recorder, callable
        Get everything, and forecasts.
    """
    search = workflow.search
    drawn = list(policy.candidates)
    budget = search.budget

    def rungs_of(more_trials: int) -> list[Rung]:
        longer = search
        if budget is not None and budget.trials is not None and more_trials:
            wider = budget.model_copy(update={"trials": budget.trials + more_trials})
            longer = search.model_copy(update={"budget": wider})
        rungs = schedule(longer, space, seed=workflow.seed)
        may_end = budget is not None and budget.patience is not None  # after any answer
        return [replace(rung, least=0) for rung in rungs] if may_end else rungs

    forecast = Forecast(
        rungs_of(0),
        n_folds=work.n_folds,
        slots=slots,
        params={candidate.trial: candidate.params for candidate in drawn},
        brackets={candidate.trial: candidate.bracket for candidate in drawn},
        continues=work.training.way.continues,
        most_seconds=None if budget is None or budget.wall_time is None else budget.wall_seconds,
        most_cpu_seconds=None if budget is None or budget.cpu_hours is None else 3600 * budget.cpu_hours,
    )
    return Foreseeing(listener, forecast, recorder, rungs_of=rungs_of)


def plan_of(search: Search, rungs: Sequence[Rung], units: int) -> dict[str, Any]:
    """Return what a search means to do, as the record ``plan`` has it (see `core.live`), but for the metric and folds.

    Parameters
    ----------
    search : Search
        Its budget says what can end it.
    rungs : sequence of Rung
        Of `schedule`; of each the most candidates that can come so far.
    units : int
        Fits in all, as far as known.
    """
    budget = search.budget
    ends = {
        "wall_seconds": None if budget is None or budget.wall_time is None else budget.wall_seconds,
        "cpu_hours": None if budget is None else budget.cpu_hours,
        "trials": None if budget is None else budget.trials,
    }
    planned = [
        {"bracket": rung.bracket, "start": rung.step.start, "resource": rung.step.stop, "trials": rung.most}
        for rung in rungs
    ]
    return {"units": units, "ends": ends, "rungs": planned}


def as_extended(search: Search, records: Iterable[Mapping[str, Any]]) -> Search:
    """Return a search's settings with the budget that it has by a journal's records: people may have extended it.

    Examples
    --------
    >>> from daskflow.search.random import Random
    >>> search = Random(trials=50, budget={"trials": 20, "wall_time": "1 h"})
    >>> extend = {"record": "control", "command": "extend", "trials": 5, "wall_seconds": 1800}
    >>> longer = as_extended(search, [extend, extend]).budget
    >>> longer.trials, longer.wall_seconds
    (30, 7200.0)
    """
    budget = search.budget
    if budget is None:
        return search
    more = dict.fromkeys(AMOUNTS, 0)
    for record in records:
        if record.get("record") == "control" and record.get("command") == "extend":
            more = {name: amount + (record.get(name) or 0) for name, amount in more.items()}
    changes: dict[str, Any] = {}
    if budget.wall_time is not None and more["wall_seconds"]:
        changes["wall_time"] = f"{budget.wall_seconds + more['wall_seconds']:.0f} s"
    if budget.cpu_hours is not None:
        changes["cpu_hours"] = budget.cpu_hours + more["cpu_hours"]
    if budget.trials is not None:
        changes["trials"] = budget.trials + more["trials"]
    return search.model_copy(update={"budget": budget.model_copy(update=changes)})


def validation_ratio(matrices: Matrices) -> float:
    """Return validation rows over training rows, the mean of the folds: what scores of folds have in common."""
    ratios = [fold.validation.n_rows / fold.train.n_rows for fold in matrices.folds]
    return sum(ratios) / len(ratios)
