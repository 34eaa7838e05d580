"""Streams: a model that answers records as they come; each source and sink is one kind, found by its address."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, TypeVar

import pyarrow as pa

from daskflow.core.errors import Problem, SettingsError
from daskflow.core.registry import Registry
from daskflow.core.settings import Settings, nearest
from daskflow.data.table import Reject
from daskflow.streams.records import Record, Result

LINES_SUFFIXES = (".jsonl", ".ndjson")
"""A path that ends so means a file of JSON lines; others mean a folder of files."""

LEARNING = {
    "Learner": "daskflow.streams.learning",
    "LearnSettings": "daskflow.streams.learning_settings",
    "SwapRule": "daskflow.streams.champion",
}
"""What of online learning is used without a stream, too."""

Place = TypeVar("Place", bound="StreamPlace")


class ReadTables(Protocol):
    """Reads a file, a piece at a time, with memory for a few; `workflow` introduces one."""

    def __call__(self, path: Path) -> Iterator[tuple[pa.Table, Sequence[Reject]]]:
        """Yield the rows of each piece, and those that could not be read.

        Raises
        ------
        DataError
            When it cannot be read.
        """


class OpenSource(Protocol):
    """A source that is open: records in order, and word of how far they have been handed on."""

    async def take(self, most: int) -> Sequence[Record]:
        """Wait for records and return those that are there, at most so many; none when the source has ended.

        It loses no record when it is cancelled.

        Raises
        ------
        DataError
            When the source cannot be read any more.
        """

    async def commit(self, records: Sequence[Record]) -> None:
        """Take note that these have been handed on, all of them and for good: they need not come again."""

    @property
    def lag(self) -> int | None:
        """How many records wait at the source; None where that is not known."""


class OpenSink(Protocol):
    """A sink that is open."""

    async def write(self, results: Sequence[Result]) -> None:
        """Hand results on, in this order; they are there for good when it returns.

        Raises
        ------
        DataError
            When that cannot be; nothing is committed then, and the same results come again.
        """


class StreamPlace(Settings):
    """Where records come from or go to.

    Attributes
    ----------
    kind : str
        The kind's name.
    """

    schemes: ClassVar[tuple[str, ...]] = ()
    """What its addresses begin with, such as ``redis`` for ``redis://``; a scheme belongs to one kind."""

    kind: str

    @classmethod
    def of(cls, address: str) -> Self:
        """Make the settings of an address, such as ``redis://localhost/0?stream=orders``.

        Raises
        ------
        SettingsError
            For an address that this kind cannot read.
        """
        raise NotImplementedError


class StreamSource(StreamPlace):
    """Where records come from.

    Attributes
    ----------
    key : str or None
        Column whose value orders records among each other: those of one key leave in the order in which they came.
        None, the default: all of them do.
    once : bool
        Whether it ends when nothing more is there; default it waits for more, where more can come.
    """

    key: str | None = None
    once: bool = False

    def with_tables(self, read: ReadTables) -> Self:
        """Return the source with what reads tables from files, as training did; one that reads none is as it was."""
        return self

    def with_folder(self, folder: Path) -> Self:
        """Return the source with the stream's own folder, for what it must keep; others are as they were."""
        return self

    def open(self, base: Path, positions: Mapping[str, Any]) -> AbstractAsyncContextManager[OpenSource]:
        """Open it.

        Parameters
        ----------
        base : Path
            Folder that relative paths start from.
        positions : mapping
            The offset of the newest committed record by partition, as the stream's own journal has them: nothing up to
            there comes again. A source that remembers this by itself may know better.

        Raises
        ------
        DataError
            When it cannot be read.
        SettingsError
            When a library that it needs is not installed, with the command that installs it.
        """
        raise NotImplementedError


class StreamSink(StreamPlace):
    """Where results go to."""

    @property
    def is_keyed(self) -> bool:
        """Whether a result that is written twice is there once, by its ID; False by default."""
        return False

    def open(self, base: Path) -> AbstractAsyncContextManager[OpenSink]:
        """Open it; errors as for a source."""
        raise NotImplementedError


SOURCES: Registry[StreamSource] = Registry(__name__, StreamSource, "stream source", but="serve_")
SINKS: Registry[StreamSink] = Registry(__name__, StreamSink, "stream sink", but="serve_")


def source_of(given: Any) -> StreamSource:
    """Return the source that an address, a table with ``kind`` or settings mean; SettingsError for others."""
    return _place_of(given, SOURCES, "--from")


def sink_of(given: Any) -> StreamSink:
    """Return the sink that an address, a table with ``kind`` or settings mean; SettingsError for others."""
    return _place_of(given, SINKS, "--to")


def _place_of(given: Any, registry: Registry[Place], where: str) -> Place:
    """Find a kind by the scheme of an address; what has none is a path: of JSON lines, or of a folder."""
    if not isinstance(given, str):
        return registry.parse(given, where=where)
    by_scheme = {scheme: cls for cls in registry.kinds.values() for scheme in cls.schemes}
    scheme, sign, _ = given.partition("://")
    if not sign:
        scheme = "-" if given == "-" or _is_lines(given) else ""
    if scheme not in by_scheme:
        known = [f"{name}://" for name in sorted(by_scheme) if name not in ("", "-")]
        raise SettingsError([Problem(where, f"no {registry.noun} is called '{scheme}://'{nearest(scheme, known)}")])
    return by_scheme[scheme].of(given)


def _is_lines(path: str) -> bool:
    """Whether a path means one file of JSON lines, and no folder."""
    return path.lower().endswith(LINES_SUFFIXES) and not any(sign in path for sign in "*?[")


def __getattr__(name: str) -> Any:
    """Find a kind's class, or the learner's, on first use, for ``flow.streams.FolderSource``."""
    if name in LEARNING:
        return getattr(import_module(LEARNING[name]), name)
    if name.endswith("Sink"):
        return SINKS.attribute(name)
    return SOURCES.attribute(name)
