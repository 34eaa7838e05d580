"""Addresses of stores: the same rows as from a folder, changes noticed by version, and secrets never shown."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from daskflow.core.errors import ChangedDataError, DataError, SettingsError
from daskflow.data.execution import InlineExecutor
from daskflow.data.scan import scan
from daskflow.data.table import Table
from daskflow.sources.arrow import Arrow
from daskflow.sources.file_source import FileSource
from daskflow.sources.guess import guess
from daskflow.sources.json import Json
from daskflow.sources.parquet import Parquet

ROWS = [{"x": place, "s": f"v{place % 3}"} for place in range(30)]


@pytest.fixture
def store() -> Iterator[Any]:
    """An empty store in memory."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]
    yield memory
    memory.store.clear()


def bytes_of(kind: str, rows: list[dict[str, Any]], folder: Path) -> bytes:
    """Rows as a file of a kind."""
    path = folder / "made"
    if kind == "json":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=4)
    else:
        pyarrow.feather.write_feather(pa.Table.from_pylist(rows), str(path), chunksize=4)
    return path.read_bytes()


def rows(table: Table) -> list[dict[str, Any]]:
    return [row for partition in table.partitions for row in partition.read().plain.to_pylist()]


SOURCES: dict[str, tuple[type[FileSource], str]] = {
    "parquet": (Parquet, "parquet"),
    "json": (Json, "jsonl"),
    "arrow": (Arrow, "feather"),
}


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("partition_bytes", [1 << 20, 60])
def test_files_of_a_store_are_read_as_those_of_a_folder(
    kind: str, partition_bytes: int, store: Any, tmp_path: Path
) -> None:
    # given the same files in both
    make, suffix = SOURCES[kind]
    for name, part in ((f"k=1/part.10.{suffix}", ROWS[20:]), (f"k=1/part.2.{suffix}", ROWS[:20])):
        data = bytes_of(kind, part, tmp_path)
        store.pipe(f"/bucket/{name}", data)
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    store.pipe("/bucket/k=1/_SUCCESS", b"x")
    expected = make(path=str(tmp_path / "k=1"), file_column="file", partition_bytes=partition_bytes).table()
    # when
    for path in (
        "memory://bucket",
        "memory://bucket/k=1",
        f"memory://bucket/k=*/*.{suffix}",
        [f"memory://bucket/k=1/part.2.{suffix}", f"memory://bucket/k=1/part.10.{suffix}"],
    ):
        table = make(path=path, file_column="file", partition_bytes=partition_bytes).table()
        # then
        assert rows(table) == rows(expected)
        assert [row["x"] for row in rows(table)] == list(range(30))
        hashes = [[part.read().content_hash for part in one.partitions] for one in (table, expected)]
        assert hashes[0] == hashes[1]
        sent = pickle.loads(pickle.dumps(table.partitions[0]))
        assert sent.read().content_hash == hashes[0][0]
    assert guess("memory://bucket/k=1")[0] == kind


def test_addresses_of_this_machine_are_paths(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"x": 1}\n')
    for scheme in ("file", "local"):
        assert rows(Json(path=f"{scheme}://{tmp_path}/a.jsonl").table()) == [{"x": 1}]


def test_a_stored_file_that_changes_is_noticed_and_read_again(store: Any, tmp_path: Path) -> None:
    # given blocks of a stored file
    store.pipe("/b/a.jsonl", b'{"x": 1}\n')
    source = Json(path="memory://b/a.jsonl")
    first = scan(source.table(), tmp_path, InlineExecutor())
    assert scan(source.table(), tmp_path, InlineExecutor()).partition_reads == 0
    table = source.table()
    # when it is written anew, as long as before
    store.pipe("/b/a.jsonl", b'{"x": 2}\n')
    # then
    with pytest.raises(ChangedDataError, match=r"a\.jsonl changed.*another version"):
        rows(table)
    again = scan(source.table(), tmp_path, InlineExecutor())
    assert again.partition_reads == 1
    assert again.fingerprint != first.fingerprint
    # when it is deleted, then
    table = source.table()
    store.rm("/b/a.jsonl")
    with pytest.raises(DataError, match=r"memory://b/a\.jsonl: there is no such file"):
        rows(table)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("memory://b/none-*.parquet", ("memory://b/none-*.parquet", "matches no file")),
        ("memory://b/none.parquet", ("memory://b/none.parquet", "no such file")),
        ("memory://b", ("memory://b", "without .parquet")),
        ("memory://b/zero.parquet", ("zero.parquet", "0 bytes")),
        ("memory://b/bad.parquet", ("bad.parquet (4 bytes)", "no parquet")),
        ("nosuchscheme://b/x.parquet", ("nosuchscheme://b/x.parquet", "nosuchscheme")),
        ("https://example.org/x.parquet", ("https://example.org/x.parquet", "kind = 'http'", "daskflow fetch")),
    ],
)
def test_addresses_that_stand_for_nothing_are_answered(path: str, words: tuple[str, ...], store: Any) -> None:
    store.pipe("/b/notes.txt", b"x")
    store.pipe("/b/zero.parquet", b"")
    store.pipe("/b/bad.parquet", b"oops")
    store.rm("/b/zero.parquet") if path == "memory://b" else None
    store.rm("/b/bad.parquet") if path == "memory://b" else None
    with pytest.raises(DataError) as caught:
        Parquet(path=path).table()
    assert all(word in str(caught.value) for word in words)


def test_secrets_are_in_nothing_that_is_written_or_said(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # given options with secrets, plain and from the environment
    store.pipe("/b/a.jsonl", b'{"x": 1}\n')
    monkeypatch.setenv("MY_TOKEN", "hunter2")
    options = {"anon": False, "secret": "hunter2", "token": "env:MY_TOKEN", "client_kwargs": {"region_name": "eu-1"}}
    source = Json(path="memory://b/a.jsonl", storage_options=options)
    # when
    table = source.table()
    # then
    assert "hunter2" not in f"{source!r} {source} {json.dumps(source.dump())} {source.identity()} {table!r}"
    assert source.dump()["storage_options"] == {
        "anon": False,
        "secret": "***",
        "token": "env:MY_TOKEN",
        "client_kwargs": {"region_name": "eu-1"},
    }
    assert "storage_options" not in source.identity()
    # and workers know them
    (partition,) = pickle.loads(pickle.dumps(table.partitions))
    assert partition.file.storage.options["token"] == "hunter2"
    # when the written settings are read, then the hidden one is asked for
    with pytest.raises(DataError, match=r"storage_options\.secret was hidden.*env:NAME"):
        Json(**source.dump()).table()
    monkeypatch.delenv("MY_TOKEN")
    with pytest.raises(DataError, match="environment variable MY_TOKEN is not set"):
        source.table()


@pytest.mark.parametrize(
    "path", ["ftp://me:hunter2@127.0.0.1:1/a.jsonl", "https://127.0.0.1/a.jsonl?X-Amz-Signature=hunter2"]
)
def test_a_path_with_a_secret_is_refused_or_stands_in_the_environment(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match=r"given with a secret.*env:NAME") as caught:
        Json(path=path)
    assert "/a.jsonl" in str(caught.value)
    monkeypatch.setenv("MY_FILE", path)
    source = Json(path="env:MY_FILE")
    assert source.dump()["path"] == "env:MY_FILE"
    with pytest.raises(DataError) as refused:
        source.table()
    assert "hunter2" not in f"{refused.value}"


def test_a_store_that_fails_is_told_without_its_options(monkeypatch: pytest.MonkeyPatch, store: Any) -> None:
    # given
    store.pipe("/b/a.jsonl", b'{"x": 1}\n')

    def refuse(*args: Any, **options: Any) -> Any:
        raise RuntimeError("denied at memory://me:hunter2@b/a.jsonl?token=hunter2")

    table = Json(path="memory://b/a.jsonl").table()
    monkeypatch.setattr(type(store), "cat_ranges", refuse)
    # when, then
    with pytest.raises(DataError, match=r"memory://b/a\.jsonl cannot be read: RuntimeError: denied") as caught:
        rows(table)
    assert "hunter2" not in f"{caught.value} {caught.value.__cause__}"
