"""``daskflow doctor``: what is wrong with this installation, and with a batch queue."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daskflow.cli.verb import Verb, is_terminal, overriding, parsed, workflow_of

if TYPE_CHECKING:
    from daskflow.workflow.doctor import Finding

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}

FAILED = 3
"""Exit code when something is wrong: what a run would end with."""


@click.command(cls=Verb)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@overriding
@click.option("--runs", type=click.Path(path_type=Path), default="runs", show_default=True, help="Folder of runs.")
@click.option(
    "--wait",
    type=click.FloatRange(min=1),
    default=120,
    show_default=True,
    metavar="SECONDS",
    help="How long the job that looks at a node may take.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of lines.")
def doctor(file: Path | None, changes: tuple[str, ...], on: str | None, runs: Path, wait: float, as_json: bool) -> None:
    """Find what is wrong with this installation, and with a batch queue.

    Looked at are Python, the libraries, the folders and their locks. With --on slurm, or a FILE whose cluster is a
    batch queue, also its commands and limits against what the workflow asks for; and a job of some seconds says of its
    node whether it sees the folder of runs, has the same Python and libraries, reaches this machine, and has its time.

    Exit codes: 0 when a run can start, warnings or not; 2 the workflow or the command line is wrong; 3 when something
    failed.
    """
    from daskflow.cli.running import print_json
    from daskflow.clusters.batch_signals import ended_by_signals

    cluster, store = _asked(file, changes, on, runs)
    found = []
    with ended_by_signals():  # so that the job which looks at a node, and its folder, go in any case
        for finding in _findings(cluster, runs, store, wait):
            found.append(finding)
            if not as_json:
                click.echo(_line(finding))
    failed = [finding for finding in found if finding.level == "fail"]
    if as_json:
        lines = [{"level": f.level.value, "subject": f.subject, "words": f.words} for f in found]
        print_json({"ok": not failed, "findings": lines})
    else:
        click.echo(_conclusion(found))
    if failed:
        raise click.exceptions.Exit(FAILED)


def _asked(file: Path | None, changes: tuple[str, ...], on: str | None, runs: Path) -> tuple[Any, Path]:
    """Return the cluster that a workflow, or the command line alone, asks for, None for none; and the block store."""
    from daskflow.clusters import REGISTRY
    from daskflow.core.folder import cache_folder
    from daskflow.workflow.cache import block_folder

    if file is not None:
        workflow = workflow_of(file, changes, on)
        return workflow.cluster, block_folder(workflow.cache, runs.absolute())
    options = {}
    for name, value in parsed(changes).items():
        room, _, option = name.partition(".")
        if room != "cluster" or not option or on is None:
            raise click.UsageError(f"--set {name} needs a FILE; without one, cluster.OPTION with --on KIND can be set.")
        options[option] = value
    return None if on is None else REGISTRY.parse({**options, "kind": on}, where="cluster"), cache_folder()


def _findings(cluster: Any, runs: Path, store: Path, wait: float) -> Iterator[Finding]:
    """All that is looked at."""
    from daskflow.clusters.batch import Batch
    from daskflow.workflow.doctor import examine

    yield from examine(runs, store)
    if isinstance(cluster, Batch):
        from daskflow.workflow.doctor_queue import examine_queue

        yield from examine_queue(cluster, runs, store, wait_seconds=wait)


def _line(finding: Finding) -> str:
    """Such as ``ok    Python           3.11.7``."""
    word = finding.level.value.ljust(5)
    mark = click.style(word, fg=COLOURS[finding.level]) if is_terminal(sys.stdout) else word
    return f"{mark} {finding.subject:<15} {finding.words}"


def _conclusion(found: list[Finding]) -> str:
    """The last line."""
    failed = sum(finding.level == "fail" for finding in found)
    warned = sum(finding.level == "warn" for finding in found)
    if failed:
        return f"{failed} {'thing is' if failed == 1 else 'things are'} wrong: a run would fail."
    return "Runs can start." + (f" {warned} {'line warns' if warned == 1 else 'lines warn'}." if warned else "")
