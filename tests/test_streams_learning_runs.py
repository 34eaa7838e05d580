"""Streams that learn, from the command line: delayed true values, kills, and swaps while they go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import daskflow as flow
from daskflow import bundle
from daskflow.bundle import Model, load_model
from daskflow.cli import main
from daskflow.core.errors import SettingsError
from daskflow.core.journal import read
from daskflow.workflow.streaming_learning import standing, swap
from tests.test_streams_learning import BAYES, QUICK, SGD, rows_with_truth

LEARN = [
    *("--learn", "--set", "learn.set.learning_rate=constant", "--set", "learn.set.eta0=0.1", "--once"),
    *("--set", "learn.rows=16", "--set", "learn.snapshot_rows=200"),
]
ROWS = [
    {**{name: value for name, value in row.items() if name != "t"}, "id": place}
    for place, row in enumerate([*rows_with_truth(300, seed=21), *rows_with_truth(500, seed=22, is_turned=True)])
]


def written(folder: Path, model: Model) -> Path:
    bundle.write(
        folder,
        estimator=model.estimator,
        transformer=model.transformer,
        schema=model.schema,
        target=model.target,
        card={},
    )
    return folder


def lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def without(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def results(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def ran(*words: str | Path) -> str:
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


def failed(*words: str | Path) -> str:
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 2, done.output
    return done.output


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("model") / "sgd", SGD)


def test_a_stream_learns_swaps_by_its_rule_and_is_swapped_back(tmp_path: Path, model: Path) -> None:
    # given
    source, sink = lines(tmp_path / "in.jsonl", ROWS), tmp_path / "out.jsonl"
    bayes = written(tmp_path / "bayes", BAYES)
    rule = ["--set", "learn.rule.window=100", "--set", "learn.rule.least=60", "--set", "learn.rule.every=16"]
    place = tmp_path / "stream"
    # when
    compared = ("--challenge", "--challenger", f"bayes={bayes}", "--set", "learn.rule.cool_down=100")
    common = ("--from", source, "--to", sink, *LEARN, *rule, "--folder", place, "--tell-model", "--keep", "x")
    ran("stream", model, *common, *compared)
    # then answers say who gave them, and are right after the turn
    found = results(sink)
    assert [row["x"] for row in found] == [row["x"] for row in ROWS]
    identity = load_model(model).identity
    assert found[0]["model"] == identity
    assert found[-1]["model"].startswith(f"{identity[:16]}+")
    assert np.mean([row["prediction"] != ROWS[place]["y"] for place, row in enumerate(found)][600:]) < 0.25
    # and the folder tells
    known = standing(place)
    assert (known["champion"], known["labelled"]) == ("learner", 800)
    events = read(place / "events.jsonl")
    assert [record["champion"] for record in events if record["record"] == "swap"] == ["learner"]
    standings = [record["challengers"] for record in events if record.get("challengers")]
    assert set(standings[-1]) == {"model", "learner", "bayes"}
    assert any(record["record"] == "drift" and record["of"] == "(error)" for record in events)
    # and the model that answers can be used by its folder, before and after it is swapped back
    assert load_model(place).card["learned"]["rows"] == 800
    assert "'model' answers instead of 'learner' after 800 labelled rows" in ran("swap", place, "--back")
    assert load_model(place).predict_one(ROWS[0]) == SGD.predict_one(ROWS[0])
    assert "No model of the stream is called 'bays'; did you mean 'bayes'?" in failed("swap", place, "--to", "bays")
    assert ran("swap", place).count("answers instead of") == 2
    # and so it goes on
    lines(source, [*ROWS, ROWS[0]])
    ran("stream", model, *common, *compared)
    assert results(sink)[-1]["model"] == identity


def test_true_values_of_a_second_source_are_learned_once_each(tmp_path: Path, model: Path) -> None:
    bare = lines(tmp_path / "bare.jsonl", [without(row, "y") for row in ROWS[:200]])
    truths: list[Any] = [{"id": row["id"], "was": row["y"]} for row in ROWS[:200]]
    truth = lines(tmp_path / "truth.jsonl", [*truths[:100], {"id": 3}, {"id": 4, "was": "maybe"}, *truths[50:]])
    place = tmp_path / "stream"
    for _ in range(2):  # the second finds nothing new
        ran("stream", model, "--from", bare, "--labels", truth, "--label", "was", "--key", "id",
            "--to", tmp_path / "out.jsonl", *LEARN, "--folder", place)  # fmt: skip
    commits = [record for record in read(place / "journal.jsonl") if record["record"] == "committed"]
    counts = commits[-1]["state"]["counts"]
    assert counts | {"labelled": 200, "duplicates": 50, "refused": 0} == counts
    assert len(results(tmp_path / "out.jsonl")) == 200
    reasons = [(dead["reason"], dead["words"]) for dead in results(place / "dead.jsonl")]
    assert [reason for reason, _ in reasons] == ["missing", "value"]
    assert "'maybe' is no class" in reasons[1][1]


def test_words_that_do_not_go_together_are_refused(tmp_path: Path, model: Path) -> None:
    source = lines(tmp_path / "in.jsonl", ROWS[:2])
    common = ("stream", model, "--from", source, "--to", tmp_path / "out.jsonl", "--once")
    assert "labels: is for a stream that learns" in failed(*common, "--labels", source)
    assert "challengers: is for a stream that learns" in failed(*common, "--challenger", f"a={model}")
    assert "labels: needs --key" in failed(*common, "--labels", source, "--learn")
    assert "learns in one process" in failed(*common, "--learn", "--on", "threads")
    assert "learn.key: is for true values that come by themselves" in failed(
        *common, "--learn", "--set", "learn.key=id"
    )
    assert "should be NAME=MODEL" in failed(*common, "--learn", "--challenger", "bayes")
    assert "two answers to one question" in failed("swap", tmp_path, "--back", "--to", "model")
    assert "no stream's folder" in failed("swap", tmp_path, "--back")
    assert "no folder of a stream that learns" in failed("swap", tmp_path)


def test_a_learner_of_python_goes_on_in_its_folder(tmp_path: Path) -> None:
    # given a learner that has learned a part
    settings = flow.streams.LearnSettings(rows=16, set=QUICK)
    first = flow.streams.Learner(SGD, settings, folder=tmp_path / "kept")
    first.answer(ROWS[:150])
    first.close()
    # when another goes on
    second = flow.streams.Learner(SGD, settings, folder=tmp_path / "kept")
    answers = second.answer(ROWS[150:300])
    second.close()
    # then it is as one that was never away
    whole = flow.streams.Learner(SGD, settings)
    assert whole.answer(ROWS[:300])[150:] == answers
    assert second.counts == whole.counts
    with pytest.raises(SettingsError, match="with another model"):
        flow.streams.Learner(BAYES, folder=tmp_path / "kept")


# --- processes


def started(tmp_path: Path, model: Path, *words: str | Path) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "daskflow",
        "stream",
        model,
        "--from",
        tmp_path / "in.jsonl",
        "--to",
        "lines://out.jsonl",
    ]
    return subprocess.Popen(
        [*map(str, command), *map(str, words)], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


@pytest.mark.slow
def test_killed_processes_leave_the_learner_of_an_undisturbed_run(tmp_path: Path, model: Path) -> None:
    # given a stream that is never disturbed
    many = [{**row, "id": place} for place, row in enumerate([*ROWS, *ROWS])]
    source = lines(tmp_path / "in.jsonl", many)
    ran("stream", model, "--from", source, "--to", tmp_path / "whole.jsonl", *LEARN, "--folder", tmp_path / "whole")
    # when another is killed with SIGKILL while it works, and begun again
    random = np.random.default_rng(23)
    words = [*LEARN, "--folder", tmp_path / "killed", "--batch", "37"]
    journal = tmp_path / "killed" / "journal.jsonl"
    n_kills = 0
    for commits in (3, 15, 30):
        process = started(tmp_path, model, *words)
        until = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < until:
            n_lines = journal.read_bytes().count(b"\n") if journal.exists() else 0
            if n_lines >= commits + int(random.integers(0, 3)):
                process.send_signal(signal.SIGKILL)
                n_kills += 1
                break
            time.sleep(0.002)
        process.communicate()
    process = started(tmp_path, model, *words)
    _, said = process.communicate(timeout=250)
    # then
    assert process.returncode == 0, said
    assert n_kills == 3
    whole, killed = load_model(tmp_path / "whole"), load_model(tmp_path / "killed")
    assert whole.card["learned"]["rows"] == killed.card["learned"]["rows"] == len(many)
    np.testing.assert_array_equal(whole.estimator.coef_, killed.estimator.coef_)
    np.testing.assert_array_equal(whole.estimator.intercept_, killed.estimator.intercept_)
    assert results(tmp_path / "out.jsonl") == results(tmp_path / "whole.jsonl")


@pytest.mark.slow
def test_a_stream_that_goes_on_is_swapped_by_its_folder(tmp_path: Path, model: Path) -> None:
    # given a stream that waits for more
    lines(tmp_path / "in.jsonl", ROWS[:100])
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "daskflow", "stream", str(model), "--from", "-", "--to", "lines://out.jsonl", "--learn",
         "--challenge", "--tell-model", "--folder", str(tmp_path / "stream")],
        cwd=tmp_path, stdin=reading, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(reading)
    with open(writing, "wb", buffering=0) as pipe:
        pipe.write((tmp_path / "in.jsonl").read_bytes())
        until = time.monotonic() + 120
        while not (tmp_path / "out.jsonl").exists() or len(results(tmp_path / "out.jsonl")) < 100:
            assert time.monotonic() < until
            time.sleep(0.05)
        # when another model shall answer, nobody does of that name, and the first shall again
        assert "'learner' answers instead of 'model'" in swap(tmp_path / "stream", "learner")
        with pytest.raises(SettingsError, match="No model of the stream is called"):
            swap(tmp_path / "stream", "nobody")
        pipe.write(json.dumps(ROWS[100]).encode() + b"\n")
    assert process.wait(timeout=200) == 0
    # then
    told = [row["model"] for row in results(tmp_path / "out.jsonl")]
    assert len(set(told[:100])) == 1
    assert told[100] == f"{told[0][:16]}+96"
    assert standing(tmp_path / "stream")["champion"] == "learner"
