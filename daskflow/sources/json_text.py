"""Lines of JSON text: cut, numbered and parsed strictly."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

BOM = b"\xef\xbb\xbf"

NULL_AFTER_OBJECT = re.compile(rb"}[ \t\r]*n")

LINE_FEED, RETURN, BRACE = b"\n\r{"


class BadLineError(ValueError):
    """A line that is no JSON object; the text says why."""


class Line(NamedTuple):
    """A line's number in its text, from 1, and its bytes."""

    number: int
    text: bytes


class Written(float):
    """A number with the text that it was written as."""

    text: str

    def __new__(cls, text: str) -> Written:
        """Keep the text."""
        number = super().__new__(cls, text)
        number.text = text
        return number


def lines_of(text: bytes, first: int = 1) -> Iterator[Line]:
    """Yield the lines that are not blank, without their ends; a byte order mark is taken off.

    Examples
    --------
    >>> [tuple(line) for line in lines_of(b'{"a":1}\\r\\n\\n{"a":2}')]
    [(1, b'{"a":1}'), (3, b'{"a":2}')]
    """
    for number, line in enumerate(text.removeprefix(BOM).split(b"\n"), start=first):
        stripped = line.strip(b" \t\r")
        if stripped:
            yield Line(number, stripped)


def parsed(line: bytes) -> dict[str, Any]:
    """Return the object of a line.

    Raises
    ------
    BadLineError
        For what is no JSON, no object, or has a key twice.

    Examples
    --------
    >>> parsed(b'{"a": 1, "a": 2}')
    Traceback (most recent call last):
    daskflow.sources.json_text.BadLineError: key 'a' stands twice
    """
    try:
        row = json.loads(line.decode(), object_pairs_hook=_object, parse_float=Written)
    except UnicodeDecodeError as error:
        raise BadLineError(f"byte {error.start + 1} is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise BadLineError(f"no JSON: {error.msg} at character {error.colno}") from error
    except RecursionError as error:
        raise BadLineError("too many objects within each other") from error
    except BadLineError:
        raise
    except ValueError as error:  # an integer of more than 4300 digits
        raise BadLineError(str(error)) from error
    if not isinstance(row, dict):
        raise BadLineError(f"no object, but {json.dumps(row):.40}")
    return row


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of pairs whose keys differ."""
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise BadLineError(f"key '{next(name for name in names if names.count(name) > 1)}' stands twice")
    return row


def objects_in(text: bytes) -> int | None:
    """Return the number of lines when each is blank or begins an object, else None.

    Arrow's parser takes several objects in a line, and ends the process at a ``null`` that stands alone (pyarrow 26);
    so it is given only text that this function knows.

    Examples
    --------
    >>> objects_in(b'{"a":1}\\n\\n{"a":2}'), objects_in(b'{"a":1}\\nnull'), objects_in(b'{"a":1} null')
    (2, None, None)
    """
    letters = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(letters == LINE_FEED)
    starts = np.concatenate([[0], ends + 1])
    starts = starts[starts < len(letters)]
    first = letters[starts]
    begin = first == BRACE
    following = letters[np.minimum(starts + 1, len(letters) - 1)]
    blank = (first == LINE_FEED) | ((first == RETURN) & (following == LINE_FEED))
    if not (begin | blank).all() or NULL_AFTER_OBJECT.search(text):
        return None
    return int(begin.sum())
