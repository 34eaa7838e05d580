"""Job scripts: of every kind as they are kept, run by a shell for what they say, and shown without any queue."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import dask
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import daskflow as flow
from daskflow.cli import main
from daskflow.clusters import REGISTRY
from daskflow.clusters.batch import Batch
from daskflow.clusters.batch_jobs import QueueError, Request
from daskflow.clusters.batch_scripts import quoted
from daskflow.clusters.slurm_commands import SlurmQueue
from daskflow.core.errors import SettingsError
from daskflow.workflow import plan as plans
from daskflow.workflow.outlook import Outlook
from tests.golden_scripts import CASES, FOLDER, cluster_of, script

KINDS = [name for name, cls in REGISTRY.kinds.items() if issubclass(cls, Batch)]

ANEW = "is what it should be? Then `python -m tests.golden_scripts` writes tests/golden anew"


@pytest.fixture(autouse=True)
def _nothing_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No profile, no configuration and no account of the one who runs the tests."""
    (tmp_path / "site.toml").write_text("")
    monkeypatch.setenv("DASKFLOW_SITE", str(tmp_path / "site.toml"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(dask.config, "paths", [str(tmp_path / "dask")])
    for name in ("PBS_ACCOUNT", "LSF_ENVDIR", "LSF_CONFDIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", CASES)
def test_a_job_script_is_the_one_that_is_kept(name: str) -> None:
    # given
    file = FOLDER / f"{name}.sh"
    assert file.is_file(), f"there is no {file.name}; {ANEW}"
    # when, then
    assert script(name) == file.read_text(encoding="utf-8"), f"{file.name}: the new script {ANEW}"


def test_every_script_that_is_kept_is_made_and_every_kind_has_some() -> None:
    assert sorted(file.stem for file in FOLDER.glob("*.sh")) == sorted(CASES)
    for kind in KINDS:
        assert sum(case[0] == kind for case in CASES.values()) >= 3, kind


def ran(text: str, kind: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a job script as its system would, without that system."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/home/me", "USER": "me", **environment}
    if kind == "htcondor":
        found = re.search(r'^Arguments = "(.*)"$', text, re.MULTILINE)
        assert found
        for macro, value in {"$(ClusterId)": "31", "$(ProcId)": "0", "$(DOLLAR)": "$"}.items():
            text = found[1].replace(macro, value) if macro == "$(ClusterId)" else text.replace(macro, value)
        assert text.startswith("-c '")
        assert text.endswith("'")
        text = text[4:-1].replace("''", "'").replace('""', '"')
        return subprocess.run(["/bin/sh", "-c", text], capture_output=True, text=True, env=environment)
    return subprocess.run(["bash", "-c", text], capture_output=True, text=True, env=environment)


INSIDE: dict[str, list[tuple[dict[str, str], str]]] = {
    "slurm": [
        ({"SLURM_JOB_ID": "17"}, "17"),
        ({"SLURM_JOB_ID": "19", "SLURM_ARRAY_JOB_ID": "17", "SLURM_ARRAY_TASK_ID": "2"}, "17_2"),
    ],
    "pbs": [({"PBS_JOBID": "17.head"}, "17"), ({"PBS_JOBID": "17[2].head"}, "17[2]")],
    "sge": [({"JOB_ID": "17", "SGE_TASK_ID": "undefined"}, "17"), ({"JOB_ID": "17", "SGE_TASK_ID": "2"}, "17.2")],
    "lsf": [({"LSB_JOBID": "17", "LSB_JOBINDEX": "0"}, "17"), ({"LSB_JOBID": "17", "LSB_JOBINDEX": "2"}, "17[2]")],
    "htcondor": [({}, "31.0")],
    "oar": [({"OAR_JOB_ID": "17"}, "17")],
}
"""What a job finds in its environment, and the name that its worker must have."""

PRINT = """#!{python}
import json, os, sys
print(json.dumps([sys.argv[1:], dict(os.environ)]))
"""


def printing_python(folder: Path) -> Path:
    """A program with blanks and a quote in its path that stands in for Python, and prints what it is given."""
    program = folder / "my env's" / "python"
    program.parent.mkdir(parents=True)
    program.write_text(PRINT.format(python=sys.executable))
    program.chmod(0o755)
    return program


def with_lease(tmp_path: Path, address: str) -> Path:
    """A run's folder with blanks and quotes in its path, and a lease that a scheduler at an address keeps."""
    folder = tmp_path / 'my "runs" it\'s' / "cars" / "4f1e"
    folder.mkdir(parents=True)
    (folder / "lease").write_text(json.dumps({"address": address}))
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_starts_a_worker_that_has_its_number_for_a_name_whatever_stands_in_paths(
    kind: str, tmp_path: Path
) -> None:
    # given a run in a folder with blanks and quotes, and values that a shell would act on
    door = socket.create_server(("127.0.0.1", 0))
    address = f"tls://127.0.0.1:{door.getsockname()[1]}"
    folder = with_lease(tmp_path, address)
    cluster = REGISTRY.parse(
        {
            "kind": kind,
            "python": str(printing_python(tmp_path)),
            "scratch": "/scratch/$USER/my 'own'",
            "environment": {"TEXT": "a 'b' \"c\" `d` $(e) %f", "MKL_NUM_THREADS": "3"},
            "prologue": ["export BEFORE=$(echo yes)"],
            "memory": "3 GiB",
        }
    ).within(folder, "4f1e")
    assert isinstance(cluster, Batch)
    for inside, name in INSIDE[kind]:
        # when
        done = ran(cluster.job_script(address), kind, **inside)
        # then
        assert done.returncode == 0, done.stderr
        arguments, environment = json.loads(done.stdout)
        assert arguments[:3] == ["-m", "distributed.cli.dask_worker", address]
        told = dict(pairwise(arguments))
        assert told["--name"] == name
        assert told["--nthreads"] == "1"
        assert told["--memory-limit"] == "3.00GiB"
        assert told["--local-directory"] == "/scratch/me/my 'own'"
        assert told["--preload"] == "daskflow.clusters.batch_worker"
        assert told["--tls-key"] == str(folder / "keys" / "key.pem")
        assert told["--tls-cert"] == told["--tls-ca-file"] == str(folder / "keys" / "cert.pem")
        assert environment["DASKFLOW_JOB"] == name
        assert environment["TEXT"] == "a 'b' \"c\" `d` $(e) %f"
        assert environment["BEFORE"] == "yes"
        assert (environment["OMP_NUM_THREADS"], environment["MKL_NUM_THREADS"]) == ("1", "3")
    door.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_that_starts_after_its_run_ends_at_once(kind: str, tmp_path: Path) -> None:
    # given a script whose run's lease is gone
    cluster = cluster_of(kind, {"python": str(printing_python(tmp_path))}).within(tmp_path / "gone", "4f1e")
    # when
    done = ran(cluster.job_script("tls://10.0.0.1:8786"), kind, **INSIDE[kind][0][0])
    # then Python was not even started
    assert done.returncode == 0
    assert "[" not in done.stdout
    assert done.stdout.strip()


@pytest.mark.parametrize("kind", KINDS)
def test_a_controller_becomes_its_command(kind: str, tmp_path: Path) -> None:
    # given
    program = printing_python(tmp_path)
    # when
    text = cluster_of(kind, {}).controller_script([str(program), "run", "it's mine.toml", "$HOME"])
    done = ran(text, kind, **INSIDE[kind][0][0])
    # then
    assert json.loads(done.stdout)[0] == ["run", "it's mine.toml", "$HOME"]


@given(texts=st.lists(st.text(st.characters(exclude_characters="\n\r\0", codec="utf-8"), min_size=1), max_size=100))
@settings(max_examples=15)
def test_a_shell_takes_a_quoted_text_for_itself_and_variables_for_their_values(texts: list[str]) -> None:
    # given texts, and the same with a variable before them
    texts = [text for text in texts if not re.search(r"\$(\w|\{\w+\})", text) and not text.startswith("~/")]
    words = [quoted(text) for text in texts] + [quoted(f"$USER/{text}") for text in texts]
    # when a shell prints them
    line = f"printf '%s\\0' {' '.join(words)}" if words else ":"
    done = subprocess.run(["bash"], input=line.encode(), capture_output=True, env={"USER": "me"})
    # then
    found = done.stdout.decode().split("\0")[:-1]
    assert found == [*texts, *(f"me/{text}" for text in texts)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_of_the_users_own_is_no_second_directive(kind: str) -> None:
    for said in ({"directives": ["a = 1\n#SBATCH -p b"]}, {"prologue": ["a\nb"]}, {"environment": {"A": "a\nb"}}):
        with pytest.raises(SettingsError, match="one line of text"):
            REGISTRY.parse({"kind": kind, **{k: tuple(v) if isinstance(v, list) else v for k, v in said.items()}})


WORKFLOW = """
[data]
kind = "generated"
rows = 1000
[model]
kind = "sgd"
[cluster]
kind = "local"
workers = 3
memory = "{memory}"
"""


@pytest.fixture(autouse=True)
def nothing_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a dry run says of core-hours takes a few fits, and is tested elsewhere."""
    monkeypatch.setattr(plans, "outlook", lambda *_, **__: Outlook("nothing is timed here"))


def dry_run(tmp_path: Path, *words: str, memory: str = "auto") -> Any:
    """Run ``daskflow run --dry-run``."""
    file = tmp_path / "cars.toml"
    file.write_text(WORKFLOW.format(memory=memory))
    return CliRunner().invoke(main, ["run", str(file), "--dry-run", "--runs", str(tmp_path / "runs"), *words])


@pytest.mark.parametrize("kind", KINDS)
def test_a_dry_run_prints_the_script_and_leaves_nothing(kind: str, tmp_path: Path) -> None:
    # when
    done = dry_run(tmp_path, "--on", kind, "--set", "cluster.walltime=90 min", memory="2 GiB")
    # then
    assert done.exit_code == 0, done.output
    id = flow.Workflow.from_toml(tmp_path / "cars.toml").id
    assert f"{tmp_path}/runs/cars/{id}/keys" in done.stdout
    assert "tls://HOST:PORT" in done.stdout
    assert "--memory-limit 2.00GiB" in done.stdout
    assert {"lsf": "01:30", "htcondor": "5400"}.get(kind, "01:30:00") in done.stdout
    assert not (tmp_path / "runs").exists()
    # and from Python it is the same
    workflow = flow.Workflow.from_toml(tmp_path / "cars.toml", {"cluster.walltime": "90 min"}, kind)
    assert workflow.job_script(tmp_path / "runs") == done.stdout
    assert json.loads(dry_run(tmp_path, "--on", kind, "--json").stdout)["job_script"].startswith("#!/usr/bin/env")


def test_a_dry_run_prints_what_a_run_submits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a queue that keeps what it is asked about, and refuses it
    asked: list[str] = []

    async def refusals(_: SlurmQueue, text: str, request: Request) -> list[str]:
        asked.append(text)
        return ["No."]

    monkeypatch.setattr(SlurmQueue, "refusals", refusals)
    shown = dry_run(tmp_path, "--on", "slurm", "--set", "cluster.interface=lo").stdout
    workflow = flow.Workflow.from_toml(tmp_path / "cars.toml", {"cluster.interface": "lo"}, "slurm")
    # when
    with pytest.raises(QueueError, match=r"No\."):
        workflow.run(tmp_path / "runs")
    # then only the address differs
    assert re.sub(r"tls://127\.0\.0\.1:\d+", "tls://HOST:PORT", asked[0]) == shown
    assert asked[0] != shown


def test_a_dry_run_without_a_batch_queue_says_which_there_are(tmp_path: Path) -> None:
    done = dry_run(tmp_path)
    assert done.exit_code == 2
    assert done.output == (
        "Error: cluster.kind = 'local' starts no jobs, so there is no job script. "
        "Name a batch queue with --on: htcondor, lsf, oar, pbs, sge, slurm.\n"
    )


def test_the_command_line_wins_over_the_file_by_any_name_of_an_option(tmp_path: Path) -> None:
    # given a file that says queue
    file = tmp_path / "cars.toml"
    file.write_text(WORKFLOW.format(memory="2 GiB").replace('"local"', '"slurm"\nqueue = "normal"'))
    # when the command line says partition
    workflow = flow.Workflow.from_toml(file, {"cluster.partition": "short"})
    # then
    assert workflow.cluster.dump()["queue"] == "short"
    # and what is in one system's own words stays with that system
    file.write_text(file.read_text() + 'directives = ["--exclusive"]\naccount = "astro"\n')
    other = flow.Workflow.from_toml(file, {}, "htcondor").cluster.dump()
    assert other["account"] == "astro"
    assert "queue" not in other
    assert other["directives"] == []
    assert flow.Workflow.from_toml(file, {}, "slurm").cluster.dump()["directives"] == ["--exclusive"]
    # and a word that is none is an error, with --on too
    with pytest.raises(SettingsError, match=r"cluster\.intrface: no such option; did you mean 'interface'\?"):
        flow.Workflow.from_toml(file, {"cluster.intrface": "ib0"}, "pbs")


def test_nothing_is_written_into_the_users_configuration_of_dask(tmp_path: Path) -> None:
    # given an empty home
    environment = {**os.environ, "HOME": str(tmp_path / "home"), "DASKFLOW_SITE": ""}
    for name in ("XDG_CONFIG_HOME", "DASK_CONFIG"):
        environment.pop(name, None)
    (tmp_path / "home").mkdir()
    # when
    program = "import daskflow as flow; print(flow.clusters.Slurm().job_script())"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    # then
    assert "#SBATCH -t 01:00:00" in done.stdout, done.stderr
    assert list((tmp_path / "home").rglob("*.yaml")) == []


@pytest.mark.parametrize(
    ("kind", "said", "sentence"),
    [
        ("slurm", {"walltime": True}, "walltime: should be a time such as '1 h'"),
        ("slurm", {"memory": "4 GB\n#SBATCH -p x"}, "memory: should be a size"),
        ("slurm", {"walltime": "1 h\n#SBATCH"}, "walltime: should be a time"),
        ("slurm", {"walltime": 30}, "walltime: needs a unit, such as '30 min' or '30 h'"),
        (
            "slurm",
            {"walltime": "soon"},
            "walltime: should be a time such as '1 h', '90 min' or '2 days', or Slurm's own",
        ),
        ("lsf", {"walltime": "1:30:00"}, "or LSF's own '01:30'"),
        ("pbs", {"walltime": "10 s"}, "walltime: should be from one minute to a year"),
        ("slurm", {"memory": "four"}, "memory: should be a size of at least 64 MiB such as '4 GiB'"),
        ("slurm", {"memory": "none"}, "memory: should be a size"),
        ("slurm", {"memory": True}, "memory: should be a size"),
        ("slurm", {"interface": "ib 0"}, "interface: should be the name of a network interface such as 'ib0'"),
        ("slurm", {"queue": "a; reboot"}, "queue: should be one word"),
        ("slurm", {"account": ""}, "account: should be one word"),
        ("slurm", {"cores": 0}, "cores: input should be greater than or equal to 1"),
        ("slurm", {"minimum": 3, "maximum": 2}, "minimum (3) is more than maximum (2)"),
        ("slurm", {"queue": "a", "partition": "b"}, "'partition' and 'queue' are the same option"),
        ("slurm", {"environment": {"a b": "1"}}, "environment: 'a b' is no name of a variable"),
        ("slurm", {"wall_time": "1 h"}, "wall_time: no such option; did you mean 'walltime'?"),
        ("sge", {"cores": 4}, "4 cores need a parallel environment on Grid Engine"),
        ("pbs", {"allocation": "single"}, "allocation = 'single' is known of Slurm alone"),
        ("htcondor", {"queue": "long"}, "queue: there are no queues in HTCondor"),
        ("htcondor", {"directives": ["exclusive"]}, "directives: 'exclusive' should be a line such as"),
    ],
)
def test_a_setting_that_cannot_be_is_a_sentence(kind: str, said: Mapping[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        REGISTRY.parse({"kind": kind, **said})
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "walltime", "seconds", "written"),
    [
        ("slurm", "90 min", 5400, "01:30:00"),
        ("slurm", "1 day, 2 hours and 3 minutes", 93780, "1-02:03:00"),
        ("slurm", "1-12", 129600, "1-12:00:00"),
        ("slurm", "90:00", 5400, "01:30:00"),
        ("slurm", "1.5h", 5400, "01:30:00"),
        ("pbs", "100:00:00", 360000, "100:00:00"),
        ("sge", "2 days", 172800, "48:00:00"),
        ("lsf", "1:30", 5400, "01:30"),
        ("lsf", "61 s", 61, "00:02"),
        ("oar", "2:30", 9000, "02:30:00"),
    ],
)
def test_a_walltime_is_read_in_words_and_in_the_systems_own_form(
    kind: str, walltime: str, seconds: float, written: str
) -> None:
    cluster = cluster_of(kind, {"walltime": walltime})
    assert cluster.request.seconds == seconds
    assert cluster.native_walltime == written
    assert written in cluster.job_script()
