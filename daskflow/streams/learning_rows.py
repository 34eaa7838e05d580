"""Rows with what was said of them, on their way to their true value."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from daskflow.streams.json_records import whole_text
from daskflow.streams.scoring import Answers

LABELS = "labels:"
"""How partitions begin whose records are true values."""

Saying = tuple[float, Sequence[float] | None]
"""Code or number that a model answered, and a probability for each class."""


@dataclass(frozen=True, slots=True)
class Said:
    """What models said of a row.

    Attributes
    ----------
    by : str
        Whose answer was given.
    by_name : mapping
        What each said, those that could.
    """

    by: str
    by_name: Mapping[str, Saying]


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """A row, its true value and what was said of it.

    Attributes
    ----------
    values : mapping
        Those that models need in order to learn it.
    y : float
        Code of its class, or a number.
    said : Said
        Before it was known.
    """

    values: Mapping[str, Any]
    y: float
    said: Said

    def dump(self) -> str:
        """Return it as text, exactly."""
        told = [self.values, self.y, self.said.by, self.said.by_name]
        return json.dumps(told, separators=(",", ":"), default=_plain)

    @classmethod
    def load(cls, text: str, y: float | None = None) -> LabelledRow:
        """Read what `dump` gave; with another true value, where one is given."""
        values, known, by, said = json.loads(text)
        return cls(values, known if y is None else y, Said(by, {name: tuple(each) for name, each in said.items()}))


def _plain(value: Any) -> Any:
    """Return a value that is none of JSON as a model reads it anyway: see `reading`."""
    if value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, np.generic):
        return value.item()
    return value.isoformat() if isinstance(value, datetime.date) else str(value)


def said_by(answers: Answers) -> list[Saying | None]:
    """Return what was said by row; None where there is no answer."""
    labels = answers.predictions.of("labels").tolist()
    given = answers.predictions.probabilities
    if given is None or not answers.classes:
        shares: list[Any] = [None] * len(labels)
    elif len(answers.classes) == 2:
        shares = [[1.0 - share, share] for share in given.tolist()]
    else:
        shares = given.tolist()
    made: list[Saying | None] = [None] * answers.n_rows
    for place, label, share in zip(answers.places.tolist(), labels, shares, strict=True):
        made[place] = (label, share)
    return made


def key_of(values: Mapping[str, Any], name: str) -> str | tuple[str, str]:
    """Return the key of a record as text, or what is wrong with it.

    Examples
    --------
    >>> key_of({"id": 7}, "id"), key_of({"id": "7"}, "id")
    ('7', '7')
    >>> key_of({}, "id")
    ('missing', "there is no 'id', by which a record and its true value find each other")
    """
    value = values.get(name)
    value = value.item() if isinstance(value, np.generic) else value
    if value is None:
        return "missing", f"there is no '{name}', by which a record and its true value find each other"
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return "type", f"'{name}' should be a text or a number; found {type(value).__name__}"
    return whole_text(value) if isinstance(value, str) else str(value)
