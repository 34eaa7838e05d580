"""State of the jobs: those of a batch queue, what each waits for, and what all of them have cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from daskflow.core.job_accounts import JobAccounts
from daskflow.core.journal import Record


@dataclass
class JobsState:
    """The jobs of a run; empty for one that is on no queue.

    Attributes
    ----------
    told : sequence of mapping
        Workers' jobs of the last record ``jobs``.
    counts : mapping of str to int
        Of all of them, by state.
    accounts : JobAccounts
        What they have had.
    """

    told: Sequence[Mapping[str, Any]] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    accounts: JobAccounts = field(default_factory=JobAccounts)

    def hear(self, record: Record, at: float) -> None:
        """Take a record in."""
        self.accounts.hear(record, at)
        kind = record.get("record")
        if kind == "jobs":
            self.told, self.counts = tuple(record.get("jobs") or ()), dict(record.get("counts") or {})
        elif kind in ("invocation", "end", "submitted"):
            self.told, self.counts = (), {}
