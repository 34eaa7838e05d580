"""What an invocation writes down: versions, records with their time, and what units cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from platform import python_version
from typing import Any, Protocol

import daskflow
from daskflow.core.journal import Journal, Record
from daskflow.core.protocols import Executor, Outcome, Unit
from daskflow.core.seeds import digest
from daskflow.data.execution import InlineExecutor
from daskflow.data.table import Table
from daskflow.workflow.occupancy import Occupancy

LIBRARIES = ("dask", "distributed", "dask-ml", "scikit-learn", "numpy", "scipy", "pandas", "pyarrow")
"""Libraries whose version a run records; another version refuses to continue a run."""


def versions() -> dict[str, str]:
    """Return what decides the numbers: Python, daskflow and the libraries."""
    return {
        "python": python_version(),
        "daskflow": daskflow.__version__,
        **{name: version(name) for name in LIBRARIES},
    }


def origin_of(table: Table) -> str:
    """Hash of what the table's files look like from outside: where, how large and of when they are."""
    seen = [partition.fingerprint for partition in table.partitions]
    files = sorted([s.name, s.size_bytes, s.modified_ns, s.place] for s in seen)
    return digest([*files, *(join.token for join in table.joins)], 24)


@dataclass
class Meter:
    """An executor that adds up what its units cost, and tells of what is wrong with the cluster.

    Parameters
    ----------
    inner : Executor
        Does the work.
    warn : callable
        Is told once of each trouble, whichever stage meets it.
    asked : int
        Slots that were asked for; 0 where that is not known.
    """

    inner: Executor
    warn: Callable[[str], None]
    asked: int = 0
    cpu_seconds: float = 0.0
    decoded: int = 0
    peak_memory_bytes: int = 0
    told: set[str] = field(default_factory=set)
    occupancy: Occupancy = field(init=False)
    n_answers: int = 0
    reads: bool = False
    """Whether what blocks a unit now is bytes on their way; a stage that moves data sets it."""

    def __post_init__(self) -> None:
        """Keep account of the slots; units of the inline executor begin when they are asked for."""
        self.occupancy = Occupancy(self.asked)
        self._is_inline = isinstance(self.inner, InlineExecutor)

    @property
    def slots(self) -> int:
        """As the inner one's."""
        slots = self.inner.slots
        self.occupancy.see(slots, time.perf_counter())
        return slots

    @property
    def pending(self) -> int:
        """As the inner one's."""
        return self.inner.pending

    def submit(self, unit: Unit) -> None:
        """Hand on."""
        if not self._is_inline:
            is_fed = any(hasattr(argument, "__dask_graph__") for argument in unit.arguments)
            self.occupancy.hand_in(unit.key, time.perf_counter(), is_fed=is_fed)
        self.inner.submit(unit)

    def next(self, timeout: float | None = None) -> Outcome | None:
        """Hand back, and count."""
        outcome = self.inner.next(timeout)
        if outcome is not None:
            self.n_answers += 1
            now = time.perf_counter()
            self.occupancy.answer(
                outcome.key,
                now if self._is_inline else getattr(self.inner, "answered_at", now),
                seconds=outcome.seconds,
                waited=outcome.blocked_seconds if self.reads else 0.0,
            )
            self.cpu_seconds += outcome.cpu_seconds
            if outcome.key.startswith("scan-") and outcome.error is None:
                self.decoded += sum(len(record["members"]) for record in outcome.value)
            self.peak_memory_bytes = max(self.peak_memory_bytes, outcome.peak_memory_bytes)
        return outcome

    def cancel(self) -> None:
        """Hand on."""
        self.occupancy.give_up_all(time.perf_counter())
        self.inner.cancel()

    def release(self, keys: Sequence[str]) -> None:
        """Hand on."""
        self.inner.release(keys)

    def drop(self, keys: Sequence[str]) -> None:
        """Hand on."""
        self.occupancy.give_up(keys, time.perf_counter())
        self.inner.drop(keys)

    def troubles(self) -> Sequence[str]:
        """Tell what is new, and hand nothing on."""
        for text in self.inner.troubles():
            about = text.partition(" for ")[0]
            if about not in self.told:
                self.told.add(about)
                self.warn(text)
        return ()

    def vacate(self) -> None:
        """Hand on."""
        self.inner.vacate()

    def beside(self, priority: float = 0) -> Executor:
        """Hand on: what another run costs is not counted here."""
        return self.inner.beside(priority)


class Hearer(Protocol):
    """Hears what a journal gets."""

    def before(self, records: Sequence[Record]) -> None:
        """Records are about to be written."""

    def after(self, records: Sequence[Record]) -> None:
        """They are written."""


@dataclass
class Recorder:
    """A journal whose records carry the time, and somebody who hears them."""

    journal: Journal
    hearer: Hearer | None = None

    def append(self, record: Mapping[str, Any], *, durable: bool = True) -> None:
        """Write a record with the time it was written."""
        self.extend([record], durable=durable)

    def extend(self, records: Sequence[Mapping[str, Any]], *, durable: bool = True) -> None:
        """Write records with the time they were written."""
        now = time.time()
        dated = [{**record, "at": now} for record in records]
        if self.hearer is not None:
            self.hearer.before(dated)
        self.journal.extend(dated, durable=durable)
        if self.hearer is not None:
            self.hearer.after(dated)
