"""Scoring of partitions: one code for this process and for the workers of a cluster, which are sent the model once."""

from __future__ import annotations

import pickle
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle
import pyarrow as pa

import daskflow.clusters
from daskflow.core.errors import ClusterError, DataError
from daskflow.core.events import Listener, tell
from daskflow.core.protocols import Executor, Kept, Unit
from daskflow.data.derive import derive
from daskflow.data.execution import InlineExecutor
from daskflow.data.joins import Join, join_all
from daskflow.data.table import Partition
from daskflow.streams.scoring import Scorer

GLANCE_SECONDS = 5.0
"""How often it is looked whether workers go on."""

MODEL = "score-model"


@dataclass(frozen=True, slots=True)
class Scored:
    """What became of a partition.

    Attributes
    ----------
    rows : pyarrow.Table
        The kept columns and the predictions, in the order of its rows.
    rejected : int
        Rows that could not be read.
    unseen, unmatched : mapping of str to int
        Rows by column with a level that training has not seen, and by join without a match.
    """

    rows: pa.Table
    rejected: int
    unseen: Mapping[str, int]
    unmatched: Mapping[str, int]


@dataclass(frozen=True)
class PartScorer:
    """Scores partitions; picklable, with the model in it.

    Attributes
    ----------
    scorer : Scorer
        Answers rows, of streams and servers, too.
    joins : sequence of Join
        Small tables that rows are joined to.
    expressions : mapping of str to str
        Columns that are derived.
    keep : sequence of str
        Columns that are copied.
    """

    scorer: Scorer
    joins: Sequence[Join] = ()
    expressions: Mapping[str, str] = field(default_factory=dict)
    keep: Sequence[str] = ()

    def score(self, partition: Partition) -> Scored:
        """Read a partition and score its rows; DataError names it."""
        decoded, name = partition.read(), partition.fingerprint.name
        rows, _, counts = join_all(decoded.plain, self.joins, name)
        rows = derive(rows, self.expressions)
        try:
            answers = self.scorer.prepared(rows)
        except DataError as error:
            raise DataError(f"{name}: {error}") from error
        scored, said = rows.select(list(self.keep)), answers.arrow()
        for column in said.column_names:
            scored = scored.append_column(column, said.column(column))
        unmatched = {count.name: count.unmatched for count in counts}
        return Scored(scored, len(decoded.rejects), answers.unseen, unmatched)


def in_order(scorer: PartScorer, partitions: Sequence[Partition], executor: Executor) -> Iterator[Scored]:
    """Yield what becomes of each partition, in their order; few are under way or wait for their turn.

    Parameters
    ----------
    scorer : PartScorer
        Travels once to each worker that needs it; should all die that hold it, the scheduler sends it again.
    partitions : sequence of Partition
        Not frames with a graph of their own.
    executor : Executor
        With nothing pending.

    Raises
    ------
    DataError
        Of the first partition that cannot be scored.
    ClusterError
        When a partition has ended every worker that had it, or nothing can go on.
    """
    if isinstance(executor, InlineExecutor):
        yield from map(scorer.score, partitions)
        return
    executor.submit(Unit(MODEL, _held, (cloudpickle.dumps(scorer),), keeps=True, priority=1))
    early: dict[int, Scored] = {}
    handed_in = reached = 0
    try:
        while reached < len(partitions):
            while handed_in < min(len(partitions), reached + 2 * executor.slots + 2):
                unit = Unit(f"score-{handed_in}", _scored, (Kept(MODEL), partitions[handed_in]), priority=-handed_in)
                executor.submit(unit)
                handed_in += 1
            outcome = executor.next(GLANCE_SECONDS)
            executor.troubles()  # raises when nothing can go on
            if outcome is None:
                continue
            if outcome.exception is not None:
                raise outcome.exception
            if outcome.error is not None:
                raise ClusterError(f"{_named(outcome.key, partitions)}: {outcome.error}")
            if outcome.key != MODEL:
                early[int(outcome.key.rpartition("-")[2])] = outcome.value
            while reached in early:
                yield early.pop(reached)
                reached += 1
    finally:
        executor.cancel()


def _named(key: str, partitions: Sequence[Partition]) -> str:
    return "The model" if key == MODEL else partitions[int(key.rpartition("-")[2])].fingerprint.name


def _held(scorer: bytes) -> tuple[Any, None]:
    """The scorer, to stay on a worker."""
    return pickle.loads(scorer), None  # noqa: S301  our own, sent by who asks for the scoring


def _scored(scorer: PartScorer, partition: Partition) -> Scored:
    return scorer.score(partition)


@contextmanager
def executor_on(cluster: Any, beside: Path, listener: Listener) -> Iterator[Executor]:
    """Open a cluster for scoring, or none where `cluster` is None.

    Parameters
    ----------
    cluster : str, mapping, Cluster or None
        A kind's name or table.
    beside : Path
        The file to be written: what jobs of a batch queue need is kept in a folder beside it, and removed.
    listener : callable
        Hears which cluster it is.

    Raises
    ------
    ClusterError
        When none can be had.
    SettingsError
        For a kind or an option that does not exist.
    """
    if cluster is None:
        yield InlineExecutor()
        return
    asked = {"kind": cluster} if isinstance(cluster, str) else cluster
    chosen = daskflow.clusters.REGISTRY.parse(asked, where="cluster")
    folder = Path(tempfile.mkdtemp(prefix=f".{beside.name}.", dir=beside.parent))
    try:
        with chosen.within(folder, "predict", listener).open() as connection:
            tell(listener, "note", text=f"Cluster {connection.description}")
            yield connection.executor
    finally:
        shutil.rmtree(folder, ignore_errors=True)
