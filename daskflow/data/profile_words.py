"""Words of findings: values, shares and counts as they stand in a sentence."""

from __future__ import annotations


def listed(names: tuple[str, ...]) -> str:
    """Return names in a sentence.

    Examples
    --------
    >>> listed(("a", "b", "c"))
    "'a', 'b' and 'c'"
    """
    quoted = [f"'{name}'" for name in names]
    return f"{', '.join(quoted[:-1])} and {quoted[-1]}"


def shown_of(value: object) -> str:
    """Return a value in a sentence: one line, not too long.

    Examples
    --------
    >>> shown_of("x" * 50), shown_of(12.5)
    ("'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…'", '12.5')
    """
    if not isinstance(value, str):
        return f"{value:.6g}" if isinstance(value, float) else str(value)
    line = " ".join(value.split()) if value.strip() else value
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
