"""Whether a body is the file that was asked for: its type, its first and last bytes, and its digests."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from daskflow.core.errors import DataError

SUFFIXES = {
    "parquet": (".parquet", ".pq", ".parq"),
    "csv": (".csv", ".tsv", ".psv", ".ssv", ".tab"),
    "json": (".json", ".jsonl", ".ndjson"),
    "arrow": (".arrow", ".feather", ".ipc"),
    "page": (".html", ".htm", ".xhtml"),
}
PACKED = {".gz": "gzip", ".zip": "zip", ".bz2": "bzip2", ".zst": "zstd", ".xz": "xz"}

BEGINNINGS = {
    "parquet": (b"PAR1",),
    "arrow": (b"ARROW1", b"\xff\xff\xff\xff"),
    "gzip": (b"\x1f\x8b",),
    "zip": (b"PK",),
    "bzip2": (b"BZh",),
    "zstd": (b"\x28\xb5\x2f\xfd", *(bytes([first]) + b"\x2a\x4d\x18" for first in range(0x50, 0x60))),
    "xz": (b"\xfd7zXZ\x00",),
}
"""How files of these kinds begin; zstd's second form is a frame that may be skipped."""

PAGES = ("text/html", "application/xhtml+xml")
NO_TABLES = ("image/", "audio/", "video/", "font/", "application/pdf", "multipart/")
TEXTS = ("application/json", "application/problem+json", "text/xml", "application/xml")
"""Types that errors come in; data of the kinds in `NOT_TEXTS` do not."""
NOT_TEXTS = ("csv", "parquet", "arrow")

FIRST_BYTES = 512
"""Looked at before anything is written."""

ALGORITHMS = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}
"""Names of digests, and how many hexadecimal digits each has."""

MARKED = ("parquet", "arrow", "gzip", "zip")
"""Kinds whose last bytes tell whether the file is whole."""

SCANNED_BYTES = 1 << 20


def kind_of_name(name: str) -> str | None:
    """Return the kind of data that a name's suffix says; None when it says none.

    Examples
    --------
    >>> kind_of_name("a.csv"), kind_of_name("a.csv.gz"), kind_of_name("export")
    ('csv', 'gzip', None)
    """
    lower = name.lower()
    for suffix, kind in PACKED.items():
        if lower.endswith(suffix):
            return kind
    return next((kind for kind, suffixes in SUFFIXES.items() if lower.endswith(suffixes)), None)


def wrong_type(content_type: str, kind: str | None) -> str:
    """Return what is wrong with the type that a server names, for data of a kind; empty when nothing is.

    Examples
    --------
    >>> wrong_type("text/html; charset=utf-8", "csv")
    'the server says it is a web page (text/html), such as a login form, not data'
    >>> wrong_type("application/octet-stream", "parquet")
    ''
    """
    plain = content_type.partition(";")[0].strip().lower()
    if kind == "page" or not plain:
        return ""
    if plain in PAGES:
        return f"the server says it is a web page ({plain}), such as a login form, not data"
    if plain.startswith(NO_TABLES) or (plain in TEXTS and kind in NOT_TEXTS):
        return f"the server says it is {plain}, not {kind or 'data'}"
    return ""


def wrong_beginning(first: bytes, kind: str | None) -> str:
    """Return what is wrong with a body's first bytes, for data of a kind; empty when nothing is.

    Examples
    --------
    >>> wrong_beginning(b"  <!DOCTYPE html><title>Log in", None)
    'it is a web page, such as a login form, not data'
    >>> wrong_beginning(b"a,b", "parquet")
    'it does not begin as a parquet file does'
    """
    if kind == "page":
        return ""
    text = first.removeprefix(b"\xef\xbb\xbf").replace(b"\0", b"").lstrip()[:64].lower()
    if text.startswith((b"<html", b"<!doctype", b"<head", b"<body")):
        return "it is a web page, such as a login form, not data"
    if kind in BEGINNINGS and not first.startswith(BEGINNINGS[kind]):
        return f"it does not begin as a {kind} file does"
    return ""


def wrong_end(path: Path, kind: str | None) -> str:
    """Return what is wrong with a file's last bytes, for data of a kind in `MARKED`; empty when nothing is.

    Files of gzip are decompressed to their end, checksum included.
    """
    with open(path, "rb") as file:
        if kind == "gzip":
            return "" if _is_whole_gzip(file) else "its compressed data do not come to their end"
        size = file.seek(0, 2)
        file.seek(max(0, size - (1 << 16) - 22))
        last = file.read()
        file.seek(0)
        first = file.read(6)
    if kind == "parquet" and not (last.endswith(b"PAR1") and size >= 12):
        return "it does not end as a parquet file does"
    if kind == "arrow" and first.startswith(b"ARROW1") and not last.endswith(b"ARROW1"):
        return "it does not end as an Arrow file does"
    if kind == "zip" and b"PK\x05\x06" not in last:
        return "it does not end as a zip file does"
    return ""


def _is_whole_gzip(file: Any) -> bool:
    """Whether every member of a gzip file comes to its end."""
    state, fresh = zlib.decompressobj(31), True
    waiting = file.read(SCANNED_BYTES)
    while waiting:
        try:
            state.decompress(waiting, SCANNED_BYTES)
        except zlib.error:
            return False
        fresh = False
        if state.eof:
            waiting = (state.unused_data or file.read(SCANNED_BYTES)).lstrip(b"\0")
            state, fresh = zlib.decompressobj(31), True
        else:
            waiting = state.unconsumed_tail or file.read(SCANNED_BYTES)
    return fresh


def header_digests(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the digests of a whole body that its headers name, in hexadecimal.

    ``Content-MD5``, ``Digest``, and ``Repr-Digest`` (RFC 9530) are understood; other algorithms are left out.

    Examples
    --------
    >>> header_digests({"Digest": "SHA-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="})["sha256"][:8]
    'e3b0c442'
    """
    found: dict[str, str] = {}
    pairs = [("md5", headers.get("Content-MD5", ""))]
    for name in ("Digest", "Repr-Digest"):
        for item in headers.get(name, "").split(","):
            algorithm, _, value = item.strip().partition("=")
            pairs.append((algorithm.lower().replace("-", "").replace("sha512256", ""), value.strip(":")))
    for algorithm, value in pairs:
        try:
            digits = base64.b64decode(value, validate=True).hex()
        except (binascii.Error, ValueError):
            continue
        if ALGORITHMS.get(algorithm) == len(digits):
            found[algorithm] = digits
    return found


def digest_of(text: str) -> tuple[str, str]:
    """Return the algorithm and the digits of a checksum such as ``sha256:...``, or of its digits alone.

    Raises
    ------
    DataError
        When it is none.

    Examples
    --------
    >>> digest_of("md5:D41D8CD98F00B204E9800998ECF8427E")
    ('md5', 'd41d8cd98f00b204e9800998ecf8427e')
    """
    algorithm, sign, digits = text.strip().rpartition(":")
    digits = digits.lower()
    algorithm = algorithm.lower().replace("-", "")
    if not sign:
        algorithm = next((name for name, length in ALGORITHMS.items() if length == len(digits)), "")
    if ALGORITHMS.get(algorithm) != len(digits) or not re.fullmatch("[0-9a-f]+", digits):
        raise DataError(
            f"'{text[:140]}' is no checksum. Say sha256:, md5:, sha1: or sha512: and its hexadecimal digits."
        )
    return algorithm, digits


class Digests:
    """Digests that grow with a body."""

    def __init__(self, algorithms: Iterable[str]) -> None:
        """Begin with nothing seen."""
        self._states = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}

    def update(self, data: bytes) -> None:
        """See more of it."""
        for state in self._states.values():
            state.update(data)

    def values(self) -> dict[str, str]:
        """Each in hexadecimal."""
        return {name: state.hexdigest() for name, state in self._states.items()}
