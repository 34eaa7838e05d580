"""Findings: what is remarkable about a profiled table, each with what to do about it; plain decisions over numbers."""

from __future__ import annotations

from collections.abc import Iterator

from daskflow.data.profile_drift import NOTABLE, STRONG
from daskflow.data.profile_findings_columns import of_column
from daskflow.data.profile_words import dropped, listed, plural, share_of, shown_of
from daskflow.data.schema import Task
from daskflow.data.table_profile import Finding, Severity, TableProfile

REPEATS_WARNING = 0.1
CORRELATED, LEAST_ROWS, ALL_PAIRS = 0.98, 20, 10_000
NEARLY = 0.999
"""Share of rows with one value from which a column hardly varies."""

UNEVEN, SMALL_ROWS = 8.0, 10_000
MANY_FILES, SMALL_BYTES = 100, 1 << 20
RARE_SHARE, RARE_ROWS = 0.01, 10
SHOWN = 5


def findings_of(profile: TableProfile) -> tuple[Finding, ...]:
    """Return everything remarkable, the gravest first; within that the table's, then the columns' in their order."""
    found = [*_of_table(profile), *(finding for column in profile.columns for finding in of_column(column, profile))]
    order = list(Severity)
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))


def _of_table(profile: TableProfile) -> Iterator[Finding]:
    yield from _of_target(profile)
    yield from _of_rows(profile)
    yield from _of_partitions(profile)
    for names in profile.equal_columns:
        yield Finding(
            Severity.WARNING,
            names[0],
            f"{listed(names)} have the same value in every row.",
            f"Keep one: {dropped(names[1:])}.",
        )
    yield from _of_pairs(profile)
    yield from _of_steady(profile)
    yield from _of_drift(profile)


def _of_pairs(profile: TableProfile) -> Iterator[Finding]:
    equal = {frozenset((a, b)) for names in profile.equal_columns for a in names for b in names}
    target = profile.target.name if profile.target else None
    pairs = [
        pair
        for pair in profile.pairs(ALL_PAIRS)
        if abs(pair.value) >= CORRELATED
        and pair.rows >= LEAST_ROWS
        and frozenset((pair.left, pair.right)) not in equal
        and target not in (pair.left, pair.right)
    ]
    if not pairs:
        return
    shown = "; ".join(f"{shown_of(pair.left)} and {shown_of(pair.right)} by {pair.value:.3f}" for pair in pairs[:SHOWN])
    yield Finding(
        Severity.NOTE,
        pairs[0].left if len(pairs) == 1 else None,
        f"{plural(len(pairs), 'pair of columns says', 'pairs of columns say')} almost the same; correlated are "
        f"{shown}{'; ...' if len(pairs) > SHOWN else ''}.",
        "Linear models are steadier with one of each; trees don't mind.",
    )


def _of_steady(profile: TableProfile) -> Iterator[Finding]:
    """Columns of which all but a few rows have one value."""
    steady = [
        (column, column.top[0])
        for column in profile.columns
        if column.top
        and not column.is_constant
        and column.role != "target"
        and column.top[0][1] >= NEARLY * column.rows
    ]
    if not steady:
        return
    shown = ", ".join(
        f"{shown_of(column.name)} is {shown_of(value)} in all but {column.rows - count:,}"
        for column, (value, count) in steady[:SHOWN]
    )
    yield Finding(
        Severity.NOTE,
        steady[0][0].name if len(steady) == 1 else None,
        f"{plural(len(steady), 'column hardly varies', 'columns hardly vary')}: {shown}"
        f"{', ...' if len(steady) > SHOWN else ''} of {profile.rows:,} rows.",
        "They seldom help, unless the rare rows are those you look for.",
    )


def _of_drift(profile: TableProfile) -> Iterator[Finding]:
    """Columns that the first files hold otherwise than the last."""
    found = [
        (column.drift.psi, column)
        for column in profile.columns
        if column.drift and column.drift.psi >= NOTABLE and not column.rises
    ]
    if not found:
        return
    found.sort(key=lambda pair: -pair[0])
    shown = ", ".join(f"{shown_of(column.name)} {psi:.2f}" for psi, column in found[:SHOWN])
    yield Finding(
        Severity.WARNING if found[0][0] >= STRONG else Severity.NOTE,
        found[0][1].name if len(found) == 1 else None,
        f"{plural(len(found), 'column differs', 'columns differ')} between the first and the last partitions; "
        f"population stability index of {shown}{', ...' if len(found) > SHOWN else ''}.",
        "The files are sorted, or the world has changed. Learn and test in the order of time if there is one "
        "(split.kind = 'time'); don't trust what was learned from the first files alone.",
    )


def _of_target(profile: TableProfile) -> Iterator[Finding]:
    target = profile.target
    if target is None:
        return
    total = sum(target.counts) + target.others
    if target.missing:
        yield Finding(
            Severity.PROBLEM,
            target.name,
            f"The target has no value in {plural(target.missing, 'row')} ({share_of(target.missing, profile.rows)}).",
            "A run refuses that: drop those rows from the files, or say what they are with derive.",
        )
    if target.task == Task.REGRESSION:
        column = profile[target.name]
        if column.infinite:
            yield Finding(
                Severity.PROBLEM,
                target.name,
                f"The target is infinite in {plural(column.infinite, 'row')}.",
                "Drop those rows, or clip the values with derive.",
            )
        return
    if len(target.classes) < 2:
        yield Finding(
            Severity.PROBLEM,
            target.name,
            f"The target has one class only: {shown_of(target.classes[0]) if target.classes else 'none'}.",
            "There is nothing to tell apart: check the files.",
        )
        return
    rare = [(label, count) for label, count in zip(target.classes, target.counts, strict=True) if count < RARE_ROWS]
    if rare:
        shown = ", ".join(f"{shown_of(label)} {count:,}" for label, count in rare[:SHOWN])
        yield Finding(
            Severity.WARNING,
            target.name,
            f"{plural(len(rare), 'class has', 'classes have')} fewer than {RARE_ROWS} rows: {shown}"
            f"{', ...' if len(rare) > SHOWN else ''}.",
            "Folds and the test part may lack them: put them together with derive, or collect more rows.",
        )
    least = min(range(len(target.counts)), key=target.counts.__getitem__)
    if RARE_ROWS <= target.counts[least] < RARE_SHARE * total:
        yield Finding(
            Severity.NOTE,
            target.name,
            f"The rarest class, {shown_of(target.classes[least])}, stands in {plural(target.counts[least], 'row')} "
            f"({share_of(target.counts[least], total)}).",
            "Use split.kind = 'stratified', and average_precision or f1 rather than accuracy.",
        )
    if target.single_class:
        name, label = target.single_class[0]
        n_partitions = sum(partition.rows > 0 for partition in profile.partitions)
        yield Finding(
            Severity.WARNING,
            target.name,
            f"{len(target.single_class):,} of {plural(n_partitions, 'partition')} hold one class only "
            f"({name}: {shown_of(label)}).",
            "The files are sorted by class: daskflow trains in shuffled order; whatever learns file by file does not.",
        )


def _of_rows(profile: TableProfile) -> Iterator[Finding]:
    if profile.rejects:
        yield Finding(
            Severity.WARNING,
            None,
            f"{plural(profile.rejects, 'row')} did not fit the schema and were refused.",
            "Mend them, or name the types under [data].",
        )
    if not profile.duplicates:
        return
    is_many = profile.duplicates >= REPEATS_WARNING * profile.rows
    yield Finding(
        Severity.WARNING if is_many else Severity.NOTE,
        None,
        f"{profile.duplicates:,} of {profile.rows:,} rows ({share_of(profile.duplicates, profile.rows)}) repeat "
        f"another row; the most frequent stands {profile.most_copies:,} times.",
        "A split by position puts copies on both sides, and the score is too good. daskflow keeps equal rows on one "
        "side; drop them if they were written twice.",
    )


def _of_partitions(profile: TableProfile) -> Iterator[Finding]:
    if profile.files >= MANY_FILES and profile.source_bytes < SMALL_BYTES * profile.files:
        yield Finding(
            Severity.NOTE,
            None,
            f"The table stands in {profile.files:,} files of {profile.source_bytes / profile.files / 1024:,.0f} KiB on "
            "average.",
            "Small files cost more to open than to read: write larger ones, of about 100 MB.",
        )
    rows = sorted(partition.rows for partition in profile.partitions)
    empty = sum(count == 0 for count in rows)
    if empty and profile.sample is None:
        yield Finding(
            Severity.NOTE, None, f"{empty:,} of {plural(len(rows), 'partition')} have no rows.", "Leave them out."
        )
    if len(rows) < 2 or profile.sample is not None:
        return
    middle = rows[len(rows) // 2]
    if middle and rows[-1] > UNEVEN * middle and rows[-1] > SMALL_ROWS:
        yield Finding(
            Severity.NOTE,
            None,
            f"Partitions are uneven: the largest has {rows[-1]:,} rows, the middle one {middle:,}.",
            "The largest decides how long a pass takes and what memory it needs: cut it.",
        )
