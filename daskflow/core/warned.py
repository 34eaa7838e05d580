"""Python's warnings of one thread: ignored or gathered while others go on, which ``catch_warnings`` cannot.

`warnings.catch_warnings` puts the filters of the whole process aside and back. Where blocks of two threads overlap, the
one that leaves last puts back what the other had changed, for good. Here a filter is added that matches in its own
thread only, and is taken out by itself.
"""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_sinks: dict[int, list[list[warnings.WarningMessage]]] = {}
_shown_before: Any = None


class _Here:
    """Stands in a filter for a message; matches in one thread (None: in all), and nowhere when its block was left."""

    def __init__(self, message: str, thread: int | None) -> None:
        self._pattern, self._thread, self.is_active = re.compile(message, re.IGNORECASE), thread, True

    @property
    def pattern(self) -> str:
        """What scikit-learn's `Parallel` makes filters of in its own threads; one that matches nothing if not meant."""
        is_here = self.is_active and self._thread in (None, threading.get_ident())
        return self._pattern.pattern if is_here else "(?!)"

    def match(self, text: str) -> bool:
        """Whether a warning of this text is meant."""
        is_here = self.is_active and self._thread in (None, threading.get_ident())
        return is_here and self._pattern.match(text) is not None


@contextmanager
def ignored(category: type[Warning] = Warning, message: str = "") -> Iterator[None]:
    """Ignore this thread's warnings of a category whose text begins with a pattern; default all.

    Examples
    --------
    >>> with ignored(UserWarning, "too few"):
    ...     warnings.warn("Too few rows", stacklevel=1)
    """
    with _filtered("ignore", category, _Here(message, threading.get_ident())):
        yield


@contextmanager
def ignored_anywhere(category: type[Warning]) -> Iterator[None]:
    """Ignore a category that is warned of in another thread, such as that of Dask's event loop."""
    with _filtered("ignore", category, _Here("", None)):
        yield


@contextmanager
def gathered(category: type[Warning] = Warning) -> Iterator[list[warnings.WarningMessage]]:
    """Put this thread's warnings of a category into a list, each as often as it is given, and show none of them.

    Examples
    --------
    >>> with gathered(UserWarning) as said:
    ...     warnings.warn("too few rows", stacklevel=1)
    >>> [str(each.message) for each in said]
    ['too few rows']
    """
    thread = threading.get_ident()
    said: list[warnings.WarningMessage] = []
    with _lock:
        _sinks.setdefault(thread, []).append(said)
        _hook()
    try:
        with _filtered("always", category, _Here("", thread)):
            yield said
    finally:
        with _lock:
            _sinks[thread].remove(said)
            if not _sinks[thread]:
                del _sinks[thread]
            if not _sinks and warnings.showwarning is _show:
                warnings.showwarning = _shown_before


@contextmanager
def _filtered(action: str, category: type[Warning], here: _Here) -> Iterator[None]:
    """Put a filter in front of the others."""
    entry: Any = (action, here, category, None, 0)
    with _lock:
        _filters().insert(0, entry)
        if action == "always":
            _forget()
    try:
        yield
    finally:
        here.is_active = False  # some other code may have put a list aside that holds it
        with _lock:
            filters = _filters()
            filters[:] = [each for each in filters if each is not entry]


def _filters() -> list[Any]:
    found: Any = warnings.filters
    return found  # type: ignore[no-any-return]  # typed as a sequence; it is the list that Python itself changes


def _forget() -> None:
    """Have Python forget which warnings it has given already: one that was shown once is to be heard again."""
    for name in ("_filters_mutated", "_filters_mutated_lock_held"):  # since 3.14 the latter
        if hasattr(warnings, name):
            getattr(warnings, name)()
            return


def _hook() -> None:
    """Have warnings shown by `_show`; call with the lock."""
    global _shown_before
    if warnings.showwarning is not _show:
        _shown_before, warnings.showwarning = warnings.showwarning, _show


def _show(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
    """Put a warning into its thread's list, else hand it on."""
    sinks = _sinks.get(threading.get_ident())
    if sinks:
        sinks[-1].append(warnings.WarningMessage(message, category, filename, lineno, file, line))
        return
    _shown_before(message, category, filename, lineno, file, line)
