"""Compressed CSV files: told by their suffix, checked by their first bytes, and unpacked as they are read."""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pyarrow as pa

from daskflow.core.errors import DataError
from daskflow.sources.reading import FoundFile, open_file, read_bytes, reason

Packing = Literal["none", "gzip", "bz2", "xz", "zstd", "zip"]

SUFFIXES: dict[str, Packing] = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd", ".zip": "zip"}

BEGINNINGS: dict[bytes, Packing] = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}

FOREIGN = {
    b"PAR1": "a parquet file: set kind = 'parquet'",
    b"ARROW1": "an Arrow file: set kind = 'arrow'",
    b"\xd0\xcf\x11\xe0": "an Excel workbook: save the sheet as CSV",
    b"SQLite format 3": "an SQLite database: export the table as CSV",
    b"%PDF": "a PDF document: find the table as CSV",
}

PAGE_BEGINNINGS = (b"<!doctype", b"<html", b"<head", b"<body", b"<script", b"<?xml", b"<!--")
"""How a page begins that a server sent in place of a file."""

MAX_TEXT_BYTES = 1 << 30
"""Text that one partition may unpack to; a file that is much larger than its beginning suggests is no accident."""

READ_BYTES = 1 << 20


def packing_of(file: FoundFile, asked: str) -> Packing:
    """Return how a file is compressed: as asked, or by its suffix when that is ``"infer"``."""
    if asked != "infer":
        return asked  # type: ignore[return-value]  # the setting's own words
    name = file.name.lower()
    return next((packing for suffix, packing in SUFFIXES.items() if name.endswith(suffix)), "none")


def check_beginning(file: FoundFile, data: bytes, packing: Packing) -> None:
    """Refuse text that is no table by its first bytes: a page of HTML, an archive without its suffix, a workbook.

    Parameters
    ----------
    file : FoundFile
        For messages.
    data : bytes
        The beginning, unpacked.
    packing : str
        How it was unpacked.

    Raises
    ------
    DataError
        Saying what it is, and what to do.
    """
    first = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    if first.startswith(b"<") and first.lower().startswith(PAGE_BEGINNINGS):
        raise DataError(
            f"{file.name}, line 1: this is a page of HTML or XML, not a table ({first[:40]!r}). A server sends such a "
            "page for a login or an error: open the address in a browser, and download the file again."
        )
    found = next((word for mark, word in FOREIGN.items() if first.startswith(mark)), None)
    if found is not None:
        raise DataError(f"{file.name} is {found}.")
    inner = next((word for mark, word in BEGINNINGS.items() if first.startswith(mark)), None)
    if inner == "bz2" and not first[4:].startswith(b"1AY&SY"):
        inner = None  # a name that begins so
    if inner is not None:
        twice = " once more" if packing == inner else ""
        remedy = "Unpack it once" if packing != "none" else f"Set compression = '{inner}', or give it its suffix"
        book = ", or an Excel workbook, whose sheet is to be saved as CSV" if inner == "zip" else ""
        raise DataError(f"{file.name} is compressed by {inner}{twice}{book}. {remedy}.")


@contextmanager
def unpacking(file: FoundFile) -> Iterator[None]:
    """Turn what decompressors raise into a DataError that names the file."""
    try:
        yield
    except DataError:
        raise
    except PermissionError as error:
        raise DataError(f"{file.name}: {reason(error)}") from error
    except (EOFError, OSError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, pa.ArrowException) as error:
        raise DataError(
            f"{file.name} ({file.size_bytes} bytes) cannot be decompressed: {error}. It is cut short, or not what its "
            "suffix says. Copy it again, or rename it."
        ) from error


def unpacked_stream(file: FoundFile, opened: Any, packing: Packing) -> Any:
    """Return a stream of a file's text as bytes; closing it closes what it reads from.

    Raises
    ------
    DataError
        For a zip archive that holds several files, none, or secret ones.
    """
    if packing in ("gzip", "bz2", "zstd"):
        return pa.input_stream(opened, compression=packing)
    if packing == "xz":
        return lzma.open(opened, "rb")
    if packing == "zip":
        return _only_member(file, zipfile.ZipFile(opened))
    return opened


def _only_member(file: FoundFile, archive: zipfile.ZipFile) -> Any:
    """The one file of a zip archive."""
    members = [
        member for member in archive.infolist() if not member.is_dir() and not member.filename.startswith("__MACOSX/")
    ]
    if len(members) != 1:
        names = ", ".join(f"'{member.filename}'" for member in members[:5])
        held = f"{len(members)} files ({names}{', ...' if len(members) > 5 else ''})" if members else "no file"
        raise DataError(f"{file.name} holds {held}; one is read from an archive. Unpack it, and name the files.")
    if members[0].flag_bits & 1:
        raise DataError(f"{file.name} is protected by a password. Unpack it, and name the file.")
    return archive.open(members[0])


def beginning(file: FoundFile, n_bytes: int, packing: Packing) -> bytes:
    """Return the first bytes of a file's text; less than asked when there is no more."""
    if packing == "none":
        return read_bytes(file, n_bytes)
    with open_file(file) as opened, unpacking(file), unpacked_stream(file, opened, packing) as stream:
        return bytes(stream.read(n_bytes))


def unpacked(file: FoundFile, data: bytes, packing: Packing) -> bytes:
    """Return a file's text, given all its bytes.

    Raises
    ------
    DataError
        For data that is cut short, not of that kind, or more than `MAX_TEXT_BYTES`.
    """
    if packing == "none":
        return data
    with unpacking(file), unpacked_stream(file, io.BytesIO(data), packing) as stream:
        text = bytes(stream.read(MAX_TEXT_BYTES + 1))
    if len(text) > MAX_TEXT_BYTES:
        raise too_much(file)
    return text


def too_much(file: FoundFile) -> DataError:
    """Return the error for a file that unpacks to far more than was to be expected."""
    return DataError(
        f"{file.name} ({file.size_bytes} bytes) unpacks to far more than its beginning suggests: a partition has more "
        f"than {MAX_TEXT_BYTES >> 20} MiB of text. Unpack it, and read it as it is."
    )
