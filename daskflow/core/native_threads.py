"""Threads of native libraries: BLAS and OpenMP held to a number, by however many threads of a process at a time."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
_wanted: Counter[int] = Counter()
_held: tuple[Any, Any] | None = None
"""The pools of BLAS, and what puts them back, while anybody holds them."""
_pools: tuple[int, Any, Any] | None = None
_stays: tuple[int, int] | None = None


@contextmanager
def held_to(count: int) -> Iterator[None]:
    """Hold BLAS and OpenMP to a number of threads.

    OpenMP's number belongs to the thread that asks, so each holds its own. The pools of BLAS are the process's: they
    have the smallest number that anybody wants who holds them, and the last to leave lets them go, so that no thread
    puts back what another has set.

    Parameters
    ----------
    count : int
        One or more.
    """
    global _held
    with _lock:
        own, shared = _found()
        held_here = own.limit(limits=count)
        before = min(_wanted, default=None)
        _wanted[count] += 1
        if before is None:
            with _in_charge(shared):
                _held = shared, shared.limit(limits=count)
        elif _held is not None and count < before:
            with _in_charge(_held[0]):
                _held[0].limit(limits=count)
    try:
        yield
    finally:
        with _lock:
            held_here.restore_original_limits()
            _wanted[count] -= 1
            if not _wanted[count]:
                del _wanted[count]
                _let_up(count)


def hold(count: int) -> None:
    """Hold both to a number of threads from now on, in a process that runs one fit at a time."""
    global _stays
    with _lock:
        if _stays != (len(sys.modules), count):
            for pools in _found():
                pools.limit(limits=count)
            _stays = len(sys.modules), count


def _let_up(count: int) -> None:
    """Give the pools of BLAS the number that is wanted now that nobody wants this one."""
    global _held
    if _held is None:
        return
    pools, before = _held
    with _in_charge(pools):
        if not _wanted:
            before.restore_original_limits()
            _held = None
        elif count < (least := min(_wanted)):
            pools.limit(limits=least)


def _found() -> tuple[Any, Any]:
    """The pools of OpenMP and of BLAS: looking takes 4 to 15 ms, setting 0.1 ms; only an import can bring a new one."""
    global _pools
    if _pools is None or _pools[0] != len(sys.modules):
        found = ThreadpoolController()
        _pools = len(sys.modules), found.select(user_api="openmp"), found.select(user_api="blas")
    return _pools[1:]


@contextmanager
def _in_charge(pools: Any) -> Iterator[None]:
    """Let this thread set the pools of BLAS: threadpoolctl 3.8 lets only the first that did so, while it lives."""
    _let_go(pools)
    yield
    _let_go(pools)


def _let_go(pools: Any) -> None:
    """Let any thread set the pools of BLAS."""
    for pool in pools.lib_controllers:
        if hasattr(pool, "clear_controlling_thread"):
            pool.clear_controlling_thread(force=True)
