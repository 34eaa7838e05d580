r"""Selectors: the keys of ``[preprocess.columns]``, which name columns one by one, by a pattern or by their type.

============== ====================================================================================================
``"age"``      the column of that name
``"bill_*"``   names that a glob matches: ``*`` any letters, ``?`` one, ``[0-9]`` one of these; case counts
``"/^pay_\d/"``  names in which a regular expression is found; ``"/^pay/i"`` whatever the case
``"@float"``   columns of a type: ``@integer``, ``@float``, ``@decimal``, ``@string``, ``@boolean``, ``@date``,
               ``@timestamp``, or Arrow's own name such as ``@int64``; or of a kind: ``@numeric``, ``@categorical``,
               ``@datetime``
============== ====================================================================================================

A column follows its name; without one the first pattern, in the order written, that matches; without one the first type
or kind, in the order written, that it is of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from fnmatch import fnmatchcase

import pyarrow as pa

from daskflow.core.errors import Problem, SettingsError
from daskflow.core.settings import nearest
from daskflow.data.schema import Column, ColumnKind, Schema

TYPES: Mapping[str, Callable[[pa.DataType], bool]] = {
    "integer": pa.types.is_integer,
    "float": pa.types.is_floating,
    "decimal": pa.types.is_decimal,
    "string": lambda found: pa.types.is_string(found) or pa.types.is_large_string(found),
    "bool": pa.types.is_boolean,
    "date": pa.types.is_date,
    "timestamp": pa.types.is_timestamp,
}
"""Families of types by their words."""

KINDS = frozenset(str(kind) for kind in ColumnKind)

SHOWN = 6
"""Names of columns that a sentence lists."""


class Rank(IntEnum):
    """How closely a selector names a column; the lowest wins."""

    NAME = 0
    PATTERN = 1
    TYPE = 2


@dataclass(frozen=True, slots=True)
class Selector:
    """One key, as it is meant beside the features there are.

    Attributes
    ----------
    key : str
        As written.
    rank : Rank
        A name, a pattern, or a type.
    columns : tuple of str
        Features that it matches, in their order.
    """

    key: str
    rank: Rank
    columns: tuple[str, ...]


def select(keys: Iterable[str], features: Schema, where: str) -> tuple[Selector, ...]:
    """Match selectors with the features.

    Parameters
    ----------
    keys : iterable of str
        In the order written.
    features : Schema
        The columns there are.
    where : str
        The table the keys stand in, for messages.

    Raises
    ------
    SettingsError
        For selectors that match nothing or cannot be read; every one is named.

    Examples
    --------
    >>> features = Schema.of(pa.schema([("age", pa.int64()), ("pay_1", pa.float64()), ("pay_2", pa.float64())]))
    >>> [selector.columns for selector in select(["pay_*", "@integer"], features, "columns")]
    [('pay_1', 'pay_2'), ('age',)]
    """
    problems: list[Problem] = []
    found: list[Selector] = []
    for key in keys:
        try:
            selector = _selector(key, features)
        except SettingsError as error:
            problems.append(Problem(f"{where}.{key}", error.problems[0].message))
            continue
        if not selector.columns:
            problems.append(Problem(f"{where}.{key}", _nothing(selector, features)))
        found.append(selector)
    if problems:
        raise SettingsError(problems)
    return tuple(found)


def chosen(selectors: Sequence[Selector]) -> dict[str, Selector]:
    """Return the selector that each column follows; columns that none matches are left out."""
    winners: dict[str, Selector] = {}
    for selector in sorted(selectors, key=lambda selector: selector.rank):  # stable: in the order written
        for name in selector.columns:
            winners.setdefault(name, selector)
    return winners


def ambiguities(selectors: Sequence[Selector]) -> list[str]:
    """Say where several patterns, or several types, match a column, and which of them counts."""
    said: list[str] = []
    winners = chosen(selectors)
    for place, selector in enumerate(selectors):
        for earlier in selectors[:place]:
            if earlier.rank is not selector.rank:
                continue
            both = [name for name in selector.columns if name in earlier.columns and winners[name] is earlier]
            if both:
                said.append(
                    f"preprocess.columns: '{earlier.key}' and '{selector.key}' both match {listed(both)}; "
                    f"'{earlier.key}' counts, for it is written first"
                )
    idle = [selector.key for selector in selectors if not any(winner is selector for winner in winners.values())]
    said += [f"preprocess.columns: '{key}' decides nothing: other selectors name its columns" for key in idle]
    return said


def listed(names: Sequence[str]) -> str:
    """Return a few names and how many more there are.

    Examples
    --------
    >>> listed(["a", "b"])
    "'a', 'b'"
    """
    shown = ", ".join(f"'{name}'" for name in names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"


def _selector(key: str, features: Schema) -> Selector:
    """What a key means; a column's own name before all."""
    if key in features:
        return Selector(key, Rank.NAME, (key,))
    if key.startswith("@"):
        return Selector(key, Rank.TYPE, tuple(c.name for c in features.columns if _is_of(c, key[1:])))
    pattern = re.fullmatch(r"/(.+)/(i?)", key, flags=re.DOTALL)
    if pattern is not None:
        try:
            expression = re.compile(pattern[1], re.IGNORECASE if pattern[2] else 0)
        except re.error as error:
            raise SettingsError(f"is no regular expression: {error}") from None
        return Selector(key, Rank.PATTERN, tuple(name for name in features.names if expression.search(name)))
    if any(letter in key for letter in "*?["):
        return Selector(key, Rank.PATTERN, tuple(name for name in features.names if fnmatchcase(name, key)))
    return Selector(key, Rank.NAME, ())


def _is_of(column: Column, word: str) -> bool:
    """Whether a column is of a kind, of a family of types, or of one type."""
    if word in KINDS:
        return column.kind == word
    if word in TYPES:
        return TYPES[word](column.arrow_type)
    try:
        return bool(column.arrow_type == pa.type_for_alias(word))
    except ValueError:
        known = [f"@{known}" for known in (*KINDS, *TYPES)]
        raise SettingsError(f"there is no such type{nearest('@' + word, known)}") from None


def _nothing(selector: Selector, features: Schema) -> str:
    """Say that a selector matches no feature."""
    if selector.rank is Rank.NAME:
        return f"there is no such feature{nearest(selector.key, features.names)}"
    if selector.rank is Rank.TYPE:
        return f"no feature is of this type; there is: {listed(sorted({f'@{c.type}' for c in features.columns}))}"
    return f"no feature has a name like this; there is: {listed(features.names)}"
