"""The sizes and bounds that docs/preprocessing.md states are those of the code."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from daskflow.core.errors import SettingsError
from daskflow.data.distribution import COARSE, FINE, Distribution, Resolution, resolution_for
from daskflow.data.schema import Schema
from daskflow.preprocess import information, level_counts
from daskflow.preprocess.information import JointCounts
from daskflow.preprocess.level_counts import LevelCounts, LevelTally
from daskflow.preprocess.settings import Preprocessing
from tests.small_statistics import fit, rows_of


@pytest.mark.parametrize(
    ("resolution", "most", "bound"), [(FINE, 65_536, 2.0**-13), (COARSE, 4_096, 2.0**-10)], ids=["fine", "coarse"]
)
def test_a_distribution_is_exact_up_to_its_number_of_values_and_then_within_its_bound(
    resolution: Resolution, most: int, bound: float
) -> None:
    # given just as many distinct numbers as are exact, and one more
    values = np.exp(np.random.default_rng(0).normal(size=most + 1))

    exact, binned = (Distribution.of(values[:n], resolution) for n in (most, most + 1))

    assert exact.is_exact
    assert exact.points.tolist() == np.sort(values[:most]).tolist()
    assert not binned.is_exact
    assert resolution.bound == bound
    middle = (len(values) - 1) // 2
    at = middle / (len(values) - 1)
    assert binned.quantile(at) == pytest.approx(np.sort(values)[middle], rel=bound * (1 + 1e-9), abs=0)
    # and what it holds is a bin for each part of a power of two, whatever the number of rows
    octaves = np.log2(values.max() / values.min())
    assert len(binned.points) <= 2**resolution.bits * (octaves + 2)


def test_tables_above_a_million_rows_are_counted_at_the_coarse_resolution() -> None:
    assert [resolution_for(n) for n in (1, 1_000_000, 1_000_001)] == [FINE, FINE, COARSE]


def counted(n_levels: int, tally: LevelTally, y: np.ndarray | None) -> LevelCounts:
    """Each of so many levels once, all in one inner part."""
    return tally.of(pa.array(np.arange(n_levels)), rows_of(n_levels, y=y))


@pytest.mark.parametrize(
    ("tally", "task", "most", "buckets"),
    [
        (LevelTally(), "none", 1 << 20, 1 << 20),
        (LevelTally(of_target=True), "binary", 1 << 20, 1 << 18),
        (LevelTally(of_target=True), "regression", 1 << 17, 1 << 16),
        (LevelTally(of_target=True, squares=True), "regression", 1 << 17, 1 << 15),
    ],
    ids=["frequency", "target of two classes", "target of a number, smoothed by a number", "target of a number"],
)
def test_levels_are_counted_apart_up_to_a_number_and_in_buckets_beyond(
    tally: LevelTally, task: str, most: int, buckets: int
) -> None:
    n = most + 1
    targets = {"none": None, "binary": np.arange(n) % 2, "regression": np.arange(n) / 7}
    y = targets[task]

    apart = counted(most, tally, None if y is None else y[:most])
    together = counted(n, tally, y)

    assert not apart.is_hashed
    assert len(apart.ids) == most
    assert together.is_hashed
    assert 2**together.bits == buckets
    assert max(apart.nbytes, together.nbytes) <= level_counts.MOST_BYTES == 32 << 20


def test_a_level_that_occurs_in_every_inner_part_costs_its_stated_bytes() -> None:
    # given 1,000 levels with a row in each of the five parts
    n = 5_000
    levels, parts = pa.array(np.arange(n) // 5), np.arange(n) % 5
    both, numbers = np.arange(n) % 2, np.arange(n) / 7

    binary = LevelTally(of_target=True).of(levels, rows_of(n, parts, both))
    regression = LevelTally(of_target=True, squares=True).of(levels, rows_of(n, parts, numbers))
    alone = LevelTally().of(levels, rows_of(n))

    assert (binary.nbytes, regression.nbytes, alone.nbytes) == (n * 10, n * 57, 1_000 * 9)
    step = fit(pa.table({"w": levels}), parts, both, w=["target"]).columns[0].steps[0]
    assert step.ids.nbytes + step.deviations.nbytes == 1_000 * 32  # type: ignore[attr-defined]  # a TargetEncoded


@pytest.mark.parametrize(
    ("column", "y", "most"),
    [
        ("numbers", "classes", 512),
        ("levels", "classes", 8_192),
        ("levels", "numbers", 2_048),
    ],
)
def test_mutual_information_is_counted_exactly_up_to_a_number_of_values(column: str, y: str, most: int) -> None:
    def bins(n: int) -> int:
        """Bins of a column of n distinct values."""
        values = pa.array(np.arange(n).astype(str) if column == "levels" else np.arange(n) * 1.5)
        target = np.arange(n) % 2 if y == "classes" else np.arange(n) % 2 + 0.5
        return len(np.unique(JointCounts().of(values, rows_of(n, y=target)).column))

    assert bins(most) == most
    assert most // 2 < bins(most + 1) <= most
    assert (information.USED_BINS, information.USED_TARGET_BINS) == (64, 16)


@pytest.mark.parametrize(("n_levels", "is_sparse"), [(256, False), (257, True)])
def test_a_matrix_of_indicators_is_sparse_above_256_columns(n_levels: int, is_sparse: bool) -> None:
    table = pa.table({"w": [f"u{number}" for number in range(n_levels)] * 2})

    assert fit(table, w=["onehot"]).is_sparse is is_sparse


def test_an_interaction_makes_at_most_10_000_columns() -> None:
    names = [f"x{number}" for number in range(19)]
    schema = Schema.of(pa.schema([(name, pa.float64()) for name in names]))

    with pytest.raises(SettingsError, match="more than 10,000 new columns"):
        Preprocessing(interactions=[{"columns": names, "degree": 5}]).check(schema)
    Preprocessing(interactions=[{"columns": names, "degree": 4}]).check(schema)
