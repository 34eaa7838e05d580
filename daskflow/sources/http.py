"""Files over HTTP: partitions are read while the files after them are fetched."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_serializer, field_validator, model_validator

import daskflow.sources
from daskflow.core.errors import DataError, Problem, SettingsError
from daskflow.core.folder import cache_folder
from daskflow.data.blocks import storing_in
from daskflow.data.http_address import address_of, checked_hosts, expand
from daskflow.data.http_client import Client
from daskflow.data.http_settings import Access, Limits, size_of
from daskflow.data.table import Table
from daskflow.sources import Source
from daskflow.sources.file_source import FileSource
from daskflow.sources.files import natural_key
from daskflow.sources.http_cache import Cache
from daskflow.sources.http_checks import SUFFIXES
from daskflow.sources.http_engine import ENGINE, Reach
from daskflow.sources.http_manifest import from_manifest, has_hidden, wanted_of
from daskflow.sources.http_names import full_names, relative_names
from daskflow.sources.http_opening import Found, Opening
from daskflow.sources.http_part import OPTION
from daskflow.sources.http_pieces import at
from daskflow.sources.http_probe import Look, look_at
from daskflow.sources.http_transfer import Wanted
from daskflow.sources.opening import SAMPLE_ROWS, open_table

TYPES = {
    "parquet": ("application/vnd.apache.parquet", "application/x-parquet"),
    "csv": ("text/csv", "text/tab-separated-values"),
    "json": ("application/x-ndjson", "application/jsonl", "application/json"),
    "arrow": ("application/vnd.apache.arrow.file",),
}
"""Content types that say a format."""


def _texts(value: Any) -> Any:
    """One address or several as text; what is none of these is refused without being shown."""
    items = (value,) if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise SettingsError([Problem("", "should be an address, or a list of addresses")])
    return tuple(items)


class Http(Source):
    """Files over HTTP or HTTPS, in any format that is read from files; partitions are read while others come.

    The first look asks every server for a few bytes: all files must be there, and be data. The schema comes from the
    footers of all parquet files where the server sends parts, else from the first, the last and some files between,
    which are fetched for it; a file that does not fit is an error that names it. The rest is fetched when it is
    read, a few files ahead, into a cache of files; a second run asks whether they changed, and fetches nothing if
    not.

    Attributes
    ----------
    url : str or list of str
        Addresses; ``part-{00..99}.parquet`` counts, ``{train,test}.csv`` is each of these. User and password in an
        address, and all values of its query, are hidden wherever it is written; see ``access`` for a better place.
    manifest : str or None
        A file, or an address, that lists addresses with their checksums and sizes, one to a line.
    format : str, mapping or None
        ``"csv"``, ``"parquet"``, ``"json"``, ``"arrow"``, or a table with ``kind`` and that format's own options;
        None to go by the names, else by what the servers say.
    allow_hosts : list of str
        Hosts beside the addresses' own that may be redirected to: ``"cdn.example.org"``, ``"example.org:8080"`` or
        ``"*.example.org"``.
    access : mapping
        Credentials from environment variables: ``bearer``, ``user`` and ``password``, ``headers``, ``params``; each
        is ``"env:NAME"``.
    limits : mapping
        ``concurrency``, ``per_host``, ``bytes_in_flight``, ``rate``, ``requests_per_second``, ``retries``,
        ``backoff_seconds``, ``longest_wait_seconds``, ``connect_seconds``, ``idle_seconds``, ``slowest``,
        ``total_seconds``, ``max_file_bytes``: for each process that fetches.
    cache : str or None
        Folder of fetched files, which may be deleted at any time; None for ``http`` beside the block store. Workers
        that share it fetch each file once.
    cache_bytes : int or str
        Above this, files that were used longest ago are removed from it; those in use never are.
    ahead : int
        Files that are fetched while one is read: for each that is read at a time, at most so many are on their way, or
        there and not read yet.
    sample_files : int
        Files that the schema is found from, where it is not in footers.

    Examples
    --------
    >>> source = Http(url="https://ann:secret@example.org/{2019..2020}.csv", format={"kind": "csv", "separator": ";"})
    >>> source.dump()["url"]
    ['https://***@example.org/{2019..2020}.csv']
    """

    opens_early: ClassVar[bool] = True

    kind: Literal["http"] = "http"
    url: Annotated[tuple[str, ...], BeforeValidator(_texts)] = Field(default=(), repr=False)
    manifest: str | None = Field(default=None, repr=False)
    format: Mapping[str, Any] | None = None
    allow_hosts: tuple[str, ...] = ()
    access: Access = Access()
    limits: Limits = Limits()
    cache: str | None = None
    cache_bytes: int = Field(default=50 << 30, ge=0)
    ahead: int = Field(default=4, ge=0, le=1000)
    sample_files: int = Field(default=3, ge=1)

    @field_validator("cache_bytes", mode="before")
    @classmethod
    def _size_may_be_words(cls, value: Any) -> Any:
        return size_of(value)

    @field_validator("allow_hosts", mode="after")
    @classmethod
    def _hosts_are_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        checked_hosts(hosts)
        return hosts

    @field_validator("url", mode="after")
    @classmethod
    def _are_addresses(cls, url: tuple[str, ...]) -> tuple[str, ...]:
        problems = []
        for number, text in enumerate(url):
            try:
                address_of(next(expand(text)))
            except DataError as error:
                problems.append(Problem(str(number) if len(url) > 1 else "", str(error)))
        if problems:
            raise SettingsError(problems)
        return url

    @field_validator("format", mode="before")
    @classmethod
    def _is_a_format(cls, value: Any) -> Any:
        """Check the options of the format now, with those of the whole workflow."""
        if value is None:
            return None
        table = {"kind": value} if isinstance(value, str) else value
        if not isinstance(table, Mapping):
            raise SettingsError([Problem("", "should be the name of a format, or a table with kind")])
        format_of(table)
        return dict(table)

    @model_validator(mode="after")
    def _names_files(self) -> Http:
        if not self.url and self.manifest is None:
            raise SettingsError([Problem("url", "is required (or manifest)")])
        return self

    @field_serializer("url")
    def _without_secrets(self, url: tuple[str, ...]) -> list[str]:
        return [str(address_of(text)) for text in url]

    @field_serializer("manifest")
    def _manifest_without_secrets(self, manifest: str | None) -> str | None:
        return str(address_of(manifest)) if manifest is not None and "://" in manifest else manifest

    def identity(self) -> dict[str, Any]:
        """Return what decides the result: not where the files are, nor how they are fetched."""
        fetching = ("url", "manifest", "allow_hosts", "access", "limits", "cache", "cache_bytes", "ahead")
        return {word: value for word, value in self.dump().items() if word not in fetching}

    def table(self, base: Path = Path()) -> Table:
        """Look at every file, fetch some if the schema needs them, and return the lazy table.

        Raises
        ------
        DataError
            For files that cannot be had, are not data, or differ from each other.
        """
        folder = base / Path(self.cache).expanduser() if self.cache else cache_folder() / "http"
        reach = Reach(self.limits, self.access, self.allow_hosts)
        cache = Cache(os.path.abspath(folder), self.cache_bytes, reach)
        began = time.time()
        files: list[Wanted] = _do(reach, lambda client: self._wanted(client, base))
        format = self._format_of_names(files)
        with storing_in(Path(cache.folder), option=OPTION):
            Path(cache.folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache.folder, prefix=".opening-") as opening:
            names = full_names([wanted.address for wanted in files])
            kind = None if format is None else format.kind
            files = [replace(wanted, kind=kind) for wanted in files]
            stubs = [Path(opening) / name for name in names] if kind == "parquet" else None
            looks: list[Look] = _do(reach, lambda client: look_at(client, files, stubs))
            format = format or self._format_of_looks(looks)
            opened = Opening(cache, format, self.ahead, _in_order(files, names, looks, format, began))
            if stubs is not None and all(look.has_footer for look in looks):
                schema, pieces, notes = opened.by_footers(Path(opening))
            else:
                schema, pieces, notes = opened.by_sample(self.sample_files)
        sample = pieces[0].read().rows.slice(0, SAMPLE_ROWS) if self.derive else None
        unread = {name for name in self.drop if name not in schema and name not in self.derive}
        table = open_table(self, schema, pieces, sample, unread, notes, base)
        # What decides the rows is how the files are read; how they are fetched may change between runs.
        return replace(table, settings=at(format, ()).dump())

    async def _wanted(self, client: Client, base: Path) -> list[Wanted]:
        """The files of all addresses and of the manifest."""
        hidden = [text for text in self.url if has_hidden(text)]
        if hidden:
            raise DataError(
                f"url has {len(hidden)} addresses whose secrets were left out when they were written, such as "
                f"{hidden[0]}. Give them again; or keep secrets in the environment: access = "
                "{ params = { token = 'env:TOKEN' } }."
            )
        found = wanted_of(self.url)
        if self.manifest is not None:
            known = {wanted.address.identity for wanted in found}
            listed = await from_manifest(self.manifest, base, client)
            found += [wanted for wanted in listed if wanted.address.identity not in known]
        return found

    def _format_of_names(self, files: Sequence[Wanted]) -> FileSource | None:
        """The format that the settings or all names say."""
        drop = tuple(name for name in self.drop if name not in self.derive)
        if self.format is not None:
            return format_of(self.format, drop)
        kinds = {_kind_of_name(wanted.name or wanted.address.name) for wanted in files}
        if len(kinds) > 1:
            kinds.discard(None)
            if len(kinds) > 1:
                raise DataError(
                    f"The files are of several formats by their names: {', '.join(sorted(map(str, kinds)))}. "
                    "Read them apart, or say which they are: format = 'csv'."
                )
        (kind,) = kinds
        return None if kind is None else format_of({"kind": kind}, drop)

    def _format_of_looks(self, looks: Sequence[Look]) -> FileSource:
        """The format that the servers or the first bytes say."""
        plain = [look.content_type.partition(";")[0].strip().lower() for look in looks]
        kinds = {
            "parquet"
            if look.first.startswith(b"PAR1")
            else next((k for k, known in TYPES.items() if said in known), "")
            for look, said in zip(looks, plain, strict=True)
        }
        if len(kinds) != 1 or kinds == {""}:
            raise DataError(
                "Neither the names of the files nor the servers say one format "
                f"(content types: {', '.join(sorted(set(plain)))}). Say it: format = 'csv'."
            )
        return format_of({"kind": kinds.pop()}, tuple(name for name in self.drop if name not in self.derive))


def format_of(table: Mapping[str, Any], drop: Sequence[str] = ()) -> FileSource:
    """Return the settings of a format: those of a kind of source that reads files.

    Parameters
    ----------
    table : mapping
        ``kind``, and the format's own options.
    drop : sequence of str
        Columns no model sees, which some formats need not read.

    Raises
    ------
    SettingsError
        With every mistake.
    """
    kinds = {name: cls for name, cls in daskflow.sources.REGISTRY.kinds.items() if issubclass(cls, FileSource)}
    known = ", ".join(kinds)
    if table.get("kind") not in kinds:
        raise SettingsError(
            [Problem("kind", f"should be a format of files: {known} (found {table.get('kind')!r:.80})")]
        )
    problems = [
        Problem(word, "stands beside format, under [data]" if word in Source.model_fields else "is what url is for")
        for word in table
        if word in {*Source.model_fields, "path", "storage_options"} - {"kind"}
    ]
    if problems:
        raise SettingsError(problems)
    return kinds[table["kind"]](**{**table, "path": ("",), **({"drop": tuple(drop)} if drop else {})})


def _in_order(
    files: Sequence[Wanted], names: Sequence[str], looks: Sequence[Look], format: FileSource, began: float
) -> list[Found]:
    """What is known of each file, in natural order of their names."""
    found = [
        Found(replace(wanted, planned=look.validators, since=began, kind=format.kind), full, name, look)
        for wanted, full, name, look in zip(files, names, relative_names(names), looks, strict=True)
    ]
    return sorted(found, key=lambda file: natural_key(file.name))


def _kind_of_name(name: str) -> str | None:
    """The format that a name's suffix says, compressed or not."""
    lower = name.lower()
    for packed in (".gz", ".bz2", ".zst", ".xz", ".zip"):
        lower = lower.removesuffix(packed)
    return next((kind for kind in TYPES if lower.endswith(SUFFIXES[kind])), None)


def _do(reach: Reach, job: Any) -> Any:
    """Run a job on the engine's thread, and wait for it."""
    return ENGINE.start(f"opening {os.urandom(8).hex()}", reach, job).result()
