"""`flow.profile`: what a table looks like, in one pass, as numbers, findings and an HTML page."""

from __future__ import annotations

import math
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

import daskflow.clusters
from daskflow.clusters import Cluster
from daskflow.clusters.address import check_folder
from daskflow.core.errors import Problem, SettingsError
from daskflow.core.events import Listener, nobody, tell
from daskflow.core.protocols import Executor
from daskflow.core.settings import parse
from daskflow.data.blocks import Blocks, storing_in
from daskflow.data.profile_table import profile_blocks
from daskflow.data.scan import scan
from daskflow.data.schema import Task
from daskflow.data.store import BlockStore
from daskflow.data.table import Table
from daskflow.data.table_profile import ColumnSummary, Finding, Sample, TableProfile, TargetSummary
from daskflow.reports import profile_page, words
from daskflow.workflow.cache import Cache, open_store
from daskflow.workflow.reading import read
from daskflow.workflow.workflow import Workflow

INLINE_BYTES = 256 << 20
"""Tables up to this size in memory are profiled in this process: a cluster takes longer to start."""

LEAST_PARTITIONS = 20
"""A sample is spread over at least so many partitions, if there are so many."""

TASKS = (Task.BINARY, Task.MULTICLASS, Task.REGRESSION)


@dataclass(frozen=True, slots=True)
class Profile:
    """What a table looks like.

    Attributes
    ----------
    table : TableProfile
        Everything that was found; `daskflow.data.table_profile` says what the words mean.
    """

    table: TableProfile

    @property
    def name(self) -> str:
        """What the table is called."""
        return self.table.name

    @property
    def rows(self) -> int:
        """Rows looked at."""
        return self.table.rows

    @property
    def columns(self) -> tuple[ColumnSummary, ...]:
        """Every column, in order."""
        return self.table.columns

    @property
    def target(self) -> TargetSummary | None:
        """What is learned; None when no target was named."""
        return self.table.target

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is remarkable, the gravest first."""
        return self.table.findings

    def __getitem__(self, column: str) -> ColumnSummary:
        """Return a column by its name; KeyError when there is none."""
        return self.table[column]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per column and one column per number, indexed by the column's name."""
        return self.table.to_frame()

    def dump(self) -> dict[str, Any]:
        """As plain JSON values; docs/profile.md says what the words mean."""
        return self.table.dump()

    def write(self, path: Path | str) -> Path:
        """Write the HTML page, one file that needs no network; return its path.

        Raises
        ------
        StorageError
            When it cannot be written.
        """
        profile_page.write(self.table, Path(path))
        return Path(path)

    def __repr__(self) -> str:
        """Name, size and number of findings."""
        return f"Profile({self.name!r}: {self.rows:,} rows, {len(self.columns)} columns, {len(self.findings)} findings)"

    def _repr_html_(self) -> str:
        """For notebooks: the frame."""
        return str(self.to_frame().to_html(float_format=lambda value: f"{value:.6g}"))


def profile(
    source: Any,
    *,
    target: str | None = None,
    task: str | None = None,
    columns: Sequence[str] | None = None,
    sample: float | int | None = None,
    kind: str | None = None,
    cluster: Cluster | Mapping[str, Any] | str | None = None,
    cache: Cache | Mapping[str, Any] | str | None = None,
    name: str | None = None,
    listener: Listener = nobody,
    **options: Any,
) -> Profile:
    """Look at a whole table in one pass: every column's numbers, and what is remarkable about them.

    The table is scanned into blocks, which a later run or profile of the same files uses again, and every block is
    read once. Memory does not grow with the table. Numbers do not depend on how the rows are cut, but for what is said
    of the partitions themselves.

    Parameters
    ----------
    source : Table, Workflow, path, sequence of paths, glob, or DataFrame
        What to look at; a path that ends in ``.toml`` is a workflow file.
    target : str, optional
        The column to be learned: every other column is set against it, to find leaks.
    task : str, optional
        ``binary``, ``multiclass`` or ``regression``; inferred from the target's values.
    columns : sequence of str, optional
        Columns to look at; default all. Rows that repeat are told over all columns whatever is chosen here.
    sample : int or float, optional
        About so many rows (int), or such a share of them (float below 1), from partitions spread over the whole table;
        default everything. Equal rows are taken together.
    kind : str, optional
        The kind of source; guessed from the files' names.
    cluster : Cluster, mapping or str, optional
        Where it runs; default this process for tables up to 256 MiB in memory, else ``local``. A workflow's own.
    cache : Cache, mapping or str, optional
        Where blocks are kept; default ``disk``. A workflow's own.
    name : str, optional
        What the table is called; default the path as it was given.
    listener : callable
        Hears of stages and progress.
    **options
        Options of the source and roles, as for `flow.read`.

    Returns
    -------
    Profile
        Frozen: ``.findings``, ``.to_frame()``, ``.dump()``, ``.write(path)``.

    Raises
    ------
    SettingsError
        For options that make no sense.
    DataError
        For files, columns and targets that cannot be used as asked.

    Examples
    --------
    >>> import pandas as pd, daskflow as flow
    >>> found = flow.profile(pd.DataFrame({"x": [1.0, 2.0, None], "y": ["a", "b", "b"]}), cache="none")
    >>> found["x"].missing, found["y"].top
    (1, (('b', 2), ('a', 1)))
    """
    _check(sample, task)
    flow = _workflow(source, options, kind)
    if flow is not None:
        table = flow.table()
        cluster, cache = flow.cluster if cluster is None else cluster, flow.cache if cache is None else cache
    else:
        table = source if isinstance(source, Table) else read(source, target=None, kind=kind, **options)
    if target is not None:
        table = table.with_roles(target=target)
    chosen = _cluster(cluster, table)
    kept = cache if isinstance(cache, Cache) else parse(Cache, _table_of(cache), "cache")
    called = name or (flow.name if flow is not None else _called(source))
    with chosen.open() as connection, _folder(kept) as folder, open_store(kept, folder) as store:
        tell(listener, "note", text=f"Cluster {connection.description}")
        check_folder(connection.executor, store.folder, option="cache.folder")
        blocks, share, taken = _scanned(table, sample, store, connection.executor, listener)
        found = profile_blocks(
            blocks,
            connection.executor,
            listener,
            name=called,
            files=_n_files(table),
            task=task or table.task,
            columns=columns,
            share=share,
            sample=taken,
        )
    return Profile(found)


def _check(sample: float | int | None, task: str | None) -> None:
    """Refuse what cannot be meant."""
    problems = []
    is_number = isinstance(sample, int | float) and not isinstance(sample, bool)
    if sample is not None and not (is_number and sample > 0 and (isinstance(sample, int) or sample <= 1)):
        problems.append(
            Problem("sample", f"should be a number of rows such as 100000, or a share such as 0.1 (found {sample!r})")
        )
    if task is not None and task not in TASKS:
        problems.append(Problem("task", f"should be binary, multiclass or regression (found {task!r:.40})"))
    if problems:
        raise SettingsError(problems)


def _workflow(source: Any, options: Mapping[str, Any], kind: str | None) -> Workflow | None:
    """The workflow that a source is, or that its file holds; None for other sources."""
    if isinstance(source, str | os.PathLike) and os.fspath(source).endswith(".toml"):
        source = Workflow.from_toml(Path(source))
    if not isinstance(source, Workflow):
        return None
    if options or kind:
        given = ", ".join([*options, *(["kind"] if kind else [])])
        raise SettingsError(f"A workflow says by itself how its files are read: leave out {given}.")
    return source


def _cluster(cluster: Cluster | Mapping[str, Any] | str | None, table: Table) -> Cluster:
    """Where the work runs: a small table in this process."""
    if cluster is None:
        is_small = sum(partition.n_bytes for partition in table.partitions) <= INLINE_BYTES
        cluster = "inline" if is_small else "local"
    return daskflow.clusters.REGISTRY.parse(cluster, where="cluster")


@contextmanager
def _folder(cache: Cache) -> Iterator[Path]:
    """The folder that a store of its own stands in: one that goes away, in the current folder, which workers see."""
    if cache.kind != "none" or cache.folder is not None:
        yield Path()
        return
    with storing_in(Path(), option="cache.folder"):
        made = tempfile.TemporaryDirectory(prefix=".daskflow-", dir=".")
    with made as folder:
        yield Path(folder)


def _table_of(value: Any) -> Mapping[str, Any]:
    """A cache's settings as a table; a word is its kind."""
    if value is None or isinstance(value, str):
        return {} if value is None else {"kind": value}
    if not isinstance(value, Mapping):
        raise SettingsError([Problem("cache", f"should be a kind or a table (found {value!r:.40})")])
    return value


def _called(source: Any) -> str:
    """A name for what was given: the paths as they were typed."""
    if isinstance(source, Table) or hasattr(source, "columns"):
        return "table"
    paths = [source] if isinstance(source, str | os.PathLike) else list(source)
    texts = [os.fspath(path) for path in paths]
    return words.without_credentials(texts[0] if len(texts) == 1 else f"{texts[0]} and {len(texts) - 1} more")


def file_name(name: str) -> str:
    """Return the name of a page for a table's name.

    Examples
    --------
    >>> file_name("data/flights 2014/*.parquet"), file_name("adult.csv.gz"), file_name("s3://b/t/")
    ('profile-flights-2014.html', 'profile-adult.html', 'profile-t.html')
    """
    parts = [part for part in name.split("?")[0].replace("\\", "/").split("/") if part and not set(part) & set("*?[")]
    stem = parts[-1].partition(".")[0] if parts else ""
    return f"profile-{re.sub(r'[^A-Za-z0-9_-]+', '-', stem).strip('-') or 'table'}.html"


def _n_files(table: Table) -> int:
    """From how many files a table is read."""
    names = {part.fingerprint.name.partition("#")[0] for part in table.partitions if part.fingerprint.size_bytes}
    return len(names)


def _scanned(
    table: Table, sample: float | int | None, store: BlockStore, executor: Executor, listener: Listener
) -> tuple[Blocks, float, Sample | None]:
    """Scan the table, or the partitions of a sample; also the share of their rows to look at."""
    n_all = len(table.partitions)
    if sample is None:
        return scan(table, store, executor, listener), 1.0, None
    if isinstance(sample, float):
        n_parts = max(min(n_all, LEAST_PARTITIONS), math.ceil(sample * n_all))
        blocks = scan(_spread(table, n_parts), store, executor, listener)
        share = min(1.0, sample * n_all / n_parts)
    else:
        n_parts = min(n_all, LEAST_PARTITIONS)
        blocks = scan(_spread(table, n_parts), store, executor, listener)
        if blocks.n_rows < sample and n_parts < n_all:
            n_parts = min(n_all, math.ceil(sample * n_parts / blocks.n_rows))
            blocks = scan(_spread(table, n_parts), store, executor, listener)
        share = min(1.0, sample / blocks.n_rows)
    is_whole = n_parts == n_all and share == 1.0
    return blocks, share, None if is_whole else Sample(n_parts, n_all, share)


def _spread(table: Table, n_parts: int) -> Table:
    """Take so many partitions, evenly over the table, the first and the last among them."""
    n_all = len(table.partitions)
    step = (n_all - 1) / max(1, n_parts - 1)
    places = [round(number * step) for number in range(n_parts)]
    return replace(table, partitions=tuple(table.partitions[place] for place in places))
