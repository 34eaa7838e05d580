"""``daskflow cache``: what the block store holds, and clearing it."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import click

from daskflow.cli.verb import Verb, shown


@click.command(cls=Verb)
@click.option("--clear", "is_clearing", is_flag=True, help="Remove every block that no living run uses.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="The cache.folder of a workflow; default: the user's, or DASKFLOW_CACHE_DIR.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of words.")
def cache(is_clearing: bool, folder: Path | None, as_json: bool) -> None:
    """Show what the block store holds, or clear it.

    Blocks are decoded partitions that runs share. They are removed by themselves, the least recently used first, when
    they take more than cache.limit; a run that misses one reads its file again.
    """
    from daskflow.cli.running import print_json
    from daskflow.data.store import clear, size, usage
    from daskflow.workflow.cache import Cache

    place = Cache(folder=None if folder is None else os.fspath(folder)).shared_folder
    gone = clear(place) if is_clearing else (0, 0)
    found = usage(place)
    times = [entry.used_at for entry in found.entries]
    if as_json:
        summary = {"folder": str(place), "blocks": len(found.entries), "bytes": found.n_bytes}
        summary |= {"limit_bytes": found.limit_bytes, "free_bytes": found.free_bytes}
        print_json({**summary, "removed": gone[0], "last_used": max(times, default=None)})
        return
    if is_clearing:
        click.echo(f"{_blocks(gone[0])} removed, {size(gone[1])}.")
    last = f", last used {datetime.fromtimestamp(max(times)):%Y-%m-%d %H:%M}" if times else ""
    click.echo(f"{shown(place)}: {_blocks(len(found.entries))}, {size(found.n_bytes)}{last}")
    click.echo(f"  may hold {size(found.limit_bytes)}; {size(found.free_bytes)} are free on its disk")


def _blocks(number: int) -> str:
    return "1 block" if number == 1 else f"{number:,} blocks"
