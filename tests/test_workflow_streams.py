"""The streams that ship learn from the real tables, and say what happened."""

from __future__ import annotations

import gzip
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import daskflow as flow
from daskflow.core.errors import DataError

FOLDER = Path(__file__).resolve().parents[1] / "workflows"


def ran(script: str, folder: Path, *paths: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(FOLDER / script), *map(str, paths)],
        cwd=folder,
        env={**os.environ, "DASKFLOW_CACHE_DIR": str(folder / "store"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("script", sorted(path.name for path in FOLDER.glob("*_stream.py")))
def test_a_path_that_is_not_there_is_said_in_a_sentence(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for words, said in (["nowhere.csv"], "there is no such file or folder"), ([], "it names no files"):
        monkeypatch.setattr("sys.argv", [script, *words])
        with pytest.raises(DataError, match=said):
            runpy.run_path(str(FOLDER / script), run_name="__main__")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_network_s_load_is_learned_hour_by_hour(shared_data: Path, tmp_path: Path) -> None:
    # given the last 5,000 hours of a zone
    table = pd.read_csv(shared_data / "pjm_energy_hourly" / "DEOK_hourly.csv.gz").sort_values("Datetime")
    table[-5_000:].to_csv(tmp_path / "hours.csv", index=False)
    # when
    said = ran("energy_stream.py", tmp_path, tmp_path / "hours.csv")
    # then the one that learns has taken over, because it is better
    stream = flow.open_stream(tmp_path / "energy-stream")
    assert [swap["champion"] for swap in stream.swaps] == ["learner"]
    assert "learner answers instead of model: over the last" in said
    told = pd.read_json(tmp_path / "energy-foretold.jsonl", lines=True)
    assert (told["prediction"] - told["load"])[-1_000:].abs().mean() < 0.2


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_cancelled_lines_are_learned_when_they_are_known(shared_data: Path, tmp_path: Path) -> None:
    # given twelve days
    for path in sorted((shared_data / "online_retail").glob("*.csv.gz"))[:12]:
        (tmp_path / path.name.removesuffix(".gz")).write_bytes(
            gzip.decompress(path.read_bytes())[:60_000].rsplit(b"\n", 1)[0]
        )
    # when
    said = ran("retail_stream.py", tmp_path, *sorted(tmp_path.glob("*.csv")))
    # then every line was answered, and every true value learned
    truth = pd.read_json(tmp_path / "retail-truth.jsonl", lines=True)
    stream = flow.open_stream(tmp_path / "retail-stream")
    assert stream.answered == len(truth) > 5_000
    assert f"{len(truth):,} lines answered" in said
    assert set(stream.models) == {"model", "learner"}
    assert flow.load_model(tmp_path / "retail-stream").target.name == "cancelled"
