"""Large CSV files are cut at records: whatever the cells hold and wherever the cuts fall, the rows are the same."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from daskflow.core.errors import BadRowsError, DataError
from daskflow.data.table import Reject, Table
from daskflow.sources.csv import Csv
from daskflow.sources.csv_bounds import boundary, machine, state_at
from daskflow.sources.csv_dialect import Dialect
from daskflow.sources.csv_walks import RECORD, walk


def read(table: Table) -> tuple[list[dict[str, Any]], list[Reject]]:
    """All rows and rejects, in the order of the partitions."""
    decoded = [partition.read() for partition in table.partitions]
    rows = pa.concat_tables([part.plain for part in decoded])
    return rows.to_pylist(), [reject for part in decoded for reject in part.rejects]


def zipped(data: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.csv", data)
    return packed.getvalue()


def zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, "zstd", asbytes=True))


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstd,
    ".zip": zipped,
}

CELL = st.text(alphabet='ab1"\n\r ,;\\#é', max_size=5)
QUOTED = st.builds(
    lambda rows, end: end.join(",".join('"{}"'.format(cell.replace('"', '""')) for cell in row) for row in rows),
    st.lists(st.tuples(CELL, CELL), max_size=8),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
RAW = st.lists(st.tuples(CELL, st.sampled_from([",", "\n", '"', ',"', '",'])), max_size=16).map(
    lambda parts: "".join(cell + mark for cell, mark in parts)
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    text=st.one_of(QUOTED, RAW),
    partition_bytes=st.integers(1, 40),
    encoding=st.sampled_from(["utf-8", "latin-1", "utf-16"]),
    suffix=st.sampled_from(["", "", "", ".gz", ".zst"]),
    options=st.fixed_dictionaries(
        {},
        optional={
            "escape": st.just("\\"),
            "comment": st.just("#"),
            "skip_initial_space": st.booleans(),
            "skip_footer": st.integers(0, 2),
        },
    ),
)
def test_any_table_cut_at_any_size_gives_the_same_rows_rejects_and_lines(
    text: str,
    partition_bytes: int,
    encoding: str,
    suffix: str,
    options: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    # given
    path = tmp_path_factory.mktemp("cut") / f"a.csv{suffix}"
    path.write_bytes(PACKERS[suffix](f"p,q\nx,1\n{text}".encode(encoding)))
    said = {
        "encoding": encoding,
        "skip_initial_space": False,
        "dtypes": {"p": "string", "q": "Int64"},
        "on_bad_rows": "reject",
        **options,
    }
    try:
        whole = read(Csv(path=path, **said, header=True).table())
    except DataError as error:
        is_open = any(words in str(error) for words in ("never ends", "is to escape what follows"))
        assume(not is_open)
        raise
    # when
    table = Csv(path=path, **said, header=True, partition_bytes=partition_bytes).table()
    # then
    assert read(table) == whole
    names = [partition.fingerprint.name for partition in table.partitions]
    assert len(set(names)) == len(names)


def lines_of(n_rows: int) -> bytes:
    """Rows whose second cell holds line ends, quotes and separators, but not in every row."""
    cells = ["plain", '"a, b"', '"two\nlines"', '"""quoted"""', '""', '","']
    return b"".join(b"%d,%s,%d\n" % (place, cells[place % 6].encode(), place * 7919 % 1000) for place in range(n_rows))


@pytest.mark.parametrize("suffix", PACKERS)
def test_files_of_every_packing_are_cut_into_partitions_that_are_read_in_any_order(suffix: str, tmp_path: Path) -> None:
    # given
    path = tmp_path / f"a.csv{suffix}"
    path.write_bytes(PACKERS[suffix](b"n,text,x\n" + lines_of(20_000)))
    table = Csv(path=path, partition_bytes=60_000).table()
    # when they are read from the last to the first
    decoded = [partition.read() for partition in reversed(table.partitions)]
    # then
    assert len(table.partitions) > 5
    rows = pa.concat_tables([part.plain for part in reversed(decoded)])
    assert rows["n"].to_pylist() == list(range(20_000))
    assert rows["text"].to_pylist()[:6] == ["plain", "a, b", "two\nlines", '"quoted"', None, ","]
    assert max(part.rows.num_rows for part in decoded) < 5_000
    # and the content of a partition has a hash of its own, whoever reads it
    assert [part.content_hash for part in reversed(decoded)] == [part.read().content_hash for part in table.partitions]
    hashes = [part.content_hash for part in decoded if part.rows.num_rows]
    assert len(set(hashes)) == len(hashes)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_lines_of_bad_rows_in_late_partitions_are_those_of_the_file(suffix: str, tmp_path: Path) -> None:
    # given
    lines = (b"\xef\xbb\xbftitle\r\nn,text,x\n" + lines_of(20_000)).split(b"\n")
    lines[20_000] = b"1,2,3,4"
    path = tmp_path / f"a.csv{suffix}"
    path.write_bytes(PACKERS[suffix](b"\n".join(lines)))
    table = Csv(path=path, partition_bytes=60_000, skip_rows=1).table()
    # when, then
    with pytest.raises(BadRowsError, match=rf"a\.csv{suffix}, line 20001: 4 cells where there are 3 columns"):
        read(table)
    rows, (reject,) = read(Csv(path=path, partition_bytes=60_000, skip_rows=1, on_bad_rows="reject").table())
    assert (reject.line, reject.text) == (20_001, "1,2,3,4\n")
    assert len(rows) + 1 == sum(1 for _ in rows) + 1 == 20_000


def test_a_quoted_cell_longer_than_what_is_looked_back_is_refused_and_never_read_as_rows(tmp_path: Path) -> None:
    # given a quote that opens by mistake, millions of bytes of rows behind it, and one that closes it
    rows = b"1234567890,plain text\n" * 300_000
    path = tmp_path / "a.csv"
    path.write_bytes(b"n,text\n" + rows + b'1,"inch\n' + rows + b'2,more"\n3,last\n')
    options: dict[str, Any] = {"on_bad_rows": "reject", "dtypes": {"n": "int64"}}
    table = Csv(path=path, partition_bytes=4 << 20, **options).table()
    # when, then whichever partition meets it
    words = ("a.csv: a quoted cell", "is longer than 4 MiB", "quote = ''")
    errors = []
    for partition in table.partitions:
        try:
            partition.read()
        except DataError as error:
            errors.append(str(error))
    assert errors
    assert all(word in error for error in errors for word in words)
    assert any("that begins in line 300002" in error for error in errors)
    # and with the remedy
    rows_read, rejects = read(Csv(path=path, partition_bytes=4 << 20, quote="", **options).table())
    assert (len(rows_read), rejects) == (600_003, [])


class InMemory:
    """A text in memory that counts what is read of it."""

    def __init__(self, data: bytes) -> None:
        self.data, self.n_read = data, 0

    def read(self, start: int, stop: int) -> bytes:
        found = self.data[max(0, start) : stop]
        self.n_read += len(found)
        return found


@settings(max_examples=300, deadline=None)
@given(text=st.one_of(QUOTED, RAW), look_back=st.integers(1, 64), share=st.floats(0, 1), has_escape=st.booleans())
def test_a_state_that_is_said_to_be_certain_is_that_of_the_walk_from_the_beginning(
    text: str, look_back: int, share: float, has_escape: bool
) -> None:
    # given
    data, dialect = text.encode(), Dialect(escape="\\" if has_escape else None)
    place = int(share * len(data))
    # when
    state, is_sure = state_at(InMemory(data), place, 0, dialect, look_back)
    # then
    if is_sure:
        assert state == walk(data[:place], machine(dialect), RECORD)
    else:
        assert look_back < place


def test_a_cut_within_quoted_text_is_found_from_nearby(tmp_path: Path) -> None:
    # given
    text = InMemory(lines_of(200_000))
    place = len(text.data) // 2
    # when
    found = boundary(text, place, 0, Dialect())
    # then
    assert found.is_sure
    assert text.n_read < 300_000
    assert text.data[found.place - 1 : found.place] == b"\n"
    assert text.data[found.place :].split(b",")[0].isdigit()


def test_a_compressed_file_is_never_whole_in_memory(tmp_path: Path) -> None:
    # given 37 MB of text in a small file
    row = b"1234567,some text that repeats,0.125\n"
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"n,text,x\n" + row * 1_000_000, 1))
    table = Csv(path=path, partition_bytes=6 << 20).table()
    # when
    tracemalloc.start()
    n_rows = [partition.read().rows.num_rows for partition in table.partitions]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # then
    assert sum(n_rows) == 1_000_000
    assert peak < 30 << 20
    # and the partitions are the same whoever reads them first
    assert [partition.read().rows.num_rows for partition in reversed(table.partitions)] == n_rows[::-1]
