"""Workflow: what is to be done, checked as a whole before anything is computed."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from contextvars import ContextVar
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distributed import Client

import daskflow.clusters
import daskflow.metrics
import daskflow.models
import daskflow.search
import daskflow.sources
from daskflow.clusters import Cluster
from daskflow.clusters.batch import Batch
from daskflow.clusters.given import Given, check_priority, given_cluster, is_asynchronous
from daskflow.core.awaiting import in_thread
from daskflow.core.errors import Problem, SettingsError
from daskflow.core.events import Listener
from daskflow.core.folder import RunFolder
from daskflow.core.seeds import digest
from daskflow.core.settings import nearest, parse
from daskflow.core.space import describe, parameter
from daskflow.data.balance import Balance
from daskflow.data.splits import Split
from daskflow.metrics import Metric
from daskflow.models import Model
from daskflow.preprocess.settings import Preprocessing
from daskflow.search import Search
from daskflow.search.candidates import model_params
from daskflow.sources import Source
from daskflow.workflow import toml
from daskflow.workflow.cache import Cache, check_cluster
from daskflow.workflow.judging_settings import DecisionSettings, EvaluationSettings
from daskflow.workflow.telling_pages import say_where
from daskflow.workflow.variants import space_problems

if TYPE_CHECKING:
    from daskflow.data.table import Table
    from daskflow.workflow.plan import Plan
    from daskflow.workflow.run import Run


WORDS = (
    *("name", "seed", "metrics", "data", "split", "balance", "preprocess", "model", "search", "decision"),
    *("evaluation", "cluster", "cache"),
)

CHECKED_BEFORE: ContextVar[bool] = ContextVar("CHECKED_BEFORE", default=False)
"""Whether a workflow that is read was checked, in all that its settings say, before it was written."""


class Workflow:
    """A folder of files to a tuned, evaluated, servable model: settings, frozen and checked together.

    Parameters
    ----------
    data : Source or mapping
        Where the table comes from; see ``daskflow.sources``.
    model : Model, mapping or str
        A family, or any scikit-learn estimator; see ``daskflow.models``.
    name : str, default "workflow"
        Names the folder under ``runs``: letters, digits, points, dashes and underscores.
    split : Split or mapping, optional
        Default: random, a test part of 0.2, and folds or a validation part by the search and the size.
    balance : Balance or mapping, optional
        Class weights, or fewer rows of the largest class, in training; default neither.
    preprocess : Preprocessing or mapping, optional
        Steps by column type; default impute and scale, one-hot with rare levels grouped, parts of dates.
    search : Search, mapping or str, optional
        Default: 20 random candidates of the family's space, or none when it has no space.
    metrics : sequence of str, mapping or Metric, optional
        Default: by task. The search's metric is added.
    decision : DecisionSettings or mapping, optional
        Calibration of probabilities, and the threshold of the positive class; default neither.
    evaluation : EvaluationSettings or mapping, optional
        How the model is judged: resamples, slices, explanations and what they may take.
    cluster : Cluster, mapping or str, default "local"
        Where it runs.
    cache : Cache, mapping or str, optional
        Where blocks are kept: ``"disk"`` (default), ``"memory"`` or ``"none"``, or a table with that as ``kind``.
    seed : int, default 0
        Everything drawn comes from it, but the split: that has its own ``salt``.
    base : Path, optional
        Folder that relative paths start from; default the current one.

    Raises
    ------
    SettingsError
        With every mistake.

    Examples
    --------
    >>> import daskflow as flow
    >>> workflow = flow.Workflow(
    ...     data=flow.sources.Generated(rows=1000), model=flow.models.SGD(), search="none", cluster="inline"
    ... )
    >>> workflow.search.kind, workflow.cluster.kind
    ('none', 'inline')
    """

    def __init__(
        self,
        *,
        data: Any,
        model: Any,
        name: str = "workflow",
        split: Any = None,
        balance: Any = None,
        preprocess: Any = None,
        search: Any = None,
        metrics: Sequence[Any] = (),
        decision: Any = None,
        evaluation: Any = None,
        cluster: Any = "local",
        cache: Any = None,
        seed: int = 0,
        base: Path | str | None = None,
    ) -> None:
        """Check every part and report all mistakes at once."""
        self.base = Path(base) if base is not None else Path()
        problems: list[Problem] = []

        def attempt(make: Any, *arguments: Any, **options: Any) -> Any:
            try:
                return make(*arguments, **options)
            except SettingsError as error:
                problems.extend(error.problems)
                return None

        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            problems.append(Problem("name", f"letters, digits, '.', '-' and '_' name a folder (found {name!r:.80})"))
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            problems.append(Problem("seed", f"should be a whole number from 0 on (found {seed!r:.80})"))
        if isinstance(metrics, str | Mapping) or not isinstance(metrics, Sequence):
            metrics = [metrics]
        self.name, self.seed = name, seed
        self.data: Source = attempt(daskflow.sources.REGISTRY.parse, data, where="data")
        self.model: Model = attempt(daskflow.models.parse, model, where="model")
        self.split: Split = attempt(_settings, Split, split, "split")
        self.balance: Balance = attempt(_settings, Balance, balance, "balance")
        self.preprocess: Preprocessing = attempt(_settings, Preprocessing, preprocess, "preprocess")
        self.decision: DecisionSettings = attempt(_settings, DecisionSettings, decision, "decision")
        self.evaluation: EvaluationSettings = attempt(_settings, EvaluationSettings, evaluation, "evaluation")
        cache = {"kind": cache} if isinstance(cache, str) else cache
        self.cache: Cache = attempt(_settings, Cache, cache, "cache")
        self.cluster: Cluster = attempt(daskflow.clusters.REGISTRY.parse, cluster, where="cluster")
        self.metrics: tuple[Metric, ...] = tuple(
            found
            for number, metric in enumerate(metrics)
            if (found := attempt(daskflow.metrics.parse, metric, where=f"metrics[{number}]")) is not None
        )
        chosen = search if search is not None else self._default_search()
        self.search: Search = attempt(daskflow.search.REGISTRY.parse, chosen, where="search", default="random")
        if self.cache is not None and self.cluster is not None:
            problems += check_cluster(self.cache, self.cluster)
        problems += self._data_problems() if self.data is not None else []
        if self.data is not None and self.decision is not None and self.decision.is_active:
            wrong = self.decision.misfit_of_task(self.task_word)
            problems += [Problem("decision", wrong)] if wrong else []
        if self.balance is not None and self.balance.class_weight is not None:
            problems += self._double_weights()
        problems += self._search_problems() if self.search is not None else []
        self._table: Table | None = None
        self._is_checked = not CHECKED_BEFORE.get()
        if self._is_checked and self.search is not None and self.model is not None:
            problems += self._parameter_problems()
        if problems:
            raise SettingsError(problems)

    def _default_search(self) -> str:
        """Random candidates where the family has a space, else none."""
        return "random" if self.model is not None and self.model.space(self.task_word or "binary") else "none"

    @property
    def task_word(self) -> str | None:
        """The task, when the user named it."""
        return self.data.task if self.data is not None else None

    @property
    def trusted(self) -> tuple[str, ...]:
        """Functions and types that a model of this workflow holds because the workflow names them."""
        return (*self.preprocess.function_names, *self.model.stored_types)

    def _data_problems(self) -> list[Problem]:
        """A table without a target."""
        if self.data.target is None:
            return [Problem("data.target", "is required: the column that is learned")]
        return []

    def _double_weights(self) -> list[Problem]:
        """Class weights that the model is given too."""
        words = ("class_weight", "class_weights", "scale_pos_weight", "is_unbalance", "auto_class_weights")
        given = [
            ("model.params", getattr(self.model, "params", {})),
            ("search.space", getattr(self.search, "space", {})),
        ]
        given += [("model.params", member.params) for member in self.model.members] if self.model is not None else []
        found = [(where, name) for where, names in given for name in names or {}]
        return [
            Problem(f"{where}.{name}", "is set beside balance.class_weight, and classes would be weighed twice")
            for where, name in dict.fromkeys(found)
            if re.split(r"__|\.", name)[-1] in words
        ]

    def _search_problems(self) -> list[Problem]:
        """A metric that does not exist, and is not the name of one of the metrics."""
        try:
            if self.search.metric is not None and self.search.metric not in [each.name for each in self.metrics]:
                daskflow.metrics.parse(self.search.metric, where="search.metric")
        except SettingsError as error:
            return list(error.problems)
        return []

    def check_parameters(self) -> None:
        """Look for mistakes in the parameters of a workflow that was read by `checked_before`; for another do nothing.

        Raises
        ------
        SettingsError
            With every one of them.
        """
        if not self._is_checked and (problems := self._parameter_problems()):
            raise SettingsError(problems)
        self._is_checked = True

    def _parameter_problems(self) -> list[Problem]:
        """Parameters that the estimator does not have, and spaces that cannot be drawn from."""
        problems: list[Problem] = []
        space = dict(self.search.space or {})
        for name, value in dict(space).items():
            try:
                space[name] = parameter(value, f"search.space.{name}")
            except SettingsError as error:
                problems += error.problems
                del space[name]
        if self.search.space is not None and not self.search.space and self.search.kind != "none":
            problems.append(
                Problem("search.space", "is empty: there is nothing to search. Name parameters, or leave it out")
            )
        if self.search.kind == "none" and len(self.model.members) > 1:
            kinds = ", ".join(member.kind for member in self.model.members)
            problems.append(
                Problem(
                    "search.kind", f"'none' fits one candidate, and the model is one of several ({kinds}): name one"
                )
            )
        tasks = [self.task_word] if self.task_word else list(self.model.tasks)
        problems += space_problems(self.preprocess, space)
        return problems + min((self.model.check(task, model_params(space)) for task in tasks), key=len)

    @classmethod
    def from_toml(cls, path: Path | str, overrides: Mapping[str, Any] | None = None, on: str | None = None) -> Workflow:
        """Read a workflow file; relative paths in it start from its folder.

        Parameters
        ----------
        path : path
            The TOML file.
        overrides : mapping, optional
            Values by dotted name, laid over the file's and the environment's; a number is a place in a list of tables.
            A ``data.path`` or ``data.joins.0.path`` given here is relative to the current folder, as on any command
            line.
        on : str, optional
            Another kind of cluster; words it shares with the file's keep their values.

        Raises
        ------
        SettingsError
            With every mistake.
        """
        file = Path(path)
        overrides = dict(overrides or {})
        for word, given in overrides.items():
            if re.fullmatch(r"data\.(joins\.\d+\.)?path", word):
                one = [given] if isinstance(given, str) else list(given)
                overrides[word] = [item if "://" in str(item) else str(Path(item).absolute()) for item in one]
        tables = toml.load(file, overrides)
        said = {word.removeprefix("cluster.") for word in overrides if word.startswith("cluster.")}
        if on is not None:
            tables["cluster"] = _on(on, tables.get("cluster", {}), said)
        if isinstance(tables.get("cluster"), Mapping):
            tables["cluster"] = _without_synonyms(tables["cluster"], said)
        unknown = [
            Problem(word, f"no such table or option{nearest(word, WORDS)}") for word in tables if word not in WORDS
        ]
        missing = [Problem(word, "is required") for word in ("data", "model") if word not in tables]
        if unknown or missing:
            known = {word: value for word, value in tables.items() if word in WORDS}
            try:
                if not missing:
                    cls(**known, base=file.parent)
            except SettingsError as error:
                raise SettingsError([*unknown, *error.problems]) from None
            raise SettingsError([*unknown, *missing])
        tables.setdefault("name", re.sub(r"[^A-Za-z0-9._-]+", "-", file.stem).lstrip("-._") or "workflow")
        return cls(**tables, base=file.parent)

    @classmethod
    def checked_before(cls, tables: Mapping[str, Any], base: Path | str) -> Workflow:
        """Return a workflow that was checked when it was submitted: `check_parameters` is still to be called.

        The parameters are asked of the estimator, whose library takes a second to load.
        """
        token = CHECKED_BEFORE.set(True)
        try:
            return cls(**tables, base=base)
        finally:
            CHECKED_BEFORE.reset(token)

    def opened(self) -> Workflow:
        """Return the same workflow with its table open: whoever asks for that again gets this one."""
        same = copy(self)
        same._table = self.table()
        return same

    @classmethod
    def demo(cls, rows: int = 60_000) -> Workflow:
        """Return the workflow that ``daskflow demo`` runs: generated data, a local cluster, Hyperband."""
        return cls(
            name="demo",
            data={"kind": "generated", "rows": rows},
            split={"kind": "stratified", "test": 0.2, "validation": 0.1},
            model="sgd",
            search={"kind": "hyperband", "max_iter": 9, "metric": "roc_auc"},
            metrics=["roc_auc", "average_precision", "log_loss", "accuracy"],
            cluster={"kind": "local", "workers": 2},
            seed=7,
        )

    def dump(self) -> dict[str, Any]:
        """Return the resolved workflow as plain values: the tables of its TOML file."""
        search = self.search.dump()
        if self.search.space is not None:
            search["space"] = describe({n: parameter(v) for n, v in self.search.space.items()})
        return {
            "name": self.name,
            "seed": self.seed,
            "metrics": [metric.dump() for metric in self.metrics],
            "data": self.data.dump(),
            "split": self.split.dump(),
            "balance": self.balance.dump(),
            "preprocess": self.preprocess.dump(),
            "model": self.model.dump(),
            "search": search,
            "decision": self.decision.dump(),
            "evaluation": self.evaluation.dump(),
            "cluster": self.cluster.dump(),
            "cache": self.cache.dump(),
        }

    @property
    def id(self) -> str:
        """Hash of what decides the result: not the paths, the cluster, the cache, the name or limits of time."""
        tables = self.dump()
        space = {"space": tables["search"]["space"]} if self.search.space is not None else {}
        tables["search"] = {**self.search.identity(), **space}
        tables["data"] = {word: value for word, value in self.data.identity().items() if word != "path"}
        tables["preprocess"] = self.preprocess.identity()
        for word in ("name", "cluster"):
            tables.pop(word)
        tables["cache"] = {"block_rows": self.cache.block_rows}
        tables["evaluation"] = self.evaluation.changes()
        for word in ("decision", "evaluation"):
            if not tables[word]:  # what asks nothing is no part of it
                del tables[word]
        return digest(tables, 10)

    def space(self, task: str) -> dict[str, Any]:
        """Return what is searched: the space given, or the family's own; with that, what is said of ``preprocess``."""
        given = dict(self.search.space or {})
        if self.search.space is None or given:
            given = {**self.model.searched(task, model_params(given)), **given}
        return {name: parameter(value, f"search.space.{name}") for name, value in given.items()}

    def table(self) -> Table:
        """Open the source: names, footers, headers and a sample are looked at; nothing is computed."""
        if self._table is not None:
            return self._table
        table = self.data.table(self.base)
        slices, dependence = self.evaluation.named("slices"), self.evaluation.named("dependence")
        apart = {table.roles.target: "target", table.roles.weight: "weight", table.roles.fold: "fold"}
        problems = [
            Problem(
                "evaluation.slices", f"'{name}' is the {apart[name]}: slices are made of columns that are known before"
            )
            for name in slices
            if name in apart
        ]
        problems += [
            Problem(f"evaluation.{word}", f"there is no column '{name}'{nearest(name, schema.names)}")
            for word, names, schema in (("slices", slices, table.schema), ("dependence", dependence, table.features))
            for name in names
            if name not in schema
        ]
        if problems:
            raise SettingsError(problems)
        kept = tuple(name for name in slices if name in table.roles.drop)
        return table.with_roles(keep=kept) if kept else table

    def check(self) -> list[str]:
        """Look for every mistake that shows without computing, and return notes on what was understood."""
        from daskflow.workflow.plan import notes

        return notes(self, self.table())

    def job_script(self, runs: Path | str = "runs") -> str:
        """Return the script of a worker's job as a run would submit it; nothing is started, and no queue is asked.

        Only the scheduler's address is left open, as ``HOST:PORT``: it is known when the run begins.

        Raises
        ------
        SettingsError
            When the cluster's kind starts no jobs.
        """
        if not isinstance(self.cluster, Batch):
            queues = ", ".join(kind for kind, cls in daskflow.clusters.REGISTRY.kinds.items() if issubclass(cls, Batch))
            raise SettingsError(
                f"cluster.kind = '{self.cluster.kind}' starts no jobs, so there is no job script. "
                f"Name a batch queue with --on: {queues}."
            )
        from daskflow.workflow.submission import mark_of

        folder = RunFolder(Path(runs).absolute() / self.name / self.id)
        return self.cluster.within(folder.path, mark_of(folder)).job_script()

    def plan(self, runs: Path | str = "runs") -> Plan:
        """Say what a run will do and what it will take; computes nothing of the data.

        How long it takes is said by the runs below `runs` of the same family, else by timing a few fits on made-up
        rows, for about 2 seconds.
        """
        from daskflow.workflow.plan import plan

        return plan(self, runs)

    async def plan_async(self, runs: Path | str = "runs") -> Plan:
        """Return the `plan` without stopping the running event loop: it is made in a thread."""
        return await in_thread(self.plan, runs)

    def on(self, cluster: Any) -> Workflow:
        """Return the same workflow on another cluster, with the same ID: settings, or a client of an open cluster.

        Raises
        ------
        SettingsError
            For what is no cluster, and for one whose workers may not see blocks that are kept in memory.
        """
        moved = copy(self)
        if isinstance(cluster, Client):
            moved.cluster = given_cluster(cluster).settings
        else:
            moved.cluster = daskflow.clusters.REGISTRY.parse(cluster, where="cluster")
        if problems := check_cluster(moved.cache, moved.cluster):
            raise SettingsError(problems)
        return moved

    def run(
        self,
        runs: Path | str = "runs",
        *,
        fresh: bool = False,
        listener: Listener = say_where,
        cluster: Any = None,
        priority: float = 0,
    ) -> Run:
        """Run the workflow, or continue it from what an earlier run left in the same folder.

        Parameters
        ----------
        runs : path, default "runs"
            Folder of runs; this one is ``runs/NAME/ID``.
        fresh : bool
            Start anew: what the run's folder holds is removed first.
        listener : callable, optional
            Hears of stages, progress, trials and warnings, in the thread of the run; see ``daskflow.core.events``.
            Default: one line on stderr says where the run's live pages are.
        cluster : distributed.Client, Cluster, mapping or str, optional
            Where it runs instead of on its own ``cluster``. A client's cluster (``flow.connect``, or anybody's) is
            shared with whoever uses it, and left open; settings are opened for this run.
        priority : float, default 0
            Dask's priority of the run's tasks on a client's cluster: what is higher goes first, equals take turns.

        Returns
        -------
        Run
            The finished run.

        Raises
        ------
        DaskflowError
            With a sentence; what was finished stays on disk, and the same call continues.
        KeyboardInterrupt
            Likewise.
        """
        from daskflow.workflow.execute import execute

        if isinstance(cluster, Client) and is_asynchronous(cluster):
            raise SettingsError(
                [Problem("cluster", "is an asynchronous client, and run would stop its loop: await run_async instead")]
            )
        moved, place = self._placed(cluster, priority)
        return execute(moved, Path(runs), fresh=fresh, listener=listener, given=place)

    async def run_async(
        self,
        runs: Path | str = "runs",
        *,
        fresh: bool = False,
        listener: Listener = say_where,
        cluster: Any = None,
        priority: float = 0,
    ) -> Run:
        """Await a `run`, which goes on in a thread of its own: the running event loop never waits for it.

        Parameters are those of `run`; the listener is called in that thread. When the awaiting task is cancelled the
        run ends as after Ctrl-C, and only then the task: its journal is whole, and the same call continues it.

        Raises
        ------
        DaskflowError
            As `run`, in the awaiting task.
        asyncio.CancelledError
            When the task is cancelled.
        """
        moved, place = self._placed(cluster, priority)

        def run() -> Run:
            from daskflow.workflow.execute import execute  # takes seconds the first time

            return execute(moved, Path(runs), fresh=fresh, listener=listener, given=place)

        return await in_thread(run)

    def _placed(self, cluster: Any, priority: float) -> tuple[Workflow, Given | None]:
        """The workflow on the cluster that it is to run on, and that cluster when it is open already."""
        check_priority(priority)
        moved = self if cluster is None else self.on(cluster)
        return moved, given_cluster(cluster, priority) if isinstance(cluster, Client) else None

    def __repr__(self) -> str:
        """Name, source, model and search."""
        return (
            f"Workflow(name={self.name!r}, data={self.data.kind!r}, model={self.model.kind!r}, "
            f"search={self.search.kind!r}, cluster={self.cluster.kind!r}, id={self.id!r})"
        )


def _settings(cls: type[Any], value: Any, where: str) -> Any:
    """Make settings of one class from an instance, a mapping, or nothing."""
    if isinstance(value, cls):
        return value
    if value is not None and not isinstance(value, Mapping):
        raise SettingsError([Problem(where, f"should be a table (found {value!r:.80})")])
    return parse(cls, value or {}, where)


def _on(kind: str, table: Any, said: Collection[str]) -> dict[str, Any]:
    """Return the cluster table of another kind, with the words that both kinds know, and those of the command line."""
    try:
        cls = daskflow.clusters.REGISTRY.get(kind)
    except SettingsError as error:
        raise SettingsError([Problem("--on", error.problems[0].message)]) from None
    words = dict(table) if isinstance(table, Mapping) else {}
    keeps = cls.knows if words.get("kind") == kind else cls.takes_over
    return {**{word: value for word, value in words.items() if word in said or keeps(word)}, "kind": kind}


def _without_synonyms(table: Mapping[str, Any], said: Collection[str]) -> dict[str, Any]:
    """Return the cluster table without the file's word for an option that the command line names by another."""
    cls = daskflow.clusters.REGISTRY.kinds.get(str(table.get("kind")), Cluster)
    named = {cls.own_name(word) for word in said}
    return {word: value for word, value in table.items() if word in said or cls.own_name(word) not in named}
