"""The doctor: what is wrong is found and told with what to do, and what is well is not doubted."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from daskflow.cli import main
from daskflow.clusters.address import LIBRARIES, probe
from daskflow.clusters.batch_jobs import Job, JobState
from daskflow.clusters.slurm import Slurm
from daskflow.core import mounts
from daskflow.workflow import doctor, doctor_probe
from daskflow.workflow.doctor import Finding, Level, compared, examine, of_folder, of_locks, of_python
from daskflow.workflow.doctor_node import of_node
from daskflow.workflow.doctor_queue import examine_queue, of_address, of_waiting


def test_this_installation_is_well(tmp_path: Path) -> None:
    runs = tmp_path / "not there yet" / "runs"

    result = CliRunner().invoke(main, ["doctor", "--runs", str(runs)])

    assert result.exit_code == 0, result.output
    assert "\nok    locks" in result.output
    assert "fail" not in result.output
    assert result.output.splitlines()[-1].startswith("Runs can start.")
    assert not runs.exists()
    assert list(tmp_path.iterdir()) == []


def test_json_has_every_finding(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["doctor", "--runs", str(tmp_path), "--json"])

    told = json.loads(result.output)
    assert told["ok"] is True
    assert {"Python", "daskflow", "libraries", "runs folder", "locks", "block store"} <= {
        finding["subject"] for finding in told["findings"]
    }
    assert {finding["level"] for finding in told["findings"]} <= {"ok", "warn"}


def test_a_failure_is_exit_code_3_and_its_line_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DASKFLOW_CACHE_DIR", str(tmp_path / "file" / "store"))

    result = CliRunner().invoke(main, ["doctor", "--runs", str(tmp_path)])

    assert result.exit_code == 3
    assert "fail  block store" in result.output
    assert "DASKFLOW_CACHE_DIR" in result.output
    assert result.output.splitlines()[-1] == "1 thing is wrong: a run would fail."
    assert json.loads(CliRunner().invoke(main, ["doctor", "--json"]).output)["ok"] is False


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "cluster.queue=short"], "needs a FILE"),
        (["--on", "slurm", "--set", "search.trials=3"], "needs a FILE"),
        (["--on", "slrum"], "did you mean 'slurm'?"),
        (["--on", "slurm", "--set", "cluster.walltime=soon"], "cluster.walltime"),
        (["no-such-file.toml"], "no-such-file.toml"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(main, ["doctor", *arguments])

    assert result.exit_code == 2
    assert said in result.output


def test_a_cluster_that_is_no_queue_needs_no_queue(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["doctor", "--on", "threads", "--runs", str(tmp_path)])

    assert result.exit_code == 0
    assert "commands" not in result.output


def test_python_out_of_range_fails() -> None:
    assert of_python("3.9.1", ">=3.11,<3.14").level is Level.FAIL
    assert "needs >=3.11,<3.14" in of_python("3.9.1", ">=3.11,<3.14").words
    assert of_python("3.13.0rc1", ">=3.11,<3.14").level is Level.OK


def test_libraries_are_held_against_what_daskflow_asks_for() -> None:
    # given
    installed = {"good": "1.5", "old": "0.1", "extra-old": "0.1", "ignored": "0.1", "rc": "2.0rc1"}
    wanted = [
        "good<2,>=1",
        "old>=1",
        "absent>=3",
        "rc>=1",
        'extra-old>=1; extra == "sql"',
        'extra-old>=1; extra == "test"',
        'extra-absent>=1; extra == "sql"',
        'ignored>=1; python_version < "3"',
        "this is no requirement",
    ]

    # when
    found = {finding.subject: finding for finding in compared(wanted, installed.get)}

    # then
    assert {subject: finding.level.value for subject, finding in found.items()} == {
        "old": "fail",
        "absent": "fail",
        "extra-old": "warn",
        "libraries": "ok",
    }
    assert found["old"].words == "0.1 is installed, and daskflow needs >=1: pip install 'old>=1'"
    assert found["absent"].words == "is not installed: pip install 'absent>=3'"
    assert found["libraries"].words.startswith("2 ")


def test_little_room_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LITTLE_ROOM", 2**80)

    (finding,) = of_folder("block store", tmp_path, "--here")

    assert finding.level is Level.WARN
    assert "choose another one with --here" in finding.words


def test_locks_that_do_not_hold_elsewhere_are_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = "1 0 0:9 / / rw - nfs4 a:/ rw,nolock"
    monkeypatch.setattr(doctor, "about_locks", lambda path: mounts.about_locks(path, table))

    finding = of_locks(tmp_path)

    assert finding.level is Level.WARN
    assert "/ is nfs4, mounted with nolock" in finding.words


def test_few_open_files_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (200, 4096))

    finding = doctor.of_machine()

    assert finding.level is Level.WARN
    assert "only 200 open files are allowed: ulimit -n 4096" in finding.words


def test_a_variable_that_makes_workers_slow_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    assert [finding.level for finding in examine(tmp_path) if finding.subject == "environment"] == [Level.WARN]


def test_a_system_that_this_version_only_writes_scripts_for_is_a_failure(tmp_path: Path) -> None:
    from daskflow.clusters import REGISTRY

    (finding,) = examine_queue(REGISTRY.parse("pbs"), tmp_path)

    assert (finding.level, finding.subject) == (Level.FAIL, "commands")


def test_a_scheduler_on_the_loopback_address_is_a_warning() -> None:
    assert of_address("127.0.0.1", "lo").level is Level.WARN
    assert of_address("10.1.0.1", None).level is Level.OK


@pytest.mark.parametrize(
    ("job", "level", "said"),
    [
        (
            Job("7", JobState.PENDING, "Resources", starts_at=1e9),
            Level.WARN,
            "waited 9 s (Resources, expected to start at 2001",
        ),
        (Job("7", JobState.PENDING), Level.WARN, "the queue gives no reason"),
        (Job("7", JobState.RUNNING, node="n3"), Level.FAIL, "job 7 runs on n3 and has not answered within 9 s"),
    ],
)
def test_a_job_that_has_not_answered_says_why(job: Job, level: Level, said: str) -> None:
    finding = of_waiting(job, 9)

    assert finding.level is level
    assert said in finding.words


def good_node(**other: Any) -> dict[str, Any]:
    """What a node says that is like this machine."""
    here = probe()(LIBRARIES)
    return {
        "token": "x",
        "host": "n1",
        "time": 1000.0,
        "python": here.pop("python") + ".7",
        "executable": "/usr/bin/python3",
        "interfaces": ["eth0", "lo"],
        "files": 4096,
        "address_space": -1,
        "reached": "",
        "scratch": "",
        "folders": {"/runs": "", "/store": ""},
        "versions": here,
        "failure": "",
        **other,
    }


def wrong(found: dict[str, Any], **settings: Any) -> list[Finding]:
    """What is not well with a node."""
    cluster = Slurm(**settings)
    return [finding for finding in of_node(found, cluster, arrived_at=1001.0) if finding.level is not Level.OK]


def test_a_node_like_this_machine_is_well() -> None:
    assert wrong(good_node(), interface="eth0", scratch="/tmp") == []
    assert wrong(good_node()) == []


@pytest.mark.parametrize(
    ("other", "level", "subject", "said"),
    [
        ({"python": "2.7.18"}, Level.FAIL, "Python there", "python 2.7 there"),
        ({"versions": {}}, Level.FAIL, "Python there", "has no daskflow"),
        ({"versions": {"daskflow": "0.0.1"}}, Level.FAIL, "Python there", "daskflow 0.0.1 there"),
        (
            {"failure": "ImportError: GLIBC_2.34"},
            Level.FAIL,
            "Python there",
            "cannot load the libraries: ImportError: GLIBC",
        ),
        (
            {"failure": "ModuleNotFoundError: No module named 'distributed'"},
            Level.FAIL,
            "Python there",
            "No module named 'distributed'. Install them there, or set cluster.python to one that has them; or "
            "cluster.ship = 'packages' has them sent along.",
        ),
        ({"folders": {"/store": "Permission denied"}}, Level.FAIL, "shared folder", "write /store: Permission denied"),
        ({"reached": "timed out"}, Level.FAIL, "network", "n1 does not reach this machine's address: timed out"),
        ({"interfaces": ["lo"]}, Level.FAIL, "interface", "n1 has no 'eth0'; it has lo."),
        ({"scratch": "/scratch: Read-only file system"}, Level.FAIL, "scratch", "/scratch: Read-only file system"),
        ({"time": 1031.0}, Level.WARN, "clock", "n1 is 30 s ahead of this machine's"),
        ({"time": 400.0}, Level.FAIL, "clock", "n1 is 10 min 1 s behind this machine's"),
        ({"files": 256}, Level.WARN, "limits", "jobs on n1 may open 256 files: add `ulimit -n 4096`"),
        ({"address_space": 2**30}, Level.FAIL, "limits", "jobs on n1 may address 1.00 GiB"),
    ],
)
def test_what_is_wrong_with_a_node_is_told(other: dict[str, Any], level: Level, subject: str, said: str) -> None:
    (finding,) = wrong(good_node(**other), interface="eth0", scratch="/scratch")

    assert (finding.level, finding.subject) == (level, subject)
    assert said in finding.words
    assert "\n" not in finding.words


def test_what_runs_on_the_node_needs_no_daskflow_and_no_new_python(tmp_path: Path) -> None:
    """It is started by a Python without any packages, in a folder that it gets to know from its argument."""
    # given
    (tmp_path / "token").write_text("other")
    folders = {"/runs": str(tmp_path), "/store": str(tmp_path / "none")}
    asked = {
        "folders": folders,
        "token": "t",
        "address": "127.0.0.1",
        "port": 1,
        "scratch": "/proc/none",
        "libraries": ["daskflow", "dask"],
    }
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    environment = {"PATH": os.environ["PATH"]}

    # when
    subprocess.run(
        [sys.executable, "-I", "-S", str(doctor_probe.__file__), str(tmp_path)], check=True, env=environment, cwd="/"
    )

    # then
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["token"] == "t"
    assert found["versions"] == {}
    assert "refused" in found["reached"]
    assert found["folders"] == {"/runs": "it sees another folder of that name", "/store": "No such file or directory"}
    assert found["scratch"].startswith("/proc/none: ")
    assert found["files"] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    compile(Path(str(doctor_probe.__file__)).read_text(), "look.py", "exec", dont_inherit=True, _feature_version=6)
