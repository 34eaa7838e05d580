"""Continuing: a run goes on only with the data and the versions it began with."""

from __future__ import annotations

from pathlib import Path

from daskflow.core.errors import ChangedDataError, DataError, JournalError
from daskflow.core.events import Listener, tell
from daskflow.core.folder import RunFolder
from daskflow.core.journal import Journal
from daskflow.data.blocks import Blocks
from daskflow.data.scan import scan
from daskflow.search.budgets import is_longer
from daskflow.workflow.cache import open_store
from daskflow.workflow.recording import origin_of, versions
from daskflow.workflow.workflow import Workflow


def is_done(journal: Journal, folder: RunFolder) -> bool:
    """Whether the journal ends with success, and the model is there."""
    last = journal.records[-1] if journal.records else {}
    return last.get("record") == "end" and last.get("status") == "done" and folder.model.is_dir()


def was_done(journal: Journal) -> bool:
    """Whether an earlier invocation ended with success."""
    return any(record["record"] == "end" and record.get("status") == "done" for record in journal.records)


def reopen(folder: RunFolder, listener: Listener) -> None:
    """Let a run that was finished go on: what it was judged by is made anew, and its model answers until then."""
    folder.discard(folder.metrics, folder.predictions, folder.report)
    tell(
        listener,
        "note",
        text="This run was finished, and goes on: there is more time for its search, or its model is gone.",
    )


def has_more_time(workflow: Workflow, journal: Journal) -> bool:
    """Whether a finished run goes on: a limit of time ended its search, and the workflow's budget has a higher one."""
    return is_longer(workflow.search.budget, journal.records)


def check_data(workflow: Workflow, runs: Path, journal: Journal) -> None:
    """Refuse to give a finished run for an answer when the data are others now; data that are gone say nothing."""
    began = next(record for record in journal.records if record["record"] == "data")
    try:
        table = workflow.table()
    except DataError:
        return
    if began["origin"] == origin_of(table):
        return
    with workflow.cluster.open() as connection, open_store(workflow.cache, runs) as store:
        check_fingerprint(began["fingerprint"], scan(table, store, connection.executor))


def check_fingerprint(began: str, blocks: Blocks) -> None:
    """Refuse data that are not those the run began with."""
    if began != blocks.fingerprint:
        raise ChangedDataError(
            "The data are not those this run began with: a file was added, removed or changed "
            f"(fingerprint {began[:12]}, now {blocks.fingerprint[:12]}). Put them back, or start anew with --fresh."
        )


def check_versions(journal: Journal) -> None:
    """Refuse to continue what other versions began."""
    now = versions()
    begun = next((r["versions"] for r in journal.records if r["record"] == "invocation"), now)
    changed = [f"{name} {begun.get(name)} -> {now.get(name)}" for name in now if begun.get(name) != now.get(name)]
    if changed:
        raise JournalError(
            f"This run began on other versions: {', '.join(changed)}. Its scores would not be comparable. "
            "Go back to them, or start anew with --fresh."
        )
