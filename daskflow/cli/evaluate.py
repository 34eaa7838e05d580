"""``daskflow evaluate``: a model judged on files whose truth has become known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from daskflow.cli.verb import Verb, number, parsed, table


@click.command(cls=Verb)
@click.argument("model", metavar="RUN-OR-MODEL", type=click.Path(path_type=Path))
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("--metric", "metrics", multiple=True, help="A metric, such as roc_auc; default: by task. Repeatable.")
@click.option("--group", metavar="COLUMN", help="Rows of equal value belong together: intervals take it into account.")
@click.option("--weight", metavar="COLUMN", help="Sample weights.")
@click.option("--slice", "slices", multiple=True, metavar="COLUMN", help="Show errors by its groups. Repeatable.")
@click.option(
    "--replicates",
    type=click.IntRange(min=0),
    default=500,
    show_default=True,
    help="Resamples that intervals are taken from.",
)
@click.option("--kind", metavar="KIND", help="Kind of the files, such as csv; default: as their suffix says.")
@click.option("--set", "changes", multiple=True, metavar="NAME=VALUE", help="An option of that kind. Repeatable.")
@click.option("--join", "joined", multiple=True, metavar="NAME=PATH", help="Another file for a joined table.")
@click.option("--trust", multiple=True, metavar="TYPE", help="A type in the model that is not scikit-learn's own.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of words.")
def evaluate(
    model: Path,
    paths: tuple[str, ...],
    metrics: tuple[str, ...],
    group: str | None,
    weight: str | None,
    slices: tuple[str, ...],
    replicates: int,
    kind: str | None,
    changes: tuple[str, ...],
    joined: tuple[str, ...],
    trust: tuple[str, ...],
    as_json: bool,
) -> None:
    """Judge a model on files that hold its target: every metric with its 95 % interval.

    RUN-OR-MODEL is runs/NAME, runs/NAME/ID, or a model folder. The files are read as those of training were.
    """
    from daskflow.cli.predict import paths_by_name
    from daskflow.cli.progress import progress
    from daskflow.cli.running import print_json
    from daskflow.workflow.judging_files import judge_files

    with progress() as listener:
        found = judge_files(
            model,
            paths,
            metrics=metrics,
            weight=weight,
            group=group,
            slices=slices,
            kind=kind,
            options=parsed(changes),
            joined=paths_by_name(joined),
            replicates=replicates,
            trusted=trust,
            listener=listener,
        )
    if as_json:
        values = {name: {"value": s.value, "low": s.low, "high": s.high} for name, s in found.metrics.items()}
        print_json({"rows": found.n_rows, "metrics": values, "details": dict(found.details)})
        return
    click.echo(f"{found.n_rows:,} rows")
    click.echo(table([_row(name, score) for name, score in found.metrics.items()]))
    sliced = found.details.get("slices") or {}
    for column in sliced.get("columns", ()):
        click.echo(f"\n{sliced['metric']} by {column['column']}")
        rows = [{"group": str(e["group"]), "rows": f"{e['rows']:,}", **_cells(e)} for e in column["groups"]]
        click.echo(table(rows))
    for note in found.details.get("notes", ()):
        click.echo(note, err=True)


def _row(name: str, score: Any) -> dict[str, str]:
    """A metric's cells."""
    return {"metric": name, **_cells({"value": score.value, "low": score.low, "high": score.high})}


def _cells(score: Any) -> dict[str, str]:
    """A value and its interval."""
    return {"value": number(score["value"]), "95 % interval": f"{number(score['low'])} to {number(score['high'])}"}
