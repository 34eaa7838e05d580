"""Fetching files into a folder: what ``daskflow fetch`` does, for programs that run an event loop of their own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from daskflow.core.errors import DataError, Problem, SettingsError
from daskflow.core.events import Listener, nobody, tell
from daskflow.core.settings import nearest
from daskflow.data.http_address import checked_hosts
from daskflow.data.http_client import Client
from daskflow.data.http_settings import Access, Limits
from daskflow.sources.http_checks import digest_of
from daskflow.sources.http_download import download
from daskflow.sources.http_manifest import from_manifest, wanted_of
from daskflow.sources.http_transfer import Outcome, Wanted


async def fetch(
    urls: Sequence[str],
    to: Path,
    *,
    manifest: str | None = None,
    checksums: Sequence[str] = (),
    allow_hosts: Sequence[str] = (),
    access: Access | None = None,
    limits: Limits | None = None,
    listener: Listener = nobody,
) -> list[Outcome]:
    """Fetch files into a folder; the same call again continues, and asks only for what is missing or changed.

    Parameters
    ----------
    urls : sequence of str
        Addresses and templates such as ``https://example.org/part-{00..99}.parquet``.
    to : Path
        The folder, made when it is not there.
    manifest : str, optional
        A file or an address that lists more; see `daskflow.sources.http_manifest.parse_manifest`.
    checksums : sequence of str
        ``NAME=sha256:HEX`` for the file whose address ends in that name; without the name when there is one file.
    allow_hosts : sequence of str
        Hosts that may be redirected to, beside the addresses' own.
    access : Access, optional
        Credentials.
    limits : Limits, optional
        How much at once, how fast, how patient.
    listener : callable
        Hears of the stage ``fetch``, its progress and retries.

    Returns
    -------
    list of Outcome
        One for each file; those that failed have an ``error``, and `daskflow.sources.http_download.raise_failures`
        raises it.

    Raises
    ------
    SettingsError
        For what is no address, no checksum or no host.
    DataError
        For a manifest that cannot be had or understood.
    StorageError
        When the folder cannot be written.
    JournalError
        When another process fetches into it.
    """
    began = time.monotonic()
    _check_hosts(allow_hosts)
    try:
        files = wanted_of(urls)
    except DataError as error:
        raise SettingsError(str(error)) from None
    async with Client(limits or Limits(), access or Access(), allow_hosts) as client:
        if manifest is not None:
            listed = {wanted.address.identity: wanted for wanted in await from_manifest(manifest, Path(), client)}
            files = list((({wanted.address.identity: wanted for wanted in files}) | listed).values())
        if not files:
            raise SettingsError("There is nothing to fetch: give addresses, or a manifest.")
        files = _with_checksums(files, checksums)
        tell(listener, "stage", stage="fetch", state="started", total=len(files))
        outcomes = await download(files, to, client, listener=listener)
    tell(listener, "stage", stage="fetch", state="finished", seconds=time.monotonic() - began)
    return outcomes


def _check_hosts(allow_hosts: Sequence[str]) -> None:
    try:
        checked_hosts(allow_hosts)
    except ValueError as error:
        raise SettingsError([Problem("allow_hosts", str(error))]) from None


def _with_checksums(files: Sequence[Wanted], checksums: Sequence[str]) -> list[Wanted]:
    """The files with the checksums that were given for some of them."""
    found = list(files)
    names = [wanted.name or wanted.address.name for wanted in files]
    problems: list[Problem] = []
    for text in checksums:
        name, sign, stated = text.rpartition("=")
        places = [place for place, own in enumerate(names) if own == name] if sign else list(range(len(files)))
        try:
            algorithm, digits = digest_of(stated)
        except DataError as error:
            problems.append(Problem("checksum", str(error)))
            continue
        if len(places) == 1:
            (place,) = places
            found[place] = replace(found[place], digests={**found[place].digests, algorithm: digits})
        elif sign:
            there = f"no file is called '{name}'{nearest(name, names)}" if not places else f"'{name}' stands twice"
            problems.append(Problem("checksum", there))
        else:
            problems.append(Problem("checksum", f"there are {len(files)} files: say which, as NAME={text[:20]}..."))
    if problems:
        raise SettingsError(problems)
    return found
