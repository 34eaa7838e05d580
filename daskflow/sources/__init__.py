"""Sources: where a table comes from; each opens lazily and decodes strictly."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_serializer, field_validator

from daskflow.core.errors import Problem, SettingsError
from daskflow.core.registry import Registry
from daskflow.core.settings import Settings, parse

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
    joins : list of Join
        Small tables whose columns are looked up by key for every row, before ``derive``; see ``Join``.
    derive : mapping
        New columns as pandas expressions over the columns so far, row by row.
    group, time, weight, fold : str or None
        Columns of these roles: rows of one group stand on one side of a split; the order in time; sample weights; the
        part or fold of a predefined split. The model does not see group, weight and fold.
    key, drop : list of str
        Columns that identify a row; columns that no model sees.
    """

    opens_early: ClassVar[bool] = False
    """Whether the first look at it mostly waits for a network, so that it is begun before the cluster is there."""

    kind: str
    target: str | None = None
    task: Literal["binary", "multiclass", "regression"] | None = None
    positive: Any = None
    joins: tuple[Any, ...] = ()
    derive: Mapping[str, str] = Field(default_factory=dict)
    group: str | None = None
    time: str | None = None
    weight: str | None = None
    fold: str | None = None
    key: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()

    @field_validator("joins", mode="before")
    @classmethod
    def _joins_are_settings(cls, value: Any) -> Any:
        """Check every join; report all mistakes."""
        from daskflow.sources.join import Join

        if isinstance(value, Mapping | Join):
            value = (value,)
        if not isinstance(value, list | tuple) or not all(isinstance(item, Mapping | Join) for item in value):
            raise ValueError("should be tables, each with path and on: [[data.joins]]")
        problems: list[Problem] = []
        found = []
        for number, item in enumerate(value):
            try:
                found.append(item if isinstance(item, Join) else parse(Join, item))
            except SettingsError as error:
                problems += [Problem(f"{number}.{p.where}".rstrip("."), p.message) for p in error.problems]
        if problems:
            raise SettingsError(problems)
        return tuple(found)

    @field_serializer("joins")
    def _joins_as_they_dump(self, joins: tuple[Any, ...]) -> list[dict[str, Any]]:
        """Write joins as their tables."""
        return [join.dump() for join in joins]

    def identity(self) -> dict[str, Any]:
        """Return what decides the rows: of joined tables not where they stand."""
        said = super().identity()
        return {**said, "joins": [join.identity() for join in self.joins]} if self.joins else said

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
    """Find a kind's class on first use, and that of joins."""
    if name == "Join":
        return import_module("daskflow.sources.join").Join
    return REGISTRY.attribute(name)
