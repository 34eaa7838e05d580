"""Kinds by their names: found in a room's files and in the entry points of installed packages."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from daskflow.core.errors import Problem, SettingsError
from daskflow.core.settings import Settings, nearest, parse

Kind = TypeVar("Kind", bound=Settings)


class Registry(Generic[Kind]):
    """The kinds of one room: every settings class with a ``kind`` that one of its files defines.

    A kind is added by writing one file; no list is edited. Another package adds kinds by naming a
    settings class, or a module with some, under the entry point group ``daskflow.ROOM``.

    Parameters
    ----------
    room : str
        The room's package, such as ``"daskflow.sources"``; also the entry point group.
    base : type
        The room's settings base class.
    noun : str
        What a kind is called in messages, such as ``"source"``.
    but : str, optional
        Files whose names begin so hold no kinds, and are not imported: what they need may not be installed.
    """

    def __init__(self, room: str, base: type[Kind], noun: str, *, but: str | None = None) -> None:
        """Remember where to look; nothing is imported before it is asked for."""
        self.room, self.base, self.noun, self.but = room, base, noun, but

    @cached_property
    def kinds(self) -> Mapping[str, type[Kind]]:
        """All kinds by name, in alphabetical order; imports the room's files."""
        modules = [importlib.import_module(f"{self.room}.{name}") for name in self._files()]
        found = {name: cls for module in modules for name, cls in self._kinds_in(module).items()}
        for point in self._points:
            loaded = point.load()
            found |= self._kinds_in(loaded) if inspect.ismodule(loaded) else {point.name: loaded}
        return dict(sorted(found.items()))

    def _files(self) -> list[str]:
        """The names of the room's files that may hold kinds."""
        package = importlib.import_module(self.room)
        names = [info.name for info in pkgutil.iter_modules(package.__path__)]
        return [name for name in names if self.but is None or not name.startswith(self.but)]

    @cached_property
    def _points(self) -> Any:
        """Kinds of other packages; to look for them takes 5 ms, and the preprocessing of one model asks eight times."""
        return entry_points(group=self.room)

    def _kinds_in(self, module: Any) -> dict[str, type[Kind]]:
        """The kinds that a module defines itself."""
        classes = [
            cls
            for cls in vars(module).values()
            if inspect.isclass(cls) and issubclass(cls, self.base) and cls.__module__ == module.__name__
        ]
        names = [(cls, cls.model_fields["kind"].default) for cls in classes if "kind" in cls.model_fields]
        return {name: cls for cls, name in names if isinstance(name, str)}

    def find(self, name: str) -> type[Kind]:
        """Return a kind's settings class as `get` does, importing no more files of the room than it takes to find it.

        For those who read what was written with a kind, in a process that should stay small.
        """
        if "kinds" in self.__dict__ or self._points:
            return self.get(name)
        files = self._files()
        files.sort(key=lambda file: (file != name, f"{self.room}.{file}" not in sys.modules, file))
        for file in files:
            found = self._kinds_in(importlib.import_module(f"{self.room}.{file}"))
            if name in found:
                return found[name]
        return self.get(name)

    def get(self, name: str) -> type[Kind]:
        """Return the settings class of a kind; SettingsError with the nearest name when there is none."""
        if name not in self.kinds:
            raise SettingsError([Problem("", f"no such {self.noun}: '{name}'{nearest(name, self.kinds)}")])
        return self.kinds[name]

    def attribute(self, name: str) -> Any:
        """Return a kind's class by its Python name, for ``flow.sources.Parquet``.

        Other names are refused without importing the room: ``from daskflow.search import engine`` asks here too.
        """
        for cls in self.kinds.values() if name[:1].isupper() else ():
            if cls.__name__ == name:
                return cls
        raise AttributeError(f"module {self.room!r} has no attribute {name!r}")

    def parse(self, value: Any, *, where: str = "", default: str | None = None) -> Kind:
        """Make a kind's settings from what a user wrote.

        Parameters
        ----------
        value : Settings, str or mapping
            Settings of this room as they are; a kind's name; or a table with ``kind`` and its options.
        where : str
            The table's place in the workflow, for messages.
        default : str, optional
            The kind of a table that names none.

        Raises
        ------
        SettingsError
            With every mistake.
        """
        if isinstance(value, self.base):
            return value
        table = {"kind": value} if isinstance(value, str) else value
        if not isinstance(table, Mapping):
            raise SettingsError([Problem(where, f"should be a {self.noun}: its name or a table (found {value!r:.80})")])
        name = table.get("kind", default)
        if not isinstance(name, str):
            raise SettingsError([Problem(f"{where}.kind".lstrip("."), f"is required{nearest('', self.kinds)}")])
        try:
            cls = self.find(name)
        except SettingsError as error:
            place = where if isinstance(value, str) else f"{where}.kind".lstrip(".")
            raise SettingsError([Problem(place, error.problems[0].message)]) from None
        return parse(cls, {**table, "kind": name}, where)
