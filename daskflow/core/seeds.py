"""Seeds and identities as hashes of what they are for, never the state of a generator."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any


def digest(value: Any, length: int = 12) -> str:
    """Return a short hexadecimal hash of plain JSON values; the order of keys does not matter.

    Other values count by their text, without the place in memory that differs in every process.

    Examples
    --------
    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=_text)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def seed_of(seed: int, *unit: str | int) -> int:
    """Return the 31-bit seed of a unit of work: the same after any restart, on any worker.

    Examples
    --------
    >>> seed_of(7, "trial", 3) == seed_of(7, "trial", 3) != seed_of(7, "trial", 4)
    True
    """
    return int(digest([seed, *unit], 16), 16) % (2**31 - 1)


def _text(value: Any) -> str:
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))
