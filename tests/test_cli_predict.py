"""Files that no run has seen are scored row by row, read as the training files were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

import daskflow as flow
from daskflow.cli import main
from daskflow.core.errors import BadRowsError, DataError, SettingsError
from daskflow.workflow.scoring import score

N_ROWS = 600


def people(seed: int, n_rows: int = N_ROWS) -> pd.DataFrame:
    """Rows whose zip codes have leading zeros, with gaps, and a target that follows the zip code and the ratio."""
    draw = np.random.default_rng(seed)
    zips = draw.choice(["02139", "10115", "00042", "94110"], n_rows)
    income, rent = draw.lognormal(8, 1, n_rows).round(2), draw.lognormal(6, 1, n_rows).round(2)
    signal = (zips == "02139") * 2.0 + np.log(rent / income) + draw.normal(0, 0.3, n_rows)
    return pd.DataFrame(
        {
            "id": np.arange(n_rows) + 1_000_000 * seed,
            "zip": zips,
            "income": income,
            "rent": np.where(draw.random(n_rows) < 0.1, np.nan, rent),
            "children": draw.integers(0, 5, n_rows),
            "moved": pd.Timestamp("2020-01-01") + pd.to_timedelta(draw.integers(0, 900, n_rows), unit="D"),
            "late": np.where(signal > np.median(signal), "yes", "no"),
        }
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A finished run on two CSV files with semicolons and a derived feature."""
    folder = tmp_path_factory.mktemp("training")
    for part in range(2):
        people(part).to_csv(folder / f"people.{part}.csv", sep=";", index=False)
    workflow = flow.Workflow(
        name="people",
        data={
            "kind": "csv",
            "path": str(folder / "*.csv"),
            "separator": ";",
            "dtypes": {"zip": "string"},
            "target": "late",
            "derive": {"share": "rent / income", "wasted": "share * 2"},
            "drop": ["id", "wasted"],
        },
        split={"test": 0.2, "validation": 0.2},
        model={"kind": "sgd", "params": {"loss": "log_loss"}},
        search="none",
        cluster="inline",
        cache={"folder": str(folder / "cache")},
    )
    return workflow.run(folder / "runs")


@pytest.fixture
def new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """New rows without the target, as the training files were written, in the current folder."""
    monkeypatch.chdir(tmp_path)
    people(7).drop(columns="late").to_csv("new.csv", sep=";", index=False)
    return tmp_path / "new.csv"


def call(*words: Any) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def expected(run: Any, rows: pd.DataFrame) -> pd.DataFrame:
    """What the model says of rows that were never in a file."""
    rows = rows.assign(share=rows["rent"] / rows["income"])
    return pd.DataFrame({"prediction": run.model.predict(rows)}).join(
        run.model.predict_proba(rows).add_prefix("probability_")
    )


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".csv.gz"])
def test_new_files_are_scored_as_the_model_would_score_the_frame(run: Any, new: Path, suffix: str) -> None:
    # when
    result = call("predict", run.path, "new.csv", "-o", f"scored{suffix}", "--keep", "id", "--keep", "zip")
    # then
    assert result.exit_code == 0, result.stderr
    read = pd.read_parquet if suffix == ".parquet" else pd.read_csv
    scored = read(f"scored{suffix}") if suffix == ".parquet" else read(f"scored{suffix}", dtype={"zip": str})
    rows = people(7)
    assert list(scored.columns) == ["id", "zip", "prediction", "probability_no", "probability_yes"]
    assert scored["id"].tolist() == rows["id"].tolist()
    assert scored["zip"].tolist() == rows["zip"].tolist()
    wanted = expected(run, rows)
    assert scored["prediction"].tolist() == wanted["prediction"].tolist()
    assert scored["probability_yes"].to_numpy() == pytest.approx(wanted["probability_yes"].to_numpy(), abs=1e-12)
    assert f"{N_ROWS} rows scored" in result.stdout


def test_text_of_digits_stays_text_though_a_new_file_has_only_numbers(run: Any, new: Path) -> None:
    # given a file in which no zip code has a leading zero, so that it looks like a column of numbers
    rows = people(8).assign(zip="94110")
    rows.to_csv(new, sep=";", index=False)
    # when
    score(run.path, ["new.csv"], Path("scored.parquet"))
    # then
    found = pd.read_parquet("scored.parquet")["probability_yes"].to_numpy()
    assert found == pytest.approx(expected(run, rows)["probability_yes"].to_numpy(), abs=1e-12)


def test_the_cut_of_the_files_and_their_kind_do_not_matter(run: Any, new: Path) -> None:
    # given the same rows in one file, in three, and in parquet
    rows = people(7).drop(columns="late")
    for part, piece in enumerate(np.array_split(np.arange(len(rows)), 3)):
        rows.iloc[piece].to_csv(f"part.{part}.csv", sep=";", index=False)
    rows.to_parquet("new.parquet", index=False)
    # when
    for name, path in (("one", "new.csv"), ("three", "part.*.csv"), ("parquet", "new.parquet")):
        assert score(run.path, [path], Path(f"{name}.out.parquet"))["rows"] == N_ROWS
    # then
    one = pd.read_parquet("one.out.parquet")
    for name in ("three", "parquet"):
        pd.testing.assert_frame_equal(pd.read_parquet(f"{name}.out.parquet"), one, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_on_a_cluster_the_output_is_the_same_to_the_last_bit(run: Any, new: Path) -> None:
    # given a file in many pieces
    people(7, 5_000).drop(columns="late").to_csv(new, sep=";", index=False)
    words = ("predict", run.path, "new.csv", "--set", "partition_bytes=20000", "--keep", "id")
    # when
    here = call(*words, "-o", "here.parquet")
    there = call(*words, "-o", "there.parquet", "--on", "local", "--on-set", "workers=2", "--json")
    # then
    assert here.exit_code == 0, here.stderr
    assert there.exit_code == 0, there.stderr
    assert json.loads(there.stdout)["partitions"] > 5
    assert pd.read_parquet("there.parquet").equals(pd.read_parquet("here.parquet"))
    assert {path.name for path in new.parent.iterdir()} == {"new.csv", "here.parquet", "there.parquet"}


def test_options_of_a_cluster_without_one_are_refused(run: Any, new: Path) -> None:
    result = call("predict", run.path, "new.csv", "-o", "out.parquet", "--on-set", "workers=2")
    assert result.exit_code == 2
    assert "--on-set says something of the cluster that --on names" in result.stderr


def test_probabilities_can_be_left_out_and_the_summary_is_one_object(run: Any, new: Path) -> None:
    result = call("predict", run.path, "new.csv", "-o", "scored.parquet", "--no-proba", "--json")
    found = json.loads(result.stdout)
    assert list(pd.read_parquet("scored.parquet").columns) == ["prediction"]
    assert (found["rows"], found["partitions"], found["rejected"], found["unseen"]) == (N_ROWS, 1, 0, {})


def test_levels_that_training_has_not_seen_are_counted(run: Any, new: Path) -> None:
    # given 5 rows from a place that was not in the training files
    rows = people(9)
    rows.loc[:4, "zip"] = "99999"
    rows.to_csv(new, sep=";", index=False)
    # when
    result = call("predict", run.path, "new.csv", "-o", "scored.csv")
    # then
    assert result.exit_code == 0
    assert "zip: 5 rows with a level that the model has not seen in training" in result.stderr


def test_a_later_file_that_does_not_fit_leaves_no_output_and_names_the_file(run: Any, new: Path) -> None:
    # given a second file whose children are no numbers, and an output of an earlier day
    people(7).drop(columns="late").assign(children="two").to_csv("newer.csv", sep=";", index=False)
    Path("scored.csv").write_text("of yesterday")
    # when
    with pytest.raises((DataError, BadRowsError), match=r"newer\.csv.*children"):
        score(run.path, ["new.csv", "newer.csv"], Path("scored.csv"))
    # then
    assert Path("scored.csv").read_text() == "of yesterday"
    assert sorted(path.name for path in Path().iterdir()) == ["new.csv", "newer.csv", "scored.csv"]


def test_a_column_the_model_needs_is_named(run: Any, new: Path) -> None:
    people(7).drop(columns=["late", "children"]).to_csv(new, sep=";", index=False)
    with pytest.raises(DataError, match=r"new\.csv: .*children"):
        score(run.path, ["new.csv"], Path("scored.csv"))


def test_a_column_that_only_the_derived_one_needs_is_named(run: Any, new: Path) -> None:
    people(7).drop(columns=["late", "rent"]).to_csv(new, sep=";", index=False)
    with pytest.raises(DataError, match="rent"):
        score(run.path, ["new.csv"], Path("scored.csv"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["-o", "scored.xlsx"], "the suffix says the format; there is: .parquet, .csv, .csv.gz"),
        (["-o", "new.csv"], "new.csv is one of the files to be scored"),
        (["-o", "s.csv", "--keep", "zipp"], "there is no column 'zipp'; did you mean 'zip'?"),
        (["-o", "s.csv", "--keep", "id", "--keep", "id"], "the output has a column 'id' already"),
        (["-o", "s.csv", "--set", "seperator=,"], "no such option; did you mean 'separator'?"),
        (["-o", "s.csv", "--kind", "cvs"], "no such source: 'cvs'; did you mean 'csv'?"),
    ],
)
def test_a_command_line_that_cannot_be_is_refused_with_a_sentence(
    run: Any, new: Path, options: list[str], sentence: str
) -> None:
    before = new.read_bytes()
    result = call("predict", run.path, "new.csv", *options)
    assert result.exit_code == 2, result.output
    assert sentence in result.stderr
    assert new.read_bytes() == before


def test_options_given_win_over_those_of_training(run: Any, new: Path) -> None:
    # given new files with commas
    people(7).to_csv(new, index=False)
    # when, then
    with pytest.raises(DataError):
        score(run.path, ["new.csv"], Path("scored.csv"))
    assert score(run.path, ["new.csv"], Path("scored.csv"), options={"separator": ","})["rows"] == N_ROWS


def test_the_latest_run_of_a_name_and_a_model_folder_are_found(run: Any, new: Path) -> None:
    for place in (run.path.parent, run.path / "model"):
        assert score(place, ["new.csv"], Path("scored.parquet"))["rows"] == N_ROWS


def test_files_without_rows_are_a_sentence(run: Any, new: Path) -> None:
    people(7).head(0).to_csv(new, sep=";", index=False)
    with pytest.raises((DataError, SettingsError)):
        score(run.path, ["new.csv"], Path("scored.csv"))
    assert not Path("scored.csv").exists()


def test_a_folder_that_is_not_there_is_said_before_anything_is_scored(run: Any, new: Path) -> None:
    result = call("predict", run.path, "new.csv", "-o", "socred/today.parquet")
    assert result.exit_code == 1
    assert "socred/today.parquet cannot be written: there is no folder socred" in result.stderr
    assert "scoring" not in result.stderr
