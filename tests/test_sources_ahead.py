"""Bytes of the next partition are on their way while one is worked on, within a bound, and nothing else changes."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from daskflow.core.errors import DataError
from daskflow.data.execution import InlineExecutor
from daskflow.data.scan import scan
from daskflow.data.table import Table
from daskflow.sources import ahead
from daskflow.sources.ahead import Ahead
from daskflow.sources.file_source import FileSource
from daskflow.sources.json import Json
from daskflow.sources.parquet import Parquet
from daskflow.sources.reading import FoundFile
from daskflow.sources.storage import Storage

N_FILES = 8


class Network(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A store that counts what is asked, and can hold answers back."""

    protocol = "network"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    asked: ClassVar[Counter[str]] = Counter()
    gate: ClassVar[Any] = None

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        """Read addresses as the memory's own."""
        return super()._strip_protocol(path.replace("network://", "memory://"))

    def cat_ranges(self, paths: Any, starts: Any, ends: Any, **options: Any) -> Any:
        """Count, and wait at the gate."""
        name = paths[0].rpartition("/")[2]
        type(self).asked[name] += 1
        if type(self).gate is not None:
            type(self).gate(name)
        return super().cat_ranges(paths, starts, ends, **options)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty store, and nothing fetched ahead by this process."""
    fsspec.register_implementation("network", Network, clobber=True)
    Network.store.clear()
    Network.asked.clear()
    monkeypatch.setattr(ahead.AHEAD, "_coming", type(ahead.AHEAD._coming)())
    yield fsspec.filesystem("network")
    Network.gate = None
    Network.store.clear()


def table_of(kind: str, store: Any, folder: Path) -> Table:
    """Files of a kind in the store, each larger than what small files are put together up to."""
    for number in range(N_FILES):
        rows = [{"x": number * 100 + place, "y": place % 2} for place in range(50)]
        if kind == "json":
            store.pipe(f"/b/{number}.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
        else:
            pq.write_table(pa.Table.from_pylist(rows), folder / "made", row_group_size=25)
            store.pipe(f"/b/{number}.parquet", (folder / "made").read_bytes())
    source: FileSource = (
        Json(path="network://b/*.jsonl", target="y") if kind == "json" else Parquet(path="network://b", target="y")
    )
    return source.table()


@pytest.mark.parametrize("kind", ["json", "parquet"])
def test_the_next_file_of_a_store_comes_while_one_is_worked_on(
    kind: str, network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a table of a store in blocks of a file each
    monkeypatch.setattr("daskflow.data.grouping.GROUP_BYTES", 1)
    table = table_of(kind, network, tmp_path)
    begun = {str(number): threading.Event() for number in range(N_FILES)}
    came_before: dict[str, bool] = {}

    def gate(name: str) -> None:
        own = name.partition(".")[0]
        begun[own].set()
        following = str(int(own) + 1)
        if int(own) % 4 == 0:  # the first of a bundle: it is not answered before the second is asked for
            came_before[own] = begun[following].wait(120)

    Network.asked.clear()
    Network.gate = gate
    # when
    blocks = scan(table, tmp_path / "store", InlineExecutor())
    # then
    assert came_before == {"0": True, "4": True}
    assert blocks.n_rows == 50 * N_FILES
    assert (blocks.partition_reads, blocks.n_partitions) == (N_FILES, N_FILES)
    # and nothing is fetched twice, or left behind
    assert set(Network.asked.values()) == {1}
    assert ahead.AHEAD.held_bytes == 0


def test_blocks_of_a_store_are_those_of_a_folder(network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daskflow.data.grouping.GROUP_BYTES", 1)
    far = scan(table_of("parquet", network, tmp_path), tmp_path / "far", InlineExecutor())
    (tmp_path / "near").mkdir()
    for number in range(N_FILES):
        (tmp_path / "near" / f"{number}.parquet").write_bytes(network.cat(f"/b/{number}.parquet"))
    near = scan(Parquet(path=str(tmp_path / "near"), target="y").table(), tmp_path / "blocks", InlineExecutor())
    assert far.fingerprint == near.fingerprint
    assert [file.content_hash for file in far.files] == [file.content_hash for file in near.files]


def test_a_file_that_goes_after_it_was_expected_is_a_sentence(
    network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daskflow.data.grouping.GROUP_BYTES", 1)
    table = table_of("json", network, tmp_path)
    network.rm("/b/1.jsonl")
    with pytest.raises(DataError, match=r"1\.jsonl"):
        scan(table, tmp_path / "store", InlineExecutor())


def test_what_is_held_stays_within_the_bound_and_what_nobody_came_for_goes_first(network: Any) -> None:
    # given room for two files
    held = Ahead(most_bytes=250)
    storage = Storage.of("network://b/0", {})
    files = []
    for number in range(4):
        network.pipe(f"/b/{number}", bytes([number]) * 100)
        files.append(FoundFile(f"network://b/{number}", str(number), 100, 1, storage))
    whole = [(0, 100)]
    # when four are expected one after the other
    for file in files:
        held.expect(file, whole)
        for future, _ in held._coming.values():
            future.result(20)
    # then the last two are there, once each, and an answer is what the store has
    assert held.held_bytes == 200
    assert [held.taken(file, whole) is not None for file in files] == [False, False, True, True]
    assert held.taken(files[3], whole) is None
    # and a file that never fits is left to whoever reads it
    held.expect(FoundFile("network://b/0", "0", 300, 1, storage), [(0, 300)])
    assert held.held_bytes == 0


def test_of_this_machines_files_the_kernel_is_asked_for_every_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a file, and what the kernel hears
    path = tmp_path / "a"
    path.write_bytes(bytes(1_000_000))
    heard: set[int] = set()
    monkeypatch.setattr(
        os, "posix_fadvise", lambda fd, start, length, advice: heard.update(range(start, start + length))
    )
    # when
    ahead.expect(FoundFile(str(path), "a", 1_000_000, 1), [(100, 5), (300_000, 600_000)])
    # then
    assert {100, 104, *range(300_000, 900_000, 1000), 899_999} <= heard
    # and a file that is not there is no error
    ahead.expect(FoundFile(str(tmp_path / "none"), "none", 10, 1), [(0, 10)])
