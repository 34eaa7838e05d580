"""``daskflow serve``: a model that answers over HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from daskflow.cli.verb import Verb, shown


@click.command(cls=Verb)
@click.argument("model", metavar="RUN-OR-MODEL", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; others need TLS.")
@click.option("--port", type=int, default=8000, show_default=True, help="0 for one that is free.")
@click.option("--workers", type=int, default=1, show_default=True, help="Processes that answer.")
@click.option("--batch", type=int, default=64, show_default=True, help="Rows that are predicted at once, at most.")
@click.option(
    "--delay", metavar="TIME", default="0ms", show_default=True, help="How long a batch waits though the model is free."
)
@click.option("--queue", type=int, default=1024, show_default=True, help="Requests that may wait in each process.")
@click.option("--timeout", metavar="TIME", default="10s", show_default=True, help="For a request and for its answer.")
@click.option(
    "--stuck", metavar="TIME", help="A process whose model computes for longer is replaced.  [default: twice --timeout]"
)
@click.option("--max-bytes", metavar="SIZE", default="8MiB", show_default=True, help="Of the body of a request.")
@click.option("--drain", metavar="TIME", default="30s", show_default=True, help="For what is in flight at the end.")
@click.option("--token-file", metavar="FILE", help="Holds the token that clients show; mode 600.")
@click.option("--tls-cert", metavar="FILE", help="Certificate (PEM).")
@click.option("--tls-key", metavar="FILE", help="Its key (PEM).")
@click.option("--insecure-behind-proxy", is_flag=True, help="Listen beyond this machine without TLS: a proxy has it.")
@click.option("--watch", metavar="FOLDER-or-RUN", help="Where a newer model may appear, which is swapped in.")
@click.option("--folder", metavar="FOLDER", help="Where it tells what it does.  [default: RUN/streams/serve-PORT]")
@click.option("--strict", is_flag=True, help="Refuse rows with names that are no columns.")
@click.option("--proba/--no-proba", default=True, show_default=True, help="Probabilities beside the labels.")
@click.option("--trust", multiple=True, metavar="TYPE", help="A type in the model that is not scikit-learn's own.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON objects instead of words.")
def serve(model: Path, as_json: bool, **options: Any) -> None:
    """Answer rows over HTTP with a model: JSON and Arrow, by POST /predict; /docs says how.

    RUN-OR-MODEL is runs/NAME, runs/NAME/ID, or a model folder. SIGTERM and Ctrl-C let it finish what is in flight;
    SIGHUP, --watch and POST /swap put another model in the place of this one without a lost request.
    """
    from daskflow.cli.running import print_json, summarized
    from daskflow.workflow import serving

    def listener(event: Any) -> None:
        text = event.fields.get("text")
        if text:
            click.echo(text, err=True)

    def started(server: Any) -> None:
        access = server.folder / "access.json"
        if as_json:
            told = {"url": server.url, "model": server.identity, "folder": str(server.folder), "access": str(access)}
            click.echo(json.dumps({**told, "token": server.token is not None}))
            return
        token = f"clients show the token in {shown(access)}" if server.token else "no token needed on this machine"
        click.echo(f"Serving model {server.identity[:12]} at {server.url} ({token}); {server.url}/docs says how to ask")

    with summarized(as_json):
        summary = serving.serve(model, listener=listener, started=started, **options)
    if as_json:
        print_json(summary)
    else:
        click.echo(f"{summary['requests']:,} requests and {summary['rows']:,} rows answered")
