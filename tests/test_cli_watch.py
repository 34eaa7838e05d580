"""A run is watched from another shell: its pages' link, its state as text that fits the terminal, or as JSON."""

from __future__ import annotations

import io
import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner, Result
from rich.cells import cell_len
from rich.console import Console, Group

import daskflow as flow
from daskflow.cli import main, watching
from daskflow.cli.watching_terminal import Keys, Said
from daskflow.cli.watching_text import picture
from daskflow.cli.watching_words import ASCII
from daskflow.core.control import Command, asked
from daskflow.core.folder import RunFolder
from daskflow.core.journal import Journal
from daskflow.dashboard.state import RunState
from tests.told_runs import START, Record, stage_moment, told_run, until

SIZES = [(80, 24), (40, 18), (120, 40), (20, 6), (3, 2)]


def state_of(records: list[Record]) -> RunState:
    state = RunState(name="late-flights")
    state.hear(records)
    return state


def drawn(records: list[Record], *, width: int = 80, height: int = 24, **more: Any) -> list[str]:
    """The picture as plain texts, a moment after the last record."""
    last = records[-1]["at"] if records else START
    lines = picture(state_of(records), last + 0.1, width=width, height=height, **more)
    return [line.plain for line in lines]


def moments(records: list[Record]) -> list[list[Record]]:
    stages = [stage_moment(records, stage, 0.5) for stage in ("scan", "search", "evaluation")]
    return [[], records[:1], *stages, until(records, 0.9), records]


def test_a_forecast_whose_band_is_too_wide_tells_nothing_yet() -> None:
    records = stage_moment(told_run(), "search", 0.5)
    said = {"seconds": 14_000.0, "low": 2000.0, "high": 860_000.0, "cpu_hours": 4.0, "cpu_low": 0.5, "cpu_high": 240.0}
    vague = {"record": "forecast", "at": records[-1]["at"], "stage": "search", "cpu_hours_spent": 0.1, "level": 0.8}
    assert any("to come (" in line for line in drawn(records))
    text = "\n".join(drawn([*records, vague | said]))
    assert "time left not known yet, " in text
    assert "to come" not in text


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("hostile", [False, True])
def test_no_moment_of_a_run_is_wider_or_higher_than_the_terminal(width: int, height: int, hostile: bool) -> None:
    for records in moments(told_run(hostile=hostile, stream=3)):
        lines = drawn(records, width=width, height=height)
        assert 0 < len(lines) <= height
        assert max(cell_len(line) for line in lines) <= width


def test_a_search_is_seen_on_a_terminal_of_80_by_24() -> None:
    # given a run in its search
    records = told_run()
    # when it is drawn
    text = "\n".join(drawn(stage_moment(records, "search", 0.4)))
    # then stage, share, time left, best, interval, rungs, workers, cost and the newest note are there
    assert re.search(r"late-flights/a1b2c3d4e5  running  \d+ s", text)
    assert re.search(r"> search +24 s  ━+─+  68%", text)
    assert "about 11 s left (6.3 to 18), 127 of 186 fits" in text
    assert "then refit, evaluation, explanation, model" in text
    assert "best    roc_auc 0.7826 [0.7744, 0.7932], trial 2-9, 3 more cannot be told apart" in text
    assert "bracket 2  1:27/27  3:9/9  9:3/3" in text
    assert "workers 4 running, memory" in text
    assert "cost    2.7 CPU-min spent, about 58 CPU-s to come (40 to 86)" in text
    assert "Trial 1-1 failed: ValueError: Solver did not converge" in text


def test_what_matters_most_stays_where_there_is_little_room() -> None:
    lines = drawn(stage_moment(told_run(), "search", 0.4), width=60, height=4)
    assert [line.split()[0] for line in lines] == ["late-flights/a1b2c3d4e5", ">", "about", "best"]


def test_the_end_shows_the_tests_numbers_as_they_were_told() -> None:
    records = told_run()
    final = [each for each in records if each["record"] == "evaluated"][-1]
    value, low, high = final["metrics"]["roc_auc"]
    lines = drawn(records)
    assert f"test    roc_auc {value:.4g}  [{low:.4g}, {high:.4g}]" in lines
    assert lines[0].split()[1] == "done"


def test_a_failed_run_says_why() -> None:
    text = "\n".join(drawn(told_run(status="failed")))
    assert "failed" in text.splitlines()[0]
    assert "Disk full" in text


def test_a_run_whose_process_is_gone_is_called_interrupted() -> None:
    records = stage_moment(told_run(), "search", 0.4)
    assert "running" in drawn(records)[0]
    lines = drawn(records, is_running=False)
    assert "interrupted" in lines[0]
    assert "Its process is gone" in lines[1]


def test_nothing_that_is_told_reaches_the_terminal_as_a_command() -> None:
    # given names with every kind of control character
    evil = "\x1b]0;title\x07\x1b[2J\x9b31m\r\n\t\u202e\u2028\ud800\x00é字"
    records = [
        {"record": "invocation", "at": START, "id": f"id{evil}", "versions": {}},
        {"record": "cluster", "at": START, "description": evil, "slots": 1},
        {"record": "note", "at": START, "text": evil},
        {"record": "begun", "at": START, "stage": f"scan{evil}", "total": 3},
        {
            "record": "candidates",
            "at": START,
            "metric": f"m{evil}",
            "greater_is_better": True,
            "n_folds": 1,
            "candidates": [{"trial": f"0{evil}", "params": {evil: evil}}],
        },
        {
            "record": "unit",
            "at": START + 1,
            "trial": f"0{evil}",
            "fold": 0,
            "resource": 1,
            "metrics": {f"m{evil}": 0.5},
        },
        {"record": "workers", "at": START + 1, "workers": [{"name": evil, "status": evil}], "counts": {evil: 1}},
        {"record": "end", "at": START + 2, "status": "failed", "error": evil},
    ]
    # when they are drawn, on a terminal too
    for share in range(2, len(records) + 1):
        lines = drawn(records[:share])
        out = io.StringIO()
        Console(file=out, width=80, force_terminal=True, color_system=None).print(
            Group(*picture(state_of(records[:share]), START + 2, width=80, height=24))
        )
        # then only characters that are seen are left
        for line in [*lines, *out.getvalue().splitlines()]:
            assert {unicodedata.category(character)[0] for character in line} <= {"L", "M", "N", "P", "S", "Z"}


def test_missing_fields_and_not_a_number_are_no_trouble() -> None:
    records = [
        {"record": "invocation", "at": START, "id": "x"},
        {"record": "cluster", "at": START},
        {"record": "workers", "at": START, "workers": [{}, {"memory": None, "memory_limit": None, "cpu": None}]},
        {"record": "forecast", "at": START, "stage": "search", "seconds": 5.0, "low": 3.0, "high": 9.0},
        {"record": "evaluated", "at": START, "rows": 1, "total": 2, "metrics": {"f1": [None, None, None]}},
        {"record": "best", "at": START, "trial": "0", "metric": "f1", "score": None},
        {"record": "stream", "at": START},
    ]
    for count in range(len(records) + 1):
        assert drawn(records[:count])
    assert "test    f1 -  after 1 of 2 rows" in drawn(records)


def test_a_terminal_without_utf8_gets_ascii_bars() -> None:
    lines = drawn(stage_moment(told_run(), "scan", 0.5), ink=ASCII)
    assert any("####" in line for line in lines)


def test_a_log_hears_each_stage_each_note_and_each_better_score_once() -> None:
    # given a run that is looked at twenty times
    records = told_run()
    state = RunState(name="late-flights")
    said = Said(state)
    lines: list[str] = []
    for step in range(20):
        chunk = [r for r in records if step / 20 <= (r["at"] - START) / 101.1 < (step + 1) / 20]
        state.hear(chunk)
        lines += said.news(chunk[-1]["at"] if chunk else state.last)
    words = [line.split("s] ", 1)[1] for line in lines]
    # then
    assert [word for word in words if " done in " in word][:2] == ["scan done in 11 s", "split done in 0.4 s"]
    assert sum(word.startswith("Cluster local") for word in words) == 1
    best = [word for word in words if word.startswith("best ")]
    assert len(best) == len(set(best)) > 1
    assert not any(math.isnan(float(line[1:9])) for line in lines)
    # and nothing more is said of a run that is over
    assert said.news(state.last + 100) == []


def test_q_ends_the_view_and_other_keys_or_a_closed_keyboard_do_not() -> None:
    read, write = os.pipe()
    keys = Keys(read)
    os.write(write, b"x\x1b[A")
    assert not keys.wait(0.05)
    os.write(write, b"q")
    assert keys.wait(60.0)
    os.close(write)
    assert not keys.wait(0.05)
    assert keys.number is None
    os.close(read)


# ---- the verb ----


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a small made-up table, on its own."""
    place = tmp_path_factory.mktemp("watched")
    workflow = flow.Workflow(
        name="tiny",
        data=flow.sources.Generated(rows=400, partitions=2, target="target"),
        split=flow.Split(test=0.3, validation=0.2),
        model=flow.models.SGD(),
        search=flow.search.Random(trials=2, metric="roc_auc"),
        metrics=["roc_auc", "log_loss"],
        evaluation=flow.EvaluationSettings(explain=False, slices=False, replicates=50),
        cluster="inline",
        cache={"folder": str(place / "cache")},
    )
    return workflow.run(place / "runs").path


def call(*words: Any) -> Result:
    return CliRunner().invoke(main, ["watch", *(str(word) for word in words)])


def test_text_once_prints_one_picture_with_the_final_numbers(folder: Path) -> None:
    done = call(folder, "--text", "--once")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"tiny/{folder.name}  done  ")
    found = json.loads((folder / "metrics.json").read_text())["metrics"]["roc_auc"]
    value, low, high = (f"{found[word]:.4g}" for word in ("value", "low", "high"))
    assert f"test    roc_auc {value}  [{low}, {high}]" in lines
    assert "trials  2 of 2 have a score" in lines
    assert "\x1b" not in done.stdout


def test_the_latest_run_of_a_name_is_meant_by_the_name(folder: Path) -> None:
    assert call(folder.parent, "--text", "--once").stdout == call(folder, "--text", "--once").stdout


def test_text_of_a_run_that_is_over_tells_it_and_ends(folder: Path) -> None:
    done = call(folder, "--text")
    assert done.exit_code == 0
    assert "] search done in " in done.stdout
    assert f"tiny/{folder.name}  done  " in done.stdout


def test_a_replay_tells_it_again_and_ends_with_the_same_numbers(folder: Path) -> None:
    done = call(folder, "--text", "--replay", "100000x")
    assert done.exit_code == 0
    last = call(folder, "--text", "--once").stdout
    assert done.stdout.endswith(last)


def test_json_is_one_object_with_the_numbers_of_the_run(folder: Path) -> None:
    done = call(folder, "--json")
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert told["format"] == 1
    assert (told["name"], told["id"], told["status"]) == ("tiny", folder.name, "done")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--once"], "--once goes with --text"),
        (["--json", "--text"], "goes with neither --text nor --replay"),
        (["--json", "--replay", "2"], "goes with neither --text nor --replay"),
        *[(["--replay", speed], "is no speed") for speed in ("0", "-1", "nan", "fast", "1e9")],
        (["--port", "70000"], "70000"),
    ],
)
def test_what_does_not_go_together_is_said(folder: Path, words: list[str], said: str) -> None:
    done = call(folder, *words)
    assert done.exit_code == 2
    assert said in done.stderr


def test_a_folder_that_is_no_run_is_a_sentence(tmp_path: Path) -> None:
    done = call(tmp_path)
    assert done.exit_code == 1
    assert "is not a run folder" in done.stderr


# ---- the link of the run's own pages ----


@contextmanager
def pages_of(run: str, token: str) -> Iterator[str]:
    """Stand-in for the pages of a run: answers those who show the token; yields its address."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_welcome = self.headers.get("Authorization") == f"Bearer {token}"
            self.send_response(200 if is_welcome else 403)
            self.end_headers()
            self.wfile.write(json.dumps({"id": run}).encode() if is_welcome else b"no")

        def log_message(self, *words: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/user/x/daskflow"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are waited for, however busy the machine is."""
    monkeypatch.setattr(watching, "ANSWER_SECONDS", 60.0)


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> RunFolder:
    """A copy of the run's folder, to say in it where its pages are."""
    shutil.copytree(folder, tmp_path / "tiny" / folder.name)
    return RunFolder(tmp_path / "tiny" / folder.name)


def tell(folder: RunFolder, **fields: Any) -> None:
    said = {"token": "secret", "host": socket.gethostname(), **fields}
    (folder.path / "live.json").write_text(json.dumps(said))


def test_a_run_that_has_pages_of_its_own_gives_their_link(copy: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    with pages_of(copy.id, "secret") as address, Journal(copy.journal):
        tell(copy, address=address)
        done = call(copy.path, "--no-open")
        assert done.stdout == f"{address}?run={copy.id}&token=secret\n"
        assert done.stderr == ""
        # and in a shell that came by ssh, the way there
        monkeypatch.setenv("SSH_CONNECTION", "192.0.2.7 5555 192.0.2.1 22")
        port = address.split(":")[2].split("/")[0]
        way = call(copy.path, "--no-open").stderr
        assert re.search(rf"ssh -L {port}:127\.0\.0\.1:{port} \S+", way)


def test_pages_that_do_not_answer_or_are_anothers_are_not_its_own(copy: RunFolder) -> None:
    with pages_of("another", "secret") as address, Journal(copy.journal):
        tell(copy, address=address)
        assert watching.own(copy) == ""
    with pages_of(copy.id, "another") as address, Journal(copy.journal):
        tell(copy, address=address)
        assert watching.own(copy) == ""
    # nor is the token shown to whoever has the port after a kill
    with pages_of(copy.id, "secret") as address:
        tell(copy, address=address)
        assert watching.own(copy) == ""
    # of a server that is gone
    assert watching.own(copy) == ""
    # of another machine's loopback address nobody is asked, and it is said where the pages are
    with pages_of(copy.id, "secret") as address, Journal(copy.journal):
        tell(copy, address=address, host="node17")
        assert watching.own(copy) == ""


@pytest.mark.parametrize(
    "said", ["", "[]", "{", '{"address": 3, "token": "x"}', '{"address": "file:///etc/passwd", "token": "x"}']
)
def test_a_file_that_says_nonsense_leads_nowhere(copy: RunFolder, said: str) -> None:
    (copy.path / "live.json").write_text(said)
    assert watching.own(copy) == ""


def test_pages_are_served_from_the_folder_until_ctrl_c(folder: Path) -> None:
    # given pages at a free port, without a scheduler
    command = [sys.executable, "-m", "daskflow", "watch", str(folder), "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        link = process.stdout.readline().strip()
        # when they are asked, with the token of the link and without
        address, token = re.match(r"(http://127\.0\.0\.1:\d+/.*)\?.*token=([\w-]+)", link).groups()  # type: ignore[union-attr]
        feed = address.replace("daskflow", "daskflow.json")
        while (told := watching.answer_of(feed, token)).get("status") == "waiting":
            time.sleep(0.05)  # the folder has not been read yet
        refused = watching.answer_of(feed, "wrong")
        process.send_signal(signal.SIGINT)
        code, said = process.wait(100), process.stderr.read()  # type: ignore[union-attr]
    # then the run is told to those who have it, and Ctrl-C is no error
    assert (told["id"], told["status"]) == (folder.name, "done")
    assert refused == {}
    assert code == 0
    assert "Traceback" not in said


def test_a_port_that_is_taken_is_said(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = call(folder, "--port", port, "--no-open")
        assert done.exit_code == 2
        assert f"Port {port} of 127.0.0.1 cannot be had" in done.stderr
        assert watching.free_port("127.0.0.1") not in (0, port)


class Served:
    """Stand-in for the pages' server: keeps what it is given, and ends at once."""

    given: ClassVar[dict[str, Any]] = {}

    def __init__(self, source: Any, **options: Any) -> None:
        type(self).given = options

    def __enter__(self) -> None:
        raise KeyboardInterrupt

    def __exit__(self, *error: object) -> None:
        pass


def test_what_is_asked_on_pages_from_the_folder_reaches_the_run(
    copy: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daskflow.dashboard.serving.Server", Served)
    assert call(copy.path, "--port", "0", "--replay", "60x", "--read-only").exit_code == 0
    assert (Served.given["replay_speed"], Served.given["read_only"], Served.given["port"]) == (60.0, True, 0)
    # when a viewer asks for something, it lies in the run's mailbox, and its effect is said
    assert "Resume goes on" in Served.given["act"](Command("pause", by="page"))
    assert [one.word for one in asked(copy)] == ["pause"]
    # and what makes no sense is refused as the pages know it
    with pytest.raises(PermissionError):
        Served.given["act"](Command("cancel", by="page"))


def test_an_address_that_others_reach_is_told_what_it_means(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daskflow.dashboard.serving.Server", Served)
    assert "not encrypted" in call(folder, "--host", "0.0.0.0").stderr
    assert "not encrypted" not in call(folder, "--host", "localhost").stderr


def test_a_browser_is_told_the_link_by_a_file_of_the_owner_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    ends: list[Any] = []
    monkeypatch.setattr(watching.webbrowser, "open", opened.append)
    monkeypatch.setattr(watching.atexit, "register", ends.append)
    monkeypatch.setattr(watching, "BROWSER_SECONDS", 0.0)
    # when
    watching.open_browser("http://127.0.0.1:1/daskflow?run=a&token=secret")
    # then
    (address,) = opened
    page = Path(address.removeprefix("file://"))
    assert "secret" not in address
    assert "token=secret" in page.read_text()
    assert (page.stat().st_mode & 0o077, page.parent.stat().st_mode & 0o077) == (0, 0)
    ends[0]()
    assert not page.parent.exists()


def test_a_script_gets_the_link_or_an_error_and_waits_for_nothing(copy: RunFolder) -> None:
    with pages_of(copy.id, "secret") as address, Journal(copy.journal):
        tell(copy, address=address)
        assert call(copy.path, "--link").stdout == f"{address}?run={copy.id}&token=secret\n"
    done = call(copy.path, "--link")
    assert (done.stdout, done.exit_code) == ("", 1)
    assert "no pages of its own" in done.stderr


def test_a_run_whose_folder_was_copied_elsewhere_keeps_its_name(copy: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(copy.path, tmp_path / "at-home" / copy.id)
    assert json.loads(call(tmp_path / "at-home" / copy.id, "--json").stdout)["name"] == "tiny"
