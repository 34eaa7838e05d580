"""The encoding of a CSV file: by its byte order mark, or as said; texts are worked on in a code that keeps ASCII."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from functools import lru_cache

from daskflow.core.errors import DataError

MARKS = {
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
"""Byte order marks; the longer ones first, for one begins with another."""

USUAL = "'utf-8', 'latin-1', 'cp1252' or 'utf-16-le'"

LOOKED_AT_BYTES = 4096


@lru_cache(maxsize=64)
def is_single_byte(encoding: str) -> bool:
    """Whether every byte is one character of its own, and ASCII is ASCII: such a text can be cut anywhere.

    Examples
    --------
    >>> is_single_byte("cp1252"), is_single_byte("utf-16"), is_single_byte("shift_jis"), is_single_byte("cp037")
    (True, False, False, False)
    """
    ascii_bytes = bytes(range(128))
    try:
        if ascii_bytes.decode(encoding) != ascii_bytes.decode("ascii"):
            return False
    except UnicodeError:
        return False
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    return all(len(decoder.decode(bytes([byte]))) == 1 for byte in range(256))


@lru_cache(maxsize=64)
def is_utf8(encoding: str) -> bool:
    """Whether an encoding is UTF-8, or a part of it."""
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig", "ascii")


@dataclass(frozen=True, slots=True)
class Coding:
    """How one file's characters are written.

    Attributes
    ----------
    encoding : str
        Python's name of it.
    mark_bytes : int
        Length of the byte order mark before the text.
    """

    encoding: str = "utf-8"
    mark_bytes: int = 0

    @property
    def keeps_ascii(self) -> bool:
        """Whether quotes, separators and line ends are the bytes they are in ASCII, and nothing else is."""
        return is_utf8(self.encoding) or is_single_byte(self.encoding)

    @property
    def charset(self) -> str:
        """The encoding that the text is worked on: the file's own if it keeps ASCII, else UTF-8."""
        return self.encoding if self.keeps_ascii and not is_utf8(self.encoding) else "utf-8"


def coding_of(data: bytes, encoding: str | None, name: str) -> Coding:
    """Find a file's encoding from its beginning.

    Parameters
    ----------
    data : bytes
        The beginning, unpacked.
    encoding : str or None
        As the user said; None for UTF-8 unless a byte order mark says otherwise.
    name : str
        The file's, for messages.

    Raises
    ------
    DataError
        For a mark that contradicts the user, and for UTF-16 that nobody has named.
    """
    mark, marked = next(((mark, word) for mark, word in MARKS.items() if data.startswith(mark)), (b"", None))
    if encoding is None:
        if marked is None and (seen := _wide(data)):
            raise DataError(
                f"{name}, line 1: every other byte is zero, as in {seen} without a byte order mark. "
                f"Set encoding = '{seen}' under [data]."
            )
        return Coding(marked or "utf-8", len(mark))
    if is_utf8(encoding):
        if marked not in (None, "utf-8"):
            raise DataError(f"{name} begins with the mark of {marked}, not of utf-8: set encoding = '{marked}'.")
        return Coding("utf-8", len(mark))
    said = codecs.lookup(encoding).name
    if said in ("utf-16", "utf-32"):
        width = said[-2:]
        if marked is not None and marked.startswith(f"utf-{width}"):
            return Coding(marked, len(mark))
        if (seen := _wide(data)) is None or width == "32":
            raise DataError(
                f"{name} has no byte order mark, so {said} cannot be told from its sisters: set encoding = "
                f"'{said}-le' or '{said}-be'; or leave encoding out if it is {USUAL.split(',')[0]}."
            )
        return Coding(seen)
    if marked is not None and marked != said and (marked == "utf-8" or said.startswith("utf")):
        raise DataError(f"{name} begins with the mark of {marked}, not of {said}: set encoding = '{marked}'.")
    return Coding(said, len(mark) if marked == said else 0)


def _wide(data: bytes) -> str | None:
    """UTF-16 by its zeros: half of the bytes of a table are those of ASCII, whose other half is zero."""
    looked = data[:LOOKED_AT_BYTES]
    if b"\0" not in looked or len(looked) < 4:
        return None
    even, odd = looked[::2].count(0), looked[1::2].count(0)
    if max(even, odd) <= len(looked) // 4 or min(even, odd) > len(looked) // 32:
        return None
    return "utf-16-be" if even > odd else "utf-16-le"


def as_text(data: bytes, coding: Coding, name: str, *, is_whole: bool = True) -> bytes:
    """Return a file's content as text in its coding's charset, without byte order mark.

    Bytes that are no text in a charset that keeps ASCII are left as they are, so that their rows can be named one by
    one.

    Raises
    ------
    DataError
        With the place of the first byte that another encoding does not have.
    """
    if coding.keeps_ascii:
        return data[coding.mark_bytes :] if coding.mark_bytes else data
    try:
        decoder = codecs.getincrementaldecoder(coding.encoding)("strict")
        return decoder.decode(data[coding.mark_bytes :], final=is_whole).encode()
    except UnicodeError as error:
        raise undecodable(name, coding, getattr(error, "start", 0) + coding.mark_bytes, error) from error


def undecodable(name: str, coding: Coding, place: int, error: UnicodeError) -> DataError:
    """Return the error for bytes that an encoding does not have."""
    return DataError(
        f"{name}, byte {place}: what stands there is not {coding.encoding} ({getattr(error, 'reason', error)}). "
        f"Set encoding to what the file is written in, such as {USUAL}."
    )


def as_utf8(text: bytes, charset: str) -> bytes:
    """Return a text in UTF-8; bytes that are no characters of the charset stay single bytes, which are no UTF-8."""
    if charset == "utf-8" or text.isascii():
        return text
    return text.decode(charset, "surrogateescape").encode("utf-8", "surrogateescape")
