"""Splits: which rows train, validate and test, decided by what a row is and not by where it stands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from daskflow.core.errors import DataError
from daskflow.core.protocols import Executor
from daskflow.data.blocks import Blocks
from daskflow.data.counts import Sides, segment_counts, straddling
from daskflow.data.placement import Counts
from daskflow.data.schema import Target
from daskflow.data.split_columns import named_by_column
from daskflow.data.split_draws import EXACT_ROWS, draw, draw_sample, folds_of, units_of
from daskflow.data.split_plan import TEST, Draws, Fold, Named, Rule, Sampled, SplitPlan
from daskflow.data.split_settings import Split
from daskflow.data.split_times import split_by_time

__all__ = ["TEST", "Fold", "Split", "SplitPlan", "plan_split"]

NOTABLE = 0.01
"""A share that misses what was asked by more is worth a warning."""

SAMPLE_MISS = 0.1
"""A sample that misses its size by a larger share of it is worth a warning."""

MANY_COPIES = 0.05
"""A row with at least this share of all rows as copies is worth a warning."""

NAMED_FOLDS = 5
"""So many folds that lack a class are named one by one."""


@dataclass(frozen=True, slots=True)
class _Decided:
    """A split before its rows are counted."""

    rule: Rule
    folds: tuple[Fold, ...]
    final: tuple[int, ...]


def plan_split(split: Split, blocks: Blocks, target: Target, executor: Executor) -> SplitPlan:
    """Decide a split; it depends on the rows alone, not on files, partitions or cluster.

    Parameters
    ----------
    split : Split
        As asked; its default is filled in when neither folds nor validation is named.
    blocks : Blocks
        The scanned table.
    target : Target
        Its classes, for ``stratified``, and for warnings of folds that lack one.
    executor : Executor
        Counts on the cluster.

    Raises
    ------
    DataError
        When a role is missing, the column of the times or of predefined parts has gaps, or a part would be empty.
    """
    split = split.resolve(blocks.n_rows, stops_early=False)
    if split.kind == "group" and blocks.roles.group is None:
        raise DataError("split.kind = 'group' needs the column of the groups: say group = 'COLUMN' under [data].")
    if split.kind == "stratified" and not target.task.is_classification:
        raise DataError(
            f"split.kind = 'stratified' needs classes; the target '{target.name}' is a regression. Use kind = 'random'."
        )
    decided = _decide(split, blocks, target, executor)
    counts = segment_counts(blocks.files, Sides(decided.rule, target), executor)
    share = split.sample_share(int(counts[:-1].sum()))
    if share < 1:
        kept = draw_sample(share, split, blocks, target, executor, decided.rule)
        decided = _Decided(Sampled(decided.rule, kept), decided.folds, decided.final)
        counts = segment_counts(blocks.files, Sides(decided.rule, target), executor)
    plan = SplitPlan(
        kind=split.kind,
        rule=decided.rule,
        folds=decided.folds,
        final=decided.final,
        rows=tuple(counts.sum(axis=1).tolist()),
        asked={},
        obtained={},
        class_rows=counts if target.task.is_classification else None,
    )
    return _checked(plan, split, blocks, target, executor)


def _decide(split: Split, blocks: Blocks, target: Target, executor: Executor) -> _Decided:
    """Decide by kind."""
    if split.kind == "time":
        timed = split_by_time(split, blocks, executor)
        return _Decided(timed.rule, timed.folds, timed.final)
    if split.kind == "predefined":
        named, folds = named_by_column(blocks, executor)
        if not folds:
            rest = draw(split, blocks, target, executor, within=named)
            return _all_but_test(Named(named.column, named.named, rest), folds_of(split))
        return _all_but_test(named, folds)
    return _all_but_test(draw(split, blocks, target, executor), folds_of(split))


def _all_but_test(rule: Draws | Named, folds: tuple[Fold, ...]) -> _Decided:
    """The winner is fitted on all segments."""
    return _Decided(rule, folds, tuple(range(rule.n_segments)))


def _checked(plan: SplitPlan, split: Split, blocks: Blocks, target: Target, executor: Executor) -> SplitPlan:
    """Say which part is empty, what was obtained, and what is worth a warning."""
    _refuse_empty(plan, split, blocks)
    n_rows = blocks.n_rows
    asked, obtained = {"test": split.test}, {"test": plan.rows[-1] / n_rows}
    if plan.has_validation:
        share = plan.rows_of(plan.folds[0].validation) / n_rows
        sampled = split.sample_share(n_rows - plan.rows[-1])
        asked["validation"], obtained["validation"] = (split.validation or share / sampled) * sampled, share
    if split.kind == "predefined":
        asked = dict(obtained)
    warnings = [
        f"The {part} part has {obtained[part]:.1%} of the rows instead of {share:.1%}: "
        f"the {'times' if split.kind == 'time' else units_of(blocks)} cannot be cut finer."
        for part, share in asked.items()
        if abs(obtained[part] - share) > NOTABLE
    ]
    warnings += [
        *_sampled(plan, split, blocks),
        *_copies(split, blocks),
        *_lacking(plan, target),
        *_cut_groups(plan, split, blocks, target, executor),
    ]
    return SplitPlan(
        plan.kind,
        plan.rule,
        plan.folds,
        plan.final,
        plan.rows,
        asked,
        obtained,
        plan.class_rows,
        tuple(warnings),
    )


def _refuse_empty(plan: SplitPlan, split: Split, blocks: Blocks) -> None:
    """Raise for parts that have no rows."""
    empty = []
    for number, fold in enumerate(plan.folds, start=1):
        where = "" if plan.has_validation else f" of fold {number}"
        empty += [f"training{where}"] if not plan.rows_of(fold.train) else []
        empty += [f"validation{where}"] if not plan.rows_of(fold.validation) else []
    empty += ["the refit"] if not plan.rows_of(plan.final) else []
    empty += ["test"] if split.test and not plan.rows[-1] else []
    if not empty:
        return
    if split.kind == "time":
        gap = "" if split.gap is None else f", or a gap shorter than {split.gap}"
        way = f"Use fewer folds or other shares{gap}; equal times are never cut."
    else:
        way = "Use fewer folds or other shares; equal rows, keys and groups are never cut."
    way += "" if split.sample is None else " A larger split.sample leaves more rows."
    shown = ", ".join(empty[:NAMED_FOLDS]) + (f" and {len(empty) - NAMED_FOLDS} more" * (len(empty) > NAMED_FOLDS))
    raise DataError(f"The split leaves no rows for {shown}: {blocks.n_rows} rows, kind = '{split.kind}'. {way}")


def _sampled(plan: SplitPlan, split: Split, blocks: Blocks) -> list[str]:
    """Say what a sample leaves out."""
    if split.sample is None:
        return []
    rest = blocks.n_rows - plan.rows[-1]
    if not plan.left_out:
        return [f"split.sample asks for {split.sample:,} rows, and {rest:,} are not test: all of them are used."]
    asked, kept = round(rest * split.sample_share(rest)), rest - plan.left_out
    found = [
        f"split.sample leaves out {plan.left_out:,} of the {rest:,} rows that are not test: no model learns from them "
        f"or is scored on them. {kept:,} are used."
    ]
    if abs(kept - asked) > SAMPLE_MISS * asked:
        found.append(
            f"The sample was to have {asked:,} rows, and has {kept:,}: {units_of(blocks)} cannot be cut finer."
        )
    return found


def _copies(split: Split, blocks: Blocks) -> list[str]:
    """Warn of a row with so many copies that the part it stands in has another mix than the rest."""
    has_sides = split.kind in ("time", "predefined")
    most = blocks.heavy[0].count if blocks.heavy and not has_sides else 0
    if most < MANY_COPIES * blocks.n_rows:
        return []
    return [
        f"One row stands {most:,} times ({most / blocks.n_rows:.1%} of the rows). Its copies stand in one part of the "
        "split, so that no model is tested on rows it has seen; the parts therefore differ in their mix of rows."
    ]


def _lacking(plan: SplitPlan, target: Target) -> list[str]:
    """Warn of classes that a fold does not learn, or that it is not judged by."""
    if plan.class_rows is None:
        return []
    warnings = []
    for code, label in enumerate(target.classes):
        of_class = plan.class_rows[:, code]
        where = []
        for side, verb in (("train", "trains"), ("validation", "validates")):
            folds = [k for k, fold in enumerate(plan.folds, start=1) if not _rows_in(of_class, getattr(fold, side))]
            if folds and plan.has_validation:
                where.append("the training part" if side == "train" else "the validation part")
            elif folds:
                where.append(f"what {_folds_in_words(folds)} {verb if len(folds) == 1 else verb[:-1]} on")
        if plan.rows[-1] and not of_class[-1]:
            where.append("the test part")
        if where:
            advice = "" if plan.kind != "random" else " kind = 'stratified' gives every part its share."
            warnings.append(
                f"Class {label!r} of '{target.name}' has {int(of_class.sum()):,} rows, and none of them is in "
                f"{', nor in '.join(where)}: scores there say nothing of it.{advice}"
            )
    return warnings


def _rows_in(counts: Counts, segments: Iterable[int]) -> int:
    return int(sum(counts[segment] for segment in segments))


def _folds_in_words(folds: list[int]) -> str:
    shown = ", ".join(map(str, folds[:NAMED_FOLDS]))
    more = f" and {len(folds) - NAMED_FOLDS} more" if len(folds) > NAMED_FOLDS else ""
    return f"fold{'s' if len(folds) > 1 else ''} {shown}{more}"


def _cut_groups(plan: SplitPlan, split: Split, blocks: Blocks, target: Target, executor: Executor) -> list[str]:
    """Warn of groups or keys that a split by time or by a column may cut."""
    has_own_units = blocks.roles.group is not None or bool(blocks.roles.key)
    if not has_own_units or split.kind not in ("time", "predefined"):
        return []
    if split.kind == "time" or blocks.n_rows > EXACT_ROWS:
        return [f"A {split.kind} split looks at '{plan.column}' alone: {units_of(blocks)} may stand on both sides."]
    cut = straddling(blocks.files, Sides(plan.rule, target), executor)
    if not cut:
        return []
    return [
        f"{cut:,} of the {units_of(blocks)} have rows in several parts of '{plan.column}': "
        "what a model learned of them it is judged by."
    ]
