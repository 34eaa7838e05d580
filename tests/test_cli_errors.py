"""Every way a command can end has its exit code and its sentence, and ``--json`` its one object."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from daskflow.cli import VERBS, main
from daskflow.cli.verb import Verb
from daskflow.core import errors
from daskflow.core.errors import Problem
from daskflow.workflow import workflow as workflow_module

WORKFLOW = """
[data]
kind = "generated"
rows = 1000
[model]
kind = "sgd"
[search]
kind = "none"
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workflow file that is right, in the current folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "workflow.toml"
    path.write_text(WORKFLOW)
    return path


def call(*words: Any) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def ending(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make every run end with an error."""

    def run(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(workflow_module.Workflow, "run", run)


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (errors.DataError("part.1.csv, line 7: no."), 1, "Error: part.1.csv, line 7: no.\n"),
        (errors.SearchError("All 3 candidates failed."), 1, "Error: All 3 candidates failed.\n"),
        (errors.StorageError("no space"), 1, "Error: no space\n"),
        (errors.ClusterError("No scheduler answers."), 3, "Error: No scheduler answers.\n"),
        (
            errors.SettingsError([Problem("data.path", "is required"), Problem("seed", "should be a number")]),
            2,
            "Error: data.path: is required\nseed: should be a number\n",
        ),
        (KeyboardInterrupt(), 130, "Interrupted. What is finished is kept: the same command continues.\n"),
        (ZeroDivisionError("odd"), 1, "Unexpected ZeroDivisionError: odd\nAdd --debug for the traceback.\n"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_every_end_has_its_exit_code_and_its_sentence_on_stderr(
    file: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, sentence: str
) -> None:
    # given
    ending(monkeypatch, error)
    # when
    result = call("run", file)
    # then
    assert (result.exit_code, result.stderr, result.stdout) == (code, sentence, "")


@pytest.mark.parametrize("error", [errors.DataError("no"), ZeroDivisionError("odd")], ids=["known", "unexpected"])
def test_debug_shows_the_traceback_and_the_exit_code_stays(
    file: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    ending(monkeypatch, error)
    result = call("run", file, "--debug")
    assert result.exit_code == 1
    assert "Traceback (most recent call last)" in result.stderr
    assert "Add --debug" not in result.stderr


@pytest.mark.parametrize(
    ("error", "status"), [(errors.DataError("no"), "failed"), (KeyboardInterrupt(), "interrupted")]
)
def test_json_is_printed_whatever_happens_with_what_the_run_knows(
    file: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: str
) -> None:
    # given a run that ends early, and says what it knows
    error.summary = {"status": "running", "run": "runs/x/1", "seconds": 3.5, "best": {"score": float("nan")}}  # type: ignore[attr-defined]
    ending(monkeypatch, error)
    # when
    result = call("run", file, "--json")
    # then stdout is one object
    found = json.loads(result.stdout)
    assert found["status"] == status
    assert found["run"] == "runs/x/1"
    assert found["best"]["score"] is None
    assert found["error"] == ("no" if status == "failed" else None)


def test_json_is_printed_for_a_workflow_that_is_wrong(file: Path) -> None:
    result = call("run", file, "--json", "--set", "search.kindd=none")
    assert result.exit_code == 2
    assert json.loads(result.stdout) == {
        "run": None,
        "status": "failed",
        "error": "search.kindd: no such option; did you mean 'kind'?",
    }


def test_every_mistake_of_a_file_is_listed_at_once(file: Path) -> None:
    # given three mistakes
    file.write_text(WORKFLOW.replace("sgd", "sdg").replace("rows", "rosw") + "[clutser]\n")
    # when
    result = call("check", file)
    # then
    assert result.exit_code == 2
    assert "model.kind: no such model: 'sdg'; did you mean 'sgd'?" in result.stderr
    assert "data.rosw: no such option; did you mean 'rows'?" in result.stderr
    assert "clutser: no such table or option; did you mean 'cluster'?" in result.stderr


def test_a_verb_that_is_misspelt_is_a_sentence_with_the_nearest_one() -> None:
    result = call("chekc", "workflow.toml")
    assert result.exit_code == 2
    assert "There is no verb 'chekc'; did you mean 'check'?" in result.stderr


@pytest.mark.parametrize("change", ["search.trials", "=3", "search..trials=3"])
def test_set_needs_a_name_and_a_value(file: Path, change: str) -> None:
    result = call("check", file, "--set", change)
    assert result.exit_code == 2
    assert f"'{change}' should be NAME=VALUE" in result.stderr


def test_set_and_on_reach_the_workflow(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    seen: list[Any] = []

    def check(self: Any) -> list[str]:
        seen.append(self)
        return ["a note"]

    monkeypatch.setattr(workflow_module.Workflow, "check", check)
    # when
    result = call("check", file, "--on", "inline", "--set", "data.rows=5", "--set", "metrics=['f1', 'accuracy']")
    # then
    assert result.exit_code == 0, result.output
    assert result.stdout == "workflow.toml is fine.\n  a note\n"
    assert seen[0].cluster.kind == "inline"
    assert seen[0].data.rows == 5
    assert [metric.name for metric in seen[0].metrics] == ["f1", "accuracy"]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_of_its_own_and_debug(verb: str) -> None:
    result = call(verb, "--help")
    assert result.exit_code == 0
    assert "--debug" in result.stdout
    assert isinstance(main.get_command(click.Context(main), verb), Verb)


def test_help_brings_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from daskflow.cli import main\n"
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0\n"
        "print([name for name in ('pandas', 'numpy', 'dask', 'rich', 'sklearn', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_three_names_are_one_command() -> None:
    # the program, the module, and Dask's own command, which lists a group by its name
    loaded = [
        point.load()
        for group, name in (("console_scripts", "daskflow"), ("dask_cli", "flow"))
        for point in entry_points(group=group, name=name)
    ]
    assert loaded == [main, main]
    assert main.name == "flow"
    done = subprocess.run([sys.executable, "-m", "daskflow", "--version"], capture_output=True, text=True, check=True)
    assert "0.1.0" in done.stdout


def test_kinds_lists_every_room_and_the_options_of_one() -> None:
    rooms = call("kinds").stdout
    assert all(word in rooms for word in ("sgd", "hyperband", "roc_auc", "parquet", "threads", "onehot"))
    one = call("kinds", "cluster").stdout
    assert "memory = 'auto'" in one
    assert "address (required)" in one
    wrong = call("kinds", "clutser")
    assert wrong.exit_code == 2
    assert "There is no room 'clutser'; did you mean 'cluster'?" in wrong.stderr
