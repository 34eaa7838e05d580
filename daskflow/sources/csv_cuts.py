"""How CSV files are cut into partitions of about the same size, without reading them."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from typing import Any

from daskflow.sources.csv_heads import FoundText
from daskflow.sources.csv_piece import CsvPiece, Recipe, Span
from daskflow.sources.csv_unpacking import MAX_TEXT_BYTES, unpacked_stream, unpacking
from daskflow.sources.reading import open_file

USUAL_RATIO = 6
"""Text per compressed byte, as usual for tables."""

PROBED_BYTES = 1 << 22
"""Text that is unpacked to see how much a large compressed file holds."""

MARGIN = 1.25
"""More parts are planned than a compressed file seems to need: those behind its end are empty, and cost nothing."""


def pieces_of(
    one: FoundText, recipe: Recipe, constants: tuple[tuple[str, Any], ...], memory_per_byte: float, partition_bytes: int
) -> Iterator[CsvPiece]:
    """Cut a file into partitions.

    Parts begin at places evenly spread over the text. Which records that makes is found by the parts themselves. Of a
    compressed file the length of the text is estimated, and its parts are read by unpacking all that stands before:
    a process goes on where its last part ended.

    Parameters
    ----------
    one : FoundText
        The file.
    recipe : Recipe
        How its text becomes rows.
    constants : tuple of (str, object)
        Columns from its name.
    memory_per_byte : float
        Memory of rows per byte of text.
    partition_bytes : int
        Memory of rows to aim at.
    """
    file, head = one.file, one.head
    text_bytes = _text_bytes(one, int(partition_bytes / memory_per_byte))
    rows_bytes = max(1, text_bytes - head.skip)
    n_parts = max(1, -(-int(rows_bytes * memory_per_byte) // partition_bytes))
    if n_parts == 1 and text_bytes <= MAX_TEXT_BYTES:
        yield CsvPiece(file, one.packing, head, recipe, int(rows_bytes * memory_per_byte), constants)
        return
    step = -(-rows_bytes // n_parts)
    for number in range(n_parts):
        start = head.skip + number * step
        span = Span(number, start, start + step, number == n_parts - 1)
        yield CsvPiece(file, one.packing, head, recipe, int(step * memory_per_byte), constants, span)


def _text_bytes(one: FoundText, enough: int) -> int:
    """Size of a file's text; estimated for compressed ones, with a margin where it is more than one partition."""
    file = one.file
    encoding = one.head.coding.encoding
    wide = int(encoding[4:6]) // 8 if encoding.startswith(("utf-16", "utf-32")) else 1
    if one.packing == "none":
        return (file.size_bytes - one.head.coding.mark_bytes) // wide
    if file.size_bytes * USUAL_RATIO * 4 < enough:
        return file.size_bytes * USUAL_RATIO
    found = _probed(one) // wide
    return found if found <= enough else int(found * MARGIN)


def _probed(one: FoundText) -> int:
    """Size of a compressed file's text, from what its beginning unpacks to and what its end says."""
    file = one.file
    with open_file(file) as opened, unpacking(file):
        if one.packing == "zip":
            return max(int(member.file_size) for member in zipfile.ZipFile(opened).infolist())
        stream = unpacked_stream(file, opened, one.packing)
        n_bytes = 0
        while n_bytes < PROBED_BYTES and (data := stream.read(PROBED_BYTES - n_bytes)):
            n_bytes += len(data)
        found: int = n_bytes * file.size_bytes // max(1, min(opened.tell(), file.size_bytes))
        if one.packing == "gzip":
            opened.seek(file.size_bytes - 4)
            found = max(found, int.from_bytes(opened.read(4), "little"))  # of its last member, modulo 4 GiB
        return found
