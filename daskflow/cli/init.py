"""``daskflow init``: a workflow file for a table."""

from __future__ import annotations

from pathlib import Path

import click

from daskflow.cli.verb import Verb, parsed, shown
from daskflow.core.errors import SettingsError


@click.command(cls=Verb)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("--target", metavar="COLUMN", required=True, help="The column that is to be predicted.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default="workflow.toml",
    show_default=True,
    help="The file to write.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="NAME=VALUE",
    help="An option of the files that is known, such as header=false or separator=';'. Repeatable.",
)
@click.option("--force", is_flag=True, help="Replace the file when it is there.")
def init(paths: tuple[str, ...], target: str, output: Path, changes: tuple[str, ...], force: bool) -> None:
    """Write a commented workflow file for a table.

    PATH is a file, a folder, or a glob in quotes. Names, types and a sample are looked at, nothing more; what was seen
    stands in the file as comments. It runs as it is.
    """
    from daskflow.core.journal import write_atomically
    from daskflow.workflow.starter import starter

    if output.exists() and not force:
        raise SettingsError(f"{output} is there already. Name another file with -o, or replace it with --force.")
    text = starter(paths, target, output.absolute().parent, parsed(changes))
    write_atomically(output, text.encode())
    name = shown(output)
    click.echo(f"Wrote {name}. Next: daskflow check {name}; daskflow plan {name}; daskflow run {name}")
