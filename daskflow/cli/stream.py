"""``daskflow stream``: a model that answers records as they come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from daskflow.cli.verb import Verb, duration, parsed, shown
from daskflow.dashboard.words import plural

SUFFIX = ".toml"


@click.command(cls=Verb)
@click.argument("model", metavar="RUN-OR-MODEL|FILE.toml", type=click.Path(path_type=Path))
@click.option("--from", "source", metavar="SRC", help="Where records come from: a folder, a file of JSON lines, -, ...")
@click.option("--to", "sink", metavar="SINK", help="Where results go to: a folder, a file of JSON lines, -, ...")
@click.option("--batch", type=int, help="Records that are answered at once, at most.  [default: 512]")
@click.option("--delay", metavar="TIME", help="How long the first record of a batch waits.  [default: 50ms]")
@click.option(
    "--key", metavar="COLUMN", help="Records of equal value stay in order where the source has several parts."
)
@click.option("--once", is_flag=True, help="End when nothing more is there.")
@click.option("--keep", multiple=True, metavar="COLUMN", help="A column that results have, too. Repeatable.")
@click.option("--proba/--no-proba", default=None, help="Probabilities beside the labels.  [default: proba]")
@click.option("--strict", is_flag=True, help="Put records aside that have names which the model does not know.")
@click.option("--retries", type=int, help="How often a sink that failed is tried again.  [default: 8]")
@click.option("--dead", metavar="FILE", help="Where records without an answer go.  [default: dead.jsonl in the folder]")
@click.option("--folder", metavar="FOLDER", help="What the stream remembers.  [default: RUN/streams/NAME]")
@click.option("--on", metavar="KIND", help="A cluster that answers, such as local or slurm; default: this process.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="NAME=VALUE",
    help="Another option, such as cluster.workers=4 or from.max_bytes=4096. Repeatable.",
)
@click.option("--learn", is_flag=True, help="Learn each record when its true value is known, by partial_fit.")
@click.option("--label", metavar="COLUMN", help="With --learn: the column of true values.  [default: the target's]")
@click.option("--labels", metavar="SRC", help="With --learn: where true values come from, joined to records by --key.")
@click.option("--challenge", is_flag=True, help="With --learn: the model as it is answers until what learns is better.")
@click.option("--challenger", multiple=True, metavar="NAME=MODEL", help="A further model to compare. Repeatable.")
@click.option("--tell-model", is_flag=True, help="With --learn: say in each result which model gave it.")
@click.option("--trust", multiple=True, metavar="TYPE", help="A type in the model that is not scikit-learn's own.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of words.")
def stream(model: Path, on: str | None, changes: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Answer records with a model as they come, and hand the results on.

    RUN-OR-MODEL is runs/NAME, runs/NAME/ID, or a model folder; a TOML file says the same words, with paths from its own
    folder on. A record is committed
    when its result is at the sink: ended in whatever way, the same command goes on there. SIGTERM and Ctrl-C let it
    finish what it has taken.
    """
    from daskflow.cli.running import print_json, summarized
    from daskflow.cli.streaming_progress import streaming_progress
    from daskflow.workflow.streaming import Stream, run_here
    from daskflow.workflow.streaming_settings import StreamSettings

    names = {"source": "from", "sink": "to"}
    said = {
        names.get(name, name): value
        for name, value in options.items()
        if value is not None and value is not False and value != ()
    }
    if options["proba"] is False:
        said["proba"] = False
    said |= parsed(changes)
    said |= learned_words(said)
    if on is not None:
        said["cluster.kind"] = on
    # Results may stand on standard output: what is said of them does not.
    with summarized(as_json and said.get("to") != "-"), streaming_progress() as listener:
        if model.suffix == SUFFIX:
            settings = StreamSettings.from_toml(model, said)
        else:
            settings = StreamSettings.of({"model": str(model), **said})
        base = model.parent if model.suffix == SUFFIX else Path()
        summary = run_here(Stream(settings, base=base, listener=listener))
    if as_json:
        print_json(summary, err=settings.sink == "-")
    else:
        click.echo(words(summary), err=settings.sink == "-")


def learned_words(said: dict[str, Any]) -> dict[str, Any]:
    """Take the options of learning out of what was said, and return them by dotted name."""
    found = {f"learn.{name}": said.pop(name) for name in ("label", "challenge", "tell_model") if name in said}
    if said.pop("learn", False):
        found.setdefault("learn.challenge", False)
    for text in said.pop("challenger", ()):
        name, sign, path = text.partition("=")
        if not (name and sign and path):
            raise click.BadParameter(f"'{text}' should be NAME=MODEL.", param_hint="--challenger")
        found[f"challengers.{name}"] = path
    return found


def words(summary: Any) -> str:
    """Return what an invocation did, in a sentence or two."""
    rate = f", {summary['answered'] / summary['seconds']:,.0f}/s" if summary["seconds"] >= 1 else ""
    lines = [f"{plural(summary['answered'], 'record')} answered in {duration(summary['seconds'])}{rate}"]
    if summary["status"] == "stopped":
        lines[0] += "; stopped, and what was taken is committed: the same command goes on"
    if summary["dead"]:
        have = "has" if summary["dead"] == 1 else "have"
        lines.append(f"  {plural(summary['dead'], 'record')} {have} no answer: {shown(summary['dead_file'])} says why")
    if summary["answered_in_all"] != summary["answered"]:
        lines.append(f"  with earlier invocations {summary['answered_in_all']:,}")
    return "\n".join(lines)
