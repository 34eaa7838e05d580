"""Plan: what a run will do and what it will take, from metadata alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import daskflow.metrics
from daskflow.core.errors import Problem, SettingsError
from daskflow.data.forecasts import block_bytes, rows_of
from daskflow.data.matrices import estimate_bytes
from daskflow.data.schema import Schema
from daskflow.data.store import size
from daskflow.data.table import Table
from daskflow.workflow.cache import Room, block_folder
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
    steps : mapping
        Preprocessing by kind or column, in words.
    split : str
        In words.
    fits : mapping
        ``candidates``, ``folds``, ``units``, and ``resource`` in all.
    stages : tuple of str
        What is computed, in order.
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
    stages: tuple[str, ...] = ("scan", "split", "statistics", "matrices", "search", "refit", "evaluation", "model")
    notes: tuple[str, ...] = field(default=())

    def dump(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

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
            "  search      {candidates} candidates x {folds} folds = {units} fits".format(**self.fits)
            + (f", {self.fits['resource']} training blocks or rounds in all" if self.fits["resource"] else "")
            + "; then one refit on all rows but the test part",
            f"  memory      about {size(self.worker_memory_bytes)} per worker",
            f"  blocks      about {size(self.blocks_bytes)} {self.cache}; {size(self.free_bytes)} free",
            f"  matrices    about {size(self.matrices_bytes)} in the run's folder while it runs; "
            f"{size(self.runs_free_bytes)} free",
            f"  stages      {' -> '.join(self.stages)}",
            "  time        shown while it runs, from the first fits on: nothing was computed for this plan",
            *(f"  note        {note}" for note in self.notes),
        ]
        return "\n".join(lines)


def plan(workflow: Workflow) -> Plan:
    """Look at names, footers, headers and a sample, and forecast; computes nothing."""
    table = workflow.table()
    said = notes(workflow, table)
    features = table.features
    kinds: dict[str, int] = {}
    for column in features.columns:
        kinds[str(column.kind)] = kinds.get(str(column.kind), 0) + 1
    sizes = [partition.n_bytes for partition in table.partitions]
    # One-hot columns are not known before the scan: ten for each categorical column is what real tables come to.
    width = sum({"categorical": 10, "datetime": 4}.get(str(column.kind), 1) for column in features.columns)
    total = sum(sizes)
    rows = rows_of(table)
    split = workflow.split.resolve(rows, workflow.search.stops_early)
    folds = split.folds or 1
    runs = Path("runs").absolute()
    blocks, matrices = block_bytes(table), matrices_bytes(workflow, table, n_features=width)
    room = Room(block_folder(workflow.cache, runs), runs, blocks, matrices, workflow.cache)
    if room.problem:
        said.append(f"{room.problem} {room.remedies}")
    task = workflow.task_word or "binary"
    whole = 0 if workflow.search.stops_early and workflow.model.is_incremental(task) else rows * width * 4
    return Plan(
        name=workflow.name,
        id=workflow.id,
        cluster=", ".join(f"{word} {value}" for word, value in workflow.cluster.dump().items()),
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
        split=_split_words(split),
        fits={"folds": folds, **_fits(workflow, task, folds)},
        notes=tuple(said),
    )


def matrices_bytes(workflow: Workflow, table: Table, *, n_features: int) -> int:
    """Return about how many bytes a run's dense matrices take, with so many columns."""
    n_rows = rows_of(table)
    split = workflow.split.resolve(n_rows, workflow.search.stops_early)
    return estimate_bytes(
        n_rows=n_rows,
        n_features=n_features,
        n_folds=split.folds or 1,
        test=split.test,
        is_weighted=table.roles.weight is not None,
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
    if workflow.split.kind == "time" and table.roles.time is None:
        problems.append(Problem("split.kind", "'time' needs a time column: set data.time"))
    if not features.columns:
        problems.append(Problem("data", "no feature is left after target, weight, group and drop"))
    if table.task is not None:
        metrics = list(workflow.metrics)
        if workflow.search.metric is not None:
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
    return said + workflow.preprocess.notes(features)


def _fits(workflow: Workflow, task: str, folds: int) -> dict[str, int]:
    cost = workflow.search.fits(workflow.space(task), seed=workflow.seed)
    return {
        "candidates": cost["candidates"],
        "units": cost["units"] * folds,
        "resource": cost["resource"] * folds if workflow.search.stops_early else 0,
    }


def _split_words(split: Any) -> str:
    part = f"{split.folds} folds" if split.folds else f"validation {split.validation:.0%}"
    return f"{split.kind}, test {split.test:.0%}, {part} of the rest"
