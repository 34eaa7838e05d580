"""Values of a queue's options: what may stand in a script; errors are sentences."""

from __future__ import annotations

import re
from typing import Any

from dask.utils import parse_bytes


def size_of(value: Any, *, least: int) -> str:
    """Return a size as a text; ValueError with a sentence for what is none, or too small."""
    text = str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    try:
        size = parse_bytes(text) if text and not re.fullmatch(r"-.*", text) else 0
    except ValueError:
        size = 0
    if size < least:
        raise ValueError(f"should be a size of at least {least // 2**20} MiB such as '4 GiB'")
    return text


def one_word(value: str | None) -> str | None:
    """Return a text that may stand in a directive; ValueError for blanks and what a shell would act on."""
    if value is not None and not re.fullmatch(r"[^\s\"'`$;&|<>\\]+", value):
        raise ValueError("should be one word")
    return value


def one_line(value: str | None) -> str | None:
    """Return a text that is one line; ValueError for any other."""
    if value is not None and (not value.strip() or re.search(r"[\n\r\0]", value)):
        raise ValueError("should be one line of text")
    return value
