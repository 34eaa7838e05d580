"""Texts: scikit-learn's tf-idf and hashing, from one pass, in any order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer

from daskflow.core.errors import DataError, SettingsError
from daskflow.preprocess import term_counts
from daskflow.preprocess.fitted import FittedPreprocessor
from daskflow.preprocess.settings import Preprocessing
from tests.small_statistics import fit

TEXTS = pa.table({"t": ["red mug", "Red RED kettle", None, "blue mug", "red mug", "café au lait"]})


def descriptions(folder: Path) -> pa.Table:
    """What a shop sold in eight weeks: repeated, misspelt, sometimes missing."""
    files = sorted((folder / "online_retail").rglob("*.csv.gz"))[:40]
    frame = pd.concat([pd.read_csv(file, dtype=str, usecols=["Description"]) for file in files], ignore_index=True)
    return pa.table({"t": pa.array(frame["Description"], pa.string(), from_pandas=True)})


def texts_of(table: pa.Table) -> list[str]:
    """As scikit-learn takes them: a missing text is an empty one."""
    return [text or "" for text in table["t"].to_pylist()]


def difference(left: Any, right: Any) -> float:
    """Largest difference of two matrices."""
    return float(abs(sparse.csr_matrix(left) - sparse.csr_matrix(right)).max())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_df": 0.05, "min_df": 5, "sublinear_tf": True, "binary": True},
        pytest.param(
            {"analyzer": "char_wb", "ngram_range": [2, 3], "min_df": 0.01, "norm": "l1"}, marks=pytest.mark.slow
        ),
        pytest.param(
            {"analyzer": "char", "ngram_range": [1, 2], "lowercase": False, "use_idf": False}, marks=pytest.mark.slow
        ),
        {"ngram_range": [1, 2], "stop_words": ["of", "set"], "strip_accents": "unicode", "smooth_idf": False},
        {"stop_words": "english", "token_pattern": r"[a-z]{4,}", "norm": "none"},
    ],
    ids=str,
)
def test_tfidf_of_real_texts_equals_scikit_learns(options: dict[str, Any], shared_data: Path) -> None:
    # given descriptions in pieces, one of them empty
    table = descriptions(shared_data)
    pieces = np.split(np.random.default_rng(0).permutation(table.num_rows), [10, 30_000, 30_000])

    fitted = fit(table, pieces=pieces, t=[{"kind": "text", **options}])

    words = {"ngram_range": tuple(options.get("ngram_range", (1, 1))), "norm": options.get("norm", "l2")}
    vectorizer = TfidfVectorizer(**options | words | ({"norm": None} if words["norm"] == "none" else {}))
    expected = vectorizer.fit_transform(texts_of(table))
    assert fitted.feature_names == tuple(f"t_{term}" for term in vectorizer.get_feature_names_out())
    found = fitted.matrix(table)
    assert fitted.is_sparse == (len(fitted.feature_names) > 256)
    scale = max(1.0, float(abs(expected).max()))
    assert difference(found, expected) / scale < 1e-6


def test_the_most_frequent_terms_are_kept_and_of_equal_ones_the_first() -> None:
    # red stands 4 times, mug 3; au, blue, café, kettle and lait once
    kept = fit(TEXTS, t=[{"kind": "text", "max_features": 4}]).feature_names
    assert kept == ("t_au", "t_blue", "t_mug", "t_red")
    by_row = fit(TEXTS, t=[{"kind": "text", "max_features": 2, "binary": True}]).feature_names
    assert by_row == ("t_mug", "t_red")


def test_the_terms_of_real_texts_are_as_frequent_as_scikit_learn_counts(shared_data: Path) -> None:
    table = descriptions(shared_data)
    fitted = fit(table, t=[{"kind": "text", "max_features": 100}])

    counter = CountVectorizer()
    counts = np.asarray(counter.fit_transform(texts_of(table)).sum(axis=0)).ravel()
    frequency = dict(zip(counter.get_feature_names_out(), counts, strict=True))
    kept = {name.removeprefix("t_") for name in fitted.feature_names}
    assert len(kept) == 100
    assert min(frequency[term] for term in kept) >= max(n for term, n in frequency.items() if term not in kept)


@pytest.mark.parametrize(
    "options",
    [
        {"n_features": 2_048},
        {"n_features": 64, "alternate_sign": False, "norm": "l1", "binary": True},
        {"n_features": 512, "analyzer": "char_wb", "ngram_range": (3, 3), "strip_accents": "ascii"},
    ],
    ids=str,
)
def test_hashing_of_real_texts_equals_scikit_learns(options: dict[str, Any], shared_data: Path) -> None:
    table = descriptions(shared_data)
    fitted = fit(table.slice(0, 50), t=[{"kind": "text", "method": "hashing", **options}])

    expected = HashingVectorizer(**options).fit_transform(texts_of(table))
    assert difference(fitted.matrix(table), expected) < 1e-6


def test_missing_and_unknown_texts_are_rows_of_zeros_and_the_unknown_are_counted() -> None:
    fitted = fit(TEXTS, t=["text"])
    later = pa.table({"t": [None, "teapot", "", "?", "red teapot", "teapot"]})

    assert np.asarray(fitted.matrix(later)).any(axis=1).tolist() == [False, False, False, False, True, False]
    assert fitted.unseen(later) == {"t": 2}
    assert fitted.unseen(pa.table({"t": pa.nulls(2)})) == {"t": 0}
    assert fitted.matrix(pa.table({"t": pa.nulls(2)})).shape == (2, len(fitted.feature_names))
    assert fitted.matrix(TEXTS.slice(0, 0)).shape == (0, len(fitted.feature_names))


def test_texts_and_numbers_stand_in_one_matrix_dense_or_sparse() -> None:
    table = TEXTS.append_column("x", pa.array([1.0, 2.0, None, 4.0, 5.0, 6.0])).append_column("w", TEXTS["t"])
    chains: dict[str, Any] = {"t": ["text"], "x": ["impute", "scale"], "w": ["onehot"]}

    wide, narrow = fit(table, sparse=True, **chains), fit(table, sparse=False, **chains)

    assert wide.feature_names == narrow.feature_names
    assert sparse.issparse(wide.matrix(table))
    assert np.array_equal(wide.matrix(table).toarray(), narrow.matrix(table))
    assert wide.matrix(table).dtype == np.float32


@pytest.mark.parametrize("step", [{"ngram_range": [1, 2], "stop_words": ["au"]}, {"method": "hashing"}])
def test_it_is_the_same_after_json(step: dict[str, Any]) -> None:
    fitted = fit(TEXTS, t=[{"kind": "text", **step}])

    loaded = FittedPreprocessor.load(json.loads(json.dumps(fitted.dump())))

    assert loaded == fitted
    assert difference(loaded.matrix(TEXTS), fitted.matrix(TEXTS)) == 0


def test_too_many_terms_are_refused_with_the_method_that_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(term_counts, "MOST_TERMS", 5)
    pieces = [np.array([place]) for place in range(6)]

    with pytest.raises(DataError, match=r"'t' has more than .* terms. Use method = 'hashing', which counts none"):
        fit(TEXTS, pieces=pieces, t=["text"])
    fit(TEXTS.slice(0, 3), t=["text"])


def test_bounds_that_leave_no_term_and_texts_without_any_are_told() -> None:
    with pytest.raises(DataError, match=r"none of 7 terms occurs in between min_df = 5 and max_df = 1.0 of the rows"):
        fit(TEXTS, t=[{"kind": "text", "min_df": 5}])
    empty = pa.table({"t": ["?", "!", "."], "x": [1.0, 2.0, 3.0]})
    fitted = fit(empty, t=["text"], x=["passthrough"])
    assert fitted.feature_names == ("x",)
    assert fitted.warnings == ("Column 't' is constant after 'text'; it is left out.",)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n_features": 64}, "n_features is not for method = 'tfidf'"),
        ({"method": "hashing", "min_df": 2, "use_idf": False}, "min_df is not for method = 'hashing'; use_idf is not"),
        ({"analyzer": "char", "stop_words": "english"}, "stop_words is not for analyzer = 'char'"),
        ({"ngram_range": [3, 1]}, "should name the shortest run first"),
        ({"token_pattern": "(["}, "is no regular expression"),
        ({"token_pattern": "(a)(b)"}, "at most one group"),
        ({"min_df": 2.5}, "min_df"),
    ],
    ids=str,
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Preprocessing(categorical=[{"kind": "text", **options}])
    assert said in str(caught.value)


def test_it_takes_texts_as_they_stand_in_the_table() -> None:
    with pytest.raises(SettingsError, match="'text' stands after 'rare', which changes what it counts"):
        Preprocessing(categorical=["rare", "text"])
    with pytest.raises(SettingsError, match="'text' takes strings, and gets numbers"):
        Preprocessing(numeric=["text"])
