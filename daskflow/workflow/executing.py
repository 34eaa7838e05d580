"""Executing: the stages of a run in order, on an open cluster, each recorded in the journal when it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from daskflow import bundle
from daskflow.clusters.address import check_folder
from daskflow.clusters.batch import Batch
from daskflow.core.errors import LostBlockError
from daskflow.core.events import Event, tell
from daskflow.core.folder import write_json
from daskflow.core.journal import write_atomically
from daskflow.core.results import Evaluation, SearchResult
from daskflow.core.seeds import seed_of
from daskflow.data import matrices as matrices_of
from daskflow.data.blocks import AGAIN
from daskflow.data.decision import Decision
from daskflow.data.schema import Target
from daskflow.metrics import Metric
from daskflow.search import engine
from daskflow.search.budgets import Budgeted
from daskflow.search.candidates import candidates_record, check_record, preprocess_params
from daskflow.search.fits import MatrixWork
from daskflow.search.lengths import Lengths
from daskflow.search.policies import Policy
from daskflow.search.steering import CANCELLED
from daskflow.workflow import columns_seen, learning_curve, out_of_fold
from daskflow.workflow.account import card, describe, values
from daskflow.workflow.cache import forget, open_store
from daskflow.workflow.evaluation import TestPart, evaluate_test, remarks
from daskflow.workflow.exports import csv_of
from daskflow.workflow.foresight import as_extended, foreseeing, plan_of, validation_ratio
from daskflow.workflow.interim import tell_evaluated
from daskflow.workflow.kept_predictions import write_parquet
from daskflow.workflow.loading import LAST, loading
from daskflow.workflow.opening import Opening
from daskflow.workflow.preparing import Preparing
from daskflow.workflow.refit import FITTED, Fitted, FittedModel, refit_best
from daskflow.workflow.run import open_run
from daskflow.workflow.scoring import reading_of
from daskflow.workflow.why import explain


class Execution(Preparing):
    """One invocation: what each stage does, in order."""

    def run(self, opening: Opening) -> None:
        """Everything."""
        check_folder(self.executor, self.folder.path)
        with open_store(self.workflow.cache, self.runs) as store:
            check_folder(self.executor, store.folder, option="cache.folder")
            table = opening.table(self.listener)
            self.early = opening.came
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
            if isinstance(policy, Budgeted) and result.ended == policy.ended() and policy.limit:
                found["limit"] = policy.limit
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
        flow, best = self.workflow, result.best
        earlier = next((r for r in reversed(self.recorder.journal.records) if r["record"] == "refitted"), None)
        same = {"trial": best.id, "resource": best.resource}
        if earlier is not None and all(earlier.get(word) == value for word, value in same.items()):
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
        with self.stage("refit"), loading(LAST if self.is_waiting else ()):
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
        record = {"record": "refitted", **same, "sha256": fitted.sha256}
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
