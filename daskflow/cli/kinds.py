"""``daskflow kinds``: what can be named in a workflow."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import click

from daskflow.cli.verb import Verb
from daskflow.core.errors import SettingsError
from daskflow.core.settings import Settings, nearest

ROOMS = {
    "sources": "data",
    "preprocess": "preprocess",
    "models": "model",
    "search": "search",
    "metrics": "metrics",
    "clusters": "cluster",
}
"""Rooms with kinds, and the word of a workflow that each stands under."""


@click.command(cls=Verb)
@click.argument("room", required=False)
def kinds(room: str | None) -> None:
    """List what can be named in a workflow.

    With a ROOM (or a table's name) also the options of its kinds. Rooms: sources, preprocess, models, search, metrics,
    clusters.
    """
    rooms = list(ROOMS) if room is None else [_room(room)]
    for place, name in enumerate(rooms):
        registry = importlib.import_module(f"daskflow.{name}").REGISTRY
        if place:
            click.echo("")
        click.echo(click.style(f"{name}  [{ROOMS[name]}]", bold=True))
        width = max(len(kind) for kind in registry.kinds)
        for kind, cls in registry.kinds.items():
            click.echo(f"  {kind:<{width}}  {_first_line(cls)}")
            if room is not None:
                for line in options(cls):
                    click.echo(f"  {'':<{width}}    {line}")


def _room(word: str) -> str:
    """The room that a word means: its own name, or its table's in a workflow."""
    for room, table in ROOMS.items():
        if word in (room, table):
            return room
    raise SettingsError(f"There is no room '{word}'{nearest(word, [*ROOMS, *ROOMS.values()])}")


def _first_line(cls: type[Any]) -> str:
    return (inspect.getdoc(cls) or "").partition("\n")[0]


def options(cls: type[Settings]) -> list[str]:
    """Return a kind's options as ``name = default``, one per line.

    Examples
    --------
    >>> class Example(Settings):
    ...     kind: str = "example"
    ...     rows: int = 10
    ...     path: str
    >>> options(Example)
    ['path (required)', 'rows = 10']
    """
    lines: list[str] = []
    for name, field in cls.model_fields.items():
        if name == "kind":
            continue
        if field.is_required():
            lines.insert(0, f"{field.alias or name} (required)")
        else:
            default = field.get_default(call_default_factory=True)
            lines.append(f"{field.alias or name} = {default!r}")
    return lines
