"""Records of a stream: what comes, what becomes of it, and what is put aside."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it came.

    Attributes
    ----------
    id : str
        The same whenever the same record comes: by it a keyed sink holds a result once.
    values : mapping
        Values by column name, as JSON has them; empty when it could not be read.
    partition : str
        Part of the source with an order of its own, such as a file.
    offset : object
        Where in the partition it stands, as plain JSON; later records have later ones.
    key : str
        Of the source's key column; empty without.
    at : float
        When it came, in seconds since 1970.
    raw : bytes
        As it came, for who puts it aside; may be left out where `values` says it all.
    problem : str
        Why it could not be read; empty when it could.
    reason : str
        Of the problem, one word as in `Dead`.
    """

    id: str
    values: Mapping[str, Any]
    partition: str = ""
    offset: Any = None
    key: str = ""
    at: float = field(default_factory=time.time)
    raw: bytes = b""
    problem: str = ""
    reason: str = "malformed"


@dataclass(frozen=True, slots=True)
class Result:
    """What a record was answered with.

    Attributes
    ----------
    id : str
        The record's.
    record : Record
        It.
    answer : mapping
        Columns of the record that are kept, ``prediction``, and ``probability_LABEL`` for each class, as plain JSON.
    """

    id: str
    record: Record
    answer: Mapping[str, Any]

    @property
    def flat(self) -> dict[str, Any]:
        """ID and answer side by side, as sinks write them."""
        return {"id": self.id, **self.answer}


@dataclass(frozen=True, slots=True)
class Dead:
    """A record that has no answer, with the reason.

    Attributes
    ----------
    record : Record
        It.
    reason : str
        One word, by which such records are counted: ``malformed`` (not JSON, no object), ``missing`` (a column),
        ``extra`` (a name that
        is no column, where those are refused),
        ``type`` (of a value), ``value`` (infinite, out of range), ``size``, ``model`` (the model raised).
    words : str
        A sentence: what is wrong, what was found.
    """

    record: Record
    reason: str
    words: str


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of a batch.

    Attributes
    ----------
    results : sequence of Result
        In the order in which their records came.
    dead : sequence of Dead
        Records without an answer. One that is in neither has done its work without a result, as a true value has.
    state : mapping or None
        What the one who answers wants to know again after a restart, as plain JSON; journalled with the offsets.
    """

    results: Sequence[Result]
    dead: Sequence[Dead] = ()
    state: Mapping[str, Any] | None = None


class Answerer(Protocol):
    """Answers batches of records that could be read; the event loop is never blocked by it."""

    @property
    def at_once(self) -> int:
        """How many batches it is given at the same time; results leave in the order of the records all the same.

        With 1 a batch is given when the one before it has been answered.
        """

    async def answer(self, records: Sequence[Record]) -> Answered:
        """Answer a batch. A record that cannot be answered is among the dead; it raises only when nothing can be."""
