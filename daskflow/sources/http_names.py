"""Names of fetched files: taken from addresses and headers, and safe in any folder."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from posixpath import commonpath, dirname, relpath, splitext
from urllib.parse import unquote

from daskflow.data.http_address import Address

LONGEST = 180
"""Bytes of a name: file systems take 255, and a temporary name is longer."""

NAMELESS = "file"


def safe_name(text: str) -> str:
    """Return a name for a file: one part of a path, visible, without control characters, and not too long.

    Examples
    --------
    >>> safe_name("../../etc/passwd"), safe_name(".bashrc"), safe_name("..")
    ('passwd', 'bashrc', 'file')
    """
    text = unicodedata.normalize("NFC", text).replace("\\", "/").rpartition("/")[2]
    text = "".join("_" if character in '<>:"|?*' else character for character in text if character.isprintable())
    text = text.strip(" ").lstrip(".").rstrip(". ")
    stem, suffix = _split(text)
    suffix = suffix if len(suffix.encode()) <= LONGEST // 4 else ""
    kept = stem.encode()[: LONGEST - len(suffix.encode())].decode(errors="ignore")
    return kept + suffix or NAMELESS


class TakenNames:
    """Names that are in use in a folder; others get a number.

    They are compared without regard to capitals, for some file systems have none.

    Examples
    --------
    >>> names = TakenNames(["a.csv.gz"])
    >>> names.take("A.csv.gz"), names.take("a.csv.gz"), names.take("b.csv")
    ('A-2.csv.gz', 'a-3.csv.gz', 'b.csv')
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        """Begin with these."""
        self._used = {name.casefold() for name in names}
        self._numbers: dict[str, int] = {}

    def take(self, name: str) -> str:
        """Take a name: itself when it is free, else with the first number that makes it another."""
        stem, suffix = _split(name)
        number, found = self._numbers.get(name.casefold(), 1), name
        while found.casefold() in self._used:
            number += 1
            found = f"{stem}-{number}{suffix}"
        self._numbers[name.casefold()] = number
        self._used.add(found.casefold())
        return found


def _split(name: str) -> tuple[str, str]:
    """Name and suffix; ``.csv.gz`` is one suffix."""
    stem, suffix = splitext(name)
    if suffix.lower() in (".gz", ".bz2", ".zst", ".xz"):
        stem, inner = splitext(stem)
        suffix = inner + suffix
    return stem, suffix


def full_names(addresses: Sequence[Address]) -> list[str]:
    """Return a different name for each address: its whole path, below the host where there are several.

    Examples
    --------
    >>> full_names([Address("http://x/d/year=2020/a.csv?part=1"), Address("http://x/d/year=2020/a.csv?part=2")])
    ['d/year=2020/a.csv', 'd/year=2020/a-2.csv']
    """
    hosts = {address.host for address in addresses}
    names = TakenNames()
    found = []
    for address in addresses:
        parts = [safe_name(unquote(part)) for part in address.parts.path.split("/")[1:] or [""]]
        host = [safe_name(address.host)] if len(hosts) > 1 else []
        found.append(names.take("/".join([*host, *parts])))
    return found


def relative_names(names: Sequence[str]) -> list[str]:
    """Return names less the folder that all have in common.

    Examples
    --------
    >>> relative_names(["d/2020/a.csv", "d/2021/a.csv"])
    ['2020/a.csv', '2021/a.csv']
    """
    common = commonpath([dirname(f"/{name}") for name in names])
    return [relpath(f"/{name}", common) for name in names]
