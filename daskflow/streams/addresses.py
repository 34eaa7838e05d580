"""Options in an address: ``?stream=orders`` where the query is ours, ``#every=5s`` where it is the server's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

from daskflow.core.errors import Problem, SettingsError
from daskflow.core.settings import Settings, parse

AnyPlace = TypeVar("AnyPlace", bound=Settings)


def with_options(cls: type[AnyPlace], kind: str, options: str, **own: str) -> AnyPlace:
    """Make settings of the words after ``?`` or ``#``, which are the options' names.

    Parameters
    ----------
    cls : type
        Settings of the kind.
    kind : str
        Its name, for messages.
    options : str
        ``name=value&name=value``; a name ``a.b`` stands in table ``a``.
    **own : str
        Options that the rest of the address says.

    Raises
    ------
    SettingsError
        For words that are no options; values are not shown, for they may be secrets.
    """
    table: dict[str, object] = {}
    for name, value in parse_qsl(options, keep_blank_values=True):
        outer, point, inner = name.partition(".")
        if name in table or outer in own:
            raise SettingsError([Problem(kind, f"option '{name}' is said twice")])
        if point:
            inside = table.setdefault(outer, {})
            if isinstance(inside, dict):
                inside[inner] = value
        else:
            table[name] = value
    return parse(cls, {**table, **own}, kind)


def shown(address: str) -> str:
    """Return an address without user, password, and the values of its query and options.

    Examples
    --------
    >>> shown("redis://ann:secret@host:6379/0?stream=orders")
    'redis://***@host:6379/0?stream=***'
    """
    parts = urlsplit(address)
    user = "***@" if "@" in parts.netloc else ""
    query = "&".join(
        f"{item.partition('=')[0]}=***" if "=" in item else "***" for item in parts.query.split("&") if item
    )
    place = f"{parts.scheme}://{user}{parts.netloc.rpartition('@')[2]}{parts.path}"
    return f"{place}?{query}" if query else place


def at_path(value: object, path: str) -> object:
    """Return what stands at ``a.b.c`` of nested objects; None when it is not there.

    Examples
    --------
    >>> at_path({"page": {"next": 7}}, "page.next")
    7
    """
    for word in path.split(".") if path else ():
        value = value.get(word) if isinstance(value, Mapping) else None
    return value
