"""The folder of a stream or a server: where each of its files stands."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from daskflow.core.errors import StorageError


@dataclass(frozen=True, slots=True)
class StreamFolder:
    """``RUN/streams/NAME``, or another folder, and the files in it.

    Attributes
    ----------
    path : Path
        The folder; absolute.
    """

    path: Path

    @property
    def journal(self) -> Path:
        """Offsets, the state of what answers, and swaps of the model; see `committing`."""
        return self.path / "journal.jsonl"

    @property
    def events(self) -> Path:
        """What the stream tells of itself; see `core.live`."""
        return self.path / "events.jsonl"

    @property
    def dead(self) -> Path:
        """Records without an answer."""
        return self.path / "dead.jsonl"

    @property
    def settings(self) -> Path:
        """What was asked for, without secrets."""
        return self.path / "stream.toml"

    @property
    def snapshots(self) -> Path:
        """Models that have learned since."""
        return self.path / "snapshots"

    @property
    def access(self) -> Path:
        """Where it listens, with the token that lets one in; for its owner's eyes only."""
        return self.path / "access.json"

    def make(self) -> None:
        """Make the folder and see that it can be written; StorageError with what is wrong."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            raise StorageError(
                f"The stream's folder {self.path} cannot be written: {os.strerror(error.errno or 0)}. "
                "Give yourself permission, or choose another place with --folder."
            ) from error
