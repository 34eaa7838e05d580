"""Outlook: how long a run will take and what it will cost, said before anything of its data is computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from daskflow.clusters import Cluster
from daskflow.clusters.batch import Batch
from daskflow.core.errors import DaskflowError
from daskflow.core.estimates import about, amount
from daskflow.core.folder import RunFolder, read_json
from daskflow.core.journal import plain, read
from daskflow.data.forecasts import rows_of
from daskflow.data.ranges import usual_block_rows
from daskflow.data.table import Table
from daskflow.search.costs import Step, Wanted
from daskflow.search.forecast import LEVEL, Forecast, estimate
from daskflow.search.lengths import SURE
from daskflow.search.regressions import Floats
from daskflow.search.schedules import schedule
from daskflow.workflow import toml
from daskflow.workflow.recording import origin_of
from daskflow.workflow.timed_fits import Fits, Shape, earlier_fits, made_up_fits, recent_runs

if TYPE_CHECKING:
    from daskflow.workflow.workflow import Workflow

ROWS_DOUBT, COLUMNS_DOUBT = {"parquet": 0.2}, 0.3
"""Spread of the logarithm of the rows (0.6 for sources not named) and, where texts become columns, of the columns."""

START_SECONDS, START_DOUBT = 3.0, 0.7
"""What processes of a cluster take to start and to import what fits need, and its spread: 1.5 to 9 s were seen."""

PREPARING = "scan", "split", "statistics", "matrices"
"""Stages before the search."""

NOT_FITTED = "no earlier run tells, and a fit on a few made-up rows is too slow to try or fails"


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a run is expected to take, with the band that holds it in `level` of all cases; None where nobody knows.

    Attributes
    ----------
    basis : str
        What is known, or why nothing is, in words.
    seconds, low, high : float or None
        Wall time until the search's last fit; with `preparing`, from the run's start.
    cpu_hours, cpu_low, cpu_high : float or None
        Processor time of the search's fits.
    preparing : float or None
        Seconds of it until the search begins, by earlier runs; None where none tells, and `seconds` leave it out.
    level : float
        Of the band.
    fit_seconds, fit_low : float or None
        Of the longest single fit: the median, and what it takes in nine of ten cases at least.
    """

    basis: str
    seconds: float | None = None
    low: float | None = None
    high: float | None = None
    cpu_hours: float | None = None
    cpu_low: float | None = None
    cpu_high: float | None = None
    preparing: float | None = None
    level: float = LEVEL
    fit_seconds: float | None = None
    fit_low: float | None = None

    def dump(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def __str__(self) -> str:
        """One sentence."""
        if self.cpu_hours is None:
            return f"not known before the first fits: {self.basis}"
        cpu = about(*(3600 * (x or 0.0) for x in (self.cpu_hours, self.cpu_low, self.cpu_high)), of="CPU-")
        if self.seconds is None or self.low is None or self.high is None:
            return f"{cpu} for the fits ({self.basis}); how long that takes depends on the cluster's workers"
        wall = about(self.seconds, self.low, self.high)
        ready = "with reading and preparing" if self.preparing is not None else "without reading and preparing the data"
        return f"{wall} to the search's end, {ready}; {cpu} for the fits ({self.basis})"


Timing = Callable[["Workflow", str, Shape, Sequence[Step]], Fits | None]
"""Finds what fits take, where no earlier run tells."""


def outlook(
    workflow: Workflow, table: Table, task: str, *, n_features: int, runs: Path, timing: Timing = made_up_fits
) -> Outlook:
    """Forecast a run by earlier runs of the same family, else by a few fits on made-up rows; reads no data.

    Parameters
    ----------
    workflow : Workflow
        What will run.
    table : Table
        Lazy: how many rows it has is estimated from its partitions' sizes.
    task : str
        binary, multiclass or regression.
    n_features : int
        Columns of the matrix, about.
    runs : Path
        Folder of runs.
    timing : callable
        Used where no earlier run tells.
    """
    search, space = workflow.search, workflow.space(task)
    size = known_size(workflow, table, runs)
    rows, columns = size or (rows_of(table), known_columns(table, runs) or n_features)
    shape, n_folds = shape_of(workflow, rows, columns)
    rungs = schedule(search, space, seed=workflow.seed)
    found = earlier_fits(workflow, task, shape, runs)
    if found is None:
        found = timing(workflow, task, shape, list(dict.fromkeys(rung.step for rung in rungs)))
    if found is None:
        return Outlook(NOT_FITTED)
    slots = slots_of(workflow.cluster.dump())
    budget = search.budget
    forecast = Forecast(
        rungs,
        n_folds=n_folds,
        slots=slots or 1,
        most_seconds=None if budget is None or budget.wall_time is None else budget.wall_seconds,
        most_cpu_seconds=None if budget is None or budget.cpu_hours is None else 3600 * budget.cpu_hours,
    )
    for fit in found.timed:
        forecast.learn(fit.trial, fit.params, *fit.step, seconds=fit.seconds, cpu_seconds=fit.cpu_seconds)
    doubt = math.hypot(found.doubt, 0.0 if size else _size_doubt(workflow, table))
    futures = forecast.futures(doubt=doubt)
    assert futures is not None  # at least one fit was learned
    preparing = preparing_seconds(rows * len(table.schema.columns), slots or 1, runs)
    steps = dict.fromkeys(rung.step for rung in rungs)
    fits = forecast.lengths([Wanted("any", step) for step in steps], doubt=doubt)
    low, middle = (float(each) for each in np.quantile(fits.max(axis=1), [SURE, 0.5]))
    return replace(
        _with_preparing(futures, found, preparing, workflow, slots), fit_seconds=middle, fit_low=min(low, middle)
    )


def too_long(found: Outlook, cluster: Cluster, most_seconds: float | None) -> str:
    """Say that a fit takes longer than any worker of a batch queue lives; empty when none does, as far as is known.

    Parameters
    ----------
    found : Outlook
        Of the run.
    cluster : Cluster
        Where it will run.
    most_seconds : float or None
        What ends a fit before that; None where nothing does.
    """
    if found.fit_low is None or found.fit_seconds is None or not isinstance(cluster, Batch):
        return ""
    if min(found.fit_low, most_seconds or math.inf) <= cluster.seconds:
        return ""
    return (
        f"one fit is expected to take {amount(found.fit_seconds)}, at least {amount(found.fit_low)} ({found.basis}), "
        f"and a job lives for {amount(cluster.seconds)}: no fit would come to its end. Give a longer walltime, or less "
        "to fit at a time"
    )


def _with_preparing(
    futures: tuple[Floats, Floats], found: Fits, preparing: tuple[float, float] | None, workflow: Workflow, slots: int
) -> Outlook:
    """Add what comes before the first fit, where it is known."""
    rng = np.random.default_rng(0)
    wall, cpu = futures
    if "workers" in workflow.cluster.dump():
        wall = wall + START_SECONDS * np.exp(rng.normal(0.0, START_DOUBT, len(wall)))
    if preparing is not None:
        wall = wall + preparing[0] * np.exp(rng.normal(0.0, preparing[1], len(wall)))
    all_of_it = estimate(wall, cpu)
    known: dict[str, Any] = asdict(all_of_it)
    if not slots:
        known |= {"seconds": None, "low": None, "high": None}
    return Outlook(found.basis, **known, preparing=None if preparing is None else preparing[0])


def known_size(workflow: Workflow, table: Table, runs: Path) -> tuple[int, int] | None:
    """Return the rows and features of the newest run of the same files, read alike; None without one."""
    folder = run_of_same_table(workflow, table, runs)
    data = {} if folder is None else read_json(folder.data)
    return (int(data["rows"]), len(data["feature_names"])) if data else None


def run_of_same_table(workflow: Workflow, table: Table, runs: Path) -> RunFolder | None:
    """Return the newest run of the same files, read alike, that got as far as its features; None without one."""
    origin, asked = origin_of(table), _settings_of(workflow.data.dump())
    for folder in recent_runs(runs):
        data = read_json(folder.data)
        with suppress(DaskflowError):
            is_same = _settings_of(toml.load(folder.workflow, environment={}).get("data") or {}) == asked
            began = [record["origin"] for record in read(folder.journal) if record["record"] == "data"]
            if is_same and began[:1] == [origin] and data.get("feature_names"):
                return folder
    return None


def known_columns(table: Table, runs: Path) -> int:
    """Return the features of the newest run over a table of the same columns; 0 without one."""
    names = set(table.schema.names)
    for folder in recent_runs(runs):
        data = read_json(folder.data)
        if data.get("feature_names") and {column["name"] for column in data["columns"]} == names:
            return len(data["feature_names"])
    return 0


def _settings_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of a source, but where it is: TOML leaves out what is None."""
    return {name: plain(value) for name, value in data.items() if value is not None and name != "path"}


def shape_of(workflow: Workflow, rows: int, n_features: int) -> tuple[Shape, int]:
    """Return a fold's matrix, about, and the number of folds."""
    rows = max(2, rows)
    split = workflow.split.resolve(rows, workflow.search.stops_early)
    left = rows * (1 - split.test)
    validation = left / split.folds if split.folds else rows * (split.validation or 0.0)
    train = max(2, round(left - validation))
    block_rows = round((workflow.cache.block_rows or usual_block_rows(rows)) * train / rows)
    return Shape(train, max(1, round(validation)), max(1, n_features), max(1, block_rows)), split.n_fits


def slots_of(cluster: Mapping[str, Any]) -> int:
    """Return how many fits a cluster runs at once, by its settings; 0 where only the cluster itself knows."""
    if cluster.get("kind") == "inline":
        return 1
    return int(cluster.get("workers") or 0) * int(cluster.get("cores") or 1)


def _size_doubt(workflow: Workflow, table: Table) -> float:
    """How far off the number of cells may be."""
    has_texts = any(str(column.kind) == "categorical" for column in table.features.columns)
    return math.hypot(ROWS_DOUBT.get(workflow.data.kind, 0.6), COLUMNS_DOUBT if has_texts else 0.0)


def preparing_seconds(cells: int, slots: int, runs: Path) -> tuple[float, float] | None:
    """Return what the stages before the search take by the cells of earlier runs' tables, and its doubt."""
    paces = [pace for folder in recent_runs(runs) for pace in _pace_of(folder)]
    if not paces:
        return None
    logs = np.log(paces)
    doubt = math.hypot(0.5, float(logs.std()) if len(logs) > 1 else 0.5)
    return float(np.exp(np.median(logs))) * cells / slots, doubt


def _pace_of(folder: RunFolder) -> Iterator[float]:
    """Yield a run's seconds of one slot per cell until its search, if it read all of its data itself."""
    data = read_json(folder.data)
    try:
        cluster = toml.load(folder.workflow, environment={}).get("cluster") or {}
        records = [record for record in read(folder.journal) if record["record"] == "stage"]
    except DaskflowError:
        return
    stages = {record["stage"]: record for record in records if not record.get("failed")}
    is_whole = all(name in stages for name in PREPARING) and len(records) == len(stages)
    if not is_whole or stages["scan"].get("partition_reads", 0) < data.get("partitions", math.inf):
        return
    cells = int(data.get("rows") or 0) * len(data.get("columns") or ())
    seconds = sum(float(stages[name]["seconds"]) for name in PREPARING)
    if cells and seconds:
        yield seconds * (slots_of(cluster) or 1) / cells
