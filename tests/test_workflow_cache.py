"""Where blocks are kept changes no result, leaves nothing behind, and is refused where it cannot be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from daskflow.cli import main
from daskflow.core.errors import ChangedDataError, LostBlockError, SettingsError, StorageError
from daskflow.core.events import Event
from daskflow.data.store import SharedStore
from daskflow.workflow import Workflow, open_run, preparing
from daskflow.workflow import cache as cache_room
from tests.conftest import lacking
from tests.test_data_store import tmpfs

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A small table in three files, and the heights of its cities in one."""
    rng = np.random.default_rng(1)
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(3):
        x = rng.normal(size=120)
        city = rng.choice(["ulm", "rom", "oslo"], 120)
        late = np.where(x + (city == "rom") + rng.normal(size=120) > 0.5, "yes", "no")
        pd.DataFrame({"x": x, "city": city, "late": late}).to_csv(folder / f"part{number}.csv", index=False)
    (tmp_path / "cities.csv").write_text("city,height\nulm,478\nrom,21\n")
    return folder


def settings(files: Path, **changes: Any) -> dict[str, Any]:
    """A small workflow without a search."""
    return {
        "name": "late",
        "data": {"kind": "csv", "path": str(files / "*.csv"), "target": "late"},
        "split": {"test": 0.25, "folds": 2},
        "model": "sgd",
        "search": "none",
        "cluster": "inline",
        "cache": {"folder": str(files.parent / "cache")},
        **changes,
    }


@pytest.fixture
def shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for /dev/shm, which other runs of this machine may be using."""
    folder = tmp_path / "shm"
    folder.mkdir()
    monkeypatch.setattr(cache_room, "SHARED_MEMORY", folder)
    return folder


def left_in(folder: Path) -> list[Path]:
    """Files that are left, but for locks."""
    return [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]


def test_every_kind_of_cache_gives_the_same_run_and_keeps_what_it_says(
    files: Path, tmp_path: Path, shared_memory: Path
) -> None:
    # given, when
    found = {}
    for kind in ("disk", "memory", "none"):
        workflow = Workflow(**settings(files, cache=kind if kind != "disk" else {"folder": str(tmp_path / "cache")}))
        run = workflow.run(tmp_path / kind)
        found[kind] = (run.metrics, run.best.score, workflow.id)
    # then
    assert found["disk"] == found["memory"] == found["none"]
    assert len(list((tmp_path / "cache" / "blocks").glob("*.arrow"))) >= 1
    assert left_in(shared_memory) == []
    assert left_in(tmp_path / "none" / ".blocks") == []


@pytest.mark.parametrize("kind", ["memory", "none"])
def test_blocks_that_are_not_kept_are_gone_before_the_search_begins(
    kind: str, files: Path, tmp_path: Path, shared_memory: Path
) -> None:
    folder = shared_memory if kind == "memory" else tmp_path / "runs" / ".blocks"
    seen: dict[str, int] = {}

    def look(event: Event) -> None:
        if event.name == "stage":
            seen[f"{event.fields['stage']} {event.fields['state']}"] = len(left_in(folder))

    Workflow(**settings(files, cache=kind)).run(tmp_path / "runs", listener=look)

    assert seen["statistics started"] > 0
    assert seen["search started"] == 0


@pytest.mark.parametrize("kind", ["memory", "none"])
def test_an_interrupted_run_leaves_no_private_blocks_and_reads_again(
    kind: str, files: Path, tmp_path: Path, shared_memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    workflow = Workflow(**settings(files, cache=kind))
    with monkeypatch.context() as patched:
        patched.setattr(preparing.passes, "collect", interrupt)
        with pytest.raises(KeyboardInterrupt):
            workflow.run(tmp_path / "runs")
    assert left_in(shared_memory) == left_in(tmp_path / "runs" / ".blocks") == []

    assert workflow.run(tmp_path / "runs").summary()["partition_reads"] == 6


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["memory", "none", "disk"])
def test_after_a_sigkill_the_next_start_sweeps_and_ends_as_if_nothing_was(
    kind: str, files: Path, tmp_path: Path
) -> None:
    # given a run that is killed while its blocks are there
    folder = tmp_path / "store"
    folder.mkdir()
    code = (
        "import os, signal; from daskflow.workflow import Workflow; from tests.test_workflow_cache import settings;"
        "from pathlib import Path; kill = lambda e: e.name == 'stage' and e.fields['stage'] == 'statistics'"
        " and os.kill(os.getpid(), signal.SIGKILL);"
        f"Workflow(**settings(Path({str(files)!r}), cache=dict(kind={kind!r}, folder={str(folder)!r})))"
        f".run({str(tmp_path / 'runs')!r}, listener=kill)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert any(path.suffix == ".arrow" for path in left_in(folder))
    # when
    run = Workflow(**settings(files, cache={"kind": kind, "folder": str(folder)})).run(tmp_path / "runs")
    # then
    assert run.status == "done"
    assert run.summary()["partition_reads"] == (3 if kind == "disk" else 6)
    assert any(path.suffix == ".arrow" for path in left_in(folder)) == (kind == "disk")
    assert list(folder.rglob(".leases/*")) == []


@pytest.mark.parametrize("harm", ["evicted", "truncated", "damaged"])
def test_a_block_lost_in_the_middle_of_a_run_is_made_anew_once(
    harm: str, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a run whose blocks are harmed after the split
    workflow = Workflow(**settings(files))
    plain = Workflow(**settings(files, cache={"folder": str(tmp_path / "other")})).run(tmp_path / "plain")
    collect: Callable[..., Any] = preparing.passes.collect
    harmed: list[Path] = []

    def after_harm(reader: Any, *arguments: Any, **options: Any) -> Any:
        if not harmed:
            for file in reader.blocks.files:
                path = Path(file.path)
                content = path.read_bytes()
                path.unlink()
                if harm != "evicted":
                    path.write_bytes(content[:-10] if harm == "truncated" else bytes(len(content)))
                harmed.append(path)
        return collect(reader, *arguments, **options)

    monkeypatch.setattr(preparing.passes, "collect", after_harm)
    # when
    run = workflow.run(tmp_path / "runs")
    # then it says so, reads again, and ends as ever
    assert harmed
    assert run.metrics == plain.metrics
    assert run.summary()["partition_reads"] == 6
    assert any("made anew from its source" in text for text in run.record().warnings)


def test_a_block_that_is_lost_again_and_again_ends_the_run(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: Any, **__: Any) -> None:
        raise LostBlockError("Block a.arrow is gone.")

    monkeypatch.setattr(preparing.passes, "collect", lost)
    with pytest.raises(StorageError, match="is gone"):
        Workflow(**settings(files)).run(tmp_path / "runs")


def test_a_run_whose_blocks_exceed_the_limit_ends_and_is_evicted_afterwards(files: Path, tmp_path: Path) -> None:
    cache = {"folder": str(tmp_path / "cache"), "limit": "1 kB"}

    run = Workflow(**settings(files, cache=cache)).run(tmp_path / "runs")

    assert run.status == "done"
    assert list((tmp_path / "cache" / "blocks").glob("[!.]*")) == []
    assert any("and the store keeps 1000 bytes: some go when" in text for text in run.record().warnings)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    with tmpfs(tmp_path / "small", 2) as folder:
        yield folder


def test_a_disk_too_small_for_the_blocks_is_said_before_the_start_with_what_to_do(small: Path, tmp_path: Path) -> None:
    # given a table far larger than the store's disk
    data = {"kind": "generated", "rows": 1_000_000, "partitions": 4}
    workflow = Workflow(**settings(tmp_path, data=data, cache={"folder": str(small)}))
    # when, then
    said = (
        r"need about .* MiB, and .* (MiB|KiB) are free in .*small.*cache = \"memory\".*cache = \"none\".*cache\.folder"
    )
    with pytest.raises(StorageError, match=said):
        workflow.run(tmp_path / "runs")
    assert list((small / "blocks").glob("*.arrow")) == []
    assert any("are free in" in note for note in workflow.plan().notes)


def test_a_disk_that_fills_up_ends_the_run_within_seconds_and_leaves_it_to_be_continued(
    small: Path, files: Path, tmp_path: Path
) -> None:
    (small / "ballast").write_bytes(bytes(2 * 2**20 - 8192 * 3))
    workflow = Workflow(**settings(files, cache={"folder": str(small)}))
    with pytest.raises(StorageError, match=r"no space left in .*small"):
        workflow.run(tmp_path / "runs")
    assert open_run(tmp_path / "runs" / "late").status == "failed"

    (small / "ballast").unlink()
    assert workflow.run(tmp_path / "runs").status == "done"


def test_memory_is_refused_where_workers_may_be_elsewhere(files: Path) -> None:
    with pytest.raises(SettingsError, match=r"cache\.kind: 'memory' is this machine's.*'address' may not share"):
        Workflow(**settings(files, cache="memory", cluster={"kind": "address", "address": "tcp://127.0.0.1:1"}))


@pytest.mark.parametrize("limit", ["much", "-1 GiB", "0", "120 %", "%", True])
def test_a_limit_that_is_no_size_is_refused(limit: Any, files: Path) -> None:
    with pytest.raises(SettingsError, match=r"cache\.limit: should be a size such as '50 GiB', or a share"):
        Workflow(**settings(files, cache={"limit": limit}))


def test_memory_that_is_too_small_is_said(files: Path, tmp_path: Path, shared_memory: Path) -> None:
    with pytest.raises(StorageError, match=r"need about .*cache = \"disk\"|grown to .* more than cache\.limit"):
        Workflow(**settings(files, cache={"kind": "memory", "limit": "1 kB"})).run(tmp_path / "runs")
    assert left_in(shared_memory) == []


def test_another_users_folder_is_not_used(tmp_path: Path, files: Path, shared_memory: Path) -> None:
    if os.getuid() != 0:
        lacking("permission to give a folder away")
    theirs = shared_memory / f"daskflow-{os.getuid()}"
    theirs.mkdir()
    os.chown(theirs, 12345, 12345)

    with pytest.raises(StorageError, match="belongs to another user"):
        Workflow(**settings(files, cache="memory")).run(tmp_path / "runs")


def test_the_store_is_shown_and_cleared_by_a_verb(files: Path, tmp_path: Path) -> None:
    Workflow(**settings(files)).run(tmp_path / "runs")
    words = ["cache", "--folder", str(tmp_path / "cache")]

    shown = CliRunner().invoke(main, words).output
    with SharedStore(tmp_path / "cache" / "blocks") as store:
        store.hold(path.name.partition("-")[0] for path in store.folder.glob("*.arrow"))
        held = CliRunner().invoke(main, [*words, "--clear"]).output
    cleared = CliRunner().invoke(main, [*words, "--clear"]).output

    assert "blocks: 1 block, " in shown
    assert "last used" in shown
    assert "0 blocks removed" in held
    assert "1 block removed" in cleared
    assert list((tmp_path / "cache" / "blocks").glob("[!.]*")) == []


def test_a_file_replaced_by_one_of_the_same_size_and_time_is_noticed_when_it_is_read(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a run that was interrupted after the scan, and a file that changed without a trace, but in what it says
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    workflow = Workflow(**settings(files))
    with monkeypatch.context() as patched:
        patched.setattr(preparing.passes, "collect", interrupt)
        with pytest.raises(KeyboardInterrupt):
            workflow.run(tmp_path / "runs")
    path = files / "part1.csv"
    seen = path.stat()
    path.write_text(path.read_text().replace("oslo", "bern", 1))
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    # when it is read again
    again = Workflow(**settings(files, cache={"folder": str(tmp_path / "empty")}))
    # then
    assert again.id == workflow.id
    with pytest.raises(ChangedDataError, match="not those this run began with"):
        again.run(tmp_path / "runs")


JOIN = {"path": "cities.csv", "on": ["city"]}


def joining(files: Path, **changes: Any) -> Workflow:
    """The workflow with the heights of cities."""
    data = {"kind": "csv", "path": "in/*.csv", "target": "late", "joins": [{**JOIN, **changes}]}
    return Workflow(**settings(files, data=data), base=files.parent)


def test_a_join_is_told_of_kept_in_the_model_and_applied_to_new_files(files: Path, tmp_path: Path) -> None:
    # given a run with a join that not every row finds a match in
    run = joining(files).run(tmp_path / "runs")
    oslo = sum(path.read_text().count("oslo") for path in files.glob("*.csv"))
    assert any(f"The join 'cities' found no match for {oslo} of 360 rows" in text for text in run.record().warnings)
    assert "height" in run.record().feature_names
    # when new files are scored, after the small table is gone
    (tmp_path / "cities.csv").unlink()
    words = ["predict", str(run.path), str(files / "part0.csv"), "--keep", "city", "-o"]
    first = CliRunner().invoke(main, [*words, str(tmp_path / "first.csv")], catch_exceptions=False)
    (tmp_path / "flat.csv").write_text("city,height\nulm,0\nrom,0\noslo,0\n")
    other = CliRunner().invoke(
        main, [*words, str(tmp_path / "other.csv"), "--join", f"cities={tmp_path / 'flat.csv'}"], catch_exceptions=False
    )
    # then they are joined to the table of training, or to the other
    assert (first.exit_code, other.exit_code) == (0, 0), first.output + other.output
    assert "join cities:" in first.output
    assert "join cities:" not in other.output
    frame = pd.read_csv(files / "part0.csv")
    heights = frame["city"].map({"ulm": 478, "rom": 21}).astype("Int64")
    expected = run.model.predict_proba(frame.assign(height=heights).drop(columns="late"))
    scored = pd.read_csv(tmp_path / "first.csv")
    np.testing.assert_allclose(scored["probability_yes"], expected["yes"], rtol=1e-6)
    flat = run.model.predict_proba(frame.assign(height=0).drop(columns="late"))
    np.testing.assert_allclose(pd.read_csv(tmp_path / "other.csv")["probability_yes"], flat["yes"], rtol=1e-6)
    assert not np.allclose(expected["yes"], flat["yes"])


def test_a_changed_small_table_refuses_to_continue_and_to_answer(files: Path, tmp_path: Path) -> None:
    joining(files).run(tmp_path / "runs")
    assert joining(files).run(tmp_path / "runs").summary()["resumed"] is False
    (tmp_path / "cities.csv").write_text("city,height\nulm,479\nrom,21\n")

    with pytest.raises(ChangedDataError, match="not those this run began with"):
        joining(files).run(tmp_path / "runs")


def test_where_the_small_table_stands_is_no_part_of_a_runs_id_and_how_it_is_joined_is(files: Path) -> None:
    moved = joining(files, path=str(files.parent / "cities.csv"))

    assert joining(files).id == moved.id
    assert joining(files, how="inner").id != moved.id


def test_a_workflow_file_names_joins_and_the_command_line_their_places(files: Path, tmp_path: Path) -> None:
    (tmp_path / "flow.toml").write_text(
        'model = "sgd"\n[data]\nkind = "csv"\npath = "in/*.csv"\ntarget = "late"\n'
        '[[data.joins]]\npath = "absent.csv"\non = ["city"]\nhow = "inner"\n'
    )
    place = {"data.joins.0.path": str(tmp_path / "cities.csv"), "cache": "none"}

    workflow = Workflow.from_toml(tmp_path / "flow.toml", place)

    assert workflow.table().schema.names == ("x", "city", "late", "height")
    assert workflow.cache.kind == "none"
    with pytest.raises(SettingsError, match=r"data\.joins is a value, not a table"):
        Workflow.from_toml(tmp_path / "flow.toml", {"data.joins.7.path": "x"})
