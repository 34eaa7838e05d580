"""Execution: an invocation of a run, from its journal to its last record.

The stages are in `executing`, which takes a second to import: where workers are jobs that happens while they start.
"""

from __future__ import annotations

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
from daskflow.data.schema import Target
from daskflow.metrics import Metric
from daskflow.search import engine
from daskflow.search.candidates import candidates_record, check_record, preprocess_params
from daskflow.search.fits import MatrixWork
from daskflow.search.lengths import Lengths
from daskflow.search.policies import Policy
from daskflow.search.steering import CANCELLED
from daskflow.workflow import columns_seen, learning_curve, out_of_fold, toml
from daskflow.workflow.account import card, describe, values
from daskflow.workflow.cache import forget, open_store
from daskflow.workflow.continuing import check_data, check_versions
from daskflow.workflow.core_hours import opened_accounts
from daskflow.workflow.layout import laid_out
from daskflow.workflow.listing import gist
from daskflow.workflow.loading import LAST, compiled_loops, load
from daskflow.workflow.opening import Opening
from daskflow.workflow.recording import Recorder, versions
from daskflow.workflow.run import Run, open_run
from daskflow.workflow.side_by_side import RUNS
from daskflow.workflow.submission import mark_of, read_submission
from daskflow.workflow.telling import Telling
from daskflow.workflow.workflow import Workflow

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
            load(workflow.search.loads, compiled_loops)
            try:
                with _listening(folder):
                    cluster: Cluster | Given = given or _own_cluster(workflow, runs, folder, recorder, telling)
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


class _Execution(Preparing):
    """One invocation: what each stage does, in order."""

    def run(self, opening: Opening) -> None:
        """Everything."""
        check_folder(self.executor, self.folder.path)
        with open_store(self.workflow.cache, self.runs) as store:
            check_folder(self.executor, store.folder, option="cache.folder")
            table = opening.table(self.listener)
            self.early = opening.spans
            store.check = self.room_for(table, store)
            try:
                ready = self.prepared(table, store)
            except LostBlockError as error:
                self.warn(f"{str(error).removesuffix(AGAIN)}It is made anew from its source, and the run goes on.")
                ready = self.prepared(table, store)
            opening.close()
        if self.workflow.cache.kind != "disk":
            forget(self.executor)
        blocks, target, metrics, metric, work, prepared, plan, policy = ready
        result = self.search(policy, work, target, metric)
        chosen = next(each for each in prepared if each.variant.params == preprocess_params(result.best.params))
        if len(prepared) > 1:
            describe(self.folder, self.workflow, blocks, target, plan, chosen.fitted[-1])
        self.turn_down()
        test, evaluation = chosen.matrices.test, None
        part = test and TestPart(test, self.aside(blocks, plan), blocks.features, blocks.roles, target)
        fitted, decision, told, seen = self.refit(result, work, chosen.matrices, target, metric, part)
        self.turn_down()
        model = FittedModel(fitted, chosen.fitted[-1], blocks.features, target, decision)
        if part is not None:
            evaluation = self.judge(part, model, metrics, metric, result, told, seen)
        else:
            self.warn("There is no test part (split.test = 0): the scores are those that chose the model.")
        with self.stage("model"):
            bundle.write(
                self.folder.model,
                estimator=fitted.load(),
                transformer=chosen.fitted[-1],
                schema=blocks.features,
                target=target,
                joins=table.joins,
                decision=decision,
                card={
                    **card(self.workflow, result, blocks, plan, evaluation, self.warnings(evaluation)),
                    "source": reading_of(table),
                },
            )
        self.finish()

    def judge(
        self,
        part: TestPart,
        model: FittedModel,
        metrics: list[Metric],
        metric: Metric,
        result: SearchResult,
        told: dict[str, Any],
        seen: Mapping[str, Any],
    ) -> Evaluation:
        """Judge the model by the test rows, then explain it; what there is is written after each of the two.

        What was `seen` of columns before is taken as it is.
        """
        settings, seed = self.workflow.evaluation, self.workflow.seed
        with self.stage("evaluation"):
            evaluation, judged = evaluate_test(
                part,
                model.fitted,
                model.decision,
                metrics,
                metric,
                settings=settings,
                decided=self.workflow.decision,
                folder=self.folder.judging / "pieces",
                executor=self.executor,
                seed=seed,
                listener=self.listener,
            )
            units = columns_seen.units_of(part, self.executor.slots, seed)
            columns = columns_seen.details_of(part, judged.said, units, seen, self.executor)
            evaluation = replace(evaluation, details={**evaluation.details, **columns, **told})
            self.write_metrics(evaluation)
            if settings.predictions:
                write_parquet(self.folder.predictions, judged, part.target)
        for text in remarks(evaluation.details):
            self.warn(text)
        with self.stage("explanation"):
            found = explain(
                model,
                part,
                judged,
                metric,
                result,
                settings=settings,
                executor=self.executor,
                recorder=self.recorder,
                seed=seed,
            )
            notes = [*evaluation.details.get("notes", ()), *found.pop("left_out")]
            told = {"notes": notes} if notes else {}
            evaluation = replace(evaluation, details={**evaluation.details, **found, **told})
            self.write_metrics(evaluation)
        return evaluation

    def warnings(self, evaluation: Evaluation | None) -> list[str]:
        """What a user was told of this run, in earlier invocations too, but for what the evaluation's details say."""
        told = remarks(evaluation.details) if evaluation is not None else []
        said = [str(r["text"]) for r in self.recorder.journal.records if r["record"] == "warning"]
        return [text for text in said if text not in told]

    def write_metrics(self, evaluation: Evaluation) -> None:
        """Write metrics.json, and tell what it says."""
        told = {"metrics": values(evaluation.metrics), "n_rows": evaluation.n_rows, "details": evaluation.details}
        write_json(self.folder.metrics, told)
        tell_evaluated(self.listener, evaluation, total=evaluation.n_rows, final=True)

    def search(self, policy: Policy, work: MatrixWork, target: Target, metric: Metric) -> SearchResult:
        """Run the fits that are not finished; candidates must be those that an earlier invocation recorded."""
        flow, task = self.workflow, str(target.task)
        records = list(self.recorder.journal.records)
        earlier = next((record for record in records if record["record"] == "candidates"), None)
        head = {"metric": metric.name, "greater_is_better": metric.greater_is_better, "n_folds": work.n_folds}
        if earlier is None:
            known = {**head, "validation_ratio": validation_ratio(work.matrices)}
            self.recorder.append({"record": "candidates", "candidates": candidates_record(policy), **known})
        else:
            check_record(earlier["candidates"], policy)
        with self.stage("search") as found:
            seer = foreseeing(flow, flow.space(task), policy, work, self.executor.slots, self.recorder, self.listener)
            seer.remember(records)

            def tell_plan() -> None:
                search = as_extended(flow.search, self.recorder.journal.records)
                total = search.fits(flow.space(task), seed=flow.seed)["units"] * work.n_folds
                tell(self.listener, "stage", stage="search", state="started", total=total)
                tell(self.listener, "plan", **head, **plan_of(search, seer.forecast.rungs, total))

            def hear(event: Event) -> None:
                seer(event)
                if event.name == "control" and event.fields["command"] == "extend":
                    tell_plan()

            tell_plan()
            cluster = flow.cluster
            result = engine.run(
                policy,
                work,
                self.executor,
                recorder=seer,
                earlier=records,
                listener=hear,
                control=self.control,
                lengths=Lengths(seer.forecast, cluster.seconds) if isinstance(cluster, Batch) else None,
            )
            found["ended"] = result.ended
        if result.ended:
            tell(self.listener, "note", text=f"The search ended because {result.ended}.")
        for trial in result.trials:
            if trial.error == CANCELLED:
                self.warn(f"Trial {trial.id} was {CANCELLED} and ranks last.")
            elif trial.error:
                self.warn(f"Trial {trial.id} failed and ranks last: {trial.error}")
        return result

    def refit(
        self,
        result: SearchResult,
        work: MatrixWork,
        matrices: matrices_of.Matrices,
        target: Target,
        metric: Metric,
        part: TestPart | None,
    ) -> tuple[Fitted, Decision, dict[str, Any], dict[str, Any]]:
        """Fit the winner on every row that is not test; beside it, what needs no fit of all rows.

        That is what the decision and the learning curve need, and what the columns say; libraries that the end needs
        are loaded. What an earlier invocation fitted is taken as it is.
        """
        load(LAST)
        flow, best = self.workflow, result.best
        earlier = next((r for r in reversed(self.recorder.journal.records) if r["record"] == "refitted"), None)
        if earlier is not None and earlier["trial"] == best.id:
            fitted = Fitted(self.folder.path / FITTED, earlier["sha256"])
            if fitted.is_whole:
                return fitted, Decision.load(earlier["decision"]), earlier["told"], {}
        beside = []
        if flow.decision.is_learned:
            once = matrices.folds[: len(matrices.folds) // flow.split.repeats]  # a row is in one fold of each repeat
            beside += out_of_fold.units_of(work, best, [(fold.train, fold.validation) for fold in once])
        if learning_curve.is_wanted(flow.evaluation, result):
            beside += learning_curve.units_of(work, best, matrices.fold(0), metric, seed_of(flow.seed, "curve"))
        if part is not None:
            beside += columns_seen.quietly(columns_seen.units_of(part, self.executor.slots, flow.seed))
        with self.stage("refit"):
            fitted, answers = refit_best(
                work,
                best,
                matrices,
                self.folder.path,
                connection=self.connection,
                executor=self.executor,
                listener=self.listener,
                beside=beside,
            )
            said = [answers[unit.key] for unit in beside if unit.key.startswith("fold-")]  # not as they came in
            rows = out_of_fold.gathered(said) if said else None
            decision, found = out_of_fold.decide(flow.decision, rows, target, seed_of(flow.seed, "decision"))
        told: dict[str, Any] = {"decision": found} if flow.decision.is_active else {}
        if any(key.startswith("curve-") for key in answers):
            told["learning_curve"] = learning_curve.curve_of(metric.name, answers)
        record = {"record": "refitted", "trial": best.id, "sha256": fitted.sha256}
        self.recorder.append({**record, "decision": decision.dump(), "told": told})
        return fitted, decision, told, answers

    def finish(self) -> None:
        """Write the leaderboard and remove what only the search needed."""
        self.turn_down()
        table = open_run(self.folder.path).leaderboard()
        write_atomically(self.folder.trials, csv_of(table))
        path = self.folder.path
        self.folder.discard(self.folder.matrices, self.folder.judging, self.folder.snapshots)
        self.folder.discard(path / FITTED, path / "checkpoints")
