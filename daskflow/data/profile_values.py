"""Values of a column as 64-bit keys: counted exactly while they are few, else estimated and narrowed down.

State that merges: a crosstab of the keys, and once there are too many of them the registers of a cardinality estimate
and the candidates for frequent values. What is estimated is stated; see `daskflow.data.cardinality`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from daskflow.data import arrays, cardinality, frequent
from daskflow.data.crosstab import SIGN, Counts, Crosstab, Form, Keys, Limit, bins_of, ordered
from daskflow.data.hashing import canonical
from daskflow.data.schema import Column, ColumnKind

MOST_TEXT_BYTES = 32 << 20
"""Characters of all levels of a column, in bytes, above which they are not kept."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A column's values as keys.

    Attributes
    ----------
    form : Form
        What the keys are.
    codes : ndarray of int64, shape (n_rows,)
        Place in `keys`; -1 where there is no finite value.
    keys : ndarray of int64, shape (n_keys,)
        Distinct, in any order; some may not occur.
    texts : pyarrow.StringArray or None
        What the keys of texts stand for.
    n_infinite : int
        Rows whose value is infinite.
    is_missing : ndarray of bool, shape (n_rows,)
        Null, or nan.
    """

    form: Form
    codes: NDArray[np.int64]
    keys: Keys
    texts: pa.Array | None
    n_infinite: int
    is_missing: NDArray[np.bool_]

    def within(self, limit: Limit, form: Form) -> tuple[NDArray[np.int64], Keys, bool]:
        """Return codes and keys that a crosstab of this form can hold, and whether they are the values themselves.

        Too many keys are put into bins before anything is sorted; those that have no bins are given up: no keys.
        """
        if len(self.keys) <= limit.most or np.count_nonzero(np.bincount(self.codes + 1)[1:]) <= limit.most:
            return self.codes, self.keys, True
        if not form.has_bins:
            return np.full(len(self.codes), arrays.MISSING), np.empty(0, dtype=np.int64), False
        places, bins = pd.factorize(bins_of(self.keys, form, limit))
        return np.append(places, arrays.MISSING)[self.codes], np.asarray(bins, dtype=np.int64), False


def form_of(column: Column) -> Form:
    """Return what the keys of a column are."""
    if column.kind is ColumnKind.CATEGORICAL:
        return Form.TEXT
    if column.kind is ColumnKind.DATETIME:
        return Form.INSTANT
    if pa.types.is_uint64(column.arrow_type):
        return Form.UNSIGNED
    is_whole = column.kind is ColumnKind.BOOLEAN or pa.types.is_integer(column.arrow_type)
    return Form.INTEGER if is_whole else Form.FLOAT


def encoded(values: pa.Array, column: Column) -> Encoded:
    """Return a stored column's values as keys; equal values have equal keys in every partition."""
    form = form_of(column)
    is_missing = np.asarray(values.is_null(nan_is_null=True))
    if form is Form.TEXT:
        found = values if pa.types.is_dictionary(values.type) else values.cast(pa.string()).dictionary_encode()
        codes = np.asarray(pc.fill_null(found.indices.cast(pa.int64()), arrays.MISSING).to_numpy(zero_copy_only=False))
        keys = canonical(found.dictionary, column.name)[0].view(np.int64)
        return Encoded(form, codes, keys, found.dictionary.cast(pa.string()), 0, is_missing)
    rows = keys_of(values, form)
    there = ~is_missing
    n_infinite = 0
    if form is Form.FLOAT:
        finite = np.isfinite(rows)
        n_infinite = int(np.count_nonzero(there & ~finite))
        there &= finite
        rows = ordered(np.where(there, rows, 0.0) + 0.0)
    codes = np.full(len(rows), arrays.MISSING, dtype=np.int64)
    places, uniques = pd.factorize(rows if there.all() else rows[there])
    codes[there] = places
    return Encoded(form, codes, np.asarray(uniques, dtype=np.int64), None, n_infinite, is_missing)


def keys_of(values: pa.Array, form: Form) -> NDArray[np.int64] | NDArray[np.float64]:
    """Return whole numbers and instants as keys, other numbers as float64; anything where missing."""
    if form is Form.FLOAT:
        return arrays.numbers(values)
    if form is Form.INSTANT:
        values = values.cast(pa.int32()) if pa.types.is_date32(values.type) else values
        return np.asarray(pc.fill_null(values.cast(pa.int64()), 0).to_numpy(zero_copy_only=False))
    if form is Form.UNSIGNED:
        numbers = pc.fill_null(values.cast(pa.uint64()), 0).to_numpy(zero_copy_only=False)
        return np.asarray((numbers ^ SIGN).view(np.int64))
    return np.asarray(pc.fill_null(values.cast(pa.int64()), 0).to_numpy(zero_copy_only=False))


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """What values a column has, and how often; states of disjoint rows merge.

    Attributes
    ----------
    tab : Crosstab
        Rows by value and group of partitions.
    texts : pyarrow.StringArray or None
        The texts of its keys, in their order, while it is exact.
    registers : ndarray of uint8 or None
        For the number of distinct values; None while that is known exactly.
    often : pair of arrays or None
        Candidates for frequent values; None while all are counted.
    """

    tab: Crosstab
    texts: pa.Array | None
    registers: cardinality.Registers | None = None
    often: tuple[Keys, Counts] | None = None

    @classmethod
    def nothing(cls, form: Form, limit: Limit, n_groups: int) -> Values:
        """Return the values of no rows."""
        texts = pa.array([], pa.string()) if form is Form.TEXT else None
        return cls(Crosstab.nothing(form, limit, n_groups), texts)

    @classmethod
    def of(cls, column: Encoded, limit: Limit, group: int, n_groups: int) -> Values:
        """Count rows that all stand in one group of partitions."""
        codes, keys, is_exact = column.within(limit, column.form)
        rows = np.bincount(codes + 1, minlength=len(keys) + 1)[1:]
        used = np.flatnonzero(rows)
        counts = np.zeros((len(used), n_groups), dtype=np.int64)
        counts[:, group] = rows[used]
        tab = Crosstab.of(column.form, limit, keys[used], counts, is_exact=is_exact)
        if not is_exact:
            each = np.bincount(column.codes + 1, minlength=len(column.keys) + 1)[1:].astype(np.int64)
            used = np.flatnonzero(each)
            return cls(tab, None)._estimated(column.keys[used], each[used])
        texts = column.texts
        if texts is not None:
            texts = texts.take(pa.array(used[np.argsort(keys[used])]))
        return cls(tab, texts)._kept(tab.keys, rows[used])

    def merge(self, other: Values) -> Values:
        """Add the values of other rows."""
        tab = self.tab.merge(other.tab)
        if not (self.tab.is_exact and other.tab.is_exact):
            left, right = self._reduced(), other._reduced()
            return replace(left, tab=tab, texts=None)._with(right)
        keys = np.concatenate([self.tab.keys, other.tab.keys])
        texts = None
        if self.texts is not None and other.texts is not None:
            first = np.unique(keys, return_index=True)[1]
            texts = pa.concat_arrays([self.texts, other.texts]).take(pa.array(first))
        return Values(tab, texts)._kept(keys, np.concatenate([self.tab.total, other.tab.total]))

    def _kept(self, keys: Keys, counts: Counts) -> Values:
        """Go over to estimates when there are too many values, or too long ones; `keys` may repeat."""
        is_long = self.texts is not None and self.texts.nbytes > MOST_TEXT_BYTES
        if self.tab.is_exact and not is_long:
            return self
        tab = self.tab
        if is_long and tab.is_exact:
            tab = replace(Crosstab.nothing(tab.form, tab.limit, tab.counts.shape[1]), is_exact=False)
        uniques, places = np.unique(keys, return_inverse=True)
        rows = np.bincount(places, counts, len(uniques)).astype(np.int64)
        return Values(tab, None)._estimated(uniques, rows)

    def _estimated(self, keys: Keys, counts: Counts) -> Values:
        """The same with estimates from distinct keys."""
        registers = cardinality.registers_of(keys.view(np.uint64))
        return replace(self, texts=None, registers=registers, often=frequent.candidates(keys, counts))

    def _reduced(self) -> Values:
        """The same with estimates in place of what was exact."""
        if self.registers is not None:
            return self
        return self._estimated(self.tab.keys, self.tab.total)

    def _with(self, other: Values) -> Values:
        """Add the estimates of another state."""
        if self.registers is None or other.registers is None or self.often is None or other.often is None:
            raise ValueError("only what was reduced can be added so")
        registers = cardinality.merged(self.registers, other.registers)
        return replace(self, registers=registers, often=frequent.merged(self.often, other.often))

    @property
    def is_exact(self) -> bool:
        """Whether every value is counted."""
        return self.registers is None

    @property
    def n_distinct(self) -> int:
        """Distinct finite values; about as many when they are not exact."""
        if self.registers is None:
            return len(self.tab.keys)
        return round(cardinality.estimate(self.registers))
