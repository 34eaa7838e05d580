"""Bad input gets a sentence that says what is wrong and where, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daskflow.core.errors import DaskflowError, StorageError
from daskflow.workflow import Workflow
from tests.conftest import lacking

FRAME = pd.DataFrame(
    {
        "x": np.random.default_rng(0).normal(size=400),
        "colour": np.random.default_rng(1).choice(["red", "blue"], 400),
        "y": np.arange(400) % 2,
    }
)


def parquet(folder: Path, name: str, frame: pd.DataFrame) -> Path:
    """Write a file."""
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), folder / name)
    return folder / name


def workflow(folder: Path, *, kind: str = "parquet", **changes: Any) -> Workflow:
    """A small workflow over a folder."""
    data = {"kind": kind, "path": str(folder / f"*.{kind}"), "target": "y", **changes.pop("data", {})}
    return Workflow(
        data=data,
        model="sgd",
        search=changes.pop("search", {"kind": "random", "trials": 2}),
        split={"test": 0.2, "folds": 2},
        cluster="inline",
        cache={"folder": str(folder.parent / "cache")},
        **changes,
    )


def refused(make: Callable[[], Workflow], runs: Path) -> str:
    """The sentence with which a workflow is refused."""
    with pytest.raises(DaskflowError) as caught:
        make().run(runs)
    return str(caught.value)


BAD_FILES: dict[str, tuple[Callable[[Path], None], str, tuple[str, ...]]] = {
    "nothing matches": (lambda f: f.mkdir(), "parquet", ("*.parquet",)),
    "empty file": (lambda f: _bytes(f, "a.parquet", b""), "parquet", ("a.parquet", "empty")),
    "truncated parquet": (lambda f: _cut(parquet(f, "a.parquet", FRAME)), "parquet", ("a.parquet",)),
    "no parquet": (lambda f: _bytes(f, "a.parquet", b"hello, this is no parquet"), "parquet", ("a.parquet",)),
    "columns differ": (
        lambda f: (parquet(f, "a.parquet", FRAME), parquet(f, "b.parquet", FRAME.rename(columns={"x": "z"})), None)[-1],
        "parquet",
        ("b.parquet", "z"),
    ),
    "types differ": (
        lambda f: (parquet(f, "a.parquet", FRAME), parquet(f, "b.parquet", FRAME.assign(x="text")), None)[-1],
        "parquet",
        ("b.parquet", "x", "dtypes"),
    ),
    "names stand twice": (lambda f: _bytes(f, "a.csv", b"x,x,y\n1,2,0\n3,4,1\n"), "csv", ("a.csv", "x")),
    "empty csv": (lambda f: _bytes(f, "a.csv", b""), "csv", ("a.csv", "empty")),
    "a row too long": (lambda f: _bytes(f, "a.csv", b"x,y\n1,0\n2,1,7\n3,0\n"), "csv", ("a.csv", "3")),
    "only a header": (lambda f: _bytes(f, "a.csv", b"x,y\n"), "csv", ("row",)),
}


def _bytes(folder: Path, name: str, content: bytes) -> None:
    folder.mkdir()
    (folder / name).write_bytes(content)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_are_refused_by_name(case: str, tmp_path: Path) -> None:
    # given
    make, kind, words = BAD_FILES[case]
    make(tmp_path / "in")
    # when
    text = refused(lambda: workflow(tmp_path / "in", kind=kind), tmp_path / "runs")
    # then
    assert all(word in text for word in words), text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": {"target": "yy"}}, ("yy", "did you mean 'y'")),
        ({"data": {"drop": ["colr"]}}, ("colr", "did you mean 'colour'")),
        ({"data": {"target": "x", "task": "binary"}}, ("x",)),
        ({"data": {"positive": 7}}, ("7",)),
        ({"metrics": ["rmse"]}, ("rmse", "binary")),
        ({"data": {"derive": {"late": "nosuch > 3"}}}, ("late", "nosuch")),
        ({"data": {"drop": ["x", "colour"]}}, ("feature",)),
    ],
    ids=["target", "drop", "task", "positive", "metric", "derive", "no feature"],
)
def test_words_that_do_not_fit_the_table_are_refused(
    changes: dict[str, Any], words: tuple[str, ...], tmp_path: Path
) -> None:
    parquet(tmp_path / "in", "a.parquet", FRAME)
    text = refused(lambda: workflow(tmp_path / "in", **changes), tmp_path / "runs")
    assert all(word in text for word in words), text


def test_an_empty_file_beside_full_ones_changes_nothing(tmp_path: Path) -> None:
    # given two folders with the same rows, one with a file of no rows
    parquet(tmp_path / "one", "a.parquet", FRAME)
    parquet(tmp_path / "two", "a.parquet", FRAME)
    parquet(tmp_path / "two", "b.parquet", FRAME.iloc[:0])
    # when
    runs = [workflow(tmp_path / name).run(tmp_path / f"runs-{name}") for name in ("one", "two")]
    # then
    assert [t.score for t in runs[0].trials] == [t.score for t in runs[1].trials]


def test_rows_refused_are_written_with_file_and_line_and_counted(tmp_path: Path) -> None:
    # given a file with two bad rows among 400
    lines = [f"{x},{c},{y}" for x, c, y in FRAME.itertuples(index=False)]
    lines[100], lines[200] = "text,red,0", "1,red,0,9"
    _bytes(tmp_path / "in", "a.csv", ("x,colour,y\n" + "\n".join(lines) + "\n").encode())
    # when
    data = {"on_bad_rows": "reject", "dtypes": {"x": "float64"}}
    run = workflow(tmp_path / "in", kind="csv", data=data).run(tmp_path / "runs")
    # then rows in = rows used + rows refused
    rows = run.summary()["rows"]
    assert rows["rejected"] == 2
    assert rows["train"] + rows["validation"] + rows["test"] + rows["rejected"] == 400
    refusals = pd.read_csv(run.path / "rejects" / "rows.csv")
    assert sorted(refusals["line"]) == [102, 202]
    assert set(refusals["file"]) == {"a.csv"}


def test_refused_rows_hold_no_formula_for_whoever_opens_them_in_a_spreadsheet(tmp_path: Path) -> None:
    # given a file with a hostile name, and bad rows that begin like formulas
    bad = ["=cmd|' /C calc'!A0", "@SUM(1;1)", "+1+1", "-2+3"]
    lines = [f"{x},{c},{y}" for x, c, y in FRAME.itertuples(index=False)] + bad
    _bytes(tmp_path / "in", "=1+1.csv", ("x,colour,y\n" + "\n".join(lines) + "\n").encode())
    # when
    run = workflow(tmp_path / "in", kind="csv", data={"on_bad_rows": "reject"}).run(tmp_path / "runs")
    # then
    refusals = pd.read_csv(run.path / "rejects" / "rows.csv")
    assert [text.strip() for text in refusals["text"]] == [f"'{text}" for text in bad]
    assert set(refusals["file"]) == {"'=1+1.csv"}


def test_a_run_folder_that_cannot_be_written_is_named_before_anything_is_read(tmp_path: Path) -> None:
    # given a file where the folder of runs should be
    parquet(tmp_path / "in", "a.parquet", FRAME)
    (tmp_path / "runs").write_text("a file")
    # when, then
    with pytest.raises(StorageError, match=r"runs.*--runs"):
        workflow(tmp_path / "in").run(tmp_path / "runs")
    assert not (tmp_path / "cache").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = (
        os.geteuid() == 0
        and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True
        ).returncode
        == 0
    )
    if not mounted:
        lacking("the right to mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("full", ["blocks", "run folder"])
def test_a_full_disk_is_a_sentence_and_the_run_continues_elsewhere(full: str, small_disk: Path, tmp_path: Path) -> None:
    # given a table larger than the disk
    rng = np.random.default_rng(0)
    wide = pd.DataFrame(rng.normal(size=(30_000, 8)), columns=list("abcdefgh")).assign(y=np.arange(30_000) % 2)
    parquet(tmp_path / "in", "a.parquet", wide)
    cache, runs = (small_disk, tmp_path / "runs") if full == "blocks" else (tmp_path / "cache", small_disk)

    def make(folder: Path) -> Workflow:
        return Workflow(
            data={"kind": "parquet", "path": str(tmp_path / "in"), "target": "y"},
            model="sgd",
            search="none",
            split={"test": 0.2, "folds": 2},
            cluster="inline",
            cache={"folder": str(folder)},
        )

    # when, then
    with pytest.raises(StorageError, match=r"no space left|are free in"):
        make(cache).run(runs)
    # and with room the same workflow runs
    assert make(tmp_path / "roomy").run(tmp_path / "runs").status == "done"
