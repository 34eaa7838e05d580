"""`flow.read`: a table from files or from a DataFrame, without a workflow."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import daskflow.sources
from daskflow.data.table import Table
from daskflow.sources.guess import guess


def read(source: Any, *, target: str | None = None, kind: str | None = None, **options: Any) -> Table:
    """Open files, or a pandas or dask DataFrame, as a lazy table.

    Parameters
    ----------
    source : path, sequence of paths, glob, or DataFrame
        What to read. Relative paths start from the current folder.
    target : str, optional
        The column that is learned.
    kind : str, optional
        The kind of source; guessed from the files' names when left out.
    **options
        Roles (``group``, ``time``, ``weight``, ``key``, ``drop``), ``derive``, and the options of the kind.

    Returns
    -------
    Table
        Lazy: ``table.to_dask()`` is a dask DataFrame of it.

    Raises
    ------
    DataError
        For files that are missing, unreadable, or that differ from each other.

    Examples
    --------
    >>> import pandas as pd, daskflow as flow
    >>> table = flow.read(pd.DataFrame({"x": [1.0, 2.0], "y": [0, 1]}), target="y")
    >>> table.schema.names
    ('x', 'y')
    """
    if hasattr(source, "columns"):
        settings = {"kind": "frame", "frame": source}
    else:
        paths = [source] if isinstance(source, str | os.PathLike) else list(source)
        settings = _files([os.fspath(path) for path in paths], kind, options.get("storage_options"))
    return daskflow.sources.REGISTRY.parse({**settings, "target": target, **options}, where="read").table(Path())


def _files(paths: Sequence[str], kind: str | None, storage_options: Mapping[str, Any] | None) -> dict[str, Any]:
    if kind is not None:
        return {"kind": kind, "path": list(paths)}
    guessed, options, _ = guess(list(paths), Path(), storage_options)
    return {"kind": guessed, "path": list(paths), **options}
