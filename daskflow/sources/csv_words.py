"""What may be said for the options of CSV files: the words of pandas too, and values that are no mistakes."""

from __future__ import annotations

import codecs
from typing import Any

OF_PANDAS = {
    "sep": "separator",
    "delimiter": "separator",
    "quotechar": "quote",
    "escapechar": "escape",
    "doublequote": "double_quote",
    "skiprows": "skip_rows",
    "skipfooter": "skip_footer",
    "skipinitialspace": "skip_initial_space",
    "dtype": "dtypes",
    "usecols": "columns",
}


def in_our_words(given: Any) -> Any:
    """Return options with pandas' words replaced by ours.

    Raises
    ------
    ValueError
        When an option is given under two names.

    Examples
    --------
    >>> in_our_words({"sep": ";", "skiprows": 2})
    {'separator': ';', 'skip_rows': 2}
    """
    if not isinstance(given, dict) or not OF_PANDAS.keys() & given.keys():
        return given
    ours: dict[str, Any] = {}
    for word, value in given.items():
        own = str(OF_PANDAS.get(word, word))
        if own in ours:
            raise ValueError(f"{own} is given twice, also as {word}")
        ours[own] = value
    return ours


def words(value: Any) -> Any:
    """Return one word or several as several."""
    return (value,) if isinstance(value, str) else value


def is_no_number(value: Any) -> Any:
    """Return a value for ``header``; ValueError for pandas' ``header = 0``, which would be false here and is true."""
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError("should be true (the first row after skip_rows names the columns) or false")
    return value


def is_known_encoding(encoding: str | None) -> str | None:
    """Return an encoding's name; ValueError when Python does not know it."""
    if encoding is None:
        return None
    try:
        codecs.lookup(encoding)
        "".encode(encoding)
    except LookupError:
        raise ValueError("no such encoding; usual ones are utf-8, latin-1, cp1252, utf-16") from None
    return encoding
