"""``daskflow report``: a run's page, or that of several runs side by side."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path

import click

from daskflow.cli.verb import Verb, is_terminal, shown

COMPARISON = Path("comparison.html")
"""Where several runs are shown side by side, unless it is said otherwise."""


@click.command(cls=Verb)
@click.argument("paths", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--output", "-o", type=click.Path(path_type=Path), metavar="FILE", help="Write the page to this file.")
@click.option("--open/--no-open", "is_opened", default=None, help="Open it in a browser; default where there is one.")
def report(paths: tuple[Path, ...], output: Path | None, is_opened: bool | None) -> None:
    """Show the report of a run, or of several side by side.

    RUN is runs/NAME/ID, or runs/NAME for its latest. Prints where the page is, and opens it in a browser when a person
    is at the terminal and there is a display. The page of a run that is not finished is written anew from what there
    is. Several runs make a page that compares them with the first: comparison.html in this folder, or FILE.
    """
    from daskflow.workflow import compare, open_run

    if len(paths) > 1:
        page = compare(*paths).write(output or COMPARISON)
    else:
        run = open_run(paths[0])
        if output is not None:
            page = run.write_report(output)
        else:
            if run.status != "done" or not run.report_path.exists():
                run.write_report()
            page = run.report_path
    click.echo(shown(page))
    if is_opened or (is_opened is None and is_terminal(sys.stdout) and has_display()):
        webbrowser.open(page.resolve().as_uri())


def has_display() -> bool:
    """Return whether a window could be opened."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
