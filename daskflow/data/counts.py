"""Counts over blocks that a split is planned from: units, their places in hash order, words and segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from daskflow.core.protocols import Executor, Unit
from daskflow.data.blocks import UNIT, BlockFile, groups_of, hashes_of, open_block
from daskflow.data.execution import run_all
from daskflow.data.hashing import Hashes, mix
from daskflow.data.placement import Counts, merged
from daskflow.data.schema import Target
from daskflow.data.split_plan import TEST, Rule, Segments, words_of
from daskflow.data.targets import target_codes

GROUP_ROWS, MOST_GROUPS = 1 << 20, 64

Pairs = tuple[Hashes, NDArray[np.int64], Counts]


@dataclass(frozen=True, slots=True, eq=False)
class Sides:
    """Which segment the rows of a block have by a rule."""

    rule: Rule
    target: Target

    def of(self, block: pa.Table) -> Segments:
        """Return each row's segment."""
        column = None if self.rule.column is None else block.column(self.rule.column)
        codes = codes_of(block, self.target) if self.rule.reads_target else None
        return self.rule.segments(hashes_of(block, UNIT), codes, column)


def over(files: Sequence[BlockFile], step: str, function: Any, arguments: tuple[Any, ...], executor: Executor) -> Any:
    """Run a function on groups of files."""
    groups = groups_of(tuple(files), rows=GROUP_ROWS, most=MOST_GROUPS)
    units = [
        Unit(f"split-{step}-{number}", function, ([files[place] for place in group], *arguments))
        for number, group in enumerate(groups)
    ]
    answers = run_all(executor, units)
    return [answers[unit.key] for unit in units]


def codes_of(block: pa.Table, target: Target | None) -> NDArray[np.int64]:
    """Return the class codes of a block's rows; zeros without classes."""
    if target is None or not target.task.is_classification:
        return np.zeros(block.num_rows, dtype=np.int64)
    return np.asarray(target_codes(block.column(target.name), target), dtype=np.int64)


def unit_counts(
    files: Sequence[BlockFile], target: Target | None, executor: Executor, within: Sides | None = None
) -> Pairs:
    """Return every (unit, class) pair with its rows, sorted; class 0 without a target.

    Parameters
    ----------
    files : sequence of BlockFile
        All blocks.
    target : Target or None
        Gives the classes.
    within : Sides, optional
        Only the rows that are not test by this rule.
    """
    return merged(over(files, "units", _unit_counts, (target, within), executor))


def _unit_counts(files: Sequence[BlockFile], target: Target | None, within: Sides | None) -> Pairs:
    parts: list[Pairs] = []
    for file in files:
        block = open_block(file)
        units, codes = hashes_of(block, UNIT), codes_of(block, target)
        if within is not None:
            inside = within.of(block) != TEST
            units, codes = units[inside], codes[inside]
        parts.append((units, codes, np.ones(len(units), dtype=np.int64)))
    return merged(parts)


def place_counts(
    files: Sequence[BlockFile],
    salt: int,
    heavy: Hashes,
    target: Target | None,
    bits: int,
    executor: Executor,
    within: Sides | None = None,
) -> tuple[Counts, Counts]:
    """Count rows for a cut in hash order.

    Parameters
    ----------
    files : sequence of BlockFile
        All blocks.
    salt : int
        Of the order.
    heavy : ndarray of uint64
        Units that are counted one by one, sorted.
    target : Target or None
        Gives the classes.
    bits : int
        Leading bits of a place.
    within : Sides, optional
        Only the rows that are not test by this rule.

    Returns
    -------
    ndarray of shape (n_classes, 2**bits), ndarray of shape (n_heavy,)
        Light rows by class and place; rows of heavy units.
    """
    found = over(files, "places", _place_counts, (salt, heavy, target, bits, within), executor)
    light, alone = zip(*found, strict=True)
    return np.sum(light, axis=0), np.sum(alone, axis=0)


def _place_counts(
    files: Sequence[BlockFile], salt: int, heavy: Hashes, target: Target | None, bits: int, within: Sides | None
) -> tuple[Counts, Counts]:
    n_classes = len(target.classes) if target else 1
    total, alone = np.zeros(n_classes << bits, dtype=np.int64), np.zeros(len(heavy), dtype=np.int64)
    for file in files:
        block = open_block(file)
        units, codes = hashes_of(block, UNIT), codes_of(block, target)
        if within is not None:
            inside = within.of(block) != TEST
            units, codes = units[inside], codes[inside]
        is_heavy = np.isin(units, heavy)
        alone += np.bincount(np.searchsorted(heavy, units[is_heavy]), minlength=len(heavy))
        units, codes = units[~is_heavy], codes[~is_heavy]
        bins = (mix(units, salt) >> np.uint64(64 - bits)).astype(np.int64) + (codes << bits)
        total += np.bincount(bins, minlength=len(total))
    return total.reshape(n_classes, -1), alone


def class_of(file: BlockFile, unit: int, target: Target) -> int:
    """Return the class of a unit whose rows all have the same, from one file that has it."""
    block = open_block(file)
    row = int(np.flatnonzero(hashes_of(block, UNIT) == np.uint64(unit))[0])
    return int(target_codes(block.column(target.name).slice(row, 1), target)[0])


def word_counts(files: Sequence[BlockFile], column: str, most: int, executor: Executor) -> dict[str, int]:
    """Return the rows of each word of a column without gaps; no more than one word beyond `most`."""
    total: dict[str, int] = {}
    for found in over(files, "words", _word_counts, (column, most), executor):
        for word, count in found.items():
            total[word] = total.get(word, 0) + count
    return total


def _word_counts(files: Sequence[BlockFile], column: str, most: int) -> dict[str, int]:
    total: dict[str, int] = {}
    for file in files:
        codes, words = words_of(open_block(file).column(column))
        counts = np.bincount(codes, minlength=len(words)).tolist()
        for word, count in zip(words, counts, strict=True):
            if count and (word in total or len(total) <= most):
                total[word] = total.get(word, 0) + count
    return total


def segment_counts(files: Sequence[BlockFile], sides: Sides, executor: Executor) -> Counts:
    """Return the rows of each segment, and the test's last, by class; shape (n_segments + 1, n_classes or 1)."""
    found = over(files, "segments", _segment_counts, (sides,), executor)
    return np.asarray(sum(found[1:], start=found[0]))


def _segment_counts(files: Sequence[BlockFile], sides: Sides) -> Counts:
    n_segments, n_classes = sides.rule.n_segments, max(1, len(sides.target.classes))
    total = np.zeros((n_segments + 1) * n_classes, dtype=np.int64)
    for file in files:
        block = open_block(file)
        rows = np.minimum(sides.of(block).astype(np.int64), n_segments) * n_classes + codes_of(block, sides.target)
        total += np.bincount(rows, minlength=len(total))
    return total.reshape(n_segments + 1, n_classes)


def straddling(files: Sequence[BlockFile], sides: Sides, executor: Executor) -> int:
    """Return how many units have rows in several segments."""
    units, _, _ = merged(over(files, "straddling", _sides_of_units, (sides,), executor))
    return int(np.count_nonzero(np.unique(units, return_counts=True)[1] > 1))


def _sides_of_units(files: Sequence[BlockFile], sides: Sides) -> Pairs:
    parts: list[Pairs] = []
    for file in files:
        block = open_block(file)
        units = hashes_of(block, UNIT)
        parts.append((units, sides.of(block).astype(np.int64), np.ones(len(units), dtype=np.int64)))
    return merged(parts)
