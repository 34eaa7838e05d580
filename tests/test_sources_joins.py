"""Joined tables as a workflow names them: any source, read once, refused where they are not what they should be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import daskflow as flow
from daskflow.core.errors import DataError, SettingsError
from daskflow.data.execution import InlineExecutor
from daskflow.data.scan import scan
from daskflow.sources import REGISTRY

TRIPS = pd.DataFrame({"to": ["Rom", "Ulm", "Oslo"], "day": [1, 2, 3], "late": [True, False, True]})
CITIES = "city,height,country\nUlm,478,DE\nRom,21,IT\n"


def table(*joins: Any, base: Path = Path(), frame: pd.DataFrame = TRIPS, **options: Any) -> Any:
    """A lazy table of trips with joins."""
    return flow.sources.Frame(frame=frame, target="late", joins=list(joins), **options).table(base)


def rows(opened: Any) -> Any:
    """The rows in the order of the trips."""
    return opened.to_dask().compute().sort_values("day")


@pytest.fixture
def cities(tmp_path: Path) -> Path:
    """A small table beside the workflow file."""
    path = tmp_path / "cities.csv"
    path.write_text(CITIES)
    return path


def on(**options: Any) -> dict[str, Any]:
    """The join of the cities, as a TOML file says it."""
    return {"path": "cities.csv", "left_on": ["to"], "right_on": ["city"], **options}


def test_a_relative_path_starts_from_the_folder_of_the_workflow(cities: Path, tmp_path: Path) -> None:
    opened = table(on(), base=tmp_path)

    assert opened.schema.names == ("to", "day", "late", "height", "country")
    assert rows(opened)["height"].tolist()[:2] == [21, 478]
    with pytest.raises(DataError, match=r"cities\.csv"):
        table(on(), base=tmp_path / "elsewhere")


@pytest.mark.parametrize("kind", sorted(set(REGISTRY.kinds) - {"http", "sql"}))
def test_every_kind_of_source_joins_and_says_where_it_starts_from(kind: str, cities: Path, tmp_path: Path) -> None:
    # given the trips as files of the kind
    whole = pa.Table.from_pandas(TRIPS, preserve_index=False)
    options: dict[str, Any] = {"target": "late", "joins": [on(null_keys="unmatched")]}
    if kind == "parquet":
        import pyarrow.parquet

        pyarrow.parquet.write_table(whole, tmp_path / "trips.parquet")
    elif kind == "csv":
        TRIPS.to_csv(tmp_path / "trips.csv", index=False)
    elif kind == "json":
        TRIPS.to_json(tmp_path / "trips.json", orient="records", lines=True)
    elif kind == "arrow":
        with pa.ipc.new_file(str(tmp_path / "trips.arrow"), whole.schema) as writer:
            writer.write_table(whole)
    if kind == "generated":
        texts = [c.name for c in REGISTRY.parse({"kind": kind}).table().schema.columns if c.type == "string"]
        options = {"joins": [on(left_on=texts[:1])]}
    elif kind == "frame":
        options["frame"] = TRIPS
    else:
        options["path"] = f"trips.{kind}"
    # when
    opened = REGISTRY.parse({"kind": kind, **options}).table(tmp_path)
    # then
    assert "height" in opened.schema


def test_any_source_with_its_options_is_a_small_table(tmp_path: Path) -> None:
    # given a small table of other words, numbers and separators
    (tmp_path / "staedte.csv").write_text("ORT;HOEHE\nulm;478,5\nrom;21,0\n")
    join = flow.sources.Join(
        source=flow.sources.Csv(
            path="staedte.csv", separator=";", decimal=",", derive={"city": "ORT.str.capitalize()"}
        ),
        left_on="to",
        right_on="city",
        columns=["HOEHE"],
        prefix="to_",
        suffix="_m",
    )

    opened = table(join, base=tmp_path, derive={"high": "to_HOEHE_m > 100"})

    assert opened.schema.names == ("to", "day", "late", "to_HOEHE_m", "high")
    assert rows(opened)["high"].tolist()[:2] == [False, True]


def test_a_frame_is_a_small_table_and_so_is_a_dask_frame(tmp_path: Path) -> None:
    import dask.dataframe as dd

    small = pd.DataFrame({"to": ["Rom", "Ulm"], "height": [21, 478]})

    tokens = [
        table(flow.sources.Join(source=flow.sources.Frame(frame=frame), on="to")).joins[0].token
        for frame in (small, dd.from_pandas(small, npartitions=2))
    ]

    assert len(tokens) == 2


def test_words_go_there_and_back(cities: Path, tmp_path: Path) -> None:
    source = REGISTRY.parse({"kind": "frame", "frame": TRIPS, "joins": [on(how="inner", prefix="x_")]})

    again = REGISTRY.parse({"kind": "frame", "frame": TRIPS, "joins": source.dump()["joins"]})

    assert again.joins == source.joins
    assert source.dump()["joins"][0]["source"]["path"] == "cities.csv"
    assert "path" not in source.identity()["joins"][0]["source"]


@pytest.mark.parametrize(
    ("join", "said"),
    [
        ({"path": "cities.csv"}, r"joins\.0: name the keys by on"),
        ({"path": "cities.csv", "on": ["a"], "left_on": ["b"]}, "name the keys by on"),
        ({"path": "cities.csv", "left_on": ["a", "b"], "right_on": ["c"]}, "as many columns as each other"),
        ({"path": "cities.csv", "on": ["a", "a"]}, "'a' stands twice"),
        ({"path": "cities.csv", "on": "a", "how": "outer"}, r"joins\.0\.how.*left.*inner"),
        ({"path": "cities.csv", "on": "a", "hwo": "left"}, "no such option"),
        ({"path": "cities.csv", "on": "a", "target": "b"}, "target.*means nothing for a joined table"),
        ({"path": "cities.xyz", "on": "a"}, "kind.*suffix that tells no kind"),
        ({"on": "a"}, r"kind.*is required"),
        ("cities.csv", r"should be tables, each with path and on: \[\[data\.joins\]\]"),
    ],
)
def test_a_join_that_cannot_be_is_refused_by_its_place(join: Any, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        REGISTRY.parse({"kind": "csv", "path": "trips.csv", "joins": [join]}, where="data")


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (
            "city,h\nUlm,1\nUlm,2\nRom,3\n",
            {},
            r"1 key stands in several rows of the small table: city = 'Ulm'\. .*duplicate",
        ),
        ("city,h\nUlm,1\n,2\n", {}, r"1 of 2 rows of the small table have no value in a key \('to'\).*null_keys"),
        ("city,day\nUlm,1\n", {}, r"adds 'day', which the rows have already.*prefix"),
        ("town,h\nUlm,1\n", {}, "right_on names 'city', which is no column of the small table"),
        (CITIES, {"left_on": ["from"]}, "left_on names 'from', which is no column of the rows"),
        (CITIES, {"columns": ["hight"]}, "columns names 'hight'.*did you mean 'height'"),
        (CITIES, {"left_on": ["day"]}, "the key 'day' is int64 in the rows, and 'city' is string in the small table"),
        (CITIES, {"most_bytes": 10}, "bytes in memory, more than most_bytes = 10"),
        ("city,h\n", {"null_keys": "unmatched"}, "."),
    ],
    ids=["duplicates", "gaps", "names", "right key", "left key", "columns", "types", "size", "empty"],
)
def test_a_small_table_that_cannot_be_joined_is_refused(
    content: str, options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    (tmp_path / "cities.csv").write_text(content)

    with pytest.raises(DataError, match=said):
        table(on(**options), base=tmp_path)


@pytest.mark.parametrize(("which", "height"), [("first", 1), ("last", 2)])
def test_of_several_rows_with_one_key_the_one_asked_for_counts(which: str, height: int, tmp_path: Path) -> None:
    (tmp_path / "cities.csv").write_text("city,h\nUlm,1\nRom,3\nUlm,2\n")

    opened = table(on(duplicate_keys=which), base=tmp_path)

    assert rows(opened)["h"].tolist()[:2] == [3, height]


def test_whole_numbers_meet_their_like_in_floats_and_others_are_refused(tmp_path: Path) -> None:
    (tmp_path / "days.csv").write_text("day,name\n1.0,Mo\n2.0,Tu\n")
    assert rows(table({"path": "days.csv", "on": "day"}, base=tmp_path))["name"].tolist()[:2] == ["Mo", "Tu"]

    (tmp_path / "days.csv").write_text("day,name\n1.0,Mo\n2.5,Tu\n")
    with pytest.raises(DataError, match=r"the key 'day' \(double\) has values that 'day' of the rows \(int64\) cannot"):
        table({"path": "days.csv", "on": "day"}, base=tmp_path)


def test_rows_of_the_small_table_that_do_not_fit_are_refused_even_where_they_could_be_rejected(tmp_path: Path) -> None:
    (tmp_path / "cities.csv").write_text("city,h\nUlm,478\nRom,21,9\n")

    with pytest.raises(DataError, match=r"1 rows of the small table do not fit, the first in .*line 3"):
        table(on(on_bad_rows="reject"), base=tmp_path)


def test_a_role_may_be_a_joined_column(cities: Path, tmp_path: Path) -> None:
    opened = table(on(null_keys="unmatched"), base=tmp_path, group="country", drop=["height"])

    assert opened.features.names == ("to", "day")
    assert scan(opened, tmp_path / "store", InlineExecutor()).n_rows == 3
