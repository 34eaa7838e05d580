"""Loading: libraries that a later stage needs, imported in a thread while this process waits for its workers."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Sequence
from contextlib import suppress

LAST = ("daskflow.bundle.writing", "daskflow.reports.page")
"""What writes the model and the report, with skops and bokeh: about a second of one processor."""


def load(modules: Sequence[str]) -> threading.Thread | None:
    """Begin to import modules, and return the thread that does; None where there is nothing to import.

    One that cannot be imported is left to whoever needs it, who says so.

    Examples
    --------
    >>> load(["json", "no.such.module"]).join()
    >>> load([])
    """
    if not modules:
        return None
    thread = threading.Thread(target=_import, args=(tuple(modules),), name="daskflow-loading", daemon=True)
    thread.start()
    return thread


def _import(modules: Sequence[str]) -> None:
    for module in modules:
        with suppress(Exception):
            importlib.import_module(module)
