"""Sources: where a table comes from; each opens lazily and decodes strictly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from daskflow.core.registry import Registry
from daskflow.core.settings import Settings

if TYPE_CHECKING:
    from daskflow.data.table import Table


class Source(Settings):
    """Where a table comes from, and the roles of its columns.

    Attributes
    ----------
    kind : str
        The kind's name.
    target : str or None
        Column that is learned; None for tables that are only scored or profiled.
    task : str or None
        binary, multiclass or regression; None to infer it from the target's values.
    positive : object or None
        The label that counts as positive in a binary task.
    derive : mapping
        New columns as pandas expressions over the columns so far, row by row.
    group, time, weight : str or None
        Columns of these roles.
    key, drop : list of str
        Columns that identify a row; columns that no model sees.
    """

    kind: str
    target: str | None = None
    task: Literal["binary", "multiclass", "regression"] | None = None
    positive: Any = None
    derive: Mapping[str, str] = Field(default_factory=dict)
    group: str | None = None
    time: str | None = None
    weight: str | None = None
    key: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()

    def table(self, base: Path = Path()) -> Table:
        """Look at the origin (names, footers, headers and a sample; never all of it) and return the lazy table.

        Parameters
        ----------
        base : Path
            Folder that relative paths start from: the workflow file's.

        Raises
        ------
        DataError
            For files that are missing, unreadable, or that differ from each other.
        """
        raise NotImplementedError


REGISTRY: Registry[Source] = Registry(__name__, Source, "source")


def __getattr__(name: str) -> Any:
    """Find a kind's class on first use."""
    return REGISTRY.attribute(name)
