"""Preparing: what a run does before its first fit, from the scan to the matrices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import daskflow
import daskflow.metrics
from daskflow.core.errors import (
    SettingsError,
)
from daskflow.core.journal import write_atomically
from daskflow.data import matrices as matrices_of
from daskflow.data import passes
from daskflow.data.aside import Aside
from daskflow.data.blocks import Blocks
from daskflow.data.joins import in_words
from daskflow.data.ranges import RangeReader
from daskflow.data.scan import scan
from daskflow.data.schema import Target
from daskflow.data.splits import SplitPlan, plan_split
from daskflow.data.store import BlockStore, size
from daskflow.data.table import Table
from daskflow.data.targets import target_of
from daskflow.metrics import Metric
from daskflow.preprocess.fitted import FittedPreprocessor
from daskflow.search.fits import MatrixWork
from daskflow.search.policies import Policy
from daskflow.workflow import out_of_fold
from daskflow.workflow.account import describe
from daskflow.workflow.cache import Room
from daskflow.workflow.continuing import check_fingerprint
from daskflow.workflow.evaluation import aside_of
from daskflow.workflow.memory import memory_notes
from daskflow.workflow.plan import matrices_bytes
from daskflow.workflow.recording import origin_of
from daskflow.workflow.rejects import rejects_csv
from daskflow.workflow.stages import Stages
from daskflow.workflow.variants import Variant, variants_of


@dataclass(frozen=True)
class Prepared:
    """A preprocessing fitted on each fold's training rows and on all but the test's, and the matrices it makes."""

    variant: Variant
    fitted: list[FittedPreprocessor]
    matrices: matrices_of.Matrices


class Preparing(Stages):
    """The stages that read the table: each leaves on disk what the next one needs."""

    def aside(self, blocks: Blocks, plan: SplitPlan) -> Aside:
        """What is kept of the source rows until the evaluation is done."""
        return aside_of(blocks, plan, self.folder.judging / "rows", self.workflow.cache.block_rows)

    def room_for(self, table: Table, store: BlockStore) -> Callable[[int], None]:
        """Return what checks, before the scan, whether the blocks that are missing and the matrices will fit."""
        cache = self.workflow.cache
        matrices = 0  # those of an earlier invocation have their room already
        if not self.folder.matrices.exists():
            matrices = matrices_bytes(self.workflow, table, n_features=len(table.features.columns))

        def check(blocks_bytes: int) -> None:
            room = Room(store.folder, self.folder.path, blocks_bytes, matrices, cache)
            room.check()
            if room.problem:
                self.warn(f"There may be too little room: {room.problem}")

        return check

    def prepared(self, table: Table, store: BlockStore) -> tuple[Any, ...]:
        """Everything that reads blocks: from the scan to the matrices."""
        blocks = self.scan(table, store)
        target = target_of(blocks, table.task, table.positive)
        out_of_fold.check(self.workflow.decision, target, self.workflow.model)
        metrics, metric = self.metrics(target)
        return blocks, target, metrics, metric, *self.prepare(blocks, target, metrics, metric)

    def scan(self, table: Table, store: BlockStore) -> Blocks:
        """Decode the partitions that have no block yet, and see that the data are those the run began with."""
        with self.stage("scan") as found:
            before = self.executor.decoded
            try:
                with self.downloading(found) as listener:
                    blocks = scan(table, store, self.executor, listener)
            finally:
                found["partition_reads"] = self.executor.decoded - before
        began = next((r["fingerprint"] for r in self.recorder.journal.records if r["record"] == "data"), None)
        if began is None:
            known = {"fingerprint": blocks.fingerprint, "origin": origin_of(table), "rows": blocks.n_rows}
            self.recorder.append({"record": "data", **known})
        else:
            check_fingerprint(began, blocks)
        if blocks.rejects:
            self.write_rejects(blocks)
        kept = store.kept_bytes()
        if kept is not None and blocks.n_bytes > kept:
            self.warn(
                f"The blocks take {size(blocks.n_bytes)}, and the store keeps {size(kept)}: some go when the run ends, "
                "and the next run reads their files again. Raise cache.limit, or choose another cache.folder."
            )
        for join, count in zip(table.joins, blocks.joins, strict=True):
            if count.unmatched:
                self.warn(in_words(count, join.how))
        return blocks

    def write_rejects(self, blocks: Blocks) -> None:
        """Write the refused rows with file, line and reason."""
        self.folder.rejects.mkdir(exist_ok=True)
        write_atomically(self.folder.rejects / "rows.csv", rejects_csv(blocks.rejects).encode())
        self.warn(f"{len(blocks.rejects):,} rows were refused; rejects/rows.csv says which and why.")

    def metrics(self, target: Target) -> tuple[list[Metric], Metric]:
        """Return every metric, and the one that ranks; SettingsError for those that do not fit the task."""
        task = str(target.task)
        parse = daskflow.metrics.parse
        chosen = list(self.workflow.metrics) or [parse(name) for name in daskflow.metrics.defaults(task)]
        word = self.workflow.search.metric or (
            chosen[0].name if self.workflow.metrics else daskflow.metrics.default_for_ranking(task)
        )
        ranking = next((metric for metric in chosen if metric.name == word), None) or parse(word)
        if ranking not in chosen:
            chosen.append(ranking)
        problems = [problem for metric in chosen if (problem := daskflow.metrics.check(metric, task)) is not None]
        if problems:
            raise SettingsError(problems)
        n_classes = len(target.classes)
        return [metric.for_task(task, n_classes) for metric in chosen], ranking.for_task(task, n_classes)

    def prepare(
        self, blocks: Blocks, target: Target, metrics: list[Metric], metric: Metric
    ) -> tuple[MatrixWork, list[Prepared], SplitPlan, Policy]:
        """Draw the candidates, split, collect statistics, fit each preprocessing for each fold, write the matrices."""
        flow, task = self.workflow, str(target.task)
        policy, variants = self.draw(task)
        balancing = flow.balance.settled(target)
        with self.stage("split"):
            plan = plan_split(flow.split.resolve(blocks.n_rows, flow.search.stops_early), blocks, target, self.executor)
        for text in plan.warnings:
            self.warn(text)
        reader = RangeReader(blocks, plan, target, flow.cache.block_rows)
        made = flow.preprocess.preparation(blocks.features)
        with self.stage("statistics"):
            needs: dict[str, set[Any]] = {}
            for variant in variants:
                variant.preprocess.check(blocks.features, blocks.schema.names)
                for name, asked in variant.preprocess.needs(blocks.features, blocks.profile).items():
                    needs.setdefault(name, set()).update(asked)
            reads = [variant.preprocess.reads(blocks.features) for variant in variants]
            statistics = passes.collect(
                reader,
                {name: frozenset(asked) for name, asked in needs.items()},
                self.executor,
                self.listener,
                prepare=made.checked,
                columns=list(dict.fromkeys(name for names in reads for name in names)),
            )
        trained = [fold.train for fold in plan.folds] + [plan.final]
        sparse: Any = "auto" if flow.model.takes_sparse(task) else False
        prepared: list[Prepared] = []
        with self.stage("matrices"):
            for number, variant in enumerate(variants):
                fitted = [
                    variant.preprocess.fit(blocks.features, statistics.only(part), sparse=sparse) for part in trained
                ]
                for text in fitted[-1].warnings:
                    self.warn(text)
                if number == 0:
                    describe(self.folder, flow, blocks, target, plan, fitted[-1])
                matrices = matrices_of.build(
                    reader,
                    fitted[:-1],
                    fitted[-1],
                    self.folder.matrices if len(variants) == 1 else self.folder.matrices / f"variant-{number}",
                    self.executor,
                    self.listener,
                    prepare=made.apply,
                    balancing=balancing,
                    aside=self.aside(blocks, plan) if number == 0 and plan.sizes["test"] else None,
                )
                prepared.append(Prepared(variant, fitted, matrices))
        self.warn_of_rows(task, prepared[0].matrices.final)
        with self.heeding():
            work = self.work(prepared, metrics, metric, target)
        return work, prepared, plan, policy

    def warn_of_rows(self, task: str, part: matrices_of.MatrixPart | None) -> None:
        """Warn of what the families say of so many rows, and of fits that no worker has the memory for."""
        if part is None:
            return
        for text in self.workflow.model.notes(task, part.n_rows):
            self.warn(text)
        if not part.is_sparse:
            for text in memory_notes(self.workflow, task, part.n_rows, part.n_features):
                self.warn(text)

    def draw(self, task: str) -> tuple[Policy, list[Variant]]:
        """Draw the candidates, and list the preprocessings they have."""
        flow = self.workflow
        space = flow.space(task)
        with self.heeding():
            policy = flow.search.policy(space, seed=flow.seed)
        ever = [*policy.candidates, *getattr(policy, "left_out", ())]  # its budget may be extended while it runs
        drawn = [candidate.params for candidate in ever] if flow.search.draws_first else None
        return policy, variants_of(flow.preprocess, space, drawn)

    def work(self, prepared: list[Prepared], metrics: list[Metric], metric: Metric, target: Target) -> MatrixWork:
        """What one fit is."""
        flow = self.workflow
        self.folder.snapshots.mkdir(exist_ok=True)
        return MatrixWork(
            model=flow.model,
            task=str(target.task),
            n_classes=len(target.classes),
            matrices=prepared[0].matrices,
            variants=[(each.variant.params, each.matrices) for each in prepared] if len(prepared) > 1 else (),
            metrics=metrics,
            metric=metric.name,
            seed=flow.seed,
            snapshots=self.folder.snapshots,
            search=flow.search,
        )
