"""One schema for many files that know their types, or every difference by file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from daskflow.core.errors import DataError
from daskflow.sources.opening import listed

SHOWN_FILES = 5
"""Files listed per difference; the rest is counted."""

UNITS = ("s", "ms", "us", "ns")


def grouped(schemas: Iterable[tuple[str, pa.Schema]]) -> list[tuple[pa.Schema, list[str]]]:
    """Return the different ones of many schemas, each with the names of its files, in order."""
    groups: list[tuple[pa.Schema, list[str]]] = []
    for name, schema in schemas:
        same = next((files for known, files in groups if known is schema or known.equals(schema)), None)
        if same is None:
            groups.append((schema, [name]))
        else:
            same.append(name)
    return groups


def unify(
    groups: Sequence[tuple[pa.Schema, Sequence[str]]], casts: Mapping[str, pa.DataType], noun: str = "parquet files"
) -> pa.Schema:
    """Return the schema that all files can be read in without losing anything.

    Widths of integers and of floats, units of time, plain and dictionary-encoded strings, and columns without a
    single value are unified; anything else is refused.

    Parameters
    ----------
    groups : sequence of (pyarrow.Schema, sequence of str)
        Schemas and the names of their files; the columns of the first give the order.
    casts : mapping of str to pyarrow.DataType
        Columns whose type the user said.
    noun : str
        What the files are called.

    Raises
    ------
    DataError
        With all missing and additional columns and all differing types, each with the files.
    """
    first, first_files = groups[0]
    problems = _absent(groups, first_files[0], first)
    fields: list[pa.Field] = []
    for name in first.names:
        by_type: dict[pa.DataType, list[str]] = {}
        for schema, files in groups:
            if name in schema.names:
                by_type.setdefault(plain_type(schema.field(name).type), []).extend(files)
        common = casts.get(name)
        if common is None:
            common = _common([*by_type])
        if common is None:
            found = "; ".join(f"{kind} in {_files(files)}" for kind, files in by_type.items())
            problems.append(
                f"column '{name}' is {found}. Write it in one type, or say which: dtypes = {{{key(name)} = 'string'}}."
            )
            continue
        fields.append(pa.field(name, common))
    if problems:
        raise DataError(f"The {noun} differ:\n" + "\n".join(f"- {problem}" for problem in problems))
    return pa.schema(fields)


def key(name: str) -> str:
    """Return a column's name as a key of TOML.

    Examples
    --------
    >>> key("zip"), key("fuel type")
    ('zip', '"fuel type"')
    """
    return name if name.isascii() and name.replace("_", "").replace("-", "").isalnum() else f'"{name}"'


def plain_type(arrow_type: pa.DataType) -> pa.DataType:
    """Return the type of a column's values: dictionaries decoded, one type for all strings."""
    if pa.types.is_dictionary(arrow_type):
        arrow_type = arrow_type.value_type
    if pa.types.is_large_string(arrow_type) or pa.types.is_string_view(arrow_type):
        return pa.string()
    return arrow_type


def _absent(groups: Sequence[tuple[pa.Schema, Sequence[str]]], first_name: str, first: pa.Schema) -> list[str]:
    """Columns that some files lack, or have beyond those of the first."""
    lacking: dict[str, list[str]] = {}
    extra: dict[str, list[str]] = {}
    for schema, files in groups:
        for name in first.names:
            if name not in schema.names:
                lacking.setdefault(name, []).extend(files)
        for name in schema.names:
            if name not in first.names:
                extra.setdefault(name, []).extend(files)
    remedy = "Add it to all files, or name the columns all have: columns = [...]."
    return [
        *(f"column '{name}' is missing in {_files(files)}. {remedy}" for name, files in lacking.items()),
        *(
            f"column '{name}' is in {_files(files)}, but not in '{first_name}'. {remedy}"
            for name, files in extra.items()
        ),
    ]


def _files(files: Sequence[str]) -> str:
    return listed(files, SHOWN_FILES)


def _common(types: Sequence[pa.DataType]) -> pa.DataType | None:
    """The narrowest type that holds the values of all of these exactly; None when there is none."""
    kinds = [kind for kind in types if not pa.types.is_null(kind)]
    if not kinds:
        return pa.null()
    common = kinds[0]
    for kind in kinds[1:]:
        wider = _wider(common, kind)
        if wider is None:
            return None
        common = wider
    return common


def _wider(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    """The narrowest type for the values of both; None when one cannot be had without loss or guessing."""
    if left == right:
        return left
    if pa.types.is_integer(left) and pa.types.is_integer(right):
        wide = np.promote_types(left.to_pandas_dtype(), right.to_pandas_dtype())
        return pa.from_numpy_dtype(wide) if np.issubdtype(wide, np.integer) else None
    if pa.types.is_floating(left) and pa.types.is_floating(right):
        return left if left.bit_width > right.bit_width else right
    if pa.types.is_timestamp(left) and pa.types.is_timestamp(right) and left.tz == right.tz:
        return max(left, right, key=lambda kind: UNITS.index(kind.unit))
    if pa.types.is_decimal(left) and pa.types.is_decimal(right) and left.scale == right.scale:
        return left if left.precision > right.precision else right
    return None
