"""Split plans: splits that have been decided, small and picklable, applied to any rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from daskflow.core.errors import DataError
from daskflow.data.hashing import Hashes, mix, salt_of
from daskflow.data.spans import instants

TEST = 255
"""Segment of the rows that nothing but the final evaluation sees."""

Segments = NDArray[np.uint8]
Column: TypeAlias = "pa.ChunkedArray | pa.Array | None"


@dataclass(frozen=True, slots=True)
class Fold:
    """A fold: the segments it trains on and those it validates on; others are in no part of it."""

    train: tuple[int, ...]
    validation: tuple[int, ...]


class Rule(Protocol):
    """What gives each row its segment, 0 to ``n_segments - 1`` or TEST."""

    @property
    def n_segments(self) -> int:
        """Segments of rows that are not test."""

    @property
    def reads_target(self) -> bool:
        """Whether it looks at the classes of the rows."""

    @property
    def column(self) -> str | None:
        """The column it looks at."""

    def segments(self, unit_hash: Hashes, target_codes: Any = None, column: Column = None) -> Segments:
        """Return each row's segment."""

    def parts(self) -> Iterator[Any]:
        """Everything that decides: texts, numbers and arrays."""


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """One draw by hash: light units are cut in the order of their salted hash, heavy ones are listed.

    Attributes
    ----------
    salt : str
        Of the hash.
    n_segments : int
        Parts beside the test.
    cuts : ndarray of uint64, shape (n_classes or 1, n_segments)
        Places in hash order at which a segment begins; below the first is the test.
    is_stratified : bool
        Whether each class has cuts of its own.
    heavy_units, heavy_segments : ndarray
        Units that were placed one by one, sorted.
    mixed_units, mixed_classes : ndarray
        Units with rows of several classes, sorted, and the class that most have (``stratified`` only).
    """

    salt: str
    n_segments: int
    cuts: NDArray[np.uint64]
    is_stratified: bool = False
    heavy_units: Hashes = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    heavy_segments: Segments = field(default_factory=lambda: np.empty(0, dtype=np.uint8))
    mixed_units: Hashes = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    mixed_classes: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def segments(self, unit_hash: Hashes, target_codes: Any = None) -> Segments:
        """Return each row's segment."""
        place = mix(unit_hash, salt_of(self.salt))
        classes: Any = 0
        if self.is_stratified:
            if target_codes is None:
                raise DataError("A stratified split needs the classes of the rows.")
            classes = replaced(target_codes, unit_hash, self.mixed_units, self.mixed_classes)
        part = np.zeros(len(unit_hash), dtype=np.int16)
        for begin in self.cuts.T:
            part += place >= begin[classes]
        segments = np.where(part == 0, TEST, part - 1).astype(np.uint8)
        return np.asarray(replaced(segments, unit_hash, self.heavy_units, self.heavy_segments))

    def parts(self) -> Iterator[Any]:
        """Everything that decides."""
        yield from (self.salt, self.n_segments, self.is_stratified, self.cuts, self.heavy_units, self.heavy_segments)
        yield from (self.mixed_units, self.mixed_classes)


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """Draws by hash, the first of which says the test; a segment is one combination of theirs."""

    draws: tuple[Draw, ...]
    column: None = None

    @property
    def n_segments(self) -> int:
        """Combinations of the draws' segments."""
        return int(self.draws[0].n_segments ** len(self.draws))

    @property
    def reads_target(self) -> bool:
        """Whether the draws are stratified."""
        return self.draws[0].is_stratified

    def segments(self, unit_hash: Hashes, target_codes: Any = None, column: Column = None) -> Segments:
        """Return each row's segment: digit r, in base of the draws' segments, is that of draw r."""
        first, *others = self.draws
        found = first.segments(unit_hash, target_codes)
        is_test, total = found == TEST, found.astype(np.int64)
        for power, draw in enumerate(others, start=1):
            total += draw.segments(unit_hash, target_codes).astype(np.int64) * draw.n_segments**power
        return np.where(is_test, TEST, total).astype(np.uint8)

    def parts(self) -> Iterator[Any]:
        """Everything that decides."""
        for draw in self.draws:
            yield from draw.parts()


@dataclass(frozen=True, slots=True, eq=False)
class Times:
    """Segments in order of time.

    Attributes
    ----------
    column : str
        The time column.
    cuts : ndarray of int64
        Instants at which a segment begins, but the first.
    n_segments : int
        Segments before the test.
    """

    column: str
    cuts: NDArray[np.int64]
    n_segments: int
    reads_target: bool = False

    def segments(self, unit_hash: Hashes, target_codes: Any = None, column: Column = None) -> Segments:
        """Return each row's segment."""
        if column is None:
            raise DataError("A time split needs the time column of the rows.")
        part = np.searchsorted(self.cuts, instants(column), side="right")
        return np.where(part < self.n_segments, part, TEST).astype(np.uint8)

    def parts(self) -> Iterator[Any]:
        """Everything that decides."""
        yield from (self.column, self.n_segments, self.cuts)


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """Segments that a column names; the rows of segment 0 may be drawn further.

    Attributes
    ----------
    column : str
        The column.
    named : mapping of str to int
        Segment of each word, TEST among them.
    rest : Draws, optional
        How the rows that are not test are drawn, where the words say no more than that.
    """

    column: str
    named: Mapping[str, int]
    rest: Draws | None = None

    @property
    def n_segments(self) -> int:
        """Segments of rows that are not test."""
        if self.rest is not None:
            return self.rest.n_segments
        return 1 + max((segment for segment in self.named.values() if segment != TEST), default=0)

    @property
    def reads_target(self) -> bool:
        """Whether the rest is stratified."""
        return self.rest is not None and self.rest.reads_target

    def segments(self, unit_hash: Hashes, target_codes: Any = None, column: Column = None) -> Segments:
        """Return each row's segment."""
        if column is None:
            raise DataError(f"A predefined split needs the column '{self.column}' of the rows.")
        codes, found = words_of(column)
        table = np.array([self.named.get(word, -1) for word in found] or [-1])
        segments = table[codes]
        if len(segments) and segments.min() < 0:
            word = found[int(codes[int(np.argmin(segments))])]
            raise DataError(f"Column '{self.column}' holds '{word}', which it did not when the split was planned.")
        if self.rest is not None:
            segments = np.where(segments == TEST, TEST, self.rest.segments(unit_hash, target_codes))
        return segments.astype(np.uint8)

    def parts(self) -> Iterator[Any]:
        """Everything that decides."""
        yield from (self.column, sorted(self.named.items()))
        if self.rest is not None:
            yield from self.rest.parts()


@dataclass(frozen=True, slots=True, eq=False)
class Sampled:
    """Segments of another rule, where some of the rows that are not test are left out.

    Attributes
    ----------
    rule : Rule
        Gives the segments.
    kept : Draw
        What is test by this draw is left out.
    """

    rule: Rule
    kept: Draw

    @property
    def n_segments(self) -> int:
        """Those of the rule, and the rows that are left out."""
        return self.rule.n_segments + 1

    @property
    def reads_target(self) -> bool:
        """Whether one of both looks at the classes."""
        return self.rule.reads_target or self.kept.is_stratified

    @property
    def column(self) -> str | None:
        """The rule's."""
        return self.rule.column

    def segments(self, unit_hash: Hashes, target_codes: Any = None, column: Column = None) -> Segments:
        """Return each row's segment."""
        found = self.rule.segments(unit_hash, target_codes, column)
        is_left = (self.kept.segments(unit_hash, target_codes) == TEST) & (found != TEST)
        return np.where(is_left, self.rule.n_segments, found).astype(np.uint8)

    def parts(self) -> Iterator[Any]:
        """Everything that decides."""
        yield from self.rule.parts()
        yield from self.kept.parts()


def words_of(column: pa.ChunkedArray | pa.Array) -> tuple[NDArray[np.int64], list[str]]:
    """Return a column without gaps as codes of words: texts in small letters, whole numbers as they are written.

    Examples
    --------
    >>> words_of(pa.array([1.0, 0.0, 1.0]))
    (array([0, 1, 0]), ['1', '0'])
    """
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    encoded = whole if pa.types.is_dictionary(whole.type) else whole.dictionary_encode()
    values = encoded.dictionary.to_pylist()
    words = [str(int(v)) if isinstance(v, float) and v.is_integer() else str(v).strip().lower() for v in values]
    return np.asarray(encoded.indices.cast(pa.int64()).to_numpy(zero_copy_only=False)), words


@dataclass(frozen=True, slots=True, eq=False)
class SplitPlan:
    """A split that has been decided: small, picklable, and applied to any rows by `segments`.

    Attributes
    ----------
    kind : str
        As asked.
    rule : Rule
        What gives each row its segment.
    folds : tuple of Fold
        One with a validation part.
    final : tuple of int
        Segments that the winner is fitted on: all but the test, what a gap leaves out before it, and what lies before
        a window.
    rows : tuple of int
        Rows per segment, then of the test.
    asked, obtained : mapping of str to float
        Shares of all rows, by ``test`` and ``validation``, as asked and as they became.
    class_rows : ndarray of int64, shape (n_segments + 1, n_classes), or None
        Rows per segment and class, the test's last; None for a regression.
    warnings : tuple of str
        What the user should know.
    """

    kind: str
    rule: Rule
    folds: tuple[Fold, ...]
    final: tuple[int, ...]
    rows: tuple[int, ...]
    asked: Mapping[str, float]
    obtained: Mapping[str, float]
    class_rows: NDArray[np.int64] | None = None
    warnings: tuple[str, ...] = ()

    @property
    def n_segments(self) -> int:
        """Segments of rows that are not test: 0 to ``n_segments - 1``."""
        return self.rule.n_segments

    @property
    def reads_target(self) -> bool:
        """Whether `segments` looks at the classes of the rows."""
        return self.rule.reads_target

    @property
    def column(self) -> str | None:
        """The column that `segments` looks at: of the time, or of predefined parts."""
        return self.rule.column

    @property
    def left_out(self) -> int:
        """Rows that are not test and not in the sample."""
        return self.rows[self.rule.rule.n_segments] if isinstance(self.rule, Sampled) else 0

    @property
    def sizes(self) -> Mapping[str, int]:
        """Rows by ``train``, ``validation`` (0 with folds) and ``test``; those in no part are not among them."""
        held = {"train": self.final, "validation": ()}
        if self.has_validation:
            held = {"train": self.folds[0].train, "validation": self.folds[0].validation}
        return {**{part: self.rows_of(segments) for part, segments in held.items()}, "test": self.rows[-1]}

    @property
    def has_validation(self) -> bool:
        """Whether there is one validation part instead of folds."""
        return len(self.folds) == 1

    @property
    def token(self) -> str:
        """Hash of everything that decides a row's segment."""
        text = hashlib.sha256(f"{self.kind} {self.folds} {self.final} {self.rows}".encode())
        for part in self.rule.parts():
            if isinstance(part, np.ndarray):
                text.update(f"{part.shape}{part.dtype}".encode() + np.ascontiguousarray(part).tobytes())
            else:
                text.update(f"{part!r};".encode())
        return text.hexdigest()[:24]

    def rows_of(self, segments: tuple[int, ...]) -> int:
        """Return the rows of some segments."""
        return sum(self.rows[segment] for segment in segments)

    def segments(self, unit_hash: Hashes, target_codes: Any = None, column: Column = None) -> Segments:
        """Return each row's segment, TEST (255) for test rows.

        Parameters
        ----------
        unit_hash : ndarray of uint64, shape (n_rows,)
            The hidden column ``__unit`` of the blocks.
        target_codes : ndarray of int64, shape (n_rows,), optional
            Class codes; where `reads_target`.
        column : pyarrow array of shape (n_rows,), optional
            The values of `column`, where it has a name.
        """
        return self.rule.segments(unit_hash, target_codes, column)


def replaced(values: NDArray[Any], units: Hashes, listed: Hashes, theirs: NDArray[Any]) -> NDArray[Any]:
    """Return values, those of listed units replaced; `listed` is sorted."""
    if len(listed) == 0 or len(units) == 0:
        return values
    where = np.minimum(np.searchsorted(listed, units), len(listed) - 1)
    return np.where(listed[where] == units, theirs[where], values)
