"""``daskflow predict``: score files with a model."""

from __future__ import annotations

from pathlib import Path

import click

from daskflow.cli.verb import Verb, duration, parsed, shown


@click.command(cls=Verb)
@click.argument("model", metavar="RUN-OR-MODEL", type=click.Path(path_type=Path))
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The file to write: .parquet, .csv or .csv.gz.",
)
@click.option("--keep", multiple=True, metavar="COLUMN", help="A column to copy to the output. Repeatable.")
@click.option("--proba/--no-proba", default=True, show_default=True, help="Probabilities beside the labels.")
@click.option("--kind", metavar="KIND", help="Kind of the files, such as csv; default: as their suffix says.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="NAME=VALUE",
    help="An option of that kind, such as separator=';'; default: as in training. Repeatable.",
)
@click.option(
    "--join",
    "joined",
    multiple=True,
    metavar="NAME=PATH",
    help="Another file for a joined table, such as weather=new.csv; default: the one of training. Repeatable.",
)
@click.option(
    "--trust",
    multiple=True,
    metavar="TYPE",
    help="A type in the model that is not scikit-learn's own, such as package.Class; building it may run its code.",
)
@click.option("--on", metavar="KIND", help="A cluster that scores, such as local or slurm; default: this process.")
@click.option(
    "--on-set",
    "cluster",
    multiple=True,
    metavar="NAME=VALUE",
    help="An option of that cluster, such as workers=4 or memory='4 GiB'. Repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of words.")
def predict(
    model: Path,
    paths: tuple[str, ...],
    output: Path,
    keep: tuple[str, ...],
    proba: bool,
    kind: str | None,
    changes: tuple[str, ...],
    joined: tuple[str, ...],
    trust: tuple[str, ...],
    on: str | None,
    cluster: tuple[str, ...],
    as_json: bool,
) -> None:
    """Score files with a model, piece by piece.

    RUN-OR-MODEL is runs/NAME, runs/NAME/ID, or a model folder. The output has one row per row of the files, in their
    order: the kept columns, `prediction`, and `probability_LABEL` for each class. The target need not be in the files.

    With --on the pieces are read and scored by the workers of a cluster; the output is the same, and appears when it is
    complete.
    """
    from daskflow.cli.progress import progress
    from daskflow.cli.running import print_json
    from daskflow.workflow.scoring import score

    if cluster and on is None:
        raise click.UsageError("--on-set says something of the cluster that --on names: give both.")
    with progress() as listener:
        summary = score(
            model,
            paths,
            output,
            kind=kind,
            options=parsed(changes),
            keep=keep,
            joined=paths_by_name(joined),
            probabilities=proba,
            trusted=trust,
            cluster=None if on is None else {"kind": on, **parsed(cluster)},
            listener=listener,
        )
    if as_json:
        print_json(summary)
        return
    click.echo(f"{summary['rows']:,} rows scored in {duration(summary['seconds'])}: {shown(output)}")
    if summary["rejected"]:
        click.echo(f"  {summary['rejected']:,} rows were rejected and are not in it", err=True)
    for name, count in summary["unmatched"].items():
        if count:
            click.echo(f"  join {name}: {count:,} rows without a match", err=True)
    for column, count in summary["unseen"].items():
        click.echo(f"  {column}: {count:,} rows with a level that the model has not seen in training", err=True)


def paths_by_name(given: tuple[str, ...]) -> dict[str, str]:
    """``NAME=PATH`` texts as paths by name."""
    found = {}
    for text in given:
        name, sign, path = text.partition("=")
        if not (name and sign and path):
            raise click.BadParameter(f"'{text}' should be NAME=PATH, such as weather=new.csv.", param_hint="--join")
        found[name] = path
    return found
