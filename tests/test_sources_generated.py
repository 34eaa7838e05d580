"""Generated rows: decided by the settings alone, realistic, and with a signal a linear model finds."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from daskflow.core.errors import SettingsError
from daskflow.sources.generated import Generated


def rows(source: Generated) -> pa.Table:
    """All rows; every partition in exactly the source schema."""
    table = source.table()
    read = [partition.read().rows for partition in table.partitions]
    assert all(part.schema == table.source_schema.arrow for part in read)
    return pa.concat_tables(read)


def test_the_number_of_partitions_only_cuts_the_rows() -> None:
    # given a number of rows that fits no chunk
    whole = rows(Generated(rows=10_001, partitions=1))
    # then
    assert whole.num_rows == 10_001
    for partitions in (3, 8):
        assert rows(Generated(rows=10_001, partitions=partitions)).equals(whole)
    # and fewer rows are the first of them
    assert rows(Generated(rows=5_000, partitions=2)).equals(whole.slice(0, 5_000))


def test_the_seed_decides_the_rows_and_the_content_hash() -> None:
    # given
    first, again, other = (Generated(rows=500, partitions=2, seed=seed) for seed in (0, 0, 1))
    # then
    assert rows(first).equals(rows(again))
    assert not rows(first).equals(rows(other))
    hashes = [[part.read().content_hash for part in source.table().partitions] for source in (first, again, other)]
    assert hashes[0] == hashes[1]
    assert len({*hashes[0], *hashes[2]}) == 4


def test_more_partitions_than_rows_leave_some_empty() -> None:
    table = Generated(rows=3, partitions=5).table()
    assert sum(part.read().rows.num_rows for part in table.partitions) == 3
    assert len(table.partitions) == 5


def test_the_table_is_of_realistic_shape() -> None:
    # when
    frame = rows(Generated(rows=40_000, partitions=1)).to_pandas()
    # then numbers have gaps and heavy tails
    assert 0.05 < frame["income"].isna().mean() < 0.12
    assert frame["income"].skew() > 2
    assert frame["balance"].kurt() > 50
    # texts of few and of many levels, the first far more frequent than the last
    counts = frame["product"].value_counts()
    assert len(counts) > 2_000
    assert counts.iloc[0] > 100 * counts.iloc[-1]
    assert frame["region"].nunique() == 8
    assert frame["region"].isna().any()
    # times with gaps, booleans, a constant
    assert frame["joined"].isna().any()
    assert frame["last_visit"].dtype.kind == "M"
    assert frame["member"].dtype == bool
    assert frame["currency"].nunique() == 1
    # classes that are neither rare nor even
    assert 0.3 < frame["target"].mean() < 0.45


def test_a_linear_model_reaches_about_four_fifths_of_the_area() -> None:
    # given
    frame = rows(Generated(rows=20_000, partitions=1)).to_pandas()
    numbers = ["age", "income", "balance", "rate", "visits", "minutes", "member", "days"]
    frame["days"] = (frame["joined"] - pd.Timestamp("2021-01-01")).dt.days
    frame["member"] = frame["member"].astype(float)
    prepared = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
        (OneHotEncoder(min_frequency=20, handle_unknown="infrequent_if_exist"), ["region", "channel", "product"]),
    )
    model = make_pipeline(prepared, LogisticRegression(C=0.1, max_iter=300))
    # when
    train, test = frame.iloc[:15_000], frame.iloc[15_000:]
    model.fit(train, train["target"])
    # then
    assert 0.75 < roc_auc_score(test["target"], model.predict_proba(test)[:, 1]) < 0.85


@pytest.mark.parametrize(("task", "kind"), [("binary", "int64"), ("multiclass", "string"), ("regression", "double")])
def test_the_target_is_of_the_task(task: str, kind: str) -> None:
    table = Generated(rows=2_000, partitions=1, task=task, target="y").table()
    values = table.partitions[0].read().rows["y"]
    assert table.schema["y"].type == kind
    assert table.task == task
    assert table.roles.target == "y"
    assert len(values.unique()) == {"binary": 2, "multiclass": 3}.get(task, len(values.unique()))


def test_settings_without_meaning_are_refused() -> None:
    with pytest.raises(SettingsError) as caught:
        Generated(rows=0, partitions=0, task="clustering")
    assert all(word in str(caught.value) for word in ("rows", "partitions", "task"))
