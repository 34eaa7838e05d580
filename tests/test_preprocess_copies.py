"""Target encoding in a run: copies of a row stand in inner parts of their own, the same for any partitioning."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from daskflow.data import copies, matrices, passes
from daskflow.data.execution import InlineExecutor
from daskflow.data.splits import Split
from daskflow.preprocess.fitted import FittedPreprocessor
from daskflow.preprocess.settings import Preprocessing
from tests.small_tables import cut, prepared, table_of

N_ROWS = 6_000


def few_different_rows() -> pa.Table:
    """Four cities, a flag and a target that has nothing to do with them: 16 different rows at most."""
    draw = np.random.default_rng(3)
    cities = np.array(["Bonn", "Jena", "Köln", "Ulm"])[draw.integers(0, 4, N_ROWS)]
    return pa.table({"city": cities, "flag": draw.random(N_ROWS) < 0.5, "y": draw.random(N_ROWS) < 0.4})


@dataclass(frozen=True)
class AsNew:
    """A transformer that takes training rows for new ones."""

    inner: FittedPreprocessor
    is_out_of_fold: bool = False

    @property
    def feature_names(self) -> tuple[str, ...]:
        """As the inner one's."""
        return self.inner.feature_names

    @property
    def is_sparse(self) -> bool:
        """As the inner one's."""
        return self.inner.is_sparse

    def matrix(self, table: pa.Table, parts: Any = None) -> Any:
        """Encode by all training rows."""
        return self.inner.matrix(table)


def encoded(pieces: list[pa.Table], folder: Path) -> tuple[matrices.Batch, matrices.Batch]:
    """The training rows of a run whose only step is target encoding: out of fold, and by all of them."""
    ready = prepared(table_of(pieces, target="y"), folder / "store", Split(test=0.2, validation=0.2))
    preprocessing = Preprocessing(columns={"city": [{"kind": "target"}]})
    features = ready.blocks.features
    statistics = passes.collect(ready.reader, preprocessing.needs(features, ready.blocks.profile), InlineExecutor())
    fitted = preprocessing.fit(features, statistics.only([0]))
    built = [
        matrices.build(ready.reader, [transformer], None, folder / "matrices", InlineExecutor()).fold(0).train.whole()
        for transformer in (fitted, AsNew(fitted))
    ]
    return built[0], built[1]


def test_few_different_rows_are_encoded_nearly_as_by_all_rows(tmp_path: Path) -> None:
    # if all copies of a row stood in one part, the other parts would lack just this row's target
    out_of_fold, by_all = encoded([few_different_rows()], tmp_path)

    assert len(out_of_fold.y) > 2_000
    assert not np.array_equal(out_of_fold.X, by_all.X)
    assert np.corrcoef(out_of_fold.X[:, 0], by_all.X[:, 0])[0, 1] > 0.95


@pytest.mark.parametrize("n_parts", [3, 40])
def test_parts_of_copies_do_not_depend_on_the_partitions(n_parts: int, tmp_path: Path) -> None:
    rows = few_different_rows()

    one, _ = encoded([rows], tmp_path / "one")
    many, _ = encoded(cut(rows, n_parts)[::-1], tmp_path / "many")

    assert np.array_equal(one.X, many.X)
    assert np.array_equal(one.y, many.y)


def rows_with_copies() -> pa.Table:
    """Rows of which most stand three times, and one in every fortieth row."""
    draw = np.random.default_rng(5)
    number = np.where(np.arange(N_ROWS) % 40 == 0, 0, np.arange(N_ROWS) % 2_000)
    city = np.char.add("city ", (number % 97).astype(str))
    size, y = draw.random(2_000)[number], (draw.random(2_000) < 0.4)[number]
    return pa.table({"city": city, "size": size, "y": y}).take(pa.array(draw.permutation(N_ROWS)))


def counted(pieces: list[pa.Table], folder: Path) -> Any:
    """What is counted of the cities by inner part, over the training rows."""
    ready = prepared(table_of(pieces, target="y"), folder, Split(test=0.2, validation=0.2))
    preprocessing = Preprocessing(columns={"city": [{"kind": "target"}]})
    needs = preprocessing.needs(ready.blocks.features, ready.blocks.profile)
    found = passes.collect(ready.reader, needs, InlineExecutor()).only([0])["city"]
    (tally,) = (tally for tally in found.tallies if tally.by_part)
    return found.tallies[tally]


@pytest.mark.parametrize("n_parts", [1, 7])
def test_copies_are_counted_file_by_file_as_range_by_range(
    n_parts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = cut(rows_with_copies(), n_parts)
    by_file = counted(pieces, tmp_path / "file")

    monkeypatch.setattr(copies, "MOST_COPIES", -1)  # more than are listed
    by_range = counted(pieces, tmp_path / "range")

    assert int(by_file.counts.sum()) > 2_000
    assert len(by_file.keys) > 2 * len(by_file.ids)  # most cities stand in several inner parts
    assert np.array_equal(by_file.keys, by_range.keys)
    assert np.array_equal(by_file.counts, by_range.counts)
