"""SHAP values by asking the model itself: rows of which some columns are known, and the others anyone's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from daskflow.core.protocols import Predictor
from daskflow.explain.outputs import Explained

Floats = NDArray[np.float64]


def asked_values(
    predictor: Predictor,
    output: Explained,
    rows: pa.Table,
    ground: pa.Table,
    columns: Sequence[str],
    orders: NDArray[np.int64],
) -> tuple[Floats, Floats]:
    """Sample SHAP values by asking the model about rows of which some columns are known.

    Parameters
    ----------
    predictor, output
        The model, and what of its answer is explained.
    rows, ground : pyarrow.Table
        To explain; and those whose values stand for "not known".
    columns : sequence of str
        That values are given for.
    orders : ndarray of int64, shape (n_repeats, n_rows, n_columns)
        In which order each row's columns become known; each is gone through there and back.

    Returns
    -------
    values : ndarray of shape (n_rows, n_columns)
        Mean change of the answer when the column becomes known.
    base : ndarray of shape (n_rows,)
        Mean answer of the ground.
    """
    n_rows, n_ground, n_columns = len(rows), len(ground), len(columns)
    both = pa.concat_tables([rows, ground]).unify_dictionaries().combine_chunks()
    own = np.repeat(np.arange(n_rows), n_ground)
    other = n_rows + np.tile(np.arange(n_ground), n_rows)

    def answer(is_known: NDArray[np.bool_]) -> Floats:
        """Mean answer over the ground when each row's columns (n_rows, n_columns) are known."""
        mixed = both.take(pa.array(other))
        for place, name in enumerate(columns):
            known = is_known[:, place]
            if known.any():
                at = pa.array(np.where(np.repeat(known, n_ground), own, other))
                where = mixed.column_names.index(name)
                mixed = mixed.set_column(where, mixed.schema.field(where), both.column(name).take(at))
        found = output.of(predictor.predictions(mixed), len(predictor.classes))[:, 0]
        return np.asarray(found.reshape(n_rows, n_ground).mean(axis=1))

    nobody = np.zeros((n_rows, n_columns), dtype=np.bool_)
    base, whole = answer(nobody), answer(~nobody)
    values = np.zeros((n_rows, n_columns))
    each = np.arange(n_rows)
    for order in orders:
        for way in (order, order[:, ::-1]):
            is_known, before = nobody.copy(), base
            for step in range(n_columns):
                is_known[each, way[:, step]] = True
                after = whole if step == n_columns - 1 else answer(is_known)
                values[each, way[:, step]] += after - before
                before = after
    return values / (2 * len(orders)), base
