"""Later CSV files of a table over HTTP are read as the first ones, and a file that is written otherwise is refused."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import daskflow.sources.csv
from daskflow.core.errors import DataError
from daskflow.data.table import Decoded, Fingerprint
from daskflow.sources.csv import Csv
from daskflow.sources.http_pieces import WholeFile, at

FIRST = b"n,x,late,zip,day\n1,1.5,true,02139,2024-01-01\n2,2.5,false,N1,2024-01-02\n"


@dataclass(frozen=True)
class There:
    """A file that has come."""

    path: Path

    @contextmanager
    def file(self) -> Iterator[Path]:
        yield self.path


def later(folder: Path, body: bytes, first: bytes = FIRST, name: str = "b.csv", **options: Any) -> WholeFile:
    """A file of a table whose schema is from another one."""
    (folder / "a.csv").write_bytes(first)
    (folder / name).write_bytes(body)
    format = Csv(path="", **options)
    table = at(format, [folder / "a.csv"]).table()
    seen = Fingerprint(name, len(body), 1, "")
    schema, learned = table.source_schema, format.learned(table)
    return WholeFile(There(folder / name), format, name, schema, seen, 1, learned)  # type: ignore[arg-type]


def outcome(file: WholeFile) -> Decoded | str:
    """What becomes of a file: its rows, or what is said of it."""
    try:
        return file.read()
    except DataError as error:
        return f"{type(error).__name__}: {error}"


BODIES = {
    "as the first": FIRST,
    "no rows": b"n,x,late,zip,day\n",
    "another order": b"day,zip,late,x,n\n2024-02-01,1,true,3,7\n",
    "types of its own": b"n,x,late,zip,day\n1,1,true,1,2024-01-01\n,,,,\n",
    "a number too many": b"n,x,late,zip,day\n1.5,1,true,1,2024-01-01\n",
    "a time with a zone": b"n,x,late,zip,day\n1,1,true,1,2024-01-01T10:00:00Z\n",
    "a short row": b"n,x,late,zip,day\n1,1,true,1\n",
    "a column less": b"n,x,late,zip\n1,1,true,1\n",
    "a column twice": b"n,x,late,zip,zip\n1,1,true,1,2\n",
    "no header": b"1,1.5,true,02139,2024-01-01\n2,2.5,false,N1,2024-01-02\n",
    "its header again": FIRST + FIRST,
    "another separator": FIRST.replace(b",", b";"),
    "blanks and quotes": b'n,x,late,zip,day\n1,1.5,true, "02139",2024-01-01\n',
    "a blank and a quote within": b'n,x,late,zip,day\n1,1.5,true,a "b",2024-01-01\n',
    "a page": b"<!DOCTYPE html><html>Log in</html>",
    "nothing": b"",
    "an open quote": b'n,x,late,zip,day\n1,1.5,true,"02139,2024-01-01\n',
    "another encoding": "n,x,late,zip,day\n1,1.5,true,Malmö,2024-01-01\n".encode("latin-1"),
    "a mark": "\ufeffn,x,late,zip,day\n1,1.5,true,Malmö,2024-01-01\n".encode(),
    "wide letters": "n,x,late,zip,day\n1,1.5,true,Malmö,2024-01-01\n".encode("utf-16"),
    "no last line end": FIRST[:-1],
}


@pytest.mark.parametrize("on_bad_rows", ["fail", "reject"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_later_file_is_what_it_is_when_it_is_opened_by_itself(tmp_path: Path, body: bytes, on_bad_rows: str) -> None:
    file = later(tmp_path, body, on_bad_rows=on_bad_rows)
    expected = outcome(replace(file, learned=None))
    found = outcome(file)
    if isinstance(expected, Decoded):
        assert isinstance(found, Decoded), found
        assert found.rows.equals(expected.rows)
        assert (found.rejects, found.content_hash) == (expected.rejects, expected.content_hash)
    else:
        assert found == expected


@pytest.mark.parametrize(
    ("options", "body"),
    [
        ({"columns": ["n", "zip"]}, FIRST),
        ({"columns": ["n", "zip"]}, b"zip,n,more\n1,2,3\n"),
        ({"rename": {"z*": "place"}}, FIRST),
        ({"rename": {"z*": "place"}}, FIRST.replace(b"zip", b"code")),
        ({"header": True, "names": ["a", "b", "c", "d", "e"]}, FIRST),
        ({"dtypes": {"n": "string"}, "na_values": {"n": ["1"]}}, FIRST),
        ({"skip_footer": 1}, FIRST),
        ({"file_column": "file"}, FIRST),
        ({"skip_initial_space": True}, FIRST.replace(b",", b", ")),
    ],
)
def test_options_mean_the_same_for_later_files(tmp_path: Path, options: dict[str, Any], body: bytes) -> None:
    file = later(tmp_path, body, **options)
    expected, found = outcome(replace(file, learned=None)), outcome(file)
    assert found == expected if isinstance(expected, str) else found.rows.equals(expected.rows)  # type: ignore[union-attr]


def test_types_are_looked_for_in_the_first_files_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = FIRST + b"3,3.5,true,N2,2024-01-03\n" * 1000
    file = later(tmp_path, gzip.compress(body), name="b.csv.gz")

    def looks(*_: object) -> None:
        raise AssertionError("a sample was looked at")

    monkeypatch.setattr(daskflow.sources.csv, "sample_of", looks)
    assert file.read().rows.num_rows == 1002
