"""How cells stand in a CSV text: separator, quote, escape, comment, and the marks within numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dialect:
    """How cells are written, by the words of the ``csv`` source; see ``Csv``."""

    separator: str = ","
    header: bool = True
    quote: str | None = '"'
    escape: str | None = None
    double_quote: bool = True
    decimal: str = "."
    thousands: str | None = None
    currency: str = ""
    comment: str | None = None
    skip_rows: int = 0
    skip_footer: int = 0
    skip_initial_space: bool = False
