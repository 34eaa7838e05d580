"""``daskflow profile``: what a table looks like."""

from __future__ import annotations

from pathlib import Path

import click

from daskflow.cli.verb import Verb, duration, parsed, shown
from daskflow.core.errors import SettingsError


@click.command(cls=Verb)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("--target", metavar="COLUMN", help="The column to be predicted: every other column is set against it.")
@click.option(
    "--task", type=click.Choice(["binary", "multiclass", "regression"]), help="Default: as the target's values say."
)
@click.option("--columns", metavar="A,B,C", help="Columns to look at, parted by commas; default all.")
@click.option("--sample", metavar="N", help="Look at about so many rows, or a share such as 0.1 or 10%; default all.")
@click.option("--kind", metavar="KIND", help="Kind of the files, such as csv; default: as their suffix says.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="NAME=VALUE",
    help="An option of the files, such as header=false or separator=';', or a role such as time=COLUMN. Repeatable.",
)
@click.option("--on", metavar="KIND", help="Where it runs; default: this process for small tables, else local.")
@click.option("--cache", metavar="KIND", help="Where blocks are kept: disk (default), memory or none.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The page to write; default profile-NAME.html in the current folder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout; a page only with --output.")
def profile(
    paths: tuple[str, ...],
    target: str | None,
    task: str | None,
    columns: str | None,
    sample: str | None,
    kind: str | None,
    changes: tuple[str, ...],
    on: str | None,
    cache: str | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Look at a whole table in one pass.

    PATH is a file, a folder, a glob in quotes, or a workflow file (.toml), whose data, target and cluster are used.
    Prints what was found and every column's numbers, and writes an HTML page that needs no network. What is read is
    kept as blocks: a run over the same files reads none of them again.
    """
    import time

    from daskflow.cli.progress import progress
    from daskflow.cli.running import print_json
    from daskflow.workflow.profiling import file_name, profile

    started = time.perf_counter()
    if any(path.endswith(".toml") for path in paths) and len(paths) > 1:
        raise SettingsError("A workflow file stands alone: name it, or the data's files, but not both.")
    with progress() as listener:
        found = profile(
            paths[0] if len(paths) == 1 else list(paths),
            target=target,
            task=task,
            columns=[name.strip() for name in columns.split(",") if name.strip()] if columns else None,
            sample=amount(sample),
            kind=kind,
            cluster=on,
            cache=cache,
            listener=listener,
            **parsed(changes),
        )
    if output is not None or not as_json:
        written = found.write(output or Path(file_name(found.name)))
    if as_json:
        print_json(found.dump())
        return
    from daskflow.cli.profile_text import text_of

    text_of(found.table)
    click.echo(f"\nProfiled in {duration(time.perf_counter() - started)}. Page: {shown(written)}")


def amount(text: str | None) -> int | float | None:
    """Return the rows (int) or the share (float) that ``--sample`` asks for.

    Examples
    --------
    >>> amount("100_000"), amount("0.1"), amount("10%"), amount(None)
    (100000, 0.1, 0.1, None)
    """
    if text is None:
        return None
    plain = text.strip()
    try:
        if plain.endswith("%"):
            return float(plain[:-1]) / 100
        return int(plain) if plain.replace("_", "").isdecimal() else float(plain)
    except ValueError:
        raise click.BadParameter(
            f"'{text}' should be a number of rows such as 100000, or a share such as 0.1 or 10%.",
            param_hint="--sample",
        ) from None
