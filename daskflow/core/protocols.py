"""Protocols that rooms share, so that they meet without importing each other."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, Self, runtime_checkable


@dataclass(frozen=True, slots=True)
class Kept:
    """Stands, among a unit's arguments, for what the unit of that key kept on its worker."""

    key: str


class Death(StrEnum):
    """How a call ended its process, or why its process was ended."""

    CRASH = "crash"
    MEMORY = "memory"
    DEADLINE = "deadline"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Limits:
    """What each call of a unit may take; more ends its process.

    Attributes
    ----------
    seconds : float or None
        None derives it: 30 times what the median call took per step, and at least two minutes; an hour as long as
        nothing is known.
    seconds_per_step : float
        What is known of that when the unit is handed in; 0 for nothing.
    memory_bytes : int or None
        None is the worker's limit, in equal shares for its threads, less what the worker holds itself.
    run : str
        Calls of one run are measured by each other; the executor says which.
    """

    seconds: float | None = None
    seconds_per_step: float = 0.0
    memory_bytes: int | None = None
    run: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One of several calls that a unit makes, with an outcome of its own.

    Attributes
    ----------
    key : str
        Unique within the run.
    arguments : tuple
        Follow those of the unit.
    steps : int
        How much work it is, in the measure that time limits are derived in.
    """

    key: str
    arguments: tuple[Any, ...] = ()
    steps: int = 1


@dataclass(frozen=True, slots=True)
class Packed:
    """A function on its way with its first arguments, pickled: whoever hands it on need not load what it is made of.

    Attributes
    ----------
    content : bytes
        A pickled pair of the function and a tuple.

    Examples
    --------
    >>> Packed(pickle.dumps((max, (1, 3))))(2)
    3
    """

    content: bytes

    def open(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return the function and its first arguments."""
        function, arguments = pickle.loads(self.content)  # noqa: S301  between the processes of one run
        return function, arguments

    def __call__(self, *arguments: Any) -> Any:
        """Call the function with these arguments behind its first ones."""
        function, first = self.open()
        return function(*first, *arguments)


@dataclass(frozen=True, slots=True)
class Unit:
    """One piece of work: a picklable function and its arguments; running it twice does no harm.

    Attributes
    ----------
    key : str
        Unique within the run; never holds a path, an address or a secret.
    function : callable
        Module-level function; `Packed`, with the arguments, where only a process beside a worker calls it, and those of
        its calls are pickled likewise. With ``keeps`` it returns ``(kept, answer)``: the first stays on the worker for
        units that name ``Kept(key)``, the second travels.
    arguments : tuple
        Plain values, settings, ``dask.delayed`` objects (computed on the cluster first) or ``Kept``.
    keeps : bool
        Whether the function returns such a pair.
    priority : int
        Higher runs first.
    calls : tuple of Call
        When there are some the function is called for each of them, and the outcome has `parts`.
    limits : Limits or None
        Calls run in a process of their own beside the worker, which is ended when one takes more.
    seconds : float
        What it is expected to take; 0 where nobody knows. A worker that ends before that does not begin it.
    """

    key: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    keeps: bool = False
    priority: int = 0
    calls: tuple[Call, ...] = ()
    limits: Limits | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a unit: its answer, or the sentence that says why there is none.

    Attributes
    ----------
    key : str
        The unit's.
    value : object
        The answer; None when it failed.
    error : str or None
        ``TypeName: message`` of what was raised, or of the worker's death.
    exception : BaseException or None
        The exception itself, for errors that end the run.
    traceback : str
        Where it was raised; empty without error.
    worker : str
        Name of the process that ran it.
    seconds, cpu_seconds : float
        Wall time, and processor time of the thread that ran it.
    peak_memory_bytes : int
        Largest resident size of that process so far.
    blocked_seconds : float
        Wall time in which that thread neither ran nor waited for a processor: for bytes, mostly. 0 for units of calls.
    parts : tuple of Outcome
        Of a unit's calls, in their order.
    death : Death or None
        When the call's process ended with it.
    log : str
        The end of what a failed call wrote to its output.
    began : float
        When it began, in seconds since 1970 by the clock of its machine; 0 where nobody knows.
    """

    key: str
    value: Any = None
    error: str | None = None
    exception: BaseException | None = None
    traceback: str = ""
    worker: str = ""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    blocked_seconds: float = 0.0
    parts: tuple[Outcome, ...] = ()
    death: Death | None = None
    log: str = ""
    began: float = 0.0


class Executor(Protocol):
    """Runs units; the only thing stages and searches know of a cluster."""

    @property
    def slots(self) -> int:
        """How many units run at once."""

    @property
    def pending(self) -> int:
        """How many units were submitted and not yet returned by `next`."""

    def submit(self, unit: Unit) -> None:
        """Hand in a unit; returns at once (the inline executor runs it in `next`)."""

    def next(self, timeout: float | None = None) -> Outcome | None:
        """Return the next finished unit's outcome; None when `timeout` seconds passed or nothing is pending."""

    def cancel(self) -> None:
        """Drop every unit that has not finished, and what was kept."""

    def release(self, keys: Sequence[str]) -> None:
        """Forget what these units kept."""

    def drop(self, keys: Sequence[str]) -> None:
        """Give up units that have not finished: they have no outcome any more."""

    def troubles(self) -> Sequence[str]:
        """Say, in sentences, which workers are silent; ClusterError when none can go on."""

    def vacate(self) -> None:
        """End the processes that ran units with limits."""

    def beside(self, priority: float = 0) -> Executor:
        """Return another executor of the same workers, for another run; higher priorities run first."""


@dataclass(frozen=True, slots=True)
class Connection:
    """An open cluster.

    Attributes
    ----------
    executor : Executor
        Runs units on it.
    client : distributed.Client or None
        None for ``inline``.
    dashboard : str or None
        Address of Dask's dashboard.
    description : str
        One line for the user, such as ``local: 2 workers x 1 core, 4 GiB each``.
    token : str
        What opens the dashboard of a cluster that was started here; empty for others, which guard it themselves or not.
    priority : float
        Dask's, for what the run gives the client past the executor; higher first.
    """

    executor: Executor
    client: Any = None
    dashboard: str | None = None
    description: str = ""
    token: str = field(default="", repr=False)
    priority: float = 0


class ClusterKind(Protocol):
    """Settings of a cluster that can open it."""

    def open(self) -> AbstractContextManager[Connection]:
        """Start or join the cluster; close what was started on leaving."""


class Transformer(Protocol):
    """A fitted preprocessing: block values to a matrix."""

    @property
    def feature_names(self) -> Sequence[str]:
        """Names of the matrix's columns."""

    @property
    def is_sparse(self) -> bool:
        """Whether `matrix` returns scipy CSR instead of a numpy array."""

    @property
    def is_out_of_fold(self) -> bool:
        """Whether training rows become other numbers than new rows of the same values."""

    def matrix(self, table: Any, parts: Any = None) -> Any:
        """Turn a pyarrow Table (columns by name, any order) into float32 (n_rows, n_features).

        With `parts` (uint8 of shape (n_rows,)) the rows are training rows: what is learned from the target comes from
        rows of other parts. Without, they are new.
        """


class Predictor(Protocol):
    """A fitted model from source columns on; picklable. `bundle.Model` is one, and so is what a run evaluates."""

    @property
    def task(self) -> str:
        """binary, multiclass or regression."""

    @property
    def classes(self) -> Sequence[Any]:
        """Labels in the order of their codes; empty for regression."""

    def predictions(self, table: Any) -> Any:
        """Return the `daskflow.data.predictions.Predictions` of a pyarrow Table of source columns."""


class MetricSettings(Protocol):
    """A metric as the search and the evaluation use it; lives in the room `metrics`."""

    @property
    def name(self) -> str:
        """Its name in results, such as ``roc_auc``."""

    @property
    def greater_is_better(self) -> bool:
        """Which way is up."""

    @property
    def needs(self) -> str:
        """``labels`` (y_pred), ``scores`` (probabilities or decision values) or ``probabilities``."""

    def for_task(self, task: str, n_classes: int = 0) -> Self:
        """The same metric, sure of the classes that the rows it is given may lack."""

    def score(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
        """Value on arrays; y_true holds class codes 0..k-1 or numbers."""

    def on_parts(self, y_true: Any, y_pred: Any, sample_weight: Any, part: Any, n_parts: int) -> Any:
        """Values on parts of the rows, shape (n_parts,); `part` holds each row's."""


class ModelSettings(Protocol):
    """A model family as the search and the workflow use it; lives in the room `models`."""

    def estimator(self, task: str, params: Mapping[str, Any], seed: int | None) -> Any:
        """An unfitted scikit-learn estimator of these parameters; `seed` is set unless it sets its own."""

    def space(self, task: str) -> Mapping[str, Any]:
        """The default search space."""

    def is_incremental(self, task: str) -> bool:
        """Whether the estimator learns by ``partial_fit``."""

    def fuses(self, task: str, params: Mapping[str, Any]) -> bool:
        """Whether `partial_fit_many` trains candidates of these parameters together."""

    def partial_fit_many(
        self,
        estimators: Sequence[Any],
        X: Any,
        y: Any,
        *,
        n_classes: int,
        sample_weight: Any = None,
        order_seed: int = 0,
    ) -> None:
        """Bring estimators that `fuses` over one block of rows, in one order for all, each as if by itself."""

    def rounds(self, task: str) -> str | None:
        """Name of the parameter that counts boosting rounds; None for estimators that are not boosted."""

    def continue_fit(self, estimator: Any, X: Any, y: Any, rounds: int, sample_weight: Any = None) -> None:
        """Bring a boosted estimator to `rounds` rounds in total, to what fitting at once gives."""

    @property
    def members(self) -> Sequence[ModelSettings]:
        """The families that candidates can be of."""

    def family(self, params: Mapping[str, Any]) -> ModelSettings:
        """The one that a candidate of these parameters is of."""

    def own_params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """A candidate's parameters as its family calls them."""


@runtime_checkable
class PartitionedEstimator(Protocol):
    """An estimator of members that are fitted apart, each on rows of its own; lives in the room `models`."""

    def bounds(self, n_rows: int) -> Sequence[tuple[int, int]]:
        """First row of each member, and the one behind its last."""

    def probe(self, bounds: Sequence[tuple[int, int]]) -> Any:
        """Numbers of the rows that every member is asked for, ascending; empty when they are not needed."""

    def fit_member(self, number: int, X: Any, y: Any, sample_weight: Any = None, probe_X: Any = None) -> Any:
        """Return a member fitted on its rows, with what it says of the probed ones; picklable."""

    def assemble(self, members: Sequence[Any], probe: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Become fitted: put the members together by what they said of the probed rows, whose truth is given."""


@dataclass(frozen=True, slots=True)
class Score:
    """A number with its 95 % interval and how it came about."""

    value: float
    low: float = field(default=float("nan"))
    high: float = field(default=float("nan"))
