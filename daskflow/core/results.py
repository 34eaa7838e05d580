"""Results: frozen values that a run is made of and that reports, pages and commands show."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from daskflow.core.job_accounts import JobAccount
from daskflow.core.overlap import Overlap
from daskflow.core.protocols import Score


class TrialState(StrEnum):
    """How far a trial came."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    """Pruned by the search before its last resource; its scores count."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Point:
    """A trial's score after a resource: one point of its learning curve.

    Attributes
    ----------
    resource : int
        Training blocks seen, boosting rounds, or 1 for a whole fit.
    score : float
        Mean over folds of the search's metric, in the metric's own direction.
    fold_scores : tuple of float
        One per fold.
    seconds, cpu_seconds : float
        Summed over folds, for the step from the point before.
    row_scores : tuple of float
        Of one validation part: the score on groups of its rows, the same groups for every candidate.
    low, high : float
        95 % interval of the score; nan where it is not known.
    """

    resource: int
    score: float
    fold_scores: tuple[float, ...] = ()
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    row_scores: tuple[float, ...] = ()
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate and what became of it.

    Attributes
    ----------
    id : str
        ``"0"``, ``"1"``...; with brackets ``"2-0"`` (bracket, number).
    params : mapping
        The candidate's parameters.
    state : TrialState
        How far it came.
    score : float
        The last point's score in the metric's own direction; nan when it failed.
    resource : int
        The last point's resource.
    curve : tuple of Point
        Scores by resource.
    metrics : mapping
        Every metric at the last point, mean over folds.
    error : str
        Why it failed, else empty.
    low, high : float
        95 % interval of the score; nan where it is not known.
    is_tied : bool or None
        Whether it cannot be told apart from the best, which itself is; None where that is not known.
    """

    id: str
    params: Mapping[str, Any]
    state: TrialState = TrialState.WAITING
    score: float = math.nan
    resource: int = 0
    curve: tuple[Point, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    low: float = math.nan
    high: float = math.nan
    is_tied: bool | None = None

    @property
    def seconds(self) -> float:
        """Wall seconds of all its fits."""
        return sum(point.seconds for point in self.curve)

    @property
    def cpu_seconds(self) -> float:
        """Processor seconds of all its fits."""
        return sum(point.cpu_seconds for point in self.curve)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Every trial, and the best.

    Attributes
    ----------
    trials : tuple of Trial
        In the order they were drawn.
    best : Trial
        Highest rank: by score, then by the order drawn.
    metric : str
        The search's metric.
    greater_is_better : bool
        Its direction.
    n_folds : int
        Models per candidate (1 with a validation part).
    repeated_units : int
        Units started by an earlier invocation and run again by this one.
    ended : str
        Which limit ended the search; empty when it came to its own end.
    validation_ratio : float
        Validation rows over training rows of a fold; nan where nobody said.
    """

    trials: tuple[Trial, ...]
    best: Trial
    metric: str
    greater_is_better: bool
    n_folds: int
    repeated_units: int = 0
    ended: str = ""
    validation_ratio: float = math.nan

    def ranked(self) -> list[Trial]:
        """Trials from best to worst; failed ones last."""
        sign = -1.0 if self.greater_is_better else 1.0

        def rank(item: tuple[int, Trial]) -> tuple[bool, float, int]:
            number, trial = item
            failed = math.isnan(trial.score)
            return failed, 0.0 if failed else sign * trial.score, number

        return [trial for _, trial in sorted(enumerate(self.trials), key=rank)]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The test part's results.

    Attributes
    ----------
    metrics : mapping of str to Score
        Value and 95 % interval by metric.
    n_rows : int
        Test rows.
    details : mapping
        Plain JSON values for pictures: ``confusion`` (classes, counts), ``roc`` (fpr, tpr), ``precision_recall``,
        ``calibration``, ``residuals`` (y_true, y_pred, a sample), whichever fit the task.
    """

    metrics: Mapping[str, Score]
    n_rows: int
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """Everything a finished (or unfinished) run has to show; what the report and the pages are drawn from.

    Attributes
    ----------
    name, id, status : str
        ``status`` is done, failed, interrupted or running.
    workflow : mapping
        The resolved workflow as plain values.
    data : mapping
        ``partitions``, ``files``, ``bytes``, ``rows``, and ``columns``: a list of mappings with name, kind, type,
        role, missing (count), distinct, and mean, std, min, max or top (most frequent levels) where they apply.
    split : mapping
        ``kind``, ``train``, ``validation``, ``test``, ``rejected`` (rows), ``folds``, ``asked`` and ``obtained``.
    task : str
        binary, multiclass or regression.
    classes : tuple of str
        In order of their codes.
    class_counts : tuple of int
        Rows per class.
    feature_names : tuple of str
        Columns of the matrix.
    search : SearchResult or None
        None before the first trial.
    evaluation : Evaluation or None
        None before the test.
    versions : mapping
        Python and library versions, and data fingerprints.
    stages : tuple of mapping
        ``stage``, ``seconds``, ``cpu_seconds``, summed over invocations.
    utilisation : mapping
        ``slots``, and ``stages``: a list of mappings with ``stage``, ``seconds``, ``slot_seconds``, and what became of
        these: ``busy``, ``no_task``, ``waiting_for_data``, ``waiting_for_workers``. Empty where it was not recorded.
    overlap : Overlap or None
        When each stage was at work; None where nobody looked.
    warnings : tuple of str
        Sentences.
    seconds, cpu_seconds : float
        Cumulative over invocations.
    peak_memory_bytes : int
        Largest process seen.
    jobs : tuple of JobAccount
        Of a batch queue, that have begun.
    stopped_because : str
        Why ``max_core_hours`` ended the search; empty when it did not.
    """

    name: str
    id: str
    status: str
    workflow: Mapping[str, Any]
    data: Mapping[str, Any] = field(default_factory=dict)
    split: Mapping[str, Any] = field(default_factory=dict)
    task: str = ""
    classes: tuple[str, ...] = ()
    class_counts: tuple[int, ...] = ()
    feature_names: tuple[str, ...] = ()
    search: SearchResult | None = None
    evaluation: Evaluation | None = None
    versions: Mapping[str, Any] = field(default_factory=dict)
    stages: tuple[Mapping[str, Any], ...] = ()
    utilisation: Mapping[str, Any] = field(default_factory=dict)
    overlap: Overlap | None = None
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    jobs: tuple[JobAccount, ...] = ()
    stopped_because: str = ""
