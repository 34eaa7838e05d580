"""Matrices hold what estimators learn from: each part complete, in training order, written once."""

from __future__ import annotations

import errno
import os
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from daskflow.core.errors import StorageError
from daskflow.core.events import Event
from daskflow.core.protocols import Outcome, Unit
from daskflow.data import matrices
from daskflow.data.client_executor import ClientExecutor
from daskflow.data.execution import InlineExecutor
from daskflow.data.matrices import Matrices, build, estimate_bytes
from daskflow.data.splits import TEST, Split
from tests.small_tables import Prepared, cut, people, prepared, ranges_of, table_of


@dataclass(frozen=True)
class Shifted:
    """A transformer: pay and age less a shift; missing ones are 0."""

    shift: float
    is_sparse: bool = False
    is_out_of_fold: bool = False
    feature_names: Sequence[str] = ("pay", "age")

    def matrix(self, table: Any, parts: Any = None) -> Any:
        """Columns side by side."""
        columns = [np.nan_to_num(table[name].cast(pa.float64()).to_numpy()) - self.shift for name in self.feature_names]
        X = np.column_stack(columns).astype(np.float32)
        return sparse.csr_matrix(X) if self.is_sparse else X


class CountingExecutor(InlineExecutor):
    """Counts the units it runs."""

    def __init__(self) -> None:
        """None yet."""
        super().__init__()
        self.keys: list[str] = []

    def submit(self, unit: Unit) -> None:
        """Count and queue."""
        self.keys.append(unit.key)
        super().submit(unit)


def ready_of(tmp_path: Path, n_parts: int = 3, split: Split | None = None, **roles: Any) -> Prepared:
    """600 people in ranges of about 50 rows."""
    table = table_of(cut(people(600), n_parts), **{"target": "late", **roles})
    return prepared(table, tmp_path / "blocks", split or Split(folds=3), block_rows=50)


def built(ready: Prepared, folder: Path, *, is_sparse: bool = False, executor: Any = None) -> Matrices:
    """Matrices of three folds, each with its own shift."""
    transformers = [Shifted(float(k), is_sparse) for k in range(len(ready.plan.folds))]
    return build(ready.reader, transformers, Shifted(9.0, is_sparse), folder, executor or InlineExecutor())


def dense(X: Any) -> np.ndarray[Any, Any]:
    """A matrix as an array."""
    return np.asarray(X.toarray() if sparse.issparse(X) else X)


@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "sparse"])
def test_every_part_has_its_rows_in_training_order(is_sparse: bool, tmp_path: Path) -> None:
    ready = ready_of(tmp_path)

    found = built(ready, tmp_path / "matrices", is_sparse=is_sparse)

    frame = ranges_of(ready).to_pandas()
    parts = [(found.final, 9.0, [0, 1, 2]), (found.test, 9.0, [TEST])]
    for k, fold in enumerate(ready.plan.folds):
        parts += [(found.fold(k).train, float(k), list(fold.train)), (found.fold(k).validation, float(k), [k])]
    for part, shift, segments in parts:
        assert part is not None
        mine = frame[frame.segment.isin(segments)]
        whole = part.whole()
        expected = np.column_stack([mine[name].astype(float).fillna(0) - shift for name in ("pay", "age")])
        assert np.array_equal(dense(whole.X), expected.astype(np.float32))
        assert whole.X.dtype == np.float32
        assert whole.y.tolist() == mine.late.astype(int).tolist()
        assert (part.n_rows, part.n_features) == whole.X.shape
        blocks = [part.block(i) for i in range(part.n_blocks)]
        assert np.array_equal(np.concatenate([dense(block.X) for block in blocks]), dense(whole.X))
        assert np.concatenate([block.y for block in blocks]).tolist() == whole.y.tolist()
        assert min(len(block.y) for block in blocks) > 0


def test_dense_parts_are_memory_mapped_and_not_copied(tmp_path: Path) -> None:
    part = built(ready_of(tmp_path), tmp_path / "matrices").fold(0).train

    whole = part.whole().X

    assert whole.flags.c_contiguous
    assert not whole.flags.writeable
    assert not whole.flags.owndata
    assert np.shares_memory(part.block(1).X, whole)


@pytest.mark.parametrize("n_parts", [1, 8])
def test_files_do_not_matter(n_parts: int, tmp_path: Path) -> None:
    one = built(ready_of(tmp_path / "a"), tmp_path / "a" / "matrices")
    other = built(ready_of(tmp_path / "b", n_parts), tmp_path / "b" / "matrices")

    for left, right in ((one.final, other.final), (one.test, other.test), (one.fold(2).train, other.fold(2).train)):
        assert left is not None
        assert right is not None
        assert left.offsets == right.offsets
        assert left.whole().X.tobytes() == right.whole().X.tobytes()
        assert left.whole().y.tobytes() == right.whole().y.tobytes()


def test_a_cluster_writes_the_same(client: Any, tmp_path: Path) -> None:
    ready = ready_of(tmp_path)

    here = built(ready, tmp_path / "here")
    there = built(ready, tmp_path / "there", executor=ClientExecutor(client))

    assert here.fold(1).train.whole().X.tobytes() == there.fold(1).train.whole().X.tobytes()


def test_finished_parts_are_used_as_they_are(tmp_path: Path) -> None:
    ready, executor = ready_of(tmp_path), CountingExecutor()
    first = built(ready, tmp_path / "matrices", executor=executor)
    executor.keys.clear()

    again = built(ready, tmp_path / "matrices", executor=executor)

    assert again == first
    assert executor.keys == []


def test_an_interrupted_build_goes_on(tmp_path: Path) -> None:
    class Dying(InlineExecutor):
        """Stops in the middle, as a killed process would."""

        def next(self, timeout: float | None = None) -> Outcome | None:
            outcome = super().next(timeout)
            if outcome is not None and outcome.key == "matrices-0":
                raise KeyboardInterrupt
            return outcome

    ready = ready_of(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        built(ready, tmp_path / "matrices", executor=Dying())

    found = built(ready, tmp_path / "matrices")

    undisturbed = built(ready, tmp_path / "other")
    assert found.fold(0).train.whole().X.tobytes() == undisturbed.fold(0).train.whole().X.tobytes()


def test_another_transformer_is_another_part(tmp_path: Path) -> None:
    ready, executor = ready_of(tmp_path), CountingExecutor()
    folder = tmp_path / "matrices"
    before = build(ready.reader, [Shifted(0.0)] * 3, Shifted(1.0), folder, executor)

    after = build(ready.reader, [Shifted(0.0)] * 3, Shifted(2.0), folder, executor)

    assert after.folds == before.folds
    assert after.final is not None
    assert before.final is not None
    assert after.final.folder != before.final.folder
    assert after.final.whole().X[0, 0] == before.final.whole().X[0, 0] - 1


def test_another_derived_target_is_another_part(tmp_path: Path) -> None:
    one = ready_of(tmp_path, derive={"rich": "(pay > 20).fillna(False)"}, target="rich")
    other = ready_of(tmp_path, derive={"rich": "(pay > 40).fillna(False)"}, target="rich")

    labels = [built(ready, tmp_path / "matrices").fold(0).train.whole().y for ready in (one, other)]

    assert labels[0].sum() > labels[1].sum()


def test_equal_parts_are_one(tmp_path: Path) -> None:
    ready = ready_of(tmp_path, split=Split(validation=0.2))

    found = build(ready.reader, [Shifted(0.0)], Shifted(0.0), tmp_path / "matrices", InlineExecutor())

    assert found.final is not None
    assert len(list((tmp_path / "matrices").iterdir())) == 4
    assert found.final.n_rows == found.fold(0).train.n_rows + found.fold(0).validation.n_rows


def test_without_test_rows_there_is_no_test_part(tmp_path: Path) -> None:
    ready = ready_of(tmp_path, split=Split(test=0, folds=3))

    found = built(ready, tmp_path / "matrices")

    assert found.test is None
    assert found.final is not None
    assert found.final.n_rows == 600


def test_without_a_final_transformer_there_are_folds_only(tmp_path: Path) -> None:
    ready = ready_of(tmp_path)

    found = build(ready.reader, [Shifted(0.0)] * 3, None, tmp_path / "matrices", InlineExecutor())

    assert (found.final, found.test) == (None, None)


def test_weights_and_numbers_come_along(tmp_path: Path) -> None:
    ready = ready_of(tmp_path, target="pay_filled", weight="house", derive={"pay_filled": "pay.fillna(0.25)"})

    part = built(ready, tmp_path / "matrices").final

    assert part is not None
    frame = ranges_of(ready).to_pandas()
    mine = frame[frame.segment != TEST]
    whole = part.whole()
    assert whole.y.dtype == np.float64
    assert whole.y.tolist() == mine.pay_filled.tolist()
    assert whole.weight is not None
    assert whole.weight.tolist() == mine.house.tolist()
    assert part.block(0).weight is not None


def test_ranges_without_rows_are_left_out(tmp_path: Path) -> None:
    table = table_of(cut(people(60), 3), target="late")
    ready = prepared(table, tmp_path / "blocks", Split(folds=3), block_rows=2)

    part = built(ready, tmp_path / "matrices").fold(0).validation

    assert part.n_blocks < ready.reader.n_ranges
    assert all(len(part.block(i).y) > 0 for i in range(part.n_blocks))


def test_a_part_travels_as_its_place(tmp_path: Path) -> None:
    part = built(ready_of(tmp_path), tmp_path / "matrices").fold(0).train

    again = pickle.loads(pickle.dumps(part))

    assert len(pickle.dumps(part)) < 2_000
    assert np.array_equal(again.block(2).X, part.block(2).X)


def test_a_full_disk_is_known_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready, executor = ready_of(tmp_path), CountingExecutor()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StorageError, match=r"no space left in .*matrices"):
        built(ready, tmp_path / "matrices", executor=executor)
    assert not [key for key in executor.keys if "count" not in key]


def test_a_lost_matrix_is_named(tmp_path: Path) -> None:
    part = built(ready_of(tmp_path), tmp_path / "matrices").fold(0).train
    Path(part.folder, "X.npy").unlink()
    matrices._mapped.cache_clear()  # as in another process, which has no map of it yet

    with pytest.raises(StorageError, match=r"X\.npy is gone.*Run the same command again"):
        part.block(0)


def test_progress_is_told(tmp_path: Path) -> None:
    heard: list[Event] = []

    build(ready_of(tmp_path).reader, [Shifted(0.0)] * 3, None, tmp_path / "matrices", InlineExecutor(), heard.append)

    assert [event.name for event in heard] == ["stage", "progress", "stage"]
    assert heard[-2].fields == {"stage": "matrices", "done": 1, "total": 1}


def test_the_estimate_is_what_is_written(tmp_path: Path) -> None:
    ready = ready_of(tmp_path)

    built(ready, tmp_path / "matrices")

    written = sum(path.stat().st_size for path in (tmp_path / "matrices").rglob("*.npy"))
    headers = 128 * len(list((tmp_path / "matrices").rglob("*.npy")))
    assert written - headers == pytest.approx(estimate_bytes(n_rows=600, n_features=2, n_folds=3, test=0.2), rel=0.01)
