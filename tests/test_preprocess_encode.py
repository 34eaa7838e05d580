"""One-hot, ordinal and rare levels: every option, levels never seen, and the silent errors of others."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from daskflow.core.errors import DataError, SettingsError
from daskflow.preprocess.fitted import FittedPreprocessor
from daskflow.preprocess.settings import Preprocessing
from tests.small_statistics import column, fit

WORDS = pa.table({"w": ["b"] * 6 + ["a"] * 3 + ["z", "y", None]})


def test_silent_error_28_unseen_categories_have_a_documented_place_and_are_counted() -> None:
    # given levels x and y in training, and z later
    known, later = pa.table({"w": ["x", "y", "y"]}), pa.table({"w": ["z", "x", None]})
    rare = pa.table({"w": ["x"] * 5 + ["y", "v"]})
    places: list[tuple[pa.Table, list[Any], list[float]]] = [
        (known, ["onehot"], [0, 0]),
        (rare, [{"kind": "rare", "min_count": 2}, "onehot"], [0, 1]),
        (known, ["ordinal"], [-1]),
        (known, [{"kind": "ordinal", "unknown": 99}], [99]),
        (known, ["frequency"], [0]),
        (pa.table({"w": ["x", "y"] * 4}), [{"kind": "target", "smooth": 0.0}], [5 / 8]),
    ]

    # then the row of z is what the documentation says, and z and the gap that training did not have are counted
    for table, chain, expected in places:
        numbers = np.arange(table.num_rows)
        fitted = fit(table, numbers % 5, (numbers % 3 > 0).astype(int), w=chain)
        assert fitted.matrix(later)[0].tolist() == pytest.approx(expected), chain
        assert fitted.unseen(later) == {"w": 2}, chain


def test_silent_error_28_unseen_categories_can_be_refused_by_name() -> None:
    for step in ("onehot", "ordinal"):
        fitted = fit(WORDS, w=[{"kind": step, "unknown": "error"}])

        fitted.matrix(pa.table({"w": ["a", None, "z"]}))
        with pytest.raises(DataError, match=r"Column 'w' has levels that training did not have: 'q' \(2\), 'r' \(1\)"):
            fitted.matrix(pa.table({"w": ["q", "a", "q", "r"]}))
    with pytest.raises(DataError, match=r"'u4' \(1\) and 7 more \(rows in brackets\)"):
        fitted.matrix(pa.table({"w": [f"u{number}" for number in range(12)]}))


def test_silent_error_29_codes_are_those_of_all_partitions_together() -> None:
    # given x, y in one partition and z, x in the other, whose own codes would be 0, 1 and 1, 0
    table = pa.table({"s": ["x", "y", "z", "x"]})
    pieces = [np.array([0, 1]), np.array([2, 3])]

    fitted = fit(table, pieces=pieces, s=["ordinal"])

    assert [fitted.matrix(table.take(piece))[:, 0].tolist() for piece in pieces] == [[0, 1], [2, 0]]


def test_a_level_of_ones_own_choice_is_left_out() -> None:
    fitted = fit(WORDS, w=[{"kind": "onehot", "reference": "b"}])

    assert fitted.feature_names == ("w_a", "w_y", "w_z", "w_(missing)")
    assert fitted.matrix(pa.table({"w": ["b", "z"]})).tolist() == [[0, 0, 0, 0], [0, 0, 1, 0]]
    assert fitted.unseen(pa.table({"w": ["b"]})) == {"w": 0}
    fit(WORDS, w=[{"kind": "onehot", "reference": "b", "unknown": "error"}]).matrix(pa.table({"w": ["b"]}))
    with pytest.raises(DataError, match="reference = 'bb' is none of its levels in training; did you mean 'b'"):
        fit(WORDS, w=[{"kind": "onehot", "reference": "bb"}])
    with pytest.raises(SettingsError, match="give one of them"):
        Preprocessing(categorical=[{"kind": "onehot", "reference": "b", "drop": "first"}])


def test_levels_never_seen_can_be_kept_from_the_rare_ones() -> None:
    later = pa.table({"w": ["z", "new"]})
    chains: list[tuple[list[Any], list[list[float]]]] = [
        ([{"kind": "rare", "min_count": 3}, "onehot"], [[0, 0, 1, 0], [0, 0, 1, 0]]),
        ([{"kind": "rare", "min_count": 3, "unknown": "keep"}, "onehot"], [[0, 0, 1, 0], [0, 0, 0, 0]]),
        (
            [{"kind": "rare", "min_count": 3, "unknown": "keep"}, {"kind": "onehot", "unknown": "infrequent"}],
            [[0, 0, 1, 0], [0, 0, 1, 0]],
        ),
    ]
    for chain, expected in chains:
        fitted = fit(WORDS, w=chain)
        assert fitted.matrix(later).tolist() == expected
        assert fitted.unseen(later) == {"w": 1}
    strict = fit(WORDS, w=[{"kind": "rare", "min_count": 3, "unknown": "keep"}, {"kind": "onehot", "unknown": "error"}])
    with pytest.raises(DataError, match="'new'"):
        strict.matrix(later)


def test_min_frequency_is_a_share_below_1_and_a_count_from_1_on() -> None:
    for least, kept in ((0.25, ["a", "b"]), (0.26, ["b"]), (3, ["a", "b"]), (4, ["b"]), (1, ["a", "b", "y", "z"])):
        names = fit(WORDS, w=[{"kind": "rare", "min_frequency": least}, "onehot"]).feature_names
        rare = ["(rare)"] if len(kept) < 4 else []
        assert names == tuple(f"w_{level}" for level in [*kept, *rare, "(missing)"])
    with pytest.raises(SettingsError, match="a share below 1, or a whole number of rows"):
        Preprocessing(categorical=[{"kind": "rare", "min_frequency": 2.5}, "onehot"])


def test_codes_follow_an_order_of_ones_own() -> None:
    sizes = pa.table({"s": ["low", "high", "middle", "low", None]})
    order = ["low", "middle", "high", "huge"]
    fitted = fit(sizes, s=[{"kind": "ordinal", "order": order}])

    assert column(fitted, pa.table({"s": [*order, None, "odd"]}), "s") == [0, 1, 2, 3, -2, -1]
    scaled = fit(sizes, s=[{"kind": "ordinal", "order": order, "missing": "nan"}, "impute", "scale"])
    codes = np.array([0, 2, 1, 0, 0.75])
    assert column(scaled, sizes, "s") == pytest.approx((codes - codes.mean()) / codes.std(), rel=1e-6)
    assert FittedPreprocessor.load(json.loads(json.dumps(fitted.dump()))) == fitted


def test_an_order_that_forgets_levels_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="order does not name 'y', 'z', which the training rows have"):
        fit(WORDS, w=[{"kind": "ordinal", "order": ["a", "b"]}])
    with pytest.raises(SettingsError, match="names a level twice"):
        Preprocessing(categorical=[{"kind": "ordinal", "order": ["a", "a"]}])
    grouped = fit(WORDS, w=[{"kind": "rare", "min_count": 3}, {"kind": "ordinal", "order": ["b", "a"]}])
    assert column(grouped, pa.table({"w": ["b", "a", "z"]}), "w") == [0, 1, 2]


def test_unknown_codes_can_be_missing_values() -> None:
    fitted = fit(WORDS, w=[{"kind": "ordinal", "unknown": "nan"}])

    assert column(fitted, pa.table({"w": ["new", "a"]}), "w") == pytest.approx([math.nan, 0], nan_ok=True)


def test_every_step_is_the_same_after_json() -> None:
    chains: list[list[Any]] = [
        [{"kind": "rare", "min_count": 3, "unknown": "keep"}, {"kind": "onehot", "unknown": "infrequent"}],
        [{"kind": "onehot", "reference": "b", "unknown": "error"}],
        [{"kind": "ordinal", "unknown": "nan", "missing": "nan"}],
    ]
    for chain in chains:
        fitted = fit(WORDS, w=chain)
        assert FittedPreprocessor.load(json.loads(json.dumps(fitted.dump()))) == fitted


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b", "c", "d", "", None]), min_size=2, max_size=30),
    st.randoms(use_true_random=False),
    st.sampled_from(["onehot", "ordinal", "frequency", "target", "hash", "text"]),
)
def test_results_do_not_depend_on_partitions_order_or_empty_parts(levels: Any, random: Any, kind: str) -> None:
    table = pa.table({"w": pa.array(levels, pa.string()), "x": [float(n) for n in range(len(levels))]})
    parts, y = [n % 5 for n in range(len(levels))], np.array([1, *(n % 2 for n in range(1, len(levels)))])
    order = list(range(len(levels)))
    random.shuffle(order)
    edges = sorted(random.choices(range(len(levels) + 1), k=3))
    pieces = [np.array(order[begin:end], int) for begin, end in itertools.pairwise([0, *edges, len(levels)])]
    chain: list[Any] = [{"kind": "rare", "min_count": 2}] if kind not in ("text", "hash") else []

    whole = fit(table, parts, y, w=[*chain, kind], x=["passthrough"])
    cut = fit(table, parts, y, pieces=pieces, w=[*chain, kind], x=["passthrough"])

    assert cut == whole
    assert cut.dump() == whole.dump()


def test_real_levels_are_coded_as_by_scikit_learn(shared_data: Path) -> None:
    file = shared_data / "adult_income" / "adult_train.csv.gz"
    frame = pd.read_csv(file, header=None, na_values="?", skipinitialspace=True)[[3, 8, 9, 13]]
    frame = frame.set_axis(["education", "race", "sex", "country"], axis=1).dropna()
    table = pa.Table.from_pandas(frame, preserve_index=False)
    pieces = np.split(np.random.default_rng(0).permutation(len(frame)), [5_000, 5_000, 20_000])

    coded = fit(table, pieces=pieces, **{name: ["ordinal"] for name in frame})
    hot = fit(table, pieces=pieces, sparse=True, **{name: [{"kind": "onehot", "drop": "if_binary"}] for name in frame})

    assert np.array_equal(coded.matrix(table), OrdinalEncoder().fit_transform(frame))
    encoder = OneHotEncoder(drop="if_binary")
    expected = encoder.fit_transform(frame)
    assert list(hot.feature_names) == list(encoder.get_feature_names_out())
    assert (hot.matrix(table) != expected).nnz == 0
