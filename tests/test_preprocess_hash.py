"""Hashing: any number of levels in a fixed number of columns, with nothing learned."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from sklearn.feature_extraction import FeatureHasher

from daskflow.core.errors import DataError, SettingsError
from daskflow.preprocess.fitted import FittedPreprocessor
from daskflow.preprocess.settings import Preprocessing
from tests.small_statistics import fit

WORDS = pa.table({"w": ["a", "b", "größe", "b", ""]})


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("n_features", [8, 1024])
def test_columns_and_signs_are_those_of_scikit_learns_feature_hasher(signed: bool, n_features: int) -> None:
    fitted = fit(WORDS, w=[{"kind": "hash", "n_features": n_features, "signed": signed}])
    hasher = FeatureHasher(n_features, input_type="string", alternate_sign=signed)

    for table in (WORDS, pa.table({"w": [f"never seen {number}" for number in range(300)]})):
        found = fitted.matrix(table)
        dense = found.toarray() if fitted.is_sparse else found
        expected = hasher.transform([[text] for text in table["w"].to_pylist()]).toarray()
        assert np.array_equal(dense, expected)
    assert fitted.is_sparse == (n_features > 256)
    assert fitted.feature_names[:2] == ("w_hash0", "w_hash1")


@pytest.mark.parametrize("signed", [True, False])
def test_a_missing_value_is_a_row_of_zeros_with_its_own_column_if_training_had_one(signed: bool) -> None:
    chain = [{"kind": "hash", "n_features": 4, "signed": signed}]
    gap = pa.table({"w": ["a", None]})

    assert fit(gap, w=chain).matrix(gap)[1].tolist() == [0, 0, 0, 0, 1]
    assert fit(WORDS, w=chain).matrix(pa.table({"w": pa.nulls(1)})).tolist() == [[0, 0, 0, 0]]


def test_numbers_of_one_value_have_one_column_in_any_type() -> None:
    fitted = fit(pa.table({"n": [1, 2, 3], "b": [True, False, True]}), n=["hash"], b=["hash"])

    whole = fitted.matrix(pa.table({"n": [1, 2, 2], "b": [True, False, False]})).toarray()
    floating = fitted.matrix(pa.table({"n": [1.0, 2.0, 2.0], "b": [True, False, False]})).toarray()
    assert np.array_equal(whole, floating)
    assert not np.array_equal(whole[0], whole[1])


def test_dense_and_sparse_columns_stand_side_by_side_in_one_matrix() -> None:
    table = pa.table({"x": [1.0, 3.0, 5.0], "w": ["a", "b", None], "z": [True, False, True]})
    chains = {"x": ["scale"], "w": [{"kind": "hash", "n_features": 300}], "z": ["passthrough"]}

    wide, narrow = fit(table, sparse=True, **chains), fit(table, sparse=False, **chains)

    assert wide.matrix(table).toarray().tolist() == narrow.matrix(table).tolist()
    assert narrow.matrix(table)[:, -1].tolist() == [1, 0, 1]
    assert wide.matrix(table).has_canonical_format


@pytest.mark.slow
def test_columns_of_too_many_levels_are_told_the_step_that_takes_them() -> None:
    table = pa.table({"w": [f"u{number}" for number in range(1_000_001)]})

    for chain in ([{"kind": "rare", "min_count": 5}, "onehot"], ["ordinal"], ["onehot"]):
        with pytest.raises(DataError, match=r"'w' has more than 262,144 levels.* Encode it with 'hash' or 'target'"):
            fit(table, w=chain)
    assert fit(table, w=["hash"]).feature_names[-1] == "w_hash1023"


def test_a_dense_matrix_too_wide_for_any_memory_is_refused() -> None:
    with pytest.raises(DataError, match=r"30,000 of them from 'w'; at most 20,000 are made. Choose a model that takes"):
        fit(WORDS, sparse=False, w=[{"kind": "hash", "n_features": 30_000}])


def test_it_is_the_same_after_json_and_refuses_one_column() -> None:
    fitted = fit(WORDS, w=["hash"])

    assert FittedPreprocessor.load(json.loads(json.dumps(fitted.dump()))) == fitted
    with pytest.raises(SettingsError, match="n_features"):
        Preprocessing(categorical=[{"kind": "hash", "n_features": 1}])
