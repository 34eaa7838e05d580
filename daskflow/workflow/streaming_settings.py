"""What a stream is asked for: the words of ``daskflow stream`` and of its TOML file."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import tomli_w
from dask.utils import parse_timedelta
from pydantic import BeforeValidator, Field

from daskflow.bundle import files
from daskflow.core.errors import BundleError, Problem, SettingsError
from daskflow.core.journal import plain, write_atomically
from daskflow.core.settings import Settings, parse
from daskflow.streams import StreamPlace, StreamSink, StreamSource, sink_of, source_of
from daskflow.streams.learning_settings import LearnSettings
from daskflow.streams.pipeline import Pace
from daskflow.streams.stream_folder import StreamFolder
from daskflow.workflow.toml import lay_over, load

SECRET_WORDS = re.compile(r"(?i)(password|passwd|token|secret|api[_-]?key|credential|authori[sz]ation|cookie)")


PLACES = ("from", "to", "model", "dead", "folder")
"""Words whose values may be paths."""


def _from_here(value: Any) -> Any:
    """Make a path absolute; an address is none."""
    return value if not isinstance(value, str) or value == "-" or "://" in value else os.path.abspath(value)


def seconds_of(value: Any) -> float:
    """Return seconds of a number, or of a text such as ``50ms``.

    Examples
    --------
    >>> seconds_of("50ms"), seconds_of(2)
    (0.05, 2.0)
    """
    try:
        seconds = float(parse_timedelta(value, default="s"))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError("should be a time, such as 50ms or 2s") from error
    if not 0 <= seconds < 1e9:
        raise ValueError("should be a time from 0 on")
    return seconds


Seconds = Annotated[float, BeforeValidator(seconds_of)]


class StreamSettings(Settings):
    """A stream.

    Attributes
    ----------
    model : str
        A model folder, a run's folder, or ``runs/NAME``; empty when the model itself is given.
    source, sink : settings
        ``from`` and ``to``: an address, or a table with ``kind``.
    batch : int
        Records that are answered and written at once, at most.
    delay : float
        Seconds that the first record of a batch waits for others.
    key : str or None
        As `StreamSource` says.
    once : bool
        Whether it ends when nothing more is there.
    keep : tuple of str
        Columns of a record that its result has, too.
    proba : bool
        Whether results have probabilities.
    strict : bool
        Whether names that are no columns of the model are a mistake.
    retries : int
        How often a sink that failed is tried again.
    dead : str or None
        File of records without an answer; default in the stream's folder.
    folder : str or None
        The stream's folder; default ``RUN/streams/NAME`` for a model of a run, else ``streams/NAME``.
    trust : tuple of str
        Types in the model that are not scikit-learn's own.
    learn : LearnSettings or None
        How the model learns from the stream; default not at all.
    labels : str, mapping or None
        A source of true values that come by themselves, each with the record's key.
    challengers : mapping of str to str
        Models that answer silently beside the one that answers, by name.
    cluster : mapping or None
        Where batches are answered side by side; default in this process.
    """

    model: str = ""
    source: Any = Field(alias="from")
    sink: Any = Field(alias="to")
    batch: int = Field(default=512, gt=0, le=1_000_000)
    delay: Seconds = 0.05
    key: str | None = None
    once: bool = False
    keep: tuple[str, ...] = ()
    proba: bool = True
    strict: bool = False
    retries: int = Field(default=8, ge=0)
    dead: str | None = None
    folder: str | None = None
    trust: tuple[str, ...] = ()
    learn: LearnSettings | None = None
    labels: Any = None
    challengers: dict[str, str] = Field(default_factory=dict)
    cluster: Any = None

    @classmethod
    def from_toml(cls, path: Path, overrides: Mapping[str, Any] | None = None) -> StreamSettings:
        """Read ``stream.toml``, with values by dotted name laid over it; SettingsError with every mistake.

        Paths in the file start from its folder; those of `overrides` from the current one.
        """
        said = {name: _from_here(value) if name in PLACES else value for name, value in (overrides or {}).items()}
        own, of_places = _parted(said)
        return parse(cls, _laid_over(load(path, own), of_places), path.name)

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> StreamSettings:
        """Make them of values by dotted name; SettingsError with every mistake."""
        tables: dict[str, Any] = {}
        own, of_places = _parted(said)
        for name, value in own.items():
            lay_over(tables, name, value)
        return parse(cls, _laid_over(tables, of_places))

    def opened_source(self) -> StreamSource:
        """Return the source as it was asked for; SettingsError for what none is."""
        source = source_of(self.source)
        changes = {name: value for name, value in (("key", self.key), ("once", self.once)) if value}
        return source.model_copy(update=changes)

    def opened_sink(self) -> StreamSink:
        """Return the sink; SettingsError for what none is."""
        return sink_of(self.sink)

    @property
    def pace(self) -> Pace:
        """How it is cut."""
        return Pace(self.batch, self.delay, self.retries)

    def place(self, base: Path) -> StreamFolder:
        """Return its folder: the same for the same model, source and sink."""
        if self.folder is not None:
            return StreamFolder(Path(os.path.abspath(base / os.path.expanduser(self.folder))))
        above = Path(os.path.abspath(base))
        if self.model:
            found = files.find(base / os.path.expanduser(self.model)).absolute()
            if (found.parent / "journal.jsonl").is_file():
                above = found.parent
        return StreamFolder(above / "streams" / self.name(base))

    def name(self, base: Path) -> str:
        """Return a name of its own: the source's, and a few digits that source and sink decide."""
        places = (self.opened_source(), self.opened_sink())
        digest = hashlib.sha256(repr([str(base.absolute()), *map(_said_of, places)]).encode())
        told = (getattr(places[0], word, None) for word in ("path", "stream", "topic"))
        place = next((str(word) for word in told if word), "")
        name = re.sub(r"[^A-Za-z0-9]+", "-", Path(place.rstrip("/")).name).strip("-")[:30] or places[0].kind
        return f"{name}-{digest.hexdigest()[:8]}"

    def write(self, path: Path) -> None:
        """Write what was asked for, without secrets."""
        told = {**self.dump(), "from": self.opened_source().dump(), "to": self.opened_sink().dump()}
        write_atomically(path, tomli_w.dumps(without_secrets(plain(told))).encode())


def _said_of(place: StreamPlace) -> list[tuple[str, str]]:
    """Return what was said of a place; what is as by default does not count, for a later version has more options.

    A password does not count either: a stream goes on where it was when that has changed.
    """
    fields, identity = type(place).model_fields, place.identity()
    said = {name: getattr(place, name) for name in fields if name not in ("once", "key")}
    told = [
        (name, repr(identity.get(name, value)))
        for name, value in sorted(said.items())
        if value != fields[name].get_default(call_default_factory=True)
    ]
    more = [(name, str(value)) for name, value in sorted(identity.items()) if name not in fields]
    return [("kind", place.kind), *told, *more]


def _parted(said: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part values by dotted name into those of the stream, and options of its source and its sink."""
    of_places = {name: value for name, value in said.items() if name.startswith(("from.", "to."))}
    return {name: value for name, value in said.items() if name not in of_places}, of_places


def _laid_over(tables: dict[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Lay options of source and sink over them; an address becomes the table that it means."""
    for word, made in (("from", source_of), ("to", sink_of)):
        its = {name: value for name, value in options.items() if name.startswith(f"{word}.")}
        if its and isinstance(tables.get(word), str):
            place: Any = made(tables[word])
            tables[word] = {"kind": place.kind, **place.model_dump(exclude_unset=True)}
        for name, value in its.items():
            lay_over(tables, name, value)
    return tables


def without_secrets(value: Any) -> Any:
    """Return plain values in which neither what is called a secret nor who signs in to an address is named.

    Examples
    --------
    >>> without_secrets({"url": "redis://me:pass@host/0?password=x&stream=a", "token": "x"})
    {'url': 'redis://***@host/0?password=***&stream=a', 'token': '***'}
    """
    if isinstance(value, Mapping):
        return {
            name: "***" if SECRET_WORDS.search(str(name)) and item else without_secrets(item)
            for name, item in value.items()
            if item is not None
        }
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    if not isinstance(value, str):
        return value
    text = re.sub(r"(://)[^/@\s]*@", r"\1***@", value)
    return re.sub(rf"([?&][^=&]*{SECRET_WORDS.pattern[4:]}[^=&]*=)[^&]*", r"\1***", text, flags=re.IGNORECASE)


def check_places(settings: StreamSettings) -> tuple[StreamSource, StreamSink]:
    """Return source and sink; SettingsError with what is wrong with either."""
    problems: list[Problem] = []
    found: list[Any] = []
    for make in (settings.opened_source, settings.opened_sink):
        try:
            found.append(make())
        except SettingsError as error:
            problems += error.problems
    if settings.model:
        try:
            files.find(Path(os.path.expanduser(settings.model)))
        except BundleError as error:
            if problems:
                problems.append(Problem("model", str(error)))
    if problems:
        raise SettingsError(problems)
    return found[0], found[1]
