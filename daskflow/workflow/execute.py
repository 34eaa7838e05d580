"""Execution: an invocation of a run, from its journal to its last record.

The stages are in `executing`, which takes a second to import: where workers are jobs that happens while they start.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from daskflow.clusters import Cluster
from daskflow.clusters.batch import Batch
from daskflow.clusters.given import Given
from daskflow.core.control import Control, Mailbox, close_mailbox, open_mailbox
from daskflow.core.errors import DaskflowError
from daskflow.core.events import Listener, tell
from daskflow.core.folder import RunFolder
from daskflow.core.journal import Journal, write_atomically
from daskflow.data.execution import peak_memory_bytes
from daskflow.workflow import toml
from daskflow.workflow.continuing import check_data, check_versions, has_more_time, is_done, reopen, was_done
from daskflow.workflow.core_hours import opened_accounts
from daskflow.workflow.layout import laid_out
from daskflow.workflow.listing import gist
from daskflow.workflow.loading import compiled_loops, load
from daskflow.workflow.opening import Opening
from daskflow.workflow.recording import Recorder, versions
from daskflow.workflow.run import Run, open_run
from daskflow.workflow.side_by_side import RUNS
from daskflow.workflow.submission import mark_of, read_submission
from daskflow.workflow.telling import Telling
from daskflow.workflow.workflow import Workflow

STAGES = "daskflow.workflow.executing"
FITS = "daskflow.search.fits"
"""What all fits need: workers in jobs load it, and what the model needs, while the data are read."""


def execute(workflow: Workflow, runs: Path, *, fresh: bool, listener: Listener, given: Given | None = None) -> Run:
    """Run a workflow, or continue it, on its own cluster or a given one; see `Workflow.run`."""
    with RUNS.one():
        return _execute(workflow, runs, fresh=fresh, listener=listener, given=given)


def _execute(workflow: Workflow, runs: Path, *, fresh: bool, listener: Listener, given: Given | None) -> Run:
    runs = runs.absolute()
    folder = RunFolder(runs / workflow.name / workflow.id)
    folder.make()
    with Journal(folder.journal) as journal:
        if fresh:
            journal.clear()
        if not journal.records:
            folder.clear(keep=folder.journal)
        if is_done(journal, folder) and not has_more_time(workflow, journal):
            check_data(workflow, runs, journal)
            tell(listener, "note", text=f"This run is finished already: {folder.path} (--fresh runs it again).")
            run = open_run(folder.path, trusted=workflow.trusted)
            if not run.report_path.exists():
                run.write_report()
            return run
        recorder = Recorder(journal)
        check_versions(journal)
        with Telling(folder, recorder, listener, seed=workflow.seed) as telling:
            control = telling.control = heard(folder, telling)
            recorder.append({"record": "invocation", "id": workflow.id, "versions": versions()})
            if was_done(journal):
                reopen(folder, telling)
            if journal.caution:
                recorder.append({"record": "warning", "text": journal.caution}, durable=False)
                tell(telling, "warning", text=journal.caution)
            write_atomically(folder.workflow, toml.write(workflow.dump()))
            folder.name_latest()
            try:
                with _listening(folder):
                    cluster: Cluster | Given = given or _own_cluster(workflow, runs, folder, recorder, telling)
                    if not isinstance(cluster, Batch):
                        # Before others import: of libraries whose parts import each other two threads may see halves.
                        importlib.import_module(STAGES)
                    began = time.time()
                    with (
                        Opening(workflow, runs) as opening,
                        _meanwhile(cluster, opening, workflow).open() as connection,
                        telling.watched(connection),
                    ):
                        tell(telling, "span", stage="cluster", part="", began=began, seconds=time.time() - began)
                        opening.wait()  # until it has imported what the next line does
                        from daskflow.workflow.executing import Execution

                        Execution(workflow, folder, runs, recorder, connection, telling, control).run(opening)
            except KeyboardInterrupt as error:
                _end(recorder, folder, error, "interrupted", "interrupted")
                raise
            except Exception as error:
                _end(recorder, folder, error, "failed", str(error) or type(error).__name__)
                raise
            folder.discard(folder.report)
            recorder.append({"record": "end", "status": "done", **_gist(folder)})
    run = open_run(folder.path, trusted=workflow.trusted)
    run.write_report()
    return run


def heard(folder: RunFolder, listener: Listener) -> Control:
    """Return what is asked of a run from now on, by files in its folder."""
    if stale := open_mailbox(folder):
        words = ", ".join(command.word for command in stale)
        tell(listener, "note", text=f"What was asked of this run before it was started is forgotten: {words}.")
    return Control(Mailbox(folder, lambda text: tell(listener, "warning", text=text)))


@contextmanager
def _listening(folder: RunFolder) -> Iterator[None]:
    """Be asked by files as long as the journal is held: whoever goes on with the run opens the same place."""
    try:
        yield
    finally:
        close_mailbox(folder)


def _own_cluster(workflow: Workflow, runs: Path, folder: RunFolder, recorder: Recorder, telling: Telling) -> Cluster:
    """The workflow's own cluster, for this run; of a batch queue with what earlier invocations have used."""
    is_submitted = read_submission(folder) is not None
    cluster = _cluster(workflow, runs, recorder, telling, is_submitted=is_submitted)
    cluster = cluster.within(folder.path, mark_of(folder), telling)
    return opened_accounts(cluster, folder, recorder) if isinstance(cluster, Batch) else cluster


def _meanwhile(cluster: Cluster | Given, opening: Opening, workflow: Workflow) -> Cluster | Given:
    """The cluster; while its workers start, what the stages need is loaded.

    Jobs that are handed in take seconds to begin, in which the table is opened, too.
    """
    loads = workflow.search.loads
    if not isinstance(cluster, Batch):
        load(loads, compiled_loops)
        return cluster
    members = workflow.model.members if workflow.search.isolate else ()
    modules = [name for member in members for name in (type(member).__module__, *member.libraries)]
    begin = partial(opening.begin, STAGES, loads)
    return cluster.meanwhile(begin).importing([*dict.fromkeys(modules), FITS] if modules else ())


def _cluster(workflow: Workflow, runs: Path, recorder: Recorder, listener: Listener, *, is_submitted: bool) -> Cluster:
    """The cluster to open, whose workers live longer than a fit takes.

    One whose layout is to be measured is measured first, and what was found is told.
    """
    begun, cpu = time.perf_counter(), time.process_time()
    if not is_submitted and isinstance(workflow.cluster, Batch):  # one that is was looked at when it was handed in
        from daskflow.workflow.plan import refuse_too_long

        refuse_too_long(workflow, runs)
    cluster, text, reads = laid_out(workflow, runs)
    if text:
        tell(listener, "note", text=text)
        record = {"record": "stage", "stage": "layout", "seconds": time.perf_counter() - begun, "found": text}
        cost = {"cpu_seconds": time.process_time() - cpu, "peak_memory_bytes": peak_memory_bytes()}
        recorder.append({**record, **cost, "partition_reads": reads})
    return cluster


def _end(recorder: Recorder, folder: RunFolder, error: BaseException, status: str, text: str) -> None:
    """Record how an invocation ended; leave a report and a summary of what there is."""
    with suppress(DaskflowError, OSError):
        recorder.append({"record": "end", "status": status, "error": text, **_gist(folder)})
        recorder.journal.close()
        run = open_run(folder.path)
        error.__dict__["summary"] = run.summary()  # what the command line prints with --json
        run.write_report()


def _gist(folder: RunFolder) -> dict[str, Any]:
    """What the list of runs tells of this one; nothing where that fails, so that the end is recorded all the same."""
    try:
        return {"gist": gist(open_run(folder.path))}
    except Exception:
        return {}
