"""Lists of files to fetch: addresses, templates, and manifests with checksums and sizes."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from daskflow.core.errors import DataError
from daskflow.data.http_address import HIDDEN, Address, address_of, expand, is_allowed, is_same_place
from daskflow.data.http_client import Client
from daskflow.sources.http_checks import ALGORITHMS, digest_of
from daskflow.sources.http_download import download, raise_failures
from daskflow.sources.http_transfer import Wanted

MOST_BYTES = 256 << 20
SUM_LINE = re.compile(r"([0-9a-fA-F]{32,128})\s+\*?(\S.*)")
"""What ``sha256sum`` and its relatives write."""


def wanted_of(texts: Sequence[str]) -> list[Wanted]:
    """Return the files that addresses and templates stand for, in order, each once.

    Raises
    ------
    DataError
        For what is no address, all at once.
    """
    found: dict[str, Wanted] = {}
    problems: list[str] = []
    for text in texts:
        try:
            for one in expand(text):
                address = address_of(one)
                found.setdefault(address.identity, Wanted(address))
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError("\n".join(problems))
    return list(found.values())


async def from_manifest(place: str, base: Path, client: Client) -> list[Wanted]:
    """Return the files that a manifest lists; it is a file of this machine or an address.

    Raises
    ------
    DataError
        When it cannot be read, lists nothing, or has lines that cannot be understood.
    """
    if "://" not in place:
        path = base / Path(place).expanduser()
        try:
            return parse_manifest(path.read_text(encoding="utf-8"), path.name)
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"The manifest {path} cannot be read: {error}.") from error
    origin = address_of(place)
    with tempfile.TemporaryDirectory() as folder:
        outcomes = await download([Wanted(origin, name="manifest", kind="text")], Path(folder), client)
        raise_failures(outcomes)
        content = (Path(folder) / "manifest").read_bytes()
    if len(content) > MOST_BYTES:
        raise DataError(f"{origin} has {len(content)} bytes, which is too much for a list of files.")
    return parse_manifest(content.decode("utf-8", errors="replace"), str(origin), origin, client.allow_hosts)


def parse_manifest(
    text: str, name: str, origin: Address | None = None, allow_hosts: Sequence[str] = ()
) -> list[Wanted]:
    """Return the files that the text of a manifest lists.

    A line is an address with, in any order, a checksum (``sha256:...``, ``md5:...``, or the digits alone) and a size
    in bytes; or what ``sha256sum`` writes, the checksum and then the name; or a JSON object with ``url`` and, if it
    likes, ``sha256``, ``md5``, ``size`` and ``name``. Lines that begin with ``#`` are left out.

    Parameters
    ----------
    text : str
        The manifest.
    name : str
        What it is called in messages.
    origin : Address, optional
        Where it came from: names in it are relative to that, and addresses must be of that host, or allowed. What
        somebody else wrote must not send this machine anywhere.
    allow_hosts : sequence of str
        Hosts that are allowed beside that of `origin`.

    Raises
    ------
    DataError
        With every line that cannot be understood.

    Examples
    --------
    >>> [wanted] = parse_manifest("https://example.org/a.csv 12 md5:d41d8cd98f00b204e9800998ecf8427e", "m")
    >>> wanted.size_bytes, dict(wanted.digests)
    (12, {'md5': 'd41d8cd98f00b204e9800998ecf8427e'})
    """
    found: dict[str, Wanted] = {}
    problems: list[str] = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        try:
            wanted = _json_line(line, origin) if line.startswith("{") else _plain_line(line, origin)
            if origin is not None and not _may_send_to(origin, wanted.address, allow_hosts):
                raise DataError(
                    f"it names another host, {wanted.address}. If that is right, say so: allow_hosts = "
                    f"['{wanted.address.host}']."
                )
        except DataError as error:
            problems.append(f"{name}, line {number}: {error}")
            continue
        earlier = found.setdefault(wanted.address.identity, wanted)
        if earlier != wanted:
            problems.append(f"{name}, line {number}: {wanted.address} stands twice, and not the same.")
    if problems:
        more = [f"{len(problems) - 10} more lines have such problems."] if len(problems) > 10 else []
        raise DataError("\n".join([*problems[:10], *more]))
    if not found:
        raise DataError(f"The manifest {name} lists no files.")
    return list(found.values())


def _may_send_to(origin: Address, address: Address, allow_hosts: Sequence[str]) -> bool:
    is_downgrade = origin.scheme == "https" and address.scheme == "http"
    return not is_downgrade and (is_same_place(origin, address) or is_allowed(address, allow_hosts))


def _address(text: str, origin: Address | None) -> Address:
    """An address of a manifest, whole or relative to it."""
    if "://" in text:
        return address_of(text)
    if origin is None:
        raise DataError(f"'{text.partition('?')[0]:.80}' is no address: it should begin with http:// or https://.")
    return origin.joined(text)


def _plain_line(line: str, origin: Address | None) -> Wanted:
    summed = SUM_LINE.fullmatch(line)
    if summed and len(summed[1]) in ALGORITHMS.values():
        algorithm, digits = digest_of(summed[1])
        return Wanted(_address(summed[2], origin), {algorithm: digits})
    first, *words = line.split()
    wanted = Wanted(_address(first, origin))
    for word in words:
        if word.isdecimal() and len(word) < min(ALGORITHMS.values()):
            wanted = replace(wanted, size_bytes=int(word))
        else:
            algorithm, digits = digest_of(word)
            wanted = replace(wanted, digests={**wanted.digests, algorithm: digits})
    return wanted


def _json_line(line: str, origin: Address | None) -> Wanted:
    try:
        record: Any = json.loads(line)
    except ValueError as error:
        raise DataError(f"it is no JSON: {error}.") from None
    if not isinstance(record, Mapping) or not isinstance(record.get("url"), str):
        raise DataError("it has no 'url'.")
    unknown = sorted(set(record) - {"url", "size", "name", *ALGORITHMS})
    if unknown:
        raise DataError(f"it has words that mean nothing here: {', '.join(unknown)}.")
    size, name = record.get("size"), record.get("name")
    if not (size is None or (isinstance(size, int) and size >= 0)) or not isinstance(name, str | None):
        raise DataError("its 'size' should be a number of bytes, and its 'name' a text.")
    digests = dict(digest_of(f"{word}:{record[word]}") for word in ALGORITHMS if word in record)
    return Wanted(_address(record["url"], origin), digests, size, name)


def has_hidden(text: str) -> bool:
    """Return whether an address was written down without its secrets, and so cannot be used.

    Examples
    --------
    >>> has_hidden("https://example.org/a?token=***")
    True
    """
    return HIDDEN in text
