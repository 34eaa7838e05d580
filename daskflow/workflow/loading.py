"""Loading: what a later stage needs is imported in a thread while this process waits for its workers."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import numpy as np

from daskflow.data.hashing import mix

LAST = ("daskflow.bundle.writing", "daskflow.reports.page")
"""What writes the model and the report, with skops and bokeh: about a second of one processor."""


def load(modules: Sequence[str], before: Callable[[], object] = lambda: None) -> threading.Thread:
    """Begin to import modules, and return the thread that does.

    One that cannot be imported is left to whoever needs it, who says so.

    Parameters
    ----------
    modules : sequence of str
        Their whole names.
    before : callable
        Is called in the thread first.

    Examples
    --------
    >>> load(["json", "no.such.module"]).join()
    """
    thread = threading.Thread(target=_load, args=(before, tuple(modules)), name="daskflow-loading", daemon=True)
    thread.start()
    return thread


@contextmanager
def loading(modules: Sequence[str]) -> Iterator[None]:
    """Import modules beside the block, and have them when it ends: nobody after it sees half of one.

    Examples
    --------
    >>> with loading(["json"]):
    ...     pass
    """
    thread = load(modules)
    try:
        yield
    finally:
        thread.join()


def _load(before: Callable[[], object], modules: Sequence[str]) -> None:
    with suppress(Exception):
        before()
    for module in modules:
        with suppress(Exception):
            importlib.import_module(module)


def compiled_loops() -> None:
    """Call a compiled loop: the first one takes a third of a second, since numba then reads what it knows of types."""
    mix(np.zeros(1, dtype=np.uint64))
