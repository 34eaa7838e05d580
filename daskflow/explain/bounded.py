"""Units of one column each, in parallel, within a time, and without those that an earlier run has finished."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daskflow.core.errors import ClusterError, StorageError
from daskflow.core.protocols import Executor, Outcome, Unit
from daskflow.data.execution import GLANCE_SECONDS, run_all

Record = Mapping[str, Any]
"""What is known of a finished column: ``column``, and plain JSON values."""

NUMBERS = itertools.count()
"""Calls of this process: keys of units are never the same twice."""


class Deadline:
    """A time after which nothing new is begun.

    Parameters
    ----------
    seconds : float or None
        From now on; None for no end.
    """

    def __init__(self, seconds: float | None) -> None:
        """Start the clock."""
        self._started = time.monotonic()
        self._seconds = seconds

    @property
    def is_over(self) -> bool:
        """Whether the time is over."""
        return self._seconds is not None and self.elapsed >= self._seconds

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started


@dataclass(frozen=True, slots=True)
class Gathered:
    """What became of the columns.

    Attributes
    ----------
    records : mapping
        Of the finished columns, in the order they were asked for.
    left_out : tuple of str
        Columns for which there was no time, and those that failed.
    notes : tuple of str
        Sentences about these.
    """

    records: Mapping[str, Record]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


def nothing(record: Record) -> None:
    """Keep no record."""


def silent(sentence: str) -> None:
    """Tell nobody."""


def prepare(executor: Executor, word: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[str, Any]:
    """Run the unit that all others build on, once; what it keeps travels once per worker.

    Returns
    -------
    key : str
        Units name ``Kept(key)``; `executor.release` it afterwards.
    answer : object
        The unit's own.

    Raises
    ------
    Exception
        Its error.
    """
    key = f"explain-{word}-{next(NUMBERS)}"
    return key, run_all(executor, [Unit(key, function, arguments, keeps=True)])[key]


def gather(
    executor: Executor,
    names: Sequence[str],
    unit_of: Callable[[int, str, str], Unit],
    *,
    what: str,
    deadline: Deadline,
    earlier: Mapping[str, Record],
    record: Callable[[Record], None],
) -> Gathered:
    """Run a unit for each column that has no record yet, the first ones first, until the time is over.

    Parameters
    ----------
    executor : Executor
        With nothing pending.
    names : sequence of str
        The most promising first.
    unit_of : callable
        Takes the column's place, its name and the unit's key.
    what : str
        What is computed, for sentences: ``Importance``.
    deadline : Deadline
        Units in flight when it is over are waited for.
    earlier : mapping
        Records of columns that are finished.
    record : callable
        Given each new record as it comes.

    Raises
    ------
    Exception
        The first error, when every column failed; a single one that fails is left out, and a sentence says why.
    """
    call = next(NUMBERS)
    waiting = deque((place, name) for place, name in enumerate(names) if name not in earlier)
    of_key: dict[str, str] = {}
    fresh: dict[str, Record] = {}
    failed: dict[str, Outcome] = {}
    try:
        while waiting or executor.pending:
            # One unit is in flight per slot, and a few wait beside the workers; a single slot has none waiting, so that
            # nothing is begun too late.
            room = executor.slots if executor.slots == 1 else executor.slots + 2
            while waiting and executor.pending < room and not deadline.is_over:
                place, name = waiting.popleft()
                key = f"explain-{call}-{place}"
                of_key[key] = name
                executor.submit(unit_of(place, name, key))
            if not executor.pending:
                break
            outcome = executor.next(GLANCE_SECONDS)
            executor.troubles()
            if outcome is None:
                continue
            name = of_key[outcome.key]
            if outcome.error is None:
                fresh[name] = outcome.value
                record(outcome.value)
            elif isinstance(outcome.exception, ClusterError | StorageError):
                raise outcome.exception
            else:
                failed[name] = outcome
    except BaseException:
        executor.cancel()
        raise
    if failed and len(failed) == len(of_key):
        first = next(iter(failed.values()))
        raise first.exception or ClusterError(f"{what}: {first.error}")
    late = [name for _, name in waiting]
    notes = [f"{what} of '{name}' could not be computed: {outcome.error}" for name, outcome in failed.items()]
    if late:
        notes.append(
            f"{what} of {len(late)} of {len(names)} columns was left out, for its time of "
            f"{deadline.elapsed:.3g} s was over: {', '.join(late[:10])}{', ...' if len(late) > 10 else ''}."
        )
    known = {name: fresh.get(name) or earlier.get(name) for name in names}
    return Gathered({name: found for name, found in known.items() if found}, (*late, *failed), tuple(notes))
