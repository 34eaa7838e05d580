"""``daskflow stream``: words, files, messages and exit codes; and the same from Python."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result

import daskflow as flow
from daskflow.bundle.writing import write
from daskflow.cli import main
from daskflow.core.errors import SettingsError
from daskflow.core.journal import read
from daskflow.streams.scoring import Scorer
from daskflow.workflow.scoring import score
from daskflow.workflow.streaming_settings import StreamSettings, without_secrets
from tests.test_streams_scoring import FRAME, MODEL, ROWS


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "model"
    parts = {name: getattr(MODEL, name) for name in ("estimator", "transformer", "schema", "target")}
    write(folder, **parts, card={})
    return folder


@pytest.fixture
def here(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, rows as JSON lines, and the same rows as CSV and Parquet."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").symlink_to(bundle)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS[:60]))
    (tmp_path / "new").mkdir()
    FRAME[:30].to_csv(tmp_path / "new" / "1.csv", index=False)
    FRAME[30:60].to_parquet(tmp_path / "new" / "2.parquet")
    return tmp_path


def rows_of(path: Path) -> list[dict[str, Any]]:
    return pyarrow.parquet.read_table(path).to_pylist()  # type: ignore[no-any-return]


def said(*words: str) -> Result:
    return CliRunner().invoke(main, ["stream", *words])


def answers(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_and_files_give_the_bits_that_rows_and_predict_give(here: Path) -> None:
    # when records come as lines
    done = said("model", "--from", "rows.jsonl", "--to", "out.jsonl")
    # then their answers are those of rows
    assert done.exit_code == 0, done.output
    assert "60 records answered" in done.stdout
    found = [{name: value for name, value in each.items() if name != "id"} for each in answers(here / "out.jsonl")]
    assert found == Scorer(MODEL).rows(ROWS[:60]).dicts()
    # and of files those of `daskflow predict`
    words = ("--once", "--json", "--set", "from.settle_seconds=0")
    done = said("model", "--from", "new", "--to", "scored/*.parquet", *words)
    assert json.loads(done.stdout)["answered"] == 60
    for name in ("1.csv", "2.parquet"):
        score(here / "model", [f"new/{name}"], here / f"{name}.parquet")
    expected = [row for name in ("1.csv", "2.parquet") for row in rows_of(here / f"{name}.parquet")]
    assert [
        {name: value for name, value in row.items() if name != "id"} for row in rows_of(here / "scored")
    ] == expected


def test_the_same_command_goes_on_and_says_so(here: Path) -> None:
    words = ("model", "--from", "rows.jsonl", "--to", "out.jsonl", "--keep", "city", "--no-proba")
    said(*words)
    with (here / "rows.jsonl").open("a") as file:
        file.write("no JSON\n" + json.dumps(ROWS[60]) + "\n")
    done = said(*words)
    assert "1 record answered" in done.stdout
    assert "with earlier invocations 61" in done.stdout
    (folder,) = (here / "streams").iterdir()
    assert f"1 record has no answer: streams/{folder.name}/dead.jsonl says why" in done.stdout
    assert answers(folder / "dead.jsonl")[0]["raw"] == "no JSON"
    assert list(answers(here / "out.jsonl")[-1]) == ["id", "city", "prediction"]
    assert len(answers(here / "out.jsonl")) == 61
    assert [each["record"] for each in read(folder / "events.jsonl") if each["record"] in ("invocation", "end")] == [
        *("invocation", "end", "invocation", "end")
    ]


def test_a_file_says_the_same_words(here: Path) -> None:
    (here / "below").mkdir()
    (here / "below" / "stream.toml").write_text(
        'model = "../model"\nfrom = "../rows.jsonl"\nbatch = 7\ndelay = "10ms"\n'
        '[to]\nkind = "lines"\npath = "out.jsonl"\n'
    )
    done = said("below/stream.toml", "--json", "--folder", "s")
    summary = json.loads(done.stdout)
    assert (summary["answered"], summary["batches"], summary["folder"]) == (60, 9, str(here / "s"))
    assert len(answers(here / "below" / "out.jsonl")) == 60


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["model", "--from", "rows.jsonl"], 2, "to: is required"),
        (
            ["model", "--from", "radis://x", "--to", "-"],
            2,
            "is called 'radis://'; did you mean 'redis://'",
        ),
        (["model", "--from", "rows.jsonl", "--to", "x.jsonl", "--batch", "0"], 2, "batch"),
        (["model", "--from", "rows.jsonl", "--to", "x.jsonl", "--delay", "soon"], 2, "such as 50ms or 2s"),
        (["model", "--from", "rows.jsonl", "--to", "x.jsonl", "--keep", "prediction"], 2, "of their own"),
        (["nowhere", "--from", "rows.jsonl", "--to", "x.jsonl"], 1, "There is no"),
        (["model", "--from", "none", "--to", "x.jsonl"], 1, "is no folder"),
        (["model", "--from", "none.jsonl", "--to", "x.jsonl"], 1, "cannot be read"),
        (["model", "--from", "rows.jsonl", "--to", "x.jsonl", "--set", "from.speed=3"], 2, "speed"),
        (["model", "--from", "rows.jsonl", "--to", "x.jsonl", "--on", "slurmm"], 2, "slurm"),
        (["none.toml"], 2, "cannot be read"),
        (["model", "--from", "rows.jsonl", "--to", "socred/today"], 1, "there is no folder"),
        (["model", "--from", "rows.jsonl", "--to", "socred/x.jsonl"], 1, "or correct --to"),
        (["model", "--from", "rows.jsonl", "--to", "x.jsonl", "--dead", "socred/dead.jsonl"], 1, "or correct --dead"),
    ],
    ids=lambda value: "-".join(value[-2:]).replace("/", "") if isinstance(value, list) else "",
)
def test_what_cannot_be_is_a_sentence(here: Path, words: list[str], code: int, text: str) -> None:
    done = said(*words)
    assert (done.exit_code, text in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr
    assert not (here / "x.jsonl").exists() or (here / "x.jsonl").read_text() == ""
    assert not (here / "socred").exists()


def test_a_full_disk_ends_the_stream_and_commits_nothing(here: Path) -> None:
    done = said("model", "--from", "rows.jsonl", "--to", "lines:///dev/full", "--retries", "0", "--folder", "s")
    assert done.exit_code == 1
    assert "The sink failed once: /dev/full cannot be written: No space left" in done.stderr
    assert "These 60 results are not committed" in done.stderr
    assert not any(each.get("offsets") for each in read(here / "s" / "journal.jsonl"))


def test_from_python_and_beside_other_work(here: Path) -> None:
    async def both() -> Any:
        words: dict[str, Any] = {"once": True, "folder": "a"}
        one = flow.stream_async("model", flow.streams.LinesSource(path="rows.jsonl"), "a.jsonl", **words)
        other = flow.stream_async(MODEL, "rows.jsonl", {"kind": "lines", "path": "b.jsonl"})
        return await asyncio.gather(one, other)

    summaries = asyncio.run(both())
    assert [each["answered"] for each in summaries] == [60, 60]
    assert answers(here / "a.jsonl") == answers(here / "b.jsonl")
    # and in a thread, where no signal can be heard
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(flow.stream(MODEL, "rows.jsonl", "c.jsonl")))
    thread.start()
    thread.join(200)
    assert found[0]["answered"] == 60


def test_a_stream_stops_when_it_is_told_to(here: Path) -> None:
    async def work() -> dict[str, Any]:
        made = flow.Stream(StreamSettings.of({"from": "new", "to": "out.jsonl", "from.settle_seconds": 0}), model=MODEL)
        running = asyncio.create_task(made.run())
        while not (here / "out.jsonl").exists() or not (here / "out.jsonl").read_text():
            await asyncio.sleep(0.01)
        made.stop()
        return await running

    assert asyncio.run(work())["status"] == "stopped"


def test_a_stream_that_goes_on_is_not_started_twice(here: Path) -> None:
    async def work() -> None:
        words = {"from": "new", "to": "out.jsonl", "folder": "s"}
        made = flow.Stream(StreamSettings.of(words), model=MODEL)
        running = asyncio.create_task(made.run())
        while not (here / "s" / "events.jsonl").exists():
            await asyncio.sleep(0.01)
        with pytest.raises(flow.DaskflowError, match="in use"):
            await flow.Stream(StreamSettings.of(words), model=MODEL).run()
        made.stop()
        await running

    asyncio.run(work())


def test_what_was_asked_for_is_kept_without_secrets(here: Path) -> None:
    told = without_secrets({"url": "redis://me:pass@host/0?password=x&stream=a", "token": "t", "list": ["a://b:c@d"]})
    assert told == {"url": "redis://***@host/0?password=***&stream=a", "token": "***", "list": ["a://***@d"]}
    with pytest.raises(SettingsError, match="model: is required"):
        flow.Stream(StreamSettings.of({"from": "new", "to": "out.jsonl"}))


def test_a_stream_has_the_folder_of_its_run_and_a_name_of_its_own(here: Path) -> None:
    (here / "runs" / "cars" / "1a").mkdir(parents=True)
    (here / "runs" / "cars" / "1a" / "journal.jsonl").touch()
    (here / "runs" / "cars" / "latest").write_text("1a\n")
    (here / "runs" / "cars" / "1a" / "model").symlink_to((here / "model").resolve())

    def place(source: str, **words: Any) -> Path:
        return StreamSettings.of({"model": "runs/cars", "from": source, "to": "out.jsonl", **words}).place(Path()).path

    assert place("new").parent == here / "runs" / "cars" / "1a" / "streams"
    assert place("new") == place("new", once=True, batch=3, key="x")
    assert place("new") != place("rows.jsonl")
    assert place("new", folder="s") == here / "s"
