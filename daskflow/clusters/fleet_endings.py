"""What the endings of a fleet's jobs mean: losses within a budget, and failures in a row that end the run."""

from __future__ import annotations

import math
from dataclasses import replace

from daskflow.clusters import fleet_words as words
from daskflow.clusters.batch_jobs import Ending
from daskflow.clusters.fleet_values import Member

PROVEN_SECONDS = 600.0
"""A worker that served so long was worth its job: its loss costs nothing of the budget."""

MEMORY_SECONDS = 3600.0
"""Memory kills further apart than this are not in a row."""

LEAST_ROW, MOST_ROW, ROW_SHARE = 3, 20, 0.1
"""So many failures in a row are too many: three, and of many workers a tenth: one bad node is borne."""


class Endings:
    """Counts how jobs ended.

    Parameters
    ----------
    seconds : float
        Walltime of a job.
    memory_bytes : int
        Of a job; 0 where it is not known.
    budget : int
        How many jobs may be lost.

    Attributes
    ----------
    failure : str
        Why the run cannot go on; empty as long as it can.

    Examples
    --------
    >>> endings = Endings(3600.0, 0, budget=0)
    >>> endings.take(Member("7", submitted_at=0.0, worker_at=5.0), Ending("node", "Node n1 failed."), 9.0, wanted=1)
    >>> endings.given_up, endings.told()
    (1, ['Job 7 was lost: Node n1 failed.'])
    """

    def __init__(self, seconds: float, memory_bytes: int, budget: int) -> None:
        """Begin with no job lost."""
        self.failure = ""
        self._seconds, self._memory_bytes, self._budget = seconds, memory_bytes, budget
        self._spent = self._kills = self._cut_off = 0
        self._last_kill = -math.inf
        self._last: Ending | None = None
        self._starts: list[tuple[str, Ending, str]] = []
        self._losses: list[tuple[str, Ending]] = []

    @property
    def given_up(self) -> int:
        """How many workers are not replaced any more."""
        return max(0, self._spent - self._budget)

    def a_worker_came(self) -> None:
        """Jobs that failed before their workers came are no row any more."""
        self._starts.clear()

    def take(self, member: Member, ending: Ending, now: float, *, wanted: int, starting: int = 0) -> None:
        """Draw the consequences of an ending.

        Parameters
        ----------
        member : Member
            The job.
        ending : Ending
            As the queue has it.
        now : float
            Seconds since 1970.
        wanted : int
            How many workers are wanted.
        starting : int
            Jobs whose workers may still come: as many failures are not yet a sign that none will.
        """
        if member.known is not None:
            ending = replace(member.known, tail=ending.tail, exit_code=ending.exit_code)
        if member.leaves in ("end", "surplus"):
            self._kills = 0
            if member.leaves == "end":
                self._came_to_its_end(member, ending, now)
            return
        row = max(LEAST_ROW, min(MOST_ROW, int(ROW_SHARE * wanted)))
        if ending.why == "memory":
            self._killed_for_memory(ending, now, row)
        else:
            self._kills = 0
        if member.worker_at is None and ending.why not in ("cancelled", "node"):
            self._starts.append((member.id, ending, member.job.node if member.job is not None else ""))
            if len(self._starts) >= max(row, starting):
                self._fail(words.failed_starts(self._starts))
        elif ending.why == "walltime":
            self._came_to_its_end(member, ending, now)
            return
        if member.worker_at is None or now - member.worker_at < PROVEN_SECONDS:
            self._spent += 1
        self._last = ending
        self._losses.append((member.id, ending))

    def told(self) -> list[str]:
        """Say what was lost since the last call."""
        losses, self._losses = self._losses, []
        return [words.lost(losses, self._spent, self._budget)] if losses else []

    def too_many(self) -> str:
        """Say that too many were lost."""
        return words.too_many_lost(self._spent, self._budget, self._last)

    def _killed_for_memory(self, ending: Ending, now: float, row: int) -> None:
        self._kills = self._kills + 1 if now - self._last_kill < MEMORY_SECONDS else 1
        self._last_kill = now
        if self._kills >= row:
            self._fail(words.memory_kills(self._kills, self._memory_bytes, ending))

    def _came_to_its_end(self, member: Member, ending: Ending, now: float) -> None:
        """A walltime is no loss, unless one unit takes all of it: it would begin again for ever."""
        lasted = now - (member.worker_at if member.worker_at is not None else now)
        was_cut_off = ending.why == "walltime" and member.left_at is None and member.longest > 0.8 * lasted
        self._cut_off = self._cut_off + 1 if was_cut_off else 0
        if self._cut_off >= LEAST_ROW:
            self._fail(words.too_short(self._seconds, member.longest, self._cut_off))

    def _fail(self, text: str) -> None:
        self.failure = self.failure or text
