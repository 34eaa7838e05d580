"""``daskflow fetch``: files over HTTP into a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daskflow.cli.verb import Verb, duration, parsed, shown

if TYPE_CHECKING:
    from daskflow.sources.http_transfer import Outcome

TABLES = ("limits", "access")
"""What ``--set`` can change."""


@click.command(cls=Verb)
@click.argument("urls", metavar="URL...", nargs=-1)
@click.option("--to", "folder", type=click.Path(path_type=Path, file_okay=False), required=True, help="The folder.")
@click.option("--manifest", metavar="FILE-or-URL", help="A list of addresses with checksums and sizes.")
@click.option("--concurrency", type=click.IntRange(1, 1000), default=8, show_default=True, help="Files at once.")
@click.option("--rate", metavar="SIZE", help="Bytes per second in all, such as '10 MB'; default: no limit.")
@click.option(
    "--allow-host",
    "allow_hosts",
    multiple=True,
    metavar="HOST",
    help="A host that may be redirected to, such as cdn.example.org or '*.example.org'. Repeatable.",
)
@click.option(
    "--checksum",
    "checksums",
    multiple=True,
    metavar="[NAME=]ALGORITHM:HEX",
    help="What a file must be, such as sha256:9f86...; with several files NAME= says which. Repeatable.",
)
@click.option("--bearer", metavar="env:NAME", help="The environment variable that holds a token.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="NAME=VALUE",
    help="Another option of limits or access, such as limits.retries=9 or access.params.token=env:TOKEN. Repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of words.")
def fetch(
    urls: tuple[str, ...],
    folder: Path,
    manifest: str | None,
    concurrency: int,
    rate: str | None,
    allow_hosts: tuple[str, ...],
    checksums: tuple[str, ...],
    bearer: str | None,
    changes: tuple[str, ...],
    as_json: bool,
) -> None:
    """Fetch files over HTTP into a folder, many at once.

    URL may be a template: part-{00..99}.parquet, {train,test}.csv. The same command again continues what was begun, and
    fetches only what is missing or changed. A web page is not data, a short answer is not a file, and no redirect
    leads to another host unless it is allowed.
    """
    import asyncio
    import time

    from daskflow.cli.progress import progress
    from daskflow.sources.http_download import raise_failures
    from daskflow.sources.http_fetch import fetch as fetch_files

    limits, access = _settings(concurrency, rate, bearer, changes)
    began = time.monotonic()
    outcomes: list[Outcome] = []
    try:
        with progress() as listener:
            outcomes += asyncio.run(
                fetch_files(
                    urls,
                    folder,
                    manifest=manifest,
                    checksums=checksums,
                    allow_hosts=allow_hosts,
                    access=access,
                    limits=limits,
                    listener=listener,
                )
            )
        raise_failures(outcomes)
    except KeyboardInterrupt as error:
        _print("interrupted", folder, outcomes, time.monotonic() - began, None, as_json=as_json)
        raise KeyboardInterrupt("Interrupted. What came is kept: the same command continues.") from error
    except Exception as error:
        _print("failed", folder, outcomes, time.monotonic() - began, str(error), as_json=as_json)
        raise
    _print("done", folder, outcomes, time.monotonic() - began, None, as_json=as_json)


def _settings(concurrency: int, rate: str | None, bearer: str | None, changes: Sequence[str]) -> tuple[Any, Any]:
    """The limits and the access that the command line says."""
    from daskflow.core.errors import Problem, SettingsError
    from daskflow.core.settings import nearest, parse
    from daskflow.data.http_settings import Access, Limits
    from daskflow.workflow.toml import lay_over

    # As many from one host as in all, for one host is the usual case here.
    tables: dict[str, Any] = {"limits": {"concurrency": concurrency, "per_host": concurrency}, "access": {}}
    if rate is not None:
        tables["limits"]["rate"] = rate
    if bearer is not None:
        tables["access"]["bearer"] = bearer
    for name, value in parsed(changes).items():
        lay_over(tables, name, value)
    unknown = [word for word in tables if word not in TABLES]
    if unknown:
        raise SettingsError([Problem(f"--set {word}", f"no such table{nearest(word, TABLES)}") for word in unknown])
    return parse(Limits, tables["limits"], "limits"), parse(Access, tables["access"], "access")


def _print(
    status: str, folder: Path, outcomes: Sequence[Outcome], seconds: float, error: str | None, *, as_json: bool
) -> None:
    """Say what came of it: an object whatever happened, or words when there is something to say."""
    from dask.utils import format_bytes

    from daskflow.cli.running import print_json

    states = [str(outcome.state) for outcome in outcomes]
    counts = {state: states.count(state) for state in ("fetched", "unchanged", "failed")}
    n_bytes = sum(outcome.n_bytes for outcome in outcomes)
    if as_json:
        facts = {"status": status, "folder": str(folder), "error": error, "seconds": round(seconds, 3), **counts}
        print_json({**facts, "bytes": n_bytes, "files": [_row(outcome) for outcome in outcomes]})
    elif outcomes:
        words = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        click.echo(f"{shown(folder)}: {words}; {format_bytes(n_bytes)} in {duration(seconds)}")


def _row(outcome: Outcome) -> dict[str, Any]:
    """One file, as plain values."""
    done = outcome.done
    return {
        "url": str(outcome.wanted.address),
        "state": str(outcome.state),
        "name": None if done is None else done.name,
        "size_bytes": None if done is None else done.size_bytes,
        "sha256": None if done is None else done.sha256,
        "bytes": outcome.n_bytes,
        "retries": outcome.n_retries,
        "error": None if outcome.error is None else str(outcome.error),
    }
