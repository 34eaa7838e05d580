"""``daskflow swap``: let another model of a stream answer."""

from __future__ import annotations

import time
from pathlib import Path

import click

from daskflow.cli.verb import Verb


@click.command(cls=Verb)
@click.argument("folder", metavar="STREAM", type=click.Path(path_type=Path))
@click.option("--to", metavar="NAME", help="The model that shall answer: model, learner, or a challenger's name.")
@click.option("--back", is_flag=True, help="The one that answered before the last swap.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of words.")
def swap(folder: Path, to: str | None, back: bool, as_json: bool) -> None:
    """Let another model of a stream that learns answer, or say who does.

    STREAM is the stream's folder. Without --to and --back: who answers, who may, and every swap with its reason. The
    swap is journalled before it acts; a stream that goes on hears of it within a second or a batch, one that does not
    begins with it. Exit codes: 0 done; 1 the stream goes on and does not answer; 2 the command line is wrong.
    """
    from daskflow.cli.running import print_json
    from daskflow.streams.champion_swaps import words_of
    from daskflow.workflow import streaming_learning as learning

    if to and back:
        raise click.UsageError("--to and --back are two answers to one question: give one of them.")
    if to or back:
        said = learning.swap(folder, to or "", by="command line")
        if not as_json:
            click.echo(said)
            return
    found = learning.standing(folder)
    if as_json:
        print_json(found)
        return
    others = [name for name in found["models"] if name != found["champion"]]
    click.echo(f"'{found['champion']}' answers after {found['labelled']:,} true values.")
    if others:
        click.echo(f"  beside it: {', '.join(others)}")
    for record in found["swaps"]:
        click.echo(f"  {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(record['at']))}  {words_of(record)}")
