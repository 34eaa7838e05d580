"""A run's mailbox: files of the run's folder become commands; what is none is removed and told, never obeyed."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from daskflow.core import control as core_control
from daskflow.core.control import (
    MOST_FILES,
    Command,
    Control,
    Mailbox,
    ask,
    asked,
    close_mailbox,
    open_mailbox,
)
from daskflow.core.errors import ControlError, SettingsError
from daskflow.core.folder import RunFolder
from daskflow.core.journal import Journal
from daskflow.core.mail import MOST_BYTES
from daskflow.workflow import open_run
from daskflow.workflow.acting import act
from daskflow.workflow.recording import Recorder
from daskflow.workflow.run import Run


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run's folder that is open for commands."""
    made = RunFolder(tmp_path / "runs" / "cars" / "1234")
    made.make()
    open_mailbox(made)
    return made


def test_what_is_asked_arrives_once_in_order_and_only_its_owner_can_read_it(folder: RunFolder) -> None:
    # when
    first = ask(folder, Command("cancel", trial="2-0", by="page"))
    second = ask(folder, Command("extend", wall_seconds=90.0, cpu_hours=1.5, trials=3))
    # then
    files = list(folder.control.iterdir())
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600, 0o600]
    assert asked(folder) == [first, second]
    assert asked(folder) == []
    assert first.key != second.key
    assert (second.wall_seconds, second.cpu_hours, second.trials, second.by) == (90.0, 1.5, 3, "python")


def test_of_a_folder_of_somebody_else_the_run_must_be_able_to_read_it(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: folder.path.stat().st_uid + 1)
    ask(folder, Command("pause"))
    (file,) = folder.control.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


def hostile(place: Path) -> dict[str, Callable[[Path], Any]]:
    """Things that somebody may put into a mailbox."""
    good = json.dumps({"command": "stop"})
    (place.parent / "elsewhere").write_text(good)
    return {
        "empty": lambda path: path.write_text(""),
        "no JSON": lambda path: path.write_text("{"),
        "bytes": lambda path: path.write_bytes(b"\xff\xfe\x00"),
        "a list": lambda path: path.write_text('["stop"]'),
        "no word": lambda path: path.write_text('{"by": "page"}'),
        "another word": lambda path: path.write_text('{"command": "rm -rf /"}'),
        "a word that is none": lambda path: path.write_text('{"command": {"stop": 1}}'),
        "no trial": lambda path: path.write_text('{"command": "cancel"}'),
        "nothing more": lambda path: path.write_text('{"command": "extend"}'),
        "less": lambda path: path.write_text('{"command": "extend", "trials": -5}'),
        "not a number": lambda path: path.write_text('{"command": "extend", "cpu_hours": NaN}'),
        "infinite": lambda path: path.write_text('{"command": "extend", "cpu_hours": 1e999}'),
        "half a trial": lambda path: path.write_text('{"command": "extend", "trials": 0.5}'),
        "a line break": lambda path: path.write_text('{"command": "stop", "by": "page\\nstop"}'),
        "too long": lambda path: path.write_text(good + " " * MOST_BYTES),
        "deep": lambda path: path.write_text("[" * 4000),
        "a link": lambda path: path.symlink_to(place.parent / "elsewhere"),
        "a link to itself": lambda path: path.symlink_to(path),
        "a pipe": os.mkfifo,
    }


def test_what_is_no_command_is_removed_and_told_and_never_obeyed(folder: RunFolder) -> None:
    for name, put in hostile(folder.control).items():
        put(folder.control / f"{name}.json")
    (folder.control / "a folder.json").mkdir()
    (folder.control / ".half.json").write_text('{"comm')
    told: list[str] = []
    # when
    found = asked(folder, told.append)
    # then
    assert found == []
    assert len(told) == len(hostile(folder.control))
    assert all(text.startswith("control/") and "was no command, and was removed: " in text for text in told)
    assert all(len(text) < 500 and text.isprintable() for text in told)
    # and only what cannot be removed, or is not whole yet, is left, and is told of no second time
    assert sorted(path.name for path in folder.control.iterdir()) == [".half.json", "a folder.json"]
    assert asked(folder, told.append) == []
    assert (folder.path / "elsewhere").exists()


def test_a_command_that_cannot_be_removed_is_not_obeyed(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, dir_fd: int | None = None) -> None:
        raise PermissionError(13, "Permission denied")

    ask(folder, Command("stop"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        assert asked(folder) == []
    assert [command.word for command in asked(folder)] == ["stop"]


def test_a_mailbox_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert asked(RunFolder(tmp_path / "nowhere")) == []
    with pytest.raises(ControlError, match="cannot be written"):
        ask(RunFolder(tmp_path / "nowhere"), Command("stop"))


def test_what_was_asked_of_an_earlier_invocation_is_forgotten(folder: RunFolder) -> None:
    ask(folder, Command("stop"))
    assert [command.word for command in open_mailbox(folder)] == ["stop"]
    assert open_mailbox(folder) == []
    close_mailbox(folder)
    assert not folder.control.exists()
    close_mailbox(folder)


def test_a_control_takes_from_its_mailbox_and_from_other_threads(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert core_control.LOOK_SECONDS <= 0.5, "the docs say: twice a second"
    monkeypatch.setattr(core_control, "LOOK_SECONDS", 3600.0)
    control = Control(Mailbox(folder))
    assert control.take() == []
    ask(folder, Command("pause"))
    control.put(Command("resume"))
    # the mailbox is not looked into again so soon
    assert [command.word for command in control.take()] == ["resume"]
    monkeypatch.setattr(core_control, "LOOK_SECONDS", 0.0)
    assert [command.word for command in control.take()] == ["pause"]
    # and whoever waits is woken
    putting = threading.Timer(0.05, control.put, [Command("stop")])
    putting.start()
    begun = time.monotonic()
    control.wait(200.0)
    assert time.monotonic() - begun < 100
    putting.join()
    assert [command.word for command in control.take()] == ["stop"]


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (Command("puase"), "There is no command 'puase'; did you mean 'pause'?"),
        (Command("cancel"), "cancel needs a trial: name the one to give up."),
        (Command("pause", trial="3"), "pause takes no trial: it concerns the whole search."),
        (Command("stop", trials=3), "stop takes no trials: only extend does."),
        (Command("extend"), "extend needs at least one of wall time, CPU-hours and trials to add."),
        (Command("extend", wall_seconds=-1), "wall_seconds = -1 does not extend a budget: give a number above 0."),
    ],
)
def test_what_makes_no_sense_is_said_before_it_is_asked(folder: RunFolder, command: Command, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        ask(folder, command)
    assert str(caught.value) == says
    assert list(folder.control.iterdir()) == []


@contextmanager
def going_on(folder: RunFolder, records: list[dict[str, Any]]) -> Iterator[Recorder]:
    """A run that goes on, by its journal."""
    with Journal(folder.journal) as journal:
        recorder = Recorder(journal)
        recorder.append({"record": "invocation", "id": folder.id})
        for record in records:
            recorder.append(record)
        yield recorder


SEARCHING = [{"record": "start", "trial": "0", "fold": 0, "resource": 1}]


def answering(folder: RunFolder, recorder: Recorder, answer: dict[str, Any]) -> threading.Thread:
    """A run's search, which takes one command and answers it."""

    def hear() -> None:
        while not (commands := asked(folder)):
            time.sleep(0.01)
        recorder.append({**answer, **commands[0].dump()})

    thread = threading.Thread(target=hear)
    thread.start()
    return thread


def test_a_run_that_hears_says_what_comes_of_it(folder: RunFolder) -> None:
    with going_on(folder, SEARCHING) as recorder:
        hearing = answering(folder, recorder, {"record": "control"})
        assert open_run(folder.path).cancel(7) == (
            "Trial 7 gets nothing more: its fits are given up, and it ranks last."
        )
        hearing.join()
        assert recorder.journal.records[-1]["trial"] == "7"
        hearing = answering(folder, recorder, {"record": "refused", "text": "The search is paused already."})
        with pytest.raises(ControlError, match=r"^The search is paused already\.$"):
            open_run(folder.path).pause()
        hearing.join()


def test_a_run_that_does_not_hear_is_not_waited_for_long(folder: RunFolder) -> None:
    with going_on(folder, SEARCHING):
        begun = time.monotonic()
        with pytest.raises(ControlError, match=r"^Run cars/1234 has not heard it within 0.2 s: "):
            act(folder, Command("stop"), seconds=0.2)
        assert time.monotonic() - begun < 60
    assert [command.word for command in asked(folder)] == ["stop"]


def test_before_the_search_it_takes_effect_when_the_search_begins(folder: RunFolder) -> None:
    with going_on(folder, [{"record": "stage", "stage": "scan"}]):
        said = act(folder, Command("extend", wall_seconds=1800), seconds=0.1)
    assert said == (
        "The budget of the search is raised by 30 min of wall time, for this run and whoever continues it. "
        "The search has not begun: this takes effect when it does."
    )


def test_a_run_that_does_not_go_on_or_whose_search_is_over_is_asked_for_nothing(folder: RunFolder) -> None:
    with going_on(folder, [*SEARCHING, {"record": "stage", "stage": "search"}]) as recorder:
        with pytest.raises(ControlError, match="The search of run cars/1234 is over: there is nothing left to pause"):
            open_run(folder.path).pause()
        recorder.append({"record": "invocation", "id": folder.id})
        assert act(folder, Command("stop"), seconds=0.0).endswith("this takes effect when it does.")
    asked(folder)
    with pytest.raises(ControlError, match=r"cars/1234 does not go on \(it is interrupted\): there is nothing to stop"):
        open_run(folder.path).stop()
    with going_on(folder, []) as recorder:
        recorder.append({"record": "end", "status": "done"})
    for attempt in (Run.resume, Run.pause, Run.stop):
        with pytest.raises(ControlError, match=r"does not go on \(it is done\)"):
            attempt(open_run(folder.path))
    assert list(folder.control.iterdir()) == []


def test_an_amount_that_cannot_be_read_is_said(folder: RunFolder) -> None:
    run = open_run(folder.path) if folder.journal.exists() else Run(folder)
    with pytest.raises(SettingsError, match=r"^wall_time should be a time such as 30 min \(found 'soon'\).$"):
        run.extend(wall_time="soon")
    with pytest.raises(SettingsError, match="trials = -3 does not extend a budget"):
        run.extend(trials=-3)
    with pytest.raises(SettingsError, match="extend needs at least one of"):
        run.extend()


def test_a_link_in_the_place_of_the_mailbox_leads_nowhere(folder: RunFolder, tmp_path: Path) -> None:
    # given
    victim = tmp_path / "victim"
    victim.mkdir(mode=0o700)
    (victim / "a.json").write_text("{}")
    close_mailbox(folder)
    folder.control.symlink_to(victim)
    # then
    assert asked(folder) == []
    assert open_mailbox(folder) == []
    assert (stat.S_IMODE(victim.stat().st_mode), [each.name for each in victim.iterdir()]) == (0o700, ["a.json"])
    assert folder.control.is_dir()
    assert not folder.control.is_symlink()


def test_however_many_were_asked_of_an_earlier_invocation_none_is_obeyed_by_the_next(folder: RunFolder) -> None:
    for number in range(MOST_FILES + 3):
        (folder.control / f"{number:020d}.json").write_text('{"command": "stop"}')
    # when
    assert len(open_mailbox(folder)) == MOST_FILES + 3
    # then
    assert asked(folder) == []


def test_what_cannot_be_removed_does_not_block_the_mailbox(folder: RunFolder) -> None:
    for number in range(MOST_FILES):
        (folder.control / f"{number:020d}").mkdir()
    command = ask(folder, Command("stop"))
    assert asked(folder) == [command]
