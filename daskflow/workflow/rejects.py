"""The refused rows as a CSV file in which nothing is a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from daskflow.data.table import Reject

FORMULA_MARKS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet takes for the beginning of a formula, or drops to find one behind it."""


def rejects_csv(rejects: Iterable[Reject]) -> str:
    r"""Return file, line, reason and text of refused rows, with a header.

    A file's name or text that begins like a formula gets an apostrophe before it: whoever opens the file in a
    spreadsheet sees what stood in the data, and nothing of it is evaluated.

    Examples
    --------
    >>> print(rejects_csv([Reject("a.csv", 3, "1 cells where there are 2 columns", "=1+2")]).splitlines()[1])
    a.csv,3,1 cells where there are 2 columns,'=1+2
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["file", "line", "reason", "text"])
    writer.writerows((_inert(r.file), r.line, _inert(r.reason), _inert(r.text)) for r in rejects)
    return text.getvalue()


def _inert(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA_MARKS) else text
