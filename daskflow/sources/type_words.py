"""Words for column types, as pandas users write them."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from daskflow.core.settings import nearest

WORDS: Mapping[str, pa.DataType] = {
    **dict.fromkeys(("string", "str", "text", "object", "category", "categorical"), pa.string()),
    **dict.fromkeys(("int", "integer", "int64", "Int64"), pa.int64()),
    **{f"int{bits}": kind for bits, kind in ((8, pa.int8()), (16, pa.int16()), (32, pa.int32()))},
    **{f"Int{bits}": kind for bits, kind in ((8, pa.int8()), (16, pa.int16()), (32, pa.int32()))},
    **{f"uint{bits}": kind for bits, kind in ((8, pa.uint8()), (16, pa.uint16()), (32, pa.uint32()))},
    **dict.fromkeys(("float", "double", "float64", "Float64", "number"), pa.float64()),
    **dict.fromkeys(("float32", "Float32"), pa.float32()),
    **dict.fromkeys(("bool", "boolean"), pa.bool_()),
    **dict.fromkeys(("datetime", "date", "timestamp", "datetime64", "datetime64[us]"), pa.timestamp("us")),
    "datetime64[ns]": pa.timestamp("ns"),
    "datetime[utc]": pa.timestamp("us", tz="UTC"),
}
"""What can stand in ``dtypes``."""


def type_of_word(word: str) -> pa.DataType:
    """Return the Arrow type of a word.

    Raises
    ------
    ValueError
        With the nearest word.

    Examples
    --------
    >>> type_of_word("Int64")
    DataType(int64)
    """
    if word not in WORDS:
        raise ValueError(f"no such type: '{word}'{nearest(word, WORDS)}")
    return WORDS[word]


def checked_words(dtypes: Mapping[str, str]) -> Mapping[str, str]:
    """Return a ``dtypes`` setting as it is; ValueError naming every column whose word is unknown."""
    problems: list[str] = []
    for column, word in dtypes.items():
        try:
            type_of_word(word)
        except ValueError as error:
            problems.append(f"{column}: {error}")
    if problems:
        raise ValueError("; ".join(problems))
    return dtypes
