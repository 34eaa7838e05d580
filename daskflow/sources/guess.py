"""What kind of source files are: told by their suffixes, else by how they begin."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from daskflow.core.errors import DataError
from daskflow.sources.csv_guess import dialect_of
from daskflow.sources.files import SUFFIXES, resolve
from daskflow.sources.reading import FoundFile, read_bytes

Guess = tuple[dict[str, Any], list[str]]

BEGINNINGS = {b"PAR1": "parquet", b"ARROW1": "arrow"}
"""How files of a kind begin whatever they are called."""


def guess(
    path: str | Sequence[str], base: Path = Path(), storage_options: Mapping[str, Any] | None = None
) -> tuple[str, dict[str, Any], list[str]]:
    """Say which kind of source files are, by their suffixes and their beginning.

    Parameters
    ----------
    path : str or sequence of str
        As for a source; a folder is the kind it has most files of.
    base : Path
        Where relative paths start.
    storage_options : mapping, optional
        As for a source.

    Returns
    -------
    kind : str
        ``"parquet"``, ``"csv"``, ``"json"`` or ``"arrow"``.
    options : dict
        The options of that kind that differ from its defaults, such as ``{"separator": ";"}``.
    notes : list of str
        Sentences that say what was found, and why.

    Raises
    ------
    DataError
        For files that do not exist, or whose kind cannot be told.
    """
    given = [path] if isinstance(path, str) else list(path)

    def files_of(kind: str, items: Sequence[str]) -> tuple[FoundFile, ...]:
        return resolve(items, kind, base, storage_options=storage_options, hive=True)

    if given and _is_empty_folder(base / given[0]):
        raise DataError(f"path = '{given[0]}' is an empty folder: there is nothing to read in it.")
    kind = _kind_of(given[:1], files_of)
    files = files_of(kind, given)
    if kind == "csv":
        options, notes = dialect_of(files[0])
        return kind, options, notes
    if kind == "json":
        from daskflow.sources.json_types import times_of

        options, notes = times_of(files[0])
    else:
        options, notes = {}, []
    return kind, options, [f"{len(files)} {kind} file{'s' if len(files) > 1 else ''}.", *notes]


def _is_empty_folder(path: Path) -> bool:
    try:
        return path.is_dir() and not any(path.iterdir())
    except (OSError, ValueError):  # it may not be looked at, or is no path: whoever reads it says so
        return False


def _kind_of(items: Sequence[str], files_of: Callable[[str, Sequence[str]], tuple[FoundFile, ...]]) -> str:
    """The kind of what one entry stands for."""
    counts: dict[str, int] = {}
    problem: DataError | None = None
    for kind in SUFFIXES:
        try:
            found = files_of(kind, items)
        except DataError as error:
            problem = problem or error
            continue
        counts[kind] = sum(file.name.lower().endswith(SUFFIXES[kind]) for file in found)
        first = found[0]
    if not counts:
        raise problem or DataError("path is an empty list: it names no files.")
    if any(counts.values()):
        return max(counts, key=lambda kind: counts[kind])
    if first.name.lower().endswith(".json"):
        return "json"
    head = read_bytes(first, 8)
    for beginning, kind in BEGINNINGS.items():
        if head.startswith(beginning):
            return kind
    raise DataError(
        f"'{os.path.basename(first.name)}' has a suffix that tells no kind. Known are: "
        + "; ".join(f"{kind} ({', '.join(suffixes[:3])})" for kind, suffixes in SUFFIXES.items())
        + ". Say the kind: kind = 'csv'."
    )
