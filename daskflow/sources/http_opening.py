"""Opening files over HTTP as one table: the schema from footers or from a sample, and the partitions."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from daskflow.core.errors import DataError
from daskflow.core.seeds import digest
from daskflow.data.schema import Schema
from daskflow.data.table import Fingerprint, Partition
from daskflow.sources.file_source import FileSource
from daskflow.sources.http_cache import Cache
from daskflow.sources.http_pieces import Fetched, PlannedPiece, WholeFile, as_named, at, planned_pieces
from daskflow.sources.http_probe import Look
from daskflow.sources.http_transfer import Wanted

UNKNOWN_BYTES = 64 << 20
"""Taken for a partition's size in memory when the server does not say how large its file is."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file that was looked at.

    Attributes
    ----------
    wanted : Wanted
        The file, with its state.
    full_name, name : str
        Its path, whole and from the folder that all files have in common.
    look : Look
        What was seen of it.
    """

    wanted: Wanted
    full_name: str
    name: str
    look: Look

    def fingerprint(self, name: str) -> Fingerprint:
        """The fingerprint of the file, or of a piece of it."""
        sha256 = self.wanted.digests.get("sha256")
        number = int(sha256[:15], 16) | 1 if sha256 else self.look.validators.number
        return Fingerprint(name, self.look.size_bytes or 0, number, digest(self.wanted.address.identity, 16))


Opened = tuple[Schema, list[Partition], list[str]]
"""Schema, partitions, and what was understood."""


@dataclass(frozen=True, slots=True)
class Opening:
    """Files that were looked at, on the way to a table.

    Attributes
    ----------
    cache : Cache
        Where they will be.
    format : FileSource
        How they are read.
    ahead : int
        Files that are fetched while one is read.
    files : sequence of Found
        In natural order.
    """

    cache: Cache
    format: FileSource
    ahead: int
    files: Sequence[Found]

    def by_footers(self, stubs: Path) -> Opened:
        """Open parquet files by their footers, which stand in a folder of files that are otherwise empty."""
        places = {str(stubs / file.full_name): place for place, file in enumerate(self.files)}
        table = at(self.format, [Path(name) for name in places]).table()
        pieces: list[Partition] = []
        for piece in planned_pieces(table.partitions):
            place = places[piece.file.path]
            fingerprint = self.files[place].fingerprint(piece.fingerprint.name)
            pieces.append(PlannedPiece(self._fetched(place), piece, fingerprint))
        return table.source_schema, pieces, [*table.notes, self._note("their footers")]

    def by_sample(self, sample_files: int) -> Opened:
        """Open files by some of them, which are fetched; each file is a partition."""
        if getattr(self.format, "filters", None):
            raise DataError(
                "filters need footers, and the server does not send parts of files (Range). Leave them out, or fetch "
                "the files first (daskflow fetch)."
            )
        last = len(self.files) - 1
        chosen = sorted({last * number // max(1, sample_files - 1) for number in range(sample_files)})
        with ExitStack() as stack:
            there, problems = self._having(chosen, stack)
            if problems:
                raise problems[0] if len(problems) == 1 else DataError("\n".join(str(error) for error in problems))
            links = stack.enter_context(as_named(there))
            table = at(self.format, links).table()
            fetched = sum(os.path.getsize(path) for path, _ in there)
        measured = sum(partition.n_bytes for partition in table.partitions) / max(1, fetched)
        learned = self.format.learned(table)
        # A power of two, for a partition's size is part of what its block is known by: a few more files, or another
        # sample, should leave the others' blocks as they are.
        per_byte = 2.0 ** math.ceil(math.log2(max(measured, 0.25)))
        pieces: list[Partition] = []
        for place, file in enumerate(self.files):
            size = file.look.size_bytes
            n_bytes = UNKNOWN_BYTES if size is None else int(size * per_byte)
            fingerprint = file.fingerprint(file.name)
            fetching = self._fetched(place)
            pieces.append(
                WholeFile(fetching, self.format, file.full_name, table.source_schema, fingerprint, n_bytes, learned)
            )
        return table.source_schema, pieces, [*table.notes, self._note(f"{len(chosen)} of them")]

    def _having(self, chosen: Sequence[int], stack: ExitStack) -> tuple[list[tuple[Path, str]], list[DataError]]:
        """Paths and names of some files, which are fetched at once and stay while the stack is open."""
        wanted = [self.files[place].wanted for place in chosen]
        there: list[tuple[Path, str]] = []
        problems: list[DataError] = []
        for number, place in enumerate(chosen):
            try:
                path = stack.enter_context(self.cache.using(wanted[number], wanted[number + 1 :]))
            except DataError as error:
                problems.append(error)
            else:
                there.append((path, self.files[place].full_name))
        return there, problems

    def _fetched(self, place: int) -> Fetched:
        following = tuple(file.wanted for file in self.files[place + 1 : place + 1 + self.ahead])
        size = self.files[place].look.size_bytes or 0
        return Fetched(self.cache, self.files[place].wanted, following, size, self.ahead)

    def _note(self, how: str) -> str:
        sizes = [file.look.size_bytes for file in self.files]
        known = f", {sum(size or 0 for size in sizes):,} bytes" if None not in sizes else ""
        stateless = sum(file.fingerprint("").modified_ns == 0 for file in self.files)
        again = f"; {stateless} without ETag or date are fetched again by every run" if stateless else ""
        return f"{len(self.files)} files over HTTP{known}; the schema is from {how}{again}"
