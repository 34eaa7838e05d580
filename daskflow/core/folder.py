"""The run folder: where each of a run's files stands, and who may write them."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daskflow.core.errors import StorageError
from daskflow.core.journal import plain, write_atomically

MOST_NAMED = 10
"""Runs that a message names."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """``runs/NAME/ID`` and the files in it.

    Attributes
    ----------
    path : Path
        The folder; absolute.
    """

    path: Path

    @property
    def name(self) -> str:
        """The workflow's name."""
        return self.path.parent.name

    @property
    def id(self) -> str:
        """The run's ID."""
        return self.path.name

    @property
    def workflow(self) -> Path:
        """The resolved workflow."""
        return self.path / "workflow.toml"

    @property
    def journal(self) -> Path:
        """The journal."""
        return self.path / "journal.jsonl"

    @property
    def events(self) -> Path:
        """What the run tells of itself beside the journal; see `core.live`."""
        return self.path / "events.jsonl"

    @property
    def live(self) -> Path:
        """Where the run can be watched while it goes on, with the token that lets one in; for its owner's eyes only."""
        return self.path / "live.json"

    @property
    def data(self) -> Path:
        """What the scan and the split found."""
        return self.path / "data.json"

    @property
    def metrics(self) -> Path:
        """Test metrics with intervals, and the values behind the pictures."""
        return self.path / "metrics.json"

    @property
    def predictions(self) -> Path:
        """What the model said of the test rows."""
        return self.path / "predictions.parquet"

    @property
    def judging(self) -> Path:
        """Test rows and what was said of them, piece by piece; removed when the run is done."""
        return self.path / "judging"

    @property
    def versions(self) -> Path:
        """What it ran on."""
        return self.path / "versions.json"

    @property
    def trials(self) -> Path:
        """The leaderboard."""
        return self.path / "trials.csv"

    @property
    def report(self) -> Path:
        """The offline page."""
        return self.path / "report.html"

    @property
    def model(self) -> Path:
        """The bundle."""
        return self.path / "model"

    @property
    def rejects(self) -> Path:
        """Rows refused."""
        return self.path / "rejects"

    @property
    def snapshots(self) -> Path:
        """Models in training."""
        return self.path / "snapshots"

    @property
    def matrices(self) -> Path:
        """Matrices of the folds, removed when the run is done."""
        return self.path / "matrices"

    @property
    def control(self) -> Path:
        """Commands on their way to the run that goes on; see `core.control`."""
        return self.path / "control"

    def make(self) -> None:
        """Make the folder and see that it can be written; StorageError with what is wrong."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            raise StorageError(
                f"The run folder {self.path} cannot be written: {error.strerror}. "
                "Give yourself permission, or choose another place with --runs."
            ) from error

    def name_latest(self) -> None:
        """Write this ID to ``runs/NAME/latest``."""
        write_atomically(self.path.parent / "latest", f"{self.id}\n".encode())

    def clear(self, *, keep: Path) -> None:
        """Remove everything in the folder but one file; used by ``--fresh``."""
        for item in self.path.iterdir():
            if item != keep:
                self.discard(item)

    def discard(self, *items: Path) -> None:
        """Remove files or folders of the run that are no longer needed; somebody else may be at it, too."""
        for item in items:
            while item.is_dir():
                with suppress(FileNotFoundError):  # another process was quicker with one file of it
                    shutil.rmtree(item)
            item.unlink(missing_ok=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write plain values as indented JSON, atomically; not-a-number becomes null."""
    write_atomically(path, (json.dumps(plain(value), indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read plain values; an absent file is an empty mapping."""
    return dict(json.loads(path.read_text())) if path.exists() else {}


def find_run(path: Path | str) -> RunFolder:
    """Return the run folder that a user means: the folder itself, or ``runs/NAME`` whose latest run is meant.

    Raises
    ------
    StorageError
        When there is no run.
    """
    given = Path(path)
    latest = given / "latest"
    folder = given / latest.read_text().strip() if latest.is_file() else given
    if not (folder / "journal.jsonl").is_file():
        found = sorted(file.parent.name for file in given.glob("*/journal.jsonl"))
        if found:
            gone = f"its latest run, {folder.name}, is gone" if latest.is_file() else "nothing says which is the latest"
            more = "" if len(found) <= MOST_NAMED else f" and {len(found) - MOST_NAMED} more"
            raise StorageError(f"{given} holds runs, but {gone}. Name one: {', '.join(found[:MOST_NAMED])}{more}.")
        raise StorageError(
            f"{given} is not a run folder: it holds no journal.jsonl. "
            "Give runs/NAME or runs/NAME/ID; `daskflow runs` lists them."
        )
    return RunFolder(folder.resolve())


def cache_folder() -> Path:
    """Return the folder of the block store: ``DASKFLOW_CACHE_DIR``, else the user's cache folder."""
    given = os.environ.get("DASKFLOW_CACHE_DIR")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "daskflow"
