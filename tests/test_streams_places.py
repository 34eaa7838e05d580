"""Folders and JSON lines as places of a stream: what is read once, what is put aside, what a kill leaves."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from daskflow.core.errors import DataError, SettingsError, StorageError
from daskflow.data.table import Reject
from daskflow.streams import SINKS, SOURCES, sink_of, source_of
from daskflow.streams.folder_looking import Look
from daskflow.streams.folder_sink import FolderSink
from daskflow.streams.folder_source import FolderSource
from daskflow.streams.lines import LinesSink, LinesSource
from daskflow.streams.lines_cutting import LineCutter
from daskflow.streams.lines_writing import LinesFile
from daskflow.streams.records import Record, Result


def taken(source: Any, base: Path, positions: Mapping[str, Any] | None = None, most: int = 100) -> list[Record]:
    """Every record of a source that ends."""

    async def work() -> list[Record]:
        found: list[Record] = []
        async with source.open(base, positions or {}) as opened:
            while some := await opened.take(most):
                assert len(some) <= most
                found += some
            await opened.commit(found)
        return found

    return asyncio.run(asyncio.wait_for(work(), 100))


def written(sink: Any, base: Path, batches: Sequence[Sequence[str]], mark: Any = None) -> Any:
    """Write results by their IDs, and return the sink's mark."""

    async def work() -> Any:
        async with sink.open(base) as opened:
            if mark is not None:
                await opened.go_back(mark)
            for ids in batches:
                await opened.write([Result(name, Record(name, {}), {"prediction": "ü"}) for name in ids])
            return opened.mark

    return asyncio.run(work())


def ids_in(*paths: Path) -> list[str]:
    return [json.loads(line)["id"] for path in paths for line in path.read_text().splitlines()]


def folder(path: Path, **options: Any) -> FolderSource:
    return FolderSource(path=str(path), once=True, settle_seconds=0.0, **options)


def test_places_are_found_without_the_libraries_of_serving() -> None:
    # given a process in which what only `daskflow serve` needs is not installed
    absent = "for name in ('orjson', 'starlette', 'uvicorn', 'httptools', 'uvloop'): sys.modules[name] = None"
    asked = "from daskflow.streams import sink_of, source_of; print(source_of('new/').kind, sink_of('a.jsonl').kind)"
    # when
    done = subprocess.run([sys.executable, "-c", f"import sys\n{absent}\n{asked}"], capture_output=True, text=True)
    # then
    assert done.stdout.split() == ["folder", "lines"], done.stderr


@pytest.mark.parametrize(
    ("address", "kind", "told"),
    [
        ("-", "lines", {"path": "-"}),
        ("new.jsonl", "lines", {"path": "new.jsonl"}),
        ("lines://a/b", "lines", {"path": "a/b"}),
        ("new/", "folder", {"path": "new/", "pattern": "*"}),
        ("new/*.csv", "folder", {"path": "new", "pattern": "*.csv"}),
        ("/a/**/*.jsonl", "folder", {"path": "/a", "pattern": "**/*.jsonl"}),
        ("*.csv", "folder", {"path": ".", "pattern": "*.csv"}),
    ],
)
def test_an_address_says_the_kind(address: str, kind: str, told: dict[str, Any]) -> None:
    found = source_of(address)
    assert found.kind == kind
    assert {name: getattr(found, name) for name in told} == told


def test_addresses_of_sinks() -> None:
    assert sink_of("scored/*.parquet") == FolderSink(path="scored", format="parquet")
    assert sink_of("scored/") == FolderSink(path="scored/")
    assert sink_of("out.ndjson") == LinesSink(path="out.ndjson")
    with pytest.raises(SettingsError, match="no stream sink is called 'nothing://'"):
        sink_of("nothing://x")
    with pytest.raises(SettingsError, match="--from"):
        source_of({"kind": "folder", "path": "a", "patern": "*"})


@pytest.mark.parametrize("registry", [SOURCES, SINKS], ids=["sources", "sinks"])
def test_every_kind_has_addresses_of_its_own(registry: Any) -> None:
    schemes = [scheme for cls in registry.kinds.values() for scheme in cls.schemes]
    assert len(schemes) == len(set(schemes)) >= len(registry.kinds)


@pytest.mark.parametrize("size", [1, 3, 64, 10_000])
def test_lines_are_the_same_however_they_are_cut(size: int) -> None:
    text = b'\xef\xbb\xbf{"a": 1}\r\n\n  \n{"b": "' + b"x" * 500 + b'"}\n{"c": 3}'
    cutter = LineCutter(100)
    found = [line for at in range(0, len(text), size) for line in cutter.cut(text[at : at + size])]
    found += cutter.rest()
    assert [(line.number, line.end, line.n_bytes) for line in found] == [(1, 13, 12), (4, 527, 509), (5, 535, 8)]
    assert found[0].raw == b'{"a": 1}'
    assert found[2].raw == b'{"c": 3}'


def test_memory_holds_no_long_line() -> None:
    cutter = LineCutter(1000)
    for _ in range(100):
        assert list(cutter.cut(b"y" * 65_536)) == []
        assert len(cutter._begun) <= 65_536
    (line,) = cutter.cut(b'\n{"a": 1}')
    assert line.n_bytes == 100 * 65_536
    assert [line.raw for line in cutter.rest()] == [b'{"a": 1}']


def test_lines_that_are_no_records_are_problems_of_their_own(tmp_path: Path) -> None:
    lines = [b'{"x": 1}', b"{", b"[1]", b'{"x": NaN}', b"\xff", b'{"x": "' + b"y" * 99 + b'"}', b"[" * 50, b'{"x": 2}']
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    found = taken(LinesSource(path="a.jsonl", max_bytes=64, key="x"), tmp_path)
    assert [(record.values, record.reason if record.problem else "") for record in found] == [
        ({"x": 1}, ""),
        ({}, "malformed"),
        ({}, "malformed"),
        ({}, "malformed"),
        ({}, "malformed"),
        ({}, "size"),
        ({}, "malformed"),
        ({"x": 2}, ""),
    ]
    assert found[5].problem == "line 6 of a.jsonl has 108 bytes; 64 are allowed"
    assert "NaN" in found[3].problem
    assert [record.raw for record in found[:5]] == lines[:5]
    assert (found[0].key, found[1].key, found[-1].id) == ("1", "", "a.jsonl:8")


def test_a_file_of_lines_goes_on_behind_any_of_them_and_with_what_was_added(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"x": {number}}}\n\n' for number in range(9)) + '{"x": 9}')
    source = LinesSource(path="a.jsonl")
    whole = taken(source, tmp_path)
    for place, record in enumerate(whole):
        rest = taken(source, tmp_path, {"a.jsonl": record.offset}, most=2)
        assert [(each.id, each.offset) for each in rest] == [(each.id, each.offset) for each in whole[place + 1 :]]
    with path.open("a") as file:
        file.write('\n{"x": 10}\n')
    assert [record.id for record in taken(source, tmp_path, {"a.jsonl": whole[-1].offset})] == ["a.jsonl:20"]
    # another file in its place is no continuation
    path.write_text('{"x": 1111}\n' * 3)
    with pytest.raises(DataError, match="another file than the one this stream has read"):
        taken(source, tmp_path, {"a.jsonl": whole[-1].offset})


@pytest.mark.parametrize("torn", [b'{"x": ', b'{"x": "\xc3', b'{"x": "' + b"y" * 99], ids=["object", "letter", "long"])
def test_a_last_line_that_is_still_written_is_left_for_the_next_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, torn: bytes
) -> None:
    # given a file whose last line is half there
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"x": 1}\n' + torn)
    source = LinesSource(path="a.jsonl", max_bytes=64)
    (first,) = taken(source, tmp_path)
    # then that is said, and it is no record yet
    assert "a.jsonl: line 2 has no end, and is no whole record yet" in caplog.text
    # when it becomes whole, then it is the next record, with more behind it
    path.write_bytes(b'{"x": 1}\n{"x": "\xc3\xa4"}\n{"x": 3}\n')
    found = taken(source, tmp_path, {"a.jsonl": first.offset})
    assert [(record.id, record.values) for record in found] == [("a.jsonl:2", {"x": "ä"}), ("a.jsonl:3", {"x": 3})]
    # and when it ends as it is, it is a problem
    path.write_bytes(b'{"x": 1}\n' + torn + b"\n")
    (dead,) = taken(source, tmp_path, {"a.jsonl": first.offset})
    assert dead.problem


def test_a_pipe_gives_what_comes_and_loses_nothing_when_a_wait_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    there, end = os.pipe()

    async def work() -> None:
        async with LinesSource(path=f"/dev/fd/{there}").open(Path(), {}) as opened:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(opened.take(5), 0.05)
            os.write(end, b'{"x": 1}\n{"x": 2}\n{"x"')
            assert [record.values["x"] for record in await opened.take(1)] == [1]
            assert opened.is_holding  # type: ignore[attr-defined]
            assert [record.values["x"] for record in await opened.take(5)] == [2]
            assert not opened.is_holding  # type: ignore[attr-defined]
            os.write(end, b": 3}")
            os.close(end)
            assert [record.values["x"] for record in await opened.take(5)] == [3]
            assert await opened.take(5) == []

    asyncio.run(work())
    os.close(there)


def test_a_file_of_results_has_none_twice_and_no_torn_line(tmp_path: Path) -> None:
    # given results of which the last batch and a torn line were written by a stream that was killed
    mark = written(LinesSink(path="out.jsonl"), tmp_path, [["a", "b"]])
    written(LinesSink(path="out.jsonl"), tmp_path, [["c", "d"]])
    with (tmp_path / "out.jsonl").open("a") as file:
        file.write('{"id": "e", "predic')
    # when it goes on at its commit, with batches that are cut otherwise, and is killed again behind the first
    assert written(LinesSink(path="out.jsonl"), tmp_path, [], mark) == mark
    again = written(LinesSink(path="out.jsonl"), tmp_path, [["c"]], mark)
    written(LinesSink(path="out.jsonl"), tmp_path, [["d", "e"], ["f"]], again)
    # then
    assert ids_in(tmp_path / "out.jsonl") == ["a", "b", "c", "d", "e", "f"]
    # and IDs that stand before the mark may be those of other records
    written(LinesSink(path="out.jsonl"), tmp_path, [["a"]], mark)
    assert ids_in(tmp_path / "out.jsonl")[-1] == "a"


def test_a_file_without_its_last_end_of_line_is_added_to(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text('{"id": "a"}')
    written(LinesSink(path="out.jsonl"), tmp_path, [["b"]])
    assert ids_in(tmp_path / "out.jsonl") == ["a", "b"]


def test_a_folder_of_results_has_none_twice(tmp_path: Path) -> None:
    sink = FolderSink(path="scored")
    mark = written(sink, tmp_path, [["a", "b"]])
    other = written(sink, tmp_path, [["x"]])
    written(sink, tmp_path, [["c", "d"], ["e"]], mark)  # it was killed before these were committed
    written(sink, tmp_path, [["c"], ["d"], ["e"]], mark)
    assert sorted(ids_in(*(tmp_path / "scored").iterdir())) == ["a", "b", "c", "d", "e", "x"]
    assert other["stream"] != mark["stream"]
    # and a mark of another folder means nothing here
    written(FolderSink(path="others"), tmp_path, [["y"]], mark)
    assert len(list((tmp_path / "scored").iterdir())) == 5


def test_results_as_parquet_are_those_as_lines(tmp_path: Path) -> None:
    written(sink_of("scored/*.parquet"), tmp_path, [["a", "b"]])
    (path,) = (tmp_path / "scored").iterdir()
    assert pa.parquet.read_table(path).to_pylist() == [{"id": name, "prediction": "ü"} for name in "ab"]


def test_a_parquet_file_has_every_column_of_its_results_whatever_their_values_are(tmp_path: Path) -> None:
    # given results of which one alone has a column, and kept values of several types
    answers = [{"kept": 1}, {"kept": "\ud800", "label_error": "no class"}, {"kept": [1]}, {"kept": None}]
    results = [Result(str(n), Record(str(n), {}), answer) for n, answer in enumerate(answers)]

    async def work() -> None:
        async with FolderSink(path="scored", format="parquet").open(tmp_path) as opened:
            await opened.write(results)

    # when
    asyncio.run(work())
    # then
    (path,) = (tmp_path / "scored").iterdir()
    found = pa.parquet.read_table(path)
    assert found["kept"].to_pylist() == ["1", "\\ud800", "[1]", None]
    assert found["label_error"].to_pylist() == [None, "no class", None, None]


def read_csv(path: Path) -> Any:
    """A stand-in for what `workflow` introduces: numbers, and a reject for each line that is none."""
    rows, rejects = [], []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if line == "broken":
            raise DataError("nothing can be read any more")
        if line.isdigit():
            rows.append({"x": int(line)})
        else:
            rejects.append(Reject(path.name, number, "is no number", line))
    yield pa.Table.from_pylist(rows, schema=pa.schema({"x": pa.int64()})), rejects


def test_files_of_a_folder_are_read_once_in_natural_order_from_any_record_on(tmp_path: Path) -> None:
    # given files of several kinds, and some that do not count
    (tmp_path / "a10.csv").write_text("4\n5\nsix\n")
    (tmp_path / "a9.jsonl").write_text('{"x": 1}\n\n{"x": 2}\n{"x": 3}')
    for name in (".hidden.csv", "_SUCCESS", "b.csv.tmp", "c.part", "empty.csv"):
        (tmp_path / name).write_text("" if "empty" in name else "9\n")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "d.csv").write_text("7\n")
    source = folder(tmp_path).with_tables(read_csv)
    # when
    found = taken(source, tmp_path, most=2)
    # then
    assert [record.values.get("x") for record in found] == [1, 2, 3, None, 4, 5]
    assert (found[3].problem, found[3].raw) == ("a10.csv, line 3: is no number", b"six")
    assert [record.id for record in found[2:5]] == ["a9.jsonl:3", "a10.csv:1", "a10.csv:2"]
    # and it goes on behind any record
    positions: dict[str, Any] = {}
    for place, record in enumerate(found):
        positions[record.partition] = record.offset
        assert [each.id for each in taken(source, tmp_path, positions)] == [each.id for each in found[place + 1 :]]
    # and folders below count when they are asked for
    deep = folder(tmp_path, pattern="**/*").with_tables(read_csv)
    assert [record.id for record in taken(deep, tmp_path, positions)] == ["below/d.csv:1"]


def test_files_that_cannot_be_read_or_have_changed_are_one_problem_each(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1\n2\n")
    (tmp_path / "b.csv").write_text("broken\n")
    (tmp_path / "c.csv").write_text("1\n")
    source = folder(tmp_path).with_tables(read_csv)
    found = taken(source, tmp_path)
    assert [record.problem for record in found] == [
        "",
        "",
        "b.csv cannot be read: nothing can be read any more",
        "",
    ]
    positions = {record.partition: record.offset for record in found}
    assert taken(source, tmp_path, positions) == []
    (tmp_path / "a.csv").write_text("1\n2\n3\n")
    (changed,) = taken(source, tmp_path, positions)
    assert (changed.reason, changed.partition) == ("changed", "a.csv")
    assert changed.problem.startswith("a.csv: it has changed after it was read; what is new in it is not read.")
    # it is said once
    assert taken(source, tmp_path, {**positions, "a.csv": changed.offset}) == []
    # and a file that changes half read is not mixed up with what it was
    (tmp_path / "a.csv").write_text("7\n8\n9\n10\n")
    (half,) = taken(source, tmp_path, {**positions, "a.csv": found[0].offset})
    assert "after 1 of its records were read" in half.problem


def test_a_file_counts_when_it_has_looked_the_same_for_long_enough(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    now = [1000.0]
    look = Look(tmp_path, "*", 1.0, {}, clock=lambda: now[0])

    def changed(text: str) -> None:
        path.write_text(text)
        os.utime(path, (now[0], now[0]))

    changed("1\n")
    assert look.files() == ([], True)
    now[0] += 0.9
    changed("1\n2\n")
    assert look.files() == ([], True)
    now[0] += 0.9
    assert look.files() == ([], True)
    now[0] += 0.2
    found, waits = look.files()
    assert ([file.name for file in found], waits) == (["a.csv"], False)
    assert look.files() == ([], False)
    # and at once when it is old, such as one that was renamed
    os.utime(path, (1.0, 1.0))
    path.rename(tmp_path / "b.csv")
    assert [file.name for file in look.files()[0]] == ["b.csv"]


def test_a_folder_that_waits_gives_files_as_they_appear(tmp_path: Path) -> None:
    source = FolderSource(path=str(tmp_path), settle_seconds=0.0)

    async def work() -> None:
        async with source.open(tmp_path, {}) as opened:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(opened.take(5), 0.05)
            (tmp_path / "a.jsonl").write_text('{"x": 1}\n')
            assert [record.id for record in await asyncio.wait_for(opened.take(5), 60)] == ["a.jsonl:1"]
            (tmp_path / "0.jsonl").write_text('{"x": 2}\n')
            assert [record.id for record in await asyncio.wait_for(opened.take(5), 60)] == ["0.jsonl:1"]

    asyncio.run(work())


def test_places_that_are_not_there_are_said(tmp_path: Path) -> None:
    for source, words in (
        (FolderSource(path="nowhere"), "is no folder"),
        (LinesSource(path="no.jsonl"), "cannot be read"),
    ):
        with pytest.raises(DataError, match=words):
            taken(source, tmp_path)
    (tmp_path / "file").write_text("")
    for sink in (FolderSink(path="file/below"), LinesSink(path="file/out.jsonl")):
        with pytest.raises(OSError, match="file"):
            written(sink, tmp_path, [])


def test_a_file_of_lines_has_one_writer_at_a_time(tmp_path: Path) -> None:
    # given a process that adds lines
    first = LinesFile(tmp_path / "out.jsonl")
    # then another is told, and touches nothing
    with pytest.raises(StorageError, match=r"Another process adds lines to .*out\.jsonl"):
        LinesFile(tmp_path / "out.jsonl")
    # until it ends
    first.close()
    LinesFile(tmp_path / "out.jsonl").close()
