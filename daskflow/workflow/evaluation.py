"""The evaluation: the test rows predicted and judged once, block by block on the cluster."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from daskflow.core.events import Listener, nobody
from daskflow.core.protocols import Executor, Unit
from daskflow.core.results import Evaluation
from daskflow.core.seeds import digest, seed_of
from daskflow.data.aside import Aside, hashes, together
from daskflow.data.blocks import CONTENT, UNIT, Blocks
from daskflow.data.decision import Decision
from daskflow.data.execution import run_all
from daskflow.data.matrices import MatrixPart
from daskflow.data.predictions import ALL, Predictions, predict
from daskflow.data.ranges import usual_block_rows
from daskflow.data.schema import Roles, Schema, Target
from daskflow.data.split_plan import SplitPlan
from daskflow.data.targets import target_codes
from daskflow.metrics import Metric
from daskflow.metrics.asked import Asked
from daskflow.metrics.drift import texts
from daskflow.metrics.over_time import over_time
from daskflow.metrics.slices import SliceTally
from daskflow.metrics.slices_asked import SliceAsked, ask_slices
from daskflow.metrics.tally import Tally
from daskflow.metrics.thresholds import threshold_table
from daskflow.search.training import native_threads
from daskflow.workflow.interim import Interim
from daskflow.workflow.judging_settings import DecisionSettings, EvaluationSettings
from daskflow.workflow.kept_predictions import Judged, keep_piece, piece_path, read_pieces
from daskflow.workflow.refit import Fitted, loaded

UNIT_ROWS, UNITS_PER_SLOT = 50_000, 4
"""Rows of a unit at least, and units there are about for each slot of the cluster."""

MOST_UNIT_ROWS = 200_000
"""Rows of a unit at most: it holds their source columns."""

OVER_TIME_ROWS = 1_000_000
"""Rows that the score over time is taken of: the first ones, a random sample."""

MOST_TOLD = 3
"""Columns of which a run says that they drifted."""

CUT_ROWS = 20_000
"""Test rows from which the groups of slices are taken: cuts, not values."""

SAMPLE_ROWS = 50_000
"""Rows of either part that drift and leaks are taken from."""


@dataclass(frozen=True, slots=True)
class TestPart:
    """The test rows: their matrix, and their source columns.

    Attributes
    ----------
    matrix : MatrixPart
        Under the final transformer.
    aside : Aside
        Source columns, range by range.
    features : Schema
        Columns that the model sees.
    roles : Roles
        The parts that columns play.
    target : Target
        What is predicted.
    """

    matrix: MatrixPart
    aside: Aside
    features: Schema
    roles: Roles
    target: Target

    @property
    def is_grouped(self) -> bool:
        """Whether a group or a key says which rows belong together."""
        return self.roles.group is not None or bool(self.roles.key)

    def rows(self, block: int) -> pa.Table:
        """Return the source columns of a block's rows."""
        return self.aside.test(self.matrix.ranges[block])

    def sample(self, n_rows: int, columns: Sequence[str] | None = None) -> tuple[pa.Table, slice]:
        """Return source columns (default: all) of about so many rows, a random sample, and which rows they are."""
        tables, found = [], 0
        for block in range(self.matrix.n_blocks):
            if found >= n_rows:
                break
            rows = self.rows(block)
            tables.append(rows if columns is None else rows.select(columns))
            found += len(tables[-1])
        places = np.arange(min(found, n_rows))  # taken, not cut: a slice travels with all that it was cut from
        return together(tables).take(pa.array(places)), slice(0, len(places))

    def train_sample(self, columns: Sequence[str] | None = None) -> tuple[pa.Table, Any]:
        """Return source columns of a random sample of the training rows, and their class codes or numbers.

        The target is among the columns; default: all.
        """
        table = self.aside.train(columns).slice(0, SAMPLE_ROWS)
        return table, target_codes(table.column(self.target.name), self.target)


@dataclass(frozen=True, slots=True)
class Judging:
    """What a unit of the evaluation needs to know."""

    part: TestPart
    fitted: Fitted
    decision: Decision
    asked: Asked
    slices: SliceAsked | None
    folder: str


def aside_of(blocks: Blocks, plan: SplitPlan, folder: Path, block_rows: int | None) -> Aside:
    """Return what is kept of the source rows for the evaluation: the test's, and a sample of the training's."""
    roles = blocks.roles
    names = [*blocks.features.names, roles.target, roles.group, roles.time, *roles.keep]
    columns = tuple(dict.fromkeys(name for name in names if name and name in blocks.schema.names))
    rows = block_rows or usual_block_rows(blocks.n_rows)
    share = max(1e-9, plan.sizes["train"] + plan.sizes["validation"]) / max(blocks.n_rows, 1)
    n_ranges = min(math.ceil(SAMPLE_ROWS / (rows * share)), max(1, math.ceil(blocks.n_rows / rows)))
    files = sorted(Path(file.path).name for file in blocks.files)
    token = digest([files, blocks.schema.dump(), plan.token, rows, list(columns), n_ranges], 24)
    return Aside(str(folder.absolute()), columns, tuple(plan.final), n_ranges, token)


def remarks(details: Mapping[str, Any]) -> list[str]:
    """Return sentences that a user should hear at once: columns that give the target away, and those that moved."""
    found = [str(leak["text"]) for leak in details.get("leaks", ())]
    moved = texts(list(details.get("drift", ())))
    if len(moved) > MOST_TOLD:
        moved = [*moved[:MOST_TOLD], f"{len(moved) - MOST_TOLD} more columns differ so; the report shows them."]
    return found + moved


def evaluate_test(
    part: TestPart,
    fitted: Fitted,
    decision: Decision,
    metrics: Sequence[Metric],
    main: Metric,
    *,
    settings: EvaluationSettings,
    decided: DecisionSettings,
    folder: Path,
    executor: Executor,
    seed: int,
    listener: Listener = nobody,
) -> tuple[Evaluation, Judged]:
    """Predict the test rows and judge them in one pass, by units beside each other; nothing is chosen by them.

    Parameters
    ----------
    part : TestPart
        The rows.
    fitted, decision : Fitted, Decision
        The estimator, and what stands between its probabilities and its answers.
    metrics, main : sequence of Metric, Metric
        All, and the one that slices are judged by.
    settings, decided : EvaluationSettings, DecisionSettings
        What is asked.
    folder : Path
        Where units put predictions.
    executor : Executor
        Runs one unit for several blocks.
    seed : int
        The workflow's.
    listener : callable
        Hears how far it is, and ``evaluated`` as intervals tighten; not of the end.
    """
    target = part.target
    task, classes = str(target.task), [str(label) for label in target.classes]
    asked = Asked(tuple(metrics), task, tuple(classes), seed_of(seed, "evaluation"), settings.replicates)
    slices = None
    if settings.slices and part.matrix.n_rows:
        n_blocks = _blocks(part.matrix, CUT_ROWS)
        first = Unit("judge-first", said_of, (fitted, decision, part.matrix.head(n_blocks), len(classes)))
        said = run_all(executor, [first])[first.key]
        sample = together([part.rows(block) for block in range(n_blocks)]).select(_shown(part))
        named = list(settings.named("slices")) or None
        n_rows, draw = part.matrix.n_rows, seed_of(seed, "slices")
        slices = ask_slices(main, task, tuple(classes), sample, said, columns=named, n_rows=n_rows, seed=draw)
    folder.mkdir(parents=True, exist_ok=True)
    work = Judging(part, fitted, decision, asked, slices, str(folder))
    units = [
        Unit(f"judge-{number}", judge, (work, number, blocks))
        for number, blocks in enumerate(block_groups(part.matrix, executor.slots))
    ]
    interim = Interim(listener, [unit.key for unit in units], part.matrix.n_rows)
    answers = run_all(executor, units, on_done=interim.heard)
    tally, sliced = reduce(_merged, (answers[unit.key] for unit in units))
    found: Evaluation = tally.evaluation()
    judged = read_pieces(folder, range(len(units)))
    details = {**found.details, **(sliced.result() if sliced is not None else {})}
    details |= _of_all_rows(part, judged, main, decision, decided=decided, seed=seed)
    return Evaluation(found.metrics, found.n_rows, details), judged


def _merged(left: tuple[Tally, SliceTally | None], right: tuple[Tally, SliceTally | None]) -> Any:
    """Merge what two units found."""
    sliced = None if left[1] is None or right[1] is None else left[1].merge(right[1])
    return left[0].merge(right[0]), sliced


def block_groups(part: MatrixPart, slots: int) -> list[range]:
    """Cut the blocks of a part into what one unit goes through: rows enough, and units enough for all slots.

    Examples
    --------
    >>> part = MatrixPart("", 400, 1, tuple(range(0, 401, 100)), (0, 1, 2, 3), False, False)
    >>> block_groups(part, slots=2)
    [range(0, 4)]
    """
    rows = min(MOST_UNIT_ROWS, max(UNIT_ROWS, part.n_rows // (slots * UNITS_PER_SLOT) + 1))
    groups, first = [], 0
    for block in range(part.n_blocks):
        if part.offsets[block + 1] - part.offsets[first] >= rows or block + 1 == part.n_blocks:
            groups.append(range(first, block + 1))
            first = block + 1
    return groups


def judge(work: Judging, number: int, blocks: Sequence[int]) -> tuple[Tally, SliceTally | None]:
    """Predict some blocks, keep what was said of their rows, and return the tallies of it."""
    part, estimator = work.part, loaded(work.fitted)
    n_classes = len(part.target.classes)
    needs = ALL if work.decision.is_empty else ALL - {"labels", "predictions"}  # a decision gives its own answers
    said, truths, weights, tables = [], [], [], []
    for block in blocks:
        batch = part.matrix.block(block)
        with native_threads(estimator):
            said.append(work.decision.apply(predict(estimator, batch.X, n_classes, needs)))
        truths.append(np.array(batch.y))
        weights.append(None if batch.weight is None else np.array(batch.weight))
        tables.append(part.rows(block))
    rows = together(tables)
    joined = (_joined([getattr(each, name) for each in said]) for name in ("labels", "probabilities", "scores"))
    judged = Judged(
        np.concatenate(truths), Predictions(*joined), _joined(weights), hashes(rows, UNIT), hashes(rows, CONTENT)
    )
    keep_piece(piece_path(work.folder, number), judged)
    unit = judged.unit if part.is_grouped else None
    start = part.matrix.offsets[blocks[0]]
    tally = Tally.of(work.asked, judged.y, judged.said, judged.weight, unit, start)
    if work.slices is None:
        return tally, None
    return tally, SliceTally.of(work.slices, rows, judged.y, judged.said, judged.weight, unit, start)


def _blocks(part: MatrixPart, n_rows: int) -> int:
    """How many first blocks hold so many rows."""
    return next((block + 1 for block in range(part.n_blocks) if part.offsets[block + 1] >= n_rows), part.n_blocks)


def said_of(fitted: Fitted, decision: Decision, part: MatrixPart, n_classes: int) -> Predictions:
    """Return what is said of a part's rows."""
    estimator = loaded(fitted)
    with native_threads(estimator):
        return decision.apply(predict(estimator, part.whole().X, n_classes))


def _of_all_rows(
    part: TestPart,
    judged: Judged,
    main: Metric,
    decision: Decision,
    *,
    decided: DecisionSettings,
    seed: int,
) -> dict[str, Any]:
    """What needs all rows: thresholds, and the score over time."""
    target, found = part.target, dict[str, Any]()
    task, classes = str(target.task), [str(label) for label in target.classes]
    if task == "binary" and _are_whole(judged):
        found["thresholds"] = threshold_table(
            judged.y,
            judged.said.probabilities,
            judged.weight,
            costs=decided.costs,
            chosen=0.5 if decision.threshold is None else decision.threshold,
            rule="" if decided.rule is None else str(decided.rule),
        )
    if part.roles.time is not None and pa.types.is_temporal(part.rows(0).schema.field(part.roles.time).type):
        blocks = range(_blocks(part.matrix, OVER_TIME_ROWS))
        times = np.concatenate([_instants(part.rows(block).column(part.roles.time)) for block in blocks])
        shown = judged.head(slice(0, len(times)))
        if not np.isnat(times).all():
            found["over_time"] = over_time(
                main,
                task,
                classes,
                times,
                shown.y,
                shown.said,
                shown.weight,
                shown.unit if part.is_grouped else None,
                column=part.roles.time,
                seed=seed_of(seed, "over-time"),
            )
    return found


def _are_whole(judged: Judged) -> bool:
    """Whether every row has a probability, and some row counts."""
    probability = judged.said.probabilities
    counts = judged.weight is None or bool((judged.weight > 0).any())
    return probability is not None and counts and bool(((probability >= 0) & (probability <= 1)).all())


def _shown(part: TestPart) -> list[str]:
    """Columns that slices are made of: what the model sees, and those of the roles but the target."""
    names = [*part.features.names, part.roles.group, part.roles.time, *part.roles.keep]
    return list(dict.fromkeys(name for name in names if name and name in part.aside.columns))


def _instants(column: Any) -> Any:
    """Times as numpy has them."""
    instants = column.cast(pa.timestamp("us", tz=getattr(column.type, "tz", None)), safe=False)
    return instants.to_numpy().astype("datetime64[us]")


def _joined(arrays: Sequence[Any]) -> Any:
    return None if arrays[0] is None else np.concatenate(arrays)
