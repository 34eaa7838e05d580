"""Swaps of a stream's champion: journalled with their evidence before they act, asked for by a file, and taken back.

- ``contestants``: who may answer: names, first (who answers before any swap), places (mapping of name to the model
  folder of those that do not learn; empty for those that do)
- ``swap``: champion, before (names), by (``rule``, ``command line`` or ``python``), why (words), labelled (labelled
  rows when it acted), evidence (as `champion.Comparison`, with metric and rule; None when it was asked for), key (of
  whoever asked), at
- ``refused``: key, why, at: what was asked for and cannot be

``current``, a file of one line in the stream's folder, names the champion's model folder: the newest snapshot of one
that learns. ``daskflow serve --watch`` follows it.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from daskflow.bundle import files
from daskflow.core import mail
from daskflow.core.errors import ControlError, SettingsError
from daskflow.core.journal import write_atomically
from daskflow.core.settings import nearest
from daskflow.streams import champion

SWAP, CONTESTANTS = "swap", "contestants"
MAILBOX, RULE = "control", "rule"
MOST_ASKED = 20


class Book(Protocol):
    """Where a learner's state and swaps are kept; `committing.Commits` is one."""

    state: Mapping[str, Any] | None

    @property
    def others(self) -> Sequence[Mapping[str, Any]]:
        """Records that are no commits."""

    def note(self, record: Mapping[str, Any]) -> None:
        """Write such a record; it is on the disk on return."""


class MemoryBook:
    """A book that ends with its process."""

    def __init__(self) -> None:
        """Begin empty."""
        self.state: Mapping[str, Any] | None = None
        self.others: list[Mapping[str, Any]] = []

    def note(self, record: Mapping[str, Any]) -> None:
        """Keep a record."""
        self.others.append(dict(record))


@dataclass(frozen=True, slots=True)
class Ask:
    """A swap that somebody asks for.

    Attributes
    ----------
    to : str
        Who shall answer; empty: who did before the last swap.
    by : str
        Who asks: ``command line`` or ``python``.
    key : str
        By which whoever asked finds the answer in the journal.
    """

    to: str = ""
    by: str = "python"
    key: str = ""

    @classmethod
    def load(cls, fields: Any) -> Ask:
        """Read what was put into the mailbox; ValueError for anything else."""
        if not isinstance(fields, Mapping) or fields.get("ask") != SWAP:
            raise ValueError("it asks for no swap")
        texts = [fields.get(name, "") for name in ("to", "by", "key")]
        if not all(isinstance(text, str) and len(text) <= 200 and text.isprintable() for text in texts):
            raise ValueError("to, by and key are short texts")
        return cls(*texts)


class Swaps:
    """Who answers, who did, and who may.

    Parameters
    ----------
    book : Book
        Where swaps are journalled.
    folder : Path or None
        The stream's; None keeps no file ``current`` and hears no one.

    Raises
    ------
    ControlError
        When the book knows of no contestants and `enter` was not called, at the first use.
    """

    def __init__(self, book: Book, folder: Path | None) -> None:
        """Read what the book has."""
        self._book, self._folder = book, folder
        self.names: tuple[str, ...] = ()
        self.places: Mapping[str, str] = {}
        self._first = ""
        self.history: list[Mapping[str, Any]] = []
        for record in book.others:
            if record.get("record") == CONTESTANTS:
                self.names, self._first = tuple(record["names"]), str(record["first"])
                self.places = dict(record["places"])
            elif record.get("record") == SWAP and "labelled" in record:
                self.history.append(record)

    def enter(self, names: Sequence[str], first: str, places: Mapping[str, str]) -> None:
        """Say who may answer from now on; a champion that is gone gives way to the first."""
        if (tuple(names), first, dict(places)) != (self.names, self._first, dict(self.places)):
            self.names, self._first, self.places = tuple(names), first, dict(places)
            told = {"record": CONTESTANTS, "names": list(names), "first": first, "places": dict(places)}
            self._book.note({**told, "at": time.time()})

    def at(self, number: int) -> tuple[str, int, int]:
        """Return who answers from a labelled row on, since which labelled row, and by the how-manieth swap.

        Parameters
        ----------
        number : int
            How many labelled rows came before.
        """
        for count in range(len(self.history), 0, -1):
            record = self.history[count - 1]
            if record["labelled"] <= number and record["champion"] in self.names:
                return str(record["champion"]), int(record["labelled"]), count
        return self._first, 0, 0

    def go_back(self, number: int) -> None:
        """Take note that only so many labelled rows were committed.

        A swap by the rule acts when as many have come as before; one that was asked for acts at once.
        """
        for place, record in enumerate(self.history):
            if record["by"] != RULE and record["labelled"] > number:
                self.history[place] = {**record, "labelled": number}

    def has_swap_at(self, number: int) -> bool:
        """Whether the rule has decided at this labelled row before, and was journalled."""
        return any(record["labelled"] == number and record["by"] == RULE for record in self.history)

    def check(self, asked: Ask, number: int = 2**62) -> str:
        """Return who shall answer; SettingsError when that makes no sense."""
        if len(self.names) < 2:
            raise SettingsError("There is nobody to swap with: start the stream with --challenge or --challenger.")
        if not asked.to:
            before = [str(record["before"]) for record in self.history if record["before"] in self.names]
            if not before:
                raise SettingsError(f"No swap was made yet: '{self.at(number)[0]}' has answered from the start.")
            return before[-1]
        if asked.to not in self.names:
            raise SettingsError(f"No model of the stream is called '{asked.to}'{nearest(asked.to, self.names)}")
        if asked.to == self.at(number)[0]:
            raise SettingsError(f"'{asked.to}' answers already.")
        return asked.to

    def swap(
        self, to: str, *, by: str, labelled: int, evidence: Mapping[str, Any] | None = None, key: str = ""
    ) -> Mapping[str, Any]:
        """Journal a swap, and return its record; it acts from then on."""
        record = {
            "record": SWAP,
            "champion": to,
            "before": self.at(labelled)[0],
            "by": by,
            "why": "it was asked for" if evidence is None else champion.words_of(evidence),
            "labelled": labelled,
            "evidence": evidence,
            "key": key,
            "at": time.time(),
        }
        self._book.note(record)
        self.history.append(record)
        return record

    def point(self, place: Path) -> None:
        """Let ``current`` name a model folder: relative to the stream's folder where it is in there."""
        if self._folder is None:
            return
        with suppress(ValueError):
            place = place.relative_to(self._folder)
        write_atomically(self._folder / files.CURRENT, f"{place}\n".encode())

    def asked(self, warn: Callable[[str], None]) -> list[Ask]:
        """Take what was asked for out of the mailbox, oldest first."""
        if self._folder is None:
            return []
        return mail.collect(self._folder / MAILBOX, Ask.load, warn, most=MOST_ASKED)

    def refuse(self, asked: Ask, why: str) -> None:
        """Journal that something cannot be done, for whoever asked."""
        self._book.note({"record": "refused", "key": asked.key, "why": why, "at": time.time()})


def words_of(record: Mapping[str, Any]) -> str:
    """Return a swap as a sentence.

    Examples
    --------
    >>> record = {"before": "model", "champion": "learner", "labelled": 4200, "why": "it was asked for", "by": "python"}
    >>> words_of(record)
    "'learner' answers instead of 'model' after 4,200 labelled rows: it was asked for (python)."
    """
    head = f"'{record['champion']}' answers instead of '{record['before']}'"
    return f"{head} after {record['labelled']:,} labelled rows: {record['why']} ({record['by']})."


def ask(folder: Path, asked: Ask) -> Ask:
    """Put a request into the mailbox of a stream that goes on; return it with its key.

    Raises
    ------
    ControlError
        When the folder cannot be written.
    """
    made = Ask(asked.to, asked.by, asked.key or secrets.token_hex(8))
    fields = {"ask": SWAP, "to": made.to, "by": made.by, "key": made.key}
    try:
        mail.post(folder / MAILBOX, json.dumps(fields).encode(), owner=folder.stat().st_uid)
    except OSError as error:
        raise ControlError(f"{folder / MAILBOX} cannot be written: {error.strerror}.") from error
    return made
