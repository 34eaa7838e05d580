"""Snapshots: models between two rungs, on disk and, while it lasts, in the memory of the process that trained them."""

from __future__ import annotations

import hashlib
import pickle
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

from daskflow.core.journal import write_atomically

RECENT_BYTES = 64 * 2**20
"""Size, pickled, of the models that a process remembers."""


class Recent:
    """The models a process trained last, by the hash of their snapshot; each is handed out once.

    Handed out once, because training changes a model: whoever asks again reads the snapshot.

    Parameters
    ----------
    limit_bytes : int
        The oldest are forgotten beyond it.
    """

    def __init__(self, limit_bytes: int) -> None:
        """Start empty."""
        self._limit, self._size = limit_bytes, 0
        self._models: OrderedDict[str, tuple[Any, int]] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, sha256: str, model: Any, n_bytes: int) -> None:
        """Remember a model."""
        with self._lock:
            self._drop(sha256)
            self._models[sha256] = model, n_bytes
            self._size += n_bytes
            while self._size > self._limit:
                self._drop(next(iter(self._models)))

    def take(self, sha256: str) -> Any:
        """Hand a model out; None when it is not remembered."""
        with self._lock:
            return self._drop(sha256)

    def _drop(self, sha256: str) -> Any:
        model, n_bytes = self._models.pop(sha256, (None, 0))
        self._size -= n_bytes
        return model


RECENT = Recent(RECENT_BYTES)
"""This process's."""


def save(path: Path, model: Any) -> str:
    """Write a model's snapshot and remember the model; return the SHA-256 of the file.

    Raises
    ------
    StorageError
        When the disk is full or the folder cannot be written.
    """
    content = pickle.dumps(model, protocol=pickle.HIGHEST_PROTOCOL)
    write_atomically(path, content)
    sha256 = hashlib.sha256(content).hexdigest()
    RECENT.put(sha256, model, len(content))
    return sha256


def load(path: Path, sha256: str) -> Any:
    """Return the model of a snapshot; None when the file is missing or is not the one that was written."""
    model = RECENT.take(sha256)
    if model is not None:
        return model
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(content).hexdigest() != sha256:
        return None
    return pickle.loads(content)  # noqa: S301  written by this run, and its hash was just compared
