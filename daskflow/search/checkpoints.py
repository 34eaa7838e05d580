"""Checkpoints: a boosting model on its way, on disk with its hash, so that a fit goes on from where it was lost."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from daskflow.core.journal import write_atomically

MARKER = "booster.json"
"""Says which file holds, and is written after it."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A booster that stands in a folder.

    Attributes
    ----------
    fit : str
        Hash of all that decides the fit; another fit's checkpoint is never continued.
    rounds : int
        Boosting rounds it has made.
    file : str
        Name of the file beside the marker.
    sha256 : str
        Of the file.
    """

    fit: str
    rounds: int
    file: str
    sha256: str


def save(folder: Path, fit: str, rounds: int, content: bytes) -> None:
    """Write a booster, then the marker that names it, then remove the one before: a kill leaves one that is whole.

    Parameters
    ----------
    folder : Path
        Is there, and seen by all workers.
    fit : str
        As `Checkpoint.fit`.
    rounds : int
        Rounds that the booster has made.
    content : bytes
        The booster in its library's own format.
    """
    before = latest(folder, fit)
    made = Checkpoint(fit, rounds, f"booster-{rounds:06d}.model", hashlib.sha256(content).hexdigest())
    write_atomically(folder / made.file, content)
    write_atomically(folder / MARKER, json.dumps(asdict(made)).encode())
    if before is not None and before.file != made.file:
        (folder / before.file).unlink(missing_ok=True)


def latest(folder: Path, fit: str) -> Checkpoint | None:
    """Return what the marker says; None when there is none, or another fit's."""
    try:
        found = Checkpoint(**json.loads((folder / MARKER).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    return found if found.fit == fit else None


def load(folder: Path, fit: str) -> tuple[int, bytes]:
    """Return rounds and content of the last whole checkpoint of a fit: ``(0, b"")`` when there is none.

    A file that is gone, or is not the one that was written, counts as none: the fit begins anew, to the same result.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     save(Path(folder), "this fit", 20, b"trees")
    ...     load(Path(folder), "this fit"), load(Path(folder), "another fit")
    ((20, b'trees'), (0, b''))
    """
    marker = latest(folder, fit)
    content = b"" if marker is None else read(folder, marker)
    return (marker.rounds, content) if marker is not None and content else (0, b"")


def read(folder: Path, checkpoint: Checkpoint) -> bytes:
    """Return a checkpoint's content; empty when its file is gone, or is not the one that was written."""
    try:
        content = (folder / checkpoint.file).read_bytes()
    except OSError:
        return b""
    return content if hashlib.sha256(content).hexdigest() == checkpoint.sha256 else b""
