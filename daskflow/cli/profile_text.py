"""A profile as text: the findings, and a line for every column."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from daskflow.cli.verb import number
from daskflow.data.table_profile import ColumnSummary, Severity, TableProfile

COLOURS = {Severity.PROBLEM: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}
MOST_FINDINGS, MOST_COLUMNS = 40, 100
BLOCKS = " ▁▂▃▄▅▆▇█"
BARS = 16


def text_of(profile: TableProfile, console: Console | None = None) -> None:
    """Print a profile on stdout; as wide as the terminal, or as it needs to be where there is none."""
    console = console or Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, 140)
    sample = profile.sample
    taken = f" (a sample: {sample.partitions:,} of {sample.all_partitions:,} partitions)" if sample else ""
    console.print(
        Text(
            f"{profile.name}: {profile.rows:,} rows{taken}, {len(profile.columns):,} columns, "
            f"{len(profile.partitions):,} partitions",
            style="bold",
        )
    )
    _findings(profile, console)
    console.print(_columns(profile), soft_wrap=False)
    if len(profile.columns) > MOST_COLUMNS:
        console.print(f"The first {MOST_COLUMNS} of {len(profile.columns):,} columns; the page has all.")


def _findings(profile: TableProfile, console: Console) -> None:
    for finding in profile.findings[:MOST_FINDINGS]:
        line = Text.assemble(
            (f"{finding.severity:<8} ", COLOURS[finding.severity]),
            _one_line(finding.sentence),
            (f"  {_one_line(finding.remedy)}", "dim"),
        )
        console.print(line, soft_wrap=not console.is_terminal)
    if len(profile.findings) > MOST_FINDINGS:
        console.print(f"... and {len(profile.findings) - MOST_FINDINGS:,} more findings on the page.")
    if profile.findings:
        console.print()


def _columns(profile: TableProfile) -> Table:
    """A line for every column."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    has_power = any(column.power for column in profile.columns)
    table.add_column("column", no_wrap=True, max_width=32)
    table.add_column("type", no_wrap=True)
    table.add_column("missing", justify="right", no_wrap=True, min_width=8)
    table.add_column("distinct", justify="right", no_wrap=True, min_width=8)
    if has_power:
        table.add_column("strength", justify="right", no_wrap=True, min_width=8)
    table.add_column("distribution", no_wrap=True, min_width=BARS)
    table.add_column("values", no_wrap=True, overflow="ellipsis")
    for column in profile.columns[:MOST_COLUMNS]:
        cells = [
            Text(_one_line(column.name), style="bold" if column.role == "target" else ""),
            Text(column.type),
            Text(_share(column.missing_share)),
            Text(f"{'' if column.is_exact else '~'}{column.distinct:,}"),
            *([Text(f"{column.power.strength:.3f}" if column.power else "")] if has_power else []),
            Text(_picture(column), style="cyan"),
            Text(_values(column)),
        ]
        table.add_row(*cells)
    return table


def _share(share: float) -> str:
    """A share in hundredths; nothing of nothing.

    Examples
    --------
    >>> _share(0.0), _share(0.00001), _share(0.256)
    ('', '<0.1 %', '25.6 %')
    """
    if not share:
        return ""
    return "<0.1 %" if share < 0.001 else f"{100 * share:.1f} %"


def _picture(column: ColumnSummary) -> str:
    """The histogram in one line."""
    if column.histogram is None or len(column.histogram.counts) < 2:
        return ""
    counts = column.histogram.counts
    step = max(1, -(-len(counts) // BARS))
    bars = [sum(counts[start : start + step]) for start in range(0, len(counts), step)]
    most = max(bars) or 1
    return "".join(BLOCKS[0 if not bar else max(1, round(8 * bar / most))] for bar in bars)


def _values(column: ColumnSummary) -> str:
    """What its values are: range and mean, or the most frequent levels."""
    if column.kind == "numeric" and column.mean is not None:
        return f"{_end(column.min)} to {_end(column.max)}, mean {number(column.mean)}, median {_median(column)}"
    if column.kind == "datetime" and column.min is not None:
        return f"{column.min} to {column.max}"
    shown = [f"{_cut(value)} {_share(count / column.rows)}" for value, count in column.top[:4]]
    return ", ".join(shown) + (", ..." if column.distinct > 4 and shown else "")


def _median(column: ColumnSummary) -> str:
    return number(column.quantiles.get(0.5))


def _end(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) and abs(value) < 10**15 else number(float(value))


def _cut(value: object) -> str:
    text = _one_line(str(value)) or "(empty)"
    return text if len(text) <= 24 else f"{text[:23]}…"


def _one_line(text: str) -> str:
    """Text without what would move the cursor."""
    return "".join(character if character.isprintable() else " " for character in text)
