"""Derived columns are made row by row, and what is missing stays missing."""

from __future__ import annotations

import datetime
from typing import Any

import pyarrow as pa
import pytest

from daskflow.core.errors import DataError
from daskflow.data.derive import derive, extend
from daskflow.data.schema import Schema

ROWS = pa.table(
    {
        "delay": pa.array([20, None, 3]),
        "pay": pa.array([1.5, None, -2.0]),
        "income": pa.array([">50K.", None, "<=50K"]),
        "when": pa.array([datetime.datetime(2020, 1, 2), None, datetime.datetime(2021, 6, 1)], pa.timestamp("us")),
        "day": pa.array([datetime.date(2020, 1, 2), None, datetime.date(2021, 6, 1)]),
        "flag": pa.array([True, None, False]),
        "default.next": pa.array([1, 0, 1]),
    }
)


def value(expression: str) -> list[Any]:
    """What an expression gives on the three rows."""
    found: list[Any] = derive(ROWS, {"new": expression})["new"].to_pylist()
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("delay > 15", [True, None, False]),
        ("15 < delay < 30", [True, None, False]),
        ("delay != 20", [False, None, True]),
        ("income == '>50K.'", [True, None, False]),
        ("income != '>50K.'", [False, None, True]),
        ("'>50K.' == income", [True, None, False]),
        ("income.str.rstrip('.') == '>50K'", [True, None, False]),
        ("income in ['>50K.', 'x']", [True, None, False]),
        ("delay not in [3, 4]", [True, None, False]),
        ("when > '2020-06-01'", [False, None, True]),
        ("when == '2020-01-02'", [True, None, False]),
        ("day < '2020-06-01'", [True, None, False]),
        ("flag", [True, None, False]),
        ("not flag", [False, None, True]),
        ("flag and delay > 15 | income == 'x'", [True, None, False]),
        ("delay > 15 & pay > 0", [True, None, False]),
        ("when > '2020-06-01' or flag", [True, None, True]),
        ("income.str.startswith('>')", [True, None, False]),
        ("`default.next` == 1", [True, False, True]),
    ],
)
def test_a_comparison_with_a_missing_value_is_missing(expression: str, expected: list[Any]) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("delay.isna()", [False, True, False]),
        ("delay.fillna(0) > 15", [True, False, False]),
        ("income.fillna('') == ''", [False, True, False]),
        ("income.str.rstrip('.')", [">50K", None, "<=50K"]),
        ("income.str.len()", [5, None, 5]),
        ("delay / 2", [10.0, None, 1.5]),
        ("log(delay - 19)", [0.0, None, None]),
        ("pay.abs()", [1.5, None, 2.0]),
        ("pay * 0", [0.0, None, 0.0]),
        ("when.dt.year", [2020, None, 2021]),
        ("(when - when).dt.total_seconds()", [0.0, None, 0.0]),
        ("day.dt.month", [1, None, 6]),
    ],
)
def test_pandas_expressions_work(expression: str, expected: list[Any]) -> None:
    assert value(expression) == expected
    assert str(value(expression)) == str(expected), "0.0 and -0.0 are one value"


def test_a_later_column_may_use_an_earlier_one_and_replace_a_column() -> None:
    made = derive(ROWS, {"income": "income.str.rstrip('.')", "rich": "income == '>50K'"})

    assert made["rich"].to_pylist() == [True, None, False]
    assert made.column_names[:3] == ["delay", "pay", "income"]


@pytest.mark.parametrize(
    "expression", ["pay - pay.max()", "delay.rank()", "pay.cumsum()", "index * delay", "pay.shift(1)"]
)
def test_an_expression_that_looks_at_other_rows_is_refused(expression: str) -> None:
    rows = pa.table({"pay": [float(i) for i in range(5_000)], "delay": [i % 89 for i in range(5_000)]})

    with pytest.raises(DataError, match="looks at other rows than its own"):
        derive(rows, {"new": expression})


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("dleay > 15", r"derive.new = 'dleay > 15'.*'dleay' is not defined.*Columns there are: delay, pay"),
        ("delay >", "derive.new = 'delay >' is no expression"),
        ("income > 15", "derive.new = 'income > 15' cannot be evaluated"),
        ("delay.sum()", "gives one value, not one value per row"),
        ("7", "gives one value, not one value per row"),
        ("when - when", "gives duration.*total_seconds"),
        ("@delay > 1", "is no expression"),
        ("__import__('os').getcwd()", "cannot be evaluated"),
    ],
)
def test_a_wrong_expression_is_named_with_its_column(expression: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        derive(ROWS, {"new": expression})


def test_the_schema_is_known_without_reading() -> None:
    schema = extend(Schema.of(ROWS.schema), {"late": "delay > 15", "income": "income.str.strip()", "half": "delay / 2"})

    assert [(c.name, c.type) for c in schema.columns if c.name in ("late", "income", "half")] == [
        ("income", "string"),
        ("late", "bool"),
        ("half", "double"),
    ]


def test_a_partition_of_gaps_alone_has_the_same_types() -> None:
    schema = extend(Schema.of(ROWS.schema), {"late": "delay > 15"})
    empty = ROWS.slice(1, 1)

    made = derive(empty, {"late": "delay > 15"}, schema)

    assert made.schema.field("late").type == pa.bool_()
    assert made["late"].to_pylist() == [None]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("small + small", [240, None]),
        ("small * 2", [240, None]),
        ("unsigned - 2", [-1, None]),
        ("-unsigned", [-1, None]),
        ("middle + 1", [2**31, None]),
        ("middle ** 2", [(2**31 - 1) ** 2, None]),
    ],
)
def test_narrow_integers_are_widened_before_they_are_added(expression: str, expected: list[Any]) -> None:
    rows = pa.table(
        {
            "small": pa.array([120, None], pa.int8()),
            "unsigned": pa.array([1, None], pa.uint8()),
            "middle": pa.array([2**31 - 1, None], pa.int32()),
        }
    )
    assert derive(rows, {"new": expression})["new"].to_pylist() == expected


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("a + 1", "a \\+ 1"),
        ("a * b // b", "a \\* b"),
        ("b - a - a", "b - a - a"),
        ("a.fillna(0) * 2 > 0", "a.fillna\\(0\\) \\* 2"),
        ("b ** 80", "b \\*\\* 80"),
        ("u - 5", "u - 5"),
        ("-u", "-u"),
    ],
)
def test_whole_numbers_that_leave_64_bits_are_refused_and_never_wrapped_round(expression: str, said: str) -> None:
    rows = pa.table({"a": [None, 2**63 - 1], "b": [-2, 2], "u": pa.array([3, 4], pa.uint64())})
    with pytest.raises(DataError, match=f"{said} does not fit the 64 bits .*astype"):
        derive(rows, {"new": expression})
    # and the remedy works
    assert derive(rows, {"new": "a.astype('Float64') + 1"})["new"].to_pylist() == [None, 2.0**63]


def test_large_whole_numbers_stay_exact_where_they_fit() -> None:
    rows = pa.table({"a": [2**62, -(2**62), None], "b": [2**62 - 1, 5, 7]})
    assert derive(rows, {"new": "a + b"})["new"].to_pylist() == [2**63 - 1, 5 - 2**62, None]
    assert derive(rows, {"new": "a % 10 * 2"})["new"].to_pylist() == [2**62 % 10 * 2, -(2**62) % 10 * 2, None]
    assert derive(rows, {"new": "a - b"})["new"].to_pylist() == [1, -(2**62) - 5, None]
