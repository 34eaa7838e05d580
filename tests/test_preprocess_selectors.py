"""Selectors: which chain a column follows, and what is said when that is in doubt."""

from __future__ import annotations

import string
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daskflow.core.errors import SettingsError
from daskflow.core.settings import parse
from daskflow.data.schema import Schema
from daskflow.preprocess.settings import Preprocessing
from daskflow.preprocess.steps import Drop

FEATURES = Schema.of(
    pa.schema(
        [
            ("age", pa.int64()),
            ("bill_1", pa.float64()),
            ("bill_2", pa.float64()),
            ("pay_1", pa.int8()),
            ("PAY_2", pa.float32()),
            ("city", pa.string()),
            ("seen", pa.timestamp("us")),
            ("born", pa.date32()),
            ("new", pa.bool_()),
            ("odd*name", pa.float64()),
            ("price", pa.decimal128(9, 2)),
        ]
    )
)


def kinds(columns: dict[str, Any], features: Schema = FEATURES) -> dict[str, str]:
    """The first step of every column's chain."""
    return {name: chain[0].kind for name, chain in Preprocessing(columns=columns).chains(features).items()}


def problems(columns: dict[str, Any]) -> dict[str, str]:
    """What is wrong, by place."""
    with pytest.raises(SettingsError) as caught:
        parse(Preprocessing, {"columns": columns}, "preprocess").check(FEATURES)
    return {problem.where: problem.message for problem in caught.value.problems}


def test_a_name_comes_before_a_pattern_and_a_pattern_before_a_type_whatever_the_order_written() -> None:
    # given selectors that all match bill_1, in the least favourable order
    columns = {"@float": "clip", "bill_*": "log", "bill_1": "drop"}

    # when they are resolved
    found = kinds(columns)

    # then the closest one counts for each column
    assert found["bill_1"] == "drop"
    assert found["bill_2"] == "log"
    assert found["PAY_2"] == "clip"
    assert found["age"] == "impute"


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("bill_?", {"bill_1", "bill_2"}),
        ("*_[12]", {"bill_1", "bill_2", "pay_1", "PAY_2"}),
        (r"/^pay_\d/", {"pay_1"}),
        (r"/^pay_\d/i", {"pay_1", "PAY_2"}),
        ("/l_/", {"bill_1", "bill_2"}),
        ("odd*name", {"odd*name"}),
        ("@integer", {"age", "pay_1"}),
        ("@float", {"bill_1", "bill_2", "PAY_2", "odd*name"}),
        ("@decimal", {"price"}),
        ("@numeric", {"age", "bill_1", "bill_2", "pay_1", "PAY_2", "odd*name", "price"}),
        ("@string", {"city"}),
        ("@categorical", {"city"}),
        ("@date", {"born"}),
        ("@timestamp", {"seen"}),
        ("@datetime", {"born", "seen"}),
        ("@bool", {"new"}),
        ("@boolean", {"new"}),
        ("@int8", {"pay_1"}),
        ("@float32", {"PAY_2"}),
    ],
)
def test_selectors_match_names_patterns_types_and_kinds(selector: str, names: set[str]) -> None:
    assert {name for name, kind in kinds({selector: "drop"}).items() if kind == "drop"} == names


def test_of_two_patterns_the_first_written_counts_and_the_plan_says_so() -> None:
    one = Preprocessing(columns={"*_1": "drop", "bill_*": "log"})
    other = Preprocessing(columns={"bill_*": "log", "*_1": "drop"})
    assert one.chains(FEATURES)["bill_1"][0].kind == "drop"
    assert other.chains(FEATURES)["bill_1"][0].kind == "log"
    assert one.notes(FEATURES)[0] == (
        "preprocess.columns: '*_1' and 'bill_*' both match 'bill_1'; '*_1' counts, for it is written first"
    )
    assert "'bill_*' counts" in other.notes(FEATURES)[0]
    assert one.identity() != other.identity()


def test_a_selector_that_decides_nothing_is_told() -> None:
    found = Preprocessing(columns={"city": "onehot", "@string": "ordinal"}).notes(FEATURES)
    assert "preprocess.columns: '@string' decides nothing: other selectors name its columns" in found


def test_selectors_that_match_nothing_or_cannot_be_read_are_all_refused_at_once() -> None:
    found = problems({"agee": "drop", "x_*": "drop", "/^zz/": "drop", "/(/": "drop", "@flot": "drop", "@int16": "drop"})
    assert found["preprocess.columns.agee"] == "there is no such feature; did you mean 'age'?"
    assert found["preprocess.columns.x_*"].startswith("no feature has a name like this; there is: 'age'")
    assert found["preprocess.columns./^zz/"].startswith("no feature has a name like this")
    assert found["preprocess.columns./(/"].startswith("is no regular expression")
    assert found["preprocess.columns.@flot"] == "there is no such type; did you mean '@float'?"
    assert found["preprocess.columns.@int16"].startswith("no feature is of this type")


def test_a_chain_that_does_not_fit_is_placed_at_its_selector() -> None:
    assert problems({"@datetime": ["scale"]}) == {
        "preprocess.columns.@datetime": "'scale' takes numbers or scaled or coded numbers, and gets dates"
    }


def test_passthrough_and_drop_are_words_for_whole_chains() -> None:
    chosen = Preprocessing(numeric="passthrough", datetime="drop", columns={"city": "drop"})
    chains = chosen.chains(FEATURES)
    assert [step.kind for step in chains["age"]] == ["passthrough"]
    assert chains["seen"] == chains["city"] == (Drop(),)
    assert not {"seen", "born", "city"} & set(chosen.needs(FEATURES))
    assert parse(Preprocessing, chosen.dump()) == chosen
    assert "no other step" in problems({"age": ["impute", "drop"]})["preprocess.columns.age"]


def test_the_plan_says_which_columns_a_selector_decides() -> None:
    said = Preprocessing(columns={"bill_*": ["impute"], "@float": "passthrough", "age": "drop"}).describe(FEATURES)
    assert said["bill_* ('bill_1', 'bill_2')"] == "impute"
    assert said["@float ('PAY_2', 'odd*name')"] == "passthrough"
    assert said["age"] == "drop"
    assert said["numeric"] == "impute, scale"


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(st.text(string.ascii_letters + "*?[]/@_ .", min_size=1, max_size=6), min_size=1, unique=True),
    place=st.integers(0, 30),
)
def test_any_name_selects_its_own_column_and_no_other_chain_takes_it(names: list[str], place: int) -> None:
    features = Schema.of(pa.schema([(name, pa.float64()) for name in names]))
    chosen = names[place % len(names)]
    found = kinds({"@float": "clip", chosen: "drop"}, features)
    assert found == {name: "drop" if name == chosen else "clip" for name in names}
