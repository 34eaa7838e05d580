"""Paths of a source: what files they stand for, in natural order, and of what kind those are."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from daskflow.core.errors import DataError
from daskflow.sources.csv_guess import dialect_of
from daskflow.sources.reading import FoundFile, reason

PACKED = (".gz", ".bz2", ".zst")
"""Suffixes of compressed text files; they come after the suffix of the kind."""

SUFFIXES = {
    "parquet": (".parquet", ".pq", ".parq"),
    "csv": tuple(
        f"{plain}{packed}" for plain in (".csv", ".tsv", ".psv", ".ssv", ".tab", ".txt") for packed in ("", *PACKED)
    ),
}
"""What the files of a kind are called; a folder stands for its files with one of these suffixes."""


def natural_key(text: str) -> tuple[Any, ...]:
    """Return a key that sorts numbers within names as numbers.

    Examples
    --------
    >>> sorted(["part.10", "part.2", "part.1"], key=natural_key)
    ['part.1', 'part.2', 'part.10']
    """
    folders = [
        tuple((0, int(part), "") if part.isdecimal() and part.isascii() else (1, 0, part) for part in _split(piece))
        for piece in text.split("/")
    ]
    return (tuple(folders), text)


def _split(text: str) -> list[str]:
    return [part for part in re.split(r"([0-9]+)", text) if part]


def resolve(path: str | Sequence[str], kind: str, base: Path = Path()) -> tuple[FoundFile, ...]:
    """Find the files that a path, a glob, a folder, or a list of these stands for.

    A name that exists is taken as it is, with brackets and all; otherwise ``*``, ``?``, ``[...]`` and ``**`` are
    wildcards. A folder stands for the files in it (not in its subfolders) that have a suffix of the kind; names that
    begin with a point or an underline are left out of folders, as in Spark and Dask.

    Parameters
    ----------
    path : str or sequence of str
        Relative ones start from `base`.
    kind : str
        Key of `SUFFIXES`.
    base : Path
        Usually the folder of the workflow file.

    Returns
    -------
    tuple of FoundFile
        In natural order of their names, each file once; at least one.

    Raises
    ------
    DataError
        For what does not exist, matches nothing, cannot be read, or is empty; all of them at once.
    """
    given = [path] if isinstance(path, str) else list(path)
    if not given:
        raise DataError("path is an empty list: it names no files.")
    found: dict[str, None] = {}
    problems: list[str] = []
    for item in given:
        try:
            found.update(dict.fromkeys(_expand(item, kind, base)))
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError("\n".join(problems))
    common = os.path.commonpath([os.path.dirname(name) for name in found])
    files: list[FoundFile] = []
    for name in found:
        relative = os.path.relpath(name, common).replace(os.sep, "/")
        try:
            seen = os.stat(name)
        except OSError as error:
            problems.append(f"{relative}: {reason(error)}")
            continue
        if seen.st_size == 0:
            problems.append(f"{relative} is empty (0 bytes). Write it again, or take it out of the path.")
        files.append(FoundFile(name, relative, seen.st_size, seen.st_mtime_ns))
    if problems:
        raise DataError("\n".join(problems))
    return tuple(sorted(files, key=lambda file: natural_key(file.name)))


def _expand(item: str, kind: str, base: Path) -> list[str]:
    """Absolute names of the files that one entry stands for."""
    if "://" in item:
        raise DataError(
            f"path = '{_without_secrets(item)}' is an address; {kind} reads files of this machine. "
            "Download it first and name the files."
        )
    full = os.path.abspath(base / os.path.expanduser(item))
    try:
        mode = os.stat(full).st_mode
    except PermissionError as error:
        raise DataError(f"path = '{item}': {reason(error)}") from error
    except (OSError, ValueError):
        mode = 0
    if stat.S_ISDIR(mode):
        return _in_folder(full, item, kind)
    if mode:
        return [full]
    if not glob.has_magic(item):
        raise DataError(f"path = '{item}': there is no such file or folder (looked for {full}){_others_there(full)}")
    matches = sorted(_matches(full))
    files = [name for name in matches if not os.path.isdir(name)]
    for folder in (name for name in matches if os.path.isdir(name)):
        files += _of_kind(folder, kind)
    if not files:
        raise DataError(
            f"path = '{item}' matches no file (looked from {_literal_part(full)[0]})."
            + (f" It matches {len(matches)} folders without {_suffixes(kind)} files." if matches else "")
        )
    return files


def _matches(full: str) -> list[str]:
    """What a glob matches; folders that exist are taken by their names, so brackets in them are no wildcards."""
    folder, pattern = _literal_part(full)
    return [os.path.join(folder, name) for name in glob.glob(pattern, root_dir=folder, recursive=True)]


def _literal_part(full: str) -> tuple[str, str]:
    """The longest beginning of a path that is a folder, and the rest."""
    folder, rest = full, ""
    while not os.path.isdir(folder):
        folder, last = os.path.split(folder)
        rest = os.path.join(last, rest) if rest else last
    return folder, rest


def _of_kind(folder: str, kind: str) -> list[str]:
    """Files directly in a folder that have a suffix of the kind."""
    names = sorted(name for name in os.listdir(folder) if not name.startswith((".", "_")))
    full = [os.path.join(folder, name) for name in names if name.lower().endswith(SUFFIXES[kind])]
    return [name for name in full if not os.path.isdir(name)]


def _in_folder(folder: str, item: str, kind: str) -> list[str]:
    """The files a folder stands for; DataError when there are none."""
    try:
        files = _of_kind(folder, kind)
        below = [] if files else sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    except OSError as error:
        raise DataError(f"path = '{item}': {reason(error)}") from error
    if not files:
        raise DataError(
            f"path = '{item}' is a folder without {_suffixes(kind)} files."
            + (f" It has folders ({', '.join(below[:3])}): say '{item.rstrip('/')}/**/*'." if below else "")
            + " Name the files, or another kind."
        )
    return files


def _suffixes(kind: str) -> str:
    plain = [suffix for suffix in SUFFIXES[kind] if not suffix.endswith(PACKED)]
    return ", ".join(plain[:-1]) + f" or {plain[-1]}"


def _others_there(full: str) -> str:
    """What stands in the folder instead, as the end of a sentence."""
    folder, _ = _literal_part(full)
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError:
        return "."
    return f". In {folder} there is: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}." if names else "."


def _without_secrets(address: str) -> str:
    """An address less user, password and query."""
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}"


def guess(path: str | Sequence[str], base: Path = Path()) -> tuple[str, dict[str, Any], list[str]]:
    """Say which kind of source files are, by their suffixes and their beginning.

    Parameters
    ----------
    path : str or sequence of str
        As for a source; a folder is the kind it has most files of.
    base : Path
        Where relative paths start.

    Returns
    -------
    kind : str
        ``"parquet"`` or ``"csv"``.
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
    first = next(iter(given), "")
    kind = _kind_of(first, base)
    files = resolve(given, kind, base)
    if kind == "parquet":
        return kind, {}, [f"{len(files)} parquet file{'s' if len(files) > 1 else ''}, by suffix."]
    options, notes = dialect_of(files[0])
    return kind, options, notes


def _kind_of(item: str, base: Path) -> str:
    """The kind of what one entry stands for."""
    full = os.path.abspath(base / os.path.expanduser(item))
    if os.path.isdir(full):
        counts = {kind: len(_of_kind(full, kind)) for kind in SUFFIXES}
        if any(counts.values()):
            return max(counts, key=lambda kind: counts[kind])
        raise DataError(f"'{item}' is a folder without files of a known kind ({', '.join(sorted(SUFFIXES))}).")
    names = [full] if os.path.exists(full) else _matches(full) if glob.has_magic(item) else []
    for name in [*names[:1], item]:
        for kind, suffixes in SUFFIXES.items():
            if name.lower().endswith(suffixes):
                return kind
    if not names:
        resolve(item, "csv", base)  # says what is missing
    if os.path.isdir(names[0]):
        return _kind_of(names[0], base)
    with open(names[0], "rb") as opened:
        if opened.read(4) == b"PAR1":
            return "parquet"
    raise DataError(
        f"'{os.path.basename(names[0])}' has a suffix that tells no kind. Known are: "
        + "; ".join(f"{kind} ({_suffixes(kind)})" for kind in SUFFIXES)
        + ". Say the kind: kind = 'csv'."
    )
