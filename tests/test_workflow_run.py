"""The whole job: the same result wherever it runs and however the table is cut, and after any kill."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import daskflow as flow
from daskflow.core.errors import ChangedDataError, DaskflowError, JournalError, SearchError
from daskflow.core.journal import read
from daskflow.workflow import Run, Workflow, open_run
from tests import killed_run


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """A small table with every kind of column, gaps, copies and a weight."""
    rng = np.random.default_rng(3)
    n = 1500
    x = rng.normal(size=n)
    city = rng.choice(["ulm", "rom", "oslo", "bern"], n, p=[0.5, 0.3, 0.15, 0.05])
    late = (x + (city == "rom") + rng.normal(scale=1.2, size=n)) > 0.4
    table = pd.DataFrame(
        {
            "x": np.where(rng.random(n) < 0.1, np.nan, x),
            "size": rng.integers(0, 50, n),
            "city": pd.Series(city).where(rng.random(n) > 0.05),
            "when": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, n), unit="D"),
            "new": rng.random(n) < 0.3,
            "late": np.where(late, "yes", "no"),
        }
    )
    return pd.concat([table, table.iloc[:60], table.iloc[[5] * 40]], ignore_index=True)


def cut(frame: pd.DataFrame, folder: Path, parts: int, *, kind: str = "parquet", backwards: bool = False) -> Path:
    """Write a table in some parts, in some order."""
    folder.mkdir(parents=True)
    rows = frame.iloc[::-1] if backwards else frame
    edges = np.linspace(0, len(rows), parts + 1).astype(int)
    for number, (low, high) in enumerate(itertools.pairwise(edges)):
        piece = rows.iloc[low:high]
        if kind == "parquet":
            pq.write_table(pa.Table.from_pandas(piece, preserve_index=False), folder / f"part{number}.parquet")
        else:
            piece.to_csv(folder / f"part{number}.csv", index=False)
    return folder


def settings(folder: Path, *, kind: str = "parquet", **changes: Any) -> dict[str, Any]:
    """A small workflow over a folder."""
    data = {"kind": kind, "path": str(folder / f"*.{kind}"), "target": "late"}
    return {
        "name": "late",
        "data": data,
        "split": {"test": 0.25, "folds": 2},
        "model": {"kind": "sgd"},
        "search": {"kind": "random", "trials": 3, "metric": "roc_auc"},
        "metrics": ["roc_auc", "log_loss", "accuracy"],
        "cluster": "inline",
        "cache": {"folder": str(folder.parent / f"cache-{folder.name}")},
        "evaluation": {"explain": False, "slices": False, "replicates": 100},
        "seed": 5,
        **changes,
    }


def outcome(run: Run) -> dict[str, Any]:
    """What must be equal between runs."""
    return {
        "trials": [(t.id, t.params, t.score, [p.fold_scores for p in t.curve], str(t.state)) for t in run.trials],
        "best": run.best.id,
        "metrics": {name: (score.value, score.low, score.high) for name, score in run.metrics.items()},
        "rows": run.summary()["rows"],
    }


def test_a_run_leaves_everything_in_its_folder(frame: pd.DataFrame, tmp_path: Path) -> None:
    # given, when
    workflow = Workflow(**settings(cut(frame, tmp_path / "in", 3), evaluation={}))
    before = workflow.plan(tmp_path / "runs")
    run = workflow.run(tmp_path / "runs")
    # then
    names = {item.name for item in run.path.iterdir()}
    expected = {"workflow.toml", "journal.jsonl", "trials.csv", "model", "metrics.json", "report.html", "versions.json"}
    assert expected <= names
    assert "matrices" not in names
    assert run.status == "done"
    summary = run.summary()
    assert summary["partition_reads"] == summary["partitions"] == 3
    assert summary["rows"]["train"] + summary["rows"]["test"] == len(frame)
    assert 0.6 < run.metrics["roc_auc"].low < run.metrics["roc_auc"].value < run.metrics["roc_auc"].high <= 1
    assert (tmp_path / "runs" / "late" / "latest").read_text().strip() == run.path.name
    assert open_run(tmp_path / "runs" / "late").path == run.path
    # and the model predicts rows it never saw, with columns in any order
    fresh = frame.drop(columns="late").sample(20, random_state=1)[["city", "when", "x", "new", "size"]]
    assert set(run.model.predict(fresh)) <= {"yes", "no"}
    # and its stages are those of the plan, which can say from now on what each takes
    stages = tuple(record["stage"] for record in run.records if record["record"] == "stage")
    assert before.stages == stages
    assert set(before.takes.said) == {"search", "explanation"}
    assert "model: not told before a run of these files has come so far" in str(before)
    after = workflow.plan(tmp_path / "runs")
    assert set(after.takes.seconds) == {*stages} - {"search"}
    assert "not told" not in str(after)


@pytest.fixture(scope="module")
def plain(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run over the table in three parts."""
    folder = tmp_path_factory.mktemp("plain")
    return Workflow(**settings(cut(frame, folder / "in", 3))).run(folder / "runs")


@pytest.mark.parametrize(
    ("parts", "kind", "backwards"),
    [(1, "parquet", False), (8, "parquet", False), (3, "parquet", True), (3, "csv", False)],
)
def test_the_result_does_not_depend_on_how_the_table_was_cut(
    frame: pd.DataFrame, plain: Run, tmp_path: Path, parts: int, kind: str, backwards: bool
) -> None:
    # given a run over the same rows in three parts
    # when they are cut, ordered or written otherwise
    folder = cut(frame, tmp_path / "other", parts, kind=kind, backwards=backwards)
    other = Workflow(**settings(folder, kind=kind)).run(tmp_path / "runs-other")
    # then every trial, score and metric is the same
    assert outcome(other) == outcome(plain)


@pytest.mark.parametrize("kind", [pytest.param("random", marks=pytest.mark.slow), "hyperband"])
def test_the_result_does_not_depend_on_the_cluster(frame: pd.DataFrame, tmp_path: Path, client: Any, kind: str) -> None:
    # given
    folder = cut(frame, tmp_path / "in", 3)
    search = {"random": {"kind": "random", "trials": 3}, "hyperband": {"kind": "hyperband", "max_iter": 3}}[kind]
    address = {"kind": "address", "address": client.scheduler.address}
    # when
    runs = [
        Workflow(**settings(folder, cluster=cluster, search=search)).run(tmp_path / f"runs{number}")
        for number, cluster in enumerate(("inline", "threads", address))
    ]
    # then
    assert outcome(runs[0]) == outcome(runs[1]) == outcome(runs[2])


def test_a_second_run_over_the_same_files_reads_none_of_them(frame: pd.DataFrame, tmp_path: Path) -> None:
    # given a run, after which the files' rows are overwritten behind its back: same size and time, footers whole
    folder = cut(frame, tmp_path / "in", 3)
    Workflow(**settings(folder)).run(tmp_path / "runs")
    for path in folder.glob("*.parquet"):
        seen = path.stat()
        content = path.read_bytes()
        path.write_bytes(content[:4] + b"\0" * 400 + content[404:])
        os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    # when another split and search run over them
    changed = {"search": {"kind": "none"}, "split": {"test": 0.5, "folds": 2}}
    run = Workflow(**settings(folder, **changed)).run(tmp_path / "runs")
    # then not a row was read again
    assert run.status == "done"
    assert run.summary()["partition_reads"] == 0
    # and without the blocks the damage is found
    with pytest.raises(DaskflowError, match=r"part0\.parquet"):
        Workflow(**settings(folder, **changed, cache={"folder": str(tmp_path / "empty")})).run(tmp_path / "other")


def test_a_finished_run_is_not_run_again_unless_asked(frame: pd.DataFrame, tmp_path: Path) -> None:
    # given
    workflow = Workflow(**settings(cut(frame, tmp_path / "in", 2)))
    first = workflow.run(tmp_path / "runs")
    lines = len(read(first.path / "journal.jsonl"))
    # when
    again = workflow.run(tmp_path / "runs")
    # then
    assert len(read(again.path / "journal.jsonl")) == lines
    # when it is asked for anew
    fresh = workflow.run(tmp_path / "runs", fresh=True)
    # then the same comes out, and nothing of the old run is counted
    assert outcome(fresh) == outcome(first)
    assert not fresh.summary()["resumed"]


def test_a_finished_run_whose_search_gets_more_time_goes_on(frame: pd.DataFrame, tmp_path: Path) -> None:
    # given a run whose search ended by its budget, and one that had no budget
    folder = cut(frame, tmp_path / "in", 2)
    search = {"kind": "hyperband", "metric": "roc_auc", "max_iter": 3}

    def run(hours: float | None, runs: str = "runs", **options: Any) -> Run:
        budget = {} if hours is None else {"budget": {"cpu_hours": hours, "wall_time": "1 h"}}
        return Workflow(**settings(folder, search=search | budget)).run(tmp_path / runs, **options)

    def steps(run: Run) -> int:
        return sum(record["record"] == "unit" for record in run.records)

    expected = run(None, "others")
    first = run(1e-9)
    assert steps(first) < steps(expected)
    # when the same file gives it less, or not more, it is finished; when it gives more, then it goes on to its end
    said: list[str] = []
    assert run(1e-10).records == run(1e-9).records == first.records
    longer = run(1.0, listener=lambda event: said.append(str(event.fields.get("text", ""))))
    assert longer.path == first.path
    assert "This run was finished, and goes on: there is more time for its search, or its model is gone." in said
    assert outcome(longer) == outcome(expected)
    assert longer.model.predict(frame.drop(columns="late")).tolist() == expected.model.predict(frame).tolist()
    begun = [(r["trial"], r["fold"], r["resource"]) for r in longer.records if r["record"] == "start"]
    assert len(begun) == len(set(begun))
    # and now that it came to its own end, no budget makes it go on
    assert run(None).records == longer.records


def test_a_model_that_was_fitted_before_the_search_went_on_is_not_taken_for_the_winner(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a search that ended before any candidate had all of its resource, whose best was refitted; then Ctrl-C
    space = {"alpha": {"loguniform": [1e-4, 1e-3]}, "learning_rate": ["constant"], "eta0": [1e-4]}
    search = {"kind": "asha", "trials": 3, "max_iter": 3, "metric": "roc_auc", "space": space}
    folder = cut(frame, tmp_path / "in", 2)

    def workflow(hours: float) -> Workflow:
        return Workflow(**settings(folder, search={**search, "budget": {"cpu_hours": hours}}))

    interrupt_at(monkeypatch, "evaluation")
    with pytest.raises(KeyboardInterrupt):
        workflow(1e-9).run(tmp_path / "runs")
    monkeypatch.undo()
    # when it is continued with more time
    run = workflow(1.0).run(tmp_path / "runs")
    # then the same candidate, with all of its resource, is refitted once more
    refitted = [(r["trial"], r["resource"]) for r in run.records if r["record"] == "refitted"]
    assert refitted == [(run.best.id, 1), (run.best.id, 3)]
    assert run.best.resource == 3


def test_guarantee_5_changed_data_and_other_versions_refuse_to_continue(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a run that was interrupted after the scan
    folder = cut(frame, tmp_path / "in", 2)
    workflow = Workflow(**settings(folder))
    interrupt_at(monkeypatch, "statistics")
    with pytest.raises(KeyboardInterrupt):
        workflow.run(tmp_path / "runs")
    monkeypatch.undo()
    assert open_run(tmp_path / "runs" / "late").status == "interrupted"
    # when a file changes, then
    pq.write_table(pa.Table.from_pandas(frame.iloc[:700], preserve_index=False), folder / "part0.parquet")
    with pytest.raises(ChangedDataError, match="--fresh"):
        workflow.run(tmp_path / "runs")
    # when a library changes, then
    from daskflow.workflow import continuing

    now = continuing.versions()
    monkeypatch.setattr(continuing, "versions", lambda: {**now, "scikit-learn": "0.1"})
    with pytest.raises(JournalError, match=r"scikit-learn .* -> 0\.1"):
        workflow.run(tmp_path / "runs")


def interrupt_at(monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    """Press Ctrl-C when a stage starts."""
    from daskflow.workflow import executing

    inner = executing.Execution.stage

    def stage_or_stop(self: Any, name: str) -> Any:
        if name == stage:
            raise KeyboardInterrupt
        return inner(self, name)

    monkeypatch.setattr(executing.Execution, "stage", stage_or_stop)


def test_a_bad_candidate_ranks_last_with_its_reason_and_the_rest_goes_on(frame: pd.DataFrame, tmp_path: Path) -> None:
    # given a space in which one penalty does not exist
    search = {"kind": "grid", "metric": "roc_auc", "space": {"penalty": ["l2", "none at all"], "alpha": [1e-3, 1e-4]}}
    # when
    run = Workflow(**settings(cut(frame, tmp_path / "in", 2), search=search)).run(tmp_path / "runs")
    # then
    board = run.leaderboard()
    assert list(board["state"]) == ["finished", "finished", "failed", "failed"]
    assert board["error"].iloc[-1].startswith("InvalidParameterError")
    assert run.summary()["trials"]["failed"] == 2


def test_when_every_candidate_fails_the_reasons_are_told(frame: pd.DataFrame, tmp_path: Path) -> None:
    search = {"kind": "grid", "space": {"penalty": ["none at all"]}}
    with pytest.raises(SearchError, match="All 1 candidates failed"):
        Workflow(**settings(cut(frame, tmp_path / "in", 1), search=search)).run(tmp_path / "runs")
    assert open_run(tmp_path / "runs" / "late").status == "failed"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.assign(late=f["late"].where(f.index != 7)), "late"),
        (lambda f: f.assign(late="yes"), "one"),
        (lambda f: f.assign(x=f["x"].where(f.index != 7, np.inf)), "x"),
    ],
    ids=["target with gaps", "one class", "infinite"],
)
def test_a_table_that_cannot_be_learned_from_is_refused_by_a_sentence(
    frame: pd.DataFrame, tmp_path: Path, change: Any, said: str
) -> None:
    with pytest.raises(DaskflowError, match=said):
        Workflow(**settings(cut(change(frame), tmp_path / "in", 2))).run(tmp_path / "runs")


def test_constant_and_empty_columns_are_left_out_and_named(frame: pd.DataFrame, tmp_path: Path) -> None:
    # given
    table = frame.assign(constant=1.0, nothing=pd.Series(np.nan, index=frame.index))
    # when
    run = Workflow(**settings(cut(table, tmp_path / "in", 2))).run(tmp_path / "runs")
    # then
    warnings = " ".join(run.record().warnings)
    assert "constant" in warnings
    assert "nothing" in warnings
    assert not {"constant", "nothing"} & set(run.record().feature_names)


def test_weights_change_the_model_and_are_no_feature(frame: pd.DataFrame, tmp_path: Path) -> None:
    # given a table in which one class weighs ten times
    table = frame.assign(w=np.where(frame["late"] == "yes", 10.0, 1.0))
    folder = cut(table, tmp_path / "in", 2)
    data = {"kind": "parquet", "path": str(folder / "*.parquet"), "target": "late"}
    # when
    weighted = Workflow(**settings(folder, data={**data, "weight": "w"})).run(tmp_path / "weighted")
    plain = Workflow(**settings(folder, data={**data, "drop": ["w"]})).run(tmp_path / "plain")
    # then
    rows = table.drop(columns="late")
    assert "w" not in weighted.record().feature_names
    assert (weighted.model.predict(rows) == "yes").mean() > (plain.model.predict(rows) == "yes").mean() + 0.1


def test_files_that_look_the_same_from_outside_are_not_taken_for_each_other(tmp_path: Path) -> None:
    # given two folders whose files have equal names, sizes and times, and opposite labels
    rng = np.random.default_rng(2)
    x = rng.normal(size=400).round(3)
    for name, sign in (("a", 1), ("b", -1)):
        (tmp_path / name).mkdir()
        lines = [f"{value:+.3f},{int(sign * value > 0)}" for value in x]
        (tmp_path / name / "p.csv").write_text("x,late\n" + "\n".join(lines) + "\n")
        os.utime(tmp_path / name / "p.csv", ns=(10**18, 10**18))

    def make(name: str, title: str) -> Workflow:
        cache = {"folder": str(tmp_path / "cache")}
        return Workflow(**settings(tmp_path / name, kind="csv", name=title, search="none", cache=cache))

    # when both are run through one store
    runs = [make(name, name).run(tmp_path / "runs") for name in ("a", "b")]
    # then each model learned its own folder's labels
    row = pd.DataFrame({"x": [1.0, -1.0]})
    assert [list(run.model.predict(row)) for run in runs] == [[1, 0], [0, 1]]
    # and a finished run is no answer for another folder of the same workflow
    with pytest.raises(ChangedDataError, match="--fresh"):
        make("b", "a").run(tmp_path / "runs")


def test_a_finished_run_whose_report_is_gone_writes_it_again(frame: pd.DataFrame, tmp_path: Path) -> None:
    workflow = Workflow(**settings(cut(frame, tmp_path / "in", 2), search="none"))
    workflow.run(tmp_path / "runs").report_path.unlink()
    assert workflow.run(tmp_path / "runs").report_path.exists()


def test_costs_of_interrupted_invocations_are_counted(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a run interrupted when two of four partitions were decoded
    from daskflow.workflow.recording import Meter

    workflow = Workflow(**settings(cut(frame, tmp_path / "in", 4), search="none"))
    inner = Meter.next

    def stop_after_two(self: Meter, timeout: float | None = None) -> Any:
        if self.decoded == 2:
            raise KeyboardInterrupt
        return inner(self, timeout)

    monkeypatch.setattr("daskflow.data.grouping.GROUP_FILES", 1)  # small files would be one block
    with monkeypatch.context() as patch:
        patch.setattr(Meter, "next", stop_after_two)
        with pytest.raises(KeyboardInterrupt):
            workflow.run(tmp_path / "runs")
    # when it is continued
    summary = workflow.run(tmp_path / "runs").summary()
    # then every partition was decoded once, and both halves are in the count
    assert summary["partition_reads"] == 4
    assert summary["resumed"]


def finished(journal: Path) -> list[tuple[str, int, int]]:
    """Trial, fold and resource of the units on record."""
    return [(r["trial"], r["fold"], r["resource"]) for r in read(journal) if r["record"] == "unit"]


def begun_and_not_finished(journal: Path) -> int:
    """How many units a journal says were handed out by its last invocation and have no answer yet."""
    records = read(journal)
    last = max(place for place, record in enumerate(records) if record["record"] == "invocation")
    places = {
        kind: {(r["trial"], r["fold"], r["resource"]) for r in some if r["record"] == kind}
        for kind, some in (("start", records[last:]), ("unit", records))
    }
    return len(places["start"] - places["unit"])


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("search", ["random", "hyperband"])
def test_ten_kills_at_random_moments_change_nothing(frame: pd.DataFrame, tmp_path: Path, search: str) -> None:
    # given an undisturbed run
    folder = cut(frame, tmp_path / "in", 3)
    kinds = {
        "random": {"kind": "random", "trials": 40, "metric": "roc_auc"},
        "hyperband": {"kind": "hyperband", "max_iter": 27, "metric": "roc_auc"},
    }
    tables = settings(folder, search=kinds[search], cluster={"kind": "threads", "workers": 2}, evaluation={})
    workflow = Workflow(**tables)
    whole = workflow.run(tmp_path / "whole")
    # when another one of the same is killed ten times at random moments
    from daskflow.workflow import toml

    (tmp_path / "flow.toml").write_bytes(toml.write(workflow.dump()))
    journal = tmp_path / "killed" / "late" / workflow.id / "journal.jsonl"
    rng, n_units = random.Random(11), len(finished(whole.path / "journal.jsonl"))
    moments = sorted(rng.randrange(n_units) for _ in range(10))
    processes = multiprocessing.get_context("forkserver")  # imports are done once, so a start takes little
    processes.set_forkserver_preload(killed_run.PRELOAD)
    kills, in_flight = list[int](), 0
    for _ in range(20):
        before = len(read(journal)) if journal.exists() else 0
        process = processes.Process(target=killed_run.run, args=(tmp_path / "flow.toml", tmp_path / "killed"))
        process.start()
        more, units = rng.randint(1, 15), len(finished(journal)) if journal.exists() else 0
        while process.is_alive() and len(kills) < len(moments):
            # no more than some units beyond the moment are finished, however late this is
            killed_run.hold_up(tmp_path / "killed", max(moments[len(kills)], units + more) + 2)
            done = len(finished(journal)) if journal.exists() and len(read(journal)) >= before + more else -1
            if done >= moments[len(kills)]:
                os.killpg(process.pid, signal.SIGKILL)
                process.join()
                kills.append(done)
                in_flight += begun_and_not_finished(journal)
                break
            process.join(0.005)  # polls a file of another process
        if len(kills) == len(moments):
            killed_run.hold_up(tmp_path / "killed", None)
        process.join()
        if process.exitcode == 0:
            break
    killed = open_run(tmp_path / "killed" / "late")
    # then it ends the same, and no finished unit ran twice
    assert len(kills) >= 5
    assert any(0 < done < n_units for done in kills)
    assert killed.status == "done"
    assert outcome(killed) == outcome(whole)
    units = finished(journal)
    assert len(units) == len(set(units)) == n_units
    assert killed.summary()["resumed"]
    assert killed.summary()["trials"]["repeated_units"] <= in_flight
    assert json.dumps(killed.summary(), allow_nan=False)


def test_the_public_names_make_a_whole_workflow_from_a_dataframe(frame: pd.DataFrame, tmp_path: Path) -> None:
    # given a DataFrame the user has
    source = flow.sources.Frame(frame=frame, target="late", npartitions=3)
    workflow = flow.Workflow(
        data=source,
        model=flow.models.Logistic(),
        search="none",
        cluster=flow.clusters.Inline(),
        split=flow.Split(kind="stratified", test=0.2, folds=2),
        cache={"folder": str(tmp_path / "cache")},
    )
    # when
    run = workflow.run(tmp_path / "runs")
    # then
    assert run.metrics["roc_auc"].value > 0.6
