"""Neighbours: executors of this process that share a client, and so can kill each other's units."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from daskflow.core import interruption

AGAIN_SECONDS = 0.2

_of: weakref.WeakKeyDictionary[Any, Neighbours] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


class Neighbour(Protocol):
    """An executor among others."""

    def has_running(self) -> bool:
        """Whether a unit of its own may be on a worker now."""

    def has_company(self) -> None:
        """Hear that another one's unit was sent: what runs of its own does not run alone any more."""

    @property
    def is_used(self) -> bool:
        """Whether it was given units, and not given up since."""


class Neighbours:
    """The executors of one client; one of them at a time may have the cluster for itself.

    A unit whose workers died runs once more by itself, and only a death then is its own doing. Where several runs share
    the workers, "by itself" means without units of the other runs, too: they wait meanwhile.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._members: weakref.WeakSet[Any] = weakref.WeakSet()
        self._sending = threading.RLock()
        self._alone: weakref.ref[Any] | None = None
        self._gang = threading.Lock()
        self._owes_vacating = False

    @contextmanager
    def gang(self) -> Iterator[None]:
        """Let one fit at a time have units on several workers that wait for each other.

        Two would wait for ever where each has some of the workers.
        """
        while not self._gang.acquire(timeout=AGAIN_SECONDS):
            interruption.check()
        try:
            yield
        finally:
            self._gang.release()

    def join(self, member: Neighbour) -> None:
        """Count an executor in, as long as it lives."""
        with self._sending:
            self._members.add(member)

    @contextmanager
    def sending(self, member: Neighbour) -> Iterator[bool]:
        """Yield whether this one may send a unit now, and let nobody else decide meanwhile."""
        with self._sending:
            owner = self._owner()
            yield owner is None or owner is member

    def sent(self, member: Neighbour) -> bool:
        """Tell the others that a unit is on its way; return whether it runs beside theirs."""
        with self._sending:
            others = [each for each in self._members if each is not member]
            for each in others:
                each.has_company()
            return any(each.has_running() for each in others)

    def reserve(self, member: Neighbour) -> bool:
        """Ask for the cluster; True when it is this one's, and no unit of another one is left on it."""
        with self._sending:
            owner = self._owner()
            if owner is not None and owner is not member:
                return False
            self._alone = weakref.ref(member)
            return not any(each.has_running() for each in self._members if each is not member)

    def free(self, member: Neighbour) -> None:
        """Give the cluster back, if it is this one's."""
        with self._sending:
            if self._owner() is member:
                self._alone = None

    def may_vacate(self, member: Neighbour) -> bool:
        """Whether the processes beside workers are nobody else's; if not, whoever leaves last is to end them.

        A process takes seconds to start and to import what fits need, so a run that ends leaves those of others.
        """
        with self._sending:
            self._owes_vacating = any(each.is_used for each in self._members if each is not member)
            return not self._owes_vacating

    def left(self, member: Neighbour) -> bool:
        """Whether one that was given up is the last, and has processes to end that others have left."""
        with self._sending:
            is_due = self._owes_vacating and not any(each.is_used for each in self._members if each is not member)
            self._owes_vacating = self._owes_vacating and not is_due
            return is_due

    def _owner(self) -> Any:
        return None if self._alone is None else self._alone()


def neighbours_of(client: Any) -> Neighbours:
    """Return those of a client."""
    with _lock:
        found = _of.get(client)
        if found is None:
            found = _of[client] = Neighbours()
        return found
