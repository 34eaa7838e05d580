"""``daskflow profile``: text on stdout, a page beside it, JSON for programs, and a sentence for what cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

import daskflow as flow
from daskflow.cli import main
from daskflow.workflow.profiling import file_name

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``daskflow profile`` in a folder of its own, with files ``data/part.N.csv``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DASKFLOW_CACHE_DIR", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    for place in range(3):
        late = rng.integers(0, 2, 200)
        size, who = rng.normal(5, 1, 200), rng.choice(list("abc"), 200)
        frame = pd.DataFrame({"late": late, "copy": late * 2, "size": size, "who": who})
        frame.to_csv(tmp_path / "data" / f"part.{place}.csv", index=False)

    def invoke(*words: str) -> Result:
        return CliRunner().invoke(main, ["profile", *words], catch_exceptions=False)

    return invoke


def test_it_prints_findings_and_columns_and_writes_a_page(run: Run) -> None:
    done = run("data", "--target", "late")
    assert done.exit_code == 0, done.output
    assert "data: 600 rows, 4 columns" in done.stdout
    assert "'copy' alone ranks the rows by 'late'" in done.stdout
    assert "drop = ['copy']" in done.stdout
    assert "Page: profile-data.html" in done.stdout
    assert (
        Path("profile-data.html").read_text().startswith("<!DOCTYPE html>")
        or "<!DOCTYPE html>" in Path("profile-data.html").read_text()
    )


def test_json_is_one_object_and_no_page_is_written_unless_asked_for(run: Run) -> None:
    done = run("data/*.csv", "--target", "late", "--json")
    found = json.loads(done.stdout)
    assert (found["format"], found["rows"], found["files"]) == (1, 600, 3)
    assert [column["name"] for column in found["columns"]] == ["late", "copy", "size", "who"]
    assert found["columns"][1]["power"]["auc"] == 1.0
    assert found["target"]["task"] == "binary"
    assert found["findings"][0]["severity"] == "problem"
    assert set(found["columns"][2]["quantiles"]) == {"0.01", "0.05", "0.25", "0.5", "0.75", "0.95", "0.99"}
    assert found["correlations"][0]["value"] == pytest.approx(1.0)
    assert not list(Path().glob("*.html"))
    assert run("data", "--json", "-o", "page.html").exit_code == 0
    assert Path("page.html").exists()


def test_a_second_look_reads_the_blocks_and_no_file(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a table that was profiled
    first = run("data", "--json")
    from daskflow.sources.csv_piece import CsvPiece

    def refuse(*arguments: Any, **options: Any) -> Any:
        raise AssertionError("a file was read")

    monkeypatch.setattr(CsvPiece, "read", refuse)
    # when, then
    again = run("data", "--target", "late", "--json")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["columns"][2]["mean"] == json.loads(first.stdout)["columns"][2]["mean"]


def test_a_workflow_file_brings_its_data_target_and_cluster(run: Run) -> None:
    Path("flow.toml").write_text(
        '[data]\nkind = "csv"\npath = "data"\ntarget = "late"\n[model]\nkind = "sgd"\n[cluster]\nkind = "inline"\n'
    )
    found = json.loads(run("flow.toml", "--json").stdout)
    assert (found["name"], found["rows"], found["target"]["name"]) == ("flow", 600, "late")
    done = run("flow.toml", "--kind", "csv")
    assert done.exit_code == 2
    assert "leave out kind" in done.stderr
    assert run("flow.toml", "data").exit_code == 2


def test_columns_task_and_options_of_the_files_are_heard(run: Run) -> None:
    found = json.loads(run("data", "--columns", "size, who", "--set", "dtypes={late='string'}", "--json").stdout)
    assert [column["name"] for column in found["columns"]] == ["size", "who"]
    task = json.loads(run("data", "--target", "late", "--task", "regression", "--json").stdout)
    assert task["target"]["task"] == "regression"


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["nowhere.csv"], 1, "nowhere.csv"),
        (["data", "--target", "lat"], 1, "late"),
        (["data", "--columns", "siz"], 1, "there is no column 'siz'"),
        (["data", "--sample", "much"], 2, "a number of rows such as 100000"),
        (["data", "--sample", "150%"], 2, "sample"),
        (["data", "--on", "nothing"], 2, "nothing"),
        (["data", "--cache", "nothing"], 2, "cache.kind"),
    ],
)
def test_what_cannot_be_is_a_sentence_with_an_exit_code(run: Run, words: list[str], code: int, sentence: str) -> None:
    done = run(*words)
    assert done.exit_code == code, done.output
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_sample_says_so(run: Run) -> None:
    done = run("data", "--sample", "0.5")
    assert "(a sample: " in done.stdout
    assert "a sample" in Path("profile-data.html").read_text()


def test_values_cannot_move_the_cursor(run: Run) -> None:
    pd.DataFrame({"x\x1b[31m": ["\x1b[2Jgone"] * 30 + ["b"] * 30}).to_parquet("evil.parquet")
    assert "\x1b" not in run("evil.parquet").stdout


def test_the_page_is_named_after_the_data() -> None:
    assert file_name("../x/..") == "profile-table.html"
    assert file_name("C:\\data\\sales.csv") == "profile-sales.html"


def test_flow_profile_takes_frames_tables_and_paths(run: Run) -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, np.nan], "y": ["a", "b", "a"]})
    options: dict[str, Any] = {"cache": "none", "cluster": "inline"}
    found = flow.profile(frame, **options)
    assert found.to_frame().loc["x", "missing"] == 1
    assert repr(found) == f"Profile('table': 3 rows, 2 columns, {len(found.findings)} findings)"
    assert "<table" in found._repr_html_()
    table = flow.profile(flow.read("data", target="late"), **options)
    assert table.target is not None
    assert flow.profile("data", target="late", **options).to_frame().equals(table.to_frame())
    assert found.write("a.html") == Path("a.html")
    assert not [item for item in Path().iterdir() if item.name.startswith(".") or item.name == "runs"]
    with pytest.raises(AttributeError):
        found.table = None  # type: ignore[misc]  # frozen


@pytest.mark.slow
def test_a_cluster_finds_what_this_process_finds(run: Run) -> None:
    here = json.loads(run("data", "--target", "late", "--json").stdout)
    there = json.loads(run("data", "--target", "late", "--on", "local", "--json").stdout)
    assert there == here
