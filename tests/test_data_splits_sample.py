"""A sample is the same rows whatever the files, keeps together what belongs together, and says what it leaves out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from daskflow.core.errors import SettingsError
from daskflow.data import split_draws
from daskflow.data.split_plan import TEST
from daskflow.data.splits import Split
from tests.small_tables import Prepared, cut, prepared, ranges_of, table_of


def numbers(n_rows: int = 2_000, **columns: Any) -> pa.Table:
    """Distinct rows, a tenth of them of the rarer class."""
    return pa.table({"x": np.arange(n_rows), "y": (np.arange(n_rows) % 10 == 0).astype(int), **columns})


def ready(folder: Path, rows: pa.Table, n_parts: int = 1, *, split: Split, **roles: Any) -> Prepared:
    """Rows in so many files, split."""
    return prepared(table_of(cut(rows, n_parts), target="y", **roles), folder / f"{n_parts}{split.sample}", split)


def segments(found: Prepared) -> dict[int, int]:
    """Segment of each row by its x."""
    table = ranges_of(found)
    return dict(zip(table["x"].to_pylist(), table["segment"].to_pylist(), strict=True))


def used(found: Prepared) -> set[int]:
    """The rows that are neither test nor left out."""
    return {x for x, segment in segments(found).items() if segment in found.plan.final}


@pytest.mark.parametrize("sample", [0, 1, 1.5, -0.1, True, "many", float("nan")])
def test_what_is_neither_a_share_nor_a_number_of_rows_is_refused(sample: Any) -> None:
    with pytest.raises(SettingsError, match="a share between 0 and 1, or a number of rows"):
        Split(sample=sample)


@pytest.mark.parametrize("kind", ["random", "stratified"])
@pytest.mark.parametrize("sample", [0.25, 400])
def test_a_sample_has_the_rows_asked_for_and_every_row_is_counted_once(
    kind: Any, sample: float, tmp_path: Path
) -> None:
    found = ready(tmp_path, numbers(), split=Split(kind=kind, test=0.2, folds=4, sample=sample))

    plan = found.plan
    assert plan.sizes["test"] == 400
    assert plan.sizes["train"] == 400
    assert plan.left_out == 1_200
    assert sum(plan.rows) == 2_000
    assert {segment: list(segments(found).values()).count(segment) for segment in range(5)} == dict(
        enumerate(plan.rows[:5])
    )
    assert all(plan.rows[segment] == pytest.approx(100, abs=20) for segment in range(4))
    assert plan.warnings[0].startswith("split.sample leaves out 1,200 of the 1,600 rows that are not test")
    if kind == "stratified":
        assert plan.class_rows is not None
        assert plan.class_rows[:4].sum(axis=0).tolist() == [360, 40]


def test_the_test_part_and_the_folds_are_those_without_a_sample(tmp_path: Path) -> None:
    split = Split(kind="stratified", folds=3)
    whole = segments(ready(tmp_path, numbers(), split=split))

    sampled = segments(ready(tmp_path, numbers(), split=split.model_copy(update={"sample": 0.3})))

    assert {x for x, segment in whole.items() if segment == TEST} == {x for x, s in sampled.items() if s == TEST}
    kept = {x: segment for x, segment in sampled.items() if segment < 3}
    assert kept == {x: whole[x] for x in kept}
    assert len(kept) == 480


def test_a_larger_sample_holds_the_smaller(tmp_path: Path) -> None:
    small, large = (used(ready(tmp_path, numbers(), split=Split(folds=2, sample=n))) for n in (200, 600))

    assert small < large


@pytest.mark.parametrize("exact_rows", [10**6, 10], ids=["by rank", "by place"])
@pytest.mark.parametrize("kind", ["random", "stratified", "time"])
def test_files_and_their_order_do_not_matter(
    kind: Any, exact_rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(split_draws, "EXACT_ROWS", exact_rows)
    rows = numbers(when=np.arange(2_000))
    shuffled = rows.take(np.random.default_rng(1).permutation(2_000))
    split = Split(kind=kind, folds=3, sample=500)

    one = ready(tmp_path / "a", rows, 1, split=split, time="when")
    other = ready(tmp_path / "b", shuffled, 7, split=split, time="when")

    assert segments(one) == segments(other)
    assert one.plan.token == other.plan.token
    assert one.plan.left_out == 1_600 - len(used(one)) == pytest.approx(1_100, abs=1 if exact_rows > 10 else 60)


@pytest.mark.parametrize("kind", ["random", "stratified", "group"])
def test_groups_stay_or_go_whole_also_large_ones(kind: Any, tmp_path: Path) -> None:
    house = np.where(np.arange(2_000) < 150, 10_000, np.arange(2_000) // 7)

    found = ready(tmp_path, numbers(house=house), 3, split=Split(kind=kind, folds=2, sample=0.4), group="house")

    sides = segments(found)
    of_house: dict[int, set[int]] = {}
    for x, segment in sides.items():
        of_house.setdefault(int(house[x]), set()).add(segment)
    assert all(len(parts) == 1 for parts in of_house.values())
    assert found.plan.left_out == pytest.approx(0.6 * (2_000 - found.plan.sizes["test"]), rel=0.05)


def test_copies_of_a_row_stay_or_go_together(tmp_path: Path) -> None:
    rows = pa.table({"x": np.repeat(np.arange(300), 4), "y": np.repeat(np.arange(300), 4) % 2})

    found = ready(tmp_path, rows, 5, split=Split(folds=2, sample=0.5))

    table = ranges_of(found).to_pandas()
    assert (table.groupby("x").segment.nunique() == 1).all()


@pytest.mark.parametrize("split", [{"window": 2}, {"gap": 20}], ids=str)
def test_of_a_split_by_time_every_piece_is_thinned_out(split: Any, tmp_path: Path) -> None:
    rows = numbers(when=np.arange(2_000))
    whole = ready(tmp_path, rows, split=Split(kind="time", folds=3, **split), time="when")

    found = ready(tmp_path, rows, split=Split(kind="time", folds=3, sample=0.5, **split), time="when")

    assert found.plan.folds == whole.plan.folds
    for fold in found.plan.folds:
        for side in (fold.train, fold.validation):
            assert found.plan.rows_of(side) == pytest.approx(whole.plan.rows_of(side) / 2, rel=0.2)
    assert found.plan.rows[-1] == whole.plan.rows[-1]


def test_a_predefined_test_stays_whole(tmp_path: Path) -> None:
    rows = numbers(part=np.where(np.arange(2_000) % 4 == 0, "test", "train"))

    found = ready(tmp_path, rows, split=Split(kind="predefined", folds=3, sample=300), fold="part")

    assert (found.plan.sizes["test"], found.plan.sizes["train"], found.plan.left_out) == (500, 300, 1_200)


def test_a_sample_beyond_the_rows_takes_all_and_says_so(tmp_path: Path) -> None:
    found = ready(tmp_path, numbers(), split=Split(folds=2, sample=5_000))

    assert (found.plan.left_out, found.plan.sizes["train"]) == (0, 1_600)
    assert found.plan.warnings == ("split.sample asks for 5,000 rows, and 1,600 are not test: all of them are used.",)


def test_groups_that_are_too_large_for_the_sample_are_told(tmp_path: Path) -> None:
    rows = numbers(house=np.arange(2_000) // 80)

    found = ready(tmp_path, rows, split=Split(folds=2, sample=200), group="house")

    assert any("was to have 200 rows, and has" in text and "groups" in text for text in found.plan.warnings)


def test_a_validation_part_of_a_sample_is_its_share_of_it(tmp_path: Path) -> None:
    found = ready(tmp_path, numbers(), split=Split(test=0.2, validation=0.1, sample=0.5))

    plan = found.plan
    assert plan.sizes["validation"] == pytest.approx(100, abs=15)
    assert plan.asked["validation"] == pytest.approx(0.05)
    assert not any("cannot be cut finer" in text for text in plan.warnings)


def test_the_default_of_folds_looks_at_the_sample() -> None:
    assert Split(sample=50_000).resolve(10**7, stops_early=False).folds == 3
    assert Split(sample=0.5).resolve(10**7, stops_early=False).validation == 0.1
