"""Scan events: which partitions are read, and what came of them, told to whoever listens while a scan goes on."""

from __future__ import annotations

import itertools
import math
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import mul
from typing import Any

from daskflow.core.events import Listener, nobody, tell
from daskflow.core.live import MOST_COLUMNS
from daskflow.core.protocols import Outcome
from daskflow.data.grouping import Group, file_of
from daskflow.data.schema import Roles, Schema
from daskflow.data.table import Partition, Table

MOST_LOOKS = 400
"""How often columns are told of in one scan. Where more units are read, several share what is told of their columns:
of 4,000 partitions of 200 rows each telling it took 2 % of the scan's time, and so 0.6 %."""

EXAMPLES, EXAMPLE_CHARACTERS = 3, 200
"""Refused rows that are shown of one record, and characters of a name and a reason."""


class ScanEvents:
    """Tells ``partitions`` events of one scan.

    Parameters
    ----------
    listener : callable
        Hears them; `nobody` costs nothing.
    table : Table
        What is scanned.
    stored : Schema
        Columns of the blocks.
    groups : sequence of Group
        All partitions, in their order.
    """

    def __init__(self, listener: Listener, table: Table, stored: Schema, groups: Sequence[Group]) -> None:
        """Number the partitions of the groups."""
        self.listener = listener
        self.names = shown(stored, table.roles)
        self.sizes = sizes(table.partitions)
        ends = list(itertools.accumulate(len(group.partitions) for group in groups))
        self.members = [range(end - len(group.partitions), end) for group, end in zip(groups, ends, strict=True)]
        self._waiting: deque[Sequence[int]] = deque()
        self._running = 0
        self._every = 1
        self._untold: list[Mapping[str, Any]] = []
        """Tallies of partitions that are done, whose columns nothing was told of yet."""

    def n_bytes(self, groups: Sequence[int]) -> int:
        """Return the size of some groups' sources."""
        return sum(self.sizes[place] for group in groups for place in self.members[group])

    def there(self, records: Sequence[Mapping[str, Any] | None]) -> None:
        """Tell of the groups whose block was found, by their records, at once; None for the others."""
        found = [group for group, record in enumerate(records) if record is not None]
        if not found or self.listener is nobody:
            return
        known = [record for record in records if record is not None]
        with self._harmless():
            self._tell(found, "there", known, looks([record["tallies"] for record in known], self.names))

    def begin(self, bundles: Sequence[Sequence[int]], slots: int) -> None:
        """Tell which groups are read first: units are worked on in the order they are handed in, one for each slot."""
        self._waiting = deque(bundles)
        self._every = max(1, math.ceil(len(bundles) / MOST_LOOKS))
        self._read(slots)

    def done(self, groups: Sequence[int], outcome: Outcome, slots: int) -> None:
        """Tell of a unit that has ended, and of what is read in its place."""
        if self.listener is nobody:
            return
        records: Sequence[Mapping[str, Any]] = outcome.value
        self._running -= 1
        with self._harmless():
            self._untold += [record["tallies"] for record in records]
            told = {}
            if len(self._untold) >= self._every or not (self._waiting or self._running):
                told, self._untold = looks(self._untold, self.names), []
            self._tell(groups, "done", records, told, seconds=outcome.seconds, worker=outcome.worker)
            self._read(slots)

    @contextmanager
    def _harmless(self) -> Iterator[None]:
        """Tell no more when telling fails: a scan must not end because of those who watch it."""
        try:
            yield
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            listener, self.listener = self.listener, nobody
            tell(listener, "note", text=f"What partitions hold is no longer told: {type(error).__name__}: {error}")

    def _read(self, slots: int) -> None:
        """Tell of the units that take free slots."""
        if self.listener is nobody:
            return
        places: list[int] = []
        while self._waiting and self._running < max(1, slots):
            places += self._places(self._waiting.popleft())
            self._running += 1
        if places:
            tell(self.listener, "partitions", places=places, state="reading")

    def _tell(
        self,
        groups: Sequence[int],
        state: str,
        records: Sequence[Mapping[str, Any]],
        told: Mapping[str, Sequence[Any]],
        **more: Any,
    ) -> None:
        """Tell of groups that have a block, by their records and what they add to the columns."""
        rejects = [reject for record in records for reject in record["rejects"][:EXAMPLES]][:EXAMPLES]
        tell(
            self.listener,
            "partitions",
            places=self._places(groups),
            state=state,
            rows=sum(record["n_rows"] for record in records),
            rejects=sum(len(record["rejects"]) for record in records),
            bytes=self.n_bytes(groups),
            columns={name: list(look[:4]) for name, look in told.items()},
            **({"examples": [_example(reject) for reject in rejects]} if rejects else {}),
            **({"infinite": infinite} if (infinite := {n: look[4] for n, look in told.items() if look[4]}) else {}),
            **more,
        )

    def _places(self, groups: Sequence[int]) -> list[int]:
        """Partitions of some groups."""
        return [place for group in groups for place in self.members[group]]


def tell_table(listener: Listener, table: Table, stored: Schema) -> None:
    """Tell how many partitions a table has, how large they are, and which columns are told of."""
    if listener is nobody:
        return
    columns = [{"name": name, "kind": str(stored[name].kind)} for name in shown(stored, table.roles)]
    counts = {"partitions": len(table.partitions), "bytes": sum(sizes(table.partitions))}
    tell(listener, "table", **counts, columns=columns, n_columns=len(stored.columns))


def shown(stored: Schema, roles: Roles) -> list[str]:
    """Return the columns that are told of: the first ones, and those of the roles in any case."""
    named = (roles.target, roles.group, roles.time, roles.weight, roles.fold, *roles.key)
    there = set(stored.names)
    wanted = dict.fromkeys(name for name in named if name in there)
    for name in stored.names:
        if len(wanted) >= MOST_COLUMNS:
            break
        wanted.setdefault(name)
    kept = set(list(wanted)[:MOST_COLUMNS])
    return [name for name in stored.names if name in kept]


def sizes(partitions: Sequence[Partition]) -> list[int]:
    """Return how many bytes of its file each partition stands for; 0 where that is not known.

    Pieces of a file have equal shares, which add up to its size.
    """
    files = [file_of(partition) for partition in partitions]
    pieces = Counter(files)
    seen: Counter[str] = Counter()
    found = []
    for partition, file in zip(partitions, files, strict=True):
        size, number, of = partition.fingerprint.size_bytes, seen[file], pieces[file]
        found.append(size * (number + 1) // of - size * number // of)
        seen[file] = number + 1
    return found


def looks(tallies: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """Add up what partitions saw: rows, missing, mean, std and infinite by column; None for what is no number.

    `tallies` are those of `daskflow.data.profiles`, as they are dumped.
    """
    found = {}
    for name in names:
        rows, missing, infinite, finite, _, _, means, spreads, _ = zip(*(each[name] for each in tallies), strict=True)
        counts, n = (sum(rows), sum(missing)), sum(finite)
        mean, std = None, None
        if n:
            middle = sum(map(mul, finite, means)) / n
            spread = sum(spreads) + sum(
                c * (each - middle) * (each - middle) for c, each in zip(finite, means, strict=True)
            )
            if math.isfinite(spread):
                mean, std = middle, math.sqrt(spread / n)
        found[name] = (*counts, mean, std, sum(infinite))
    return found


def _example(reject: Mapping[str, Any]) -> list[Any]:
    """A refused row: file, line and reason."""
    return [str(reject["file"])[-EXAMPLE_CHARACTERS:], int(reject["line"]), str(reject["reason"])[:EXAMPLE_CHARACTERS]]
