"""Splits: which rows train, validate and test, decided by what a row is and not by where it stands."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from daskflow.core.errors import DataError
from daskflow.core.protocols import Executor
from daskflow.core.settings import Settings
from daskflow.data.blocks import UNIT, Blocks
from daskflow.data.counts import class_of, instants, place_counts, time_cuts, unit_counts
from daskflow.data.hashing import Hashes, mix, salt_of
from daskflow.data.heavy import heavy_values
from daskflow.data.placement import Placed, is_heavy, majority, place
from daskflow.data.schema import Target

TEST = 255
"""Segment of the rows that nothing but the final evaluation sees."""

EXACT_ROWS = 1_000_000
"""Up to here every unit is ranked; above, light units are cut at the edges of 2**20 bins."""

PLACE_BITS, LEAST_BITS = 20, 10
MOST_FOLDS = 100
NOTABLE = 0.01
"""A share that misses what was asked by more is worth a warning."""

MANY_COPIES = 0.05
"""A row with at least this share of all rows as copies is worth a warning."""

FOLDS, VALIDATION, MANY_ROWS = 3, 0.1, 1_000_000
"""What a split that names neither has: folds; a validation part for early stopping and for large tables."""


class Split(Settings):
    """How rows are split.

    Attributes
    ----------
    kind : str
        ``random``; ``stratified``: every class has the asked shares; ``group``: random, by the column that
        ``group`` names; ``time``: the last rows are the test. In all but ``time`` equal rows, rows of equal key and
        rows of equal group stand on one side.
    test : float
        Share of all rows that is kept for the final evaluation; 0 for none.
    folds : int or None
        Number of folds; with ``time`` fold k trains on the first k+1 pieces and validates on the next.
    validation : float or None
        Share of all rows that is kept for scoring during the search, instead of folds.
    salt : str
        Another salt is another draw.

    Examples
    --------
    >>> Split().resolve(5_000, stops_early=False).folds
    3
    >>> Split().resolve(5_000_000, stops_early=False).validation
    0.1
    """

    kind: Literal["random", "stratified", "group", "time"] = "random"
    test: float = Field(default=0.2, ge=0, lt=1)
    folds: int | None = Field(default=None, ge=2, le=MOST_FOLDS)
    validation: float | None = Field(default=None, gt=0, lt=1)
    salt: str = "daskflow"

    @model_validator(mode="after")
    def _one_way(self) -> Split:
        """Refuse folds together with a validation part, and shares that leave nothing to train on."""
        if self.folds is not None and self.validation is not None:
            raise ValueError("folds and validation exclude each other: keep one of them")
        if self.validation is not None and self.test + self.validation >= 1:
            raise ValueError("test and validation together leave no rows to train on: their sum must be below 1")
        return self

    def resolve(self, n_rows: int, stops_early: bool) -> Split:
        """Return the split with its default filled in.

        Parameters
        ----------
        n_rows : int
            Rows of the table.
        stops_early : bool
            Whether the search stops trials early.
        """
        if self.folds is not None or self.validation is not None:
            return self
        if stops_early or n_rows > MANY_ROWS:
            return self.model_copy(update={"validation": min(VALIDATION, (1 - self.test) / 2)})
        return self.model_copy(update={"folds": FOLDS})


@dataclass(frozen=True, slots=True)
class Fold:
    """A fold: the segments it trains on and those it validates on."""

    train: tuple[int, ...]
    validation: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SplitPlan:
    """A split that has been decided: small, picklable, and applied to any rows by `segments`.

    Attributes
    ----------
    kind, salt : str
        As asked.
    n_segments : int
        Segments of rows that are not test: 0 to ``n_segments - 1``.
    folds : tuple of Fold
        One with a validation part.
    rows : tuple of int
        Rows per segment, then of the test.
    asked, obtained : mapping of str to float
        Shares of all rows, by ``test``, ``validation`` (or ``fold``, the mean), as asked and as they became.
    cuts : ndarray of uint64, shape (n_classes or 1, n_segments); for ``time`` int64, shape (1, n_parts - 1)
        Places in hash order, or times, at which a part begins.
    heavy_units, heavy_segments : ndarray
        Units that were placed one by one, sorted.
    mixed_units, mixed_classes : ndarray
        Units with rows of several classes, sorted, and the class that most have (``stratified`` only).
    warnings : tuple of str
        What the user should know.
    """

    kind: str
    salt: str
    n_segments: int
    folds: tuple[Fold, ...]
    rows: tuple[int, ...]
    asked: Mapping[str, float]
    obtained: Mapping[str, float]
    cuts: NDArray[Any]
    heavy_units: Hashes = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    heavy_segments: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, dtype=np.uint8))
    mixed_units: Hashes = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    mixed_classes: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    warnings: tuple[str, ...] = ()

    @property
    def sizes(self) -> Mapping[str, int]:
        """Rows by ``train``, ``validation`` (0 with folds) and ``test``."""
        *segments, test = self.rows
        if self.has_validation:
            return {"train": segments[0], "validation": segments[1], "test": test}
        return {"train": sum(segments), "validation": 0, "test": test}

    @property
    def has_validation(self) -> bool:
        """Whether there is one validation part instead of folds."""
        return len(self.folds) == 1

    @property
    def token(self) -> str:
        """Hash of everything that decides a row's segment."""
        arrays = (self.cuts, self.heavy_units, self.heavy_segments, self.mixed_units, self.mixed_classes)
        text = hashlib.sha256(f"{self.kind} {self.salt} {self.n_segments} {self.folds} {self.rows}".encode())
        for array in arrays:
            text.update(f"{array.shape}{array.dtype}".encode() + np.ascontiguousarray(array).tobytes())
        return text.hexdigest()[:24]

    def segments(
        self,
        unit_hash: Hashes,
        target_codes: NDArray[Any] | None = None,
        time: pa.ChunkedArray | pa.Array | None = None,
    ) -> NDArray[np.uint8]:
        """Return each row's segment, TEST (255) for test rows.

        Parameters
        ----------
        unit_hash : ndarray of uint64, shape (n_rows,)
            The column ``__unit`` of the blocks.
        target_codes : ndarray of int64, shape (n_rows,), optional
            Class codes; only ``stratified`` looks at them.
        time : pyarrow array of shape (n_rows,), optional
            The time column; only ``time`` looks at it.
        """
        if self.kind == "time":
            if time is None:
                raise DataError("A time split needs the time column of the rows.")
            part = np.searchsorted(self.cuts[0], instants(time), side="right")
            return np.where(part < self.n_segments, part, TEST).astype(np.uint8)
        place = mix(unit_hash, salt_of(self.salt))
        classes: Any = 0
        if self.kind == "stratified":
            if target_codes is None:
                raise DataError("A stratified split needs the classes of the rows.")
            classes = replaced(target_codes, unit_hash, self.mixed_units, self.mixed_classes)
        part = np.zeros(len(unit_hash), dtype=np.int16)
        for begin in self.cuts.T:
            part += place >= begin[classes]
        segments = np.where(part == 0, TEST, part - 1).astype(np.uint8)
        return replaced(segments, unit_hash, self.heavy_units, self.heavy_segments)


def replaced(values: NDArray[Any], units: Hashes, listed: Hashes, theirs: NDArray[Any]) -> NDArray[Any]:
    """Return values, those of listed units replaced; `listed` is sorted."""
    if len(listed) == 0 or len(units) == 0:
        return values
    where = np.minimum(np.searchsorted(listed, units), len(listed) - 1)
    return np.where(listed[where] == units, theirs[where], values)


def folds_of(split: Split) -> tuple[int, tuple[Fold, ...]]:
    """Return the number of segments and the folds of a resolved split."""
    if split.validation is not None:
        return 2, (Fold((0,), (1,)),)
    n_folds = split.folds or FOLDS
    if split.kind == "time":
        return n_folds + 1, tuple(Fold(tuple(range(k + 1)), (k + 1,)) for k in range(n_folds))
    everything = range(n_folds)
    return n_folds, tuple(Fold(tuple(i for i in everything if i != k), (k,)) for k in everything)


def shares_of(split: Split) -> list[float]:
    """Return the asked share of each part: the test, then the segments."""
    rest = 1 - split.test
    if split.validation is not None:
        return [split.test, rest - split.validation, split.validation]
    n_segments, _ = folds_of(split)
    return [split.test, *[rest / n_segments] * n_segments]


def plan_split(split: Split, blocks: Blocks, target: Target, executor: Executor) -> SplitPlan:
    """Decide a split; it depends on the rows alone, not on files, partitions or cluster.

    Up to 1,000,000 rows, and for stratified splits by group or key, every unit is ranked, so that shares are exact up
    to the size of one unit; above that, units are cut by the top 20 bits of their place: exact to a millionth.

    Parameters
    ----------
    split : Split
        As asked; its default is filled in when neither folds nor validation is named.
    blocks : Blocks
        The scanned table.
    target : Target
        Its classes, for ``stratified``.
    executor : Executor
        Counts hashes on the cluster.

    Raises
    ------
    DataError
        When a role is missing, the time column has gaps, or a part would be empty.
    """
    split = split.resolve(blocks.n_rows, stops_early=False)
    if split.kind == "time":
        return _plan_by_time(split, blocks, executor)
    if split.kind == "group" and blocks.roles.group is None:
        raise DataError("split.kind = 'group' needs the column of the groups: say group = 'COLUMN' under [data].")
    if split.kind == "stratified" and not target.task.is_classification:
        raise DataError(
            f"split.kind = 'stratified' needs classes; the target '{target.name}' is a regression. Use kind = 'random'."
        )
    classes = target if split.kind == "stratified" else None
    has_own_units = blocks.roles.group is not None or bool(blocks.roles.key)
    if blocks.n_rows <= EXACT_ROWS or (classes and has_own_units):
        return _plan_by_rank(split, blocks, classes, executor)
    return _plan_by_place(split, blocks, classes, executor, has_own_units=has_own_units)


def _plan_by_rank(split: Split, blocks: Blocks, classes: Target | None, executor: Executor) -> SplitPlan:
    """Rank every unit."""
    seen = majority(*unit_counts(blocks.files, classes, executor))
    shares = shares_of(split)
    n_parts = sum(share > 0 for share in shares)
    if len(seen.units) < n_parts:
        raise DataError(
            f"The split has {n_parts} parts, and there are only {len(seen.units)} different {_units(blocks)} to "
            f"fill them. Use fewer folds, or a smaller split."
        )
    places = mix(seen.units, salt_of(split.salt))
    heavy = is_heavy(seen.counts, blocks.n_rows)
    placed = []
    for code in range(len(classes.classes) if classes else 1):
        mine = seen.classes == code
        light = np.flatnonzero(mine & ~heavy)
        light = light[np.argsort(places[light])]
        alone = [(int(seen.units[i]), int(places[i]), int(seen.counts[i])) for i in np.flatnonzero(mine & heavy)]
        placed.append(place(shares, alone, places[light], seen.counts[light]))
    mixed = seen.is_mixed & ~heavy
    return _plan(split, blocks, placed, classes, seen.units[mixed], seen.classes[mixed])


def _plan_by_place(
    split: Split, blocks: Blocks, classes: Target | None, executor: Executor, *, has_own_units: bool
) -> SplitPlan:
    """Cut at the edges of bins."""
    salt = salt_of(split.salt)
    heavy = heavy_values(blocks.files, UNIT, executor) if has_own_units else blocks.heavy
    units = np.array([item.content for item in heavy], dtype=np.uint64)
    n_classes = len(classes.classes) if classes else 1
    bits = max(LEAST_BITS, PLACE_BITS - (n_classes - 1).bit_length())
    counts = place_counts(blocks.files, salt, units, classes, bits, executor)
    alone: list[list[tuple[int, int, int]]] = [[] for _ in range(n_classes)]
    for item, at in zip(heavy, mix(units, salt), strict=True):
        code = class_of(blocks.files[item.file], item.content, classes) if classes else 0
        alone[code].append((item.content, int(at), item.count))
    edges = np.arange(1 << bits, dtype=np.uint64) << np.uint64(64 - bits)
    placed = [place(shares_of(split), alone[code], edges, counts[code]) for code in range(n_classes)]
    return _plan(split, blocks, placed, classes)


def _plan(
    split: Split,
    blocks: Blocks,
    placed: list[Placed],
    classes: Target | None,
    mixed_units: Hashes | None = None,
    mixed_classes: NDArray[np.int64] | None = None,
) -> SplitPlan:
    """Put the classes' placements together."""
    parts = {unit: part for each in placed for unit, part in each.heavy.items()}
    units = np.array(sorted(parts), dtype=np.uint64)
    test, *segments = np.sum([each.rows for each in placed], axis=0).tolist()
    has_mixed = classes is not None and mixed_units is not None and mixed_classes is not None
    warnings = _scarce(classes, split) if classes else []
    return _checked(
        split,
        blocks,
        (*segments, test),
        np.array([each.cuts for each in placed], dtype=np.uint64),
        warnings,
        heavy_units=units,
        heavy_segments=np.array([TEST if parts[unit] == 0 else parts[unit] - 1 for unit in units.tolist()], np.uint8),
        **({"mixed_units": mixed_units, "mixed_classes": mixed_classes} if has_mixed else {}),
    )


def _plan_by_time(split: Split, blocks: Blocks, executor: Executor) -> SplitPlan:
    """Cut at times."""
    name = blocks.roles.time
    if name is None:
        raise DataError("split.kind = 'time' needs the column of the times: say time = 'COLUMN' under [data].")
    missing = blocks.profile[name].missing
    if missing:
        raise DataError(
            f"split.kind = 'time': {missing} of {blocks.n_rows} rows have no '{name}'. Drop or fill those rows."
        )
    test, *shares = shares_of(split)
    reached = np.cumsum(shares if test else shares[:-1]) * blocks.n_rows
    cuts = time_cuts(blocks.files, name, reached.tolist(), executor)
    rows = np.diff([0, *(below for _, below in cuts), blocks.n_rows]).tolist()
    warnings = []
    if blocks.roles.group is not None:
        warnings.append(
            f"A time split cuts by '{name}' alone: rows of one '{blocks.roles.group}' may stand on both sides."
        )
    cut_times = np.array([[time for time, _ in cuts]], dtype=np.int64)
    return _checked(split, blocks, tuple(rows if test else [*rows, 0]), cut_times, warnings)


def _checked(
    split: Split, blocks: Blocks, rows: tuple[int, ...], cuts: NDArray[Any], warnings: list[str], **arrays: Any
) -> SplitPlan:
    """Make the plan, or say which part would be empty; warn of shares that were missed."""
    n_segments, folds = folds_of(split)
    names = ["training", "validation"] if split.validation is not None else [f"piece {i}" for i in range(n_segments)]
    shares = dict(zip([*names, "test"], [*shares_of(split)[1:], split.test], strict=True))
    empty = [name for name, count in zip(shares, rows, strict=True) if count == 0 and shares[name] > 0]
    if empty:
        raise DataError(
            f"The split leaves no rows for {', '.join(empty)}: {blocks.n_rows} rows, kind = '{split.kind}'. "
            f"Use fewer folds or other shares; equal rows, equal times and groups are never cut."
        )
    asked, obtained = {"test": split.test}, {"test": rows[-1] / blocks.n_rows}
    if split.validation is not None:
        asked["validation"], obtained["validation"] = split.validation, rows[1] / blocks.n_rows
    for part, share in asked.items():
        if abs(obtained[part] - share) > NOTABLE:
            warnings.append(
                f"The {part} part has {obtained[part]:.1%} of the rows instead of {share:.1%}: "
                f"the {'times' if split.kind == 'time' else _units(blocks)} cannot be cut finer."
            )
    warnings += _copies(split, blocks)
    return SplitPlan(
        split.kind, split.salt, n_segments, folds, rows, asked, obtained, cuts, warnings=tuple(warnings), **arrays
    )


def _copies(split: Split, blocks: Blocks) -> list[str]:
    """Warn of a row with so many copies that the part it stands in has another mix than the rest."""
    most = blocks.heavy[0].count if blocks.heavy and split.kind != "time" else 0
    if most < MANY_COPIES * blocks.n_rows:
        return []
    return [
        f"One row stands {most:,} times ({most / blocks.n_rows:.1%} of the rows). Its copies stand in one part of the "
        "split, so that no model is tested on rows it has seen; the parts therefore differ in their mix of rows."
    ]


def _scarce(classes: Target, split: Split) -> list[str]:
    """Warn of classes that cannot stand in every part."""
    parts = sum(share > 0 for share in shares_of(split))
    return [
        f"Class {label!r} of '{classes.name}' has {count} rows, fewer than the {parts} parts of the split: "
        f"some parts have none of it."
        for label, count in zip(classes.classes, classes.counts, strict=True)
        if count < parts
    ]


def _units(blocks: Blocks) -> str:
    """What a split may not cut, in words."""
    if blocks.roles.group is not None:
        return f"groups ('{blocks.roles.group}')"
    return f"keys ({', '.join(blocks.roles.key)})" if blocks.roles.key else "rows"
