"""Tables are scored by the workers of a cluster as by one process: same bits, same order, and deaths cost little."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from daskflow.clusters.local import Local
from daskflow.core.errors import ClusterError, DataError
from daskflow.core.protocols import Outcome, Unit
from daskflow.data.execution import InlineExecutor, perform
from daskflow.data.table import Decoded, Fingerprint
from daskflow.streams.scoring import Scorer
from daskflow.workflow.scoring_parts import PartScorer, in_order
from tests.test_streams_scoring import FRAME, MODEL

ALWAYS = "never there"
TABLE = pa.Table.from_pandas(FRAME, preserve_index=False)


@dataclass(frozen=True)
class Piece:
    """Some rows of the table, as a partition; its first reader may die of it."""

    place: int
    rows: pa.Table
    mark: str = ""

    @property
    def fingerprint(self) -> Any:
        return Fingerprint(f"piece-{self.place}", 0, 0)

    def read(self, frame: Any = None) -> Any:
        if self.mark and not Path(self.mark).exists():
            if self.mark != ALWAYS:
                Path(self.mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return Decoded(self.rows, ())


def pieces(count: int) -> list[Any]:
    """The table in pieces of several sizes, one of them empty."""
    size = len(TABLE) // (count - 1)
    return [Piece(place, TABLE.slice(size * place, size)) for place in range(count - 1)] + [
        Piece(count - 1, TABLE.slice(0, 0))
    ]


class LastFirst:
    """An executor of two slots that answers the newest unit first, and remembers how many were under way."""

    slots = 2

    def __init__(self) -> None:
        self._inner, self.most = InlineExecutor(), 0
        self._waiting: list[Unit] = []

    @property
    def pending(self) -> int:
        return len(self._waiting)

    def submit(self, unit: Unit) -> None:
        if unit.keeps:
            self._inner.submit(unit)
            assert self._inner.next().error is None  # type: ignore[union-attr]
        else:
            self._waiting.append(unit)
            self.most = max(self.most, len(self._waiting))

    def next(self, timeout: float | None = None) -> Outcome | None:
        unit = self._waiting.pop()
        return perform(unit, [self._inner._resolve(each) for each in unit.arguments])[1]

    def cancel(self) -> None:
        self._waiting.clear()

    def troubles(self) -> Sequence[str]:
        return ()


def scored(partitions: Sequence[Any], executor: Any, scorer: PartScorer | None = None) -> pa.Table:
    """All that is said of the partitions."""
    scorer = scorer or PartScorer(Scorer(MODEL), keep=("real",))
    return pa.concat_tables([each.rows for each in in_order(scorer, partitions, executor)])


def test_whoever_answers_first_the_rows_stay_in_order_with_the_bits_of_predict() -> None:
    executor: Any = LastFirst()

    found = scored(pieces(9), executor)

    whole = Scorer(MODEL).table(TABLE).arrow()
    n_rows = len(found)
    assert n_rows == 8 * (len(TABLE) // 8)
    assert found.drop(["real"]).equals(whole.slice(0, n_rows))
    assert found["real"].equals(TABLE["real"].slice(0, n_rows))
    assert found.equals(scored(pieces(9), InlineExecutor()))


def test_however_many_partitions_only_some_are_under_way() -> None:
    executor: Any = LastFirst()

    scored(pieces(60), executor)

    assert executor.most <= 2 * executor.slots + 2


def test_a_partition_that_does_not_fit_is_named_and_ends_the_rest() -> None:
    bad = TABLE.set_column(TABLE.column_names.index("real"), "real", pa.array(["x"] * len(TABLE)))
    executor: Any = LastFirst()

    with pytest.raises(DataError, match=r"piece-7: .*column 'real'.*the model learned"):
        scored([*pieces(8)[:7], Piece(7, bad)], executor)

    assert executor.pending == 0


@pytest.mark.slow
def test_a_worker_that_dies_costs_its_partitions_and_nothing_else(tmp_path: Path) -> None:
    partitions = pieces(30)
    partitions[11] = Piece(11, partitions[11].rows, str(tmp_path / "died"))

    with Local(workers=2, cores=1).open() as connection:
        found = scored(partitions, connection.executor)

        assert (tmp_path / "died").exists()
        assert found.equals(scored(pieces(30), InlineExecutor()))


@pytest.mark.endurance
def test_a_partition_that_ends_every_worker_is_named(tmp_path: Path) -> None:
    deadly = Piece(3, TABLE, ALWAYS)
    partitions = [*pieces(4)[:3], deadly]

    with Local(workers=2, cores=1).open() as connection, pytest.raises(ClusterError, match="piece-3"):
        scored(partitions, connection.executor)
