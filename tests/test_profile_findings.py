"""Findings: each tells what it was made for, with a remedy that works, and is silent about what is usual."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from daskflow.core.errors import DataError
from daskflow.data.derive import derive
from daskflow.data.profile_drift import stability
from daskflow.data.table_profile import Severity
from tests.profiled import profiled, said

RNG = np.random.default_rng(0)
N = 600
Y = np.tile([0, 1, 0], N // 3)


def usual(**columns: Any) -> pd.DataFrame:
    """A table about which there is nothing to say, with some columns to look at."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"size": rng.normal(5, 2, N), "colour": rng.choice(["red", "green", "blue"], N)})
    return frame.assign(**columns)


def test_nothing_is_said_of_a_usual_table(tmp_path: Path) -> None:
    assert profiled(usual(y=Y), tmp_path, parts=4, target="y").findings == ()


@pytest.mark.parametrize(
    ("column", "values", "severity", "words"),
    [
        ("c", np.full(N, 7), Severity.WARNING, "'c' is 7 in every row"),
        ("c", pd.array([None] * N, dtype="str"), Severity.WARNING, "has no value in any row"),
        ("c", np.where(RNG.random(N) < 0.6, np.nan, RNG.normal(size=N)), Severity.WARNING, "has no value in 3"),
        ("c", np.where(RNG.random(N) < 0.2, np.nan, RNG.normal(size=N)), Severity.NOTE, "has no value in 1"),
        ("c", np.where(np.arange(N) < 3, np.inf, RNG.normal(size=N)), Severity.PROBLEM, "infinite in 3 rows (0.5 %)"),
        ("c", np.arange(N), Severity.WARNING, "is different in every row"),
        ("c", [f"u-{i}" for i in range(N)], Severity.WARNING, "looks like an identifier"),
        ("c", [f"text {i % 400}" for i in range(N)], Severity.NOTE, "400 different texts in 600 rows"),
        ("c", RNG.choice(["usa", "USA", " Usa ", "uk"], N), Severity.WARNING, "1 level in several spellings"),
        ("c", RNG.choice(["a ", "b"], N), Severity.WARNING, "begins or ends with blanks"),
        ("c", RNG.choice(["", "b", "  "], N), Severity.NOTE, "is blank (not missing)"),
        ("c", RNG.choice(["?", "b", "d"], N), Severity.WARNING, "looks like a word for missing"),
        ("c", RNG.choice(["1.50", "20", "1,000", "300"], N), Severity.NOTE, "all its values look like numbers"),
        ("c", RNG.choice(["2020-01-05", "2021-12-31 10:20"], N), Severity.NOTE, "all its values look like dates"),
        ("c", np.where(np.arange(N) % 100 == 0, -999, RNG.normal(20, 3, N)), Severity.WARNING, "is -999 in 6 rows"),
        ("c", np.where(np.arange(N) % 9 == 0, -1, RNG.integers(18, 90, N)), Severity.WARNING, "is -1 in 67 rows"),
    ],
)  # fmt: skip
def test_a_remarkable_column_is_told(column: str, values: Any, severity: Severity, words: str, tmp_path: Path) -> None:
    found = said(profiled(usual(**{column: values}), tmp_path), column, words)
    assert found.severity is severity
    assert found.remedy


def test_nearly_all_numbers_among_texts_name_how_many_are_none(tmp_path: Path) -> None:
    values = [str(i % 50 + 1) for i in range(N)]
    values[5] = "n. a."
    found = said(profiled(usual(c=values), tmp_path), "c", "look like numbers")
    assert "the 1 others keep it from being so" in found.remedy


def test_codes_with_leading_zeros_are_no_numbers(tmp_path: Path) -> None:
    found = profiled(usual(c=[f"{i % 90:05}" for i in range(N)]), tmp_path)
    assert not [finding for finding in found.findings if "numbers" in finding.sentence]


def test_columns_that_hardly_vary_are_told_together(tmp_path: Path) -> None:
    n = 5_000
    frame = pd.DataFrame({"a": RNG.normal(size=n)} | {f"b{i}": np.arange(n) == i for i in range(3)})
    found = said(profiled(frame, tmp_path), None, "3 columns hardly vary")
    assert "'b0' is False in all but 1" in found.sentence


def test_equal_columns_are_told_once_whatever_their_types(tmp_path: Path) -> None:
    whole = RNG.integers(0, 50, N)
    frame = usual(a=whole, b=whole.astype(float), other=whole[::-1].copy(), t=whole.astype(str))
    found = profiled(frame, tmp_path, parts=3)
    assert found.equal_columns == (("a", "b"),)
    assert said(found, "a", "'a' and 'b' have the same value in every row").remedy == "Keep one: drop = ['b']."


def test_repeated_rows_are_counted_and_many_are_a_warning(tmp_path: Path) -> None:
    frame = usual()
    found = profiled(pd.concat([frame, frame.head(300)]), tmp_path, parts=3)
    told = said(found, None, "300 of 900 rows (33.3 %) repeat another row; the most frequent stands 2 times")
    assert told.severity is Severity.WARNING
    few = said(profiled(pd.concat([frame, frame.head(3)]), tmp_path / "few"), None, "3 of 603 rows")
    assert few.severity is Severity.NOTE


def test_strong_correlations_are_told_but_not_those_of_few_rows(tmp_path: Path) -> None:
    x = RNG.normal(size=N)
    frame = usual(a=x, b=-x + RNG.normal(size=N) * 0.01)
    assert "'b' and 'a' by -1.000" in said(profiled(frame, tmp_path), "b", "almost the same").sentence
    assert profiled(frame.head(10), tmp_path / "few").findings == ()


@pytest.mark.parametrize(
    ("task", "leak"),
    [("binary", Y * 3.0 + 1), ("binary", np.where(Y == 1, "good", "bad")), ("binary", -Y - RNG.random(N) * 0.5)],
)
def test_a_column_that_gives_a_class_away_is_a_problem(task: str, leak: Any, tmp_path: Path) -> None:
    found = profiled(usual(y=Y, leak=leak), tmp_path, parts=2, target="y", task=task)
    told = said(found, "leak", "a suspected leak")
    assert told.severity is Severity.PROBLEM
    assert "drop = ['leak']" in told.remedy
    assert found["size"].power.strength < 0.3


@pytest.mark.parametrize("leak", [lambda y: y * 3 - 1, lambda y: np.exp(y), lambda y: np.floor(y * 50).astype(int)])
def test_a_column_that_gives_a_number_away_is_a_problem(leak: Any, tmp_path: Path) -> None:
    y = RNG.normal(size=4 * N)
    frame = pd.DataFrame({"y": y, "leak": leak(y), "noise": RNG.normal(size=4 * N)})
    found = profiled(frame, tmp_path, target="y")
    assert said(found, "leak", "of the variance of 'y': a suspected leak").severity is Severity.PROBLEM
    assert found["noise"].power.share < 0.05


def test_chance_is_no_leak_an_identifier_explains_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(
        {"y": rng.integers(0, 2, N), "who": [f"p{i}" for i in range(N)], "often": rng.integers(0, 250, N)}
    )
    found = profiled(frame, tmp_path, target="y")
    assert found["who"].power.share == 0
    assert found["often"].power.share < 0.05
    number = profiled(frame.assign(y=rng.normal(size=N)), tmp_path / "number", target="y")
    assert number["who"].power.share < 0.05
    assert number["often"].power.share < 0.1


def test_a_target_with_gaps_is_a_problem_and_its_other_rows_still_count(tmp_path: Path) -> None:
    y = pd.array(np.where(np.arange(N) < 6, None, Y), dtype="Int64")
    found = profiled(usual(y=y, leak=Y), tmp_path, target="y")
    assert said(found, "y", "no value in 6 rows (1.0 %)").severity is Severity.PROBLEM
    assert sum(found.target.counts) == N - 6
    assert said(found, "leak", "a suspected leak")


def test_a_target_of_one_class_is_a_problem(tmp_path: Path) -> None:
    assert said(profiled(usual(y="x"), tmp_path, target="y"), "y", "one class only: 'x'").severity is Severity.PROBLEM


def test_rare_classes_and_partitions_of_one_class_are_told(tmp_path: Path) -> None:
    # given three partitions, the last of one class, and a class of four rows
    y = np.array(["a"] * 396 + ["rare"] * 4 + ["b"] * 200)
    y[:200:3] = "b"
    found = profiled(usual(y=y), tmp_path, parts=3, target="y")
    assert "'rare' 4" in said(found, "y", "1 class has fewer than 10 rows").sentence
    assert said(found, "y", "1 of 3 partitions hold one class only (part.2: 'b')")
    assert found.target.single_class == (("part.2", "b"),)


def test_many_classes_are_counted_together_beyond_fifty(tmp_path: Path) -> None:
    y = np.array([f"c{i % 60:02}" for i in range(N)])
    found = profiled(usual(y=y, leak=y), tmp_path, target="y")
    assert (len(found.target.classes), found.target.others, sum(found.target.counts)) == (50, 100, 500)
    assert said(found, "leak", "a suspected leak")


def test_drift_is_found_in_numbers_levels_and_gaps_and_not_in_samples_of_one_population(tmp_path: Path) -> None:
    # given columns that change half-way, and one that does not
    late = np.arange(4 * N) >= 2 * N
    frame = pd.DataFrame(
        {
            "same": RNG.normal(size=4 * N),
            "number": RNG.normal(size=4 * N) + late,
            "level": np.where(late, RNG.choice(["a", "b"], 4 * N), RNG.choice(["a", "c"], 4 * N)),
            "gaps": np.where(late & (RNG.random(4 * N) < 0.5), np.nan, RNG.normal(size=4 * N)),
        }
    )
    # when
    found = profiled(frame, tmp_path, parts=8)
    # then
    told = said(found, None, "3 columns differ between the first and the last partitions")
    assert told.severity is Severity.WARNING
    assert found["same"].drift.psi < 0.02
    assert all(found[name].drift.psi > 0.25 for name in ("number", "level", "gaps"))
    first, last = frame["number"][:600], frame["number"][-600:]
    points = np.sort(frame["number"])
    distance = max(abs((first <= p).mean() - (last <= p).mean()) for p in points)
    assert found["number"].drift.ks == pytest.approx(distance, abs=1e-12)
    assert found["gaps"].drift.missing_last == pytest.approx(frame["gaps"][-600:].isna().mean())


def test_the_stability_index_is_its_formula_less_what_chance_gives() -> None:
    bins = np.array([[400, 100], [300, 300], [300, 600]])
    first, last = bins[:, 0] / 1000, bins[:, 1] / 1000
    expected = ((last - first) * np.log(last / first)).sum() - 2 * (1 / 1000 + 1 / 1000)
    assert stability(bins) == pytest.approx(expected)


def test_chance_alone_gives_no_drift_on_average() -> None:
    rng = np.random.default_rng(8)
    found = [stability(rng.multinomial(200, np.full(20, 0.05), size=2).T) for _ in range(200)]
    assert float(np.mean(found)) < 0.05


def test_what_rises_from_partition_to_partition_is_an_order_and_no_drift(tmp_path: Path) -> None:
    when = pd.date_range("2024-01-01", periods=N, freq="h")
    found = profiled(usual(number=np.arange(N) // 2, when=when), tmp_path, parts=4)
    assert found["number"].rises
    assert said(found, "number", "rises from partition to partition")
    assert "time = 'when'" in said(found, "when", "The partitions are in the order of 'when'").remedy
    assert not [finding for finding in found.findings if "differ between" in finding.sentence]


def test_a_hole_in_the_days_is_told(tmp_path: Path) -> None:
    days = pd.date_range("2024-01-01", periods=N, freq="D").to_series().reset_index(drop=True)
    days[300:] += pd.Timedelta(days=90)
    said(
        profiled(usual(when=days.sample(frac=1, random_state=0).to_numpy()), tmp_path), "when", "no row in the 90 days"
    )


def test_a_column_that_some_files_lack_is_told(tmp_path: Path) -> None:
    values = np.where(np.arange(N) < 150, np.nan, RNG.normal(size=N))
    said(profiled(usual(c=values), tmp_path, parts=4), "c", "is missing in all rows of 1 of 4 stretches")


def test_uneven_and_empty_partitions_are_told(tmp_path: Path) -> None:
    whole = pa.Table.from_pandas(pd.DataFrame({"x": RNG.normal(size=30_000)}))
    pieces = [whole.slice(0, 100), whole.slice(100, 29_800), whole.slice(0, 0), whole.slice(29_900)]
    found = profiled(pieces, tmp_path)
    said(found, None, "1 of 4 partitions have no rows")
    said(found, None, "the largest has 29,800 rows")


def test_remedies_are_toml_and_do_what_they_say(tmp_path: Path) -> None:
    # given levels in several spellings under a name that TOML quotes, and a number that stands for missing
    frame = usual(
        **{"my col": RNG.choice(["usa.", "USA", " Usa"], N)}, age=np.where(Y == 1, 999, RNG.integers(18, 90, N))
    )
    found = profiled(frame, tmp_path)
    rows = pa.Table.from_pandas(frame, preserve_index=False)
    # when
    for column, words in (("my col", "several spellings"), ("age", "may stand for missing")):
        option = re.search(r"derive = \{.*\}", said(found, column, words).remedy)
        rows = derive(rows, tomllib.loads(option[0])["derive"])
    # then
    assert rows.column("my col").unique().to_pylist() == ["usa"]
    assert rows.column("age").null_count == int(Y.sum())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": ["sise"]}, "there is no column 'sise'.*size"),
        ({"target": "colour", "task": "regression"}, "The target 'colour' is text"),
        ({"target": "when"}, "The target 'when' holds dates"),
        ({"target": "id", "task": "multiclass"}, "more distinct values than a classification can have"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_sentence(options: Any, message: str, tmp_path: Path) -> None:
    many = pd.DataFrame(
        {"size": 1.5, "colour": "red", "when": pd.Timestamp("2024-01-01"), "id": [str(i) for i in range(10_500)]}
    )
    with pytest.raises(DataError, match=message):
        profiled(many, tmp_path, **options)


def test_chosen_columns_come_with_the_target_in_the_order_of_the_table(tmp_path: Path) -> None:
    found = profiled(usual(y=Y, z=1.0), tmp_path, columns=["y", "size"], target="y")
    assert [column.name for column in found.columns] == ["size", "y"]
    assert found.duplicates == 0  # told over all columns
