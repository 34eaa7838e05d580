"""Plan: what a run will do and what it will take, without a look at the data beyond names, sizes and a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import daskflow.metrics
from daskflow.clusters.batch import Batch
from daskflow.core.errors import Problem, SettingsError
from daskflow.core.notebook import block
from daskflow.data.forecasts import block_bytes, rows_of
from daskflow.data.matrices import estimate_bytes
from daskflow.data.schema import Schema
from daskflow.data.splits import Split
from daskflow.data.store import size
from daskflow.data.table import Table
from daskflow.search.costs import Step
from daskflow.search.training import Way, takes_weight, way_of
from daskflow.workflow.cache import Room, block_folder
from daskflow.workflow.core_hours_ahead import CoreHoursAhead, core_hours_ahead
from daskflow.workflow.memory import fit_bytes, learned_rows, memory_notes, n_columns
from daskflow.workflow.outlook import Outlook, Timing, outlook, run_of_same_table, too_long
from daskflow.workflow.stages_ahead import StagesAhead, stages_ahead
from daskflow.workflow.timed_fits import Shape, made_up_fits
from daskflow.workflow.workflow import Workflow

WORKER_BYTES = 300 * 2**20
"""What a worker holds before it has a row: Python and the libraries."""

PARTITION_COPIES = 4
"""A worker that decodes holds the decoded partition, its canonical form, its sorted copy and what is being written."""


CACHE_WORDS = {
    "disk": "on disk in {folder}, kept for later runs",
    "memory": "in this machine's memory ({folder}), until the matrices are made",
    "none": "on disk below {folder}, until the matrices are made",
}


@dataclass(frozen=True)
class Plan:
    """What a run will do; ``str(plan)`` is the page that ``daskflow plan`` prints.

    Attributes
    ----------
    name, id : str
        The run's name, and the ID of its folder.
    cluster : str
        The cluster's settings in one line.
    partitions, files : int
        Pieces to decode, and files they come from.
    data_bytes : int
        Estimated size of the decoded table.
    worker_memory_bytes : int
        Forecast of the largest worker: a few partitions, or the largest matrix an estimator wants whole; and the
        tables that are joined.
    blocks_bytes, matrices_bytes : int
        Forecast of what is written below the block store and the run folder.
    free_bytes, runs_free_bytes : int
        Space for the blocks (on the disk of the store, or in memory), and on the disk of the run folder.
    cache : str
        Where blocks are kept, in words.
    features : mapping
        Features by kind.
    model : str
        In words: the families, and what a resource means for each where the search stops trials early.
    steps : mapping
        Preprocessing by kind or column, in words.
    split, balance : str
        In words; the balance is empty where none is asked.
    fits : mapping
        ``candidates``, ``folds``, ``units``, and ``resource`` in all.
    outlook : Outlook
        How long it will take and what it will cost, with a band.
    core_hours : CoreHoursAhead or None
        What the workers' jobs will use on a batch queue, with a band; the controller's job of `submit` comes on top.
    stages : tuple of str
        What is computed, in order.
    takes : StagesAhead
        What is known of what each stage takes.
    notes : tuple of str
        What was understood, and what to look at.
    """

    name: str
    id: str
    cluster: str
    partitions: int
    files: int
    data_bytes: int
    worker_memory_bytes: int
    blocks_bytes: int
    matrices_bytes: int
    free_bytes: int
    runs_free_bytes: int
    cache: str
    features: Mapping[str, int]
    steps: Mapping[str, str]
    split: str
    fits: Mapping[str, int]
    outlook: Outlook
    stages: tuple[str, ...] = ()
    takes: StagesAhead = field(default_factory=StagesAhead)
    notes: tuple[str, ...] = field(default=())
    balance: str = ""
    model: str = ""
    core_hours: CoreHoursAhead | None = None

    def dump(self) -> dict[str, Any]:
        """Return plain values."""
        told = None if self.core_hours is None else self.core_hours.dump()
        return {**asdict(self), "core_hours": told}

    def __str__(self) -> str:
        """The page."""
        kinds = ", ".join(f"{number} {kind}" for kind, number in self.features.items())
        lines = [
            f"Workflow {self.name}, run {self.id}",
            f"  cluster     {self.cluster}",
            f"  data        {self.partitions} partitions of {self.files} files, about {size(self.data_bytes)};"
            " each is decoded once, not at all if its block is in the store",
            f"  features    {kinds}",
            *(f"  steps       {what}: {steps}" for what, steps in self.steps.items()),
            f"  split       {self.split}",
            *([f"  balance     {self.balance}"] if self.balance else []),
            f"  model       {self.model}",
            "  search      {candidates} candidates x {folds} folds = {units} fits".format(**self.fits)
            + (f", {self.fits['resource']} training blocks or rounds in all" if self.fits["resource"] else "")
            + "; then one refit on all rows but the test part",
            f"  memory      about {size(self.worker_memory_bytes)} per worker",
            f"  blocks      about {size(self.blocks_bytes)} {self.cache}; {size(self.free_bytes)} free",
            f"  matrices    about {size(self.matrices_bytes)} in the run's folder while it runs; "
            f"{size(self.runs_free_bytes)} free",
            f"  stages      {' -> '.join(self.stages)}",
            *(f"  takes       {line}" for line in self.takes.lines()),
            f"  time        {self.outlook}",
            *([f"  core-hours  {self.core_hours}"] if self.core_hours is not None else []),
            *(f"  note        {note}" for note in self.notes),
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The page as a table."""
        return block("Plan", f"{self.name}, run {self.id}", pairs=_lines(str(self)))


def _lines(text: str) -> dict[str, str]:
    """The page as words and what is said of them."""
    found: dict[str, str] = {}
    for line in text.splitlines()[1:]:
        word, _, said = line.strip().partition(" ")
        found[word] = f"{found[word]}; {said.strip()}" if word in found else said.strip()
    return found


def foreseen(workflow: Workflow, runs: Path, timing: Timing) -> Outlook:
    """Return how long a run will take, without the rest of its plan; `timing` says it where no earlier run does."""
    table = workflow.table()
    width = n_columns(table.features)
    return outlook(workflow, table, _task(workflow, table), n_features=width, runs=runs, timing=timing)


def plan(workflow: Workflow, runs: Path | str = "runs") -> Plan:
    """Look at names, footers, headers and a sample, and forecast; computes nothing of the data."""
    table = workflow.table()
    said = notes(workflow, table)
    features = table.features
    kinds: dict[str, int] = {}
    for column in features.columns:
        kinds[str(column.kind)] = kinds.get(str(column.kind), 0) + 1
    sizes = [partition.n_bytes for partition in table.partitions]
    width = n_columns(features)
    total = sum(sizes)
    rows = rows_of(table)
    split = workflow.split.resolve(rows, workflow.search.stops_early)
    folds = split.n_fits
    runs = Path(runs).absolute()
    blocks, matrices = block_bytes(table), matrices_bytes(workflow, table, n_features=width)
    room = Room(block_folder(workflow.cache, runs), runs, blocks, matrices, workflow.cache)
    if room.problem:
        said.append(f"{room.problem} {room.remedies}")
    task = _task(workflow, table)
    ahead = outlook(workflow, table, task, n_features=width, runs=runs)
    if overlong := too_long(ahead, workflow.cluster, workflow.search.fit_seconds):
        said.append(f"cluster.walltime: {overlong}")
    whole = fit_bytes(workflow, task, learned_rows(workflow, rows), width)
    takes = stages_ahead(workflow, ahead, run_of_same_table(workflow, table, runs), test=split.test)
    return Plan(
        name=workflow.name,
        id=workflow.id,
        cluster=", ".join(
            f"{word} {value}" for word, value in workflow.cluster.dump().items() if value not in ([], {})
        ),
        partitions=len(table.partitions),
        files=len({partition.fingerprint.name.partition("#")[0] for partition in table.partitions}),
        data_bytes=total,
        worker_memory_bytes=WORKER_BYTES
        + max(PARTITION_COPIES * max(sizes), whole)
        + sum(join.n_bytes for join in table.joins),
        blocks_bytes=blocks,
        matrices_bytes=matrices,
        free_bytes=room.places[0][3],
        runs_free_bytes=room.places[-1][3],
        cache=CACHE_WORDS[workflow.cache.kind].format(folder=room.blocks),
        features=kinds,
        steps=workflow.preprocess.describe(features),
        split=_split_words(split, table),
        balance=workflow.balance.in_words() if workflow.balance.is_active else "",
        fits={"folds": folds, **_fits(workflow, task, folds)},
        outlook=ahead,
        stages=takes.names,
        takes=takes,
        core_hours=core_hours_ahead(workflow, ahead, runs),
        notes=tuple(said),
        model=_model_words(workflow, task),
    )


QUICK_CELLS = 1_000_000
"""Cells of the matrix that a fit takes in a second, of a quick family."""

PLAUSIBLE = 0.01
"""Where that takes less than this share of a walltime, no fits are timed to see whether one takes longer."""


def refuse_too_long(workflow: Workflow, runs: Path) -> Outlook:
    """See that a fit comes to its end within a walltime, as far as can be foreseen; return what is foreseen of the run.

    It is by earlier runs, or where there is much data, by timing a few fits for 2 processor seconds. What is seen only
    when fits are done, the search sees.

    Raises
    ------
    SettingsError
        When none would.
    """
    cluster = workflow.cluster
    if not isinstance(cluster, Batch):
        return Outlook("no walltime ends it")
    table = workflow.table()
    is_plausible = rows_of(table) * n_columns(table.features) / QUICK_CELLS > PLAUSIBLE * cluster.seconds
    found = foreseen(workflow, runs, made_up_fits if is_plausible else nothing_timed)
    if overlong := too_long(found, cluster, workflow.search.fit_seconds):
        raise SettingsError([Problem("cluster.walltime", overlong)])
    return found


def nothing_timed(workflow: Workflow, task: str, shape: Shape, steps: Sequence[Step]) -> None:
    """Know nothing: earlier runs tell, or nobody."""


def matrices_bytes(workflow: Workflow, table: Table, *, n_features: int) -> int:
    """Return about how many bytes a run's dense matrices take, with so many columns."""
    n_rows = rows_of(table)
    split = workflow.split.resolve(n_rows, workflow.search.stops_early)
    test = round(n_rows * split.test)
    used = test + round((n_rows - test) * split.sample_share(n_rows - test))
    return estimate_bytes(
        n_rows=used,
        n_features=n_features,
        n_folds=split.n_fits,
        test=test / max(1, used),
        is_weighted=table.roles.weight is not None or workflow.balance.weighs,
    )


def notes(workflow: Workflow, table: Table) -> list[str]:
    """Check what needs the table's schema, and say what was understood.

    Raises
    ------
    SettingsError
        With every mistake.
    """
    problems: list[Problem] = []
    features: Schema = table.features
    try:
        workflow.preprocess.check(features, table.schema.names)
    except SettingsError as error:
        problems += error.problems
    if workflow.split.kind == "group" and table.roles.group is None:
        problems.append(Problem("split.kind", "'group' needs a group column: set data.group"))
    problems += _split_problems(workflow.split, table) + _balance_problems(workflow, table)
    try:
        _fits(workflow, _task(workflow, table), folds=1)
    except SettingsError as error:
        problems += error.problems
    if not features.columns:
        problems.append(Problem("data", "no feature is left after target, weight, group and drop"))
    if table.task is not None:
        metrics = list(workflow.metrics)
        if workflow.search.metric is not None and workflow.search.metric not in [each.name for each in metrics]:
            metrics.append(daskflow.metrics.parse(workflow.search.metric))
        found = [daskflow.metrics.check(metric, str(table.task)) for metric in metrics]
        problems += list(dict.fromkeys(problem for problem in found if problem is not None))
    if problems:
        raise SettingsError(problems)
    target = table.roles.target
    kind = table.schema[target].kind if target else None
    said = [
        f"target '{target}' ({kind}), task {table.task or 'inferred from its values when they are read'}",
        f"{len(table.partitions)} partitions, {len(features.columns)} features",
        *table.notes,
    ]
    if not workflow.metrics:
        said.append("metrics: the task's own")
    task, rows = _task(workflow, table), learned_rows(workflow, rows_of(table))
    said += workflow.model.notes(task, rows) + memory_notes(workflow, task, rows, n_columns(features))
    return said + workflow.preprocess.notes(features)


def _task(workflow: Workflow, table: Table) -> str:
    """The task as far as it is known before the scan; of two that are possible, the first that the model does."""
    known = workflow.task_word or table.task
    return str(known) if known is not None else workflow.model.members[0].tasks[0]


def _fits(workflow: Workflow, task: str, folds: int) -> dict[str, int]:
    cost = workflow.search.fits(workflow.space(task), seed=workflow.seed)
    return {
        "candidates": cost["candidates"],
        "units": cost["units"] * folds,
        "resource": cost["resource"] * folds if workflow.search.stops_early else 0,
    }


RESOURCES = {
    Way.WHOLE: "",
    Way.BLOCKS: "block by block",
    Way.ROUNDS: "by boosting rounds",
    Way.ROWS: "on more and more rows",
}


def _model_words(workflow: Workflow, task: str) -> str:
    """The families, and what a resource means for each."""
    said = []
    for family in workflow.model.members:
        resource = RESOURCES[way_of(family, task, stops_early=workflow.search.stops_early)]
        said.append(f"{family.kind} ({resource})" if resource else family.kind)
    return ", ".join(said)


def _split_words(split: Split, table: Table) -> str:
    part = f"{split.folds} folds of the rest" if split.folds else f"validation {split.validation:.0%}"
    part += f", drawn {split.repeats} times" if split.repeats > 1 else ""
    if split.kind == "predefined":
        return f"as column '{table.roles.fold}' says; {part} where it names train and test alone"
    words = f"{split.kind}, test {split.test:.0%}, {part}"
    if split.sample is not None:
        amount = f"{split.sample:.3g}" if split.sample < 1 else f"{split.sample:,} rows"
        words += f", of a sample of {amount} of the rows that are not test"
    if split.window is not None:
        amount = f"{split.window} pieces" if isinstance(split.window, int) else split.window
        words += f", each trained on the {amount} before, and so the refit"
    if split.gap is not None:
        words += f", with a gap of {split.gap} before what is validated or tested"
    return words


def _split_problems(split: Split, table: Table) -> list[Problem]:
    """Columns that a split needs, and lengths that do not fit the time column."""
    if split.kind == "predefined" and table.roles.fold is None:
        return [Problem("split.kind", "'predefined' needs the column that names parts or folds: set data.fold")]
    if split.kind != "time":
        return []
    if table.roles.time is None:
        return [Problem("split.kind", "'time' needs a time column: set data.time")]
    arrow_type = table.schema[table.roles.time].arrow_type
    spans = {"window": split.window_span, "gap": split.gap_span}
    found = {word: span.problem(arrow_type) for word, span in spans.items() if span is not None}
    return [Problem(f"split.{word}", problem) for word, problem in found.items() if problem]


def _balance_problems(workflow: Workflow, table: Table) -> list[Problem]:
    """A balance that the task or the model cannot have."""
    if not workflow.balance.is_active:
        return []
    if str(table.task) == "regression":
        return [Problem("balance", "needs classes, and the task is a regression")]
    task = workflow.task_word or "binary"
    if not workflow.balance.weighs:
        return []
    problems = []
    for family in workflow.model.members:
        way = way_of(family, task, stops_early=workflow.search.stops_early)
        estimator = family.estimator(task, {}, None)
        if not takes_weight(estimator, way):
            name = type(estimator).__name__
            said = f"{name} takes no weights: use undersample without correct, or another model"
            problems.append(Problem("balance", said))
    return problems
