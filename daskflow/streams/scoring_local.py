"""Answers of a stream in this process: a scorer in a thread, so that the event loop goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from daskflow.core.errors import Problem, SettingsError
from daskflow.streams.records import Answered, Dead, Record, Result
from daskflow.streams.scoring import Scorer

OWN_NAMES = ("id", "prediction")


class LocalAnswerer:
    """Answers one batch at a time, in a thread of its own.

    Parameters
    ----------
    scorer : Scorer
        Answers rows.
    keep : sequence of str
        Columns of a record that its result has before the prediction; None where a record lacks one.
    """

    at_once = 1

    def __init__(self, scorer: Scorer, *, keep: Sequence[str] = ()) -> None:
        """Start nothing yet."""
        self.scorer, self._keep = scorer, tuple(keep)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="answering")

    async def answer(self, records: Sequence[Record]) -> Answered:
        """Answer a batch."""
        rows = [record.values for record in records]
        said = await asyncio.get_running_loop().run_in_executor(self._thread, said_of, self.scorer, rows)
        return answered_of(records, said, self._keep)

    def close(self) -> None:
        """Let the thread go."""
        self._thread.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class Said:
    """What a scorer says of rows, in a form that travels: answers by row (None where there is none), and problems."""

    answers: Sequence[dict[str, Any] | None]
    problems: Mapping[int, tuple[str, str]]


def said_of(scorer: Scorer, rows: Sequence[Mapping[str, Any]]) -> Said:
    """Ask a scorer."""
    found = scorer.rows(rows)
    return Said(found.dicts(), dict(found.problems))


def answered_of(records: Sequence[Record], said: Said, keep: Sequence[str] = ()) -> Answered:
    """Put what was said beside the records."""
    results = [
        Result(record.id, record, {**{name: record.values.get(name) for name in keep}, **answer} if keep else answer)
        for record, answer in zip(records, said.answers, strict=True)
        if answer is not None
    ]
    dead = [Dead(records[place], reason, words) for place, (reason, words) in sorted(said.problems.items())]
    return Answered(results, dead)


def check_kept(scorer: Scorer, keep: Sequence[str]) -> None:
    """Refuse columns whose names results have already; SettingsError with each."""
    made = {*OWN_NAMES, *(f"probability_{label}" for label in scorer.model.classes)}
    wrong = [
        Problem("keep", f"results have '{name}' of their own; give that column another name in the records")
        for name in keep
        if name in made
    ]
    wrong += [Problem("keep", f"'{name}' is named twice") for name in sorted({n for n in keep if keep.count(n) > 1})]
    if wrong:
        raise SettingsError(wrong)
