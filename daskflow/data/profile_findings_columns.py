"""Findings about single columns, each with what to do about it; plain decisions over numbers."""

from __future__ import annotations

from collections.abc import Iterator

from daskflow.data.profile_words import derived, dropped, plural, quoted, share_of, shown_of
from daskflow.data.schema import Task
from daskflow.data.table_profile import ColumnSummary, Finding, Severity, TableProfile

MISSING_NOTE, MISSING_WARNING = 0.05, 0.5
"""Shares of missing values that are worth a note, and a warning."""

ID_ROWS, ID_SHARE = 20, 0.99
"""A column of at least so many rows in which so many are different looks like an identifier."""

TEXT_SHARE = 0.5
"""Share of different texts above which a column is free text, and no category."""

LEAK, STRONG_POWER = 0.98, 0.8
"""Strength above which one column all but gives the target away, and above which it is worth a look."""

ALIKE_TEXT = 0.95
"""Share of texts that look like numbers or dates from which the column should be read as such."""

FAR = 1.0
"""Distance from the other quantiles, in their own spread, of a number that may stand for missing."""

ENDS = frozenset(end for bits in (15, 16, 31, 32, 63) for end in (2**bits - 1, 2**bits))
"""Where integer types end."""

WORDS_FOR_MISSING = frozenset(
    ("?", "-", "--", ".", "n/a", "na", "nan", "null", "none", "nil", "missing", "unknown", "#n/a", "(null)", "(blank)")
)
LONG_GAP = 10.0
"""How many times longer than usual a stretch without a day must be."""


def of_column(column: ColumnSummary, profile: TableProfile) -> Iterator[Finding]:
    """Yield what is remarkable about one column."""
    name = shown_of(column.name)
    if not column.values and not column.infinite:
        yield Finding(
            Severity.WARNING,
            column.name,
            f"{name} has no value in any row.",
            _drop(column, "Leave it out"),
        )
        return
    if column.rows < 2:
        return
    if column.is_constant:
        value = shown_of(column.top[0][0]) if column.top else "infinite"
        if column.role != "target":
            yield Finding(
                Severity.WARNING,
                column.name,
                f"{name} is {value} in every row: it says nothing.",
                _drop(column, "Leave it out"),
            )
        return
    yield from _of_power(column, profile)
    yield from _of_missing(column, profile)
    yield from _of_numbers(column)
    yield from _of_texts(column)
    yield from _of_variation(column, profile)
    yield from _of_dates(column)


def _of_power(column: ColumnSummary, profile: TableProfile) -> Iterator[Finding]:
    name = shown_of(column.name)
    power = column.power
    if power is None or profile.target is None or power.strength < STRONG_POWER:
        return
    target = profile.target
    if power.auc is not None and abs(2 * power.auc - 1) >= power.share:
        area = max(power.auc, 1 - power.auc)
        how = f"ranks the rows by {shown_of(target.name)} with an area under the ROC curve of {area:.4f}"
    elif target.task == Task.REGRESSION:
        how = f"explains {100 * power.share:.2f} % of the variance of {shown_of(target.name)}"
    else:
        how = f"removes {100 * power.share:.2f} % of the uncertainty about {shown_of(target.name)}"
    if power.strength >= LEAK:
        yield Finding(
            Severity.PROBLEM,
            column.name,
            f"{name} alone {how}: a suspected leak.",
            f"Is it known before {shown_of(target.name)} is? If not, or if it was made from it, leave it out: "
            f"{dropped([column.name])}.",
        )
    else:
        yield Finding(
            Severity.WARNING,
            column.name,
            f"{name} alone {how}.",
            f"Make sure that it is known at the time of the prediction; otherwise {dropped([column.name])}.",
        )


def _of_missing(column: ColumnSummary, profile: TableProfile) -> Iterator[Finding]:
    name = shown_of(column.name)
    if column.infinite and column.role != "target":
        yield Finding(
            Severity.PROBLEM,
            column.name,
            f"{name} is infinite in {plural(column.infinite, 'row')} ({share_of(column.infinite, column.rows)}).",
            "Clip it, or make it missing with derive: most models refuse infinities.",
        )
    if not column.missing or column.role == "target":
        return
    gaps = [(missing, rows) for missing, rows in zip(column.missing_by_stripe, profile.stripes, strict=True) if rows]
    whole = sum(missing == rows for missing, rows in gaps)
    if whole and any(missing < rows / 2 for missing, rows in gaps):
        yield Finding(
            Severity.WARNING,
            column.name,
            f"{name} is missing in all rows of {whole} of {len(gaps)} stretches of the files, and mostly "
            "there in others.",
            "Some files lack the column or write it differently: look at them before it is imputed.",
        )
    elif column.missing_share >= MISSING_NOTE:
        severity = Severity.WARNING if column.missing_share >= MISSING_WARNING else Severity.NOTE
        yield Finding(
            severity,
            column.name,
            f"{name} has no value in {plural(column.missing, 'row')} ({share_of(column.missing, column.rows)}).",
            "That it is missing may say something itself: impute with an indicator, or leave it out.",
        )


def _of_numbers(column: ColumnSummary) -> Iterator[Finding]:
    """Numbers that stand for missing: of nines, minus one, the end of an integer type; far from all others."""
    name = shown_of(column.name)
    if column.kind != "numeric" or not column.quantiles:
        return
    for value, count in column.top:
        others = [q for q in column.quantiles.values() if q != value]
        if (
            value not in (column.min, column.max)
            or not _is_sentinel(value)
            or not others
            or column.distinct < 3
            or count < 2
        ):
            continue
        distance = min(others) - value if value < min(others) else value - max(others)
        is_alone = value == -1 and column.negatives == count
        if (is_alone or distance > FAR * (max(others) - min(others))) and distance > 0:
            yield Finding(
                Severity.WARNING,
                column.name,
                f"{name} is {shown_of(value)} in {plural(count, 'row')} ({share_of(count, column.values)}), apart "
                "from all its other values: it may stand for missing.",
                f"If so, say it: {derived(column.name, f'COLUMN.where(COLUMN != {value!r})')}.",
            )


def _is_sentinel(value: float) -> bool:
    """Whether a number is of nines, minus one, or the end of an integer type.

    Examples
    --------
    >>> [value for value in (-1, 0, 9, 99, -999.0, 255, 2147483647) if _is_sentinel(value)]
    [-1, 99, -999.0, 2147483647]
    """
    if value == -1 or abs(value) in ENDS:
        return True
    return abs(value) >= 99 and float(value).is_integer() and set(str(abs(int(value)))) == {"9"}


def _of_texts(column: ColumnSummary) -> Iterator[Finding]:
    name = shown_of(column.name)
    lengths = column.lengths
    if lengths is None:
        return
    for word, count in column.top:
        if isinstance(word, str) and word.strip().casefold() in WORDS_FOR_MISSING:
            yield Finding(
                Severity.WARNING,
                column.name,
                f"{name} has the level {shown_of(word)} in {plural(count, 'row')} "
                f"({share_of(count, column.rows)}), which looks like a word for missing.",
                f"Say na_values = [{quoted(word.strip())}] under [data], if that is what it means.",
            )
    if lengths.blank:
        yield Finding(
            Severity.NOTE,
            column.name,
            f"{name} is blank (not missing) in {plural(lengths.blank, 'row')} "
            f"({share_of(lengths.blank, column.rows)}).",
            "Make blanks missing, or let them be a level of their own.",
        )
    if lengths.padded:
        yield Finding(
            Severity.WARNING,
            column.name,
            f"{name} begins or ends with blanks in {plural(lengths.padded, 'row')} "
            f"({share_of(lengths.padded, column.rows)}).",
            f"Trim it: {derived(column.name, 'COLUMN.str.strip()')}; or ' a' and 'a' are two levels.",
        )
    if column.alike:
        shown = "; ".join(" = ".join(shown_of(level) for level in group[:3]) for group in column.alike[:3])
        yield Finding(
            Severity.WARNING,
            column.name,
            f"{name} has {plural(len(column.alike), 'level')} in several spellings: {shown}"
            f"{'; ...' if len(column.alike) > 3 else ''}.",
            f"Make them one: {derived(column.name, _folding(column))}.",
        )
    for what, count, remedy in (
        (
            "numbers",
            lengths.numbers,
            "Read it as numbers (dtypes, decimal and thousands under [data]), unless it is a code",
        ),
        ("dates", lengths.dates, "Read it as dates (date_formats under [data])"),
    ):
        if count >= ALIKE_TEXT * column.values and count < column.values:
            yield Finding(
                Severity.WARNING,
                column.name,
                f"{name} is text, but {share_of(count, column.values)} of its values look like {what}.",
                f"{remedy}; the {column.values - count:,} others keep it from being so.",
            )
        elif count == column.values:
            yield Finding(
                Severity.NOTE,
                column.name,
                f"{name} is text, and all its values look like {what}.",
                f"{remedy}.",
            )


def _folding(column: ColumnSummary) -> str:
    """An expression that makes levels one that are alike."""
    has_ends = any(text.strip() != text.strip(" .,;:") for group in column.alike for text in group)
    ends = ".str.rstrip('.,;: ')" if has_ends else ""
    return f"COLUMN.str.strip(){ends}.str.casefold()"


def _of_variation(column: ColumnSummary, profile: TableProfile) -> Iterator[Finding]:
    name = shown_of(column.name)
    is_whole = column.kind == "categorical" or "int" in column.type
    share = column.distinct / column.values if column.values else 0.0
    if column.role == "target":
        return
    if is_whole and column.values >= ID_ROWS and share >= ID_SHARE:
        every = "every row" if column.is_exact and column.distinct == column.values else "nearly every row"
        more = ", rising from partition to partition" if column.rises else ""
        yield Finding(
            Severity.WARNING,
            column.name,
            f"{name} is different in {every}{more}: it looks like an identifier.",
            f"A model learns it by heart: {dropped([column.name])}; or key = [{quoted(column.name)}].",
        )
    elif column.kind == "categorical" and column.values >= ID_ROWS and share > TEXT_SHARE:
        yield Finding(
            Severity.NOTE,
            column.name,
            f"{name} has {column.distinct:,} different texts in {plural(column.values, 'row')}: free text, or a name.",
            "One-hot columns of it would be as many: leave it out, or hash it.",
        )
    elif is_whole and column.rises and column.distinct > len(profile.partitions):
        yield Finding(
            Severity.NOTE,
            column.name,
            f"{name} rises from partition to partition: it numbers the rows, the files or the time.",
            "A random split learns what belongs to which time: think of split.kind = 'time' or 'group'.",
        )


def _of_dates(column: ColumnSummary) -> Iterator[Finding]:
    name = shown_of(column.name)
    times = column.times
    if times is None:
        return
    if column.rises:
        yield Finding(
            Severity.NOTE,
            column.name,
            f"The partitions are in the order of {name}.",
            f"If the model is to predict what comes later: time = {quoted(column.name)} and split.kind = 'time'.",
        )
    if times.gap and times.days and times.missing_days is not None:
        usual = max(1.0, times.missing_days / times.days)
        if times.gap[2] > LONG_GAP * usual:
            yield Finding(
                Severity.NOTE,
                column.name,
                f"{name} has no row in the {times.gap[2]:,} days between {times.gap[0]} and {times.gap[1]}.",
                "A file may be missing, or a wrong date stands apart from the others.",
            )


def _drop(column: ColumnSummary, words: str) -> str:
    return f"{words}: {dropped([column.name])}."
