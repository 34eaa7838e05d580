"""Files of a watched folder as records, a few thousand in memory at a time.

An offset is ``[records up to here, whether these are all, bytes of the file, its time of change in ns]``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from daskflow.core.errors import DataError, Problem, SettingsError
from daskflow.data.table import Reject
from daskflow.streams import LINES_SUFFIXES, ReadTables
from daskflow.streams.folder_looking import Complete
from daskflow.streams.json_records import key_of, record_of
from daskflow.streams.lines_cutting import LineCutter
from daskflow.streams.records import Record

CHUNK_ROWS = 2_048
CHUNK_BYTES = 1 << 18


def read_records(
    file: Complete, read: ReadTables | None, *, key: str | None, max_bytes: int
) -> Iterator[Sequence[Record]]:
    """Yield the records of a file that were not handed on yet.

    What cannot be read is a record with a problem: a line, a row, or the whole file.

    Parameters
    ----------
    file : Complete
        It.
    read : ReadTables or None
        Reads what is no file of JSON lines.
    key : str or None
        Column of the records' key.
    max_bytes : int
        A longer line of JSON is a problem.
    """
    records = _numbered(file, read, key, max_bytes)
    here: list[Record] = []
    number = 0
    for record in records:
        number = record.offset[0]
        if number <= file.done:
            continue
        here.append(record)
        if len(here) > CHUNK_ROWS:  # the last one stays: whether it is the last of all is not known yet
            yield here[:-1]
            del here[:-1]
    if here:
        last = here.pop()
        yield [*here, _moved(last, [last.offset[0], True, *last.offset[2:]])]


def _moved(record: Record, offset: Any) -> Record:
    return Record(
        record.id,
        record.values,
        record.partition,
        offset,
        record.key,
        record.at,
        record.raw,
        record.problem,
        record.reason,
    )


def _numbered(file: Complete, read: ReadTables | None, key: str | None, max_bytes: int) -> Iterator[Record]:
    """Yield the records of a file from its first on; after a file that breaks off, one that says so."""
    number = file.done
    if file.changed:
        words = f"{file.name}: {file.changed}; what is new in it is not read. Give new records a new file."
        yield _problem(file, number + 1, words, reason="changed")
        return
    number = 0
    try:
        if file.name.lower().endswith(LINES_SUFFIXES):
            made = _of_lines(file, key, max_bytes)
        elif read is None:
            raise DataError(f"{file.name} is no file of JSON lines ({', '.join(LINES_SUFFIXES)})")
        else:
            made = _of_tables(file, read, key)
        for record in made:
            number += 1
            yield record
    except (DataError, SettingsError, OSError, pa.ArrowException) as error:
        why = _sentence(error)
        words = f"{file.name} cannot be read{f' behind {number:,} records' if number else ''}: {why}"
        yield _problem(file, number + 1, words)


def _sentence(error: BaseException) -> str:
    if isinstance(error, SettingsError):
        return "; ".join(problem.message for problem in error.problems if isinstance(problem, Problem))
    return str(error)


def _problem(file: Complete, number: int, words: str, *, reason: str = "malformed", raw: bytes = b"") -> Record:
    offset = [number, False, file.size, file.modified_ns]
    return Record(f"{file.name}:{number}", {}, file.name, offset, raw=raw, problem=words, reason=reason)


def _of_lines(file: Complete, key: str | None, max_bytes: int) -> Iterator[Record]:
    """Yield the objects of a file of JSON lines."""
    cutter = LineCutter(max_bytes)
    number = 0
    with open(file.path, "rb") as opened:
        while True:
            chunk = opened.read(CHUNK_BYTES)
            for line in cutter.cut(chunk) if chunk else cutter.rest():
                number += 1
                if line.n_bytes > max_bytes:
                    words = f"line {line.number} has {line.n_bytes:,} bytes; {max_bytes:,} are allowed"
                    yield _problem(file, number, f"{file.name}, {words}", reason="size", raw=line.raw)
                    continue
                offset = [number, False, file.size, file.modified_ns]
                yield record_of(line.raw, id=f"{file.name}:{number}", partition=file.name, offset=offset, key=key)
            if not chunk:
                return


def _of_tables(file: Complete, read: ReadTables, key: str | None) -> Iterator[Record]:
    """Yield the rows of a table, piece by piece: first those of a piece that could not be read, then the others."""
    number = 0
    for table, rejects in read(file.path):
        for reject in rejects:
            number += 1
            yield _refused(file, number, reject)
        for batch in table.to_batches(max_chunksize=CHUNK_ROWS):
            for values in batch.to_pylist():
                number += 1
                offset = [number, False, file.size, file.modified_ns]
                yield Record(f"{file.name}:{number}", values, file.name, offset, key_of(values, key))


def _refused(file: Complete, number: int, reject: Reject) -> Record:
    words = f"{file.name}, line {reject.line}: {reject.reason}"
    return _problem(file, number, words, raw=reject.text.encode(errors="replace"))
