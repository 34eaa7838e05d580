"""Searches that are steered at chosen moments: the engine and the policies are real, and fits take no time."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from daskflow.core.control import Command, Control
from daskflow.core.events import Event
from daskflow.core.protocols import Call, Unit
from daskflow.core.results import SearchResult
from daskflow.core.space import Uniform
from daskflow.data.execution import InlineExecutor
from daskflow.search import REGISTRY, engine
from daskflow.search.jobs import Answer, Failure, Job, unit_key
from daskflow.search.policies import Candidate, Policy
from daskflow.search.steering import CANCELLED

SPACE = {"alpha": Uniform(0, 9)}
SEARCHES: dict[str, dict[str, Any]] = {
    "random": {"kind": "random", "trials": 9},
    "tpe": {"kind": "tpe", "trials": 9, "startup": 5, "lag": 3},
    "hyperband": {"kind": "hyperband", "max_iter": 9},
    "tpe-hyperband": {"kind": "tpe-hyperband", "max_iter": 9, "startup": 50, "lag": 3},
    "asha": {"kind": "asha", "trials": 12, "max_iter": 9},
}
"""One of each kind, small."""


def policy_of(kind: str, budget: Mapping[str, Any] | None = None) -> Policy:
    """A search's policy."""
    return REGISTRY.parse({**SEARCHES[kind], **({"budget": budget} if budget else {})}).policy(SPACE, seed=3)


def score(alpha: float, fold: int, stop: int) -> Answer:
    """A score that rises with the resource."""
    return Answer({"score": alpha * (1 - 1 / (1 + stop)) + fold / 100}, {"at": stop})


def failing(*arguments: Any) -> Answer:
    """A fit that fails."""
    raise ValueError("as it happens")


@dataclass
class Quick:
    """Work that computes a formula; places in `bad` fail, and it knows what it was asked for."""

    n_folds: int = 2
    metric: str = "score"
    greater_is_better: bool = True
    bad: Sequence[tuple[str, int]] = ()
    asked: list[tuple[str, int, int]] = field(default_factory=list)

    def unit(self, candidate: Candidate, fold: int, start: int, stop: int) -> Unit:
        self.asked.append((candidate.trial, fold, stop))
        function = failing if (candidate.trial, stop) in self.bad else score
        return Unit(unit_key(candidate.trial, fold, stop), function, (candidate.params["alpha"], fold, stop))


class Timed(engine.Memory):
    """A recorder whose records have a time: what is written at once is a second after what was before."""

    def extend(self, records: Sequence[Mapping[str, Any]], *, durable: bool = True) -> None:
        now = self.records[-1]["at"] + 1.0 if self.records else 0.0
        self.records += [{**record, "at": now, "durable": durable} for record in records]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Records of a kind."""
        return [record for record in self.records if record["record"] == kind]


@dataclass
class Script:
    """A listener that asks for something once so many fits have ended, and hears everything.

    Attributes
    ----------
    lines : mapping
        Commands by how many fits have ended; each may be a function that makes one.
    """

    lines: Mapping[int, Sequence[Command]]
    control: Control = field(default_factory=Control)
    heard: list[Event] = field(default_factory=list)
    n_fits: int = 0

    def __call__(self, event: Event) -> None:
        self.heard.append(event)
        if event.name == "unit":
            self.n_fits += 1
            for command in self.lines.get(self.n_fits, ()):
                self.control.put(command)

    def texts(self, name: str = "note") -> list[str]:
        """What was said."""
        return [event.fields["text"] for event in self.heard if event.name == name]


def steered(
    policy: Policy,
    lines: Mapping[int, Sequence[Command]],
    *,
    work: Quick | None = None,
    executor: Any = None,
    earlier: Sequence[Mapping[str, Any]] = (),
    control: Control | None = None,
) -> tuple[SearchResult, Timed, Script]:
    """Search, and be asked for things on the way."""
    script, journal = Script(lines, control or Control()), Timed()
    for command in lines.get(0, ()):
        script.control.put(command)
    result = engine.run(
        policy,
        work or Quick(),
        executor or InlineExecutor(),
        recorder=journal,
        listener=script,
        control=script.control,
        earlier=earlier,
    )
    return result, journal, script


def gist(result: SearchResult) -> list[tuple[Any, ...]]:
    """All of a result but times; how a trial failed is no part of it."""
    return [
        (
            t.id,
            t.params,
            str(t.state),
            repr(t.score),
            t.resource,
            [(p.resource, repr(p.score), p.fold_scores if p.score == p.score else ()) for p in t.curve],
            bool(t.error),
        )
        for t in result.trials
    ] + [(result.best.id, result.ended)]


def cancelled(result: SearchResult) -> list[str]:
    """Trials that were."""
    return [trial.id for trial in result.trials if trial.error == CANCELLED]


@dataclass
class Batches(Quick):
    """The same in batches: up to six jobs in a unit, three of them in one call."""

    def together(self, job: Job) -> Hashable:
        return job.fold

    def near(self, job: Job) -> Hashable:
        return 0

    def batch(self, key: str, groups: Sequence[Sequence[Job]], seconds_per_step: float) -> Unit:
        calls = []
        for number, group in enumerate(groups):
            self.asked += [job.place for job in group]
            jobs = [(job.candidate.params["alpha"], job.place, job.place[::2] in self.bad) for job in group]
            calls.append(Call(f"{key}-{number}", (jobs,), steps=len(jobs)))
        return Unit(key, several, calls=tuple(calls))


def several(jobs: Sequence[tuple[float, tuple[str, int, int], bool]]) -> list[Answer | Failure]:
    """The fits of a call."""
    return [
        Failure("ValueError: as it happens") if is_bad else score(alpha, fold, stop)
        for alpha, (_, fold, stop), is_bad in jobs
    ]
