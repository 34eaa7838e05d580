"""Jobs: what the engine asks of work, and what work answers."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

from daskflow.core.protocols import Unit
from daskflow.search.policies import Candidate


class Job(NamedTuple):
    """One fit: bring a candidate's model of a fold from `start` to `stop` resource."""

    candidate: Candidate
    fold: int
    start: int
    stop: int

    @property
    def place(self) -> tuple[str, int, int]:
        """Trial, fold and resource: what its record is found by."""
        return self.candidate.trial, self.fold, self.stop

    @property
    def steps(self) -> int:
        """How much work it is."""
        return max(1, self.stop - self.start)


class Work(Protocol):
    """What one fit is: the engine orders it, the work does it."""

    @property
    def n_folds(self) -> int:
        """Models per candidate."""

    @property
    def metric(self) -> str:
        """Name of the metric that ranks."""

    @property
    def greater_is_better(self) -> bool:
        """Its direction."""

    def unit(self, candidate: Candidate, fold: int, start: int, stop: int) -> Unit | Sequence[Unit]:
        """The unit that brings a model from `start` to `stop` resource and scores it; its answer is an Answer.

        Its key is ``unit_key(candidate.trial, fold, stop)``; what it keeps is forgotten once the next rung is done.
        Of several units the last is that one; those before it prepare what it takes over by ``Kept``. They never
        raise (they hand a failure on), and whoever made them releases what they keep.
        """


@runtime_checkable
class Batching(Protocol):
    """Work whose fits can go in batches: several in one unit, and some of them in one visit to their rows."""

    def together(self, job: Job) -> Hashable:
        """Jobs of one value can be done in one visit; None for a job that is done by itself."""

    def near(self, job: Job) -> Hashable:
        """Jobs of one value read the same: a unit holds no others."""

    def batch(self, key: str, groups: Sequence[Sequence[Job]], seconds_per_step: float) -> Unit | Sequence[Unit]:
        """The unit that does these jobs: a call for each group, whose answer is a list of Answer or Failure.

        Of several units the last is that one; those before it prepare what it takes over, as in `Work.unit`.
        """


@runtime_checkable
class Keeping(Protocol):
    """Work that leaves files behind: it hears of each unit once its record is written."""

    def recorded(self, trial: str, fold: int, resource: int, details: Mapping[str, Any]) -> None:
        """A unit, of this invocation or an earlier one, is on record with the details of its answer."""


@runtime_checkable
class Logging(Protocol):
    """Work that keeps what a failed fit wrote to its output."""

    def log(self, trial: str, fold: int, resource: int, text: str) -> str:
        """Keep it, and return where."""


def unit_key(trial: str, fold: int, resource: int) -> str:
    """Return the key of a unit: what a later rung names in ``Kept`` to take its model over."""
    return f"fit-{trial}-{fold}-{resource}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a unit found: metrics on the fold's validation rows, each in its own direction.

    Attributes
    ----------
    metrics : mapping
        Values by metric name; the work's metric is among them.
    details : mapping
        Plain values for the journal, such as the snapshot's name and hash.
    """

    metrics: Mapping[str, float]
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one of several jobs of a call has no answer.

    Attributes
    ----------
    error : str
        ``TypeName: message``.
    exception : Exception or None
        Itself, when it ends the run instead of the candidate.
    traceback : str
        Where it was raised.
    """

    error: str
    exception: Exception | None = None
    traceback: str = ""
