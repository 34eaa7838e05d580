"""``runs``, ``compare`` and ``report`` on the command line."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import daskflow as flow
from daskflow.cli import main
from daskflow.core.errors import SettingsError
from daskflow.core.journal import encode, read
from daskflow.workflow import list_runs, runs_frame
from tests.run_folders import make_run, row_hashes, scores, truth

ROWS = row_hashes(600)
Y = truth(ROWS)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three runs in ./runs: two that were tested, the second later and longer; and one that failed."""
    monkeypatch.chdir(tmp_path)
    folder = Path("runs")
    make_run(folder, "small", rows=ROWS, probability=scores(Y, 4.0, 1))
    make_run(
        folder,
        "large",
        rows=ROWS,
        probability=scores(Y, 1.5, 2),
        settings={"model": {"kind": "ridge"}},
        at=1_800_000_000.0,
    )
    make_run(folder, "broken", status="failed", fingerprint="0123456789", n_rows=10, at=1_600_000_000.0)
    return folder


def called(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_runs_lists_scores_rows_data_model_and_time_newest_first(runs: Path) -> None:
    done = called("runs")
    assert done.exit_code == 0
    head, *lines = done.output.splitlines()
    assert head.split() == ["run", "status", "validation", "test", "rows", "data", "model", "time", "started"]
    assert [line.split("/")[0] for line in lines] == ["large", "small", "broken"]
    assert "ridge" in lines[0]
    assert "f00dfeed" in lines[0]
    assert "6,170" in lines[0]
    assert lines[2].split()[1] == "failed"


def test_runs_are_filtered_sorted_and_cut(runs: Path) -> None:
    assert [run["name"] for run in list_runs(sort="test")] == ["large", "small", "broken"]
    assert [run["name"] for run in list_runs(sort="name")] == ["broken", "large", "small"]
    assert [run["name"] for run in list_runs(name="*m*")] == ["small"]
    assert [run["name"] for run in list_runs(status="failed")] == ["broken"]
    assert [run["name"] for run in list_runs(model="ridge")] == ["large"]
    assert [run["name"] for run in list_runs(data="0123")] == ["broken"]
    assert [run["name"] for run in list_runs(runs / "small")] == ["small"]
    with pytest.raises(SettingsError, match="cannot be sorted by 'scores'; did you mean 'score'"):
        list_runs(sort="scores")
    assert called("runs", "--limit", 1).output.splitlines()[-1] == "and 2 more"
    assert called("runs", "--name", "none*").output == "There is no such run in runs.\n"


def test_a_metric_where_less_is_better_is_sorted_the_other_way(runs: Path) -> None:
    found = list_runs(metric="log_loss", sort="test")
    assert [run["test_metric"] for run in found[:2]] == ["log_loss", "log_loss"]
    assert found[0]["test"] < found[1]["test"]
    assert found[2]["test"] is None


def test_the_list_says_what_the_runs_themselves_say(runs: Path) -> None:
    for line in list_runs():
        run = flow.open_run(line["path"])
        assert line["status"] == run.status
        assert line["score"] == pytest.approx(run.best.score)
        assert line["low"] == pytest.approx(run.best.low)
        assert line["seconds"] == pytest.approx(run.record().seconds)
        assert line["cpu_seconds"] == pytest.approx(run.record().cpu_seconds)
        assert line["metrics"].keys() == run.metrics.keys()
        assert all(line["metrics"][name]["value"] == score.value for name, score in run.metrics.items())
        assert (line["trials"], line["tied"]) == (len(run.trials), sum(trial.is_tied is True for trial in run.trials))


def test_a_run_that_goes_on_is_listed_as_it_is_now(runs: Path) -> None:
    # given a run that had ended, and is continued and killed
    journal = runs / "small" / "0a1b2c3d4e" / "journal.jsonl"
    assert list_runs(name="small")[0]["status"] == "done"
    with open(journal, "ab") as file:
        file.write(encode({"record": "invocation", "id": "0a1b2c3d4e", "versions": {}, "at": 1_700_000_100.0}))
        unit = {"record": "unit", "trial": "2", "fold": 0, "resource": 1, "seconds": 1.0, "cpu_seconds": 1.0}
        file.write(encode({**unit, "metrics": {"roc_auc": 0.9}, "details": {}, "at": 1_700_000_110.0}))
        file.write(b"torn")
    # then the list follows
    (line,) = list_runs(name="small")
    assert line["status"] == "interrupted"
    assert line["seconds"] == pytest.approx(9.0 + 10.0)


def test_runs_of_before_the_list_was_kept_with_the_end_are_read_whole(runs: Path) -> None:
    path = runs / "small" / "0a1b2c3d4e" / "journal.jsonl"
    new = list_runs(name="small")
    records = read(path)
    records[-1].pop("gist")
    path.write_bytes(b"".join(map(encode, records)))
    (old,) = list_runs(name="small")
    assert {word: value for word, value in old.items() if word != "ended"} == {
        word: pytest.approx(value) if isinstance(value, float) else value
        for word, value in new[0].items()
        if word != "ended"
    }


def test_a_damaged_run_does_not_hide_the_others(runs: Path) -> None:
    path = runs / "small" / "0a1b2c3d4e" / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"rubbish\n", *lines[2:-1]]))
    found = {run["name"]: run["status"] for run in list_runs()}
    assert found == {"small": "damaged", "large": "done", "broken": "failed"}


def test_the_frame_has_dates_and_a_column_for_each_test_metric(runs: Path) -> None:
    frame = runs_frame(list_runs())
    assert str(frame["started"].dtype).startswith("datetime64")
    assert {"test_roc_auc", "test_log_loss", "test_accuracy"} <= set(frame)


@pytest.mark.slow
def test_three_hundred_runs_of_a_thousand_trials_are_listed_in_two_seconds_of_processor_time(tmp_path: Path) -> None:
    # given 300 runs with long journals and large files of metrics
    first = make_run(tmp_path / "runs", "r", rows=ROWS, probability=scores(Y, 2.0, 1), trials=1000)
    saved = json.loads((first / "metrics.json").read_text())
    saved["details"]["dependence"] = np.random.default_rng(0).normal(size=(100, 300)).tolist()
    files = {path.name: path.read_bytes() for path in first.iterdir()}
    files["metrics.json"] = json.dumps(saved).encode()
    for number in range(299):
        folder = tmp_path / "runs" / f"r{number}" / "0a1b2c3d4e"
        folder.mkdir(parents=True)
        for name in ("journal.jsonl", "metrics.json", "workflow.toml"):
            (folder / name).write_bytes(files[name])
    # when they are listed
    list_runs(tmp_path / "runs", name="r1")
    begun = time.process_time()
    found = list_runs(tmp_path / "runs", sort="test")
    # then it takes a moment
    assert len(found) == 300
    assert time.process_time() - begun < 2.0


def test_compare_says_who_is_better_and_what_differs(runs: Path) -> None:
    done = called("compare", runs / "small", runs / "large")
    assert done.exit_code == 0
    assert done.output.startswith("large is better than small on roc_auc: +0.")
    for text in ("model.kind", "sgd", "ridge", "Both were tested on the same 600 rows", "Cost"):
        assert text in done.output


def test_compare_prints_one_json_object_and_writes_a_page(runs: Path) -> None:
    done = called("compare", runs / "small", runs / "large", "--json", "--html", "page.html", "--metric", "accuracy")
    found = json.loads(done.output)
    assert found["metric"] == "accuracy"
    assert found["settings"]["model.kind"] == ["sgd", "ridge"]
    assert "large" in Path("page.html").read_text()


def test_the_baseline_can_be_named_apart(runs: Path) -> None:
    for others in (["small", "large"], ["small"]):
        paths = [runs / name for name in others]
        done = called("compare", *paths, "--baseline", runs / "large" / "0a1b2c3d4e", "--json")
        assert [run["label"] for run in json.loads(done.output)["runs"]] == ["large", "small"]


def test_runs_that_cannot_be_compared_are_a_sentence_and_exit_code_2(runs: Path) -> None:
    make_run(runs, "price", target="price")
    done = called("compare", runs / "small", runs / "price")
    assert done.exit_code == 2
    assert "its target is 'price', and that of small is 'late'" in done.output
    assert called("compare", runs / "small").exit_code == 2
    done = called("compare", runs / "small", runs / "nothing")
    assert done.exit_code == 1
    assert "is not a run folder" in done.output


def test_names_cannot_steer_the_terminal(runs: Path) -> None:
    make_run(runs, "odd", settings={"model": {"kind": "\x1b[31mred\u202e"}})
    output = called("compare", runs / "small", runs / "odd").output
    assert "\x1b" not in output
    assert "\u202e" not in output


def test_report_of_several_runs_is_a_page_that_compares_them_and_of_one_its_own(runs: Path) -> None:
    done = called("report", runs / "small", runs / "large", "--no-open")
    assert done.output == "comparison.html\n"
    assert "large is better than small" in Path("comparison.html").read_text()
    done = called("report", runs / "small", runs / "large", "-o", "both.html", "--no-open")
    assert done.output == "both.html\n"
    done = called("report", runs / "small", "-o", "one.html", "--no-open")
    assert "small: run 0a1b2c3d4e" in Path("one.html").read_text()
    done = called("report", runs / "small", "--no-open")
    assert done.output == "runs/small/0a1b2c3d4e/report.html\n"
