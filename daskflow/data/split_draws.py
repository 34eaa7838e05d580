"""Splits that are drawn by hash: random, stratified and by group, once or in repeats."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from daskflow.core.errors import DataError
from daskflow.core.protocols import Executor
from daskflow.data.blocks import UNIT, Blocks
from daskflow.data.counts import Pairs, Sides, class_of, place_counts, unit_counts
from daskflow.data.hashing import Hashes, mix, salt_of
from daskflow.data.heavy import heavy_values
from daskflow.data.placement import Counts, Placed, is_heavy, majority, place, place_by_classes
from daskflow.data.schema import Target
from daskflow.data.split_plan import TEST, Draw, Draws, Fold, Named, Rule
from daskflow.data.split_settings import FOLDS, Split

EXACT_ROWS = 1_000_000
"""Up to here every unit is ranked; above, light units are cut at the edges of 2**20 bins."""

PLACE_BITS, LEAST_BITS = 20, 10


def folds_of(split: Split) -> tuple[Fold, ...]:
    """Return the folds of drawn segments, repeat by repeat.

    Examples
    --------
    >>> [fold.validation for fold in folds_of(Split(folds=2, repeats=2))]
    [(0, 2), (1, 3), (0, 1), (2, 3)]
    """
    n_parts = 2 if split.validation is not None else split.folds or FOLDS
    held = [1] if split.validation is not None else list(range(n_parts))
    segments = range(n_parts**split.repeats)
    folds = []
    for repeat, part in itertools.product(range(split.repeats), held):
        inside = [segment // n_parts**repeat % n_parts == part for segment in segments]
        validation = tuple(itertools.compress(segments, inside))
        folds.append(Fold(tuple(s for s in segments if not inside[s]), validation))
    return tuple(folds)


def shares_of(split: Split) -> list[float]:
    """Return the asked share of each part of one draw: the test, then the segments."""
    rest = 1 - split.test
    if split.validation is not None:
        return [split.test, rest - split.validation, split.validation]
    n_folds = split.folds or FOLDS
    return [split.test, *[rest / n_folds] * n_folds]


def draw(split: Split, blocks: Blocks, target: Target, executor: Executor, within: Named | None = None) -> Draws:
    """Draw a split.

    Up to 1,000,000 rows, and for stratified splits by group or key, every unit is ranked, so that shares are exact up
    to the size of one unit; above that, units are cut by the top 20 bits of their place: exact to a millionth.

    Parameters
    ----------
    split : Split
        Resolved.
    blocks : Blocks
        The scanned table.
    target : Target
        Its classes, for ``stratified``.
    executor : Executor
        Counts hashes on the cluster.
    within : Named, optional
        Draws only the rows that are not test by this rule; there is no other test then.
    """
    classes = target if split.kind == "stratified" else None
    has_own_units = blocks.roles.group is not None or bool(blocks.roles.key)
    ranks = blocks.n_rows <= EXACT_ROWS or (classes is not None and has_own_units)
    shares = shares_of(split)
    inside = None if within is None else Sides(within, target)
    found: list[Draw] = []
    for repeat in range(split.repeats):
        salt = split.salt if repeat == 0 else f"{split.salt}/{repeat}"
        if ranks:
            found.append(_by_rank(salt, shares, blocks, classes, executor, inside))
        else:
            found.append(_by_place(salt, shares, blocks, classes, executor, inside, has_own_units=has_own_units))
        if repeat == 0:
            tested = Draws(tuple(found))
            inside = Sides(tested if within is None else Named(within.column, within.named, tested), target)
            shares = [0.0, *(share / (1 - split.test) for share in shares[1:])]
    return Draws(tuple(found))


def draw_sample(share: float, split: Split, blocks: Blocks, target: Target, executor: Executor, within: Rule) -> Draw:
    """Draw a share of the rows that are not test by a rule, as exactly as a split is drawn; the others are its test."""
    classes = target if split.kind == "stratified" else None
    has_own_units = blocks.roles.group is not None or bool(blocks.roles.key)
    salt, shares, inside = f"{split.salt}/sample", [1 - share, share], Sides(within, target)
    if blocks.n_rows <= EXACT_ROWS or (classes is not None and has_own_units):
        return _by_rank(salt, shares, blocks, classes, executor, inside)
    return _by_place(salt, shares, blocks, classes, executor, inside, has_own_units=has_own_units)


def _by_rank(
    salt: str,
    shares: Sequence[float],
    blocks: Blocks,
    classes: Target | None,
    executor: Executor,
    within: Sides | None,
) -> Draw:
    """Rank every unit."""
    pairs = unit_counts(blocks.files, classes, executor, within)
    seen = majority(*pairs)
    n_parts = sum(share > 0 for share in shares)
    if len(seen.units) < n_parts:
        raise DataError(
            f"The split has {n_parts} parts, and there are only {len(seen.units)} different {units_of(blocks)} to "
            f"fill them. Use fewer folds, or a smaller split."
        )
    places = mix(seen.units, salt_of(salt))
    heavy = is_heavy(seen.counts, int(seen.counts.sum()))
    n_classes = len(classes.classes) if classes else 1
    lights = [_in_order(np.flatnonzero((seen.classes == code) & ~heavy), places) for code in range(n_classes)]
    edges, rows = [places[light] for light in lights], [seen.counts[light] for light in lights]
    alone = [(int(seen.units[i]), int(places[i]), i) for i in np.flatnonzero(heavy)]
    if classes is not None and seen.is_mixed.any():
        vectors = _class_vectors(seen.units[heavy], pairs, n_classes)
        placed = place_by_classes(
            shares, [(unit, at, vectors[k]) for k, (unit, at, _) in enumerate(alone)], edges, rows
        )
    else:
        mine = [
            [(unit, at, int(seen.counts[i])) for unit, at, i in alone if seen.classes[i] == code]
            for code in range(n_classes)
        ]
        placed = [place(shares, mine[code], edges[code], rows[code]) for code in range(n_classes)]
    mixed = seen.is_mixed & ~heavy
    return _drawn(salt, placed, classes, (seen.units[mixed], seen.classes[mixed]))


def _by_place(
    salt: str,
    shares: Sequence[float],
    blocks: Blocks,
    classes: Target | None,
    executor: Executor,
    within: Sides | None,
    *,
    has_own_units: bool,
) -> Draw:
    """Cut at the edges of bins."""
    number = salt_of(salt)
    heavy = heavy_values(blocks.files, UNIT, executor) if has_own_units else blocks.heavy
    heavy = tuple(sorted(heavy, key=lambda item: item.content))
    units = np.array([item.content for item in heavy], dtype=np.uint64)
    n_classes = len(classes.classes) if classes else 1
    bits = max(LEAST_BITS, PLACE_BITS - (n_classes - 1).bit_length())
    light, rows = place_counts(blocks.files, number, units, classes, bits, executor, within)
    alone: list[list[tuple[int, int, int]]] = [[] for _ in range(n_classes)]
    for item, at, count in zip(heavy, mix(units, number).tolist(), rows.tolist(), strict=True):
        if count:
            code = class_of(blocks.files[item.file], item.content, classes) if classes else 0
            alone[code].append((item.content, at, count))
    edges = np.arange(1 << bits, dtype=np.uint64) << np.uint64(64 - bits)
    return _drawn(salt, [place(shares, alone[code], edges, light[code]) for code in range(n_classes)], classes)


def _in_order(rows: NDArray[np.int64], places: Hashes) -> NDArray[np.int64]:
    """Rows in the order of their places."""
    return rows[np.argsort(places[rows])]


def _class_vectors(units: Hashes, pairs: Pairs, n_classes: int) -> Counts:
    """Rows by class of some units, both sorted."""
    found = np.zeros((len(units), n_classes), dtype=np.int64)
    theirs = np.isin(pairs[0], units)
    found[np.searchsorted(units, pairs[0][theirs]), pairs[1][theirs]] = pairs[2][theirs]
    return found


def _drawn(
    salt: str,
    placed: Sequence[Placed],
    classes: Target | None,
    mixed: tuple[Hashes, NDArray[np.int64]] | None = None,
) -> Draw:
    """Put the classes' placements together."""
    parts = {unit: part for each in placed for unit, part in each.heavy.items()}
    units = np.array(sorted(parts), dtype=np.uint64)
    empty = np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)
    mixed_units, mixed_classes = empty if mixed is None or classes is None else mixed
    return Draw(
        salt=salt,
        n_segments=len(placed[0].rows) - 1,
        cuts=np.array([each.cuts for each in placed], dtype=np.uint64),
        is_stratified=classes is not None,
        heavy_units=units,
        heavy_segments=np.array([TEST if parts[unit] == 0 else parts[unit] - 1 for unit in units.tolist()], np.uint8),
        mixed_units=mixed_units,
        mixed_classes=mixed_classes,
    )


def units_of(blocks: Blocks) -> str:
    """What a split may not cut, in words."""
    if blocks.roles.group is not None:
        return f"groups ('{blocks.roles.group}')"
    return f"keys ({', '.join(blocks.roles.key)})" if blocks.roles.key else "rows"
