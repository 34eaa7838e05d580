"""Folds may be drawn again and again, and a column may say them: shares stay exact, the test stays the same."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from sklearn.model_selection import PredefinedSplit, RepeatedStratifiedKFold

from daskflow.core.errors import DataError, SettingsError
from daskflow.data import split_draws as draws_room
from daskflow.data.splits import TEST, Split
from tests.small_tables import Prepared, cut, people, prepared, ranges_of, table_of


def numbers(n_rows: int, **columns: Any) -> pa.Table:
    """Distinct rows with a target of two classes."""
    return pa.table({"x": np.arange(n_rows), "y": np.arange(n_rows) % 2, **columns})


def validated(ready: Prepared) -> list[set[int]]:
    """The rows that each fold validates on."""
    frame = ranges_of(ready).to_pandas()
    return [set(frame.x[frame.segment.isin(fold.validation)]) for fold in ready.plan.folds]


def test_every_repeat_cuts_the_same_rows_into_exact_folds_of_its_own(tmp_path: Path) -> None:
    table = table_of(cut(numbers(1_000), 3), target="y")

    ready = prepared(table, tmp_path, Split(kind="stratified", folds=5, repeats=3))
    once = prepared(table, tmp_path, Split(kind="stratified", folds=5))

    folds = validated(ready)
    assert ready.plan.sizes == {"train": 800, "validation": 0, "test": 200}
    assert [len(fold) for fold in folds] == [160] * 15
    for repeat in range(3):
        assert len(set().union(*folds[5 * repeat : 5 * repeat + 5])) == 800
    assert folds[:5] == validated(once), "the first repeat is the split without repeats"
    shared = [len(one & other) for one, other in itertools.combinations(folds, 2) if one & other]
    assert max(shared) < 60, "folds of different repeats share a fifth"
    assert ready.plan.class_rows is not None
    for fold in ready.plan.folds:
        assert ready.plan.class_rows[list(fold.validation)].sum(axis=0).tolist() == [80, 80]
        assert set(fold.train) | set(fold.validation) == set(range(ready.plan.n_segments))
        assert not set(fold.train) & set(fold.validation)


def test_a_validation_part_may_be_drawn_several_times(tmp_path: Path) -> None:
    ready = prepared(table_of([numbers(1_000)], target="y"), tmp_path, Split(validation=0.1, repeats=4))

    folds = validated(ready)
    assert [len(fold) for fold in folds] == [100] * 4
    assert len(set().union(*folds)) > 300
    assert ready.plan.sizes == {"train": 800, "validation": 0, "test": 200}


@pytest.mark.parametrize("exact", [True, False], ids=["by rank", "by place"])
@pytest.mark.parametrize("kind", ["random", "stratified", "group"])
def test_groups_stay_together_in_every_repeat_however_large_the_table(
    kind: Any, exact: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draws_room, "EXACT_ROWS", 10**6 if exact else 0)

    ready = prepared(
        table_of(cut(people(3_000), 3), target="late", group="house"), tmp_path, Split(kind=kind, folds=2, repeats=3)
    )

    frame = ranges_of(ready).to_pandas()
    assert frame.groupby("house").segment.nunique().max() == 1
    sizes = [ready.plan.rows_of(fold.validation) for fold in ready.plan.folds]
    assert np.array(sizes) == pytest.approx([1_200] * 6, abs=90)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"folds": 5, "repeats": 4}, "625 combinations, and at most 254 can be told apart: 5 folds may have 3 repeats"),
        ({"repeats": 6}, "729 combinations"),
        ({"validation": 0.1, "repeats": 8}, "256 combinations"),
        ({"repeats": 0}, "greater than or equal to 1"),
        ({"kind": "predefined", "test": 0.2}, "the column says which rows are test: leave test out"),
    ],
)
def test_repeats_that_cannot_be_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Split(**values)


def test_repeats_are_as_even_as_scikit_learns_on_a_real_table(shared_data: Path, tmp_path: Path) -> None:
    import pyarrow.csv

    # given 30,000 rows, 22 % of which are of the rarer class
    (path,) = (shared_data / "credit_default").glob("*.csv.gz")
    rows = pyarrow.csv.read_csv(path)
    target = "default.payment.next.month"
    # when
    split = Split(kind="stratified", folds=3, repeats=2, test=0)
    ready = prepared(table_of(cut(rows, 4), target=target, task="binary"), tmp_path, split)
    # then every fold has the size and the classes that scikit-learn gives it
    y = rows[target].to_numpy()
    theirs = RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=0).split(y, y)
    assert ready.plan.class_rows is not None
    for fold, (_, test) in zip(ready.plan.folds, theirs, strict=True):
        ours = ready.plan.class_rows[list(fold.validation)].sum(axis=0)
        assert np.abs(ours - np.bincount(y[test])).max() <= 1


WORDS = st.sampled_from(
    [
        ("train", "validation", "test"),
        ("Training", " VAL ", "holdout"),
        ("train", "test"),
        ("0", "1", "2", "test"),
        ("-1", "0", "1"),
        ("train", "7"),
        ("north", "south", "west", "test"),
    ]
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=WORDS, draws=st.lists(st.integers(0, 20), min_size=60, max_size=100), turned=st.booleans())
def test_for_any_words_a_column_says_where_rows_stand_and_files_do_not_matter(
    words: tuple[str, ...], draws: list[int], turned: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    said = [words[i % len(words)] if i < 20 else words[k % len(words)] for i, k in enumerate(draws)]
    rows = numbers(len(said), part=said)
    pieces = cut(rows, 3)

    found = [
        prepared(table_of(parts, target="y", fold="part"), tmp_path_factory.mktemp("s"), Split(kind="predefined"))
        for parts in ([rows], pieces[::-1] if turned else pieces)
    ]

    assert found[0].plan.token == found[1].plan.token
    frame = ranges_of(found[1]).to_pandas()
    plain = frame.part.str.strip().str.lower()
    is_test = plain.isin(["test", "holdout"])
    assert is_test.equals(frame.segment == TEST)
    always = plain.isin(["train", "training", "-1"])
    folds = sorted(set(plain[~is_test & ~always]))
    if folds:
        assert len(found[1].plan.folds) == len(folds)
        for word, fold in zip(folds, found[1].plan.folds, strict=True):
            assert frame.segment.isin(fold.validation).equals(plain == word)
            assert frame.segment.isin(fold.train).equals((plain != word) & ~is_test)
    else:
        assert len(found[1].plan.folds) == 3
        assert found[1].plan.rows_of(tuple(range(3))) == (~is_test).sum()
    assert "part" not in found[1].blocks.features


def test_fold_numbers_are_those_of_scikit_learns_predefined_split(tmp_path: Path) -> None:
    fold = np.random.default_rng(0).integers(-1, 4, 300)

    ready = prepared(
        table_of(cut(numbers(300, fold=fold), 3), target="y", fold="fold"), tmp_path, Split(kind="predefined")
    )

    theirs = [set(test) for _, test in PredefinedSplit(fold).split()]
    assert validated(ready) == theirs
    assert ready.plan.sizes == {"train": 300, "validation": 0, "test": 0}


def test_a_given_test_leaves_the_folds_of_the_rest_to_the_draw(tmp_path: Path) -> None:
    rows = numbers(1_000, house=np.arange(1_000) // 5, part=["test" if i >= 700 else "train" for i in range(1_000)])
    table = table_of(cut(rows, 3), target="y", fold="part", group="house")

    ready = prepared(table, tmp_path, Split(kind="predefined", folds=5, repeats=2))

    assert [len(fold) for fold in validated(ready)] == [140] * 10
    frame = ranges_of(ready).to_pandas()
    assert set(frame.x[frame.segment == TEST]) == set(range(700, 1_000))
    assert frame.groupby("house").segment.nunique().max() == 1
    assert ready.plan.warnings == ()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "validation", "3"], "only 'test' may stand"),
        (["train", "tset", "validation"], "only 'test' may stand"),
        (["train", "south"], "or numbers of folds beside 'train'"),
        (["1", "2", "south"], "holds numbers and names"),
        (["train"], None),
        (["validation", "test"], "nothing to train on"),
        (["1", "test"], "nothing to validate by"),
        (["train", None], "have no 'part'. Drop those rows"),
        ([True, False], "'part' is bool, and should hold words"),
        ([f"site {i}" for i in range(101)], "names more than 100 folds"),
    ],
)
def test_words_that_make_no_split_are_refused(words: list[Any], said: str | None, tmp_path: Path) -> None:
    rows = numbers(300, part=pa.array([words[i % len(words)] for i in range(300)]))
    table = table_of(cut(rows, 2), target="y", fold="part")
    if said is None:
        assert prepared(table, tmp_path, Split(kind="predefined")).plan.sizes["test"] == 0
        return
    with pytest.raises(DataError, match=said):
        prepared(table, tmp_path, Split(kind="predefined"))


def test_a_predefined_split_without_its_column_says_how_to_name_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="say fold = 'COLUMN' under"):
        prepared(table_of([numbers(40)], target="y"), tmp_path, Split(kind="predefined"))


def test_groups_that_a_column_cuts_are_a_warning(tmp_path: Path) -> None:
    rows = numbers(400, house=np.arange(400) // 4, part=[["train", "validation"][i % 40 == 0] for i in range(400)])

    plan = prepared(table_of([rows], target="y", fold="part", group="house"), tmp_path, Split(kind="predefined")).plan

    assert any("10 of the groups ('house') have rows in several parts of 'part'" in text for text in plan.warnings)


@pytest.mark.parametrize("kind", ["random", "time"])
def test_a_fold_that_lacks_a_class_is_a_warning_with_the_fold(kind: Any, tmp_path: Path) -> None:
    labels = ["rare" if i < 2 else "no" for i in range(400)]
    rows = pa.table({"x": np.arange(400), "y": labels, "when": np.arange(400)})

    plan = prepared(table_of([rows], target="y", time="when"), tmp_path, Split(kind=kind, folds=3)).plan

    (said,) = [text for text in plan.warnings if "'rare'" in text]
    assert said.startswith("Class 'rare' of 'y' has 2 rows, and none of them is in")
    if kind == "time":
        assert "what folds 1, 2, 3 validate on, nor in the test part: scores there say nothing of it." in said
    else:
        assert "kind = 'stratified'" in said


def test_stratified_keeps_a_rare_class_in_every_part(tmp_path: Path) -> None:
    rows = pa.table({"x": np.arange(2_000), "y": ["rare" if i % 400 == 0 else "no" for i in range(2_000)]})

    plan = prepared(table_of([rows], target="y"), tmp_path, Split(kind="stratified", folds=4)).plan

    assert plan.class_rows is not None
    assert plan.class_rows[:, plan.class_rows.sum(axis=0).argmin()].tolist() == [1, 1, 1, 1, 1]
    assert plan.warnings == ()
