"""``daskflow compare``: what differs between runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daskflow.cli.verb import Verb, between, duration, number, shown, table

if TYPE_CHECKING:
    from daskflow.core.comparison import Change, ComparedRun
    from daskflow.workflow.comparing import Comparison

MAX_CHANGES = 40
"""Changed settings that are printed; ``--json`` has all."""

MAX_VALUE = 40
"""Characters of a value in a column."""


@click.command(cls=Verb)
@click.argument("paths", metavar="RUN RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--baseline", type=click.Path(path_type=Path), help="What others are compared with; default the first.")
@click.option("--metric", "metrics", multiple=True, help="Compare by this test metric; the first decides. Repeatable.")
@click.option("--replicates", type=click.IntRange(min=2), default=500, show_default=True, help="Resamples drawn.")
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Also write the page to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the text.")
def compare(
    paths: tuple[Path, ...],
    baseline: Path | None,
    metrics: tuple[str, ...],
    replicates: int,
    html: Path | None,
    as_json: bool,
) -> None:
    """Say what differs between runs: settings, data, versions, and scores with paired intervals.

    RUN is runs/NAME/ID, or runs/NAME for its latest. Where two runs have the same test rows their scores are compared
    row by row, on the same resamples; else it says why not. Exit code 0 whoever is better; 2 when runs cannot be
    compared: other targets, tasks or classes.
    """
    from daskflow.cli.running import print_json
    from daskflow.workflow import compare as compared
    from daskflow.workflow import open_run

    named = [open_run(path) for path in paths]
    if baseline is not None:
        first = open_run(baseline)
        named = [first, *(run for run in named if run.path != first.path)]
    if len(named) < 2:
        raise click.UsageError("Name two runs at least, such as runs/small runs/large; `daskflow runs` lists them.")
    found = compared(*named, metrics=metrics or None, replicates=replicates)
    if html is not None:
        found.write(html)
    if as_json:
        print_json(found.dump())
        return
    click.echo(text_of(found))
    if html is not None:
        click.echo(f"\nPage: {shown(html)}")


def text_of(found: Comparison) -> str:
    """Return a comparison as a page of text."""
    parts = ["\n".join(found.sentences)]
    parts += [_titled("Test", _test(found)), _titled("Validation", _validation(found.runs))]
    several = len(found.against) > 1
    parts += [f"{other.label}: {other.how}" if several else other.how for other in found.against if other.differences]
    labels = found.labels
    for title, changes in (
        ("Settings", found.settings),
        ("Rows of each part", found.split),
        ("Best candidates", found.parameters),
        ("Versions", found.versions),
    ):
        parts.append(_titled(title, _changes(changes, labels)))
    parts.append(_titled("Cost", _cost(found.runs)))
    parts += [f"Note: {note}" for note in found.notes]
    return _printable("\n\n".join(part for part in parts if part))


def _printable(text: str) -> str:
    """Show what would steer the terminal, or turn the direction of text, as a sign of its own."""
    return "".join(sign if sign.isprintable() or sign == "\n" else "\N{REPLACEMENT CHARACTER}" for sign in text)


def _titled(title: str, body: str) -> str:
    return f"{title}\n" + "\n".join(f"  {line}" for line in body.splitlines()) if body else ""


def _test(found: Comparison) -> str:
    """Test metrics side by side."""
    rows = []
    for name in found.metrics:
        for other in found.against:
            one = other.differences.get(name)
            if one is None:
                continue
            row = {"metric": name}
            if len(found.against) > 1:
                row["run"] = other.label
            row[found.baseline.label] = number(one.first.value) + between(one.first.low, one.first.high)
            row[other.label if len(found.against) == 1 else "value"] = number(one.second.value) + between(
                one.second.low, one.second.high
            )
            rows.append({**row, "difference": str(one), "": str(one.verdict)})
    return table(rows)


def _validation(runs: Sequence[ComparedRun]) -> str:
    """The best candidates' own scores."""
    rows = []
    for run in runs:
        search = run.record.search
        if search is not None:
            score = f"{search.metric} {number(search.best.score)}{between(search.best.low, search.best.high)}"
            candidates = sum(trial.score == trial.score for trial in search.trials)
            rows.append({"run": run.label, "best": score, "trial": search.best.id, "candidates": str(candidates)})
    return table(rows)


def _changes(changes: Sequence[Change], labels: Sequence[str]) -> str:
    """Words and their values, run by run."""
    rows = [
        {"": change.word} | {label: _value(value) for label, value in zip(labels, change.values, strict=True)}
        for change in changes[:MAX_CHANGES]
    ]
    rest = len(changes) - MAX_CHANGES
    return table(rows) + (f"\nand {rest} more; --json has all" if rest > 0 else "")


def _value(value: Any) -> str:
    """A value in a cell: one line, without what lets somebody in."""
    from daskflow.reports.words import without_credentials

    if value is None:
        return "-"
    text = number(value) if isinstance(value, float) else " ".join(str(value).split())
    text = without_credentials(text)
    return text if len(text) <= MAX_VALUE else f"{text[: MAX_VALUE - 1]}…"


def _cost(runs: Sequence[ComparedRun]) -> str:
    """Time, processor time and memory."""
    return table(
        [
            {
                "run": run.label,
                "time": duration(run.record.seconds),
                "processor": duration(run.record.cpu_seconds),
                "memory": f"{run.record.peak_memory_bytes / 2**20:,.0f} MiB",
            }
            for run in runs
        ]
    )
