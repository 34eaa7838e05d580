"""JSON lines: exact values, strict keys, one bad line is one line, however the file is cut and packed."""

from __future__ import annotations

import bz2
import datetime
import gzip
import io
import json
import lzma
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daskflow.core.errors import BadRowsError, ChangedDataError, DataError
from daskflow.data.table import Reject, Table
from daskflow.sources.guess import guess
from daskflow.sources.json import Json
from daskflow.sources.json_rows import Reader


def opened(folder: Path, *lines: str, **options: Any) -> Table:
    """A source over one file of these lines."""
    (folder / "a.jsonl").write_text("\n".join(lines) + "\n")
    return Json(path=str(folder / "a.jsonl"), **options).table()


def rows(table: Table) -> list[dict[str, Any]]:
    return [row for partition in table.partitions for row in partition.read().plain.to_pylist()]


def types(table: Table) -> dict[str, str]:
    return {column.name: column.type for column in table.schema.columns}


def zipped(data: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.ndjson", data)
    return packed.getvalue()


def test_large_integers_with_gaps_stay_exact(tmp_path: Path) -> None:
    # given what pandas makes 9007199254740992.0 of
    table = opened(tmp_path, '{"a": 9007199254740993}', '{"a": null}', "{}")
    # then
    assert types(table) == {"a": "int64"}
    assert rows(table) == [{"a": 9007199254740993}, {"a": None}, {"a": None}]


def test_a_column_called_date_is_no_date_unless_the_user_says_so(tmp_path: Path) -> None:
    # given
    lines = ('{"date": "1000000000", "day": "2020-01-31"}', '{"date": "7", "day": null}')
    # when, then
    assert types(opened(tmp_path, *lines)) == {"date": "string", "day": "string"}
    table = opened(tmp_path, *lines, dtypes={"day": "datetime"})
    assert rows(table)[0] == {"date": "1000000000", "day": datetime.datetime(2020, 1, 31)}


def test_times_follow_the_format_that_is_said(tmp_path: Path) -> None:
    table = opened(tmp_path, '{"t": "31/01/2020"}', date_format={"t": "%d/%m/%Y"})
    assert rows(table) == [{"t": datetime.datetime(2020, 1, 31)}]
    with pytest.raises(BadRowsError, match=r"a\.jsonl, line 2: 't' is '31/02/2020', not a time of the format"):
        rows(
            opened(
                tmp_path, '{"t": "31/01/2020"}', '{"t": "31/02/2020"}', date_format="%d/%m/%Y", dtypes={"t": "datetime"}
            )
        )


def test_a_key_that_stands_twice_is_a_bad_row(tmp_path: Path) -> None:
    with pytest.raises(BadRowsError, match=r"a\.jsonl, line 1: key 'a' stands twice"):
        rows(opened(tmp_path, '{"a": 1, "a": 2}', '{"a": 3}'))
    with pytest.raises(BadRowsError, match=r"a\.jsonl, line 1: key 'b' stands twice"):
        rows(opened(tmp_path, '{"a": {"b": 1, "b": 1}}', '{"a": {"b": 2}}'))


def test_objects_within_objects_become_columns_with_points(tmp_path: Path) -> None:
    lines = ('{"a": {"b": 1, "c": {"d": "x"}}}', '{"a": null}', '{"a": {"b": 2}}', "{}")
    assert rows(opened(tmp_path, *lines)) == [
        {"a.b": 1, "a.c.d": "x"},
        {"a.b": None, "a.c.d": None},
        {"a.b": 2, "a.c.d": None},
        {"a.b": None, "a.c.d": None},
    ]
    with pytest.raises(DataError, match=r"'a' holds objects within objects.*nested = 'flatten'"):
        opened(tmp_path, *lines, nested="fail")
    with pytest.raises(DataError, match=r"'a\.b' is a key with a point"):
        opened(tmp_path, '{"a.b": 1, "a": {"b": 2}}')
    with pytest.raises(DataError, match="'a' is an object in some lines, and a value in others"):
        opened(tmp_path, '{"a": 1}', '{"a": {"b": 2}}')


def test_lists_are_refused_or_dropped(tmp_path: Path) -> None:
    lines = ('{"x": 1, "tags": ["a"], "o": {"l": []}}', '{"x": 2, "tags": [1, {"a": 2}], "o": {"l": [1]}}')
    with pytest.raises(DataError, match=r"a\.jsonl, line 1: 'tags' is a list.*drop = \['tags'\]"):
        opened(tmp_path, *lines)
    table = opened(tmp_path, *lines, drop=["tags", "o"])
    assert rows(table) == [{"x": 1}, {"x": 2}]
    assert rows(opened(tmp_path, *lines, columns=["x"])) == [{"x": 1}, {"x": 2}]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ('{"a": "x"}', "'a' is 'x' (text), not int64"),
        ('{"a": 1.5}', "'a' is 1.5 (number), not int64"),
        ('{"a": true}', "'a' is True (truth), not int64"),
        ('{"a": 9223372036854775808}', "(integer), not int64"),
        ('{"a": [1]}', "(list), not int64"),
        ('{"a": {}}', "'a' is an object, not int64"),
        ('{"a": NaN}', "not int64"),
        ('{"b": 1}', "'b' (1) is no column of the table"),
        ('{"s": 1}', "'s' is 1 (integer), not text"),
        ('{"s": "\\ud83d"}', "not Unicode"),
        ('{"f": 1e400}', "'f' is 1e400"),
        ('{"a": 01}', "no JSON"),
        ('{"a": 1,}', "no JSON"),
        ('{"a": 1', "no JSON"),
        ("{'a': 1}", "no JSON"),
        ('{"a": 1} {"a": 2}', "no JSON: Extra data"),
        ('{"a": 1} null', "no JSON: Extra data"),
        ("null", "no object, but null"),
        ("[1, 2]", "no object, but [1, 2]"),
        ("5", "no object, but 5"),
        ("#", "no JSON"),
        ('{"s": "\xff"}', "not UTF-8"),
        ('{"o":' * 100_000, "no JSON|within each other"),
    ],
)
def test_a_line_that_does_not_fit_is_named_or_rejected_and_the_counts_add_up(
    bad: str, reason: str, tmp_path: Path
) -> None:
    # given a good line before and after it
    good = b'{"a": 1, "s": "x", "f": 0.5}'
    text = good + b"\n\n" + bad.encode("latin-1") + b"\n" + good
    reader = Reader({("a",): pa.int64(), ("s",): pa.string(), ("f",): pa.float64()})
    # when
    found, refused = reader.rows_of(text)
    # then
    assert found.to_pylist() == [{"a": 1, "s": "x", "f": 0.5}] * 2
    ((line, why, shown),) = refused
    assert line == 3
    assert any(part in why for part in reason.split("|"))
    assert shown[:6] == bad[:6]


def test_rejected_lines_are_listed_with_file_line_and_reason(tmp_path: Path) -> None:
    # given
    lines = ['{"a": 1}', '{"a": "x"}', "", '{"a": 3}', "oops"]
    # when
    (partition,) = opened(tmp_path, *lines, dtypes={"a": "int64"}, on_bad_rows="reject").partitions
    decoded = partition.read()
    # then
    assert decoded.rows["a"].to_pylist() == [1, 3]
    assert decoded.rejects == (
        Reject("a.jsonl", 2, "'a' is 'x' (text), not int64", '{"a": "x"}'),
        Reject("a.jsonl", 5, "no JSON: Expecting value at character 1", "oops"),
    )


def test_the_remedies_work(tmp_path: Path) -> None:
    # given numbers and texts in one column, and a key that the sample does not show
    lines = ['{"a": 1}', '{"a": "x"}', '{"a": 1.50}', '{"a": true}']
    with pytest.raises(DataError, match=r"integer \(1\) in a.jsonl, line 1; text \('x'\) in a.jsonl, line 2.*dtypes"):
        opened(tmp_path, *lines)
    table = opened(tmp_path, *lines, dtypes={"a": "string", "later": "int64"})
    assert rows(table) == [{"a": text, "later": None} for text in ("1", "x", "1.50", "true")]


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        ("", bytes),
        (".gz", gzip.compress),
        (".bz2", bz2.compress),
        (".xz", lzma.compress),
        (".zst", None),
        (".zip", zipped),
    ],
)
def test_packed_files_are_read_and_cut_ones_refused(
    suffix: str, pack: Callable[[bytes], bytes] | None, tmp_path: Path
) -> None:
    # given
    text = "".join(f'{{"a": {place}, "s": "{place * 7919}"}}\n' for place in range(5000)).encode()
    packed = pack(text) if pack else bytes(pa.compress(text, "zstd", asbytes=True))
    path = tmp_path / f"a.ndjson{suffix}"
    path.write_bytes(packed)
    # when, then
    assert [row["a"] for row in rows(Json(path=str(tmp_path)).table())] == list(range(5000))
    assert guess(str(path))[0] == "json"
    if suffix:
        path.write_bytes(packed[: len(packed) * 2 // 3])
        with pytest.raises(DataError, match=r"a\.ndjson.*cannot be decompressed"):
            rows(Json(path=str(tmp_path)).table())


def test_a_packed_file_of_too_much_text_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a partition that may have 1000 bytes of text, instead of a gigabyte
    monkeypatch.setattr("daskflow.sources.csv_unpacking.MAX_TEXT_BYTES", 1000)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"a": 1}\n' * 200))
    (tmp_path / "b.jsonl").write_bytes(b'{"a": 1}\n' * 200)
    # when, then
    with pytest.raises(DataError, match=r"a\.jsonl\.gz.*Unpack it"):
        rows(Json(path=str(tmp_path / "a.jsonl.gz")).table())
    assert len(rows(Json(path=str(tmp_path / "b.jsonl")).table())) == 200


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), min_size=1, max_size=30),
    pieces=st.integers(1, 12),
    end=st.sampled_from(["\n", "\r\n"]),
    is_closed=st.booleans(),
)
def test_for_any_lines_and_any_cuts_each_line_is_read_once(
    texts: list[str], pieces: int, end: str, is_closed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # given
    path = tmp_path_factory.mktemp("cut") / "a.jsonl"
    lines = [json.dumps({"n": place, "s": text}, ensure_ascii=place % 2 == 0) for place, text in enumerate(texts)]
    path.write_bytes((end.join(lines) + (end if is_closed else "")).encode())
    whole = Json(path=str(path)).table()
    # when
    size = max(1, whole.partitions[0].n_bytes // pieces)
    cut = Json(path=str(path), partition_bytes=size).table()
    # then
    assert rows(cut) == rows(whole) == [{"n": place, "s": text} for place, text in enumerate(texts)]


def test_lines_are_numbered_through_the_whole_file_however_it_is_cut(tmp_path: Path) -> None:
    # given
    lines = [f'{{"a": {place}}}' for place in range(1000)]
    lines[777] = '{"a": "x"}'
    # when
    table = opened(tmp_path, *lines, dtypes={"a": "int64"}, on_bad_rows="reject", partition_bytes=500)
    rejects = [reject for partition in table.partitions for reject in partition.read().rejects]
    # then
    assert len(table.partitions) > 5
    assert [reject.line for reject in rejects] == [778]
    names = [partition.fingerprint.name for partition in table.partitions]
    assert names == [f"a.jsonl#{place}" for place in range(len(names))]


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64), 2**64),
    st.floats(),
    st.text(max_size=4),
    st.sampled_from([1.0, "2020-01-01", "NaN", [], {}, {"b": 1}]),
)


@settings(max_examples=150, deadline=None)
@given(values=st.lists(VALUES, min_size=1, max_size=6), kind=st.sampled_from(["int64", "float64", "bool", "string"]))
def test_for_any_values_the_quick_path_gives_what_the_careful_one_gives_or_nothing(
    values: list[Any], kind: str
) -> None:
    # given
    text = "\n".join(json.dumps({"a": value}) for value in values).encode()
    reader = Reader({("a",): pa.type_for_alias(kind)})
    # when
    quick = reader.by_arrow(text)
    careful, bad = reader.by_line(text)
    # then
    if quick is not None:
        assert not bad
        assert [str(value) for value in quick["a"].to_pylist()] == [str(value) for value in careful["a"].to_pylist()]
    assert careful.num_rows + len(bad) == len(values)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[{"a": 1}]\n', ("none of the 1 lines", "one object per line")),
        ("<html><body>login</body></html>\n", ("HTML",)),
        ("a,b\n1,2\n", ("none of the 2 lines",)),
        ("\n\n", ("no keys",)),
        ('{"a": 1}\n'.encode("utf-16").decode("latin-1"), ("UTF-16",)),
    ],
)
def test_files_that_are_no_json_lines_are_told_apart(text: str, words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError) as caught:
        Json(path=str(tmp_path)).table()
    assert all(word in str(caught.value) for word in words)


def test_the_kind_and_the_times_are_guessed(tmp_path: Path) -> None:
    # given
    (tmp_path / "a.jsonl").write_text('{"t": "2020-01-01 10:00:00", "d": "yes"}\n{"t": "2020-01-02", "d": "2020"}\n')
    # when
    kind, options, notes = guess(str(tmp_path))
    # then
    assert (kind, options) == ("json", {"dtypes": {"t": "datetime"}})
    assert any("'t'" in note and "ISO 8601" in note for note in notes)


def test_files_spread_over_folders_share_types_and_keep_their_names(tmp_path: Path) -> None:
    # given an integer in one file and a float in the other
    for name, value in (("k=1/a.jsonl", "1"), ("k=2/a.jsonl", "2.5")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(f'{{"x": {value}}}\n')
    # when
    table = Json(path=str(tmp_path), file_column="file").table()
    # then
    assert rows(table) == [{"x": 1.0, "k": 1, "file": "k=1/a.jsonl"}, {"x": 2.5, "k": 2, "file": "k=2/a.jsonl"}]


def test_a_file_that_changed_after_planning_is_refused(tmp_path: Path) -> None:
    table = opened(tmp_path, '{"a": 1}')
    (tmp_path / "a.jsonl").write_text('{"a": 2}\n{"a": 3}\n')
    with pytest.raises(ChangedDataError, match=r"a\.jsonl changed"):
        rows(table)
    os.unlink(tmp_path / "a.jsonl")
    with pytest.raises(ChangedDataError, match="gone"):
        rows(table)
