"""``daskflow watch``: watch a run from another shell, in a browser or as text."""

from __future__ import annotations

import math
from pathlib import Path

import click

from daskflow.cli.verb import Verb

FASTEST = 100_000.0
"""A replay is no faster: a day in a second."""


class Speed(click.ParamType[float, float]):
    """How many seconds of the run pass in one."""

    name = "speed"

    def convert(self, value: object, param: click.Parameter | None, context: click.Context | None) -> float:
        """Return the number; what is no speed is said."""
        try:
            speed = float(str(value).lower().removesuffix("x"))
        except ValueError:
            speed = math.nan
        if not 0 < speed <= FASTEST:
            self.fail(
                f"'{value}' is no speed: give a number above 0, up to {FASTEST:,.0f}, such as 60.", param, context
            )
        return speed


@click.command(cls=Verb)
@click.argument("path", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--text", "as_text", is_flag=True, help="Show the run on the terminal instead.")
@click.option("--once", is_flag=True, help="With --text: print one picture of how it is now, and end.")
@click.option("--link", "as_link", is_flag=True, help="Print the link of the run's own pages, and end; 1 without any.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object of how it is now, and end.")
@click.option("--replay", type=Speed(), metavar="SPEED", help="Show it from its beginning, so many times as fast.")
@click.option("--from-folder", is_flag=True, help="Serve pages from the folder even where the run has its own.")
@click.option("--port", type=click.IntRange(0, 65535), help="Serve at this port; default a free one from 8790 on.")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Serve at this address.")
@click.option("--read-only", is_flag=True, help="Serve pages without buttons that act on the run.")
@click.option("--open/--no-open", "is_opened", default=None, help="Open a browser; default where there is one.")
def watch(
    path: Path,
    as_text: bool,
    once: bool,
    as_link: bool,
    as_json: bool,
    replay: float | None,
    from_folder: bool,
    port: int | None,
    host: str,
    read_only: bool,
    is_opened: bool | None,
) -> None:
    """Watch a run: its stages, data, search and test as they happen.

    RUN is runs/NAME/ID, or runs/NAME for its latest. Prints the link of the pages that a run has while it goes on; of
    one that has none, or is over, the same pages are served from its folder until Ctrl-C. Any option about serving
    (--replay, --port, --host, --read-only) serves from the folder, too.

    Whoever has the link sees what the run tells (names of columns, parameters, scores, errors), and may pause or
    stop it unless --read-only. Nothing is sent anywhere else.
    """
    from daskflow.cli import watching

    if once and not as_text:
        raise click.UsageError("--once goes with --text: it prints one picture of the run, and ends.")
    if as_json and (as_text or replay is not None):
        raise click.UsageError("--json prints how the run is now, and ends: it goes with neither --text nor --replay.")
    if as_link and (as_text or as_json or replay is not None):
        raise click.UsageError("--link prints the link of a run's own pages, and ends: it goes with no other view.")
    run = watching.found(path)
    if as_link:
        click.echo(watching.link_of(run))
    elif as_json:
        watching.print_summary(run)
    elif as_text:
        watching.show(run, speed=replay, once=once)
    else:
        own = "" if from_folder or read_only or replay or port is not None or host != "127.0.0.1" else watching.own(run)
        if own:
            watching.tell_link(own, is_opened)
        else:
            watching.serve(run, host=host, port=port, speed=replay, is_read_only=read_only, is_opened=is_opened)
