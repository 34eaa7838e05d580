"""Types of JSON lines: found from a sample of values, never from names, and with no guess at dates."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from daskflow.core.errors import DataError
from daskflow.sources.converting import cast_all
from daskflow.sources.csv_unpacking import beginning, check_beginning, packing_of
from daskflow.sources.json_text import BadLineError, Line, lines_of, parsed
from daskflow.sources.parquet_schema import key
from daskflow.sources.reading import FoundFile, read_ranges

SAMPLED_FILES = 16
SAMPLE_BYTES = 1 << 18
SAMPLED_PLACES = 8
"""Where a large file is looked at, from its beginning to its end."""

TIME = pa.timestamp("us")

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """A value of the sample: the first of its kind in its column, and where it stood."""

    place: str
    value: Any


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of a source's sample.

    Attributes
    ----------
    rows : tuple of mapping
        As they were parsed.
    lines : tuple of bytes
        As they were written.
    kinds : mapping of path to mapping of str to Seen
        What was seen in each column, by kind of value (integer, number, text, truth, list, object, nothing).
    """

    rows: tuple[Any, ...]
    lines: tuple[bytes, ...]
    kinds: Mapping[Path, Mapping[str, Seen]]


def sample_of(files: Sequence[FoundFile]) -> Sample:
    """Read lines at the beginning, at the end and between, of files spread over the source.

    Raises
    ------
    DataError
        For files that are no JSON lines at all, or cannot be read.
    """
    step = (len(files) - 1) / max(1, SAMPLED_FILES - 1)
    chosen = files if len(files) <= SAMPLED_FILES else [files[round(place * step)] for place in range(SAMPLED_FILES)]
    rows: list[Any] = []
    kinds: dict[Path, dict[str, Seen]] = {}
    lines: list[bytes] = []
    for file in chosen:
        n_bad, n_good = 0, 0
        for line in _lines(file):
            try:
                row = parsed(line.text)
            except BadLineError as error:
                n_bad += 1
                problem = error
                continue
            n_good += 1
            rows.append(row)
            lines.append(line.text)
            where = f"{file.name}, line {line.number}" if line.number else file.name
            for path, value in flattened(row):
                kinds.setdefault(path, {}).setdefault(kind_of_value(value), Seen(where, value))
        if n_bad and not n_good:
            raise DataError(
                f"{file.name}: none of the {n_bad} lines looked at is a JSON object ({problem}). This kind reads one "
                "object per line; a single document of [...] is to be written so first."
            )
    return Sample(tuple(rows), tuple(lines), kinds)


def _lines(file: FoundFile) -> Iterator[Line]:
    """Whole lines of a file's sample; those not at its beginning without numbers."""
    packing = packing_of(file, "infer")
    text = beginning(file, SAMPLE_BYTES, packing)
    check_beginning(file, text, packing)
    is_whole = len(text) < SAMPLE_BYTES or (packing == "none" and file.size_bytes == SAMPLE_BYTES)
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{file.name} is UTF-16; JSON lines are UTF-8. Convert it (iconv -f utf-16 -t utf-8).")
    yield from lines_of(text if is_whole else text[: text.rfind(b"\n") + 1 or len(text)])
    if packing != "none" or is_whole:
        return
    length = SAMPLE_BYTES // SAMPLED_PLACES
    for place in range(1, SAMPLED_PLACES + 1):
        start = (file.size_bytes - length) * place // SAMPLED_PLACES
        (part,) = read_ranges(file, [(start, length)])
        whole = bytes(part)
        stop = length if place == SAMPLED_PLACES else whole.rfind(b"\n") + 1
        for line in lines_of(whole[whole.find(b"\n") + 1 : stop]):
            yield Line(0, line.text)


def kind_of_value(value: Any) -> str:
    """Return the kind of a JSON value, in words."""
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, int):
        return "integer"
    return {float: "number", str: "text", list: "list", dict: "object", type(None): "nothing"}.get(
        type(value), "number"
    )


def flattened(row: Mapping[str, Any], above: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield the values of an object and of the objects within it, with their paths.

    Examples
    --------
    >>> list(flattened({"a": 1, "b": {"c": "x", "d": {}}}))
    [(('a',), 1), (('b', 'c'), 'x')]
    """
    for name, value in row.items():
        if isinstance(value, dict):
            yield from flattened(value, (*above, name))
        else:
            yield (*above, name), value


def types_of(
    sample: Sample, said: Mapping[str, pa.DataType], drop: Collection[str], columns: Collection[str] | None
) -> dict[Path, pa.DataType]:
    """Return the type of every column: int64, float64, bool or text, or what was said.

    Parameters
    ----------
    sample : Sample
        What was seen.
    said : mapping of str to pyarrow.DataType
        By column name; columns that the sample lacks are added.
    drop : collection of str
        Columns of lists that may be left out.
    columns : collection of str or None
        Those that are wanted; None for all.

    Raises
    ------
    DataError
        With every column whose values are of several kinds, lists, or integers beyond 64 bits.
    """
    problems: list[str] = []
    types: dict[Path, pa.DataType] = {}
    leaves = {path for path, kinds in sample.kinds.items() if set(kinds) != {"nothing"}}
    for path, kinds in sample.kinds.items():
        name = ".".join(path)
        above = [path[:depth] for depth in range(1, len(path))]
        if (columns is not None and name not in columns) or any(".".join(whole) in drop for whole in above):
            continue
        if values := [".".join(whole) for whole in above if whole in leaves]:
            problems.append(f"'{values[0]}' is an object in some lines, and a value in others. Write it in one way.")
            continue
        if path not in leaves and any(other[: len(path)] == path for other in leaves):
            continue  # an object that is missing in some lines
        if "list" in kinds:
            if name not in drop:
                seen = kinds["list"]
                problems.append(
                    f"{seen.place}: '{name}' is a list ({seen.value!r:.40}), which no model can use. Leave it out with "
                    f"drop = ['{name}'], or write a column for what matters in it."
                )
            continue
        kind = said.get(name) or _common(name, kinds, problems)
        if kind is not None:
            types[path] = kind
    missing = [name for name in said if name not in {".".join(path) for path in sample.kinds}]
    types |= {tuple(name.split(".")) if _is_below(name, types) else (name,): said[name] for name in missing}
    names = [".".join(path) for path in types]
    problems += [
        f"'{name}' is a key with a point in it, and one within an object as well. Rename one of them."
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    if problems:
        raise DataError("\n".join(problems))
    return types


def _is_below(name: str, types: Mapping[Path, pa.DataType]) -> bool:
    """Whether a name's first part is an object that is known."""
    return any(len(path) > 1 and path[0] == name.split(".")[0] for path in types)


def _common(name: str, kinds: Mapping[str, Seen], problems: list[str]) -> pa.DataType | None:
    """The type that holds all kinds of values seen in a column; None with a problem when there is none."""
    there = {kind: seen for kind, seen in kinds.items() if kind != "nothing"}
    if set(there) <= {"text"}:
        return pa.string()
    if set(there) == {"truth"}:
        return pa.bool_()
    if set(there) <= {"integer", "number"}:
        return pa.float64() if "number" in there else pa.int64()
    found = "; ".join(f"{kind} ({seen.value!r:.30}) in {seen.place}" for kind, seen in there.items())
    problems.append(
        f"column '{name}' holds values of several kinds: {found}. Write it in one, or say dtypes = {{{key(name)} = "
        "'string'}}."
    )
    return None


def times_of(file: FoundFile) -> tuple[dict[str, Any], list[str]]:
    """Return a ``dtypes`` option for the texts in a file that all are ISO 8601 times, and a sentence on each."""
    sample = sample_of([file])
    texts: dict[str, list[str]] = {}
    for row in sample.rows:
        for path, value in flattened(row):
            if set(sample.kinds[path]) <= {"text", "nothing"} and isinstance(value, str):
                texts.setdefault(".".join(path), []).append(value)
    times = [
        name
        for name, values in texts.items()
        if all(value[:4].isdecimal() and value[4:5] == "-" for value in values)
        and cast_all(pa.array(values), TIME) is not None
    ]
    notes = [f"'{name}' holds texts that are ISO 8601 times; dtypes says to read them so." for name in times]
    return ({"dtypes": dict.fromkeys(times, "datetime")} if times else {}), notes
