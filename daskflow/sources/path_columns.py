"""Columns that stand in the names of folders and files: hive's ``key=value``, and the file's own name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from daskflow.core.errors import DataError
from daskflow.sources.converting import cast_all, misfits
from daskflow.sources.opening import listed
from daskflow.sources.reading import FoundFile

MISSING = "__HIVE_DEFAULT_PARTITION__"
"""What Hive, Spark and Dask call the folder of missing values."""

WHOLE_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class PathColumns:
    """Columns that are constant within a file.

    Attributes
    ----------
    types : mapping of str to pyarrow.DataType
        By column, in order.
    values : mapping of str to mapping
        Values by file name and column.
    notes : tuple of str
        What was understood.
    """

    types: Mapping[str, pa.DataType] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def of(self, file: FoundFile) -> tuple[tuple[str, Any], ...]:
        """Return a file's names and values, in the order of `types`."""
        return tuple(self.values.get(file.name, {}).items())

    def refuse(self, names: Collection[str], file: str) -> None:
        """Raise DataError when a file has a column of the same name."""
        twice = [name for name in self.types if name in names]
        if twice:
            raise DataError(
                f"{file}: {listed(twice)} stands in the file and in the names of folders or files, and which is meant "
                "cannot be known. Say hive = false, another file_column, or the columns to read: columns = [...]."
            )


def path_columns(
    files: Sequence[FoundFile],
    *,
    hive: bool | None,
    file_column: str | None,
    columns: Collection[str] | None,
    casts: Mapping[str, pa.DataType],
) -> PathColumns:
    """Find the columns that stand in the paths of files.

    Parameters
    ----------
    files : sequence of FoundFile
        Folders directly above a file that are called ``key=value``, one within the other, are its columns.
    hive : bool or None
        True requires such folders, False ignores them, None takes them where they are.
    file_column : str or None
        Name of a column of relative file names.
    columns : collection of str or None
        The folders' columns that are wanted; None for all.
    casts : mapping of str to pyarrow.DataType
        Types the user said.

    Raises
    ------
    DataError
        For files whose folders have other keys, keys that stand twice, and values that do not fit a type.
    """
    keys = {} if hive is False else {file.name: _keys(file) for file in files}
    names = _agreed(keys, hive=hive)
    texts = {name: [keys[file.name][name] for file in files] for name in names if columns is None or name in columns}
    typed = {name: _typed(name, texts[name], casts.get(name), files) for name in texts}
    values = {file.name: {name: typed[name][place].as_py() for name in typed} for place, file in enumerate(files)}
    types = {name: column.type for name, column in typed.items()}
    notes = [f"columns from folder names: {', '.join(f'{name} ({kind})' for name, kind in types.items())}"]
    if file_column is not None:
        if file_column in types:
            raise DataError(f"file_column = '{file_column}': folders are called {file_column}=...; say another name.")
        types[file_column] = pa.string()
        for file in files:
            values[file.name][file_column] = file.name
    return PathColumns(types, values if types else {}, tuple(notes) if typed else ())


def with_constants(rows: pa.Table, constants: Sequence[tuple[str, Any]], types: Mapping[str, pa.DataType]) -> pa.Table:
    """Return rows with a column for each constant; texts as dictionaries of one value."""
    for name, value in constants:
        kind = types[name]
        if pa.types.is_string(kind):
            codes = pa.repeat(pa.scalar(None if value is None else 0, pa.int32()), rows.num_rows)
            column: Any = pa.DictionaryArray.from_arrays(codes, pa.array([] if value is None else [value], kind))
        else:
            column = pa.repeat(pa.scalar(value, kind), rows.num_rows)
        rows = rows.append_column(name, column)
    return rows


def _keys(file: FoundFile) -> dict[str, str | None]:
    """Keys and values of the folders above a file; the nearest last."""
    found: list[tuple[str, str | None]] = []
    for folder in reversed(file.path.split("/")[:-1]):
        name, mark, value = folder.partition("=")
        if not (mark and name):
            break
        found.append((unquote(name), None if value == MISSING else unquote(value)))
    repeated = [name for name, count in Counter(name for name, _ in found).items() if count > 1]
    if repeated:
        raise DataError(f"{file.name}: {listed(repeated)} stands twice in its folders' names. Rename one of them.")
    return dict(reversed(found))


def _agreed(keys: Mapping[str, Mapping[str, Any]], *, hive: bool | None) -> list[str]:
    """The keys that all files have; DataError when they differ."""
    kinds: dict[frozenset[str], list[str]] = {}
    for file, own in keys.items():
        kinds.setdefault(frozenset(own), []).append(file)
    if len(kinds) > 1:
        found = "; ".join(
            f"{listed(sorted(own)) if own else 'no keys'} above {listed(names, 3)}" for own, names in kinds.items()
        )
        raise DataError(
            f"The folders called key=value differ from file to file: {found}. Give all files the same keys, or say "
            "hive = false to leave them out."
        )
    names = list(next(iter(keys.values()), {}))
    if hive and not names:
        raise DataError("hive = true, but no folder above the files is called key=value. Say hive = false.")
    return names


def _typed(name: str, texts: Sequence[str | None], said: pa.DataType | None, files: Sequence[FoundFile]) -> pa.Array:
    """Values of one key, in the type that was said, or that all of them have: int64, date, text."""
    column = pa.array(texts, pa.string())
    there = {text for text in texts if text is not None}
    if said is None:
        if there and all(WHOLE_NUMBER.fullmatch(text) for text in there):
            return column.cast(pa.int64())
        dates = cast_all(column, pa.date32()) if there and all(DATE.fullmatch(text) for text in there) else None
        return column if dates is None else dates
    cast = cast_all(column, said)
    if cast is None:
        bad = misfits(column, said)[0].as_py()
        raise DataError(
            f"{files[list(texts).index(bad)].name}: the folder {name}={bad} does not fit {said}. Rename it, or say "
            "another type in dtypes."
        )
    return cast
