"""Snapshots of models that learn: model folders written whole or not at all, the newest of which goes on after a kill.

``snapshots/000000012000/`` holds a model folder for each model that learns, by its name, and ``state.json``: what was
known besides when 12,000 rows had been learned.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from daskflow import bundle
from daskflow.bundle import Model, files
from daskflow.core.errors import StorageError
from daskflow.core.journal import plain, write_atomically
from daskflow.streams.learning_model import Contestant

NAME = re.compile(r"\d{12}")
STATE = "state.json"


class Snapshots:
    """Snapshots in one folder.

    Parameters
    ----------
    folder : Path
        Made with the first snapshot.
    keep : int
        How many are kept.
    trusted : sequence of str
        As for `load_model`.
    """

    def __init__(self, folder: Path, *, keep: int = 3, trusted: Sequence[str] = ()) -> None:
        """Use this folder."""
        self.folder, self._keep, self._trusted = folder, keep, tuple(trusted)

    def numbers(self) -> list[int]:
        """Return by how many learned rows there are snapshots, rising."""
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if NAME.fullmatch(path.name))

    def place(self, number: int, name: str) -> Path:
        """Return the model folder of a model in a snapshot."""
        return self.folder / f"{number:012d}" / name

    def write(self, number: int, contestants: Sequence[Contestant], state: Mapping[str, Any]) -> None:
        """Write a snapshot.

        Raises
        ------
        StorageError, BundleError
            When it cannot be written.
        """
        final = self.folder / f"{number:012d}"
        fresh = self.folder / f".{number:012d}.new"
        try:
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
            for each in contestants:
                _write_model(fresh / each.name, each)
            write_atomically(fresh / STATE, json.dumps(plain(state), separators=(",", ":")).encode())
            shutil.rmtree(final, ignore_errors=True)
            os.replace(fresh, final)
        except OSError as error:
            shutil.rmtree(fresh, ignore_errors=True)
            raise StorageError(f"{final} cannot be written: {error.strerror or error}. Make room.") from error

    def fixed(self, contestant: Contestant) -> Path:
        """Return the model folder of a model that does not learn, which is written once."""
        place = self.folder / f"{contestant.name}-{(contestant.identity or '0')[:16]}"
        if not (place / files.CHECKSUMS).is_file():
            _write_model(place, contestant)
        return place

    def read_model(self, number: int, name: str) -> Model:
        """Return a model of a snapshot; BundleError when it was changed."""
        return bundle.load_model(self.place(number, name), trusted=self._trusted)

    def read_state(self, number: int) -> Mapping[str, Any]:
        """Return what was known besides; StorageError when it is gone."""
        path = self.folder / f"{number:012d}" / STATE
        try:
            found: Mapping[str, Any] = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise StorageError(f"{path} cannot be read: {error}. Begin anew with another --folder.") from error
        return found

    def newest(self, most: int) -> int | None:
        """Return the newest snapshot of at most so many learned rows; None when there is none."""
        found = [number for number in self.numbers() if number <= most]
        return found[-1] if found else None

    def remove_after(self, most: int) -> None:
        """Remove snapshots of more learned rows: those were never committed."""
        for number in self.numbers():
            if number > most:
                shutil.rmtree(self.folder / f"{number:012d}", ignore_errors=True)

    def thin(self, committed: int) -> int:
        """Remove old snapshots; return the one that a restart would begin with.

        Parameters
        ----------
        committed : int
            Learned rows at the newest commit: a snapshot of no more than that is kept in any case.
        """
        numbers = self.numbers()
        base = self.newest(committed)
        kept = {*numbers[-self._keep :], *([base] if base is not None else [])}
        for number in numbers:
            if number not in kept:
                shutil.rmtree(self.folder / f"{number:012d}", ignore_errors=True)
        return min(kept, default=0)


def _write_model(folder: Path, contestant: Contestant) -> None:
    """Write a model folder; its card says what it has learned."""
    model = contestant.model
    card = {**model.card, "learned": {"rows": contestant.learned, "began_as": contestant.identity}}
    bundle.write(
        folder,
        estimator=model.estimator,
        transformer=model.transformer,
        schema=model.schema,
        target=model.target,
        card=card,
        joins=model.joins,
        decision=model.decision,
    )
