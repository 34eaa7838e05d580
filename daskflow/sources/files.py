"""Paths of a source: what files they stand for, in natural order."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from daskflow.core.errors import DataError
from daskflow.sources.reading import FoundFile, reason
from daskflow.sources.storage import Storage, looked_up, size_of, version_of, without_secrets

PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
"""Suffixes of compressed text files; they come after the suffix of the kind."""

TEXT = (".csv", ".tsv", ".psv", ".ssv", ".tab", ".txt")
LINES = (".jsonl", ".ndjson", ".jsonlines")

SUFFIXES = {
    "parquet": (".parquet", ".pq", ".parq"),
    "csv": tuple(f"{plain}{packed}" for plain in TEXT for packed in ("", *PACKED)),
    "json": tuple(f"{plain}{packed}" for plain in LINES for packed in ("", *PACKED)),
    "arrow": (".arrow", ".arrows", ".feather", ".ipc"),
}
"""What the files of a kind are called; a folder stands for its files with one of these suffixes."""

LOCAL = ("file://", "local://")
"""Beginnings of addresses that are paths of this machine."""


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


def resolve(
    path: str | Sequence[str],
    kind: str,
    base: Path = Path(),
    *,
    storage_options: Mapping[str, Any] | None = None,
    hive: bool = False,
) -> tuple[FoundFile, ...]:
    """Find the files that a path, a glob, a folder, an address, or a list of these stands for.

    A name that exists is taken as it is, with brackets and all; otherwise ``*``, ``?``, ``[...]`` and ``**`` are
    wildcards. A folder stands for the files in it (not in its subfolders) that have a suffix of the kind; names that
    begin with a point or an underline are left out of folders, as in Spark and Dask.

    Parameters
    ----------
    path : str or sequence of str
        Relative ones start from `base`. ``"env:NAME"`` is the value of an environment variable; ``"s3://..."`` and
        other addresses that fsspec knows are looked up in their store.
    kind : str
        Key of `SUFFIXES`.
    base : Path
        Usually the folder of the workflow file.
    storage_options : mapping, optional
        For the stores of addresses; ``env:NAME`` in them is looked up here.
    hive : bool
        Whether a folder also stands for the files below its subfolders named ``key=value``.

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
    options = looked_up(storage_options or {})
    found: dict[str, tuple[Storage, Mapping[str, Any]] | None] = {}
    problems: list[str] = []
    for item in [_plain(looked_up(item, "path")) for item in given]:
        try:
            if "://" in item:
                found |= _in_store(item, kind, options, hive=hive)
            else:
                found |= dict.fromkeys(_expand(item, kind, base, hive=hive))
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError("\n".join(problems))
    files: list[FoundFile] = []
    for name, relative in zip(found, _relative(list(found)), strict=True):
        try:
            files.append(_seen(name, relative, found[name]))
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError("\n".join(problems))
    return tuple(sorted(files, key=lambda file: natural_key(file.name)))


def _seen(name: str, relative: str, stored: tuple[Storage, Mapping[str, Any]] | None) -> FoundFile:
    """One file as it is now; DataError when it cannot be looked at, or is empty."""
    if stored is None:
        try:
            seen = os.stat(name)
        except OSError as error:
            raise DataError(f"{relative}: {reason(error)}") from error
        file = FoundFile(name, relative, seen.st_size, seen.st_mtime_ns)
    else:
        storage, info = stored
        size = size_of(info)
        if size is None:
            raise DataError(
                f"{relative}: the store does not say how long it is, so one that is cut short could not be told from a "
                "whole one. Download it first."
            )
        file = FoundFile(name, relative, size, version_of(info), storage)
    if not file.size_bytes:
        raise DataError(f"{relative} is empty (0 bytes). Write it again, or take it out of the path.")
    return file


def _plain(item: str) -> str:
    """A path of this machine without its scheme."""
    for scheme in LOCAL:
        item = item.removeprefix(scheme)
    return item


def _relative(names: Sequence[str]) -> Iterator[str]:
    """Names less the folder they have in common, with slashes; addresses also less secrets."""
    shown = [_as_path(name) if "://" in name else name for name in names]
    try:
        common = os.path.commonpath([os.path.dirname(name) for name in shown])
    except ValueError:
        common = ""  # some are absolute, some are addresses
    start = len(common.rstrip(os.sep)) + 1 if common else 0
    return (name[start:].replace(os.sep, "/") for name in shown)


def _as_path(address: str) -> str:
    """An address in the form of a path."""
    scheme, _, rest = without_secrets(address).partition("://")
    return f"{scheme}:/{rest.lstrip('/')}"


def _in_store(
    item: str, kind: str, options: Mapping[str, Any], *, hive: bool
) -> dict[str, tuple[Storage, Mapping[str, Any]]]:
    """Addresses of the files that one address stands for, with their store and what it says of them."""
    where = without_secrets(item)
    if item.startswith(("http://", "https://")):
        raise DataError(
            f"path = '{where}' is a web address. Read it with kind = 'http' and url = '{where}', or download it first "
            "(daskflow fetch) and name the files."
        )
    storage = Storage.of(item, options)
    found = storage.expand(item, lambda name: name.lower().endswith(SUFFIXES[kind]), deep=hive)
    if not found:
        raise DataError(f"path = '{where}' matches no file, or is a folder without {_suffixes(kind)} files.")
    return {name: (storage, info) for name, info in found.items()}


def _expand(item: str, kind: str, base: Path, *, hive: bool) -> list[str]:
    """Absolute names of the files that one entry stands for."""
    full = os.path.abspath(base / os.path.expanduser(item))
    try:
        mode = os.stat(full).st_mode
    except PermissionError as error:
        raise DataError(f"path = '{item}': {reason(error)}") from error
    except (OSError, ValueError):
        mode = 0
    if stat.S_ISDIR(mode):
        return _in_folder(full, item, kind, hive=hive)
    if mode:
        return [full]
    if not glob.has_magic(item):
        raise DataError(f"path = '{item}': there is no such file or folder (looked for {full}){_others_there(full)}")
    matches = sorted(_matches(full))
    folders = {name for name in matches if os.path.isdir(name)}
    files = [name for name in matches if name not in folders]
    for folder in sorted(folders):
        files += _below(folder, kind) if hive else files_in(folder, kind)
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


def files_in(folder: str, kind: str) -> list[str]:
    """Return the files directly in a folder that have a suffix of the kind, in alphabetical order."""
    with os.scandir(folder) as entries:
        return sorted(
            entry.path
            for entry in entries
            if not entry.name.startswith((".", "_")) and entry.name.lower().endswith(SUFFIXES[kind]) and entry.is_file()
        )


def _keyed(folder: str) -> list[str]:
    """Subfolders named ``key=value``."""
    with os.scandir(folder) as entries:
        return sorted(
            entry.path
            for entry in entries
            if "=" in entry.name and not entry.name.startswith((".", "_")) and entry.is_dir()
        )


def _below(folder: str, kind: str) -> list[str]:
    """Files in a folder and below its subfolders named ``key=value``."""
    return [*files_in(folder, kind), *(name for below in _keyed(folder) for name in _below(below, kind))]


def _in_folder(folder: str, item: str, kind: str, *, hive: bool) -> list[str]:
    """The files a folder stands for; DataError when there are none."""
    try:
        files = _below(folder, kind) if hive else files_in(folder, kind)
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
