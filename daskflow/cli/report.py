"""``daskflow report``: a run's page."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path

import click

from daskflow.cli.verb import Verb, is_terminal, shown


@click.command(cls=Verb)
@click.argument("path", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--open/--no-open", "is_opened", default=None, help="Open it in a browser; default where there is one.")
def report(path: Path, is_opened: bool | None) -> None:
    """Show the report of a run.

    RUN is runs/NAME/ID, or runs/NAME for its latest. Prints where the page is, and opens it in a browser when a person
    is at the terminal and there is a display. The page of a run that is not finished is written anew from what there
    is.
    """
    from daskflow.workflow import open_run

    run = open_run(path)
    if run.status != "done" or not run.report_path.exists():
        run.write_report()
    click.echo(shown(run.report_path))
    if is_opened or (is_opened is None and is_terminal(sys.stdout) and has_display()):
        webbrowser.open(run.report_path.resolve().as_uri())


def has_display() -> bool:
    """Return whether a window could be opened."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
