"""Profiles of batch queues: site, user, workflow, command line, and what dask-jobqueue's configuration says already."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import pytest

import daskflow as flow
from daskflow.core.errors import SettingsError

Write = Callable[..., None]

SITE = """
[slurm]
queue = "normal"
interface = "ib0"
prologue = ["module load python"]
environment = {SITE = "yes"}

[slurm.bigmem]
queue = "bigmem"
memory = "64 GiB"

[slurm.night]
inherits = "bigmem"
walltime = "12 h"

[sge]
parallel_environment = "smp"
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write the files of a site and a user, and dask-jobqueue's configuration; there is nothing else."""
    site, user, configured = tmp_path / "site.toml", tmp_path / "daskflow" / "clusters.toml", tmp_path / "dask"
    user.parent.mkdir()
    configured.mkdir()
    site.write_text("")
    monkeypatch.setenv("DASKFLOW_SITE", str(site))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(dask.config, "paths", [str(configured)])

    def files(site_text: str = "", user_text: str = "", yaml: str = "") -> None:
        site.write_text(site_text)
        user.write_text(user_text)
        (configured / "jobqueue.yaml").write_text(yaml)

    return files


def slurm(**said: Any) -> dict[str, Any]:
    """What a table of a workflow comes to, without what nobody said."""
    found = flow.clusters.REGISTRY.parse({"kind": "slurm", **said}).dump()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("daskflow.clusters.batch.filled", lambda cls, values: dict(values))
        plain = flow.clusters.Slurm().dump()
    return {word: value for word, value in found.items() if plain.get(word) != value}


def test_a_profile_inherits_the_kinds_own_table_and_what_it_names(write: Write) -> None:
    # given
    write(SITE)
    shared = {"interface": "ib0", "prologue": ["module load python"], "environment": {"SITE": "yes"}}
    # when, then
    assert slurm() == {"queue": "normal", **shared}
    assert slurm(profile="bigmem") == {"queue": "bigmem", "memory": "64 GiB", **shared}
    assert slurm(profile="night") == {"queue": "bigmem", "memory": "64 GiB", "walltime": "12 h", **shared}
    assert flow.clusters.Sge(cores=4).parallel_environment == "smp"


def test_the_user_wins_over_the_site_and_the_workflow_over_both(write: Write, tmp_path: Path) -> None:
    # given
    write(SITE, '[slurm]\ninterface = "eth0"\nprofile = "bigmem"\n[slurm.bigmem]\nmemory = "32 GiB"\n')
    file = tmp_path / "cars.toml"
    data = '[data]\nkind = "generated"\n[model]\nkind = "sgd"\n'
    file.write_text(f'{data}[cluster]\nkind = "slurm"\nprologue = []\nwalltime = "2 h"\n')
    # when
    cluster = flow.Workflow.from_toml(file, {"cluster.walltime": "3 h", "cluster.partition": "short"}).cluster
    # then
    assert isinstance(cluster, flow.clusters.Slurm)
    assert (cluster.memory, cluster.interface) == ("32 GiB", "eth0")
    assert (cluster.queue, cluster.walltime, cluster.prologue) == ("short", "3 h", ())
    # and --on finds the profile's values too, also where the file was written for this machine
    file.write_text(
        file.read_text()
        .replace('kind = "slurm"', 'kind = "local"\nmemory = "auto"')
        .replace("prologue = []\n", "")
        .replace('walltime = "2 h"\n', "")
    )
    other = flow.Workflow.from_toml(file, {"cluster.profile": "night"}, "slurm").cluster
    assert (other.dump()["queue"], other.dump()["memory"]) == ("bigmem", "32 GiB")


def test_what_a_profile_said_is_in_the_workflow_that_a_run_keeps(write: Write) -> None:
    # given a workflow whose cluster comes from a profile
    write(SITE)
    workflow = flow.Workflow(
        data={"kind": "generated"}, model="sgd", cluster={"kind": "slurm", "profile": "night", "cores": 2}
    )
    script = workflow.job_script()
    # when its tables are read where there is no such file
    write()
    again = flow.Workflow(**workflow.dump())
    # then
    assert again.job_script() == script
    assert "-p bigmem" in script


@pytest.mark.parametrize(
    ("text", "said", "sentence"),
    [
        ('[slrum]\nqueue = "a"', {}, "{site}, [slrum]: no such kind of batch queue; did you mean 'slurm'?"),
        ('[slurm]\nwaltime = "1 h"', {}, "{site}, [slurm]: no such option 'waltime'; did you mean 'walltime'?"),
        ("[slurm.big]\nmemroy = 4", {}, "{site}, [slurm.big]: no such option 'memroy'; did you mean 'memory'?"),
        ('[slurm.big]\nmemory = "much"', {}, "{site}, [slurm.big]: memory: should be a size of at least 64 MiB"),
        ('[slurm]\nkind = "slurm"', {}, "{site}, [slurm]: no such option 'kind'"),
        ('[slurm]\ninherits = "big"', {}, "{site}, [slurm]: no such option 'inherits'"),
        ("slurm = 3", {}, "{site}, slurm: should be a table"),
        ("", {"profile": "big"}, "there is no profile 'big' of [slurm] in {site}"),
        ("[slurm.big]\n", {"profile": "bug"}, "there is no profile 'bug' of [slurm] in {site}"),
        ("[slurm.big]\n", {"profile": "bug"}, "; did you mean 'big'?"),
        (
            '[slurm.a]\ninherits = "b"\n[slurm.b]\ninherits = "a"',
            {"profile": "a"},
            "Profile 'a' of [slurm] inherits from itself: a > b > a.",
        ),
        ('[slurm.a]\ninherits = "c"', {"profile": "a"}, "there is no profile 'c' of [slurm]"),
        ("[slurm.a]\ninherits = 3", {}, "{site}, [slurm.a]: inherits should be the name of a profile (found 3)"),
        ("[slurm\n", {}, "{site} is not TOML: "),
        ('[slurm]\nqueue = "a"\npartition = "b"', {}, "{site}, [slurm]: 'partition' and 'queue' are the same option"),
    ],
)
def test_a_mistake_in_a_file_is_told_with_the_file_and_the_nearest_word(
    write: Write, tmp_path: Path, text: str, said: dict[str, Any], sentence: str
) -> None:
    # given
    write(text)
    # when
    with pytest.raises(SettingsError) as caught:
        slurm(**said)
    # then
    assert sentence.format(site=tmp_path / "site.toml") in str(caught.value)


def test_a_site_file_that_is_named_and_not_there_is_a_sentence(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write()
    monkeypatch.setenv("DASKFLOW_SITE", "/nowhere/site.toml")
    with pytest.raises(SettingsError, match=r"There is no file /nowhere/site\.toml, which DASKFLOW_SITE names\."):
        slurm()


YAML = """
jobqueue:
  slurm:
    name: dask-worker
    cores: 24
    processes: 6
    memory: 120 GB
    queue: regular
    account: 4711
    interface: ib0
    walltime: '30'
    local-directory: $SCRATCH
    job-script-prologue: ['module load conda']
    job_extra_directives: ['--exclusive']
    job-directives-skip: ['--mem']
    log-directory: /logs
    death-timeout: 300
    worker-extra-args: ['--lifetime', '25m']
  bigmem:
    memory: 1 TB
    queue: bigmem
"""


def test_the_configuration_of_dask_jobqueue_fills_what_nobody_says(write: Write) -> None:
    # given
    write(yaml=YAML)
    expected = {
        "cores": 24,
        "memory": "120 GB",
        "queue": "regular",
        "account": "4711",
        "interface": "ib0",
        "walltime": "1800 s",  # as Slurm reads it: minutes
        "scratch": "$SCRATCH",
        "prologue": ["module load conda"],
        "directives": ["--exclusive"],
        "directives_skip": ["--mem"],
        "log_folder": "/logs",
        "death_timeout": 300.0,
        "worker_arguments": ["--lifetime", "25m"],
    }
    # when, then
    assert slurm() == expected
    # and a section of one's own does not repeat every word
    assert slurm(config_name="bigmem") == {**expected, "memory": "1 TB", "queue": "bigmem"}
    # and what is said wins
    assert slurm(walltime="2 h", queue="short") == {**expected, "walltime": "2 h", "queue": "short"}
    # and a profile does
    write('[slurm]\nqueue = "normal"\n', yaml=YAML)
    assert slurm()["queue"] == "normal"
    # and other kinds have sections of their own
    assert flow.clusters.Pbs().queue is None


def test_what_dask_jobqueue_ships_is_not_taken_for_what_somebody_said(write: Write) -> None:
    # given a process that has imported it, which has a walltime of half an hour for everybody
    write()
    flow.clusters.Slurm().job_script()
    import dask_jobqueue

    assert dask_jobqueue.SLURMCluster.job_cls.config_name == "slurm"
    # when, then
    assert slurm() == {}
    # but what this process sets counts, under either spelling
    with dask.config.set({"jobqueue.slurm.walltime": "02:00:00", "jobqueue.slurm.job_cpu": 4}):
        assert slurm() == {"walltime": "7200 s", "job_cpu": 4}


def test_a_section_that_is_not_there_is_a_sentence(write: Write) -> None:
    write(yaml=YAML)
    with pytest.raises(SettingsError, match=r"no section jobqueue\.bigmen; did you mean 'bigmem'\?"):
        slurm(config_name="bigmen")


def test_a_value_of_the_configuration_that_cannot_be_is_told_with_its_place_unless_another_is_said(
    write: Write,
) -> None:
    write(yaml="jobqueue:\n  slurm:\n    walltime: UNLIMITED\n")
    with pytest.raises(SettingsError, match=r"Dask's configuration, jobqueue\.slurm: walltime: should be a time"):
        slurm()
    assert slurm(walltime="3 h") == {"walltime": "3 h"}


def test_a_table_need_not_be_complete_by_itself(write: Write) -> None:
    # given cores that only a profile says the source of
    write('[sge]\ncores = 4\n[sge.smp]\nparallel_environment = "smp"\n')
    # when, then
    assert flow.clusters.Sge(profile="smp").cores == 4
    with pytest.raises(SettingsError, match="4 cores need a parallel environment"):
        flow.clusters.Sge()


def test_words_of_htcondor_come_from_its_section(write: Write) -> None:
    # given a table of directives, as that section has it
    write(yaml="jobqueue:\n  htcondor:\n    disk: 3 GB\n    job-extra-directives: {universe: vanilla}\n")
    # when
    found = flow.clusters.HTCondor()
    # then
    assert (found.disk, found.directives) == ("3 GB", ("universe = vanilla",))
