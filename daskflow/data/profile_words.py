"""Words of findings: values, shares and counts as they stand in a sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable


def listed(names: tuple[str, ...]) -> str:
    """Return names in a sentence.

    Examples
    --------
    >>> listed(("a", "b", "c"))
    "'a', 'b' and 'c'"
    """
    shown = [shown_of(name) for name in names]
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def shown_of(value: object) -> str:
    """Return a value in a sentence: one line, not too long.

    Examples
    --------
    >>> shown_of("x" * 50), shown_of(12.5)
    ("'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…'", '12.5')
    """
    if not isinstance(value, str):
        return f"{value:.6g}" if isinstance(value, float) else str(value)
    line = "".join(character if character.isprintable() else " " for character in value)
    return f"'{line if len(line) <= 40 else line[:39] + '…'}'"


def share_of(part: float, whole: float) -> str:
    """Return a part in hundredths, and never all or nothing for less.

    Examples
    --------
    >>> share_of(1, 3), share_of(1, 1_000_000), share_of(999_999, 1_000_000)
    ('33.3 %', '<0.1 %', '>99.9 %')
    """
    share = 100 * part / whole if whole else 0.0
    if 0 < share < 0.1:
        return "<0.1 %"
    return ">99.9 %" if 99.9 < share < 100 else f"{share:.1f} %"


def plural(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def dropped(names: Iterable[str]) -> str:
    """Return the option of a source that leaves columns out, as TOML.

    Examples
    --------
    >>> print(dropped(["a", "it's"]))
    drop = ['a', "it's"]
    """
    return f"drop = [{', '.join(quoted(name) for name in names)}]"


def derived(name: str, expression: str) -> str:
    """Return the option of a source that replaces a column, as TOML; COLUMN in the expression is the column.

    Examples
    --------
    >>> derived("a b", "COLUMN.str.strip()")
    'derive = { "a b" = "`a b`.str.strip()" }'
    """
    word = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)
    return f"derive = {{ {word} = {json.dumps(expression.replace('COLUMN', f'`{name}`'), ensure_ascii=False)} }}"


def quoted(text: str) -> str:
    """Return a text as TOML."""
    is_plain = "'" not in text and text.isprintable()
    return f"'{text}'" if is_plain else json.dumps(text, ensure_ascii=False)
